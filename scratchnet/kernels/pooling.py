"""The fused implementation of pooling: max and min compute a row of outputs at a time, an average one window.

For one tap of the window, a row of outputs is computed from a row of the image, all channels of all pixels side by side: long
stretches of memory (one stretch at stride 1), for which the compiler makes vector code, since the loops select values and do
not branch. Backward reads them twice: to find the largest number of each window, and then its position. Min-pooling is max-pooling
of the negated numbers: `sign` is -1 then. The gradient of a window is added only to cells of the same image, so images are
distributed among threads.

Legend
------
    x out dout dx               images, outputs and their gradients, as everywhere, all flat
    H W C OH OW KH KW SH SW     sizes, as everywhere; `top` and `left` are the padding (`Window`, `Sizes`)
    n, oh, ow                   an image, and the row and column of a window
    h0, h1, w0, w1              the first and the past-the-end row and column of the cells of a window
    j                           a column of the window (a tap of its row)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.structures import Pair, Sizes, Window, shapes_of
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads


@jit
def _stretches(j, window, sizes):
    """Return the stretches of memory that tap j of a row of windows reads: the first number in the row of outputs and in the row
    of cells, how many stretches, their length, and their distance in the row of cells; all counted in numbers, not bytes.
    """
    _, _, W, C, _, OW, _ = sizes
    SW, left = window.SW, window.left
    first = max(0, -((j - left) // SW))                     # the first ow with ow * SW + j - left >= 0
    last = min(OW - 1, (W - 1 + left - j) // SW)
    count = max(0, last - first + 1)
    if SW == 1:
        return first * C, (first + j - left) * C, min(1, count), count * C, C
    return first * C, (first * SW + j - left) * C, count, C, SW * C


@jit
def _extremum_row(x, n, oh, window, sizes, sign, best):
    """Write the largest sign·x of each window in row oh of image n to `best`; a NaN counts as the largest."""
    KH, KW, SH, _, top, _ = window
    _, H, W, C, _, _, _ = sizes
    h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
    lowest = x.dtype.type(-sign * np.inf)
    for k in range(len(best)):
        best[k] = lowest
    for h in range(h0, h1):
        for j in range(KW):
            output, cell, count, length, step = _stretches(j, window, sizes)
            for s in range(count):
                start = (n * H + h) * W * C + cell + s * step
                cells, largest = x[start : start + length], best[output + s * C : output + s * C + length]
                for k in range(length):
                    value, before = cells[k], largest[k]
                    largest[k] = value if (sign * value > sign * before) | (value != value) else before


@jit
def _extremum_forward(first, last, x, out, window, sizes, sign):
    _, _, _, C, OH, OW, _ = sizes
    for n in range(first, last):
        for oh in range(OH):
            start = (n * OH + oh) * OW * C
            _extremum_row(x, n, oh, window, sizes, sign, out[start : start + OW * C])


@jit
def _extremum_backward(first, last, dout, x, dx, window, sizes, sign):
    KH, KW, SH, _, top, _ = window
    _, H, W, C, OH, OW, _ = sizes
    best, rest = np.empty(OW * C, x.dtype), np.empty(OW * C, x.dtype)      # rest: the part of dout not yet given to a cell
    zero = x.dtype.type(0)
    for n in range(first, last):
        image = dx[n * H * W * C : (n + 1) * H * W * C]
        for k in range(len(image)):
            image[k] = zero
        for oh in range(OH):
            _extremum_row(x, n, oh, window, sizes, sign, best)
            gradient = dout[(n * OH + oh) * OW * C : (n * OH + oh + 1) * OW * C]
            for k in range(OW * C):
                rest[k] = gradient[k]
            h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
            for h in range(h0, h1):
                for j in range(KW):
                    output, cell, count, length, step = _stretches(j, window, sizes)
                    for s in range(count):
                        start, o = (n * H + h) * W * C + cell + s * step, output + s * C
                        cells, gradients = x[start : start + length], dx[start : start + length]
                        largest, waiting = best[o : o + length], rest[o : o + length]
                        for k in range(length):
                            value, before, share = cells[k], gradients[k], waiting[k]
                            hit = (value == largest[k]) | (value != value)
                            gradients[k] = before + (share if hit else zero)
                            waiting[k] = zero if hit else share


@jit
def _average_forward(first, last, x, out, window, sizes):
    KH, KW, SH, SW, top, left = window
    _, H, W, C, OH, OW, _ = sizes
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
def _average_backward(first, last, dout, dx, window, sizes):
    KH, KW, SH, SW, top, left = window
    _, H, W, C, OH, OW, _ = sizes
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
    kernel: Callable[..., None], arrays: tuple[np.ndarray, ...], shape: tuple[int, ...], window: Window, sizes: Sizes, *sign: int
) -> np.ndarray:
    """Return an array of `shape` that a kernel fills from flat arrays."""
    out = empty(shape, arrays[0].dtype)
    flat = [plain(a).reshape(-1) for a in (*arrays, out)]
    work = sizes.N * sizes.OH * sizes.OW * sizes.C * window.KH * window.KW
    run(kernel, work, sizes.N, *flat, window, sizes, *map(out.dtype.type, sign))
    return out


def _forward(kernel: Callable[..., None], x: np.ndarray, shapes: tuple[Window, Sizes], *sign: int) -> np.ndarray:
    N, _, _, C, OH, OW, _ = shapes[1]
    return _run(kernel, (x,), (N, OH, OW, C), *shapes, *sign)


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the largest number of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _forward(_extremum_forward, x, shapes_of(x.shape, window, strides, pads), 1)


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx, where the dout of each window goes to the first of its largest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return _run(_extremum_backward, (dout, x), x.shape, *shapes_of(x.shape, window, strides, pads), 1)


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the smallest number of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _forward(_extremum_forward, x, shapes_of(x.shape, window, strides, pads), -1)


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx, where the dout of each window goes to the first of its smallest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return _run(_extremum_backward, (dout, x), x.shape, *shapes_of(x.shape, window, strides, pads), -1)


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the mean of the real cells of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    return _forward(_average_forward, x, shapes_of(x.shape, window, strides, pads))


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx, where the dout of each window is divided equally among its real cells: (N, OH, OW, C) -> (N, H, W, C)."""
    return _run(_average_backward, (dout,), x.shape, *shapes_of(x.shape, window, strides, pads))
