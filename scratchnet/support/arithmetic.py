"""Arithmetic that is the same whatever the caller has told NumPy and Python to do about warnings.

NumPy may warn of an overflow or an underflow. After `np.seterr(all="raise")`, or under `python -W error`, it may raise an error.
In training both are expected: e⁻²⁰⁰ is 0 in float32 and should be, and training that diverges ends in our own error, which names
the layer. So every public function that computes ignores these reports, and results are checked where it matters (`check_finite`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")

_is_quiet = ContextVar("is_quiet", default=False)       # in this thread


def quiet(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function whose floating-point overflow, underflow and invalid operations are neither warnings nor errors.

    Only the outermost of nested calls changes NumPy's settings. A step of training makes dozens of such calls, and to change the
    settings in each would take more than a hundredth of its time. So a layer's `forward` may set `np.errstate` for what it calls.

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
        if _is_quiet.get():
            return function(*args, **kwargs)
        outermost = _is_quiet.set(True)
        try:
            with np.errstate(all="ignore"):
                return function(*args, **kwargs)
        finally:
            _is_quiet.reset(outermost)

    return call
