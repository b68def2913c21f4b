"""Activations: what makes a stack of layers more than one layer.

ReLU lets positive numbers through and makes the others 0. Its derivative is 1 or 0; exactly at 0, where there is none,
we take 0, as Keras does:

    out = max(0, x)                     dx = dout where out > 0, else 0

Softmax makes K numbers, the logits, into probabilities; adding a number to all of them changes nothing, so the largest
is taken out first and no exponential overflows:

    p_k = exp(x_k) / Σ_j exp(x_j)       dx_k = p_k (dout_k - Σ_j dout_j p_j)

Source: Nair & Hinton, *Rectified linear units improve restricted Boltzmann machines* (2010); Bishop, *Pattern
recognition and machine learning* (2006), equations 4.104 and 4.106.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.layers.base import Layer

# -- ReLU -------------------------------------------------------------------------------------------------------------


def relu_forward(x: np.ndarray) -> np.ndarray:
    """max(0, x), number by number, for any shape."""
    return np.maximum(x, 0)


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The rule of a function of one number, dx = dout · f'(x): 1 where the number got through, 0 elsewhere, at 0 too.

    `out` serves as well as x does, since it is positive just where x is.
    """
    return np.where(out > 0, dout, dout.dtype.type(0))


# -- softmax ----------------------------------------------------------------------------------------------------------


def softmax_forward(x: np.ndarray) -> np.ndarray:
    """Make every row a distribution: (N, K) -> (N, K)."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))       # (N, K), the largest of each row is 1
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The Jacobian ∂p_j/∂x_k = p_j (δ_jk - p_k) is symmetric; dout times it sums over j: dx_k = p_k dout_k - p_k Σ_j dout_j p_j."""
    total = (dout * out).sum(axis=-1, keepdims=True)    # (N, K) -> (N, 1)
    return out * (dout - total)


def linear_forward(x: np.ndarray) -> np.ndarray:
    """Give x itself (a copy, so that two layers' results never share memory)."""
    return x.copy()


def linear_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Give dx = dout (a copy), since out = x."""
    return dout.copy()


# -- the layers -------------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "relu": (relu_forward, relu_backward),
    "softmax": (softmax_forward, softmax_backward),
    "linear": (linear_forward, linear_backward),
}
DEFINITIONS = {
    "relu": (reference.relu_forward, reference.relu_backward),
    "softmax": (reference.softmax_forward, reference.softmax_backward),
    "linear": (linear_forward, linear_backward),
}


class Activation(Layer):
    """An activation by name.

    Parameters
    ----------
    activation : {"relu", "softmax", "linear"}
    name : str, optional

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones.

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
        if activation not in FUNCTIONS:
            raise ValueError(f"unknown activation {activation!r}; known are {', '.join(map(repr, FUNCTIONS))}, or None")
        self.function = activation
        numpy = FUNCTIONS[activation]
        self.tellings = {"loops": DEFINITIONS[activation], "im2col": numpy, "fused": numpy}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Apply the function; the shape stays."""
        self.check_input(x)
        out = self.forward_function(x)
        self.cache = (out,)
        return out

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Give dx, of the shape of dout."""
        (out,) = self.cached(dout)
        return self.backward_function(dout, out)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {"activation": self.function, **super().get_config()}


class ReLU(Activation):
    """max(0, x) as a layer of its own.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, *, name: str | None = None):
        super().__init__("relu", name=name)

    @classmethod
    def default_name(cls) -> str:
        """Keras's name for it."""
        return "re_lu"

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {"name": self.name}


class Softmax(Activation):
    """Softmax over the last axis as a layer of its own.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, *, name: str | None = None):
        super().__init__("softmax", name=name)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {"name": self.name}


def activation_layer(activation: str | None) -> Activation | None:
    """Make the layer that `activation=` of another layer adds behind it; none for None."""
    return None if activation is None else Activation(activation)
