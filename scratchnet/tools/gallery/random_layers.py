"""Bugs of dropout and of augmentation: which numbers are scaled, and how often random numbers are drawn."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet.gradcheck import check_layer
from scratchnet.kernels.draws import uniform_numpy
from scratchnet.layers import Dropout, RandomFlip
from scratchnet.layers.dropout import dropout_forward
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet

dropout_bug = partial(bug, run_checks=lambda: check_layer(Dropout(0.2), (4, 3)), net=SmallNet(dropout=True))
flip_bug = partial(bug, run_checks=lambda: check_layer(RandomFlip("horizontal"), (3, 4, 2)), net=SmallNet(flips=True))


def both(function):
    """Replace forward of dropout, and backward, which is the same function of dout."""
    return replace.pair(Dropout.implementations, function, function)


@dropout_bug("dropout-divides-by-rate", put=both)
def dropout_divides_by_rate(x, rate, key, noise_shape=None):
    """Scale by 1 / rate."""
    return dropout_forward(x, rate, key, noise_shape) * x.dtype.type((1 - rate) / rate)


@dropout_bug("dropout-rate-is-kept", put=both)
def dropout_rate_is_kept(x, rate, key, noise_shape=None):
    """Take the rate for the fraction that is kept."""
    return dropout_forward(x, 1 - rate, key, noise_shape)


@dropout_bug("dropout-backward-without-mask", put=replace.backward_of(Dropout.implementations))
def dropout_backward_without_mask(dout, rate, key, noise_shape=None):
    """Scale the whole dout."""
    return dout * dout.dtype.type(1 / (1 - rate))


@dropout_bug("dropout-mask-from-values")
def dropout_mask_from_values():
    """Compute the mask from the input and the output, by a division."""
    forward, backward = Dropout.forward, Dropout.backward

    def keeping(self, x, training=False):
        out = forward(self, x, training=training)
        self.kept = x.copy(), out.copy()
        return out

    def dividing(self, dout, need_dx=True):
        if self.backward_function is Dropout.implementations["loops"][1]:
            return backward(self, dout)
        x, out = self.kept
        return np.where(x == 0, dout, dout * out / np.where(x == 0, x.dtype.type(1), x))

    return replace.all_of(replace.attribute(Dropout, "forward")(keeping), replace.attribute(Dropout, "backward")(dividing))


@dropout_bug("dropout-active-in-inference", put=replace.attribute(Dropout, "forward"))
def dropout_active_in_inference(self, x, training=False, right=Dropout.forward):
    """Ignore the mode."""
    return right(self, x, training=True)


@dropout_bug("dropout-inference-scaled-by-rate")
def dropout_inference_scaled_by_rate():
    """Scale in inference, as the paper does, but by the fraction that was dropped."""
    right = Dropout.forward

    def mask(x, rate, key, noise_shape=None):
        keep = uniform_numpy(key, x.shape if noise_shape is None else noise_shape) >= rate
        return np.where(keep, x, x.dtype.type(0))

    def forward(self, x, training=False):
        out = right(self, x, training=training)
        return out if training else out * x.dtype.type(self.rate)

    def backward(self, dout, need_dx=True, right=Dropout.backward):
        dx = right(self, dout)
        return dx * dout.dtype.type(self.rate) if self.cache[0] is None else dx

    methods = replace.attribute(Dropout, "forward")(forward), replace.attribute(Dropout, "backward")(backward)
    return replace.all_of(both(mask), *methods)


@dropout_bug("dropout-same-mask-every-batch", put=replace.attribute(Dropout, "forward"))
def dropout_same_mask_every_batch(self, x, training=False, right=Dropout.forward):
    """Start from the same seed for each batch."""
    self.rng = np.random.default_rng(0) if training else self.rng
    return right(self, x, training=training)


@flip_bug("flip-along-batch")
def flip_along_batch():
    """Reverse the order of the images instead of their columns."""
    forward, backward, places = RandomFlip.forward, RandomFlip.backward, RandomFlip.places

    def reversing(self, x, training=False):
        self.reversed = training and bool(self.rng.random() < 0.5)
        return forward(self, x[::-1].copy() if self.reversed else x, training=training)

    def reversing_back(self, dout, need_dx=True):
        dx = backward(self, dout)
        return dx[::-1].copy() if self.reversed else dx

    return replace.all_of(
        replace.attribute(RandomFlip, "forward")(reversing),
        replace.attribute(RandomFlip, "backward")(reversing_back),
        replace.attribute(RandomFlip, "places")(lambda self, u: places(self, np.ones_like(u))),
    )


@flip_bug("flip-once-for-the-batch", put=replace.attribute(RandomFlip, "places"))
def flip_once_for_the_batch(self, u, right=RandomFlip.places):
    """Use the numbers of the first image for all."""
    return right(self, np.repeat(u[:1], len(u), axis=0))
