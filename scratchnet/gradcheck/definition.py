"""The definition check of a layer: forward and backward compared with the plain loops of the definition.

The inputs are ordinary numbers, numbers with many ties and zeros, and very large numbers. The loops take their padding
from the layer, so the padding itself is checked separately, by counting windows. What training changes in a layer,
`layer.state`, is compared with the formula in `reference.STATE_RULES`, or, if there is none, with the state of a layer that
runs the loops. A layer without loops has this comparison too, if there is a formula for it, and no other row.

This check does not detect a bug that the loops have too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.gradcheck.comparison import DEFINITION_TOLERANCE, compare
from scratchnet.gradcheck.report import Row
from scratchnet.gradcheck.under_test import forward, run, training_of
from scratchnet.layers.base import Layer
from scratchnet.layers.window import WindowLayer


def definition_rows(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray) -> list[Row]:
    """Compare all results with those of `implementations["loops"]`; of a layer without loops, only the state, with its formula."""
    cases = {
        "": list(xs),
        "ties": [np.clip(np.round(x) - 1, -2, 0) for x in xs],  # -2, -1 and 0: also zeros, and windows without a positive number
        "large": [1e6 * x for x in xs],
    }
    rows: list[Row] = []
    if "loops" not in layer.implementations:
        for case, inputs in cases.items() if state_rule(layer) is not None and training_of(layer) else ():
            forward(layer, inputs)
            rows += state_rows(layer, layer, inputs, case)
        return rows
    loops = copy.deepcopy(layer)
    loops_forward, loops.backward_function = layer.implementations["loops"]
    called = []

    def forward_function(*args: Any, **kwargs: Any) -> Any:
        called.append(True)
        return loops_forward(*args, **kwargs)

    loops.forward_function = forward_function
    rows += padding_rows(layer)
    for case, inputs in cases.items():
        got, expected = run(layer, inputs, dout), run(loops, inputs, dout)
        if not called and layer.draws and not training_of(layer):
            if layer.output_shape != layer.input_shape:
                return []
            expected = {"out": inputs[0], "dx": dout}       # a layer that only draws does nothing in inference
        elif not called:
            note = "never called: forward must call self.forward_function, the function of the chosen implementation"
            return [Row("definition", "loops", False, note=note)]
        for name in expected:
            title = f"{name}, {case}" if case else name
            rows.append(compare("definition", title, got[name], expected[name], DEFINITION_TOLERANCE))
        if training_of(layer):
            rows += state_rows(layer, loops, inputs, case)
    return rows


def state_rule(layer: Layer) -> Callable[..., dict[str, np.ndarray]] | None:
    """Return the formula of `STATE_RULES` for the layer's class, or else for the nearest of its bases; None if there is none."""
    rules = (reference.STATE_RULES[kind.__name__] for kind in type(layer).__mro__ if kind.__name__ in reference.STATE_RULES)
    return next(rules, None)


def state_rows(layer: Layer, loops: Layer, xs: Sequence[np.ndarray], case: str) -> list[Row]:
    """Compare the state that a forward in training has left: with the formula of `state_rule`, or else with `loops.state`.

    Both layers have just run on `xs`; `loops` has run the plain loops.
    """
    rule = state_rule(layer)
    after = loops.state if rule is None else rule(xs[0], vars(layer)["start"].state, layer.get_config())
    titles = {name: f"{name}, {case}" if case else name for name in after}
    return [compare("definition", titles[name], layer.state[name], after[name], DEFINITION_TOLERANCE) for name in after]


def counted_windows(padding: str, size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Return (cells added before, cells added after, windows) along one axis, found by counting.

    "same" adds the fewest cells for which ceil(size / stride) windows fit; if their number is odd, one more is added after than
    before. "valid" adds none.

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
    """Compare a window layer's padding and number of windows with those found by counting."""
    if not isinstance(layer, WindowLayer):
        return []
    axes = range(2)
    expected = [counted_windows(layer.padding, layer.input_shape[i], layer.window[i], layer.strides[i]) for i in axes]
    got = [(*layer.pads[i], layer.output_shape[i]) for i in axes]
    return [compare("definition", "padding", np.array(got), np.array(expected), 0.0)]
