"""The layers, one idea per file: first the derivation, then the functions forward and backward, then the class with the state."""

from scratchnet.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from scratchnet.layers.add import Add
from scratchnet.layers.base import Layer
from scratchnet.layers.batch_normalization import BatchNormalization
from scratchnet.layers.conv2d import Conv2D
from scratchnet.layers.dense import Dense
from scratchnet.layers.flatten import Flatten
from scratchnet.layers.input import Input, InputLayer
from scratchnet.layers.pooling import AveragePooling2D, MaxPooling2D, MinPooling2D

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
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "MinPooling2D",
    "ReLU",
    "Softmax",
]
