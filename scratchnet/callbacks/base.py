"""The base class of all callbacks, the list that calls them, and the history of a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

from scratchnet.support.checking import shortened
from scratchnet.support.keywords import name_arguments

Logs = dict[str, float]


class Callback:
    """The base class of all callbacks. Override the methods that you need; the others do nothing.

    `logs` is a dict of values by name; it is empty in the methods whose name ends in _begin.

    Attributes
    ----------
    model : Model
    params : dict
        epochs, steps (batches in an epoch), batch_size, samples, verbose, and metrics: the names in an epoch's logs. It is
        empty until `fit` sets it; a training loop of your own need not set it.
    state_names : tuple of str
        Attributes that change from epoch to epoch: training resumes with the same bits if they are restored.
    adds : tuple of str, or None
        Names that this callback itself adds to an epoch's logs; None if it may add any.
    more_names : tuple of str, or None
        Names that this callback and those before it add to an epoch's logs. None if one of them may add any name: a
        `LambdaCallback`, or one that is not defined in this package.
    writes_files : bool
        A class attribute: whether it writes files. Such a callback is called only by rank 0 if several processes train the model.
    """

    model: Any = None
    params: dict[str, Any] = {}
    state_names: tuple[str, ...] = ()
    adds: tuple[str, ...] | None = ()
    more_names: tuple[str, ...] | None = ()
    writes_files = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)

    def set_model(self, model: Any) -> None:
        """Store the model that is trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Store the parameters of the training run."""
        self.params = params

    def known_names(self) -> tuple[list[str], bool]:
        """Return the names that an epoch's logs will have, and whether these are all."""
        return [*self.params.get("metrics", ()), *(self.more_names or ())], "metrics" in self.params and self.more_names is not None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called when training starts."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called when training has ended."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called when an epoch starts; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called when an epoch and its validation have ended."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called when a batch starts; the first is 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called when a batch has ended, and the weights have changed."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The short name of `on_train_batch_begin`, which calls it."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The short name of `on_train_batch_end`, which calls it."""


class CallbackList:
    """Call all callbacks, in order: `callbacks.call("on_epoch_begin", 0)`.

    Parameters
    ----------
    callbacks : sequence of Callback

    Raises
    ------
    TypeError
        If one of them is not a `Callback`.
    """

    def __init__(self, callbacks: Sequence[Callback]):
        self.callbacks = list(callbacks)
        added: tuple[str, ...] | None = ()
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks: expected objects of scratchnet.callbacks.Callback, got {shortened(callback)}."
                    " A class needs parentheses: EarlyStopping()"
                )
            ours = type(callback).__module__.startswith(__package__)
            added = (*added, *callback.adds) if ours and added is not None and callback.adds is not None else None
            callback.more_names = added

    def call(self, event: str, *arguments: Any) -> None:
        """Call the method `event` of each callback."""
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)


class History(Callback):
    """Record the values of every epoch; `fit` returns one.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", "accuracy", "val_loss", "val_accuracy": one value per epoch.
    epoch : list of int
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self._model: Callable[[], Any] = lambda: None

    @property
    def model(self) -> Any:
        """The model; None before training and after it was freed.

        The model keeps its history, which therefore only has a weak reference to it.
        """
        return self._model()

    @model.setter
    def model(self, model: Any) -> None:
        self._model = ref(model)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Clear the values of an earlier training run."""
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Record the epoch's values."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
