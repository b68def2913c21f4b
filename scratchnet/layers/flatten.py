"""Flatten: an image becomes one row of numbers, in row-major order (row, column, channel).

Nothing is computed, out[n, (h·W + w)·C + c] = x[n, h, w, c], so backward only restores the shape:
dx[n, h, w, c] = dout[n, (h·W + w)·C + c].
"""

from __future__ import annotations

from math import prod

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape


def flatten_forward(x: np.ndarray) -> np.ndarray:
    """Return each sample as one row, without a copy if x is contiguous: (N, H, W, C) -> (N, H·W·C)."""
    return x.reshape(len(x), prod(x.shape[1:]))


def flatten_backward(dout: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Return dout in the shape of x: (N, H·W·C) -> (N, H, W, C)."""
    return dout.reshape(x_shape)


class Flatten(Layer):
    """Return each sample as one row.

    Parameters
    ----------
    name : str, optional

    Examples
    --------
    >>> Flatten().build((2, 3, 1)).forward(np.arange(6, dtype="float32").reshape(1, 2, 3, 1))
    array([[0., 1., 2., 3., 4., 5.]], dtype=float32)
    """

    selects = True
    implementations = {
        "loops": (reference.flatten_forward, reference.flatten_backward),
        "im2col": (flatten_forward, flatten_backward),
        "fused": (flatten_forward, flatten_backward),
    }

    def __init__(self, *, name: str | None = None):
        super().__init__(name=name)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (H·W·C,) for (H, W, C)."""
        return (prod(input_shapes[0]),)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output: (N, H, W, C) -> (N, H·W·C)."""
        self.check_input(x)
        self.cache = (x.shape,)
        return self.forward_function(x)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx: (N, H·W·C) -> (N, H, W, C)."""
        (x_shape,) = self.cached(dout)
        return self.backward_function(dout, x_shape)
