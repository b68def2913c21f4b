"""From histories to the numbers of a report: the best epoch, means and spreads over seeds, what is a difference.

Everything a report says is computed here from finished results; nothing is typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from scratchnet.callbacks import EarlyStopping
from scratchnet.tools.reproduce.experiments import Plan
from scratchnet.tools.reproduce.results import Result

Known = Mapping[str, Sequence[Result]]  # finished results by experiment, one a seed


@dataclass(frozen=True)
class Row:
    """What the study's table says of one training.

    Attributes
    ----------
    best, best_epoch
        The highest validation accuracy, and the first epoch (from 1) that has it.
    last, last_train
        Validation and training accuracy of the last epoch.
    low_loss, low_epoch, last_loss
        The lowest validation loss, its epoch, and that of the last epoch.
    to_98 : int or None
        The first epoch with a validation accuracy of at least 0.98.
    gap
        Training minus validation accuracy of the last epoch.
    first
        Validation accuracy of the first epoch.
    seconds
        Of all epochs, reckoned from the median one: a machine that slept, or worked at other things, does not count.
    threads
        How many it had.
    """

    best: float
    best_epoch: int
    last: float
    last_train: float
    low_loss: float
    low_epoch: int
    last_loss: float
    to_98: int | None
    gap: float
    first: float
    seconds: float
    threads: int


def row(result: Result, epochs: int | None = None) -> Row | None:
    """Summarize a training, or its first `epochs`; None when it failed before one was over."""
    history = {key: values[:epochs] for key, values in result["history"].items()}
    accuracy, loss, train = (history.get(key, []) for key in ("val_accuracy", "val_loss", "accuracy"))
    if not accuracy:
        return None
    best, low = int(np.argmax(accuracy)), int(np.argmin(loss))
    return Row(
        best=accuracy[best],
        best_epoch=best + 1,
        last=accuracy[-1],
        last_train=train[-1],
        low_loss=loss[low],
        low_epoch=low + 1,
        last_loss=loss[-1],
        to_98=next((k for k, value in enumerate(accuracy, start=1) if value >= 0.98), None),
        gap=train[-1] - accuracy[-1],
        first=accuracy[0],
        seconds=seconds_of(history),
        threads=result["machine"]["threads"],
    )


def seconds_of(history: Mapping[str, Sequence[float]]) -> float:
    """Reckon a training's seconds from those of its median epoch.

    >>> seconds_of({"seconds": [2.0, 3.0, 700.0]})
    9.0
    """
    seconds = history.get("seconds") or [0.0]
    return float(np.median(seconds)) * len(seconds)


def rows(results: Sequence[Result], epochs: int | None = None) -> list[Row]:
    """Summarize each seed's training; those that failed at once are left out."""
    return [found for result in results if (found := row(result, epochs)) is not None]


def values(found: Sequence[Row], key: str) -> list[float]:
    """Take one value of each row; none at all where one seed never came there, for a mean of the others would flatter."""
    taken = [getattr(one, key) for one in found]
    return [] if None in taken else [float(value) for value in taken]


def mean_spread(numbers: Sequence[float], digits: int = 4) -> str:
    """Write the mean over seeds and, from two seeds on, the standard deviation between them (with n - 1).

    >>> mean_spread([0.99, 0.992]), mean_spread([0.5]), mean_spread([])
    ('0.9910 ± 0.0014', '0.5000', '–')
    """
    if not numbers:
        return "–"
    mean = f"{np.mean(numbers):.{digits}f}"
    return mean if len(numbers) < 2 else f"{mean} ± {np.std(numbers, ddof=1):.{digits}f}"


def compare(a: Sequence[float], b: Sequence[float]) -> int:
    """Say whether the values of `a` lie above those of `b`: 1, below: -1, or neither: 0.

    Above means that every seed's value of `a` is larger than every seed's of `b`. Were there no difference, three seeds
    each would do that, in one direction or the other, once in ten times; with one seed nothing is decided.

    >>> compare([3, 4, 5], [0, 1, 2]), compare([0, 1], [2, 3]), compare([0, 2], [1, 3]), compare([1], [0])
    (1, -1, 0, 0)
    """
    if min(len(a), len(b)) < 2:
        return 0
    return int(min(a) > max(b)) - int(max(a) < min(b))


def winners(plan: Plan, known: Known) -> dict[str, str]:
    """Name the experiment of the best validation accuracy for each optimizer, with the first seed; {} until all are known."""
    group = plan.groups["rates"]
    if not all(known.get(e.name) for e in group):
        return {}
    epochs = plan.short["rates"]

    def best(name: str) -> float:
        found = row(known[name][0], epochs)
        return -1.0 if found is None else found.best

    optimizers = dict.fromkeys(e.optimizer for e in group)
    return {o: max((e.name for e in group if e.optimizer == o), key=best) for o in optimizers}


@dataclass(frozen=True)
class Stop:
    """Where early stopping ends a training, epochs counted from 1.

    Attributes
    ----------
    stopped : int
        The last epoch that is trained.
    restored : int
        The epoch whose weights the model ends with.
    """

    stopped: int
    restored: int


def early_stop(val_loss: Sequence[float], patience: int) -> Stop:
    """Tell where early stopping would have ended a training that was not stopped.

    Whether and where it stops depends on the validation losses so far and on nothing else, so a finished history
    decides it: the callback itself is told of the history's epochs. The weights that it gives back are those of the
    epoch of the lowest loss until then, whose values the history has too.

    >>> early_stop([1.0, 0.8, 0.9, 0.7, 0.9, 0.9], patience=2)
    Stop(stopped=6, restored=4)
    >>> early_stop([1.0, 0.8, 0.9, 0.7, 0.9, 0.9], patience=1)
    Stop(stopped=3, restored=2)
    """
    callback = EarlyStopping(monitor="val_loss", patience=patience)
    model: Any = SimpleNamespace(stop_training=False)
    callback.set_model(model)
    callback.set_params({"metrics": ["val_loss"]})
    callback.on_train_begin()
    epoch = -1
    for epoch, loss in enumerate(val_loss):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    return Stop(epoch + 1, callback.best_epoch + 1)
