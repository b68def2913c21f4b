"""The fourth telling of a convolution: fewer multiplications, by Winograd's algorithms for short filters.

Two neighbouring outputs of a filter of three taps, on one axis, are six products when written down,

    y0 = x0·w0 + x1·w1 + x2·w2          y1 = x1·w0 + x2·w1 + x3·w2

and four are enough:

    p0 = (x0 - x2)·w0                   y0 = p0 + p1 + p2
    p1 = (x1 + x2)·(w0 + w1 + w2)/2     y1 = p1 - p2 - p3
    p2 = (x2 - x1)·(w0 - w1 + w2)/2
    p3 = (x1 - x3)·w2

With matrices: y = Aᵀ[(G·w) ⊙ (Bᵀ·x)], where ⊙ multiplies number by number. On two axes the matrices stand on both
sides, a tile of 2 × 2 outputs takes 4 × 4 products instead of 36, and every product becomes, over all tiles and
channels, a matrix product of its own:

    V = Bᵀ x B              (C channels of a tile)      -> 16 numbers each
    U = G w Gᵀ              (C·F filters)               -> 16 numbers each
    M[p] = V[p] @ U[p]      (tiles, C) @ (C, F)         -> (tiles, F), for each p of the 16
    y = Aᵀ M A + b

At stride 2 the even and the odd pixels part: w0 and w2 only ever meet even ones, w1 odd ones. Two outputs of two taps
take three products instead of four (p1 below serves both), the odd tap's two stay, and 5 × 5 replace 36:

    p0 = (x0 - x2)·w0   p1 = x2·(w0 + w2)   p2 = (x2 - x4)·w2   p3 = x1·w1   p4 = x3·w1
    y0 = p0 + p1 + p3                       y1 = p1 - p2 + p4

Backward needs no new algebra. Every step is linear in x and linear in w, so its transpose carries the gradient back:
from dy to dM by A, from dM to dV by Uᵀ and to dU by Vᵀ, from dV to dx by B, from dU to dw by G:

    dM = A dy Aᵀ        dU[p] = V[p]ᵀ @ dM[p]       dw = Gᵀ dU G
                        dV[p] = dM[p] @ U[p]ᵀ       dx = B dV Bᵀ, added up where tiles overlap

and db is the sum of dM at p = (1, 1), since row 1 of A is (1, 1): it adds the tile's four gradients up.

Sums of rounded sums cost some of the last bits: tests hold the error in float32 below four times the direct one's.

Source: Winograd, *Arithmetic complexity of computations* (1980); Lavin & Gray, *Fast algorithms for convolutional neural
networks* (2016), sections 4.1 and 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchnet.kernels.gemm import make_sandwich, multiply
from scratchnet.kernels.images import place
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads, window_output_shape

Rows = tuple[tuple[float, ...], ...]


class Algorithm(NamedTuple):
    """The matrices of y = Aᵀ[(G·w) ⊙ (Bᵀ·x)] for two outputs of a filter of three taps on one axis."""

    Bt: Rows        # (products, inputs)
    G: Rows         # (products, 3)
    At: Rows        # (2, products)


ALGORITHMS = {          # by stride
    1: Algorithm(
        Bt=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        G=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        At=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    2: Algorithm(
        Bt=((1, 0, -1, 0, 0), (0, 0, 1, 0, 0), (0, 0, 1, 0, -1), (0, 1, 0, 0, 0), (0, 0, 0, 1, 0)),
        G=((1, 0, 0), (1, 0, 1), (0, 0, 1), (0, 1, 0), (0, 1, 0)),
        At=((1, 1, 0, 1, 0), (0, 1, -1, 0, 1)),
    ),
}  # fmt: skip
LANES = 16                  # channels come in multiples of this, the lanes of the widest vector
STRIP = 28                  # tiles whose products are in the cache together, about
GROUPS = 16                 # of images in backward, each with a sum of its own
GROUP_NUMBERS = 1 << 24     # numbers in all groups' sums together


def transposed(rows: Rows) -> Rows:
    """Turn columns into rows."""
    return tuple(zip(*rows, strict=True))


_x_to_v_1, _x_to_v_2 = (make_sandwich(ALGORITHMS[s].Bt) for s in (1, 2))
_m_to_y_1, _m_to_y_2 = (make_sandwich(ALGORITHMS[s].At, "finish") for s in (1, 2))
_dy_to_dm_1, _dy_to_dm_2 = (make_sandwich(transposed(ALGORITHMS[s].At)) for s in (1, 2))
_open_dy_to_dm_1, _open_dy_to_dm_2 = (make_sandwich(transposed(ALGORITHMS[s].At), "gate") for s in (1, 2))
_dv_to_dx_1, _dv_to_dx_2 = (make_sandwich(transposed(ALGORITHMS[s].Bt), "add") for s in (1, 2))


@jit()
def _take_apart(image, Wp, C, S, i0, tiles, TW, v, zeros, none):
    """V = Bᵀ x B for some rows of tiles, i0 the first: -> (products, tiles, C)."""
    for t in range(tiles):
        start = ((i0 + t // TW) * 2 * S * Wp + t % TW * 2 * S) * C
        if S == 1:
            _x_to_v_1(image, start, Wp * C, C, v, t * C, 4 * tiles * C, tiles * C, zeros, 0, none, C)
        else:
            _x_to_v_2(image, start, Wp * C, C, v, t * C, 5 * tiles * C, tiles * C, zeros, 0, none, C)


@jit()
def _forward(first, last, x, u, b, out, S, top, left, Hp, Wp, OH, OW, rows, floor, none):
    P, C, F = u.shape
    K, TH, TW = 3 + S, (OH + 1) // 2, (OW + 1) // 2
    image = np.zeros(Hp * Wp * C, x.dtype)
    v = np.empty(P * rows * TW * C, x.dtype)
    m = np.empty(P * rows * TW * F, x.dtype)
    y = np.empty(4 * F, x.dtype)
    zeros = np.zeros(F, x.dtype)
    for n in range(first, last):
        place(x, n, image, (top * Wp + left) * C, Wp * C)
        for i0 in range(0, TH, rows):
            tiles = min(rows, TH - i0) * TW
            _take_apart(image, Wp, C, S, i0, tiles, TW, v, zeros, none)
            for p in range(P):
                multiply(
                    v, p * tiles * C, C, 0, 1,
                    u, p * C * F, 0, F,
                    zeros, 0, 0,
                    m, p * tiles * F, F,
                    tiles, F, 1, C, none,
                )  # fmt: skip
            for t in range(tiles):
                oh, ow = 2 * (i0 + t // TW), 2 * (t % TW)
                start, inside = ((n * OH + oh) * OW + ow) * F, oh + 1 < OH and ow + 1 < OW
                to, to0, down = (out, start, OW * F) if inside else (y, 0, 2 * F)
                if S == 1:
                    _m_to_y_1(m, t * F, K * tiles * F, tiles * F, to, to0, down, F, b, 0, floor, F)
                else:
                    _m_to_y_2(m, t * F, K * tiles * F, tiles * F, to, to0, down, F, b, 0, floor, F)
                if not inside:      # of a tile that reaches over the edge only the inner outputs are kept
                    for i in range(min(2, OH - oh)):
                        for k in range(min(2, OW - ow) * F):
                            out[start + i * OW * F + k] = y[2 * i * F + k]


@jit()
def _take_gradient_apart(dout, out, masked, n, S, OH, OW, i0, tiles, TW, dm, F, dy, zeros, none):
    """dM = A dy Aᵀ for some rows of tiles of image n: -> (products, tiles, F)."""
    across = tiles * F
    down = (3 + S) * across
    for t in range(tiles):
        oh, ow = 2 * (i0 + t // TW), 2 * (t % TW)
        start, width = ((n * OH + oh) * OW + ow) * F, OW * F
        if oh + 1 < OH and ow + 1 < OW:
            if masked and S == 1:
                _open_dy_to_dm_1(dout, start, width, F, dm, t * F, down, across, out, start, none, F)
            elif masked:
                _open_dy_to_dm_2(dout, start, width, F, dm, t * F, down, across, out, start, none, F)
            elif S == 1:
                _dy_to_dm_1(dout, start, width, F, dm, t * F, down, across, zeros, 0, none, F)
            else:
                _dy_to_dm_2(dout, start, width, F, dm, t * F, down, across, zeros, 0, none, F)
        else:                       # outputs behind the edge have no gradient
            for k in range(4 * F):
                dy[k] = 0
            for i in range(min(2, OH - oh)):
                for k in range(min(2, OW - ow) * F):
                    if not masked or out[start + i * width + k] > 0:
                        dy[2 * i * F + k] = dout[start + i * width + k]
            if S == 1:
                _dy_to_dm_1(dy, 0, 2 * F, F, dm, t * F, down, across, zeros, 0, none, F)
            else:
                _dy_to_dm_2(dy, 0, 2 * F, F, dm, t * F, down, across, zeros, 0, none, F)


@jit()
def _backward(first, last, dout, out, masked, x, u, ut, dx, need_dx, dus, dbs, S, top, left, Hp, Wp, OH, OW, rows, none):
    P, C, F = u.shape
    N, H, length = x.shape
    G, K, TH, TW = len(dbs), 3 + S, (OH + 1) // 2, (OW + 1) // 2
    image, dimage = np.zeros(Hp * Wp * C, x.dtype), np.zeros(Hp * Wp * C, x.dtype)
    v, dv = np.empty(P * rows * TW * C, x.dtype), np.empty(P * rows * TW * C, x.dtype)
    dm = np.empty(P * rows * TW * F, x.dtype)
    dy = np.empty(4 * F, x.dtype)
    zeros = np.zeros(max(C, F), x.dtype)
    for g in range(first, last):
        for n in range(g * N // G, (g + 1) * N // G):
            place(x, n, image, (top * Wp + left) * C, Wp * C)
            for k in range(len(dimage)):
                dimage[k] = 0
            for i0 in range(0, TH, rows):
                tiles = min(rows, TH - i0) * TW
                _take_apart(image, Wp, C, S, i0, tiles, TW, v, zeros, none)
                _take_gradient_apart(dout, out, masked, n, S, OH, OW, i0, tiles, TW, dm, F, dy, zeros, none)
                for t in range(tiles):
                    for f in range(F):
                        dbs[g, f] += dm[((K + 1) * tiles + t) * F + f]
                for p in range(P):
                    multiply(
                        v, p * tiles * C, 1, 0, C,
                        dm, p * tiles * F, 0, F,
                        dus, (g * P + p) * C * F, F,
                        dus, (g * P + p) * C * F, F,
                        C, F, 1, tiles, none,
                    )  # fmt: skip
                if need_dx:
                    for p in range(P):
                        multiply(
                            dm, p * tiles * F, F, 0, 1,
                            ut, p * F * C, 0, C,
                            zeros, 0, 0,
                            dv, p * tiles * C, C,
                            tiles, C, 1, F, none,
                        )  # fmt: skip
                    for t in range(tiles):
                        start = ((i0 + t // TW) * 2 * S * Wp + t % TW * 2 * S) * C
                        if S == 1:
                            _dv_to_dx_1(dv, t * C, K * tiles * C, tiles * C, dimage, start, Wp * C, C, zeros, 0, none, C)
                        else:
                            _dv_to_dx_2(dv, t * C, K * tiles * C, tiles * C, dimage, start, Wp * C, C, zeros, 0, none, C)
            if need_dx:
                for h in range(H):
                    start = ((top + h) * Wp + left) * C
                    row = dimage[start : start + length]
                    for k in range(length):
                        dx[n, h, k] = row[k]


def suits(x_shape: tuple[int, ...], w_shape: tuple[int, ...], strides: tuple[int, int]) -> bool:
    """Say whether this telling is for a convolution: 3 × 3 taps, stride 1 or 2, and whole vectors of channels.

    Examples
    --------
    >>> suits((1, 28, 28, 32), (3, 3, 32, 64), (2, 2)), suits((1, 28, 28, 1), (3, 3, 1, 32), (1, 1))
    (True, False)
    """
    square = w_shape[:2] == (3, 3) and strides in ((1, 1), (2, 2))
    return square and w_shape[2] % LANES == 0 and w_shape[3] % LANES == 0


def _turn(S: int, w: np.ndarray) -> np.ndarray:
    """U = G w Gᵀ: (3, 3, C, F) -> (P, C, F). G on rows and G on columns are one matrix, (P, 9), on all nine taps."""
    G = ALGORITHMS[S].G
    with np.errstate(all="ignore"):         # numbers that are not finite go through, as in every kernel
        return (np.kron(G, G).astype(w.dtype) @ w.reshape(9, -1)).reshape(-1, *w.shape[2:])


def _turn_back(S: int, du: np.ndarray) -> np.ndarray:
    """Dw = Gᵀ dU G, the transpose of `_turn`: (P, C, F) -> (3, 3, C, F)."""
    G = ALGORITHMS[S].G
    with np.errstate(all="ignore"):
        return (np.kron(G, G).T.astype(du.dtype) @ du.reshape(len(du), -1)).reshape(3, 3, *du.shape[1:])


def _geometry(x: np.ndarray, out_shape: tuple[int, int], S: int, pads: Pads) -> tuple[int, int, int, int, int]:
    """Give top, left, the padded image's height and width, and how many rows of tiles are in work together."""
    (top, bottom), (left, right) = pads
    TH, TW = ((size + 1) // 2 for size in out_shape)
    Hp, Wp = ((tiles - 1) * 2 * S + 3 + S for tiles in (TH, TW))
    strips = max(1, round(TH * TW / STRIP))
    return top, left, max(Hp, top + x.shape[1]), max(Wp, left + x.shape[2]), max(1, -(-TH // strips))


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Convolve as `kernels.conv2d.conv2d_forward` does, where `suits` says yes.

    Parameters
    ----------
    x : ndarray (N, H, W, C), float32 or float64
    w : ndarray (3, 3, C, F)
    b : ndarray (F,) or None
    strides : (1, 1) or (2, 2)
    pads : ((top, bottom), (left, right))
    relu : bool
        Whether max(0, ·) of each output is taken as it is stored.

    Returns
    -------
    ndarray (N, OH, OW, F)
    """
    S, F, dtype = strides[0], w.shape[3], x.dtype
    OH, OW = window_output_shape(x.shape, (3, 3), strides, pads)
    u = _turn(S, w)
    out = empty((len(x), OH, OW, F), dtype)
    top, left, Hp, Wp, rows = _geometry(x, (OH, OW), S, pads)
    b = np.zeros(F, dtype) if b is None else plain(b)
    floor, none = dtype.type(0 if relu else -np.inf), dtype.type(-np.inf)
    work = out.size * w[..., 0].size
    run(_forward, work, len(x), plain(x).reshape(*x.shape[:2], -1), u, b, out.reshape(-1), S, top, left, Hp, Wp, OH, OW, rows, floor, none)
    return out


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
    """Give dx, dw, db as `kernels.conv2d.conv2d_backward` does, where `suits` says yes.

    Parameters
    ----------
    dout : ndarray (N, OH, OW, F)
    x, w, strides, pads : as for `conv2d_forward`
    need_dx : bool
        False leaves dx out (None).
    relu_out : ndarray (N, OH, OW, F), optional
        The result of `conv2d_forward(..., relu=True)`; dout then counts only where it is positive.

    Returns
    -------
    dx : ndarray (N, H, W, C) or None
    dw : ndarray (3, 3, C, F)
    db : ndarray (F,)
    """
    S, F, dtype = strides[0], w.shape[3], x.dtype
    OH, OW = dout.shape[1:3]
    u = _turn(S, w)
    ut = np.ascontiguousarray(u.swapaxes(1, 2))             # (P, C, F) -> (P, F, C)
    groups = max(1, min(len(x), GROUPS, GROUP_NUMBERS // u.size))
    dus, dbs = empty((groups, *u.shape), dtype), np.zeros((groups, F), dtype)
    dus.fill(0)
    dx = empty(x.shape if need_dx else (1, 1, 1, 1), dtype)
    top, left, Hp, Wp, rows = _geometry(x, (OH, OW), S, pads)
    dout = plain(dout)
    out = dout if relu_out is None else plain(relu_out)
    run(
        _backward, 2 * dout.size * w[..., 0].size, groups,
        dout.reshape(-1), out.reshape(-1), relu_out is not None, plain(x).reshape(*x.shape[:2], -1), u, ut,
        dx.reshape(*dx.shape[:2], -1), need_dx, dus, dbs, S, top, left, Hp, Wp, OH, OW, rows, dtype.type(-np.inf),
    )  # fmt: skip
    return dx if need_dx else None, _turn_back(S, dus.sum(axis=0)), dbs.sum(axis=0)
