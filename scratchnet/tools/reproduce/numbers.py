"""The numbers of a report, computed from histories: best epochs, means and spreads over seeds, clear differences.

Everything that a report states about training runs is computed from finished results. The second half turns these numbers
into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from scratchnet.callbacks import EarlyStopping
from scratchnet.tools.reproduce.experiments import Plan
from scratchnet.tools.reproduce.results import Result

Known = Mapping[str, Sequence[Result]]  # finished results by experiment, one for each seed


@dataclass(frozen=True)
class Row:
    """What the tables show of one training run.

    Attributes
    ----------
    best, best_epoch
        The highest validation accuracy, and the first epoch (from 1) that reaches it.
    last, last_train
        Validation and training accuracy of the last epoch.
    low_loss, low_epoch, last_loss
        The lowest validation loss, its epoch, and the validation loss of the last epoch.
    to_98 : int or None
        The first epoch with a validation accuracy of at least 0.98.
    gap
        Training accuracy minus validation accuracy of the last epoch.
    first
        Validation accuracy of the first epoch.
    seconds
        The median of the epochs' seconds times their number, so that an epoch in which the machine slept has no effect.
    threads
        The number of threads it ran on.
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


class Seeds(list[Row]):
    """The rows of one experiment, one for each seed, with methods that return the text of a table's cells."""

    def values(self, key: str) -> list[float]:
        """Return one value of each row, or [] if one is None: the mean over the remaining seeds would look too good."""
        taken = [getattr(row, key) for row in self]
        return [] if None in taken else [float(value) for value in taken]

    def mean(self, key: str, digits: int = 4) -> str:
        """Return the mean of one value and its spread, as text."""
        return mean_spread(self.values(key), digits)

    def epochs(self, key: str) -> str:
        """Return an epoch for each seed, as text."""
        return listed(getattr(row, key) for row in self)

    def best(self) -> str:
        """Return the best validation accuracy and its epoch for each seed, as text."""
        return f"{self.mean('best')} ({self.epochs('best_epoch')})" if self else "–"

    def lowest(self) -> str:
        """Return the lowest validation loss and its epoch for each seed, as text."""
        return f"{self.mean('low_loss')} ({self.epochs('low_epoch')})" if self else "–"


def row(result: Result, epochs: int | None = None) -> Row | None:
    """Summarize a run, or its first `epochs`; return None if it failed within the first epoch."""
    history = {key: values[:epochs] for key, values in result["history"].items()}
    accuracy, loss, train, seconds = (history.get(key, []) for key in ("val_accuracy", "val_loss", "accuracy", "seconds"))
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
        seconds=float(np.median(seconds or [0.0])) * len(seconds),
        threads=result["machine"]["threads"],
    )


def rows(results: Sequence[Result], epochs: int | None = None) -> Seeds:
    """Summarize the run of each seed; those that failed within the first epoch are left out."""
    return Seeds(found for result in results if (found := row(result, epochs)) is not None)


def several_views(results: Sequence[Result]) -> list[float]:
    """Return for each seed the accuracy of the means over several views; [] for a network that was not used in this way."""
    return [1 - result["augmented_wrong"] / result["test_images"] for result in results if "augmented_wrong" in result]


def compare(a: Sequence[float], b: Sequence[float]) -> int:
    """Return 1 if the values of `a` lie above those of `b`, -1 if below, and 0 if neither is clear.

    Above means that every seed's value of `a` is larger than every seed's of `b`. Without a real difference, three seeds of
    each are ordered like this, in either direction, in one case out of ten. With one seed nothing is clear.

    >>> compare([3, 4, 5], [0, 1, 2]), compare([0, 1], [2, 3]), compare([0, 2], [1, 3]), compare([1], [0])
    (1, -1, 0, 0)
    """
    if min(len(a), len(b)) < 2:
        return 0
    return int(min(a) > max(b)) - int(max(a) < min(b))


def winners(plan: Plan, known: Known) -> dict[str, str]:
    """Return for each optimizer the experiment whose first seed is best; {} until the whole sweep is finished."""
    group = plan.groups["rates"]
    if not all(known.get(e.name) for e in group):
        return {}

    def best(name: str) -> float:
        found = row(known[name][0], plan.short["rates"])
        return -1.0 if found is None else found.best

    optimizers = dict.fromkeys(e.optimizer for e in group)
    return {o: max((e.name for e in group if e.optimizer == o), key=best) for o in optimizers}


class Stop(NamedTuple):
    """Where early stopping ends a run: the last epoch trained, and the epoch whose weights are restored, from 1."""

    stopped: int
    restored: int


def early_stop(val_loss: Sequence[float], patience: int) -> Stop:
    """Return where early stopping would have ended a run that was trained to its end.

    Early stopping depends on the validation losses alone, so a finished history is enough: the callback is called with the
    epochs of the history. It restores the weights of the epoch with the lowest loss so far.

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


# -- as words ---------------------------------------------------------------------------------------------------------


def plural(n: int, noun: str) -> str:
    """Return a count of things, as text.

    >>> plural(1, "thread"), plural(6256, "step")
    ('1 thread', '6,256 steps')
    """
    return f"{n:,} {noun}{'s' * (n != 1)}"


def mean_spread(numbers: Sequence[float], digits: int = 4) -> str:
    """Return the mean over seeds and, for two or more seeds, their standard deviation (with n - 1), as text.

    >>> mean_spread([0.99, 0.992]), mean_spread([0.5]), mean_spread([])
    ('0.9910 ± 0.0014', '0.5000', '–')
    """
    if not numbers:
        return "–"
    mean = f"{np.mean(numbers):.{digits}f}"
    return mean if len(numbers) < 2 else f"{mean} ± {np.std(numbers, ddof=1):.{digits}f}"


def listed(epochs: Iterable[int | None]) -> str:
    """Return one epoch for each seed, as text.

    >>> listed([4, 3, None])
    '4, 3, never'
    """
    return ", ".join("never" if epoch is None else str(epoch) for epoch in epochs)


def verdict(a_name: str, a: Sequence[float], b_name: str, b: Sequence[float], digits: int = 4) -> str:
    """Return both means and, if the seeds agree, which of the two is higher, as text.

    >>> verdict("max", [3.0, 4.0], "none", [1.0, 2.0], 1)
    'max 3.5 ± 0.7, none 1.5 ± 0.7: **max is higher**, its lowest seed above the highest of the other'
    >>> verdict("max", [3.0], "none", [1.0], 1)
    'max 3.0, none 1.0: one seed decides nothing'
    """
    both = f"{a_name} {mean_spread(a, digits)}, {b_name} {mean_spread(b, digits)}"
    if not a or not b:
        return f"{both}: not trained yet"
    if min(len(a), len(b)) < 2:
        return f"{both}: one seed decides nothing"
    higher = compare(a, b)
    if not higher:
        return f"{both}: **no clear difference**, the seeds overlap"
    return f"{both}: **{a_name if higher > 0 else b_name} is higher**, its lowest seed above the highest of the other"


def difference(a: Sequence[float], b: Sequence[float], digits: int = 4) -> str:
    """Return how far the mean of `a` lies above the mean of `b`, and whether the seeds agree, as text.

    >>> difference([3.0, 4.0], [1.0, 2.0], 1), difference([3.0, 4.0], [3.5, 3.5], 1), difference([3.0], [1.0], 1)
    ('**+2.0**, clear', '+0.0, seeds overlap', '+2.0, one seed')
    """
    if not a or not b:
        return "–"
    by = f"{float(np.mean(a)) - float(np.mean(b)):+.{digits}f}"
    if min(len(a), len(b)) < 2:
        return f"{by}, one seed"
    return f"**{by}**, clear" if compare(a, b) else f"{by}, seeds overlap"
