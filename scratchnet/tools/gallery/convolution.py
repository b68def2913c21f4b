"""Bugs of convolution: flipped kernels, incomplete sums, and columns in a different order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import Conv2D
from scratchnet.layers import conv2d as page
from scratchnet.padding import window_output_shape
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet


def check_conv(filters: int = 3) -> Report:
    """Check a convolution whose kernel is not square and whose strides differ."""
    return check_layer(Conv2D(filters, (3, 2), strides=(2, 1), padding="same"), (5, 4, 2))


def col2im_loop(loop: Callable[..., None], begin: Callable[..., np.ndarray] = np.zeros) -> replace.Patch:
    """Replace the loop of col2im over the taps.

    `loop` gets the padded image (N, H + …, W + …, C), the taps (N, OH, OW, KH, KW, C) that it must add to it, and the
    strides; `begin(shape, dtype)` makes the padded image.
    """

    def col2im(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        (N, H, W, C), ((top, bottom), (left, right)) = x_shape, pads
        padded = begin((N, top + H + bottom, left + W + right, C), cols.dtype)
        loop(padded, cols.reshape(N, *window_output_shape(x_shape, kernel, strides, pads), *kernel, C), strides)
        return np.ascontiguousarray(padded[:, top : top + H, left : left + W])

    return replace.page_with(Conv2D.implementations, page, col2im=col2im)


conv_backward_bug = partial(bug, run_checks=check_conv, put=replace.backward_of(Conv2D.implementations))


@conv_backward_bug("conv-dx-kernel-not-flipped")
def conv_dx_kernel_not_flipped(dout, x, w, *window):
    """Compute dx with a kernel rotated by 180°; dw and db do not depend on it."""
    return page.conv2d_backward(dout, x, w[::-1, ::-1], *window)


@conv_backward_bug("conv-dw-reversed")
def conv_dw_reversed(dout, x, w, *window):
    """Reverse the kernel's gradient."""
    dx, dw, db = page.conv2d_backward(dout, x, w, *window)
    return dx, np.ascontiguousarray(np.asarray(dw)[::-1, ::-1]), db


@conv_backward_bug("conv-dx-channels-not-swapped", run_checks=partial(check_conv, filters=2))
def conv_dx_channels_not_swapped(dout, x, w, *window):
    """Sum over the wrong one of two axes of equal length; dw and db do not depend on it."""
    C, F = w.shape[2:]
    return page.conv2d_backward(dout, x, w.swapaxes(2, 3) if C == F else w, *window)


@bug("conv-kernel-height-for-width", check_conv, col2im_loop, net=SmallNet(kernel_size=(3, 2)))
def conv_kernel_height_for_width(padded, taps, strides):
    """Number the taps as if the kernel were as wide as it is high."""
    (SH, SW), (OH, OW, KH, KW) = strides, taps.shape[1:5]
    for tap in range(KH * KW):
        i, j = divmod(tap, KH)
        cells = padded[:, i : i + OH * SH : SH, j : j + OW * SW : SW]       # fewer, where the tap is outside the image
        cells += taps[:, : cells.shape[1], : cells.shape[2], tap // KW, tap % KW]


@bug("conv-dx-stride-ignored", check_conv, col2im_loop)
def conv_dx_stride_ignored(padded, taps, strides):
    """Add the gradients of each window at stride 1."""
    OH, OW, KH, KW = taps.shape[1:5]
    for i, j in np.ndindex(KH, KW):
        padded[:, i : i + OH, j : j + OW] += taps[:, :, :, i, j]


@bug("col2im-overwrites", check_conv, col2im_loop)
def col2im_overwrites(padded, taps, strides):
    """Add with repeated indices."""
    (SH, SW), (OH, OW, KH, KW) = strides, taps.shape[1:5]
    oh, ow, i, j = np.ogrid[:OH, :OW, :KH, :KW]
    padded[:, oh * SH + i, ow * SW + j] += taps


@conv_backward_bug("conv-dx-never-copied-back")
def conv_dx_never_copied_back(dout, x, w, *window):
    """Return the zeros with which dx began."""
    dx, dw, db = page.conv2d_backward(dout, x, w, *window)
    return None if dx is None else np.zeros_like(dx), dw, db


@conv_backward_bug("conv-bias-gradient-averaged")
def conv_bias_gradient_averaged(dout, x, w, *window):
    """Divide by N a second time."""
    dx, dw, db = page.conv2d_backward(dout, x, w, *window)
    return dx, dw, db / x.dtype.type(len(x))


@conv_backward_bug("conv-weight-gradient-scaled")
def conv_weight_gradient_scaled(dout, x, w, *window):
    """Take the mean over all windows instead of the sum."""
    dx, dw, db = page.conv2d_backward(dout, x, w, *window)
    return dx, dw / x.dtype.type(dout[..., 0].size), db


@bug("im2col-column-order", check_conv)
def im2col_column_order():
    """Put the channel first in every row, in im2col and col2im."""
    im2col, col2im = page.im2col, page.col2im

    def channel_first(x, *window):
        cols = im2col(x, *window)
        return cols.reshape(len(cols), -1, x.shape[3]).swapaxes(1, 2).reshape(cols.shape)

    def from_channel_first(cols, x_shape, *window):
        cols = cols.reshape(len(cols), x_shape[3], -1).swapaxes(1, 2).reshape(cols.shape)
        return col2im(cols, x_shape, *window)

    return replace.page_with(Conv2D.implementations, page, im2col=channel_first, col2im=from_channel_first)
