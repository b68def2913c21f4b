"""The fourth telling of a convolution: fewer multiplications, by Winograd's algorithms for short filters.

Two neighbouring outputs of a filter of three taps, on one axis, are six products when written down,

    y0 = x0·w0 + x1·w1 + x2·w2          y1 = x1·w0 + x2·w1 + x3·w2

and four are enough:

    p0 = (x2 - x0)·(-w0)                y0 = p0 + p1 + p2
    p1 = (x1 + x2)·(w0 + w1 + w2)/2     y1 = p1 - p2 + p3
    p2 = (x2 - x1)·(w0 - w1 + w2)/2
    p3 = (x3 - x1)·w2

With matrices: y = Aᵀ[(G·w) ⊙ (Bᵀ·x)], where ⊙ multiplies number by number. On two axes the matrices stand on both
sides, a tile of 2 × 2 outputs takes 4 × 4 products instead of 36, and every product becomes, over all tiles and
channels, a matrix product of its own:

    V = Bᵀ x B              (C channels of a tile)      -> P numbers each, here 16
    U = G w Gᵀ              (C·F filters)               -> as many
    M[p] = V[p] @ U[p]      (tiles, C) @ (C, F)         -> (tiles, F), for each p of the P
    y = Aᵀ M A + b

Larger tiles save more: toom_cook.py tells where the matrices come from, and `choose` takes the cheapest for a layer's size.

Backward needs no new algebra. Every step is linear in x and linear in w, so its transpose carries the gradient back:
from dy to dM by A, from dM to dV by Uᵀ and to dU by Vᵀ, from dV to dx by B, from dU to dw by Gᵀ:

    dM = A dy Aᵀ        dU[p] = V[p]ᵀ @ dM[p]       dw = Gᵀ dU G
    db = Σ dy           dV[p] = dM[p] @ U[p]ᵀ       dx = B dV Bᵀ, added up where tiles overlap

At stride 2 some products share a filter, and some only ever appear in a sum: of V, U and M there are 25, 16 and 9 matrices,
or 81, 36 and 49. With f the filter of product p, and s its sum (`products_of`):

    M[s] += V[p] @ U[f]     dU[f] += V[p]ᵀ @ dM[s]      dV[p] = dM[s] @ U[f]ᵀ

Neighbouring products of one filter, whose sums are neighbours too, are one matrix product with more rows.

Three things are not as in the direct kernels. Rounding errors are larger (toom_cook.py). A NaN or an infinity in one pixel
may reach outputs of its tile whose windows do not hold it. And numbers that do not belong to a window cancel only up to
rounding: where an image is constant or 0, outputs that are equal in exact arithmetic may differ in their last bits, so that
a maximum over them is no tie; and dx may be a little off 0 where no gradient arrives.

Source: Lavin & Gray, *Fast algorithms for convolutional neural networks* (2016), sections 4.1 and 5.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from scratchnet.kernels.gemm import make_sandwich, multiply
from scratchnet.kernels.images import fetch
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import ALIGNMENT, empty, goes_past_cache, plain, scratch
from scratchnet.kernels.relu import mask
from scratchnet.kernels.threads import groups_of, run
from scratchnet.kernels.toom_cook import ALGORITHMS, Algorithm, choose, products_of, transposed
from scratchnet.padding import Pads, window_output_shape

WHOLE = 16                  # channels come in multiples of this, the lanes of the widest vector; in float32 a whole line
TOGETHER = 180_000          # numbers in V and M of the tiles that are in work at one time, about: they stay in the second cache
TILES = 80                  # in work at one time, at most, but for one: enough for a matrix product

Which = tuple[int, ...]     # (0,) * i is ALGORITHMS[i]: a kernel is compiled for a tuple's length, and so with that one's matrices

_w_to_u = make_sandwich([a.G for a in ALGORITHMS])
_x_to_v = make_sandwich([a.Bt for a in ALGORITHMS])
_m_to_y = make_sandwich([a.At for a in ALGORITHMS], "finish")
_m_to_y_past = make_sandwich([a.At for a in ALGORITHMS], "finish_past")
_dy_to_dm = make_sandwich([transposed(a.At) for a in ALGORITHMS], "sum")
_dv_to_dx = make_sandwich([transposed(a.Bt) for a in ALGORITHMS], "add")
_du_to_dw = make_sandwich([transposed(a.G) for a in ALGORITHMS])


@jit
def _transform_kernel(which, w, u, none):
    R, filters = len(u), w[0, 0].size
    _w_to_u(which, w, 0, 3 * filters, filters, u, 0, R * filters, filters, u, 0, none, filters)


@jit
def _cut_out(x, start, h0, w0, H, W, C, L, patch):
    """Copy the L × L pixels at (h0, w0) of the image at `start`, which may reach over its edges; 0 is there."""
    for i in range(L):
        for j in range(L):
            pixel = patch[(i * L + j) * C : (i * L + j + 1) * C]
            h, w = h0 + i, w0 + j
            if 0 <= h < H and 0 <= w < W:
                source = x[start + (h * W + w) * C : start + (h * W + w + 1) * C]
                for c in range(C):
                    pixel[c] = source[c]
            else:
                for c in range(C):
                    pixel[c] = 0


@jit
def _add_back(patch, dx, start, h0, w0, H, W, C, L):
    """Add L × L pixels to those at (h0, w0) of the image at `start`, and drop those that lie outside."""
    for i in range(max(0, -h0), min(L, H - h0)):
        for j in range(max(0, -w0), min(L, W - w0)):
            pixel = patch[(i * L + j) * C : (i * L + j + 1) * C]
            target = dx[start + ((h0 + i) * W + w0 + j) * C : start + ((h0 + i) * W + w0 + j + 1) * C]
            for c in range(C):
                target[c] += pixel[c]


@jit
def _take_apart(which, x, sizes, tiling, first, tiles, v, patch, none):
    """V = Bᵀ x B for some tiles, counted through all images: -> (K·K, tiles, C)."""
    H, W, C, _, _, _, top, left = sizes
    _, L, K, _, TH, TW, step = tiling
    down, across = K * tiles * C, tiles * C
    for t in range(tiles):
        n, tile = (first + t) // (TH * TW), (first + t) % (TH * TW)
        h0, w0 = tile // TW * step - top, tile % TW * step - left
        if h0 >= 0 and w0 >= 0 and h0 + L <= H and w0 + L <= W:
            _x_to_v(which, x, ((n * H + h0) * W + w0) * C, W * C, C, v, t * C, down, across, v, 0, none, C)
        else:
            _cut_out(x, n * H * W * C, h0, w0, H, W, C, L, patch)
            _x_to_v(which, patch, 0, L * C, C, v, t * C, down, across, v, 0, none, C)


@jit
def _forward(first, last, which, x, u, products, b, out, sizes, tiling, together, floor, past, none):
    H, W, C, OH, OW, F, _, _ = sizes
    m, L, K, Q, TH, TW, _ = tiling
    v, mm = scratch(K * K * together * C, x), scratch(Q * Q * together * F, x)
    patch = scratch(max(L * L * C, m * m * F), x)
    zeros = np.zeros(F, x.dtype)
    past = past and out.ctypes.data % ALIGNMENT == 0        # only whole lines go that way; an address costs nothing here
    begun = first                   # images before this one are in work
    for q in range(first * TH * TW, last * TH * TW, together):
        tiles = min(together, last * TH * TW - q)
        while begun * TH * TW < q + tiles:
            patch[0] = fetch(x, begun * H * W * C, (begun + 1) * H * W * C)     # nobody reads that number
            begun += 1
        _take_apart(which, x, sizes, tiling, q, tiles, v, patch, none)
        for r in range(len(products)):
            p, f, s, begins, count = products[r]
            v0, u0, m0 = p * tiles * C, f * C * F, s * tiles * F
            before, b0, apart = (zeros, 0, 0) if begins else (mm, m0, F)
            multiply(
                v, v0, C, 0, 1,
                u, u0, 0, F,
                before, b0, apart,
                mm, m0, F,
                count * tiles, F, 1, C, none, False,
            )  # fmt: skip
        for t in range(tiles):
            n, tile = (q + t) // (TH * TW), (q + t) % (TH * TW)
            oh, ow = tile // TW * m, tile % TW * m
            start = ((n * OH + oh) * OW + ow) * F
            inside = oh + m <= OH and ow + m <= OW
            if inside and past:
                _m_to_y_past(which, mm, t * F, Q * tiles * F, tiles * F, out, start, OW * F, F, b, 0, floor, F)
            elif inside:
                _m_to_y(which, mm, t * F, Q * tiles * F, tiles * F, out, start, OW * F, F, b, 0, floor, F)
            else:                   # of a tile that reaches over the edge only the inner outputs are kept
                _m_to_y(which, mm, t * F, Q * tiles * F, tiles * F, patch, 0, m * F, F, b, 0, floor, F)
                for i in range(min(m, OH - oh)):
                    for k in range(min(m, OW - ow) * F):
                        out[start + i * OW * F + k] = patch[i * m * F + k]


@jit
def _take_gradient_apart(which, dout, sizes, tiling, first, tiles, dm, db, patch, none):
    """Give dM = A dy Aᵀ for some tiles, -> (Q·Q, tiles, F), and add their dy to db."""
    _, _, _, OH, OW, F, _, _ = sizes
    m, _, _, Q, TH, TW, _ = tiling
    down, across = Q * tiles * F, tiles * F
    for t in range(tiles):
        n, tile = (first + t) // (TH * TW), (first + t) % (TH * TW)
        oh, ow = tile // TW * m, tile % TW * m
        start = ((n * OH + oh) * OW + ow) * F
        if oh + m <= OH and ow + m <= OW:
            _dy_to_dm(which, dout, start, OW * F, F, dm, t * F, down, across, db, 0, none, F)
        else:                       # outputs behind the edge have no gradient
            for k in range(m * m * F):
                patch[k] = 0
            for i in range(min(m, OH - oh)):
                for k in range(min(m, OW - ow) * F):
                    patch[i * m * F + k] = dout[start + i * OW * F + k]
            _dy_to_dm(which, patch, 0, m * F, F, dm, t * F, down, across, db, 0, none, F)


@jit
def _put_together(which, dv, dx, sizes, tiling, first, tiles, patch, none):
    """Add B dV Bᵀ of some tiles to dx."""
    H, W, C, _, _, _, top, left = sizes
    _, L, K, _, TH, TW, step = tiling
    down, across = K * tiles * C, tiles * C
    for t in range(tiles):
        n, tile = (first + t) // (TH * TW), (first + t) % (TH * TW)
        h0, w0 = tile // TW * step - top, tile % TW * step - left
        if h0 >= 0 and w0 >= 0 and h0 + L <= H and w0 + L <= W:
            _dv_to_dx(which, dv, t * C, down, across, dx, ((n * H + h0) * W + w0) * C, W * C, C, dv, 0, none, C)
        else:
            for k in range(L * L * C):
                patch[k] = 0
            _dv_to_dx(which, dv, t * C, down, across, patch, 0, L * C, C, dv, 0, none, C)
            _add_back(patch, dx, n * H * W * C, h0, w0, H, W, C, L)


@jit
def _backward(first, last, which, dout, x, ut, products, dx, need_dx, relu_x, dws, dbs, N, sizes, tiling, together, none):
    H, W, C, OH, OW, F, _, _ = sizes
    m, L, K, Q, TH, TW, _ = tiling
    G, R = len(dbs), len(ut)
    v = scratch(K * K * together * C, x)        # and dV, which takes the place of what dU has read
    dm, du = scratch(Q * Q * together * F, x), scratch(R * R * C * F, x)
    patch = scratch(max(L * L * C, m * m * F), x)
    zeros = np.zeros(C, x.dtype)
    for g in range(first, last):
        for k in range(len(du)):
            du[k] = 0
        begun = done = g * N // G   # images before `begun` are in work, those before `done` have their dx
        end = (g + 1) * N // G * TH * TW
        for q in range(begun * TH * TW, end, together):
            tiles = min(together, end - q)
            while begun * TH * TW < q + tiles:
                patch[0] = fetch(x, begun * H * W * C, (begun + 1) * H * W * C)     # nobody reads that number
                patch[0] = fetch(dout, begun * OH * OW * F, (begun + 1) * OH * OW * F)
                if need_dx:
                    image = dx[begun * H * W * C : (begun + 1) * H * W * C]
                    for k in range(len(image)):
                        image[k] = 0
                begun += 1
            _take_apart(which, x, sizes, tiling, q, tiles, v, patch, none)
            _take_gradient_apart(which, dout, sizes, tiling, q, tiles, dm, dbs[g], patch, none)
            for r in range(len(products)):
                p, f, s, _, count = products[r]
                v0, u0, m0 = p * tiles * C, f * C * F, s * tiles * F
                multiply(
                    v, v0, 1, 0, C,
                    dm, m0, 0, F,
                    du, u0, F,
                    du, u0, F,
                    C, F, 1, count * tiles, none, False,
                )  # fmt: skip
                if need_dx:
                    multiply(
                        dm, m0, F, 0, 1,
                        ut, u0, 0, C,
                        zeros, 0, 0,
                        v, v0, C,
                        count * tiles, C, 1, F, none, False,
                    )  # fmt: skip
            if need_dx:
                _put_together(which, v, dx, sizes, tiling, q, tiles, patch, none)
                while relu_x and (done + 1) * TH * TW <= q + tiles:
                    mask(dx[done * H * W * C : (done + 1) * H * W * C], x[done * H * W * C : (done + 1) * H * W * C])
                    done += 1
        _du_to_dw(which, du, 0, R * C * F, C * F, dws, g * 9 * C * F, 3 * C * F, C * F, zeros, 0, none, C * F)


def suits(w_shape: tuple[int, ...], strides: tuple[int, int]) -> bool:
    """Say whether this telling is for a convolution: 3 × 3 taps, stride 1 or 2, and whole vectors of channels.

    Examples
    --------
    >>> suits((3, 3, 32, 64), (2, 2)), suits((3, 3, 1, 32), (1, 1))
    (True, False)
    """
    square = w_shape[:2] == (3, 3) and strides in ((1, 1), (2, 2))
    return square and w_shape[2] % WHOLE == 0 and w_shape[3] % WHOLE == 0


def _kernel_to_u(which: Which, w: np.ndarray) -> np.ndarray:
    """U = G w Gᵀ: (3, 3, C, F) -> (R, R, C, F), and (3, 3, F, C) -> (R, R, F, C)."""
    R = len(ALGORITHMS[len(which)].G)
    u = empty((R, R, *w.shape[2:]), w.dtype)
    _transform_kernel(which, plain(w), u, w.dtype.type(-np.inf))
    return u


def _tiling(a: Algorithm, OH: int, OW: int) -> tuple[int, ...]:
    """Give m outputs, L pixels, K products and Q sums across a tile, TH × TW tiles, and pixels from tile to tile."""
    m = len(a.At)
    return m, len(a.Bt[0]), len(a.Bt), len(a.At[0]), -(-OH // m), -(-OW // m), m * a.stride


def _together(tiling: tuple[int, ...], C: int, F: int) -> int:
    """Count the tiles in work at one time: those of whole images if some fit, else a multiple of eight, and one more where that is
    even. Not few, since dU is read and written once for all of them. And odd, since V's K·K matrices lie tiles·C numbers apart:
    at a multiple of a large power of two they would share few sets of the cache.

    Examples
    --------
    >>> [_together(_tiling(ALGORITHMS[1], size, size), 32, 64) for size in (7, 28, 32)]
    [53, 49, 49]
    >>> [_together(_tiling(ALGORITHMS[1], size, size), 16, 16) for size in (7, 32)]
    [81, 65]
    """
    _, _, K, Q, TH, TW, _ = tiling
    most, image = max(16, min(TILES, TOGETHER // (K * K * C + Q * Q * F))), max(1, TH * TW)
    return (most // image * image or most // 8 * 8) | 1


@cache
def _layout(stride: int, OH: int, OW: int, C: int, F: int) -> tuple[Which, np.ndarray, tuple[int, ...], int]:
    """Choose the algorithm, once for a whole training: -> which, products, tiling, together."""
    index = choose(stride, OH, OW)
    tiling = _tiling(ALGORITHMS[index], OH, OW)
    return (0,) * index, products_of(index), tiling, _together(tiling, C, F)


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Convolve as `kernels.conv2d.conv2d_forward` does, where `suits` says yes."""
    (N, H, W, C), F, dtype = x.shape, w.shape[3], x.dtype
    OH, OW = window_output_shape(x.shape, (3, 3), strides, pads)
    which, products, tiling, together = _layout(strides[0], OH, OW, C, F)
    out = empty((N, OH, OW, F), dtype)
    b = np.zeros(F, dtype) if b is None else plain(b)
    run(
        _forward, out.size * w[..., 0].size, N,
        which, plain(x).reshape(-1), _kernel_to_u(which, w), products, b, out.reshape(-1),
        (H, W, C, OH, OW, F, pads[0][0], pads[1][0]), tiling, together,
        dtype.type(0 if relu else -np.inf), goes_past_cache(out), dtype.type(-np.inf),
    )  # fmt: skip
    return out


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
    """Give dx, dw, db as `kernels.conv2d.conv2d_backward` does, where `suits` says yes."""
    (N, H, W, C), (OH, OW, F), dtype = x.shape, dout.shape[1:], x.dtype
    which, products, tiling, together = _layout(strides[0], OH, OW, C, F)
    ut = _kernel_to_u(which, w.swapaxes(2, 3))            # (R, R, F, C)
    groups = groups_of(N, w.size)
    dws, dbs = empty((groups, *w.shape), dtype), np.zeros((groups, F), dtype)
    dx = (empty if dout.size else np.zeros)(x.shape if need_dx else (0,), dtype)       # no tile clears it when there is none
    run(
        _backward, 2 * dout.size * w[..., 0].size, groups,
        which, plain(dout).reshape(-1), plain(x).reshape(-1), ut, products, dx.reshape(-1), need_dx, relu_x, dws, dbs, N,
        (H, W, C, OH, OW, F, pads[0][0], pads[1][0]), tiling, together, dtype.type(-np.inf),
    )  # fmt: skip
    return dx if need_dx else None, dws.sum(axis=0), dbs.sum(axis=0)
