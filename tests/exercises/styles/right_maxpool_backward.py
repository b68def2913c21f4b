"""Right answers to maxpool_backward, in different styles."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def plain_loops(dout, x, pool_size, strides):
    N, OH, OW, C = dout.shape
    dx = np.zeros(x.shape)
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                for c in range(C):
                    best_h = h0 = oh * strides[0]
                    best_v = v0 = ow * strides[1]
                    for h in range(h0, h0 + pool_size[0]):
                        for v in range(v0, v0 + pool_size[1]):
                            if x[n, h, v, c] > x[n, best_h, best_v, c]:
                                best_h, best_v = h, v
                    dx[n, best_h, best_v, c] += dout[n, oh, ow, c]
    return dx


def from_minus_infinity(dout, x, pool_size, strides):
    dx = np.zeros_like(x)
    for (n, oh, ow, c), g in np.ndenumerate(dout):
        largest, place = -np.inf, None
        for i, j in np.ndindex(pool_size):
            pixel = (n, oh * strides[0] + i, ow * strides[1] + j, c)
            if x[pixel] > largest:
                largest, place = x[pixel], pixel
        dx[place] += g
    return dx


def cs231n(dout, x, pool_size, strides):
    """Write it as many answers to cs231n's max_pool_backward_naive do, with channels first inside."""
    dout, x = dout.transpose(0, 3, 1, 2), x.transpose(0, 3, 1, 2)
    (N, C, out_h, out_w), (ph, pw) = dout.shape, pool_size
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(out_h):
                for j in range(out_w):
                    hs, ws = i * strides[0], j * strides[1]
                    ind = np.unravel_index(np.argmax(x[n, c, hs:hs + ph, ws:ws + pw]), (ph, pw))
                    dx[n, c, hs:hs + ph, ws:ws + pw][ind] += dout[n, c, i, j]
    return dx.transpose(0, 2, 3, 1)


def add_at(dout, x, pool_size, strides):
    N, OH, OW, C = dout.shape
    windows = sliding_window_view(x, pool_size, axis=(1, 2))[:, ::strides[0], ::strides[1]]      # (N, OH, OW, C, KH, KW)
    best = windows.reshape(N, OH, OW, C, -1).argmax(axis=-1)
    i, j = np.divmod(best, pool_size[1])
    n, oh, ow, c = np.indices(dout.shape)
    dx = np.zeros_like(x)
    np.add.at(dx, (n, oh * strides[0] + i, ow * strides[1] + j, c), dout)
    return dx


def all_images_at_once(dout, x, pool_size, strides):
    (N, _, _, C), (KH, KW) = x.shape, pool_size
    dx = np.zeros_like(x)
    n, c = np.ogrid[:N, :C]
    for oh, ow in np.ndindex(dout.shape[1:3]):
        top, left = oh * strides[0], ow * strides[1]
        best = x[:, top:top + KH, left:left + KW].reshape(N, KH * KW, C).argmax(axis=1)
        dx[n, top + best // KW, left + best % KW, c] += dout[:, oh, ow]
    return dx


def first_of_a_mask(dout, x, pool_size, strides):
    (KH, KW), dx = pool_size, np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        rows, columns = slice(oh * strides[0], oh * strides[0] + KH), slice(ow * strides[1], ow * strides[1] + KW)
        window = x[n, rows, columns, c]
        mask = (window == window.max()).ravel()
        mask &= mask.cumsum() == 1
        dx[n, rows, columns, c] += mask.reshape(KH, KW) * dout[n, oh, ow, c]
    return dx


def bincount(dout, x, pool_size, strides):
    flat = np.arange(x.size).reshape(x.shape)
    places = np.zeros(dout.shape, int)
    for n, oh, ow, c in np.ndindex(dout.shape):
        box = np.s_[n, oh * strides[0]:oh * strides[0] + pool_size[0], ow * strides[1]:ow * strides[1] + pool_size[1], c]
        places[n, oh, ow, c] = flat[box].ravel()[x[box].argmax()]
    return np.bincount(places.ravel(), dout.ravel(), x.size).reshape(x.shape)
