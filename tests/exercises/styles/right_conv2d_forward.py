"""Right answers to conv2d_forward, in different styles."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def plain_loops(x, w, b, strides, pads):
    N, H, W, C = x.shape
    KH, KW, C, F = w.shape
    SH, SW = strides
    (top, bottom), (left, right) = pads
    OH = (H + top + bottom - KH) // SH + 1
    OW = (W + left + right - KW) // SW + 1
    out = np.zeros((N, OH, OW, F))
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                for f in range(F):
                    out[n, oh, ow, f] = b[f]
                    for i in range(KH):
                        for j in range(KW):
                            h, v = oh * SH + i - top, ow * SW + j - left
                            if 0 <= h < H and 0 <= v < W:
                                for c in range(C):
                                    out[n, oh, ow, f] += x[n, h, v, c] * w[i, j, c, f]
    return out


def window_loops(x, w, b, strides, pads):
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    KH, KW, _, F = w.shape
    OH = (padded.shape[1] - KH) // strides[0] + 1
    OW = (padded.shape[2] - KW) // strides[1] + 1
    out = np.zeros((len(x), OH, OW, F))
    for oh in range(OH):
        for ow in range(OW):
            h, v = oh * strides[0], ow * strides[1]
            out[:, oh, ow] = np.tensordot(padded[:, h:h + KH, v:v + KW], w, axes=3) + b
    return out


def cs231n(x, w, b, strides, pads):
    """Write it as cs231n's conv_forward_naive does, with channels first inside."""
    x, w = x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), pads[0], pads[1]), mode="constant", constant_values=0)
    H_out = 1 + (x_pad.shape[2] - HH) // strides[0]
    W_out = 1 + (x_pad.shape[3] - WW) // strides[1]
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i * strides[0]:i * strides[0] + HH, j * strides[1]:j * strides[1] + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out.transpose(0, 2, 3, 1)


def im2col(x, w, b, strides, pads):
    KH, KW, C, F = w.shape
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    OH, OW = (padded.shape[1] - KH) // strides[0] + 1, (padded.shape[2] - KW) // strides[1] + 1
    cols = np.zeros((len(x), OH, OW, KH, KW, C))
    for oh, ow in np.ndindex(OH, OW):
        h, v = oh * strides[0], ow * strides[1]
        cols[:, oh, ow] = padded[:, h:h + KH, v:v + KW]
    return (cols.reshape(-1, KH * KW * C) @ w.reshape(-1, F) + b).reshape(len(x), OH, OW, F)


def sum_of_shifted_images(x, w, b, strides, pads):
    (SH, SW), padded = strides, np.pad(x, ((0, 0), *pads, (0, 0)))
    OH, OW = (padded.shape[1] - w.shape[0]) // SH + 1, (padded.shape[2] - w.shape[1]) // SW + 1
    return b + sum(
        padded[:, i:i + SH * OH:SH, j:j + SW * OW:SW] @ w[i, j] for i in range(w.shape[0]) for j in range(w.shape[1])
    )


def einsum(x, w, b, strides, pads):
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = sliding_window_view(padded, w.shape[:2], axis=(1, 2))[:, ::strides[0], ::strides[1]]
    return np.einsum("nhwcij,ijcf->nhwf", windows, w, optimize=True) + b
