"""The gradient of ReLU: computed while a kernel copies a gradient, or in a separate pass."""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run


@jit
def copy_gradient(source, target, out, masked):
    """Copy a gradient; if `masked`, write 0 where `out`, the output of a ReLU, is not positive. All arrays are flat.

    `source` and `target` should be different arrays: in place, LLVM would store only the zeros, with an instruction slow on AMD.
    """
    zero = source.dtype.type(0)
    for k in range(len(source)):
        gradient = source[k]
        target[k] = gradient if (out[k] > 0) | (not masked) else zero        # `|` and not `or`, which would be a branch


@jit
def _backward(first, last, dout, out, dx):
    copy_gradient(dout[first:last], dx[first:last], out[first:last], True)


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx as `layers.activations.relu_backward` does, in recycled memory."""
    dx = empty(out.shape, out.dtype)
    run(_backward, out.size, out.size, plain(dout).reshape(-1), plain(out).reshape(-1), dx.reshape(-1))
    return dx
