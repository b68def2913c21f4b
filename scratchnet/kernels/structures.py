"""The named structures that kernels of several files take: a window over images, the sizes of inputs and outputs, gradients,
and the places that pixels are read from.

numba accepts NamedTuples as they are, and reading a field costs nothing in compiled code.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scratchnet.padding import Pads, window_output_shape

Pair = tuple[int, int]


class Window(NamedTuple):
    """A window over images: the kernel KH × KW, the strides SH and SW, and the rows and columns of padding above and left."""

    KH: int
    KW: int
    SH: int
    SW: int
    top: int
    left: int


class Sizes(NamedTuple):
    """N images of H × W pixels with C channels, and outputs of OH × OW pixels with F filters (C in pooling).

    Examples
    --------
    >>> Sizes(*(128, 28, 28, 32), *(14, 14, 64))
    Sizes(N=128, H=28, W=28, C=32, OH=14, OW=14, F=64)
    """

    N: int
    H: int
    W: int
    C: int
    OH: int
    OW: int
    F: int


class Gradients(NamedTuple):
    """The arrays dx and dw that a backward kernel writes, which of them are needed, and what it must know to write dx."""

    dx: Any                 # empty if it is not needed
    dw: Any                 # of all images, or a stack with the sum of each group of images
    need_dx: bool
    need_dw: bool
    relu_x: bool            # x is the output of a ReLU: dx is 0 where x is not positive


class Taps(NamedTuple):
    """For N images and each of the O rows (or columns) of an output, the two rows of the input that it is read from."""

    index: Any              # (N, O, 2), from 0 to the number of rows; that number itself stands for a row of the fill value
    weight: Any             # (N, O, 2), the share of each; the two add up to 1


def window_of(kernel: Pair, strides: Pair, pads: Pads) -> Window:
    """Return the window of a layer's kernel size, strides and padding ((top, bottom), (left, right)).

    Examples
    --------
    >>> window_of((3, 3), (1, 1), ((1, 1), (1, 1)))
    Window(KH=3, KW=3, SH=1, SW=1, top=1, left=1)
    """
    return Window(*kernel, *strides, pads[0][0], pads[1][0])


def shapes_of(x_shape: tuple[int, ...], kernel: Pair, strides: Pair, pads: Pads) -> tuple[Window, Sizes]:
    """Return the window and the sizes of an operation that has no filters, on images of `x_shape`, (N, H, W, C).

    Examples
    --------
    >>> shapes_of((128, 28, 28, 32), (2, 2), (1, 1), ((0, 1), (0, 1)))[1]
    Sizes(N=128, H=28, W=28, C=32, OH=28, OW=28, F=32)
    """
    (N, H, W, C), (OH, OW) = x_shape, window_output_shape(x_shape, kernel, strides, pads)
    return window_of(kernel, strides, pads), Sizes(N, H, W, C, OH, OW, C)
