"""Derivatives computed from a function alone: central differences and complex steps.

Let L = Σ dout · f(x). By Taylor's theorem, for one number of x,

    central difference   (f(x + h) - f(x - h)) / 2h  =  f'(x) + h²/6 · f'''(x) + …

A smaller h makes the error h²/6 · f''' smaller, and makes the rounding error larger: the values of f are rounded to about 1e-16
of their size, and the difference is divided by 2h. The two errors are equal near h = (1e-16)^(1/3). The checker uses
h = 1e-5, which leaves an error below 1e-10 where f and f''' are of the size of 1.

`central_differences` is the whole method, in one loop. It multiplies by dout after the subtraction: an output that does not
depend on the number then has a difference of exactly 0, and its rounding error does not hide the outputs that do depend on it.

    complex step         Im f(x + ih) / h            =  f'(x) - h²/6 · f'''(x) + …

A complex step subtracts nothing, so h can be 1e-20, and the result is correct up to rounding. It needs a smooth f that
computes with complex numbers.

At a kink, a difference is not a derivative: between x - h and x + h a ReLU switches, or another cell becomes the largest of its
window. The argument `kinks` is a function that returns the pattern of such choices. `steady_differences` accepts a difference
only if the pattern at both ends is the pattern at x, and otherwise halves the step.

A difference can disagree with the gradient for three reasons. `deciding_difference` halves the step to distinguish them:

    truncation           the error falls to a quarter with each halving
    a mistake            the error stays the same
    rounding             the differences scatter, more with each halving, and decide nothing

Sources: Nocedal & Wright, *Numerical optimization* (2006), section 8.1; Squire & Trapp, *Using complex variables to
estimate derivatives of real functions* (1998).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import plain_array

STEP = 1e-5
COMPLEX_STEP = 1e-20
HALVINGS = 10  # how many steps are tried at a kink; each is half of the previous one
SHORTENINGS = 40  # how many are tried where a difference disagrees with the gradient; rounding stops most searches earlier
EPS = float(np.finfo(np.float64).eps)

Kinks = Callable[[], Sequence[np.ndarray]]


@dataclass
class Numeric:
    """A numerical gradient.

    Attributes
    ----------
    gradient : ndarray
        NaN where no difference was accepted.
    retried, skipped : int
        How many differences crossed a kink and were computed again, and how many were given up.
    rounding : float
        The error that rounding alone can cause in one number of `gradient`.
    hidden : int
        How many differences were given up because rounding hides whether they are the gradient.
    """

    gradient: np.ndarray
    retried: int = 0
    skipped: int = 0
    rounding: float = 0.0
    hidden: int = 0


def central_differences(
    f: Callable[[], np.ndarray], x: np.ndarray, dout: np.ndarray | float, step: float, where: np.ndarray
) -> np.ndarray:
    """Return the gradient of Σ dout · f() with respect to `x` where the mask `where` is True, and NaN elsewhere.

    f() reads `x`, which is changed in place, one number at a time, and restored.
    """
    gradient = np.full_like(x, np.nan)
    for index in map(tuple, np.argwhere(where)):
        value = x[index]
        h = step * max(1.0, abs(value))
        try:
            x[index] = value + h
            f_above, x_above = f(), x[index]
            x[index] = value - h
            f_below, x_below = f(), x[index]
        finally:
            x[index] = value
        gradient[index] = np.sum(dout * (f_above - f_below)) / (x_above - x_below)  # about 2h, after rounding
    return gradient


def same_pattern(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    """Return whether two patterns of choices are equal."""
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


def choices(kinks: Kinks | None) -> list[np.ndarray]:
    """Return the pattern of choices of the last call of f; none without `kinks`."""
    pattern = [] if kinks is None else kinks()
    if pattern is None:
        raise ValueError(f"{getattr(kinks, '__name__', 'kinks')}: expected a list of arrays, got None. Return a list")
    return list(pattern)


def steady_differences(
    f: Callable[[], np.ndarray],
    x: np.ndarray,
    dout: np.ndarray | float,
    step: float,
    kinks: Kinks | None,
    centre: Sequence[np.ndarray],
    where: np.ndarray | None = None,
) -> Numeric:
    """Return the `central_differences` that cross no kink: where one does, the step is halved, until `HALVINGS` steps were tried.

    `centre` is the pattern of choices at x, which `kinks()` must return at both ends of a difference. With a mask `where`, only
    the numbers where it is True are differentiated.
    """
    steady: list[bool] = []  # for each call of f, whether the choices are those at x

    def watched() -> np.ndarray:
        out = np.array(f(), copy=True)  # f may return the same array from each call
        steady.append(kinks is None or same_pattern(choices(kinks), centre))
        return out

    result = Numeric(np.full_like(x, np.nan))
    missing = np.ones(x.shape, bool) if where is None else where.copy()
    for halving in range(HALVINGS):
        steady.clear()
        with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, which `compare` reports
            slopes = central_differences(watched, x, dout, step / 2**halving, missing)
        accepted = np.zeros_like(missing)
        accepted[missing] = np.reshape(steady, (-1, 2)).all(axis=1)  # two calls of f for each number
        result.gradient[accepted] = slopes[accepted]
        missing &= ~accepted
        result.retried += int(missing.sum())
        if not missing.any():
            break
    result.skipped = int(missing.sum())
    return result


def rounding_error(out: np.ndarray, dout: np.ndarray | float, h: float) -> float:
    """Return the error of a difference of Σ dout · out that rounding alone can cause.

    Each output is rounded to EPS of its size, or of 1 if it is smaller, since small numbers are often differences of larger ones.
    The errors of many outputs add up to the root of the sum of their squares. A difference has two such errors, those of f(x + h)
    and of f(x - h), and is divided by 2h: together they are at most 2 · error / 2h = error / h.
    """
    return EPS * float(np.sqrt(np.sum(np.square(dout * np.maximum(1.0, np.abs(out)))))) / h


def differences(
    f: Callable[[], np.ndarray],
    x: np.ndarray,
    dout: np.ndarray | float = 1.0,
    *,
    step: float = STEP,
    kinks: Kinks | None = None,
) -> Numeric:
    """Return what `numerical_gradient` returns, and how many differences crossed a kink.

    `kinks()` returns the pattern of choices of the last call of f.
    """
    who = "numerical_gradient"
    plain_array(who, "x", x)
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        got = x.dtype if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise ValueError(f"{who}: expected float64, got {got}. Convert it with x = np.asarray(x).astype('float64')")
    if not x.flags.writeable:
        raise ValueError(f"{who}: expected an array that can be changed in place, got a read-only one. Copy it with x = x.copy()")
    out = f()
    if out is None:
        raise ValueError(f"{who}: expected f() to return an array or a number, got None. Add a return statement to f")
    if np.ndim(dout) and np.shape(dout) != np.shape(out):
        raise ValueError(
            f"{who}: expected dout of the shape of f(), {np.shape(out)}, or a number, got shape {np.shape(dout)}."
            " Make it an array of that shape"
        )
    rounding = rounding_error(np.asarray(out), dout, step)
    result = steady_differences(f, x, dout, step, kinks, choices(kinks))
    result.rounding = rounding
    f()  # so that what f keeps between calls is computed from x
    return result


def deciding_difference(
    analytic: float, first: float, shorter: Callable[[int], float], allowed: float, rounding: float
) -> tuple[float, float]:
    """Return the difference that decides whether a derivative is right, and how far the differences scatter.

    Parameters
    ----------
    analytic, first : float
        The derivative to judge, and the difference with the whole step, which is further from it than `allowed`.
    shorter : callable
        shorter(k) -> the difference with the step / 2**k; NaN if that crosses a kink.
    allowed, rounding : float
        The largest error of a right derivative, and the error of `first` that rounding alone can cause.

    Returns
    -------
    difference : float
        One that agrees if the error of `first` was truncation, one that disagrees for a mistake, NaN if rounding hides which it is.
    scatter : float
        The largest change from one of the last three differences to the next.

    Notes
    -----
    Let `error` be the smallest distance of the last three differences from `analytic`. If `analytic` is right, and e is the
    error of the first of the three,

        truncation           they are e, e/4 and e/16 away from it: scatter = 3/4 e is 12 · error
        rounding             they lie around it, as far from it as from each other: error is about scatter, or less

    If it is a mistake, scatter becomes small and error does not. So it counts as a mistake if error is many times the scatter:
    at least 10 times, to stop early, or more than 3 times where rounding does not permit shorter steps. For example, where the
    derivative is 1 and the differences are 1.08, 1.02 and 1.005, scatter is 0.06. For analytic = 1, error is 0.005, so shorter
    steps are tried; for analytic = 3, error is 1.92, which is 32 times the scatter: a mistake.
    """
    found = [first]
    for k in range(1, SHORTENINGS + 1):
        found.append(shorter(k))
        last = np.array(found[-3:])
        scatter, error = float(np.abs(np.diff(last)).max()), float(np.abs(analytic - last).min())
        if not np.isfinite(found[-1]):
            return first, 0.0
        if abs(analytic - found[-1]) <= allowed:
            return found[-1], scatter
        # While a function is curved within the step, each difference changes by much of its own size, and the next ones may still
        # reach `analytic`, however far it is. So the differences must also have settled: to a tenth, or to their rounding error.
        stays = scatter <= 0.1 * error and scatter <= max(0.1 * abs(found[-1]), rounding * 2**k)
        if (len(found) > 2 and stays) or rounding * 2**k > allowed:
            break
    return (found[-1] if error > 3 * scatter else np.nan), scatter


@quiet
def numerical_gradient(
    f: Callable[[], np.ndarray], x: np.ndarray, dout: np.ndarray | float = 1.0, *, step: float = STEP
) -> np.ndarray:
    """Return the gradient of Σ dout · f() with respect to `x`, computed with central differences.

    Parameters
    ----------
    f : callable
        Computes an array, or a number, from `x`. `x` is changed in place between calls, and restored at the end.
    x : ndarray, float64
    dout : ndarray of the shape of f(), or a number
    step : float
        Multiplied by |x| where that is larger than 1.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    ValueError
        If `x` is not float64 (in lower precision, rounding errors hide mistakes) or is read-only, and if `dout` has another shape
        than f(). An exception in f is passed on, after `x` is restored.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> numerical_gradient(lambda: (x ** 2).sum(), x).round(6)
    array([2., 4., 6.])
    """
    return differences(f, x, dout, step=step).gradient


@quiet
def complex_step_gradient(f: Callable[..., np.ndarray], arrays: Sequence[np.ndarray], k: int, dout: np.ndarray) -> np.ndarray:
    """Return the gradient of Σ dout · f(*arrays) with respect to arrays[k], computed with one imaginary step for each number.

    Parameters
    ----------
    f : callable
        Smooth, and able to compute with complex128.
    arrays : sequence of ndarray, float64
    k : int
    dout : ndarray of the shape of f(*arrays)

    Returns
    -------
    ndarray of the shape of arrays[k]

    Examples
    --------
    >>> complex_step_gradient(lambda x: np.exp(x), [np.array([0.0, 1.0])], 0, np.ones(2))
    array([1.        , 2.71828183])
    """
    arrays = [plain_array("complex_step_gradient", "arrays", a) for a in arrays]
    inputs = [np.array(a, np.complex128) if i == k else a for i, a in enumerate(arrays)]
    gradient = np.empty(arrays[k].shape)
    for index in np.ndindex(gradient.shape):
        inputs[k][index] += 1j * COMPLEX_STEP
        out = f(*inputs)
        if out is None:
            raise ValueError("complex_step_gradient: expected f to return an array, got None. Add a return statement to f")
        gradient[index] = np.sum(dout * np.imag(out)) / COMPLEX_STEP
        inputs[k][index] = arrays[k][index]
    return gradient
