"""Comparing two arrays that should be equal: the relative error of each number, and how large it may be.

Other checkers allow more: `torch.autograd.gradcheck` a relative error of 1e-3 plus an absolute one of 1e-5, with h = 1e-6;
`jax.test_util.check_grads` 1e-5 in float64 and 2e-3 in float32, along one random direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.gradcheck.numeric import (
    STEP,
    Kinks,
    Numeric,
    choices,
    deciding_difference,
    differences,
    steady_differences,
)
from scratchnet.gradcheck.report import NOT_COMPARED, Row

# The largest relative error allowed between two results:
TOLERANCE = 1e-6  # a gradient and central differences in float64
DIRECTION_TOLERANCE = 1e-5  # the same along a direction of a whole network, where many kinks need short steps: more rounding
COMPLEX_TOLERANCE = 1e-12  # a gradient and complex steps
DEFINITION_TOLERANCE = 1e-10  # two implementations in float64, which sum in different orders
BATCH_TOLERANCE = 1e-8  # images in one batch and one by one
UPDATE_TOLERANCE = 1e-7  # the steps of an optimizer and those of its formula
FLOAT32_TOLERANCE = 2e-3  # float32 and float64

SMALLEST = 1e-6  # numbers below it count as rounding errors, for values of the size of 1
MOST_SKIPPED = 0.05  # the largest share of differences that may be given up at kinks


def relative_errors(a: np.ndarray, b: np.ndarray, smallest: float = SMALLEST) -> np.ndarray:
    """Return |a - b| / max(|a|, |b|, floor) for each number. A NaN in `b` means "not compared", and its error is NaN.

    The floor is a thousandth of the largest |b|, and at least `smallest`. Without it, the rounding errors of large numbers
    would look large in the small numbers and zeros of the same array. A NaN only in `a` is an infinite error.

    Examples
    --------
    >>> relative_errors(np.array([1.0, 0.0]), np.array([1.1, 0.0])).round(3)
    array([0.091, 0.   ])
    """
    a, b = np.asarray(a), np.asarray(b)
    known = ~np.isnan(b)
    floor = max(1e-3 * float(np.abs(b[known]).max(initial=0.0)), smallest, 1e-300)
    with np.errstate(invalid="ignore"):
        difference = np.where(a == b, 0.0, np.abs(a - b))  # the difference of equal infinities is 0
        errors = difference / np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)
    errors = np.where(np.isnan(errors), np.inf, errors)
    return np.where(known, errors, np.nan)


def agree(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Return whether no relative error is larger than `tolerance`."""
    return bool(np.nanmax(relative_errors(a, b), initial=0) <= tolerance)


def compare(
    check: str,
    name: str,
    got: Any,
    expected: np.ndarray,
    tolerance: float,
    numeric: Numeric | None = None,
    smallest: float | None = None,
) -> Row:
    """Return the report's row for two arrays that should be equal.

    A numerical gradient is compared up to its rounding error. If all its numbers are smaller than that, an array of zeros would
    pass too, and the row says that nothing was compared.
    """
    if smallest is None:        # so that an error as large as `numeric.rounding` is a relative error of at most TOLERANCE
        smallest = SMALLEST if numeric is None else numeric.rounding / TOLERANCE
    got = np.asarray(got)
    if got.shape != expected.shape:
        return Row(check, name, False, note=f"shape {got.shape}, expected {expected.shape}")
    errors = relative_errors(got, expected, smallest)
    known = errors[~np.isnan(errors)]
    if not errors.size:
        return Row(check, name, False, note=f"{NOT_COMPARED}: the array is empty")
    retried, skipped, hidden = (numeric.retried, numeric.skipped, numeric.hidden) if numeric else (0, 0, 0)
    not_finite = numeric is not None and int((~np.isfinite(expected)).sum()) > skipped + hidden  # these two kinds are NaN
    if not_finite or skipped > MOST_SKIPPED * errors.size:
        note = "forward returns NaN or infinity" if not_finite else "too few differences are free of kinks"
        return Row(check, name, False, compared=known.size, retried=retried, skipped=skipped, note=note)
    where = np.unravel_index(int(np.nanargmax(errors)), errors.shape) if known.size else ()
    largest = float(errors[where]) if known.size else 0.0
    if numeric is not None and largest <= tolerance:
        rounding = max(numeric.rounding, tolerance * smallest)  # the error that passes where both numbers are below `smallest`
        if hidden > MOST_SKIPPED * errors.size or np.nanmax(np.abs(expected)) <= rounding:
            note = f"{NOT_COMPARED}: not larger than rounding errors of {rounding:.1e}"
            return Row(check, name, False, retried=retried, skipped=skipped, note=note)
    return Row(
        check,
        name,
        passed=largest <= tolerance,
        largest=largest,
        median=float(np.median(known)),
        where=tuple(map(int, where)),
        analytic=float(got[where]),
        numeric=float(expected[where]),
        compared=known.size,
        retried=retried,
        skipped=skipped,
    )


def compare_gradient(
    name: str,
    got: Any,
    f: Callable[[], np.ndarray],
    x: np.ndarray,
    dout: np.ndarray | float = 1.0,
    *,
    tolerance: float = TOLERANCE,
    kinks: Kinks | None = None,
) -> Row:
    """Return the row for the gradient `got` of Σ dout · f() with respect to `x`; see `differences`.

    Where a number differs, shorter steps decide whether the difference quotient or the gradient is wrong.
    """
    numeric = differences(f, x, dout, kinks=kinks)
    if np.shape(got) == x.shape and np.asarray(got).dtype.kind in "fiub":
        _shorten(numeric, np.asarray(got, np.float64), f, x, dout, tolerance, kinks)
    return compare("gradient", name, got, numeric.gradient, tolerance, numeric)


def _shorten(
    numeric: Numeric,
    got: np.ndarray,
    f: Callable[[], np.ndarray],
    x: np.ndarray,
    dout: np.ndarray | float,
    tolerance: float,
    kinks: Kinks | None,
) -> None:
    """Replace each difference that does not equal the gradient by the `deciding_difference`."""
    first, centre, rounding = numeric.gradient.copy(), choices(kinks), numeric.rounding
    errors = relative_errors(got, first, rounding / TOLERANCE)
    unequal = np.isfinite(got) & np.isfinite(first) & (errors > tolerance)
    for index in map(tuple, np.argwhere(unequal)):
        one = np.zeros(x.shape, bool)
        one[index] = True

        def shorter(k: int, one: np.ndarray = one, index: tuple[int, ...] = index) -> float:
            return float(steady_differences(f, x, dout, STEP / 2**k, kinks, centre, one).gradient[index])

        # errors = |a - b| / max(|a|, |b|, floor), so this is tolerance · max(|a|, |b|, floor), the largest |a - b| that passes.
        allowed = tolerance * abs(got[index] - first[index]) / errors[index]
        numeric.gradient[index], scatter = deciding_difference(got[index], first[index], shorter, allowed, rounding)
        if np.isnan(numeric.gradient[index]):
            numeric.hidden += 1
            numeric.rounding = max(numeric.rounding, scatter)
    if unequal.any():
        f()  # so that what f keeps between calls is computed from x
