"""Draw how the gradient of one pixel is made, from the loss back to the image: `python docs/make_gradient_picture.py`.

net_2 is trained on MNIST for one epoch (seed 0). For one image, and the pixel that raises its loss most when it becomes
brighter, the chain rule says

    dloss/dpixel = Σ over all paths from the pixel to the loss of the product of the derivatives along the path

A path goes through one output of each layer. The products of the paths through an output h sum to (dh/dpixel)·(dloss/dh), which
is drawn as its colour; those of the paths through h and an output k of the next layer sum to (dh/dpixel)·(dk/dh)·(dloss/dk),
which is drawn as a line. So each row of the picture has the same sum: the gradient of the pixel, which must be the one that
`Model.backward` computes.
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.transforms import Affine2D

from scratchnet import datasets, net_2
from scratchnet.layers.conv2d import conv2d_forward
from scratchnet.losses import softmax_cross_entropy
from scratchnet.padding import window_pads
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot

PICTURE = Path(__file__).parent / "pictures" / "gradient.png"
IMAGE = 3726                                # of MNIST's test images: a four that is nearly a nine
MIDDLE = (4, 26)                            # the rows and columns of the image that are drawn; the others are empty
MORE, LESS = "#D55E00", "#0072B2"           # paths along which a brighter pixel makes the loss larger, or smaller


def trained():
    """Return net_2 after one epoch of MNIST, in float64; the image (1, 28, 28, 1); and its label as a row (1, 10)."""
    data = datasets.load("mnist")
    x, y = add_channel_axis(normalize_images(data.x_train)), one_hot(data.y_train, 10)
    model = net_2(x.shape[1:], 10, seed=0)
    model.compile("adam", "categorical_crossentropy")
    model.fit(x, y, batch_size=128, epochs=1)
    exact = net_2(x.shape[1:], 10, dtype="float64")
    exact.set_weights(model.get_weights())
    image = add_channel_axis(normalize_images(data.x_test[IMAGE : IMAGE + 1])).astype("float64")
    return exact, image, one_hot(data.y_test[IMAGE : IMAGE + 1], 10).astype("float64")


def flows(model, image, label):
    """Return what each output, and each pair of outputs of successive layers, adds to the largest gradient of a pixel."""
    w1, b1, w2, b2, w3, b3, w4, b4 = model.get_weights()
    pads = window_pads("same", (28, 28), (3, 3), (1, 1)), window_pads("same", (28, 28), (3, 3), (2, 2))

    def conv(x, w, b, k):
        return conv2d_forward(x, w, b, (k + 1, k + 1), pads[k])

    h1 = conv(image, w1, b1, 0).clip(0)                             # (1, 28, 28, 32)
    h2 = conv(h1, w2, b2, 1).clip(0)                                # (1, 14, 14, 64)
    h3 = (h2.reshape(1, -1) @ w3 + b3).clip(0)                      # (1, 128)
    loss, g4 = softmax_cross_entropy(h3 @ w4 + b4, label)           # g: the gradients of the loss, row by row
    g3 = g4 @ w4.T * (h3 > 0)
    model.forward(image, to=model.logits, training=True)
    dx = model.backward(g4, start=model.logits)[0, :, :, 0]
    pixel = np.unravel_index(dx.argmax(), dx.shape)

    t0 = np.zeros_like(image)                                       # t: the derivatives of a row with respect to the pixel
    t0[(0, *pixel, 0)] = 1
    t1 = conv(t0, w1, None, 0) * (h1 > 0)
    t2 = conv(t1, w2, None, 1) * (h2 > 0)
    t3 = t2.reshape(1, -1) @ w3 * (h3 > 0)
    t4 = t3 @ w4
    g2 = (g3 @ w3.T).reshape(h2.shape) * (h2 > 0)

    cells_1, cells_2 = (np.argwhere(np.abs(t[0]).sum(axis=-1) > 0) for t in (t1, t2))
    alone = np.zeros((len(cells_1), *h1.shape[1:]))                 # t1, one position at a time
    for k, (i, j) in enumerate(cells_1):
        alone[k, i, j] = t1[0, i, j]
    edges_21 = (conv(alone, w2, None, 1) * g2).sum(axis=-1)[:, cells_2[:, 0], cells_2[:, 1]]            # (cells_1, cells_2)
    w3_cells = w3.reshape(*h2.shape[1:], -1)[cells_2[:, 0], cells_2[:, 1]]                              # (cells_2, 64, 128)
    edges_32 = np.einsum("cf,cfu->cu", t2[0, cells_2[:, 0], cells_2[:, 1]], w3_cells) * g3[0]           # (cells_2, 128)
    edges_43 = t3[0][:, None] * w4 * g4[0]                                                              # (128, 10)
    rows = [edges_21.sum(axis=1), edges_21.sum(axis=0), edges_32.sum(axis=0), (t4 * g4)[0]]
    for row in rows:
        np.testing.assert_allclose(row.sum(), dx[pixel], rtol=1e-9)
    np.testing.assert_allclose(edges_32.sum(axis=1), rows[1], atol=1e-12)
    np.testing.assert_allclose(edges_43.sum(axis=1), rows[2], atol=1e-12)
    windows = sum(1 for i, j in cells_1 for a, b in cells_2 if 0 <= i - 2 * a < 3 and 0 <= j - 2 * b < 3)
    p = np.exp(h3 @ w4 + b4)[0]
    return {
        "loss": loss, "dx": dx, "pixel": pixel, "maps": (h1[0].mean(axis=-1), h2[0].mean(axis=-1)), "p": p / p.sum(),
        "cells": (cells_1, cells_2), "rows": rows, "edges": (edges_21, edges_32, edges_43),
        "paths": windows * 32 * 64 * 128 * 10,
    }  # fmt: skip


# -- drawing ----------------------------------------------------------------------------------------------------------


class Sheet:
    """A square of cells that lies in the picture as if seen from above: `at(row, column)` is a point of it."""

    def __init__(self, axes, values, y, size=4.2, depth=1.42, x=2.6, slant=0.9):
        first, end = round(MIDDLE[0] * len(values) / 28), round(MIDDLE[1] * len(values) / 28)
        values = values[first:end, first:end]
        S = len(values)
        self.first, self.matrix = first, np.array([[size / S, -slant / S, x + slant], [0, -depth / S, y + depth]])
        transform = Affine2D(np.vstack([self.matrix, [0, 0, 1]])) + axes.transData
        ink = axes.imshow(values, cmap="Greys", vmin=0, vmax=values.max() * 1.5, extent=(0, S, S, 0), interpolation="nearest")
        ink.set_transform(transform)
        self.axes, self.transform = axes, transform
        axes.add_patch(Rectangle((0, 0), S, S, fill=False, edgecolor="#888888", linewidth=1, transform=transform))

    def at(self, row, column):
        """Return the middle of a cell, as a point of the figure."""
        return self.matrix @ (column - self.first + 0.5, row - self.first + 0.5, 1)

    def mark(self, row, column, color, alpha=1.0, edge="#222222"):
        """Draw a cell in a color; an `alpha` below 1 makes it lighter."""
        place = column - self.first, row - self.first
        for facecolor, opaque in (("white", 1.0), (color, alpha)):
            cell = Rectangle(place, 1, 1, facecolor=facecolor, alpha=opaque, transform=self.transform, zorder=3)
            self.axes.add_patch(cell)
        self.axes.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=edge, linewidth=1, transform=self.transform, zorder=3))


def strength(values):
    """Return the square roots of the absolute values, scaled so that the largest is 1; the root makes small values visible."""
    return np.sqrt(np.abs(values) / np.abs(values).max())


def color_of(value):
    """Return the color of a positive or negative number."""
    return MORE if value > 0 else LESS


def lines(axes, below, above, edges, keep=45):
    """Draw the strongest edges from points below (n) to points above (m); `edges` is (n, m)."""
    share = strength(edges)
    for n, m in zip(*np.unravel_index(np.argsort(np.abs(edges), axis=None)[-keep:], edges.shape), strict=True):
        (x0, y0), (x1, y1) = below[n], above[m]
        s = np.linspace(0, 1, 30)
        smooth = s * s * (3 - 2 * s)
        axes.plot(x0 + (x1 - x0) * smooth, y0 + (y1 - y0) * s, color=color_of(edges[n, m]), solid_capstyle="round",
                  linewidth=4.2 * share[n, m] ** 2 + 0.4, alpha=0.25 + 0.6 * share[n, m], zorder=4)  # fmt: skip


def draw(f):
    """Return the figure: from top to bottom the loss, the logits, the dense layer, two convolutions, and the image."""
    figure = Figure(figsize=(8, 9.3), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 8), ylim=(0, 9.3))
    axes.set_aspect("auto")
    axes.axis("off")

    ys = {"image": 0.6, "conv2d": 2.5, "conv2d_1": 4.4}
    image = Sheet(axes, f["image"], ys["image"])
    first, second = (Sheet(axes, maps, ys[name]) for maps, name in zip(f["maps"], ("conv2d", "conv2d_1"), strict=True))
    for sheet, cells, row in zip((first, second), f["cells"], f["rows"], strict=False):
        for (i, j), flow, alpha in zip(cells, row, strength(row), strict=True):
            sheet.mark(i, j, color_of(flow), 0.15 + 0.85 * alpha)
    image.mark(*f["pixel"], color_of(f["dx"][f["pixel"]]))

    units = [(2.62 + 0.155 * (u % 32), 6.80 - 0.155 * (u // 32)) for u in range(128)]
    for point, flow, share in zip(units, f["rows"][2], strength(f["rows"][2]), strict=True):
        axes.add_patch(Circle(point, 0.066, facecolor=color_of(flow), alpha=0.08 + 0.92 * share, edgecolor="none", zorder=5))
        axes.add_patch(Circle(point, 0.066, fill=False, edgecolor="#aaaaaa", linewidth=0.6, zorder=5))
    logits = [(2.75 + 0.52 * k, 7.83) for k in range(10)]
    for k, (point, flow, share) in enumerate(zip(logits, f["rows"][3], strength(f["rows"][3]), strict=True)):
        axes.add_patch(Circle(point, 0.22, facecolor="white", edgecolor="#888888", linewidth=1, zorder=5))
        axes.add_patch(Circle(point, 0.22, facecolor=color_of(flow), alpha=0.9 * share, edgecolor="none", zorder=6))
        axes.text(*point, str(k), ha="center", va="center", fontsize=16, color="white" if share > 0.6 else "black", zorder=7)
    top = [(5.09, 8.9)]
    axes.text(*top[0], f"loss {f['loss']:.2f}", ha="center", va="center", fontsize=18, fontweight="bold", zorder=8,
              bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "#222222"})  # fmt: skip

    at_first, at_second = ([sheet.at(i, j) for i, j in cells] for sheet, cells in zip((first, second), f["cells"], strict=True))
    lines(axes, [image.at(*f["pixel"])], at_first, f["rows"][0][None])
    lines(axes, at_first, at_second, f["edges"][0])
    lines(axes, at_second, units, f["edges"][1])
    lines(axes, units, logits, f["edges"][2])
    lines(axes, logits, top, f["rows"][3][:, None])
    return figure, axes


def main():
    """Train, compute, check the sums, and draw."""
    model, image, label = trained()
    f = flows(model, image, label) | {"image": image[0, :, :, 0]}
    figure, axes = draw(f)
    best = f["p"].argsort()[::-1]
    total = f["dx"][f["pixel"]]
    words = [
        (8.9, "loss", "cross-entropy", None),
        (7.93, "10 logits", f"{best[0]}: {f['p'][best[0]]:.0%}   {best[1]}: {f['p'][best[1]]:.0%}", f["rows"][3]),
        (6.7, "dense", "128 units", f["rows"][2]),
        (5.12, "conv2d_1", f"64 maps, {len(f['cells'][1])} places", f["rows"][1]),
        (3.22, "conv2d", f"32 maps, {len(f['cells'][0])} places", f["rows"][0]),
        (1.4, "image", f"one pixel of a {label.argmax()}", None),
    ]
    for y, name, what, row in words:
        axes.text(0.15, y + 0.02, name, fontsize=18, fontweight="bold", va="bottom")
        axes.text(0.15, y - 0.04, what, fontsize=15, color="#444444", va="top")
        if row is not None:
            axes.text(0.15, y - 0.34, f"{row[row > 0].sum():+.3f}", fontsize=15, color=MORE, va="top")
            axes.text(1.1, y - 0.34, f"{row[row < 0].sum():+.3f}".replace("-", "\N{MINUS SIGN}"), fontsize=15, color=LESS, va="top")
    axes.text(4, 0.24, f"gradient of the pixel: {total:+.3f}, the sum of each row above", ha="center", va="center", fontsize=17)
    figure.savefig(PICTURE)
    print(f"{f['paths']:,} paths, loss {f['loss']:.4f}, gradient {total:.6f} of pixel {tuple(map(int, f['pixel']))}: {PICTURE}")
    for name, row in zip(("conv2d", "conv2d_1", "dense", "logits"), f["rows"], strict=True):
        print(f"{name:9s} {row[row > 0].sum():+.6f} {row[row < 0].sum():+.6f} = {row.sum():+.6f}")


if __name__ == "__main__":
    main()
