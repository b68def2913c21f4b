"""Batch normalization: each channel gets mean 0 and variance 1, and then a mean β and a standard deviation γ that are learned.

Each channel is computed separately, so c is left out here. Number its values in the batch by m = 1 … M: one for each sample, M = N,
or, if the samples are images, one for each pixel of each image, M = N·H·W.

    mean = 1/M Σ_m x_m                        inv    = 1 / √(variance + ε)
    variance = 1/M Σ_m (x_m - mean)²          x̂_m    = (x_m - mean) · inv                                          (1)
                                              out_m  = γ · x̂_m + β

ε is a small number, so that nothing is divided by 0. In training, mean and variance are those of the batch, and a moving
average of each is kept for inference,

    moving ← momentum · moving + (1 - momentum) · batch

In inference the moving averages are used in place of mean and variance, so that the output of an image does not depend on the
other images. That is why forward has the argument `training`.

The sum of squares is divided by M, in the moving average too, as in Keras. PyTorch divides it by M where it normalizes, but by
M - 1 in its moving average (`running_var`). Its momentum is 1 minus ours: its default of 0.1 would be 0.9 here.
The default here, as in Keras, is 0.99. PyTorch's ε is 1e-5, ours 1e-3.

Backward receives dout_m = ∂L/∂out_m. All M outputs are computed with γ and β:

    dγ = Σ_m dout_m · x̂_m                     dβ = Σ_m dout_m

Every output depends on every x_k, in three ways: directly, for m = k; through the mean; and through the variance. With δ_mk = 1
where m = k, and 0 elsewhere, the chain rule has one term for each:

    dx_k = Σ_m dout_m · γ · ∂x̂_m/∂x_k

    ∂x̂_m/∂x_k = inv · δ_mk                                    x_m itself
              - inv · ∂mean/∂x_k                              through the mean
              - ½ (x_m - mean) · inv³ · ∂variance/∂x_k        through the variance: ∂inv/∂variance = -½ inv³

    ∂mean/∂x_k     = 1/M
    ∂variance/∂x_k = 1/M Σ_m 2 (x_m - mean) (δ_mk - 1/M) = 2/M (x_k - mean)           since Σ_m (x_m - mean) = 0

With x̂_m = (x_m - mean) · inv, the third term is -inv/M · x̂_m · x̂_k, so

    ∂x̂_m/∂x_k = inv (δ_mk - 1/M - x̂_m x̂_k / M)                                                                     (2)

    dx_k = γ·inv (dout_k - 1/M Σ_m dout_m - x̂_k/M Σ_m dout_m x̂_m)  =  γ·inv/M · (M dout_k - dβ - x̂_k dγ)           (3)

A check of the three terms: adding the same number to all x_m changes no output, so the derivative in this direction, Σ_k dx_k, is
0. In (3), the sums of the first two terms cancel, and that of the third is 0, since Σ_k x̂_k = 0.
In inference, mean and variance are constants. Only the first term is left: dx_k = γ·inv·dout_k.

If several processes run parts of the batch (`scratchnet.distribution`), the sums of (1) and (3) run over all of them: the whole
batch is normalized, and the result is that of one process, except for rounding. (With `synchronized=False`, each process
normalizes its own part.) The processes exchange only sums over the M values, three numbers for each channel in forward and
three in backward: `shared_moments` and `shared_backward` in kernels/batch_normalization.py.

In inference, (1) is affine: each channel is multiplied by one constant, and another is added. After a convolution or a dense layer,
which are affine too, it need not be computed on its own: with a_q for the inputs of that layer, and x = Σ_q a_q w_q + b for its
output,

    γ·inv (Σ_q a_q w_q + b - mean) + β  =  Σ_q a_q (γ·inv·w_q) + (b - mean) γ·inv + β                               (4)

which is the output of the same layer with other weights (`folded`).

Source: Ioffe & Szegedy, *Batch normalization: accelerating deep network training by reducing internal covariate shift* (2015),
algorithm 1 for (1), section 3.1 for inference; its section 3 has the gradient in six steps; (3) combines them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import initializers, reference, regularizers
from scratchnet.initializers import initialize
from scratchnet.kernels import batch_normalization as fused
from scratchnet.layers.activations import Activation, relu_backward, relu_forward
from scratchnet.layers.base import Layer, Samples, Shape
from scratchnet.support.checking import check_flag, check_number, is_integer, shortened


def batch_normalization_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
    moving: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return out, and the mean and variance of each channel: (…, C), (C,) or None, (C,) or None -> (…, C), (C,), (C,).

    `moving` are the mean and variance to use in inference; without it, they are those of the batch. Sums over the batch are
    float64. With `relu`, the ReLU after the layer is computed too.
    """
    axes = tuple(range(x.ndim - 1))                                     # all but the channels
    if moving is None:
        mean = x.mean(axis=axes, dtype=np.float64).astype(x.dtype)      # (…, C) -> (C,)
        variance = np.square(x - mean).mean(axis=axes, dtype=np.float64).astype(x.dtype)
    else:
        mean, variance = moving
    out = (x - mean) / np.sqrt(variance + epsilon)                      # x̂: (…, C)
    if gamma is not None:
        out = gamma * out
    if beta is not None:
        out = out + beta
    return relu_forward(out) if relu else out, mean, variance


def batch_normalization_backward(
    dout: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    training: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Return the gradients dx, dgamma and dbeta; the docstring of this module derives each line.

    `mean` and `variance` are what forward returned; with `training`, they are those of the batch. With `relu_x`, x is the output of
    a ReLU, whose backward is computed too. Without `need_dx`, dx is None; without `need_dw`, both dgamma and dbeta are None.
    """
    axes, M = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    inv = 1 / np.sqrt(variance + epsilon)                               # (C,)
    xhat = (x - mean) * inv                                             # (…, C)
    dbeta = dout.sum(axis=axes, dtype=np.float64).astype(x.dtype)       # (…, C) -> (C,)
    dgamma = (dout * xhat).sum(axis=axes, dtype=np.float64).astype(x.dtype)
    dx = None
    if need_dx:
        scale = inv if gamma is None else gamma * inv
        dx = scale / M * (M * dout - dbeta - xhat * dgamma) if training else scale * dout
        if relu_x:
            dx = relu_backward(dx, x)
    return dx, dgamma if need_dw else None, dbeta if need_dw else None


# -- the layer --------------------------------------------------------------------------------------------------------


class BatchNormalization(Layer):
    """Shift and scale each channel to the mean `beta` and the standard deviation `gamma`, which are learned.

    Parameters
    ----------
    axis : int
        The axis of the channels: only the last one.
    momentum : float
        In [0, 1): how much of the moving averages remains in each step.
    epsilon : float
        A small number that is added to the variance, so that nothing is divided by 0.
    center, scale : bool
        Whether the layer has a `beta` (center), and whether it has a `gamma` (scale).
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : str or callable
        See `scratchnet.initializers`. Initializers of the moving averages draw from a generator of their own, `default_rng(0)`.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        A penalty, which is added to the loss; see `scratchnet.regularizers`.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, an unknown name, or another axis than the last.

    Notes
    -----
    With `trainable = False` the layer runs as in inference, in training too.

    Examples
    --------
    >>> layer = BatchNormalization(epsilon=0).build((2,))
    >>> x = np.array([[1, 10], [3, 50]], "float32")
    >>> layer.forward(x, training=True)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> {name: p.tolist() for name, p in layer.named_weights.items() if name[:3] != "mov"}
    {'gamma': [1.0, 1.0], 'beta': [0.0, 0.0]}
    >>> layer.state["moving_mean"].round(2)         # 0.99 · 0 + 0.01 · (2, 30)
    array([0.02, 0.3 ], dtype=float32)
    """

    # `build` chooses one pair, "fused" by default, and forward and backward below call it. To run exactly the two functions
    # above: BatchNormalization(implementation="im2col").
    implementations = {
        "loops": (reference.batch_normalization_forward, reference.batch_normalization_backward),
        "im2col": (batch_normalization_forward, batch_normalization_backward),
        "fused": (fused.batch_normalization_forward, fused.batch_normalization_backward),
    }
    joins_relu = True
    couples_batch = samples_of_parts_only = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        if not is_integer(axis):
            raise ValueError(f"axis: expected an integer, got {shortened(axis)}. Write axis=-1, the last axis")
        self.axis = int(axis)
        self.momentum = check_number("momentum", momentum, below=1)
        self.epsilon = check_number("epsilon", epsilon)
        self.center, self.scale = check_flag("center", center), check_flag("scale", scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.regularizers = {"gamma": self.gamma_regularizer, "beta": self.beta_regularizer}

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of the input."""
        (shape,) = input_shapes
        if self.axis not in (-1, len(shape)):
            raise ValueError(
                f"{self._title}: expected axis=-1 or axis={len(shape)}, the last axis of inputs of shape {(None, *shape)}, got"
                f" {shortened(self.axis)}. Write axis=-1; the channels of images are their last axis here"
            )
        return shape

    def compute_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        """Return the shapes of gamma and beta, (C,)."""
        (shape,) = input_shapes
        return {name: (shape[-1],) for name, used in (("gamma", self.scale), ("beta", self.center)) if used}

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return gamma and beta, (C,)."""
        initializer_of = {"gamma": self.gamma_initializer, "beta": self.beta_initializer}
        shapes = self.compute_param_shapes(self.input_shape)
        return {key: initialize(initializer_of[key], shape, rng) for key, shape in shapes.items()}

    def make_state(self) -> dict[str, np.ndarray]:
        """Return the moving averages of mean and variance, (C,)."""
        initializer_of = {"moving_mean": self.moving_mean_initializer, "moving_variance": self.moving_variance_initializer}
        shape = self.input_shape[-1:]                                       # (C,)
        return {key: initialize(one, shape, np.random.default_rng(0)) for key, one in initializer_of.items()}

    def forward(
        self,
        x: np.ndarray,
        training: bool = False,
        samples: Samples | None = None,
        *,
        relu: bool = False,
        joined: bool = False,
        then: Activation | None = None,
    ) -> np.ndarray:
        """Return the output, of the shape of x; in training, also update the moving averages.

        If x is a part of a batch and `samples.total` is not None, mean and variance are those of the whole batch. The other
        arguments are chosen by plan.py. With `relu=True`, also compute the ReLU after the layer. `then` is the `Activation` layer
        after this one, if it is one such as GELU: its function is applied here, so that its input need not be kept. With `joined`,
        the layer before has computed the normalization already, and x is returned.
        """
        self.check_input(x)
        if joined:
            return x
        batch = training and self.trainable
        shared = samples if samples is not None and samples.total is not None and batch else None
        if batch and not len(x):
            raise ValueError(f"{self._title}: expected at least one sample in training, got none. Pass a larger batch")
        moving = self.state["moving_mean"], self.state["moving_variance"]
        moments = None if batch else moving         # None: those of x, which the function computes
        if shared is not None:                      # x is only a part of the batch
            moments = fused.shared_moments(x, moving[0], shared)
        out, *statistics = self.forward_function(
            x, self.params.get("gamma"), self.params.get("beta"), self.epsilon, moments, relu=relu
        )
        if batch:
            for average, value in zip(moving, statistics, strict=True):
                average[...] = self.momentum * average + (1 - self.momentum) * value
        self.cache = (x, *statistics, batch) if shared is None else (x, *statistics, batch, shared)
        return then.forward_function(out, *then.settings) if then else out

    def backward(
        self, dout: np.ndarray, need_dx: bool = True, *, relu_x: bool = False, then: Activation | None = None
    ) -> np.ndarray | None:
        """Return dx, of the shape of dout, and store dgamma and dbeta in `grads`.

        With `relu_x=True`, which plan.py chooses, x is the output of a ReLU, whose backward is computed too. With `then`, the
        activation layer after the normalization, dout is the gradient of its output, and its input z is computed again.
        """
        x, mean, variance, batch, *shared = self.cached(dout)
        gamma, beta = self.params.get("gamma"), self.params.get("beta")
        if then:
            z, _, _ = self.forward_function(x, gamma, beta, self.epsilon, (mean, variance))
            dout = then.backward_function(dout, z, *then.settings)
        if shared:
            dx, dgamma, dbeta = fused.shared_backward(dout, x, gamma, (mean, variance), self.epsilon, need_dx, relu_x, *shared)
        else:
            dx, dgamma, dbeta = self.backward_function(
                dout, x, gamma, mean, variance, self.epsilon, need_dx, need_dw=self.trainable, training=batch, relu_x=relu_x
            )
        self.grads = {key: gradient for key, gradient in (("gamma", dgamma), ("beta", dbeta)) if key in self.params}
        return dx

    def folded(self, w: np.ndarray, b: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights with which x·w + b includes this normalization, as in inference: (4) in the module's docstring.

        Parameters
        ----------
        w : ndarray (…, C)
        b : ndarray (C,) or None

        Returns
        -------
        w, b : ndarrays (…, C) and (C,)
        """
        scale = self.params.get("gamma", 1) / np.sqrt(self.state["moving_variance"] + self.epsilon)
        shift = ((0 if b is None else b) - self.state["moving_mean"]) * scale + self.params.get("beta", 0)
        return w * scale, shift
