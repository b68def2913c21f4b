"""Exercise 6 of 12, conv2d_forward: the forward pass of a convolution.

A filter is a small window of weights. At each position of the window, the output is the
sum of the pixels under it, each times its weight, plus a bias. All positions use the
same weights. There are F filters, and each makes one channel of the output.

Shapes
    x        (N, H, W, C)      N images of H × W pixels, with C channels each
    w        (KH, KW, C, F)    the weights of F filters of KH × KW cells
    b        (F,)              one bias for each filter
    strides  (SH, SW)          rows and columns from one window to the next
    pads     ((top, bottom), (left, right))    rows and columns of zeros on each side
    out      (N, OH, OW, F)    OH = (H + top + bottom - KH) // SH + 1
                               OW = (W + left + right - KW) // SW + 1
Formula
    out[n, oh, ow, f] = b[f] + Σ_i Σ_j Σ_c  padded[n, oh·SH + i, ow·SW + j, c]
                                            · w[i, j, c, f]
    i = 0 … KH-1, j = 0 … KW-1, c = 0 … C-1; padded is x with its border of zeros

Example: one 3×3 image, a 2×2 filter, C = F = 1, strides 1, no border, b = 10
    x = 1 2 3      w = 1  0      out[0, 0] = 10 + 1·1 + 2·0 + 4·2 + 5·(-1) = 14
        4 5 6          2 -1      out[0, 1] = 10 + 2·1 + 3·0 + 5·2 + 6·(-1) = 16
        7 8 9                    out[1, 0] = 10 + 4·1 + 5·0 + 7·2 + 8·(-1) = 20
                                 out[1, 1] = 10 + 5·1 + 6·0 + 8·2 + 9·(-1) = 22

Plain loops are right, too. You may use your im2col of exercise 5, or the library's:
from scratchnet.kernels.im2col import im2col

Run the example:    python -m doctest conv2d_forward.py      (prints only what is wrong)
Check your work:    scratchnet exercise check conv2d_forward.py
"""

import numpy as np


def conv2d_forward(x, w, b, strides, pads):
    """Return out, of shape (N, OH, OW, F).

    >>> x = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    >>> w, b = np.array([1.0, 0.0, 2.0, -1.0]).reshape(2, 2, 1, 1), np.array([10.0])
    >>> conv2d_forward(x, w, b, (1, 1), ((0, 0), (0, 0)))[0, :, :, 0]
    array([[14., 16.],
           [20., 22.]])
    """
    raise NotImplementedError("conv2d_forward is empty: write its body in this place")
