"""net_3 and its recipe, in library calls: a network that generalizes better than the study's. docs/net_3.md explains each part.

    python examples/13_net_3.py                     downloads CIFAR-10 if necessary (170 MB); many minutes
    python examples/13_net_3.py --data shapes       coloured shapes, which need no download

`scratchnet train --net net_3 --data cifar10` does the same, and writes a run folder.
"""

import argparse

from scratchnet import datasets, net_3
from scratchnet.losses import CategoricalCrossentropy
from scratchnet.optimizers import SGD, schedules
from scratchnet.preprocessing import normalize_images, one_hot

BATCH = 1000
PEAK = 11.5 / (1024 * (1 + 1 / 0.15)) * BATCH       # the highest learning rate, 1.465; "The recipe" in docs/net_3.md derives it


def main(data, limit, epochs):
    try:
        images = datasets.load(data)
    except datasets.DataError as error:
        raise SystemExit(f"{error}\nWithout a download: python examples/13_net_3.py --data shapes") from None
    K = len(images.class_names)
    x_train, x_test = (normalize_images(x[:limit]) for x in (images.x_train, images.x_test))        # (N, 32, 32, 3)
    y_train, y_test = (one_hot(y[:limit], K) for y in (images.y_train, images.y_test))              # (N, K)

    model = net_3(x_train.shape[1:], K, seed=0)
    model.get_layer("whitening").adapt(x_train[:5000])
    steps = epochs * -(-len(x_train) // BATCH)                          # of the whole training
    optimizer = SGD(                                                    # for its numbers, see "The recipe" in docs/net_3.md
        schedules.PiecewiseLinear([0, steps / 5, steps], [0.2 * PEAK, PEAK, 0]),
        momentum=0.85,
        nesterov=True,
        weight_decay=0.0102,
        learning_rate_multipliers={"beta": 64},                         # the β of batch normalization
    )
    model.compile(optimizer, CategoricalCrossentropy(label_smoothing=0.2), metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=BATCH, epochs=epochs, validation_data=(x_test, y_test), verbose=2)

    for views in (None, "flip", "flip_translate"):
        loss, accuracy = model.evaluate(x_test, y_test, batch_size=BATCH, verbose=0, augment=views)
        print(f"augment={views}: accuracy {accuracy:.4f}, loss {loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train net_3 with its recipe.")
    parser.add_argument("--data", default="cifar10", choices=("cifar10", "shapes"))
    parser.add_argument("--limit", type=int, help="use only the first LIMIT images")
    parser.add_argument("--epochs", type=int, default=12)
    main(**vars(parser.parse_args()))
