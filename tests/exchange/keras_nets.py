"""One function for each network; `keras` is Keras or this library, whose classes have the same names and arguments."""

import numpy as np

SHAPE = (6, 5, 2)


def stack(keras):
    """Every kind of layer with weights, with and without each of its optional arrays, and layers without weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape=SHAPE),
            layers.Conv2D(4, (3, 2), strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(3, 2, padding="same", use_bias=False),
            layers.BatchNormalization(scale=False),
            layers.Activation("gelu"),
            layers.MaxPooling2D(2, strides=1, padding="same"),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.BatchNormalization(center=False),
            layers.Dense(5, activation="tanh"),
            layers.BatchNormalization(center=False, scale=False),
            layers.Dense(4, use_bias=False, activation="softmax"),
        ]
    )


def graph(keras):
    """Branches of different lengths, whose layers are created in another order than that of the data, and a model in the model."""
    layers = keras.layers
    end, right = layers.Dense(4, activation="softmax"), layers.Conv2D(3, 1)
    block = keras.Sequential([keras.Input(shape=SHAPE), layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()])
    x = keras.Input(shape=SHAPE)
    left = layers.Conv2D(3, 1, use_bias=False)(block(x))
    y = layers.Add()([left, right(x)])
    y = layers.Concatenate()([y, layers.BatchNormalization()(x)])
    return keras.Model(x, end(layers.Flatten()(y)))


def whitening(keras):
    """A convolution, which here is a PatchWhitening, before other layers."""
    layers = keras.layers
    first = layers.PatchWhitening(16, 2) if keras.__name__ == "scratchnet" else layers.Conv2D(16, 2)
    return keras.Sequential([keras.Input(shape=SHAPE), first, layers.Flatten(), layers.Dense(4, activation="softmax")])


NETS = {net.__name__: net for net in (stack, graph, whitening)}


def random_weights(weights, seed):
    """Random arrays of the same shapes, which are positive where they may be variances."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.2, 0.7, w.shape) * (rng.choice([-1, 1], w.shape) if w.ndim > 1 else 1) for w in weights]


def images():
    return np.random.default_rng(8).standard_normal((4, *SHAPE)).astype("float32")
