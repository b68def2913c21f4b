"""Regularizers: a penalty for large weights, which is added to the loss.

    L2      R(w) = l2 · Σ_i w_i²            ∂R/∂w_i = 2 · l2 · w_i
    L1      R(w) = l1 · Σ_i |w_i|           ∂R/∂w_i = l1 · sign(w_i)           sign(0) = 0

The loss of a step is L = (the loss of its labels) + Σ R(w) over the parameters w that have a regularizer. The derivative of a
sum is the sum of the derivatives, so ∂L/∂w is what backward has computed for w, plus ∂R/∂w. |w| has no derivative at 0; 0 is
used, as in Keras.

The loss that is shown includes the penalty, in validation too. A frozen layer adds none, since training could not reduce it. With
plain gradient descent, L2 makes each weight smaller by the fraction 2 · l2 · learning_rate in each step. Adam and its relatives
divide the gradient of the penalty together with that of the loss; the `weight_decay` of an optimizer is not divided.

Source: Goodfellow, Bengio & Courville, *Deep learning* (2016), section 7.1, where l2 is called α / 2; Krogh & Hertz, *A simple
weight decay can improve generalization* (1992).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import check_number, number_array, shortened
from scratchnet.support.config import config_of
from scratchnet.support.keywords import name_arguments

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]


class Regularizer:
    """The base of every regularizer. One of your own defines `__call__` and `gradient`.

    Examples
    --------
    >>> class Smooth(Regularizer):
    ...     def __call__(self, w):
    ...         return float(np.sqrt(1 + w * w).sum())
    ...     def gradient(self, w):
    ...         return w / np.sqrt(1 + w * w)
    >>> Smooth()(np.zeros(3))
    3.0
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    def __call__(self, w: np.ndarray) -> float:
        """Return the penalty of an array of weights of any shape."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, w)")

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return the derivative of the penalty with respect to each weight, an array of the shape of `w`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(self, w)")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this regularizer: those of the constructor's signature."""
        return config_of(self)


class L1L2(Regularizer):
    """The sum of both penalties.

    Parameters
    ----------
    l1, l2 : float
        The factors, 0 or more.

    Examples
    --------
    >>> L1L2(l1=0.5, l2=0.1)(np.array([[-1.0, 2.0]]))          # 0.5 · (1 + 2) + 0.1 · (1 + 4)
    2.0
    >>> L1L2(l1=0.5, l2=0.1).gradient(np.array([[-1.0, 2.0]]))
    array([[-0.7,  0.9]])
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1, self.l2 = check_factor("l1", l1), check_factor("l2", l2)

    @quiet
    def __call__(self, w: np.ndarray) -> float:
        """Return l1 · Σ |w| + l2 · Σ w²; the sums are computed in float64."""
        w = number_array(type(self).__name__, "w", w).ravel()
        absolutes = np.abs(w).sum(dtype=np.float64) if self.l1 else 0.0
        squares = np.einsum("i,i", w, w, dtype=np.float64) if self.l2 else 0.0
        return float(self.l1 * absolutes + self.l2 * squares)

    @quiet
    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return l1 · sign(w) + 2 · l2 · w, of the dtype of `w`."""
        w = number_array(type(self).__name__, "w", w)
        if not self.l1:
            return 2 * self.l2 * w
        return self.l1 * np.sign(w) + 2 * self.l2 * w


class L1(L1L2):
    """The sum of the absolute values. It makes many weights small, and those that matter little nearly 0.

    Parameters
    ----------
    l1 : float
        The factor, 0 or more.

    Examples
    --------
    >>> L1(0.5)(np.array([-1.0, 2.0])), L1(0.5).gradient(np.array([-1.0, 0.0, 2.0]))
    (1.5, array([-0.5,  0. ,  0.5]))
    """

    def __init__(self, l1: float = 0.01):
        super().__init__(l1=l1)


class L2(L1L2):
    """The sum of the squares: the larger a weight, the more it is reduced.

    Parameters
    ----------
    l2 : float
        The factor, 0 or more.

    Examples
    --------
    >>> L2(0.1)(np.array([-1.0, 2.0])), L2(0.1).gradient(np.array([-1.0, 2.0]))
    (0.5, array([-0.2,  0.4]))
    """

    def __init__(self, l2: float = 0.01):
        super().__init__(l2=l2)


l1, l2, l1_l2 = L1, L2, L1L2                # Keras has these names too

KNOWN: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1l2": L1L2, "L1": L1, "L2": L2, "L1L2": L1L2}


def check_factor(name: str, value: Any) -> float:
    """Return a finite factor of at least 0."""
    return check_number(f"regularizer: {name}", value)


def get(regularizer: Any) -> Regularizer | None:
    """Return a regularizer by name, by what `config` returns, or the object itself; None for none.

    What `config` returns for a class of your own is found by the name of the class, once it is defined.

    Raises
    ------
    ValueError
        For anything else. A function is refused: its gradient is not known.

    Examples
    --------
    >>> get("l2"), get({"class_name": "L1", "config": {"l1": 0.5}})
    (L2(l2=0.01), L1(l1=0.5))
    """
    if regularizer is None or isinstance(regularizer, Regularizer):
        return regularizer
    if isinstance(regularizer, str) and regularizer in KNOWN:
        return KNOWN[regularizer]()
    if isinstance(regularizer, type) and issubclass(regularizer, Regularizer):
        return regularizer()
    if isinstance(regularizer, dict) and regularizer.keys() == {"class_name", "config"}:
        name, settings = regularizer["class_name"], regularizer["config"]
        known = {kind.__name__: kind for kind in _subclasses(Regularizer)}
        if isinstance(name, str) and name in known and isinstance(settings, dict):
            return known[name](**settings)
    fix = "For example kernel_regularizer=regularizers.L2(0.01)"
    if callable(regularizer):
        fix = "Derive a class from regularizers.Regularizer, with __call__(self, w) and gradient(self, w)"
    raise ValueError(
        f"regularizer: expected 'l1', 'l2', an object such as L2(0.01), or None, got {shortened(regularizer)}. {fix}"
    )


def _subclasses(kind: type) -> Iterator[type]:
    """Yield all classes that derive from a class, directly or indirectly."""
    derived: type
    for derived in kind.__subclasses__():
        yield derived
        yield from _subclasses(derived)


def config(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """Return the class and the arguments of a regularizer as values for JSON, from which `get` makes it again.

    Examples
    --------
    >>> config(L2(0.1))
    {'class_name': 'L2', 'config': {'l2': 0.1}}
    """
    return None if regularizer is None else {"class_name": type(regularizer).__name__, "config": regularizer.get_config()}


# -- the penalties of all layers --------------------------------------------------------------------------------------


def regularized(layers: Iterable[Any]) -> list[tuple[Any, str, Regularizer]]:
    """Return each layer that is trained, the name of each of its parameters that has a regularizer, and the regularizer."""
    rules = ((layer, key, rule) for layer in dict.fromkeys(layers) for key, rule in layer.regularizers.items())
    return [(layer, key, rule) for layer, key, rule in rules if rule and layer.trainable and key in layer.params]


def penalty(layers: Iterable[Any]) -> float:
    """Return the sum of the penalties of all parameters that are trained."""
    return sum((rule(layer.params[key]) for layer, key, rule in regularized(layers)), 0.0)


@quiet
def add_gradients(layers: Iterable[Any]) -> None:
    """Add the gradient of each penalty to `layer.grads`, which backward has just written, as a new array."""
    for layer, key, rule in regularized(layers):
        layer.grads = {**layer.grads, key: layer.grads[key] + rule.gradient(layer.params[key])}
