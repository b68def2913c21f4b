"""``scratchnet diagnose``: what the numbers of a run show: dead units, the size of steps, gradients, overfitting."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import datasets, load_model, plotting, preprocessing, training
from scratchnet.callbacks import UpdateRatios
from scratchnet.datasets import Dataset
from scratchnet.diagnosis import diagnose
from scratchnet.diagnosis.measure import logits_of, sampled, score
from scratchnet.model import Model
from scratchnet.support.files import make_folders
from scratchnet.tools import inputs, run_folder, train
from scratchnet.tools.arguments import DATA, path_text, positive_int

LONGEST = 400       # the most steps of a failed epoch that are repeated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet diagnose``."""
    parser.description = (
        "Measure a finished, interrupted or failed run, and explain the numbers: were the steps too large or too small, are units "
        "dead or saturated, does the gradient reach every layer, does the network overfit, are the classes unequally frequent? "
        "The saved model is not changed. Training measures the size of its steps once in each epoch; everything else is "
        "measured on some of the run's images. If the loss became infinite or NaN, the first steps of the epoch in which this "
        "happened are repeated."
    )
    option = parser.add_argument
    option("run_path", type=path_text, metavar="RUN", help="a run folder, or a model.npz")
    option("--data", type=path_text, metavar="NAME|PATH", help=f"{DATA} (default: the data of the run)")
    option(
        "--images",
        type=positive_int,
        default=1000,
        metavar="N",
        help="how many training and how many test images are used (default: %(default)s)",
    )
    option("--out", type=path_text, metavar="FILE", help=f"the picture (default: {run_folder.DIAGNOSIS} in the run folder)")


def run(args: Namespace) -> int:
    """Print the findings for the run in `args`, draw the numbers, and return 0."""
    folder, settings, options = read(args.run_path)
    failed = settings.get("state") == "failed"
    path = folder / run_folder.MODEL if failed and untrained(folder) else run_folder.model_path(args.run_path)
    no_history: run_folder.History = {}
    data = run_data(args.data, path, settings)
    if failed and untrained(folder):
        if options is None:
            raise ValueError(f"{folder}: expected the arguments of a run in its settings.json, got none. Train again.")
        model, history, updates = train.build(options, data), no_history, UpdateRatios()
        print(f"{folder}: {model.name}, before its first epoch, which was not finished")
    else:
        model = load_model(path)
        history, updates = run_folder.measured(path)
        epochs = len(history.get("loss", ()))
        print(f"{path}: {model.name}" + (f" after epoch {epochs} of {options.epochs}" if options is not None and epochs else ""))
    inputs.check_fit(model, data.x_train.shape[1:], len(data.class_names), data.name)
    steps, stopped = repeat(options, data, folder, len(history.get("loss", ()))) if failed and options is not None else ([], "")
    diagnosis = diagnose(
        model,
        data.x_train,
        data.y_train.astype(np.int64),
        validation_data=(data.x_test, data.y_test.astype(np.int64)),
        history=history,
        updates=updates,
        initial_loss=None if options is None else loss_before(options, data, args.images),
        images=args.images,
        steps=steps,
        stopped=stopped,
    )
    print(f"{data.name}: {diagnosis.facts.images:,} of {len(data.x_train):,} training images\n")
    print(diagnosis)
    out = Path(args.out) if args.out else path.parent / run_folder.DIAGNOSIS
    make_folders(out.parent)
    plotting.diagnosis(diagnosis, title=inputs.as_title(f"{model.name} on {data.name}"), path=out)
    print(f"drawn in {out}")
    return 0


def read(run: str) -> tuple[Path, Mapping[str, Any], Namespace | None]:
    """Return the folder of a run, its settings, and the arguments that it began with, if it has them."""
    path = Path(run) / run_folder.MODEL if Path(run).is_dir() else Path(run)
    settings = run_folder.read_settings(path)
    return path.parent, settings, train.arguments_of(settings, path.parent) if "arguments" in settings else None


def untrained(folder: Path) -> bool:
    """Return whether no epoch of a run was finished."""
    return not (folder / run_folder.MODEL).exists()


def run_data(name: str | None, path: Path, settings: Mapping[str, Any]) -> Dataset:
    """Return the images that the run was trained on, as its network takes them; raise ValueError if they have changed."""
    name = name or settings.get("data")
    if name is None:
        raise ValueError(f"{path}: expected a settings.json beside it that names the data, got none. Name the data with --data.")
    images = datasets.load(name, transpose=inputs.transposed(settings))
    limit = settings.get("arguments", {}).get("limit")
    crc = settings.get("data_checksum")
    if crc is not None and train.checksum(images, limit) != crc:
        raise ValueError(
            f"{path.parent}: expected the data that the run was trained on, got {name} with other images or labels. Restore the"
            " data, or name them with --data."
        )
    return train.prepare(images, limit)


def loss_before(options: Namespace, data: Dataset, images: int) -> float:
    """Return the loss of the run's network before training; the network is built again from its seed."""
    x, y = sampled(data.x_train, data.y_train, images)
    return score(logits_of(train.build(options, data), x), y.astype(np.int64))[0]


def repeat(options: Namespace, data: Dataset, folder: Path, epochs: int) -> tuple[list[float], str]:
    """Repeat the first steps of the epoch in which a run failed; return their losses, and how it ended.

    Both are empty if all went well. The repeated steps are the run's own steps, bit for bit, because the weights and the order
    of the images are the same.
    """
    found = run_folder.resumed(folder)
    model: Model = found[0] if found else train.build(options, data)
    y = preprocessing.one_hot(data.y_train, len(data.class_names))
    order = training.Order(len(y), options.batch_size, None, model.shuffle_rng)
    losses: list[float] = []
    for rows, _ in zip(order.epoch(), range(LONGEST), strict=False):
        try:
            which = training.samples_for(model, rows, epochs)
            losses.append(model.train_step(training.batch_of(model, data.x_train, rows), y[rows], **which)[0])
        except FloatingPointError as error:
            before = [f"{loss:.3g} in step {step}" for step, loss in enumerate(losses, 1) if step in (1, len(losses))]
            words = str(error).partition(". If")[0] + (f"; it was {' and '.join(before)}" if before else "")
            return losses, f"in step {len(losses) + 1} of epoch {epochs + 1}, {words}."
    print(f"The run failed in epoch {epochs + 1}, but the first {len(losses)} steps of that epoch, repeated, went well.")
    return [], ""
