"""The check of a learning rate schedule: its rates compared with its formula, and whether they depend on the step alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from math import floor
from typing import Any, Literal

import numpy as np

from scratchnet import reference
from scratchnet.gradcheck.comparison import DEFINITION_TOLERANCE, compare
from scratchnet.gradcheck.report import Report, Row
from scratchnet.schedules import rate_at
from scratchnet.support.arithmetic import quiet

FIRST = 20  # how many of the first steps are compared by default


@quiet
def check_schedule(
    schedule: Callable[..., Any],
    *,
    steps: Sequence[int] | None = None,
    definition: Callable[[int], float] | Literal["auto"] | None = "auto",
    raise_on_failure: bool = False,
) -> Report:
    """Check a learning rate schedule.

    Parameters
    ----------
    schedule : LearningRateSchedule or callable
        One of the library or your own: step -> rate, where the first step is 0.
    steps : sequence of int, optional
        The steps to compare. By default the first ones, and those around each number of its arguments, such as the end of a
        warm-up, around twice each, and around their sum.
    definition : callable, optional
        A function step -> rate that is known to be correct. "auto": the formula in `reference.SCHEDULES`, which is written in
        another form, for a schedule of the library, and None for any other: then the rates are not compared.
    raise_on_failure : bool

    Returns
    -------
    Report
        definition: the rates. contract: each is a finite number of at least 0, and the rate of a step is the same whatever steps
        were asked for before, as it must be if training is to be resumed.

    Raises
    ------
    TypeError
        If `schedule` is not callable.
    GradientCheckError
        If the check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> from scratchnet.optimizers.schedules import CosineDecay
    >>> check_schedule(CosineDecay(0.0, 1000, warmup_target=0.1, warmup_steps=50)).passed
    True
    >>> check_schedule(lambda step: 0.1 * 0.5**step, definition=lambda step: 0.1 / 2**step).passed
    True
    >>> check_schedule(lambda step: 0.1 * 0.5 ** (step + 1), definition=lambda step: 0.1 / 2**step).passed
    False
    """
    if not callable(schedule) or isinstance(schedule, type):
        raise TypeError(f"check_schedule: expected an object such as CosineDecay(0.1, 1000), or a function, got {schedule!r}")
    schedule = copy.deepcopy(schedule)
    settings = schedule.get_config() if hasattr(schedule, "get_config") else {}
    formula = reference.SCHEDULES.get(type(schedule).__name__) if definition == "auto" else None
    asked = _steps(settings) if steps is None else [*steps]
    report = Report(repr(schedule) if settings else getattr(schedule, "__name__", type(schedule).__name__))
    try:
        rates = np.array([rate_at(schedule, step) for step in asked])
        again = np.array([rate_at(schedule, step) for step in reversed(asked)])[::-1]
    except Exception as error:  # an exception in the schedule is a result of the check
        report.rows.append(Row("contract", "rates", False, note=f"{type(error).__name__}: {error}"))
        return report.raise_if_failed() if raise_on_failure else report
    expected: list[float] | None = None
    if formula is not None:
        expected = [formula(step, **settings) for step in asked]
    elif callable(definition):
        expected = [definition(step) for step in asked]
    if expected is not None:
        row = compare("definition", "rates", rates, np.array(expected), DEFINITION_TOLERANCE, smallest=0)
        if row.where is not None:
            row.where = (asked[row.where[0]],)  # the step, in place of its index
        report.rows.append(row)
    same = rates.tobytes() == again.tobytes()
    note = "" if same else "the rate of a step depends on the steps asked for before it. Compute it from the step alone"
    report.rows += [Row("contract", "rates", True), Row("contract", "any order", same, note=note)]
    return report.raise_if_failed() if raise_on_failure else report


def _steps(settings: dict[str, Any]) -> list[int]:
    """Return the first steps, and those around each number of the arguments, around twice each, and around their sum.

    Examples
    --------
    >>> _steps({"boundaries": [100], "values": [0.1, 0.01]})[FIRST:]
    [99, 100, 101, 102, 199, 200, 201, 202]
    """
    marks = [number for value in settings.values() for number in np.ravel(value if value is not None else 0)]
    lengths = [floor(number) for number in marks if not isinstance(number, (bool, np.bool_)) and number >= 1]
    lengths += [sum(lengths), *(2 * length for length in lengths)]
    around = {length + offset for length in lengths for offset in range(-1, 3)}
    return sorted({*range(FIRST), *(step for step in around if step >= 0)})
