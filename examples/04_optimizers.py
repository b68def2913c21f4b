"""A comparison of optimizers: the same net, the same initial weights and the same batches, with four optimizers, one of them twice.

    python examples/04_optimizers.py                    on glyphs, which needs no download
    python examples/04_optimizers.py --data cifar10     the study's comparison, on photographs

Adadelta runs twice, because its result depends on the learning rate: Keras's default is 0.001; the paper has no learning
rate, which means 1.0. The others run with their defaults, SGD with a momentum of 0.9.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from scratchnet import datasets, net_2
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot

OPTIMIZERS = {
    "Adam": Adam(),
    "SGD, momentum 0.9": SGD(momentum=0.9),
    "Adadelta, rate 1.0": Adadelta(learning_rate=1.0),
    "Adagrad": Adagrad(),
    "Adadelta, rate 0.001": Adadelta(),
}


def main(data, limit, epochs, out):
    try:
        images = datasets.load(data)
    except datasets.DataError as error:
        raise SystemExit(f"{error}\nWithout a download: python examples/04_optimizers.py --data glyphs") from None
    K = len(images.class_names)
    x_train, x_test = (add_channel_axis(normalize_images(x[:limit])) for x in (images.x_train, images.x_test))
    y_train, y_test = (one_hot(y[:limit], K) for y in (images.y_train, images.y_test))

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = dict(zip(("loss", "val_accuracy"), figure.subplots(1, 2), strict=True))
    for (name, optimizer), marker in zip(OPTIMIZERS.items(), "osv^D", strict=True):
        model = net_2(x_train.shape[1:], K, seed=1)         # the same seed: the same initial weights and order of images
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x_train, y_train, 128, epochs, verbose=0, validation_data=(x_test, y_test)).history
        loss, accuracy = history["loss"][-1], history["val_accuracy"][-1]
        print(f"{name:<22} training loss {loss:.4f}, validation accuracy {accuracy:.4f}")
        for key, axes in panels.items():
            axes.plot(range(1, epochs + 1), history[key], marker=marker, label=name)

    for axes, title in zip(panels.values(), ("training loss", "validation accuracy"), strict=True):
        axes.set(title=title, xlabel="epoch", xticks=range(1, epochs + 1))
    panels["loss"].set_yscale("log")
    panels["val_accuracy"].legend()
    figure.suptitle(f"net_2 on {data}")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    print(f"Drawn: {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train net_2 with each optimizer.")
    parser.add_argument("--data", default="glyphs", choices=datasets.NAMES)
    parser.add_argument("--limit", type=int, help="use only the first LIMIT images")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("runs/optimizers.png"), help="file for the figure (%(default)s)")
    main(**vars(parser.parse_args()))
