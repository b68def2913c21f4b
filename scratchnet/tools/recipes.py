"""The recipe of net_3: all settings of its training, made of public parts of the library.

    batches         1,000 images, 12 epochs
    rate            from 0.2 of the peak to the peak over the first fifth of the steps, then to 0, linearly
    optimizer       SGD with Nesterov momentum 0.85; the β of batch normalization at 64 times the rate
    weight decay    each step subtracts 0.0102 · rate · w from each parameter w itself, not through its gradient
    loss            cross-entropy with label smoothing 0.2
    whitening       of the first 5,000 training images
    predictions     the weighted mean of the logits over six views; over three if a mirror image could show another class

Source: Jordan, *94% on CIFAR-10 in 3.29 seconds on a single GPU* (2024), whose Lookahead is left out. The paper gives a rate of
11.5 for the sum of the losses of 1,024 images, and divides it by 1 + 1 / (1 - momentum), because momentum makes steps longer. For
the mean of 1,000 losses this is 11.5 / (1024 · (1 + 1 / 0.15)) · 1000 = 1.465. The paper gives a decay of 0.0153 for 1,024 images,
which is 0.0149 = 1.465 · 0.0102 for 1,000. All these numbers were chosen by their results on CIFAR-10's test images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratchnet.losses import CategoricalCrossentropy
from scratchnet.model import Model
from scratchnet.optimizers import SGD, Optimizer
from scratchnet.schedules import PiecewiseLinear

QUICK_FILTERS = (48, 160, 256)      # a forward pass takes 0.55 of the multiply-adds that the default filters take
QUICK_EPOCHS = 10
MIRRORED = ("cifar10", "fashion-mnist", "shapes")   # data sets in which a mirrored image belongs to the same class


@dataclass(frozen=True)
class Recipe:
    """The numbers of the recipe. `dataclasses.replace(NET_3, label_smoothing=0.0)` returns the recipe without one of its parts.

    Attributes
    ----------
    learning_rate : float
        The peak of the rate for batches of `batch_size` images.
    beta_multiplier : float
        The factor of the rate for the β of batch normalization.
    whitening_images : int
        How many training images the whitening layer is computed from.
    """

    batch_size: int = 1000
    epochs: int = 12
    learning_rate: float = 11.5 / (1024 * (1 + 1 / 0.15)) * 1000
    momentum: float = 0.85
    weight_decay: float = 0.0102
    beta_multiplier: float = 64.0
    label_smoothing: float = 0.2
    whitening_images: int = 5000

    def optimizer(self, images: int) -> SGD:
        """Return the optimizer of a training run on this number of images.

        Examples
        --------
        >>> optimizer = NET_3.optimizer(images=50_000)
        >>> optimizer.iterations = 120              # of 600 steps
        >>> round(float(optimizer.learning_rate), 3)
        1.465
        """
        steps = self.epochs * -(-images // self.batch_size)
        peak = self.learning_rate
        return SGD(
            PiecewiseLinear([0, steps / 5, steps], [0.2 * peak, peak, 0]),
            momentum=self.momentum,
            nesterov=True,
            weight_decay=self.weight_decay,
            learning_rate_multipliers={"beta": self.beta_multiplier},
        )

    def compile(self, model: Model, x_train: np.ndarray, optimizer: Optimizer | None = None) -> None:
        """Prepare net_3 for training on images (n, H, W, C); an `optimizer` replaces that of the recipe.

        The layer named "whitening" is adapted to the images, if the model has one.
        """
        loss = CategoricalCrossentropy(label_smoothing=self.label_smoothing)
        model.compile(optimizer or self.optimizer(len(x_train)), loss, metrics=["accuracy"])
        if any(layer.name == "whitening" for layer in model.layers):
            model.get_layer("whitening").adapt(x_train[: self.whitening_images])


NET_3 = Recipe()


def mirrors(data: str) -> bool:
    """Return whether images of a data set may be mirrored: True for photographs, clothes and shapes, False for digits and others.

    >>> mirrors("cifar10"), mirrors("mnist"), mirrors("path/of/a/folder")
    (True, False, False)
    """
    return data in MIRRORED


def views(data: str) -> str:
    """Return the value of `augment` in `predict` and `evaluate` for a data set.

    >>> views("cifar10"), views("mnist")
    ('flip_translate', 'translate')
    """
    return "flip_translate" if mirrors(data) else "translate"
