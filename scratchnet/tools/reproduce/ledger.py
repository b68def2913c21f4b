"""A net's ledger: parameters, cost, memory and receptive field of each layer, all computed from the net or measured.

    parameters        numbers that are learned
    multiply-adds     for one image, forward, and backward for the gradients of the parameters and of the input
    cache             bytes that training keeps for backward, for one image; an array that two layers keep is counted once
    receptive field   how many rows and columns of the image an output can depend on
    seconds           of a training step, each layer's forward and backward

For the times, the layers' methods are wrapped during the measurement; the layers' own code measures nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from math import prod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.layers import Conv2D, Dense
from scratchnet.layers.base import Layer, Node
from scratchnet.layers.window import WindowLayer
from scratchnet.model import Model
from scratchnet.tools.reproduce import results
from scratchnet.tools.reproduce.experiments import NET_1, NET_2, SHAPES, Net, Plan
from scratchnet.tools.reproduce.net_3 import Net3

FORMAT = "scratchnet ledger 1"
Row = dict[str, Any]


def file(out: Path) -> Path:
    """Return the path of the ledgers."""
    return out / "histories" / "ledger.json"


def write(plan: Plan, out: Path) -> None:
    """Write the ledgers of both nets for both data sets, unless they exist: they hold the times of one machine."""
    if file(out).is_file():
        return
    size = {"batch_size": 32, "repeats": 2} if plan.quick else {}
    nets = {}
    for data in (plan.digits, plan.photographs):
        for net in (NET_1, NET_2):
            model = net.build(SHAPES[data], 10, seed=0)
            model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
            nets[f"{net.name} {data}"] = make(model, **size)
    results.write(file(out), {"format": FORMAT, "nets": nets, "versions": results.versions(), "machine": results.machine()})


def read(out: Path) -> dict[str, Any] | None:
    """Return the ledgers, or None if none are written; raise ValueError for a damaged file."""
    return results.read(file(out), FORMAT, ("nets", "machine")) if file(out).is_file() else None


def make(model: Model, batch_size: int = 128, repeats: int = 5) -> dict[str, Any]:
    """Return the ledger of a compiled model.

    Parameters
    ----------
    model : Model
        Its weights change: it trains some steps on noise.
    batch_size : int
        Images in a timed step.
    repeats : int
        Number of timed steps, after one that is not timed; the medians are returned.

    Returns
    -------
    dict
        rows: those of `count`, with cache_bytes for an image, and forward_seconds and backward_seconds for a step;
        step_seconds, update_seconds (the optimizer) and batch_size.
    """
    rng = np.random.default_rng(0)
    K = model.nodes[-1].shape[0]
    x = rng.random((batch_size, *model.nodes[0].shape), dtype=np.float32).astype(model.dtype)
    y = np.eye(K, dtype=model.dtype)[rng.integers(0, K, batch_size)]
    seconds = timed(model, lambda: model.train_on_batch(x, y), repeats)
    cache = kept(model, x)
    rows = [
        {
            **row,
            "cache_bytes": cache.get(row["layer"], 0) // batch_size,
            "forward_seconds": seconds[f"forward {row['layer']}"],
            "backward_seconds": seconds[f"backward {row['layer']}"],
        }
        for row in count(model)
    ]
    return {"batch_size": batch_size, "step_seconds": seconds["step"], "update_seconds": seconds["update"], "rows": rows}


def count(model: Model) -> list[Row]:
    """Return for each layer its name, kind, output shape, parameters, multiply-adds and receptive field.

    Examples
    --------
    >>> from scratchnet import net_2
    >>> [(row["layer"], row["parameters"], row["forward_madds"]) for row in count(net_2((28, 28, 1), 10, seed=0))][:2]
    [('conv2d', 320, 225792), ('conv2d_1', 18496, 3612672)]
    """
    fields = receptive_fields(model)
    rows = []
    below = False       # whether a layer before this one has parameters
    for layer in model.layers[1:]:
        forward = multiply_adds(layer)
        # The gradient of the kernel costs as much again, and so does that of the input, if a layer before has parameters.
        gradients = int("kernel" in layer.params) + below
        below = below or bool(layer.params)
        rows.append(
            {
                "layer": str(layer.name),
                "kind": type(layer).__name__,
                "output_shape": list(layer.output_shape),
                "parameters": layer.count_params(),
                "forward_madds": forward,
                "backward_madds": forward * gradients,
                "receptive_field": list(fields[layer.node]),
            }
        )
    return rows


def multiply_adds(layer: Layer) -> int:
    """Return the multiply-adds of a layer's forward for one image, including those with the zeros of padding.

    A convolution computes OH·OW·F numbers of KH·KW·C products each, a dense layer U numbers of D products. Pooling
    compares or adds, and multiplies nothing.
    """
    if isinstance(layer, (Conv2D, Dense)):
        kernel = layer.kernel_and_bias[0] if isinstance(layer, Conv2D) else layer.params["kernel"]
        return prod(layer.output_shape) * prod(kernel.shape[:-1])
    return 0


def receptive_fields(model: Model) -> dict[Any, tuple[int, int]]:
    """Return for each node how many rows and columns of the image one of its numbers can depend on.

    Let each cell of a window depend on r pixels, and the cells be j pixels apart. Then a window of k cells depends on
    r + (k - 1)·j pixels, and with a stride of s, its outputs are s·j pixels apart. An output of a dense layer depends on all
    pixels on which its inputs depend.
    """
    H, W = model.nodes[0].shape[:2]
    sees: dict[Node, tuple[int, int]] = {model.nodes[0]: (1, 1)}
    step = {model.nodes[0]: (1, 1)}
    cells = {model.nodes[0]: (H, W)}
    for node in model.nodes[1:]:
        layer = node.layer
        parent = max(node.parents, key=sees.__getitem__)  # of several, as in Add: the one that sees most decides
        (high, wide), (down, across) = sees[parent], step[parent]
        cells[node] = node.shape[:2] if len(node.shape) == 3 else cells[parent]
        window, strides = (1, 1), (1, 1)
        if isinstance(layer, WindowLayer):
            window, strides = layer.window, layer.strides
        elif isinstance(layer, Dense):
            window, cells[node] = cells[parent], (1, 1)
        sees[node] = min(H, high + (window[0] - 1) * down), min(W, wide + (window[1] - 1) * across)
        step[node] = strides[0] * down, strides[1] * across
    return sees


def total(rows: list[Row], key: str) -> Any:
    """Return the sum of one entry over rows."""
    return sum(row[key] for row in rows)


@cache
def totals(net: Net | Net3, data: str) -> dict[str, int]:
    """Return a net's parameters and multiply-adds for one image of a data set, summed over its layers."""
    rows = count(net.build(SHAPES[data], 10, seed=0))
    return {key: total(rows, key) for key in ("parameters", "forward_madds", "backward_madds")}


def heaviest(rows: list[Row], key: str) -> tuple[Row, float]:
    """Return the row with the largest entry under `key`, and its share of the sum."""
    row = max(rows, key=lambda row: row[key])
    return row, row[key] / (total(rows, key) or 1)


def kept(model: Model, x: np.ndarray) -> dict[str, int]:
    """Return how many bytes each layer keeps after the forward of `x`; an array is counted at the first that keeps it."""
    model.forward(x, to=model.logits)
    seen = {_address(x)}  # the images belong to the caller
    found: dict[str, int] = {}
    for node in model.nodes[1:]:
        for array in node.layer.cache or ():
            if isinstance(array, np.ndarray) and _address(array) not in seen:
                seen.add(_address(array))
                found[str(node.layer.name)] = found.get(str(node.layer.name), 0) + array.nbytes
        node.layer.cache = None
    return found


def timed(model: Model, step: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Run `step` once to warm up and then `repeats` times, and return the median seconds of its parts and of the whole.

    Parts are "forward" and "backward" with the name of the layer, and "update". An activation that a layer's argument
    made has that layer's name, and its seconds are added to the layer's.
    """
    parts = [(way, f"{way} {node.layer.name}", node.layer) for node in model.nodes[1:] for way in ("forward", "backward")]
    parts.append(("update", "update", model.optimizer))
    spent: list[list[float]] = [[] for _ in parts]
    whole: list[float] = []
    step()
    with ExitStack() as stack:
        for (method, _, owner), seconds in zip(parts, spent, strict=True):
            stack.enter_context(patch.object(owner, method, _timed(getattr(owner, method), seconds)))
        for _ in range(repeats):
            _timed(step, whole)()
    found = {"step": float(np.median(whole))}
    for (_, name, _), seconds in zip(parts, spent, strict=True):
        found[name] = found.get(name, 0.0) + float(np.median(seconds or [0.0]))
    return found


def _timed(run: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return a function that calls `run`, and appends the seconds that it took."""

    def timed_run(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return run(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - began)

    return timed_run


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
