"""A callback made of functions, and the one that ends a diverging training run without an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.callbacks.base import Callback, Logs
from scratchnet.support.checking import check_flag, check_function

METHODS = [name for name in vars(Callback) if name.startswith("on_")]


class LambdaCallback(Callback):
    """Call functions in place of a callback's methods.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        function(epoch, logs)
    on_train_begin, on_train_end : callable, optional
        function(logs)
    on_train_batch_begin, on_train_batch_end : callable, optional
        function(batch, logs)
    **others
        on_batch_begin and on_batch_end, the short names of the two above.

    Examples
    --------
    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs)).on_epoch_end(0, {"loss": 0.5})
    0 {'loss': 0.5}
    """

    adds = None

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **others: Callable[..., Any] | None,
    ):
        functions = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end,
        }  # fmt: skip
        unknown = [name for name in others if name not in METHODS]
        if unknown:
            raise TypeError(
                f"LambdaCallback: expected only arguments among {', '.join(METHODS)}, got {unknown[0]}. Only fit calls"
                " callbacks: leave it out"
            )
        for name, function in (functions | others).items():
            if function is not None:
                setattr(self, name, check_function(name, function, f"{name}=lambda *arguments: print(arguments)"))


class TerminateOnNaN(Callback):
    """End training without an error when a loss is NaN or infinite.

    Without this callback `fit` raises a FloatingPointError. With it, `fit` prints what the error says, calls the callbacks with NaN
    for every value of the epoch, and returns. In both cases the model has the weights of the last epoch with finite values, and its
    optimizer is reset. (In Keras the model keeps the weights whose loss is NaN.)

    Parameters
    ----------
    raise_error : bool
        Whether a RuntimeError is raised instead, as in Keras.
    """

    def __init__(self, raise_error: bool = False):
        self.raise_error = check_flag("raise_error", raise_error)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop a training loop that raises no error itself."""
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self.end(FloatingPointError(f"batch {batch}: the loss is {loss}"))

    def end(self, error: FloatingPointError) -> None:
        """Print the error and stop training, or raise a RuntimeError."""
        if self.raise_error:
            raise RuntimeError(str(error)) from error
        print(f"TerminateOnNaN: training ends. {error}")
        self.model.stop_training = True
