"""The numbers of a diagnosis: losses, the size of steps, dead and saturated units, gradients."""

from __future__ import annotations

from collections.abc import Sequence
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
    norms = list(f.gradients.values())
    draw_bars(gradients, "norm of the gradient", list(f.gradients), norms, [f"{norm:.1e}" for norm in norms])
    positive = [norm for norm in norms if norm > 0]
    if positive:
        gradients.set_xscale("log")
        gradients.set_xlim(min(positive) / 3, max(positive) * 30)
    return finish(figure, path)


def draw_losses(axes: Axes, f: Any) -> None:
    """Draw the losses of the epochs, or of the steps of a training run that broke down, and that of guessing."""
    steps = len(f.steps) > 0
    lines = {"training": f.steps if steps else f.history.get("loss", ()), "validation": () if steps else f.history.get("val_loss", ())}
    values = [value for line in lines.values() for value in line if np.isfinite(value)]
    for (label, line), color, marker in zip(lines.items(), (TRAINING, VALIDATION), "os", strict=True):
        if len(line):
            axes.plot(np.arange(1, len(line) + 1), line, color=color, marker=marker, markersize=4, linewidth=1.8, label=label)
    axes.axhline(f.guess, color=QUIET, linestyle="--", linewidth=1.2, label=f"guessing: {f.guess:.2f}")
    if values and max(values) > 20 * max(f.guess, 0.1):
        axes.set_yscale("log")
    if steps:
        axes.set_title("loss of each step, until it is not finite", fontsize=11)
        axes.set_xlabel("step")
        plain_grid(axes)
    else:
        epoch_axis(axes, max(len(f.history.get("loss", ())), 1), "loss")
    axes.legend(frameon=False, fontsize=9)


def draw_ratios(axes: Axes, f: Any) -> None:
    """Draw the ratio of each layer over the epochs, or only at the end if training did not measure it."""
    lines = f.ratios or {layer: [ratio] for layer, ratio in f.replayed.items()}
    epochs = f.epochs if f.ratios else [1]
    axes.axhspan(1e-4, 1e-2, color=QUIET, alpha=0.15, linewidth=0, label="usual")
    for number, (layer, line) in enumerate(lines.items()):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        shown = [value if value > 0 else np.nan for value in line]      # 0 has no place on a logarithmic axis
        axes.plot(epochs[-len(line) :], shown, color=color, marker=marker, markersize=4, linewidth=1.5, label=drawable(layer))
    axes.set_yscale("log")
    epoch_axis(axes, max(epochs), "change of the weights in one step, ‖Δw‖ / ‖w‖")
    if not f.ratios:
        axes.set_xticks([1], ["at the end"])
        axes.set_xlabel("")
    axes.legend(frameon=False, fontsize=9, ncols=2)


def draw_bars(axes: Axes, title: str, names: Sequence[str], values: Sequence[float], words: Sequence[str]) -> None:
    """Draw a bar for each layer, the first at the top, with words after it."""
    axes.set_title(title, fontsize=11)
    rows = np.arange(len(names))
    axes.barh(rows, values, color=TRAINING, height=0.6)
    for row, value, text in zip(rows, values, words, strict=True):
        axes.annotate(text, (max(value, 0), row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(rows, [drawable(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    plain_grid(axes)
    if not len(names):
        axes.annotate("nothing to measure", (0.5, 0.5), xycoords="axes fraction", ha="center", color=QUIET)
