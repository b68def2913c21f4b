"""The sides of a comparison: the study's two networks in scratchnet and in each framework, as one would write them there.

A side is a function that is given the network's name, the shape of an image and the number of classes, and gives two
functions: `step(x, y)`, one training step (forward, loss, backward, Adam) on a batch that returns the loss, and
`predict(x)`, probabilities. Both return when the work is done, not when it is queued. Images come as float32 in NHWC and labels one-hot; what a side must do to them
before it can work is part of its time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[np.ndarray, np.ndarray], float]
Predict = Callable[[np.ndarray], np.ndarray]
Side = Callable[[str, tuple[int, int, int], int], tuple[Step, Predict]]


def scratchnet_side(net: str, shape: tuple[int, int, int], K: int) -> tuple[Step, Predict]:
    """Our own."""
    from scratchnet import networks

    model = getattr(networks, net)(shape, K, seed=0)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return lambda x, y: model.train_on_batch(x, y)[0], lambda x: model.predict(x, batch_size=128, verbose=0)


def keras_side(net: str, shape: tuple[int, int, int], K: int) -> tuple[Step, Predict]:
    """Keras on TensorFlow, in the study's own lines."""
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
    return lambda x, y: float(model.train_on_batch(x, y)[0]), lambda x: model.predict(x, batch_size=128, verbose=0)


def _torch_net(net: str, shape: tuple[int, int, int], K: int) -> Any:
    import torch
    from torch import nn

    H, W, C = shape
    strides = 1 if net == "net_1" else 2
    size = -(-H // strides) * -(-W // strides) * 64

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(C, 32, 3, padding=1)
            self.conv2 = nn.Conv2d(32, 64, 3, stride=strides, padding=1)
            self.dense1, self.dense2 = nn.Linear(size, 128), nn.Linear(128, K)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
            if net == "net_1":  # the odd cell goes to the end, as in "same"; behind a ReLU 0 is as good as -inf
                x = nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1)), 2, stride=1)
            return self.dense2(torch.relu(self.dense1(x.flatten(1))))

    return Net()


def torch_side(
    net: str, shape: tuple[int, int, int], K: int, *, fused: bool = False, last: bool = False, compiled: bool = False
) -> tuple[Step, Predict]:
    """PyTorch: `fused` Adam, channels `last`, or the net and its loss `compiled`."""
    import torch

    module = _torch_net(net, shape, K)
    if last:
        module = module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, eps=1e-7, fused=True if fused else None)
    forward = torch.compile(module) if compiled else module

    def images(x: np.ndarray) -> Any:
        t = torch.from_numpy(x).permute(0, 3, 1, 2)
        return t if last else t.contiguous()

    def step(x: np.ndarray, y: np.ndarray) -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(forward(images(x)), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return float(loss)

    def predict(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.concatenate([forward(images(x[i : i + 128])).softmax(1).numpy() for i in range(0, len(x), 128)])

    return step, predict


def jax_side(net: str, shape: tuple[int, int, int], K: int) -> tuple[Step, Predict]:
    """JAX alone: NHWC, the whole step one jitted function."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    H, W, C = shape
    stride = 1 if net == "net_1" else 2
    D = -(-H // stride) * -(-W // stride) * 64
    rng = np.random.default_rng(0)
    shapes = [(3, 3, C, 32), (32,), (3, 3, 32, 64), (64,), (D, 128), (128,), (128, K), (K,)]

    def glorot(s: tuple[int, ...]) -> np.ndarray:
        limit = np.sqrt(6 / (np.prod(s[:-1]) + np.prod(s[:-2]) * s[-1])) if len(s) > 1 else 0.0
        return rng.uniform(-limit, limit, s).astype("float32")

    params = [jnp.asarray(glorot(s)) for s in shapes]
    m = v = [jnp.zeros_like(p) for p in params]

    def conv(x: Any, w: Any, b: Any, s: int) -> Any:
        return jax.nn.relu(lax.conv_general_dilated(x, w, (s, s), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b)

    def logits(params: list[Any], x: Any) -> Any:
        w1, b1, w2, b2, w3, b3, w4, b4 = params
        x = conv(conv(x, w1, b1, 1), w2, b2, stride)
        if net == "net_1":
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "SAME")
        return jax.nn.relu(x.reshape(len(x), -1) @ w3 + b3) @ w4 + b4

    def loss_of(params: list[Any], x: Any, y: Any) -> Any:
        return -(jax.nn.log_softmax(logits(params, x)) * y).sum(1).mean()

    def update(params: list[Any], m: list[Any], v: list[Any], t: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
        params = [p - rate * a / (jnp.sqrt(b) + 1e-7) for p, a, b in zip(params, m, v, strict=True)]
        return params, m, v, loss

    jitted, forward, t = jax.jit(update, donate_argnums=(0, 1, 2)), jax.jit(lambda p, x: jax.nn.softmax(logits(p, x))), 0
    m, v = list(m), [jnp.zeros_like(p) for p in params]

    def step(x: np.ndarray, y: np.ndarray) -> float:
        nonlocal params, m, v, t
        t += 1
        params, m, v, loss = jitted(params, m, v, float(t), x, y)
        return float(loss)

    def predict(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(forward(params, x[i : i + 128])) for i in range(0, len(x), 128)])

    return step, predict


def _torch_variant(**settings: bool) -> Side:
    return lambda net, shape, K: torch_side(net, shape, K, **settings)


SIDES: dict[str, tuple[str, Side]] = {
    "scratchnet": ("scratchnet", scratchnet_side),
    "keras": ("keras", keras_side),
    "torch": ("torch", torch_side),
    "torch fused": ("torch", _torch_variant(fused=True)),
    "torch channels-last": ("torch", _torch_variant(fused=True, last=True)),
    "torch compiled": ("torch", _torch_variant(fused=True, last=True, compiled=True)),
    "jax": ("jax", jax_side),
}
