"""Callbacks that watch one value for getting better: stop, or slow down, when it does not."""

from __future__ import annotations

import numpy as np

from scratchnet.callbacks.base import Callback, Logs


class Monitor(Callback):
    """The base of callbacks that watch one value for getting better.

    Parameters
    ----------
    monitor : str
        A name that an epoch's logs have, of training's own or added by a callback that comes before.
    mode : {"auto", "min", "max"}
        What better means; "auto": "max" for an accuracy, "min" for a loss.
    min_delta : float
        By how much a value must be better to count.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode is 'auto', 'min' or 'max'; got {mode!r}")
        self.monitor = monitor
        self.mode = mode if mode != "auto" else "max" if monitor.endswith(("accuracy", "acc")) else "min"
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Refuse a value that training will not produce."""
        self.best = None
        if self.more_names is not None:
            self.watched(dict.fromkeys([*self.params.get("metrics", [self.monitor]), *self.more_names], 0.0))

    def watched(self, logs: Logs | None) -> float:
        """Give the watched value of an epoch's logs; refuse a name that they have not."""
        if not logs or self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__} watches {self.monitor!r}, but training gives {', '.join(map(repr, logs or ()))}."
                " Values of validation need validation_data or validation_split, accuracies metrics=['accuracy'], and"
                " those of a callback of your own that it comes before this one"
            )
        return logs[self.monitor]

    def better(self, value: float, than: float | None) -> bool:
        """Say whether `value` is an improvement; any number improves on None, and NaN on nothing."""
        if than is None:
            return not np.isnan(value)
        return value < than - self.min_delta if self.mode == "min" else value > than + self.min_delta


class EarlyStopping(Monitor):
    """Stop when a value has not become better for `patience` epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        By how much it must be better.
    patience : int
        Epochs without improvement after which training stops.
    verbose : int
        1 prints when it stops or restores.
    mode : {"auto", "min", "max"}
    baseline : float, optional
        Patience is only renewed by values better than this, too.
    restore_best_weights : bool
        Whether the model gets the best epoch's weights when training is over.
    start_from_epoch : int
        Epochs before this one are not looked at.

    Attributes
    ----------
    stopped_epoch, best_epoch : int
    best : float
    """

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
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew."""
        super().on_train_begin(logs)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the value; stop when patience is at its end."""
        value = self.watched(logs)
        if epoch < self.start_from_epoch:
            return
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
        """Give the best weights back when asked to."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a value has not become better for `patience` epochs.

    Parameters
    ----------
    monitor : str
    factor : float
        In (0, 1): what the rate is multiplied by.
    patience : int
    verbose : int
        1 prints each change.
    mode : {"auto", "min", "max"}
    min_delta : float
    cooldown : int
        Epochs to let pass after a change before looking again.
    min_lr : float
    """

    adds = ("learning_rate",)

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
        if not 0 < factor < 1:
            raise ValueError(f"factor lies between 0 and 1, so that the rate falls; got {factor!r}")
        self.factor, self.patience, self.verbose, self.cooldown, self.min_lr = (
            factor,
            patience,
            verbose,
            cooldown,
            min_lr,
        )
        self.wait = self.cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew."""
        super().on_train_begin(logs)
        self.wait = self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the value; lower the rate when patience is at its end. The rate is noted in the logs."""
        logs = logs if logs is not None else {}
        optimizer = self.model.optimizer
        logs["learning_rate"] = optimizer.learning_rate
        value = self.watched(logs)
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
