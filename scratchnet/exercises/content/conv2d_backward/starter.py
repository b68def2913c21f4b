"""Exercise 7 of 12, conv2d_backward: the backward pass of a convolution.

Forward multiplied each pixel under a window by a weight. Backward receives dout, the
gradient of the loss with respect to out, and returns the gradients dx, dw and db. A
pixel lies under several windows, and a weight is used at every position: add up.

Shapes, with the names of exercise 6
    dout (N, OH, OW, F), x (N, H, W, C), w (KH, KW, C, F)
    strides (SH, SW), pads ((top, bottom), (left, right))
    ->  dx (N, H, W, C), dw (KH, KW, C, F), db (F,)

Formula
    Each product padded[n, oh·SH + i, ow·SW + j, c] · w[i, j, c, f] of forward is a term
    of out[n, oh, ow, f]. Its share in the gradients:

    dpadded[n, oh·SH + i, ow·SW + j, c]  +=  dout[n, oh, ow, f] · w[i, j, c, f]
    dw[i, j, c, f]  +=  dout[n, oh, ow, f] · padded[n, oh·SH + i, ow·SW + j, c]
    db[f]           +=  dout[n, oh, ow, f]         once for each n, oh, ow

    padded is x with its border of zeros. dx is dpadded without the border.

Example: one 3×3 image, a 2×2 filter, C = F = 1, strides 1, no border
    x = 1 2 3      w = 1 2      dout = 1  0      dx = 1 2  0      dw =  4  6
        4 5 6          3 4             2 -1           5 7 -2           10 12
        7 8 9                                         6 5 -4      db = 2

    The pixel in the middle lies under all four windows, each time under another weight:
    dx[1, 1] = 1·4 + 0·3 + 2·2 + (-1)·1 = 7
    dw[0, 0] = 1·1 + 0·2 + 2·4 + (-1)·5 = 4
    db = 1 + 0 + 2 + (-1) = 2

Run the example:    python -m doctest conv2d_backward.py      (prints only what is wrong)
Check your work:    scratchnet exercise check conv2d_backward.py
"""

import numpy as np


def conv2d_backward(dout, x, w, strides, pads):
    """Return dx, dw, db.

    >>> x = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    >>> w = np.array([1.0, 2.0, 3.0, 4.0]).reshape(2, 2, 1, 1)
    >>> dout = np.array([1.0, 0.0, 2.0, -1.0]).reshape(1, 2, 2, 1)
    >>> dx, dw, db = conv2d_backward(dout, x, w, (1, 1), ((0, 0), (0, 0)))
    >>> dx[0, :, :, 0]
    array([[ 1.,  2.,  0.],
           [ 5.,  7., -2.],
           [ 6.,  5., -4.]])
    >>> dw[:, :, 0, 0], db
    (array([[ 4.,  6.],
           [10., 12.]]), array([2.]))
    """
    raise NotImplementedError("conv2d_backward is empty: write its body in this place")
