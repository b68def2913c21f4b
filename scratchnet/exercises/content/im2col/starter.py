"""Exercise 5 of 12, im2col: the windows of an image as the rows of a matrix.

A convolution moves a window of KH × KW cells over the image, SH rows or SW columns at a
step. im2col copies what each window sees into one row of a matrix. The convolution is
then one matrix product (exercise 6). Before that, the image gets a border of zeros.

Shapes
    x        (N, H, W, C)    N images of H × W pixels, with C channels (colours) each
    kernel   (KH, KW)        height and width of the window
    strides  (SH, SW)        rows and columns from one window to the next
    pads     ((top, bottom), (left, right))    rows and columns of zeros on each side
    cols     (N·OH·OW, KH·KW·C)    one row for each window of each image

Formula
    OH = (H + top + bottom - KH) // SH + 1        positions of the window, top to bottom
    OW = (W + left + right - KW) // SW + 1        and left to right

    cols[row, col] = padded[n, oh·SH + i, ow·SW + j, c]      padded: x with its border
        row = (n·OH + oh)·OW + ow       image by image; the windows in reading order
        col = (i·KW + j)·C + c          the cells of the window in reading order,
                                        and of each cell all channels

Example: one 3×3 image, C = 1, a 2×2 window, strides 1, no border
    x = 0 1 2        OH = (3 + 0 + 0 - 2) // 1 + 1 = 2, OW = 2
        3 4 5        cols = 0 1 3 4         the window at oh = 0, ow = 0
        6 7 8               1 2 4 5         the window at oh = 0, ow = 1
                            3 4 6 7         the window at oh = 1, ow = 0
                            4 5 7 8         the window at oh = 1, ow = 1

Run the example:    python -m doctest im2col.py      (prints only what is wrong)
Check your work:    scratchnet exercise check im2col.py
"""

import numpy as np


def im2col(x, kernel, strides, pads):
    """Return cols, of shape (N·OH·OW, KH·KW·C).

    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> im2col(x, (2, 2), (1, 1), ((0, 0), (0, 0)))
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    raise NotImplementedError("im2col is empty: write its body in this place")
