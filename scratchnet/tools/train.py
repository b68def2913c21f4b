"""``scratchnet train``: train a network on a data set, and write a run folder."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import datasets, networks, optimizers, plotting, preprocessing
from scratchnet.callbacks import Callback, EarlyStopping
from scratchnet.datasets import Dataset
from scratchnet.model import Model
from scratchnet.support.interrupts import exit_code, uninterrupted
from scratchnet.tools import inputs, run_folder
from scratchnet.tools.arguments import DATA, TRANSPOSE, natural, positive_int, positive_number
from scratchnet.tools.versions import versions

NETWORKS = {"net_1": networks.net_1, "net_2": networks.net_2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet train``."""
    parser.description = (
        "Train a network and write its model, history, settings and figures into a run folder. "
        "The test images are the validation images, as in the study."
    )
    option = parser.add_argument
    option("--net", choices=NETWORKS, default="net_2", help="the network (%(default)s)")
    option("--data", default="glyphs", metavar="NAME|PATH", help=f"{DATA} (%(default)s)")
    # Without the option, settings.json has no word of it, as in runs of earlier versions.
    option("--transpose", action="store_true", default=argparse.SUPPRESS, help=TRANSPOSE)
    option("--optimizer", choices=optimizers.KNOWN, default="adam", help="the update rule (%(default)s)")
    option("--learning-rate", type=positive_number, metavar="RATE", help="the learning rate (the optimizer's default)")
    option("--epochs", type=positive_int, default=5, metavar="N", help="passes over the data (%(default)s; study: 16)")
    option("--batch-size", type=positive_int, default=128, metavar="N", help="images in a step (%(default)s)")
    option(
        "--patience",
        type=positive_int,
        metavar="N",
        help="stop after N epochs without a lower validation loss and restore the best weights (never stop early)",
    )
    option("--limit", type=positive_int, metavar="N", help="use only the first N training and N test images (all)")
    option("--seed", type=natural, default=0, help="the seed of the weights and of the shuffling (%(default)s)")
    option("--out", metavar="DIR", help="the run folder (runs/<date>-<net>-<data>)")
    option("--force", action="store_true", help="accept a folder that is not empty, and replace the run in it")


def run(args: argparse.Namespace) -> int:
    """Train as `args` say and return the exit code: 0, or that of an interrupt."""
    began = time.perf_counter()
    folder = Path(args.out) if args.out else run_folder.default_folder(args.net, args.data)
    run_folder.check_free(folder, args.force)
    data = prepare(datasets.load(args.data, transpose="transpose" in args), args.limit)
    model = build(args, data)
    settings = describe(args, model, data)
    run_folder.start(folder)
    run_folder.write_settings(folder, settings)

    title = f"{args.net} on {data.name}, {args.optimizer}"
    recorder = Recorder(folder)
    try:
        with failure_recorded(settings, recorder):
            fit_seconds = fit(args, model, data, recorder)
    except KeyboardInterrupt as interrupt:
        print(f"scratchnet: interrupted; {draw_finished_epochs(recorder, title)}", file=sys.stderr)
        return exit_code(interrupt)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}; {draw_finished_epochs(recorder, title)}") from None

    with failure_recorded(settings, recorder):
        model.save(folder / run_folder.MODEL)  # early stopping may have restored the weights of an earlier epoch
        one_hot = preprocessing.one_hot(data.y_test, len(data.class_names))
        loss, accuracy = model.evaluate(data.x_test, one_hot, batch_size=args.batch_size, verbose=0)
        draw(folder, title, model, recorder.history, data)
        seconds = {"training": round(fit_seconds, 3), "all": round(time.perf_counter() - began, 3)}
        result = {"val_loss": float(loss), "val_accuracy": float(accuracy)}
        done = {"state": "done", "epochs": recorder.epochs, "seconds": seconds, "result": result}
        run_folder.write_settings(folder, settings | done)
    print(f"trained {recorder.epochs} epoch{'s' * (recorder.epochs > 1)} in {fit_seconds:.1f} s")
    print(f"validation accuracy {accuracy:.4f}, loss {loss:.4f} ({len(data.x_test):,} test images)")
    print(f"run folder: {folder}")
    return 0


def prepare(data: Dataset, limit: int | None) -> Dataset:
    """Return `data` with its images as a network takes them, and only the first `limit` of each split."""
    return replace(
        data,
        x_train=inputs.net_inputs(data.x_train[:limit]),
        y_train=data.y_train[:limit],
        x_test=inputs.net_inputs(data.x_test[:limit]),
        y_test=data.y_test[:limit],
    )


def build(args: argparse.Namespace, data: Dataset) -> Model:
    """Return the compiled network, after printing its size and that of the data."""
    K = len(data.class_names)
    sample_shape = data.x_train.shape[1:]
    model = NETWORKS[args.net](sample_shape, K, seed=args.seed)
    rate = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    model.compile(optimizers.KNOWN[args.optimizer](**rate), "categorical_crossentropy", metrics=["accuracy"])
    print(
        f"{args.net} on {data.name}: {len(data.x_train):,} training and {len(data.x_test):,} test images "
        f"of {inputs.times(sample_shape)}, {K} classes"
    )
    model.summary()
    return model


def fit(args: argparse.Namespace, model: Model, data: Dataset, recorder: Recorder) -> float:
    """Train `model`, with early stopping if `args` ask for it, and return the seconds."""
    K = len(data.class_names)
    callbacks: list[Callback] = [recorder]
    if args.patience is not None:
        callbacks.append(EarlyStopping(monitor="val_loss", patience=args.patience, restore_best_weights=True))
    began = time.perf_counter()
    model.fit(
        data.x_train,
        preprocessing.one_hot(data.y_train, K),
        batch_size=args.batch_size,
        epochs=args.epochs,
        validation_data=(data.x_test, preprocessing.one_hot(data.y_test, K)),
        callbacks=callbacks,
    )
    return time.perf_counter() - began


class Recorder(Callback):
    """Write model and history into the run folder after every epoch, so that an interrupted run keeps its finished epochs."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Append the epoch's values and write."""
        with uninterrupted():
            for key, value in (logs or {}).items():
                self.history.setdefault(key, []).append(float(value))
            run_folder.write_history(self.folder, self.history)
            self.model.save(self.folder / run_folder.MODEL)

    @property
    def epochs(self) -> int:
        """Return the number of epochs written."""
        return len(self.history.get("loss", ()))


@contextmanager
def failure_recorded(settings: Mapping[str, Any], recorder: Recorder) -> Iterator[None]:
    """If the block raises an error, record in ``settings.json`` that the run was interrupted or failed."""
    try:
        yield
    except BaseException as error:
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(OSError), uninterrupted():  # if the disk is full, the first error is the one to report
            run_folder.write_settings(recorder.folder, {**settings, "state": state, "epochs": recorder.epochs})
        raise


def draw_finished_epochs(recorder: Recorder, title: str) -> str:
    """Draw the history of a run that stopped early, and return a sentence about the contents of its folder."""
    if not recorder.epochs:
        return f"no epoch was finished, so {recorder.folder} holds no model"
    plotting.history(recorder.history, title=title, path=recorder.folder / "history.png")
    return f"{recorder.folder} holds model and history after epoch {recorder.epochs}"


def describe(args: argparse.Namespace, model: Model, data: Dataset) -> dict[str, Any]:
    """Return the content of ``settings.json`` before training: enough to repeat the run, and to use the model."""
    return {
        "state": "running",
        "arguments": {key: value for key, value in vars(args).items() if key != "command"},
        # An absolute path, so that 'scratchnet evaluate' finds the data from any working folder.
        "data": args.data if args.data in datasets.NAMES else str(Path(args.data).expanduser().absolute()),
        "data_name": data.name,
        "class_names": list(data.class_names),
        "input_shape": list(model.input_shape[1:]),
        "training_images": len(data.x_train),
        "test_images": len(data.x_test),
        "preprocessing": "uint8 / 255",
        "optimizer": {"name": args.optimizer, "learning_rate": float(model.optimizer.learning_rate)},
        "parameters": int(model.count_params()),
        "versions": versions(),
        "platform": {"system": platform.system(), "machine": platform.machine(), "processors": os.cpu_count()},
    }


def draw(folder: Path, title: str, model: Model, history: Mapping[str, list[float]], data: Dataset) -> None:
    """Draw the run's figures into `folder`."""
    x, y, class_names = data.x_test, data.y_test, data.class_names
    probabilities = model.predict(x, batch_size=128)
    y_pred = probabilities.argmax(axis=1)
    accuracy = f"{title}: {np.mean(y_pred == y):.2%} of {len(y):,} test images classified correctly"
    plotting.history(history, title=title, path=folder / "history.png")
    plotting.confusion_matrix(y, y_pred, class_names, title=accuracy, path=folder / "confusion_matrix.png")
    plotting.confident_mistakes(x, y, probabilities, class_names, path=folder / "confident_mistakes.png")

    kernel = next(value for value in model.params.values() if value.ndim == 4)
    if kernel.shape[2] in (1, 3):  # filters over other numbers of channels cannot be drawn as images
        plotting.filters(kernel, path=folder / "filters.png")
        outputs = list(model.layer_outputs(x[:1]).items())[1:]  # the first is the image itself
        maps = {name: output[0] for name, output in outputs if output.ndim == 4}
        plotting.feature_maps(maps, image=x[0], title=title, path=folder / "feature_maps.png")
