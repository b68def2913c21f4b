"""Derivatives from the function alone, and what can go wrong with them.

The gradient of L = Σ dout · f(x) with respect to one number of x is, by Taylor's theorem,

    central difference   (f(x + h) - f(x - h)) / 2h  =  f'(x) + h²/6 · f'''(x) + …

Smaller steps have less of the second term and more rounding, about 1e-16 / h of the values; they meet near
h = (1e-16)^(1/3). We take h = 1e-5, which leaves errors of some 1e-10 where f''' is of the size of f, and demand 1e-6.
(`torch.autograd.gradcheck` demands a relative 1e-3 with an absolute 1e-5 at h = 1e-6; `jax.test_util.check_grads` 1e-5 in
float64 and 2e-3 in float32, along one random direction.) The upstream gradient dout is random: all ones would hide whatever
cancels in a sum.

Differences of f are taken number by number before they are summed with dout, so that the many outputs that a number
does not touch cancel to exactly 0, and their rounding does not drown the few that it does.

    complex step         Im f(x + ih) / h            =  f'(x) - h²/6 · f'''(x) + …

has no difference in it, so h may be 1e-20 and the result is good to the last bits; it needs a smooth f that computes
with complex numbers.

At a kink a difference is no derivative: between x - h and x + h a ReLU has switched or another cell has become the
largest of its window. `kinks` names the pattern of such choices; a difference counts only when the pattern is the same
at both ends as in the middle, and is otherwise taken again with half the step.

Sources: Nocedal & Wright, *Numerical optimization* (2006), section 8.1; Squire & Trapp, *Using complex variables to
estimate derivatives of real functions* (1998).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.gradcheck.report import Row

STEP = 1e-5
TOLERANCE = 1e-6  # relative, for central differences in float64
DIRECTION_TOLERANCE = 1e-5  # along a direction of a whole net: its 100,000 choices allow short steps only, with more rounding
COMPLEX_STEP = 1e-20
COMPLEX_TOLERANCE = 1e-12
HALVINGS = 10  # of the step at a kink, before the difference is given up
DRAWS = 3  # of another direction, when no step along one is short enough
SMALLEST = 1e-6  # below which numbers count as rounding, where values are of the size of 1
SKIPPED_MOST = 0.05  # the share of differences that may be given up; above it the check has not been one

Kinks = Callable[[], Sequence[np.ndarray]]


@dataclass
class Numeric:
    """A numerical gradient.

    Attributes
    ----------
    gradient : ndarray
        NaN where a difference was given up.
    retried, skipped : int
        Differences taken again with a smaller step, and given up.
    rounding : float
        Along directions: how far rounding alone may have moved a number of `gradient`.
    """

    gradient: np.ndarray
    retried: int = 0
    skipped: int = 0
    rounding: float = 0.0


def same_pattern(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    """Say whether two patterns of choices are the same."""
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


def numerical_gradient(
    f: Callable[[], np.ndarray], x: np.ndarray, dout: np.ndarray | float = 1.0, *, step: float = STEP
) -> np.ndarray:
    """Give the gradient of Σ dout · f() with respect to `x`, which f reads, by central differences.

    Parameters
    ----------
    f : callable
        Computes an array, or a number, from `x`; `x` is changed in place for it, and put back.
    x : ndarray, float64
    dout : ndarray of the shape of f(), or a number
    step : float
        Relative to numbers of x larger than 1.

    Returns
    -------
    ndarray shaped as x

    Raises
    ------
    ValueError
        When `x` is not float64: a difference in less precision proves nothing.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> numerical_gradient(lambda: (x ** 2).sum(), x).round(6)
    array([2., 4., 6.])
    """
    return differences(f, x, dout, step=step).gradient


def differences(
    f: Callable[[], np.ndarray],
    x: np.ndarray,
    dout: np.ndarray | float = 1.0,
    *,
    step: float = STEP,
    kinks: Kinks | None = None,
) -> Numeric:
    """Do what `numerical_gradient` does, and count kinks: `kinks` gives the pattern of choices of the last call of f."""
    if x.dtype != np.float64:
        raise ValueError(f"finite differences need float64; got {x.dtype}. Convert with x.astype('float64')")
    result = Numeric(np.empty_like(x))
    f()
    centre = list(kinks()) if kinks else []
    for index in np.ndindex(x.shape):
        kept = x[index]
        h = step * max(1.0, abs(kept))
        for _ in range(HALVINGS):
            x[index] = kept + h
            above, high = np.array(f(), copy=True), x[index]
            steady = not kinks or same_pattern(kinks(), centre)
            x[index] = kept - h
            below, low = np.array(f(), copy=True), x[index]
            steady = steady and (not kinks or same_pattern(kinks(), centre))
            x[index] = kept
            if steady:
                with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, which `compare` reports
                    result.gradient[index] = np.sum(dout * (above - below)) / (high - low)
                break
            result.retried += 1
            h /= 2
        else:
            result.gradient[index] = np.nan
            result.skipped += 1
    f()
    return result


def complex_step_gradient(f: Callable[..., np.ndarray], arrays: Sequence[np.ndarray], k: int, dout: np.ndarray) -> np.ndarray:
    """Give the gradient of Σ dout · f(*arrays) with respect to arrays[k] from one imaginary step for each of its numbers.

    Parameters
    ----------
    f : callable
        Smooth, and able to compute with complex128.
    arrays : sequence of ndarray, float64
    k : int
    dout : ndarray of the shape of f's result

    Returns
    -------
    ndarray shaped as arrays[k]

    Examples
    --------
    >>> complex_step_gradient(lambda x: np.exp(x), [np.array([0.0, 1.0])], 0, np.ones(2))
    array([1.        , 2.71828183])
    """
    inputs = [np.array(a, np.complex128) if i == k else a for i, a in enumerate(arrays)]
    gradient = np.empty(arrays[k].shape)
    for index in np.ndindex(gradient.shape):
        inputs[k][index] += 1j * COMPLEX_STEP
        gradient[index] = np.sum(dout * np.imag(f(*inputs))) / COMPLEX_STEP
        inputs[k][index] = arrays[k][index]
    return gradient


def relative_errors(a: np.ndarray, b: np.ndarray, smallest: float = SMALLEST) -> np.ndarray:
    """Give |a - b| / max(|a|, |b|, floor) number by number; NaN in b means "not compared", and gives NaN.

    The floor, a thousandth of the largest |b| and at least `smallest`, keeps the rounding of large numbers from being
    held against the small ones beside them, and against what should be 0. A NaN in `a` where `b` has a number is an infinite error.

    Examples
    --------
    >>> relative_errors(np.array([1.0, 0.0]), np.array([1.1, 0.0])).round(3)
    array([0.091, 0.   ])
    """
    a, b = np.asarray(a), np.asarray(b)
    known = ~np.isnan(b)
    floor = max(1e-3 * float(np.abs(b[known]).max(initial=0.0)), smallest, 1e-300)
    with np.errstate(invalid="ignore"):
        difference = np.where(a == b, 0.0, np.abs(a - b))  # equal infinities have no difference
        errors = difference / np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)
    errors = np.where(np.isnan(errors), np.inf, errors)
    return np.where(known, errors, np.nan)


def compare(
    witness: str,
    name: str,
    got: Any,
    expected: np.ndarray,
    tolerance: float,
    numeric: Numeric | None = None,
    smallest: float = SMALLEST,
) -> Row:
    """Make the report's row for two arrays that should be equal."""
    got = np.asarray(got)
    if got.shape != expected.shape:
        return Row(witness, name, False, note=f"shape {got.shape}, expected {expected.shape}")
    errors = relative_errors(got, expected, smallest)
    known = errors[~np.isnan(errors)]
    retried, skipped = (numeric.retried, numeric.skipped) if numeric else (0, 0)
    lost = numeric is not None and int((~np.isfinite(expected)).sum()) > skipped  # those given up are NaN too
    if lost or not known.size or skipped > SKIPPED_MOST * errors.size:
        note = "forward gives NaN or infinity" if lost else "too few differences are free of kinks"
        return Row(witness, name, False, compared=known.size, retried=retried, skipped=skipped, note=note)
    where = np.unravel_index(int(np.nanargmax(errors)), errors.shape)
    largest = float(errors[where])
    return Row(
        witness, name, largest <= tolerance, largest, float(np.median(known)), tuple(map(int, where)),
        float(got[where]), float(expected[where]), known.size, retried, skipped,
    )  # fmt: skip
