"""Keras's namespace `models`: the two classes of models, and how they are saved."""

from __future__ import annotations

import os
from typing import Any

from scratchnet.model import Model, load_model
from scratchnet.sequential import Sequential

__all__ = ["Model", "Sequential", "load_model", "save_model"]


def save_model(model: Model, path: str | os.PathLike[str], **settings: Any) -> None:
    """Write a model into one `.npz`, as `model.save(path)` does."""
    model.save(path, **settings)
