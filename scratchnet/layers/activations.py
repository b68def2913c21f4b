"""Activation functions. Without a nonlinear function between them, two dense layers compute no more than one could.

ReLU keeps positive numbers and replaces the others with 0. It is computed elementwise, out_i = max(0, x_i), so
∂out_i/∂x_j = 0 for i ≠ j, and the sum of the chain rule has one term. The derivative is 1 or 0; exactly at 0, where it does not
exist, we use 0, as Keras does:

    out = max(0, x)                     dx = dout where out > 0, else 0

The weights of a unit whose ReLU is 0 for all images receive no gradient, so they do not learn. A leaky ReLU has a small slope a in
place of 0, so its derivative is 1 or a. ReLU6 has an upper limit m = 6; where its output is 6, its derivative is 0. Both are
cases (m = ∞ for the leaky ReLU, a = 0 for ReLU6) of

    out = min(m, x) where x > 0, else a·x       dx = dout where 0 < out < m, 0 where out = m, and a·dout elsewhere

Softmax converts K numbers x_j, the logits, to probabilities p_j:

    p_j = exp(x_j) / Σ_i exp(x_i)

Adding the same number to all logits does not change p, so the largest logit is subtracted first, and no exponential overflows.

Every p_j depends on every x_k. With S = Σ_i exp(x_i), and δ_jk = 1 where j = k, and 0 elsewhere, the quotient rule gives

    ∂p_j/∂x_k = (δ_jk exp(x_j) S - exp(x_j) exp(x_k)) / S²  =  p_j (δ_jk - p_k)
    dx_k = Σ_j dout_j p_j (δ_jk - p_k)                      =  p_k (dout_k - Σ_j dout_j p_j)

The elementwise functions that contain exponentials, such as sigmoid and GELU, are in smooth_activations.py.

Source: Nair & Hinton, *Rectified linear units improve restricted Boltzmann machines* (2010); Maas, Hannun & Ng, *Rectifier
nonlinearities improve neural network acoustic models* (2013), section 2, for the leaky ReLU; Krizhevsky, *Convolutional deep belief
networks on CIFAR-10* (2010), section 2.2, for the limit of 6; Bishop, *Pattern recognition and machine learning* (2006), equations
4.104 and 4.106.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.kernels import activations as fused
from scratchnet.kernels.relu import relu_backward as fused_relu_backward
from scratchnet.layers import smooth_activations as smooth
from scratchnet.layers.base import Functions, Layer, Node
from scratchnet.support.arithmetic import quiet
from scratchnet.support.arrays import Tensor
from scratchnet.support.checking import check_number, number_array, shortened
from scratchnet.support.keywords import named_arguments

# -- ReLU -------------------------------------------------------------------------------------------------------------


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Return max(0, x), elementwise, for any shape."""
    return np.maximum(x, 0)


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx: dout where x is positive, and 0 elsewhere, also at x = 0.

    `out` can be used in place of x, since it is positive exactly where x is.
    """
    return np.where(out > 0, dout, dout.dtype.type(0))


@quiet
def leaky_relu_forward(x: np.ndarray, negative_slope: float = 0.2, max_value: float = np.inf) -> np.ndarray:
    """Return x where it is positive and negative_slope · x elsewhere, and at most `max_value`, for any shape."""
    return np.minimum(np.where(x > 0, x, negative_slope * x), max_value)


@quiet
def leaky_relu_backward(dout: np.ndarray, out: np.ndarray, negative_slope: float = 0.2, max_value: float = np.inf) -> np.ndarray:
    """Return dx: dout where 0 < out < max_value, 0 where out = max_value, and negative_slope · dout elsewhere, also at x = 0.

    `out` can be used in place of x: it is positive exactly where x is, since the slope is not negative.
    """
    dx = np.where(out > 0, dout, negative_slope * dout)
    return np.where(out >= max_value, dout.dtype.type(0), dx)


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


def _smooth(name: str, kernels: Functions) -> dict[str, Functions]:
    """Return the implementations of a function of smooth_activations.py.

    The fast kernels take only float32, so with float64 "fused" runs the functions of that file.
    """

    def pair(module: Any) -> Functions:
        return getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")

    in_numpy = pair(smooth)

    def forward(x: np.ndarray, *settings: float) -> np.ndarray:
        function, _ = kernels if x.dtype == np.float32 else in_numpy
        return function(x, *settings)

    def backward(dout: np.ndarray, out_or_x: np.ndarray, *settings: float) -> np.ndarray:
        _, function = kernels if dout.dtype == np.float32 else in_numpy
        return function(dout, out_or_x, *settings)

    return {"loops": pair(reference), "im2col": in_numpy, "fused": (forward, backward)}


_LEAKY = {
    "loops": (reference.leaky_relu_forward, reference.leaky_relu_backward),
    "im2col": (leaky_relu_forward, leaky_relu_backward),
    "fused": fused.LEAKY_RELU,
}
_ELU = _smooth("elu", fused.ELU)

ACTIVATIONS: dict[str, dict[str, Functions]] = {
    "relu": {
        "loops": (reference.relu_forward, reference.relu_backward),
        "im2col": (relu_forward, relu_backward),
        "fused": (relu_forward, fused_relu_backward),
    },
    "softmax": {
        "loops": (reference.softmax_forward, reference.softmax_backward),
        "im2col": (softmax_forward, softmax_backward),
        "fused": (softmax_forward, softmax_backward),
    },
    "linear": dict.fromkeys(("loops", "im2col", "fused"), (linear_forward, linear_backward)),
    "leaky_relu": _LEAKY,
    "relu6": _LEAKY,
    "elu": _ELU,
    "selu": _ELU,
    "sigmoid": _smooth("sigmoid", fused.SIGMOID),
    "tanh": _smooth("tanh", fused.TANH),
    "softplus": _smooth("softplus", fused.SOFTPLUS),
    "silu": _smooth("silu", fused.SILU),
    "gelu": _smooth("gelu", fused.GELU),
    "gelu_tanh": _smooth("gelu_tanh", fused.GELU_TANH),
}
ALIASES = {"swish": "silu"}

# What forward and backward take after the arrays: a slope and a limit for the first two, alpha and scale for the others.
SETTINGS: dict[str, tuple[float, ...]] = {
    "leaky_relu": (0.2, np.inf),
    "relu6": (0.0, 6.0),
    "elu": (1.0, 1.0),
    "selu": (smooth.SELU_ALPHA, smooth.SELU_SCALE),
}
BACKWARD_FROM_X = ("silu", "gelu", "gelu_tanh")         # the others compute dx from out
WITH_A_KINK = ("relu", "leaky_relu", "relu6", "elu", "selu")


class Activation(Layer):
    """A layer that applies an activation function, chosen by its name.

    Parameters
    ----------
    activation : str or function
        "relu", "softmax", "linear", "leaky_relu" (slope 0.2), "relu6", "elu", "selu", "sigmoid", "tanh", "softplus", "silu" (or
        "swish"), "gelu" (exact, as in Keras) or "gelu_tanh" (`gelu(x, approximate=True)` in Keras); or the function of that
        name in `scratchnet.activations`.
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

    def __init__(self, activation: str | Callable[..., Any], *, name: str | None = None):
        super().__init__(name=name)
        self._choose(_name_of(activation))

    def _choose(self, function: str, settings: tuple[float, ...] | None = None) -> None:
        self.function, self.implementations = function, ACTIVATIONS[function]
        self.settings = SETTINGS.get(function, ()) if settings is None else settings

    def forward(self, x: np.ndarray, *, joined: bool = False) -> np.ndarray:
        """Return the output, of the shape of x. With `joined`, the layer before has applied the function (plan.py)."""
        self.check_input(x)
        out = x if joined else self.forward_function(x, *self.settings)
        self.cache = (x if self.function in BACKWARD_FROM_X else out,)
        return out

    def backward(self, dout: np.ndarray, need_dx: bool = True, *, joined: bool = False) -> np.ndarray:
        """Return dx, of the shape of dout. With `joined`, another layer computes it (plan.py)."""
        (out_or_x,) = self.cached(dout)
        return dout if joined else self.backward_function(dout, out_or_x, *self.settings)

    def branch_pattern(self) -> Sequence[np.ndarray]:
        """Return where the last output is above the kink at 0 and, for a ReLU with a limit, where it has reached the limit."""
        if self.function not in WITH_A_KINK or self.cache is None:
            return []
        (out,) = self.cache
        return [out > 0, *([out >= self.settings[1]] if self.implementations is _LEAKY else [])]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this layer."""
        config = super().get_config()
        return {**config, "activation": self.function} if "activation" in config else config


class ReLU(Activation):
    """A layer that computes max(0, x), or with other arguments a ReLU with a limit or with a slope at negative x.

    Parameters
    ----------
    max_value : float, optional
        The largest output; None for no limit.
    negative_slope : float
        The factor of negative x, at least 0.
    name : str, optional

    Examples
    --------
    >>> ReLU(max_value=6, negative_slope=0.5).build((4,)).forward(np.array([[-2, 0, 3, 7]], "float32"))
    array([[-1.,  0.,  3.,  6.]], dtype=float32)
    """

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, *, name: str | None = None):
        super().__init__("relu", name=name)
        self.max_value = None if max_value is None else check_number("max_value", max_value)
        self.negative_slope = check_number("negative_slope", negative_slope)
        if (self.max_value, self.negative_slope) != (None, 0):
            self._choose("leaky_relu", (self.negative_slope, np.inf if self.max_value is None else self.max_value))

    @classmethod
    def default_name(cls) -> str:
        """Return Keras's name for the class."""
        return "re_lu"


class LeakyReLU(Activation):
    """A layer that computes x where x is positive, and negative_slope · x elsewhere.

    Parameters
    ----------
    negative_slope : float
        At least 0. The default is 0.3, as in Keras, whose *function* "leaky_relu" has a slope of 0.2.
    name : str, optional

    Examples
    --------
    >>> LeakyReLU(0.25).build((3,)).forward(np.array([[-2, 0, 3]], "float32"))
    array([[-0.5,  0. ,  3. ]], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, *, name: str | None = None):
        super().__init__("leaky_relu", name=name)
        self.negative_slope = check_number("negative_slope", negative_slope)
        self._choose("leaky_relu", (self.negative_slope, np.inf))


class ELU(Activation):
    """A layer that computes x where x is positive, and alpha · (eˣ - 1) elsewhere.

    Parameters
    ----------
    alpha : float
        At least 0; the output approaches -alpha as x goes to -∞.
    name : str, optional

    Examples
    --------
    >>> ELU(alpha=0.5).build((3,)).forward(np.array([[-100, 0, 3]], "float32"))
    array([[-0.5,  0. ,  3. ]], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, *, name: str | None = None):
        super().__init__("elu", name=name)
        self.alpha = check_number("alpha", alpha)
        self._choose("elu", (self.alpha, 1.0))


class Softmax(Activation):
    """A layer that computes softmax over the last axis.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, *, name: str | None = None):
        super().__init__("softmax", name=name)


# -- activations as an argument ---------------------------------------------------------------------------------------


def _function(name: str) -> Callable[..., Any]:
    """Return the activation function of this name for arrays, and for the results of layers in a graph."""

    @quiet
    def function(x: Any) -> Any:
        if isinstance(x, Node):
            return Activation(name)(x)
        forward, _ = ACTIVATIONS[name]["im2col"]
        return Tensor.of(forward(number_array(name, "x", x), *SETTINGS.get(name, ())))

    function.__name__ = name
    return named_arguments(function)


FUNCTIONS = {name: _function(name) for name in ACTIVATIONS}
FUNCTIONS |= {alias: FUNCTIONS[name] for alias, name in ALIASES.items()}


def _name_of(activation: Any) -> str:
    """Return the name of an activation that is given by its name or by its function."""
    for name, function in FUNCTIONS.items():
        if activation is function or (isinstance(activation, str) and activation == name):
            return ALIASES.get(name, name)
    known = ", ".join(map(repr, ACTIVATIONS))
    fix = "For another function write a layer of your own; for another slope use LeakyReLU(0.1)"
    if isinstance(activation, Layer):
        fix = "Use this layer itself in the model, after the other one"
    raise ValueError(f"activation: expected {known} or None, got {shortened(activation)}. {fix}")


def activation_layer(activation: Any) -> Activation | None:
    """Return the layer that `activation=` of another layer adds after it; None for None.

    It may be a layer such as LeakyReLU(0.1). Such a layer is copied, since it may be the activation of several layers. A saved
    model holds its class and its arguments.
    """
    if activation is None:
        return None
    kinds = {kind.__name__: kind for kind in (Activation, ReLU, LeakyReLU, ELU, Softmax)}
    if type(activation) in kinds.values():
        return type(activation)(**{**activation.get_config(), "name": None})
    if isinstance(activation, dict) and set(activation) == {"class_name", "config"} and str(activation["class_name"]) in kinds:
        return kinds[activation["class_name"]](**activation["config"])
    return Activation(activation)
