import numpy as np


def im2col(x, kernel, strides, pads):
    N, H, W, C = x.shape
    (KH, KW), (SH, SW), ((top, bottom), (left, right)) = kernel, strides, pads
    OH = (H + top + bottom - KH) // SH + 1
    OW = (W + left + right - KW) // SW + 1
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))     # (N, top + H + bottom, …, C)
    cols = np.empty((N, OH, OW, KH, KW, C), x.dtype)
    for i in range(KH):
        for j in range(KW):                         # cell (i, j) of every window
            rows, columns = slice(i, i + OH * SH, SH), slice(j, j + OW * SW, SW)
            cols[:, :, :, i, j] = padded[:, rows, columns]      # (N, OH, OW, C)
    return cols.reshape(N * OH * OW, KH * KW * C)
