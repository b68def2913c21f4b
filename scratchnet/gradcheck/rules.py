"""The witness of the optimizers: each against its formula, re-derived number by number."""

from __future__ import annotations

import copy

import numpy as np

from scratchnet import reference
from scratchnet.gradcheck.numeric import compare
from scratchnet.gradcheck.report import Report, Row
from scratchnet.optimizers import Optimizer


def check_optimizer(optimizer: Optimizer, *, steps: int = 7, seed: int = 0, raise_on_failure: bool = False) -> Report:
    """Check an optimizer against its formula, re-derived number by number in `reference.py`.

    Parameters
    ----------
    optimizer : SGD, Adagrad, Adadelta or Adam
        Its settings are used, on a copy.
    steps : int
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report
        update rule: a matrix, a vector and a gradient of 1e-8 (where ε decides), for `steps` steps, in one pass and as
        NumPy. contract: gradients unchanged.

    Raises
    ------
    ValueError
        For an optimizer without a formula in `reference.py`.

    Examples
    --------
    >>> from scratchnet.optimizers import Adam
    >>> check_optimizer(Adam()).passed
    True
    """
    formula = reference.UPDATE_RULES.get(type(optimizer).__name__)
    if formula is None:
        raise ValueError(f"no formula for {type(optimizer).__name__}; there are {', '.join(reference.UPDATE_RULES)}")
    rng = np.random.default_rng(seed)
    sizes = {"matrix": ((3, 4), 1.0), "vector": ((5,), 1.0), "gradients of 1e-8": ((4,), 1e-8)}
    start = {name: rng.standard_normal(shape) * (scale if scale < 1 else 1.0) for name, (shape, scale) in sizes.items()}
    grads = [{name: scale * rng.standard_normal(shape) for name, (shape, scale) in sizes.items()} for _ in range(steps)]
    report = Report(repr(optimizer))
    for telling, in_one_pass in (("", optimizer.in_one_pass), (", NumPy", False)):
        twin = copy.deepcopy(optimizer)
        twin.reset()
        twin.in_one_pass = in_one_pass
        params = {name: p.copy() for name, p in start.items()}
        before = [g.tobytes() for step in grads for g in step.values()]
        for step in grads:
            twin.update(list(params.values()), list(step.values()))
        for name, p in params.items():
            expected = np.empty_like(p)
            for index in np.ndindex(p.shape):
                expected[index] = formula(start[name][index], [step[name][index] for step in grads], **optimizer.get_config())
            moved, expected_move = p - start[name], expected - start[name]
            report.rows.append(compare("update rule", f"{name}{telling}", moved, expected_move, 1e-7, smallest=0))
        unchanged = [g.tobytes() for step in grads for g in step.values()] == before
        report.rows.append(
            Row(
                "contract",
                f"gradients{telling}",
                unchanged,
                note="" if unchanged else "the optimizer wrote into a gradient",
            )
        )
    return report.raise_if_failed() if raise_on_failure else report
