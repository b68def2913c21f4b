"""Bugs of initializers: the variance of the first weights, and their signs."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from scratchnet import initializers
from scratchnet.gradcheck import check_initializer
from scratchnet.initializers import Orthogonal
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet


def initial_bug(name, initializer):
    """Return the decorator `bug` for an initializer."""
    return partial(bug, name, lambda: check_initializer(initializer), net=SmallNet(initializer=initializer))


@initial_bug("he-fan-out-for-fan-in", "he_normal")(replace.attribute(initializers, "fans"))
def he_fan_out_for_fan_in(shape):
    """Exchange the two fans."""
    window = prod(shape[:-2])
    return window * shape[-1], window * shape[-2]


@initial_bug("fans-without-window", "glorot_uniform")(replace.attribute(initializers, "fans"))
def fans_without_window(shape):
    """Count channels and filters only."""
    return shape[-2], shape[-1]


@initial_bug("orthogonal-signs-of-qr", "orthogonal")(replace.attribute(Orthogonal, "draw"))
def orthogonal_signs_of_qr(self, shape, rng):
    """Return Q as the factorization has it."""
    rows, columns = prod(shape[:-1]), shape[-1]
    q, _ = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    return self.gain * (q if rows >= columns else q.T).reshape(shape)


@initial_bug("truncated-normal-not-widened", "he_normal")()
def truncated_normal_not_widened():
    """Draw with the wanted deviation, and cut off."""
    return replace.patch.object(initializers, "TRUNCATED", 1.0)
