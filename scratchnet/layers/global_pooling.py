"""Global pooling: each channel of an image becomes one number, its mean or its maximum over all pixels.

    average  out[n, c] = 1/(H·W) · Σ_h Σ_w x[n, h, w, c]
    max      out[n, c] = max over h and w of x[n, h, w, c]

It is a pooling with one window, as large as the image, so what layers/pooling.py derives holds here without padding and without
overlap. With dout[n, c] = ∂L/∂out[n, c], and since a pixel of channel c is read by out[n, c] alone,

    average  ∂out[n, c]/∂x[n, h, w, c] = 1/(H·W)                          dx[n, h, w, c] = dout[n, c] / (H·W)
    max      ∂out[n, c]/∂x[n, h, w, c] = 1 at the maximum, 0 elsewhere    dx[n, h, w, c] = dout[n, c] at the maximum, 0 elsewhere

Among equal maxima the first in row-major order receives the gradient, as in max-pooling, and as in PyTorch's
`adaptive_max_pool2d`. (TensorFlow's `reduce_max`, and so Keras with TensorFlow, divides it equally among them.)

A sum of many float32 numbers loses digits with each addition. So the sum is computed in float64, and the mean is rounded once.

Source: Lin, Chen & Yan, *Network in network* (2014), section 3.2, for the average; Oquab et al., *Is object localization for
free?* (2015), section 3, for the maximum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer, Shape
from scratchnet.support.checking import check_flag

# -- average ----------------------------------------------------------------------------------------------------------


def global_average_pool2d_forward(x: np.ndarray) -> np.ndarray:
    """Return the mean of each channel of each image: (N, H, W, C) -> (N, C)."""
    return x.mean(axis=(1, 2), dtype=np.float64).astype(x.dtype)


def global_average_pool2d_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx: each of the H·W pixels has the weight 1/(H·W) in the mean, and receives that share of dout."""
    _, H, W, _ = x.shape
    share = dout / dout.dtype.type(H * W)                               # (N, C)
    return np.broadcast_to(share[:, None, None, :], x.shape).copy()     # -> (N, H, W, C)


# -- max --------------------------------------------------------------------------------------------------------------


def _pixels(x: np.ndarray) -> np.ndarray:
    """Return the pixels of each image along one axis, in row-major order: (N, H, W, C) -> (N, H·W, C)."""
    N, H, W, C = x.shape
    return x.reshape(N, H * W, C)


def global_max_pool2d_forward(x: np.ndarray) -> np.ndarray:
    """Return the maximum of each channel of each image: (N, H, W, C) -> (N, C)."""
    return x.max(axis=(1, 2))


def global_max_pool2d_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx: the maximum of each channel receives dout, the first in row-major order if several are equal."""
    first = _pixels(x).argmax(axis=1)[:, None]                          # (N, H·W, C) -> (N, 1, C)
    dx = np.zeros(x.shape, x.dtype)
    np.put_along_axis(_pixels(dx), first, dout[:, None], axis=1)        # _pixels(dx) is a view: this writes into dx
    return dx


# -- the layers -------------------------------------------------------------------------------------------------------


class _GlobalPooling2D(Layer):
    """The base of the two layers; each of them adds its pairs of functions."""

    def __init__(self, *, keepdims: bool = False, implementation: str | None = None, name: str | None = None):
        super().__init__(name=name, implementation=implementation)
        self.keepdims = check_flag("keepdims", keepdims)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (C,) for (H, W, C), or (1, 1, C) with `keepdims`."""
        (shape,) = input_shapes
        if len(shape) != 3:
            raise ValueError(
                f"{type(self).__name__}: expected images of shape (H, W, C), got samples of shape {shape}."
                " Put it before Flatten(), after the last convolution or pooling"
            )
        return (1, 1, shape[2]) if self.keepdims else (shape[2],)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`."""
        self.check_input(x)
        self.cache = (x,)
        return self.forward_function(x).reshape(len(x), *self.output_shape)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx, for dout of the shape of the output: -> (N, H, W, C)."""
        (x,) = self.cached(dout)
        return self.backward_function(dout.reshape(len(x), x.shape[3]), x)


class GlobalAveragePooling2D(_GlobalPooling2D):
    """Return the mean of each channel.

    Parameters
    ----------
    keepdims : bool
        Whether the output is an image of one pixel, (1, 1, C), in place of (C,).
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an input that is not an image.

    Examples
    --------
    >>> x = np.array([[1, 5, 2], [3, 4, 9]], "float32").reshape(1, 2, 3, 1)
    >>> GlobalAveragePooling2D().build((2, 3, 1)).forward(x)
    array([[4.]], dtype=float32)
    """

    implementations = {
        "loops": (reference.global_average_pool2d_forward, reference.global_average_pool2d_backward),
        "im2col": (global_average_pool2d_forward, global_average_pool2d_backward),
        "fused": (global_average_pool2d_forward, global_average_pool2d_backward),
    }


class GlobalMaxPooling2D(_GlobalPooling2D):
    """Return the largest number of each channel.

    Parameters
    ----------
    keepdims : bool
        Whether the output is an image of one pixel, (1, 1, C), in place of (C,).
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an input that is not an image.

    Examples
    --------
    >>> x = np.array([[1, 5, 2], [3, 4, 9]], "float32").reshape(1, 2, 3, 1)
    >>> layer = GlobalMaxPooling2D().build((2, 3, 1))
    >>> layer.forward(x)
    array([[9.]], dtype=float32)
    >>> layer.backward(np.array([[7]], "float32"))[0, :, :, 0]
    array([[0., 0., 0.],
           [0., 0., 7.]], dtype=float32)
    """

    implementations = {
        "loops": (reference.global_max_pool2d_forward, reference.global_max_pool2d_backward),
        "im2col": (global_max_pool2d_forward, global_max_pool2d_backward),
        "fused": (global_max_pool2d_forward, global_max_pool2d_backward),
    }
    selects = True

    def branch_pattern(self) -> Sequence[np.ndarray]:
        """Return which pixel of each channel the last forward kept: (N, C)."""
        return [_pixels(x).argmax(axis=1) for x in self.cache or ()]
