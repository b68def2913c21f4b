"""Published figures to compare with: those that the study prints, and Keras's for the same six experiments.

They are the only numbers in a report that `scratchnet reproduce` did not compute, and each table names their source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Published:
    """The figures of one training run; epochs count from 1, None means not reached, or not published."""

    best: float | None = None
    best_epoch: int | None = None
    last: float | None = None
    last_train: float | None = None
    low_loss: float | None = None
    low_epoch: int | None = None
    last_loss: float | None = None
    to_98: int | None = None


# Keras 3.15 on TensorFlow 2.21: the same data, batch size and epochs, one seed.
KERAS_VERSION = "Keras 3.15 on TensorFlow 2.21"
KERAS = {
    "net_1-mnist-adam": Published(0.9901, 13, 0.9900, 0.9987, 0.0371, 2, 0.0461, 1),
    "net_2-mnist-adam": Published(0.9896, 14, 0.9886, 0.9986, 0.0397, 3, 0.0505, 1),
    "net_1-cifar10-adam": Published(0.6650, 4, 0.6013, 0.9495, 0.9826, 3, 2.4733),
    "net_2-cifar10-adam": Published(0.6344, 4, 0.6066, 0.9514, 1.0387, 3, 2.2403),
    "net_2-cifar10-adadelta": Published(0.3126, 16, 0.3126, 0.3087, 2.0233, 16, 2.0233),
    "net_2-cifar10-adagrad": Published(0.4561, 16, 0.4561, 0.4536, 1.5666, 16, 1.5666),
}
TOLERANCE = {"mnist": 0.002, "cifar10": 0.015}  # of the best validation accuracy


def keras_difference(name: str, data: str, best: Sequence[float]) -> tuple[float, bool]:
    """Return how far the mean of the best validation accuracies lies above Keras's, and whether that is within tolerance.

    Examples
    --------
    >>> keras_difference("net_1-mnist-adam", "mnist", [0.9900, 0.9906])[1]
    True
    """
    off = fmean(best) - (KERAS[name].best or 0.0)
    return off, abs(off) <= TOLERANCE[data]


# What the study prints. It names neither seeds nor versions.
STUDY = {
    "net_1-mnist-adam": Published(best=0.9352),
    "net_1-cifar10-adam": Published(last=0.6531, last_train=0.9865, low_epoch=4),
}
STUDY_CEILING = 0.5  # Adadelta and Adagrad stay below about this on CIFAR-10
