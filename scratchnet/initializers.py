"""Initial values of parameters.

If a layer's weights are too large, its outputs grow from layer to layer; if they are too small, its outputs shrink. The same
holds for the gradients in backward. Glorot and Bengio want the variance to stay the same in both directions: forward needs
var(w) = 1 / fan_in, backward 1 / fan_out, and the compromise is 2 / (fan_in + fan_out). A uniform distribution on
[-limit, limit] has the variance limit² / 3, so

    limit = √(6 / (fan_in + fan_out))

where fan_in = KH·KW·C is how many numbers an output is computed from, and fan_out = KH·KW·F is how many outputs are computed
from an input. Biases start at 0.

Source: Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks* (2010), equation 16;
He et al., *Delving deep into rectifiers* (2015), equation 10, for `he_uniform`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from scratchnet.support.checking import check_shape, plain_array, shortened

Initializer = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a kernel (KH, KW, C, F), a matrix (D, U) or a bias (U,).

    As in Keras, a vector (D,) has the fans D and D, and a parameter without axes has 1 and 1.

    Examples
    --------
    >>> fans((3, 3, 32, 64)), fans((128, 10)), fans((5,)), fans(())
    ((288, 576), (128, 10), (5, 5), (1, 1))
    """
    shape = check_shape("fans", shape)
    if len(shape) < 2:
        return prod(shape), prod(shape)
    window = prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return float64 numbers drawn uniformly from ±√(6 / (fan_in + fan_out)).

    Examples
    --------
    >>> w = glorot_uniform((100, 50), np.random.default_rng(0))
    >>> bool(abs(w).max() < 0.2), round(float(w.std()), 2)
    (True, 0.12)
    """
    limit = sqrt(6 / sum(fans(shape)))
    return rng.uniform(-limit, limit, shape)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return float64 numbers drawn uniformly from ±√(6 / fan_in)."""
    limit = sqrt(6 / fans(shape)[0])
    return rng.uniform(-limit, limit, shape)


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return zeros; `rng` is not used."""
    return np.zeros(shape)


def ones(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return ones; `rng` is not used."""
    return np.ones(shape)


KNOWN: dict[str, Initializer] = {f.__name__: f for f in (glorot_uniform, he_uniform, zeros, ones)}


def get(initializer: Any) -> Initializer:
    """Return an initializer by name, or a function of (shape, rng) itself.

    Raises
    ------
    ValueError
        For anything that is neither a known name nor a function; the message lists the known names.
    """
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str) or initializer not in KNOWN:
        known = ", ".join(map(repr, KNOWN))
        raise ValueError(f"initializer: expected {known} or a function of (shape, rng), got {shortened(initializer)}")
    return KNOWN[initializer]


def initialize(initializer: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return an array of `shape` from an initializer given by name or as a function of (shape, rng).

    Raises
    ------
    ValueError
        For an unknown name, or a function that returns another shape or no numbers.
    TypeError
        For a function that cannot be called with (shape, rng).
    """
    function, shape = get(initializer), check_shape("initialize", shape)
    try:
        values = plain_array("initializer", "its result", function(shape, rng))
    except TypeError as error:
        raise TypeError(
            f"initializer: expected a function of (shape, rng), got {shortened(function)}, which fails: {error}"
        ) from error
    if values.dtype.kind not in "fiub":
        raise ValueError(f"initializer: expected an array of real numbers, got {values.dtype}. Return what rng draws, or floats")
    if values.shape != shape:
        raise ValueError(f"initializer: expected an array of shape {shape}, got {values.shape}. Return the shape that is passed in")
    return values


def config_name(initializer: Any) -> str:
    """Return an initializer's name for a saved model; "zeros" for any other function, since the file has the weights."""
    name = initializer if isinstance(initializer, str) else getattr(initializer, "__name__", "")
    return name if name in KNOWN else "zeros"
