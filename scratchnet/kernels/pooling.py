"""The fused implementation of pooling: max- and min-pooling compute one row of outputs at a time, average-pooling one window.

A tap is a position in the window. For each tap, a row of outputs is compared with a row of the image. The channels of all pixels
are side by side in memory, so this row is one long stretch at stride 1, and otherwise one stretch of C numbers for each output.
The compiler makes vector code for such loops, because they select values and do not branch. Min-pooling is max-pooling of the
negated numbers: `sign` is -1 then. The gradient of a window is added only to cells of the same image, so images are distributed
among threads.

Backward needs only the tap of the largest number of each window (its "winner"), not the images. So `extrema` returns the winners
with the output, usually one byte each, and `extrema_backward` reads only these and dout: at stride 2, the winners take a sixteenth
of the memory of the float32 images.

Legend
------
    x out dout dx               images, outputs and their gradients, as everywhere, all flat
    winners                     for each output, which tap is its largest number, i·KW + j in row i and column j of the window
    H W C OH OW KH KW SH SW     sizes, as everywhere; `top` and `left` are the padding (`Window`, `Sizes`)
    n, oh, ow                   an image, and the row and column of a window
    h0, h1, w0, w1              the first and the past-the-end row and column of the cells of a window
    j                           a column of the window (a tap of its row)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain, scratch
from scratchnet.kernels.structures import Pair, Sizes, Window, shapes_of
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads


@jit
def _stretches(j, window, sizes):
    """Return the stretches of memory that tap j of a row of windows reads.

    The five results are where the first stretch starts in the row of outputs, where it starts in the row of cells, how many
    stretches there are, their length, and the distance from one to the next in the row of cells; all counted in numbers, not bytes.
    """
    _, _, W, C, _, OW, _ = sizes
    SW, left = window.SW, window.left
    first = max(0, -((j - left) // SW))                     # the first ow with ow·SW >= left - j: -(-a // b) rounds up
    last = min(OW - 1, (W - 1 + left - j) // SW)
    count = max(0, last - first + 1)
    if SW == 1:
        return first * C, (first + j - left) * C, min(1, count), count * C, C
    return first * C, (first * SW + j - left) * C, count, C, SW * C


@jit
def _extremum_row(x, n, oh, window, sizes, sign, best, winners, chosen):
    """Write the number with the largest sign·x of each window in row oh of image n to `best`, and its tap to `winners`.

    The first of equal numbers wins, and the first NaN wins over all numbers. `chosen` is a scratch row for the new extrema: if the
    loop wrote them over those that it reads, LLVM would store only those that change, with an instruction that is slow on AMD.
    (`winners` is overwritten in place: AVX2 has no such instruction for integers of one or two bytes.)
    """
    KH, KW, SH, _, top, _ = window
    _, H, W, C, _, _, _ = sizes
    h0, h1 = max(0, oh * SH - top), min(H, oh * SH - top + KH)
    none, lowest = winners.dtype.type(KH * KW), x.dtype.type(-sign * np.inf)
    for k in range(len(best)):
        best[k], winners[k] = lowest, none
    for h in range(h0, h1):
        for j in range(KW):
            tap = winners.dtype.type((h - oh * SH + top) * KW + j)
            output, cell, count, length, step = _stretches(j, window, sizes)
            for s in range(count):
                start, o = (n * H + h) * W * C + cell + s * step, output + s * C
                cells, largest, winner = x[start : start + length], best[o : o + length], winners[o : o + length]
                for k in range(length):
                    value, before = cells[k], largest[k]
                    wins = (winner[k] == none) | (sign * value > sign * before) | ((value != value) & (before == before))
                    chosen[k] = value if wins else before
                    winner[k] = tap if wins else winner[k]
                for k in range(length):
                    largest[k] = chosen[k]


@jit
def _extremum_forward(first, last, x, out, winners, window, sizes, sign):
    _, _, _, C, OH, OW, _ = sizes
    L = OW * C                      # outputs in a row
    chosen = scratch(L, x)
    for n in range(first, last):
        for oh in range(OH):
            start = (n * OH + oh) * L
            _extremum_row(x, n, oh, window, sizes, sign, out[start : start + L], winners[start : start + L], chosen)


@jit
def _extremum_backward(first, last, dout, winners, dx, window, sizes):
    KH, KW, SH, _, top, _ = window
    _, H, W, C, OH, OW, _ = sizes
    L, zero = OW * C, dx.dtype.type(0)
    for n in range(first, last):
        image = dx[n * H * W * C : (n + 1) * H * W * C]
        for k in range(len(image)):
            image[k] = zero
        for oh in range(OH):
            start = (n * OH + oh) * L
            gradient, winner = dout[start : start + L], winners[start : start + L]
            for h in range(max(0, oh * SH - top), min(H, oh * SH - top + KH)):
                for j in range(KW):
                    tap = winners.dtype.type((h - oh * SH + top) * KW + j)
                    output, cell, count, length, step = _stretches(j, window, sizes)
                    for s in range(count):
                        c, o = h * W * C + cell + s * step, output + s * C
                        gradients, share, won = image[c : c + length], gradient[o : o + length], winner[o : o + length]
                        for k in range(length):
                            gradients[k] += share[k] if won[k] == tap else zero


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


def _run(kernel: Callable[..., None], arrays: tuple[np.ndarray, ...], window: Window, sizes: Sizes, *sign: np.floating) -> None:
    """Run a kernel on the flat forms of the arrays, of which the last ones are its results."""
    work = sizes.N * sizes.OH * sizes.OW * sizes.C * window.KH * window.KW
    run(kernel, work, sizes.N, *(plain(a).reshape(-1) for a in arrays), window, sizes, *sign)


def extrema(x: np.ndarray, window: Pair, strides: Pair, pads: Pads, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each window, the number with the largest sign·x, and its tap: (N, H, W, C) -> two arrays (N, OH, OW, C)."""
    shapes = shapes_of(x.shape, window, strides, pads)
    N, _, _, C, OH, OW, _ = shapes[1]
    out = empty((N, OH, OW, C), x.dtype)
    winners = empty(out.shape, np.min_scalar_type(window[0] * window[1]))           # one byte each, unless the window is huge
    _run(_extremum_forward, (x, out, winners), *shapes, x.dtype.type(sign))
    return out, winners


def extrema_backward(
    dout: np.ndarray, winners: np.ndarray, x_shape: tuple[int, ...], window: Pair, strides: Pair, pads: Pads
) -> np.ndarray:
    """Return dx, where the dout of each window goes to its winner: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = empty(x_shape, dout.dtype)
    _run(_extremum_backward, (dout, winners, dx), *shapes_of(x_shape, window, strides, pads))
    return dx


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the largest number of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    return extrema(x, window, strides, pads, 1)[0]


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx, where the dout of each window goes to the first of its largest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return extrema_backward(dout, extrema(x, window, strides, pads, 1)[1], x.shape, window, strides, pads)


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the smallest number of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    return extrema(x, window, strides, pads, -1)[0]


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx, where the dout of each window goes to the first of its smallest numbers: (N, OH, OW, C) -> (N, H, W, C)."""
    return extrema_backward(dout, extrema(x, window, strides, pads, -1)[1], x.shape, window, strides, pads)


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the mean of the real cells of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    shapes = shapes_of(x.shape, window, strides, pads)
    N, _, _, C, OH, OW, _ = shapes[1]
    out = empty((N, OH, OW, C), x.dtype)
    _run(_average_forward, (x, out), *shapes)
    return out


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx, where the dout of each window is divided equally among its real cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = empty(x.shape, dout.dtype)
    _run(_average_backward, (dout, dx), *shapes_of(x.shape, window, strides, pads))
    return dx
