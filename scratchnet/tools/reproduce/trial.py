"""One training, run or gone on with, and its result written.

    runs/<name>-seed<seed>/     while it runs: the history and the model with its optimizer, after every epoch;
                                when it is over: history (JSON, CSV), the figure, the model

An interrupted training goes on after its last finished epoch, and ends in the same bits as if it had not stopped: the
model's file holds the weights, the optimizer's state and the state of the shuffling. History is written before the
model, so that a history may be an epoch ahead of the model, never behind it; how far the model is, its optimizer's count
of steps says.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import datasets, load_model, plotting, preprocessing
from scratchnet.callbacks import Callback
from scratchnet.model import Model
from scratchnet.tools import inputs, run_folder, train
from scratchnet.tools.reproduce import results
from scratchnet.tools.reproduce.experiments import Experiment

LOSSES = {"one-hot": "categorical_crossentropy", "integers": "sparse_categorical_crossentropy"}


@dataclass(frozen=True, eq=False)
class Images:
    """What a net is trained on: images as floats, labels as integers."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


@lru_cache(maxsize=1)  # all of CIFAR-10 as floats is 0.7 GB: one set at a time
def images(name: str, limit: int | None, prepared: str) -> Images:
    """Load a data set and prepare it as an experiment says."""
    data = datasets.load(name)
    tests = None if limit is None else -(-limit // 2)
    x_train, x_test = data.x_train[:limit], data.x_test[:tests]
    if prepared == "standardize":
        x_train, x_test = preprocessing.standardize(*map(preprocessing.add_channel_axis, (x_train, x_test)))
    else:
        x_train, x_test = inputs.net_inputs(x_train), inputs.net_inputs(x_test)
    return Images(x_train, data.y_train[:limit], x_test, data.y_test[:tests], data.class_names)


class Recorder(train.Recorder):
    """Write model and history after every epoch, with its seconds, behind those that are there already."""

    def __init__(self, folder: Path, history: dict[str, list[float]]):
        super().__init__(folder)
        self.history = history

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note the epoch's values and seconds, and write."""
        super().on_epoch_end(epoch, {**(logs or {}), "seconds": round(time.perf_counter() - self.began, 3)})


def run(experiment: Experiment, seed: int, out: Path, callbacks: Sequence[Callback] = ()) -> results.Result:
    """Give the result of a training: the one that is there, or that of training, gone on with if it was begun.

    Parameters
    ----------
    experiment : Experiment
    seed : int
    out : path
        Where ``runs/`` and ``histories/`` are.
    callbacks : sequence of Callback
        Told of every epoch that is trained.

    Returns
    -------
    dict
        As `results.outcome` makes it. A training whose loss was no longer finite has "failure", and the epochs before.

    Raises
    ------
    ValueError
        When the result that is there was trained with other settings.
    """
    result = results.finished(out, experiment, seed)
    if result is not None:
        return result
    data = images(experiment.data, experiment.limit, experiment.preprocessing)
    K = len(data.class_names)
    folder = run_directory(out, experiment, seed)
    on_the_way = begun(folder, experiment, seed, len(data.x_train))
    model, history = on_the_way or fresh(folder, experiment, seed, data.x_train.shape[1:], K)

    x_train, y_train, y_test = data.x_train, data.y_train, data.y_test
    if experiment.labels == "one-hot":
        y_train, y_test = preprocessing.one_hot(y_train, K), preprocessing.one_hot(y_test, K)
    if experiment.shuffled == "once":
        order = np.random.default_rng(seed).permutation(len(x_train))
        x_train, y_train = x_train[order], y_train[order]
    recorder = Recorder(folder, history)
    failure = {}
    try:
        model.fit(
            x_train,
            y_train,
            batch_size=experiment.batch_size,
            epochs=experiment.epochs,
            shuffle=experiment.shuffled == "every epoch",
            verbose=0,
            callbacks=[recorder, *callbacks],
            validation_data=(data.x_test, y_test),
            initial_epoch=len(history.get("loss", ())),
        )
    except FloatingPointError as error:
        failure = {"failure": str(error)}  # a learning rate that is too large is an answer, too

    answers = results.answers(model.predict(data.x_test, batch_size=128, verbose=0), data.y_test)
    counts = {"training_images": len(data.x_train), "test_images": len(data.x_test), "class_names": list(data.class_names)}
    result = results.outcome(experiment, seed, model, recorder.history, **failure, **counts, answers=answers)
    if recorder.epochs:
        plotting.history(recorder.history, title=results.label(experiment.name, seed), path=folder / "history.png")
    results.write(results.path(out, experiment.name, seed), result)
    model.save(folder / run_folder.MODEL, include_optimizer=False)  # nobody goes on from here: a third of the size
    return result


def run_directory(out: Path, experiment: Experiment, seed: int) -> Path:
    """Tell where a training keeps its model."""
    return out / "runs" / results.label(experiment.name, seed)


def fresh(
    folder: Path, experiment: Experiment, seed: int, sample_shape: tuple[int, ...], K: int
) -> tuple[Model, dict[str, list[float]]]:
    """Begin: a new model, an empty history, a clean folder."""
    model = experiment.net.build(sample_shape, K, seed)
    rate = {} if experiment.learning_rate is None else {"learning_rate": experiment.learning_rate}
    model.compile(train.OPTIMIZERS[experiment.optimizer](**rate), LOSSES[experiment.labels], metrics=["accuracy"])
    if folder.exists():
        shutil.rmtree(folder)
    run_folder.start(folder)
    run_folder.write_settings(folder, identity(experiment, seed))
    return model, {}


def begun(folder: Path, experiment: Experiment, seed: int, training_images: int) -> tuple[Model, dict[str, list[float]]] | None:
    """Read what an interrupted training left, or None when it cannot be gone on with to the same bits."""
    try:
        if json.loads((folder / run_folder.SETTINGS).read_text()) != identity(experiment, seed):
            return None  # other settings, or other code since then
        history = json.loads((folder / run_folder.HISTORY_JSON).read_text())
        model = load_model(folder / run_folder.MODEL)
    except (OSError, ValueError):
        return None
    epochs, rest = divmod(model.optimizer.iterations, -(-training_images // experiment.batch_size))
    if rest or not 0 < epochs <= min(map(len, history.values())):
        return None
    for part in folder.glob(".*.part"):  # what was being written when the process was killed
        part.unlink()
    return model, {key: values[:epochs] for key, values in history.items()}


def identity(experiment: Experiment, seed: int) -> dict[str, Any]:
    """Tell all that the bits of a training depend on."""
    return {"name": experiment.name, "seed": seed, "experiment": experiment.settings(), "versions": results.versions()}
