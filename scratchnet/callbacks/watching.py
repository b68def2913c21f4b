"""Callbacks that monitor one value: they stop training, or lower the learning rate, when it does not improve."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.callbacks.base import Callback, Logs
from scratchnet.support.checking import check_choice, check_flag, check_integer, check_number, check_text, shortened


class Monitor(Callback):
    """The base class of callbacks that monitor one value.

    Parameters
    ----------
    monitor : str
        A name in an epoch's logs, such as "val_loss", or one that an earlier callback adds.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" is "max" for an accuracy and other metrics, and "min" otherwise.
    min_delta : float
        A smaller difference is not an improvement.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0):
        mode = check_choice(f"mode of {type(self).__name__}", mode, ("auto", "min", "max"))
        self.monitor = check_text("monitor", monitor, 'monitor="val_loss"')
        self.auto = mode == "auto"
        self.mode = mode if mode != "auto" else "max" if monitor.endswith(("accuracy", "acc")) else "min"
        self.min_delta = abs(check_number("min_delta", min_delta, lowest=-np.inf))
        self.best: float | None = None

    def set_model(self, model: Any) -> None:
        """Store the model. With mode "auto", larger values of its metrics are better, whatever their names are."""
        super().set_model(model)
        named = {**getattr(model, "metrics", {}), **getattr(model, "weighted_metrics", {})}
        if self.auto and self.monitor.removeprefix("val_") in named:
            self.mode = "max"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Clear the best value of an earlier training run. Raise a ValueError if training will not compute the value."""
        self.best = None
        self.check_monitor()

    def check_monitor(self) -> None:
        """Raise a ValueError if it is known that no epoch's logs will have the value."""
        names, all_known = self.known_names()
        if all_known:
            self.watched(dict.fromkeys(names, 0.0))

    def watched(self, logs: Logs | None) -> float | None:
        """Return the monitored value from an epoch's logs, or None for a validation value in an epoch without validation.

        Raises ValueError if no epoch has the value.
        """
        if not logs or self.monitor not in logs:
            if self.monitor.startswith("val_") and self.monitor in self.known_names()[0]:
                return None
            raise ValueError(
                f"{type(self).__name__}: expected monitor to be one of {', '.join(map(repr, logs or ()))}, got {self.monitor!r}."
                " For a validation value pass validation_data or validation_split; for an accuracy compile with"
                " metrics=['accuracy']; a callback of your own that adds the value must precede this one"
            )
        return logs[self.monitor]

    def better(self, value: float, than: float | None) -> bool:
        """Return whether `value` is an improvement. Any finite number is better than None; NaN is never better."""
        if than is None:
            than = np.inf if self.mode == "min" else -np.inf
        return value < than - self.min_delta if self.mode == "min" else value > than + self.min_delta


def refuse_schedule(callback: Callback) -> None:
    """Raise a TypeError if the optimizer has a schedule: the learning rate cannot be set by a callback too."""
    schedule = getattr(callback.model.optimizer, "_schedule", None)
    if schedule is not None:
        raise TypeError(
            f"{type(callback).__name__}: expected an optimizer whose learning rate is a number, got the schedule"
            f" {shortened(schedule)}. Leave one of them out"
        )


class EarlyStopping(Monitor):
    """Stop training when a value has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        A smaller difference is not an improvement.
    patience : int
        Number of epochs without improvement after which training stops.
    verbose : int
        1 prints a line when training stops and when weights are restored.
    mode : {"auto", "min", "max"}
    baseline : float, optional
        An improvement restarts the count of epochs only if the value is also better than this.
    restore_best_weights : bool
        Whether the weights of the best epoch are restored when training ends.
    start_from_epoch : int
        Epochs before this one are ignored; the first is 0.

    Attributes
    ----------
    stopped_epoch, best_epoch : int
    best : float
    """

    state_names = ("best", "best_epoch", "wait", "stopped_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose = check_integer("patience", patience), check_integer("verbose", verbose)
        self.baseline = None if baseline is None else check_number("baseline", baseline, lowest=-np.inf)
        self.restore_best_weights = check_flag("restore_best_weights", restore_best_weights)
        self.start_from_epoch = check_integer("start_from_epoch", start_from_epoch)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset the state of an earlier training run."""
        super().on_train_begin(logs)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the value with the best one; stop after `patience` epochs without improvement."""
        value = self.watched(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:     # in case the value is NaN in every epoch
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best epoch's weights if `restore_best_weights` is set."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a value has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
    factor : float
        In (0, 1); the learning rate is multiplied by it.
    patience : int
    verbose : int
        1 prints each change.
    mode : {"auto", "min", "max"}
    min_delta : float
    cooldown : int
        After a change, epochs without improvement are counted again only from the `cooldown`-th epoch after it: with 3, from the
        third. (0 is the same as 1, as in Keras.)
    min_lr : float
        The learning rate is not lowered below this.
    """

    adds = ("learning_rate",)
    state_names = ("best", "wait", "cooling")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.factor = check_number("factor", factor, below=1)
        if not self.factor:
            raise ValueError(f"ReduceLROnPlateau: expected factor between 0 and 1, got {factor!r}. The rate is multiplied by it")
        self.patience, self.verbose = check_integer("patience", patience), check_integer("verbose", verbose)
        self.cooldown, self.min_lr = check_integer("cooldown", cooldown), check_number("min_lr", min_lr)
        self.wait = self.cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset the state of an earlier training run. Raise a TypeError if a schedule sets the learning rate."""
        super().on_train_begin(logs)
        self.wait = self.cooling = 0
        refuse_schedule(self)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the learning rate to the logs; lower it after `patience` epochs without improvement."""
        logs = logs if logs is not None else {}
        optimizer = self.model.optimizer
        logs["learning_rate"] = optimizer.learning_rate
        value = self.watched(logs)
        if value is None:
            return
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.cooling:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate lowered to {optimizer.learning_rate:g}")
