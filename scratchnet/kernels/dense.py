"""The fused implementation of a dense layer: three matrix products, in blocks that are still in the cache when read again.

Forward sums over the many inputs of a layer (50,176 in net_1 on MNIST). The inputs are cut into slices, each with separate
sums, which are then added in order, so x and w are read once. The cut, and so the bits of the result, depend on the shape only.
Backward works on blocks of inputs. A block of columns of x is copied first: rows of x lie far apart in memory, often at a
multiple of a large power of two, and their pieces would evict each other from the cache. dx is computed transposed,
dxᵀ = w·doutᵀ: this product reads w in memory order, a few rows at a time, after `fetch` has read them once. Each block of dxᵀ is
transposed back while it is copied to dx.

The right factor of a product is read in strips as wide as a tile, from its first row to its last, once for each tile of rows of the
left factor. So the distance between its rows, too, should not be a multiple of a large power of two. Forward copies some rows of w
at a time to rows that are `memory.pitch_of` numbers apart, unless there are at most ROWS samples: then w is read too few times for
the copy to pay. Backward takes such copies of dout and doutᵀ.

A large dw is written directly to memory (gemm.py), since it is not read again before backward has ended.

Legend
------
    x (N, D)   w (D, U)   b (U,)   out (N, U)     N samples, D inputs, U units; dout, dx, dw, db their gradients
    partial    (S, N, U)                          the sums of each of S slices of the inputs; s is one of them
    rows       (DEPTH, pitch)                     some rows of w; k is the first of them
    columns    (N, BLOCK)                         a block of columns of x; d is its first column, and it has B of them
    dx_t       (BLOCK, pitch)                     the same block of dxᵀ
    dout_t     (U, N)                             doutᵀ; in `_backward`, dout and dout_t have rows of shape[1] numbers
    pitch                                         how many numbers apart the rows of `rows`, or those of dx_t, begin
"""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.gemm import ROWS, VECTOR_BYTES, Block, Left, Right, Rows, Store, multiply
from scratchnet.kernels.images import fetch
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, goes_past_cache, pitch_of, plain, scratch, with_pitch
from scratchnet.kernels.structures import Gradients
from scratchnet.kernels.threads import run

SLICES = 16         # slices of the inputs in forward, at most, each with separate sums
SLICE = 1024        # inputs in a slice, at least
# Inputs in one product of forward: their rows of w, or the copy of them, stay in the level-2 cache, and two vectors of each row, at
# most 16 KiB, in the level-1 cache.
DEPTH = min(256, (16 << 10) // (2 * VECTOR_BYTES))
BLOCK = 32 * ROWS   # inputs in a task of backward: a whole number of the widest tiles high, for dw and dxᵀ


@jit
def _forward(first, last, x, w, partial):
    N, D = x.shape
    S, _, U = partial.shape
    no_floor, pitch = Store(x.dtype.type(-np.inf), False), pitch_of(U, x.itemsize)
    copies = N > ROWS
    rows = scratch(DEPTH * pitch if copies else 0, x)
    for s in range(first, last):
        partial[s] = 0
        sums, end = Rows(partial, s * N * U, m=U), (s + 1) * D // S
        for k in range(s * D // S, end, DEPTH):
            block = Block(M=N, N=U, KO=1, KI=min(DEPTH, end - k))
            right = Right(w.reshape(-1), k * U, ko=0, ki=U)         # flat, as `rows` is: numba requires one type
            if copies:
                for i in range(block.KI):
                    source, target = w[k + i], rows[i * pitch : i * pitch + U]
                    for u in range(U):
                        target[u] = source[u]
                right = Right(rows, 0, ko=0, ki=pitch)
            multiply(Left(x, k, m=D, ko=0, ki=1), right, sums, sums, block, no_floor)


@jit
def _backward(first, last, dout, dout_t, x, w, zeros, gradients, store_dw):
    dx, dw, need_dx, need_dw, relu_x = gradients
    (N, D), U, no_floor = x.shape, w.shape[1], Store(x.dtype.type(-np.inf), False)
    pitch = N | 1           # odd: at a multiple of a large power of two, a column of dx_t would use only a few sets of the cache
    columns, dx_t = scratch(N * BLOCK, x), scratch(pitch * BLOCK if need_dx else 0, x)
    zero = x.dtype.type(0)
    for task in range(first, last):
        d = task * BLOCK
        B = min(BLOCK, D - d)
        for n in range(N):
            source, target = x[n, d : d + B], columns[n * BLOCK : n * BLOCK + B]
            for i in range(B):
                target[i] = source[i]
        if need_dw:
            multiply(
                Left(columns, 0, m=1, ko=0, ki=BLOCK),
                Right(dout, 0, ko=0, ki=dout.shape[1]),
                Rows(zeros, 0, m=0),
                Rows(dw, d * U, m=U),
                Block(M=B, N=U, KO=1, KI=N),
                store_dw,
            )
        if need_dx:
            dx_t[0] = fetch(w.reshape(-1), d * U, (d + B) * U)          # this number is not used
            multiply(
                Left(w, d * U, m=U, ko=0, ki=1),
                Right(dout_t, 0, ko=0, ki=dout_t.shape[1]),
                Rows(zeros, 0, m=0),
                Rows(dx_t, 0, m=pitch),
                Block(M=B, N=N, KO=1, KI=U),
                no_floor,
            )
            for n in range(N):
                values, column, target = columns[n * BLOCK : n * BLOCK + B], dx_t[n:], dx[n, d : d + B]
                for i in range(B):          # `|` and not `or`, which would be a branch
                    gradient = column[i * pitch]
                    target[i] = gradient if (values[i] > 0) | (not relu_x) else zero


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, relu: bool = False) -> np.ndarray:
    """Return x @ w + b as `layers.dense.dense_forward` does; with `relu`, max(0, x @ w + b).

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
    run(_forward, N * D * U, len(partial), plain(x), plain(w), partial)
    out = partial.sum(axis=0) if len(partial) > 1 else partial[0]
    if b is not None:
        out += b
    return np.maximum(out, 0, out=out) if relu else out


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True, *, need_dw: bool = True, relu_x: bool = False
) -> tuple[np.ndarray | None, ...]:
    """Return dx, dw, db as `layers.dense.dense_backward` does.

    Parameters
    ----------
    dout : ndarray (N, U)
    x, w : as for `dense_forward`
    need_dx : bool
        Whether dx is computed; otherwise it is None.
    need_dw : bool
        Whether dw and db are computed; otherwise both are None. A layer that is not trained needs neither.
    relu_x : bool
        Whether x is the output of a ReLU; dx is then 0 where x is not positive, which is the backward of that ReLU.

    Returns
    -------
    dx : ndarray (N, D) or None
    dw : ndarray (D, U) or None
    db : ndarray (U,) or None
    """
    D, U = w.shape
    dout, x, w = plain(dout), plain(x), plain(w)
    dw, dx = empty((D, U), x.dtype), empty(x.shape if need_dx else (0, 0), x.dtype)
    zeros, gradients = np.zeros(max(len(x), U), x.dtype), Gradients(dx, dw, need_dx, need_dw, relu_x)
    store_dw, factors = Store(x.dtype.type(-np.inf), goes_past_cache(dw)), (with_pitch(dout), with_pitch(dout.T), x, w)
    run(_backward, 2 * len(x) * w.size, -(-D // BLOCK), *factors, zeros, gradients, store_dw)
    return dx if need_dx else None, dw if need_dw else None, dout.sum(axis=0) if need_dw else None
