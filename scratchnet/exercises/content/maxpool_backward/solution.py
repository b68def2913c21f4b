import numpy as np


def maxpool_backward(dout, x, pool_size, strides):
    (KH, KW), (SH, SW) = pool_size, strides
    dx = np.zeros_like(x)                                   # (N, H, W, C)
    for n, oh, ow, c in np.ndindex(dout.shape):
        top, left = oh * SH, ow * SW                        # the window's corner
        cells = x[n, top : top + KH, left : left + KW, c]   # (KH, KW)
        i, j = np.unravel_index(cells.argmax(), (KH, KW))   # the first of equal maxima
        dx[n, top + i, left + j, c] += dout[n, oh, ow, c]   # += since windows overlap
    return dx
