"""The sides of a comparison: the study's two networks in scratchnet and in each framework, written as its users would.

A side is made from the network's name, the shape of an image and the number of classes. Images are float32 in NHWC, labels
one-hot; any conversion that a side needs is part of its time. Every call returns when the work is done, not when it
is queued. net_3.py has the sides of the third network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

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
            if net == "net_1":  # the odd cell of padding goes to the end, as in "same"; after a ReLU, 0 has the effect of -inf
                x = nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1)), 2, stride=1)
            return self.dense2(torch.relu(self.dense1(x.flatten(1))))

    return Net()


def torch_side(net: str, shape: Shape, K: int, *, fused: bool = False, last: bool = False, compiled: bool = False) -> Side:
    """Return the side of PyTorch, with `fused` Adam, with channels `last`, or with the net and its loss `compiled`."""
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
