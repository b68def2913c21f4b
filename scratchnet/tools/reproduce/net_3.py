"""net_3 and its recipe, each without one of its parts, to measure how much the part contributes.

PARTS lists these parts; one at a time is replaced. They are measured in a small form: with a narrower net (SMALL_NET), fewer epochs
and smaller batches (SMALL), and a part of the training images held out for validation (HELD_OUT).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scratchnet import networks
from scratchnet.initializers import Dirac, VarianceScaling
from scratchnet.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    PatchWhitening,
    RandomCrop,
    RandomFlip,
    Rescaling,
)
from scratchnet.model import Model
from scratchnet.tools.recipes import NET_3


@dataclass(frozen=True)
class Net3:
    """net_3 of `scratchnet.networks`, or the same net without some of its parts.

    Attributes
    ----------
    whitening : bool
        Whether the kernel of the first convolution is computed from the images; otherwise it is random at first, and trained.
    identities : bool
        Whether the first filters of each convolution begin as identities; otherwise all filters are random.
    activation : str
    flip, crop : bool
        Whether images are flipped, and cropped, at random in training.
    filters : three ints
        The number of filters of each block's convolutions.

    Examples
    --------
    >>> Net3(filters=(16, 32, 32)).build((32, 32, 3), 10, seed=0).count_params()
    40385
    """

    whitening: bool = True
    identities: bool = True
    activation: str = "gelu"
    flip: bool = True
    crop: bool = True
    filters: tuple[int, int, int] = (64, 256, 256)

    @property
    def name(self) -> str:
        """The name of the net, even if a part is missing: the name of the experiment says which."""
        return "net_3"

    def build(self, sample_shape: tuple[int, ...], K: int, seed: int) -> Model:
        """Return the network. If no part is missing, except perhaps the flips, it is that of `scratchnet.networks.net_3`."""
        if self == Net3(flip=self.flip, filters=self.filters):
            return networks.net_3(sample_shape, K, filters=self.filters, flip=self.flip, seed=seed)
        return self.assemble(sample_shape, K, seed)

    def assemble(self, sample_shape: tuple[int, ...], K: int, seed: int) -> Model:
        """Return the network made from its parts."""
        drawn = VarianceScaling(1 / 3, "fan_in", "uniform")
        initializer = Dirac(drawn) if self.identities else drawn
        H, W, C = sample_shape
        first = Dirac(drawn, channels=8 * C) if self.identities else drawn
        patterns = 16 * -(-8 * C // 16)
        input_x = Input(shape=sample_shape)
        x = RandomFlip("horizontal", alternate=True)(input_x) if self.flip else input_x
        if self.crop:
            x = RandomCrop(H, W, padding=2)(x)
        if self.whitening:
            x = PatchWhitening(patterns, (2, 2), activation=self.activation, name="whitening")(x)
        else:
            x = Conv2D(patterns, (2, 2), activation=self.activation, kernel_initializer=drawn)(x)
        for F in self.filters:
            x = Conv2D(F, (3, 3), padding="same", use_bias=False, kernel_initializer=first)(x)
            first = initializer
            x = MaxPooling2D((2, 2))(x)
            x = BatchNormalization(momentum=0.6, scale=False)(x)
            x = Activation(self.activation)(x)
            x = Conv2D(F, (3, 3), padding="same", use_bias=False, kernel_initializer=initializer)(x)
            x = BatchNormalization(momentum=0.6, scale=False)(x)
            x = Activation(self.activation)(x)
        x = MaxPooling2D((3, 3))(x)
        x = Flatten()(x)
        x = Dense(K, use_bias=False, kernel_initializer=drawn)(x)
        x = Rescaling(1 / 9)(x)
        return Model(input_x, Activation("softmax")(x), seed=seed, name="net_3")


SMALL_NET = Net3(filters=(32, 64, 128))
SMALL = replace(NET_3, batch_size=500, epochs=4, learning_rate=NET_3.learning_rate / 2)
HELD_OUT = 10       # one tenth of the training images is held out for validation: the last 5,000 of CIFAR-10's 50,000

# For each part, a description of what replaces it, and the changed arguments of the net or of the recipe.
PARTS: dict[str, tuple[str, dict[str, object]]] = {
    "whitening": ("a convolution of the same size, random at first and trained", {"whitening": False}),
    "identities": ("filters that are all random at first", {"identities": False}),
    "label smoothing": ("labels of 0 and 1", {"label_smoothing": 0.0}),
    "flips": ("images as they are", {"flip": False}),
    "crops": ("images as they are", {"crop": False}),
    "bias rate": ("one rate for all parameters", {"beta_multiplier": 1.0}),
    "GELU": ("ReLU", {"activation": "relu"}),
}
