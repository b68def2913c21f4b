"""Callbacks that show the progress of training: a bar on a terminal, or one line per epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

from scratchnet.callbacks.base import Callback, Logs

# A short bar, so that an epoch's four values fit on a line of 110 columns.
FORMAT = "{desc} {bar:10} {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"


def describe(logs: Logs) -> str:
    """Return an epoch's values as one line of text.

    Examples
    --------
    >>> describe({"loss": 0.123456, "val_accuracy": 0.98})
    'loss 0.1235, val_accuracy 0.9800'
    """
    return ", ".join(
        f"{name} {value:.3g}" if name == "learning_rate" else f"{name} {value:.4f}" for name, value in logs.items()
    )


def numbered(epoch: int, params: Mapping[str, Any]) -> str:
    """Return the name of an epoch, with the number of epochs if it is known.

    Examples
    --------
    >>> numbered(0, {"epochs": 3}), numbered(0, {})
    ('epoch 1/3', 'epoch 1')
    """
    return f"epoch {epoch + 1}/{params['epochs']}" if "epochs" in params else f"epoch {epoch + 1}"


class ProgressBar(Callback):
    """Show epoch, batch, remaining time and running means: one bar per epoch on a terminal, nothing elsewhere.

    Parameters
    ----------
    bar : callable, optional
        Makes the bar; it takes tqdm's arguments.
    """

    def __init__(self, bar: Callable[..., Any] = tqdm):
        self.make_bar = bar
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the epoch's bar."""
        title, steps = numbered(epoch, self.params), self.params.get("steps")
        self.bar = self.make_bar(total=steps, desc=title, unit="batch", bar_format=FORMAT, disable=None, dynamic_ncols=True)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Advance the bar by one batch."""
        self.bar.set_postfix_str(describe(logs or {}), refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Show the epoch's values and close the bar."""
        self.bar.set_postfix_str(describe(logs or {}))
        self.close()

    def close(self) -> None:
        """Close the bar; `fit` calls this even if training is interrupted."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class EpochLines(Callback):
    """Print one line per epoch: `verbose=2`."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print the epoch's values."""
        print(f"{numbered(epoch, self.params)}: {describe(logs or {})}", flush=True)
