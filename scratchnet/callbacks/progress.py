"""Callbacks that show how training goes: a bar on a terminal, or a line an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from scratchnet.callbacks.base import Callback, Logs

# A short bar, so that an epoch's four values fit on a line of 110 columns.
FORMAT = "{desc} {bar:10} {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"


def describe(logs: Logs) -> str:
    """Write an epoch's values as one line.

    Examples
    --------
    >>> describe({"loss": 0.123456, "val_accuracy": 0.98})
    'loss 0.1235, val_accuracy 0.9800'
    """
    return ", ".join(
        f"{name} {value:.3g}" if name == "learning_rate" else f"{name} {value:.4f}" for name, value in logs.items()
    )


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
        steps = self.params["steps"]
        self.bar = self.make_bar(total=steps, desc=title, unit="batch", bar_format=FORMAT, disable=None, dynamic_ncols=True)

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
