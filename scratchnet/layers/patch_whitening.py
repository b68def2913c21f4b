"""Patch whitening: a convolution whose kernel is computed from the images, and not learned.

Neighbouring pixels of a photograph are nearly equal. So the sum of the numbers in a window varies much more than their differences,
and a learning rate that is right for the sum is far too small for the differences. Whitening rotates the vector of these numbers so
that they become uncorrelated, and scales each to variance 1.

Write the D = KH·KW·C numbers of a window as a vector z, with mean μ and covariance Σ over all windows of some images. (E is the
mean over these windows; Σ with an index, as in Σ_k, is a sum.) Σ is symmetric, so it has orthonormal eigenvectors v_k with
eigenvalues λ_k ≥ 0:

    Σ = E[(z - μ)(z - μ)ᵀ] = Σ_k λ_k v_k v_kᵀ,        v_kᵀ v_l = 1 if k = l, else 0                     (1)

The new numbers are the components along the eigenvectors, divided by their standard deviations:

    y_k = v_kᵀ(z - μ) / √λ_k                                                                            (2)
    E[y_k y_l] = v_kᵀ Σ v_l / √(λ_k λ_l) = λ_l v_kᵀ v_l / √(λ_k λ_l) = 1 if k = l, else 0                (3)

The smallest eigenvalues belong to noise, which (2) would make as large as everything else. So a small fraction of the mean
eigenvalue, ε · mean(λ), is added to each before the square root.

(2) is a convolution: its filter k is v_k / √(λ_k + ε · mean(λ)), and its bias is minus that filter times μ. An activation such as
GELU suppresses negative numbers, so each filter also occurs with the opposite sign: 2·D filters. Filters after these are 0, so
that their output is only their bias. The kernel is not trained, but the bias is. Backward is that of conv2d.py, without the
gradient of the kernel.

Source: Jordan, *94% on CIFAR-10 in 3.29 seconds on a single GPU* (2024), section 3.2; Coates & Ng, *Learning feature
representations with k-means* (2012), section 2.1, for whitening and ε.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.initializers import Dirac, initialize
from scratchnet.layers.base import Shape
from scratchnet.layers.conv2d import Conv2D
from scratchnet.support.checking import check_images, check_number


def whitening(images: np.ndarray, kernel_size: tuple[int, int], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the filters (2), the largest eigenvalue first, and the mean window: (KH, KW, C, D), (D,), float64.

    Examples
    --------
    >>> images = np.random.default_rng(0).standard_normal((50, 8, 8, 1)).cumsum(axis=1)
    >>> w, mean = whitening(images, (2, 2), epsilon=0)
    >>> z = np.stack([images[:, i : i + 7, j : j + 7] for i in range(2) for j in range(2)], axis=-1).reshape(-1, 4)
    >>> np.cov((z - mean) @ w.reshape(4, 4), rowvar=False, bias=True).round(6) + 0
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.],
           [0., 0., 1., 0.],
           [0., 0., 0., 1.]])
    """
    KH, KW = kernel_size
    C = images.shape[-1]
    z = np.lib.stride_tricks.sliding_window_view(images, kernel_size, axis=(1, 2))       # (N, H, W, C) -> (N, OH, OW, C, KH, KW)
    z = z.transpose(0, 1, 2, 4, 5, 3).reshape(-1, KH * KW * C).astype(float)             # -> (N·OH·OW, D)
    mean = z.mean(axis=0)
    covariance = (z - mean).T @ (z - mean) / len(z)                                      # (D, N·OH·OW) @ (N·OH·OW, D) -> (D, D)
    eigenvalues, v = np.linalg.eigh(covariance)                                          # (D,) and, in columns, (D, D)
    # No eigenvalue of a covariance is negative, but rounding may make one that should be 0 about -1e-16 times the largest.
    filters = v / np.sqrt(np.maximum(eigenvalues, 0) + epsilon * eigenvalues.mean())
    return filters[:, ::-1].reshape(KH, KW, C, -1), mean


class PatchWhitening(Conv2D):
    """A convolution that whitens the patches under its windows. Its kernel is set by `adapt` and not trained; its bias is trained.

    Before `adapt`, the first C filters return the channels of the image, and the others 0. (Keras has no such layer; `adapt` is
    named after the method of its preprocessing layers.)

    Parameters
    ----------
    filters : int
        At least 2·KH·KW·C, which are all used; further filters are 0.
    kernel_size : int or (int, int)
        Height and width of the patches.
    epsilon : float
        What is added to each eigenvalue before the square root, as a fraction of their mean.
    activation : str, function or layer, optional
        As for `Conv2D`.
    bias_initializer : str or callable
        See `scratchnet.initializers`; `adapt` sets the bias.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, or too few filters for all eigenvectors.

    Examples
    --------
    >>> layer = PatchWhitening(16, 2).build((9, 9, 1))
    >>> images = np.random.default_rng(0).random((100, 9, 9, 1), "float32")
    >>> layer.adapt(images)
    >>> out = layer.forward(images)
    >>> [float(out[..., k].std().round(2)) for k in (0, 4, 8)]
    [1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        *,
        epsilon: float = 5e-4,
        activation: Any = None,
        bias_initializer: Any = "zeros",
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(
            filters, kernel_size, activation=activation, bias_initializer=bias_initializer, implementation=implementation, name=name
        )
        self.epsilon = check_number("epsilon", epsilon)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (OH, OW, F) for (H, W, C)."""
        (shape,) = input_shapes
        needed = 2 * self.kernel_size[0] * self.kernel_size[1] * shape[-1]
        if self.filters < needed:
            raise ValueError(
                f"{self._title}: expected at least {needed} filters, two for each of the {needed // 2} numbers of a patch, got"
                f" {self.filters}. Write PatchWhitening({needed}, {self.kernel_size})"
            )
        return super().compute_output_shape(shape)

    def compute_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        """Return the shape of the bias, (F,)."""
        return {"bias": (self.filters,)}

    def make_state(self) -> dict[str, np.ndarray]:
        """Return the kernel before `adapt`, (KH, KW, C, F), whose first filters return the channels."""
        return {"kernel": initialize(Dirac(), (*self.kernel_size, self.input_shape[-1], self.filters), np.random.default_rng(0))}

    @property
    def kernel_and_bias(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The kernel (KH, KW, C, F), and the bias (F,)."""
        return self.state["kernel"], self.params["bias"]

    def adapt(self, images: np.ndarray) -> None:
        """Compute the kernel and the bias from images (N, H, W, C), as the layer receives them; a few thousand are enough.

        Raises
        ------
        ValueError
            For images of another shape, values that are not finite, and images without any variance.
        """
        if not self.built:
            raise ValueError(f"{self._title}: expected a built layer, got one that is not built yet. Connect it in a model first")
        images = check_images(images, self.input_shape, "images", f"{self._title}: adapt")
        if not np.isfinite(images).all():
            raise ValueError(f"{self._title}: adapt: expected finite numbers, got NaN or infinity. Leave such images out")
        if (images == images[:1, :1, :1]).all():
            raise ValueError(f"{self._title}: adapt: expected pixels that differ, got the same everywhere. Pass training images")
        w, mean = whitening(images, self.kernel_size, self.epsilon)
        w = np.concatenate([w, -w], axis=-1)                                            # (KH, KW, C, D) -> (KH, KW, C, 2·D)
        used = w.shape[-1]
        kernel, bias = self.state["kernel"], self.params["bias"]
        kernel[...], bias[...] = 0, 0
        kernel[..., :used] = w
        bias[:used] = -mean @ w.reshape(-1, used)
