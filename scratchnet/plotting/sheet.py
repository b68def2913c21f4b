"""The images of a data set: a sheet with a row for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.plotting.canvas import PathLike, as_picture, bare, check_names, finish, mosaic, new_figure
from scratchnet.support.checking import plain_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def image_sheet(
    images: Any,
    labels: Any,
    class_names: Sequence[str],
    *,
    columns: int = 12,
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw the first images of each class in a row.

    Parameters
    ----------
    images : array of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3)
        ``uint8``, or floats in [0, 1].
    labels : array of shape (N,)
        Class numbers.
    class_names : sequence of K str
        Each has a row.
    columns : int
        Images in a row.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no image, or the numbers of images and labels differ.

    Examples
    --------
    >>> figure = image_sheet(np.zeros((4, 8, 8)), [0, 1, 0, 1], ["cat", "dog"], columns=2)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['cat', 'dog']
    """
    images = plain_array("image_sheet", "images", images)
    labels = plain_array("image_sheet", "labels", labels).reshape(-1)
    if not len(images) or len(images) != len(labels):
        raise ValueError(
            f"image_sheet: expected a label for each of at least one image, got {len(labels)} labels for {len(images)} images. "
            "Pass images and labels of one data set."
        )
    names = check_names(class_names, int(labels.max()) + 1)
    blank = np.ones_like(as_picture(images[0]))
    tiles = []
    for k in range(len(names)):
        row = [as_picture(image) for image in images[np.flatnonzero(labels == k)[:columns]]]
        tiles += row + [blank] * (columns - len(row))
    H, W = blank.shape[:2]
    picture = mosaic(np.stack(tiles), columns, gap=2, fill=1.0)

    size = 0.62
    figure = new_figure(size * columns + 1.3, size * len(names) * H / W + (0.5 if title else 0.2), title)
    axes = figure.subplots()
    axes.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    bare(axes)
    axes.set_yticks([k * (H + 2) + (H - 1) / 2 for k in range(len(names))], names)
    axes.tick_params(axis="y", length=0)
    return finish(figure, path)
