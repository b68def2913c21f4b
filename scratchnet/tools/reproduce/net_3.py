"""net_3 with parts taken away, to measure what each of them brings."""

from __future__ import annotations

from dataclasses import dataclass, fields

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


@dataclass(frozen=True)
class Net3:
    """net_3 of `scratchnet.networks`, or the same net without some of its parts.

    Attributes
    ----------
    whitening : bool
        Whether the first convolution is computed from the images; otherwise its kernel is drawn, and trained.
    identities : bool
        Whether the first filters of each convolution begin as identities; otherwise all of them are drawn.
    activation : str
    flip, crop : bool
        Whether images are flipped, and cropped, at random in training.
    filters : three ints
        Of the convolutions of each block.

    Examples
    --------
    >>> Net3().name, Net3(crop=False, activation="relu").name, Net3(filters=(16, 32, 32)).name
    ('net_3', 'net_3-relu-no-crop', 'net_3')
    """

    whitening: bool = True
    identities: bool = True
    activation: str = "gelu"
    flip: bool = True
    crop: bool = True
    filters: tuple[int, int, int] = (64, 256, 256)

    @property
    def name(self) -> str:
        """The name of the net, and of what differs from it; the widths are not part of it."""
        away = [f"no-{part.name}" for part in fields(self) if getattr(self, part.name) is False]
        return "-".join(["net_3", *([self.activation] if self.activation != "gelu" else []), *away])

    def build(self, sample_shape: tuple[int, ...], K: int, seed: int) -> Model:
        """Return the network; the whole one is that of `scratchnet.networks`."""
        if self == Net3(flip=self.flip, filters=self.filters):
            return networks.net_3(sample_shape, K, filters=self.filters, flip=self.flip, seed=seed)
        return self.assemble(sample_shape, K, seed)

    def assemble(self, sample_shape: tuple[int, ...], K: int, seed: int) -> Model:
        """Return the network made from its parts."""
        drawn = VarianceScaling(1 / 3, "fan_in", "uniform")
        H, W, C = sample_shape
        channels = 8 * C
        patterns = 16 * -(-channels // 16)
        input_x = Input(shape=sample_shape)
        x = RandomFlip("horizontal", alternate=True)(input_x) if self.flip else input_x
        if self.crop:
            x = RandomCrop(H, W, padding=2)(x)
        if self.whitening:
            x = PatchWhitening(patterns, (2, 2), activation=self.activation, name="whitening")(x)
        else:
            x = Conv2D(patterns, (2, 2), activation=self.activation, kernel_initializer=drawn)(x)
        for F in self.filters:
            kernel = Dirac(drawn, channels=channels) if self.identities else drawn
            x = Conv2D(F, (3, 3), padding="same", use_bias=False, kernel_initializer=kernel)(x)
            x = MaxPooling2D((2, 2))(x)
            x = BatchNormalization(momentum=0.6, scale=False)(x)
            x = Activation(self.activation)(x)
            kernel = Dirac(drawn) if self.identities else drawn
            x = Conv2D(F, (3, 3), padding="same", use_bias=False, kernel_initializer=kernel)(x)
            x = BatchNormalization(momentum=0.6, scale=False)(x)
            x = Activation(self.activation)(x)
            channels = F
        x = MaxPooling2D((3, 3))(x)
        x = Flatten()(x)
        x = Dense(K, use_bias=False, kernel_initializer=drawn)(x)
        x = Rescaling(1 / 9)(x)
        return Model(input_x, Activation("softmax")(x), seed=seed, name="net_3")
