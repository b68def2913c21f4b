"""The optimizers' rules in one pass over memory: `optimizers.py` states each line by line.

NumPy makes a temporary array for every operation of a rule; here each number of a parameter, its gradient and its state
is read once, and those that change are written once. Numbers do not meet each other, so threads cannot change the result.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.threads import run


@jit
def sgd(first, last, p, g, u, learning_rate, momentum, nesterov):
    """`optimizers.sgd_update` on flat arrays."""
    p, g, u = p[first:last], g[first:last], u[first:last]
    for i in range(len(p)):
        speed = momentum * u[i] - learning_rate * g[i]
        p[i] += momentum * speed - learning_rate * g[i] if nesterov else speed
        u[i] = speed


@jit
def adagrad(first, last, p, g, a, learning_rate, epsilon):
    """`optimizers.adagrad_update` on flat arrays."""
    p, g, a = p[first:last], g[first:last], a[first:last]
    for i in range(len(p)):
        squares = a[i] + g[i] * g[i]
        p[i] -= learning_rate * g[i] / sqrt(squares + epsilon)
        a[i] = squares


@jit
def adadelta(first, last, p, g, a, d, learning_rate, rho, rest, epsilon):
    """`optimizers.adadelta_update` on flat arrays; `rest` is 1 - rho."""
    p, g, a, d = p[first:last], g[first:last], a[first:last], d[first:last]
    for i in range(len(p)):
        squares = rho * a[i] + rest * g[i] * g[i]
        step = sqrt(d[i] + epsilon) / sqrt(squares + epsilon) * g[i]
        p[i] -= learning_rate * step
        d[i] = rho * d[i] + rest * step * step
        a[i] = squares


@jit
def adam(first, last, p, g, m, v, rate, beta_1, rest_1, beta_2, rest_2, epsilon):
    """`optimizers.adam_update` on flat arrays; `rate` has the bias correction in it, `rest_1` is 1 - beta_1."""
    p, g, m, v = p[first:last], g[first:last], m[first:last], v[first:last]
    for i in range(len(p)):
        mean = beta_1 * m[i] + rest_1 * g[i]
        squares = beta_2 * v[i] + rest_2 * g[i] * g[i]
        p[i] -= rate * mean / (sqrt(squares) + epsilon)
        m[i], v[i] = mean, squares


def one_pass(
    kernel: Callable[..., None], p: np.ndarray, g: np.ndarray, states: list[np.ndarray], *numbers: float
) -> None:
    """Run a kernel on arrays of any shape, its numbers in the parameter's own precision.

    Parameters
    ----------
    kernel : one of this file's
    p, g : ndarray of one shape and dtype; p is updated in place and must be contiguous
    states : arrays of that shape, updated in place
    *numbers : the rule's constants
    """
    number = p.dtype.type
    arrays = (a.reshape(-1) for a in (p, np.ascontiguousarray(g), *states))
    run(kernel, p.size, p.size, *arrays, *map(number, numbers))
