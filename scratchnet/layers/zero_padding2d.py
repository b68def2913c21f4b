"""ZeroPadding2D: rows and columns of zeros around each image.

    out[n, h + top, w + left, c] = x[n, h, w, c], and 0 outside                dx[n, h, w, c] = dout[n, h + top, w + left, c]

Every pixel is copied to one place of the output, and the zeros are constants, which have no gradient. Residual networks that were
ported from Caffe or PyTorch pad in this way before a convolution of stride 2, where "same" would often put one row more at the
bottom than at the top, and one column more at the right than at the left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape
from scratchnet.padding import Pads
from scratchnet.support.checking import is_integer, shortened


def zero_padding2d_forward(x: np.ndarray, pads: Pads) -> np.ndarray:
    """Return the images with zeros around them: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C)."""
    return np.pad(x, ((0, 0), *pads, (0, 0)))


def zero_padding2d_backward(dout: np.ndarray, pads: Pads) -> np.ndarray:
    """Return dx, the part of dout that belongs to pixels: (N, top + H + bottom, left + W + right, C) -> (N, H, W, C)."""
    (top, bottom), (left, right) = pads
    return np.ascontiguousarray(dout[:, top : dout.shape[1] - bottom, left : dout.shape[2] - right])


class ZeroPadding2D(Layer):
    """Put rows and columns of zeros around images.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        The number of rows and columns on each side; (rows, columns); or ((top, bottom), (left, right)).
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For anything but integers of at least 0, or an input that is not an image.

    Examples
    --------
    >>> ZeroPadding2D(((1, 0), (0, 2))).build((1, 2, 1)).forward(np.ones((1, 1, 2, 1), "float32"))[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [1., 1., 0., 0.]], dtype=float32)
    """

    # The outputs that are not pixels are 0 and pass no gradient on, so the layer after this one may compute the backward of a
    # ReLU before it (plan.py).
    selects = True
    implementations = {
        "loops": (reference.zero_padding2d_forward, reference.zero_padding2d_backward),
        "im2col": (zero_padding2d_forward, zero_padding2d_backward),
        "fused": (zero_padding2d_forward, zero_padding2d_backward),
    }

    def __init__(self, padding: Any = (1, 1), *, implementation: str | None = None, name: str | None = None):
        super().__init__(name=name, implementation=implementation)
        self.padding = _pads(padding)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (top + H + bottom, left + W + right, C) for (H, W, C)."""
        (shape,) = input_shapes
        if len(shape) != 3:
            raise ValueError(
                f"{self._title}: expected images of shape (H, W, C), got samples of shape {shape}. Put it before Flatten()"
            )
        rows, columns = self.padding
        return (shape[0] + sum(rows), shape[1] + sum(columns), shape[2])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C)."""
        self.check_input(x)
        self.cache = (self.padding,)
        return self.forward_function(x, self.padding)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx: (N, top + H + bottom, left + W + right, C) -> (N, H, W, C)."""
        return self.backward_function(dout, *self.cached(dout))


def _pads(value: Any) -> Pads:
    """Return ((top, bottom), (left, right)) from one of the three forms."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    sides = [tuple(side) if isinstance(side, (tuple, list)) else (side, side) for side in both]
    if [len(side) for side in sides] != [2, 2] or not all(is_integer(n) and 0 <= n < 2**31 for side in sides for n in side):
        raise ValueError(
            f"padding: expected integers of at least 0 as one number, (rows, columns) or ((top, bottom), (left, right)), got"
            f" {shortened(value)}. For example ZeroPadding2D((1, 1))"
        )
    (top, bottom), (left, right) = sides
    return (int(top), int(bottom)), (int(left), int(right))
