"""The study's two networks, written as in its own code.

                                           net_1        net_2
    convolution 3×3, 32 filters, ReLU      stride 1     stride 1
    convolution 3×3, 64 filters, ReLU      stride 1     stride 2
    max-pooling 2×2, stride 1              ✓            –
    flatten, dense 128 ReLU, dense K softmax

The study compares them to ask whether max-pooling helps. (They differ in the stride as well.)
"""

from __future__ import annotations

from scratchnet.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from scratchnet.model import Model
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
