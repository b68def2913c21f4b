"""A layer under test: a copy of it with random parameters, and one run of its forward and backward.

A layer that draws random numbers, or changes its state in training, would be another function at each call. So every forward of a
check starts from the same state and draws the same numbers: `start_from` records both, and `forward` restores them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchnet.layers.base import Layer, Shape


def fresh(layer: Layer, shapes: Sequence[Shape], dtype: str, seed: int) -> Layer:
    """Return a copy of a layer, built with random weights and with biases that are not zero.

    With a bias of zero, a layer that does not add its bias would pass.
    """
    twin = copy.copy(layer)
    twin.activation = None
    twin = copy.deepcopy(twin)
    twin.build_for(list(shapes), np.random.default_rng(seed), dtype, twin.implementation or "fused")
    rng = np.random.default_rng(seed + 1)
    for p in twin.named_weights.values():
        noise = rng.standard_normal(p.shape)
        p += (0.3 * noise if not p.any() else 0.01 * noise).astype(dtype)
    return twin


class Start(NamedTuple):
    """What every forward of a check starts from: the mode, the arrays of `layer.state`, and the state of `layer.rng`."""

    training: bool
    state: dict[str, np.ndarray]
    draws: Any


def start_from(layer: Layer, training: bool) -> None:
    """Let every `forward` of the layer, and of its copies, start from its present state and draw the same random numbers."""
    state = {name: array.copy() for name, array in layer.state.items()}
    vars(layer)["start"] = Start(training, state, layer.rng.bit_generator.state if layer.draws else None)


def forward(layer: Layer, xs: Sequence[np.ndarray]) -> np.ndarray:
    """Run forward in the mode and from the state that `start_from` recorded."""
    restore(layer)
    return in_mode(layer, xs, training_of(layer))


def in_mode(layer: Layer, xs: Sequence[np.ndarray], training: bool) -> np.ndarray:
    """Run forward, in this mode if the layer has modes."""
    mode: Any = {"training": training} if layer.takes_training else {}
    return layer.forward(*xs, **mode)


def restore(layer: Layer) -> None:
    """Restore the state and the random numbers that `start_from` recorded, if it was called."""
    start = vars(layer).get("start")
    if start is not None:
        for name, array in start.state.items():
            layer.state[name][...] = array
        if layer.draws:
            layer.rng.bit_generator.state = start.draws


def training_of(layer: Layer) -> bool:
    """Return whether the layer is checked in training mode."""
    return "start" in vars(layer) and vars(layer)["start"].training


def input_names(count: int) -> list[str]:
    """Return the names of a layer's inputs: "x", or "x0", "x1", … for several."""
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def backward(layer: Layer, dout: np.ndarray, inputs: int) -> dict[str, np.ndarray]:
    """Run backward and return its gradients by name: "dx", and "dkernel" for a parameter "kernel"."""
    dxs = layer.backward(dout)
    if set(layer.grads) != set(layer.params):
        raise ValueError(
            f"backward: expected gradients of {sorted(layer.params)} in self.grads, got {sorted(layer.grads)}."
            " Set self.grads = {...} with one gradient for each parameter"
        )
    if forgotten := [name for name, gradient in layer.grads.items() if gradient is None]:
        raise ValueError(f"backward: expected arrays in self.grads, got None for {', '.join(forgotten)}. Set each gradient")
    dxs = dxs if isinstance(dxs, tuple) else (dxs,)
    if any(dx is None for dx in dxs):
        raise ValueError("backward: expected dx to be an array, got None. Return dx unless backward is called with need_dx=False")
    gradients = dict(zip(input_names(inputs), dxs, strict=True)) | layer.grads
    return {f"d{name}": gradient for name, gradient in gradients.items()}


def run(layer: Layer, xs: Sequence[np.ndarray], dout: np.ndarray) -> dict[str, np.ndarray]:
    """Run forward and backward and return copies of all results by name: "out" and the names of `backward`."""
    out = forward(layer, xs)
    if out is None:
        raise ValueError("forward(x): expected an array, got None. Return the output")
    expected = (len(xs[0]), *layer.output_shape)
    if out.shape != expected:
        raise ValueError(
            f"forward: expected shape {expected}, as compute_output_shape returns, got {out.shape}. Correct one of the two"
        )
    results = {"out": out, **backward(layer, dout, len(xs))}
    return {name: np.array(a, copy=True) for name, a in results.items()}
