"""A network for demonstrations: a small net_2 for glyphs at half their size, which trains in a second or two."""

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
    Activation,
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    MinPooling2D,
)
from scratchnet.model import Model
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam, Optimizer

IMAGES, TEST_IMAGES = 2048, 512
BATCH_SIZE, EPOCHS = 32, 4
STEPS = IMAGES // BATCH_SIZE * EPOCHS
POOLS: dict[str, Any] = {"max": MaxPooling2D, "min": MinPooling2D, "average": AveragePooling2D}


def optimizer(name: str) -> Optimizer:
    """Return an optimizer with a learning rate that makes progress within `STEPS` steps."""
    made: dict[str, Optimizer] = {
        "adam": Adam(0.002),
        "adagrad": Adagrad(0.03),
        "adadelta": Adadelta(0.5),
        "momentum": SGD(0.03, momentum=0.9),
        "nesterov": SGD(0.03, momentum=0.9, nesterov=True),
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
    pool : {"max", "min", "average"}
    hidden : {"relu", "softmax"}
        The activation of the hidden dense layer.
    paths : bool
        Whether the outputs of three convolutions are summed, each of which reads the one before.
    optimizer : {"adam", "adagrad", "adadelta", "momentum", "nesterov"}
    """

    kernel_size: tuple[int, int] = (3, 3)
    pool: str = "max"
    strides: int = 2
    pool_strides: int = 1
    hidden: str = "relu"
    paths: bool = False
    optimizer: str = "adam"

    def build(self, seed: int = 1) -> Model:
        """Return the model, not compiled, for images (14, 14, 1) of ten classes."""
        image = Input(shape=(14, 14, 1))
        x = Conv2D(8, self.kernel_size, padding="same", activation="relu")(image)
        if self.paths:
            second = Conv2D(8, self.kernel_size, padding="same", activation="relu")(x)
            third = Conv2D(8, self.kernel_size, padding="same", activation="relu")(second)
            x = Add()([third, Add()([second, x])])
        x = Conv2D(8, self.kernel_size, strides=self.strides, padding="same", activation="relu")(x)
        x = POOLS[self.pool]((2, 2), strides=self.pool_strides, padding="same")(x)
        x = Activation(self.hidden)(Dense(32)(Flatten()(x)))
        return Model(image, Dense(10, activation="softmax")(x), seed=seed)

    def accuracy(self, *, show: bool = False, threads: bool = False) -> float:
        """Train for `STEPS` steps and return the accuracy on test images; NaN when the loss did not stay finite.

        No ReLU is joined to another layer, so that a function that replaces one of an activation runs, too.
        """
        (x, y), (x_test, y_test) = images()
        model = self.build()
        model.compile(optimizer(self.optimizer), "categorical_crossentropy", metrics=["accuracy"], fuse=False)
        with nullcontext() if threads else limit(1), np.errstate(all="ignore"):
            try:
                model.fit(x, y, BATCH_SIZE, EPOCHS, verbose=int(show))
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
