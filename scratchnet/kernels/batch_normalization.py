"""The fused implementation of batch normalization: two passes over memory in forward, and two in backward.

    forward     read x: the mean and the variance of each channel       read x, write out, with the ReLU after it
    backward    read x and dout: the sums dγ and dβ                     read x and dout, write dx, with the ReLU before it

With few channels, the numbers of one pixel are too few for vector code. So R pixels, R·C numbers, are one row here, and entry k of
a row belongs to channel k mod C. The means and factors of the channels are repeated R times to fill a row, and the R sums of a
channel are added at the end. The last row may be shorter.

The variance is computed in the same pass as the mean, from the sums of d and of d², where d = x - o, and the origin o is the first
number of the channel:

    mean = o + Σd / M            variance = Σd² / M - (Σd / M)²

Without o, if the mean is far from 0, the difference of two large numbers would have few correct digits. With it, Σd² / M is at
most M + 1 times the variance, since none of M numbers is further from their mean than √M standard deviations: (o - mean)² ≤
M · variance. All sums are float64. Even a million times the rounding error of float64 is less than that of float32.

Each group of rows has separate sums, which are then added in order. The groups depend only on the shape, so the result has the same
bits with any number of threads.

Source: Chan, Golub & LeVeque, *Algorithms for computing the sample variance* (1983), section 3, for the shift by o.

Legend
------
    x out dout dx       as everywhere, flat
    M, C, R             how many numbers a channel has; how many channels there are; how many pixels are in a row
    width, rows         R·C; how many rows there are
    sums                (G, 2, width): two sums of each of G groups; g is one of them
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import groups_of, run

WIDTH = 512         # a row has about this many numbers: with its sums it stays in the level-1 cache


class Factors(NamedTuple):
    """What dx is computed from, for each entry of a row: dx = scale · (dout - constant - slope · (x - mean))."""

    mean: np.ndarray
    scale: np.ndarray
    constant: np.ndarray
    slope: np.ndarray


@jit
def _moments(first, last, x, origin, sums):
    G, _, width = sums.shape
    rows = -(-len(x) // width)
    for g in range(first, last):
        total, squares = sums[g, 0], sums[g, 1]
        total[:], squares[:] = 0, 0
        for r in range(g * rows // G, (g + 1) * rows // G):
            row = x[r * width : (r + 1) * width]
            for k in range(len(row)):
                d = row[k] - origin[k]
                total[k] += d
                squares[k] += d * d


@jit
def _normalize(first, last, x, mean, scale, beta, out, floor):
    width = len(mean)
    for r in range(first, last):
        row, target = x[r * width : (r + 1) * width], out[r * width : (r + 1) * width]
        for k in range(len(row)):
            value = (row[k] - mean[k]) * scale[k] + beta[k]
            target[k] = floor if value <= floor else value


@jit
def _products(first, last, dout, x, mean, sums):
    G, _, width = sums.shape
    rows = -(-len(x) // width)
    for g in range(first, last):
        total, products = sums[g, 0], sums[g, 1]
        total[:], products[:] = 0, 0
        for r in range(g * rows // G, (g + 1) * rows // G):
            row, above = x[r * width : (r + 1) * width], dout[r * width : (r + 1) * width]
            for k in range(len(row)):
                gradient = np.float64(above[k])
                total[k] += gradient
                products[k] += gradient * (row[k] - mean[k])


@jit
def _dx(first, last, dout, x, factors, dx, relu_x):
    mean, scale, constant, slope = factors
    width, zero = len(mean), x.dtype.type(0)
    for r in range(first, last):
        row, above = x[r * width : (r + 1) * width], dout[r * width : (r + 1) * width]
        target = dx[r * width : (r + 1) * width]
        for k in range(len(row)):
            gradient = scale[k] * (above[k] - constant[k] - slope[k] * (row[k] - mean[k]))
            target[k] = gradient if (row[k] > 0) | (not relu_x) else zero


def _row(channels: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the numbers of the channels, repeated to fill a row: (C,) -> (R·C,)."""
    return np.tile(channels.astype(dtype), max(1, WIDTH // len(channels)))


def _sums(kernel: Callable[..., None], arrays: tuple[np.ndarray, ...], channels: np.ndarray) -> np.ndarray:
    """Return the two sums of a kernel for each channel: (2, C), float64. `channels` (C,) is what it subtracts from x."""
    row = _row(channels, np.float64)
    rows = -(-arrays[0].size // len(row))
    sums = empty((groups_of(rows, 2 * len(row)), 2, len(row)), np.float64)
    run(kernel, arrays[0].size, len(sums), *arrays, row, sums)
    return sums.sum(axis=0).reshape(2, -1, len(channels)).sum(axis=1)       # (G, 2, R·C) -> (2, R·C) -> (2, C)


def moments_of(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance of each channel, in float64: (…, C) -> (C,), (C,)."""
    C = x.shape[-1]
    flat = plain(x).reshape(-1)
    origin = flat[:C].astype(np.float64)
    total, squares = _sums(_moments, (flat,), origin) / (x.size // C)
    return origin + total, np.maximum(squares - total * total, 0)


def batch_normalization_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
    moving: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return out, mean and variance as `layers.batch_normalization.batch_normalization_forward` does.

    Parameters
    ----------
    x : ndarray (…, C), float32 or float64
    gamma, beta : ndarray (C,) or None
    epsilon : float
    moving : (mean, variance), optional
        Each (C,): the moving averages, in inference. By default, the mean and the variance of the batch are computed.
    relu : bool

    Returns
    -------
    out : ndarray (…, C)
    mean, variance : ndarray (C,)
    """
    C, dtype = x.shape[-1], x.dtype
    flat, out = plain(x).reshape(-1), empty(x.shape, dtype)
    mean, variance = moving if moving is not None else (value.astype(dtype) for value in moments_of(x))
    scale = 1 / np.sqrt(variance + epsilon)
    row = _row(mean, dtype)
    run(
        _normalize, x.size, -(-x.size // len(row)), flat, row, _row(scale if gamma is None else gamma * scale, dtype),
        _row(np.zeros(C) if beta is None else beta, dtype), out.reshape(-1), dtype.type(0 if relu else -np.inf),
    )  # fmt: skip
    return out, mean, variance


def sums_of_gradients(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return dgamma and dbeta, in float64: (…, C), (…, C), (C,), (C,) -> (C,), (C,)."""
    dbeta, products = _sums(_products, (plain(dout).reshape(-1), plain(x).reshape(-1)), mean)
    return products * (1 / np.sqrt(variance.astype(np.float64) + epsilon)), dbeta


def input_gradient(
    dout: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    moments: tuple[np.ndarray, np.ndarray],
    epsilon: float,
    sums: tuple[np.ndarray, np.ndarray],
    M: float,
    relu_x: bool,
) -> np.ndarray:
    """Return dx, (…, C). `moments` are mean and variance, `sums` dgamma and dbeta, all (C,); in inference M is infinite."""
    mean, variance = moments
    inv, dx = 1 / np.sqrt(variance.astype(np.float64) + epsilon), empty(x.shape, x.dtype)
    channels = (mean, inv if gamma is None else gamma * inv, sums[1] / M, sums[0] * inv / M)
    factors = Factors(*(_row(one, x.dtype) for one in channels))
    tasks = -(-x.size // len(factors.mean))
    run(_dx, x.size, tasks, plain(dout).reshape(-1), plain(x).reshape(-1), factors, dx.reshape(-1), relu_x)
    return dx


def batch_normalization_backward(
    dout: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    training: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Return dx, dgamma, dbeta as `layers.batch_normalization.batch_normalization_backward` does.

    Parameters
    ----------
    dout : ndarray (…, C)
    x, gamma, epsilon : as for `batch_normalization_forward`
    mean, variance : ndarray (C,)
        What forward returned.
    need_dx : bool
        Whether dx is computed; otherwise it is None.
    need_dw : bool
        Whether dgamma and dbeta are returned; otherwise both are None.
    training : bool
        Whether mean and variance are those of the batch, so that dx has the terms through them.
    relu_x : bool
        Whether x is the output of a ReLU; dx is then 0 where x is not positive, which is the backward of that ReLU.

    Returns
    -------
    dx : ndarray (…, C) or None
    dgamma, dbeta : ndarray (C,) or None
    """
    C, dtype = x.shape[-1], x.dtype
    dgamma = dbeta = np.zeros(C)
    if need_dw or training:
        dgamma, dbeta = sums_of_gradients(dout, x, mean, variance, epsilon)
    dx = None
    if need_dx:
        M = x.size // C if training else np.inf     # in inference, the terms through mean and variance are 0
        dx = input_gradient(dout, x, gamma, (mean, variance), epsilon, (dgamma, dbeta), M, relu_x)
    return dx, dgamma.astype(dtype) if need_dw else None, dbeta.astype(dtype) if need_dw else None


# -- parts of a batch in several processes ---------------------------------------------------------------------------


def shared_moments(x: np.ndarray, origin: np.ndarray, samples: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance of each channel over the parts of all processes: (…, C), (C,) -> (C,), (C,).

    With d = mean - o for a part of M values, Σ (x - o) = M·d and Σ (x - o)² = M·(variance + d²). These are added over the parts, in
    float64. The origin o must be the same in all processes and should be near the mean: the layer passes the moving average.
    `samples` is the `Samples` of the part: samples.total(array) returns the sum of an array over all processes. All of them must
    call it, so a process that has no sample runs a copy of one; samples.counts is then False, and M is 0, which adds 0 to the sums.
    """
    M = x.size // x.shape[-1] if samples.counts else 0
    mean, variance = moments_of(x)
    d = mean - origin
    sums = samples.total(np.stack([np.full(len(d), float(M)), M * d, M * (variance + d * d)]))                  # (3, C)
    d, squares = sums[1:] / sums[0]
    return (origin + d).astype(x.dtype), np.maximum(squares - d * d, 0).astype(x.dtype)


def shared_backward(
    dout: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    moments: tuple[np.ndarray, np.ndarray],
    epsilon: float,
    need_dx: bool,
    relu_x: bool,
    samples: Any,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return dx, dgamma and dbeta of this process's part.

    dx is computed by (3) of layers/batch_normalization.py, with dγ, dβ and M of the whole batch. The returned dgamma and dbeta are
    sums over the part only: they are added over all processes later, with the gradients of all other parameters. `samples` is as
    for `shared_moments`; if samples.counts is False, dout is 0, and so are dγ and dβ of the part.
    """
    dgamma, dbeta = sums_of_gradients(dout, x, *moments, epsilon)                                 # (C,), (C,)
    M = np.full(x.shape[-1], float(x.size // x.shape[-1] if samples.counts else 0))
    sums = samples.total(np.stack([dgamma, dbeta, M]))                                                  # (3, C)
    dx = None
    if need_dx:
        dx = input_gradient(dout, x, gamma, moments, epsilon, (sums[0], sums[1]), sums[2, 0], relu_x)
        dx = dx if samples.counts else np.zeros_like(dx)        # even with dout = 0, (3) has the sums of the other processes
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)
