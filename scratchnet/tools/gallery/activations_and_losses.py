"""Bugs of ReLU, softmax and cross-entropy: kinks, signs, and what exp and log do far from 0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from scratchnet import losses
from scratchnet.gradcheck import Report, check_layer, check_loss
from scratchnet.layers import Activation, ReLU, Softmax
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.losses import softmax_cross_entropy
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet


def check_relu() -> Report:
    """Check ReLU."""
    return check_layer(ReLU(), (3, 4, 2))


def check_cross_entropy() -> Report:
    """Check the loss that is installed at this moment."""
    return check_loss(losses.softmax_cross_entropy)


def value(wrong: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> replace.Patch:
    """Replace the value of the loss by the mean of `wrong(p, y)`, the losses (N,) of all images; keep its gradient."""

    def loss(logits: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> tuple[float, np.ndarray]:
        p, w = losses.softmax(logits.astype(np.float64)), 1.0 if sample_weight is None else sample_weight
        return float((w * wrong(p, y)).mean()), softmax_cross_entropy(logits, y, sample_weight)[1]

    return replace.attribute(losses, "softmax_cross_entropy")(loss)


def gradient(wrong: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> replace.Patch:
    """Replace the gradient of the loss by `wrong(p, y, logits)`; keep its value."""

    def loss(logits: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> tuple[float, np.ndarray]:
        w = np.ones(len(y)) if sample_weight is None else sample_weight
        dlogits = w[:, np.newaxis] * wrong(losses.softmax(logits), y, logits)
        return softmax_cross_entropy(logits, y, sample_weight)[0], dlogits.astype(logits.dtype)

    return replace.attribute(losses, "softmax_cross_entropy")(loss)


softmax_backward_bug = partial(
    bug,
    run_checks=lambda: check_layer(Softmax(), (5,)),
    put=replace.backward_of(ACTIVATIONS["softmax"]),
    net=SmallNet(hidden="softmax"),
)
loss_bug = partial(bug, run_checks=check_cross_entropy)


@bug("relu-gradient-at-zero", check_relu)
def relu_gradient_at_zero():
    """Keep the input, which differs from the output where it is negative, and let the gradient through at 0."""
    right = Activation.forward

    def forward(self, x, **joined):
        out = right(self, x, **joined)
        if self.function == "relu":
            self.cache = (x,)
        return out

    def backward(dout, x):
        return np.where(x >= 0, dout, dout.dtype.type(0))

    return replace.all_of(replace.attribute(Activation, "forward")(forward), replace.pair(ACTIVATIONS["relu"], backward=backward))


@bug("relu-mask-from-output", check_relu, replace.backward_of(ACTIVATIONS["relu"]))
def relu_mask_from_output(dout, out):
    """Return the whole dout, because no output of ReLU is negative."""
    return np.where(out >= 0, dout, dout.dtype.type(0))


@bug("relu-is-identity", check_relu, replace.forward_of(ACTIVATIONS["relu"]))
def relu_is_identity(x):
    """Return x."""
    return x.copy()


@softmax_backward_bug("softmax-diagonal-jacobian")
def softmax_diagonal_jacobian(dout, p):
    """Let each output depend on its own input only."""
    return dout * p * (1 - p)


@softmax_backward_bug("softmax-backward-passes-through")
def softmax_backward_passes_through(dout, p):
    """Return a copy of dout."""
    return dout.copy()


@loss_bug("softmax-shift-batch-max", put=replace.attribute(losses, "log_softmax"))
def softmax_shift_batch_max(logits):
    """Subtract one maximum from all rows."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@loss_bug("softmax-no-shift", put=replace.attribute(losses, "log_softmax"))
def softmax_no_shift(logits):
    """Subtract nothing from any row."""
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@loss_bug("softmax-wrong-sign", put=gradient)
def softmax_wrong_sign(p, y, logits):
    """Return the negative gradient, which increases the loss."""
    return (y - p) / len(y)


@loss_bug("ce-gradient-from-logits", put=gradient)
def ce_gradient_from_logits(p, y, logits):
    """Move the logits towards the labels."""
    return (logits - y) / len(y)


@loss_bug("ce-missing-one-over-n", put=gradient)
def ce_missing_one_over_n(p, y, logits):
    """Sum over the batch."""
    return p - y


@loss_bug("ce-clipped", put=value)
def ce_clipped(p, y):
    """Limit the loss of an image to 16.1."""
    return -(y * np.log(np.clip(p, 1e-7, 1 - 1e-7))).sum(axis=-1)


@loss_bug("ce-epsilon-inside-log", put=value)
def ce_epsilon_inside_log(p, y):
    """Add 1e-7 to every probability."""
    return -(y * np.log(p + 1e-7)).sum(axis=-1)
