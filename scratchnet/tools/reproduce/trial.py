"""One training run: it is begun, or resumed, and its result is written.

    runs/<name>-seed<seed>/     while it runs: the history and the model with its optimizer, after every epoch;
                                when it is finished: the history (JSON, CSV), the figure, the model;
                                and, from the start, the settings

An interrupted run resumes after its last finished epoch, and ends with the same bits as without the interruption: see
run_folder.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet import datasets, optimizers, plotting, preprocessing
from scratchnet.callbacks import Callback
from scratchnet.model import Model
from scratchnet.tools import inputs, processes, recipes, run_folder
from scratchnet.tools.reproduce import experiments, results
from scratchnet.tools.reproduce.experiments import Experiment, Net3Experiment
from scratchnet.tools.reproduce.net_3 import HELD_OUT
from scratchnet.tools.run_folder import Held

LOSSES = {"one-hot": "categorical_crossentropy", "integers": "sparse_categorical_crossentropy"}


class Images(NamedTuple):
    """The data of a run: images as floats, labels as integers."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


@lru_cache(maxsize=1)  # all of CIFAR-10 as floats takes 0.7 GB: one data set at a time
def images(name: str, limit: int | None, prepared: str) -> Images:
    """Load a data set and apply the preprocessing of an experiment."""
    data = datasets.load(name)
    tests = None if limit is None else -(-limit // 2)
    x_train, x_test = data.x_train[:limit], data.x_test[:tests]
    if prepared == "standardize":
        x_train, x_test = preprocessing.standardize(*map(preprocessing.add_channel_axis, (x_train, x_test)))
    else:
        x_train, x_test = inputs.net_inputs(x_train), inputs.net_inputs(x_test)
    return Images(x_train, data.y_train[:limit], x_test, data.y_test[:tests], data.class_names)


def held_out(data: Images) -> Images:
    """Return the same data with the last tenth of the training images in place of the test images."""
    train = len(data.x_train) - len(data.x_train) // HELD_OUT
    x, y = data.x_train, data.y_train
    return data._replace(x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:])


def data_of(experiment: Experiment) -> Images:
    """Return the data of an experiment's run."""
    data = images(experiment.data, experiment.limit, experiment.preprocessing)
    return held_out(data) if isinstance(experiment, Net3Experiment) and experiment.held_out else data


def after_net_3(model: Model, experiment: Net3Experiment, data: Images) -> dict[str, Any]:
    """Return what the history of a run of net_3 does not contain.

    Returns
    -------
    dict
        learning_rate: the highest of the schedule; augmented_wrong: the mistakes where predictions are means over several views;
        training_wrong: the mistakes on the training images as they are, without flips and crops.
    """

    def wrong(x: np.ndarray, y: np.ndarray, augment: str | None) -> int:
        probabilities = model.predict(x, batch_size=experiment.batch_size, verbose=0, augment=augment)
        return int((probabilities.argmax(axis=1) != y).sum())

    return {
        "learning_rate": experiment.recipe.learning_rate,
        "augmented_wrong": wrong(data.x_test, data.y_test, recipes.views(experiment.data)),
        "training_wrong": wrong(data.x_train, data.y_train, None),
    }


class Recorder(run_folder.Recorder):
    """Write the model and the history after every epoch; the history includes the seconds."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Store the time at which the epoch begins."""
        self.epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Add the epoch's values and seconds, and write."""
        super().on_epoch_end(epoch, {**(logs or {}), "seconds": round(time.perf_counter() - self.epoch_began, 3)})


def run(experiment: Experiment, seed: int, out: Path, callbacks: Sequence[Callback] = ()) -> results.Result:
    """Return the result of a run, which is begun or resumed unless the result exists.

    Parameters
    ----------
    experiment : Experiment
    seed : int
    out : path
        The folder of ``runs/`` and ``histories/``.
    callbacks : sequence of Callback
        Called for every epoch that is trained.

    Returns
    -------
    dict
        See `results.outcome`. If the loss was no longer finite, it has the key "failure", and the epochs before that.

    Raises
    ------
    ValueError
        If the existing result was trained with other settings.
    """
    result = results.finished(out, experiment, seed)
    if result is not None:
        return result
    data = data_of(experiment)
    counts = {"training_images": len(data.x_train), "test_images": len(data.x_test), "class_names": list(data.class_names)}
    with Held(run_directory(out, experiment, seed)) as folder:
        model, record = resumed(folder.path, experiment, seed) or (fresh(folder.path, experiment, seed, data), None)
        recorder = Recorder(folder, record=record)
        failure = {}
        processes.tell("reproduce", name=experiment.name, limit=experiment.limit, seed=seed, initial_epoch=recorder.epochs)
        try:
            fit(model, experiment, seed, data, recorder.epochs, [recorder, *callbacks])
        except FloatingPointError as error:
            failure = {"failure": str(error)}  # a learning rate that is too large is also a result

        answers = results.answers(model.predict(data.x_test, batch_size=128, verbose=0), data.y_test)
        more = after_net_3(model, experiment, data) if isinstance(experiment, Net3Experiment) else {}
        result = results.outcome(experiment, seed, model, recorder.history, **failure, **counts, **more, answers=answers)
        if recorder.epochs:
            plotting.history(recorder.history, title=results.label(experiment.name, seed), path=folder / "history.png")
        results.write(results.path(out, experiment.name, seed), result)
        # A finished run is not resumed, so the optimizer's state is left out: the file has a third of the size.
        if recorder.epochs:
            recorder.write(recorder.history, finished=True, include_optimizer=False)
        else:
            model.save(folder / run_folder.MODEL, include_optimizer=False)
        return result


def follow(task: Mapping[str, Any]) -> None:
    """Train the run that rank 0 names in `task`, in a process with another rank; rank 0 alone writes and prints."""
    known = [plan.experiments.get(task["name"]) for plan in (experiments.plan(), experiments.plan(quick=True))]
    experiment = next(e for e in known if e is not None and e.limit == task["limit"])
    data = data_of(experiment)
    fit(new(experiment, task["seed"], data), experiment, task["seed"], data, task["initial_epoch"], [])


def fit(
    model: Model, experiment: Experiment, seed: int, data: Images, initial_epoch: int, callbacks: Sequence[Callback]
) -> None:
    """Train for the epochs that are not trained yet, in all processes."""
    x_train, y_train, x_test, y_test, class_names = data
    if experiment.labels == "one-hot":
        y_train, y_test = (preprocessing.one_hot(y, len(class_names)) for y in (y_train, y_test))
    if experiment.shuffled == "once":
        order = np.random.default_rng(seed).permutation(len(x_train))
        x_train, y_train = x_train[order], y_train[order]
    model.fit(
        x_train,
        y_train,
        batch_size=experiment.batch_size,
        epochs=experiment.epochs,
        shuffle=experiment.shuffled == "every epoch",
        verbose=0,
        callbacks=callbacks,
        validation_data=(x_test, y_test),
        initial_epoch=initial_epoch,
        distribution=processes.team,
    )


def run_directory(out: Path, experiment: Experiment, seed: int) -> Path:
    """Return the folder of a run's model."""
    return out / "runs" / results.label(experiment.name, seed)


def fresh(folder: Path, experiment: Experiment, seed: int, data: Images) -> Model:
    """Return a new model, and remove the files of an earlier run."""
    run_folder.start(folder)
    run_folder.write_settings(folder, identity(experiment, seed))
    return new(experiment, seed, data)


def new(experiment: Experiment, seed: int, data: Images) -> Model:
    """Return a new model."""
    model = experiment.net.build(data.x_train.shape[1:], len(data.class_names), seed)
    if isinstance(experiment, Net3Experiment):
        experiment.recipe.compile(model, data.x_train)
    else:
        rate = {} if experiment.learning_rate is None else {"learning_rate": experiment.learning_rate}
        model.compile(optimizers.KNOWN[experiment.optimizer](**rate), LOSSES[experiment.labels], metrics=["accuracy"])
    return model


def resumed(folder: Path, experiment: Experiment, seed: int) -> tuple[Model, dict[str, Any]] | None:
    """Return the model and the record of an interrupted run, or None if it cannot be resumed with the same bits."""
    try:
        if json.loads((folder / run_folder.SETTINGS).read_text()) != identity(experiment, seed):
            return None  # other settings, or the code has changed
        found = run_folder.resumed(folder)
    except (OSError, ValueError):
        return None
    return None if found is None or found[1]["finished"] else found


def identity(experiment: Experiment, seed: int) -> dict[str, Any]:
    """Return everything that the bits of a run depend on."""
    return {"name": experiment.name, "seed": seed, "experiment": experiment.settings(), "versions": results.versions()}
