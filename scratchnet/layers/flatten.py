"""Flatten: an image becomes one row of numbers, in the order of its memory (row, column, channel).

Nothing is computed, so nothing but the shape has to find its way back: dx[n, h, w, c] = dout[n, (h·W + w)·C + c].
"""

from __future__ import annotations

from math import prod

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape


def flatten_forward(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> (N, H·W·C), the same numbers in the same memory."""
    return x.reshape(len(x), prod(x.shape[1:]))


def flatten_backward(dout: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Give dout in the shape of x, since out is x in another: (N, H·W·C) -> (N, H, W, C)."""
    return dout.reshape(x_shape)


class Flatten(Layer):
    """Lay each sample out as one row.

    Parameters
    ----------
    name : str, optional

    Examples
    --------
    >>> Flatten().build((2, 3, 1)).forward(np.arange(6, dtype="float32").reshape(1, 2, 3, 1))
    array([[0., 1., 2., 3., 4., 5.]], dtype=float32)
    """

    tellings = {
        "loops": (reference.flatten_forward, reference.flatten_backward),
        "im2col": (flatten_forward, flatten_backward),
        "fused": (flatten_forward, flatten_backward),
    }

    def __init__(self, *, name: str | None = None):
        super().__init__(name=name)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """(H, W, C) -> (H·W·C,)."""
        return (prod(input_shapes[0]),)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(N, H, W, C) -> (N, H·W·C)."""
        self.check_input(x)
        self.cache = (x.shape,)
        return self.forward_function(x)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """(N, H·W·C) -> (N, H, W, C)."""
        (x_shape,) = self.cached(dout)
        return self.backward_function(dout, x_shape)
