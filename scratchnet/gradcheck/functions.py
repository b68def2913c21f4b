"""The checks of a pair of functions, of a loss, and of a regularizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any, Literal

import numpy as np

from scratchnet import losses, reference, regularizers
from scratchnet.gradcheck.comparison import (
    COMPLEX_TOLERANCE,
    DEFINITION_TOLERANCE,
    TOLERANCE,
    compare,
    compare_gradient,
)
from scratchnet.gradcheck.numeric import Kinks, Numeric, complex_step_gradient, rounding_error
from scratchnet.gradcheck.report import NOT_COMPARED, Report, Row
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import plain_array

LossFunction = Callable[..., tuple[Any, np.ndarray]]


@quiet
def check_function(
    forward: Callable[..., np.ndarray],
    backward: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    complex_step: bool = False,
    kinks: Kinks | None = None,
    tolerance: float | None = None,
    raise_on_failure: bool = False,
) -> Report:
    """Check a pair of functions, forward and backward.

    Parameters
    ----------
    forward : callable
        forward(*arrays) -> out.
    backward : callable
        backward(dout, *arrays) -> one gradient for each array, in order; None for an array that is not compared. At least one
        must be compared, so a backward without a return statement fails.
    arrays : sequence of ndarray, float64
    names : sequence of str, optional
    seed : int
        Of the random upstream gradient dout.
    complex_step : bool
        Whether to use complex steps, for a smooth forward that computes with complex128; they agree to 1e-12.
    kinks : callable, optional
        kinks() -> the choices of the last forward, a sequence of arrays; see `scratchnet.gradcheck.numeric`.
    tolerance : float, optional
        Largest relative error allowed: by default 1e-6 for differences, and 1e-12 for complex steps.
    raise_on_failure : bool

    Returns
    -------
    Report

    Raises
    ------
    GradientCheckError
        If the check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 4))
    >>> check_function(np.tanh, lambda dout, x: (dout * (1 - np.tanh(x) ** 2),), [x]).passed
    True
    >>> check_function(np.tanh, lambda dout, x: (dout * (1 - np.tanh(x)),), [x]).passed
    False
    """
    names = names or [f"argument {k}" for k in range(len(arrays))]
    arrays = [np.array(plain_array("check_function", name, a), np.float64) for name, a in zip(names, arrays, strict=True)]
    given = [a.copy() for a in arrays]
    report = Report(getattr(forward, "__name__", "function"))
    out = forward(*given)
    if out is None:
        report.rows.append(Row("contract", "forward", False, note="forward returned None. Add a return statement"))
        return report.raise_if_failed() if raise_on_failure else report
    out = np.asarray(out)
    dout = np.random.default_rng(seed).standard_normal(out.shape)
    upstream = dout.copy()
    gradients = backward(upstream, *given)
    gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    unchanged = [a.tobytes() for a in (*given, upstream)] == [a.tobytes() for a in (*arrays, dout)]
    note = "" if unchanged else "forward or backward wrote into dout or an argument"
    report.rows.append(Row("contract", "inputs", unchanged, note=note))

    def forward_on_copies(*arrays: np.ndarray) -> np.ndarray:  # a forward that writes must not change what is differentiated
        return np.asarray(forward(*(a.copy() for a in arrays)))

    if all(gradient is None for gradient in gradients):
        note = f"{NOT_COMPARED}: backward returned no gradient. Add a return statement"
        report.rows.append(Row("gradient", ", ".join(names), False, note=note))
        return report.raise_if_failed() if raise_on_failure else report
    allowed = tolerance or (COMPLEX_TOLERANCE if complex_step else TOLERANCE)
    for k, (name, array, gradient) in enumerate(zip(names, arrays, gradients, strict=True)):
        if gradient is None:
            continue
        if complex_step:
            numeric = Numeric(complex_step_gradient(forward_on_copies, arrays, k, dout), rounding=rounding_error(out, dout, 1.0))
            row = compare("gradient", name, gradient, numeric.gradient, allowed, numeric)
        else:
            f = partial(forward_on_copies, *arrays)
            row = compare_gradient(name, gradient, f, array, dout, tolerance=allowed, kinks=kinks)
        report.rows.append(row)
    return report.raise_if_failed() if raise_on_failure else report


def softmax_cross_entropy_definition(
    logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, *, label_smoothing: float = 0.0
) -> tuple[float, np.ndarray]:
    """Return the loss of the plain loops, and its gradient w (p - y) / N.

    w are the sample weights, p is the softmax of the plain loops, and y are the smoothed labels.
    """
    smoothed = y * (1 - label_smoothing) + label_smoothing / y.shape[1]
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    dlogits = weights[:, np.newaxis] * (reference.softmax_forward(logits) - smoothed) / len(y)
    return reference.softmax_cross_entropy(logits, y, sample_weight, label_smoothing), dlogits


def takes_weights(function: Callable[..., Any]) -> bool:
    """Return whether a function has the argument `sample_weight`.

    Examples
    --------
    >>> takes_weights(losses.softmax_cross_entropy), takes_weights(lambda logits, y: (0.0, logits))
    (True, False)
    """
    parameters = signature(function).parameters.values()
    return any(p.name == "sample_weight" or p.kind is Parameter.VAR_KEYWORD for p in parameters)


@quiet
def check_loss(
    loss: Any = losses.softmax_cross_entropy,
    *,
    shape: tuple[int, int] = (5, 4),
    seed: int = 0,
    definition: LossFunction | Literal["auto"] | None = "auto",
    raise_on_failure: bool = False,
) -> Report:
    """Check a loss of logits, by default softmax cross-entropy.

    Parameters
    ----------
    loss : callable or Loss
        A function (logits, y) -> (mean loss, dlogits), or an object with such a method `value_and_gradient`.
    shape : (N, K)
    seed : int
    definition : callable, optional
        A function (logits, y) -> (mean loss, dlogits) that is known to be correct, for a comparison. None: the loss is not
        compared. "auto": softmax cross-entropy for a function and for an object of a class of `scratchnet.losses`, with the
        `label_smoothing` of the object, and None for an object of any other class, which may be another loss.
    raise_on_failure : bool

    Returns
    -------
    Report
        gradient: dlogits and differences, for one-hot and for soft labels, and with weights of the images if the loss has the
        argument `sample_weight`. definition: value and gradient, at ordinary logits and at logits of ±1e4, and with weights if
        `loss` and `definition` have this argument. contract: the arguments are not modified, and the same call gives the same
        bits.

    Raises
    ------
    GradientCheckError
        If the check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> check_loss().passed
    True
    """
    value_and_gradient: LossFunction = getattr(loss, "value_and_gradient", loss)
    if definition == "auto":
        is_ours = value_and_gradient is loss or type(loss) in losses.KNOWN.values()
        smoothing = getattr(loss, "label_smoothing", 0.0)
        definition = partial(softmax_cross_entropy_definition, label_smoothing=smoothing) if is_ours else None
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal(shape)
    hot = np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    soft = rng.dirichlet(np.ones(shape[1]), shape[0])
    weights = rng.uniform(0.5, 2.0, shape[0])
    report = Report(getattr(loss, "__name__", type(loss).__name__))
    if problem := _not_a_pair(value_and_gradient(logits.copy(), hot.copy())):
        report.rows.append(Row("contract", "returns", False, note=problem))
        return report.raise_if_failed() if raise_on_failure else report
    report.rows += _loss_gradient(value_and_gradient, logits, {"dlogits": hot, "dlogits, soft labels": soft})
    weighted = partial(value_and_gradient, sample_weight=weights) if takes_weights(value_and_gradient) else None
    if weighted:
        report.rows += _loss_gradient(weighted, logits, {"dlogits, weights": hot})
    if definition is not None:
        far = rng.choice([-1e4, 1e4], shape) + rng.standard_normal(shape)
        spread = np.linspace(-1e4, 1e4, shape[0])[:, None] + logits
        cases = {"": logits, ", logits of ±1e4": far, ", rows far apart": spread}
        report.rows = [row.passing_uncompared() for row in report.rows]  # the definition is a comparison too
        report.rows += _loss_definition(value_and_gradient, definition, cases, hot)
        if weighted and takes_weights(definition):
            right = partial(definition, sample_weight=weights)
            report.rows += _loss_definition(weighted, right, {", weights": logits}, hot)
    report.rows += _loss_contract(value_and_gradient, logits, hot)
    return report.raise_if_failed() if raise_on_failure else report


def _not_a_pair(returned: Any) -> str:
    """Return what is wrong with what a loss returned, or "" for a pair (value, gradient)."""
    if isinstance(returned, (tuple, list)) and len(returned) == 2 and all(part is not None for part in returned):
        return ""
    got = "None" if returned is None else type(returned).__name__
    if isinstance(returned, (tuple, list)):
        got = f"({', '.join('None' if part is None else type(part).__name__ for part in returned)})"
    return f"expected the loss to return (mean loss, dlogits), got {got}. Return both"


def _value(loss: LossFunction, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(loss(logits.copy(), y.copy())[0])


def _loss_gradient(loss: LossFunction, logits: np.ndarray, labels: dict[str, np.ndarray]) -> list[Row]:
    rows = []
    for name, y in labels.items():
        rows.append(compare_gradient(name, loss(logits.copy(), y.copy())[1], partial(_value, loss, logits, y), logits))
    return rows


def _loss_definition(loss: LossFunction, definition: LossFunction, cases: dict[str, np.ndarray], y: np.ndarray) -> list[Row]:
    rows = []
    for case, logits in cases.items():
        with np.errstate(all="ignore"):
            value, dlogits = loss(logits.copy(), y.copy())
        expected, dexpected = definition(logits.copy(), y.copy())
        rows.append(compare("definition", f"loss{case}", value, np.asarray(expected), DEFINITION_TOLERANCE))
        rows.append(compare("definition", f"dlogits{case}", dlogits, dexpected, DEFINITION_TOLERANCE))
    return rows


def _loss_contract(loss: LossFunction, logits: np.ndarray, y: np.ndarray) -> list[Row]:
    before = logits.tobytes(), y.tobytes()
    first, second = loss(logits, y), loss(logits, y)
    unchanged = (logits.tobytes(), y.tobytes()) == before
    same = first[0] == second[0] and np.asarray(first[1]).tobytes() == np.asarray(second[1]).tobytes()
    return [
        Row("contract", "inputs", unchanged, note="" if unchanged else "the loss wrote into logits or labels"),
        Row("contract", "bits", same, note="" if same else "the same call gave different bits"),
    ]


@quiet
def check_regularizer(
    regularizer: Any, *, shape: tuple[int, ...] = (3, 4), seed: int = 0, raise_on_failure: bool = False
) -> Report:
    """Check a regularizer: its gradient against differences of its value.

    Parameters
    ----------
    regularizer : str or Regularizer
        One of the library or your own. It may have a kink at 0, as L1 has, but no other.
    shape : tuple of int
        Of the weights.
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report
        gradient: `gradient(w)` and differences of the value. definition: the value, for a regularizer of the library. contract:
        the weights are not modified.

    Raises
    ------
    ValueError
        For an unknown name.
    GradientCheckError
        If the check failed and `raise_on_failure` is set.

    Examples
    --------
    >>> check_regularizer("l2").passed
    True
    """
    rule = regularizers.get(regularizer)
    if rule is None:
        raise ValueError("check_regularizer: expected 'l1', 'l2' or an object such as L2(0.01), got None. Name one")
    w = np.random.default_rng(seed).standard_normal(shape)
    before, report = w.tobytes(), Report(repr(rule))
    gradient = rule.gradient(w)
    unchanged = w.tobytes() == before
    report.rows.append(compare_gradient("w", gradient, lambda: np.asarray(rule(w)), w, kinks=lambda: [w > 0]))
    if isinstance(rule, regularizers.L1L2):
        expected = np.asarray(reference.penalty(w, rule.l1, rule.l2))
        report.rows = [row.passing_uncompared() for row in report.rows]
        report.rows.append(compare("definition", "penalty", rule(w), expected, DEFINITION_TOLERANCE, smallest=0))
    note = "" if unchanged else "the regularizer wrote into the weights"
    report.rows.append(Row("contract", "inputs", unchanged, note=note))
    return report.raise_if_failed() if raise_on_failure else report
