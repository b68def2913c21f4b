"""Bugs of the smaller operations: padding, flattening, and the bias of a dense layer."""

from __future__ import annotations

import numpy as np

from scratchnet import padding
from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import Conv2D, Dense, Flatten, MaxPooling2D
from scratchnet.layers import dense as page
from scratchnet.padding import same_pads
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug, join_reports

same_padding = replace.attribute(padding, "same_pads")


def check_same() -> Report:
    """Check a convolution at stride 2 and a pool at stride 1."""
    conv = check_layer(Conv2D(2, (3, 3), strides=2, padding="same"), (6, 5, 2))
    return join_reports(conv, check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)))


def check_dense() -> Report:
    """Check a dense layer of three units."""
    return check_layer(Dense(3), (4,))


@bug("same-pad-wrong-side", check_same, same_padding)
def same_pad_wrong_side(size, kernel, stride):
    """Exchange the cells before and after."""
    return same_pads(size, kernel, stride)[::-1]


@bug("same-pad-symmetric", check_same, same_padding)
def same_pad_symmetric(size, kernel, stride):
    """Pad both sides equally where the kernel is odd."""
    return ((kernel - 1) // 2,) * 2 if kernel % 2 else same_pads(size, kernel, stride)


@bug("same-keeps-size-at-stride-2", check_same, same_padding)
def same_keeps_size_at_stride_2(size, kernel, stride):
    """Pad for as many windows as there are pixels."""
    total = (size - 1) * stride + kernel - size
    return total // 2, total - total // 2


@bug("flatten-fortran-order", lambda: check_layer(Flatten(), (2, 3, 2)))
def flatten_fortran_order():
    """Let the first index change fastest."""
    return replace.pair(
        Flatten.implementations,
        lambda x: np.ascontiguousarray(x.reshape(len(x), -1, order="F")),
        lambda dout, x_shape: np.ascontiguousarray(dout.reshape(x_shape, order="F")),
    )


@bug("dense-bias-gradient-averaged", check_dense, replace.backward_of(Dense.implementations))
def dense_bias_gradient_averaged(dout, x, w, *options):
    """Take the mean of the rows."""
    dx, dw, _ = page.dense_backward(dout, x, w, *options)
    return dx, dw, dout.mean(axis=0)


@bug("dense-bias-gradient-summed-over-units", check_dense, replace.backward_of(Dense.implementations))
def dense_bias_gradient_summed_over_units(dout, x, w, *options):
    """Return the same number for all biases."""
    dx, dw, db = page.dense_backward(dout, x, w, *options)
    return dx, dw, np.full_like(db, dout.sum())
