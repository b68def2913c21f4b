"""A test of whether the vector kernel works on this machine; it runs once per process, before the first layer that needs it."""

from __future__ import annotations

from functools import cache

import numpy as np

from scratchnet.kernels.gemm import Block, Left, Right, Rows, Store, multiply
from scratchnet.kernels.jit import COMPILED, jit


@jit
def _two_by_two(a, b, zeros, c):
    product = Left(a, 0, m=2, ko=0, ki=1), Right(b, 0, ko=0, ki=2), Rows(zeros, 0, m=0), Rows(c, 0, m=2)
    multiply(*product, Block(M=2, N=2, KO=1, KI=2), Store(a.dtype.type(-np.inf), False))


@cache
def why_not() -> str:
    """Return why the vector kernel does not work; "" if it multiplies two small matrices correctly."""
    if not COMPILED:
        return "NUMBA_DISABLE_JIT is set"
    a, b, c = np.array([1, 2, 3, 4], "f"), np.array([5, 6, 7, 8], "f"), np.zeros(4, "f")
    try:
        _two_by_two(a, b, np.zeros(2, "f"), c)
    except Exception as error:  # anything that LLVM or numba cannot do on this processor
        return f"the vector kernel cannot be built here ({' '.join(str(error).split())[:120]})"
    return "" if c.tolist() == [19, 22, 43, 50] else "the vector kernel computes wrong products here"
