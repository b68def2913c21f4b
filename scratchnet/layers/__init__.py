"""The layers, one idea per file: first the derivation, then the functions forward and backward, then the class with the state."""

from scratchnet.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from scratchnet.layers.add import Add
from scratchnet.layers.augmentation import RandomCrop, RandomFlip, RandomTranslation
from scratchnet.layers.base import Layer
from scratchnet.layers.batch_normalization import BatchNormalization
from scratchnet.layers.concatenate import Concatenate
from scratchnet.layers.conv2d import Conv2D
from scratchnet.layers.dense import Dense
from scratchnet.layers.dropout import Dropout, SpatialDropout2D
from scratchnet.layers.flatten import Flatten
from scratchnet.layers.global_pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from scratchnet.layers.input import Input, InputLayer
from scratchnet.layers.patch_whitening import PatchWhitening
from scratchnet.layers.pooling import AveragePooling2D, MaxPooling2D, MinPooling2D
from scratchnet.layers.rescaling import Rescaling
from scratchnet.layers.reshape import Reshape
from scratchnet.layers.zero_padding2d import ZeroPadding2D

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
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "MinPooling2D",
    "PatchWhitening",
    "RandomCrop",
    "RandomFlip",
    "RandomTranslation",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SpatialDropout2D",
    "ZeroPadding2D",
]
