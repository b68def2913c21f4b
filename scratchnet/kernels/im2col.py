"""Images to columns and back: the windows of a convolution laid out as the rows of a matrix.

    x, 3 × 4, one channel      its 2 × 2 windows         window at oh, ow
    ┌──┬──┬──┬──┐              ┌──┬──┬──┬──┐
    │ 0│ 1│ 2│ 3│              │ 0│ 1│ 4│ 5│             0, 0
    ├──┼──┼──┼──┤              │ 1│ 2│ 5│ 6│             0, 1
    │ 4│ 5│ 6│ 7│      ->      │ 2│ 3│ 6│ 7│             0, 2
    ├──┼──┼──┼──┤              │ 4│ 5│ 8│ 9│             1, 0
    │ 8│ 9│10│11│              │ 5│ 6│ 9│10│             1, 1
    └──┴──┴──┴──┘              │ 6│ 7│10│11│             1, 2
                               └──┴──┴──┴──┘

`col2im` is its transpose as a linear map, not its inverse: a pixel that stood in four windows gets the sum of four
numbers. Cells of padding are 0 on the way out and dropped on the way back.

Source: Chellapilla, Puri & Simard, *High performance convolutional neural networks for document processing* (2006),
section 2.
"""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads, window_output_shape


@jit
def _im2col(first, last, x, cols, KH, KW, SH, SW, top, left, OH, OW):
    _, H, W, C = x.shape
    for n in range(first, last):
        for oh in range(OH):
            for ow in range(OW):
                row = (n * OH + oh) * OW + ow
                for i in range(KH):
                    h = oh * SH + i - top
                    for j in range(KW):
                        w = ow * SW + j - left
                        column = (i * KW + j) * C
                        if 0 <= h < H and 0 <= w < W:
                            for c in range(C):
                                cols[row, column + c] = x[n, h, w, c]
                        else:
                            for c in range(C):
                                cols[row, column + c] = 0


@jit
def _col2im(first, last, cols, x, KH, KW, SH, SW, top, left, OH, OW):
    _, H, W, C = x.shape
    for n in range(first, last):
        for oh in range(OH):
            for ow in range(OW):
                row = (n * OH + oh) * OW + ow
                for i in range(KH):
                    h = oh * SH + i - top
                    for j in range(KW):
                        w = ow * SW + j - left
                        column = (i * KW + j) * C
                        if 0 <= h < H and 0 <= w < W:
                            for c in range(C):
                                x[n, h, w, c] += cols[row, column + c]


def im2col(x: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], pads: Pads) -> np.ndarray:
    """Lay every window of the images out as a row.

    Parameters
    ----------
    x : ndarray (N, H, W, C), any real or complex floating dtype
    kernel, strides : (int, int)
    pads : ((top, bottom), (left, right))

    Returns
    -------
    ndarray (N·OH·OW, KH·KW·C) of the dtype of `x`

    Examples
    --------
    >>> x = np.arange(12.0).reshape(1, 3, 4, 1)
    >>> im2col(x, (2, 2), (1, 2), ((0, 0), (0, 0)))
    array([[ 0.,  1.,  4.,  5.],
           [ 2.,  3.,  6.,  7.],
           [ 4.,  5.,  8.,  9.],
           [ 6.,  7., 10., 11.]])
    """
    N, _, _, C = x.shape
    (KH, KW), (SH, SW), ((top, _), (left, _)) = kernel, strides, pads
    OH, OW = window_output_shape(x.shape, kernel, strides, pads)
    cols = empty((N * OH * OW, KH * KW * C), x.dtype)
    run(_im2col, cols.size, N, plain(x), cols, KH, KW, SH, SW, top, left, OH, OW)
    return cols


def col2im(cols: np.ndarray, x_shape: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], pads: Pads) -> np.ndarray:
    """Add every row of `cols` back into the window that it stands for: the transpose of `im2col`.

    Parameters
    ----------
    cols : ndarray (N·OH·OW, KH·KW·C)
    x_shape : (N, H, W, C)
    kernel, strides, pads : as for `im2col`

    Returns
    -------
    ndarray of `x_shape`

    Examples
    --------
    >>> col2im(np.ones((6, 4)), (1, 3, 4, 1), (2, 2), (1, 1), ((0, 0), (0, 0)))[0, :, :, 0]      # windows over each pixel
    array([[1., 2., 2., 1.],
           [2., 4., 4., 2.],
           [1., 2., 2., 1.]])
    """
    (KH, KW), (SH, SW), ((top, _), (left, _)) = kernel, strides, pads
    OH, OW = window_output_shape(x_shape, kernel, strides, pads)
    x = empty(x_shape, cols.dtype)
    x.fill(0)
    run(_col2im, cols.size, x_shape[0], plain(cols), x, KH, KW, SH, SW, top, left, OH, OW)
    return x
