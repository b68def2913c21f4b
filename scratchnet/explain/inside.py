"""What a network computed for one image: the output of every layer, and the gradient of a class's logit at every layer.

A stage is a layer, together with the ReLU after it if nothing else reads that layer's output. Layers that change nothing in
inference, such as Dropout, and Flatten before a dense layer are not stages: the stage after them reads the stage before.

Every output comes from the layers' own `forward`, in float64, with the weights of the model. Each output is rounded to float32
before the next layer reads it. So the page, which stores float32, has exactly the numbers that each layer read, and the sums that
it shows are those of the layer. The page computes the gradients from these numbers (numbers.js); the layers' own `backward` is
used only for what it cannot compute: the slopes of activations, and gradients below a dense layer whose weights are not all
stored.

The gradient is that of one class's logit, not of the loss: it says how the score of this class, which may be any class, changes
with a number. The loss's gradient is a sum of those of the logits: ∂L/∂a = Σ_k (p_k - y_k) · ∂logit_k/∂a.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchnet import layers, losses, saving
from scratchnet.layers import Layer
from scratchnet.layers.base import Node
from scratchnet.model import CLASSES, Model, add_gradients
from scratchnet.plan import is_activation, only_readers, plan_of
from scratchnet.support.checking import check_images

Array = np.ndarray[Any, Any]
Values = dict[Node, Array]

# Layers that change nothing in inference, and those that change only the shape.
UNCHANGED = (layers.Dropout, layers.SpatialDropout2D, layers.RandomCrop, layers.RandomFlip, layers.RandomTranslation)
SHAPES = (layers.Flatten, layers.Reshape)
WINDOWS: dict[type[Layer], str] = {
    layers.MaxPooling2D: "max",
    layers.MinPooling2D: "min",
    layers.AveragePooling2D: "average",
    layers.GlobalMaxPooling2D: "max",
    layers.GlobalAveragePooling2D: "average",
}
CLASSES_SHOWN = 10          # of a network with more classes: the most probable
CONTRIBUTIONS = 20          # of a dense unit: the largest
SMALL = 40_000              # a dense layer with at most this many weights is stored whole
ROWS = 350_000              # weights of a larger dense layer that are stored, for its backward
GRADIENTS = 450_000         # stored gradients below such layers, of all classes: with wide layers, fewer classes are shown


class Inside(NamedTuple):
    """What a network computed for one image.

    Attributes
    ----------
    stages : list of dict
        In topological order, the image first. Each has `kind`, `name`, `shape`, `inputs` (places in this list), `passed` (for
        each input, a sentence for each layer between that changes no number), and the arrays that its kind needs, as float32.
    logits : int
        The place of the stage whose outputs are the logits; the last stage is their softmax.
    classes : list of int
        The classes whose gradients are known.
    probabilities : ndarray (K,)
    """

    stages: list[dict[str, Any]]
    logits: int
    classes: list[int]
    probabilities: Array


def look_inside(model: Model, x: Array, label: int | None = None) -> Inside:
    """Return what `model` computed for one image.

    Parameters
    ----------
    model : Model
        It ends in softmax or in logits.
    x : ndarray (H, W, C)
    label : int, optional
        The true class, whose gradients are then among those that are known.

    Returns
    -------
    Inside

    Raises
    ------
    ValueError
        For a model with a layer that cannot be explained; the message says which and why.

    Examples
    --------
    >>> from scratchnet import net_2
    >>> inside = look_inside(net_2((6, 6, 1), 3, seed=0), np.ones((6, 6, 1), "float32"))
    >>> [(stage["name"], stage["kind"], stage["shape"]) for stage in inside.stages]
    [('input_layer', 'input', [6, 6, 1]), ('conv2d', 'conv', [6, 6, 32]), ('conv2d_1', 'conv', [3, 3, 64]),
     ('dense', 'dense', [128]), ('dense_1', 'dense', [3]), ('softmax', 'softmax', [3])]
    """
    check_explainable(model)
    model = in_float64(model)
    values = outputs_of(model, check_images(np.asarray(x)[None], model.nodes[0].shape))
    logits = values[model.logits][0]
    p = losses.softmax(logits)
    below = sum(len(cells_below(model, node, values)) for node in large_layers(model))
    count = max(2, min(CLASSES_SHOWN, GRADIENTS // max(1, below)))
    classes = sorted({*np.argsort(-p, kind="stable")[:count].tolist(), *([] if label is None else [label])})
    stages, place = stages_of(model, values, classes)
    end = place[model.logits]
    last = {"kind": "softmax", "name": "softmax", "inputs": [end], "passed": [], "shape": [len(p)], "relu": False, "values": f32(p)}
    return Inside([*stages, last], end, classes, p)


def check_explainable(model: Model) -> None:
    """Raise ValueError unless each layer of `model` is of a kind that can be explained."""
    known = (
        *UNCHANGED, *SHAPES, *WINDOWS, layers.Conv2D, layers.PatchWhitening, layers.Dense, layers.InputLayer, layers.Add,
        layers.BatchNormalization, layers.Concatenate, layers.ELU, layers.LeakyReLU, layers.ReLU, layers.Rescaling, layers.Softmax,
        layers.ZeroPadding2D, layers.Activation,
    )  # fmt: skip
    for node in model.nodes:
        title = f"layer {node.layer.name!r}"
        if type(node.layer) not in known:
            kind = type(node.layer).__name__
            raise ValueError(f"{title}: expected a layer of scratchnet, got a {kind}. Use a network without it.")
        if type(node.layer) in UNCHANGED and node.shape != node.parents[0].shape:
            raise ValueError(
                f"{title}: expected images of the size of its input, {node.parents[0].shape}, got {node.shape}, a part of them."
                " Use a network that is trained on images of the smaller size."
            )
        if len(node.shape) not in (1, 3):
            raise ValueError(f"{title}: expected images or rows of numbers, got {node.shape}. Use a network without it.")
        if node is not model.nodes[-1] and is_activation(node, "softmax"):
            raise ValueError(f"{title}: expected softmax only at the end, got it before the end. Use a network without it.")
    if len(model.logits.shape) != 1 or model.logits.shape[0] < 2:
        raise ValueError(
            f"the network: expected one number for each of at least two classes, got {model.logits.shape}. Use a classifier."
        )


def in_float64(model: Model) -> Model:
    """Return a copy of `model` in float64, whose layers run the functions of their own modules (im2col)."""
    copy = saving.model_from_config(CLASSES, _changed(model.get_config()), vars(layers), None)
    copy.set_weights(model.get_weights())
    return copy


def _changed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a model, and of the models that are layers of it, with float64 and im2col."""
    parts = []
    for part in config["layers"]:
        settings = part["config"]
        without = {key: value for key, value in settings.items() if key != "implementation"}
        parts.append({**part, "config": _changed(settings) if "layers" in settings else without})
    return {**config, "layers": parts, "dtype": "float64", "implementation": "im2col"}


def outputs_of(model: Model, x: Array) -> Values:
    """Return the output of each node for a batch `x`, each rounded to float32 before the next layer reads it.

    Raises
    ------
    ValueError
        If a number is not finite; the message names the first such layer.
    """
    values = {model.nodes[0]: rounded(x)}
    for node in model.nodes[1:]:
        values[node] = rounded(node.layer.forward(*(values[parent] for parent in node.parents)))
        if not np.isfinite(values[node]).all():
            raise ValueError(f"layer {node.layer.name!r}: expected finite outputs, got nan or inf. Train the network again.")
    return values


def gradients_of(model: Model, k: int, *, lowest: Node | None = None) -> Values:
    """Return the gradient of the logit of class `k` at the output of each node that it depends on, after `outputs_of`.

    The backward of the node `lowest` is the last that runs; by default that of the first layer. In training, a layer that reads
    the output of a ReLU sets its dx to 0 where that output is 0 (see plan.py); this function computes dx there too.
    """
    start = np.zeros((1, *model.logits.shape))
    start[0, k] = 1
    gradients: Values = {model.logits: start}
    first = model.nodes.index(lowest) if lowest is not None else 1
    for node in reversed(model.nodes[first : model.nodes.index(model.logits) + 1]):
        if node in gradients:
            dxs = node.layer.backward(gradients[node])
            for parent, dx in zip(node.parents, dxs if isinstance(dxs, tuple) else (dxs,), strict=True):
                gradients[parent] = add_gradients(gradients[parent], dx) if parent in gradients else dx
    return gradients


def large_layers(model: Model) -> list[Node]:
    """Return the nodes of the dense layers whose weights are too many for the page."""
    return [node for node in model.nodes if isinstance(node.layer, layers.Dense) and node.layer.params["kernel"].size > SMALL]


def cells_below(model: Model, node: Node, values: Values) -> Array:
    """Return the indices of the numbers that a large dense layer reads, without those whose gradient a ReLU stops.

    If the numbers are the output of a ReLU (pooling may stand between), it passes no gradient to a number that is 0.
    """
    x = values[node.parents[0]].reshape(-1)
    return np.flatnonzero(x > 0) if stops(model, node) else np.arange(len(x))


def stops(model: Model, node: Node) -> bool:
    """Return whether what `node` reads is the output of a ReLU, perhaps pooled, so that its backward computes the ReLU's too."""
    return bool(plan_of(model.nodes).backward.get(node, {}).get("relu_x"))


def stages_of(model: Model, values: Values, classes: list[int]) -> tuple[list[dict[str, Any]], dict[Node, int]]:
    """Return the stages up to the logits, and the place of each node's stage."""
    nodes = model.nodes[: model.nodes.index(model.logits) + 1]
    large = large_layers(model)
    gradients = [gradients_of(model, k, lowest=large[0]) for k in classes] if large else []
    reader = only_readers(model.nodes)

    stages: list[dict[str, Any]] = []
    place: dict[Node, int] = {}
    passed: dict[Node, list[str]] = {}           # the unchanged layers that a node's numbers have gone through
    for node in nodes:
        before = node.parents[0] if node.parents else node
        relu = reader[node]
        if is_passed(node, model.nodes):
            place[node], passed[node] = place[before], [*passed.get(before, []), unchanged(node)]
        elif is_activation(node, "relu") and stages[place[before]]["relu"] and before in place and before not in passed:
            place[node] = place[before]
        else:
            joined = relu is not None and is_activation(relu, "relu") and relu in nodes
            stage = {
                "kind": kind_of(node.layer),
                "name": name_of(node),
                "inputs": [place[parent] for parent in node.parents],
                "passed": [passed.get(parent, []) for parent in node.parents],
                "shape": [*node.shape],
                "relu": joined,
                "values": f32(values[node]),
            }
            if node in large:
                after = values[relu] if joined and relu is not None else np.ones_like(values[node])
                dx = np.stack([gradient[before][0] for gradient in gradients])
                stage |= large_dense(node.layer, values[before][0], dx, cells_below(model, node, values), after[0] > 0)
            else:
                stage |= details(node, values)
            place[node] = len(stages)
            stages.append(stage)
    return stages, place


def name_of(node: Node) -> str:
    """Return the name of a stage: that of its layer; "conv2d, tanh" for the activation of "conv2d"."""
    layer: Any = node.layer
    of_another = any(parent.layer.activation is layer for parent in node.parents)
    return f"{layer.name}, {layer.function}" if of_another else layer.name


def is_passed(node: Node, nodes: list[Node]) -> bool:
    """Return whether `node` is not a stage of its own: it changes nothing, or only the shape of what only dense layers read."""
    if type(node.layer) in SHAPES:
        readers = [other for other in nodes if node in other.parents]
        return all(is_passed(other, nodes) or type(other.layer) is layers.Dense for other in readers)
    return type(node.layer) in UNCHANGED


def unchanged(node: Node) -> str:
    """Return what the page says about a layer that changes no number."""
    if type(node.layer) in SHAPES:
        return f"{node.layer.name}: the same numbers as one row of {node.shape[0]:,}"
    return f"{node.layer.name}: changes numbers in training only"


def kind_of(layer: Layer) -> str:
    """Return the kind of stage of a layer."""
    kinds: dict[type[Layer], str] = {
        layers.InputLayer: "input",
        layers.Conv2D: "conv",
        layers.PatchWhitening: "conv",
        layers.Dense: "dense",
        layers.BatchNormalization: "norm",
        layers.Rescaling: "rescale",
        layers.ZeroPadding2D: "pad",
        layers.Add: "add",
        layers.Concatenate: "concatenate",
        **dict.fromkeys(SHAPES, "reshape"),
        **dict.fromkeys(WINDOWS, "pool"),
    }
    return kinds.get(type(layer), "elementwise")


def details(node: Node, values: Values) -> dict[str, Any]:
    """Return what the page needs of a layer besides its output: how it was computed, and how its gradient is passed back."""
    layer: Any = node.layer
    kind = kind_of(layer)
    if kind in ("conv", "dense"):
        weights = {key: f32(p) for key, p in layer.named_weights.items()}
        return weights if kind == "dense" else {**weights, **window_of(layer)}
    if kind == "pool":
        return {"mode": WINDOWS[type(layer)], **window_of(layer)}
    if kind == "norm":
        C, arrays = node.shape[-1], layer.named_weights
        made = {
            "gamma": arrays.get("gamma", np.ones(C)),
            "beta": arrays.get("beta", np.zeros(C)),
            "mean": arrays["moving_mean"],
            "variance": arrays["moving_variance"],
        }
        return {**{key: f32(p) for key, p in made.items()}, "epsilon": layer.epsilon}
    if kind == "rescale":
        C = node.shape[-1]
        return {key: f32(np.broadcast_to(getattr(layer, key), (C,))) for key in ("scale", "offset")}
    if kind == "pad":
        (top, _), (left, _) = layer.padding
        return {"top": top, "left": left}
    if kind == "concatenate":
        return {"axis": (layer.axis if layer.axis > 0 else layer.axis + len(node.shape) + 1) - 1}
    if kind == "elementwise":
        slope = layer.backward(np.ones_like(values[node]))
        return {"function": getattr(layer, "function", type(layer).__name__), "slope": f32(slope)}
    return {}


def window_of(layer: Any) -> dict[str, int]:
    """Return the size of a layer's window, its strides, and the cells of padding above and at the left."""
    if isinstance(layer, (layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D)):
        H, W, _ = layer.input_shape
        return {"KH": H, "KW": W, "SH": 1, "SW": 1, "top": 0, "left": 0}
    if isinstance(layer, layers.Conv2D):
        (KH, KW), (SH, SW), pads = layer.kernel_size, layer.steps, layer.pads
    else:
        (KH, KW), (SH, SW), pads = layer.real_window
    return {"KH": KH, "KW": KW, "SH": SH, "SW": SW, "top": pads[0][0], "left": pads[1][0]}


def large_dense(layer: Layer, x: Array, dx: Array, cells: Array, active: Array) -> dict[str, Any]:
    """Return what the page needs of a large dense layer, whose weights (up to millions) are too many to store.

    Forward: for each unit its 20 largest products x·w, and the sum of all others. Backward: as many rows of the kernel as fit,
    those of the `cells` with the largest gradients; for the other cells their gradients. A unit that is not `active` needs no
    weights in backward, since its own ReLU passes nothing on.

    Parameters
    ----------
    layer : Dense
    x : ndarray (D,)
    dx : ndarray (classes, D)
    cells : ndarray of int
        From `cells_below`.
    active : ndarray (U,) of bool
    """
    w = layer.params["kernel"]                                          # (D, U)
    products = x[:, None] * w                                           # (D, U)
    count = min(CONTRIBUTIONS, len(x))
    top = np.argpartition(-np.abs(products), count - 1, axis=0)[:count].T                  # (U, 20)
    largest = np.take_along_axis(products.T, top, axis=1)               # (U, 20)
    cells = cells[np.argsort(-np.abs(dx[:, cells]).max(axis=0), kind="stable")]            # those with large gradients first
    units = np.flatnonzero(active)
    rows = cells[: ROWS // max(1, len(units))]
    return {
        "bias": f32(layer.params.get("bias", np.zeros(w.shape[1]))),
        "top_cells": f32(top),
        "top_weights": f32(np.take_along_axis(w.T, top, axis=1)),
        "rest": (products.sum(axis=0) - largest.sum(axis=1)).tolist(),
        "cells": f32(cells),
        "units": f32(units),
        "rows": f32(w[np.ix_(rows, units)]),
        "dx": f32(dx[:, cells[len(rows) :]]),
    }


def rounded(values: Array) -> Array:
    """Return float64 values rounded to float32 precision; those that are too large for it become inf."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def f32(values: Any) -> Array:
    """Return an array as float32."""
    return np.asarray(values, np.float32)


def arrays_in(stages: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, Array]]:
    """Return each array of the stages, with the stage and the key that it has there."""
    for stage in stages:
        for key, value in stage.items():
            if isinstance(value, np.ndarray):
                yield stage, key, value
