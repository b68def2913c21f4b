"""The fused implementation of a convolution: Winograd's algorithm for some layers (winograd.py), else a direct product.

The direct product, `direct_forward` and `direct_backward`, is that of im2col without building its matrix. It takes any kernel
size, stride and number of channels.

A row of outputs is a product of the padded image and the kernel: output pixel m reads KH runs of KW·C numbers. Each run is
contiguous in NHWC, and the runs are one image row apart. `gemm.multiply` takes exactly such strides. One image at a time is
padded into a scratch array small enough to stay in the processor's cache; images are distributed among threads. In backward, the
dout of an image is fetched first (images.py).

Backward works on groups of images. Each group sums its own dw, and the sums of the groups are then added in order. The number of
groups, and so the bits of the result, depend on the batch and the size of the kernel, never on the number of threads. For
dw the roles of the image's strides are exchanged: row i of dw, (KW·C, F), is the product of the pixels under row i of the kernel
and dout, for a few rows of windows at a time. The windows are the summation index. db is such a product of a single 1 and dout,
and is stored as the last row of dws.

dx is a convolution of dout with the flipped kernel. A tap is a position in the kernel. At stride S the pixels of x fall into S × S
phases, by the taps that reach them: at stride 2 with a 3 × 3 kernel, taps 0 and 2 reach even pixels (of the padded image), and tap
1 odd ones. So each phase is a separate product with its own taps, and no zeros of a dilated dout are multiplied.

Row h of x is row h + top = u·SH + r of the padded image. Row oh of out was computed from it with row i = h + top - oh·SH = r +
(u - oh)·SH of the kernel. So the rows of taps of phase r are r, r + SH, … (TH rows in all), and row h of dx is a sum over the
rows u - TH + 1 to u of dout: the first of them belongs to the last tap. With SH = 2, KH = 3, top = 0 and h = 4: u = 2, r = 0,
the taps are 0 and 2, and the rows are 1 (with tap 2) and 2 (with tap 0). Columns follow the same rule, and from one pixel of a
phase to the next, the column of x grows by SW and that of dout by 1.

Legend
------
    x w b out dout dx dw db     as everywhere; x is (N, H, W·C) here, dout and out (N, OH, OW·F), dx flat
    N H W C KH KW SH SW OH OW F sizes, as everywhere; `top` and `left` are the padding (`Window`)
    image, Hp Wp                an image of x with its padding, and its size
    row                         a row of dx, before the mask of the ReLU is applied
    d, Hd Wd                    an image of dout with a margin of PT rows above and PL columns to the left, and its size
    r, q; TH TW                 a phase, its row and column in the stride; how many taps it has, down and across
    start                       where the weights of a phase start in `Phases.weights`
    u; w0 v0                    h + top = u·SH + r; w0 is the first column of x in phase q, and w0 + left = v0·SW + q
    dws, G, g                   the sums of dw and db of each group, (G, KH·KW·C + 1, F); how many groups; one of them
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchnet.kernels import winograd
from scratchnet.kernels.gemm import Block, Left, Right, Rows, Store, multiply
from scratchnet.kernels.images import fetch, place
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, goes_past_cache, plain, scratch
from scratchnet.kernels.relu import copy_gradient
from scratchnet.kernels.structures import Gradients, window_of
from scratchnet.kernels.threads import groups_of, run
from scratchnet.padding import Pads, window_output_shape

STRIP = 1 << 15            # numbers of dout that dw reads at a time, once per row of the kernel: they stay in the cache


class Phases(NamedTuple):
    """The flipped kernel, phase by phase: one flat array of weights, and (start, TH, TW) of phase r, q in `table`, (SH, SW, 3)."""

    weights: np.ndarray
    table: np.ndarray


@jit
def _forward(first, last, x, w, b, out, window, store):
    KH, KW, C, F = w.shape
    _, _, SH, SW, top, left = window
    H, W, OH, OW = x.shape[1], x.shape[2] // C, out.shape[1], out.shape[2] // F
    Hp, Wp = max(top + H, (OH - 1) * SH + KH), max(left + W, (OW - 1) * SW + KW)       # what windows reach
    image = scratch(Hp * Wp * C, x)
    image[:] = 0
    for n in range(first, last):
        place(x, n, image, (top * Wp + left) * C, Wp * C)
        for oh in range(OH):
            multiply(
                Left(image, oh * SH * Wp * C, m=SW * C, ko=Wp * C, ki=1),
                Right(w, 0, ko=KW * C * F, ki=F),
                Rows(b, 0, m=0),
                Rows(out, (n * OH + oh) * OW * F, m=F),
                Block(M=OW, N=F, KO=KH, KI=KW * C),
                store,
            )


@jit
def _backward(first, last, dout, x, phases, gradients, window):
    KH, KW, SH, SW, top, left = window
    dx, dws, need_dx, need_dw, relu_x = gradients
    G, width, F = dws.shape
    N, H, C = len(x), x.shape[1], (width - 1) // (KH * KW)
    W, OH, OW = x.shape[2] // C, dout.shape[1], dout.shape[2] // F
    Hp, Wp = max(top + H, (OH - 1) * SH + KH), max(left + W, (OW - 1) * SW + KW)       # what windows reach
    PT, PL = (KH - 1) // SH, (KW - 1) // SW
    Hd, Wd = PT + max(OH, (H - 1 + top) // SH + 1), PL + max(OW, (W - 1 + left) // SW + 1)
    strip = max(1, STRIP // (OW * F))
    zeros, one, no_floor = np.zeros(C, x.dtype), np.ones(1, x.dtype), Store(x.dtype.type(-np.inf), False)
    image, d, row = scratch(Hp * Wp * C, x), scratch(Hd * Wd * F if need_dx else 0, x), scratch(W * C, x)
    image[:], d[:] = 0, 0
    for g in range(first, last):
        dws[g] = 0
        for n in range(g * N // G, (g + 1) * N // G):
            row[0] = fetch(dout.reshape(-1), n * OH * OW * F, (n + 1) * OH * OW * F)        # this number is not used
            place(x, n, image, (top * Wp + left) * C, Wp * C)
            for oh in range(0, OH if need_dw else 0, strip):
                rows = min(strip, OH - oh)
                some_dout = Right(dout, (n * OH + oh) * OW * F, ko=OW * F, ki=F)
                for i in range(KH):
                    dw = Rows(dws, (g * width + i * KW * C) * F, m=F)
                    a = Left(image, (oh * SH + i) * Wp * C, m=1, ko=SH * Wp * C, ki=SW * C)
                    multiply(a, some_dout, dw, dw, Block(M=KW * C, N=F, KO=rows, KI=OW), no_floor)
                db = Rows(dws, (g * width + width - 1) * F, m=F)
                multiply(Left(one, 0, m=0, ko=0, ki=0), some_dout, db, db, Block(M=1, N=F, KO=rows, KI=OW), no_floor)
            if need_dx:
                place(dout, n, d, (PT * Wd + PL) * F, Wd * F)
                for h in range(H):
                    u, r = (h + top) // SH, (h + top) % SH
                    for q in range(SW):
                        start, TH, TW = phases.table[r, q]
                        w0 = (q - left) % SW
                        v0 = (w0 + left) // SW
                        multiply(
                            Left(d, ((u - TH + 1 + PT) * Wd + v0 - TW + 1 + PL) * F, m=F, ko=Wd * F, ki=1),
                            Right(phases.weights, start, ko=TW * F * C, ki=C),
                            Rows(zeros, 0, m=0),
                            Rows(row, w0 * C, m=SW * C),
                            Block(M=(W - w0 + SW - 1) // SW, N=C, KO=TH, KI=TW * F),
                            no_floor,
                        )
                    copy_gradient(row, dx[(n * H + h) * W * C : (n * H + h + 1) * W * C], x[n, h], relu_x)


def _kernel_phases(w: np.ndarray, strides: tuple[int, int]) -> Phases:
    """Return the flipped kernel, phase by phase."""
    SH, SW = strides
    table = np.zeros((SH, SW, 3), np.intp)
    parts, start = [], 0
    for r in range(SH):
        for q in range(SW):
            taps = w[r::SH, q::SW][::-1, ::-1].swapaxes(2, 3)      # (TH, TW, F, C), the last tap first
            table[r, q] = start, taps.shape[0], taps.shape[1]
            parts.append(taps.ravel())
            start += taps.size
    return Phases(np.concatenate(parts), table)


def direct_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Convolve by one product for each row of outputs; see `conv2d_forward`."""
    (N, H, W, C), (KH, KW, _, F), dtype = x.shape, w.shape, x.dtype
    OH, OW = window_output_shape(x.shape, (KH, KW), strides, pads)
    out = empty((N, OH, OW, F), dtype)
    store = Store(dtype.type(0 if relu else -np.inf), goes_past_cache(out))
    b = np.zeros(F, dtype) if b is None else plain(b)
    rows, out_rows = plain(x).reshape(N, H, W * C), out.reshape(N, OH, OW * F)
    run(_forward, out.size * w[..., 0].size, N, rows, plain(w), b, out_rows, window_of((KH, KW), strides, pads), store)
    return out


def direct_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int],
    pads: Pads,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Return dx, dw, db by matrix products that read the images through strides; see `conv2d_backward`."""
    (N, H, W, C), (KH, KW, _, F), (OH, OW), dtype = x.shape, w.shape, dout.shape[1:3], x.dtype
    dws = empty((groups_of(N, w.size), KH * KW * C + 1, F), dtype)
    dx = empty(x.shape if need_dx else (0,), dtype)
    gradients = Gradients(dx.reshape(-1), dws, need_dx, need_dw, relu_x)
    run(
        _backward, 2 * dout.size * w[..., 0].size, len(dws),
        plain(dout).reshape(N, OH, OW * F), plain(x).reshape(N, H, W * C), _kernel_phases(w, strides), gradients,
        window_of((KH, KW), strides, pads),
    )  # fmt: skip
    dw = dws.sum(axis=0)
    return dx if need_dx else None, dw[:-1].reshape(w.shape) if need_dw else None, dw[-1].copy() if need_dw else None


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Convolve as `layers.conv2d.conv2d_forward` does, and with `relu` store max(0, ·) of each output.

    Parameters
    ----------
    x : ndarray (N, H, W, C), float32 or float64
    w : ndarray (KH, KW, C, F)
    b : ndarray (F,) or None
    strides : (int, int)
    pads : ((top, bottom), (left, right))
    relu : bool

    Returns
    -------
    ndarray (N, OH, OW, F)
    """
    suited = winograd.suits(w.shape, strides)
    return (winograd.conv2d_forward if suited else direct_forward)(x, w, b, strides, pads, relu=relu)


def conv2d_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int],
    pads: Pads,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Return dx, dw, db as `layers.conv2d.conv2d_backward` does.

    Parameters
    ----------
    dout : ndarray (N, OH, OW, F)
    x, w, strides, pads : as for `conv2d_forward`
    need_dx : bool
        Whether dx is computed; otherwise it is None. The first layer, for example, needs no dx: its x are the images.
    need_dw : bool
        Whether dw and db are computed; otherwise both are None. A layer that is not trained needs neither.
    relu_x : bool
        Whether x is the output of a ReLU; dx is then 0 where x is not positive, which is the backward of that ReLU.

    Returns
    -------
    dx : ndarray (N, H, W, C) or None
    dw : ndarray (KH, KW, C, F) or None
    db : ndarray (F,) or None
    """
    suited = winograd.suits(w.shape, strides)
    backward = winograd.conv2d_backward if suited else direct_backward
    return backward(dout, x, w, strides, pads, need_dx, need_dw=need_dw, relu_x=relu_x)
