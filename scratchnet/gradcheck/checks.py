"""The public checks: a function, a layer, a loss, an optimizer, a whole model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scratchnet import losses, reference
from scratchnet.gradcheck.numeric import (
    COMPLEX_TOLERANCE,
    DIRECTION_TOLERANCE,
    DRAWS,
    HALVINGS,
    STEP,
    TOLERANCE,
    Kinks,
    Numeric,
    compare,
    complex_step_gradient,
    differences,
    same_pattern,
)
from scratchnet.gradcheck.patterns import pattern
from scratchnet.gradcheck.report import Report, Row
from scratchnet.gradcheck.witnesses import EXACT, contract_rows, definition_rows, fresh, gradient_rows
from scratchnet.layers.base import Layer, Shape
from scratchnet.optimizers import Optimizer
from scratchnet.plan import Plan


def _finished(report: Report, raise_on_failure: bool) -> Report:
    return report.raise_if_failed() if raise_on_failure else report


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
    """Check a pair of functions.

    Parameters
    ----------
    forward : callable
        forward(*arrays) -> out.
    backward : callable
        backward(dout, *arrays) -> one gradient for each array, in order; None for an array that is not to be compared.
    arrays : sequence of ndarray, float64
    names : sequence of str, optional
    seed : int
        Of the random upstream gradient dout.
    complex_step : bool
        Whether to take complex steps, for a smooth forward that computes with complex128: agreement to 1e-12.
    kinks : callable, optional
        The pattern of choices of the last forward; see `scratchnet.gradcheck.numeric`.
    tolerance : float, optional
        Largest relative error allowed: 1e-6 for differences, 1e-12 for complex steps.
    raise_on_failure : bool

    Returns
    -------
    Report

    Raises
    ------
    GradientCheckError
        When it failed and `raise_on_failure` is set.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 4))
    >>> check_function(np.tanh, lambda dout, x: (dout * (1 - np.tanh(x) ** 2),), [x]).passed
    True
    >>> check_function(np.tanh, lambda dout, x: (dout * (1 - np.tanh(x)),), [x]).passed
    False
    """
    names = names or [f"argument {k}" for k in range(len(arrays))]
    arrays = [np.array(a, dtype=np.float64) for a in arrays]
    out = np.asarray(forward(*arrays))
    dout = np.random.default_rng(seed).standard_normal(out.shape)
    read = [*arrays, dout]
    before = [a.tobytes() for a in read]
    gradients = backward(dout, *arrays)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    report = Report(getattr(forward, "__name__", "function"))
    report.rows.append(
        Row(
            "contract",
            "inputs",
            [a.tobytes() for a in read] == before,
            note="backward must not write into dout or its arguments",
        )
    )
    for k, (name, array, gradient) in enumerate(zip(names, arrays, gradients, strict=True)):
        if gradient is None:
            continue
        if complex_step:
            numeric = Numeric(complex_step_gradient(forward, arrays, k, dout))
        else:
            numeric = differences(lambda: np.asarray(forward(*arrays)), array, dout, kinks=kinks)
        allowed = tolerance or (COMPLEX_TOLERANCE if complex_step else TOLERANCE)
        report.rows.append(compare("gradient", name, gradient, numeric.gradient, allowed, numeric))
    return _finished(report, raise_on_failure)


def check_layer(
    layer: Layer, input_shape: Any, *, batch: int = 3, seed: int = 0, raise_on_failure: bool = False
) -> Report:
    """Check a layer with all three witnesses.

    A copy is built in float64 with random weights and biases; the layer itself is not touched. An activation that it
    brings along is checked as a layer of its own: `check_layer(ReLU(), ...)`.

    Parameters
    ----------
    layer : Layer
        One of ours, or one of your own; with a kink, it has a method `kinks()`, and with plain loops to be held against
        `tellings["loops"]`.
    input_shape : tuple of int
        Without the batch axis; a list of shapes for a layer of several inputs. Small: each number is changed twice.
    batch : int
        Images.
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report

    Raises
    ------
    GradientCheckError
        When it failed and `raise_on_failure` is set.

    Examples
    --------
    >>> from scratchnet import Dense
    >>> check_layer(Dense(3), (4,)).passed
    True
    """
    shapes: list[Shape] = (
        [tuple(s) for s in input_shape] if isinstance(input_shape[0], (tuple, list)) else [tuple(input_shape)]
    )
    layer = fresh(layer, shapes, "float64", seed)
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((batch, *shape)) for shape in shapes]
    dout = rng.standard_normal((batch, *layer.output_shape))
    report = Report(f"{layer} on {', '.join(str((batch, *s)) for s in shapes)}")
    for rows in (
        lambda: gradient_rows(layer, xs, dout),
        lambda: definition_rows(layer, xs, rng),
        lambda: contract_rows(layer, xs, dout, seed),
    ):
        try:
            report.rows += rows()
        except Exception as error:  # a layer under test may fail in any way; that is a finding
            report.rows.append(Row("contract", "runs", False, note=f"{type(error).__name__}: {error}"))
    return _finished(report, raise_on_failure)


def check_loss(
    loss: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]] = losses.softmax_cross_entropy,
    *,
    shape: tuple[int, int] = (5, 4),
    seed: int = 0,
    raise_on_failure: bool = False,
) -> Report:
    """Check a loss of logits: a function (logits, y) -> (mean loss, dlogits), by default softmax cross-entropy.

    Parameters
    ----------
    loss : callable
    shape : (N, K)
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report
        gradient: dlogits against differences, for one-hot and for soft labels. definition: the value against the plain
        loops, at logits of ordinary size and of ±1e4. contract: arguments unchanged, the same bits.

    Examples
    --------
    >>> check_loss().passed
    True
    """
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal(shape)
    hot = np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    soft = rng.dirichlet(np.ones(shape[1]), shape[0])
    report = Report(getattr(loss, "__name__", "loss"))
    for name, y in (("dlogits", hot), ("dlogits, soft labels", soft)):
        numeric = differences(lambda y=y: np.asarray(loss(logits, y)[0]), logits)  # type: ignore[misc]
        report.rows.append(compare("gradient", name, loss(logits, y)[1], numeric.gradient, TOLERANCE, numeric))
    far = rng.choice([-1e4, 1e4], shape) + rng.standard_normal(shape)
    spread = np.linspace(-1e4, 1e4, shape[0])[:, None] + logits
    for name, z in (("loss", logits), ("loss, logits of ±1e4", far), ("loss, rows far apart", spread)):
        with np.errstate(all="ignore"):
            value = np.asarray(loss(z, hot)[0])
        report.rows.append(
            compare("definition", name, value, np.asarray(reference.softmax_cross_entropy(z, hot)), EXACT)
        )
    before = logits.tobytes(), hot.tobytes()
    first, second = loss(logits, hot), loss(logits, hot)
    unchanged = (logits.tobytes(), hot.tobytes()) == before
    report.rows.append(
        Row("contract", "inputs", unchanged, note="" if unchanged else "the loss wrote into logits or labels")
    )
    same = first[0] == second[0] and first[1].tobytes() == second[1].tobytes()
    report.rows.append(Row("contract", "bits", same, note="" if same else "the same call gave other bits"))
    return _finished(report, raise_on_failure)


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
                expected[index] = formula(
                    start[name][index], [step[name][index] for step in grads], **optimizer.get_config()
                )
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
    return _finished(report, raise_on_failure)


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
    choice is taken again with half the step, or along another direction, and counted.

    Parameters
    ----------
    model : Model
        A copy in float64 is checked, with random non-zero biases: with zero biases a black background sits exactly on
        the kink of every ReLU.
    x : ndarray (N, …)
        Images; one or two are enough.
    y : ndarray, optional
        One-hot labels (N, K): L is then the loss, through the joined softmax and cross-entropy. Without them L is a
        random combination of the outputs.
    directions : int
        For each array.
    seed : int
    raise_on_failure : bool

    Returns
    -------
    Report

    Raises
    ------
    GradientCheckError
        When it failed and `raise_on_failure` is set.
    """
    rng = np.random.default_rng(seed)
    model = in_float64(model, rng)
    x = np.array(x, dtype=np.float64)
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
        report.rows.append(
            compare("gradient", name, np.array(analytic), numeric.gradient, DIRECTION_TOLERANCE, numeric)
        )
    return _finished(report, raise_on_failure)


def _along(
    array: np.ndarray, v: np.ndarray, value: Callable[[], Any], centre: list[np.ndarray], numeric: Numeric
) -> float | None:
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
