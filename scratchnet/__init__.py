"""scratchnet: a convolutional network written from scratch. Read it, prove it, run it."""

import sys

from scratchnet.support import interrupts

interrupts.begin_process()      # before the other imports, which take a second

from scratchnet import (
    callbacks,
    datasets,
    distribution,
    gradcheck,
    initializers,
    keras_names,
    layers,
    losses,
    metrics,
    networks,
    optimizers,
    plotting,
    preprocessing,
    reference,
    regularizers,
    saving,
)
from scratchnet._version import __version__
from scratchnet.keras_names import activations, backend, models, utils
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
    GlobalMaxPooling2D,
    Input,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    PatchWhitening,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    SpatialDropout2D,
    ZeroPadding2D,
)
from scratchnet.model import Model, load_model
from scratchnet.networks import net_1, net_2, net_3
from scratchnet.sequential import Sequential

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Input",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "MinPooling2D",
    "Model",
    "PatchWhitening",
    "RandomCrop",
    "RandomFlip",
    "RandomTranslation",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Sequential",
    "Softmax",
    "SpatialDropout2D",
    "ZeroPadding2D",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "datasets",
    "distribution",
    "gradcheck",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "net_1",
    "net_2",
    "net_3",
    "networks",
    "optimizers",
    "plotting",
    "preprocessing",
    "reference",
    "regularizers",
    "saving",
    "utils",
]

nn = activations        # TensorFlow's name

keras_names.install(
    {
        "": sys.modules[__name__],
        "optimizers.schedules": optimizers.schedules,
        **{
            namespace: globals()[namespace]
            for namespace in (
                "activations",
                "backend",
                "callbacks",
                "datasets",
                "distribution",
                "initializers",
                "layers",
                "losses",
                "metrics",
                "models",
                "optimizers",
                "preprocessing",
                "regularizers",
                "saving",
                "utils",
            )
        },
    }
)
