"""Attributes of layers, models, optimizers, losses and callbacks: those of Keras that exist, and the sentence for the others.

They are looked up only when an object has no attribute of this name, so that a class of your own may define it.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from scratchnet.callbacks import Callback
from scratchnet.layers import Add, Layer
from scratchnet.layers.base import Node
from scratchnet.losses import Loss
from scratchnet.metrics import Metric
from scratchnet.model import Model
from scratchnet.optimizers import Optimizer
from scratchnet.support.arrays import Number, Tensor


def _tensors(part: Any, trainable: bool | None = None) -> list[Tensor]:
    """Return the weights of a layer or a model: all, only those that are trained (True), or only the others (False)."""
    layers = part.every_layer if isinstance(part, Model) else {part.name or part.default_name(): part}
    return [
        Tensor.of(array, f"{path}/{key}", layer.trainable and key in layer.params)
        for path, layer in layers.items()
        for key, array in layer.named_weights.items()
        if trainable in (None, layer.trainable and key in layer.params)
    ]


def _node(layer: Layer, which: str) -> Any:
    """Return the node that a connected layer reads or makes."""
    node = layer.node
    if node is None:
        raise AttributeError(f"{layer._title}: expected a connected layer, got one that is not. Put it into a model first")
    if which == "output":
        after = layer.activation.node if layer.activation is not None else node
        return after or node
    parents = node.parents or (node,)
    return parents[0] if len(parents) == 1 else [*parents]


WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "weights": _tensors,
    "variables": _tensors,
    "trainable_weights": lambda part: _tensors(part, True),
    "trainable_variables": lambda part: _tensors(part, True),
    "non_trainable_weights": lambda part: _tensors(part, False),
    "non_trainable_variables": lambda part: _tensors(part, False),
}
OF_LAYERS = {
    **WEIGHTS,
    "input": lambda layer: _node(layer, "input"),
    "output": lambda layer: _node(layer, "output"),
}
OF_MODELS = {
    **WEIGHTS,
    "input": lambda model: model.nodes[0],
    "inputs": lambda model: [model.nodes[0]],
    "output": lambda model: model.nodes[-1],
    "outputs": lambda model: [model.nodes[-1]],
    "metrics_names": lambda model: ["loss", *model.metrics],
}

# What to do in place of an attribute that does not exist.
INSTEAD = {
    word: remedy
    for remedy, words in {
        "Data are arrays in memory: call fit(x, y)": "fit_generator",
        "Data are arrays in memory: call evaluate(x, y)": "evaluate_generator",
        "Data are arrays in memory: call predict(x)": "predict_generator predict_on_batch predict_step make_predict_function",
        "The classes are predict(x).argmax(axis=1)": "predict_classes",
        "The probabilities are predict(x)": "predict_proba",
        "save(path) writes the graph and the weights; get_config() returns the graph": "to_json to_yaml"
            " get_compile_config compile_from_config get_state_tree set_state_tree",
        "export_onnx(path) writes a file that other programs run": "export",
        "It is not needed: each epoch starts new means": "reset_states reset_metrics",
        "A layer of your own has forward, backward and make_params; a loss of your own derives from losses.Loss": "add_loss"
            " add_metric add_weight add_variable losses compute_loss stateless_call stateless_compute_loss call compute_mask",
        "A layer of your own returns a shape from compute_output_shape(input_shape)": "compute_output_spec input_spec",
        "It is called learning_rate": "lr _lr",
        "optimizer.learning_rate = 0.001 sets it": "assign",
        "It is an array of NumPy already": "eval",
        "A learning rate falls by a schedule: learning_rate=schedules.ExponentialDecay(...)": "decay",
        "It is update(params, grads), which train_on_batch calls": "apply_gradients apply minimize get_updates",
        "A model has one dtype: Model(..., dtype='float64')": "dtype dtype_policy compute_dtype variable_dtype quantize",
        "A step calls the layers one after another; nothing compiles these calls into one function": "run_eagerly jit_compile",
        "evaluate(x, y) computes the metrics, and the names are in model.metrics": "get_metrics_result compute_metrics",
        "get_weights() returns copies of the weights as arrays": "get_own_variables parameters",
        "Between PyTorch and a model: to_torch_state_dict() and from_torch_state_dict(state_dict)": "state_dict load_state_dict",
        "model.history.history is a dict of lists": "keys values items",
    }.items()
    for word in words.split()
}


def _attribute(thing: Any, name: str) -> Any:
    """Return an attribute that Keras has and the class does not define, or raise AttributeError with the remedy."""
    if hasattr(type(thing), name):                      # a property whose code raised AttributeError: raise that again
        return object.__getattribute__(thing, name)
    kind = type(thing).__name__
    if name.startswith("__"):
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")
    table = OF_MODELS if isinstance(thing, Model) else OF_LAYERS if isinstance(thing, Layer) else {}
    if name in table:
        return table[name](thing)
    weights = vars(thing).get("params", {}), vars(thing).get("state", {})
    if isinstance(thing, Layer) and isinstance(weights[0], dict) and isinstance(weights[1], dict):
        if name in {**weights[0], **weights[1]}:
            return Tensor.of(thing.named_weights[name], f"{thing.name or thing.default_name()}/{name}")
        if name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance") and not thing.built:
            raise AttributeError(f"{kind}: expected a built layer for {name}, got one that is not. Put it into a model first")
    known = [word for word in {*dir(thing), *table} if not word.startswith("_")]
    near = get_close_matches(name, known, n=1)
    remedy = INSTEAD.get(name) or (f"The nearest is {near[0]}" if near else "dir() of the object lists its attributes")
    raise AttributeError(f"{kind}: expected an attribute that exists here, got {name}. {remedy}")


def _sum(a: Node, b: Any) -> Node:
    """Return Add()([a, b]) for the results of two layers."""
    if not isinstance(b, Node):
        return _no_arithmetic(a, b)
    return Add()([a, b])


def _no_arithmetic(a: Node, b: Any) -> Any:
    raise TypeError(
        f"Node: expected arithmetic by a layer, such as Add()([a, b]) or Rescaling(1 / 255)(x), got"
        f" an operator with a {type(b).__name__}. Call the layer"
    )


def install() -> None:
    """Add the attributes to the classes."""
    for kind in (Layer, Model, Optimizer, Loss, Metric, Callback, Tensor, Number, Node):
        setattr(kind, "__getattr__", _attribute)  # noqa: B010 - mypy must still find misspelt names in the package
    for sign in ("add", "radd"):
        setattr(Node, f"__{sign}__", _sum)
    for sign in ("sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "matmul"):
        setattr(Node, f"__{sign}__", _no_arithmetic)
