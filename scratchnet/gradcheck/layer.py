"""Three checks of a layer.

gradient     compares backward with finite differences of forward. It does not detect a wrong forward whose backward matches it: an
             average pool that divides by the size of the whole window at the edge passes.
definition   compares forward and backward with the plain loops of the definition; see `definition.py`.
contract     checks conditions other than right values: no read-only array is modified, the same call returns the same bits, and so
             on; see `contract.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scratchnet.gradcheck.comparison import compare_gradient
from scratchnet.gradcheck.contract import contract_rows
from scratchnet.gradcheck.definition import definition_rows
from scratchnet.gradcheck.report import Report, Row
from scratchnet.gradcheck.under_test import forward, fresh, input_names, run, start_from
from scratchnet.kernels.threads import limit
from scratchnet.layers.base import Layer, Shape
from scratchnet.support.arithmetic import quiet

FEWEST_TO_MIX = 4


def gradient_rows(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray) -> list[Row]:
    """Compare every gradient with central differences of forward."""
    gradients = run(layer, xs, dout)
    rows = []
    for name, array in [*zip(input_names(len(xs)), xs, strict=True), *layer.params.items()]:
        got = gradients[f"d{name}"]
        with limit(1):
            rows.append(compare_gradient(name, got, lambda: forward(layer, xs), array, dout, kinks=layer.branch_pattern))
    return rows


@quiet
def check_layer(layer: Layer, input_shape: Any, *, batch: int = 3, seed: int = 0, raise_on_failure: bool = False) -> Report:
    """Check the gradients of a layer, its definition and its contract.

    The checks run on a copy, built in float64 with random weights and biases; the layer itself is not changed. An activation
    that was given as `activation=` is left out: check it as a layer, `check_layer(ReLU(), ...)`. A layer whose forward has the
    argument `training` is checked in both modes.

    Parameters
    ----------
    layer : Layer
        A layer of the library or your own. Your own layer needs a method `branch_pattern()` if it has a kink,
        `implementations["loops"]` if it is to be compared with plain loops, and `couples_batch = True` in its class if it mixes
        the images of a batch on purpose.
    input_shape : tuple of int
        Without the batch axis; a list of shapes for a layer with several inputs. Keep it small: two forward passes are
        computed for each number.
    batch : int
        Number of images; raised to 4, if it is smaller, for a layer that mixes them. (Two that are normalized become 1 and -1,
        whatever they were: the gradient is 0, and only rounding errors would be compared.)
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If `layer` is not a layer, or `input_shape` not a shape.
    GradientCheckError
        If a check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> from scratchnet import Dense
    >>> check_layer(Dense(3), (4,)).passed
    True
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"check_layer: expected a Layer object such as Dense(3), got {layer!r}. Write Dense(3), not Dense")
    if not isinstance(input_shape, (tuple, list)) or not input_shape:
        raise TypeError(
            f"check_layer: expected input_shape, a tuple without the batch axis such as (6, 6, 2) or (4,), got {input_shape!r}"
        )
    shapes: list[Shape] = [tuple(s) for s in input_shape] if isinstance(input_shape[0], (tuple, list)) else [tuple(input_shape)]
    layer = fresh(layer, shapes, "float64", seed)
    batch = max(batch, FEWEST_TO_MIX) if layer.couples_batch else batch
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((batch, *shape)) for shape in shapes]
    dout = rng.standard_normal((batch, *layer.output_shape))
    report = Report(f"{layer} on {', '.join(str((batch, *s)) for s in shapes)}")
    for training in (True, False) if layer.takes_training else (False,):
        start_from(layer, training)
        rows: list[Row] = []
        for rows_of in (gradient_rows, definition_rows, contract_rows):
            try:  # copies, so that no check depends on what another one changed
                rows += rows_of(copy.deepcopy(layer), [x.copy() for x in xs], dout.copy())
            except Exception as error:  # an exception in the layer is a result of the check
                rows.append(Row("contract", "runs", False, note=f"{type(error).__name__}: {error}"))
        mode = "" if training or not layer.takes_training else " (inference)"
        report.rows += [replace(row, name=row.name + mode) for row in rows]
    if "loops" in layer.implementations and any(row.check == "definition" for row in report.rows):
        report.rows = [row.passing_uncompared() for row in report.rows]  # the gradient is compared with that of the loops
    return report.raise_if_failed() if raise_on_failure else report
