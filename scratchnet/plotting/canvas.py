"""What all pictures share: colours, figures without pyplot, axes, legends, tiles in rows, and writing to a file."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.support.checking import plain_array
from scratchnet.support.files import as_path, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]

TRAINING = "#0072B2"  # blue, vermilion and green of Okabe and Ito's palette, and a grey
VALIDATION = "#D55E00"
CORRECT = "#009E73"
QUIET = "#666666"


def new_figure(width: float, height: float, title: str | None = None, *, compress: bool = False) -> Figure:
    """Return an empty figure of `width` × `height` inches with its own Agg canvas.

    `compress` moves images of the same shape close together; if shapes differ, it would make the wide ones smaller.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, compress=compress)
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    if title is not None:
        figure.suptitle(drawable(title), fontsize=12)
    return figure


def drawable(text: str) -> str:
    r"""Return `text` without what no font can draw: bytes of a file's name that are not UTF-8, which are surrogates in Python.

    >>> drawable("caf\udce9.png")
    'caf�.png'
    """
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def finish(figure: Figure, path: PathLike | None) -> Figure:
    """Write `figure` to `path`, if there is one, completely or not at all, and return it."""
    if path is None:
        return figure
    path = as_path(path)
    form = path.suffix[1:].lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if form not in known:
        raise ValueError(
            f"{path}: expected a name ending in one of {', '.join(sorted(known))}, got {path.suffix!r}. Rename the file."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")      # a name in another script is drawn as boxes
        write_whole(path, lambda file: figure.savefig(file, format=form))
    return figure


def bare(axes: Axes) -> None:
    """Remove ticks and frame from `axes`."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def plain_grid(axes: Axes) -> None:
    """Draw a faint grid, and no frame at the top and at the right."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def epoch_ticks(epochs: int) -> list[int]:
    """Return ticks at whole epochs from 1 to `epochs`: all of them up to 16, then round numbers.

    >>> epoch_ticks(3), epoch_ticks(30)
    ([1, 2, 3], [1, 5, 10, 15, 20, 25, 30])
    """
    step = next(step for k in range(12) for step in (10**k, 5 * 10**k) if epochs <= 16 * step)
    return [1, *range(step if step > 1 else 2, epochs + 1, step)]


def epoch_axis(axes: Axes, epochs: int, title: str) -> None:
    """Set the title of `axes`, and the epochs from 1 to `epochs` on its x-axis."""
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.set_xticks(epoch_ticks(epochs))
    axes.set_xlim(0.5, epochs + 0.5)
    plain_grid(axes)


def legend_below(figure: Figure, columns: int) -> None:
    """Draw one legend below all panels, with each label once, in at most `columns` columns."""
    panels = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for panel in panels for handle, label in zip(*panel, strict=True)}
    columns = min(columns, len(handles))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)


def as_picture(image: Any) -> Array:
    """Return `image` as imshow draws it: (H, W) for grey, (H, W, 3) for colour, floats in [0, 1].

    Parameters
    ----------
    image : array of shape (H, W), (H, W, 1) or (H, W, 3)
        ``uint8`` in 0..255, or floats. Floats outside [0, 1] (standardized images) are stretched to fit.

    Raises
    ------
    ValueError
        For any other shape, or if a value is not finite.
    """
    image = plain_array("plotting", "image", image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(
            f"plotting: expected an image of shape (H, W), (H, W, 1) or (H, W, 3), got {image.shape}. "
            "Pass one image, without a batch axis."
        )
    if image.dtype == np.uint8:
        return image / 255.0
    image = image.astype(float)
    if not np.isfinite(image).all():
        raise ValueError("plotting: expected an image of finite values, got NaN or infinity. Check the image.")
    low, high = float(image.min(initial=0.0)), float(image.max(initial=1.0))
    return (image - low) / (high - low)


def show(axes: Axes, image: Any) -> None:
    """Draw one image on `axes` without ticks and frame; grey images from black (0) to white (1)."""
    axes.imshow(as_picture(image), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    bare(axes)


def mosaic(tiles: Array, columns: int, *, gap: int = 1, fill: float = np.nan) -> Array:
    """Return `tiles`, (T, H, W) or (T, H, W, 3), as one array of rows of `columns` tiles.

    Neighbours are `gap` rows and columns apart. The gaps and the empty end of the last row have the value `fill`.

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
    """Return the class names as a list of strings, or raise ValueError if there are fewer than `K`."""
    names = [drawable(str(name)) for name in class_names]
    if len(names) < K:
        raise ValueError(f"class_names: expected at least {K} names for {K} classes, got {len(names)}. Name every class.")
    return names
