"""The numbers of a diagnosis: losses, the size of steps, dead and saturated units, gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.plotting.canvas import (
    QUIET,
    TRAINING,
    VALIDATION,
    PathLike,
    drawable,
    epoch_axis,
    finish,
    new_figure,
    plain_grid,
)
from scratchnet.plotting.comparison import COLORS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def diagnosis(diagnosis: Any, *, title: str | None = None, path: PathLike | None = None) -> Figure:
    """Draw what `scratchnet.diagnosis.diagnose` measured.

    Parameters
    ----------
    diagnosis : Diagnosis
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure
        Four panels: the losses, with that of guessing; how far a step moves the weights of each layer, with the usual range;
        the part of each layer that is dead or saturated; and the norm of each layer's gradient.
    """
    f = diagnosis.facts
    figure = new_figure(5.6, 11.0, title)
    losses, ratios, dead, gradients = figure.subplots(4, 1)
    draw_losses(losses, f)
    draw_ratios(ratios, f)
    units = [u for u in f.units if u.function in ("relu", "sigmoid", "tanh")]
    parts = [u.dead / u.units if u.function == "relu" else u.saturated for u in units]
    words = [f"{u.dead} of {u.units} dead" if u.function == "relu" else f"{u.saturated:.0%} saturated" for u in units]
    draw_bars(dead, f"dead or saturated, on {f.images:,} images", [u.layer for u in units], parts, words)
    dead.set_xlim(0, 1.45)      # room for the words
    dead.set_xticks([0, 0.5, 1], ["0", "half", "all"])
    draw_log_bars(gradients, "norm of the gradient", f.gradients)
    return finish(figure, path)


def draw_losses(axes: Axes, f: Any) -> None:
    """Draw the losses of the epochs, or of the steps of a training run that broke down, and that of guessing."""
    repeated = len(f.steps) > 0
    training = f.steps if repeated else f.history.get("loss", ())
    validation = () if repeated else f.history.get("val_loss", ())
    for line, label, color, marker in ((training, "training", TRAINING, "o"), (validation, "validation", VALIDATION, "s")):
        if len(line):
            axes.plot(np.arange(1, len(line) + 1), line, color=color, marker=marker, markersize=4, linewidth=1.8, label=label)
    axes.axhline(f.guess, color=QUIET, linestyle="--", linewidth=1.2, label=f"guessing: {f.guess:.2f}")
    if max([value for value in (*training, *validation) if np.isfinite(value)], default=0) > 20 * max(f.guess, 0.1):
        axes.set_yscale("log")
    epoch_axis(axes, max(len(training), 1), "loss of each step, until it is not finite" if repeated else "loss")
    if repeated:
        axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=9)


def draw_ratios(axes: Axes, f: Any) -> None:
    """Draw the ratio of each layer over the epochs, or only that of the next step if training did not measure it."""
    title = "change of the weights in one step, ‖Δw‖ / ‖w‖"
    if not f.ratios:
        draw_log_bars(axes, f"{title}, at the end", f.replayed)
        return
    axes.axhspan(1e-4, 1e-2, color=QUIET, alpha=0.15, linewidth=0, label="usual")
    for number, (layer, line) in enumerate(f.ratios.items()):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        shown = [value if value > 0 else np.nan for value in line]      # 0 has no place on a logarithmic axis
        axes.plot(f.epochs[-len(line) :], shown, color=color, marker=marker, markersize=4, linewidth=1.5, label=drawable(layer))
    axes.set_yscale("log")
    values = [value for line in f.ratios.values() for value in line if value > 0]
    axes.set_ylim(min([1e-5, *values]) / 3, max([1, *values]) * 30)     # the legend has room
    epoch_axis(axes, max(f.epochs), title)
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper right")


def draw_log_bars(axes: Axes, title: str, values: Mapping[str, float]) -> None:
    """Draw the value of each layer on a logarithmic axis, with the value after it; 0 has no bar."""
    positive = [value for value in values.values() if value > 0]
    left = min(positive) / 10 if positive else 0.0
    draw_bars(axes, title, list(values), list(values.values()), [f"{v:.1e}" if v > 0 else "0" for v in values.values()], left)
    if positive:
        axes.set_xscale("log")
        axes.set_xlim(left, max(positive) * 30)


def draw_bars(
    axes: Axes, title: str, names: Sequence[str], values: Sequence[float], words: Sequence[str], left: float = 0
) -> None:
    """Draw a bar for each layer, the first at the top, with words after it; the axis begins at `left`."""
    axes.set_title(title, fontsize=11)
    rows = np.arange(len(names))
    axes.barh(rows, values, color=TRAINING, height=0.6)
    for row, value, text in zip(rows, values, words, strict=True):
        axes.annotate(text, (max(value, left), row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(rows, [drawable(name) for name in names])
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    plain_grid(axes)
    if not len(names):
        axes.annotate("nothing to measure", (0.5, 0.5), xycoords="axes fraction", ha="center", color=QUIET)
