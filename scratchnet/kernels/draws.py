"""Random numbers that depend only on a key and an index: Philox 4x32-10, first in NumPy, directly below it in numba.

A generator with a state, such as NumPy's, computes each number from the one before, so number i needs all i numbers before it. A
counter-based generator encrypts the index with the key. Any thread, and any process, can compute any part of the numbers, in any
order, and backward can compute the numbers of forward a second time instead of keeping them.

A key has 64 bits: two words k0 and k1 of 32 bits. A block has four words, c0 to c3, which at first hold the number of the block
and are encrypted in ten rounds. With the 64-bit products p = M0·c0 and q = M1·c2, whose high and low halves are words, a
round computes

    c0, c1, c2, c3  ←  high(q) ^ c1 ^ k0,  low(q),  high(p) ^ c3 ^ k1,  low(p)
    k0, k1          ←  k0 + W0,  k1 + W1                                    (modulo 2³²)

Each round is a one-to-one map of blocks, so two blocks of one key never have the same words. Index i is word i mod 4 of block
i div 4, and the number is that word divided by 2³². Everything is integer arithmetic, so both forms have the same bits.

Source: Salmon, Moraes, Dror & Shaw, *Parallel random numbers: as easy as 1, 2, 3* (2011), section 5; their published test
vectors are in tests/test_draws.py.
"""

from __future__ import annotations

from math import prod

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty
from scratchnet.kernels.threads import run

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)       # the multipliers
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)       # what is added to the key after a round
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)            # the mask of a low half, and the bits to shift a high half by
ROUNDS = 10
TILE = 1 << 12              # numbers in a task: their words stay in the cache of a core
COST = 8                    # multiply-adds that take as long as drawing one number


def philox(c0: np.ndarray, c1: np.ndarray, c2: np.ndarray, c3: np.ndarray, k0: np.uint64, k1: np.uint64) -> np.ndarray:
    """Return the four words of each of B blocks, encrypted: four arrays of words (B,), as uint64, -> (B, 4)."""
    for _ in range(ROUNDS):
        p, q = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (q >> HIGH) ^ c1 ^ k0, q & LOW, (p >> HIGH) ^ c3 ^ k1, p & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return np.stack([c0, c1, c2, c3], axis=1)


def uniform_numpy(key: int, shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    """Return what `uniform` returns, in plain NumPy."""
    size = prod(shape)
    blocks = np.arange(first // 4, -(-(first + size) // 4), dtype=np.uint64)            # those that hold the indices
    zero = np.zeros_like(blocks)
    words = philox(blocks & LOW, blocks >> HIGH, zero, zero, *halves(key)).reshape(-1)  # (B, 4) -> (4·B,)
    return (words[first % 4 :][:size] * 2.0**-32).reshape(shape)


def halves(key: int) -> tuple[np.uint64, np.uint64]:
    """Return the low and the high word of a key, an integer from 0 to 2**64 - 1."""
    return np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32)


@jit
def fill(words, k0, k1, block):
    """Write the words of the blocks from `block` on: the same lines as above, one block after another."""
    for b in range(len(words) // 4):
        at = np.uint64(block + b)
        c0, c1, c2, c3 = at & LOW, at >> HIGH, np.uint64(0), np.uint64(0)
        r0, r1 = k0, k1
        for _ in range(ROUNDS):
            p, q = M0 * c0, M1 * c2
            c0, c1, c2, c3 = (q >> HIGH) ^ c1 ^ r0, q & LOW, (p >> HIGH) ^ c3 ^ r1, p & LOW
            r0, r1 = (r0 + W0) & LOW, (r1 + W1) & LOW
        words[4 * b], words[4 * b + 1], words[4 * b + 2], words[4 * b + 3] = c0, c1, c2, c3


@jit
def _uniform(first, last, k0, k1, block, skip, out):
    words = np.empty(TILE + 4, np.uint32)
    for task in range(first, last):
        start = task * TILE
        numbers = out[start : start + TILE]
        fill(words, k0, k1, block + start // 4)
        for i in range(len(numbers)):
            numbers[i] = words[skip + i] * 2.0**-32


def uniform(key: int, shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    """Return numbers in [0, 1), in float64, each of which depends only on the key and on its index.

    Parameters
    ----------
    key : int
        From 0 to 2**64 - 1; `rng.integers(2**63)` makes one.
    shape : tuple of int
        The numbers have the indices first, first + 1, …, in row-major order.
    first : int
        The index of the first number.

    Returns
    -------
    ndarray
        Multiples of 2**-32, the same for any number of threads.

    Examples
    --------
    >>> numbers = uniform(7, (2, 3))
    >>> numbers.round(3)
    array([[0.955, 0.75 , 0.114],
           [0.086, 0.407, 0.795]])
    >>> uniform(7, (3,), first=3).round(3)
    array([0.086, 0.407, 0.795])
    """
    out = empty(shape, np.float64)
    tasks = -(-out.size // TILE)
    run(_uniform, COST * out.size, tasks, *halves(key), first // 4, first % 4, out.reshape(-1))
    return out
