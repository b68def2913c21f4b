"""ReLU's gradient: in place, for kernels that have just written one, and as a pass of its own."""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run


@jit
def mask(dx, out):
    """Make dx 0, in place, where a ReLU's output `out` is not positive: two arrays on one axis."""
    zero = dx.dtype.type(0)
    for k in range(len(dx)):
        gradient = dx[k]
        dx[k] = gradient if out[k] > 0 else zero


# A loop of its own: one for both, given the same array twice, is no vector code.
@jit
def _backward(first, last, dout, out, dx):
    gradients, values, given = dx[first:last], out[first:last], dout[first:last]
    zero = dx.dtype.type(0)
    for k in range(len(gradients)):
        gradient = given[k]
        gradients[k] = gradient if values[k] > 0 else zero


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Give dx as `layers.activations.relu_backward` does, in recycled memory."""
    dx = empty(out.shape, out.dtype)
    run(_backward, out.size, out.size, plain(dout).reshape(-1), plain(out).reshape(-1), dx.reshape(-1))
    return dx
