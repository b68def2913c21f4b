"""Winograd's convolution, the "fused" implementation for 3 × 3 kernels: fewer multiplications, by algorithms for short filters.

A tap is one number of a filter. On one axis, two neighbouring outputs of a filter of three taps take six products by definition,

    y0 = x0·w0 + x1·w1 + x2·w2          y1 = x1·w0 + x2·w1 + x3·w2

but four are enough:

    p0 = (x2 - x0)·(-w0)                y0 = p0 + p1 + p2
    p1 = (x1 + x2)·(w0 + w1 + w2)/2     y1 = p1 - p2 + p3
    p2 = (x2 - x1)·(w0 - w1 + w2)/2
    p3 = (x3 - x1)·w2

With matrices: y = Aᵀ[(G·w) ⊙ (Bᵀ·x)], where ⊙ is the elementwise product. On two axes, x, w and the products are multiplied by
these matrices from both sides, and a tile of 2 × 2 outputs takes 4 × 4 products instead of 36. Over all tiles and channels, each
product becomes a matrix product:

    V = Bᵀ x B              (tiles, C)                  -> P·P of them, here 16
    U = G w Gᵀ              (C, F)                      -> P·P of them
    M[p] = V[p] @ U[p]      (tiles, C) @ (C, F)         -> (tiles, F), for each p of the P·P
    y = Aᵀ M A + b

Larger tiles save more. toom_cook.py derives the matrices, and its `choose` returns the cheapest algorithm for the size of a layer.

Backward needs no new algebra. Every step is linear in x and linear in w, so each gradient is computed with the transpose of a
step: from dy to dM by A, from dM to dV by Uᵀ and to dU by Vᵀ, from dV to dx by B, from dU to dw by Gᵀ:

    dM = A dy Aᵀ        dU[p] = V[p]ᵀ @ dM[p]       dw = Gᵀ dU G
    db = Σ dy           dV[p] = dM[p] @ U[p]ᵀ       dx = B dV Bᵀ, added up where tiles overlap

At stride 2 the outputs y0 = x0·w0 + x1·w1 + x2·w2 and y1 = x2·w0 + x3·w1 + x4·w2 take five products:

    y0 = [(x0 - x2)·w0 + x1·w1] + x2·(w0 + w2)          y1 = x2·(w0 + w2) + [(x4 - x2)·w2 + x3·w1]

Two of them have the same "filter" (row of G), w1, and those in brackets occur only as a sum: five products, four filters, three
sums. So U and M have fewer matrices than V: on two axes V has 25, U 16 and M 9 in this algorithm, and 81, 36 and 49 in the other.
With f the filter of product p, and s its sum:

    M[s] = Σ V[p] @ U[f]     dU[f] = Σ V[p]ᵀ @ dM[s]     dV[p] = dM[s] @ U[f]ᵀ

The first sum is over the products that are added to sum s, the second over those with filter f. Such a group of products is a
*run* (`runs_of`): on each axis its products have consecutive numbers, and so do their filters or sums. So, for a block of tiles,
each matrix of M is computed by one matrix product, which sums over the channels of all products of its run, and each matrix of dU
by one, which sums over the tiles of all products of its run. For dV, the products of a run that are neighbours on the second axis
are computed by one matrix product with more rows.

Zeros are exact. An output is computed from all pixels of its tile, and those outside its window cancel only up to rounding. So for
a window of zeros the output could be ±1e-7 in place of 0, and a ReLU that should stop all of its gradients would let half of them
pass. This would happen wherever an image has a black background and the biases are still 0. So the kernels look for pixels whose
channels are all 0: an output whose window holds only such pixels is set to the bias, and a pixel of dx that is computed only from
such pixels of dout is set to 0.

Legend
------
    x w b out dout      images, kernel, bias, outputs and their gradient, as everywhere; y and dy are the outputs of one tile
    v u m               V, U and M; v is (P·P, tiles, C) of the tiles of a block, but (P, tiles, P, C) in forward at stride 2;
                        m is (Q·Q, tiles, F), u (R, R, C, pitch); v and m are flat
    dm du dv            their gradients, flat: dm is (Q·Q, tiles, pitch), du (R·R, C, F); dv overwrites v
    ut                  U with C and F exchanged, (R, R, F, ut_pitch)
    pitch ut_pitch      how many numbers apart the rows of u and dm, and those of ut, begin (`memory.pitch_of`)
    p f s               a product, a filter, a sum: the numbers of a matrix of V, of U and of M
    runs                the products of each sum in forward, those of each filter in backward
    down across         how many products a run has on the first and on the second axis
    tile_step           the stride of v from tile to tile
    across_step         the stride of v from product to product on the second axis
    v0 m0               where the first matrix of a run starts in v and in dm
    N H W C OH OW F     sizes, as everywhere (`Sizes`)
    T L P R Q           of one tile, on one axis: how many outputs, pixels of x, products, filters and sums
    TH TW step          tiles down and across an image, and pixels of x from one tile to the next
    q, t                the first tile of a block, counted over all images, and a tile within the block
    zero any_zero       for each pixel, whether all of its channels are 0, (N, H·W); for each image, whether it has such a pixel
    dws dbs G g         the sums of dw and db of each group of images; how many groups (not the matrix G); one of them

Three properties differ from those of the direct kernels. Rounding errors are larger (toom_cook.py). A NaN or an infinity in one
pixel can reach outputs of its tile whose windows do not contain it. And outputs that are equal in exact arithmetic, where an image
is constant, may differ in their last bits, so that a maximum over them is not a tie.

Source: Lavin & Gray, *Fast algorithms for convolutional neural networks* (2016), sections 4.1 and 5.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from scratchnet.kernels.gemm import Block, Grid, Left, Right, Rows, Store, make_transform, multiply
from scratchnet.kernels.images import fetch, find_zeros, only_zeros
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import ALIGNMENT, empty, goes_past_cache, pitch_of, plain, scratch
from scratchnet.kernels.structures import Gradients, Sizes, Window
from scratchnet.kernels.threads import groups_of, run
from scratchnet.kernels.toom_cook import ALGORITHMS, choose, runs_of, transposed
from scratchnet.padding import Pads, window_output_shape

WHOLE = 16                  # the channels must be a multiple of this: in float32, the widest vector and a whole cache line
BLOCK_NUMBERS = 190_000     # numbers in V and M of a block of tiles, so that they stay in the level-2 cache
BLOCK_TILES = 80            # tiles in a block: with this many, its matrix products are fast

_w_to_u = make_transform([a.G for a in ALGORITHMS])
_x_to_v = make_transform([a.Bt for a in ALGORITHMS])
_m_to_y = make_transform([a.At for a in ALGORITHMS], "finish")
_m_to_y_nontemporal = make_transform([a.At for a in ALGORITHMS], "finish_nontemporal")
_dy_to_dm = make_transform([transposed(a.At) for a in ALGORITHMS], "sum")
_dv_to_dx = make_transform([transposed(a.Bt) for a in ALGORITHMS], "add")
_dv_to_dx_of_relu = make_transform([transposed(a.Bt) for a in ALGORITHMS], "add_where_positive")
_du_to_dw = make_transform([transposed(a.G) for a in ALGORITHMS])


class Tiling(NamedTuple):
    """How a layer is cut into tiles; the legend of this page explains the letters.

    `algorithm` is (0,) * i for ALGORITHMS[i]: a kernel is compiled for each length of the tuple, and so for one set of matrices.
    """

    algorithm: tuple[int, ...]
    sizes: Sizes
    window: Window
    T: int
    L: int
    P: int
    Q: int
    TH: int
    TW: int
    step: int
    block: int                  # tiles that are computed at one time


class Filters(NamedTuple):
    """The transformed kernel, and the products in which its matrices are used."""

    u: np.ndarray               # (R, R, C, pitch); for backward (R, R, F, ut_pitch)
    runs: np.ndarray            # toom_cook.runs_of: the products of each sum in forward, those of each filter in backward


@jit
def _transform_kernel(first, last, algorithm, w, u):
    _, _, C, F = w.shape
    R, _, _, pitch = u.shape
    for c in range(first, last):
        _w_to_u(algorithm, Grid(w, c * F, 3 * C * F, C * F), Grid(u, c * pitch, R * C * pitch, C * pitch), F)


@jit
def _copy_tile(x, n, h0, w0, sizes, L, patch):
    """Copy the L × L pixels at (h0, w0) of image n to `patch`, with 0 for those outside the image."""
    _, H, W, C, _, _, _ = sizes
    for i in range(L):
        for j in range(L):
            pixel = patch[(i * L + j) * C : (i * L + j + 1) * C]
            h, w = h0 + i, w0 + j
            if 0 <= h < H and 0 <= w < W:
                start = ((n * H + h) * W + w) * C
                source = x[start : start + C]
                for c in range(C):
                    pixel[c] = source[c]
            else:
                for c in range(C):
                    pixel[c] = 0


@jit
def _add_tile(patch, dx, x, relu_x, n, h0, w0, sizes, L):
    """Add the pixels of `patch`, L × L, that lie inside image n to dx at (h0, w0); with `relu_x`, only where x is positive."""
    _, H, W, C, _, _, _ = sizes
    zero = dx.dtype.type(0)
    for i in range(max(0, -h0), min(L, H - h0)):
        for j in range(max(0, -w0), min(L, W - w0)):
            pixel = patch[(i * L + j) * C : (i * L + j + 1) * C]
            start = ((n * H + h0 + i) * W + w0 + j) * C
            target, values = dx[start : start + C], x[start : start + C]
            for c in range(C):
                gradient = pixel[c]
                target[c] += gradient if (values[c] > 0) | (not relu_x) else zero


@jit
def _transform_inputs(x, tiling, q, tiles, v, tile_step, across_step, patch):
    """Write V = Bᵀ x B of `tiles` tiles, from tile q on, to v."""
    _, H, W, C, _, _, _ = tiling.sizes
    L, P, TH, TW = tiling.L, tiling.P, tiling.TH, tiling.TW
    for t in range(tiles):
        n, tile = (q + t) // (TH * TW), (q + t) % (TH * TW)
        h0, w0 = tile // TW * tiling.step - tiling.window.top, tile % TW * tiling.step - tiling.window.left
        to_v = Grid(v, t * tile_step, P * tiles * C, across_step)
        if h0 >= 0 and w0 >= 0 and h0 + L <= H and w0 + L <= W:
            _x_to_v(tiling.algorithm, Grid(x, ((n * H + h0) * W + w0) * C, W * C, C), to_v, C)
        else:
            _copy_tile(x, n, h0, w0, tiling.sizes, L, patch)
            _x_to_v(tiling.algorithm, Grid(patch, 0, L * C, C), to_v, C)


@jit
def _write_bias(out, tile, sizes, window, zero, b, floor):
    """Write max(floor, bias) to those outputs of a tile, (n, oh, ow, T), whose windows hold only zeros."""
    n, oh, ow, T = tile
    _, H, W, _, OH, OW, F = sizes
    for i in range(oh, min(oh + T, OH)):
        for j in range(ow, min(ow + T, OW)):
            if only_zeros(zero, i * window.SH - window.top, j * window.SW - window.left, window.KH, window.KW, H, W):
                start = ((n * OH + i) * OW + j) * F
                pixel = out[start : start + F]
                for f in range(F):
                    pixel[f] = max(floor, b[f])


@jit
def _forward(first, last, x, filters, b, out, tiling, store):
    u, runs = filters
    _, H, W, C, OH, OW, F = tiling.sizes
    T, L, P, Q, R = tiling.T, tiling.L, tiling.P, tiling.Q, u.shape[0]
    algorithm, floor, no_floor, pitch = tiling.algorithm, store.floor, Store(x.dtype.type(-np.inf), False), u.shape[3]
    v, m = scratch(P * P * tiling.block * C, x), scratch(Q * Q * tiling.block * F, x)
    patch = scratch(max(L * L * C, T * T * F), x)
    zeros = np.zeros(F, x.dtype)
    zero, any_zero = np.empty((last, H * W), np.bool_), np.empty(last, np.bool_)
    nontemporal = store.nontemporal and out.ctypes.data % ALIGNMENT == 0        # whole cache lines only
    tiles_of_image = tiling.TH * tiling.TW
    fetched = first                 # images before this one have been read once
    for q in range(first * tiles_of_image, last * tiles_of_image, tiling.block):
        tiles = min(tiling.block, last * tiles_of_image - q)
        while fetched * tiles_of_image < q + tiles:
            any_zero[fetched] = find_zeros(x, fetched * H * W * C, C, zero[fetched])
            fetched += 1
        # At stride 2, v is (P, tiles, P, C): the channels of products that are neighbours on the second axis are contiguous, so one
        # matrix product sums over all of them. At stride 1 a run is one product, which is faster if its matrix is contiguous.
        tile_step, across_step = (P * C, C) if tiling.window.SW == 2 else (C, tiles * C)
        _transform_inputs(x, tiling, q, tiles, v, tile_step, across_step, patch)
        for s in range(len(runs)):
            p, f, down, across = runs[s]
            v0 = p // P * P * tiles * C + p % P * across_step
            multiply(
                Left(v, v0, m=tile_step, ko=P * tiles * C, ki=1),
                Right(u, f * C * pitch, ko=R * C * pitch, ki=pitch),
                Rows(zeros, 0, m=0),
                Rows(m, s * tiles * F, m=F),
                Block(M=tiles, N=F, KO=down, KI=across * C),
                no_floor,
            )
        for t in range(tiles):
            n, tile = (q + t) // tiles_of_image, (q + t) % tiles_of_image
            oh, ow = tile // tiling.TW * T, tile % tiling.TW * T
            start_out = ((n * OH + oh) * OW + ow) * F
            row, column = Q * tiles * F, tiles * F
            inside = oh + T <= OH and ow + T <= OW
            if inside and nontemporal:
                _m_to_y_nontemporal(algorithm, Grid(m, t * F, row, column), Grid(out, start_out, OW * F, F), F, b, floor)
            elif inside:
                _m_to_y(algorithm, Grid(m, t * F, row, column), Grid(out, start_out, OW * F, F), F, b, floor)
            else:                   # of a tile that extends beyond the edge, only the outputs inside are kept
                _m_to_y(algorithm, Grid(m, t * F, row, column), Grid(patch, 0, T * F, F), F, b, floor)
                for i in range(min(T, OH - oh)):
                    for k in range(min(T, OW - ow) * F):
                        out[start_out + i * OW * F + k] = patch[i * T * F + k]
            if any_zero[n]:
                _write_bias(out, (n, oh, ow, T), tiling.sizes, tiling.window, zero[n], b, floor)


@jit
def _transform_gradients(dout, tiling, q, tiles, dm, db, patch):
    """Write dM = A dy Aᵀ of `tiles` tiles, from tile q on: -> (Q·Q, tiles, pitch), of which F are written; add dy to db."""
    _, _, _, _, OH, OW, F = tiling.sizes
    T, Q, TH, TW, pitch = tiling.T, tiling.Q, tiling.TH, tiling.TW, pitch_of(F, dm.itemsize)
    row, column = Q * tiles * pitch, tiles * pitch
    for t in range(tiles):
        n, tile = (q + t) // (TH * TW), (q + t) % (TH * TW)
        oh, ow = tile // TW * T, tile % TW * T
        start = ((n * OH + oh) * OW + ow) * F
        if oh + T <= OH and ow + T <= OW:
            _dy_to_dm(tiling.algorithm, Grid(dout, start, OW * F, F), Grid(dm, t * pitch, row, column), F, db)
        else:                       # outputs beyond the edge have no gradient
            for k in range(T * T * F):
                patch[k] = 0
            for i in range(min(T, OH - oh)):
                for k in range(min(T, OW - ow) * F):
                    patch[i * T * F + k] = dout[start + i * OW * F + k]
            _dy_to_dm(tiling.algorithm, Grid(patch, 0, T * F, F), Grid(dm, t * pitch, row, column), F, db)


@jit
def _add_input_gradients(dv, tiling, q, tiles, dx, x, relu_x, patch):
    """Add B dV Bᵀ of `tiles` tiles, from tile q on, to dx; with `relu_x`, only where x is positive."""
    _, H, W, C, _, _, _ = tiling.sizes
    L, P, TH, TW = tiling.L, tiling.P, tiling.TH, tiling.TW
    for t in range(tiles):
        n, tile = (q + t) // (TH * TW), (q + t) % (TH * TW)
        h0, w0 = tile // TW * tiling.step - tiling.window.top, tile % TW * tiling.step - tiling.window.left
        of_tile, start = Grid(dv, t * C, P * tiles * C, tiles * C), ((n * H + h0) * W + w0) * C
        inside = h0 >= 0 and w0 >= 0 and h0 + L <= H and w0 + L <= W
        if inside and relu_x:
            _dv_to_dx_of_relu(tiling.algorithm, of_tile, Grid(dx, start, W * C, C), C, Grid(x, start, W * C, C))
        elif inside:
            _dv_to_dx(tiling.algorithm, of_tile, Grid(dx, start, W * C, C), C)
        else:
            for k in range(L * L * C):
                patch[k] = 0
            _dv_to_dx(tiling.algorithm, of_tile, Grid(patch, 0, L * C, C), C)
            _add_tile(patch, dx, x, relu_x, n, h0, w0, tiling.sizes, L)


@jit
def _clear_unreached(dx, n, sizes, window, zero):
    """Set to 0 the pixels of image n of dx that are computed only from zeros of dout."""
    _, H, W, C, OH, OW, _ = sizes
    KH, KW, SH, SW, top, left = window
    for h in range(H):
        for w in range(W):
            i, j = h + top, w + left
            oh, ow = (i - KH + SH) // SH, (j - KW + SW) // SW              # the first window that contains this pixel
            if only_zeros(zero, oh, ow, i // SH + 1 - oh, j // SW + 1 - ow, OH, OW):
                start = ((n * H + h) * W + w) * C
                pixel = dx[start : start + C]
                for c in range(C):
                    pixel[c] = 0


@jit
def _backward(first, last, dout, x, filters, gradients, dbs, tiling):
    ut, runs = filters
    N, H, W, C, OH, OW, F = tiling.sizes
    T, L, P, Q = tiling.T, tiling.L, tiling.P, tiling.Q
    algorithm, no_floor = tiling.algorithm, Store(x.dtype.type(-np.inf), False)
    dx, dws, need_dx, need_dw, relu_x = gradients
    G, R = len(dbs), len(ut)
    v = scratch(P * P * tiling.block * C, x)        # V; then dV overwrites each matrix of V, once dU has been computed from it
    pitch, ut_pitch = pitch_of(F, x.itemsize), ut.shape[3]
    dm, du = scratch(Q * Q * tiling.block * pitch, x), scratch(R * R * C * F, x)
    patch = scratch(max(L * L * C, T * T * F), x)
    zeros = np.zeros(C, x.dtype)
    zero, any_zero = np.empty((N, OH * OW), np.bool_), np.empty(N, np.bool_)
    tiles_of_image = tiling.TH * tiling.TW
    for g in range(first, last):
        for k in range(len(du)):
            du[k] = 0
        fetched = complete = g * N // G         # images before `fetched` have been read once, those before `complete` have their dx
        end = (g + 1) * N // G * tiles_of_image
        for q in range(fetched * tiles_of_image, end, tiling.block):
            tiles = min(tiling.block, end - q)
            while fetched * tiles_of_image < q + tiles:
                patch[0] = fetch(x, fetched * H * W * C, (fetched + 1) * H * W * C)     # this number is not used
                any_zero[fetched] = find_zeros(dout, fetched * OH * OW * F, F, zero[fetched])
                if need_dx:
                    image = dx[fetched * H * W * C : (fetched + 1) * H * W * C]
                    for k in range(len(image)):
                        image[k] = 0
                fetched += 1
            _transform_inputs(x, tiling, q, tiles, v, C, tiles * C, patch)
            _transform_gradients(dout, tiling, q, tiles, dm, dbs[g], patch)
            for f in range(len(runs)):
                p, s, down, across = runs[f]
                v0, m0 = p * tiles * C, s * tiles * pitch
                if need_dw:
                    multiply(
                        Left(v, v0, m=1, ko=P * tiles * C, ki=C),
                        Right(dm, m0, ko=Q * tiles * pitch, ki=pitch),
                        Rows(du, f * C * F, m=F),
                        Rows(du, f * C * F, m=F),
                        Block(M=C, N=F, KO=down, KI=across * tiles),
                        no_floor,
                    )
                for i in range(down if need_dx else 0):
                    multiply(
                        Left(dm, m0 + i * Q * tiles * pitch, m=pitch, ko=0, ki=1),
                        Right(ut, f * F * ut_pitch, ko=0, ki=ut_pitch),
                        Rows(zeros, 0, m=0),
                        Rows(v, v0 + i * P * tiles * C, m=C),
                        Block(M=across * tiles, N=C, KO=1, KI=F),
                        no_floor,
                    )
            if need_dx:
                _add_input_gradients(v, tiling, q, tiles, dx, x, relu_x, patch)
                while complete < fetched and (complete + 1) * tiles_of_image <= q + tiles:
                    if any_zero[complete]:
                        _clear_unreached(dx, complete, tiling.sizes, tiling.window, zero[complete])
                    complete += 1
        _du_to_dw(algorithm, Grid(du, 0, R * C * F, C * F), Grid(dws, g * 9 * C * F, 3 * C * F, C * F), C * F)


def suits(w_shape: tuple[int, ...], strides: tuple[int, int]) -> bool:
    """Return whether this implementation takes a convolution: 3 × 3 taps, stride 1 or 2, and whole vectors of channels.

    Examples
    --------
    >>> suits((3, 3, 32, 64), (2, 2)), suits((3, 3, 1, 32), (1, 1))
    (True, False)
    """
    square = w_shape[:2] == (3, 3) and strides in ((1, 1), (2, 2))
    return square and w_shape[2] % WHOLE == 0 and w_shape[3] % WHOLE == 0


def _kernel_to_u(algorithm: tuple[int, ...], w: np.ndarray) -> np.ndarray:
    """Return U = G w Gᵀ: (3, 3, C, F) -> (R, R, C, pitch), of which F are written; C and F may be exchanged."""
    (_, _, C, F), R = w.shape, len(ALGORITHMS[len(algorithm)].G)
    u = empty((R, R, C, pitch_of(F, w.itemsize)), w.dtype)
    run(_transform_kernel, u.size, C, algorithm, plain(w), u)
    return u


def block_of(numbers: int, tiles_of_image: int, of_u: int) -> int:
    """Return how many tiles are computed at one time, if V and M hold `numbers` numbers of each tile, and U `of_u` numbers.

    V and M should stay in the level-2 cache. But dU is read and written once for each block, so V and M of a block have at least as
    many numbers as U: with 256 channels, blocks of 128 tiles instead of 16 take half the time. A block has the tiles of one or more
    whole images if they fit, else a multiple of eight tiles; if the number is even, one more, since the matrices of V are
    tiles·C numbers apart in memory (except in forward at stride 2), and at a multiple of a large power of two they would use only a
    few sets of the cache.

    Examples
    --------
    >>> [block_of(36 * 32 + 36 * 64, tiles, 36 * 32 * 64) for tiles in (4, 49, 64)]
    [53, 49, 49]
    >>> block_of(36 * 256 + 36 * 256, 4, 36 * 256 * 256)
    129
    """
    most = max(16, min(BLOCK_TILES, BLOCK_NUMBERS // numbers), of_u // numbers)
    return (most // tiles_of_image * tiles_of_image or most // 8 * 8) | 1


@cache
def tiling_of(sizes: Sizes, stride: int, top: int, left: int) -> Tiling:
    """Return the tiling of a layer; computed once, then cached."""
    index = choose(stride, sizes.OH, sizes.OW)
    a = ALGORITHMS[index]
    T, L, P, Q = len(a.At), len(a.Bt[0]), len(a.Bt), len(a.At[0])
    TH, TW = -(-sizes.OH // T), -(-sizes.OW // T)
    block = block_of(P * P * sizes.C + Q * Q * sizes.F, max(1, TH * TW), len(a.G) ** 2 * sizes.C * sizes.F)
    window = Window(3, 3, stride, stride, top, left)
    return Tiling((0,) * index, sizes, window, T, L, P, Q, TH, TW, T * stride, block)


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Return the output, as `kernels.conv2d.conv2d_forward` does, for the convolutions that `suits` accepts."""
    N, F, dtype = len(x), w.shape[3], x.dtype
    out = empty((N, *window_output_shape(x.shape, (3, 3), strides, pads), F), dtype)
    tiling = tiling_of(Sizes(*x.shape, *out.shape[1:]), strides[0], pads[0][0], pads[1][0])
    a = ALGORITHMS[len(tiling.algorithm)]
    filters = Filters(_kernel_to_u(tiling.algorithm, w), runs_of(a.sums, a.filters))
    b = np.zeros(F, dtype) if b is None else plain(b)
    store = Store(dtype.type(0 if relu else -np.inf), goes_past_cache(out))
    run(_forward, out.size * w[..., 0].size, N, plain(x).reshape(-1), filters, b, out.reshape(-1), tiling, store)
    return out


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
    """Return dx, dw, db as `kernels.conv2d.conv2d_backward` does, for the convolutions that `suits` accepts."""
    tiling = tiling_of(Sizes(*x.shape, *dout.shape[1:]), strides[0], pads[0][0], pads[1][0])
    a = ALGORITHMS[len(tiling.algorithm)]
    filters = Filters(_kernel_to_u(tiling.algorithm, w.swapaxes(2, 3)), runs_of(a.filters, a.sums))
    G, F, dtype = groups_of(len(x), w.size), w.shape[3], x.dtype
    dws, dbs = empty((G, *w.shape), dtype), np.zeros((G, F), dtype)
    dx = (empty if dout.size else np.zeros)(x.shape if need_dx else (0,), dtype)       # without tiles the kernel writes nothing
    gradients = Gradients(dx.reshape(-1), dws, need_dx, need_dw, relu_x)
    work, dout, x = 2 * dout.size * w[..., 0].size, plain(dout).reshape(-1), plain(x).reshape(-1)
    run(_backward, work, G, dout, x, filters, gradients, dbs, tiling)
    return dx if need_dx else None, dws.sum(axis=0) if need_dw else None, dbs.sum(axis=0) if need_dw else None
