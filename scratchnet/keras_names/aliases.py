"""Other names of what exists: Keras's short names of layers, and the functions that make a layer and connect it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from scratchnet import layers, saving
from scratchnet.keras_names import models
from scratchnet.layers.base import Node
from scratchnet.model import Model, load_model

# In `layers`: the other name of a class.
CLASSES = {
    "AvgPool2D": "AveragePooling2D",
    "Convolution2D": "Conv2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "MaxPool2D": "MaxPooling2D",
}

# In `layers`: the function that connects a layer of this class to several nodes.
FUNCTIONS = {"add": "Add", "concatenate": "Concatenate"}


def _connecting(name: str, kind: Any) -> Any:
    def connect(inputs: Sequence[Node], **arguments: Any) -> Node:
        return kind(**arguments)(inputs)

    connect.__name__ = connect.__qualname__ = name
    connect.__doc__ = f"Return the result of `{kind.__name__}()(inputs)` for a list of results of layers."
    return connect


def install(namespaces: Mapping[str, ModuleType]) -> None:
    """Add the aliases to the namespaces."""
    exists = vars(layers)
    found = {alias: exists[name] for alias, name in CLASSES.items() if name in exists}
    found |= {alias: _connecting(alias, exists[name]) for alias, name in FUNCTIONS.items() if name in exists}
    for alias, thing in found.items():
        if alias not in exists or isinstance(exists[alias], ModuleType):       # layers.add is also the module of Add
            setattr(layers, alias, thing)
            layers.__all__ += [alias] if alias not in layers.__all__ else []
    setattr(Model, "from_config", classmethod(models.from_config))  # noqa: B010 - as below
    setattr(saving, "load_model", load_model)  # noqa: B010 - an attribute that mypy does not know
    for name in ("Layer", "Loss", "Optimizer", "Callback"):
        kind = next((vars(namespace)[name] for namespace in namespaces.values() if name in vars(namespace)), None)
        if kind is not None and "from_config" not in vars(kind):
            kind.from_config = classmethod(_from_config)


def _from_config(cls: Any, config: Mapping[str, Any]) -> Any:
    """Return an object with the arguments that `get_config` returned."""
    return cls(**config)
