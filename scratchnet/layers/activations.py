"""Activation functions. Without a nonlinear function between them, two dense layers compute no more than one could.

ReLU keeps positive numbers and replaces the others with 0. It is computed elementwise, out_i = max(0, x_i), so
∂out_i/∂x_j = 0 for i ≠ j, and the sum of the chain rule has one term. The derivative is 1 or 0; exactly at 0, where it does not
exist, we use 0, as Keras does:

    out = max(0, x)                     dx = dout where out > 0, else 0

Softmax converts K numbers, the logits, to probabilities. Adding the same number to all logits does not change p, so the largest
logit is subtracted first, and no exponential overflows:

    p_j = exp(x_j) / Σ_i exp(x_i)

Every p_j depends on every x_k. With S = Σ_i exp(x_i), and δ_jk = 1 where j = k, and 0 elsewhere, the quotient rule gives

    ∂p_j/∂x_k = (δ_jk exp(x_j) S - exp(x_j) exp(x_k)) / S²  =  p_j (δ_jk - p_k)
    dx_k = Σ_j dout_j p_j (δ_jk - p_k)                      =  p_k (dout_k - Σ_j dout_j p_j)

Source: Nair & Hinton, *Rectified linear units improve restricted Boltzmann machines* (2010); Bishop, *Pattern
recognition and machine learning* (2006), equations 4.104 and 4.106.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.kernels import relu as fused
from scratchnet.layers.base import Functions, Layer
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import number_array, shortened

# -- ReLU -------------------------------------------------------------------------------------------------------------


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Return max(0, x), elementwise, for any shape."""
    return np.maximum(x, 0)


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx: dout where x is positive, and 0 elsewhere, also at x = 0.

    `out` can be used in place of x, since it is positive exactly where x is.
    """
    return np.where(out > 0, dout, dout.dtype.type(0))


# -- softmax ----------------------------------------------------------------------------------------------------------


@quiet
def softmax_forward(x: np.ndarray) -> np.ndarray:
    """Return the softmax of each row: (..., K) -> (..., K). Whole numbers are converted to float64.

    Examples
    --------
    >>> softmax_forward(np.array([[0.0, 0.0], [1e4, -1e4]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    x = number_array("softmax", "x", x)
    e = np.exp(x - x.max(axis=-1, keepdims=True))       # (..., K), the largest of each row is 1
    return e / e.sum(axis=-1, keepdims=True)


@quiet
def softmax_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx_k = p_k (dout_k - Σ_j dout_j p_j): (..., K) -> (..., K)."""
    total = (dout * out).sum(axis=-1, keepdims=True)    # (..., K) -> (..., 1)
    return out * (dout - total)


def linear_forward(x: np.ndarray) -> np.ndarray:
    """Return a copy of x; a copy, so that the outputs of two layers never share memory."""
    return x.copy()


def linear_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx, a copy of dout, since out = x."""
    return dout.copy()


# -- the layers -------------------------------------------------------------------------------------------------------

ACTIVATIONS: dict[str, dict[str, Functions]] = {
    "relu": {
        "loops": (reference.relu_forward, reference.relu_backward),
        "im2col": (relu_forward, relu_backward),
        "fused": (relu_forward, fused.relu_backward),
    },
    "softmax": {
        "loops": (reference.softmax_forward, reference.softmax_backward),
        "im2col": (softmax_forward, softmax_backward),
        "fused": (softmax_forward, softmax_backward),
    },
    "linear": dict.fromkeys(("loops", "im2col", "fused"), (linear_forward, linear_backward)),
}


class Activation(Layer):
    """A layer that applies an activation function, chosen by its name.

    Parameters
    ----------
    activation : {"relu", "softmax", "linear"}
    name : str, optional

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> layer = Activation("relu").build((3,))
    >>> layer.forward(np.array([[-1, 0, 2]], "float32"))
    array([[0., 0., 2.]], dtype=float32)
    >>> layer.backward(np.array([[5, 6, 7]], "float32"))
    array([[0., 0., 7.]], dtype=float32)
    """

    def __init__(self, activation: str, *, name: str | None = None):
        super().__init__(name=name)
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            known = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation: expected {known} or None, got {shortened(activation)}")
        self.function = activation
        self.implementations = ACTIVATIONS[activation]

    def forward(self, x: np.ndarray, *, joined: bool = False) -> np.ndarray:
        """Return the output, of the shape of x. With `joined`, from plan.py, the layer before has applied the function already."""
        self.check_input(x)
        out = x if joined else self.forward_function(x)
        self.cache = (out,)
        return out

    def backward(self, dout: np.ndarray, need_dx: bool = True, *, joined: bool = False) -> np.ndarray:
        """Return dx, of the shape of dout. With `joined`, from plan.py, the layer after has computed it already."""
        (out,) = self.cached(dout)
        return dout if joined else self.backward_function(dout, out)

    def branch_pattern(self) -> Sequence[np.ndarray]:
        """Return where the last output of a ReLU is positive; for softmax and linear, which have no kinks, nothing."""
        return [self.cache[0] > 0] if self.function == "relu" and self.cache is not None else []

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this layer."""
        return {**super().get_config(), "activation": self.function}


class ReLU(Activation):
    """A layer that computes max(0, x).

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, *, name: str | None = None):
        super().__init__("relu", name=name)

    @classmethod
    def default_name(cls) -> str:
        """Return Keras's name for the class."""
        return "re_lu"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this layer."""
        return Layer.get_config(self)


class Softmax(Activation):
    """A layer that computes softmax over the last axis.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, *, name: str | None = None):
        super().__init__("softmax", name=name)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this layer."""
        return Layer.get_config(self)


def activation_layer(activation: str | None) -> Activation | None:
    """Return the layer that `activation=` of another layer adds after it; None for None."""
    return None if activation is None else Activation(activation)
