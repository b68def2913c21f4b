"""The optimizers' rules in one pass over memory: `optimizers.py` states each line by line.

NumPy makes a temporary array for every operation of a rule; here each number of a parameter, its gradient and its state
is read once and written once. Numbers do not meet each other, so threads cannot change the result.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from numba import prange

from scratchnet.kernels.jit import jit, run


@jit(parallel=True)
def sgd(p, g, u, learning_rate, momentum, nesterov):
    """`optimizers.sgd_update` on flat arrays."""
    for i in prange(p.size):
        u[i] = momentum * u[i] - learning_rate * g[i]
        p[i] += momentum * u[i] - learning_rate * g[i] if nesterov else u[i]


@jit(parallel=True)
def adagrad(p, g, a, learning_rate, epsilon):
    """`optimizers.adagrad_update` on flat arrays."""
    for i in prange(p.size):
        a[i] += g[i] * g[i]
        p[i] -= learning_rate * g[i] / sqrt(a[i] + epsilon)


@jit(parallel=True)
def adadelta(p, g, a, d, learning_rate, rho, rest, epsilon):
    """`optimizers.adadelta_update` on flat arrays; `rest` is 1 - rho."""
    for i in prange(p.size):
        a[i] = rho * a[i] + rest * g[i] * g[i]
        step = sqrt(d[i] + epsilon) / sqrt(a[i] + epsilon) * g[i]
        d[i] = rho * d[i] + rest * step * step
        p[i] -= learning_rate * step


@jit(parallel=True)
def adam(p, g, m, v, rate, beta_1, rest_1, beta_2, rest_2, epsilon):
    """`optimizers.adam_update` on flat arrays; `rate` has the bias correction in it, `rest_1` is 1 - beta_1."""
    for i in prange(p.size):
        m[i] = beta_1 * m[i] + rest_1 * g[i]
        v[i] = beta_2 * v[i] + rest_2 * g[i] * g[i]
        p[i] -= rate * m[i] / (sqrt(v[i]) + epsilon)


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
    run(kernel, p.size, p.reshape(-1), np.ascontiguousarray(g).reshape(-1), *(s.reshape(-1) for s in states), *map(number, numbers))
