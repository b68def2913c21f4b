"""The callback that sets the learning rate of each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scratchnet.callbacks.base import Callback, Logs
from scratchnet.callbacks.watching import refuse_schedule
from scratchnet.schedules import accepts, single
from scratchnet.support.checking import check_function, check_integer, check_number, shortened


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch; it is added to the epoch's logs as "learning_rate".

    Parameters
    ----------
    schedule : callable
        schedule(epoch, learning_rate) or schedule(epoch) -> the new learning rate. The first epoch is 0.
    verbose : int
        1 prints a line for each epoch.

    Examples
    --------
    >>> halve_after_ten = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch == 10 else rate)
    """

    adds = ("learning_rate",)

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0):
        self.schedule = check_function("schedule", schedule, "schedule=lambda epoch, rate: 0.9 * rate")
        self.verbose = check_integer("verbose", verbose)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise a TypeError if a schedule sets the learning rate."""
        refuse_schedule(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        optimizer = self.model.optimizer
        old = optimizer.learning_rate
        new = self.schedule(epoch, old) if accepts(self.schedule, epoch, old) else self.schedule(epoch)
        optimizer.learning_rate = check_number(f"the learning rate of {shortened(self.schedule)} in epoch {epoch}", single(new))
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {optimizer.learning_rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate
