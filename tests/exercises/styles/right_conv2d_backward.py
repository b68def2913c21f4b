"""Right answers to conv2d_backward, in different styles."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def plain_loops(dout, x, w, strides, pads):
    N, H, W, C = x.shape
    KH, KW, C, F = w.shape
    N, OH, OW, F = dout.shape
    SH, SW = strides
    (top, bottom), (left, right) = pads
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(F)
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                for f in range(F):
                    g = dout[n, oh, ow, f]
                    db[f] += g
                    for i in range(KH):
                        for j in range(KW):
                            h, v = oh * SH + i - top, ow * SW + j - left
                            if h < 0 or h >= H or v < 0 or v >= W:
                                continue
                            for c in range(C):
                                dx[n, h, v, c] += g * w[i, j, c, f]
                                dw[i, j, c, f] += g * x[n, h, v, c]
    return dx, dw, db


def cs231n(dout, x, w, strides, pads):
    """Write it as cs231n's conv_backward_naive does, with channels first inside."""
    dout, x, w = dout.transpose(0, 3, 1, 2), x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    N, F, H_out, W_out = dout.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), pads[0], pads[1]), mode="constant")
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    hs, ws = i * strides[0], j * strides[1]
                    dw[f] += x_pad[n, :, hs:hs + HH, ws:ws + WW] * dout[n, f, i, j]
                    dx_pad[n, :, hs:hs + HH, ws:ws + WW] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pads[0][0]:pads[0][0] + H, pads[1][0]:pads[1][0] + W]
    return dx.transpose(0, 2, 3, 1), dw.transpose(2, 3, 1, 0), db


def tap_by_tap(dout, x, w, strides, pads):
    (SH, SW), (_, OH, OW, _) = strides, dout.shape
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i, j in np.ndindex(w.shape[:2]):
        pixels = np.s_[:, i:i + SH * OH:SH, j:j + SW * OW:SW]
        dw[i, j] = np.tensordot(padded[pixels], dout, ((0, 1, 2), (0, 1, 2)))
        dpadded[pixels] += dout @ w[i, j].T
    (top, _), (left, _) = pads
    return dpadded[:, top:top + x.shape[1], left:left + x.shape[2]], dw, dout.sum((0, 1, 2))


def add_at(dout, x, w, strides, pads):
    (N, H, W, C), (KH, KW, _, F), (_, OH, OW, _) = x.shape, w.shape, dout.shape
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    n = np.arange(N).reshape(N, 1, 1, 1, 1, 1)
    h = (strides[0] * np.arange(OH)).reshape(1, OH, 1, 1, 1, 1) + np.arange(KH).reshape(1, 1, 1, KH, 1, 1)
    v = (strides[1] * np.arange(OW)).reshape(1, 1, OW, 1, 1, 1) + np.arange(KW).reshape(1, 1, 1, 1, KW, 1)
    c = np.arange(C).reshape(1, 1, 1, 1, 1, C)
    cols = padded[n, h, v, c].reshape(N * OH * OW, -1)
    dcols = (dout.reshape(-1, F) @ w.reshape(-1, F).T).reshape(N, OH, OW, KH, KW, C)
    dpadded = np.zeros_like(padded)
    np.add.at(dpadded, (n, h, v, c), dcols)
    dw = (cols.T @ dout.reshape(-1, F)).reshape(w.shape)
    db = dout.reshape(-1, F).sum(0)
    return dpadded[:, pads[0][0]:pads[0][0] + H, pads[1][0]:pads[1][0] + W], dw, db


def flipped_kernel(dout, x, w, strides, pads):
    """Convolve dout, with zeros between its numbers and around them, with the flipped kernel, as textbooks do."""
    (N, H, W, _), (KH, KW, _, F), (_, OH, OW, _) = x.shape, w.shape, dout.shape
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    PH, PW = padded.shape[1:3]
    wide = np.zeros((N, PH + KH - 1, PW + KW - 1, F))
    wide[:, KH - 1:KH - 1 + OH * strides[0]:strides[0], KW - 1:KW - 1 + OW * strides[1]:strides[1]] = dout
    windows = sliding_window_view(wide, (KH, KW), axis=(1, 2))                      # (N, PH, PW, F, KH, KW)
    dpadded = np.einsum("nhvfij,ijcf->nhvc", windows, w[::-1, ::-1])
    inputs = sliding_window_view(padded, (KH, KW), axis=(1, 2))[:, ::strides[0], ::strides[1]][:, :OH, :OW]
    dw = np.einsum("nhvcij,nhvf->ijcf", inputs, dout)
    (top, _), (left, _) = pads
    return [dpadded[:, top:top + H, left:left + W], dw, dout.sum(axis=(0, 1, 2))]
