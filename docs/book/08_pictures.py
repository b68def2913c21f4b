"""Draw the pictures of chapter 8: `python docs/book/08_pictures.py`.

They show an image after each of the three kinds of pooling, and the picture that replaces the interactive figure where scripts
are off.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Rectangle

from scratchnet import datasets, preprocessing
from scratchnet.layers.pooling import (
    average_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    min_pool2d_forward,
)
from scratchnet.plotting.canvas import bare, finish, new_figure

PICTURES = Path(__file__).parent / "pictures"
VALID = ((0, 0), (0, 0))
X = np.array([[1, 3, 2, 0, 1], [4, 0, 2, 5, 0], [1, 4, 4, 0, 0], [0, 2, 0, 0, 0], [3, 1, 0, 0, 2]])
DOUT = np.array([[2, -4, 6, 2], [4, 2, -2, 8], [10, 4, -6, 2], [2, 6, 4, -4]])
PIXEL = (2, 1)


def draw_kinds():
    """Draw a digit, and what is left of it after 2×2 windows with stride 2 of each kind."""
    image = preprocessing.normalize_images(datasets.load("glyphs").x_train[3:4])[..., None]
    window = ((2, 2), (2, 2), VALID)
    forwards = {"max": max_pool2d_forward, "average": average_pool2d_forward, "min": min_pool2d_forward}
    pictures = {"28×28": image, **{name: forward(image, *window) for name, forward in forwards.items()}}
    figure = new_figure(5.2, 5.4)
    for axes, (name, picture) in zip(figure.subplots(2, 2).ravel(), pictures.items(), strict=True):
        axes.imshow(picture[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
        axes.set_title(name if name == "28×28" else f"{name}, 14×14")
        bare(axes)
    finish(figure, PICTURES / "08-kinds.png")


def draw_grid(axes, title, values, colors):
    """Draw a matrix of numbers; colors(h, v) is the colour of a cell."""
    for (h, v), value in np.ndenumerate(values):
        axes.add_patch(Rectangle((v, h), 1, 1, facecolor=colors(h, v), edgecolor="#8b949e"))
        text = str(int(value)).replace("-", "\N{MINUS SIGN}")
        bold = "bold" if (h, v) == PIXEL and len(values) == len(X) else "normal"
        axes.text(v + 0.5, h + 0.52, text, ha="center", va="center", fontsize=13, fontweight=bold)
    axes.set(xlim=(-0.05, 5.05), ylim=(5.05, -0.05), aspect="equal")
    axes.set_title(title, fontsize=12)
    bare(axes)


def draw_overlap():
    """Draw an image, its maxima, their gradient and that of the image, with the windows of one pixel marked."""
    x, dout, window = X[None, :, :, None].astype(float), DOUT[None, :, :, None].astype(float), ((2, 2), (1, 1), VALID)
    out, dx = max_pool2d_forward(x, *window), max_pool2d_backward(dout, x, *window)
    h0, v0 = PIXEL
    near, kept, chosen = "#ffe2c4", "#cfe3ff", "#8ab4f8"

    def of_pixels(h, v):
        return chosen if (h, v) == PIXEL else near if max(abs(h - h0), abs(v - v0)) <= 1 else "white"

    def of_windows(oh, ow):
        if not (oh in (h0 - 1, h0) and ow in (v0 - 1, v0)):
            return "white"
        one = np.zeros_like(dout)
        one[0, oh, ow] = 1
        return kept if max_pool2d_backward(one, x, *window)[0, h0, v0, 0] else near

    figure = new_figure(5.2, 5.4)
    grids = [("x", X, of_pixels), ("out: max", out[0, ..., 0], of_windows),
             ("dx", dx[0, ..., 0], of_pixels), ("dout", DOUT, of_windows)]  # fmt: skip
    for axes, (title, values, colors) in zip(figure.subplots(2, 2).ravel(), grids, strict=True):
        draw_grid(axes, title, values, colors)
    terms = " + ".join(str(int(d)) for d in (0, 2, 10, 4))
    assert dx[0, h0, v0, 0] == 16
    figure.supxlabel(f"dx[{h0}, {v0}] = {terms} = 16", fontsize=13)
    finish(figure, PICTURES / "08-overlap.png")


def main():
    """Draw both."""
    with mpl.rc_context({"font.size": 12}):
        draw_kinds()
        draw_overlap()


if __name__ == "__main__":
    main()
