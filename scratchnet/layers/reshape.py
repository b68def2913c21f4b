"""Reshape: the numbers of each sample in another shape, in row-major order.

Nothing is computed. With d the place of a number in its sample, counted row by row,

    out[n][d] = x[n][d]              dx[n][d] = dout[n][d]

so backward only restores the shape. Flatten is the case of one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape
from scratchnet.support.checking import is_integer, shortened


def reshape_forward(x: np.ndarray, shape: Shape) -> np.ndarray:
    """Return each sample in another shape, without a copy if x is contiguous: (N, …) -> (N, *shape)."""
    return x.reshape(len(x), *shape)


def reshape_backward(dout: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Return dout in the shape of x: (N, *shape) -> (N, …)."""
    return dout.reshape(x_shape)


class Reshape(Layer):
    """Return each sample in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis. One of the sizes may be -1: it is computed from the others.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For a shape that does not hold as many numbers as a sample has.

    Examples
    --------
    >>> Reshape((2, -1)).build((6,)).forward(np.arange(6, dtype="float32").reshape(1, 6))
    array([[[0., 1., 2.],
            [3., 4., 5.]]], dtype=float32)
    """

    selects = True
    implementations = {
        "loops": (reference.reshape_forward, reference.reshape_backward),
        "im2col": (reshape_forward, reshape_backward),
        "fused": (reshape_forward, reshape_backward),
    }

    def __init__(self, target_shape: Sequence[int], *, implementation: str | None = None, name: str | None = None):
        super().__init__(name=name, implementation=implementation)
        sizes = tuple(target_shape) if isinstance(target_shape, (tuple, list)) else ()
        if not sizes or not all(is_integer(size) and (size == -1 or 1 <= size < 2**31) for size in sizes) or sizes.count(-1) > 1:
            raise ValueError(
                "target_shape: expected a tuple of sizes without the batch axis, of which one may be -1, got"
                f" {shortened(target_shape)}. For example Reshape((28, 28, 1))"
            )
        self.target_shape = tuple(map(int, sizes))

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the target shape, with the size that is computed in place of -1."""
        (shape,) = input_shapes
        numbers, known = prod(shape), prod(size for size in self.target_shape if size != -1)
        if numbers % known or (-1 not in self.target_shape and numbers != known):
            raise ValueError(
                f"{self._title}: expected a target_shape that holds the {numbers} numbers of a sample of shape {shape}, got"
                f" {self.target_shape}. Reshape((-1,)) makes one row of them"
            )
        return tuple(numbers // known if size == -1 else size for size in self.target_shape)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output: (N, …) -> (N, *target_shape)."""
        self.check_input(x)
        self.cache = (x.shape,)
        return self.forward_function(x, self.output_shape)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx: (N, *target_shape) -> (N, …)."""
        (x_shape,) = self.cached(dout)
        return self.backward_function(dout, x_shape)
