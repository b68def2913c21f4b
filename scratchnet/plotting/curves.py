"""The study's figure: accuracy and loss for each epoch, training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.plotting.canvas import QUIET, TRAINING, VALIDATION, PathLike, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scratchnet.callbacks import History


def epoch_ticks(epochs: int) -> list[int]:
    """Return whole-number tick places from 1 to `epochs`: all of them up to 16, then round numbers.

    >>> epoch_ticks(3), epoch_ticks(30)
    ([1, 2, 3], [1, 5, 10, 15, 20, 25, 30])
    """
    step = next(step for k in range(12) for step in (10**k, 5 * 10**k) if epochs <= 16 * step)
    return [1, *range(step if step > 1 else 2, epochs + 1, step)]


def values_of(history: History | Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    """Return the values that a History holds, ours or Keras's, or a mapping as it is."""
    return history if isinstance(history, Mapping) else history.history


def history(
    history: History | Mapping[str, Sequence[float]], *, title: str | None = None, path: PathLike | None = None
) -> Figure:
    """Draw accuracy and loss for each epoch side by side; the epoch of the lowest validation loss is marked.

    Past the mark the net gets surer of the training images and worse on the others: it overfits, and that epoch is
    where early stopping would have stopped.

    Parameters
    ----------
    history : History, or mapping of str to sequence of float
        What ``model.fit(...)`` returns, or its ``.history``: one value an epoch under "loss", and as far as present
        "val_loss", "accuracy" (in [0, 1]) and "val_accuracy". Without an accuracy there is one panel.
    title : str, optional
    path : str or path, optional
        Where the picture is written as well.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no "loss", no epoch, or lists of different lengths.

    Examples
    --------
    >>> figure = history({"loss": [0.9, 0.5, 0.3], "val_loss": [0.8, 0.6, 0.7]})
    >>> figure.axes[0].get_title()
    'loss'
    """
    history = values_of(history)
    if "loss" not in history or not len(history["loss"]):
        raise ValueError(f"a history to draw needs 'loss' with at least one epoch; it has {sorted(history)}")
    epochs = len(history["loss"])
    panels = [name for name in ("accuracy", "loss") if name in history]
    names = [key for panel in panels for key in (panel, f"val_{panel}") if key in history]
    for key in names:
        if len(history[key]) != epochs:
            raise ValueError(f"history[{key!r}] has {len(history[key])} epochs, history['loss'] has {epochs}")

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
        axes.set_title(panel, fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_xticks(epoch_ticks(epochs))
        axes.set_xlim(0.5, epochs + 0.5)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    columns = len(handles) if len(panels) > 1 else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    return finish(figure, path)


def _lowest(losses: Sequence[float]) -> int | None:
    """Return where the smallest finite loss is, or None without one."""
    values = np.asarray(losses, float)
    if not np.isfinite(values).any():
        return None
    return int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
