"""The same small networks here and in PyTorch: shaped as net_1, net_2 and net_3, and one that normalizes rows. Random weights."""

import numpy as np

from scratchnet import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    PatchWhitening,
    Rescaling,
    Sequential,
)

SHAPES = {"net_1": (5, 6, 2), "net_2": (5, 6, 2), "net_3": (10, 9, 1), "rows": (5, 4, 3)}      # of the images, (H, W, C)


def ours(name, dtype="float32", seed=0):
    stacks = {
        "net_1": [
            Conv2D(3, 3, padding="same", activation="relu"),
            Conv2D(4, 3, padding="same", activation="relu"),
            MaxPooling2D(2, strides=1, padding="same"),
            Flatten(),
            Dense(5, activation="relu"),
            Dense(3, activation="softmax"),
        ],
        "net_2": [
            Conv2D(3, 3, padding="same", activation="relu"),
            Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            Flatten(),
            Dense(5, activation="relu"),
            Dense(3, activation="softmax"),
        ],
        "net_3": [
            PatchWhitening(8, 2, activation="gelu"),
            Conv2D(4, 3, padding="same", use_bias=False),
            MaxPooling2D(2),
            BatchNormalization(momentum=0.6, scale=False),
            Activation("gelu"),
            Conv2D(4, 3, padding="same", use_bias=False),
            BatchNormalization(momentum=0.6, scale=False),
            Activation("gelu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(3, use_bias=False),
            Rescaling(1 / 9),
            Activation("softmax"),
        ],
        "rows": [
            Conv2D(4, (3, 2)),
            BatchNormalization(center=False),
            Activation("relu"),
            MaxPooling2D((1, 3)),
            Flatten(),
            Dropout(0.5),
            BatchNormalization(),
            Activation("tanh"),
            BatchNormalization(scale=False, center=False),
            Dense(3),
        ],
    }
    model = Sequential([Input(shape=SHAPES[name]), *stacks[name]], dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    signs = (rng.choice([-1, 1], w.shape) if w.ndim > 1 else 1 for w in model.get_weights())        # variances are positive
    model.set_weights([rng.uniform(0.2, 0.7, w.shape) * sign for w, sign in zip(model.get_weights(), signs, strict=True)])
    return model


def torchs(name, seed=0):
    import torch
    from torch import nn

    class Ninth(nn.Module):
        def forward(self, x):
            return x / 9

    stacks = {
        "net_1": [
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.ConstantPad2d((0, 1, 0, 1), float("-inf")),
            nn.MaxPool2d(2, stride=1),
            nn.Flatten(),
            nn.Linear(120, 5),
            nn.ReLU(),
            nn.Linear(5, 3),
        ],
        "net_2": [
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.ZeroPad2d((0, 1, 1, 1)),         # "same" with stride 2, of 5 × 6 pixels
            nn.Conv2d(3, 4, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 5),
            nn.ReLU(),
            nn.Linear(5, 3),
        ],
        "net_3": [
            nn.Conv2d(1, 8, 2),
            nn.GELU(),
            nn.Conv2d(8, 4, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(4, momentum=0.4, eps=1e-3),
            nn.GELU(),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4, momentum=0.4, eps=1e-3),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 3, bias=False),
            Ninth(),
        ],
        "rows": [
            nn.Conv2d(3, 4, (3, 2)),
            nn.BatchNorm2d(4, eps=1e-3),
            nn.ReLU(),
            nn.MaxPool2d((1, 3)),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.BatchNorm1d(12, eps=1e-3),
            nn.Tanh(),
            nn.BatchNorm1d(12, eps=1e-3, affine=False),
            nn.Linear(12, 3),
        ],
    }
    torch.manual_seed(seed)
    net = nn.Sequential(*stacks[name])
    for module in net:
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.uniform_(module.bias, -1, 1)
    if name == "net_3":                         # its normalizations have no gamma
        nn.init.ones_(net[4].weight)
        nn.init.ones_(net[7].weight)
    if name == "rows":                          # its first normalization has no beta
        nn.init.zeros_(net[1].bias)
    return net.eval()


def images(name, count=4):
    """Images (N, H, W, C) of a fixed seed."""
    return np.random.default_rng(7).standard_normal((count, *SHAPES[name])).astype("float32")


def nchw(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))
