"""The gradient of ReLU: in place, for kernels that have just written a gradient, and as a separate pass."""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run


@jit
def mask(dx, out):
    """Set dx to 0, in place, where the output `out` of a ReLU is not positive; both arrays are flat."""
    zero = dx.dtype.type(0)
    for k in range(len(dx)):
        gradient = dx[k]
        dx[k] = gradient if out[k] > 0 else zero


# A separate loop: a shared one, called with the same array twice, would not be vectorized.
@jit
def _backward(first, last, dout, out, dx):
    gradients, values, given = dx[first:last], out[first:last], dout[first:last]
    zero = dx.dtype.type(0)
    for k in range(len(gradients)):
        gradient = given[k]
        gradients[k] = gradient if values[k] > 0 else zero


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx as `layers.activations.relu_backward` does, in recycled memory."""
    dx = empty(out.shape, out.dtype)
    run(_backward, out.size, out.size, plain(dout).reshape(-1), plain(out).reshape(-1), dx.reshape(-1))
    return dx
