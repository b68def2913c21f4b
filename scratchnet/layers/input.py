"""Input: where a graph begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.layers.base import Layer, Node, Shape


class InputLayer(Layer):
    """Where the images come in; `Input(shape)` makes one."""

    def __init__(self, shape: Sequence[int], *, name: str | None = None):
        super().__init__(name=name)
        if not isinstance(shape, (tuple, list)) or not shape or not all(isinstance(s, (int, np.integer)) and s >= 1 for s in shape):
            raise ValueError(
                f"Input takes the shape of one sample, such as Input(shape=(28, 28, 1)); got shape={shape!r}"
            )
        self.shape = tuple(int(s) for s in shape)
        self.node = Node(self, (), self.shape)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Give the shape of one sample."""
        return self.shape

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {"shape": list(self.shape), "name": self.name}


def Input(shape: Sequence[int], *, name: str | None = None) -> Node:  # noqa: N802 - the name that Keras users know
    """Begin a graph: name the shape of one sample, without the batch axis.

    Parameters
    ----------
    shape : tuple of int
        (H, W, C) for images.
    name : str, optional

    Returns
    -------
    Node
        What the first layer is called with.

    Raises
    ------
    ValueError
        When `shape` is not a tuple of positive integers.

    Examples
    --------
    >>> Input(shape=(28, 28, 1)).shape
    (28, 28, 1)
    """
    return InputLayer(shape, name=name).node  # type: ignore[return-value]  # an input has its node from the start
