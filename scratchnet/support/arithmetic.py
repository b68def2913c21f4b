"""Arithmetic that is the same whatever the caller has told NumPy and Python to do about warnings.

NumPy may warn of an overflow or an underflow. After `np.seterr(all="raise")`, or under `python -W error`, it may raise an error.
In training both are expected: e⁻²⁰⁰ is 0 in float32 and should be, and training that diverges ends in our own error, which names
the layer. So every public function that computes ignores these reports, and results are checked where it matters (`check_finite`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def quiet(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function whose floating-point overflow, underflow and invalid operations are neither warnings nor errors.

    Examples
    --------
    >>> @quiet
    ... def exponential(x):
    ...     return np.exp(x)
    >>> with np.errstate(all="raise"):
    ...     exponential(np.array([-1000.0, 1000.0]))
    array([ 0., inf])
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return call
