"""The base of every callback, and those that only note what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchnet.model import Model

Logs = dict[str, float]


class Callback:
    """The base of every callback: override what you want to be told.

    Attributes
    ----------
    model : Model
    params : dict
        epochs, steps (batches in an epoch), batch_size, samples, verbose, and metrics: the names that an epoch's
        logs have.
    adds : tuple of str
        Names that it puts into an epoch's logs itself.
    more_names : tuple of str, or None
        What callbacks up to this one add to those of metrics; None when one is not of this library: it may add any.
    """

    model: Model
    params: dict[str, Any]
    adds: tuple[str, ...] = ()
    more_names: tuple[str, ...] | None = ()

    def set_model(self, model: Model) -> None:
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


class CallbackList:
    """Call all callbacks, in order: `callbacks.call("on_epoch_begin", 0)`.

    Parameters
    ----------
    callbacks : sequence of Callback

    Raises
    ------
    TypeError
        When one is no callback.
    """

    def __init__(self, callbacks: Sequence[Callback]):
        self.callbacks = list(callbacks)
        added: tuple[str, ...] | None = ()
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks are objects of scratchnet.callbacks.Callback; got {callback!r}. A class needs its parentheses"
                )
            ours = type(callback).__module__.startswith(__package__)
            added = (*added, *callback.adds) if ours and added is not None else None
            callback.more_names = added

    def call(self, event: str, *arguments: Any) -> None:
        """Call the method `event` of each."""
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)


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
