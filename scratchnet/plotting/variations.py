"""One image and its random variations, as augmentation layers make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.plotting.canvas import PathLike, as_picture, bare, finish, mosaic, new_figure, show
from scratchnet.support.checking import plain_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def variations(
    image: Any, images: Any, *, columns: int = 6, title: str | None = None, path: PathLike | None = None
) -> Figure:
    """Draw an image, and next to it its variations in rows.

    `layer.forward(np.repeat(image[np.newaxis], 24, axis=0), training=True)` makes 24 of them; a layer that is not in a model
    must be built first, with `layer.build(image.shape)`.

    Parameters
    ----------
    image : array of shape (H, W), (H, W, 1) or (H, W, 3)
        ``uint8``, or floats in [0, 1].
    images : array of shape (N, OH, OW), (N, OH, OW, 1) or (N, OH, OW, 3)
        The variations, as large as the image, or smaller if they are cropped.
    columns : int
        Variations in a row.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no variation.

    Examples
    --------
    >>> image = np.eye(8)
    >>> figure = variations(image, [image, image[::-1], image[:, ::-1]], columns=2, title="flips")
    >>> [axes.get_title() for axes in figure.axes]
    ['the image', '3 variations']
    """
    images = plain_array("variations", "images", images)
    if images.ndim < 3 or not len(images):
        raise ValueError(
            f"variations: expected at least one variation, as an array of shape (N, H, W, C), got shape {images.shape}. Pass"
            " layer.forward(np.repeat(image[np.newaxis], 24, axis=0), training=True)"
        )
    tiles = np.stack([as_picture(each) for each in images])
    picture = mosaic(tiles, columns, gap=max(1, tiles.shape[2] // 12), fill=1.0)
    rows = -(-len(tiles) // columns)
    size, ratio = 0.8, tiles.shape[1] / tiles.shape[2]
    figure = new_figure(size * (columns + 2.6), size * rows * ratio + (0.6 if title else 0.4), title)
    left, right = figure.subplots(1, 2, width_ratios=[2.2, columns])
    show(left, image)
    left.set_title("the image", fontsize=11)
    right.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    bare(right)
    right.set_title(f"{len(tiles)} variations", fontsize=11)
    return finish(figure, path)
