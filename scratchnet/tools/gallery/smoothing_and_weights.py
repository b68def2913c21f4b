"""Bugs of label smoothing, of weights of images, and of regularizers."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet import losses
from scratchnet.gradcheck import check_loss, check_regularizer
from scratchnet.losses import CategoricalCrossentropy, softmax_cross_entropy
from scratchnet.regularizers import L1L2, L2
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet

smoothing_bug = partial(
    bug,
    run_checks=lambda: check_loss(CategoricalCrossentropy(label_smoothing=0.1)),
    put=replace.attribute(losses, "smooth_labels"),
    net=SmallNet(smoothing=0.1),
)
weights_bug = partial(
    bug,
    run_checks=lambda: check_loss(losses.softmax_cross_entropy),
    put=replace.attribute(losses, "softmax_cross_entropy"),
    net=SmallNet(weights=True),
)
regularizer_bug = partial(bug, run_checks=lambda: check_regularizer(L2(0.1)), net=SmallNet(regularizer="l2"))


@smoothing_bug("smoothing-keeps-too-much")
def smoothing_keeps_too_much(y, s):
    """Take s / K from the label, and give s / K to every class."""
    return y * (1 - s / y.shape[-1]) + s / y.shape[-1]


@smoothing_bug("smoothing-uniform-part-unscaled")
def smoothing_uniform_part_unscaled(y, s):
    """Add 1 / K, whatever s is."""
    return y * (1 - s) + 1 / y.shape[-1]


@smoothing_bug("smoothing-by-other-classes")
def smoothing_by_other_classes(y, s):
    """Divide s among the other classes."""
    return y * (1 - s) + (1 - y) * s / max(y.shape[-1] - 1, 1)


@weights_bug("weights-ignored")
def weights_ignored(logits, y, sample_weight=None):
    """Accept weights, and do nothing with them."""
    return softmax_cross_entropy(logits, y)


@weights_bug("weights-normalized")
def weights_normalized(logits, y, sample_weight=None):
    """Divide by the sum of the weights."""
    if sample_weight is None:
        return softmax_cross_entropy(logits, y)
    w = np.asarray(sample_weight)
    return softmax_cross_entropy(logits, y, w * (len(w) / w.sum()))


@regularizer_bug("l2-gradient-without-two", put=replace.attribute(L1L2, "gradient"))
def l2_gradient_without_two(self, w):
    """Take the gradient of half the penalty."""
    return self.l1 * np.sign(w) + self.l2 * w


@regularizer_bug("l2-scaled-twice", put=replace.attribute(L1L2, "__call__"))
def l2_scaled_twice(self, w):
    """Multiply by the factor in the sum and after it."""
    value = self.l2 * float(np.square(w).sum())
    return self.l1 * float(np.abs(w).sum()) + self.l2 * value
