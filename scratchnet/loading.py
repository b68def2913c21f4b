"""A saved model, made again from its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scratchnet import layers as known_layers
from scratchnet import losses, optimizers
from scratchnet.layers import InputLayer, Layer
from scratchnet.model import Model
from scratchnet.serialization import load_arrays


def load_model(path: str | os.PathLike[str], custom_objects: Mapping[str, type] | None = None) -> Model:
    """Read a saved model: graph, weights, and if it was compiled its loss, metrics and optimizer with its state.

    Parameters
    ----------
    path : path
    custom_objects : dict of str to class, optional
        Classes of one's own by name: layers, optimizers, losses.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is no saved model, is damaged, or has a layer, an optimizer or a loss of an unknown class.
    """
    arrays, config = load_arrays(path)
    try:
        model = _model_from_config(config["model"], {**vars(known_layers), **(custom_objects or {})})
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
        raise ValueError(f"{os.fspath(path)} is no model that this version of scratchnet can load: {what}") from error
    return model


def _find(name: str, known: Mapping[str, Any], custom: Mapping[str, type] | None) -> Any:
    """Find an optimizer or a loss by its name in a file: one's own by its class, in small letters, or by its `name`."""
    for kind in (custom or {}).values():
        if name in (kind.__name__.lower(), getattr(kind, "name", None)):
            return kind
    if name not in known:
        raise ValueError(f"{name!r} is none of {', '.join(known)}; give its class to load_model(path, custom_objects={{...}})")
    return known[name]


def _model_from_config(config: Mapping[str, Any], classes: Mapping[str, Any]) -> Model:
    nodes: dict[str, Any] = {}
    node: Any = None
    for described in config["layers"]:
        kind, settings = described["class"], described["config"]
        if not (isinstance(classes.get(kind), type) and issubclass(classes[kind], Layer)):
            raise ValueError(f"no layer class {kind!r} is known; give load_model(path, custom_objects={{{kind!r}: {kind}}})")
        layer = classes[kind](**settings)
        inputs = [nodes[name] for name in described["inputs"]]
        node = nodes[settings["name"]] = layer.node if isinstance(layer, InputLayer) else layer(inputs)
    settings = {key: config[key] for key in ("seed", "dtype", "implementation", "name")}
    return Model(next(iter(nodes.values())), node, **settings)
