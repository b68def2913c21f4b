"""The order of the numbers of a sample in PyTorch, where images are (C, H, W), and here, where they are (H, W, C).

While a sample is an image, only the order of its axes differs. Flatten makes a row of it, and then the number at position k of our
row is not the number at position k of PyTorch's. An example with H = W = 2 and two channels, a and b:

    here       a00 b00 a01 b01 a10 b10 a11 b11
    PyTorch    a00 a01 a10 a11 b00 b01 b10 b11

`order[k]` is the position in PyTorch's row of the number at position k of ours: 0 4 1 5 2 6 3 7. So

    ours = theirs[order]            theirs = ours[argsort(order)]

The rows of the kernel of a dense layer after Flatten are put into this order, and so are the weights of a batch normalization of
flat rows. Activations, dropout and batch normalization keep the order. The outputs of a dense layer have the same order in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from scratchnet.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    InputLayer,
    Layer,
    Rescaling,
    Reshape,
)
from scratchnet.layers.base import Node, Shape

SAME_ORDER = (InputLayer, Dense, GlobalAveragePooling2D, GlobalMaxPooling2D)    # their rows have the same order in both libraries
KEEP_ORDER = (Activation, Add, BatchNormalization, Dropout, Rescaling)          # their output has the order of their inputs


def channels_first(shape: Shape) -> np.ndarray:
    """Return for each number of our sample (H, W, C) its position in PyTorch's, (C, H, W). For rows these are 0, 1, 2, ...

    Examples
    --------
    >>> channels_first((2, 2, 2)).ravel()
    array([0, 4, 1, 5, 2, 6, 3, 7])
    """
    return np.moveaxis(np.arange(prod(shape)).reshape(shape[-1], *shape[:-1]), 0, -1)


def channel_orders(who: str, nodes: Sequence[Node]) -> Mapping[Node, np.ndarray]:
    """Return the order of the numbers of each node, as an array of the shape of its samples; `nodes` are in topological order.

    Raises
    ------
    ValueError
        At a layer whose order cannot be known, such as one of your own after Flatten; the message begins with `who`.
    """
    orders: dict[Node, np.ndarray] = {}
    after_weights = False
    for node in nodes:
        order = _order(node.layer, node.shape, [orders[parent] for parent in node.parents], after_weights)
        if order is None:
            raise ValueError(
                f"{who}: expected layers whose outputs have a known order in PyTorch, where images are (C, H, W), got"
                f" {node.layer._title}. Move the weights layer by layer, with layer.get_weights() and set_weights"
            )
        orders[node] = order
        after_weights = after_weights or bool(node.layer.named_weights)
    return orders


def _order(layer: Layer, shape: Shape, inputs: Sequence[np.ndarray], after_weights: bool) -> np.ndarray | None:
    """Return the order of a layer's outputs, from those of its inputs, or None where it is not known."""
    if isinstance(layer, (Flatten, Reshape)):
        order = inputs[0].reshape(shape)
        if len(shape) > 1 and after_weights and not np.array_equal(order, channels_first(shape)):
            return None                             # PyTorch's reshape of the row would return another image
        return order if len(shape) == 1 else channels_first(shape)
    if len(shape) > 1 or isinstance(layer, SAME_ORDER):
        return channels_first(shape)
    if isinstance(layer, KEEP_ORDER):
        return inputs[0] if all(np.array_equal(order, inputs[0]) for order in inputs) else None
    if isinstance(layer, Concatenate):
        before = np.cumsum([0, *(order.size for order in inputs)])
        return np.concatenate([order + start for order, start in zip(inputs, before[:-1], strict=True)])
    known = all(order.ndim == 1 and np.array_equal(order, np.arange(order.size)) for order in inputs)
    return channels_first(shape) if known else None
