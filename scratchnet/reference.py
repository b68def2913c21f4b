"""Definitions: the operations of layers, losses and optimizers as the plain loops of their textbook definitions.

Each loop runs over one index of the formula in the docstring, so that the two can be compared symbol by symbol. The other
implementations (im2col in the layers, direct and fused in the kernels) are tested against these. A backward function adds the
gradient of each output, multiplied by a derivative, to the gradient of every number from which that output was computed.

Notation: images N, input H × W × C, kernel or window KH × KW, stride SH × SW, output OH × OW × F. Tap (i, j) is a position in
the window; for the window at (oh, ow) it covers the input cell (h, w), h = oh·SH + i - top and w = ow·SW + j - left. Where w is
the kernel, the column of that cell is called v. Cells outside the image are padding, the others are real cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchnet.padding import Pads, window_output_shape

Pair = tuple[int, int]


def _cells(
    x_shape: tuple[int, ...], oh: int, ow: int, window: Pair, strides: Pair, pads: Pads
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (i, j, h, w) for the taps of the window at oh, ow that cover a real cell, in row-major order."""
    _, H, W, _ = x_shape
    (KH, KW), (SH, SW), ((top, _), (left, _)) = window, strides, pads
    for i in range(KH):
        for j in range(KW):
            h, w = oh * SH + i - top, ow * SW + j - left
            if 0 <= h < H and 0 <= w < W:
                yield i, j, h, w


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: Pair, pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """out[n, oh, ow, f] = b[f] + Σ_i Σ_j Σ_c x[n, h, v, c] · w[i, j, c, f], with 0 for padding.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    w : ndarray (KH, KW, C, F)
    b : ndarray (F,) or None
    strides : (int, int)
    pads : ((top, bottom), (left, right))
    relu : bool
        Whether the ReLU after the convolution is computed too.

    Returns
    -------
    ndarray (N, OH, OW, F)

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d_forward(x, np.ones((2, 2, 1, 1)), None, (1, 1), ((0, 0), (0, 0)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    KH, KW, C, F = w.shape
    OH, OW = window_output_shape(x.shape, (KH, KW), strides, pads)
    out = np.zeros((len(x), OH, OW, F), x.dtype)
    for n, oh, ow, f in np.ndindex(out.shape):
        for i, j, h, v in _cells(x.shape, oh, ow, (KH, KW), strides, pads):
            for c in range(C):
                out[n, oh, ow, f] += x[n, h, v, c] * w[i, j, c, f]
        if b is not None:
            out[n, oh, ow, f] += b[f]
    return relu_forward(out) if relu else out


def conv2d_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: Pair,
    pads: Pads,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Add dout·w to dx and dout·x to dw for each product x·w of forward.

    Parameters
    ----------
    dout : ndarray (N, OH, OW, F)
    x, w, strides, pads : as for `conv2d_forward`
    need_dx : bool
        Whether dx is computed; otherwise it is None.
    need_dw : bool
        Whether dw and db are computed; otherwise both are None.
    relu_x : bool
        Whether x is the output of a ReLU, whose backward is computed too.

    Returns
    -------
    dx, dw, db : ndarrays shaped as x, w, (F,)
    """
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[3], w.dtype)
    for n, oh, ow, f in np.ndindex(dout.shape):
        for i, j, h, v in _cells(x.shape, oh, ow, w.shape[:2], strides, pads):
            for c in range(x.shape[3]):
                dx[n, h, v, c] += dout[n, oh, ow, f] * w[i, j, c, f]
                dw[i, j, c, f] += dout[n, oh, ow, f] * x[n, h, v, c]
        db[f] += dout[n, oh, ow, f]
    if relu_x:
        dx = relu_backward(dx, x)
    return dx if need_dx else None, dw if need_dw else None, db if need_dw else None


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """out[n, oh, ow, c] = max over the window's real cells of x[n, h, w, c]: (N, H, W, C) -> (N, OH, OW, C)."""
    out = np.zeros((len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(out.shape):
        out[n, oh, ow, c] = np.max([x[n, h, w, c] for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)])
    return out


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add each dout to the dx of the first of the window's largest cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        cells = [(h, w) for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)]
        h, w = cells[np.argmax([x[n, h, w, c] for h, w in cells])]
        dx[n, h, w, c] += dout[n, oh, ow, c]
    return dx


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """out[n, oh, ow, c] = min over the window's real cells of x[n, h, w, c]: (N, H, W, C) -> (N, OH, OW, C)."""
    out = np.zeros((len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(out.shape):
        out[n, oh, ow, c] = np.min([x[n, h, w, c] for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)])
    return out


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add each dout to the dx of the first of the window's smallest cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        cells = [(h, w) for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)]
        h, w = cells[np.argmin([x[n, h, w, c] for h, w in cells])]
        dx[n, h, w, c] += dout[n, oh, ow, c]
    return dx


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """out[n, oh, ow, c] = mean over the window's real cells of x[n, h, w, c]: (N, H, W, C) -> (N, OH, OW, C)."""
    out = np.zeros((len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(out.shape):
        out[n, oh, ow, c] = np.mean([x[n, h, w, c] for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)])
    return out


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add dout / (number of real cells) to the dx of each of the window's real cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        cells = [(h, w) for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)]
        for h, w in cells:
            dx[n, h, w, c] += dout[n, oh, ow, c] / len(cells)
    return dx


def global_average_pool2d_forward(x: np.ndarray) -> np.ndarray:
    """out[n, c] = 1/(H·W) Σ_h Σ_w x[n, h, w, c]: (N, H, W, C) -> (N, C)."""
    N, H, W, C = x.shape
    out = np.zeros((N, C), x.dtype)
    for n, c in np.ndindex(N, C):
        out[n, c] = sum(float(x[n, h, w, c]) for h in range(H) for w in range(W)) / (H * W)
    return out


def global_average_pool2d_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Add dout / (H·W) to the dx of each pixel of its channel: (N, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, h, w, c in np.ndindex(x.shape):
        dx[n, h, w, c] += dout[n, c] / (x.shape[1] * x.shape[2])
    return dx


def global_max_pool2d_forward(x: np.ndarray) -> np.ndarray:
    """out[n, c] = max over h and w of x[n, h, w, c]: (N, H, W, C) -> (N, C)."""
    N, H, W, C = x.shape
    out = np.zeros((N, C), x.dtype)
    for n, c in np.ndindex(N, C):
        out[n, c] = np.max([x[n, h, w, c] for h in range(H) for w in range(W)])
    return out


def global_max_pool2d_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Add each dout to the dx of the first of its channel's largest pixels: (N, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, c in np.ndindex(dout.shape):
        pixels = [(h, w) for h in range(x.shape[1]) for w in range(x.shape[2])]
        h, w = pixels[np.argmax([x[n, h, w, c] for h, w in pixels])]
        dx[n, h, w, c] += dout[n, c]
    return dx


def zero_padding2d_forward(x: np.ndarray, pads: Pads) -> np.ndarray:
    """out[n, h + top, w + left, c] = x[n, h, w, c], and 0 outside: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C)."""
    N, H, W, C = x.shape
    (top, bottom), (left, right) = pads
    out = np.zeros((N, top + H + bottom, left + W + right, C), x.dtype)
    for n, h, w, c in np.ndindex(x.shape):
        out[n, h + top, w + left, c] = x[n, h, w, c]
    return out


def zero_padding2d_backward(dout: np.ndarray, pads: Pads) -> np.ndarray:
    """Return dx, with the dout of each pixel: (N, top + H + bottom, left + W + right, C) -> (N, H, W, C)."""
    N, OH, OW, C = dout.shape
    (top, bottom), (left, right) = pads
    dx = np.zeros((N, OH - top - bottom, OW - left - right, C), dout.dtype)
    for n, h, w, c in np.ndindex(dx.shape):
        dx[n, h, w, c] = dout[n, h + top, w + left, c]
    return dx


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, relu: bool = False) -> np.ndarray:
    """out[n, u] = b[u] + Σ_d x[n, d] · w[d, u]: (N, D), (D, U), (U,) -> (N, U)."""
    out = np.zeros((len(x), w.shape[1]), x.dtype)
    for n, u in np.ndindex(out.shape):
        for d in range(x.shape[1]):
            out[n, u] += x[n, d] * w[d, u]
        if b is not None:
            out[n, u] += b[u]
    return relu_forward(out) if relu else out


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True, *, need_dw: bool = True, relu_x: bool = False
) -> tuple[np.ndarray | None, ...]:
    """Add dout·w to dx and dout·x to dw for each product x·w of forward: (N, U) -> (N, D), (D, U), (U,)."""
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[1], w.dtype)
    for n, u in np.ndindex(dout.shape):
        for d in range(x.shape[1]):
            dx[n, d] += dout[n, u] * w[d, u]
            dw[d, u] += dout[n, u] * x[n, d]
        db[u] += dout[n, u]
    if relu_x:
        dx = relu_backward(dx, x)
    return dx if need_dx else None, dw if need_dw else None, db if need_dw else None


def batch_normalization_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
    moving: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """out[m, c] = gamma[c] · (x[m, c] - mean[c]) / √(variance[c] + ε) + beta[c], where m runs over all axes but the last.

    Parameters
    ----------
    x : ndarray (…, C)
    gamma, beta : ndarray (C,) or None
    epsilon : float
    moving : (mean, variance), optional
        Each (C,). Without it, mean[c] = 1/M Σ_m x[m, c] and variance[c] = 1/M Σ_m (x[m, c] - mean[c])².
    relu : bool
        Whether the ReLU after the normalization is computed too.

    Returns
    -------
    out, mean, variance : ndarrays shaped as x, (C,), (C,)
    """
    C = x.shape[-1]
    M = x.size // C
    if moving is None:
        mean, variance = np.zeros(C), np.zeros(C)
        for m in np.ndindex(x.shape):
            mean[m[-1]] += x[m]
        mean /= M
        for m in np.ndindex(x.shape):
            variance[m[-1]] += (x[m] - mean[m[-1]]) ** 2
        variance /= M
    else:
        mean, variance = moving
    out = np.zeros_like(x)
    for m in np.ndindex(x.shape):
        c = m[-1]
        xhat = (x[m] - mean[c]) / np.sqrt(variance[c] + epsilon)
        out[m] = (1 if gamma is None else gamma[c]) * xhat + (0 if beta is None else beta[c])
    return relu_forward(out) if relu else out, mean.astype(x.dtype), variance.astype(x.dtype)


def batch_normalization_backward(
    dout: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    training: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Return dx, dgamma and dbeta by the six steps of the chain rule, from out through x̂, variance and mean to x.

    The steps are those of Ioffe & Szegedy (2015), section 3.

    Parameters
    ----------
    dout : ndarray (…, C)
    x, gamma, epsilon : as for `batch_normalization_forward`
    mean, variance : ndarray (C,)
        What forward returned.
    need_dx : bool
        Whether dx is computed; otherwise it is None.
    need_dw : bool
        Whether dgamma and dbeta are computed; otherwise both are None.
    training : bool
        Whether mean and variance were computed from x.
    relu_x : bool
        Whether x is the output of a ReLU, whose backward is computed too.

    Returns
    -------
    dx, dgamma, dbeta : ndarrays shaped as x, (C,), (C,)
    """
    C = x.shape[-1]
    M = x.size // C
    dmean, dvariance, dgamma, dbeta = np.zeros(C), np.zeros(C), np.zeros(C), np.zeros(C)
    dxhat, dx = np.zeros(x.shape), np.zeros_like(x)
    for m in np.ndindex(x.shape):
        c = m[-1]
        inv = 1 / np.sqrt(variance[c] + epsilon)
        dxhat[m] = dout[m] * (1 if gamma is None else gamma[c])
        dgamma[c] += dout[m] * (x[m] - mean[c]) * inv
        dbeta[c] += dout[m]
        if training:
            dvariance[c] += dxhat[m] * (x[m] - mean[c]) * -0.5 * inv**3
            dmean[c] += dxhat[m] * -inv
    for m in np.ndindex(x.shape):
        dmean[m[-1]] += dvariance[m[-1]] * -2 * (x[m] - mean[m[-1]]) / M
    for m in np.ndindex(x.shape):
        c = m[-1]
        dx[m] = dxhat[m] / np.sqrt(variance[c] + epsilon) + dvariance[c] * 2 * (x[m] - mean[c]) / M + dmean[c] / M
    if relu_x:
        dx = relu_backward(dx, x)
    dgamma, dbeta = dgamma.astype(x.dtype), dbeta.astype(x.dtype)
    return dx if need_dx else None, dgamma if need_dw else None, dbeta if need_dw else None


def batch_normalization_state(
    x: np.ndarray, before: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """moving[c] ← momentum · moving[c] + (1 - momentum) · batch[c], for mean and variance as in `batch_normalization_forward`."""
    _, *statistics = batch_normalization_forward(x, None, None, 0.0)
    after = {}
    for name, batch in zip(("moving_mean", "moving_variance"), statistics, strict=True):
        after[name] = np.zeros_like(before[name])
        for c in range(len(batch)):
            after[name][c] = settings["momentum"] * before[name][c] + (1 - settings["momentum"]) * batch[c]
    return after


# What training leaves in `layer.state`, by the name of the layer's class: rule(x, the state before, layer.get_config()).
STATE_RULES: dict[str, Callable[[np.ndarray, Mapping[str, np.ndarray], Mapping[str, Any]], dict[str, np.ndarray]]] = {
    "BatchNormalization": batch_normalization_state,
}


def flatten_forward(x: np.ndarray) -> np.ndarray:
    """out[n, (h·W + w)·C + c] = x[n, h, w, c], and samples of any other shape in row-major order: (N, …) -> (N, D)."""
    out = np.zeros((len(x), x[0].size), x.dtype)
    for n in range(len(x)):
        for d, index in enumerate(np.ndindex(x.shape[1:])):
            out[n, d] = x[n][index]
    return out


def flatten_backward(dout: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Return dx, with each number of dout at the index of x that it was read from: (N, D) -> x_shape."""
    dx = np.zeros(x_shape, dout.dtype)
    for n in range(x_shape[0]):
        for d, index in enumerate(np.ndindex(x_shape[1:])):
            dx[n][index] = dout[n, d]
    return dx


def reshape_forward(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return each sample's numbers, in row-major order, at the indices of `shape`, in row-major order: (N, …) -> (N, *shape)."""
    return flatten_backward(flatten_forward(x), (len(x), *shape))


def reshape_backward(dout: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Return dx, with each number of dout at the index of x that it was read from: (N, *shape) -> x_shape."""
    return flatten_backward(flatten_forward(dout), x_shape)


def concatenate_forward(xs: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """out[…, start + k, …] = x[…, k, …] for each input x, where `start` is the sum of the sizes of those before it."""
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    out, start = np.zeros(shape, xs[0].dtype), 0
    for x in xs:
        for k in range(x.shape[axis]):
            np.moveaxis(out, axis, 0)[start + k] = np.moveaxis(x, axis, 0)[k]
        start += x.shape[axis]
    return out


def concatenate_backward(dout: np.ndarray, sizes: Sequence[int], axis: int) -> tuple[np.ndarray, ...]:
    """dx[…, k, …] = dout[…, start + k, …] for each input x, which has one of `sizes` along the axis."""
    dxs, start = [], 0
    for size in sizes:
        dx = np.zeros((*dout.shape[:axis], size, *dout.shape[axis + 1 :]), dout.dtype)
        for k in range(size):
            np.moveaxis(dx, axis, 0)[k] = np.moveaxis(dout, axis, 0)[start + k]
        dxs.append(dx)
        start += size
    return tuple(dxs)


def rescaling_forward(x: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """out[n, …, c] = x[n, …, c] · scale[c] + offset[c]; one number holds for all channels: (N, …, C) -> (N, …, C)."""
    out = np.zeros_like(x)
    scale, offset = np.broadcast_to(scale, x.shape[-1]), np.broadcast_to(offset, x.shape[-1])
    for index in np.ndindex(x.shape):
        out[index] = x[index] * scale[index[-1]] + offset[index[-1]]
    return out


def rescaling_backward(dout: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """dx[n, …, c] = dout[n, …, c] · scale[c]: (N, …, C) -> (N, …, C)."""
    return rescaling_forward(dout, scale, np.zeros((), dout.dtype))


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Return x where x > 0, else 0, elementwise; a NaN stays NaN."""
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        out[index] = x[index] if not x[index] <= 0 else 0.0
    return out


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx: dout where out > 0, else 0."""
    dx = np.zeros_like(dout)
    for index in np.ndindex(dout.shape):
        dx[index] = dout[index] if out[index] > 0 else 0.0
    return dx


def _each(function: Callable[..., float], *arrays: np.ndarray) -> np.ndarray:
    """Return function(a[i], b[i], …) for every index i of arrays a, b, … of one shape; each number is computed in float64."""
    out = np.zeros_like(arrays[0])
    for index in np.ndindex(out.shape):
        out[index] = function(*(np.float64(a[index]) for a in arrays))
    return out


def leaky_relu_forward(x: np.ndarray, negative_slope: float, max_value: float) -> np.ndarray:
    """Return x where x > 0, else negative_slope · x, and at most max_value."""
    return _each(lambda x: max_value if x > max_value else x if x > 0 else negative_slope * x, x)


def leaky_relu_backward(dout: np.ndarray, out: np.ndarray, negative_slope: float, max_value: float) -> np.ndarray:
    """Return dx: dout where 0 < out < max_value, 0 where out = max_value, and negative_slope · dout elsewhere."""
    return _each(lambda d, out: 0.0 if out >= max_value else d if out > 0 else negative_slope * d, dout, out)


def sigmoid_forward(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e⁻ˣ)."""
    return _each(lambda x: 1 / (1 + np.exp(-x)), x)


def sigmoid_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx = dout · out (1 - out)."""
    return _each(lambda d, out: d * out * (1 - out), dout, out)


def tanh_forward(x: np.ndarray) -> np.ndarray:
    """Return (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return _each(math.tanh, x)


def tanh_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx = dout · (1 - out²)."""
    return _each(lambda d, out: d * (1 - out**2), dout, out)


def softplus_forward(x: np.ndarray) -> np.ndarray:
    """Return ln(e⁰ + eˣ)."""
    return _each(lambda x: np.logaddexp(0, x), x)


def softplus_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx = dout · (1 - e⁻ᵒᵘᵗ)."""
    return _each(lambda d, out: d * -math.expm1(-out), dout, out)


def elu_forward(x: np.ndarray, alpha: float, scale: float) -> np.ndarray:
    """Return scale · x where x > 0, else scale · alpha · (eˣ - 1)."""
    return _each(lambda x: scale * (x if x > 0 else alpha * math.expm1(x)), x)


def elu_backward(dout: np.ndarray, out: np.ndarray, alpha: float, scale: float) -> np.ndarray:
    """Return dx: scale · dout where out > 0, else (out + scale · alpha) · dout."""
    return _each(lambda d, out: d * (scale if out > 0 else out + scale * alpha), dout, out)


def silu_forward(x: np.ndarray) -> np.ndarray:
    """Return x / (1 + e⁻ˣ)."""
    return _each(lambda x: x / (1 + np.exp(-x)), x)


def silu_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx = dout · (1 / (1 + e⁻ˣ) + x / ((1 + e⁻ˣ) (1 + eˣ)))."""
    return _each(lambda d, x: d * (1 / (1 + np.exp(-x)) + x / ((1 + np.exp(-x)) * (1 + np.exp(x)))), dout, x)


def gelu_forward(x: np.ndarray) -> np.ndarray:
    """Return x · ½ (1 + erf(x / √2))."""
    return _each(lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2))), x)


def gelu_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx = dout · (½ (1 + erf(x / √2)) + x · e^{-x²/2} / √(2π))."""
    return _each(
        lambda d, x: d * ((1 + math.erf(x / math.sqrt(2))) / 2 + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)), dout, x
    )


def gelu_tanh_forward(x: np.ndarray) -> np.ndarray:
    """Return x · ½ (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    return _each(lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), x)


def gelu_tanh_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx = dout · (½ (1 + tanh v) + x · ½ (1 - tanh² v) · v'), v = √(2/π) (x + 0.044715 x³)."""

    def one(d: float, x: float) -> float:
        t, slope = math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return d * ((1 + t) / 2 + x * (1 - t**2) / 2 * slope)

    return _each(one, dout, x)


def softmax_forward(x: np.ndarray) -> np.ndarray:
    """p[n, k] = exp(x[n, k]) / Σ_j exp(x[n, j]), computed with the row's maximum subtracted from x: (N, …, K) -> (N, …, K)."""
    p = np.zeros_like(x)
    for n in np.ndindex(x.shape[:-1]):
        highest = x[n].max()
        for k in range(x.shape[-1]):
            p[n][k] = np.exp(x[n][k] - highest) / sum(np.exp(z - highest) for z in x[n])
    return p


def softmax_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """dx[n, k] = Σ_j dout[n, j] · ∂p_j/∂x_k with ∂p_j/∂x_k = p_j (1 if j = k else 0) - p_j p_k: (N, …, K) -> (N, …, K)."""
    dx = np.zeros_like(dout)
    for n in np.ndindex(dout.shape[:-1]):
        for k, j in np.ndindex(dout.shape[-1], dout.shape[-1]):
            dx[n][k] += dout[n][j] * out[n][j] * ((j == k) - out[n][k])
    return dx


def softmax_cross_entropy(
    logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, label_smoothing: float = 0.0
) -> float:
    """Return the number -1/N Σ_n w[n] Σ_k y'[n, k] · log p[n, k].

    p is the softmax of the logits, y' = y (1 - s) + s / K, and s is `label_smoothing`.
    """
    total = 0.0
    for n, k in np.ndindex(logits.shape):
        highest = logits[n].max()
        log_sum = np.log(sum(np.exp(z - highest) for z in logits[n]))
        smoothed = y[n, k] * (1 - label_smoothing) + label_smoothing / logits.shape[1]
        weight = 1.0 if sample_weight is None else sample_weight[n]
        total += weight * smoothed * (log_sum - (logits[n, k] - highest))
    return float(total / len(logits))


def penalty(w: np.ndarray, l1: float = 0.0, l2: float = 0.0) -> float:
    """l1 · Σ_i |w_i| + l2 · Σ_i w_i²."""
    total = 0.0
    for number in w.flat:
        total += l1 * abs(float(number)) + l2 * float(number) ** 2
    return total


# -- random numbers, and what is drawn in training ---------------------------------------------------------------------


def philox(block: int, key: int, rounds: int = 10) -> list[int]:
    """Return the four 32-bit words that Philox 4x32 computes from the number of a block, below 2**128, and a key, below 2**64.

    The four constants are those of Salmon et al., *Parallel random numbers: as easy as 1, 2, 3* (2011). The two factors were chosen
    by tests of randomness. The numbers added to the key are 2³² times the fractional parts of the golden ratio and of √3.
    """
    word = 2**32
    c = [block // word**i % word for i in range(4)]
    k = [key % word, key // word]
    for _ in range(rounds):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q // word ^ c[1] ^ k[0], q % word, p // word ^ c[3] ^ k[1], p % word]
        k = [(k[0] + 0x9E3779B9) % word, (k[1] + 0xBB67AE85) % word]
    return c


def uniform(key: int, index: int) -> float:
    """Return the number of this key and index, in [0, 1): word (index mod 4) of block (index div 4), divided by 2³²."""
    return philox(index // 4, key)[index % 4] / 2**32


def dropout_forward(
    x: np.ndarray, rate: float, key: int, noise_shape: tuple[int, ...] | None = None, first: int = 0
) -> np.ndarray:
    """Return x / (1 - rate) where uniform(key, first + i) ≥ rate, else 0.

    i is the row-major index in `noise_shape`. Along an axis of length 1 in it, one random number masks all numbers of x.
    """
    noise_shape = x.shape if noise_shape is None else noise_shape
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        i = 0
        for place, length in zip(index, noise_shape, strict=True):
            i = i * length + (place if length > 1 else 0)
        out[index] = x[index] * x.dtype.type(1 / (1 - rate)) if uniform(key, first + i) >= rate else 0.0
    return out


def dropout_backward(
    dout: np.ndarray, rate: float, key: int, noise_shape: tuple[int, ...] | None = None, first: int = 0
) -> np.ndarray:
    """Return dx: dout / (1 - rate) where forward kept x, else 0; the mask is that of forward."""
    return dropout_forward(dout, rate, key, noise_shape, first)


def resample_forward(x: np.ndarray, rows: Any, cols: Any, fill_value: float) -> np.ndarray:
    """Return for each pixel of the output the sum of the four pixels that it is read from, each multiplied by its two weights.

    `rows` and `cols` have an `index` and a `weight`, (N, OH, 2) and (N, OW, 2). Row H and column W hold `fill_value`.
    """
    N, H, W, C = x.shape
    out = np.zeros((N, rows.index.shape[1], cols.index.shape[1], C), x.dtype)
    for n, p, q, c in np.ndindex(out.shape):
        for s, t in np.ndindex(2, 2):
            h, w = rows.index[n, p, s], cols.index[n, q, t]
            out[n, p, q, c] += rows.weight[n, p, s] * cols.weight[n, q, t] * (x[n, h, w, c] if h < H and w < W else fill_value)
    return out


def resample_backward(dout: np.ndarray, x_shape: tuple[int, ...], rows: Any, cols: Any) -> np.ndarray:
    """Add dout, with the same two weights, to dx at each of the four pixels that an output was read from."""
    _, H, W, _ = x_shape
    dx = np.zeros(x_shape, dout.dtype)
    for n, p, q, c in np.ndindex(dout.shape):
        for s, t in np.ndindex(2, 2):
            h, w = rows.index[n, p, s], cols.index[n, q, t]
            if h < H and w < W:
                dx[n, h, w, c] += rows.weight[n, p, s] * cols.weight[n, q, t] * dout[n, p, q, c]
    return dx


# -- update rules, one number at a time, written from the formulas of the papers ---------------------------------------


# Each rule returns p after one step for each of `gradients`. `learning_rate`, η or α in the formulas, is a number, or a list
# with one for each gradient.

Rates = float | list[float]


def _rates(learning_rate: Rates, gradients: list[float]) -> list[float]:
    return learning_rate if isinstance(learning_rate, list) else [learning_rate] * len(gradients)


def sgd(p: float, gradients: list[float], *, learning_rate: Rates, momentum: float, nesterov: bool) -> float:
    """Sutskever et al. (2013), with η for their ε: v ← μv - ηg, p ← p + v; Nesterov's, with g evaluated at p: p ← p + μv - ηg."""
    v = 0.0
    for rate, g in zip(_rates(learning_rate, gradients), gradients, strict=True):
        v = momentum * v - rate * g
        p = p + momentum * v - rate * g if nesterov else p + v
    return p


def adagrad(
    p: float, gradients: list[float], *, learning_rate: Rates, initial_accumulator_value: float, epsilon: float
) -> float:
    """Duchi et al. (2011): p ← p - η g_t / √(G₀ + Σ_{s ≤ t} g_s² + ε), where G₀ is `initial_accumulator_value`."""
    for t, g in enumerate(gradients):
        history = sum(earlier**2 for earlier in gradients[: t + 1])
        p = p - _rates(learning_rate, gradients)[t] * g / float(np.sqrt(initial_accumulator_value + history + epsilon))
    return p


def adadelta(p: float, gradients: list[float], *, learning_rate: Rates, rho: float, epsilon: float) -> float:
    """Zeiler (2012), algorithm 1: Δ_t = -(RMS[Δ]_{t-1} / RMS[g]_t) g_t, RMS[·] = √(E[·²] + ε); p ← p + η Δ_t.

    E[·] is the moving average that starts at 0, as `_decayed` computes it.
    """
    steps: list[float] = []

    def decayed(values: list[float]) -> float:
        return _decayed([value**2 for value in values], rho)

    for t, g in enumerate(gradients):
        rms_step, rms_gradient = np.sqrt(decayed(steps) + epsilon), np.sqrt(decayed(gradients[: t + 1]) + epsilon)
        steps.append(float(-rms_step / rms_gradient * g))
        p = p + _rates(learning_rate, gradients)[t] * steps[-1]
    return p


def _decayed(values: list[float], share: float) -> float:
    """(1 - ρ) Σ_s ρ^(t - s) values[s], where t is the last index and ρ is `share`: the moving average that starts at 0."""
    return sum((1 - share) * share ** (len(values) - 1 - s) * value for s, value in enumerate(values))


def adam(
    p: float, gradients: list[float], *,
    learning_rate: Rates, beta_1: float, beta_2: float, epsilon: float, amsgrad: bool = False,
) -> float:  # fmt: skip
    """Kingma & Ba (2015): p ← p - α m̂ / (√v̂ + ε), where their ε is ε̂ / √(1 - β₂ᵗ), and ε̂ is `epsilon`.

    AMSGrad (Reddi et al., 2018) has the largest v so far in place of v, and, as in Keras, the same corrections.
    """
    squares = [_decayed([g**2 for g in gradients[:t]], beta_2) for t in range(1, len(gradients) + 1)]
    for t in range(1, len(gradients) + 1):
        m_hat = _decayed(gradients[:t], beta_1) / (1 - beta_1**t)
        v_hat = (max(squares[:t]) if amsgrad else squares[t - 1]) / (1 - beta_2**t)
        p = p - _rates(learning_rate, gradients)[t - 1] * m_hat / float(np.sqrt(v_hat) + epsilon / np.sqrt(1 - beta_2**t))
    return p


def nadam(
    p: float, gradients: list[float], *, learning_rate: Rates, beta_1: float, beta_2: float, epsilon: float
) -> float:
    """Dozat (2016), algorithm 2, with Keras's momentum μ_t = β₁ (1 - 0.96ᵗ / 2): p ← p - α m̄ / (√v̂ + ε).

    m̄ = (1 - μ_t) g_t / (1 - μ_1⋯μ_t) + μ_(t+1) m_t / (1 - μ_1⋯μ_(t+1)), v̂ = v_t / (1 - β₂ᵗ).
    """
    momenta = [beta_1 * (1 - 0.96**t / 2) for t in range(1, len(gradients) + 2)]
    for t in range(1, len(gradients) + 1):
        of_g = (1 - momenta[t - 1]) / (1 - float(np.prod(momenta[:t])))
        of_m = momenta[t] / (1 - float(np.prod(momenta[: t + 1])))
        mean = of_g * gradients[t - 1] + of_m * _decayed(gradients[:t], beta_1)
        v_hat = _decayed([g**2 for g in gradients[:t]], beta_2) / (1 - beta_2**t)
        p = p - _rates(learning_rate, gradients)[t - 1] * mean / float(np.sqrt(v_hat) + epsilon)
    return p


def rmsprop(
    p: float, gradients: list[float], *,
    learning_rate: Rates, rho: float, momentum: float, epsilon: float, centered: bool,
) -> float:  # fmt: skip
    """Graves (2013), equations 38 to 41: p ← p + Δ_t, Δ_t = μ Δ_(t-1) - α g_t / √(n_t - ḡ_t² + ε).

    n is the moving average of the squared gradients. ḡ is that of the gradients if `centered`, else 0.
    """
    deltas: list[float] = []
    for t in range(1, len(gradients) + 1):
        mean = _decayed(gradients[:t], rho) if centered else 0.0
        spread = _decayed([g**2 for g in gradients[:t]], rho) - mean**2
        deltas.append(-_rates(learning_rate, gradients)[t - 1] * gradients[t - 1] / float(np.sqrt(spread + epsilon)))
        p = p + sum(momentum ** (t - 1 - s) * delta for s, delta in enumerate(deltas))
    return p


def clipped(
    gradients: list[np.ndarray],
    *,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
) -> list[np.ndarray]:
    """Pascanu et al. (2013), algorithm 1: g · limit / ‖g‖ if ‖g‖ > limit.

    ‖g‖ is the norm of each gradient, for `clipnorm`, or of all together, for `global_clipnorm`. With `clipvalue` instead, each
    number is limited to [-clipvalue, clipvalue].
    """

    def shrunk(g: np.ndarray, squares: float, limit: float) -> np.ndarray:
        return g * min(1.0, limit / float(np.sqrt(squares))) if squares else g

    squares = [sum(float(number) ** 2 for number in g.flat) for g in gradients]
    if clipnorm is not None:
        return [shrunk(g, own, clipnorm) for g, own in zip(gradients, squares, strict=True)]
    if global_clipnorm is not None:
        return [shrunk(g, sum(squares), global_clipnorm) for g in gradients]
    if clipvalue is not None:
        return [np.array([max(-clipvalue, min(clipvalue, number)) for number in g.flat]).reshape(g.shape) for g in gradients]
    return gradients


UPDATE_RULES: dict[str, Callable[..., float]] = {
    "SGD": sgd, "Adagrad": adagrad, "Adadelta": adadelta, "Adam": adam, "AdamW": adam, "Nadam": nadam, "RMSprop": rmsprop,
}  # fmt: skip


# -- learning rate schedules, each written differently from schedules.py; the first step is 0 --------------------------


def _periods(step: int, decay_steps: float, staircase: bool) -> float:
    """Step / decay_steps, or, with `staircase`, how many whole periods are over."""
    return sum(1 for n in range(1, step + 1) if n * decay_steps <= step) if staircase else step / decay_steps


def exponential_decay(
    step: int, *, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool
) -> float:
    """Initial · exp(periods · ln decay_rate)."""
    periods = _periods(step, decay_steps, staircase)
    return initial_learning_rate * (math.exp(periods * math.log(decay_rate)) if decay_rate and periods else not periods)


def inverse_time_decay(
    step: int, *, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool
) -> float:
    """Initial · 1 / (1 + decay_rate · periods)."""
    return initial_learning_rate * (1 + decay_rate * _periods(step, decay_steps, staircase)) ** -1


def piecewise_constant_decay(step: int, *, boundaries: Sequence[float], values: Sequence[float]) -> float:
    """values[i] for the first i whose boundary is not passed: step ≤ boundaries[i]."""
    for boundary, value in zip(boundaries, values, strict=False):
        if step <= boundary:
            return value
    return values[-1]


def piecewise_linear(step: int, *, boundaries: Sequence[float], values: Sequence[float]) -> float:
    """The mean of the values at both ends of the piece that holds the step, each weighted by the distance to the other end."""
    if step <= boundaries[0]:
        return values[0]
    for a, b, at_a, at_b in zip(boundaries, boundaries[1:], values, values[1:], strict=False):
        if step <= b:
            return ((b - step) * at_a + (step - a) * at_b) / (b - a)
    return values[-1]


def polynomial_decay(
    step: int,
    *,
    initial_learning_rate: float,
    decay_steps: float,
    end_learning_rate: float,
    power: float,
    cycle: bool,
) -> float:
    """Initial · f + end · (1 - f) with f = (1 - step / length)^power, and f = 0 where step > length.

    length is decay_steps, or, with `cycle`, its smallest positive multiple that is at least `step`.
    """
    length = decay_steps
    while cycle and step > length:
        length += decay_steps
    f = 0.0 if step > length else ((length - step) / length) ** power
    return initial_learning_rate * f + end_learning_rate * (1 - f)


def cosine_decay(
    step: int,
    *,
    initial_learning_rate: float,
    decay_steps: float,
    alpha: float,
    warmup_target: float | None,
    warmup_steps: float,
) -> float:
    """Loshchilov & Hutter (2017), equation 5, with cos²(θ/2) = (1 + cos θ) / 2; before it, a linear warm-up."""
    if warmup_target is None:
        warmup_target, warmup_steps = initial_learning_rate, 0
    if step < warmup_steps:
        return (initial_learning_rate * (warmup_steps - step) + warmup_target * step) / warmup_steps
    if step >= warmup_steps + decay_steps:
        return warmup_target * alpha
    height = math.cos(math.pi / 2 * (step - warmup_steps) / decay_steps) ** 2
    return warmup_target * (height + alpha * (1 - height))


def cosine_decay_restarts(
    step: int, *, initial_learning_rate: float, first_decay_steps: float, t_mul: float, m_mul: float, alpha: float
) -> float:
    """Decay i is first · t_mul^i long, and begins where the one before ends, at the rate m_mul^i · initial if alpha is 0."""
    i, begun, length = 0, 0.0, first_decay_steps
    while begun + length <= step:
        i, begun, length = i + 1, begun + length, length * t_mul
    height = m_mul**i * math.cos(math.pi / 2 * (step - begun) / length) ** 2
    return initial_learning_rate * (height + alpha * (1 - height))


SCHEDULES: dict[str, Callable[..., float]] = {
    "ExponentialDecay": exponential_decay,
    "InverseTimeDecay": inverse_time_decay,
    "PiecewiseConstantDecay": piecewise_constant_decay,
    "PiecewiseLinear": piecewise_linear,
    "PolynomialDecay": polynomial_decay,
    "CosineDecay": cosine_decay,
    "CosineDecayRestarts": cosine_decay_restarts,
}


# -- initial values: the distribution of each number of a shape --------------------------------------------------------


class Distribution(NamedTuple):
    """What every number of an array is drawn from: its mean and variance, and the ends of its range."""

    mean: float
    variance: float
    lowest: float = -math.inf
    highest: float = math.inf


def uniform_numbers(lowest: float, highest: float) -> Distribution:
    """Return mean (a + b) / 2 and variance (b - a)² / 12, on [a, b]."""
    return Distribution((lowest + highest) / 2, (highest - lowest) ** 2 / 12, lowest, highest)


def truncated_numbers(mean: float, deviation: float) -> Distribution:
    """Return a normal distribution cut off at two deviations, which multiplies its variance by 1 - 4 φ(2) / (Φ(2) - Φ(-2))."""
    density, inside = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(math.sqrt(2))
    return Distribution(mean, deviation**2 * (1 - 4 * density / inside), mean - 2 * deviation, mean + 2 * deviation)


def variance_scaling(shape: tuple[int, ...], *, scale: float, mode: str, distribution: str) -> Distribution:
    """He et al. (2015), equations 10 and 14; Glorot & Bengio (2010), equation 12: variance scale / n.

    fan_in counts the weights of one filter, which compute one output; fan_out counts the weights that one channel is multiplied by.
    """
    fan_in = math.prod(shape[:-1]) if len(shape) > 1 else math.prod(shape)
    fan_out = math.prod(shape[:-2]) * shape[-1] if len(shape) > 1 else math.prod(shape)
    n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    if distribution == "uniform":
        return uniform_numbers(-math.sqrt(3 * scale / n), math.sqrt(3 * scale / n))
    if distribution == "untruncated_normal":
        return Distribution(0.0, scale / n)
    whole = truncated_numbers(0.0, 1.0)
    return truncated_numbers(0.0, math.sqrt(scale / n / whole.variance))


def orthogonal_numbers(shape: tuple[int, ...], *, gain: float) -> Distribution:
    """Return mean 0 and variance gain² / n, for n rows or columns, whichever is more: n numbers form a vector of length `gain`."""
    return Distribution(0.0, gain**2 / max(math.prod(shape[:-1]), shape[-1]), -abs(gain), abs(gain))


def _scaled(scale: float, mode: str, distribution: str) -> Callable[..., Distribution]:
    return lambda shape: variance_scaling(shape, scale=scale, mode=mode, distribution=distribution)


DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {
    "VarianceScaling": variance_scaling,
    "GlorotUniform": _scaled(1.0, "fan_avg", "uniform"),
    "GlorotNormal": _scaled(1.0, "fan_avg", "truncated_normal"),
    "HeUniform": _scaled(2.0, "fan_in", "uniform"),
    "HeNormal": _scaled(2.0, "fan_in", "truncated_normal"),
    "LecunUniform": _scaled(1.0, "fan_in", "uniform"),
    "LecunNormal": _scaled(1.0, "fan_in", "truncated_normal"),
    "RandomUniform": lambda shape, *, minval, maxval: uniform_numbers(minval, maxval),
    "RandomNormal": lambda shape, *, mean, stddev: Distribution(mean, stddev**2),
    "TruncatedNormal": lambda shape, *, mean, stddev: truncated_numbers(mean, stddev),
    "Orthogonal": orthogonal_numbers,
    "Constant": lambda shape, *, value: Distribution(value, 0.0, value, value),
    "Zeros": lambda shape: Distribution(0.0, 0.0, 0.0, 0.0),
    "Ones": lambda shape: Distribution(1.0, 0.0, 1.0, 1.0),
}
