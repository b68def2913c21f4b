"""Draw the picture of chapter 11, and write its table into the page: `python docs/book/11_pictures.py` (about two minutes).

net_2, and net_2 with one thing added, are trained on the first 3,000 images of CIFAR-10 and validated on 1,000 test images.
"""

import re
from pathlib import Path

import numpy as np

from scratchnet import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Sequential,
    datasets,
)
from scratchnet.callbacks import LambdaCallback
from scratchnet.losses import CategoricalCrossentropy
from scratchnet.plotting.canvas import QUIET, TRAINING, VALIDATION, finish, new_figure, plain_grid
from scratchnet.preprocessing import normalize_images, one_hot
from scratchnet.regularizers import L2
from scratchnet.support.tables import text_table

PICTURES = Path(__file__).parent / "pictures"
PAGE = Path(__file__).with_name("11-overfitting.md")
IMAGES, VALIDATED, EPOCHS = 3000, 1000, 12


def network(augment=(), normalize=False, drop=0.0, l2=0.0):
    """Return net_2 with one thing added."""

    def block(make):
        layer = {"kernel_regularizer": L2(l2)} if l2 else {}
        return [make(**layer), BatchNormalization(momentum=0.9), ReLU()] if normalize else [make(**layer), ReLU()]

    layers = [
        Input(shape=(32, 32, 3)),
        *augment,
        *block(lambda **layer: Conv2D(32, 3, padding="same", **layer)),
        *block(lambda **layer: Conv2D(64, 3, strides=2, padding="same", **layer)),
        Flatten(),
        *([Dropout(drop)] if drop else []),
        *block(lambda **layer: Dense(128, **layer)),
        Dense(10, activation="softmax"),
    ]
    return Sequential(layers, seed=0)


def variants():
    """Return each network by name, and its loss."""
    plain = CategoricalCrossentropy()
    return {
        "net_2": (network(), plain),
        "L2, 0.001": (network(l2=0.001), plain),
        "dropout, 0.5": (network(drop=0.5), plain),
        "augmentation": (network(augment=[RandomFlip("horizontal"), RandomTranslation(0.1, 0.1)]), plain),
        "batch norm": (network(normalize=True), plain),
        "label smoothing, 0.1": (network(), CategoricalCrossentropy(label_smoothing=0.1)),
    }


def train(model, loss):
    """Train for some epochs, and return four lists: accuracy and cross-entropy in training (after the epoch) and in validation."""
    (x, y), (x_val, y_val) = datasets.cifar10.load_data()
    x, x_val = normalize_images(x[:IMAGES]), normalize_images(x_val[:VALIDATED])
    y, y_val = one_hot(y[:IMAGES], 10), one_hot(y_val[:VALIDATED], 10)
    values = []

    def measure(epoch, logs):
        values.append([*score(model, x[:VALIDATED], y[:VALIDATED]), *score(model, x_val, y_val)])

    model.compile("adam", loss)
    model.fit(x, y, batch_size=64, epochs=EPOCHS, callbacks=LambdaCallback(on_epoch_end=measure), verbose=0)
    return np.array(values).T


def score(model, x, y):
    """Return accuracy and cross-entropy of a model as it predicts."""
    p = model.predict(x, batch_size=100, verbose=0)
    return np.mean(p.argmax(axis=1) == y.argmax(axis=1)), -np.log(np.maximum((p * y).sum(axis=1), 1e-12)).mean()


def main():
    """Train all networks, draw their accuracies, and write the table."""
    results = {name: train(*variant) for name, variant in variants().items()}
    figure = new_figure(5.4, 10.2)
    panels = figure.subplots(len(results), 1, sharex=True, sharey=True)
    for axes, (name, (accuracy, _, val_accuracy, val_loss)) in zip(panels, results.items(), strict=True):
        epochs = np.arange(1, EPOCHS + 1)
        axes.plot(epochs, accuracy, color=TRAINING, marker="o", markersize=4, label="training")
        axes.plot(epochs, val_accuracy, color=VALIDATION, marker="s", markersize=4, label="validation")
        axes.axvline(1 + val_loss.argmin(), color=QUIET, linestyle="--", linewidth=1.2, label="lowest validation loss")
        axes.set_title(name, fontsize=11)
        axes.set_ylim(0, 1.05)
        plain_grid(axes)
    axes.set_xlabel("epoch")
    figure.supylabel("accuracy", fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    PICTURES.mkdir(exist_ok=True)
    finish(figure, PICTURES / "11-overfitting.png")

    rows = [("network", "training", "validation", "gap", "lowest validation loss", "last")]
    for name, (accuracy, _, val_accuracy, val_loss) in results.items():
        best = int(val_loss.argmin())
        gap = accuracy[-1] - val_accuracy[-1]
        lowest = f"{val_loss[best]:.2f} (epoch {best + 1})"
        rows.append((name, f"{accuracy[-1]:.2f}", f"{val_accuracy[-1]:.2f}", f"{gap:.2f}", lowest, f"{val_loss[-1]:.2f}"))
    table = "\n".join(text_table(rows, "<>>>>>"))
    print(table)
    block = r"(<!-- output of this program -->\n```text\n)(?:.*\n)*?```$"
    PAGE.write_text(re.sub(block, rf"\1{table}\n```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    main()
