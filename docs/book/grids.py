"""What the pictures of chapters 2, 3 and 4 have in common: the image and the kernel of the examples, and grids of numbers."""

from pathlib import Path

import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

from scratchnet.plotting.canvas import finish, new_figure

PICTURES = Path(__file__).parent / "pictures"

IMAGE = np.array([
    [0, 3, 4, 2, 0],
    [0, 0, 1, 3, 0],
    [0, 0, 3, 1, 0],
    [0, 2, 3, 0, 0],
    [0, 4, 1, 0, 0],
], float)  # fmt: skip
KERNEL = np.array([
    [1, 2, 1],
    [0, 0, 0],
    [-1, -2, -1],
], float)  # fmt: skip

INK, QUIET, LINE = "#1b1f24", "#57606a", "#b9c0c8"
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#007a5a", "#b0487f"
PALE = {BLUE: "#cfe6f5", ORANGE: "#ffe2c4", GREEN: "#cdeee2", PINK: "#f8dcec"}
PADDING = "#eceff2"


def sheet(width, height, cells_wide, cells_high):
    """Return a figure of `width` × `height` inches, and its axes, in which a cell is 1 × 1 and y points down."""
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.set(xlim=(0, cells_wide), ylim=(cells_high, 0), aspect="equal")
    axes.axis("off")
    return figure, axes


def save(figure, name):
    """Write the picture."""
    PICTURES.mkdir(exist_ok=True)
    finish(figure, PICTURES / name)


def text(axes, x, y, words, *, size=12, color=INK, ha="center", va="center", weight="normal"):
    """Write words with their middle (or their left end, ha="left") at (x, y)."""
    axes.text(x, y, words, fontsize=size, color=color, ha=ha, va=va, weight=weight)


def shown(value):
    """Return a number as text, with a true minus sign."""
    return f"{value + 0.0:g}".replace("-", "−")


def ink(values, most=4):
    """Return a function that colours a cell the darker, the larger its number is."""
    return lambda h, v: str(1 - 0.35 * min(1, abs(values[h, v]) / most))


def grid(axes, x, y, values, *, title="", fill=lambda h, v: "white", size=12, label=shown, names=False):
    """Draw a matrix of numbers with its upper left corner at (x, y); `fill(h, v)` is the colour of a cell."""
    rows, columns = values.shape
    for h in range(rows):
        for v in range(columns):
            axes.add_patch(Rectangle((x + v, y + h), 1, 1, fc=fill(h, v), ec=LINE, lw=0.8))
            text(axes, x + v + 0.5, y + h + 0.5, label(values[h, v]), size=size)
    if names:
        for h in range(rows):
            text(axes, x - 0.35, y + h + 0.5, str(h), size=size - 2, color=QUIET)
        for v in range(columns):
            text(axes, x + v + 0.5, y - 0.35, str(v), size=size - 2, color=QUIET)
    if title:
        text(axes, x, y - (0.85 if names else 0.3), title, color=QUIET, ha="left", va="bottom")


def outline(axes, x, y, columns, rows, color, *, width=2.5, style="-"):
    """Draw the edge of a window."""
    axes.add_patch(Rectangle((x, y), columns, rows, fc="none", ec=color, lw=width, ls=style, zorder=3))


def arrow(axes, start, end, color=QUIET, *, width=1.5, bend=0.0):
    """Draw an arrow."""
    way = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=12, color=color, lw=width, connectionstyle=f"arc3,rad={bend}", zorder=4
    )
    axes.add_patch(way)
