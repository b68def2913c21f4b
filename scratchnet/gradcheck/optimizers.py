"""The check of an optimizer: its steps compared with its formula, computed number by number."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.gradcheck.comparison import UPDATE_TOLERANCE, compare
from scratchnet.gradcheck.report import NOT_COMPARED, Report, Row
from scratchnet.optimizers import Optimizer
from scratchnet.schedules import rate_at
from scratchnet.support.arithmetic import quiet

Arrays = Mapping[str, np.ndarray]


@quiet
def check_optimizer(optimizer: Optimizer, *, steps: int = 7, seed: int = 0, raise_on_failure: bool = False) -> Report:
    """Check an optimizer: its steps are compared with its formula, as `reference.py` computes it number by number.

    Parameters
    ----------
    optimizer : Optimizer
        One of `reference.UPDATE_RULES`. The check uses a copy with the same settings.
    steps : int
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report
        update rule: a matrix, a vector, and gradients of 1e-8 (whose steps depend on ε), after `steps` steps, with the
        optimizer's implementation and with "numpy"; schedules, clipping and weight decay are computed apart from the optimizer.
        With `learning_rate_multipliers`, also a vector for each of their names.
        contract: the gradients are not modified.

    Raises
    ------
    ValueError
        If `reference.py` has no formula for the optimizer.
    GradientCheckError
        If the check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> from scratchnet.optimizers import Adam
    >>> check_optimizer(Adam()).passed
    True
    """
    kind = type(optimizer).__name__
    if kind not in reference.UPDATE_RULES:
        raise ValueError(
            f"check_optimizer: expected one of {', '.join(reference.UPDATE_RULES)}, got {kind}."
            f" Add its formula, reference.UPDATE_RULES[{kind!r}] = formula"
        )
    rng = np.random.default_rng(seed)
    sizes: dict[str, tuple[tuple[int, ...], float]] = dict.fromkeys(optimizer.learning_rate_multipliers or {}, ((3,), 1.0))
    sizes |= {"matrix": ((3, 4), 1.0), "vector": ((5,), 1.0), "gradients of 1e-8": ((4,), 1e-8)}
    start = {name: rng.standard_normal(shape) * (scale if scale < 1 else 1.0) for name, (shape, scale) in sizes.items()}
    grads = [{name: scale * rng.standard_normal(shape) for name, (shape, scale) in sizes.items()} for _ in range(steps)]
    report = Report(repr(optimizer))
    for suffix, implementation in (("", optimizer.implementation), (", NumPy", "numpy")):
        twin = copy.deepcopy(optimizer)
        twin.reset()
        twin.implementation = implementation
        report.rows += _rows(twin, start, grads, suffix)
    return report.raise_if_failed() if raise_on_failure else report


def _rows(optimizer: Optimizer, start: Arrays, grads: Sequence[Arrays], suffix: str) -> list[Row]:
    """Compare how far each array moves with how far its formula moves it, and check that the gradients are unchanged."""
    params = {name: p.copy() for name, p in start.items()}
    before = [g.tobytes() for step in grads for g in step.values()]
    for step in grads:
        optimizer.update(params, step)
    unchanged = [g.tobytes() for step in grads for g in step.values()] == before
    rows = []
    settings = {name: value for name, value in optimizer.get_config().items() if name != "implementation"}
    limits = {name: settings.pop(name, None) for name in ("clipnorm", "clipvalue", "global_clipnorm")}
    multipliers = settings.pop("learning_rate_multipliers", None) or {}
    clipped = [dict(zip(step, reference.clipped([*step.values()], **limits), strict=True)) for step in grads]
    for name, p in params.items():
        factor = prod(multipliers[key] for key in multipliers if name == key or name.endswith(f"/{key}"))
        seen = [step[name] for step in clipped]
        expected = _expected(type(optimizer).__name__, start[name], seen, factor, **settings) - start[name]
        row = compare("update rule", f"{name}{suffix}", p - start[name], expected, UPDATE_TOLERANCE, smallest=0)
        if row.passed and factor and not expected.any():
            note = f"{NOT_COMPARED}: the steps are too small to change any number. Use a larger learning rate"
            row = Row("update rule", f"{name}{suffix}", False, note=note)
        rows.append(row)
    note = "" if unchanged else "the optimizer wrote into a gradient"
    return [*rows, Row("contract", f"gradients{suffix}", unchanged, note=note)]


def _expected(
    kind: str,
    start: np.ndarray,
    grads: Sequence[np.ndarray],
    factor: float,
    learning_rate: Any,
    weight_decay: float = 0.0,
    **settings: Any,
) -> np.ndarray:
    """Return the array after these gradients, each of its numbers computed alone with the formula, at `factor` times the rate.

    Weight decay does not change the gradients; it is applied between the formula's steps, without the factor:
    p ← p - rate · weight_decay · p.
    """
    formula, steps = reference.UPDATE_RULES[kind], range(len(grads))
    rates = [rate_at(learning_rate, t) if callable(learning_rate) else learning_rate for t in steps]
    these = [factor * rate for rate in rates]
    p = np.empty_like(start)
    for index in np.ndindex(p.shape):
        seen = [g[index] for g in grads]
        if not weight_decay:
            p[index] = formula(start[index], seen, learning_rate=these, **settings)
            continue
        number, path = start[index], [formula(0.0, seen[:t], learning_rate=these[:t], **settings) for t in range(len(seen) + 1)]
        for t in steps:
            number = number - rates[t] * weight_decay * number + (path[t + 1] - path[t])
        p[index] = number
    return p
