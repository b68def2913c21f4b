"""Which choices a layer made: the pattern that must not change under a finite difference.

A ReLU chooses which numbers get through, a max-pool which cell of each window. A layer of one's own with a kink has a
method `kinks(self)` that gives its choices of the last forward, as a sequence of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from scratchnet.kernels.im2col import im2col
from scratchnet.layers import Activation, MaxPooling2D, MinPooling2D
from scratchnet.layers.base import Layer


def layer_pattern(layer: Layer) -> Sequence[np.ndarray]:
    """Give the choices that a layer's last forward made."""
    if hasattr(layer, "kinks"):
        return list(layer.kinks())
    if isinstance(layer, Activation) and layer.function == "relu" and layer.cache is not None:
        return [layer.cache[0] > 0]
    if isinstance(layer, (MaxPooling2D, MinPooling2D)) and layer.cache is not None:
        x, pads = layer.cache
        sign = 1 if isinstance(layer, MaxPooling2D) else -1
        shape = (len(x), -1, layer.pool_size[0] * layer.pool_size[1], x.shape[3])
        cells = im2col(sign * x, layer.pool_size, layer.strides, pads).reshape(shape)
        real = im2col(np.ones_like(x), layer.pool_size, layer.strides, pads).reshape(shape)
        return [np.where(real > 0, cells, -np.inf).argmax(axis=2)]
    return []


def pattern(layers: Iterable[Layer]) -> list[np.ndarray]:
    """Give the choices of all these layers, in order."""
    return [choice for layer in layers for choice in layer_pattern(layer)]
