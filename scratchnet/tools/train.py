"""``scratchnet train``: train a network on a data set, and write a run folder; or resume a run that stopped."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import datasets, networks, optimizers, plotting, preprocessing
from scratchnet.callbacks import Callback, EarlyStopping
from scratchnet.datasets import Dataset
from scratchnet.model import Model
from scratchnet.schedules import optimizer_config
from scratchnet.support.files import reason
from scratchnet.support.interrupts import exit_code, uninterrupted
from scratchnet.tools import inputs, processes, recipes, run_folder
from scratchnet.tools.arguments import DATA, TRANSPOSE, Noted, natural, path_text, positive_int, positive_number
from scratchnet.tools.recipes import NET_3, Recipe
from scratchnet.tools.run_folder import Held, Recorder
from scratchnet.tools.versions import versions

PLACE = ("out", "force")  # options that say where a run is stored, and do not change its results
NOT_OPTIONS = ("command", "resume", "given", "usage_error")
NETWORKS = {"net_1": networks.net_1, "net_2": networks.net_2, "net_3": networks.net_3}
DEFAULTS = {"net_3": {"optimizer": "sgd", "epochs": NET_3.epochs, "batch_size": NET_3.batch_size}}  # in place of those of net_2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet train``."""
    parser.description = (
        "Train a network and write its model, history, settings and figures into a run folder. "
        "The test images are the validation images, as in the study."
    )
    option = parser.add_argument
    about_net = "the network (default: %(default)s); net_3 has its own recipe"
    option("--net", action=Noted, choices=NETWORKS, default="net_2", help=about_net)
    option("--data", action=Noted, type=path_text, default="glyphs", metavar="NAME|PATH", help=f"{DATA} (default: %(default)s)")
    # Without the option, settings.json does not mention it, as in runs of earlier versions.
    option("--transpose", action="store_true", default=argparse.SUPPRESS, help=TRANSPOSE)
    option(
        "--quick",
        action="store_true",
        default=argparse.SUPPRESS,
        help="net_3 with fewer filters, trained for fewer epochs: less accurate, in less time",
    )
    option(
        "--optimizer",
        action=Noted,
        choices=optimizers.KNOWN,
        default="adam",
        help="the update rule (default: %(default)s; net_3: sgd, with momentum, weight decay, and a rate that rises and falls)",
    )
    option(
        "--learning-rate",
        type=positive_number,
        metavar="RATE",
        help="the learning rate (default: the optimizer's; for net_3's sgd the highest rate, 1.465 for 1,000 images in a step)",
    )
    option(
        "--epochs",
        action=Noted,
        type=positive_int,
        default=5,
        metavar="N",
        help=f"passes over the data (default: %(default)s; net_3: {NET_3.epochs}, with --quick {recipes.QUICK_EPOCHS}; study: 16)",
    )
    option(
        "--batch-size",
        action=Noted,
        type=positive_int,
        default=128,
        metavar="N",
        help=f"images in a step (default: %(default)s; net_3: {NET_3.batch_size})",
    )
    option(
        "--patience",
        type=positive_int,
        metavar="N",
        help="stop after N epochs without a lower validation loss and restore the best weights (default: never stop early)",
    )
    option("--limit", type=positive_int, metavar="N", help="use only the first N training and N test images (default: all)")
    option(
        "--seed", action=Noted, type=natural, default=0, help="the seed of the weights and of the shuffling (default: %(default)s)"
    )
    option("--out", type=path_text, metavar="DIR", help="the run folder (default: runs/<date>-<net>-<data>)")
    option("--force", action="store_true", help="accept a folder that is not empty, and replace the run in it")
    option(
        "--resume",
        type=path_text,
        metavar="RUN",
        help="resume the interrupted or killed run in this folder with its own options; its result has the same bits as "
        "without the interruption",
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Train or resume a run, as `args` say, and return the exit code: 0, or that of an interrupt."""
    began = time.perf_counter()
    if args.resume is not None:
        refuse_others(args)
        folder, old = Path(args.resume), run_folder.read_run(args.resume)
        args = arguments_of(old, folder)
        if old.get("state") == "done":
            print(f"run folder: {folder}, which is finished: nothing is left to train")
            return 0
    else:
        complete(args)
        folder, old = Path(args.out) if args.out else run_folder.default_folder(args.net, args.data), None
        run_folder.check_free(folder, args.force)
    images = datasets.load(args.data, transpose="transpose" in args)
    crc, data = checksum(images, args.limit), prepare(images, args.limit)
    del images  # 0.2 GB
    new = build(args, data) if old is None else None  # before the folder is touched: the network may not take these images
    with Held(folder) as held:
        if new is not None:
            run_folder.check_free(folder, args.force)  # again: another process may have trained there meanwhile
            run_folder.start(folder)
            model, record = new, None
        else:
            model, record = run_folder.resumed(folder) or (build(args, data), None)
        if record and record["epochs"] > args.epochs:
            raise ValueError(
                f"{folder}: expected at most {args.epochs} epochs, as its settings say, got {record['epochs']}. Train again, with"
                " another --out."
            )
        settings = {**describe(args, model, data), "data_checksum": crc}
        if old is not None:
            check_same(old, settings, folder)
            settings["arguments"] = old["arguments"]
        announce(args, model, data)
        run_folder.write_settings(folder, settings)
        return finish(args, model, data, settings, recorder_of(args, held, record), began)


def complete(args: argparse.Namespace) -> None:
    """Set each missing option to the network's own default; exit with code 2 if an option belongs to another network."""
    if "quick" in args and args.net != "net_3":
        args.usage_error(f"--quick makes net_3 smaller: expected --net net_3, got {args.net}")
    quick = {"epochs": recipes.QUICK_EPOCHS} if "quick" in args else {}
    for name, default in (DEFAULTS.get(args.net, {}) | quick).items():
        if f"--{name.replace('_', '-')}" not in getattr(args, "given", ()):
            setattr(args, name, default)


def finish(
    args: argparse.Namespace, model: Model, data: Dataset, settings: Mapping[str, Any], recorder: Recorder, began: float
) -> int:
    """Train for the epochs that are left, evaluate, draw, and return the exit code."""
    folder = recorder.folder
    title = inputs.as_title(f"{args.net} on {data.name}, {args.optimizer}")
    try:
        with failure_recorded(settings, recorder):
            if not recorder.finished:
                fit(args, model, data, recorder, settings["data_checksum"])
                recorder.write(recorder.history, finished=True)  # early stopping may have restored the weights of an earlier epoch
    except KeyboardInterrupt as interrupt:
        words = f"scratchnet: interrupted; {draw_finished_epochs(recorder, title)}"
        with suppress(OSError):  # the terminal may be closed
            print(words, file=sys.stderr)
        return exit_code(interrupt)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}; {draw_finished_epochs(recorder, title)}") from None
    except BrokenPipeError:  # the command ends without a message
        raise
    except OSError as error:
        folder.check()  # if the folder is gone, this is what to report
        raise OSError(f"{reason(error)}; {draw_finished_epochs(recorder, title)}") from error

    with failure_recorded(settings, recorder):
        one_hot = preprocessing.one_hot(data.y_test, len(data.class_names))
        loss, accuracy = model.evaluate(data.x_test, one_hot, batch_size=args.batch_size, verbose=0)
        draw(folder, title, model, recorder.history, data)
        seconds = {"training": round(recorder.seconds, 3), "all": round(time.perf_counter() - began, 3)}
        result = {"val_loss": float(loss), "val_accuracy": float(accuracy)}
        if "augment" in settings:
            augmented = model.evaluate(data.x_test, one_hot, batch_size=args.batch_size, verbose=0, augment=settings["augment"])
            result |= {"augmented_val_loss": float(augmented[0]), "augmented_val_accuracy": float(augmented[1])}
        done = {"state": "done", "epochs": recorder.epochs, "seconds": seconds, "result": result}
        folder.check()
        run_folder.write_settings(folder.path, {**settings, **done})
    print(f"trained {recorder.epochs} epoch{'s' * (recorder.epochs > 1)} in {recorder.seconds:.1f} s")
    print(f"validation accuracy {accuracy:.4f}, loss {loss:.4f} ({len(data.x_test):,} test images)")
    if "augment" in settings:
        print(
            f"with test-time augmentation ({settings['augment']}): accuracy {result['augmented_val_accuracy']:.4f}, "
            f"loss {result['augmented_val_loss']:.4f}"
        )
    print(f"run folder: {folder.path}")
    return 0


# -- a run that stopped ---------------------------------------------------------------------------------------------------


def refuse_others(args: argparse.Namespace) -> None:
    """Exit with code 2 if any other option was given with ``--resume``."""
    given = [*getattr(args, "given", ())]
    others = {"--learning-rate": args.learning_rate, "--patience": args.patience, "--limit": args.limit, "--out": args.out}
    given += [name for name, value in others.items() if value is not None]
    given += ["--force"] * args.force + ["--transpose"] * ("transpose" in args) + ["--quick"] * ("quick" in args)
    if given:
        args.usage_error(f"--resume takes all options from the run: expected no other, got {', '.join(given)}")


def arguments_of(settings: Mapping[str, Any], folder: Path) -> argparse.Namespace:
    """Return the parsed arguments that a run began with; raise ValueError if they are missing or invalid in its settings."""
    path = folder / run_folder.SETTINGS

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise ValueError(f"{path}: expected the arguments of a run, got an error: {message}. Train again, with another --out.")

    parser = Parser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    # The data by their absolute path, if they have one, so that a run resumes from any working folder.
    known = {**settings.get("arguments", {}), **({"data": settings["data"]} if "data" in settings else {})}
    known = {name: value for name, value in known.items() if name not in PLACE and value is not None}
    missing = {"net", "data", "optimizer", "epochs", "batch_size", "seed"} - known.keys()
    if missing:
        parser.error(f"no {', '.join(sorted(missing))}")
    words = []
    for name in ("transpose", "quick"):
        flag = known.pop(name, False)
        if not isinstance(flag, bool):
            parser.error(f"argument --{name}: expected true or false, got {run_folder.short(flag)}")
        words += [f"--{name}"] * flag
    args = parser.parse_args([*words, *(f"--{name.replace('_', '-')}={value}" for name, value in known.items())])
    complete(args)
    return args


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    """Raise ValueError if a run's data have changed; print a line if the versions have changed."""
    for key in ("input_shape", "class_names", "training_images", "test_images", "data_checksum"):
        was, now = old.get(key, new[key]), new[key]
        if was != now:
            raise ValueError(
                f"{folder}: expected the data that the run began with, {key} {run_folder.short(was)}, got {new['data']} with"
                f" {run_folder.short(now)}. Restore the data, or train again with another --out."
            )
    versions_now = {**dict.fromkeys(old.get("versions", {})), **new["versions"]}
    pairs = [(name, was, versions_now[name]) for name, was in old.get("versions", {}).items()]
    changed = [f"{name} {was} is now {now}" for name, was, now in pairs if was != now]
    if changed:
        print(f"versions have changed, so the last bits may differ: {', '.join(changed)}")


# -- the parts of a run ---------------------------------------------------------------------------------------------------


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
    """Return the compiled network."""
    shape, K = data.x_train.shape[1:], len(data.class_names)
    rate = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    if args.net == "net_3":
        filters: Any = {"filters": recipes.QUICK_FILTERS} if "quick" in args else {}
        model = networks.net_3(shape, K, flip=recipes.mirrors(args.data), seed=args.seed, **filters)
        other = None if args.optimizer == "sgd" else optimizers.KNOWN[args.optimizer](**rate)
        recipe_of(args).compile(model, data.x_train, other)
        return model
    model = NETWORKS[args.net](shape, K, seed=args.seed)
    model.compile(optimizers.KNOWN[args.optimizer](**rate), "categorical_crossentropy", metrics=["accuracy"])
    return model


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Return the recipe of net_3 with the options of a run.

    The highest rate is proportional to the size of the batch, unless it was given: a batch of half the size gives half the step.
    """
    peak = args.learning_rate or NET_3.learning_rate * args.batch_size / NET_3.batch_size
    return replace(NET_3, batch_size=args.batch_size, epochs=args.epochs, learning_rate=peak)


def announce(args: argparse.Namespace, model: Model, data: Dataset) -> None:
    """Print the size of the data and of the network."""
    print(
        f"{args.net} on {data.name}: {len(data.x_train):,} training and {len(data.x_test):,} test images "
        f"of {inputs.times(data.x_train.shape[1:])}, {len(data.class_names)} classes"
    )
    if args.net == "net_3":
        rate = f"sgd with a rate up to {recipe_of(args).learning_rate:.4g}" if args.optimizer == "sgd" else args.optimizer
        varied = "flips and crops" if recipes.mirrors(args.data) else "crops, without flips,"
        print(f"{rate}; label smoothing {NET_3.label_smoothing}, which is included in each loss; {varied} vary the training images")
    model.summary()


def recorder_of(args: argparse.Namespace, folder: Held, record: Mapping[str, Any] | None) -> Recorder:
    """Return the callback that writes the run, with early stopping before it if `args` ask for it."""
    stop = None if args.patience is None else EarlyStopping("val_loss", patience=args.patience, restore_best_weights=True)
    return Recorder(folder, [stop] if stop else [], record)


def fit(args: argparse.Namespace, model: Model, data: Dataset, recorder: Recorder, crc: int) -> None:
    """Train `model` for the epochs that the recorder has not written yet. If there are other processes, they train it too."""
    first, last = recorder.epochs, recorder.epochs if recorder.stopped else args.epochs
    processes.tell("train", arguments=arguments_for_json(args), data_checksum=crc, epochs=[first, last])
    train(args, model, data, first, last, [*recorder.callbacks, recorder.updates, recorder])


def follow(task: Mapping[str, Any]) -> None:
    """Train in a process that is not rank 0, with the task that `fit` has sent. Rank 0 alone decides, writes and prints.

    Raises
    ------
    ValueError
        If the data are not those of rank 0.
    """
    args = argparse.Namespace(**task["arguments"])
    images = datasets.load(args.data, transpose="transpose" in args)
    if checksum(images, args.limit) != task["data_checksum"]:
        raise ValueError(f"{args.data}: expected the data of rank 0, got other data. Make the data the same on every machine.")
    data = prepare(images, args.limit)
    first, last = task["epochs"]
    train(args, build(args, data), data, first, last, [])


def train(
    args: argparse.Namespace, model: Model, data: Dataset, first: int, last: int, callbacks: Sequence[Callback]
) -> None:
    """Train `model` from the epoch after `first` to `last`, in all processes."""
    K = len(data.class_names)
    model.fit(
        data.x_train,
        preprocessing.one_hot(data.y_train, K),
        batch_size=args.batch_size,
        epochs=last,
        validation_data=(data.x_test, preprocessing.one_hot(data.y_test, K)),
        callbacks=callbacks,
        initial_epoch=first,
        distribution=processes.team,
    )


@contextmanager
def failure_recorded(settings: Mapping[str, Any], recorder: Recorder) -> Iterator[None]:
    """If the block raises an error, record in ``settings.json`` that the run was interrupted or failed."""
    try:
        yield
    except BaseException as error:
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(OSError), uninterrupted():  # if the disk is full, the first error is the one to report
            recorder.folder.check()
            run_folder.write_settings(recorder.folder.path, {**settings, "state": state, "epochs": recorder.epochs})
        raise


def draw_finished_epochs(recorder: Recorder, title: str) -> str:
    """Draw the history of a run that stopped early, and return a sentence about the contents of its folder."""
    folder = recorder.folder
    try:
        folder.check()
    except OSError as error:
        return str(error)
    if not recorder.epochs:
        return f"no epoch was finished, so {folder.path} holds no model"
    with suppress(OSError):  # on a full disk, the error that stopped the run is the one to report
        plotting.history(recorder.history, title=title, path=folder / "history.png")
    return (
        f"{folder.path} holds model and history after epoch {recorder.epochs}. "
        f"Continue with: scratchnet train --resume {folder.path}"
    )


def describe(args: argparse.Namespace, model: Model, data: Dataset) -> dict[str, Any]:
    """Return the content of ``settings.json`` before training: enough to repeat the run, and to use the model."""
    return {
        "state": "running",
        "arguments": arguments_for_json(args),
        # An absolute path, so that 'scratchnet evaluate' finds the data from any working folder.
        "data": args.data if args.data in datasets.NAMES else str(Path(args.data).absolute()),
        "data_name": data.name,
        "class_names": list(data.class_names),
        "input_shape": list(model.input_shape[1:]),
        "training_images": len(data.x_train),
        "test_images": len(data.x_test),
        "preprocessing": "uint8 / 255",
        "optimizer": {"name": args.optimizer, "learning_rate": optimizer_config(model.optimizer)["learning_rate"]},
        **({"augment": recipes.views(args.data)} if args.net == "net_3" else {}),
        "parameters": int(model.count_params()),
        **({"processes": processes.team.size} if processes.team.size > 1 else {}),
        "versions": versions(),
        "platform": {"system": platform.system(), "machine": platform.machine(), "processors": os.cpu_count()},
    }


def arguments_for_json(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a run."""
    return {key: value for key, value in vars(args).items() if key not in NOT_OPTIONS}


def checksum(data: Dataset, limit: int | None) -> int:
    """Return the CRC-32 of the images and labels that are used: a resumed run has the same bits only with the same data."""
    crc = 0
    for array in (data.x_train, data.y_train, data.x_test, data.y_test):
        crc = zlib.crc32(np.ascontiguousarray(array[:limit]).data, crc)
    return crc


def draw(folder: Held, title: str, model: Model, history: Mapping[str, list[float]], data: Dataset) -> None:
    """Draw the run's figures into `folder`."""
    x, y, class_names = data.x_test, data.y_test, data.class_names
    probabilities = model.predict(x, batch_size=128)
    y_pred = probabilities.argmax(axis=1)
    accuracy = f"{title}: {np.mean(y_pred == y):.2%} of {len(y):,} test images classified correctly"
    plotting.history(history, title=title, path=folder / "history.png")
    plotting.confusion_matrix(y, y_pred, class_names, title=accuracy, path=folder / "confusion_matrix.png")
    plotting.confident_mistakes(x, y, probabilities, class_names, path=folder / "confident_mistakes.png")

    kernel = next(value for value in model.named_weights.values() if value.ndim == 4)
    if kernel.shape[2] in (1, 3):  # filters over other numbers of channels cannot be drawn as images
        plotting.filters(kernel, path=folder / "filters.png")
        maps = {name: output[0] for name, output in inputs.feature_maps(model, x[:1]).items()}
        plotting.feature_maps(maps, image=x[0], title=title, path=folder / "feature_maps.png")
