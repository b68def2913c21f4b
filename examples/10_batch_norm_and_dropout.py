"""A deeper network for photographs: batch normalization, dropout, flipped images, and a learning rate that falls.

    python examples/10_batch_norm_and_dropout.py                    downloads CIFAR-10 if necessary (170 MB)
    python examples/10_batch_norm_and_dropout.py --data shapes      coloured shapes, which need no download

RandomFlip and Dropout act in training only, and BatchNormalization uses moving averages in inference. So at the end of an epoch,
the validation accuracy may be above the accuracy in training.
"""

import argparse

from scratchnet import Conv2D, Dense, GlobalAveragePooling2D, Input, ReLU, Sequential, datasets
from scratchnet.layers import BatchNormalization, Dropout, RandomFlip
from scratchnet.optimizers import Adam, schedules
from scratchnet.preprocessing import normalize_images


def conv_block(filters, strides):
    """Return a convolution, its normalization, and its activation. A bias would have no effect: the mean is subtracted."""
    return [Conv2D(filters, 3, strides=strides, padding="same", use_bias=False), BatchNormalization(momentum=0.9), ReLU()]


def main(data, limit, epochs):
    try:
        images = datasets.load(data)
    except datasets.DataError as error:
        raise SystemExit(f"{error}\nWithout a download: python examples/10_batch_norm_and_dropout.py --data shapes") from None
    x_train, x_test = (normalize_images(x[:limit]) for x in (images.x_train, images.x_test))        # (N, 32, 32, 3)
    y_train, y_test = images.y_train[:limit], images.y_test[:limit]                                 # (N,), integers

    layers = [
        Input(shape=x_train.shape[1:]),
        RandomFlip("horizontal"),
        *conv_block(32, strides=1),             # (N, 32, 32, 3)  -> (N, 32, 32, 32)
        *conv_block(32, strides=2),             # (N, 32, 32, 32) -> (N, 16, 16, 32)
        *conv_block(64, strides=2),             # (N, 16, 16, 32) -> (N, 8, 8, 64)
        GlobalAveragePooling2D(),               # (N, 8, 8, 64)   -> (N, 64)
        Dropout(0.2),
        Dense(len(images.class_names), activation="softmax"),
    ]
    model = Sequential(layers, seed=1)
    steps = epochs * -(-len(x_train) // 128)                            # of the whole training
    rate = schedules.CosineDecay(0.003, decay_steps=steps)
    model.compile(Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=128, epochs=epochs, validation_data=(x_test, y_test), verbose=2)
    print(f"learning rate: {rate(0)} in the first step, {rate(steps - 1):.2g} in the last")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a network with batch normalization and dropout.")
    parser.add_argument("--data", default="cifar10", choices=("cifar10", "shapes"))
    parser.add_argument("--limit", type=int, help="use only the first LIMIT images")
    parser.add_argument("--epochs", type=int, default=8)
    main(**vars(parser.parse_args()))
