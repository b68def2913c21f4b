"""The check of a whole network, of any size, along random directions.

Let L be the loss, or, without labels, a random combination of the outputs. For a random direction v of one array a, the sum of
gradient · v must equal the derivative of L along v,

    (L(a + hv) - L(a - hv)) / 2h

which takes two forward passes, however many numbers the array has. The sum contains every number of the gradient.

Rounding sets a limit below which derivatives cannot be compared. L is a sum of n terms. Each is rounded to eps/2 of its size,
or of 1 if it is smaller (-log p near 0 is computed from numbers near 1), where eps, 2.2e-16, is the distance from 1 to the next
float64. In L(a + hv) - L(a - hv) these 2n errors add up to about √(2n)·eps/2, which is divided by 2h. We allow about six times
that, since a term is rounded more than once:

    2 · eps · √n · max(1, |term|) / h

A network that predicts its labels with confidence has gradients as small as this. So an error along a direction counts only if it
is larger. If the derivative itself is not larger, a gradient of zeros would pass too, and the row says that nothing was compared.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from scratchnet import losses, regularizers
from scratchnet.gradcheck.comparison import DIRECTION_TOLERANCE, compare
from scratchnet.gradcheck.numeric import EPS, STEP, Numeric, deciding_difference, steady_differences
from scratchnet.gradcheck.report import Report, Row
from scratchnet.gradcheck.under_test import restore, start_from
from scratchnet.plan import NOTHING_JOINED
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import plain_array
from scratchnet.training import samples_for

DRAWS = 3  # how many directions are tried, if every step along one crosses a kink


@quiet
def check_model(
    model: Any,
    x: np.ndarray,
    y: np.ndarray | None = None,
    *,
    directions: int = 2,
    seed: int = 0,
    raise_on_failure: bool = False,
) -> Report:
    """Check the gradients of a whole network, of any size, along random directions.

    For a direction v of one array a, the sum of gradient · v must equal the difference quotient (L(a + hv) - L(a - hv)) / 2h.
    Each parameter, and the images, have separate directions. A difference across which a ReLU or a pooling window changes its
    choice is computed again with half the step or along another direction, and counted. A derivative that is not larger than
    the rounding error of L is not compared, and its row says so; wrong labels make derivatives larger.

    Parameters
    ----------
    model : Model
        The check uses a copy in float64, with random biases that are not zero: with biases of zero, a black background puts
        every ReLU exactly on its kink.
    x : ndarray (N, …)
        Images; one or two are enough.
    y : ndarray, optional
        Labels as the model's loss takes them, or one-hot (N, K) for a model that is not compiled; L is then the loss, with the
        penalties of all regularizers. Without labels, L is a random combination of the outputs.
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
        If the check failed and `raise_on_failure` is set.
    """
    rng = np.random.default_rng(seed)
    images = np.array(plain_array("check_model", "x", x), np.float64)
    objective = Objective(in_float64(model, rng), images, None if y is None else plain_array("check_model", "y", y), rng)
    gradients = objective.gradients()
    report = Report(f"{model.name} on {np.shape(x)}, {model.count_params():,} parameters")
    for name, array in objective.arrays.items():
        analytic, numeric = np.empty(directions), Numeric(np.full(directions, np.nan))
        for k in range(directions):
            for _ in range(DRAWS):
                v = rng.standard_normal(array.shape)
                derivative = along(array, v, objective, numeric)
                analytic[k] = np.sum(gradients[name] * v)
                if derivative is not None:
                    numeric.gradient[k] = _decided(float(analytic[k]), derivative, array, v, objective, numeric)
                    break
            else:
                numeric.skipped += 1
        report.rows.append(_row(name, analytic, numeric))
    return report.raise_if_failed() if raise_on_failure else report


class Objective:
    """L, as a function of the arrays of a model.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The images "x" and the parameters, which `terms` reads.
    centre : list of ndarray
        The choices of all layers, with the arrays as they are.
    rounding : float
        See `rounding`.
    """

    def __init__(self, model: Any, x: np.ndarray, y: np.ndarray | None, rng: np.random.Generator):
        self.model, self.x = model, x
        self.loss = model.loss or losses.CategoricalCrossentropy()
        self.y = None if y is None else _one_hot(model, np.asarray(y), len(x))
        self.target = model.nodes[-1] if y is None else model.logits
        self.dout = rng.standard_normal((len(x), *model.nodes[-1].shape))
        self.unfused = copy.copy(model)  # the same layers, but every ReLU is computed by its own layer
        self.unfused.plan = NOTHING_JOINED
        for node in model.nodes:
            start_from(node.layer, training=True)
        self.arrays = {"x": x, **model.params}
        self.rounding, self.centre = rounding(self.terms()), self.choices()

    def terms(self) -> np.ndarray:
        """Return the numbers whose sum is L, from a forward pass in which nothing is fused."""
        out = self.forward(self.unfused)
        if self.y is None:
            return self.dout * out
        penalty = regularizers.penalty(node.layer for node in self.model.nodes)
        if type(self.loss) in losses.KNOWN.values():
            y = losses.smooth_labels(self.y, self.loss.label_smoothing)
            return np.append(losses.softmax_cross_entropy_losses(out, y) / len(out), [penalty] if penalty else [])
        return np.asarray(self.loss.value_and_gradient(out, self.y)[0] + penalty)  # another loss may not be a sum over images

    def forward(self, model: Any) -> np.ndarray:
        """Run forward as in training; each time from the same state of the layers, and with the same random numbers."""
        for node in model.nodes:
            restore(node.layer)
        samples = samples_for(model, np.arange(len(self.x)), epoch=0)
        return np.asarray(model.forward(self.x, training=True, to=self.target, **samples))

    def choices(self) -> list[np.ndarray]:
        """Return the choices of all layers in the last call of `terms`."""
        return [choice for node in self.model.nodes for choice in node.layer.branch_pattern()]

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the gradient of L with respect to each of `arrays`, from the model's own forward and backward."""
        out = self.forward(self.model)
        dout = self.dout if self.y is None else self.loss.value_and_gradient(out, self.y)[1]
        dx = self.model.backward(dout, start=self.target)
        if self.y is not None:
            regularizers.add_gradients(node.layer for node in self.model.nodes)
        return {"x": dx, **{name: g.copy() for name, g in self.model.grads.items()}}


def rounding(terms: np.ndarray) -> float:
    """Return h times the error that rounding alone can cause in a derivative; the top of this file derives it."""
    return float(2 * EPS * np.sqrt(terms.size) * max(1.0, float(np.abs(terms).max())))


def along(array: np.ndarray, v: np.ndarray, objective: Any, numeric: Numeric, halvings: int = 0) -> float | None:
    """Return the derivative of L along v, or None if every step crosses a kink.

    It is that of L(array + t·v) with respect to t at 0. The repeated steps and the size of rounding errors are stored in `numeric`.
    """
    start, t, step = array.copy(), np.zeros(()), STEP / np.sqrt(v.size) / 2**halvings

    def terms() -> np.ndarray:
        array[...] = start + t * v
        return objective.terms()

    try:
        found = steady_differences(terms, t, 1.0, step, objective.choices, objective.centre)
    finally:
        array[...] = start
    numeric.retried += found.retried
    if found.skipped:
        return None
    numeric.rounding = max(numeric.rounding, objective.rounding / (step / 2**found.retried))
    return float(found.gradient)


def _decided(
    analytic: float, first: float, array: np.ndarray, v: np.ndarray, objective: Any, numeric: Numeric
) -> float:
    """Return `first` if it agrees with backward, else the `deciding_difference`."""
    rounding = numeric.rounding
    allowed = DIRECTION_TOLERANCE * max(abs(analytic), abs(first), rounding / DIRECTION_TOLERANCE)
    if not abs(analytic - first) > allowed or not np.isfinite([analytic, first]).all():
        return first

    def shorter(k: int) -> float:
        derivative = along(array, v, objective, Numeric(numeric.gradient), k)
        return np.nan if derivative is None else derivative

    found, _ = deciding_difference(analytic, first, shorter, allowed, rounding)
    return first if np.isnan(found) else found


def _row(name: str, analytic: np.ndarray, numeric: Numeric) -> Row:
    """Compare the derivatives along all directions, up to errors of the size of rounding."""
    floor = numeric.rounding / DIRECTION_TOLERANCE  # the relative error of `rounding` is then DIRECTION_TOLERANCE
    row = compare("gradient", name, analytic, numeric.gradient, DIRECTION_TOLERANCE, numeric, smallest=floor)
    return row.passing_uncompared()  # the other arrays are compared


def _one_hot(model: Any, y: np.ndarray, N: int) -> np.ndarray:
    """Return labels as rows (N, K), or raise a ValueError: NumPy would broadcast another shape over the batch."""
    K = model.nodes[-1].shape[-1]
    if y.shape[:1] != (N,) or (model.loss is None and y.shape != (N, K)):
        raise ValueError(
            f"check_model: expected y one-hot of shape {(N, K)}, or {N} labels of the kind that the compiled loss takes,"
            f" got {y.dtype} of shape {y.shape}. Convert integer labels with y = preprocessing.one_hot(y, {K})"
        )
    return np.asarray((model.loss or losses.CategoricalCrossentropy()).one_hot(y, K))


def in_float64(model: Any, rng: np.random.Generator) -> Any:
    """Return a copy of a model in float64, with random biases that are not zero."""
    twin = copy.deepcopy(model)
    twin.dtype = np.dtype(np.float64)
    for node in twin.nodes:
        node.layer.dtype = twin.dtype
        node.layer.cache = None
        node.layer.params = {name: p.astype(np.float64) for name, p in node.layer.params.items()}
        node.layer.state = {name: p.astype(np.float64) for name, p in node.layer.state.items()}
        node.layer.trainable = True
        if "bias" in node.layer.params:
            node.layer.params["bias"] += 0.1 * rng.standard_normal(node.layer.params["bias"].shape)
    return twin
