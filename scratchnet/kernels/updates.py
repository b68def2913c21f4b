"""The optimizers' rules in one pass over memory: `optimizers.py` has the same rules in NumPy.

NumPy makes a temporary array for every operation of a rule. Here each number of a parameter, its gradient and its state
is read once, and those that change are written once. No number depends on another, so threads cannot change the result.

p parameter, g gradient, then the state: u velocity (SGD), a accumulator (Adagrad), a and d (Adadelta), m and v (Adam, Nadam), w the
largest v (AMSGrad), a, m and u (RMSprop). The functions at the end have the signatures of the rules, and take arrays of any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.threads import run


@jit
def _decay(first, last, p, constants):
    (factor,) = constants
    p = p[first:last]
    for i in range(len(p)):
        p[i] -= factor * p[i]


@jit
def _sgd(first, last, p, g, u, constants):
    learning_rate, momentum, nesterov = constants
    p, g, u = p[first:last], g[first:last], u[first:last]
    for i in range(len(p)):
        velocity = momentum * u[i] - learning_rate * g[i]
        p[i] += momentum * velocity - learning_rate * g[i] if nesterov else velocity
        u[i] = velocity


@jit
def _adagrad(first, last, p, g, a, constants):
    learning_rate, epsilon = constants
    p, g, a = p[first:last], g[first:last], a[first:last]
    for i in range(len(p)):
        squares = a[i] + g[i] * g[i]
        p[i] -= learning_rate * g[i] / sqrt(squares + epsilon)
        a[i] = squares


@jit
def _adadelta(first, last, p, g, a, d, constants):
    learning_rate, rho, complement, epsilon = constants
    p, g, a, d = p[first:last], g[first:last], a[first:last], d[first:last]
    for i in range(len(p)):
        squares = rho * a[i] + complement * g[i] * g[i]
        step = sqrt(d[i] + epsilon) / sqrt(squares + epsilon) * g[i]
        p[i] -= learning_rate * step
        d[i] = rho * d[i] + complement * step * step
        a[i] = squares


@jit
def _adam(first, last, p, g, m, v, constants):
    rate, beta_1, complement_1, beta_2, complement_2, epsilon = constants
    p, g, m, v = p[first:last], g[first:last], m[first:last], v[first:last]
    for i in range(len(p)):
        mean = beta_1 * m[i] + complement_1 * g[i]
        squares = beta_2 * v[i] + complement_2 * g[i] * g[i]
        p[i] -= rate * mean / (sqrt(squares) + epsilon)
        m[i], v[i] = mean, squares


@jit
def _amsgrad(first, last, p, g, m, v, w, constants):
    rate, beta_1, complement_1, beta_2, complement_2, epsilon = constants
    p, g, m, v, w = p[first:last], g[first:last], m[first:last], v[first:last], w[first:last]
    for i in range(len(p)):
        mean = beta_1 * m[i] + complement_1 * g[i]
        squares = beta_2 * v[i] + complement_2 * g[i] * g[i]
        largest = w[i] if squares <= w[i] else squares
        p[i] -= rate * mean / (sqrt(largest) + epsilon)
        m[i], v[i], w[i] = mean, squares, largest


@jit
def _nadam(first, last, p, g, m, v, constants):
    of_m, of_g, of_v, learning_rate, beta_1, complement_1, beta_2, complement_2, epsilon = constants
    p, g, m, v = p[first:last], g[first:last], m[first:last], v[first:last]
    for i in range(len(p)):
        mean = beta_1 * m[i] + complement_1 * g[i]
        squares = beta_2 * v[i] + complement_2 * g[i] * g[i]
        p[i] -= learning_rate * (of_m * mean + of_g * g[i]) / (sqrt(of_v * squares) + epsilon)
        m[i], v[i] = mean, squares


@jit
def _rmsprop(first, last, p, g, a, constants):
    learning_rate, rho, complement, epsilon = constants
    p, g, a = p[first:last], g[first:last], a[first:last]
    for i in range(len(p)):
        squares = rho * a[i] + complement * g[i] * g[i]
        p[i] -= learning_rate * g[i] / sqrt(squares + epsilon)
        a[i] = squares


@jit
def _full_rmsprop(first, last, p, g, a, m, u, constants):
    learning_rate, rho, complement, momentum, epsilon, mean_rho, mean_complement = constants
    p, g, a, m, u = p[first:last], g[first:last], a[first:last], m[first:last], u[first:last]
    for i in range(len(p)):
        squares = rho * a[i] + complement * g[i] * g[i]
        mean = mean_rho * m[i] + mean_complement * g[i]
        variance = squares - mean * mean
        if variance < 0:
            variance = 0.0          # negative by rounding only
        velocity = momentum * u[i] + learning_rate * g[i] / sqrt(variance + epsilon)
        p[i] -= velocity
        a[i], m[i], u[i] = squares, mean, velocity


def _one_pass(kernel: Callable[..., None], p: np.ndarray, g: np.ndarray, states: Sequence[np.ndarray], *numbers: float) -> None:
    """Run a kernel on flat views of arrays of the same shape, with the constants in the precision of p."""
    arrays = (a.reshape(-1) for a in (p, np.ascontiguousarray(g), *states))
    run(kernel, p.size, p.size, *arrays, tuple(map(p.dtype.type, numbers)))


def weight_decay_update(p: np.ndarray, learning_rate: float, weight_decay: float) -> None:
    """Update p in place, as `optimizers.weight_decay_update` does; p is C-contiguous, here and below."""
    run(_decay, p.size, p.size, p.reshape(-1), (p.dtype.type(learning_rate * weight_decay),))


def sgd_update(p: np.ndarray, g: np.ndarray, u: np.ndarray, learning_rate: float, momentum: float, nesterov: bool) -> None:
    """Update p and its state in place, as `optimizers.sgd_update` does."""
    _one_pass(_sgd, p, g, (u,), learning_rate, momentum, nesterov)


def adagrad_update(p: np.ndarray, g: np.ndarray, a: np.ndarray, learning_rate: float, epsilon: float) -> None:
    """Update p and its state in place, as `optimizers.adagrad_update` does."""
    _one_pass(_adagrad, p, g, (a,), learning_rate, epsilon)


def adadelta_update(
    p: np.ndarray, g: np.ndarray, a: np.ndarray, d: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """Update p and its state in place, as `optimizers.adadelta_update` does."""
    _one_pass(_adadelta, p, g, (a, d), learning_rate, rho, 1 - rho, epsilon)


def adam_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray,
    t: int, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Update p and its state in place, as `optimizers.adam_update` does."""
    rate = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)
    _one_pass(_adam, p, g, (m, v), rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon)


def amsgrad_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, w: np.ndarray,
    t: int, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Update p and its state in place, as `optimizers.amsgrad_update` does."""
    rate = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)
    _one_pass(_amsgrad, p, g, (m, v, w), rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon)


def nadam_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray,
    factors: tuple[float, float, float], learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Update p and its state in place, as `optimizers.nadam_update` does."""
    _one_pass(_nadam, p, g, (m, v), *factors, learning_rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon)


def rmsprop_update(p: np.ndarray, g: np.ndarray, a: np.ndarray, learning_rate: float, rho: float, epsilon: float) -> None:
    """Update p and its state in place, as `optimizers.rmsprop_update` does."""
    _one_pass(_rmsprop, p, g, (a,), learning_rate, rho, 1 - rho, epsilon)


def full_rmsprop_update(
    p: np.ndarray, g: np.ndarray, a: np.ndarray, m: np.ndarray, u: np.ndarray,
    learning_rate: float, rho: float, momentum: float, epsilon: float, centered: bool,
) -> None:  # fmt: skip
    """Update p and its state in place, as `optimizers.full_rmsprop_update` does."""
    of_mean = (rho, 1 - rho) if centered else (0.0, 0.0)
    _one_pass(_full_rmsprop, p, g, (a, m, u), learning_rate, rho, 1 - rho, momentum, epsilon, *of_mean)
