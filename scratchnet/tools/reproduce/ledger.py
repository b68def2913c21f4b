"""A net's ledger: what each layer has, costs, keeps and sees. All of it is computed from the net, or measured.

    parameters        numbers that are learned
    multiply-adds     for one image, forward, and backward for the gradients of the parameters and of the input
    cache             bytes that training keeps for backward, for one image; an array that two layers keep counts once
    receptive field   how many rows and columns of the image an output can depend on
    seconds           of a training step, each layer's forward and backward

Times are taken from outside: the plan's steps are wrapped for as long as it takes, and the layers know nothing of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.layers import Conv2D, Dense
from scratchnet.layers.base import Layer
from scratchnet.model import Model
from scratchnet.tools.reproduce import results
from scratchnet.tools.reproduce.experiments import NET_1, NET_2, SHAPES, Plan

FORMAT = "scratchnet ledger 1"
Row = dict[str, Any]


def file(out: Path) -> Path:
    """Tell where the ledgers are kept."""
    return out / "histories" / "ledger.json"


def write(plan: Plan, out: Path) -> None:
    """Write the ledgers of both nets for both sets of images, unless they are there: they hold times of one machine."""
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
    """Read the ledgers, or None when none are written."""
    if not file(out).is_file():
        return None
    try:
        found = json.loads(file(out).read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    if found.get("format") != FORMAT:
        raise ValueError(f"{file(out)} is no ledger, or it is damaged; remove it, and it is measured again")
    return dict(found)


def make(model: Model, batch_size: int = 128, repeats: int = 5) -> dict[str, Any]:
    """Write the ledger of a compiled model.

    Parameters
    ----------
    model : Model
        Its weights move: it trains some steps on noise.
    batch_size : int
        Images in a timed step.
    repeats : int
        Steps that are timed, after one that is not; the median counts.

    Returns
    -------
    dict
        rows: of `count`, with cache_bytes, forward_seconds and backward_seconds for a step; step_seconds, update_seconds
        (the optimizer) and batch_size.
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
            "forward_seconds": seconds.get(f"forward {row['layer']}", 0.0),
            "backward_seconds": seconds.get(f"backward {row['layer']}", 0.0),
        }
        for row in count(model)
    ]
    return {"rows": rows, "batch_size": batch_size, "step_seconds": seconds["step"], "update_seconds": seconds["update"]}


def count(model: Model) -> list[Row]:
    """Count what follows from shapes alone: one row a layer, the input left out.

    Examples
    --------
    >>> from scratchnet import net_2
    >>> [(row["layer"], row["parameters"], row["forward_madds"]) for row in count(net_2((28, 28, 1), 10, seed=0))][:2]
    [('conv2d', 320, 225792), ('conv2d_1', 18496, 3612672)]
    """
    fields = receptive_fields(model)
    rows = []
    for layer in model.layers[1:]:
        forward = multiply_adds(layer)
        # The gradient of the weights costs as much again, that of the input too; the first layer's input needs none.
        first = layer.node is not None and layer.node.parents == (model.nodes[0],)
        rows.append(
            {
                "layer": str(layer.name),
                "kind": type(layer).__name__,
                "output_shape": list(layer.output_shape),
                "parameters": layer.count_params(),
                "forward_madds": forward,
                "backward_madds": forward * (1 if first else 2),
                "receptive_field": list(fields[layer.node]),
            }
        )
    return rows


def multiply_adds(layer: Layer) -> int:
    """Count the multiply-adds of a layer's forward for one image, those with padding's zeros too.

    A convolution makes OH·OW·F numbers of KH·KW·C products each, a dense layer units numbers of D products. Pooling
    compares or adds, and multiplies nothing.
    """
    if isinstance(layer, (Conv2D, Dense)):
        return prod(layer.output_shape) * prod(layer.params["kernel"].shape[:-1])
    return 0


def receptive_fields(model: Model) -> dict[Any, tuple[int, int]]:
    """Tell of each node how many rows and columns of the image one of its numbers can depend on.

    A window of k cells, each of which sees r pixels, j pixels apart from the next, sees r + (k - 1)·j; a stride of s
    makes the next step s·j. A dense layer sees whatever all cells before it see.
    """
    H, W = model.nodes[0].shape[:2]
    sees: dict[Any, tuple[int, int]] = {model.nodes[0]: (1, 1)}
    step = {model.nodes[0]: (1, 1)}
    cells = {model.nodes[0]: (H, W)}
    for node in model.nodes[1:]:
        layer: Any = node.layer
        parent = max(node.parents, key=lambda parent: sees[parent])
        (high, wide), (down, across) = sees[parent], step[parent]
        cells[node] = node.shape[:2] if len(node.shape) == 3 else cells[parent]
        window = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
        if isinstance(layer, Dense):
            window, cells[node] = cells[parent], (1, 1)
        if window is not None:
            high, wide = min(H, high + (window[0] - 1) * down), min(W, wide + (window[1] - 1) * across)
            down, across = (s * j for s, j in zip(getattr(layer, "strides", (1, 1)), (down, across), strict=True))
        sees[node], step[node] = (high, wide), (down, across)
    return sees


def kept(model: Model, x: np.ndarray) -> dict[str, int]:
    """Measure what a training forward of `x` leaves for backward: bytes by layer, each array at the first that keeps it."""
    model.plan.forward(x, model.plan.logits)
    seen: set[int] = {_address(x)}  # the images are the caller's
    found: dict[str, int] = {}
    for step in model.plan.steps:
        name = layer_of(step)
        for cache in (getattr(step, "cache", None), step.node.layer.cache):
            for array in _arrays(cache):
                if _address(array) not in seen:
                    seen.add(_address(array))
                    found[name] = found.get(name, 0) + array.nbytes
        step.forget()
    return found


def timed(model: Model, step: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Run `step` once to warm up and then `repeats` times, and give the median seconds of its parts and of the whole."""
    spent: dict[str, list[float]] = {}
    wrapped: list[tuple[Any, str]] = []

    def watch(owner: Any, method: str, name: str) -> None:
        run = getattr(owner, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return run(*args, **kwargs)
            finally:
                spent.setdefault(name, []).append(time.perf_counter() - began)

        setattr(owner, method, watched)
        wrapped.append((owner, method))

    step()
    try:
        for part in model.plan.steps:
            watch(part, "forward", f"forward {layer_of(part)}")
            watch(part, "backward", f"backward {layer_of(part)}")
        watch(model.optimizer, "update", "update")
        whole = []
        for _ in range(repeats):
            began = time.perf_counter()
            step()
            whole.append(time.perf_counter() - began)
    finally:
        for owner, method in wrapped:
            delattr(owner, method)  # the class's own shows again
    return {name: float(np.median(values)) for name, values in spent.items()} | {"step": float(np.median(whole))}


def layer_of(step: Any) -> str:
    """Name the layer that a step of the plan runs; one with its activation is named after the layer."""
    return str(getattr(step, "layer", step.node.layer).name)


def heaviest(rows: list[Row], key: str) -> tuple[Row, float]:
    """Find the row with the largest value under `key`, and its share of the sum."""
    row = max(rows, key=lambda row: row[key])
    return row, row[key] / (sum(other[key] for other in rows) or 1)


def _arrays(cache: Any) -> Iterator[np.ndarray]:
    if isinstance(cache, np.ndarray):
        yield cache
    elif isinstance(cache, (tuple, list)):
        for item in cache:
            yield from _arrays(item)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
