"""Convert a picture of your own to the input of a trained network.

Networks of grey images are trained on light ink on a black background. The picture is prepared as MNIST's digits are (LeCun
et al. 1998, section III.A): the ink's bounding box is scaled to fit 20 × 20, and its centre of mass is moved to the centre of
28 × 28. Networks of colour images are trained on whole scenes: the middle of the picture, cut to the proportions of the
input, is averaged down.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in perceived brightness (ITU-R BT.601)
INK = 0.2  # as a share of the strongest contrast; anything fainter is paper, shadow or noise


def read_picture(path: str | Path) -> Array:
    """Return the picture in a file as floats in [0, 1] of shape (H, W, 3); transparent pixels are blended with white.

    Raises
    ------
    ValueError
        If the file is not a picture, or is damaged.
    FileNotFoundError
        If there is no such file.
    """
    from matplotlib.image import imread

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: expected a picture file, found no file. Check the path.")
    try:
        picture = imread(path)
    except Exception as error:  # decoders fail with many types of error on a damaged file
        raise ValueError(f"{path}: expected a readable picture, got {error or type(error).__name__}. Save it as PNG.") from None
    if np.issubdtype(picture.dtype, np.integer):
        picture = picture / np.iinfo(picture.dtype).max
    picture = picture.astype(float)  # (H, W), (H, W, 3) or (H, W, 4), as matplotlib reads them
    if picture.ndim == 2:
        return np.repeat(picture[:, :, None], 3, axis=2)
    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:]
        return picture[:, :, :3] * alpha + (1.0 - alpha)
    return picture


def to_net(picture: Array, input_shape: tuple[int, ...]) -> Array:
    """Return `picture`, (H, W, 3) floats in [0, 1], as float32 of a network's `input_shape`, (H, W, 1) or (H, W, 3).

    Raises
    ------
    ValueError
        If the network's input is not an image, or it is grey and the picture is blank.
    """
    if len(input_shape) != 3 or input_shape[2] not in (1, 3):
        raise ValueError(
            f"the network: expected an input shape of a picture, (H, W, 1) or (H, W, 3), got {input_shape}. "
            "Use a network that was trained on images."
        )
    H, W, C = input_shape
    return (centred_ink(picture @ LUMA, H, W)[:, :, None] if C == 1 else middle(picture, H, W)).astype(np.float32)


def centred_ink(grey: Array, H: int, W: int) -> Array:
    """Return a drawing, (h, w) in [0, 1], as light ink on black, scaled and centred in (H, W) like MNIST's digits."""
    ink = light_on_dark(grey)
    if ink.shape == (H, W):  # it is already prepared
        return ink
    contrast = ink.max()
    if contrast < 0.05:
        raise ValueError("expected a dark drawing on light paper, or light on dark, got a blank picture. Increase its contrast.")
    ink = np.where(ink < INK * contrast, 0.0, ink / contrast)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = 20 / 28
    scale = min(box * H / ink.shape[0], box * W / ink.shape[1])
    h, w = (max(1, round(scale * n)) for n in ink.shape)
    ink = resize(ink, h, w)
    mass = ink.sum()
    top = round((H - 1) / 2 - float(ink.sum(axis=1) @ np.arange(h)) / mass)
    left = round((W - 1) / 2 - float(ink.sum(axis=0) @ np.arange(w)) / mass)
    top, left = min(max(top, 0), H - h), min(max(left, 0), W - w)
    out = np.zeros((H, W))
    out[top : top + h, left : left + w] = ink
    return out


def light_on_dark(grey: Array) -> Array:
    """Return `grey` with its background at 0 and its ink above, inverted if the border is light.

    >>> light_on_dark(np.array([[1.0, 1.0, 1.0], [1.0, 0.25, 1.0], [1.0, 1.0, 1.0]]))[1]
    array([0.  , 0.75, 0.  ])
    """
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    background = float(np.median(border))
    return np.clip(background - grey if background > 0.5 else grey - background, 0.0, 1.0)


def middle(picture: Array, H: int, W: int) -> Array:
    """Return the largest middle part of `picture`, (h, w, 3), of the proportions H to W, averaged down to (H, W, 3)."""
    h, w = picture.shape[:2]
    scale = min(h / H, w / W)
    part_h, part_w = max(1, round(scale * H)), max(1, round(scale * W))
    top, left = (h - part_h) // 2, (w - part_w) // 2
    return resize(picture[top : top + part_h, left : left + part_w], H, W)


def resize(picture: Array, H: int, W: int) -> Array:
    """Return `picture`, (h, w) or (h, w, C), as (H, W) or (H, W, C); each new pixel is the mean of the area it covers.

    >>> resize(np.array([[0.0, 1.0, 2.0, 3.0]]), 1, 2)
    array([[0.5, 2.5]])
    """
    rows, columns = coverage(picture.shape[0], H), coverage(picture.shape[1], W)
    picture = np.tensordot(rows, picture, axes=(1, 0))  # (H, h) @ (h, w, ...) -> (H, w, ...)
    return np.moveaxis(np.tensordot(columns, picture, axes=(1, 1)), 0, 1)  # (W, w) over axis 1 -> (H, W, ...)


def coverage(n: int, N: int) -> Array:
    """Return an (N, n) matrix; row i holds how much of each of `n` cells the i-th of `N` windows covers.

    A window is as wide as the step between windows, but at least one cell wide; with narrower steps it interpolates. Each
    row sums to 1.
    """
    step = n / N
    width = max(step, 1.0)
    centre = (np.arange(N)[:, None] + 0.5) * step
    cell = np.arange(n)[None, :]
    overlap = np.minimum(centre + width / 2, cell + 1) - np.maximum(centre - width / 2, cell)
    overlap = np.maximum(overlap, 0.0)
    return overlap / overlap.sum(axis=1, keepdims=True)
