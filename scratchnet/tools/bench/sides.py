"""The sides of a comparison: the study's two networks in scratchnet and in each framework, in code as its users write it.

A side is made from the network's name, the shape of an image and the number of classes. Images are float32 in NHWC, labels
one-hot; any conversion that a side needs is part of its time. Every call returns when the work is done, not when it
is queued. The sides of the third network follow; net_3.py has what they have in common.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from scratchnet.model import Model
from scratchnet.tools.bench import net_3
from scratchnet.tools.recipes import NET_3 as RECIPE
from scratchnet.tools.reproduce.net_3 import Net3

Array = np.ndarray
Shape = tuple[int, int, int]
BATCH = 128         # of net_1 and net_2, as in the study
SETTLING = 0.2      # seconds


def settle(call: Callable[[], Any]) -> None:
    """Begin a turn with calls that are not measured: for SETTLING seconds, and at least one call.

    After another side's turn, the caches and the recycled memory hold that side's arrays, which does not happen in training.
    For a short time, its threads may also use a core while they wait for more work (those of NumPy's BLAS do).
    """
    settled = time.perf_counter() + SETTLING
    call()
    while time.perf_counter() < settled:
        call()


def seconds_of(call: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Side(NamedTuple):
    """What one side can do.

    Attributes
    ----------
    step : callable
        step(x, y) runs forward, loss, backward and the optimizer on one batch, and returns the loss.
    predict : callable
        predict(x) returns the probabilities of all images, computed in batches.
    epoch : callable
        epoch(x, y, x_test, y_test) runs one epoch of training, shuffled, with accuracy, and then validation; it returns the
        validation accuracy.
    convolution : callable, optional
        convolution(k) returns the calls of the k-th convolution of net_3 alone.
    """

    step: Callable[[Array, Array], float]
    predict: Callable[[Array], Array]
    epoch: Callable[[Array, Array, Array, Array], float]
    convolution: Callable[[int], Any] | None = None


def keras_like(model: Any, batch: int = BATCH) -> Side:
    """Return the side of a compiled model that has Keras's methods."""

    def epoch(x: Array, y: Array, x_test: Array, y_test: Array) -> float:
        return model.fit(x, y, batch, verbose=0, validation_data=(x_test, y_test)).history["val_accuracy"][0]

    return Side(lambda x, y: float(model.train_on_batch(x, y)[0]), lambda x: model.predict(x, batch_size=batch, verbose=0), epoch)


def with_loops(step: Callable[[Array, Array], float], forward: Callable[[Array], Array], batch: int = BATCH) -> Side:
    """Return the side of a framework whose users write the loops; `forward` returns the probabilities of a batch."""

    def predict(x: Array) -> Array:
        return np.concatenate([forward(x[i : i + batch]) for i in range(0, len(x), batch)])

    def epoch(x: Array, y: Array, x_test: Array, y_test: Array) -> float:
        order = np.random.default_rng(0).permutation(len(x))
        for i in range(0, len(x), batch):
            step(x[order[i : i + batch]], y[order[i : i + batch]])
        return float((predict(x_test).argmax(1) == y_test.argmax(1)).mean())

    return Side(step, predict, epoch)


def sizes(net: str, shape: Shape) -> tuple[int, int]:
    """Return the second convolution's stride, and how many numbers the dense layer reads."""
    stride = 1 if net == "net_1" else 2
    return stride, -(-shape[0] // stride) * -(-shape[1] // stride) * 64


def scratchnet_side(net: str, shape: Shape, K: int) -> Side:
    """Return our side."""
    from scratchnet import networks

    model = getattr(networks, net)(shape, K, seed=0)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return keras_like(model)


def keras_side(net: str, shape: Shape, K: int) -> Side:
    """Return the side of Keras on TensorFlow; its network is the study's code."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers

    image = keras.Input(shape)
    strides = (1, 1) if net == "net_1" else (2, 2)
    x = layers.Conv2D(32, (3, 3), activation="relu", strides=(1, 1), padding="same")(image)
    x = layers.Conv2D(64, (3, 3), activation="relu", strides=strides, padding="same")(x)
    if net == "net_1":
        x = layers.MaxPooling2D(pool_size=(2, 2), strides=(1, 1), padding="same")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    model = keras.Model(image, layers.Dense(K, activation="softmax")(x))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return keras_like(model)


def torch_net(net: str, shape: Shape, K: int) -> Any:
    """Return the network as a module of PyTorch, which ends in logits."""
    import torch
    from torch import nn

    stride, D = sizes(net, shape)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(shape[2], 32, 3, padding=1)
            self.conv2 = nn.Conv2d(32, 64, 3, stride=stride, padding=1)
            self.dense1, self.dense2 = nn.Linear(D, 128), nn.Linear(128, K)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
            if net == "net_1":  # padding at the end only, as in "same"; after a ReLU, 0 has the effect of -inf
                x = nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1)), 2, stride=1)
            return self.dense2(torch.relu(self.dense1(x.flatten(1))))

    return Net()


def torch_side(net: str, shape: Shape, K: int, *, fused: bool = False, last: bool = False, compiled: bool = False) -> Side:
    """Return the side of PyTorch, with `fused` Adam, with channels `last`, or with the net `compiled`."""
    import torch

    module = torch_net(net, shape, K)
    if last:
        module = module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, eps=1e-7, fused=True if fused else None)
    return torch_loops(module, optimizer, last=last, compiled=compiled)


def torch_loops(
    module: Any, optimizer: Any, *, last: bool, compiled: bool, label_smoothing: float = 0.0, batch: int = BATCH
) -> Side:
    """Return the side of a module of PyTorch, with channels `last`, or with the module `compiled`."""
    import torch

    logits_of = torch.compile(module) if compiled else module

    def images(x: Array) -> Any:
        t = torch.from_numpy(x).permute(0, 3, 1, 2)
        return t if last else t.contiguous()

    def step(x: Array, y: Array) -> float:
        module.train()
        optimizer.zero_grad()
        labels = torch.from_numpy(y)
        logits = logits_of(images(x))
        loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        loss.backward()
        optimizer.step()
        (logits.argmax(1) == labels.argmax(1)).sum().item()     # the accuracy is part of a step
        return loss.item()

    def forward(x: Array) -> Array:
        module.eval()
        with torch.no_grad():
            return logits_of(images(x)).softmax(1).numpy()

    return with_loops(step, forward, batch)


def jax_net(net: str, shape: Shape, K: int) -> tuple[list[Any], Callable[[list[Any], Any], Any]]:
    """Return the network in JAX: its parameters, and a function of these and a batch that returns logits."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    stride, D = sizes(net, shape)

    def glorot(s: tuple[int, ...]) -> Any:
        return jax.nn.initializers.glorot_uniform()(jax.random.key(0), s)

    def conv(x: Any, w: Any, b: Any, s: int) -> Any:
        return jax.nn.relu(lax.conv_general_dilated(x, w, (s, s), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b)

    def logits(params: list[Any], x: Any) -> Any:
        w1, b1, w2, b2, w3, b3, w4, b4 = params
        x = conv(conv(x, w1, b1, 1), w2, b2, stride)
        if net == "net_1":
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "SAME")
        return jax.nn.relu(x.reshape(len(x), -1) @ w3 + b3) @ w4 + b4

    params = [glorot((3, 3, shape[2], 32)), jnp.zeros(32), glorot((3, 3, 32, 64)), jnp.zeros(64)]
    params += [glorot((D, 128)), jnp.zeros(128), glorot((128, K)), jnp.zeros(K)]
    return params, logits


def jax_side(net: str, shape: Shape, K: int) -> Side:
    """Return the side of JAX alone: NHWC, the whole step one jitted function."""
    import jax
    import jax.numpy as jnp

    params, logits = jax_net(net, shape, K)
    m, v = [jnp.zeros_like(p) for p in params], [jnp.zeros_like(p) for p in params]
    t = 0

    def loss_of(params: list[Any], x: Any, y: Any) -> Any:
        z = logits(params, x)
        return -(jax.nn.log_softmax(z) * y).sum(1).mean(), (z.argmax(1) == y.argmax(1)).sum()

    def update(params: list[Any], m: list[Any], v: list[Any], t: Any, x: Any, y: Any) -> Any:
        values, grads = jax.value_and_grad(loss_of, has_aux=True)(params, x, y)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
        params = [p - rate * a / (jnp.sqrt(b) + 1e-7) for p, a, b in zip(params, m, v, strict=True)]
        return params, m, v, values

    jitted, probabilities = jax.jit(update, donate_argnums=(0, 1, 2)), jax.jit(lambda p, x: jax.nn.softmax(logits(p, x)))

    def step(x: Array, y: Array) -> float:
        nonlocal params, m, v, t
        t += 1
        params, m, v, (loss, right) = jitted(params, m, v, float(t), x, y)
        int(right)      # the accuracy is part of a step
        return float(loss)

    return with_loops(step, lambda x: np.asarray(probabilities(params, x)))


SIDES: dict[str, tuple[tuple[str, ...], Callable[[str, Shape, int], Side]]] = {      # name: modules it imports, how to make it
    "scratchnet": ((), scratchnet_side),
    "keras": (("keras", "tensorflow"), keras_side),
    "torch": (("torch",), torch_side),
    "torch fused": (("torch",), partial(torch_side, fused=True)),
    "torch channels-last": (("torch",), partial(torch_side, fused=True, last=True)),
    "torch compiled": (("torch",), partial(torch_side, fused=True, last=True, compiled=True)),
    "jax": (("jax",), jax_side),
}


# -- net_3 -----------------------------------------------------------------------------------------------------------


def net_3_in_scratchnet(shape: Shape, K: int) -> Side:
    """Return our side."""
    from scratchnet.losses import CategoricalCrossentropy
    from scratchnet.optimizers import SGD

    model = net_3.ours(shape, K)
    rates = {"beta": RECIPE.beta_multiplier}
    optimizer = SGD(net_3.RATE, RECIPE.momentum, nesterov=True, weight_decay=RECIPE.weight_decay, learning_rate_multipliers=rates)
    model.compile(optimizer, CategoricalCrossentropy(label_smoothing=RECIPE.label_smoothing), metrics=["accuracy"])
    return keras_like(model, net_3.BATCH)._replace(convolution=net_3.scratchnet_convolution)


def net_3_in_keras(shape: Shape, K: int) -> Side:
    """Return the side of Keras on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers

    class SGD(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * (RECIPE.beta_multiplier if "beta" in variable.name else 1))

    model = net_3.ours(shape, K)
    whitening = layers.Conv2D(model.get_layer("whitening").filters, (2, 2), activation="gelu")
    image = keras.Input(shape)
    x = whitening(image)
    for F in Net3().filters:
        x = layers.Conv2D(F, (3, 3), padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D((2, 2))(x)
        x = layers.BatchNormalization(momentum=net_3.KEEP, epsilon=net_3.EPSILON, scale=False)(x)
        x = layers.Activation("gelu")(x)
        x = layers.Conv2D(F, (3, 3), padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=net_3.KEEP, epsilon=net_3.EPSILON, scale=False)(x)
        x = layers.Activation("gelu")(x)
    x = layers.MaxPooling2D((3, 3))(x)
    x = layers.Flatten()(x)
    x = layers.Rescaling(1 / 9)(layers.Dense(K, use_bias=False)(x))
    net = keras.Model(image, layers.Activation("softmax")(x))
    whitening.kernel.trainable = False
    parts = [layer for layer in net.layers if isinstance(layer, (layers.Conv2D, layers.Dense))]
    for layer, kernel in zip(parts, net_3.kernels(model), strict=True):
        layer.kernel.assign(kernel)
    whitening.bias.assign(model.params["whitening/bias"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=RECIPE.label_smoothing)
    net.compile(SGD(net_3.RATE, RECIPE.momentum, nesterov=True, weight_decay=RECIPE.weight_decay), loss, metrics=["accuracy"])
    return keras_like(net, net_3.BATCH)


def net_3_module(model: Model) -> Any:
    """Return the network as a module of PyTorch with the weights of ours, which ends in logits."""
    import torch
    from torch import nn

    first, *convolutions, dense = net_3.kernels(model)
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
            self.norms = nn.ModuleList(nn.BatchNorm2d(kernel.shape[3], net_3.EPSILON, 1 - net_3.KEEP) for kernel in convolutions)
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


def net_3_in_torch(shape: Shape, K: int, *, last: bool = False, compiled: bool = False) -> Side:
    """Return the side of PyTorch with the fused optimizer, with channels `last`, or with the net `compiled`."""
    import torch

    module = net_3_module(net_3.ours(shape, K))
    if last:
        module = module.to(memory_format=torch.channels_last)
    betas = [norm.bias for norm in module.norms]
    others = [p for p in module.parameters() if p.requires_grad and not any(p is beta for beta in betas)]
    groups = [{"params": others, "lr": net_3.RATE}, {"params": betas, "lr": net_3.RATE * RECIPE.beta_multiplier}]
    optimizer = torch.optim.SGD(groups, momentum=RECIPE.momentum, nesterov=True, fused=True)

    @torch.no_grad()
    def decay(*_: Any) -> None:     # SGD's own weight_decay would go through the momentum
        torch._foreach_mul_([*others, *betas], 1 - net_3.RATE * RECIPE.weight_decay)

    optimizer.register_step_pre_hook(decay)
    side = torch_loops(module, optimizer, last=last, compiled=compiled, label_smoothing=RECIPE.label_smoothing, batch=net_3.BATCH)
    return side._replace(convolution=partial(torch_convolution, last=last))


@lru_cache(maxsize=1)
def torch_convolution(k: int, batch: int = net_3.BATCH, *, last: bool) -> net_3.Calls:
    """Return the calls of PyTorch's convolution `k`, with channels first or last."""
    import torch

    conv = net_3.convolutions()[k][0]
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

    return net_3.Calls(forward, backward, results)


NET_3: dict[str, Callable[[Shape, int], Side]] = {      # the names are those of SIDES
    "scratchnet": net_3_in_scratchnet,
    "keras": net_3_in_keras,
    "torch fused": net_3_in_torch,
    "torch channels-last": partial(net_3_in_torch, last=True),
    "torch compiled": partial(net_3_in_torch, last=True, compiled=True),
}
LAYOUTS = ("torch fused", "torch channels-last")        # the sides that also run the convolutions alone
