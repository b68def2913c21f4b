"""The exercise of batch normalization: its backward in training."""

from __future__ import annotations

import numpy as np

from scratchnet import reference
from scratchnet.exercises.exercise import Case, Exercise, installed, normal
from scratchnet.exercises.pictures import number
from scratchnet.layers import BatchNormalization


def batchnorm_backward(dout, x, gamma, mean, variance, epsilon):
    """Call the layer's backward."""
    return BatchNormalization.implementations["im2col"][1](dout, x, gamma, mean, variance, epsilon)


def forward(x, gamma, mean, variance, epsilon):
    """Call the definition of forward, which computes mean and variance from x."""
    return reference.batch_normalization_forward(x, gamma, np.zeros(x.shape[-1]), epsilon)[0]


def case(dout, x, gamma, epsilon):
    """Return a case with the mean and the variance of x."""
    axes = tuple(range(x.ndim - 1))
    statistics = {"mean": x.mean(axis=axes), "variance": x.var(axis=axes)}
    return Case({"dout": dout, "x": x, "gamma": gamma, **statistics, "epsilon": epsilon})


def cases(rng: np.random.Generator) -> list[Case]:
    """Return rows, images, a channel of zeros and a batch of one; epsilon is large, so that its place matters."""
    first = case(np.array([[1.0], [2.0], [-1.0]]), np.array([[1.0], [2.0], [6.0]]), np.array([2.0]), 1 / 3)
    found = [first]
    for shape, epsilon in [((4, 2), 0.1), ((2, 2, 3, 1), 0.1), ((3, 2, 2, 2), 0.5), ((4, 3, 4, 3), 0.2)]:
        found.append(case(normal(rng, shape), rng.normal(1, 2, shape).round(2), rng.normal(1, 1, shape[-1]).round(2), epsilon))
    dead = rng.normal(1, 2, (3, 1, 2, 2)).round(2)
    dead[..., 1] = 0.0          # a channel without variance, as after a ReLU
    found.append(case(normal(rng, dead.shape), dead, rng.normal(1, 1, 2).round(2), 0.1))
    found.append(case(normal(rng, (1, 3)), normal(rng, (1, 3)), rng.normal(1, 1, 3).round(2), 0.1))
    return found


def picture(arguments, result, index):
    """Show the sums of the channel, and for dx the three terms."""
    dout, x, gamma, mean, variance, epsilon = arguments.values()
    c = index[-1]
    M = x.size // x.shape[-1]
    inv = 1 / np.sqrt(variance[c] + epsilon)
    xhat = (x[..., c] - mean[c]) * inv
    dbeta, dgamma = dout[..., c].sum(), (dout[..., c] * xhat).sum()
    n = number
    lines = [
        f"Channel {c}, with M = {M} values, mean {n(mean[c])}, variance {n(variance[c])}:",
        "",
        f"  inv    = 1 / √(variance + ε) = 1 / √({n(variance[c])} + {n(epsilon)})  =  {n(inv)}",
        f"  dbeta  = Σ_m dout             =  {n(dbeta)}",
        f"  dgamma = Σ_m dout · x̂         =  {n(dgamma)},  where x̂ = (x - mean) · inv",
    ]
    if result != "dx":
        return lines
    own, d = (x[index] - mean[c]) * inv, dout[index]
    scale = gamma[c] * inv
    return [
        *lines,
        "",
        f"dx[{', '.join(map(str, index))}], where dout = {n(d)} and x̂ = {n(own)}, has three terms:",
        "",
        f"  from x itself           γ·inv · dout                =  {n(scale * d)}",
        f"  through the mean        - γ·inv/M · dbeta           =  {n(-scale / M * dbeta)}",
        f"  through the variance    - γ·inv/M · x̂ · dgamma      =  {n(-scale / M * own * dgamma)}",
        f"  sum: {n(scale * d - scale / M * (dbeta + own * dgamma))}",
    ]


def _epsilon_outside_root(dout, x, gamma, mean, variance, epsilon):
    axes, M = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    inv = 1 / (np.sqrt(variance) + epsilon)
    xhat = (x - mean) * inv
    dbeta, dgamma = dout.sum(axis=axes), (dout * xhat).sum(axis=axes)
    return gamma * inv / M * (M * dout - dbeta - xhat * dgamma), dgamma, dbeta


def _each_pixel_apart(dout, x, gamma, mean, variance, epsilon):
    _, dgamma, dbeta = batchnorm_backward(dout, x, gamma, mean, variance, epsilon)
    inv = 1 / np.sqrt(variance + epsilon)
    xhat = (x - mean) * inv
    return gamma * inv * (dout - dout.mean(axis=0) - xhat * (dout * xhat).mean(axis=0)), dgamma, dbeta


BATCHNORM_BACKWARD = Exercise(
    name="batchnorm_backward",
    title="the gradients of batch normalization",
    returns=("dx", "dgamma", "dbeta"),
    definition=reference.batch_normalization_backward,
    cases=cases,
    picture=picture,
    traits=[
        ("several channels", lambda a: a["x"].shape[-1] > 1),
        ("images", lambda a: a["x"].ndim == 4),
        ("images of several channels", lambda a: a["x"].ndim == 4 and a["x"].shape[-1] > 1),
        ("a channel without variance", lambda a: (a["variance"] == 0).any()),
        ("a batch of one (M = 1)", lambda a: a["x"].size == a["x"].shape[-1]),
    ],
    mistakes=[
        installed("batchnorm-mean-term-not-divided", batchnorm_backward),
        installed("batchnorm-gamma-gradient-averaged", batchnorm_backward),
        installed("batchnorm-each-pixel-apart", batchnorm_backward),
        ("batchnorm-each-pixel-apart", _each_pixel_apart),
        ("batchnorm-epsilon-outside-root", _epsilon_outside_root),
    ],
    accumulates="gradient-kept-from-last-step",
    forward=forward,
    gradients=("x", "gamma"),
)
