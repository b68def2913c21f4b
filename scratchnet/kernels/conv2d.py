"""The fused telling of a convolution: Winograd's where it suits (winograd.py), else im2col's product without its large matrix.

`direct_forward` and `direct_backward` are the latter, for any kernel, stride and channels.

A row of outputs is a product of the padded image and the kernel: pixel m reads KH runs of KW·C numbers, contiguous in
NHWC, the runs one image row apart. `gemm.multiply` takes just such strides. One image at a time is padded into a
scratch array small enough to stay in the processor's cache; images are shared out among threads.

Backward walks groups of images. Each group sums its own dw, and the groups' sums are then added in order: how many
groups there are depends on the batch and on the kernel's size and never on the number of threads, so neither do the bits of
the result. For dw the image is read the other way round: row i of the kernel is a product of its KW·C numbers, one by one,
with the gradients of a few rows of windows, whose pixels are now what is summed over. db is such a product with a single 1,
and the last row of dw.

dx is a convolution of dout with the kernel turned round. At stride S the pixels of x fall into S × S phases by what
taps of the kernel can reach them: at stride 2 with a 3 × 3 kernel, even pixels are met by taps 0 and 2, odd ones by tap
1. So each phase is a product of its own with the taps of its own, and no zeros of a dilated dout are multiplied.
"""

from __future__ import annotations

import numpy as np

from scratchnet.kernels import winograd
from scratchnet.kernels.gemm import multiply
from scratchnet.kernels.images import place
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, goes_past_cache, plain, scratch
from scratchnet.kernels.relu import mask
from scratchnet.kernels.threads import groups_of, run
from scratchnet.padding import Pads, window_output_shape

STRIP = 1 << 15            # numbers of the gradients that dw reads at a time, row of the kernel after row: they stay in the cache


@jit
def _forward(first, last, x, w, b, out, SH, SW, top, left, Hp, Wp, OH, OW, floor, past):
    KH, KW, C, F = w.shape
    image = scratch(Hp * Wp * C, x)
    image[:] = 0
    for n in range(first, last):
        place(x, n, image, (top * Wp + left) * C, Wp * C)
        for oh in range(OH):
            multiply(
                image, oh * SH * Wp * C, SW * C, Wp * C, 1,
                w, 0, KW * C * F, F,
                b, 0, 0,
                out, (n * OH + oh) * OW * F, F,
                OW, F, KH, KW * C, floor, past,
            )  # fmt: skip


@jit
def _backward(
    first, last, dout, x, w_phases, phases, dx, need_dx, relu_x, dws, KH, KW, SH, SW, top, left, Hp, Wp, Hd, Wd, none
):
    G, width, F = dws.shape
    N, H, C = len(x), x.shape[1], (width - 1) // (KH * KW)
    W, OH, OW = x.shape[2] // C, dout.shape[1], dout.shape[2] // F
    PT, PL = (KH - 1) // SH, (KW - 1) // SW
    strip = max(1, STRIP // (OW * F))
    zeros, one = np.zeros(C, x.dtype), np.ones(1, x.dtype)
    image, d = scratch(Hp * Wp * C, x), scratch(Hd * Wd * F if need_dx else 0, x)
    image[:], d[:] = 0, 0
    for g in range(first, last):
        dws[g] = 0
        for n in range(g * N // G, (g + 1) * N // G):
            place(x, n, image, (top * Wp + left) * C, Wp * C)
            for oh in range(0, OH, strip):
                rows, start = min(strip, OH - oh), (n * OH + oh) * OW * F
                for i in range(KH):
                    multiply(
                        image, (oh * SH + i) * Wp * C, 1, SH * Wp * C, SW * C,
                        dout, start, OW * F, F,
                        dws, (g * width + i * KW * C) * F, F,
                        dws, (g * width + i * KW * C) * F, F,
                        KW * C, F, rows, OW, none, False,
                    )  # fmt: skip
                multiply(
                    one, 0, 0, 0, 0,
                    dout, start, OW * F, F,
                    dws, (g * width + width - 1) * F, F,
                    dws, (g * width + width - 1) * F, F,
                    1, F, rows, OW, none, False,
                )  # fmt: skip
            if need_dx:
                place(dout, n, d, (PT * Wd + PL) * F, Wd * F)
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
                            (W - w0 + SW - 1) // SW, C, TH, TW * F, none, False,
                        )  # fmt: skip
                    if relu_x:
                        mask(dx[(n * H + h) * W * C : (n * H + h + 1) * W * C], x[n, h])


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
    x, out_numbers = plain(x).reshape(N, H, W * x.shape[3]), out.reshape(-1)
    run(
        _forward, work, N,
        x, plain(w), plain(b), out_numbers, *strides, top, left, Hp, Wp, OH, OW, floor, goes_past_cache(out),
    )  # fmt: skip
    return out


def direct_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int],
    pads: Pads,
    need_dx: bool = True,
    *,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db by products of shifted images; see `conv2d_backward`."""
    N, H, W, C = x.shape
    KH, KW, _, F = w.shape
    (SH, SW), ((top, bottom), (left, right)) = strides, pads
    OH, OW = dout.shape[1:3]
    G = groups_of(N, w.size)
    dws = empty((G, KH * KW * C + 1, F), x.dtype)
    dx = empty(x.shape if need_dx else (0,), x.dtype)
    Hd = (KH - 1) // SH + max(OH, (H - 1 + top) // SH + 1)
    Wd = (KW - 1) // SW + max(OW, (W - 1 + left) // SW + 1)
    run(
        _backward, 2 * dout.size * w[..., 0].size, G,
        plain(dout).reshape(N, OH, OW * F), plain(x).reshape(N, H, W * C), *_kernel_phases(w, strides), dx.reshape(-1), need_dx,
        relu_x, dws, KH, KW, SH, SW, top, left, H + top + bottom, W + left + right, Hd, Wd, x.dtype.type(-np.inf),
    )  # fmt: skip
    dw = dws.sum(axis=0)
    return dx if need_dx else None, dw[:-1].reshape(w.shape), dw[-1].copy()


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
    relu_x: bool = False,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db as `layers.conv2d.conv2d_backward` does.

    Parameters
    ----------
    dout : ndarray (N, OH, OW, F)
    x, w, strides, pads : as for `conv2d_forward`
    need_dx : bool
        False leaves dx out (None): nobody asks for the gradient of the images.
    relu_x : bool
        Whether x came from a ReLU; dx is then 0 where x is not positive, which is that ReLU's backward.

    Returns
    -------
    dx : ndarray (N, H, W, C) or None
    dw : ndarray (KH, KW, C, F)
    db : ndarray (F,)
    """
    suited = winograd.suits(w.shape, strides)
    return (winograd.conv2d_backward if suited else direct_backward)(dout, x, w, strides, pads, need_dx, relu_x=relu_x)
