"""net_3 in scratchnet, Keras and PyTorch: the same network with the same weights, the same loss and the same optimizer.

All sides begin with the weights of scratchnet's net. So the losses of their first steps, and the probabilities after these, are
equal up to rounding; a side whose numbers are different is not measured. Loss and optimizer are those of the recipe
(tools/recipes.py), with a constant rate. No side flips or crops images, because frameworks do this outside the network.

The convolutions alone are measured too: those of net_3 with the sizes that they have in a step.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from scratchnet.layers import Conv2D, PatchWhitening
from scratchnet.model import Model
from scratchnet.tools.bench.sides import Array, Shape, Side, keras_like, torch_loops
from scratchnet.tools.recipes import NET_3
from scratchnet.tools.reproduce.net_3 import Net3

BATCH = NET_3.batch_size
SHAPE = (32, 32, 3)
RATE = 0.01                 # so small that the numbers of two sides stay equal for the steps that are compared
EPSILON, KEEP = 1e-3, 0.6   # of batch normalization


def ours(shape: Shape, K: int) -> Model:
    """Return the network, not compiled. Its whitening is computed from noise, which takes as long as that of photographs."""
    model = Net3(flip=False, crop=False).build(shape, K, seed=0)
    model.get_layer("whitening").adapt(np.random.default_rng(0).random((100, *shape), np.float32))
    return model


def kernels(model: Model) -> list[Array]:
    """Return the kernels of the convolutions, the whitening's first, and of the dense layer."""
    return [weight for name, weight in model.named_weights.items() if name.endswith("/kernel")]


def scratchnet_side(shape: Shape, K: int) -> Side:
    """Return our side."""
    from scratchnet.losses import CategoricalCrossentropy
    from scratchnet.optimizers import SGD

    model = ours(shape, K)
    rates = {"beta": NET_3.beta_multiplier}
    optimizer = SGD(RATE, NET_3.momentum, nesterov=True, weight_decay=NET_3.weight_decay, learning_rate_multipliers=rates)
    model.compile(optimizer, CategoricalCrossentropy(label_smoothing=NET_3.label_smoothing), metrics=["accuracy"])
    return keras_like(model, BATCH)._replace(convolution=scratchnet_convolution)


def keras_side(shape: Shape, K: int) -> Side:
    """Return the side of Keras on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers

    class SGD(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * (NET_3.beta_multiplier if "beta" in variable.name else 1))

    model = ours(shape, K)
    whitening = layers.Conv2D(model.get_layer("whitening").filters, (2, 2), activation="gelu")
    image = keras.Input(shape)
    x = whitening(image)
    for F in Net3().filters:
        x = layers.Conv2D(F, (3, 3), padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D((2, 2))(x)
        x = layers.BatchNormalization(momentum=KEEP, epsilon=EPSILON, scale=False)(x)
        x = layers.Activation("gelu")(x)
        x = layers.Conv2D(F, (3, 3), padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=KEEP, epsilon=EPSILON, scale=False)(x)
        x = layers.Activation("gelu")(x)
    x = layers.MaxPooling2D((3, 3))(x)
    x = layers.Flatten()(x)
    x = layers.Rescaling(1 / 9)(layers.Dense(K, use_bias=False)(x))
    net = keras.Model(image, layers.Activation("softmax")(x))
    whitening.kernel.trainable = False
    parts = [layer for layer in net.layers if isinstance(layer, (layers.Conv2D, layers.Dense))]
    for layer, kernel in zip(parts, kernels(model), strict=True):
        layer.kernel.assign(kernel)
    whitening.bias.assign(model.params["whitening/bias"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=NET_3.label_smoothing)
    net.compile(SGD(RATE, NET_3.momentum, nesterov=True, weight_decay=NET_3.weight_decay), loss, metrics=["accuracy"])
    return keras_like(net, BATCH)


def torch_net(model: Model) -> Any:
    """Return the network as a module of PyTorch with the weights of ours, which ends in logits."""
    import torch
    from torch import nn

    first, *convolutions, dense = kernels(model)
    depth = len(convolutions)

    def conv_of(kernel: Array, bias: bool, padding: int) -> Any:
        conv = nn.Conv2d(*kernel.shape[2:], kernel.shape[0], padding=padding, bias=bias)
        conv.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())     # (KH, KW, C, F) -> (F, C, KH, KW)
        return conv

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whitening = conv_of(first, True, 0)
            self.whitening.weight.requires_grad = False
            self.whitening.bias.data = torch.from_numpy(model.params["whitening/bias"].copy())
            self.convs = nn.ModuleList(conv_of(kernel, False, 1) for kernel in convolutions)
            self.norms = nn.ModuleList(nn.BatchNorm2d(kernel.shape[3], EPSILON, 1 - KEEP) for kernel in convolutions)
            for norm in self.norms:
                norm.weight.requires_grad = False
            self.dense = nn.Linear(*dense.shape, bias=False)
            self.dense.weight.data = torch.from_numpy(dense.T.copy())

        def forward(self, x: Any) -> Any:
            x = nn.functional.gelu(self.whitening(x))
            for k in range(depth):
                x = self.convs[k](x)
                if k % 2 == 0:
                    x = nn.functional.max_pool2d(x, 2)
                x = nn.functional.gelu(self.norms[k](x))
            return self.dense(nn.functional.max_pool2d(x, 3).flatten(1)) / 9

    return Net()


def torch_side(shape: Shape, K: int, *, last: bool = False, compiled: bool = False) -> Side:
    """Return the side of PyTorch with the fused optimizer, with channels `last`, or with the net `compiled`."""
    import torch

    module = torch_net(ours(shape, K))
    if last:
        module = module.to(memory_format=torch.channels_last)
    betas = [norm.bias for norm in module.norms]
    others = [p for p in module.parameters() if p.requires_grad and not any(p is beta for beta in betas)]
    groups = [{"params": others, "lr": RATE}, {"params": betas, "lr": RATE * NET_3.beta_multiplier}]
    optimizer = torch.optim.SGD(groups, momentum=NET_3.momentum, nesterov=True, fused=True)

    @torch.no_grad()
    def decay(*_: Any) -> None:     # that of SGD itself would go through the momentum
        torch._foreach_mul_([*others, *betas], 1 - RATE * NET_3.weight_decay)

    optimizer.register_step_pre_hook(decay)
    side = torch_loops(module, optimizer, last=last, compiled=compiled, label_smoothing=NET_3.label_smoothing, batch=BATCH)
    return side._replace(convolution=partial(torch_convolution, last=last))


SIDES: dict[str, Callable[[Shape, int], Side]] = {      # with the names of sides.py
    "scratchnet": scratchnet_side,
    "keras": keras_side,
    "torch fused": torch_side,
    "torch channels-last": partial(torch_side, last=True),
    "torch compiled": partial(torch_side, last=True, compiled=True),
}
LAYOUTS = ("torch fused", "torch channels-last")        # the sides that also run the convolutions alone


# -- the convolutions alone -------------------------------------------------------------------------------------------


class Convolution(NamedTuple):
    """A convolution of net_3.

    Attributes
    ----------
    shape : (H, W, C)
        Of its input.
    filters : int
    whitening : bool
        Whether it is the first layer, of which the bias alone is trained, and which needs no dx.
    """

    shape: tuple[int, ...]
    filters: int
    whitening: bool

    @property
    def title(self) -> str:
        """The channels and the size of its output."""
        side = self.shape[0] - self.whitening
        return f"{self.shape[2]} to {self.filters}, {side} × {side}" + ", 2 × 2, fixed" * self.whitening

    def operations(self) -> tuple[int, int]:
        """Return the additions and multiplications of the definition for one image, forward and backward."""
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
    """Return the convolutions of net_3, each once, and how often the net has it.

    Examples
    --------
    >>> [(conv.title, times) for conv, times in convolutions()][3:]
    [('64 to 256, 15 × 15', 1), ('256 to 256, 7 × 7', 2), ('256 to 256, 3 × 3', 1)]
    """
    layers = [layer for layer in Net3(flip=False, crop=False).build(shape, 10, seed=0).layers if isinstance(layer, Conv2D)]
    found = [Convolution(layer.input_shape, layer.filters, isinstance(layer, PatchWhitening)) for layer in layers]
    return list(Counter(found).items())


class Calls(NamedTuple):
    """What is measured of a convolution: its forward, its backward, and all results in NHWC to compare."""

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


@lru_cache(maxsize=1)
def torch_convolution(k: int, batch: int = BATCH, *, last: bool) -> Calls:
    """Return the calls of PyTorch's convolution `k`, with channels first or last."""
    import torch

    conv = convolutions()[k][0]
    form = torch.channels_last if last else torch.contiguous_format
    kernel, bias = conv.layer().kernel_and_bias
    x, dout = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=form) for a in conv.arrays(batch))
    w = torch.from_numpy(np.ascontiguousarray(kernel)).permute(3, 2, 0, 1).contiguous(memory_format=form)
    b = None if bias is None else torch.from_numpy(np.ascontiguousarray(bias))
    padding = [0, 0] if conv.whitening else [1, 1]
    masks = [False, False, True] if conv.whitening else [True, True, False]         # dx, dw, db
    sizes = [conv.filters] if conv.whitening else None

    def forward() -> Any:
        with torch.no_grad():
            return torch.nn.functional.conv2d(x, w, b, padding=padding)

    def backward() -> Any:
        return torch.ops.aten.convolution_backward(dout, x, w, sizes, [1, 1], padding, [1, 1], False, [0, 0], 1, masks)

    def results() -> list[Array]:
        out, (dx, dw, db) = forward().permute(0, 2, 3, 1).numpy(), backward()
        return [out, db.numpy()] if conv.whitening else [out, dx.permute(0, 2, 3, 1).numpy(), dw.permute(2, 3, 1, 0).numpy()]

    return Calls(forward, backward, results)


def fingerprint(results: list[Array]) -> list[float]:
    """Return one number for each array, of about 1: two arrays that are equal up to rounding have nearly the same."""
    numbers = []
    for array in results:
        values = np.asarray(array, np.float64).ravel()
        direction = np.random.default_rng(0).standard_normal(values.size)
        numbers.append(float(values @ direction / (np.linalg.norm(values) or 1)))
    return numbers
