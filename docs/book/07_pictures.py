"""Draw the pictures of chapter 7: `python docs/book/07_pictures.py`.

They need MNIST and CIFAR-10, which are downloaded if necessary. Without a download, on similar sets:
`python docs/book/07_pictures.py --data glyphs shapes`.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

from scratchnet import Input, RandomFlip, RandomTranslation, Sequential, datasets, net_2
from scratchnet.plotting.canvas import finish, new_figure, plain_grid
from scratchnet.plotting.comparison import COLORS
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot, standardize

PICTURES = Path(__file__).parent / "pictures"
IMAGES, SEEDS = 512, 3
LAYERS = ("conv2d", "conv2d_1", "dense", "dense_1")
BLUE, RED, GREEN, PINK, AMBER = COLORS[:5]


def ways(pixels):
    """Return the stored pixels after each way of preprocessing."""
    unit = normalize_images(pixels)
    return {
        "0 to 255": pixels.astype("float32"),
        "0 to 1": unit,
        "mean 0": unit - unit.mean(axis=(0, 1, 2), dtype="float64").astype("float32"),     # the mean of each channel
        "mean 0, deviation 1": standardize(unit)[0],
    }


def first_gradients(x, y, seed):
    """Return the loss of an untrained net_2 and the gradient of each layer's kernel."""
    model = net_2(x.shape[1:], y.shape[1], seed=seed)
    model.compile("sgd", "categorical_crossentropy")
    logits = model.forward(x, training=True, to=model.logits)
    loss, dlogits = model.loss.value_and_gradient(logits, y)
    model.backward(dlogits, need_dx=False, start=model.logits)
    return loss, [model.grads[f"{name}/kernel"].astype("float64") for name in LAYERS]


def draw_pixels(data):
    """Draw how the pixels of a set are distributed after each way of preprocessing."""
    figure = new_figure(5.2, 4.6)
    images = add_channel_axis(data.x_train)
    for axes, (name, x), color in zip(figure.subplots(2, 2).ravel(), ways(images).items(), (RED, BLUE, GREEN, PINK), strict=True):
        axes.hist(x[:2000].ravel(), bins=32, color=color)
        axes.axvline(x.mean(), color="black", linestyle="--")
        mean, deviation = x.mean(dtype="float64"), x.std(dtype="float64")
        axes.set(title=name, yticks=(), xlabel=f"mean {abs(round(mean, 3)):.3g}\ndeviation {deviation:.3g}")
        for side in ("top", "left", "right"):
            axes.spines[side].set_visible(False)
    finish(figure, PICTURES / "07-pixels.png")


def draw_first_gradient(sets):
    """Print the first losses, and draw the norm of each layer's first gradient for each way of preprocessing."""
    figure = new_figure(5.2, 6.2)
    for axes, data in zip(figure.subplots(2, 1, sharex=True), sets, strict=True):
        y = one_hot(data.y_train[:IMAGES], len(data.class_names))
        marks = zip((RED, BLUE, GREEN, PINK), "Xosv", strict=True)
        for (name, x), (color, marker) in zip(ways(add_channel_axis(data.x_train)).items(), marks, strict=True):
            runs = [first_gradients(x[:IMAGES], y, seed) for seed in range(SEEDS)]
            norms = np.mean([[np.linalg.norm(dw) for dw in grads] for _, grads in runs], axis=0)
            axes.semilogx(norms, range(4), marker, color=color, markersize=9, label=name)
            loss = np.mean([loss for loss, _ in runs])
            print(f"{data.name:<8} {name:<20} loss {loss:6.2f}  norms", *(f"{norm:9.4f}" for norm in norms))
        axes.set(title=data.name, ylim=(3.5, -0.5))
        axes.set_yticks(range(4), LAYERS)
        plain_grid(axes)
    axes.set_xlabel("norm of the first gradient of the kernel")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", frameon=False, ncols=2)
    finish(figure, PICTURES / "07-first-gradient.png")


def draw_augmented(sets):
    """Draw the cosine between the first gradient and that of the augmented images, and of other images."""
    figure = new_figure(5.2, 5.2)
    for axes, data in zip(figure.subplots(2, 1, sharex=True), sets, strict=True):
        x = normalize_images(add_channel_axis(data.x_train[: 2 * IMAGES]))
        y = one_hot(data.y_train[: 2 * IMAGES], len(data.class_names))
        flip = [RandomFlip("horizontal")] if x.shape[-1] == 3 else []           # a flipped digit is not a digit
        layers = [*flip, RandomTranslation(0.1, 0.1)]
        augmentation = Sequential([Input(shape=x.shape[1:]), *layers], seed=1)
        batches = {
            "other images": (x[IMAGES:], y[IMAGES:]),
            "the same images, augmented": (augmentation.forward(x[:IMAGES], training=True), y[:IMAGES]),
        }
        for shift, color, (name, batch) in zip((0.2, -0.2), (RED, BLUE), batches.items(), strict=True):
            cosines = []
            for seed in range(SEEDS):
                pairs = zip(first_gradients(x[:IMAGES], y[:IMAGES], seed)[1], first_gradients(*batch, seed)[1], strict=True)
                cosines.append([np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairs])
            means = np.mean(cosines, axis=0)
            axes.barh(np.arange(4) + shift, means, 0.38, color=color, label=name)
            print(f"{data.name:<8} {name:<27} cosines", *(f"{cosine:6.2f}" for cosine in means))
        axes.set(title=f"{data.name}: {'flip and ' if flip else ''}translation", xlim=(0, 1), ylim=(3.5, -0.5))
        axes.set_yticks(range(4), LAYERS)
        plain_grid(axes)
    axes.set_xlabel("cosine with the first gradient of 512 images")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", frameon=False, ncols=1)
    finish(figure, PICTURES / "07-augmented.png")


def main():
    """Draw all three."""
    parser = argparse.ArgumentParser(description="Draw the pictures of chapter 7.")
    parser.add_argument("--data", nargs=2, default=("mnist", "cifar10"), metavar="NAME", help="a grey set and one in colour")
    sets = [datasets.load(name) for name in parser.parse_args().data]
    unit = normalize_images(sets[1].x_train)
    for dtype in ("float32", "float64"):
        print(f"mean of each channel of {sets[1].name}, summed in {dtype}:", *unit.mean(axis=(0, 1, 2), dtype=dtype).round(4))
    with mpl.rc_context({"font.size": 12}):
        draw_pixels(sets[1])
        draw_first_gradient(sets)
        draw_augmented(sets)


if __name__ == "__main__":
    main()
