"""Saving and loading: a model as one file, which is written completely or not at all.

The file is a plain `.npz`: a zip of arrays that `numpy.load(path, allow_pickle=False)` opens, and one string named
`config` with JSON: the graph, how the model was compiled, and the state of its random generator. The arrays are the
weights and the optimizer's state by name. No pickle is written or read.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from scratchnet import layers as known_layers
from scratchnet import losses, optimizers
from scratchnet.layers import InputLayer, Layer
from scratchnet.layers.base import Node
from scratchnet.support.config import full_config
from scratchnet.support.files import write_whole

FORMAT = "scratchnet model 1"

__all__ = ["full_config", "load_arrays", "load_model", "model_config", "save_arrays", "save_model"]

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
    path = Path(path)
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config = json.loads(str(arrays.pop("config")))
        if not isinstance(config, dict):
            raise TypeError("config is not a dict")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"expected a file, got the folder {path}. The model of a run is {path / 'model.npz'}") from None
    except PermissionError:
        raise
    except Exception as error:  # damaged bytes make zip, zlib, numpy and JSON raise errors of any kind
        raise ValueError(f"{path} is not a model that scratchnet saved, or it is damaged ({error})") from error
    return arrays, config


# -- a model to a file ------------------------------------------------------------------------------------------------


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    include_optimizer: bool = True,
    *,
    more_config: Mapping[str, Any] = MappingProxyType({}),
    more_arrays: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> None:
    """Write a model to a file, as `Model.save` describes, and more values and arrays beside it, which `load_model` ignores."""
    arrays = dict(model.params)
    config = {"format": FORMAT, "model": model_config(model), **compile_config(model)}
    if model.optimizer is not None and include_optimizer:
        config["iterations"] = model.optimizer.iterations
        for name, state in zip(model.params, model.optimizer.state, strict=False):
            arrays |= {f"optimizer/{name}/{key}": value for key, value in zip(model.optimizer.state_names, state, strict=True)}
    save_arrays(path, {**arrays, **more_arrays}, {**config, **more_config})


def model_config(model: Any) -> dict[str, Any]:
    """Return the graph: each layer's class, arguments and the names of the layers that it reads."""
    names = {node: layer.name for layer in model.layers for node in model.nodes if node.layer in (layer, layer.activation)}
    described = [
        {
            "class": type(layer).__name__,
            "config": full_config(layer) | ({"activation": None} if _ends_before_activation(layer, model.nodes) else {}),
            "inputs": [names[parent] for parent in layer.node.parents],
        }
        for layer in model.layers
    ]
    settings = {"name": model.name, "seed": model.seed, "dtype": str(model.dtype), "implementation": model.implementation}
    return {**settings, "layers": described}


def _ends_before_activation(layer: Layer, nodes: Sequence[Node]) -> bool:
    """Return whether a layer's `activation=` is not part of the model: the model is then a part of a larger graph."""
    return layer.activation is not None and layer.activation.node not in nodes


def compile_config(model: Any) -> dict[str, Any]:
    """Return how a model was compiled, and the state of the generator that shuffles; an empty dict if it was not."""
    if model.optimizer is None:
        return {}
    settings = {
        "optimizer": type(model.optimizer).__name__.lower(),
        "optimizer_config": full_config(model.optimizer),
        "loss": model.loss.name if type(model.loss) in losses.KNOWN.values() else type(model.loss).__name__.lower(),
        "loss_config": full_config(model.loss),
        "metrics": list(model.metrics),
        "fuse": model.fuse,
    }
    return {"compile": settings, "shuffle_state": model.shuffle_rng.bit_generator.state}


# -- a file to a model ------------------------------------------------------------------------------------------------


def load_model(model_class: Any, path: str | os.PathLike[str], custom_objects: Mapping[str, type] | None = None) -> Any:
    """Return a `model_class` created from a file, as `scratchnet.load_model` describes."""
    arrays, config = load_arrays(path)
    try:
        model = _model_from_config(model_class, config["model"], {**vars(known_layers), **(custom_objects or {})})
        names = list(model.params)
        model.set_weights([arrays[name] for name in names])
        if "compile" in config:
            settings = config["compile"]
            optimizer = _find(settings["optimizer"], optimizers.KNOWN, custom_objects)(**settings["optimizer_config"])
            loss = _find(settings["loss"], losses.KNOWN, custom_objects)(**settings["loss_config"])
            model.compile(optimizer, loss, metrics=settings["metrics"], fuse=settings["fuse"])
            if config.get("iterations"):
                optimizer.iterations = config["iterations"]
                optimizer.state = [[arrays[f"optimizer/{name}/{key}"] for key in optimizer.state_names] for name in names]
            model.shuffle_rng.bit_generator.state = config["shuffle_state"]
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        raise ValueError(f"{os.fspath(path)} is not a model that this version of scratchnet can load: {what}") from error
    return model


def _find(name: str, known: Mapping[str, Any], custom: Mapping[str, type] | None) -> Any:
    """Return an optimizer or a loss by its name in a file, which for a custom class is its name in lower case, or its `name`."""
    for kind in (custom or {}).values():
        if name in (kind.__name__.lower(), getattr(kind, "name", None)):
            return kind
    if name not in known:
        raise ValueError(f"{name!r} is none of {', '.join(known)}. Pass its class: load_model(path, custom_objects={{...}})")
    return known[name]


def _model_from_config(model_class: Any, config: Mapping[str, Any], classes: Mapping[str, Any]) -> Any:
    nodes: dict[str, Any] = {}
    node: Any = None
    for described in config["layers"]:
        kind, settings = described["class"], described["config"]
        if not (isinstance(classes.get(kind), type) and issubclass(classes[kind], Layer)):
            raise ValueError(
                f"expected a known layer class, got {kind!r}. Pass it: load_model(path, custom_objects={{{kind!r}: {kind}}})"
            )
        layer = classes[kind](**settings)
        inputs = [nodes[name] for name in described["inputs"]]
        node = nodes[settings["name"]] = layer.node if isinstance(layer, InputLayer) else layer(inputs)
    settings = {key: config[key] for key in ("seed", "dtype", "implementation", "name")}
    return model_class(next(iter(nodes.values())), node, **settings)
