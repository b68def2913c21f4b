"""Dense: every output is a weighted sum of every input.

    out = x @ w + b            (N, D) @ (D, U) + (U,) -> (N, U)

Source: Rumelhart, Hinton & Williams, *Learning representations by back-propagating errors* (1986), equations 1, 6 and 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import initializers, reference
from scratchnet.initializers import config_name, initialize
from scratchnet.kernels import dense as fused
from scratchnet.layers.activations import activation_layer
from scratchnet.layers.base import Layer, Shape


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Give x @ w + b: (N, D), (D, U), (U,) or None -> (N, U)."""
    return x @ w if b is None else x @ w + b        # (N, D) @ (D, U) -> (N, U)


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db: in out[n, u] = Σ_d x[n, d] w[d, u] + b[u] each factor's gradient is dout times the other.

    Summed over the units u that used x[n, d]: dx = dout @ wᵀ. Over the images n that used w[d, u]: dw = xᵀ @ dout.
    And b[u] was used by every image: db = Σ_n dout[n].
    """
    dx = dout @ w.T if need_dx else None            # (N, U) @ (U, D) -> (N, D)
    dw = x.T @ dout                                 # (D, N) @ (N, U) -> (D, U)
    db = dout.sum(axis=0)                           # (N, U) -> (U,)
    return dx, dw, db


class Dense(Layer):
    """A fully connected layer.

    Parameters
    ----------
    units : int
        Number U of outputs.
    activation : {"relu", "softmax", "linear"}, optional
        Adds an `Activation` layer behind this one in the graph.
    use_bias : bool
    kernel_initializer, bias_initializer : str or callable
        See `scratchnet.initializers`.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, an unknown name, or an input that is not one row of numbers for each sample.

    Examples
    --------
    >>> layer = Dense(2).build((3,))
    >>> layer.set_weights([np.array([[1, 2], [3, 4], [5, 6]]), np.array([0.5, 0])])
    >>> layer.forward(np.array([[1, 0, 2]], "float32"))
    array([[11.5, 14. ]], dtype=float32)
    """

    tellings = {
        "loops": (reference.dense_forward, reference.dense_backward),
        "im2col": (dense_forward, dense_backward),
        "fused": (fused.dense_forward, fused.dense_backward),
    }

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"units is the number of outputs, an integer of at least 1; got {units!r}")
        self.units = int(units)
        self.activation = activation_layer(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """(D,) -> (U,)."""
        (shape,) = input_shapes
        if len(shape) != 1:
            raise ValueError(f"Dense takes one row of numbers for each sample, of shape (D,); got {shape}. Put Flatten() before it")
        return (self.units,)

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Make the kernel (D, U) and the bias (U,)."""
        params = {"kernel": initialize(self.kernel_initializer, (*self.input_shape, self.units), rng)}
        if self.use_bias:
            params["bias"] = initialize(self.bias_initializer, (self.units,), rng)
        return params

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, U)."""
        self.check_input(x)
        self.cache = (x,)
        return self.forward_function(x, self.params["kernel"], self.params.get("bias"))

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray | None:
        """(N, U) -> (N, D); fills `grads`."""
        (x,) = self.cached(dout)
        dx, dw, db = self.backward_function(dout, x, self.params["kernel"], need_dx)
        self.grads = {"kernel": dw, "bias": db} if self.use_bias else {"kernel": dw}
        return dx

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {
            "units": self.units,
            "activation": self.activation.get_config()["activation"] if self.activation else None,
            "use_bias": self.use_bias,
            "kernel_initializer": config_name(self.kernel_initializer),
            "bias_initializer": config_name(self.bias_initializer),
            **super().get_config(),
        }
