"""The same weights in Keras: copied as they are, do they give the same probabilities?

    pip install keras tensorflow
    python examples/07_compare_with_keras.py

Each of our nets is trained for a few steps, its weights are copied into a Keras model of the same form, and both answer
the same images. The script fails where two probabilities differ by more than 1e-5.
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
    raise SystemExit(f"Keras is not there ({error}); install it, and a backend: pip install keras tensorflow") from None


def keras_net(name, shape, K):
    """Tell the nets again, in Keras's own words."""
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


def main(limit, tolerance=1e-5):
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    worst = 0.0
    for data in ("glyphs", "shapes"):
        images = datasets.load(data)
        x, x_test = (add_channel_axis(normalize_images(part[:limit])) for part in (images.x_train, images.x_test))
        y, K = one_hot(images.y_train[:limit], len(images.class_names)), len(images.class_names)
        for net in (net_1, net_2):
            ours = net(x.shape[1:], K, seed=1)
            ours.compile("adam", "categorical_crossentropy")
            ours.fit(x, y, batch_size=128, verbose=0)                       # so that probabilities are not all alike

            theirs = keras_net(ours.name, x.shape[1:], K)
            assert [w.shape for w in theirs.get_weights()] == [w.shape for w in ours.get_weights()]
            theirs.set_weights(ours.get_weights())

            p, q = ours.predict(x_test, batch_size=128), theirs.predict(x_test, batch_size=128, verbose=0)
            difference = float(np.abs(p - q).max())
            worst = max(worst, difference)
            shape = "×".join(map(str, x.shape[1:]))
            print(f"{ours.name} on {shape}, {ours.count_params():,} parameters: largest difference {difference:.1e}")
    if worst > tolerance:
        raise SystemExit(f"The largest difference, {worst:.1e}, is over {tolerance:g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare probabilities with Keras's.")
    parser.add_argument("--limit", type=int, default=2000, help="images to train on, and to compare on (%(default)s)")
    main(**vars(parser.parse_args()))
