"""Bugs of pooling: at the border, among equal cells, and where windows overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import AveragePooling2D, Layer, MaxPooling2D, MinPooling2D
from scratchnet.layers import pooling as page
from scratchnet.padding import window_output_shape
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet


def overlapping(kind: Any) -> Callable[[], Report]:
    """Return the check of a pool whose windows overlap, and reach over the border at the bottom and right."""
    return lambda: check_layer(kind((2, 2), strides=1, padding="same"), (4, 5, 2))


def side_by_side() -> Report:
    """Check a pool whose windows fill the image side by side."""
    return check_layer(MaxPooling2D((2, 2)), (4, 6, 2))


def padded_with(value: float, kind: type[Layer]) -> replace.Patch:
    """Fill the padding with `value` instead of the requested value, in forward and in backward."""
    right = page._cells

    def cells(x, window, strides, pads, _):
        return right(x, window, strides, pads, value)

    return replace.page_with(kind.implementations, page, _cells=cells)


@bug("maxpool-overlap-assigns", overlapping(MaxPooling2D), replace.backward_of(MaxPooling2D.implementations))
def maxpool_overlap_assigns(dout, x, window, strides, pads):
    """Overwrite the gradients of earlier windows instead of adding to them."""
    N, H, W, C = x.shape
    dx = np.zeros_like(x)
    n, c = np.ogrid[:N, :C]
    for oh, ow in np.ndindex(dout.shape[1:3]):
        top, left = oh * strides[0] - pads[0][0], ow * strides[1] - pads[1][0]
        bottom, right = min(top + window[0], H), min(left + window[1], W)
        top, left = max(top, 0), max(left, 0)               # a slice from -1 would start at the last row
        best = x[:, top:bottom, left:right].reshape(N, -1, C).argmax(axis=1)    # -> (N, C)
        i, j = np.divmod(best, right - left)                # row and column, in a window that is right - left cells wide
        dx[n, top + i, left + j, c] = dout[:, oh, ow]
    return dx


@bug("maxpool-pads-zero", overlapping(MaxPooling2D))
def maxpool_pads_zero():
    """Fill the padding with 0."""
    return padded_with(0.0, MaxPooling2D)


@bug("maxpool-finite-minus-infinity", overlapping(MaxPooling2D))
def maxpool_finite_minus_infinity():
    """Fill the padding with -99999."""
    return padded_with(-99999.0, MaxPooling2D)


@bug("maxpool-starts-from-zero", side_by_side, replace.forward_of(MaxPooling2D.implementations))
def maxpool_starts_from_zero(x, window, strides, pads):
    """Include 0 in every window."""
    cells = page._cells(x, window, strides, pads, -np.inf)
    return page._out(cells.max(axis=2, initial=0), x, window, strides, pads)


@bug("maxpool-tie-to-every-maximum", overlapping(MaxPooling2D), replace.backward_of(MaxPooling2D.implementations))
def maxpool_tie_to_every_maximum(dout, x, window, strides, pads):
    """Send dout to all cells that are equal to the maximum."""
    cells = page._cells(x, window, strides, pads, -np.inf)      # (N, OH·OW, KH·KW, C)
    mask = cells == cells.max(axis=2, keepdims=True)
    return page._col2im(mask * dout.reshape(len(x), -1, 1, x.shape[3]), x, window, strides, pads)


@bug("maxpool-axes-scrambled", side_by_side, net=SmallNet(strides=1, pool_strides=2))
def maxpool_axes_scrambled():
    """Cut windows from runs of pixels along the rows; for windows that fill the image side by side."""

    def scrambled(x, window, strides, pads):
        OH, OW = window_output_shape(x.shape, window, strides, pads)
        return x.reshape(len(x), OH * OW, window[0] * window[1], x.shape[3])    # (N, OH·OW, KH·KW, C)

    def forward(x, *window):
        return page._out(scrambled(x, *window).max(axis=2), x, *window)

    def backward(dout, x, *window):
        cells = scrambled(x, *window)
        first = cells.argmax(axis=2)[:, :, None]
        dcells = np.zeros_like(cells)
        np.put_along_axis(dcells, first, dout.reshape(first.shape), axis=2)
        return dcells.reshape(x.shape)

    return replace.pair(MaxPooling2D.implementations, forward, backward)


@bug("maxpool-returns-inside-loop", overlapping(MaxPooling2D), replace.backward_of(MaxPooling2D.implementations))
def maxpool_returns_inside_loop(dout, x, *window):
    """Return after the first row of windows."""
    row = np.zeros_like(dout)
    row[:, :1] = dout[:, :1]                                    # the first pass through the loop is the last
    return page.max_pool2d_backward(row, x, *window)


def average_backward_by_window(dout, x, window, strides, pads):
    """Divide by the number of taps, though some are padding."""
    dcells = dout.reshape(len(x), -1, 1, x.shape[3]) / x.dtype.type(window[0] * window[1])
    return page._col2im(dcells.repeat(window[0] * window[1], axis=2), x, window, strides, pads)


@bug("avgpool-divides-by-window", overlapping(AveragePooling2D), net=SmallNet(pool="average"))
def avgpool_divides_by_window():
    """Count every tap of the window as a real cell."""

    def forward(x, window, strides, pads):
        cells = page._cells(x, window, strides, pads, 0)
        return page._out(cells.sum(axis=2) / x.dtype.type(window[0] * window[1]), x, window, strides, pads)

    return replace.pair(AveragePooling2D.implementations, forward, average_backward_by_window)


@bug("avgpool-backward-other-divisor", overlapping(AveragePooling2D), net=SmallNet(pool="average"))
def avgpool_backward_other_divisor():
    """Divide by the number of real cells in forward, and by the number of taps in backward."""
    return replace.pair(AveragePooling2D.implementations, backward=average_backward_by_window)


@bug("minpool-pads-zero", overlapping(MinPooling2D), net=SmallNet(pool="min"))
def minpool_pads_zero():
    """Fill the padding with 0, in forward and in backward, which calls that of max-pooling with -x."""
    return padded_with(0.0, MinPooling2D)
