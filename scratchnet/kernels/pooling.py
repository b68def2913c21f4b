"""The fused telling of pooling: one walk over the images, all channels of a pixel side by side.

Min-pooling is max-pooling of the negated numbers: `sign` is -1 then. Inner loops run over channels, contiguous in NHWC,
and choose rather than branch, so that the compiler makes vector code of them. Images are shared out among threads; a
window's gradient goes to cells of its own image only.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from scratchnet.kernels.jit import jit, run
from scratchnet.kernels.memory import empty, plain
from scratchnet.padding import Pads, window_output_shape

Pair = tuple[int, int]


@jit()
def _extremum(x, n, h0, h1, w0, w1, sign, best):
    """Write the largest sign·x of a window's real cells into `best`, channel by channel; a NaN wins."""
    C = x.shape[3]
    for c in range(C):
        best[c] = sign * x[n, h0, w0, c]
    for h in range(h0, h1):
        for w in range(w0, w1):
            for c in range(C):
                value = sign * x[n, h, w, c]
                best[c] = value if value > best[c] or value != value else best[c]


@jit(parallel=True)
def _extremum_forward(x, out, KH, KW, SH, SW, top, left, sign):
    N, H, W, C = x.shape
    _, OH, OW, _ = out.shape
    for n in prange(N):
        best = np.empty(C, x.dtype)
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for ow in range(OW):
                w0, w1 = max(0, ow * SW - left), min(W, ow * SW - left + KW)
                _extremum(x, n, h0, h1, w0, w1, sign, best)
                for c in range(C):
                    out[n, oh, ow, c] = sign * best[c]


@jit(parallel=True)
def _extremum_backward(dout, x, dx, KH, KW, SH, SW, top, left, sign):
    N, H, W, C = x.shape
    _, OH, OW, _ = dout.shape
    for n in prange(N):
        best = np.empty(C, x.dtype)
        left_over = np.empty(C, x.dtype)  # of dout, not yet given to a cell
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for ow in range(OW):
                w0, w1 = max(0, ow * SW - left), min(W, ow * SW - left + KW)
                _extremum(x, n, h0, h1, w0, w1, sign, best)
                for c in range(C):
                    left_over[c] = dout[n, oh, ow, c]
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            value = sign * x[n, h, w, c]
                            hit = value == best[c] or value != value
                            dx[n, h, w, c] += left_over[c] if hit else x.dtype.type(0)
                            left_over[c] = x.dtype.type(0) if hit else left_over[c]


@jit(parallel=True)
def _average_forward(x, out, KH, KW, SH, SW, top, left):
    N, H, W, C = x.shape
    _, OH, OW, _ = out.shape
    for n in prange(N):
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for ow in range(OW):
                w0, w1 = max(0, ow * SW - left), min(W, ow * SW - left + KW)
                cells = x.dtype.type((h1 - h0) * (w1 - w0))
                for c in range(C):
                    out[n, oh, ow, c] = 0
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            out[n, oh, ow, c] += x[n, h, w, c]
                for c in range(C):
                    out[n, oh, ow, c] /= cells


@jit(parallel=True)
def _average_backward(dout, dx, KH, KW, SH, SW, top, left):
    N, H, W, C = dx.shape
    _, OH, OW, _ = dout.shape
    for n in prange(N):
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for ow in range(OW):
                w0, w1 = max(0, ow * SW - left), min(W, ow * SW - left + KW)
                cells = dx.dtype.type((h1 - h0) * (w1 - w0))
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            dx[n, h, w, c] += dout[n, oh, ow, c] / cells


def _forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads, sign: int) -> np.ndarray:
    out = empty((x.shape[0], *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    run(
        _extremum_forward,
        out.size * window[0] * window[1],
        plain(x),
        out,
        *window,
        *strides,
        pads[0][0],
        pads[1][0],
        x.dtype.type(sign),
    )
    return out


def _backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads, sign: int) -> np.ndarray:
    dx = empty(x.shape, x.dtype)
    dx.fill(0)
    run(
        _extremum_backward,
        dout.size * window[0] * window[1],
        plain(dout),
        plain(x),
        dx,
        *window,
        *strides,
        pads[0][0],
        pads[1][0],
        x.dtype.type(sign),
    )
    return dx


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Take the largest number of every window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _forward(x, window, strides, pads, 1)


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Give each window's dout to the first of its largest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return _backward(dout, x, window, strides, pads, 1)


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Take the smallest number of every window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _forward(x, window, strides, pads, -1)


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Give each window's dout to the first of its smallest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return _backward(dout, x, window, strides, pads, -1)


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Take the mean of every window's real cells: (N, H, W, C) -> (N, OH, OW, C)."""
    out = empty((x.shape[0], *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    run(_average_forward, out.size * window[0] * window[1], plain(x), out, *window, *strides, pads[0][0], pads[1][0])
    return out


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Share each window's dout out equally among its real cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = empty(x.shape, x.dtype)
    dx.fill(0)
    run(_average_backward, dout.size * window[0] * window[1], plain(dout), dx, *window, *strides, pads[0][0], pads[1][0])
    return dx
