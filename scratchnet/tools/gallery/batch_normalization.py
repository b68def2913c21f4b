"""Bugs of batch normalization: which numbers are averaged, what backward forgets, and how the moving averages move."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import BatchNormalization
from scratchnet.layers.batch_normalization import batch_normalization_backward, batch_normalization_forward
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.small_net import SmallNet


def check_normalization() -> Report:
    """Check batch normalization of images that are not square."""
    return check_layer(BatchNormalization(), (3, 4, 2))


def moved(self: BatchNormalization, average: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return a moving average after a batch, correctly."""
    return self.momentum * average + (1 - self.momentum) * value


def forward_with(
    *,
    mean: Callable[..., np.ndarray] = moved,
    variance: Callable[..., np.ndarray] = moved,
    batch: Callable[..., bool] = lambda self, training: training and self.trainable,
    moves: Callable[..., bool] = lambda self, training: training and self.trainable,
) -> replace.Patch:
    """Replace parts of `BatchNormalization.forward`.

    `mean` and `variance` return a moving average after a batch, `batch` whether the statistics of the batch are used, and `moves`
    whether the averages move.
    """

    def forward(self: Any, x: np.ndarray, training: bool = False, *, relu: bool = False, joined: bool = False) -> np.ndarray:
        self.check_input(x)
        if joined:
            return x
        self.values = x.size // x.shape[-1]  # M
        of_batch, moving = batch(self, training), (self.state["moving_mean"], self.state["moving_variance"])
        gamma, beta = self.params.get("gamma"), self.params.get("beta")
        out, *statistics = self.forward_function(x, gamma, beta, self.epsilon, None if of_batch else moving, relu=relu)
        if moves(self, training):
            for average, value, move in zip(moving, statistics, (mean, variance), strict=True):
                average[...] = move(self, average, value)
        self.cache = (x, *statistics, of_batch)
        return out

    return replace.attribute(BatchNormalization, "forward")(forward)


normalization_bug = partial(bug, run_checks=check_normalization, net=SmallNet(normalization="trained"))
backward_bug = partial(normalization_bug, put=replace.backward_of(BatchNormalization.implementations))


@backward_bug("batchnorm-mean-term-not-divided")
def batchnorm_mean_term_not_divided(dout, x, gamma, mean, variance, epsilon, need_dx=True, *, training=True, **mode):
    """Subtract the sum of dout where its mean belongs."""
    arguments = (dout, x, gamma, mean, variance, epsilon)
    dx, dgamma, dbeta = batch_normalization_backward(*arguments, need_dx, training=training, **mode)
    if dx is None or not training:
        return dx, dgamma, dbeta
    M, inv = x.size // x.shape[-1], 1 / np.sqrt(variance + epsilon)
    scale = inv if gamma is None else gamma * inv
    total = dout.sum(axis=tuple(range(x.ndim - 1)))
    return (dx + scale * total / M - scale * total).astype(x.dtype), dgamma, dbeta


@backward_bug("batchnorm-gamma-gradient-averaged")
def batchnorm_gamma_gradient_averaged(dout, x, *arguments, **mode):
    """Divide dgamma and dbeta by the number of images."""
    dx, dgamma, dbeta = batch_normalization_backward(dout, x, *arguments, **mode)
    return dx, None if dgamma is None else dgamma / len(x), None if dbeta is None else dbeta / len(x)


@normalization_bug("batchnorm-each-pixel-apart")
def batchnorm_each_pixel_apart():
    """Average over the images only, so that every pixel of every channel has a mean and a variance of its own."""

    def repeated(a, x):
        return None if a is None else np.tile(a, x[0].size // len(a))

    def forward(x, gamma, beta, epsilon, moving=None):
        if moving is not None:
            return batch_normalization_forward(x, gamma, beta, epsilon, moving)
        flat = x.reshape(len(x), -1)
        out, mean, variance = batch_normalization_forward(flat, repeated(gamma, x), repeated(beta, x), epsilon)
        return out.reshape(x.shape), *(a.reshape(-1, x.shape[-1]).mean(axis=0) for a in (mean, variance))

    def backward(dout, x, gamma, mean, variance, epsilon, need_dx=True, *, training=True, **mode):
        if not training:
            return batch_normalization_backward(dout, x, gamma, mean, variance, epsilon, need_dx, training=False, **mode)
        flat, scale = x.reshape(len(x), -1), repeated(gamma, x)
        _, mean, variance = batch_normalization_forward(flat, None, None, epsilon)
        dx, dgamma, dbeta = batch_normalization_backward(
            dout.reshape(flat.shape), flat, scale, mean, variance, epsilon, need_dx, **mode
        )
        summed = (None if a is None else a.reshape(-1, x.shape[-1]).sum(axis=0) for a in (dgamma, dbeta))
        return None if dx is None else dx.reshape(x.shape), *summed

    return replace.pair(BatchNormalization.implementations, forward, backward)


@normalization_bug("batchnorm-epsilon-outside-root", put=replace.forward_of(BatchNormalization.implementations))
def batchnorm_epsilon_outside_root(x, gamma, beta, epsilon, moving=None):
    """Add ε to the standard deviation."""
    _, mean, variance = batch_normalization_forward(x, None, None, epsilon, moving)
    xhat = (x - mean) / (np.sqrt(variance) + x.dtype.type(epsilon))
    return (1 if gamma is None else gamma) * xhat + (0 if beta is None else beta), mean, variance


@normalization_bug("batchnorm-momentum-reversed")
def batchnorm_momentum_reversed():
    """Keep a hundredth of the moving averages instead of all but a hundredth."""

    def reverse(self, average, value):
        return (1 - self.momentum) * average + self.momentum * value

    return forward_with(mean=reverse, variance=reverse)


@normalization_bug("batchnorm-averages-never-move")
def batchnorm_averages_never_move():
    """Leave the moving averages at 0 and 1."""
    return forward_with(moves=lambda self, training: False)


@normalization_bug("batchnorm-moving-variance-unbiased")
def batchnorm_moving_variance_unbiased():
    """Divide the variance of the moving average by M - 1."""

    def unbiased(self, average, value):
        return moved(self, average, value * (self.values / max(self.values - 1, 1)))

    return forward_with(variance=unbiased)


@normalization_bug("batchnorm-inference-uses-batch")
def batchnorm_inference_uses_batch():
    """Normalize with the statistics of the batch in inference, too."""
    return forward_with(batch=lambda self, training: True)


@normalization_bug("batchnorm-frozen-averages-move", net=SmallNet(normalization="frozen"))
def batchnorm_frozen_averages_move():
    """Freeze gamma and beta only."""
    return forward_with(batch=lambda self, training: training, moves=lambda self, training: training)
