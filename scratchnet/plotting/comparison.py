"""Several training runs in one figure: a line for each, with a band from the lowest seed to the highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.plotting.canvas import (
    CORRECT,
    QUIET,
    TRAINING,
    VALIDATION,
    PathLike,
    epoch_axis,
    finish,
    legend_below,
    new_figure,
    plain_grid,
)
from scratchnet.plotting.curves import values_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scratchnet.callbacks import History

Series = Mapping[str, Sequence[Sequence[float]]]

COLORS = (TRAINING, VALIDATION, CORRECT, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def compare(
    panels: Mapping[str, Series],
    *,
    ylabel: str = "",
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw named series over the epochs, with a panel for each group; all panels have the same y-axis.

    Parameters
    ----------
    panels : mapping of str to (mapping of str to list of series)
        Title of a panel -> name of a line -> a series for each seed, with a value for each epoch. The line is the mean over
        the seeds. A name has the same colour in every panel. A shorter series is part of the mean only in its own epochs.
    ylabel : str
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no series to draw.

    Examples
    --------
    >>> figure = compare({"digits": {"max": [[0.5, 0.75], [0.25, 0.5]], "none": [[0.25, 0.5]]}}, ylabel="accuracy")
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.375, 0.625]
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name, runs in panel.items() if any(map(len, runs))))
    if not names:
        raise ValueError("compare: expected at least one series with a value, got none. Pass a value for each epoch.")
    figure = new_figure(max(5.2, 4.2 * len(panels)), 4.2, title)
    row = np.ravel(figure.subplots(1, len(panels), sharey=True, squeeze=False))
    for axes, (heading, panel) in zip(row, panels.items(), strict=True):
        for name, runs in panel.items():
            drawn = [np.asarray(run, float) for run in runs if len(run)]
            if drawn:
                k = names.index(name)
                _band(axes, drawn, name, COLORS[k % 7], MARKERS[k % 7])
        epochs = max((len(run) for runs in panel.values() for run in runs), default=1)
        epoch_axis(axes, epochs, heading)
    row[0].set_ylabel(ylabel)
    legend_below(figure, columns=4)
    return finish(figure, path)


def small_panels(
    panels: Mapping[str, Series],
    *,
    columns: int = 2,
    ylabel: str = "",
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw named series over the epochs in rows of small panels, which all have the same axes.

    Parameters
    ----------
    panels, ylabel, title, path
        As for `compare`.
    columns : int
        The number of panels in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> curves = {"training": [[0.5, 0.75]], "validation": [[0.25, 0.5]]}
    >>> figure = small_panels({"net_1": curves, "net_2": curves, "net_3": curves})
    >>> [axes.get_title() for axes in figure.axes]
    ['net_1', 'net_2', 'net_3']
    """
    rows = -(-len(panels) // columns)
    figure = new_figure(2.9 * columns, 2.1 * rows + 0.5, title)
    grid = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    for axes, (heading, panel) in zip(grid, panels.items(), strict=False):
        for k, (name, runs) in enumerate(panel.items()):
            drawn = [np.asarray(run, float) for run in runs if len(run)]
            if drawn:
                _band(axes, drawn, name, COLORS[k % 7], "")
        axes.set_title(heading, fontsize=10)
        axes.xaxis.get_major_locator().set_params(integer=True)
        plain_grid(axes)
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes in grid[-columns:]:
        axes.set_xlabel("epoch")
    figure.supylabel(ylabel, fontsize=10)
    legend_below(figure, columns=4)
    return finish(figure, path)


def _band(axes: Axes, runs: list[np.ndarray], name: str, color: str, marker: str) -> None:
    epochs = max(map(len, runs))
    table = np.array([np.pad(run, (0, epochs - len(run)), constant_values=np.nan) for run in runs])  # (seeds, epochs)
    x = np.arange(1, epochs + 1)
    axes.plot(x, np.nanmean(table, axis=0), color=color, marker=marker, markersize=4, linewidth=1.8, label=name)
    if len(runs) > 1:
        axes.fill_between(x, np.nanmin(table, axis=0), np.nanmax(table, axis=0), color=color, alpha=0.18, linewidth=0)


def over_rates(
    lines: Mapping[str, Mapping[float, float]],
    *,
    defaults: Mapping[str, float] | None = None,
    ylabel: str = "",
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw a value against the learning rate, with a line for each optimizer and a ring at its default rate.

    Parameters
    ----------
    lines : mapping of str to (mapping of rate to value)
    defaults : mapping of str to rate, optional
    ylabel : str
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = over_rates({"adam": {0.01: 0.5, 0.001: 0.75}}, defaults={"adam": 0.001})
    >>> figure.axes[0].get_xscale(), figure.axes[0].lines[0].get_ydata().tolist()
    ('log', [0.75, 0.5])
    """
    figure = new_figure(6.4, 4.4, title)
    axes = figure.subplots()
    for k, (name, values) in enumerate(lines.items()):
        rates = sorted(values)
        axes.plot(rates, [values[r] for r in rates], color=COLORS[k % 7], marker=MARKERS[k % 7], linewidth=1.8, label=name)
        rate = (defaults or {}).get(name)
        if rate is not None and rate in values:
            axes.plot([rate], [values[rate]], "o", markersize=13, fillstyle="none", color=COLORS[k % 7])
    if defaults:
        axes.plot([], [], "o", markersize=11, fillstyle="none", color=QUIET, label="default")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel(ylabel)
    plain_grid(axes)
    legend_below(figure, columns=len(lines) + 1)
    return finish(figure, path)


def early_stopping(
    histories: Mapping[str, History | Mapping[str, Sequence[float]]],
    stops: Mapping[str, Mapping[int, tuple[int, int]]],
    *,
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw training curves, and mark the epoch at which early stopping stops and the epoch whose weights it restores.

    Parameters
    ----------
    histories : mapping of str to History, or to its ``.history``
        Each has a row of two panels: loss and accuracy, in training and in validation.
    stops : mapping of str to (mapping of patience to (stopped, restored))
        Two epochs, counted from 1: a triangle on the validation curve marks the first, a vertical line the second.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> curves = {"loss": [0.9, 0.5, 0.3], "val_loss": [0.8, 0.6, 0.7], "accuracy": [0.5] * 3, "val_accuracy": [0.6] * 3}
    >>> figure = early_stopping({"net": curves}, {"net": {1: (3, 2)}})
    >>> len(figure.axes)
    2
    """
    figure = new_figure(10.4, 3.9 * len(histories) + 0.3, title)
    grid = figure.subplots(len(histories), 2, squeeze=False)
    for row, (name, of_name) in zip(grid, histories.items(), strict=True):
        history = values_of(of_name)
        x = np.arange(1, len(history["loss"]) + 1)
        for axes, panel in zip(row, ("loss", "accuracy"), strict=True):
            axes.plot(x, history[panel], color=TRAINING, marker="o", markersize=3, linewidth=1.4, label="training")
            validation = history[f"val_{panel}"]
            axes.plot(x, validation, color=VALIDATION, marker="s", markersize=3, linewidth=1.8, label="validation")
            for epoch in sorted({restored for _, restored in stops[name].values()}):
                axes.axvline(epoch, color=CORRECT, linestyle="--", linewidth=1.3, zorder=0, label="weights restored")
            by_epoch: dict[int, list[int]] = {}
            for patience, (stopped, _) in stops[name].items():
                by_epoch.setdefault(stopped, []).append(patience)
            for stopped, patiences in by_epoch.items():
                at = (stopped, validation[stopped - 1])
                axes.plot(*at, "v", color="black", markersize=8, label="stopped, with this patience")
                axes.annotate(
                    ", ".join(map(str, patiences)), at, xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9
                )
            axes.margins(y=0.12)
            epoch_axis(axes, len(x), f"{name}: {panel}")
    legend_below(figure, columns=4)
    return finish(figure, path)
