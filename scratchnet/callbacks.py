"""What happens around training: a callback is told of each epoch and batch, and may look, note, save, slow or stop.

`fit` calls, in this order: on_train_begin; for each epoch on_epoch_begin, for each batch on_train_batch_begin and
on_train_batch_end, then on_epoch_end; on_train_end. `logs` holds the running means of an epoch's values so far, and at
its end those of validation as well. Names, defaults and meanings are Keras's; only a `monitor` that training will
not produce is refused before the first epoch, where Keras warns at the end of each.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from scratchnet.serialization import write_text

if TYPE_CHECKING:
    from scratchnet.training import Training

Logs = dict[str, float]


class Callback:
    """The base of every callback: override what you want to be told.

    Attributes
    ----------
    model : Model
    params : dict
        epochs, steps (batches in an epoch), batch_size, samples, verbose, metrics (the names that an epoch's logs have).
    """

    model: Training
    params: dict[str, Any]

    def set_model(self, model: Training) -> None:
        """Learn which model trains."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Learn how it trains."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Training starts."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Training is over."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch starts; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch and its validation are over."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch starts; the first is 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch is over, the weights have moved."""


class CallbackList(Callback):
    """Tell all callbacks, in order."""

    def __init__(self, callbacks: Sequence[Callback]):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks are objects of scratchnet.callbacks.Callback; got {callback!r}. A class needs its parentheses")

    def set_model(self, model: Training) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class History(Callback):
    """Note every epoch's values; `fit` has one of its own and returns it.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", "accuracy", "val_loss", "val_accuracy": one value an epoch.
    epoch : list of int
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew."""
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch's values."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class Monitor(Callback):
    """The base of callbacks that watch one value for getting better.

    Parameters
    ----------
    monitor : str
        A name that an epoch's logs have.
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
        known = self.params.get("metrics", [self.monitor])
        if self.monitor not in known:
            raise ValueError(
                f"{type(self).__name__} watches {self.monitor!r}, but training gives {', '.join(map(repr, known))}."
                " Values of validation need validation_data or validation_split, and accuracies metrics=['accuracy']"
            )

    def better(self, value: float, than: float | None) -> bool:
        """Say whether `value` is an improvement; anything improves on None."""
        if than is None:
            return True
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
        if epoch < self.start_from_epoch:
            return
        value = (logs or {})[self.monitor]
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


class ModelCheckpoint(Monitor):
    """Save the model at the end of epochs.

    Parameters
    ----------
    filepath : path
        May name the epoch and its values, as in "model-{epoch:02d}-{val_loss:.3f}.npz"; the first epoch is 1 here.
    monitor : str
    verbose : int
        1 prints each save.
    save_best_only : bool
        Whether only an epoch better than all before is saved.
    save_weights_only : bool
        Whether the optimizer's state is left out.
    mode : {"auto", "min", "max"}
    initial_value_threshold : float, optional
        A value that the first saved epoch must better.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.initial_value_threshold = initial_value_threshold

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew; only a checkpoint that chooses needs its value."""
        if self.save_best_only:
            super().on_train_begin(logs)
        self.best = self.initial_value_threshold
        names = self.params.get("metrics", [])
        self._path(0, dict.fromkeys(names, 0.0))

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(["epoch", *logs])
            raise ValueError(f"filepath={self.filepath!r} cannot be filled in ({error}); known names are {known}") from None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if it is time to."""
        logs = logs or {}
        if self.save_best_only:
            if not self.better(logs[self.monitor], self.best):
                return
            self.best = logs[self.monitor]
        path = self._path(epoch, logs)
        self.model.save(path, include_optimizer=not self.save_weights_only)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class CSVLogger(Callback):
    """Write each epoch's values as a row of a CSV file; the file is whole after every epoch.

    Parameters
    ----------
    filename : path
    separator : str
    append : bool
        Whether rows go behind those of an existing file.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = Path(filename), separator, append
        self.text = ""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Read what is there, when rows are appended."""
        self.text = self.filename.read_text(encoding="utf-8") if self.append and self.filename.exists() else ""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write one more row."""
        logs = logs or {}
        rows = io.StringIO()
        writer = csv.writer(rows, delimiter=self.separator, lineterminator="\n")
        if not self.text:
            writer.writerow(["epoch", *logs])
        writer.writerow([epoch, *logs.values()])
        self.text += rows.getvalue()
        write_text(self.filename, self.text)


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
        self.factor, self.patience, self.verbose, self.cooldown, self.min_lr = factor, patience, verbose, cooldown, min_lr
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
        value = logs[self.monitor]
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


def describe(logs: Logs) -> str:
    """Write an epoch's values as one line.

    Examples
    --------
    >>> describe({"loss": 0.123456, "val_accuracy": 0.98})
    'loss 0.1235, val_accuracy 0.9800'
    """
    return ", ".join(f"{name} {value:.3g}" if name == "learning_rate" else f"{name} {value:.4f}" for name, value in logs.items())


class ProgressBar(Callback):
    """Show epoch, batch, time left and running values: a bar an epoch on a terminal, nothing elsewhere.

    Parameters
    ----------
    bar : callable, optional
        What makes the bar, with tqdm's arguments.
    """

    def __init__(self, bar: Callable[..., Any] = tqdm):
        self.make_bar = bar
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the epoch's bar."""
        title = f"epoch {epoch + 1}/{self.params['epochs']}"
        self.bar = self.make_bar(total=self.params["steps"], desc=title, unit="batch", disable=None, dynamic_ncols=True)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Move it on."""
        self.bar.set_postfix_str(describe(logs or {}), refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Leave it with the epoch's values."""
        self.bar.set_postfix_str(describe(logs or {}))
        self.close()

    def close(self) -> None:
        """Close the bar, also when training is cut short."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class EpochLines(Callback):
    """Print a line an epoch: `verbose=2`."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print the epoch's values."""
        print(f"epoch {epoch + 1}/{self.params['epochs']}: {describe(logs or {})}", flush=True)
