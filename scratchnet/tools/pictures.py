"""Convert a picture of your own to the input of a trained network, and say what was decided about it.

Networks of grey images are trained on light ink on a black background. The ink is found as ink.py describes, and prepared as
MNIST's digits are (LeCun et al. 1998, section III.A): its bounding box is scaled to fit 20 × 20, and its centre of mass is moved
to the centre of 28 × 28. A picture in which the ink is not clear is refused.

Networks of colour images are trained on whole scenes: the middle of the picture, cut to the proportions of the input, is averaged
down.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet.tools.ink import Drawing, background, edge_of, find_ink, size

Array = np.ndarray[Any, Any]

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in perceived brightness (ITU-R BT.601)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
LONGEST = 2048  # pixels of the longer side; a larger picture is averaged down before it is converted to floats
SIDE = 400      # pixels of the longer side of the picture in which the ink is looked for
BOX = 20 / 28   # of the input: the longer side of the ink


class Prepared(NamedTuple):
    """A network's input, (H, W, C) float32, and a text that says what was decided about the picture."""

    x: Array
    decision: str


class Place(NamedTuple):
    """Where a drawing lies in a network's input, in pixels."""

    top: int
    left: int
    height: int
    width: int


def read_picture(path: str | Path) -> Array:
    """Return the picture in a file as floats in [0, 1] of shape (H, W, 3), upright, of at most 2048 pixels a side.

    The format is detected from the content, not from the file's name. Transparent pixels are blended with white, or with
    black if all opaque pixels are light.

    Raises
    ------
    ValueError
        If the file is not a picture, is damaged, or has too many pixels.
    FileNotFoundError
        If there is no such file.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a picture file, got a folder. Name the pictures in it, for example {path / '*.png'}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a picture file, got a path that does not exist. Correct it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's notes on large and on unusual files; errors remain
            with Image.open(path, formats=FORMATS) as image:
                image.draft(None, (LONGEST, LONGEST))  # a JPEG is reduced while it is decoded
                if image.mode[0] not in "IF":  # of 8 bits a colour
                    wanted = "RGBA" if image.has_transparency_data else "RGB"
                    image = image if image.mode in ("L", wanted) else image.convert(wanted)
                    image = image.reduce(max(1, -(-max(image.size) // LONGEST)))
                pixels = np.asarray(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ValueError(f"{path}: expected a picture of at most {most} megapixels, got a larger one. Reduce it.") from None
    except Exception as error:  # decoders fail with many types of error on a damaged file
        reason = "a file of another kind" if isinstance(error, Image.UnidentifiedImageError) else error or type(error).__name__
        raise ValueError(f"{path}: expected a readable picture, got {reason}. Save it as PNG.") from None
    return rgb(pixels)


def rgb(pixels: Array) -> Array:
    """Convert pixels as Pillow reads them, (H, W), (H, W, 3) or (H, W, 4), to floats (H, W, 3) in [0, 1]."""
    if pixels.ndim == 2 and pixels.dtype != np.uint8:  # 16 or 32 bits, whose range the file does not state
        pixels = pixels[:: -(-pixels.shape[0] // LONGEST), :: -(-pixels.shape[1] // LONGEST)].astype(float)
        most = next((top for top in (1, 255, 65535) if pixels.max() <= top), pixels.max())
        pixels = np.clip(pixels / most, 0.0, 1.0)
    else:
        pixels = pixels / 255.0
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 3:
        return pixels
    colour, alpha = pixels[:, :, :3], pixels[:, :, 3:]
    opaque = (colour @ LUMA)[alpha[:, :, 0] > 0.5]
    all_light = opaque.size > 0 and np.percentile(opaque, 5) > 0.5
    return colour * alpha + (0.0 if all_light else 1.0) * (1.0 - alpha)


def prepare(picture: Array, input_shape: tuple[int, ...]) -> Prepared:
    """Return `picture`, (H, W, 3) floats in [0, 1], as float32 of a network's `input_shape`, and what was decided about it.

    Raises
    ------
    ValueError
        If the network's input is not an image, (H, W, 1) or (H, W, 3); or if it is grey and the picture is blank, holds
        several drawings, or shows no clear difference between ink and paper.
    """
    if len(input_shape) != 3 or input_shape[2] not in (1, 3):
        raise ValueError(
            f"the network: expected an input shape of a picture, (H, W, 1) or (H, W, 3), got {input_shape}. "
            "Use a network that was trained on images."
        )
    H, W, C = input_shape
    if C == 3:
        h, w = picture.shape[:2]
        return Prepared(middle(picture, H, W).astype(np.float32), f"the middle of {w} × {h} pixels, averaged to {W} × {H}")
    x, decision = centred_ink(clearest(picture), H, W)
    return Prepared(x[:, :, None].astype(np.float32), decision)


def clearest(picture: Array) -> Array:
    """Return the brightness of `picture`, (h, w, 3) -> (h, w), or one colour channel if its contrast is over twice as large."""
    grey = picture @ LUMA
    channel = picture[:, :, int(np.argmax(np.ptp(picture, axis=(0, 1))))]
    return channel if np.ptp(channel) > 2 * np.ptp(grey) else grey


def centred_ink(grey: Array, H: int, W: int) -> Prepared:
    """Return a drawing, (h, w) in [0, 1], as light ink on black, (H, W), scaled and centred like MNIST's digits."""
    x = in_place(grey) if grey.shape == (H, W) else None
    if x is not None:
        return Prepared(x, "unchanged, since it fills the input of the network")
    found = closely(grey)
    top, left, bottom, right = found.box
    out, place = placed(found.ink[top:bottom, left:right], H, W)
    if grey.shape == (H, W) and (place.top, place.left) == (top, left) and is_clean(grey, found):
        out = np.abs(grey - background(grey, found.dark))
    ground = "dark on light, inverted" if found.dark else "light on dark"
    words = [ground, f"{place.height} × {place.width} pixels of ink, centred", *found.left_out]
    return Prepared(out, "; ".join(words))


def placed(ink: Array, H: int, W: int) -> tuple[Array, Place]:
    """Return the ink of a drawing, (h, w) in [0, 1], scaled and centred in (H, W) like MNIST's digits; and its place there.

    The ink is scaled to fit 20 × 20 of 28 × 28, and its centre of mass is moved to the centre.

    >>> x, place = placed(np.ones((40, 20)), 28, 28)
    >>> place, float(x.sum())
    (Place(top=4, left=10, height=20, width=10), 200.0)
    """
    scale = BOX * min(H / ink.shape[0], W / ink.shape[1])
    if not 0.85 < scale < 1.1:  # a drawing that is about as large as MNIST's stays as sharp as it is
        ink = resize(ink, *(max(1, round(scale * n)) for n in ink.shape))
    h, w = ink.shape
    centre = (ink.sum(axis=1) @ np.arange(h) / ink.sum(), ink.sum(axis=0) @ np.arange(w) / ink.sum())
    y = min(max(round(H / 2 - centre[0]), 0), H - h)
    x0 = min(max(round(W / 2 - centre[1]), 0), W - w)
    out = np.zeros((H, W))
    out[y : y + h, x0 : x0 + w] = ink
    return out, Place(y, x0, h, w)


def closely(grey: Array) -> Drawing:
    """Return the ink in `grey`, found at 400 pixels a side, and again in an enlarged part around it if it is small there."""
    for _ in range(2):
        h, w = grey.shape
        step = max(1.0, max(h, w) / SIDE)
        look = resize(grey, max(1, round(h / step)), max(1, round(w / step))) if step > 1 else grey
        found = find_ink(look)
        longest = size(found.box)
        if step == 1 or longest > SIDE / 4:
            break
        top, left, bottom, right = (round(step * n) for n in found.box)
        margin = round(step * longest)
        grey = grey[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    return found


def is_clean(grey: Array, found: Drawing) -> bool:
    """Return whether `grey` is nearly pure black or white outside the ink that was found, as images of a data set are."""
    ground = background(grey, found.dark)
    dirt = np.abs(grey - ground)[found.ink == 0]
    return bool(np.allclose(ground, 1.0 if found.dark else 0.0) and dirt.max(initial=0.0) < 0.35)


def in_place(grey: Array) -> Array | None:
    """Return `grey`, (H, W) in a network's own size, as light on dark; None if it is a drawing that can be moved.

    An image of a data set may fill the input from side to side. Such an image is neither moved nor scaled. It is recognized by
    its marks, all lighter or all darker than most of its edge, which reach two opposite sides.
    """
    edge = edge_of(grey)
    above = grey - np.median(edge)
    above = above if above.sum() > 0 else -above
    marked = above > 0.2
    across = (marked[0].any() and marked[-1].any()) or (marked[:, 0].any() and marked[:, -1].any())
    return above.clip(0.0, 1.0) if across and above.min() > -0.05 and np.mean(np.abs(edge - np.median(edge)) < 0.05) > 0.5 else None


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
    """Return an (N, n) matrix; row i holds the share of the i-th of `N` windows that lies in each of `n` cells.

    A window is as wide as the step between windows, but at least one cell wide; if the step is narrower, this interpolates.
    Each row sums to 1.

    >>> coverage(5, 2)                                  # each window is 2.5 cells wide
    array([[0.4, 0.4, 0.2, 0. , 0. ],
           [0. , 0. , 0.2, 0.4, 0.4]])
    >>> coverage(2, 4)                                  # the windows are 0.5 cells apart and 1 cell wide
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    step = n / N
    width = max(step, 1.0)
    centre = (np.arange(N)[:, None] + 0.5) * step
    cell = np.arange(n)[None, :]
    overlap = np.minimum(centre + width / 2, cell + 1) - np.maximum(centre - width / 2, cell)
    overlap = np.maximum(overlap, 0.0)
    return overlap / overlap.sum(axis=1, keepdims=True)
