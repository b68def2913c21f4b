"""A state dict of PyTorch: tensors by names such as "features.0.weight", read without PyTorch.

The part before the last dot is the name of a module, the part after it the name of a tensor of that module. Wrappers of modules
add prefixes to the names, which are removed here: "module." of DataParallel, "_orig_mod." of torch.compile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.support.checking import plain_array, shortened

TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")      # in the order of PyTorch's state dicts
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")

Modules = dict[str, dict[str, str]]         # the keys of a state dict, by module and by tensor


def refuse_pickles(who: str, path: Any) -> None:
    """Raise ValueError for the name of a file that PyTorch writes as a pickle.

    Examples
    --------
    >>> refuse_pickles("load_safetensors", "net.safetensors")
    >>> refuse_pickles("load_safetensors", "net.pt")
    Traceback (most recent call last):
    ...
    ValueError: load_safetensors: expected a file of safetensors, got 'net.pt', a pickle, which can run any program when it is read.
    Convert it in PyTorch: safetensors.torch.save_file(torch.load('net.pt', weights_only=True), 'net' + '.safetensors')
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if isinstance(text, str) and text.lower().endswith(PICKLES):
        name = os.path.basename(text)
        raise ValueError(
            f"{who}: expected a file of safetensors, got {name!r}, a pickle, which can run any program when it is read. Convert it"
            f" in PyTorch: safetensors.torch.save_file(torch.load({name!r}, weights_only=True), {os.path.splitext(name)[0]!r} +"
            " '.safetensors')"
        )


def check_state_dict(who: str, state_dict: Any) -> dict[str, Any]:
    """Return a copy of a state dict as a plain dict, or raise an error that names what was given instead."""
    refuse_pickles(who, state_dict)
    expected = f"{who}: expected a state dict, tensors by name"
    if isinstance(state_dict, (str, os.PathLike)):
        raise TypeError(f"{expected}, got the path {shortened(state_dict)}. load_safetensors(path) reads a file of safetensors")
    if callable(getattr(state_dict, "state_dict", None)):
        raise TypeError(f"{expected}, got a {type(state_dict).__name__}. Pass its state_dict()")
    if not isinstance(state_dict, Mapping) or not all(isinstance(key, str) for key in state_dict):
        raise TypeError(f"{expected}, got {shortened(state_dict)}. torch_model.state_dict() returns one")
    for key, value in state_dict.items():
        if isinstance(value, Mapping) and value and all(hasattr(tensor, "shape") for tensor in value.values()):
            raise TypeError(f"{expected}, got a dict with one in it. Pass that one: state_dict[{key!r}]")
    for key, value in state_dict.items():
        try:
            has_shape = hasattr(value, "shape")
        except RuntimeError:                    # of PyTorch's lazy modules
            raise ValueError(f"{expected}, got {key!r} without a shape yet. Call the PyTorch model on a batch first") from None
        if not has_shape:
            raise TypeError(f"{expected}, got {key!r} of type {type(value).__name__}. Remove it, or make it an array")
    return dict(state_dict)


def natural(key: str) -> list[tuple[bool, int, str]]:
    """Return the sort key with which numbers in the name of a tensor are sorted as numbers.

    Examples
    --------
    >>> sorted(["10.weight", "2.weight", "2.bias"], key=natural)
    ['2.bias', '2.weight', '10.weight']
    """
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in key.split(".")]


def array_of(who: str, key: str, tensor: Any) -> np.ndarray:
    """Return a tensor of PyTorch as an array; bfloat16, which NumPy lacks, becomes float32, which has all of its numbers.

    Raises
    ------
    ValueError
        For a sparse or a quantized tensor, and for one without data.
    """
    dtype = getattr(tensor, "dtype", type(tensor).__name__)
    try:
        if hasattr(tensor, "detach"):           # a tensor of PyTorch: it may have a gradient, or be in the memory of a GPU
            tensor = tensor.detach().cpu()
            if str(dtype) == "torch.bfloat16":
                tensor = tensor.float()
        array = plain_array(who, key, tensor)
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{who}: expected {key!r} as an array of numbers, got {dtype} that NumPy cannot read ({reason}). Make it a plain"
            " tensor: to_dense(), dequantize() or float()"
        ) from None
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array        # NumPy's dtype of the package ml_dtypes


def floats_of(who: str, key: str, tensor: Any) -> np.ndarray:
    """Return a tensor of PyTorch as an array, or raise ValueError if its numbers are not floats."""
    array = array_of(who, key, tensor)
    if array.dtype.kind != "f":
        raise ValueError(f"{who}: expected {key!r} to hold floats, got {array.dtype}. Convert it: tensor.float()")
    return array


def plain_names(keys: Sequence[str]) -> list[str]:
    """Return the keys without the prefixes of wrappers.

    Examples
    --------
    >>> plain_names(["module._orig_mod.0.weight", "module._orig_mod.0.bias"])
    ['0.weight', '0.bias']
    """
    names = [key.replace("_orig_mod.", "") for key in keys]
    while names and all(name.startswith("module.") for name in names):
        names = [name.removeprefix("module.") for name in names]
    return names if len(set(names)) == len(names) else [*keys]          # two keys never become one


def plain_module(name: str | None, modules: Modules) -> str | None:
    """Return the name of a module as it is in `modules`, which has no prefixes of wrappers; None if it is not there.

    Examples
    --------
    >>> plain_module("module.0", {"0": {"weight": "module.0.weight"}})
    '0'
    """
    if name is None or name in modules:
        return name
    plain = plain_names([f"{name}.weight"])[0].removesuffix("weight").removesuffix(".")
    return plain if plain in modules else None


def modules_of(keys: Sequence[str]) -> tuple[Modules, bool]:
    """Return the keys by module and by tensor, and whether the modules are certainly in the order in which PyTorch made them.

    A state dict of PyTorch has this order, but a file of safetensors loses it. Names that are numbers, as in nn.Sequential, restore
    it: the modules are sorted by them.

    Examples
    --------
    >>> modules_of(["10.bias", "10.weight", "2.weight"])
    ({'2': {'weight': '2.weight'}, '10': {'bias': '10.bias', 'weight': '10.weight'}}, True)
    >>> modules_of(["conv.bias", "conv.weight", "a.weight"])[1]         # PyTorch writes the weight before the bias
    False
    """
    found: Modules = {}
    for name, key in zip(plain_names(keys), keys, strict=True):
        module, _, tensor = name.rpartition(".")
        found.setdefault(module, {})[tensor] = key
    as_in_pytorch = [tensors[name] for tensors in found.values() for name in sorted(tensors, key=_place)]
    within: dict[str, list[str]] = {}       # the names of the modules in each module
    for module in found:
        for above, name in _steps(module):
            if name not in within.setdefault(above, []):
                within[above].append(name)
    for names in within.values():
        if _are_numbers(names):
            names.sort(key=int)
    by_number = all(_are_numbers(names) for names in within.values() if len(names) > 1)
    in_order = sorted(found, key=lambda module: [within[above].index(name) for above, name in _steps(module)])
    return {module: found[module] for module in in_order}, by_number or as_in_pytorch == list(keys)


def _place(tensor: str) -> int:
    """Return the place of a tensor among those of its module."""
    return TENSORS.index(tensor) if tensor in TENSORS else len(TENSORS)


def _steps(module: str) -> list[tuple[str, str]]:
    """Return the parts of a module's name, each after the name of the module that contains it: "a.0" -> ("", "a"), ("a", "0")."""
    parts = module.split(".")
    return [(".".join(parts[:depth]), part) for depth, part in enumerate(parts)]


def _are_numbers(names: Sequence[str]) -> bool:
    return all(name.isdecimal() for name in names)
