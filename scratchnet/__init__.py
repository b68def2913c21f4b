"""scratchnet: a convolutional network written from scratch. Read it, prove it, run it."""

from scratchnet.support import interrupts

interrupts.begin_process()      # before the other imports, which take a second

from scratchnet import (
    callbacks,
    datasets,
    gradcheck,
    initializers,
    layers,
    losses,
    networks,
    optimizers,
    plotting,
    preprocessing,
    reference,
)
from scratchnet._version import __version__
from scratchnet.layers import (
    Activation,
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    MinPooling2D,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Softmax,
    SpatialDropout2D,
)
from scratchnet.model import Model, Sequential, load_model
from scratchnet.networks import net_1, net_2

__all__ = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "Layer",
    "MaxPooling2D",
    "MinPooling2D",
    "Model",
    "RandomCrop",
    "RandomFlip",
    "RandomTranslation",
    "ReLU",
    "Sequential",
    "Softmax",
    "SpatialDropout2D",
    "__version__",
    "callbacks",
    "datasets",
    "gradcheck",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "net_1",
    "net_2",
    "networks",
    "optimizers",
    "plotting",
    "preprocessing",
    "reference",
]
