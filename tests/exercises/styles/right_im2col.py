"""Right answers to im2col, in different styles."""

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view


def plain_loops(x, kernel, strides, pads):
    N, H, W, C = x.shape
    KH, KW = kernel
    SH, SW = strides
    (top, bottom), (left, right) = pads
    padded = np.zeros((N, H + top + bottom, W + left + right, C))
    padded[:, top:top + H, left:left + W, :] = x
    OH = (H + top + bottom - KH) // SH + 1
    OW = (W + left + right - KW) // SW + 1
    cols = np.zeros((N * OH * OW, KH * KW * C))
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                for i in range(KH):
                    for j in range(KW):
                        for c in range(C):
                            pixel = padded[n, oh * SH + i, ow * SW + j, c]
                            cols[(n * OH + oh) * OW + ow, (i * KW + j) * C + c] = pixel
    return cols


def a_list_of_windows(x, kernel, strides, pads):
    padded = np.pad(x, [(0, 0), pads[0], pads[1], (0, 0)])
    rows = []
    for image in padded:
        for h in range(0, image.shape[0] - kernel[0] + 1, strides[0]):
            for v in range(0, image.shape[1] - kernel[1] + 1, strides[1]):
                rows.append(image[h:h + kernel[0], v:v + kernel[1]].flatten())
    return np.array(rows)


def cell_by_cell(x, kernel, strides, pads):
    (N, _, _, C), (KH, KW), (SH, SW) = x.shape, kernel, strides
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    OH, OW = (padded.shape[1] - KH) // SH + 1, (padded.shape[2] - KW) // SW + 1
    cols = np.empty((N, OH, OW, KH, KW, C))
    for i in range(KH):
        for j in range(KW):
            cols[:, :, :, i, j] = padded[:, i:i + SH * OH:SH, j:j + SW * OW:SW]
    return cols.reshape(N * OH * OW, -1)


def index_arrays(x, kernel, strides, pads):
    """Write it as cs231n's get_im2col_indices does, for the order of axes of this library."""
    N, H, W, C = x.shape
    (KH, KW), (SH, SW), (rows, columns) = kernel, strides, pads
    out_height, out_width = (H + sum(rows) - KH) // SH + 1, (W + sum(columns) - KW) // SW + 1
    x_padded = np.pad(x, ((0, 0), rows, columns, (0, 0)), mode="constant")
    i0 = np.tile(np.repeat(np.repeat(np.arange(KH), KW), C), 1)
    j0 = np.repeat(np.tile(np.arange(KW), KH), C)
    i1 = SH * np.repeat(np.arange(out_height), out_width)
    j1 = SW * np.tile(np.arange(out_width), out_height)
    i, j = i1.reshape(-1, 1) + i0.reshape(1, -1), j1.reshape(-1, 1) + j0.reshape(1, -1)
    k = np.tile(np.arange(C), KH * KW).reshape(1, -1)
    return x_padded[:, i, j, k].reshape(-1, KH * KW * C)


def sliding_windows(x, kernel, strides, pads):
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = sliding_window_view(padded, kernel, axis=(1, 2))[:, ::strides[0], ::strides[1]]     # (N, OH, OW, C, KH, KW)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def strided(x, kernel, strides, pads):
    padded = np.ascontiguousarray(np.pad(x, ((0, 0), *pads, (0, 0))))
    N, H, W, C = padded.shape
    OH, OW = (H - kernel[0]) // strides[0] + 1, (W - kernel[1]) // strides[1] + 1
    sn, sh, sw, sc = padded.strides
    steps = (sn, sh * strides[0], sw * strides[1], sh, sw, sc)
    return as_strided(padded, (N, OH, OW, *kernel, C), steps).reshape(N * OH * OW, -1)
