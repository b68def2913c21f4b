"""A comparison with Keras: the probabilities for the same weights, and the training steps of each optimizer.

    pip install keras tensorflow
    python examples/07_compare_with_keras.py

Each of our nets is trained for a few steps, its weights are copied into a Keras model with the same layers, and both predict
the same images: probabilities may differ by at most 1e-5. Then net_2 takes ten steps in both libraries, from the same weights
and with the same batches, once with each of the study's optimizers: losses may differ by at most 1e-3. (Rounding alone makes
them diverge, and fastest with Adam, whose first steps have the same size for all weights, however small their gradients are.)
"""

import argparse
import os

import numpy as np

from scratchnet import datasets, net_1, net_2
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import keras
except ImportError as error:
    raise SystemExit(f"Keras is not installed ({error}). Install it and a backend: pip install keras tensorflow") from None


def keras_net(name, shape, K):
    """Return net_1 or net_2 as a Keras model."""
    pooling = [keras.layers.MaxPooling2D((2, 2), strides=(1, 1), padding="same")] if name == "net_1" else []
    second = (1, 1) if name == "net_1" else (2, 2)
    return keras.Sequential(
        [
            keras.layers.Input(shape=shape),
            keras.layers.Conv2D(32, (3, 3), activation="relu", padding="same"),
            keras.layers.Conv2D(64, (3, 3), activation="relu", padding="same", strides=second),
            *pooling,
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(K, activation="softmax"),
        ]
    )


def probabilities(limit):
    """Compare the probabilities of trained nets, and return the largest difference."""
    worst = 0.0
    for data in ("glyphs", "shapes"):
        images = datasets.load(data)
        x, x_test = (add_channel_axis(normalize_images(part[:limit])) for part in (images.x_train, images.x_test))
        y, K = one_hot(images.y_train[:limit], len(images.class_names)), len(images.class_names)
        for net in (net_1, net_2):
            ours = net(x.shape[1:], K, seed=1)
            ours.compile("adam", "categorical_crossentropy")
            ours.fit(x, y, batch_size=128, verbose=0)                       # so that probabilities differ between images

            theirs = keras_net(ours.name, x.shape[1:], K)
            assert [w.shape for w in theirs.get_weights()] == [w.shape for w in ours.get_weights()]
            theirs.set_weights(ours.get_weights())

            p, q = ours.predict(x_test, batch_size=128), theirs.predict(x_test, batch_size=128, verbose=0)
            difference = float(np.abs(p - q).max())
            worst = max(worst, difference)
            shape = "×".join(map(str, x.shape[1:]))
            print(f"{ours.name} on {shape}, {ours.count_params():,} parameters: largest difference {difference:.1e}")
    return worst


def steps(count=10):
    """Compare the losses of the first training steps, and return the largest difference."""
    images = datasets.load("shapes")
    x, y = normalize_images(images.x_train[: 128 * count]), one_hot(images.y_train[: 128 * count], len(images.class_names))
    worst = 0.0
    for optimizer in ("adam", "adagrad", "adadelta"):
        ours = net_2(x.shape[1:], y.shape[1], seed=1)
        theirs = keras_net("net_2", x.shape[1:], y.shape[1])
        theirs.set_weights(ours.get_weights())
        losses = []
        for model in (ours, theirs):
            model.compile(optimizer, "categorical_crossentropy")
            batches = (slice(k, k + 128) for k in range(0, len(x), 128))
            losses.append([float(model.train_on_batch(x[batch], y[batch])) for batch in batches])
        difference = float(np.abs(np.subtract(*losses)).max())
        worst = max(worst, difference)
        print(f"{optimizer}, {count} steps, loss {losses[0][0]:.4f} to {losses[0][-1]:.4f}: largest difference {difference:.1e}")
    return worst


def main(limit):
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    for worst, allowed in ((probabilities(limit), 1e-5), (steps(), 1e-3)):
        if worst > allowed:
            raise SystemExit(f"The largest difference, {worst:.1e}, exceeds {allowed:g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare probabilities and training steps with Keras's.")
    parser.add_argument("--limit", type=int, default=2000, help="number of images to train on and to compare (%(default)s)")
    main(**vars(parser.parse_args()))
