"""net_1 and net_2 learn to classify handwritten digits: with max-pooling, or with a stride of 2.

    python examples/02_mnist.py                     downloads MNIST if necessary (12 MB)
    python examples/02_mnist.py --data glyphs       printed digits, which need no download

The nets differ in two ways: net_1's second convolution has stride 1 and is followed by a max-pooling layer that keeps the
size; net_2's has stride 2 and no pooling. A difference in accuracy can be due to either. `scratchnet reproduce --only
pooling` changes one at a time.
"""

import argparse
from time import perf_counter

from scratchnet import datasets, net_1, net_2, plotting
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot


def main(data, limit, epochs):
    try:
        images = datasets.load(data)
    except datasets.DataError as error:
        raise SystemExit(f"{error}\nWithout a download: python examples/02_mnist.py --data glyphs") from None
    K = len(images.class_names)
    # images (N, 28, 28) in [0, 255] -> (N, 28, 28, 1) in [0, 1]; labels (N,) -> (N, K)
    x_train, x_test = (add_channel_axis(normalize_images(x[:limit])) for x in (images.x_train, images.x_test))
    y_train, y_test = (one_hot(y[:limit], K) for y in (images.y_train, images.y_test))

    accuracies = {}
    for net in (net_1, net_2):
        model = net(x_train.shape[1:], K, seed=1)
        model.summary()
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        began = perf_counter()
        history = model.fit(x_train, y_train, batch_size=128, epochs=epochs, validation_data=(x_test, y_test))
        accuracies[model.name] = history.history["val_accuracy"]
        print(f"{model.name}: {perf_counter() - began:.0f} s\n")
        plotting.history(history.history, title=f"{model.name} on {data}", path=f"runs/{data}-{model.name}.png")

    for epoch, (pooling, stride) in enumerate(zip(*accuracies.values(), strict=True), start=1):
        print(f"epoch {epoch}: validation accuracy {pooling:.4f} with max-pooling, {stride:.4f} with a stride of 2")
    print(f"Drawn: runs/{data}-net_1.png, runs/{data}-net_2.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train net_1 and net_2 on digits.")
    parser.add_argument("--data", default="mnist", choices=("mnist", "glyphs"))
    parser.add_argument("--limit", type=int, help="use only the first LIMIT images")
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
