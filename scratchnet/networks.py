"""The two networks of the study that this package reimplements (see README.md), line by line as in the study, and a third network,
which answers the question that the study ends with.

                                           net_1        net_2
    convolution 3×3, 32 filters, ReLU      stride 1     stride 1
    convolution 3×3, 64 filters, ReLU      stride 1     stride 2
    max-pooling 2×2, stride 1              ✓            –
    flatten, dense 128 ReLU, dense K softmax

The study compares them to ask whether max-pooling helps. (They differ in the stride as well.) Both learn the photographs of
CIFAR-10 by heart: what would do better? net_3 is deeper, normalizes what its layers pass on, and varies the images in training.

                                                                    net_3, for 32 × 32 images
    random flip and crop                                            32 × 32 × 3
    patch whitening 2×2, 32 filters, GELU                           31 × 31 × 32
    convolution 3×3, max-pool 2, batch normalization, GELU;
    convolution 3×3, batch normalization, GELU                      15 × 15 × 64
    the same again                                                  7 × 7 × 256
    the same again                                                  3 × 3 × 256
    max-pool 3, dense K, softmax                                    K

Source of net_3: Jordan, *94% on CIFAR-10 in 3.29 seconds on a single GPU* (2024), section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from scratchnet.support.checking import shortened
from scratchnet.support.keywords import named_arguments


@named_arguments
def net_1(
    sample_shape: tuple[int, ...],
    nb_classes: int,
    *,
    seed: int | None = None,
    dtype: str = "float32",
    implementation: str = "fused",
) -> Model:
    """Return the network with max-pooling.

    Parameters
    ----------
    sample_shape : (H, W, C)
    nb_classes : int
    seed, dtype, implementation
        As for `Model`.

    Returns
    -------
    Model
        Not compiled.

    Examples
    --------
    >>> net_1((28, 28, 1), 10).count_params()
    6442762
    """
    input_x = Input(shape=sample_shape)
    x = Conv2D(32, (3, 3), activation="relu", strides=(1, 1), padding="same")(input_x)
    x = Conv2D(64, (3, 3), activation="relu", strides=(1, 1), padding="same")(x)
    x = MaxPooling2D(pool_size=(2, 2), strides=(1, 1), padding="same")(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    probabilities = Dense(nb_classes, activation="softmax")(x)
    return Model(
        inputs=input_x, outputs=probabilities, seed=seed, dtype=dtype, implementation=implementation, name="net_1"
    )


@named_arguments
def net_2(
    sample_shape: tuple[int, ...],
    nb_classes: int,
    *,
    seed: int | None = None,
    dtype: str = "float32",
    implementation: str = "fused",
) -> Model:
    """Return the network with a strided convolution.

    Parameters
    ----------
    sample_shape : (H, W, C)
    nb_classes : int
    seed, dtype, implementation
        As for `Model`.

    Returns
    -------
    Model
        Not compiled.

    Examples
    --------
    >>> net_2((32, 32, 3), 10).count_params()
    2117962
    """
    input_x = Input(shape=sample_shape)
    x = Conv2D(32, (3, 3), activation="relu", strides=(1, 1), padding="same")(input_x)
    x = Conv2D(64, (3, 3), activation="relu", strides=(2, 2), padding="same")(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    probabilities = Dense(nb_classes, activation="softmax")(x)
    return Model(
        inputs=input_x, outputs=probabilities, seed=seed, dtype=dtype, implementation=implementation, name="net_2"
    )


@named_arguments
def net_3(
    sample_shape: tuple[int, ...],
    nb_classes: int,
    *,
    filters: Sequence[int] = (64, 256, 256),
    flip: bool = True,
    seed: int | None = None,
    dtype: str = "float32",
    implementation: str = "fused",
) -> Model:
    """Return the network for photographs. Before training, call `model.get_layer("whitening").adapt(x_train)`.

    Parameters
    ----------
    sample_shape : (H, W, C)
        At least 25 × 25 pixels: after whitening and each of the four poolings, 24, 12, 6, 3 and 1 rows remain.
    nb_classes : int
    filters : three ints
        The number of filters of the convolutions in each block.
    flip : bool
        Whether half of the images are mirrored in training. False for digits: a mirrored digit is not a digit.
    seed, dtype, implementation
        As for `Model`.

    Returns
    -------
    Model
        Not compiled.

    Raises
    ------
    ValueError
        For images that are too small, or another number of blocks.

    Examples
    --------
    >>> net_3((32, 32, 3), 10).count_params()
    1978657
    """
    as_in_pytorch = VarianceScaling(1 / 3, "fan_in", "uniform")         # uniform in ±1/√fan_in
    identity_first = Dirac(as_in_pytorch)                               # the first filters pass the channels on
    input_x = Input(shape=sample_shape)
    if len(input_x.shape) != 3 or min(input_x.shape[:2]) < 25:
        raise ValueError(
            f"net_3: expected images of shape (H, W, C), at least 25 × 25 pixels, got {input_x.shape}. For smaller ones use net_2"
        )
    if not isinstance(filters, (tuple, list)) or len(filters) != 3:
        raise ValueError(f"net_3: expected the filters of three blocks, got {shortened(filters)}. For example (64, 256, 256)")
    H, W, C = input_x.shape
    x = RandomFlip("horizontal", alternate=True)(input_x) if flip else input_x
    x = RandomCrop(H, W, padding=2)(x)
    # Two filters for each of the 2 · 2 · C numbers of a window, rounded up to a multiple of 16, which suits the kernels.
    x = PatchWhitening(16 * -(-8 * C // 16), (2, 2), activation="gelu", name="whitening")(x)
    first = Dirac(as_in_pytorch, channels=8 * C)                        # whitening fills 8·C channels; the others are constants
    # Momentum 0.6, for short training: the moving average is about that of the last five batches, during which the network has
    # hardly changed.
    # No scale, as in the paper: the next convolution can partly make up for it.
    for F in filters:
        x = Conv2D(F, (3, 3), padding="same", use_bias=False, kernel_initializer=first)(x)
        first = identity_first
        x = MaxPooling2D((2, 2))(x)
        x = BatchNormalization(momentum=0.6, scale=False)(x)
        x = Activation("gelu")(x)
        x = Conv2D(F, (3, 3), padding="same", use_bias=False, kernel_initializer=identity_first)(x)
        x = BatchNormalization(momentum=0.6, scale=False)(x)
        x = Activation("gelu")(x)
    x = MaxPooling2D((3, 3))(x)
    x = Flatten()(x)
    x = Dense(nb_classes, use_bias=False, kernel_initializer=as_in_pytorch)(x)
    x = Rescaling(1 / 9)(x)         # small logits: the loss begins near ln K, and the dense layer learns more slowly than the rest
    probabilities = Activation("softmax")(x)
    return Model(
        inputs=input_x, outputs=probabilities, seed=seed, dtype=dtype, implementation=implementation, name="net_3"
    )
