"""``scratchnet train``: data in, a run folder out."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import datasets, networks, optimizers, plotting, preprocessing
from scratchnet._version import __version__
from scratchnet.callbacks import Callback, EarlyStopping
from scratchnet.interrupts import uninterrupted
from scratchnet.model import Model
from scratchnet.tools import inputs, run_folder

OPTIMIZERS = {
    "adam": optimizers.Adam,
    "adagrad": optimizers.Adagrad,
    "adadelta": optimizers.Adadelta,
    "sgd": optimizers.SGD,
}


class Recorder(Callback):
    """Write model and history into the run folder after every epoch, so that an interrupted run keeps what it had."""

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
        """Return how many epochs are written."""
        return len(self.history.get("loss", ()))


def run(args: argparse.Namespace) -> int:
    """Train as `args` say and return the exit code: 0, or 130 when interrupted."""
    began = time.perf_counter()
    folder = Path(args.out) if args.out else run_folder.default_folder(args.net, args.data)
    run_folder.check_free(folder, args.force)
    data = datasets.load(args.data)
    name, class_names, K = data.name, list(data.class_names), len(data.class_names)
    x_train, y_train = inputs.net_inputs(data.x_train[: args.limit]), data.y_train[: args.limit]
    x_test, y_test = inputs.net_inputs(data.x_test[: args.limit]), data.y_test[: args.limit]
    del data  # the bytes are not needed beside the floats

    network = networks.net_1 if args.net == "net_1" else networks.net_2
    model = network(x_train.shape[1:], K, seed=args.seed)
    rate = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    model.compile(OPTIMIZERS[args.optimizer](**rate), "categorical_crossentropy", metrics=["accuracy"])
    shape = "×".join(map(str, x_train.shape[1:]))
    print(f"{args.net} on {name}: {len(x_train):,} training and {len(x_test):,} test images of {shape}, {K} classes")
    model.summary()

    one_hot = preprocessing.one_hot(y_train, K), preprocessing.one_hot(y_test, K)
    settings = describe(args, model, name, class_names, len(x_train), len(x_test))
    run_folder.start(folder)
    run_folder.write_settings(folder, settings)
    recorder = Recorder(folder)
    callbacks: list[Callback] = [recorder]
    if args.patience is not None:
        callbacks.append(EarlyStopping(monitor="val_loss", patience=args.patience, restore_best_weights=True))

    title = f"{args.net} on {name}, {args.optimizer}"
    fit_began = time.perf_counter()
    try:
        with end_noted(settings, recorder):
            model.fit(
                x_train,
                one_hot[0],
                batch_size=args.batch_size,
                epochs=args.epochs,
                validation_data=(x_test, one_hot[1]),
                callbacks=callbacks,
            )
    except (KeyboardInterrupt, FloatingPointError) as error:
        kept = f"{folder} holds model and history after epoch {recorder.epochs}"
        if recorder.epochs:
            plotting.history(recorder.history, title=title, path=folder / "history.png")
        else:
            kept = f"no epoch was finished, so {folder} holds no model"
        if isinstance(error, FloatingPointError):
            raise FloatingPointError(f"{error}; {kept}") from None
        print(f"scratchnet: interrupted; {kept}", file=sys.stderr)
        return 130
    fit_seconds = time.perf_counter() - fit_began

    with end_noted(settings, recorder):
        model.save(folder / run_folder.MODEL)  # early stopping may have gone back to an earlier epoch's weights
        loss, accuracy = model.evaluate(x_test, one_hot[1], batch_size=args.batch_size, verbose=0)
        draw(folder, title, model, recorder.history, x_test, y_test, class_names)
        seconds = {"training": round(fit_seconds, 3), "all": round(time.perf_counter() - began, 3)}
        result = {"val_loss": float(loss), "val_accuracy": float(accuracy)}
        done = {"state": "done", "epochs": recorder.epochs, "seconds": seconds, "result": result}
        run_folder.write_settings(folder, settings | done)
    print(f"trained {recorder.epochs} epoch{'s' * (recorder.epochs > 1)} in {fit_seconds:.1f} s")
    print(f"validation accuracy {accuracy:.4f}, loss {loss:.4f} ({len(x_test):,} test images)")
    print(f"run folder: {folder}")
    return 0


@contextmanager
def end_noted(settings: Mapping[str, Any], recorder: Recorder) -> Iterator[None]:
    """Have ``settings.json`` tell when what is done here breaks off, whatever the reason, and raise that again."""
    try:
        yield
    except BaseException as error:
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(OSError), uninterrupted():  # a full disk takes no note; the first error is the one to tell
            run_folder.write_settings(recorder.folder, {**settings, "state": state, "epochs": recorder.epochs})
        raise


def describe(
    args: argparse.Namespace, model: Model, name: str, class_names: list[str], train_images: int, test_images: int
) -> dict[str, Any]:
    """Return what ``settings.json`` says before training: enough to do it again, and to use the model."""
    arguments = {key: value for key, value in vars(args).items() if key != "command"}
    return {
        "state": "running",
        "arguments": arguments,
        # A folder is found again from wherever 'scratchnet evaluate' is called.
        "data": args.data if args.data in datasets.NAMES else str(Path(args.data).expanduser().absolute()),
        "data_name": name,
        "class_names": class_names,
        "input_shape": list(model.input_shape[1:]),
        "training_images": train_images,
        "test_images": test_images,
        "preprocessing": "uint8 / 255",
        "optimizer": {"name": args.optimizer, "learning_rate": float(model.optimizer.learning_rate)},
        "parameters": int(model.count_params()),
        "versions": {
            "scratchnet": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": version("numba"),
        },
        "platform": {"system": platform.system(), "machine": platform.machine(), "processors": os.cpu_count()},
    }


def draw(
    folder: Path,
    title: str,
    model: Model,
    history: Mapping[str, list[float]],
    x_test: np.ndarray[Any, Any],
    y_test: np.ndarray[Any, Any],
    class_names: list[str],
) -> None:
    """Draw the run's figures into `folder`."""
    probabilities = model.predict(x_test, batch_size=128)
    said = probabilities.argmax(axis=1)
    right = f"{title}: {np.mean(said == y_test):.2%} of {len(y_test):,} test images right"
    plotting.history(history, title=title, path=folder / "history.png")
    plotting.confusion_matrix(y_test, said, class_names, title=right, path=folder / "confusion_matrix.png")
    plotting.confident_mistakes(x_test, y_test, probabilities, class_names, path=folder / "confident_mistakes.png")

    kernel = next(value for value in model.params.values() if value.ndim == 4)
    if kernel.shape[2] in (1, 3):  # a filter over other channels is no picture
        plotting.filters(kernel, path=folder / "filters.png")
        outputs = list(model.layer_outputs(x_test[:1]).items())[1:]  # the first is the image itself
        maps = {name: output[0] for name, output in outputs if output.ndim == 4}
        plotting.feature_maps(maps, image=x_test[0], title=title, path=folder / "feature_maps.png")
