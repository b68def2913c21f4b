"""Pooling: a window moves over each channel by itself and keeps one number, the largest, the smallest or the mean.

    max      out[n, oh, ow, c] = max of x[n, h, w, c] over the window's real cells
    min      the same with min; also -max(-x)
    average  the sum over the real cells, divided by how many they are

Padded cells do not take part: as if they were -inf for max, +inf for min, and not there for the average. (Zeros would
win in a window of negative numbers.) Some real cell is in every window.

Below is the im2col telling. A column of `cells` is one tap of the window over the whole image, so that taps are numbered
in row-major order and `argmax` finds the first of equal maxima.

Source: LeCun et al. (1998), section II.A, for the average; Ranzato et al., *Unsupervised learning of invariant feature
hierarchies* (2007), for the maximum; padding as in `tf.nn.max_pool2d` and `tf.nn.avg_pool2d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.kernels import pooling as fused
from scratchnet.kernels.im2col import col2im, im2col
from scratchnet.layers.base import Layer, Shape, pair
from scratchnet.padding import Pads, check_window, window_output_shape, window_pads

Pair = tuple[int, int]


def _real_cells(x_shape: tuple[int, ...], window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Say of each tap of each window whether it meets a real cell: (OH·OW, KH·KW, 1), bool."""
    ones = np.ones((1, *x_shape[1:3], 1))
    return im2col(ones, window, strides, pads)[:, :, None] > 0          # (1, H, W, 1) -> (OH·OW, KH·KW, 1)


def _cells(x: np.ndarray, window: Pair, strides: Pair, pads: Pads, padding_value: float) -> np.ndarray:
    """Lay each window's cells out along one axis: (N, H, W, C) -> (N, OH·OW, KH·KW, C)."""
    N, C = x.shape[0], x.shape[3]
    cols = im2col(x, window, strides, pads)                             # -> (N·OH·OW, KH·KW·C)
    cells = cols.reshape(N, -1, window[0] * window[1], C)               # -> (N, OH·OW, KH·KW, C)
    return np.where(_real_cells(x.shape, window, strides, pads), cells, x.dtype.type(padding_value))


def _out(values: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """(N, OH·OW, C) -> (N, OH, OW, C)."""
    return values.reshape(len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3])


def _back(dcells: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add the gradients of all windows' cells up in the pixels that they were: (N, OH·OW, KH·KW, C) -> (N, H, W, C)."""
    return col2im(dcells.reshape(-1, window[0] * window[1] * x.shape[3]), x.shape, window, strides, pads)


# -- max --------------------------------------------------------------------------------------------------------------


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Keep the largest cell of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    cells = _cells(x, window, strides, pads, -np.inf)                   # (N, OH·OW, KH·KW, C)
    return _out(cells.max(axis=2), x, window, strides, pads)


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """The output moves as its largest cell does: that cell gets dout, the others 0.

    Of equal cells the first in row-major order gets all of it. Where windows overlap, a pixel may be the largest of
    several: `col2im` adds.
    """
    cells = _cells(x, window, strides, pads, -np.inf)                   # (N, OH·OW, KH·KW, C)
    first = cells.argmax(axis=2)[:, :, None]                            # -> (N, OH·OW, 1, C)
    dcells = np.zeros_like(cells)
    np.put_along_axis(dcells, first, dout.reshape(first.shape), axis=2)
    return _back(dcells, x, window, strides, pads)


# -- min --------------------------------------------------------------------------------------------------------------


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Keep the smallest cell of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    cells = _cells(x, window, strides, pads, np.inf)                    # (N, OH·OW, KH·KW, C)
    return _out(cells.min(axis=2), x, window, strides, pads)


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """min(x) = -max(-x): the two signs meet in the chain rule and cancel, so dout goes to the cell that -x's maximum names."""
    return max_pool2d_backward(dout, -x, window, strides, pads)


# -- average ----------------------------------------------------------------------------------------------------------


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Average the real cells of each window: (N, H, W, C) -> (N, OH, OW, C)."""
    cells = _cells(x, window, strides, pads, 0)                         # (N, OH·OW, KH·KW, C)
    count = _real_cells(x.shape, window, strides, pads).sum(axis=1)     # -> (OH·OW, 1)
    return _out(cells.sum(axis=2) / count.astype(x.dtype), x, window, strides, pads)


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Each real cell went into the output with the weight 1 / count, and gets that share of dout."""
    real = _real_cells(x.shape, window, strides, pads)                  # (OH·OW, KH·KW, 1)
    share = real / real.sum(axis=1, keepdims=True)                      # each window's weights, of sum 1
    dcells = share.astype(x.dtype) * dout.reshape(len(x), -1, 1, x.shape[3])     # -> (N, OH·OW, KH·KW, C)
    return _back(dcells, x, window, strides, pads)


# -- the layers -------------------------------------------------------------------------------------------------------


class _Pooling2D(Layer):
    """What the three have in common; what each adds is its pair of functions."""

    def __init__(
        self,
        pool_size: int | Sequence[int] = (2, 2),
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.pool_size = pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair("strides", strides)
        self.padding = padding
        check_window(self.pool_size, self.padding)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """(H, W, C) -> (OH, OW, C)."""
        (shape,) = input_shapes
        check_window(self.pool_size, self.padding, shape)
        pads = window_pads(self.padding, shape[:2], self.pool_size, self.strides)
        return (*window_output_shape(shape, self.pool_size, self.strides, pads), shape[2])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(N, H, W, C) -> (N, OH, OW, C)."""
        self.check_input(x)
        pads = window_pads(self.padding, self.input_shape[:2], self.pool_size, self.strides)
        self.cache = (x, pads)
        return self.forward_function(x, self.pool_size, self.strides, pads)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """(N, OH, OW, C) -> (N, H, W, C)."""
        x, pads = self.cached(dout)
        return self.backward_function(dout, x, self.pool_size, self.strides, pads)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {"pool_size": list(self.pool_size), "strides": list(self.strides), "padding": self.padding, **super().get_config()}


class MaxPooling2D(_Pooling2D):
    """Keep the largest number of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next; `pool_size` when not given.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" lets the window reach over its edges, so that the output has
        ceil(H / stride) rows.
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

    tellings = {
        "loops": (reference.max_pool2d_forward, reference.max_pool2d_backward),
        "im2col": (max_pool2d_forward, max_pool2d_backward),
        "fused": (fused.max_pool2d_forward, fused.max_pool2d_backward),
    }


class MinPooling2D(_Pooling2D):
    """Keep the smallest number of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next; `pool_size` when not given.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" lets the window reach over its edges, so that the output has
        ceil(H / stride) rows.
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

    tellings = {
        "loops": (reference.min_pool2d_forward, reference.min_pool2d_backward),
        "im2col": (min_pool2d_forward, min_pool2d_backward),
        "fused": (fused.min_pool2d_forward, fused.min_pool2d_backward),
    }


class AveragePooling2D(_Pooling2D):
    """Average the real cells of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next; `pool_size` when not given.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" lets the window reach over its edges, so that the output has
        ceil(H / stride) rows.
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

    tellings = {
        "loops": (reference.average_pool2d_forward, reference.average_pool2d_backward),
        "im2col": (average_pool2d_forward, average_pool2d_backward),
        "fused": (fused.average_pool2d_forward, fused.average_pool2d_backward),
    }
