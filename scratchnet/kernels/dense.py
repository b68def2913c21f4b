"""The fused telling of a dense layer: three matrix products, cut so that what is read again stays in the cache.

Forward sums over the many inputs of a layer (50,176 in net_1). They are cut into slices, each with sums of its own,
which are then added in order; x and w are so read once. The cut depends on the shape only, and so do the bits.
Backward takes blocks of inputs. A block of columns of x is copied first: rows of x lie far apart, often by a multiple of a
large power of two, and their pieces would drive each other out of the cache. For dx the product is the turned one,
dxᵀ = w·doutᵀ: it reads w as it lies, a few rows side by side, after one walk through them, and its block is turned back on
its way to dx.
"""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.gemm import ROWS, multiply
from scratchnet.kernels.images import fetch
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain, scratch
from scratchnet.kernels.threads import run

SLICES = 16         # of the inputs in forward, at most, each with a sum of its own
SLICE = 1024        # inputs in a slice, at least
DEPTH = 256         # inputs multiplied before the next block of outputs: that much of w stays in the second cache
BLOCK = 32 * ROWS   # inputs in a task of backward: whole tiles down, for dw and dxᵀ


@jit
def _forward(first, last, x, w, partial, lowest):
    N, D = x.shape
    S, _, U = partial.shape
    for s in range(first, last):
        partial[s] = 0
        end = (s + 1) * D // S
        for k in range(s * D // S, end, DEPTH):
            multiply(
                x, k, D, 0, 1,
                w, k * U, 0, U,
                partial, s * N * U, U,
                partial, s * N * U, U,
                N, U, 1, min(DEPTH, end - k), lowest, False,
            )  # fmt: skip


@jit
def _backward(first, last, dout, dout_t, x, w, dw, dx, need_dx, relu_x, zeros, lowest):
    N, D = x.shape
    U = dout.shape[1]
    apart = N | 1           # between rows of the turned dx: odd, since at a power of two its columns share few sets of the cache
    columns, turned = scratch(N * BLOCK, x), scratch(apart * BLOCK if need_dx else 0, x)
    zero = x.dtype.type(0)
    for task in range(first, last):
        d = task * BLOCK
        m = min(BLOCK, D - d)
        for n in range(N):
            source, target = x[n, d : d + m], columns[n * BLOCK : n * BLOCK + m]
            for i in range(m):
                target[i] = source[i]
        multiply(columns, 0, 1, 0, BLOCK, dout, 0, 0, U, zeros, 0, 0, dw, d * U, U, m, U, 1, N, lowest, False)
        if need_dx:
            turned[0] = fetch(w.reshape(-1), d * U, (d + m) * U)        # nobody reads that number
            multiply(w, d * U, U, 0, 1, dout_t, 0, 0, N, zeros, 0, 0, turned, 0, apart, m, N, 1, U, lowest, False)
            for n in range(N):
                values, gradients, target = columns[n * BLOCK : n * BLOCK + m], turned[n:], dx[n, d : d + m]
                for i in range(m):          # relu.mask's rule, on the way; `|` and not `or`, which would be a branch
                    gradient = gradients[i * apart]
                    target[i] = gradient if (values[i] > 0) | (not relu_x) else zero


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, relu: bool = False) -> np.ndarray:
    """Give x @ w + b as `layers.dense.dense_forward` does, and with `relu` its max(0, ·).

    Parameters
    ----------
    x : ndarray (N, D), float32 or float64
    w : ndarray (D, U)
    b : ndarray (U,) or None
    relu : bool

    Returns
    -------
    ndarray (N, U)
    """
    (N, D), U = x.shape, w.shape[1]
    partial = empty((max(1, min(SLICES, D // SLICE)), N, U), x.dtype)
    run(_forward, N * D * U, len(partial), plain(x), plain(w), partial, x.dtype.type(-np.inf))
    out = partial.sum(axis=0) if len(partial) > 1 else partial[0]
    if b is not None:
        out += b
    return np.maximum(out, 0, out=out) if relu else out


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True, *, relu_x: bool = False
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db as `layers.dense.dense_backward` does.

    Parameters
    ----------
    dout : ndarray (N, U)
    x, w : as for `dense_forward`
    need_dx : bool
        False leaves dx out (None).
    relu_x : bool
        Whether x came from a ReLU; dx is then 0 where x is not positive, which is that ReLU's backward.

    Returns
    -------
    dx : ndarray (N, D) or None
    dw : ndarray (D, U)
    db : ndarray (U,)
    """
    D, U = w.shape
    dout, dout_t, x, w = plain(dout), plain(dout.T), plain(x), plain(w)
    dw, dx = empty((D, U), x.dtype), empty(x.shape if need_dx else (0, 0), x.dtype)
    zeros, lowest = np.zeros(max(len(x), U), x.dtype), x.dtype.type(-np.inf)
    run(_backward, 2 * len(x) * w.size, -(-D // BLOCK), dout, dout_t, x, w, dw, dx, need_dx, relu_x, zeros, lowest)
    return dx if need_dx else None, dw, dout.sum(axis=0)
