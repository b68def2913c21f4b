"""The fused telling of a convolution: Winograd's where it suits (winograd.py), and else im2col's product, columns never built.

`direct_forward` and `direct_backward` are the latter, for any kernel, stride and channels.

A row of outputs is a product of the padded image and the kernel: pixel m reads KH runs of KW·C numbers, contiguous in
NHWC, the runs one image row apart. `gemm.multiply` takes just such strides. One image at a time is padded into a
scratch array small enough to stay in the processor's cache; images are shared out among threads.

Backward walks groups of images. Each group sums its own dw and db, and the groups' sums are then added in order: how
many groups there are depends on the batch and never on the number of threads, so neither do the bits of the result.

dx is a convolution of dout with the kernel turned round. At stride S the pixels of x fall into S × S phases by what
taps of the kernel can reach them: at stride 2 with a 3 × 3 kernel, even pixels are met by taps 0 and 2, odd ones by tap
1. So each phase is a product of its own with the taps of its own, and no zeros of a dilated dout are multiplied.
"""

from __future__ import annotations

import numpy as np
from scratchnet.kernels import winograd
from scratchnet.kernels.gemm import multiply
from scratchnet.kernels.images import place, place_gradient
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads, window_output_shape

GROUPS = 16                # of images in backward, each with a sum of its own
GROUP_NUMBERS = 1 << 24    # numbers in all groups' sums together
STRIP = 192                # pixels of dout that dw reads before it moves to the next tile: they stay in the first cache


@jit()
def _forward(first, last, x, w, b, out, SH, SW, top, left, Hp, Wp, OH, OW, floor):
    KH, KW, C, F = w.shape
    image = np.zeros(Hp * Wp * C, x.dtype)
    for n in range(first, last):
        place(x, n, image, (top * Wp + left) * C, Wp * C)
        for oh in range(OH):
            multiply(
                image, oh * SH * Wp * C, SW * C, Wp * C, 1,
                w, 0, KW * C * F, F,
                b, 0, 0,
                out, (n * OH + oh) * OW * F, F,
                OW, F, KH, KW * C, floor,
            )  # fmt: skip


@jit()
def _backward(
    first, last, dout, out, masked, x, w_phases, phases, dx, need_dx, dws, dbs, SH, SW, top, left, Hp, Wp, Hd, Wd, OH, OW, none
):
    G, KH, KW, C, F = dws.shape
    N, H, W = len(x), x.shape[1], x.shape[2] // C
    PT, PL = (KH - 1) // SH, (KW - 1) // SW
    strip = max(1, STRIP // OW)
    zeros = np.zeros(C, x.dtype)
    image = np.zeros(Hp * Wp * C, x.dtype)
    d = np.zeros(Hd * Wd * F, x.dtype)
    for g in range(first, last):
        for n in range(g * N // G, (g + 1) * N // G):
            place(x, n, image, (top * Wp + left) * C, Wp * C)
            place_gradient(dout, out, masked, n, d, (PT * Wd + PL) * F, Wd * F)
            for oh in range(OH):
                for ow in range(OW):
                    for f in range(F):
                        dbs[g, f] += d[((PT + oh) * Wd + PL + ow) * F + f]
            for oh in range(0, OH, strip):
                for i in range(KH):
                    multiply(
                        image, (oh * SH + i) * Wp * C, 1, SH * Wp * C, SW * C,
                        d, ((PT + oh) * Wd + PL) * F, Wd * F, F,
                        dws, (g * KH + i) * KW * C * F, F,
                        dws, (g * KH + i) * KW * C * F, F,
                        KW * C, F, min(strip, OH - oh), OW, none,
                    )  # fmt: skip
            if need_dx:
                for h in range(H):
                    u, r = (h + top) // SH, (h + top) % SH
                    for q in range(SW):
                        start, TH, TW = phases[r, q]
                        w0 = (q - left) % SW
                        v0 = (w0 + left) // SW
                        multiply(
                            d, ((u - TH + 1 + PT) * Wd + v0 - TW + 1 + PL) * F, F, Wd * F, 1,
                            w_phases, start, TW * F * C, C,
                            zeros, 0, 0,
                            dx, ((n * H + h) * W + w0) * C, SW * C,
                            (W - w0 + SW - 1) // SW, C, TH, TW * F, none,
                        )  # fmt: skip


def _kernel_phases(w: np.ndarray, strides: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Turn the kernel round, phase by phase: one flat array, and (start, taps down, taps across) of every phase."""
    SH, SW = strides
    table = np.zeros((SH, SW, 3), np.intp)
    parts, start = [], 0
    for r in range(SH):
        for q in range(SW):
            taps = w[r::SH, q::SW][::-1, ::-1].swapaxes(2, 3)      # (TH, TW, F, C), the last tap first
            table[r, q] = start, taps.shape[0], taps.shape[1]
            parts.append(taps.ravel())
            start += taps.size
    return np.concatenate(parts), table


def direct_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Convolve by one product a row of outputs; see `conv2d_forward`."""
    N, H, W, _ = x.shape
    F = w.shape[3]
    (top, bottom), (left, right) = pads
    out = empty((N, *window_output_shape(x.shape, w.shape[:2], strides, pads), F), x.dtype)
    floor = x.dtype.type(0 if relu else -np.inf)
    b = np.zeros(F, x.dtype) if b is None else b
    work = out.size * w[..., 0].size
    OH, OW = out.shape[1:3]
    Hp, Wp = H + top + bottom, W + left + right
    run(_forward, work, N, plain(x).reshape(N, H, -1), plain(w), plain(b), out.reshape(-1), *strides, top, left, Hp, Wp, OH, OW, floor)
    return out


def direct_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int],
    pads: Pads,
    need_dx: bool = True,
    *,
    relu_out: np.ndarray | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db by products of shifted images; see `conv2d_backward`."""
    N, H, W, C = x.shape
    KH, KW, _, F = w.shape
    (SH, SW), ((top, bottom), (left, right)) = strides, pads
    OH, OW = dout.shape[1:3]
    G = max(1, min(N, GROUPS, GROUP_NUMBERS // w.size))
    dws = empty((G, KH, KW, C, F), x.dtype)
    dws.fill(0)
    dbs = np.zeros((G, F), x.dtype)
    dx = empty(x.shape if need_dx else (0, 0, 0, 0), x.dtype)
    Hd = (KH - 1) // SH + max(OH, (H - 1 + top) // SH + 1)
    Wd = (KW - 1) // SW + max(OW, (W - 1 + left) // SW + 1)
    dout = plain(dout)
    out = dout if relu_out is None else plain(relu_out)
    run(
        _backward, 2 * dout.size * w[..., 0].size, G,
        dout.reshape(N, OH, -1), out.reshape(N, OH, -1), relu_out is not None, plain(x).reshape(N, H, -1), *_kernel_phases(w, strides), dx.reshape(-1), need_dx,
        dws, dbs, SH, SW, top, left, H + top + bottom, W + left + right, Hd, Wd, OH, OW, x.dtype.type(-np.inf),
    )  # fmt: skip
    return dx if need_dx else None, dws.sum(axis=0), dbs.sum(axis=0)


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Convolve as `layers.conv2d.conv2d_forward` does, and with `relu` take max(0, ·) of each output as it is stored.

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
    suited = winograd.suits(x.shape, w.shape, strides)
    return (winograd.conv2d_forward if suited else direct_forward)(x, w, b, strides, pads, relu=relu)


def conv2d_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int],
    pads: Pads,
    need_dx: bool = True,
    *,
    relu_out: np.ndarray | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db as `layers.conv2d.conv2d_backward` does.

    Parameters
    ----------
    dout : ndarray (N, OH, OW, F)
    x, w, strides, pads : as for `conv2d_forward`
    need_dx : bool
        False leaves dx out (None): nobody asks for the gradient of the images.
    relu_out : ndarray (N, OH, OW, F), optional
        The result of `conv2d_forward(..., relu=True)`; dout then counts only where it is positive.

    Returns
    -------
    dx : ndarray (N, H, W, C) or None
    dw : ndarray (KH, KW, C, F)
    db : ndarray (F,)
    """
    suited = winograd.suits(x.shape, w.shape, strides)
    return (winograd.conv2d_backward if suited else direct_backward)(dout, x, w, strides, pads, need_dx, relu_out=relu_out)
