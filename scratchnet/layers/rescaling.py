"""Rescaling: each number is multiplied by a constant and another is added; scale 1/255 converts pixels from 0..255 to [0, 1].

    out[n, h, w, c] = x[n, h, w, c] · scale[c] + offset[c]              dx[n, h, w, c] = dout[n, h, w, c] · scale[c]

∂out_i/∂x_j = scale where i = j, and 0 elsewhere. One number for scale or offset holds for all channels. Neither is trained. To
standardize pixels, choose scale = 1/σ and offset = -μ/σ, where μ and σ are the mean and the standard deviation of each channel.

Source: `keras.layers.Rescaling`; LeCun, Bottou, Orr & Müller, *Efficient BackProp* (1998), section 4.3, on why inputs are
rescaled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape
from scratchnet.support.checking import plain_array, shortened


def rescaling_forward(x: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return x · scale + offset: (N, …, C), () or (C,), () or (C,) -> (N, …, C)."""
    return x * scale + offset


def rescaling_backward(dout: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return dx = dout · scale: (N, …, C), () or (C,) -> (N, …, C)."""
    return dout * scale


class Rescaling(Layer):
    """Multiply by `scale` and add `offset`: `Rescaling(1 / 255)`.

    Parameters
    ----------
    scale, offset : float or list of C floats
        One number, or one for each channel (each number of the last axis).
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For anything but finite numbers, or a list whose length is not the number of channels.

    Examples
    --------
    >>> Rescaling(1 / 127.5, offset=-1).build((3,)).forward(np.array([[0, 127.5, 255]], "float32"))
    array([[-1.,  0.,  1.]], dtype=float32)
    """

    implementations = {
        "loops": (reference.rescaling_forward, reference.rescaling_backward),
        "im2col": (rescaling_forward, rescaling_backward),
        "fused": (rescaling_forward, rescaling_backward),
    }

    def __init__(
        self,
        scale: float | Sequence[float],
        offset: float | Sequence[float] = 0.0,
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.scale, self.offset = _numbers("scale", scale), _numbers("offset", offset)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of the input."""
        (shape,) = input_shapes
        for what, value in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(value, tuple) and (len(value),) != shape[-1:]:
                raise ValueError(
                    f"{self._title}: expected {what} as one number, or as {shape[-1]} numbers for samples of shape {shape}, got"
                    f" {len(value)} numbers. Pass one for each channel"
                )
        return shape

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output, of the shape of x."""
        self.check_input(x)
        self.cache = (np.asarray(self.scale, self.dtype),)
        return self.forward_function(x, *self.cache, np.asarray(self.offset, self.dtype))

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx, of the shape of dout."""
        return self.backward_function(dout, *self.cached(dout))


def _numbers(name: str, value: float | Sequence[float]) -> float | tuple[float, ...]:
    """Return one finite number, or several, as Python floats."""
    array = plain_array("Rescaling", name, value)
    if array.ndim > 1 or not array.size or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(
            f"Rescaling: expected {name} as a finite number, or a list of one for each channel, got {shortened(value)}."
            " For example Rescaling(1 / 255)"
        )
    return tuple(map(float, array)) if array.ndim else float(array)
