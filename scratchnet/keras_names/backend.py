"""Keras's namespace `backend`, which scripts import as K: the few functions that scripts for images call."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["clear_session", "epsilon", "floatx", "get_value", "image_data_format", "set_floatx", "set_image_data_format"]


def clear_session() -> None:
    """Do nothing: a model is freed as soon as it is no longer used, and layers are numbered from 0 in each model."""


def epsilon() -> float:
    """Return 1e-7, the epsilon of optimizers."""
    return 1e-7


def floatx() -> str:
    """Return "float32", the default dtype of a model."""
    return "float32"


def get_value(x: Any) -> Any:
    """Return a number such as `optimizer.learning_rate`, or an array, as it is: it has a value already."""
    return x


def image_data_format() -> str:
    """Return "channels_last": the axes of images are (N, H, W, C)."""
    return "channels_last"


def set_floatx(value: str) -> None:
    """Accept "float32", and raise ValueError for another dtype: that is an argument of a model."""
    if np.dtype(value) != np.float32:
        raise ValueError(f"set_floatx: expected 'float32', got {value!r}. Write Model(..., dtype={value!r})")


def set_image_data_format(data_format: str) -> None:
    """Accept "channels_last", and raise ValueError for "channels_first"."""
    if data_format != "channels_last":
        raise ValueError(
            f"set_image_data_format: expected 'channels_last', got {data_format!r}. x.transpose(0, 2, 3, 1) converts images whose"
            " channels come first"
        )
