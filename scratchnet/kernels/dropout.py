"""Dropout in one pass: the mask is computed from the key and the index of each number; without a `noise_shape` it is not stored."""

from __future__ import annotations

from math import ceil

import numpy as np

from scratchnet.kernels.draws import COST, TILE, fill, halves, uniform
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run


@jit
def _masked(first, last, x, k0, k1, block, skip, least, scale, out):
    """Write x·scale where the random word of a number is at least `least`, else 0; both arrays are flat, a task is a tile.

    The first number has word `skip` of `block`.
    """
    words = np.empty(TILE + 4, np.uint32)
    zero = x.dtype.type(0)
    for task in range(first, last):
        start = task * TILE
        given, result = x[start : start + TILE], out[start : start + TILE]
        fill(words, k0, k1, block + start // 4)
        for i in range(len(given)):
            scaled = given[i] * scale
            result[i] = scaled if words[skip + i] >= least else zero


def dropout_forward(
    x: np.ndarray, rate: float, key: int, noise_shape: tuple[int, ...] | None = None, first: int = 0
) -> np.ndarray:
    """Return the output as `layers.dropout.dropout_forward` does, bit for bit, in recycled memory.

    A word w is the number u = w / 2**32, so u ≥ rate where w ≥ rate · 2**32: only integers are compared. With a
    `noise_shape`, the mask is smaller than x, and is stored.
    """
    scale = x.dtype.type(1 / (1 - rate))
    out = empty(x.shape, x.dtype)
    if noise_shape is not None and noise_shape != x.shape:
        np.multiply(x, scale, out=out)
        np.copyto(out, 0, where=uniform(key, noise_shape, first) < rate)
        return out
    least = np.uint64(ceil(rate * 2**32))                   # up to 2**32: at a rate very close to 1 nothing is kept
    tasks = -(-x.size // TILE)
    place = (first // 4, first % 4)
    run(_masked, COST * x.size, tasks, plain(x).reshape(-1), *halves(key), *place, least, scale, out.reshape(-1))
    return out


dropout_backward = dropout_forward
