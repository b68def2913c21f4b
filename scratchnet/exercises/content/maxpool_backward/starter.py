"""Exercise 8 of 12, maxpool_backward: the backward pass of max-pooling.

Max-pooling returns the largest pixel of each window, for each channel apart. So the
gradient of an output goes to one pixel, the one that was the largest. Windows may
overlap, as in net_1: a pixel that is the largest of several windows receives the sum.
If several pixels of a window are equally large, the first in reading order (row by row,
from left to right) receives all of it.

Shapes
    dout       (N, OH, OW, C)  gradient of the loss with respect to the output
    x          (N, H, W, C)    the input of forward: N images, C channels
    pool_size  (KH, KW)        height and width of the window
    strides    (SH, SW)        rows and columns from one window to the next
    dx         (N, H, W, C)    the result

Formula
    The window at (oh, ow) covers KH rows from row oh·SH on, and KW columns from column
    ow·SW on. All windows lie inside the image. For each n, oh, ow, c:

        dx[n, h, v, c]  +=  dout[n, oh, ow, c]

    where (h, v) are row and column of the window's largest pixel, the first of equal
    ones. Pixels can be negative. A pixel that no window covers receives 0.

Example: one 3×3 image, a 2×2 window, strides 1. 5 is twice in the image.
    x = 8 2 1      dout = 1 2      dx = 1 0 0      The window (0, 0) keeps the 8.
        3 5 4             3 4           0 9 0      The others keep the 5 in the middle:
        1 5 0                           0 0 0      dx[1, 1] = 2 + 3 + 4 = 9

Run the example:    python -m doctest maxpool_backward.py      (prints only what is wrong)
Check your work:    scratchnet exercise check maxpool_backward.py
"""

import numpy as np


def maxpool_backward(dout, x, pool_size, strides):
    """Return dx, of the shape of x.

    >>> x = np.array([[8.0, 2.0, 1.0], [3.0, 5.0, 4.0], [1.0, 5.0, 0.0]])
    >>> dout = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> dx = maxpool_backward(dout, x.reshape(1, 3, 3, 1), (2, 2), (1, 1))
    >>> dx[0, :, :, 0]
    array([[1., 0., 0.],
           [0., 9., 0.],
           [0., 0., 0.]])
    """
    raise NotImplementedError("maxpool_backward is empty: write its body in this place")
