"""im2col and col2im: the windows of a convolution as the rows of a matrix, and the transpose of this map.

    x, 3 × 4, one channel      its 2 × 2 windows         window at oh, ow
    ┌──┬──┬──┬──┐              ┌──┬──┬──┬──┐
    │ 0│ 1│ 2│ 3│              │ 0│ 1│ 4│ 5│             0, 0
    ├──┼──┼──┼──┤              │ 1│ 2│ 5│ 6│             0, 1
    │ 4│ 5│ 6│ 7│      ->      │ 2│ 3│ 6│ 7│             0, 2
    ├──┼──┼──┼──┤              │ 4│ 5│ 8│ 9│             1, 0
    │ 8│ 9│10│11│              │ 5│ 6│ 9│10│             1, 1
    └──┴──┴──┴──┘              │ 6│ 7│10│11│             1, 2
                               └──┴──┴──┴──┘

`col2im` is the transpose of `im2col` as a linear map, not its inverse: <im2col(x), cols> = <x, col2im(cols)>, where <a, b> is the
sum of the products of all entries. So a pixel that four windows cover receives the sum of four numbers. Cells of padding are 0 in
im2col and dropped in col2im.

Each has two implementations. The one in NumPy, which is the one to read, copies one tap at a time: the cell (i, j) of every window.
The one in numba copies one window after another, and layers call it, since it is several times as fast. Tests check that both
return the same bits.

Source: Chellapilla, Puri & Simard, *High performance convolutional neural networks for document processing* (2006),
section 2.
"""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.structures import Pair, shapes_of
from scratchnet.kernels.threads import run
from scratchnet.padding import Pads, window_output_shape

# -- in NumPy ---------------------------------------------------------------------------------------------------------


def im2col_numpy(x: np.ndarray, kernel: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return every window of the images as a row: (N, H, W, C) -> (N·OH·OW, KH·KW·C). The arguments are those of `im2col`.

    Examples
    --------
    >>> im2col_numpy(np.arange(12.0).reshape(1, 3, 4, 1), (2, 2), (1, 2), ((0, 0), (0, 0)))
    array([[ 0.,  1.,  4.,  5.],
           [ 2.,  3.,  6.,  7.],
           [ 4.,  5.,  8.,  9.],
           [ 6.,  7., 10., 11.]])
    """
    (N, _, _, C), (KH, KW), (SH, SW) = x.shape, kernel, strides
    OH, OW = window_output_shape(x.shape, kernel, strides, pads)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))                 # (N, H, W, C) -> (N, top + H + bottom, left + W + right, C)
    cols = np.empty((N, OH, OW, KH, KW, C), x.dtype)
    for i in range(KH):
        for j in range(KW):
            cols[:, :, :, i, j] = padded[:, i : i + OH * SH : SH, j : j + OW * SW : SW]     # tap i, j of every window
    return cols.reshape(N * OH * OW, KH * KW * C)


def col2im_numpy(cols: np.ndarray, x_shape: tuple[int, ...], kernel: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return images in which each row of `cols` is added to its window. The arguments are those of `col2im`.

    Examples
    --------
    >>> col2im_numpy(np.ones((6, 4)), (1, 3, 4, 1), (2, 2), (1, 1), ((0, 0), (0, 0)))[0, :, :, 0]
    array([[1., 2., 2., 1.],
           [2., 4., 4., 2.],
           [1., 2., 2., 1.]])
    """
    (N, H, W, C), (KH, KW), (SH, SW), ((top, bottom), (left, right)) = x_shape, kernel, strides, pads
    OH, OW = window_output_shape(x_shape, kernel, strides, pads)
    cols = cols.reshape(N, OH, OW, KH, KW, C)
    padded = np.zeros((N, top + H + bottom, left + W + right, C), cols.dtype)
    # The function in numba adds window after window. With 2 × 2 windows at stride 1, pixel (1, 1) is the last tap of window (0, 0),
    # the third of (0, 1), the second of (1, 0) and the first of (1, 1). So from the last tap to the first, each sum has the order
    # of the windows, and the same rounding.
    for i in reversed(range(KH)):
        for j in reversed(range(KW)):
            padded[:, i : i + OH * SH : SH, j : j + OW * SW : SW] += cols[:, :, :, i, j]    # `+=`, since windows overlap
    return padded[:, top : top + H, left : left + W].copy()                                 # without the padding


# -- the same in numba ------------------------------------------------------------------------------------------------

# `run` calls `_im2col` and `_col2im` for the images from `first` to `last` - 1, in several threads if there is enough work.


@jit
def _im2col(first, last, x, cols, window, sizes):
    KH, KW, SH, SW, top, left = window
    _, H, W, C, OH, OW, _ = sizes
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
def _col2im(first, last, cols, x, window, sizes):
    KH, KW, SH, SW, top, left = window
    _, H, W, C, OH, OW, _ = sizes
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


def im2col(x: np.ndarray, kernel: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return every window of the images as a row.

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
    window, sizes = shapes_of(x.shape, kernel, strides, pads)
    cols = empty((sizes.N * sizes.OH * sizes.OW, window.KH * window.KW * sizes.C), x.dtype)
    run(_im2col, cols.size, sizes.N, plain(x), cols, window, sizes)
    return cols


def col2im(cols: np.ndarray, x_shape: tuple[int, ...], kernel: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return images in which each row of `cols` is added to its window in the image: the transpose of `im2col`.

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
    >>> col2im(np.ones((6, 4)), (1, 3, 4, 1), (2, 2), (1, 1), ((0, 0), (0, 0)))[0, :, :, 0]      # how many windows cover each pixel
    array([[1., 2., 2., 1.],
           [2., 4., 4., 2.],
           [1., 2., 2., 1.]])
    """
    x = empty(x_shape, cols.dtype)
    x.fill(0)
    run(_col2im, cols.size, x_shape[0], plain(cols), x, *shapes_of(x_shape, kernel, strides, pads))
    return x
