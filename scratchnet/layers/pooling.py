"""Pooling: a window moves over each channel separately, and the output is the maximum, minimum or mean of each window.

    max      out[n, oh, ow, c] = max of x[n, h, w, c] over the window's real cells
    min      the same with min; min(x) = -max(-x)
    average  the sum over the real cells, divided by their number

A real cell is a pixel of the image. Padded cells are ignored: they act as -inf for max, as +inf for min, and the average does
not count them. (A zero would be the maximum of a window of negative numbers.) Every window has at least one real cell.

Number the windows of a channel by r and the cells of a window by t. Each of the three is a weighted sum of the window's cells,

    out[r] = Σ_t s[r, t] · cells[r, t]          so that        dcells[r, t] = dout[r] · ∂out[r]/∂cells[r, t] = dout[r] · s[r, t]

    max, min   s[r, t] = 1 for the cell that is kept, and 0 for the others
    average    s[r, t] = 1 / (real cells of window r) for a real cell, and 0 for a padded one

For max and min, s depends on x too. But the chosen cell stays the same when x changes a little, so s is constant near x and adds no
term to the derivative, unless several cells have the extreme value. No derivative exists there, and the first of them in row-major
order receives the gradient. A pixel is copied into `cells` once for each window that covers it. So its gradient is the sum of
the gradients of its copies, which `col2im` computes, as for a convolution.

Below is the im2col implementation. A tap is a position (i, j) within the window. One axis of `cells` runs over the KH·KW taps in
row-major order, so `argmax` along it finds the first of equal maxima.

Source: LeCun et al. (1998), section II.A, for the average; Ranzato et al., *Unsupervised learning of invariant feature
hierarchies* (2007), for the maximum; padding as in `tf.nn.max_pool2d` and `tf.nn.avg_pool2d`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchnet import reference
from scratchnet.kernels import pooling as fused
from scratchnet.kernels.im2col import col2im, im2col
from scratchnet.layers.base import Pair, Shape, pair
from scratchnet.layers.window import WindowLayer
from scratchnet.padding import Pads, window_output_shape


def _real_cells(x_shape: tuple[int, ...], window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return for each tap of each window whether it covers a real cell: (OH·OW, KH·KW, 1), bool."""
    ones = np.ones((1, *x_shape[1:3], 1))
    return im2col(ones, window, strides, pads)[:, :, None] > 0          # (1, H, W, 1) -> (OH·OW, KH·KW, 1)


def _cells(x: np.ndarray, window: Pair, strides: Pair, pads: Pads, padding_value: float) -> np.ndarray:
    """Return each window's cells along one axis: (N, H, W, C) -> (N, OH·OW, KH·KW, C)."""
    N, C = x.shape[0], x.shape[3]
    cols = im2col(x, window, strides, pads)                             # -> (N·OH·OW, KH·KW·C)
    cells = cols.reshape(N, -1, window[0] * window[1], C)               # -> (N, OH·OW, KH·KW, C)
    return np.where(_real_cells(x.shape, window, strides, pads), cells, x.dtype.type(padding_value))


def _out(values: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return values, one per window, in the shape of images: (N, OH·OW, C) -> (N, OH, OW, C)."""
    return values.reshape(len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3])


def _col2im(dcells: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return for each pixel the sum of its copies' gradients: (N, OH·OW, KH·KW, C) -> (N, H, W, C)."""
    return col2im(dcells.reshape(-1, window[0] * window[1] * x.shape[3]), x.shape, window, strides, pads)


# -- max --------------------------------------------------------------------------------------------------------------


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the largest cell of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    cells = _cells(x, window, strides, pads, -np.inf)                   # (N, OH·OW, KH·KW, C)
    return _out(cells.max(axis=2), x, window, strides, pads)


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx: the largest cell of each window receives dout, the first in row-major order if several are equal.

    Where windows overlap, a pixel may be the largest of several windows: `col2im` adds their gradients.
    """
    cells = _cells(x, window, strides, pads, -np.inf)                   # (N, OH·OW, KH·KW, C)
    first = cells.argmax(axis=2)[:, :, None]                            # -> (N, OH·OW, 1, C)
    dcells = np.zeros_like(cells)
    np.put_along_axis(dcells, first, dout.reshape(first.shape), axis=2)
    return _col2im(dcells, x, window, strides, pads)


# -- min --------------------------------------------------------------------------------------------------------------


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the smallest cell of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    cells = _cells(x, window, strides, pads, np.inf)                    # (N, OH·OW, KH·KW, C)
    return _out(cells.min(axis=2), x, window, strides, pads)


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx. Since min(x) = -max(-x), the two signs cancel in the chain rule, and dout goes to the maximum of -x."""
    return max_pool2d_backward(dout, -x, window, strides, pads)


# -- average ----------------------------------------------------------------------------------------------------------


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return the mean of each window's real cells: (N, H, W, C) -> (N, OH, OW, C)."""
    cells = _cells(x, window, strides, pads, 0)                         # (N, OH·OW, KH·KW, C)
    count = _real_cells(x.shape, window, strides, pads).sum(axis=1)     # -> (OH·OW, 1)
    return _out(cells.sum(axis=2) / count.astype(x.dtype), x, window, strides, pads)


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Return dx: each real cell has the weight 1 / count in the output, and receives that share of dout."""
    real = _real_cells(x.shape, window, strides, pads)                  # (OH·OW, KH·KW, 1)
    share = real / real.sum(axis=1, keepdims=True)                      # s[r, t]: each window's weights; their sum is 1
    dcells = share.astype(x.dtype) * dout.reshape(len(x), -1, 1, x.shape[3])     # -> (N, OH·OW, KH·KW, C)
    return _col2im(dcells, x, window, strides, pads)


# -- the layers -------------------------------------------------------------------------------------------------------


# The fused forward of max- and min-pooling, and a sign: each window keeps the cell with the largest sign · x. `fused.extrema`
# returns the output, and which cell of each window was kept; backward needs only the second, and not x.
EXTREMA = {fused.max_pool2d_forward: 1, fused.min_pool2d_forward: -1}


class _Pooling2D(WindowLayer):
    """The base of the three pooling layers; each of them adds its pairs of functions."""

    def __init__(
        self,
        pool_size: int | Sequence[int] = (2, 2),
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        self.pool_size = pair("pool_size", pool_size)
        strides = self.pool_size if strides is None else pair("strides", strides)
        super().__init__(self.pool_size, strides, padding, implementation=implementation, name=name)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (OH, OW, C) for (H, W, C)."""
        (shape,) = input_shapes
        return (*self.output_size(shape), shape[2])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output: (N, H, W, C) -> (N, OH, OW, C)."""
        self.check_input(x)
        if self.forward_function in EXTREMA:                    # keep one tap for each output, and not x
            out, kept = fused.extrema(x, *self.real_window, EXTREMA[self.forward_function])
        else:
            out, kept = self.forward_function(x, *self.real_window), x      # window, strides and pads; see window.py
        self.cache = (kept,)
        return out

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx: (N, OH, OW, C) -> (N, H, W, C)."""
        (kept,) = self.cached(dout)
        if self.forward_function in EXTREMA:
            return fused.extrema_backward(dout, kept, (len(dout), *self.input_shape), *self.real_window)
        return self.backward_function(dout, kept, *self.real_window)


class MaxPooling2D(_Pooling2D):
    """Return the largest number of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next; `pool_size` when not given.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" lets the window extend beyond its edges, so that the output has
        ceil(H / SH) rows and ceil(W / SW) columns.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, or a window larger than the image under "valid".

    Examples
    --------
    >>> x = np.array([[1, 5, 2], [3, 4, 9]], "float32").reshape(1, 2, 3, 1)
    >>> MaxPooling2D((2, 2), strides=1, padding="same").build((2, 3, 1)).forward(x)[0, :, :, 0]
    array([[5., 9., 9.],
           [4., 9., 9.]], dtype=float32)
    """

    # `build` chooses one pair, "fused" by default, and forward and backward call it; in place of the fused pair they call `extrema`
    # and `extrema_backward`. To run exactly the functions above: MaxPooling2D(..., implementation="im2col").
    implementations = {
        "loops": (reference.max_pool2d_forward, reference.max_pool2d_backward),
        "im2col": (max_pool2d_forward, max_pool2d_backward),
        "fused": (fused.max_pool2d_forward, fused.max_pool2d_backward),
    }
    selects = True

    def branch_pattern(self) -> Sequence[np.ndarray]:
        """Return which cell of each window the last forward kept: (N, OH·OW, C)."""
        if self.forward_function in EXTREMA:
            return [winners.reshape(len(winners), -1, winners.shape[3]) for winners in self.cache or ()]
        return [_cells(x, *self.real_window, -np.inf).argmax(axis=2) for x in self.cache or ()]


class MinPooling2D(_Pooling2D):
    """Return the smallest number of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next; `pool_size` when not given.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" lets the window extend beyond its edges, so that the output has
        ceil(H / SH) rows and ceil(W / SW) columns.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, or a window larger than the image under "valid".

    Examples
    --------
    >>> x = np.array([[1, 5, 2], [3, 4, 9]], "float32").reshape(1, 2, 3, 1)
    >>> MinPooling2D((2, 2), strides=1, padding="same").build((2, 3, 1)).forward(x)[0, :, :, 0]
    array([[1., 2., 2.],
           [3., 4., 9.]], dtype=float32)
    """

    implementations = {
        "loops": (reference.min_pool2d_forward, reference.min_pool2d_backward),
        "im2col": (min_pool2d_forward, min_pool2d_backward),
        "fused": (fused.min_pool2d_forward, fused.min_pool2d_backward),
    }
    selects = True

    def branch_pattern(self) -> Sequence[np.ndarray]:
        """Return which cell of each window the last forward kept: (N, OH·OW, C)."""
        if self.forward_function in EXTREMA:
            return [winners.reshape(len(winners), -1, winners.shape[3]) for winners in self.cache or ()]
        return [_cells(x, *self.real_window, np.inf).argmin(axis=2) for x in self.cache or ()]


class AveragePooling2D(_Pooling2D):
    """Return the mean of the real cells of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next; `pool_size` when not given.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" lets the window extend beyond its edges, so that the output has
        ceil(H / SH) rows and ceil(W / SW) columns.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, or a window larger than the image under "valid".

    Examples
    --------
    >>> x = np.array([[1, 5, 2], [3, 4, 9]], "float32").reshape(1, 2, 3, 1)
    >>> AveragePooling2D((2, 2), strides=1, padding="same").build((2, 3, 1)).forward(x)[0, :, :, 0]
    array([[3.25, 5.  , 5.5 ],
           [3.5 , 6.5 , 9.  ]], dtype=float32)
    """

    implementations = {
        "loops": (reference.average_pool2d_forward, reference.average_pool2d_backward),
        "im2col": (average_pool2d_forward, average_pool2d_backward),
        "fused": (fused.average_pool2d_forward, fused.average_pool2d_backward),
    }


POOLS = {"max": MaxPooling2D, "min": MinPooling2D, "average": AveragePooling2D}
