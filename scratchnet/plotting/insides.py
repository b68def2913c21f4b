"""Pictures of a convolutional network: its learned filters, and its feature maps for one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.plotting.canvas import PathLike, bare, finish, mosaic, new_figure, show
from scratchnet.support.checking import plain_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filters(kernel: Any, *, title: str | None = None, path: PathLike | None = None) -> Figure:
    """Draw the filters of a first convolution, one tile each, on one scale that is centred at 0.

    Parameters
    ----------
    kernel : array of shape (KH, KW, 1, F) or (KH, KW, 3, F)
        The first layer's weights. For grey images, weights below 0 are drawn purple, 0 white, and weights above 0 orange. For
        colour images, a filter is drawn as a small colour image: 0 is mid-grey, and more red is a larger weight for red.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For another shape: filters over other numbers of channels cannot be drawn.

    Examples
    --------
    >>> figure = filters(np.linspace(-1, 1, 3 * 3 * 1 * 8).reshape(3, 3, 1, 8))
    >>> figure.get_suptitle()
    '8 filters of 3×3'
    """
    kernel = plain_array("filters", "kernel", kernel).astype(float)
    if kernel.ndim != 4 or kernel.shape[2] not in (1, 3):
        raise ValueError(
            f"filters: expected shape (KH, KW, 1, F) or (KH, KW, 3, F), got {kernel.shape}. "
            "Pass the first layer's kernel: model.get_layer('conv2d').params['kernel']."
        )
    KH, KW, C, F = kernel.shape
    limit = float(np.abs(kernel).max()) or 1.0
    zoom = 12  # each weight is drawn as 12 × 12 cells, so that gaps are thinner than weights
    tiles = kernel.transpose(3, 0, 1, 2).repeat(zoom, axis=1).repeat(zoom, axis=2)  # (F, KH·zoom, KW·zoom, C)
    columns = min(F, 8)
    rows = -(-F // columns)

    figure = new_figure(0.95 * columns + 1.4, 0.95 * rows * KH / KW + 0.9, title or f"{F} filters of {KH}×{KW}")
    axes = figure.subplots()
    if C == 1:
        picture = axes.imshow(mosaic(tiles[..., 0], columns, gap=5), cmap="PuOr_r", vmin=-limit, vmax=limit)
        figure.colorbar(picture, ax=axes, label="weight", fraction=0.05, shrink=0.85)
    else:
        axes.imshow(mosaic(0.5 + 0.5 * tiles / limit, columns, gap=5, fill=1.0))
        axes.set_xlabel(f"mid-grey is 0; full colour is {limit:.2f}")
    bare(axes)
    return finish(figure, path)


def feature_maps(
    maps: Mapping[str, Any],
    *,
    image: Any = None,
    limit: int = 32,
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw the output of each layer for one image: a block of tiles for each layer, bright where a feature was found.

    Parameters
    ----------
    maps : mapping of str to array of shape (H, W, C)
        A layer's name and its output for the image, in the network's order: see ``model.layer_outputs``.
    image : array of shape (H, W), (H, W, 1) or (H, W, 3), optional
        The image itself, drawn above.
    limit : int
        The largest number of maps drawn for each layer. The maps of a layer share one brightness scale.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no map, or an output is not (H, W, C), as after a Flatten.

    Examples
    --------
    >>> figure = feature_maps({"conv2d": np.zeros((7, 5, 4)), "conv2d_1": np.zeros((4, 3, 6))})
    >>> [axes.get_title() for axes in figure.axes]
    ['conv2d: 4 maps of 7×5', 'conv2d_1: 6 maps of 4×3']
    """
    outputs = {name: plain_array("feature_maps", "maps", output).astype(float) for name, output in maps.items()}
    if not outputs:
        raise ValueError("feature_maps: expected at least one layer, got none. Pass {name: output of shape (H, W, C)}.")
    for name, output in outputs.items():
        if output.ndim != 3:
            raise ValueError(
                f"feature_maps: expected outputs of shape (H, W, C), got {output.shape} for {name!r}. Pass those of one image."
            )
    columns = min(16, max(min(limit, output.shape[2]) for output in outputs.values()))
    pictures = [
        mosaic(output[:, :, :limit].transpose(2, 0, 1), columns) for output in outputs.values()
    ]  # each (rows·(H+1)-1, columns·(W+1)-1)
    width = max(0.68 * columns, 5.0)
    heights = [width * picture.shape[0] / picture.shape[1] for picture in pictures]
    if image is not None:
        heights = [1.5, *heights]

    figure = new_figure(width + 0.2, sum(heights) + 0.35 * len(heights) + 0.4, title)
    panels = np.ravel(figure.subplots(len(heights), 1, height_ratios=heights))
    if image is not None:
        show(panels[0], image)
        panels[0].set_title("the image", fontsize=10)
        panels = panels[1:]
    for axes, (name, output), picture in zip(panels, outputs.items(), pictures, strict=True):
        H, W, C = output.shape
        # A quantile, because one pixel that is far brighter than all others would make the rest dark.
        bright = float(np.quantile(output, 0.998)) or float(output.max()) or 1.0
        low = min(0.0, float(output.min()))
        axes.imshow(picture, cmap="magma", vmin=low, vmax=max(bright, low + 1e-12), interpolation="nearest")
        shown = f"{C}" if limit >= C else f"{limit} of {C}"
        axes.set_title(f"{name}: {shown} maps of {H}×{W}", fontsize=10)
        bare(axes)
    return finish(figure, path)
