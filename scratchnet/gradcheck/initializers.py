"""The check of an initializer: the mean, the variance and the range of the numbers it draws.

Whether a single number was drawn from the right distribution cannot be known. But the average of M independent numbers of variance
v is within 6 · √(v / M) of the mean of their distribution, in all but one of 500 million cases. A thousand arrays are drawn. Each
place of the array has an average of its own, of a thousand numbers, so that a bias of single places is found. For the mean of
all places, the numbers of each array are averaged (for the variance, their squared deviations), and then these thousand averages
are averaged. The variance v of the thousand averages is estimated from themselves, since the numbers of one array may depend on
each other, as in an orthogonal matrix.

The draws of a check depend on its seed only, so a check that has passed passes again.
"""

from __future__ import annotations

import copy
from math import sqrt
from typing import Any

import numpy as np

from scratchnet import initializers, reference
from scratchnet.gradcheck.report import Report, Row
from scratchnet.reference import Distribution
from scratchnet.support.arithmetic import quiet

DRAWS = 1000  # arrays that are drawn
DEVIATIONS = 6  # how many standard deviations a mean may be away from the right one


@quiet
def check_initializer(
    initializer: Any,
    shape: tuple[int, ...] = (2, 3, 3, 5),
    *,
    mean: float | None = None,
    variance: float | None = None,
    seed: int = 0,
    raise_on_failure: bool = False,
) -> Report:
    """Check the numbers that an initializer draws.

    Parameters
    ----------
    initializer : str, Initializer or callable
        One of the library, or a function of your own of (shape, rng).
    shape : tuple of int
        Keep it small: it is drawn a thousand times.
    mean, variance : float, optional
        What they should be; pass both. By default those of `reference.DISTRIBUTIONS`; a rule that it does not list, such as
        `Dirac`, is not compared with any.
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report
        definition: the mean of each number, the variance, the range, and, for `Orthogonal`, whether columns (or rows) are
        orthonormal. contract: the shape; the same state of a generator gives the same numbers; and the next call gives others.

    Raises
    ------
    ValueError
        For an unknown name, and for one of `mean` and `variance` without the other.
    GradientCheckError
        If the check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> check_initializer("he_normal").passed
    True
    >>> check_initializer(lambda shape, rng: rng.standard_normal(shape), mean=0.0, variance=0.5).failures[0].name
    'variance'
    """
    if (mean is None) != (variance is None):
        raise ValueError(
            f"check_initializer: expected both mean and variance, or neither, got mean={mean} and variance={variance}. Pass the"
            " other one too"
        )
    rule = initializers.get(initializer)
    settings: dict[str, Any] = {}
    if isinstance(rule, initializers.Initializer):
        rule = copy.deepcopy(rule)
        rule.seed = None  # with a seed of its own, each draw would be the same
        settings = {name: value for name, value in rule.get_config().items() if name != "seed"}
    kind = type(rule).__name__
    report = Report(f"{rule if settings or kind in reference.DISTRIBUTIONS else getattr(rule, '__name__', kind)} of shape {shape}")
    try:
        draws = np.stack([initializers.initialize(rule, shape, rng) for rng in [np.random.default_rng(seed)] for _ in range(DRAWS)])
    except Exception as error:  # an exception in the rule is a result of the check
        report.rows.append(Row("contract", "runs", False, note=f"{type(error).__name__}: {error}"))
        return report.raise_if_failed() if raise_on_failure else report
    known = reference.DISTRIBUTIONS[kind](shape, **settings) if kind in reference.DISTRIBUTIONS else None
    if mean is not None and variance is not None:
        known = Distribution(mean, variance)
    if known is not None:
        report.rows += _distribution_rows(draws, known)
    if kind == "Orthogonal":
        report.rows.append(_orthogonal_row(draws, settings["gain"]))
    rng = np.random.default_rng(seed)
    same = initializers.initialize(rule, shape, rng).tobytes() == draws[0].tobytes()
    note = "" if same else "the same generator gives other numbers. Draw from rng only"
    report.rows.append(Row("contract", "bits", same, note=note))
    if known is not None and known.variance:
        others = not np.array_equal(draws[0], draws[1])
        note = "" if others else "each call returns the same numbers. Draw from rng"
        report.rows.append(Row("contract", "new numbers", others, note=note))
    return report.raise_if_failed() if raise_on_failure else report


def _distribution_rows(draws: np.ndarray, known: Distribution) -> list[Row]:
    """Compare the mean of each number, the variance of all, and the largest and smallest with those of a distribution."""
    means = draws.mean(axis=0)  # (DRAWS, …) -> (…)
    far = np.unravel_index(np.abs(means - known.mean).argmax(), means.shape)
    each = abs(float(means[far]) - known.mean) <= DEVIATIONS * sqrt(known.variance / DRAWS) + 1e-12 * abs(known.mean)
    centre, allowed = _average(draws, abs(known.mean))
    spread, allowed_spread = _average(np.square(draws - known.mean), known.variance + known.mean**2)
    slack = 1e-12 * (abs(known.mean) + sqrt(known.variance))
    low, high = float(draws.min()), float(draws.max())
    too_low = low < known.lowest - slack
    return [
        _row("mean", abs(centre - known.mean) <= allowed, centre, known.mean),
        _row("mean of each", each, float(means[far]), known.mean, tuple(map(int, far))),
        _row("variance", abs(spread - known.variance) <= allowed_spread, spread, known.variance),
        _row("range", not too_low and high <= known.highest + slack, *((low, known.lowest) if too_low else (high, known.highest))),
    ]


def _average(draws: np.ndarray, scale: float) -> tuple[float, float]:
    """Return the average of all numbers, and how far it may be from the right one; `scale` is that of their rounding errors."""
    of_arrays = draws.reshape(len(draws), -1).mean(axis=1)  # (DRAWS, …) -> (DRAWS,)
    return float(of_arrays.mean()), DEVIATIONS * float(of_arrays.std()) / sqrt(DRAWS) + 1e-12 * scale


def _orthogonal_row(draws: np.ndarray, gain: float) -> Row:
    """Compare QᵀQ, or QQᵀ if there are more columns than rows, with gain² · I."""
    q = draws.reshape(len(draws), -1, draws.shape[-1])
    q = q if q.shape[1] >= q.shape[2] else q.transpose(0, 2, 1)
    errors = np.abs(q.transpose(0, 2, 1) @ q - gain**2 * np.eye(q.shape[2]))
    return _row("orthogonality", float(errors.max()) <= 1e-10 * max(gain**2, 1e-300), float(errors.max()), 0.0)


def _row(name: str, passed: bool, got: float, expected: float, where: tuple[int, ...] | None = None) -> Row:
    """Return a row of the report; how far a mean may be away depends on the number of draws, so there is no relative error."""
    return Row("definition", name, bool(passed), where=where, analytic=got, numeric=expected)
