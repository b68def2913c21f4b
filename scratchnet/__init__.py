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
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    ReLU,
    Softmax,
)
from scratchnet.model import Model, Sequential, load_model
from scratchnet.networks import net_1, net_2

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv2D",
    "Dense",
    "Flatten",
    "Input",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "MinPooling2D",
    "Model",
    "ReLU",
    "Sequential",
    "Softmax",
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
