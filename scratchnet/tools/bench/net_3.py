"""What the libraries have in common when their speed is compared on net_3: the network, its weights, its recipe, its convolutions.

A "side" is one library with its settings, scratchnet or another; sides.py has the code of each. All sides begin with the weights of
scratchnet's net. So the losses of their first steps, and the probabilities after these, are equal up to rounding; a side with other
numbers is not measured. Loss and optimizer are those of the recipe (tools/recipes.py), with a constant rate. No side flips or crops
images, because frameworks do this outside the network.

The convolutions are also measured alone: those of net_3, with the sizes that they have in a step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from scratchnet.layers import Conv2D, PatchWhitening
from scratchnet.model import Model
from scratchnet.tools.recipes import NET_3
from scratchnet.tools.reproduce.net_3 import Net3

Array = np.ndarray
Shape = tuple[int, int, int]
BATCH = NET_3.batch_size
SHAPE = (32, 32, 3)
RATE = 0.01                 # so small that the numbers of two sides stay equal for the steps that are compared
EPSILON, KEEP = 1e-3, 0.6   # of batch normalization


def ours(shape: Shape, K: int) -> Model:
    """Return the network, not compiled. Its whitening kernel is computed from noise: the time of a step does not depend on it."""
    model = Net3(flip=False, crop=False).build(shape, K, seed=0)
    model.get_layer("whitening").adapt(np.random.default_rng(0).random((100, *shape), np.float32))
    return model


def kernels(model: Model) -> list[Array]:
    """Return the kernels of the convolutions, the whitening's first, and of the dense layer."""
    return [weight for name, weight in model.named_weights.items() if name.endswith("/kernel")]


# -- the convolutions alone -------------------------------------------------------------------------------------------


class Convolution(NamedTuple):
    """A convolution of net_3.

    Attributes
    ----------
    shape : (H, W, C)
        Of its input.
    filters : int
    whitening : bool
        Whether it is the first layer, which trains only its bias and needs no dx.
    """

    shape: tuple[int, ...]
    filters: int
    whitening: bool

    @property
    def title(self) -> str:
        """The channels of its input and output, and the size of its output."""
        side = self.shape[0] - self.whitening
        return f"{self.shape[2]} to {self.filters}, {side} × {side}" + ", 2 × 2, fixed" * self.whitening

    def operations(self) -> tuple[int, int]:
        """Return how many additions and multiplications the definition takes for one image, forward and backward."""
        side, taps = self.shape[0] - self.whitening, 4 if self.whitening else 9
        forward = 2 * side * side * self.filters * taps * self.shape[2]
        return forward, side * side * self.filters if self.whitening else 2 * forward

    def layer(self) -> Conv2D:
        """Return the layer, with weights."""
        layer: Conv2D = Conv2D(self.filters, (3, 3), padding="same", use_bias=False)
        if self.whitening:
            layer = PatchWhitening(self.filters, (2, 2))
        layer.build(self.shape, np.random.default_rng(0))
        return layer

    def arrays(self, batch: int) -> tuple[Array, Array]:
        """Return x and dout: a few images of noise, repeated."""
        side, rng = self.shape[0] - self.whitening, np.random.default_rng(0)
        few = [rng.standard_normal((min(batch, 8), *shape), np.float32) for shape in (self.shape, (side, side, self.filters))]
        return np.resize(few[0], (batch, *few[0].shape[1:])), np.resize(few[1], (batch, *few[1].shape[1:]))


def convolutions(shape: Shape = SHAPE) -> list[tuple[Convolution, int]]:
    """Return the different convolutions of net_3, and how often the net contains each.

    Examples
    --------
    >>> [(conv.title, times) for conv, times in convolutions()][3:]
    [('64 to 256, 15 × 15', 1), ('256 to 256, 7 × 7', 2), ('256 to 256, 3 × 3', 1)]
    """
    layers = [layer for layer in Net3(flip=False, crop=False).build(shape, 10, seed=0).layers if isinstance(layer, Conv2D)]
    found = [Convolution(layer.input_shape, layer.filters, isinstance(layer, PatchWhitening)) for layer in layers]
    return list(Counter(found).items())


class Calls(NamedTuple):
    """The calls that are measured for a convolution, and `results`, which returns what they compute, in NHWC, to compare."""

    forward: Callable[[], Any]
    backward: Callable[[], Any]
    results: Callable[[], list[Array]]


@lru_cache(maxsize=1)
def scratchnet_convolution(k: int, batch: int = BATCH) -> Calls:
    """Return the calls of our convolution `k`."""
    conv = convolutions()[k][0]
    layer, (x, dout) = conv.layer(), conv.arrays(batch)

    def backward() -> Any:
        return layer.backward(dout, need_dx=not conv.whitening)

    def results() -> list[Array]:
        out, dx = layer.forward(x), backward()
        return [out, layer.grads["bias"]] if conv.whitening else [out, dx, layer.grads["kernel"]]

    layer.forward(x)        # backward reads what forward keeps
    return Calls(lambda: layer.forward(x), backward, results)


def fingerprint(results: list[Array]) -> list[float]:
    """Return one number, of the order of 1, for each array; arrays that are equal up to rounding have nearly equal numbers."""
    numbers = []
    for array in results:
        values = np.asarray(array, np.float64).ravel()
        direction = np.random.default_rng(0).standard_normal(values.size)
        numbers.append(float(values @ direction / (np.linalg.norm(values) or 1)))
    return numbers
