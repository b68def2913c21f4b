"""The fused telling of a dense layer: three matrix products, cut so that what is read again stays in the cache.

Forward sums over the many inputs of a layer (50,176 in net_1). They are cut into slices, each with sums of its own,
which are then added in order; x and w are so read once. The cut depends on the shape only, and so do the bits.
The backward products take blocks of inputs: a block of x or of w is turned into a small transposed copy first, so that
the kernel's reads are contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from scratchnet.kernels.gemm import multiply
from scratchnet.kernels.jit import jit, run
from scratchnet.kernels.memory import empty, plain

SLICES = 16         # of the inputs in forward, at most, each with a sum of its own
SLICE = 1024        # inputs in a slice, at least
DEPTH = 256         # inputs multiplied before the next block of outputs: that much of w stays in the second cache
ROWS = 96           # images, or inputs, in a task


@jit(parallel=True)
def _forward(x, w, partial, lowest):
    N, D = x.shape
    S, _, U = partial.shape
    blocks = (N + ROWS - 1) // ROWS
    for task in prange(S * blocks):
        s, n = task // blocks, task % blocks * ROWS
        m = min(ROWS, N - n)
        end = (s + 1) * D // S
        for k in range(s * D // S, end, DEPTH):
            multiply(
                x, n * D + k, D, 0, 1,
                w, k * U, 0, U,
                partial, (s * N + n) * U, U,
                partial, (s * N + n) * U, U,
                m, U, 1, min(DEPTH, end - k), lowest,
            )  # fmt: skip


@jit(parallel=True)
def _backward_w(dout, x, dw, zeros, lowest):
    N, D = x.shape
    U = dout.shape[1]
    for task in prange((D + ROWS - 1) // ROWS):
        first = task * ROWS
        m = min(ROWS, D - first)
        block = np.empty((N, m), x.dtype)
        for n in range(N):
            for i in range(m):
                block[n, i] = x[n, first + i]
        multiply(block, 0, 1, 0, m, dout, 0, 0, U, zeros, 0, 0, dw, first * U, U, m, U, 1, N, lowest)


@jit(parallel=True)
def _backward_x(dout, w, dx, zeros, lowest):
    N, D = dx.shape
    U = dout.shape[1]
    for task in prange((D + ROWS - 1) // ROWS):
        first = task * ROWS
        m = min(ROWS, D - first)
        block = np.empty((U, m), w.dtype)
        for i in range(m):
            for u in range(U):
                block[u, i] = w[first + i, u]
        multiply(dout, 0, U, 0, 1, block, 0, 0, m, zeros, 0, 0, dx, first, D, N, m, 1, U, lowest)


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
    partial.fill(0)
    run(_forward, N * D * U, plain(x), plain(w), partial, x.dtype.type(-np.inf))
    out = partial.sum(axis=0)
    if b is not None:
        out += b
    return np.maximum(out, 0, out=out) if relu else out


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True, *, relu_out: np.ndarray | None = None
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db as `layers.dense.dense_backward` does.

    Parameters
    ----------
    dout : ndarray (N, U)
    x, w : as for `dense_forward`
    need_dx : bool
        False leaves dx out (None).
    relu_out : ndarray (N, U), optional
        The result of `dense_forward(..., relu=True)`; dout then counts only where it is positive.

    Returns
    -------
    dx : ndarray (N, D) or None
    dw : ndarray (D, U)
    db : ndarray (U,)
    """
    lowest = x.dtype.type(-np.inf)
    zeros = np.zeros(max(ROWS, w.shape[1]), x.dtype)
    dout = plain(dout if relu_out is None else np.where(relu_out > 0, dout, x.dtype.type(0)))
    dw = empty(w.shape, x.dtype)
    run(_backward_w, len(x) * w.size, dout, plain(x), dw, zeros, lowest)
    dx = None
    if need_dx:
        dx = empty(x.shape, x.dtype)
        run(_backward_x, len(x) * w.size, dout, plain(w), dx, zeros, lowest)
    return dx, dw, dout.sum(axis=0)
