"""What every picture shares: the colours, a figure without pyplot, tiles in rows, a file written whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]

TRAINING = "#0072B2"  # blue, vermilion, green and grey of Okabe and Ito's palette
VALIDATION = "#D55E00"
RIGHT = "#009E73"
QUIET = "#666666"


def new_figure(width: float, height: float, title: str | None = None, *, compress: bool = False) -> Figure:
    """Return an empty figure of `width` × `height` inches with an Agg canvas of its own.

    `compress` draws images of one form together; among images of several forms it would shrink the wide ones.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, compress=compress)
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    if title is not None:
        figure.suptitle(title, fontsize=12)
    return figure


def finish(figure: Figure, path: PathLike | None) -> Figure:
    """Write `figure` to `path` when there is one, whole or not at all, and return it."""
    if path is None:
        return figure
    path = Path(path)
    form = path.suffix[1:].lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"{path}: a picture's name ends in one of {', '.join(sorted(known))}, not {path.suffix!r}")
    write_whole(path, lambda file: figure.savefig(file, format=form))
    return figure


def bare(axes: Axes) -> None:
    """Leave `axes` without ticks and frame: a picture needs neither."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def as_picture(image: Any) -> Array:
    """Return `image` as imshow draws it: (H, W) for grey, (H, W, 3) for colour, floats in [0, 1].

    Parameters
    ----------
    image : array of shape (H, W), (H, W, 1) or (H, W, 3)
        ``uint8`` in 0..255, or floats. Floats outside [0, 1] (standardized images) are stretched to fit.

    Raises
    ------
    ValueError
        For any other shape, and for values that are not finite.
    """
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"an image to draw has shape (H, W), (H, W, 1) or (H, W, 3), not {image.shape}")
    if image.dtype == np.uint8:
        return image / 255.0
    image = image.astype(float)
    if not np.isfinite(image).all():
        raise ValueError("an image to draw has a value that is not finite")
    low, high = float(image.min(initial=0.0)), float(image.max(initial=1.0))
    return (image - low) / (high - low)


def show(axes: Axes, image: Any) -> None:
    """Draw one image on bare `axes`, grey from black (0) to white (1)."""
    axes.imshow(as_picture(image), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    bare(axes)


def mosaic(tiles: Array, columns: int, *, gap: int = 1, fill: float = np.nan) -> Array:
    """Return `tiles`, (T, H, W) or (T, H, W, 3), as one array of rows of `columns` tiles.

    `gap` rows and columns of the value `fill` lie between neighbours and where the last row is short.

    >>> mosaic(np.ones((3, 1, 2)), 2, fill=0.0)
    array([[1., 1., 0., 1., 1.],
           [0., 0., 0., 0., 0.],
           [1., 1., 0., 0., 0.]])
    """
    T, H, W = tiles.shape[:3]
    rows = -(-T // columns)
    out = np.full((rows * (H + gap) - gap, columns * (W + gap) - gap, *tiles.shape[3:]), fill)
    for t in range(T):
        top, left = t // columns * (H + gap), t % columns * (W + gap)
        out[top : top + H, left : left + W] = tiles[t]
    return out


def check_names(class_names: Any, K: int) -> list[str]:
    """Return the class names as a list of strings, or raise ValueError when there are fewer than `K`."""
    names = [str(name) for name in class_names]
    if len(names) < K:
        raise ValueError(f"{K} classes need {K} class names; {len(names)} came")
    return names
