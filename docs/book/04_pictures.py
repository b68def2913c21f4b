"""Draw the pictures of chapter 4: `python docs/book/04_pictures.py`.

They show the rule of all gradients, and what it becomes in a dense layer, a convolution, max-pooling, the loss and batch
normalization.
"""

import numpy as np
from grids import BLUE, GREEN, IMAGE, INK, KERNEL, ORANGE, PALE, PINK, QUIET, arrow, grid, outline, save, sheet, shown, text
from matplotlib.patches import Circle, FancyBboxPatch

from scratchnet.kernels.im2col import im2col
from scratchnet.layers.conv2d import conv2d_backward
from scratchnet.layers.dense import dense_backward
from scratchnet.layers.pooling import max_pool2d_backward, max_pool2d_forward
from scratchnet.losses import softmax, softmax_cross_entropy

VALID = (1, 1), ((0, 0), (0, 0))
DOUT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
WINDOWS = {(0, 0): ORANGE, (1, 2): BLUE, (2, 1): GREEN}         # where DOUT is not 0


def as_images(a):
    """Return one image with one channel: (H, W) -> (1, H, W, 1)."""
    return np.asarray(a, float)[None, :, :, None]


def circle(axes, x, y, words, color):
    """Draw a number's name in a circle."""
    axes.add_patch(Circle((x, y), 0.62, fc=PALE[color], ec=color, lw=1.5, zorder=5))
    axes.text(x, y, words, fontsize=13, ha="center", va="center", zorder=6, color=INK)


def draw_rule():
    """Draw a number that is used three times: forward it is copied, backward the gradients of its uses are added."""
    figure, axes = sheet(5.2, 4.0, 12, 9.2)
    factors, douts = (2, 5, -1), (3, -1, 4)
    for k, (factor, dout) in enumerate(zip(factors, douts, strict=True)):
        y = 1.3 + 2.6 * k
        circle(axes, 1.2, 3.9, "a", BLUE)
        circle(axes, 6.2, y, f"out$_{k + 1}$", BLUE)
        arrow(axes, (1.8, 3.7 + 0.15 * (k - 1)), (5.5, y - 0.15), QUIET)
        text(axes, 3.7, (3.7 + y) / 2 - 0.5, f"×{shown(factor)}".replace("×−1", "×(−1)"), color=QUIET, size=13)
        text(axes, 7.2, y, f"dout{k + 1} = {shown(dout)}", ha="left", color=ORANGE, size=13, weight="bold")
        arrow(axes, (5.55, y + 0.25), (1.85, 4.15 + 0.15 * (k - 1)), ORANGE, width=2)
    text(axes, 0.4, 8.7, "da = 3·2 + (−1)·5 + 4·(−1) = −3", ha="left", color=ORANGE, size=14, weight="bold")
    save(figure, "04-rule.png")


def draw_dense():
    """Draw which numbers of dout and of w, and of x and dout, are summed in dx and dw."""
    x, w = np.array([[1.0, 0, 2], [0, 3, 1]]), np.array([[1.0, -1], [2, 0], [0, 1]])
    dout = np.array([[1.0, 0], [2, -1]])
    dx, dw, _ = dense_backward(dout, x, w)
    figure, axes = sheet(5.2, 4.9, 13.6, 12.6)

    def product(y, left, right, result, names, chosen, color):
        row, column = chosen
        place = 0.3
        for values, name, marks in (
            (left, names[0], lambda h, v: h == row),
            (right, names[1], lambda h, v: v == column),
            (result, names[2], lambda h, v: (h, v) == (row, column)),
        ):
            paint = lambda h, v, marks=marks: PALE[color] if marks(h, v) else "white"
            grid(axes, place, y, values, title=name, size=14, fill=paint)
            place += values.shape[1] + 1.3
            if values is not result:
                text(axes, place - 0.65, y + 1.2, "@" if values is left else "=", size=15)

    product(1.2, dout, w.T, dx, ("dout", "wᵀ", "dx"), (1, 0), ORANGE)
    text(axes, 0.3, 4.3, "dx[1, 0] = 2·1 + (−1)·(−1) = 3: a sum over units", ha="left", color=ORANGE, size=12, weight="bold")
    product(6.9, x.T, dout, dw, ("xᵀ", "dout", "dw"), (2, 0), BLUE)
    text(axes, 0.3, 11.2, "dw[2, 0] = 2·1 + 1·2 = 4: a sum over images", ha="left", color=BLUE, size=12, weight="bold")
    save(figure, "04-dense.png")


def dout_grid(axes):
    """Draw the gradient from above, each number that is not 0 in the colour of its window."""
    grid(axes, 0.4, 1.2, DOUT, title="dout", size=14, fill=lambda h, v: PALE[WINDOWS[h, v]] if (h, v) in WINDOWS else "white")


def times(k, h, v):
    """Return the factor of the k-th window in a sum."""
    return f"{'+ ' if k else ''}{shown(DOUT[h, v])}".replace("+ −1", "+ (−1)")


def draw_dx():
    """Draw dx as a sum of kernels, each on its window and times one number of dout."""
    dx = conv2d_backward(as_images(DOUT), as_images(IMAGE), KERNEL[:, :, None, None], *VALID)[0][0, :, :, 0]
    figure, axes = sheet(5.2, 8.2, 12.2, 19.2)
    dout_grid(axes)
    grid(axes, 6.6, 1.2, KERNEL, title="w", size=14)
    places = (0.4, 6.0), (6.6, 6.0), (0.4, 13.0), (6.6, 13.0)
    for k, ((h, v), color) in enumerate(WINDOWS.items()):
        stamp = np.full((5, 5), np.nan)
        stamp[h : h + 3, v : v + 3] = DOUT[h, v] * KERNEL
        paint = lambda r, c, stamp=stamp, color=color: "white" if np.isnan(stamp[r, c]) else PALE[color]
        label = lambda value: "" if np.isnan(value) else shown(value)
        grid(axes, *places[k], stamp, title=times(k, h, v) + "·w", label=label, size=14, fill=paint)
        outline(axes, places[k][0] + 2, places[k][1] + 2, 1, 1, PINK)
    grid(axes, *places[3], dx, title="= dx", size=14, fill=lambda h, v: PALE[PINK] if (h, v) == (2, 2) else "white")
    outline(axes, places[3][0] + 2, places[3][1] + 2, 1, 1, PINK)
    text(axes, 6.6, 18.6, "3 = −1 + 0 + 4", ha="left", color=PINK, weight="bold", size=13)
    save(figure, "04-dx.png")


def draw_dw():
    """Draw dw as a sum of windows, each times one number of dout."""
    dw = conv2d_backward(as_images(DOUT), as_images(IMAGE), KERNEL[:, :, None, None], *VALID)[1][:, :, 0, 0]
    figure, axes = sheet(5.2, 7.4, 12.2, 17.3)
    dout_grid(axes)
    grid(axes, 5.6, 1.2, IMAGE, title="x", size=14)
    cols = im2col(as_images(IMAGE), (3, 3), *VALID)
    for k, ((h, v), color) in enumerate(WINDOWS.items()):
        outline(axes, 5.6 + v, 1.2 + h, 3, 3, color)
        window = cols[3 * h + v].reshape(3, 3)
        grid(axes, 0.4 + 4 * k, 8.2, window, title=times(k, h, v) + " ×", fill=lambda r, c, color=color: PALE[color], size=14)
    text(axes, 3.4, 14.7, "=", size=16)
    grid(axes, 4.4, 13.2, dw, title="dw", size=14, fill=lambda h, v: PALE[PINK] if h == v == 0 else "white")
    text(axes, 7.8, 13.7, "−1 = 1·0 − 1·1 + 2·0", ha="left", color=PINK, weight="bold", size=12)
    save(figure, "04-dw.png")


def draw_pooling():
    """Draw max-pooling with overlapping windows, forward and backward."""
    x, dout = np.array([[1.0, 3, 2], [0, 2, 4], [1, 5, 0]]), np.array([[1.0, 2], [3, 4]])
    out = max_pool2d_forward(as_images(x), (2, 2), *VALID)[0, :, :, 0]
    dx = max_pool2d_backward(as_images(dout), as_images(x), (2, 2), *VALID)[0, :, :, 0]
    colors = {3: ORANGE, 4: BLUE, 5: GREEN}
    figure, axes = sheet(5.2, 4.0, 10.4, 8.6)
    paint = lambda values: lambda h, v: PALE[colors[values[h, v]]] if values[h, v] in colors else "white"
    grid(axes, 0.5, 0.9, x, title="x", size=15, fill=paint(x))
    arrow(axes, (3.9, 2.4), (6.1, 2.4), INK)
    text(axes, 5.0, 1.9, "max", color=QUIET)
    grid(axes, 6.6, 1.4, out, title="out", size=15, fill=paint(out))
    grid(axes, 6.6, 5.9, dout, title="dout", size=15, fill=paint(out))
    arrow(axes, (6.1, 6.9), (3.9, 6.9), INK)
    grid(axes, 0.5, 5.4, dx, title="dx", size=15, fill=paint(x))
    text(axes, 5.0, 7.5, "7 = 3 + 4", color=GREEN, weight="bold")
    save(figure, "04-pooling.png")


def draw_loss():
    """Draw probabilities, labels, and the gradient of the logits, which is their difference."""
    from scratchnet.plotting.canvas import new_figure

    z, y = np.array([[2.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    p, dz = softmax(z)[0], softmax_cross_entropy(z, y)[1][0]
    figure = new_figure(5.2, 3.4)
    axes = figure.subplots()
    place = np.arange(3)
    for shift, values, color, name in ((-0.27, p, BLUE, "p"), (0, y[0], QUIET, "y"), (0.27, dz, ORANGE, "dz = p − y")):
        bars = axes.bar(place + shift, values, 0.25, color=color, label=name)
        axes.bar_label(bars, [f"{value:.2f}".replace("-", "−") for value in values], fontsize=10, padding=2)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_xticks(place, [f"class {k}\nz = {z[0, k]:g}" for k in place], fontsize=12)
    axes.set(ylim=(-1.0, 1.45), yticks=[])
    axes.legend(frameon=False, fontsize=12, ncols=3, loc="upper center")
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    save(figure, "04-loss.png")


def draw_normalization():
    """Draw the three ways from one input of batch normalization to all outputs."""
    figure, axes = sheet(5.2, 4.2, 13, 10.4)

    def box(x, y, words, color, wide=2.4):
        style = "round,pad=0.05,rounding_size=0.2"
        axes.add_patch(FancyBboxPatch((x - wide / 2, y - 0.55), wide, 1.1, style, fc=PALE[color], ec=color, lw=1.5, zorder=5))
        axes.text(x, y, words, fontsize=13, ha="center", va="center", zorder=6, color=INK)

    box(1.3, 8.4, "x", BLUE, 1.6)
    box(5.4, 8.4, "u = x − mean", ORANGE, 3.8)
    box(11.2, 8.4, "x̂ = u·inv", ORANGE, 3.2)
    box(2.6, 5.4, "mean", GREEN)
    box(6.6, 4.4, "variance", PINK)
    box(10.2, 4.4, "inv", PINK, 1.6)
    arrow(axes, (2.2, 8.4), (3.4, 8.4), ORANGE, width=2)
    arrow(axes, (7.4, 8.4), (9.5, 8.4), ORANGE, width=2)
    arrow(axes, (1.4, 7.75), (2.2, 6.1), GREEN, width=2)
    arrow(axes, (3.3, 6.1), (4.6, 7.75), GREEN, width=2)
    arrow(axes, (5.8, 7.75), (6.4, 5.1), PINK, width=2)
    arrow(axes, (7.9, 4.4), (9.3, 4.4), PINK, width=2)
    arrow(axes, (10.3, 5.1), (11.0, 7.75), PINK, width=2)
    text(axes, 0.4, 0.7, "three ways from one x to all x̂:", ha="left", size=13)
    text(axes, 0.4, 1.7, "its own u", ha="left", color=ORANGE, size=13, weight="bold")
    text(axes, 3.6, 1.7, "the mean", ha="left", color=GREEN, size=13, weight="bold")
    text(axes, 6.9, 1.7, "the variance", ha="left", color=PINK, size=13, weight="bold")
    save(figure, "04-normalization.png")


def main():
    """Draw all pictures of the chapter."""
    draw_rule()
    draw_dense()
    draw_dx()
    draw_dw()
    draw_pooling()
    draw_loss()
    draw_normalization()


if __name__ == "__main__":
    main()
