"""The order in which Keras's fit takes the images, and whether it matters.

    pip install keras tensorflow
    python examples/08_the_order_of_images.py
    python examples/08_the_order_of_images.py --epochs 6        # trains too: many minutes
    python examples/08_the_order_of_images.py --epochs 16 --optimizer adagrad --seed 1

The program first prints the order in which a model receives the images in three epochs, before and after
`keras.utils.set_random_seed`. With --epochs, net_2 is then trained on CIFAR-10 several times from the same weights: with
Keras's seeded fit; and, in Keras and in scratchnet, with one given order for all epochs and with a new order for each epoch.
Lines of the same library show the effect of the order; pairs of lines with the same order, and so the same batches, show the
effect of the library.
"""

import argparse
import os

import numpy as np

from scratchnet import datasets, net_2
from scratchnet.preprocessing import normalize_images, one_hot

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import keras
except ImportError as error:
    raise SystemExit(f"Keras is not installed ({error}). Install it and a backend: pip install keras tensorflow") from None


def orders(images=12, epochs=3):
    """Return the order in which a model receives the images, one row per epoch: (epochs, images)."""
    seen = []

    class Recorder(keras.Model):
        def train_step(self, data):
            seen.extend(int(number) for number in np.asarray(data[0]).ravel())
            return super().train_step(data)

    number = keras.Input((1,))
    model = Recorder(number, keras.layers.Dense(1)(number))
    model.compile("adam", "mse", run_eagerly=True)
    x = np.arange(images, dtype="float32")[:, None]
    model.fit(x, x, batch_size=4, epochs=epochs, verbose=0)
    return np.reshape(seen, (epochs, images))


def keras_net_2():
    """Return net_2 as a Keras model."""
    return keras.Sequential(
        [
            keras.layers.Input(shape=(32, 32, 3)),
            keras.layers.Conv2D(32, (3, 3), activation="relu", padding="same"),
            keras.layers.Conv2D(64, (3, 3), activation="relu", padding="same", strides=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def train(epochs, optimizer, seed):
    """Train net_2 with each library and each order, and print the validation accuracy of each epoch."""
    data = datasets.load("cifar10")
    x, x_test = normalize_images(data.x_train), normalize_images(data.x_test)
    y, y_test = one_hot(data.y_train, 10), one_hot(data.y_test, 10)
    weights = net_2((32, 32, 3), 10, seed=seed).get_weights()
    settings = {"batch_size": 128, "validation_data": (x_test, y_test), "verbose": 0}

    def learn(library, how, model, orders):
        model.set_weights(weights)
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        print(f"{library:<11}{how:<23}", end="", flush=True)
        for order in orders:                                    # None: fit draws the orders, and all epochs are one call
            images = (x, y) if order is None else (x[order], y[order])
            history = model.fit(*images, epochs=epochs if order is None else 1, shuffle=order is None, **settings).history
            print("".join(f"{value:7.4f}" for value in history["val_accuracy"]), end="", flush=True)
        print()

    rng = np.random.default_rng(seed)
    new_orders = [rng.permutation(len(x)) for _ in range(epochs)]
    keras.utils.set_random_seed(seed)
    learn("Keras", "seeded fit", keras_net_2(), [None])
    for how, orders in (("one order", new_orders[:1] * epochs), ("a new order each epoch", new_orders)):
        learn("Keras", how, keras_net_2(), orders)
        learn("scratchnet", how, net_2((32, 32, 3), 10), orders)


def main(epochs, optimizer, seed):
    print(f"Keras {keras.__version__} on {keras.backend.backend()}\n\nthe order of 12 images in three epochs of fit")
    for seeded in (False, True):
        if seeded:
            keras.utils.set_random_seed(seed)
        found = orders()
        print(f"\n{'after' if seeded else 'without'} keras.utils.set_random_seed:", *found, sep="\n    ")
        print("the same in every epoch" if (found == found[0]).all() else "a different one in every epoch")
    if epochs:
        print(f"\nnet_2 on CIFAR-10, {optimizer}, seed {seed}, validation accuracy of {epochs} epochs")
        train(epochs, optimizer, seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the order of images in Keras's fit, and train with several orders.")
    parser.add_argument("--epochs", type=int, default=0, help="number of epochs to train net_2 (%(default)s: no training)")
    parser.add_argument("--optimizer", default="adam", help="optimizer, with its default learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and of the orders (%(default)s)")
    main(**vars(parser.parse_args()))
