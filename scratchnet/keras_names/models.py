"""Keras's namespace `models`: the two classes of models, and how they are saved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scratchnet import layers, saving
from scratchnet.model import CLASSES, Model, load_model
from scratchnet.sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model", "save_model"]


def save_model(model: Model, path: str | os.PathLike[str], **settings: Any) -> None:
    """Write a model into one `.npz`, as `model.save(path)` does."""
    model.save(path, **settings)


def clone_model(model: Model) -> Model:
    """Return a model with the same layers and new weights; it is not compiled."""
    if not isinstance(model, Model):
        raise TypeError(f"clone_model: expected a model, got a {type(model).__name__}. Pass a Model or a Sequential")
    return from_config(type(model), model.get_config(), {type(layer).__name__: type(layer) for layer in model.every_layer.values()})


def from_config(cls: Any, config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Any:
    """Return a model with the layers that `get_config` described, with new weights; it is not compiled."""
    try:
        return saving.model_from_config(CLASSES, config, {**vars(layers), **(custom_objects or {})}, None)
    except (KeyError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__} {error}"
        raise ValueError(
            f"from_config: expected a dict that model.get_config() returned, got one that causes {got}. Pass that dict unchanged"
        ) from error
