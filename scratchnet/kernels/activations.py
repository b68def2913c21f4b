"""Activation functions in one pass over memory: each input is read once, and its output is computed in registers (elementary.py)
and written once.

The formulas are those of layers/activations.py and layers/smooth_activations.py. NumPy computes them operation by operation, and
each operation writes an array of intermediate results, which is read again by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.kernels.elementary import ONE, ZERO, F, exp, expm1, log1p, normal_tail, sigmoid, tanh
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run

Functions = tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]

WORK = 8                            # the time to compute one number, relative to the time to copy one
DENSITY = F(1 / np.sqrt(2 * np.pi)) # of the standard normal distribution at 0
TANH_SCALE = F(2 * np.sqrt(2 / np.pi))
CUBIC, THREE_CUBIC = F(0.044715), F(3 * 0.044715)
FAR = F(30)                         # where |x| is larger, the derivative of the tanh form of GELU is 0 or 1, in every digit;
                                    # its formula is NaN for very large |x|, where x² is infinite and multiplied by 0


def _run(kernel: Any, arrays: tuple[np.ndarray, ...], settings: tuple[float, ...]) -> np.ndarray:
    """Run kernel(first, last, *arrays, *settings, result) over all numbers, and return the result, of the arrays' shape."""
    result = empty(arrays[-1].shape, arrays[-1].dtype)
    flat = [plain(array).reshape(-1) for array in arrays]
    run(kernel, WORK * result.size, result.size, *flat, *map(result.dtype.type, settings), result.reshape(-1))
    return result


def _pair(forward: Any, backward: Any) -> Functions:
    """Return the functions (x, *settings) -> out and (dout, out or x, *settings) -> dx that run these kernels."""
    return (
        lambda x, *settings: _run(forward, (x,), settings),
        lambda dout, kept, *settings: _run(backward, (dout, kept), settings),
    )


# Each loop runs over slices, so that its index begins at 0: LLVM needs this to see that the arrays are read and written in order.


@jit
def _sigmoid(first, last, x, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        out[k] = sigmoid(x[k])


@jit
def _sigmoid_backward(first, last, dout, out, dx):
    dout, out, dx = dout[first:last], out[first:last], dx[first:last]
    for k in range(len(dx)):
        dx[k] = dout[k] * (out[k] * (ONE - out[k]))


@jit
def _tanh(first, last, x, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        out[k] = tanh(x[k])


@jit
def _tanh_backward(first, last, dout, out, dx):
    dout, out, dx = dout[first:last], out[first:last], dx[first:last]
    for k in range(len(dx)):
        dx[k] = dout[k] * (ONE - out[k] * out[k])


@jit
def _softplus(first, last, x, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        out[k] = (ZERO if x[k] < ZERO else x[k]) + log1p(exp(-abs(x[k])))


@jit
def _softplus_backward(first, last, dout, out, dx):
    dout, out, dx = dout[first:last], out[first:last], dx[first:last]
    for k in range(len(dx)):
        dx[k] = dout[k] * -expm1(-out[k])


@jit
def _elu(first, last, x, alpha, scale, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        out[k] = scale * (x[k] if x[k] > ZERO else alpha * expm1(x[k]))


@jit
def _elu_backward(first, last, dout, out, alpha, scale, dx):
    dout, out, dx = dout[first:last], out[first:last], dx[first:last]
    for k in range(len(dx)):
        dx[k] = dout[k] * (scale if out[k] > ZERO else out[k] + scale * alpha)


@jit
def _silu(first, last, x, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        out[k] = x[k] * sigmoid(x[k])


@jit
def _silu_backward(first, last, dout, x, dx):
    dout, x, dx = dout[first:last], x[first:last], dx[first:last]
    for k in range(len(dx)):
        s = sigmoid(x[k])
        dx[k] = dout[k] * (s * (ONE + x[k] * (ONE - s)))


@jit
def _gelu(first, last, x, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        tail, _ = normal_tail(abs(x[k]))
        out[k] = x[k] * (tail if x[k] < ZERO else ONE - tail)


@jit
def _gelu_backward(first, last, dout, x, dx):
    dout, x, dx = dout[first:last], x[first:last], dx[first:last]
    for k in range(len(dx)):
        tail, e = normal_tail(abs(x[k]))
        dx[k] = dout[k] * ((tail if x[k] < ZERO else ONE - tail) + x[k] * (DENSITY * e))


@jit
def _gelu_tanh(first, last, x, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        out[k] = x[k] * sigmoid(TANH_SCALE * (x[k] + CUBIC * x[k] * x[k] * x[k]))


@jit
def _gelu_tanh_backward(first, last, dout, x, dx):
    dout, x, dx = dout[first:last], x[first:last], dx[first:last]
    for k in range(len(dx)):
        z = -FAR if x[k] < -FAR else x[k]
        z = FAR if z > FAR else z
        s = sigmoid(TANH_SCALE * (z + CUBIC * z * z * z))
        dx[k] = dout[k] * (s + z * s * (ONE - s) * (TANH_SCALE * (ONE + THREE_CUBIC * z * z)))


@jit
def _leaky_relu(first, last, x, slope, limit, out):
    x, out = x[first:last], out[first:last]
    for k in range(len(out)):
        value = x[k] if x[k] > 0 else slope * x[k]
        out[k] = limit if value > limit else value


@jit
def _leaky_relu_backward(first, last, dout, out, slope, limit, dx):
    dout, out, dx = dout[first:last], out[first:last], dx[first:last]
    one, zero = dx.dtype.type(1), dx.dtype.type(0)
    for k in range(len(dx)):
        derivative = one if out[k] > 0 else slope
        dx[k] = dout[k] * (zero if out[k] >= limit else derivative)


SIGMOID = _pair(_sigmoid, _sigmoid_backward)
TANH = _pair(_tanh, _tanh_backward)
SOFTPLUS = _pair(_softplus, _softplus_backward)
SILU = _pair(_silu, _silu_backward)
GELU = _pair(_gelu, _gelu_backward)
GELU_TANH = _pair(_gelu_tanh, _gelu_tanh_backward)
ELU = _pair(_elu, _elu_backward)                        # float32 only, like all above
LEAKY_RELU = _pair(_leaky_relu, _leaky_relu_backward)   # float32 and float64
