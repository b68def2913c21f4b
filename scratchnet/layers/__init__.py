"""The layers, one idea per file: first the derivation, then the functions forward and backward, then the class with the state."""

from scratchnet.layers.activations import Activation, ReLU, Softmax
from scratchnet.layers.add import Add
from scratchnet.layers.augmentation import RandomCrop, RandomFlip, RandomTranslation
from scratchnet.layers.base import Layer
from scratchnet.layers.conv2d import Conv2D
from scratchnet.layers.dense import Dense
from scratchnet.layers.dropout import Dropout, SpatialDropout2D
from scratchnet.layers.flatten import Flatten
from scratchnet.layers.input import Input, InputLayer
from scratchnet.layers.pooling import AveragePooling2D, MaxPooling2D, MinPooling2D

__all__ = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPooling2D",
    "MinPooling2D",
    "RandomCrop",
    "RandomFlip",
    "RandomTranslation",
    "ReLU",
    "Softmax",
    "SpatialDropout2D",
]
