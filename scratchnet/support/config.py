"""The settings of a layer, a loss or an optimizer: the arguments that re-create it, as values for JSON.

The signature of the class's constructor lists them, and each is stored in the attribute of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import numpy as np


def arguments_of(kind: type) -> list[str]:
    """Return the names of the constructor's arguments. A constructor with `**kwargs` takes those of its base class too.

    Examples
    --------
    >>> class Named:
    ...     def __init__(self, name): ...
    >>> class Scale(Named):
    ...     def __init__(self, factor, **kwargs): ...
    >>> arguments_of(Scale)
    ['factor', 'name']
    """
    names: list[str] = []
    for constructor in (vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)):
        _, *parameters = signature(constructor).parameters.values()       # without self
        collecting = [p.kind for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        names += [p.name for p in parameters if p.kind not in collecting and p.name not in names]
        if Parameter.VAR_KEYWORD not in collecting:
            break
    return names


def config_of(thing: Any, as_json: Callable[[str, Any], Any] = lambda name, value: value) -> dict[str, Any]:
    """Return the constructor's arguments by name; those without an attribute, or with one that is not JSON, are left out.

    Parameters
    ----------
    thing : object
    as_json : callable
        Converts (name, value) before it is stored.

    Examples
    --------
    >>> class Scale:
    ...     def __init__(self, factor, axes=(0, 1)):
    ...         self.factor, self.axes = factor, axes
    >>> config_of(Scale(np.float64(0.5)))
    {'factor': 0.5, 'axes': [0, 1]}
    """
    config = {}
    for name in arguments_of(type(thing)):
        value = as_json(name, getattr(thing, name, Parameter.empty))
        value = value.item() if isinstance(value, np.generic) else value
        if _is_json(value):
            config[name] = list(value) if isinstance(value, (tuple, list)) else value
    return config


def _is_json(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def full_config(thing: Any) -> dict[str, Any]:
    """Return `thing.get_config()`, after a check that the object can be re-created from it.

    Raises
    ------
    ValueError
        When the config lacks an argument that is not None, or holds something that the constructor does not take, or when an object
        that is made from it has other arguments.
    """
    config, kind = thing.get_config(), type(thing)
    arguments = arguments_of(kind)
    unset = [name for name in arguments if name not in config and getattr(thing, name, Parameter.empty) is None]
    lacking = [name for name in arguments if name not in config and name not in ("name", "implementation", *unset)]
    if lacking:
        more = ", ".join(f"{name!r}: self.{name}" for name in lacking)
        raise ValueError(
            f"{kind.__name__} takes {', '.join(lacking)}, which get_config() does not return, so the object cannot be re-created."
            f" Store each argument under its own name, or define get_config(self): return {{**super().get_config(), {more}}}"
        )
    collects = any(p.kind is p.VAR_KEYWORD for p in signature(kind).parameters.values())
    unknown = [name for name in config if name not in arguments]
    if unknown and not collects:
        raise ValueError(
            f"{kind.__name__}.get_config() returns {', '.join(unknown)}, which its constructor does not take, so the object cannot"
            f" be re-created. def __init__(self, ..., {unknown[0]}=None) takes it; a layer passes its name on with"
            " super().__init__(name=name)"
        )
    try:
        again = kind(**config)
        made_again = {name: getattr(again, name, None) for name in unset} | again.get_config()
    except TypeError as error:
        raise ValueError(
            f"{kind.__name__}: expected a constructor that takes the arguments of get_config(), got {error}. Return in"
            " get_config(self) only what the constructor takes"
        ) from error
    expected = config | dict.fromkeys(unset)
    changed = [name for name in expected if repr(made_again.get(name)) != repr(expected[name])]
    if changed:
        name = changed[0]
        raise ValueError(
            f"{kind.__name__}: expected self.{name} to be the argument {name!r}; re-created with {name}={expected[name]!r} it has"
            f" {made_again.get(name)!r}. Store the argument itself under that name, and what is computed from it under another"
        )
    return config
