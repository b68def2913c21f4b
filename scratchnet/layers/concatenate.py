"""Concatenate: the outputs of several paths of a graph side by side, as the channels of one image.

    out = [a, b] along an axis           (N, H, W, A), (N, H, W, B) -> (N, H, W, A + B)

Nothing is computed. With `start` the first index of an input's part along the axis (A for b),

    out[…, start + k, …] = b[…, k, …]             db[…, k, …] = dout[…, start + k, …]

since every number of an input is read by one number of the output. So backward cuts dout where forward has joined the inputs.

Axes are numbered as in Keras: axis 0 is the batch, 1 to 3 are rows, columns and channels, and -1 is the last.

Source: Szegedy et al., *Going deeper with convolutions* (2015), section 4, which joins parallel convolutions in this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape
from scratchnet.support.checking import is_integer, shortened


def concatenate_forward(xs: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Return the inputs side by side along `axis`: (N, …, A, …), (N, …, B, …) -> (N, …, A + B, …)."""
    return np.concatenate(xs, axis)


def concatenate_backward(dout: np.ndarray, sizes: Sequence[int], axis: int) -> tuple[np.ndarray, ...]:
    """Return the gradient of each input; input k has sizes[k] numbers along `axis`.

    (N, …, A + B, …) -> (N, …, A, …), (N, …, B, …)
    """
    parts = np.split(dout, np.cumsum(sizes)[:-1], axis)                 # views of dout
    return tuple(np.ascontiguousarray(part) for part in parts)


class Concatenate(Layer):
    """Join outputs along an axis: `Concatenate()([a, b])`.

    Parameters
    ----------
    axis : int
        The axis along which the inputs are joined; their sizes may differ only there. 0 is the batch, which cannot be chosen.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For the batch axis, an axis that the inputs do not have, or inputs that differ along another axis.

    Examples
    --------
    >>> layer = Concatenate().build([(1,), (2,)])
    >>> layer.forward(np.array([[1]], "float32"), np.array([[10, 20]], "float32"))
    array([[ 1., 10., 20.]], dtype=float32)
    >>> layer.backward(np.array([[5, 6, 7]], "float32"))
    (array([[5.]], dtype=float32), array([[6., 7.]], dtype=float32))
    """

    implementations = {
        "loops": (reference.concatenate_forward, reference.concatenate_backward),
        "im2col": (concatenate_forward, concatenate_backward),
        "fused": (concatenate_forward, concatenate_backward),
    }

    def __init__(self, axis: int = -1, *, implementation: str | None = None, name: str | None = None):
        super().__init__(name=name, implementation=implementation)
        if not is_integer(axis):
            raise ValueError(f"axis: expected an integer, got {shortened(axis)}. -1 is the last axis, the channels of images")
        if axis == 0:
            raise ValueError("axis: expected an axis after the batch axis, got 0, the batch. 1 is the first axis of a sample")
        self.axis = int(axis)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of the inputs, with the sum of their sizes along the axis."""
        first, shapes = input_shapes[0], ", ".join(map(str, input_shapes))
        axes = len(first) + 1                                           # with that of the batch
        axis = self.axis if self.axis > 0 else self.axis + axes
        if not 1 <= axis < axes:
            raise ValueError(
                f"{self._title}: expected an axis from 1 to {axes - 1}, or from {1 - axes} to -1, for samples of shape"
                f" {first}, got {self.axis}. Axis 0 is the batch; -1 is the last axis"
            )
        rests = {(*shape[: axis - 1], *shape[axis:]) for shape in input_shapes}
        if len(rests) > 1 or len({len(shape) for shape in input_shapes}) > 1:
            raise ValueError(
                f"{self._title}: expected inputs that differ only along axis {axis} (0 is the batch), got {shapes}."
                " Make the other sizes equal before it, or choose another axis"
            )
        return (*first[: axis - 1], sum(shape[axis - 1] for shape in input_shapes), *first[axis:])

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Return the inputs side by side, from first to last."""
        self.check_inputs(xs)
        axis = self.axis % xs[0].ndim
        self.cache = ([x.shape[axis] for x in xs], axis)
        return self.forward_function(xs, axis)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> tuple[np.ndarray, ...]:
        """Return the part of dout that belongs to each input."""
        return self.backward_function(dout, *self.cached(dout))
