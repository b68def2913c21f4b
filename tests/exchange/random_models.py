"""Random networks of every layer of the library, as a strategy of Hypothesis. The weights and moving averages are random too."""

import numpy as np
from hypothesis import strategies as st

from scratchnet import (
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
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    Model,
    PatchWhitening,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Rescaling,
    Reshape,
    Sequential,
    Softmax,
    SpatialDropout2D,
    ZeroPadding2D,
)
from scratchnet.layers.activations import ACTIVATIONS

WINDOWS = [MaxPooling2D, MinPooling2D, AveragePooling2D]
OF_IMAGES = ["conv", "conv", "pool", "pool", "pad", "crop", "augment", "whitening", "branch", "nested"]
OF_ALL = ["activation", "activation", "normalize", "rescale", "dropout", "reshape"]


@st.composite
def sizes(draw, largest=3):
    return draw(st.integers(1, largest)), draw(st.integers(1, largest))


@st.composite
def activations(draw):
    kind = draw(st.sampled_from(["name", "relu", "leaky", "elu", "softmax"]))
    return {
        "name": lambda: Activation(draw(st.sampled_from(sorted(ACTIVATIONS)))),
        "relu": lambda: ReLU(draw(st.sampled_from([None, 0.5])), draw(st.sampled_from([0.0, 0.25]))),
        "leaky": lambda: LeakyReLU(draw(st.sampled_from([0.0, 0.1, 2.0]))),
        "elu": lambda: ELU(draw(st.sampled_from([0.5, 1.0]))),
        "softmax": Softmax,
    }[kind]()


def convolution(draw, filters=None):
    return Conv2D(
        filters or draw(st.integers(1, 3)), draw(sizes()), strides=draw(sizes(2)), padding="same",
        use_bias=draw(st.booleans()), activation=draw(st.sampled_from([None, "relu", "gelu", LeakyReLU(0.1)])),
    )  # fmt: skip


def added(draw, x, kind):
    """Return the node after one more layer, or several, of this kind."""
    H, W, C = x.shape if len(x.shape) == 3 else (0, 0, x.shape[-1])
    if kind == "conv":
        return convolution(draw)(x)
    if kind == "pool":
        padding = draw(st.sampled_from(["same", "valid"]))
        size = tuple(min(k, n) for k, n in zip(draw(sizes()), (H, W), strict=True)) if padding == "valid" else draw(sizes(4))
        return draw(st.sampled_from(WINDOWS))(size, strides=draw(sizes(3)), padding=padding)(x)
    if kind == "pad":
        return ZeroPadding2D(tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2)))(x)
    if kind == "crop":
        p = draw(st.integers(0, 2))
        height, width = draw(st.integers(1, H + 2 * p)), draw(st.integers(1, W + 2 * p))
        return RandomCrop(height, width, padding=p, fill_mode=draw(st.sampled_from(["reflect", "nearest", "constant"])))(x)
    if kind == "augment":
        return draw(st.sampled_from([RandomFlip(), RandomTranslation(0.1, 0.1), SpatialDropout2D(0.5)]))(x)
    if kind == "whitening":
        k = min(H, W, 2)
        return PatchWhitening(2 * k * k * C, k)(x) if C < 4 else x
    if kind == "branch":
        other = draw(st.sampled_from([Activation("tanh")(x), Conv2D(C, 3, padding="same")(x), MaxPooling2D(1)(x)]))
        axis = draw(st.sampled_from([-1, 1, 2, 3, None]))
        paths = draw(st.permutations([x, other]))
        return Add()(paths) if axis is None else Concatenate(axis)(paths)
    if kind == "nested":
        return Sequential([Input(shape=x.shape), Conv2D(2, 1), BatchNormalization(), ReLU()])(x)
    if kind == "activation":
        return draw(activations())(x)
    if kind == "normalize":
        return BatchNormalization(center=draw(st.booleans()), scale=draw(st.booleans()), epsilon=0.01)(x)
    if kind == "rescale":
        many = draw(st.booleans())
        scale, offset = draw(st.sampled_from([(0.5, 0.0), (1.0, 0.25), (-2.0, 1.0), (1.0, 0.0)]))
        return Rescaling([scale + c for c in range(C)] if many else scale, [offset] * C if many else offset)(x)
    if kind == "reshape":
        return Reshape(x.shape[::-1])(x) if C < 4 else x
    return Dropout(0.5)(x)


@st.composite
def random_models(draw):
    """A network of up to six random layers, and an end: dense layers, global pooling, or none."""
    image = x = Input(shape=(draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 3))))
    for _ in range(draw(st.integers(0, 6))):
        x = added(draw, x, draw(st.sampled_from([*(OF_IMAGES if len(x.shape) == 3 else []), *OF_ALL])))
    end = draw(st.sampled_from(["flatten", "average", "max", "keepdims", "none"]))
    if end == "flatten" or x is image:
        x = Flatten()(x)
    elif end in ("average", "max", "keepdims"):
        kind = draw(st.sampled_from([GlobalAveragePooling2D, GlobalMaxPooling2D]))
        x = kind(keepdims=end == "keepdims")(x)
    if len(x.shape) == 1:
        x = added(draw, x, draw(st.sampled_from(OF_ALL[:-1])))
        x = Dense(3, activation=draw(st.sampled_from([None, "softmax", "silu"])), use_bias=draw(st.booleans()))(x)
    model = Model(image, x, seed=draw(st.integers(0, 9)))
    rng = np.random.default_rng(1)
    for name, p in model.named_weights.items():
        p[...] = rng.uniform(0.5, 1.5, p.shape) if "variance" in name else rng.normal(0, 0.5, p.shape)
    return model
