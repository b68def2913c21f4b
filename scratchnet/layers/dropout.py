"""Dropout: in training, each number is replaced by 0 with probability `rate`, and the others are scaled up.

A network with dropout cannot rely on any single number of a layer, so each of them becomes useful without the others. With r
the rate, and independent u_i, uniform in [0, 1),

    m_i = 1 where u_i ≥ r, else 0               out_i = x_i · m_i / (1 - r)                                      (1)

Why divide by 1 - r? A number is kept with the probability P(u_i ≥ r) = 1 - r, so the expected value is

    E[out_i] = (1 - r) · x_i / (1 - r) + r · 0 = x_i

and the next layer receives the same numbers on average in training as in inference, where dropout does nothing:

    inference   out_i = x_i

(This is "inverted" dropout. The paper scales at inference instead: out_i = x_i · m_i in training, and (1 - r) · x_i in
inference. The expectations agree in both, but with the paper's form inference has to know the rate.)

The mask is drawn once for a batch and does not depend on x. So each output is x_i times a constant, and the sum of the chain
rule has one term. With δ_ij = 1 where i = j, and 0 elsewhere,

    ∂out_i/∂x_j = δ_ij · m_i / (1 - r)          dx_i = dout_i · m_i / (1 - r)                                    (2)

Backward is the same function as forward, applied to dout with the same mask.

The mask is not kept for backward. Forward draws one random integer for each batch, the key. The numbers u_i depend only on the key
and on i (kernels/draws.py), so both functions compute the mask from the key. For (128, 12544) numbers, the key is 8 bytes, while
a mask of bools would be 1.6 MB; computing it twice costs about 1 ns per number.

With `noise_shape`, fewer numbers are drawn than x has, and each of them masks several: with (N, 1, 1, C), whole channels of an
image are dropped. Neighbouring pixels of a channel are so similar that dropping single ones hides little from the next layer.

Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, *Dropout: a simple way to prevent neural networks from
overfitting* (2014), sections 4 and 10 (the inverted form); Tompson et al., *Efficient object localization using convolutional
networks* (2015), section 3.2, for channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.kernels import dropout as fused
from scratchnet.kernels.draws import uniform_numpy
from scratchnet.layers.base import Layer, Samples, Shape
from scratchnet.support.checking import check_number, check_seed, is_integer, shortened


def masked(x: np.ndarray, keep: np.ndarray, rate: float) -> np.ndarray:
    """Return x / (1 - rate) where `keep` is True, and 0 elsewhere; `keep` has the shape of x, or is broadcast to it."""
    return np.where(keep, x * x.dtype.type(1 / (1 - rate)), x.dtype.type(0))


def dropout_forward(x: np.ndarray, rate: float, key: int, noise_shape: Shape | None = None, first: int = 0) -> np.ndarray:
    """Return (1): x / (1 - rate) where the number drawn is at least `rate`, and 0 elsewhere, for any shape.

    The numbers depend only on the integer `key` and on their index in `noise_shape`, which is the shape of x when it is None. The
    index of the first number is `first`.
    """
    keep = uniform_numpy(key, x.shape if noise_shape is None else noise_shape, first) >= rate
    return masked(x, keep, rate)


def dropout_backward(dout: np.ndarray, rate: float, key: int, noise_shape: Shape | None = None, first: int = 0) -> np.ndarray:
    """Return dx, which is (2): the same mask and the same factor as in forward, applied to dout."""
    return dropout_forward(dout, rate, key, noise_shape, first)


def _check_rate(who: str, rate: Any) -> float:
    """Return a rate, or raise ValueError."""
    try:
        return check_number("rate", rate, below=1)
    except ValueError:
        raise ValueError(
            f"{who}: expected a rate of at least 0 and below 1, got {shortened(rate)}. It is the fraction of the numbers that is"
            f" dropped, such as {who}(0.5)"
        ) from None


def _check_noise_shape(who: str, noise_shape: Any) -> tuple[int | None, ...] | None:
    """Return the shape of a mask as a tuple, or raise ValueError."""
    if noise_shape is None:
        return None
    lengths = tuple(noise_shape) if isinstance(noise_shape, (tuple, list)) else ("",)
    if not all(length is None or (is_integer(length) and length >= 1) for length in lengths):
        raise ValueError(
            f"{who}: expected noise_shape as a tuple of integers of at least 1, with None for the length of an axis of x, got"
            f" {shortened(noise_shape)}. For example noise_shape=(None, 1, 1, None)"
        )
    return tuple(length if length is None else int(length) for length in lengths)


class Dropout(Layer):
    """Replace numbers by 0 at random in training, and do nothing in inference.

    Parameters
    ----------
    rate : float
        The fraction of the numbers that is dropped, at least 0 and below 1. (Keras takes 1 too, and returns zeros only.)
    noise_shape : tuple, optional
        The shape of the mask, with the batch axis; each length is 1, or that of x, which is written as None. (For every axis but
        the batch, the length itself is accepted too.) Along an axis of length 1, numbers are dropped together: (None, 1, 1, None)
        drops whole channels. By default each number is dropped on its own.
    seed : int, optional
        Of the layer's own random numbers. By default the model's seed decides.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, or a `noise_shape` that does not suit the input.

    Examples
    --------
    >>> x = np.arange(1, 7, dtype="float32").reshape(2, 3)
    >>> layer = Dropout(0.5, seed=6).build((3,))
    >>> layer.forward(x, training=True)
    array([[ 2.,  0.,  6.],
           [ 0., 10.,  0.]], dtype=float32)
    >>> layer.backward(np.ones((2, 3), "float32"))
    array([[2., 0., 2.],
           [0., 2., 0.]], dtype=float32)
    >>> layer.forward(x)
    array([[1., 2., 3.],
           [4., 5., 6.]], dtype=float32)
    """

    implementations = {
        "loops": (reference.dropout_forward, reference.dropout_backward),
        "im2col": (dropout_forward, dropout_backward),
        "fused": (fused.dropout_forward, fused.dropout_backward),
    }
    draws = samples_of_parts_only = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.rate = _check_rate(type(self).__name__, rate)
        self.noise_shape = _check_noise_shape(type(self).__name__, noise_shape)
        self.couples_batch = self.noise_shape is not None and self.noise_shape[:1] == (1,)      # one mask for all images
        self.seed = check_seed("seed", seed)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of the input, after a check that `noise_shape` suits it."""
        (shape,) = input_shapes
        lengths = [(None, 1), *((None, 1, size) for size in shape)]         # what each entry may be; the batch has any length
        noise = self.noise_shape
        if noise is not None and (len(noise) != len(lengths) or any(a not in b for a, b in zip(noise, lengths, strict=True))):
            raise ValueError(
                f"{self._title}: expected noise_shape to have a length for each axis of (N, {', '.join(map(str, shape))}), got"
                f" {noise}. Each is 1, or None for the length of that axis: noise_shape={(None, *(1 for _ in shape[1:]), None)}"
            )
        return shape

    def forward(self, x: np.ndarray, training: bool = False, samples: Samples | None = None) -> np.ndarray:
        """Return the output, of the shape of x; in inference it is a copy of x.

        If x is a part of a batch, as `samples` says, its random numbers are those that it has within the whole batch.
        """
        self.check_input(x)
        if not training:
            self.cache = (None, None)
            return x.copy()
        key = int(self.rng.integers(2**63))
        noise_shape = self.noise_shape and tuple(length or full for length, full in zip(self.noise_shape, x.shape, strict=True))
        first = 0 if samples is None or self.couples_batch else samples.first * prod((noise_shape or x.shape)[1:])
        # `first` is passed only if it is not 0, so functions without this parameter, as in tools/gallery, work in a single process.
        place = (noise_shape, first) if first else (noise_shape,)
        self.cache = (key, *place)
        return self.forward_function(x, self.rate, key, *place)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx, of the shape of dout."""
        key, *place = self.cached(dout)
        return dout.copy() if key is None else self.backward_function(dout, self.rate, key, *place)


class SpatialDropout2D(Dropout):
    """Replace whole channels of images by 0 at random in training: `Dropout` with one number for each image and channel.

    Parameters
    ----------
    rate : float
        The fraction of the channels that is dropped, at least 0 and below 1.
    seed : int, optional
        As for `Dropout`.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, or an input that is not images.

    Examples
    --------
    >>> layer = SpatialDropout2D(0.5, seed=1).build((2, 1, 3))
    >>> layer.forward(np.ones((1, 2, 1, 3), "float32"), training=True)[0, :, 0]
    array([[0., 2., 0.],
           [0., 2., 0.]], dtype=float32)
    """

    def __init__(self, rate: float, *, seed: int | None = None, implementation: str | None = None, name: str | None = None):
        super().__init__(rate, (None, 1, 1, None), seed, implementation=implementation, name=name)
