"""Dense: every output is a weighted sum of all inputs, plus a bias.

    out[n, u] = b[u] + Σ_d x[n, d] · w[d, u]                     out = x @ w + b       (N, D) @ (D, U) + (U,) -> (N, U)

D is the number of inputs, U the number of outputs (units). Backward receives dout[n, u] = ∂L/∂out[n, u], where L is the loss.
By the chain rule, a number a from which out is computed has the gradient da = Σ_n Σ_u dout[n, u] · ∂out[n, u]/∂a. With δ_kl = 1
where k = l, and 0 elsewhere,

    ∂out[n, u]/∂x[m, d] = δ_nm · w[d, u]       dx[m, d] = Σ_u dout[m, u] · w[d, u]       = (dout @ wᵀ)[m, d]
    ∂out[n, u]/∂w[d, v] = x[n, d] · δ_uv       dw[d, v] = Σ_n x[n, d] · dout[n, v]       = (xᵀ @ dout)[d, v]
    ∂out[n, u]/∂b[v]    = δ_uv                 db[v]    = Σ_n dout[n, v]                 = dout.sum(axis=0)[v]

Each δ removes one of the two sums. The other sum runs over all outputs that are computed from the number: x[m, d] is used by every
unit u, w[d, v] and b[v] by every image n. A matrix product sums over the last index of its left factor and the first index of its
right one. In dx the summed u is the last index of w, so w is transposed; in dw the summed n is the first index of x, so x is
transposed.

Source: Rumelhart, Hinton & Williams, *Learning representations by back-propagating errors* (1986), equations 1, 6 and 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import initializers, reference, regularizers
from scratchnet.initializers import initialize
from scratchnet.kernels import dense as fused
from scratchnet.layers.activations import activation_layer, relu_backward, relu_forward
from scratchnet.layers.base import Fold, Layer, Shape
from scratchnet.support.checking import check_count, check_flag


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, relu: bool = False) -> np.ndarray:
    """Return x @ w + b: (N, D), (D, U), (U,) or None -> (N, U). With `relu`, also compute the ReLU after it."""
    out = x @ w if b is None else x @ w + b         # (N, D) @ (D, U) -> (N, U)
    return relu_forward(out) if relu else out


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True, *, need_dw: bool = True, relu_x: bool = False
) -> tuple[np.ndarray | None, ...]:
    """Return the gradients dx, dw and db; the docstring of this module derives each line.

    With `relu_x`, x is the output of a ReLU, whose backward is computed too. Without `need_dx`, dx is None; without `need_dw`,
    both dw and db are None.
    """
    dx = dout @ w.T if need_dx else None            # (N, U) @ (U, D) -> (N, D)
    dw = x.T @ dout if need_dw else None            # (D, N) @ (N, U) -> (D, U)
    db = dout.sum(axis=0) if need_dw else None      # (N, U) -> (U,)
    if dx is not None and relu_x:
        dx = relu_backward(dx, x)
    return dx, dw, db


class Dense(Layer):
    """A fully connected layer.

    Parameters
    ----------
    units : int
        Number U of outputs.
    activation : str, function or layer, optional
        Added after this layer in the graph: a name or a function as for `Activation`, or a layer such as LeakyReLU(0.1).
    use_bias : bool
    kernel_initializer, bias_initializer : str or callable
        See `scratchnet.initializers`.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty for large weights, which is added to the loss; see `scratchnet.regularizers`.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, an unknown name, or an input with more than one axis for each sample.

    Examples
    --------
    >>> layer = Dense(2).build((3,))
    >>> layer.set_weights([np.array([[1, 2], [3, 4], [5, 6]]), np.array([0.5, 0])])
    >>> layer.forward(np.array([[1, 0, 2]], "float32"))
    array([[11.5, 14. ]], dtype=float32)
    """

    # `build` chooses one pair, "fused" by default, and forward and backward below call it. To run exactly the two functions
    # above: Dense(..., implementation="im2col"). In every layer, "im2col" is the name of the implementation in NumPy, although
    # only convolution and pooling need the function im2col.
    implementations = {
        "loops": (reference.dense_forward, reference.dense_backward),
        "im2col": (dense_forward, dense_backward),
        "fused": (fused.dense_forward, fused.dense_backward),
    }
    joins_relu = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.units = check_count("units", units, "Dense(10)")
        self.activation = activation_layer(activation)
        self.use_bias = check_flag("use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.regularizers = {"kernel": self.kernel_regularizer, "bias": self.bias_regularizer}

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (U,) for (D,)."""
        (shape,) = input_shapes
        if len(shape) != 1:
            raise ValueError(f"Dense: expected samples of shape (D,), got {shape}. Put Flatten() before it")
        return (self.units,)

    def compute_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        """Return the shapes of the kernel, (D, U), and of the bias, (U,)."""
        (shape,) = input_shapes
        return {"kernel": (*shape, self.units), **({"bias": (self.units,)} if self.use_bias else {})}

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the kernel (D, U) and the bias (U,)."""
        initializer_of = {"kernel": self.kernel_initializer, "bias": self.bias_initializer}
        shapes = self.compute_param_shapes(self.input_shape)
        return {key: initialize(initializer_of[key], shape, rng) for key, shape in shapes.items()}

    def forward(self, x: np.ndarray, *, fold: Fold | None = None, **joined: bool) -> np.ndarray:
        """Return the output: (N, D) -> (N, U). With `relu=True`, which plan.py chooses, also compute the ReLU after it.

        `fold`, which plan.py chooses too, is a function that changes w and b, so that x @ w + b includes the batch normalization
        after the layer.
        """
        self.check_input(x)
        self.cache = (x,)
        w, b = self.params["kernel"], self.params.get("bias")
        if fold is not None:
            w, b = fold(w, b)
        return self.forward_function(x, w, b, **joined)

    def backward(self, dout: np.ndarray, need_dx: bool = True, **joined: bool) -> np.ndarray | None:
        """Return dx and store dw and db in `grads`: (N, U) -> (N, D).

        With `relu_x=True`, which plan.py chooses, x is the output of a ReLU, whose backward is computed too.
        """
        (x,) = self.cached(dout)
        if not self.trainable:
            joined["need_dw"] = False
        dx, dw, db = self.backward_function(dout, x, self.params["kernel"], need_dx, **joined)
        self.grads = {"kernel": dw, "bias": db} if self.use_bias else {"kernel": dw}
        return dx
