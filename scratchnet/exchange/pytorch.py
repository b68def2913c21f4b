"""Weights to and from PyTorch, as a state dict: tensors by names such as "0.weight", "0.bias". PyTorch itself is not needed.

    here                                                PyTorch
    Conv2D, PatchWhitening   kernel (KH, KW, C, F)      weight (F, C, KH, KW)
    Dense                    kernel (D, U)              weight (U, D); after Flatten, with the D inputs in another order:
                                                        see channel_order.py
    both                     bias                       bias
    BatchNormalization       gamma, beta                weight, bias
                             moving_mean                running_mean
                             moving_variance            running_var
                             –                          num_batches_tracked: not used, and 0 where it is written

A state dict holds no settings. Those that change what a network computes must be the same in both: strides, padding, and the ε of a
batch normalization, by default 1e-3 here and 1e-5 in PyTorch. Two differences matter only for further training: the momentum of
this library and of Keras is 1 minus PyTorch's, and PyTorch updates running_var with the unbiased variance.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchnet.exchange.channel_order import channel_orders
from scratchnet.exchange.state_dict import TENSORS, check_state_dict, floats_of, modules_of, plain_module
from scratchnet.layers import BatchNormalization, Conv2D, Dense, Layer, RandomFlip
from scratchnet.support.checking import shortened

Arrange = Callable[[np.ndarray], np.ndarray]
Names = Sequence[str] | Mapping[str, str] | None
Shapes = Mapping[str, tuple[int, ...]]

SAME_SIZES = "Make both models with the same sizes, or say which module is which layer: names=[...]"
SAME_LAYERS = "Make both models with the same layers"
MISSING = {             # the fixes for a tensor that the state dict does not have
    "bias": "Make the layer with use_bias=False, or a normalization with center=False and scale=False",
    "running_mean": "Make the module a batch normalization with track_running_stats=True",
    "running_var": "Make the module a batch normalization with track_running_stats=True",
}


class Tensor(NamedTuple):
    """A tensor of a PyTorch module, and the array of a layer that corresponds to it."""

    own: str                        # the name of the array
    shape: tuple[int, ...]          # of the tensor
    to_torch: Arrange               # the array -> the tensor
    from_torch: Arrange             # the tensor -> the array


class Part(NamedTuple):
    """A layer with weights, and what the PyTorch module for it contains."""

    path: str                                   # of the layer, such as "conv2d" or "sequential/conv2d"
    layer: Layer
    tensors: dict[str, Tensor]                  # by PyTorch's names
    constants: dict[str, np.ndarray]            # tensors for which the layer has no array, with values that have no effect

    @property
    def default_name(self) -> str:
        """The name of the module if no other is given."""
        return self.path.replace("/", ".")

    @property
    def known(self) -> list[str]:
        """The names of all tensors that the module may have, in PyTorch's order."""
        return [name for name in TENSORS if name in self.tensors or name in self.constants]

    @property
    def written(self) -> list[str]:
        """The names of the tensors that the module has: a BatchNorm2d has weight and bias, or with affine=False neither."""
        affine = not {"weight", "bias"} <= self.constants.keys()
        return [name for name in self.known if affine or name not in ("weight", "bias")]

    def expected(self, name: str) -> str:
        """Return the words with which an error describes the tensor that was expected."""
        return f"of shape {self.tensors[name].shape}, for the {self.tensors[name].own} of {self.path!r}"


def to_torch_state_dict(model: Any, like: Mapping[str, Any] | None, names: Names) -> dict[str, np.ndarray]:
    """Return the weights of a model as a state dict, as `Model.to_torch_state_dict` describes."""
    who = "to_torch_state_dict"
    parts = _parts(who, model)
    if like is None:
        modules = _named(who, parts, names) or {part.path: part.default_name for part in parts}
        keys = {part.path: {name: f"{modules[part.path]}.{name}" for name in part.written} for part in parts}
    else:
        shapes = {key: tuple(tensor.shape) for key, tensor in check_state_dict(who, like).items()}
        keys = _match(who, parts, shapes, names)
    state: dict[str, np.ndarray] = {}
    for part in parts:
        for name, key in keys[part.path].items():
            tensor = part.tensors.get(name)
            value = tensor.to_torch(part.layer.named_weights[tensor.own]) if tensor else part.constants[name]
            state[key] = np.array(value, order="C")         # a copy, and contiguous: safetensors writes other arrays wrongly
    return state


def from_torch_state_dict(model: Any, state_dict: Mapping[str, Any], names: Names) -> None:
    """Copy the weights of a state dict into a model, as `Model.from_torch_state_dict` describes."""
    who = "from_torch_state_dict"
    parts = _parts(who, model)
    given = check_state_dict(who, state_dict)
    keys = _match(who, parts, {key: tuple(tensor.shape) for key, tensor in given.items()}, names)
    values = dict(model.named_weights)
    for part in parts:
        for name, key in keys[part.path].items():
            if name == "num_batches_tracked":
                continue
            array = floats_of(who, key, given[key])
            if name in part.tensors:
                tensor = part.tensors[name]
                values[f"{part.path}/{tensor.own}"] = tensor.from_torch(array)
            elif not np.array_equal(array, part.constants[name]):
                argument = "scale" if name == "weight" else "center"
                raise ValueError(
                    f"{who}: expected {key!r} to hold only {part.constants[name][0]:g}, since {part.path!r} has {argument}=False,"
                    f" got other numbers. Make the layer with {argument}=True"
                )
    model.set_weights([*values.values()])
    broken = [name for name, array in model.named_weights.items() if not np.isfinite(array).all()]
    if broken:
        warnings.warn(
            f"{who}: expected finite weights, got NaN or infinity in {', '.join(broken)}. Use weights that were saved before the"
            " training diverged",
            RuntimeWarning,
            stacklevel=4,           # where the method of the model was called
        )


def _parts(who: str, model: Any) -> list[Part]:
    """Return the layers with weights, in the order of `get_weights`."""
    orders = channel_orders(who, model.nodes)
    inputs = {node.layer: orders[node.parents[0]] for node in model.nodes if node.parents}
    return [
        _part(who, path, layer, inputs[layer])
        for path, layer in model.every_layer.items()
        if layer.named_weights and not isinstance(layer, RandomFlip)        # its state only decides flips in training
    ]


def _part(who: str, path: str, layer: Layer, order: np.ndarray) -> Part:
    """Return a layer with the layouts of its arrays; `order` is that of its inputs (channel_order.py)."""
    arrays = layer.named_weights
    tensors: dict[str, Tensor] = {}
    constants: dict[str, np.ndarray] = {}
    if isinstance(layer, Conv2D):
        KH, KW, C, F = arrays["kernel"].shape
        tensors["weight"] = Tensor("kernel", (F, C, KH, KW), lambda w: w.transpose(3, 2, 0, 1), lambda w: w.transpose(2, 3, 1, 0))
    elif isinstance(layer, Dense):
        theirs = np.argsort(order)
        tensors["weight"] = Tensor("kernel", arrays["kernel"].shape[::-1], lambda w: w[theirs].T, lambda w: w.T[order])
    if "bias" in arrays and tensors:
        tensors["bias"] = Tensor("bias", arrays["bias"].shape, np.asarray, np.asarray)
    if isinstance(layer, BatchNormalization):
        ours = order if order.ndim == 1 else np.arange(order.shape[-1])         # channels have the same order in both
        theirs = np.argsort(ours)
        for name, own in zip(TENSORS, ("gamma", "beta", "moving_mean", "moving_variance"), strict=False):
            if own in arrays:
                tensors[name] = Tensor(own, ours.shape, lambda a: a[theirs], lambda a: a[ours])
        if not layer.scale:
            constants["weight"] = np.ones(ours.shape, layer.dtype)
        if not layer.center:
            constants["bias"] = np.zeros(ours.shape, layer.dtype)
        constants["num_batches_tracked"] = np.array(0)
    if {tensor.own for tensor in tensors.values()} != arrays.keys():
        raise ValueError(
            f"{who}: expected only layers whose weights have a known layout in PyTorch, got {layer._title}. Move the weights layer"
            " by layer, with layer.get_weights() and set_weights"
        )
    return Part(path, layer, tensors, constants)


def _named(who: str, parts: Sequence[Part], names: Names) -> dict[str, str] | None:
    """Return the names of PyTorch's modules by the layers' paths, or None if no names were given."""
    if names is None:
        return None
    layers = ", ".join(part.path for part in parts)
    example = "For example names=['0', '3', '8'], or a dict by the names of the layers"
    if isinstance(names, Mapping):
        given = {str(path): name for path, name in names.items()}
        fits = given.keys() == {part.path for part in parts}
    else:
        fits = isinstance(names, (list, tuple)) and len(names) == len(parts)
        given = {part.path: name for part, name in zip(parts, names, strict=False)} if fits else {}
    fits = fits and all(isinstance(name, str) for name in given.values()) and len(set(given.values())) == len(given)
    if not fits:
        raise ValueError(
            f"{who}: expected names with a different one for each of the {len(parts)} layers {layers}, got {shortened(names)}."
            f" {example}"
        )
    return given


def _match(who: str, parts: Sequence[Part], shapes: Shapes, names: Names) -> dict[str, dict[str, str]]:
    """Return the keys of a state dict, by the layers' paths and PyTorch's names of tensors.

    Raises
    ------
    ValueError
        For the first key that does not fit.
    """
    modules, in_order = modules_of([*shapes])
    layers, all_modules = ", ".join(part.path for part in parts), [*modules]
    chosen = _named(who, parts, names)
    if chosen is None and modules.keys() == {part.default_name for part in parts}:
        chosen = {part.path: part.default_name for part in parts}
    if chosen is None:
        if not in_order:
            raise ValueError(
                f"{who}: expected keys in PyTorch's order, in which a weight is before its bias, got {shortened([*shapes])}. A file"
                f" of safetensors loses the order; say which module is which of the layers {layers}: names=[...]"
            )
        chosen = {part.path: module for part, module in zip(parts, modules, strict=False)}
    keys: dict[str, dict[str, str]] = {}
    for part in parts:
        name = chosen.get(part.path)
        module = plain_module(name, modules)
        if module is None:
            first = next(iter(part.tensors))
            got = "no more modules" if name is None else f"no {name!r} among the modules {shortened(all_modules)}"
            raise ValueError(f"{who}: expected a module with a {first} {part.expected(first)}, got {got}. {SAME_LAYERS}")
        _check_module(who, part, modules[module], shapes)
        keys[part.path] = modules.pop(module)
    for left in modules.values():
        key = next(iter(left.values()))
        raise ValueError(
            f"{who}: expected one module for each of the layers {layers}, got one more, with {key!r} of shape {shapes[key]}."
            f" {SAME_LAYERS}, or remove the keys that have no layer"
        )
    return keys


def _check_module(who: str, part: Part, keys: Mapping[str, str], shapes: Shapes) -> None:
    """Raise ValueError if the tensors of a module are not those of a part."""
    for name, tensor in part.tensors.items():
        if name not in keys:
            others = " and ".join(f"{key!r} of shape {shapes[key]}" for key in [*keys.values()][:2])
            raise ValueError(
                f"{who}: expected a {name} {part.expected(name)}, got a module without it, with {others}."
                f" {MISSING.get(name, SAME_LAYERS)}"
            )
        got = shapes[keys[name]]
        if got != tensor.shape:
            is_ours = got == part.layer.named_weights[tensor.own].shape
            fix = "It has Keras's layout, which model.set_weights takes" if is_ours else SAME_SIZES
            raise ValueError(f"{who}: expected {keys[name]!r} {part.expected(name)}, got shape {got}. {fix}")
    for name, key in keys.items():
        if name not in part.tensors and name not in part.constants:
            fix = "Make the layer with use_bias=True" if name == "bias" else SAME_LAYERS
            known = ", ".join(part.known)
            raise ValueError(f"{who}: expected only {known} for {part.path!r}, got also {key!r} of shape {shapes[key]}. {fix}")
