"""Whether the vector kernel can be had on this machine: asked once a process, before the first layer that wants it."""

from __future__ import annotations

from functools import cache

import numpy as np

from scratchnet.kernels.gemm import multiply
from scratchnet.kernels.jit import COMPILED, jit


@jit
def _two_by_two(a, b, zeros, c):
    multiply(a, 0, 2, 0, 1, b, 0, 0, 2, zeros, 0, 0, c, 0, 2, 2, 2, 1, 2, a.dtype.type(-np.inf), False)


@cache
def why_not() -> str:
    """Say why the vector kernel cannot be had; nothing when it can, and multiplies two small matrices right."""
    if not COMPILED:
        return "NUMBA_DISABLE_JIT is set"
    a, b, c = np.array([1, 2, 3, 4], "f"), np.array([5, 6, 7, 8], "f"), np.zeros(4, "f")
    try:
        _two_by_two(a, b, np.zeros(2, "f"), c)
    except Exception as error:  # whatever LLVM or numba cannot do on this processor
        return f"the vector kernel cannot be built here ({' '.join(str(error).split())[:120]})"
    return "" if c.tolist() == [19, 22, 43, 50] else "the vector kernel multiplies wrongly here"
