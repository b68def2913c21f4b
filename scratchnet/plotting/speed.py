"""Speed: implementations against the machine's peak, frameworks against each other, and time against size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scratchnet.plotting.canvas import CORRECT, QUIET, TRAINING, VALIDATION, PathLike, finish, legend_below, new_figure, plain_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def short(value: float) -> str:
    """Return a number with three digits, or all digits of the integer part if it has more.

    Examples
    --------
    >>> short(0.012345), short(12.345), short(1234.5)
    ('0.0123', '12.3', '1234')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def ladder(rungs: Sequence[Mapping[str, Any]], peaks: Mapping[str, float], *, path: PathLike | None = None) -> Figure:
    """Draw the GFLOP/s of each implementation on a logarithmic axis, and a line for each peak.

    Parameters
    ----------
    rungs : sequence of mappings
        Each has "rung", the name of an implementation, and "gflops".
    peaks : mapping of str to float
        Name of a line -> GFLOP/s.
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = ladder([{"rung": "loops", "gflops": 0.01}, {"rung": "fused", "gflops": 100.0}], {"peak": 120.0})
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['loops', 'fused']
    """
    figure = new_figure(8.0, 1.8 + 0.4 * len(rungs), "One convolution, forward and backward")
    axes = figure.subplots()
    values = [rung["gflops"] for rung in rungs]
    axes.barh(range(len(rungs)), values, color=[VALIDATION if value < 1 else TRAINING for value in values], height=0.62)
    for k, value in enumerate(values):
        axes.annotate(
            short(value), (value, k), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},          # drawn over the peak's line
        )  # fmt: skip
    for (name, value), style in zip(peaks.items(), ("--", "-", ":"), strict=False):
        axes.axvline(value, color=QUIET, linestyle=style, linewidth=1.2, label=f"{name}: {value:.0f}")
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 2, max([*values, *peaks.values()]) * 3)
    axes.set_yticks(range(len(rungs)), [rung["rung"] for rung in rungs])
    axes.invert_yaxis()
    axes.set_xlabel("GFLOP/s, counting the operations of the definition")
    axes.spines[["top", "right"]].set_visible(False)
    legend_below(figure, columns=len(peaks))
    return finish(figure, path)


def sides(times: Mapping[str, Mapping[str, float]], *, title: str = "", path: PathLike | None = None) -> Figure:
    """Draw the milliseconds of each framework, with a panel for each task; scratchnet's bar is green.

    Parameters
    ----------
    times : mapping of str to (mapping of str to float)
        Task -> framework -> milliseconds.
    title : str
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> len(sides({"net_1": {"scratchnet": 50.0, "keras": 80.0}, "net_2": {"scratchnet": 12.0}}).axes)
    2
    """
    most = max(len(panel) for panel in times.values())
    columns = min(2, len(times))
    rows = -(-len(times) // columns)
    figure = new_figure(4.6 * columns, rows * (1.4 + 0.3 * most) + 0.4, title or None)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(times) :]:
        axes.set_visible(False)
    for axes, (work, panel) in zip(grid, times.items(), strict=False):
        names = sorted(panel, key=panel.__getitem__)
        values = [panel[name] for name in names]
        axes.barh(range(len(names)), values, color=[CORRECT if name == "scratchnet" else TRAINING for name in names], height=0.62)
        for k, value in enumerate(values):
            axes.annotate(short(value), (value, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, max(values) * 1.18)
        axes.set_title(work, fontsize=11)
        axes.set_xlabel("milliseconds")
        axes.spines[["top", "right"]].set_visible(False)
    return finish(figure, path)


def growth(times: Mapping[str, Mapping[float, float]], *, path: PathLike | None = None) -> Figure:
    """Draw milliseconds against a size, with a panel for each kind of size, and the line from 0 to the last point.

    Parameters
    ----------
    times : mapping of str to (mapping of float to float)
        Name of the size -> its value -> milliseconds.
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = growth({"images in a batch": {32: 3.0, 64: 5.0}})
    >>> figure.axes[0].get_xlabel()
    'images in a batch'
    """
    figure = new_figure(4.6 * len(times), 3.6, "A training step of net_2")
    for axes, (what, panel) in zip(figure.subplots(1, len(times), squeeze=False)[0], times.items(), strict=True):
        x, y = list(panel), list(panel.values())
        axes.plot([0, x[-1]], [0, y[-1]], color=QUIET, linestyle="--", linewidth=1, label="proportional")
        axes.plot(x, y, color=TRAINING, marker="o", linewidth=1.8, label="measured")
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.set_xlabel(what)
        axes.set_ylabel("milliseconds")
        axes.legend(frameon=False)
        plain_grid(axes)
    return finish(figure, path)
