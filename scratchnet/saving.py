"""Saving and loading: a model as one file, which is written completely or not at all.

The file is a plain `.npz`: a zip of arrays that `numpy.load(path, allow_pickle=False)` opens, and one string named
`config` with JSON: the graph, how the model was compiled, and the states of its random generators. The arrays are the
weights and the optimizer's state by name. No pickle is written or read.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib import format

from scratchnet import layers as known_layers
from scratchnet import losses, metrics, optimizers, schedules
from scratchnet.layers import InputLayer, Layer
from scratchnet.layers.base import Node
from scratchnet.support.checking import check_dtype, check_flag, shortened
from scratchnet.support.config import full_config
from scratchnet.support.files import as_path, write_whole

FORMAT = "scratchnet model 1"
LONGEST = 500                   # characters of another library's message that an error repeats

__all__ = ["full_config", "load_arrays", "load_weights", "model_config", "read_model", "restore", "save_arrays", "save_model"]

# -- arrays and settings ----------------------------------------------------------------------------------------------


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> Path:
    """Write arrays and a JSON config into one `.npz` at exactly `path`.

    Raises
    ------
    ValueError
        When an array is named "config".
    TypeError
        When the config contains a value that JSON cannot represent.
    """
    if "config" in arrays:
        raise ValueError("save_arrays: expected array names other than 'config', got 'config'. Rename the array")
    text = json.dumps(config)
    return write_whole(path, lambda file: np.savez(file, allow_pickle=False, config=np.array(text), **arrays))


def load_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the config that `save_arrays` wrote. No pickle is loaded.

    Every array is read to its end, where the zip compares its checksum, and must have the size that its header says. The arrays
    together may not be larger than the file, so that a small file never takes much memory.

    Returns
    -------
    arrays : dict of str to ndarray
    config : dict

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        When `save_arrays` did not write the file, or it is damaged.
    """
    path = as_path(path)
    if path.exists() and not path.is_file() and not path.is_dir():      # opening it may wait for ever
        raise ValueError(f"expected a file, got a pipe or a device at {path}. Name the file of a model")
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as members:
            size, total = path.stat().st_size, sum(member.file_size for member in members.infolist())
            if total > size:
                raise ValueError(f"expected arrays of at most the {size} bytes of the file, got {total} bytes: they are compressed")
            arrays = {}
            for member in members.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"expected each array once, got two named {name}")
                arrays[name] = _read_array(members, member)
        if "config" not in arrays:
            raise ValueError("expected a string named 'config' in it, got none")
        config = json.loads(str(arrays.pop("config")))
        if not isinstance(config, dict):
            raise TypeError(f"expected its config to be a dict, got a {type(config).__name__}")
    except FileNotFoundError:
        raise FileNotFoundError(f"expected a saved model, got no file at {path}. model.save(path) writes one") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"expected a file, got the folder {path}. The model of a run is {path / 'model.npz'}") from None
    except PermissionError:
        raise
    except Exception as error:  # damaged bytes make zip, zlib, numpy and JSON raise errors of any kind
        raise ValueError(
            f"{path} is not a model that scratchnet saved, or it is damaged ({_words(error)}). model.save(path) writes it again"
        ) from error
    return arrays, config


def _read_array(members: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array; its header must agree with the size of the member, and its bytes with the zip's checksum."""
    with members.open(member) as file:
        read_header = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}[format.read_magic(file)]
        shape, fortran_order, dtype = read_header(file)
        if dtype.kind not in "fiubU":
            raise ValueError(f"expected numbers or a string in {member.filename}, got {dtype}")
        stored = member.file_size - file.tell()
        if prod(shape) * dtype.itemsize != stored:
            raise ValueError(f"expected {stored} bytes in {member.filename}, got the header of {dtype} of shape {shape}")
        content = file.read()               # to the end: the zip's checksum is compared there
    return np.ndarray(shape, dtype, bytearray(content), order="F" if fortran_order else "C")


def _words(error: Exception) -> str:
    """Return an error's message, with its class if it is not a ValueError, cut off after `LONGEST` characters."""
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
    if isinstance(error, KeyError):
        text = f"expected an entry {error} in its config, got none"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


# -- a model to a file ------------------------------------------------------------------------------------------------


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    include_optimizer: bool = True,
    *,
    more_config: Mapping[str, Any] = MappingProxyType({}),
    more_arrays: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> None:
    """Write a model to a file, as `Model.save` describes, with additional values and arrays, which `load_model` ignores."""
    arrays = dict(model.named_weights)
    config = {"format": FORMAT, "model": model_config(model), "draws": drawing_states(model), **compile_config(model)}
    if check_flag("include_optimizer", include_optimizer) and model.optimizer is not None:
        config["iterations"] = model.optimizer.iterations
        for name, state in zip(model.params, model.optimizer.state, strict=False):
            arrays |= {f"optimizer/{name}/{key}": value for key, value in zip(model.optimizer.state_names, state, strict=True)}
    save_arrays(path, {**arrays, **more_arrays}, {**config, **more_config})


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model alone, as `Model.save_weights` describes."""
    save_arrays(path, model.named_weights, {"format": FORMAT})


def model_config(model: Any) -> dict[str, Any]:
    """Return the graph: each layer's class, arguments and the names of the layers that it reads.

    In place of a layer there may be a model: its class is "Model" or "Sequential", and its arguments are its own description.
    """
    owner = {node.layer.activation: node.layer for node in model.nodes if node.layer.activation is not None}
    parts: dict[Any, list[Node]] = {}           # each layer or model, and its nodes
    for node in model.nodes:
        parts.setdefault(node.within[0] if node.within else owner.get(node.layer, node.layer), []).append(node)
    names = {node: part.name for part, nodes in parts.items() for node in nodes}
    described = []
    for part, nodes in parts.items():
        inputs = [names[parent] for parent in nodes[0].parents] if not nodes[0].within else [
            next(names[parent] for node in nodes for parent in node.parents if parent not in nodes)
        ]
        if not isinstance(part, Layer):
            described.append({"class": part.kind, "config": model_config(part), "inputs": inputs})
            continue
        ends_before = part.activation is not None and part.activation not in {node.layer for node in nodes}
        described.append(
            {
                "class": type(part).__name__,
                "config": full_config(part) | ({"activation": None} if ends_before else {}),
                "inputs": inputs,
                **({} if part.trainable else {"trainable": False}),
            }
        )
    kind = {} if model.kind == "Model" else {"class": model.kind}
    settings = {"name": model.name, "seed": model.seed, "dtype": str(model.dtype), "implementation": model.implementation}
    return {**kind, **settings, "layers": described}


def drawing_states(model: Any) -> dict[str, Any]:
    """Return the state of the generator of each layer that draws random numbers, by the layer's path."""
    return {path: layer.rng.bit_generator.state for path, layer in model.every_layer.items() if layer.draws}


def compile_config(model: Any) -> dict[str, Any]:
    """Return how a model was compiled, and the state of the generator that shuffles; an empty dict if it was not compiled."""
    if model.optimizer is None:
        return {}
    settings = {
        "optimizer": type(model.optimizer).__name__.lower(),
        "optimizer_config": schedules.optimizer_config(model.optimizer),
        "loss": model.loss.name if type(model.loss) in losses.KNOWN.values() else type(model.loss).__name__.lower(),
        "loss_config": full_config(model.loss),
        "metrics": [metrics.config(metric) for metric in model.metrics.values()],
        "weighted_metrics": [metrics.config(metric) for metric in model.weighted_metrics.values()],
        "fuse": model.fuse,
    }
    return {"compile": settings, "shuffle_state": model.shuffle_rng.bit_generator.state}


# -- a file to a model ------------------------------------------------------------------------------------------------


def read_model(
    model_classes: Mapping[str, Any], path: str | os.PathLike[str], custom_objects: Mapping[str, type] | None = None
) -> Any:
    """Return a model created from a file, as `scratchnet.load_model` describes. `model_classes` are "Model" and "Sequential"."""
    arrays, config = load_arrays(path)
    model = restore(model_classes, path, arrays, config, custom_objects)
    warn_if_not_finite(path, model)
    return model


def restore(
    model_classes: Mapping[str, Any],
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    custom_objects: Mapping[str, type] | None = None,
) -> Any:
    """Return a model created from what `load_arrays` returned; `path` is the file that errors name."""
    custom = custom_objects if custom_objects is not None else {}
    if not isinstance(custom, Mapping) or not all(isinstance(kind, type) for kind in custom.values()):
        raise TypeError(
            f"custom_objects: expected a dict of classes by name, got {shortened(custom)}. For example {{'MyLayer': MyLayer}}"
        )
    try:
        check_format(config)
        model = model_from_config(model_classes, config["model"], {**vars(known_layers), **custom}, arrays)
        model.set_weights([arrays[name] for name in model.named_weights])
        states = config.get("draws", {})
        for name, layer in model.every_layer.items():
            if layer.draws and states:
                _restore_generator(layer.rng, states[name])
        if "compile" in config:
            settings = config["compile"]
            arguments = settings["optimizer_config"]
            if isinstance(arguments.get("learning_rate"), dict):
                arguments |= {"learning_rate": schedules.deserialize(arguments["learning_rate"], custom)}
            optimizer = _find(settings["optimizer"], optimizers.KNOWN, custom)(**arguments)
            loss = _find(settings["loss"], losses.KNOWN, custom)(**settings["loss_config"])
            listed = {key: settings.get(key, []) for key in ("metrics", "weighted_metrics")}
            measured = {key: metrics.listed(given, loss.labels, custom) for key, given in listed.items()}
            model.compile(optimizer, loss, fuse=settings["fuse"], **measured)
            if "iterations" in config:
                _restore_state(model, config["iterations"], arrays)
            _restore_generator(model.shuffle_rng, config["shuffle_state"])
    except Exception as error:  # a changed config makes constructors, including a user's own, raise errors of any kind
        raise ValueError(
            f"{os.fspath(path)} is not a model that this version of scratchnet can load: {_words(error)}. If the file was changed"
            " or is damaged, model.save(path) writes it again"
        ) from error
    return model


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Copy the weights of a file into a model, as `Model.load_weights` describes."""
    arrays, config = load_arrays(path)
    try:
        check_format(config)
        missing = [name for name in model.named_weights if name not in arrays]
        if missing:
            raise ValueError(f"expected {', '.join(missing)}, got only {', '.join(arrays) or 'no array'}. Rename the layers")
        model.set_weights([arrays[name] for name in model.named_weights])
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {_words(error)}") from error
    warn_if_not_finite(path, model)


def check_format(config: Mapping[str, Any]) -> None:
    """Raise ValueError for a config that is not of the format of this version."""
    written, family = config.get("format"), FORMAT.rpartition(" ")[0]
    if written == FORMAT:
        return
    if isinstance(written, str) and written.startswith(family):
        raise ValueError(
            f"expected the format {FORMAT!r}, got {written!r}, which another version of scratchnet writes. Update it:"
            " pip install --upgrade scratchnet"
        )
    raise ValueError(f"expected the format {FORMAT!r}, got {written!r}. model.save(path) writes such a file")


def warn_if_not_finite(path: str | os.PathLike[str], model: Any) -> None:
    """Warn of loaded weights that are NaN or infinite: the model's predictions would be, too."""
    broken = [name for name, p in model.named_weights.items() if not np.isfinite(p).all()]
    if broken:
        warnings.warn(
            f"{os.fspath(path)}: expected finite weights, got NaN or infinity in {', '.join(broken)}. Load a model that was saved"
            " before its training diverged",
            RuntimeWarning,
            stacklevel=5,           # where load_model or load_weights was called
        )


def _check_array(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise ValueError when the file lacks an array, or has it in another shape or dtype (of either byte order)."""
    if name not in arrays:
        raise ValueError(f"expected an array {name}, got only {', '.join(arrays) or 'no array'}")
    got = arrays[name]
    if got.shape != shape or got.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"expected {name} as {dtype} of shape {shape}, got {got.dtype} of shape {got.shape}")


def _restore_state(model: Any, iterations: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Check the saved number of steps and the saved state, and store them in the model's optimizer."""
    if isinstance(iterations, bool) or not isinstance(iterations, int) or not 0 <= iterations < 2**63:
        raise ValueError(f"expected iterations to be a whole number of at least 0, got {iterations!r}")
    optimizer, states = model.optimizer, []
    for name, p in model.params.items() if iterations else ():
        fresh = dict(zip(optimizer.state_names, optimizer.make_state(p), strict=True))
        for key, value in fresh.items():
            stored = f"optimizer/{name}/{key}"
            _check_array(arrays, stored, value.shape, value.dtype)
            if not np.isfinite(arrays[stored]).all():
                raise ValueError(f"expected finite numbers in {stored}, got NaN or infinity. Load only the weights: load_weights")
            if key in optimizer.squares and (arrays[stored] < 0).any():
                raise ValueError(f"expected no negative numbers in {stored}, which holds squares, got {arrays[stored].min():g}")
            value[...] = arrays[stored]
        states.append([*fresh.values()])
    optimizer.iterations, optimizer.state = iterations, states


def _restore_generator(rng: np.random.Generator, state: Any) -> None:
    """Set a generator to a saved state, and check that it accepted the whole state."""
    rng.bit_generator.state = state
    if rng.bit_generator.state != state:
        raise ValueError(f"expected the state of a {type(rng.bit_generator).__name__}, got {state!r}")


def _find(name: str, known: Mapping[str, Any], custom: Mapping[str, type]) -> Any:
    """Return an optimizer's or a loss's class by the name in a file: that of a custom class in lower case, or its `name`."""
    for kind in custom.values():
        if name in (kind.__name__.lower(), getattr(kind, "name", None)):
            return kind
    if name not in known:
        raise ValueError(
            f"expected one of {', '.join(known)}, got {name!r}. Pass its class: load_model(path, custom_objects={{...}})"
        )
    return known[name]


def model_from_config(
    models: Mapping[str, Any],
    config: Mapping[str, Any],
    classes: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray] | None,
    within: str = "",
) -> Any:
    """Return the model of a config. The arrays of a file are compared with its parameters before these are allocated.

    The arrays of a model that is a layer have names that begin with its path, `within`.
    """
    nodes: dict[str, Any] = {}
    parts: list[Any] = []
    node: Any = None
    dtype = check_dtype("dtype", config["dtype"])
    for described in config["layers"]:
        kind, settings, inputs = described["class"], described["config"], described["inputs"]
        inner = isinstance(kind, str) and kind in models and "layers" in settings
        known = isinstance(kind, str) and isinstance(classes.get(kind), type) and issubclass(classes[kind], Layer)
        if not inner and (not known or classes[kind] is Layer):
            raise ValueError(
                f"expected a known layer class, got {kind!r}. Pass it: load_model(path, custom_objects={{{kind!r}: {kind}}})"
            )
        unknown = [name for name in inputs if name not in nodes]
        if unknown or settings["name"] in nodes:
            raise ValueError(
                f"expected layers with different names that read earlier layers, got {settings['name']!r}, which reads {inputs!r}"
            )
        path = f"{within}{settings['name']}"
        layer = model_from_config(models, settings, classes, arrays, f"{path}/") if inner else classes[kind](**settings)
        parts.append(layer)
        node = nodes[settings["name"]] = layer.node if isinstance(layer, InputLayer) else layer([nodes[name] for name in inputs])
        if inner:
            continue
        layer.trainable = described.get("trainable", True)
        if arrays is not None and _definer(layer, "make_params") is _definer(layer, "compute_param_shapes"):
            for key, shape in layer.compute_param_shapes(*(nodes[name].shape for name in inputs)).items():
                _check_array(arrays, f"{path}/{key}", shape, dtype)
    settings = {key: config[key] for key in ("seed", "dtype", "implementation", "name")}
    if config.get("class") == "Sequential":
        model = models["Sequential"].of(parts[1:], [*nodes.values()], **settings)
    else:
        model = models["Model"](next(iter(nodes.values())), node, **settings)
    if arrays is not None:
        for name, p in model.named_weights.items():
            _check_array(arrays, within + name, p.shape, dtype)     # again, for layers without compute_param_shapes
    return model


def _definer(layer: Layer, method: str) -> type:
    """Return the class that defines a layer's method. A class that defines only `make_params` may make other shapes."""
    return next(kind for kind in type(layer).__mro__ if method in vars(kind))
