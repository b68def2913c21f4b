"""A network for demonstrations, smaller than net_2, for glyphs at half their size: it trains in a second or two."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from scratchnet import preprocessing
from scratchnet.datasets import glyphs
from scratchnet.kernels.threads import limit
from scratchnet.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    RandomFlip,
)
from scratchnet.losses import CategoricalCrossentropy
from scratchnet.model import Model
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Nadam, Optimizer, RMSprop
from scratchnet.schedules import CosineDecay

IMAGES, TEST_IMAGES = 2048, 512
BATCH_SIZE, EPOCHS = 32, 4
STEPS = IMAGES // BATCH_SIZE * EPOCHS
POOLS: dict[str, Any] = {"max": MaxPooling2D, "min": MinPooling2D, "average": AveragePooling2D}
WITH_ARGUMENTS: dict[str, Any] = {"elu of alpha 0.5": lambda: ELU(0.5), "leaky_relu of slope 0.5": lambda: LeakyReLU(0.5)}
WARM_UP = 16  # steps


def optimizer(name: str) -> Optimizer:
    """Return an optimizer with a learning rate that makes progress within `STEPS` steps."""
    made: dict[str, Optimizer] = {
        "adam": Adam(0.002),
        "fast adam": Adam(0.005),
        "adagrad": Adagrad(0.03),
        "adadelta": Adadelta(0.5),
        "momentum": SGD(0.03, momentum=0.9),
        "nesterov": SGD(0.03, momentum=0.9, nesterov=True),
        "rmsprop": RMSprop(0.001),
        "adamw": AdamW(0.002, weight_decay=0.01),
        "nadam": Nadam(0.002),
        "decayed nadam": Nadam(0.002, weight_decay=0.1),
        "clipped": SGD(0.03, momentum=0.9, clipnorm=1.0),
        "clipped together": SGD(0.05, momentum=0.9, global_clipnorm=0.5),
        "warm-up": Adam(CosineDecay(0.0, STEPS - WARM_UP, warmup_target=0.004, warmup_steps=WARM_UP)),
    }
    made[name].implementation = "numpy"  # for so few numbers the kernel saves nothing
    return made[name]


@dataclass(frozen=True)
class SmallNet:
    """A small network and its optimizer; each bug has one that runs the operation that it breaks.

    Attributes
    ----------
    kernel_size : (int, int)
    strides, pool_strides : int
        Of the second convolution and of the pool after it.
    pool : {"max", "min", "average", "global average"}
        The last of them, after two more convolutions, takes the place of the pool and of Flatten.
    hidden : str
        The activation of the hidden dense layer, or one of `WITH_ARGUMENTS`.
    paths : bool
        Whether the outputs of three convolutions are summed, each of which reads the one before.
    joined : bool
        Whether the outputs of two convolutions are concatenated, the second of which reads the first.
    normalization : {"", "trained", "frozen"}
        Whether there is a batch normalization after the first convolution, and whether it is trained.
    dropout : bool
        Whether numbers are dropped before the last dense layer.
    flips : bool
        Whether images are flipped at random.
    initializer : str
        Of all kernels.
    regularizer : str, optional
        Of all kernels.
    smoothing : float
        Of the labels.
    weights : bool
        Whether images of the classes 5 to 9 have the weight 3.
    optimizer : str
        A key in `optimizer`.
    """

    kernel_size: tuple[int, int] = (3, 3)
    pool: str = "max"
    strides: int = 2
    pool_strides: int = 1
    hidden: str = "relu"
    paths: bool = False
    joined: bool = False
    normalization: str = ""
    dropout: bool = False
    flips: bool = False
    initializer: str = "glorot_uniform"
    regularizer: str | None = None
    smoothing: float = 0.0
    weights: bool = False
    optimizer: str = "adam"

    def build(self, seed: int = 1) -> Model:
        """Return the model, not compiled, for images (14, 14, 1) of ten classes."""
        kernel: Any = {"kernel_initializer": self.initializer, "kernel_regularizer": self.regularizer}

        def convolution(strides: int = 1, filters: int = 8) -> Conv2D:
            return Conv2D(filters, self.kernel_size, strides=strides, padding="same", activation="relu", **kernel)

        image = Input(shape=(14, 14, 1))
        x = convolution()(RandomFlip("horizontal")(image) if self.flips else image)
        if self.normalization:
            normalization = BatchNormalization()
            normalization.trainable = self.normalization == "trained"
            x = normalization(x)
        if self.paths:
            second = convolution()(x)
            third = convolution()(second)
            x = Add()([third, Add()([second, x])])
        if self.joined:
            x = Concatenate()([x, convolution()(x)])
        x = convolution(self.strides)(x)
        if self.pool == "global average":
            x = GlobalAveragePooling2D()(convolution(2, 32)(convolution(1, 32)(x)))
        else:
            x = Flatten()(POOLS[self.pool]((2, 2), strides=self.pool_strides, padding="same")(x))
        hidden: Layer = WITH_ARGUMENTS.get(self.hidden, lambda: Activation(self.hidden))()
        x = hidden(Dense(32, **kernel)(x))
        if self.dropout:
            x = Dropout(0.2)(x)
        return Model(image, Dense(10, activation="softmax", **kernel)(x), seed=seed)

    def compiled(self, fuse: bool = False) -> Model:
        """Return the compiled model; unless `fuse`, no ReLU is joined to another layer, so that a replaced ReLU runs."""
        model, loss = self.build(), CategoricalCrossentropy(label_smoothing=self.smoothing)
        model.compile(optimizer(self.optimizer), loss, metrics=["accuracy"], fuse=fuse)
        return model

    def weights_of(self, y: np.ndarray) -> dict[str, Any]:
        """Return the argument sample_weight for one-hot labels y, or no argument."""
        return {"sample_weight": 1.0 + 2.0 * (y.argmax(axis=1) >= 5)} if self.weights else {}

    def accuracy(self, *, show: bool = False, threads: bool = False) -> float:
        """Train for `STEPS` steps and return the accuracy on test images; NaN when the loss did not stay finite."""
        (x, y), (x_test, y_test) = images()
        model = self.compiled()
        with nullcontext() if threads else limit(1), np.errstate(all="ignore"):
            try:
                model.fit(x, y, BATCH_SIZE, EPOCHS, verbose=int(show), **self.weights_of(y))
                return float(model.evaluate(x_test, y_test, verbose=0)[1])
            except FloatingPointError:
                return float("nan")


@lru_cache(maxsize=1)
def images() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return glyphs for training and for a test, as floats (n, 14, 14, 1) and one-hot rows: from the cache, or drawn now."""
    splits = glyphs.load_data() if glyphs.SET.find() else glyphs.generate(IMAGES, TEST_IMAGES)
    train, test = (_inputs(x[:n], y[:n]) for (x, y), n in zip(splits, (IMAGES, TEST_IMAGES), strict=True))
    return train, test


def _inputs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = preprocessing.normalize_images(x).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))  # (n, 28, 28) -> (n, 14, 14)
    return preprocessing.add_channel_axis(x), preprocessing.one_hot(y, 10)
