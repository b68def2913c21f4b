"""Arrays and JSON to one file and back, and what can be made again from JSON; this file knows no layer.

The file is a plain `.npz`: a zip of arrays that `numpy.load(path, allow_pickle=False)` opens anywhere, and one string
named `config` with the JSON. It appears whole or not at all: it is written beside its place under another name, and
moved there when it is complete.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.files import write_whole


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> Path:
    """Write arrays and a JSON config into one `.npz` at exactly `path`.

    Raises
    ------
    ValueError
        When an array is named "config".
    TypeError
        When the config holds what JSON cannot.
    """
    if "config" in arrays:
        raise ValueError("'config' is the name of the settings; give the array another")
    text = json.dumps(config)
    return write_whole(path, lambda file: np.savez(file, allow_pickle=False, config=np.array(text), **arrays))


def load_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote. No pickle is loaded.

    Returns
    -------
    arrays : dict of str to ndarray
    config : dict

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        When the file is not such a file, or damaged.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config = json.loads(str(arrays.pop("config")))
        if not isinstance(config, dict):
            raise TypeError("config is no dict")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{path} is a folder; a run's model is in it: {path / 'model.npz'}") from None
    except PermissionError:
        raise
    except Exception as error:  # damaged bytes make zip, zlib, numpy and JSON raise whatever they like
        raise ValueError(f"{path} is not a model that scratchnet saved, or it is damaged ({error})") from error
    return arrays, config


def full_config(thing: Any) -> dict[str, Any]:
    """Give the `get_config` of a layer, a loss or an optimizer, and refuse one from which it could not be made again."""
    config, kind = thing.get_config(), type(thing)
    arguments = [p.name for p in signature(kind).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    lacking = [name for name in arguments if name not in config and name not in ("name", "implementation")]
    if lacking:
        more = ", ".join(f"{name!r}: self.{name}" for name in lacking)
        raise ValueError(
            f"{kind.__name__} takes {', '.join(lacking)}, which its get_config does not give, so it could not be made again;"
            f" def get_config(self): return {{**super().get_config(), {more}}}"
        )
    unknown = [name for name in config if name not in arguments]
    if unknown and all(p.kind is not p.VAR_KEYWORD for p in signature(kind).parameters.values()):
        raise ValueError(
            f"{kind.__name__}'s get_config gives {', '.join(unknown)}, which it does not take, so it could not be made again;"
            f" def __init__(self, ..., {unknown[0]}=None) takes it, and hands a layer's name on: super().__init__(name=name)"
        )
    return config
