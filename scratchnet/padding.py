"""How many cells of padding a window needs, and how many outputs there are then.

A window of `kernel` cells moves over `size` cells in steps of `stride`. With `before + after` cells added around the
input it fits

    out = (size + before + after - kernel) // stride + 1

times. `valid` adds nothing. `same` adds exactly as many cells as out = ceil(size / stride) needs; if their number is odd,
one more is added after than before:

    total = max(0, (out - 1) * stride + kernel - size),    before = total // 2,    after = total - before

    size 6, kernel 3, stride 2:   out = 3, total = 1, before = 0, after = 1

        x0 x1 x2 x3 x4 x5  .
        └──────┘
              └──────┘
                    └──────┘

With one cell on each side, before = after = 1, there would be 3 outputs too, but each would be computed from other cells.

Source: the arithmetic of `tf.nn.convolution` ("same" padding); Dumoulin & Visin, *A guide to convolution arithmetic for
deep learning* (2016), relationships 5 and 6.
"""

from __future__ import annotations

from functools import cache
from math import prod

from scratchnet.support.checking import shortened

Pads = tuple[tuple[int, int], tuple[int, int]]


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the cells to add before and after one axis so that out = ceil(size / stride).

    Parameters
    ----------
    size, kernel, stride : int
        Cells of the input, of the window, and from one window to the next; each at least 1.

    Returns
    -------
    (before, after) : tuple of int

    Examples
    --------
    >>> same_pads(28, 3, 1)
    (1, 1)
    >>> same_pads(28, 3, 2)                        # net_2: the one cell is added at the end
    (0, 1)
    >>> same_pads(28, 2, 1)                        # net_1's pool
    (0, 1)
    """
    out = -(-size // stride)
    total = max(0, (out - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def output_size(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> int:
    """Return how many positions a window has on one padded axis; 0 or less when it does not fit.

    Examples
    --------
    >>> output_size(28, 3, 2, (0, 1)), output_size(28, 3, 1, (0, 0))
    (14, 26)
    """
    return (size + sum(pads) - kernel) // stride + 1


def window_pads(padding: str, sizes: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int]) -> Pads:
    """Return ((top, bottom), (left, right)) for `padding`, "same" or "valid", on an image of `sizes` (H, W).

    Examples
    --------
    >>> window_pads("same", (28, 32), (3, 3), (2, 1))
    ((0, 1), (1, 1))
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    (H, W), (KH, KW), (SH, SW) = sizes, kernel, strides
    return same_pads(H, KH, SH), same_pads(W, KW, SW)


def _clip_axis(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
    """Return (kernel, stride, pads) of `clip_window` on one axis."""
    before, out = pads[0], output_size(size, kernel, stride, pads)
    # At position o, cell i of the window is over pixel o * stride + i - before. A cell that is left of the image even at the last
    # position, or right of it even at the first, covers only padding.
    first = max(0, before - (out - 1) * stride)         # the smallest i that is not left of the image at o = out - 1
    last = min(kernel - 1, before + size - 1)           # the largest i that is not right of the image at o = 0
    cut = last - first + 1
    if out >= 1 and 1 <= cut < kernel:
        kernel, before = cut, before - first
        pads = before, max(0, (out - 1) * stride + kernel - size - before)
    return kernel, min(stride, size + sum(pads)), pads


@cache
def clip_window(
    sizes: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], pads: Pads
) -> tuple[tuple[int, int], tuple[int, int], Pads]:
    """Return (kernel, strides, pads) without those rows and columns of the window that cover only padding at every position.

    Every window still covers the same pixels, in the same order. So a window of any size on an image of `sizes` (H, W) costs no
    more than a window of (2·H - 1, 2·W - 1). A stride larger than the padded image is reduced to its size: there is only one
    position.

    Examples
    --------
    >>> clip_window((28, 28), (3, 3), (1, 1), ((1, 1), (1, 1)))            # nothing to clip
    ((3, 3), (1, 1), ((1, 1), (1, 1)))
    >>> window = (1000, 999)
    >>> clip_window((4, 28), window, (1, 1000), window_pads("same", (4, 28), window, (1, 1000)))
    ((7, 28), (1, 28), ((3, 3), (0, 0)))
    """
    (KH, SH, rows), (KW, SW, columns) = map(_clip_axis, sizes, kernel, strides, pads)
    return (KH, KW), (SH, SW), (rows, columns)


def window_output_shape(
    x_shape: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], pads: Pads
) -> tuple[int, int]:
    """Return (OH, OW) for images of shape (..., H, W, C).

    Examples
    --------
    >>> window_output_shape((1, 28, 32, 3), (3, 3), (2, 1), ((0, 1), (1, 1)))
    (14, 32)
    """
    H, W = x_shape[-3:-1]
    return output_size(H, kernel[0], strides[0], pads[0]), output_size(W, kernel[1], strides[1], pads[1])


def check_kernel(kernel: tuple[int, int], padding: str, sizes: tuple[int, ...], strides: tuple[int, int]) -> None:
    """Raise ValueError for a kernel of which fewer than 1 in 1,000 weights ever cover a pixel of an image of `sizes`.

    Such a convolution would run for minutes, during which Ctrl-C has no effect, and nearly all its products would be with zeros.
    """
    covering, _, _ = clip_window(sizes, kernel, strides, window_pads(padding, sizes, kernel, strides))
    if prod(kernel) > 1000 * prod(covering):
        raise ValueError(
            f"a kernel of {kernel} on an image of {tuple(sizes)}: expected that at least 1 in 1,000 of its weights covers a pixel"
            f" at some position, got {prod(covering):,} of {prod(kernel):,}. Make it smaller, for example {covering}"
        )


def check_window(kernel: tuple[int, int], padding: str, image_shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError for an unknown padding, an input that is not an image, or a window that does not fit into it."""
    if not isinstance(padding, str) or padding not in ("valid", "same"):
        raise ValueError(f"padding: expected 'valid' or 'same', got {shortened(padding)}. 'same' keeps the size at stride 1")
    if image_shape is None:
        return
    if len(image_shape) != 3:
        raise ValueError(
            f"a window moves over images: expected shape (H, W, C), got {image_shape}."
            " For grey images use preprocessing.add_channel_axis"
        )
    if padding == "valid" and (kernel[0] > image_shape[0] or kernel[1] > image_shape[1]):
        raise ValueError(
            f"padding='valid': expected a window that fits into an image of {image_shape[:2]}, got one of {kernel}."
            " Make it smaller, or use padding='same'"
        )
