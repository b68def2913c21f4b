"""The public checks of a function, a layer and a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from scratchnet import losses, reference
from scratchnet.gradcheck.numeric import (
    COMPLEX_TOLERANCE,
    TOLERANCE,
    Kinks,
    Numeric,
    compare,
    complex_step_gradient,
    differences,
)
from scratchnet.gradcheck.report import Report, Row
from scratchnet.gradcheck.witnesses import EXACT, contract_rows, definition_rows, fresh, gradient_rows
from scratchnet.layers.base import Layer, Shape


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
    given = [a.copy() for a in arrays]
    out = np.asarray(forward(*given))
    dout = np.random.default_rng(seed).standard_normal(out.shape)
    upstream = dout.copy()
    gradients = backward(upstream, *given)
    gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    unchanged = [a.tobytes() for a in (*given, upstream)] == [a.tobytes() for a in (*arrays, dout)]
    note = "" if unchanged else "forward or backward wrote into dout or an argument"

    def alone(*arrays: np.ndarray) -> np.ndarray:  # on copies, for a forward that writes must not lead the differences astray
        return np.asarray(forward(*(a.copy() for a in arrays)))

    report = Report(getattr(forward, "__name__", "function"), [Row("contract", "inputs", unchanged, note=note)])
    for k, (name, array, gradient) in enumerate(zip(names, arrays, gradients, strict=True)):
        if gradient is None:
            continue
        if complex_step:
            numeric = Numeric(complex_step_gradient(alone, arrays, k, dout))
        else:
            numeric = differences(lambda: alone(*arrays), array, dout, kinks=kinks)
        allowed = tolerance or (COMPLEX_TOLERANCE if complex_step else TOLERANCE)
        report.rows.append(compare("gradient", name, gradient, numeric.gradient, allowed, numeric))
    return _finished(report, raise_on_failure)


def check_layer(layer: Layer, input_shape: Any, *, batch: int = 3, seed: int = 0, raise_on_failure: bool = False) -> Report:
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
    if not isinstance(layer, Layer):
        raise TypeError(f"layer is a Layer object, such as Dense(3); got {layer!r}. A class needs its parentheses")
    if not isinstance(input_shape, (tuple, list)) or not input_shape:
        raise TypeError(f"input_shape is a tuple without the batch axis, such as (6, 6, 2) or (4,); got {input_shape!r}")
    shapes: list[Shape] = [tuple(s) for s in input_shape] if isinstance(input_shape[0], (tuple, list)) else [tuple(input_shape)]
    layer = fresh(layer, shapes, "float64", seed)
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((batch, *shape)) for shape in shapes]
    dout = rng.standard_normal((batch, *layer.output_shape))
    report = Report(f"{layer} on {', '.join(str((batch, *s)) for s in shapes)}")

    def own() -> list[np.ndarray]:
        return [x.copy() for x in xs]

    for rows in (  # arrays of its own for each witness: what one layer call writes into them, another must not find there
        lambda: gradient_rows(layer, own(), dout.copy()),
        lambda: definition_rows(layer, own(), rng),
        lambda: contract_rows(layer, own(), dout.copy(), seed),
    ):
        try:
            report.rows += rows()
        except Exception as error:  # a layer under test may fail in any way; that is a finding
            report.rows.append(Row("contract", "runs", False, note=f"{type(error).__name__}: {error}"))
    return _finished(report, raise_on_failure)


def _value(loss: Callable[..., Any], logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(loss(logits.copy(), y.copy())[0])


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
        gradient: dlogits against differences, for one-hot and for soft labels. definition: value and gradient against
        the plain loops, at logits of ordinary size and of ±1e4. contract: arguments unchanged, the same bits.

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
        numeric = differences(partial(_value, loss, logits, y), logits)
        report.rows.append(compare("gradient", name, loss(logits.copy(), y.copy())[1], numeric.gradient, TOLERANCE, numeric))
    far = rng.choice([-1e4, 1e4], shape) + rng.standard_normal(shape)
    spread = np.linspace(-1e4, 1e4, shape[0])[:, None] + logits
    for name, z in (("loss", logits), ("loss, logits of ±1e4", far), ("loss, rows far apart", spread)):
        with np.errstate(all="ignore"):
            value, dlogits = loss(z.copy(), hot.copy())
        expected = np.asarray(reference.softmax_cross_entropy(z, hot))
        report.rows.append(compare("definition", name, np.asarray(value), expected, EXACT))
        expected = (reference.softmax_forward(z) - hot) / len(z)
        report.rows.append(compare("definition", name.replace("loss", "dlogits"), dlogits, expected, EXACT))
    before = logits.tobytes(), hot.tobytes()
    first, second = loss(logits, hot), loss(logits, hot)
    unchanged = (logits.tobytes(), hot.tobytes()) == before
    report.rows.append(Row("contract", "inputs", unchanged, note="" if unchanged else "the loss wrote into logits or labels"))
    same = first[0] == second[0] and first[1].tobytes() == second[1].tobytes()
    report.rows.append(Row("contract", "bits", same, note="" if same else "the same call gave other bits"))
    return _finished(report, raise_on_failure)
