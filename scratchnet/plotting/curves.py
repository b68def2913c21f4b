"""The study's figure: accuracy and loss of each epoch, in training and in validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.plotting.canvas import QUIET, TRAINING, VALIDATION, PathLike, epoch_axis, finish, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scratchnet.callbacks import History


def values_of(history: History | Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    """Return the dict of a History, of scratchnet or of Keras; a mapping is returned as it is."""
    return history if isinstance(history, Mapping) else history.history


def history(history: History | Mapping[str, Sequence[float]], *, title: str | None = None, path: PathLike | None = None) -> Figure:
    """Draw accuracy and loss of each epoch side by side, and mark the epoch of the lowest validation loss.

    If the validation loss rises after the mark while the training loss falls, the network overfits. Early stopping would
    restore the weights of the marked epoch.

    Parameters
    ----------
    history : History, or mapping of str to sequence of float
        The result of ``model.fit(...)``, or its ``.history``: one value for each epoch under "loss" and, optionally,
        "val_loss", "accuracy" (in [0, 1]) and "val_accuracy". Without an accuracy there is one panel.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no "loss" or no epoch, or if the lists have different lengths.

    Examples
    --------
    >>> figure = history({"loss": [0.9, 0.5, 0.3], "val_loss": [0.8, 0.6, 0.7]})
    >>> figure.axes[0].get_title()
    'loss'
    """
    history = values_of(history)
    if "loss" not in history or not len(history["loss"]):
        raise ValueError(f"history: expected 'loss' with at least one epoch, got {sorted(history)}. Train for an epoch first.")
    epochs = len(history["loss"])
    panels = [name for name in ("accuracy", "loss") if name in history]
    names = [key for panel in panels for key in (panel, f"val_{panel}") if key in history]
    for key in names:
        if len(history[key]) != epochs:
            raise ValueError(
                f"history: expected {epochs} epochs in {key!r}, as in 'loss', got {len(history[key])}. Pass lists of equal length."
            )

    figure = new_figure(5.2 * len(panels), 4.2, title)
    x = np.arange(1, epochs + 1)
    best = _lowest(history.get("val_loss", ()))
    for axes, panel in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        for key, label, color, marker in (
            (panel, "training", TRAINING, "o"),
            (f"val_{panel}", "validation", VALIDATION, "s"),
        ):
            if key in history:
                axes.plot(x, history[key], color=color, marker=marker, markersize=4, linewidth=1.8, label=label)
        if best is not None:
            value = history["val_loss"][best]
            label = f"lowest validation loss: {value:.4g} at epoch {best + 1}"
            axes.axvline(best + 1, color=QUIET, linestyle="--", linewidth=1.2, zorder=0, label=label)
        epoch_axis(axes, epochs, panel)
    legend_below(figure, columns=3 if len(panels) > 1 else 2)
    return finish(figure, path)


def _lowest(losses: Sequence[float]) -> int | None:
    """Return the index of the smallest finite loss, or None if there is none."""
    values = np.asarray(losses, float)
    if not np.isfinite(values).any():
        return None
    return int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
