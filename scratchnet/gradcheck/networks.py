"""A whole network, of any size, along random directions.

L is a sum of n terms, and each is rounded to eps/2 of its size, or of 1 where it is smaller: -log p near 0 comes out of a
sum near 1. In L(a + hv) - L(a - hv) these 2n errors add up to some √(2n)·eps/2, which 2h divides. We allow

    2 · eps · √n · max(1, |term|) / h

some six times as much, since a term is rounded more than once on its way. A net that is sure of its labels has gradients
that small: an error counts only above it, and where the whole derivative is no larger, so that a gradient of zeros would
pass too, the row says that nothing was compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet import losses
from scratchnet.gradcheck.numeric import DIRECTION_TOLERANCE, DRAWS, HALVINGS, STEP, Numeric, compare, same_pattern
from scratchnet.gradcheck.patterns import pattern
from scratchnet.gradcheck.report import Report, Row
from scratchnet.plan import Plan

EPS = float(np.finfo(np.float64).eps)


def check_model(
    model: Any,
    x: np.ndarray,
    y: np.ndarray | None = None,
    *,
    directions: int = 2,
    seed: int = 0,
    raise_on_failure: bool = False,
) -> Report:
    """Check a whole network, of any size, along random directions.

    For a direction v of one array, the vector-Jacobian product <gradient, v> must equal the difference quotient
    (L(a + hv) - L(a - hv)) / 2h: one number in which every number of the gradient takes part. Each parameter, and the
    images, are turned in directions of their own. A difference across which any ReLU or any pooling window changes its
    choice is taken again with half the step, or along another direction, and counted. A derivative that is no larger than
    the rounding of L is not compared, and its row says so; labels that the net does not expect give larger ones.

    Parameters
    ----------
    model : Model
        A copy in float64 is checked, with random non-zero biases: with zero biases a black background sits exactly on
        the kink of every ReLU.
    x : ndarray (N, …)
        Images; one or two are enough.
    y : ndarray, optional
        Labels as the model's loss takes them, one-hot (N, K) for a model that is not compiled: L is then the loss, through
        the joined softmax and cross-entropy. Without them L is a random combination of the outputs.
    directions : int
        For each array.
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        For labels of another kind or number.
    GradientCheckError
        When it failed and `raise_on_failure` is set.
    """
    rng = np.random.default_rng(seed)
    model = in_float64(model, rng)
    x = np.array(x, dtype=np.float64)
    y = None if y is None else _one_hot(model, np.asarray(y), len(x))
    target = model.nodes[-1] if y is None else model.plan.logits
    dout = rng.standard_normal((len(x), *model.nodes[-1].shape))
    plain = Plan(model.nodes, fuse=False)  # its layers keep what tells their choices

    def value() -> tuple[np.ndarray, list[np.ndarray]]:
        out = plain.forward(x, target)
        terms = dout * out if y is None else losses.softmax_cross_entropy_losses(out, y) / len(x)
        return terms, pattern(node.layer for node in model.nodes)

    out = model.plan.forward(x, target)
    dx = model.plan.backward(dout if y is None else losses.softmax_cross_entropy(out, y)[1], target, True)
    gradients = {"x": dx, **{name: g.copy() for name, g in model.grads.items()}}
    _, centre = value()
    report = Report(f"{model.name} on {x.shape}, {model.count_params():,} parameters")
    for name, array in {"x": x, **model.params}.items():
        analytic, numeric = [], Numeric(np.full(directions, np.nan))
        for k in range(directions):
            for _ in range(DRAWS):
                v = rng.standard_normal(array.shape)
                found = _along(array, v, value, centre, numeric)
                if found is not None:
                    break
            numeric.skipped += found is None
            numeric.gradient[k] = np.nan if found is None else found
            analytic.append(float(np.sum(gradients[name] * v)))
        report.rows.append(_row(name, np.array(analytic), numeric))
    return report.raise_if_failed() if raise_on_failure else report


def _row(name: str, analytic: np.ndarray, numeric: Numeric) -> Row:
    """Compare along all directions, with errors of the size of the rounding allowed."""
    floor = numeric.rounding / DIRECTION_TOLERANCE  # relative to which an error of `rounding` is just allowed
    row = compare("gradient", name, analytic, numeric.gradient, DIRECTION_TOLERANCE, numeric, smallest=floor)
    if row.passed and np.nanmax(np.abs(numeric.gradient)) <= numeric.rounding:
        note = f"not compared: no larger than rounding, {numeric.rounding:.1e}"
        return Row("gradient", name, True, retried=row.retried, skipped=row.skipped, note=note)
    return row


def _one_hot(model: Any, y: np.ndarray, N: int) -> np.ndarray:
    """Give labels as rows, or refuse them: (N,) or (N, K) -> (N, K); NumPy would spread another shape over the batch."""
    K = model.nodes[-1].shape[-1]
    if y.shape[:1] != (N,) or (model.loss is None and y.shape != (N, K)):
        raise ValueError(
            f"y is one-hot, {(N, K)}, or {N} labels as the loss takes them that the model is compiled with;"
            f" got {y.dtype} {y.shape}. For integer labels: y = preprocessing.one_hot(y, {K})"
        )
    return np.asarray((model.loss or losses.CategoricalCrossentropy()).one_hot(y, K))


def _along(array: np.ndarray, v: np.ndarray, value: Callable[[], Any], centre: list[np.ndarray], numeric: Numeric) -> float | None:
    """Give the difference quotient along v, with a step short enough that no choice changes; None when there is none."""
    kept = array.copy()
    h = STEP / np.sqrt(v.size)
    try:
        for _ in range(HALVINGS):
            array[...] = kept + h * v
            above, pattern_above = value()
            array[...] = kept - h * v
            below, pattern_below = value()
            if same_pattern(pattern_above, centre) and same_pattern(pattern_below, centre):
                sized = max(1.0, float(np.abs(above).max()))
                numeric.rounding = max(numeric.rounding, 2 * EPS * np.sqrt(above.size) * sized / h)
                return float(np.sum(above - below) / (2 * h))
            numeric.retried += 1
            h /= 2
    finally:
        array[...] = kept
    return None


def in_float64(model: Any, rng: np.random.Generator) -> Any:
    """Copy a model, in float64 and with random non-zero biases."""
    twin = copy.deepcopy(model)
    twin.dtype = np.dtype(np.float64)
    for node in twin.nodes:
        node.layer.dtype = twin.dtype
        node.layer.cache = None
        node.layer.params = {name: p.astype(np.float64) for name, p in node.layer.params.items()}
        if "bias" in node.layer.params:
            node.layer.params["bias"] += 0.1 * rng.standard_normal(node.layer.params["bias"].shape)
    twin.plan = Plan(twin.nodes, getattr(model, "fuse", True))
    return twin
