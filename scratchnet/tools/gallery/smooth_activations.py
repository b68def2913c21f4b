"""Bugs of activation functions with parameters or exponentials, of global pooling, and of Concatenate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import ELU, Activation, Concatenate, GlobalAveragePooling2D, Layer, LeakyReLU
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet


def check(layer: Layer) -> Callable[[], Report]:
    """Return the check of an activation."""
    return lambda: check_layer(layer, (5, 2))


@bug(
    "tanh-derivative-at-the-output",
    check(Activation("tanh")),
    replace.backward_of(ACTIVATIONS["tanh"]),
    net=SmallNet(hidden="tanh"),
)
def tanh_derivative_at_the_output(dout, out):
    """Apply tanh once too often."""
    return dout * (1 - np.tanh(out) ** 2)


@bug(
    "leaky-relu-slope-ignored",
    check(LeakyReLU(0.5)),
    replace.backward_of(ACTIVATIONS["leaky_relu"]),
    net=SmallNet(hidden="leaky_relu of slope 0.5"),
)
def leaky_relu_slope_ignored(dout, out, negative_slope, max_value):
    """Use a slope of 0.01, whatever the slope of forward is."""
    return np.where(out > 0, dout, dout.dtype.type(0.01) * dout)


@bug(
    "selu-scale-of-the-sum",
    check(Activation("selu")),
    replace.backward_of(ACTIVATIONS["selu"]),
    net=SmallNet(hidden="selu"),
)
def selu_scale_of_the_sum(dout, out, alpha, scale):
    """Scale an output that is scaled already."""
    return (dout * scale * np.where(out > 0, 1, out + alpha)).astype(dout.dtype)


@bug(
    "elu-alpha-subtracted",
    check(ELU(0.5)),
    replace.forward_of(ACTIVATIONS["elu"]),
    net=SmallNet(hidden="elu of alpha 0.5"),
)
def elu_alpha_subtracted(x, alpha, scale):
    """Subtract α from the exponential instead of multiplying by it."""
    return (scale * np.where(x > 0, x, np.exp(np.minimum(x, 0)) - alpha)).astype(x.dtype)


softplus_bug = partial(bug, run_checks=check(Activation("softplus")), net=SmallNet(hidden="softplus"))


@softplus_bug("softplus-overflows", put=replace.forward_of(ACTIVATIONS["softplus"]))
def softplus_overflows(x):
    """Compute the definition as it is written."""
    with np.errstate(over="ignore"):
        return np.log(1 + np.exp(x))


@bug(
    "global-average-of-a-smaller-window",
    lambda: check_layer(GlobalAveragePooling2D(), (3, 4, 2)),
    net=SmallNet(pool="global average", optimizer="fast adam"),
)
def global_average_of_a_smaller_window():
    """Leave out the last row and the last column."""

    def window(x):
        return x[:, : max(x.shape[1] - 1, 1), : max(x.shape[2] - 1, 1)]

    def forward(x):
        return window(x).mean(axis=(1, 2))

    def backward(dout, x):
        dx = np.zeros_like(x)
        window(dx)[...] = (dout / window(x)[0, :, :, 0].size)[:, None, None]
        return dx

    return replace.pair(GlobalAveragePooling2D.implementations, forward, backward)


@bug(
    "concatenate-offset-not-advanced",
    lambda: check_layer(Concatenate(), [(3, 4, 2), (3, 4, 3)]),
    replace.backward_of(Concatenate.implementations),
    net=SmallNet(joined=True),
)
def concatenate_offset_not_advanced(dout, sizes, axis):
    """Start each part at 0."""
    return tuple(np.take(dout, range(size), axis) for size in sizes)
