"""From a data set to what a net takes: the study's preprocessing, in one place for train, evaluate and predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet import preprocessing

if TYPE_CHECKING:
    from scratchnet.model import Model

Array = np.ndarray[Any, Any]


def net_inputs(images: Array) -> Array:
    """Return ``uint8`` images (N, H, W) or (N, H, W, C) as float32 (N, H, W, C) in [0, 1]."""
    return preprocessing.add_channel_axis(preprocessing.normalize_images(images))


def form(model: Model) -> tuple[tuple[int, ...], int]:
    """Return the shape of one image that `model` takes, and the number of its classes."""
    shape, K = model.input_shape[1:], model.output_shape[-1]
    return tuple(size for size in shape if size is not None), K or 0


def gives_logits(model: Model) -> bool:
    """Return whether the outputs of `model` are logits: it does not end in a softmax."""
    return model.logits is model.nodes[-1]


def check_fit(model: Model, sample_shape: Sequence[int], K: int, data: str) -> None:
    """Raise ValueError unless `model` takes images of `sample_shape` (H, W, C) and knows at least `K` classes."""
    expected, classes = form(model)
    if expected != tuple(sample_shape):
        raise ValueError(
            f"the net takes images of {_times(expected)}; those of {data} are {_times(sample_shape)}. "
            "Name data of the net's kind with --data"
        )
    if classes < K:
        raise ValueError(f"the net knows {classes} classes; {data} has {K}. Name data of the net's kind with --data")


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
