"""The three witnesses of one layer, and what each cannot see.

gradient     backward against finite differences of forward. Blind to a wrong forward with a matching backward: an
             average-pool that divides by the whole window passes.
definition   forward and backward against the plain loops of `reference.py`, on ordinary numbers, on numbers full of ties
             and zeros, and on very large ones; padding against a count of windows. Blind to what the loops' own telling shares.
contract     what surrounds the mathematics: nothing that is read is written, the same call gives the same bits, nothing
             is left from an earlier batch, results of the parameter's shape and dtype, any memory layout, a batch of
             one, float32, the same gradients of the parameters when dx is not asked for. Blind to wrong numbers that
             are wrong every time.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scratchnet.gradcheck.numeric import TOLERANCE, compare, differences, relative_errors
from scratchnet.gradcheck.patterns import layer_pattern
from scratchnet.gradcheck.report import Row
from scratchnet.kernels.threads import limit
from scratchnet.layers import AveragePooling2D, Conv2D, MaxPooling2D, MinPooling2D
from scratchnet.layers.base import Layer, Shape

EXACT = 1e-10  # relative, between two tellings in float64 of sums of different orders
SINGLE = 2e-3  # relative, between float32 and float64 of the same layer
REPEATS = 5  # calls that must give the same bits


def fresh(layer: Layer, shapes: Sequence[Shape], dtype: str, seed: int) -> Layer:
    """Copy a layer and build it, with random weights and non-zero biases (on zero biases much would hide)."""
    twin = copy.copy(layer)
    twin.node, twin.activation = None, None  # before the deep copy, which would take along the whole graph above
    twin = copy.deepcopy(twin)
    twin.build_for(list(shapes), np.random.default_rng(seed), dtype, twin.implementation or "fused")
    rng = np.random.default_rng(seed + 1)
    for p in twin.params.values():
        noise = rng.standard_normal(p.shape)
        p += (0.3 * noise if not p.any() else 0.01 * noise).astype(dtype)
    return twin


def run(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray) -> dict[str, np.ndarray]:
    """Run forward and backward, and give copies of all results by name."""
    out = layer.forward(*xs)
    if out.shape != (len(xs[0]), *layer.output_shape):
        raise ValueError(f"forward gave {out.shape}; compute_output_shape says {(len(xs[0]), *layer.output_shape)}")
    dxs = layer.backward(dout)
    if set(layer.grads) != set(layer.params):
        raise ValueError(
            f"backward left gradients of {sorted(layer.grads)} in self.grads; the parameters are {sorted(layer.params)}"
        )
    dxs = dxs if isinstance(dxs, tuple) else (dxs,)
    if any(dx is None for dx in dxs):
        raise ValueError("backward(dout) gave None as dx; it may leave dx out only when it is called with need_dx=False")
    names = ["x"] if len(xs) == 1 else [f"x{i}" for i in range(len(xs))]
    results = {"out": out, **{f"d{name}": dx for name, dx in zip(names, dxs, strict=True)}}
    return {name: np.array(a, copy=True) for name, a in {**results, **{f"d{k}": g for k, g in layer.grads.items()}}.items()}


def gradient_rows(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray, tolerance: float = TOLERANCE) -> list[Row]:
    """Compare every gradient with central differences of forward."""
    results = run(layer, xs, dout)
    rows = []
    names = ["x"] if len(xs) == 1 else [f"x{i}" for i in range(len(xs))]
    for name, array in [*zip(names, xs, strict=True), *layer.params.items()]:
        with limit(1):
            numeric = differences(lambda: layer.forward(*xs), array, dout, kinks=lambda: layer_pattern(layer))
        rows.append(compare("gradient", name, results[f"d{name}"], numeric.gradient, tolerance, numeric))
    return rows


def definition_rows(layer: Layer, xs: Sequence[np.ndarray], rng: np.random.Generator) -> list[Row]:
    """Compare forward and backward with the loops, when the layer has them. Loops that are never called are no witness."""
    if "loops" not in layer.tellings:
        return []
    loops = copy.deepcopy(layer)
    forward, loops.backward_function = layer.tellings["loops"]
    called = []

    def forward_function(*args: Any, **kwargs: Any) -> Any:
        called.append(True)
        return forward(*args, **kwargs)

    loops.forward_function = forward_function
    cases = {
        "": list(xs),
        "ties": [rng.integers(-2, 1, x.shape).astype(x.dtype) for x in xs],
        "large": [1e6 * x for x in xs],
    }
    rows = padding_rows(layer)
    for case, inputs in cases.items():
        dout = rng.standard_normal((len(inputs[0]), *layer.output_shape))
        got, expected = run(layer, inputs, dout), run(loops, inputs, dout)
        if not called:
            note = "never called: forward calls self.forward_function, which is that of the chosen implementation"
            return [Row("definition", "loops", False, note=note)]
        rows += [compare("definition", f"{name}, {case}" if case else name, got[name], expected[name], EXACT) for name in expected]
    return rows


def counted_windows(padding: str, size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Find by counting (cells added before, cells added behind, windows) along one axis.

    "same" adds as few cells as let ceil(size / stride) windows fit, the odd one behind; "valid" adds none.

    Examples
    --------
    >>> counted_windows("same", 28, 3, 2), counted_windows("valid", 28, 3, 2)
    ((0, 1, 14), (0, 0, 13))
    """

    def windows(added: int) -> int:
        return len(range(0, size + added - kernel + 1, stride))

    added = 0
    while padding == "same" and windows(added) < len(range(0, size, stride)):
        added += 1
    return added // 2, added - added // 2, windows(added)


def padding_rows(layer: Layer) -> list[Row]:
    """Compare where the windows of a convolution or a pool lie with a count: the loops take the padding as it is given."""
    if isinstance(layer, Conv2D):
        window, used = layer.kernel_size, layer.pads
    elif isinstance(layer, (MaxPooling2D, MinPooling2D, AveragePooling2D)) and layer.cache is not None:
        window, used = layer.pool_size, layer.cache[1]
    else:
        return []
    axes = range(2)
    expected = [counted_windows(layer.padding, layer.input_shape[i], window[i], layer.strides[i]) for i in axes]
    got = [(*used[i], layer.output_shape[i]) for i in axes]
    return [compare("definition", "padding", np.array(got), np.array(expected), 0.0)]


def need_dx_row(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray, expected: dict[str, np.ndarray]) -> Row:
    """Call backward as `fit` does for the first layer, whose dx nobody reads: the parameters' gradients stay the same."""
    try:
        inspect.signature(layer.backward).bind(dout, False)
    except TypeError:
        note = "fit calls backward(dout, need_dx): its signature is backward(self, dout, need_dx=True)"
        return Row("contract", "need_dx=False", False, note=note)
    layer.forward(*xs)
    layer.grads = {}  # those of the call before would be right
    layer.backward(dout, False)
    same = {k: g.tobytes() for k, g in layer.grads.items()} == {k: expected[f"d{k}"].tobytes() for k in layer.params}
    note = "" if same else "the parameters' gradients are others than with need_dx=True"
    return Row("contract", "need_dx=False", same, note=note)


def contract_rows(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray, seed: int) -> list[Row]:
    """Hold what surrounds the mathematics; each row says what it holds."""
    rows: list[Row] = []

    def holds(name: str, truth: bool, note: str) -> None:
        rows.append(Row("contract", name, bool(truth), note="" if truth else note))

    def frozen(arrays: Iterable[Any]) -> list[bytes]:
        return [np.ascontiguousarray(a).tobytes() for a in arrays if isinstance(a, np.ndarray)]

    read = [*xs, dout, *layer.params.values()]
    before = frozen(read)
    first = run(layer, xs, dout)
    out = layer.forward(*xs)
    kept, out_before = frozen(layer.cache or ()), frozen([out])
    dxs = layer.backward(dout)
    dxs = dxs if isinstance(dxs, tuple) else (dxs,)
    holds("inputs", frozen(read) == before, "forward or backward wrote into x, dout or a parameter")
    holds(
        "cache",
        frozen(layer.cache or ()) == kept and frozen([out]) == out_before,
        "backward wrote into what forward kept or gave",
    )
    holds(
        "shapes",
        all(g.shape == layer.params[k].shape and g.dtype == layer.params[k].dtype for k, g in layer.grads.items())
        and all(dx.shape == x.shape and dx.dtype == x.dtype for dx, x in zip(dxs, xs, strict=True)),
        "a gradient has not the shape and dtype of what it is the gradient of",
    )
    layer.backward(dout)
    again = [run(layer, xs, dout) for _ in range(REPEATS)]
    same = all(frozen(other.values()) == frozen(first.values()) for other in again)
    holds("bits", same, f"the same call gave other bits within {REPEATS} repeats, or gradients were added to those before")

    rows.append(need_dx_row(layer, xs, dout, first))

    other_xs = [np.roll(x, 1, axis=0) * 0.5 + 0.25 for x in xs]
    layer.forward(*other_xs)
    layer.backward(dout)
    holds(
        "stale state",
        frozen(run(layer, xs, dout).values()) == frozen(first.values()),
        "an earlier batch left something behind",
    )

    strange = [np.asfortranarray(np.repeat(x, 2, axis=-1))[..., ::2] for x in xs]
    with_strange = run(layer, strange, np.repeat(dout, 2, axis=-1)[..., ::2])
    close = all(np.nanmax(relative_errors(with_strange[k], first[k]), initial=0) <= EXACT for k in first)
    holds("memory layout", close, "sliced, non-contiguous arrays give another result")

    single = [run(layer, [x[n : n + 1] for x in xs], dout[n : n + 1]) for n in range(len(dout))]
    names = [k for k in first if k[1:] not in layer.params]
    alone = {k: np.concatenate([s[k] for s in single]) for k in names}
    alone |= {f"d{k}": np.sum([s[f"d{k}"] for s in single], axis=0) for k in layer.params}
    close = all(np.nanmax(relative_errors(alone[k], first[k]), initial=0) <= 1e-8 for k in first)
    holds("batch of one", close, "images one by one give another result than together")

    low = fresh(layer, layer.input_shapes, "float32", seed)
    for p, exact in zip(low.params.values(), layer.params.values(), strict=True):
        p[...] = exact
    in_single = run(low, [x.astype("float32") for x in xs], dout.astype("float32"))
    close = all(
        in_single[k].dtype == np.float32 and np.nanmax(relative_errors(in_single[k], first[k]), initial=0) <= SINGLE for k in first
    )
    holds("float32", close, f"float32 is further than {SINGLE:g} from float64, or not float32")
    return rows
