"""The fused telling of pooling: max and min take a row of outputs at a time, an average one window.

For one tap of the window, a row of outputs meets a row of the image, all channels of all pixels side by side: long
stretches of memory (one stretch at stride 1), over which the compiler makes vector code, since the loops choose rather
than branch. Backward walks them twice: for the largest number of each window, and for its place. Min-pooling is max-pooling
of the negated numbers: `sign` is -1 then. A window's gradient goes to cells of its own image only, so images are shared
out among threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads, window_output_shape

Pair = tuple[int, int]


@jit
def _meeting(j, SW, left, W, OW, C):
    """Say where tap j of a row of windows meets real cells: where in the outputs, where in the cells, how many stretches, how
    long, how far apart; all in numbers.
    """
    first = max(0, -((j - left) // SW))                     # the first ow with ow * SW + j - left >= 0
    last = min(OW - 1, (W - 1 + left - j) // SW)
    count = max(0, last - first + 1)
    if SW == 1:
        return first * C, (first + j - left) * C, min(1, count), count * C, C
    return first * C, (first * SW + j - left) * C, count, C, SW * C


@jit
def _extremum_row(x, row, h0, h1, KW, SW, left, W, C, OW, sign, best):
    """Write the largest sign·x of a row of windows, rows h0 to h1 of the image at `row`, to `best`; a NaN wins."""
    lowest = x.dtype.type(-sign * np.inf)
    for k in range(len(best)):
        best[k] = lowest
    for h in range(h0, h1):
        for j in range(KW):
            to, start, stretches, length, step = _meeting(j, SW, left, W, OW, C)
            for s in range(stretches):
                cell = row + h * W * C + start + s * step
                cells, largest = x[cell : cell + length], best[to + s * C : to + s * C + length]
                for k in range(length):
                    value, before = cells[k], largest[k]
                    largest[k] = value if (sign * value > sign * before) | (value != value) else before


@jit
def _extremum_forward(first, last, x, out, shape, KH, KW, SH, SW, top, left, sign):
    H, W, C, OH, OW = shape
    for n in range(first, last):
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            o = (n * OH + oh) * OW * C
            _extremum_row(x, n * H * W * C, h0, h1, KW, SW, left, W, C, OW, sign, out[o : o + OW * C])


@jit
def _extremum_backward(first, last, dout, x, dx, shape, KH, KW, SH, SW, top, left, sign):
    H, W, C, OH, OW = shape
    best, rest = np.empty(OW * C, x.dtype), np.empty(OW * C, x.dtype)      # rest: of dout, not yet given to a cell
    zero = x.dtype.type(0)
    for n in range(first, last):
        row = n * H * W * C
        image = dx[row : row + H * W * C]
        for k in range(len(image)):
            image[k] = zero
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            _extremum_row(x, row, h0, h1, KW, SW, left, W, C, OW, sign, best)
            gradient = dout[(n * OH + oh) * OW * C : (n * OH + oh + 1) * OW * C]
            for k in range(OW * C):
                rest[k] = gradient[k]
            for h in range(h0, h1):
                for j in range(KW):
                    to, start, stretches, length, step = _meeting(j, SW, left, W, OW, C)
                    for s in range(stretches):
                        cell, b = row + h * W * C + start + s * step, to + s * C
                        cells, gradients = x[cell : cell + length], dx[cell : cell + length]
                        largest, waiting = best[b : b + length], rest[b : b + length]
                        for k in range(length):
                            value, before, share = cells[k], gradients[k], waiting[k]
                            hit = (value == largest[k]) | (value != value)
                            gradients[k] = before + (share if hit else zero)
                            waiting[k] = zero if hit else share


@jit
def _average_forward(first, last, x, out, shape, KH, KW, SH, SW, top, left):
    H, W, C, OH, OW = shape
    for n in range(first, last):
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for ow in range(OW):
                w0, w1 = max(0, ow * SW - left), min(W, ow * SW - left + KW)
                cells, o = x.dtype.type((h1 - h0) * (w1 - w0)), ((n * OH + oh) * OW + ow) * C
                for c in range(C):
                    out[o + c] = 0
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            out[o + c] += x[((n * H + h) * W + w) * C + c]
                for c in range(C):
                    out[o + c] /= cells


@jit
def _average_backward(first, last, dout, dx, shape, KH, KW, SH, SW, top, left):
    H, W, C, OH, OW = shape
    for n in range(first, last):
        for k in range(n * H * W * C, (n + 1) * H * W * C):
            dx[k] = 0
        for oh in range(OH):
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for ow in range(OW):
                w0, w1 = max(0, ow * SW - left), min(W, ow * SW - left + KW)
                cells, o = dx.dtype.type((h1 - h0) * (w1 - w0)), ((n * OH + oh) * OW + ow) * C
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            dx[((n * H + h) * W + w) * C + c] += dout[o + c] / cells


def _run(
    kernel: Callable[..., None],
    out: np.ndarray,
    arrays: tuple[np.ndarray, ...],
    x_shape: tuple[int, ...],
    window: Pair,
    strides: Pair,
    pads: Pads,
    *sign: int,
) -> np.ndarray:
    """Call a kernel that fills `out` from flat arrays, and give `out`."""
    (N, H, W, C), (OH, OW) = x_shape, window_output_shape(x_shape, window, strides, pads)
    flat = [plain(a).reshape(-1) for a in (*arrays, out)]
    work = N * OH * OW * C * window[0] * window[1]
    run(kernel, work, N, *flat, (H, W, C, OH, OW), *window, *strides, pads[0][0], pads[1][0], *map(out.dtype.type, sign))
    return out


def _room(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    return empty((x.shape[0], *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Take the largest number of every window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _run(_extremum_forward, _room(x, window, strides, pads), (x,), x.shape, window, strides, pads, 1)


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Give each window's dout to the first of its largest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return _run(_extremum_backward, empty(x.shape, x.dtype), (dout, x), x.shape, window, strides, pads, 1)


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Take the smallest number of every window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _run(_extremum_forward, _room(x, window, strides, pads), (x,), x.shape, window, strides, pads, -1)


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Give each window's dout to the first of its smallest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return _run(_extremum_backward, empty(x.shape, x.dtype), (dout, x), x.shape, window, strides, pads, -1)


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Take the mean of every window's real cells: (N, H, W, C) -> (N, OH, OW, C)."""
    return _run(_average_forward, _room(x, window, strides, pads), (x,), x.shape, window, strides, pads)


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Share each window's dout out equally among its real cells: (N, OH, OW, C) -> (N, H, W, C)."""
    return _run(_average_backward, empty(x.shape, x.dtype), (dout,), x.shape, window, strides, pads)
