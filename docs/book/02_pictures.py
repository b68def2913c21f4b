"""Draw the pictures of chapter 2: `python docs/book/02_pictures.py`.

They show a perceptron and a window, one sum of products, the feature map, and where windows lie with padding and stride.
"""

import numpy as np
from grids import GREEN, IMAGE, INK, KERNEL, LINE, ORANGE, PADDING, PALE, QUIET, arrow, grid, ink, outline, save, sheet, shown, text
from matplotlib.patches import Circle, Rectangle

from scratchnet.layers.conv2d import conv2d_forward
from scratchnet.padding import output_size, same_pads


def feature_map(x, w, stride=1, pads=(0, 0)):
    """Return the convolution of one image with one kernel: (H, W), (KH, KW) -> (OH, OW)."""
    return conv2d_forward(x[None, :, :, None], w[:, :, None, None], None, (stride, stride), (pads, pads))[0, :, :, 0]


def draw_perceptron():
    """Draw a unit that reads all pixels, and one that reads a window."""
    figure, axes = sheet(5.2, 3.5, 14, 9.4)
    for x, side, words in ((0.4, 5, "a perceptron:\n25 weights"), (7.6, 3, "on a window:\n9 weights")):
        unit = x + side / 2, 1
        for v in range(side):
            axes.plot([x + v + 0.5, unit[0]], [3.2, unit[1]], color=ORANGE, lw=1)
        axes.add_patch(Circle(unit, 0.55, fc=PALE[ORANGE], ec=ORANGE, lw=1.5, zorder=6))
        axes.text(*unit, "Σ", fontsize=14, ha="center", va="center", zorder=7)
        text(axes, unit[0] + 0.9, 0.9, words, ha="left", size=13)
        grid(axes, x, 3.2, IMAGE, fill=ink(IMAGE), size=11)
        outline(axes, x, 3.2, side, side, ORANGE)
    arrow(axes, (9.1, 8.8), (12.6, 8.8), ORANGE, width=2)
    arrow(axes, (13.2, 4.7), (13.2, 8.2), ORANGE, width=2)
    save(figure, "02-perceptron.png")


def draw_window(oh, ow, name):
    """Draw the window at (oh, ow), the kernel, their products, and the sums so far."""
    figure, axes = sheet(5.2, 5.2, 11.2, 11.2)
    products = IMAGE[oh : oh + 3, ow : ow + 3] * KERNEL
    paint = ink(IMAGE)
    inside = lambda h, v: oh <= h < oh + 3 and ow <= v < ow + 3
    grid(axes, 0.2, 1, IMAGE, title="image x", fill=lambda h, v: PALE[ORANGE] if inside(h, v) else paint(h, v), size=14)
    outline(axes, 0.2 + ow, 1 + oh, 3, 3, ORANGE)
    text(axes, 6.2, 2.5, "×", size=18)
    grid(axes, 7.2, 1, KERNEL, title="kernel w", fill=lambda h, v: PALE[ORANGE], size=14)
    text(axes, 0.5, 8.7, "=", size=18)
    grid(axes, 1.2, 7.2, products, title="products", fill=lambda h, v: PALE[ORANGE], size=14)
    arrow(axes, (4.5, 8.7), (6.6, 8.7), INK)
    text(axes, 5.5, 8.25, "sum", color=QUIET)
    out = feature_map(IMAGE, KERNEL)
    out[np.arange(9).reshape(3, 3) > 3 * oh + ow] = np.nan              # the sums that come later
    grid(axes, 7.2, 7.2, out, title="feature map out", fill=lambda h, v: PALE[ORANGE] if (h, v) == (oh, ow) else "white", size=14,
         label=lambda value: "" if np.isnan(value) else shown(value))  # fmt: skip
    outline(axes, 7.2 + ow, 7.2 + oh, 1, 1, ORANGE)
    save(figure, name)


def draw_feature_map():
    """Draw the image and the feature map, with colours for positive and negative sums."""
    figure, axes = sheet(5.2, 3.2, 11.2, 6.9)
    out = feature_map(IMAGE, KERNEL)
    grid(axes, 0.2, 1.2, IMAGE, title="image x", fill=ink(IMAGE), size=14)
    arrow(axes, (5.5, 3.7), (6.9, 3.7), INK)

    def paint(h, v):
        share = abs(out[h, v]) / np.abs(out).max()
        color = (0.84, 0.37, 0.0) if out[h, v] > 0 else (0.0, 0.45, 0.70)
        return tuple(1 - 0.5 * share * (1 - part) for part in color)

    grid(axes, 7.2, 2.2, out, title="feature map out", fill=paint, size=14)
    text(axes, 7.2, 5.65, "orange: lower edge", size=11, color=QUIET, ha="left")
    text(axes, 7.2, 6.35, "blue: upper edge", size=11, color=QUIET, ha="left")
    save(figure, "02-feature-map.png")


def draw_axis(axes, y, size, kernel, stride, pads, title):
    """Draw one axis of an image: its cells, its padding, and the windows below them."""
    before, after = pads
    out = output_size(size, kernel, stride, pads)
    left = 2.2 - before
    text(axes, 0.2, y - 0.45, title, ha="left", va="bottom", color=INK)
    for k in range(before + size + after):
        real = before <= k < before + size
        axes.add_patch(Rectangle((left + k, y), 1, 1, fc="white" if real else PADDING, ec=LINE, lw=0.8))
        text(axes, left + k + 0.5, y + 0.5, f"x{k - before}" if real else "0", size=13)
    for k in range(out):
        start, height = left + k * stride, y + 1.3 + 0.42 * k
        color = (ORANGE, GREEN)[k % 2]
        axes.plot([start + 0.08, start + kernel - 0.08], [height, height], color=color, lw=5, solid_capstyle="butt")
        text(axes, start + kernel + 0.15, height, f"window {k}", size=11, color=QUIET, ha="left")
    unused = left + (out - 1) * stride + kernel
    for k in range(round(left + before + size + after - unused)):
        text(axes, unused + k + 0.5, y - 0.3, "unused", size=11, color=QUIET)


def draw_odd_cell():
    """Draw one axis with "valid" and "same" padding, and with the padding that other libraries use."""
    figure, axes = sheet(5.2, 6.7, 12.2, 15.6)
    draw_axis(axes, 1.2, 6, 3, 2, (0, 0), '"valid": 2 windows, no padding')
    draw_axis(axes, 5.0, 6, 3, 2, same_pads(6, 3, 2), '"same": 3 windows, the odd cell is at the end')
    draw_axis(axes, 8.9, 5, 3, 2, same_pads(5, 3, 2), '"same", 5 pixels: one cell on each side')
    draw_axis(axes, 12.8, 6, 3, 2, (1, 1), 'not "same": one on each side of 6 pixels')
    save(figure, "02-odd-cell.png")


def draw_padding():
    """Draw the 5 × 5 image with a border of zeros, and the first and the last window."""
    figure, axes = sheet(5.2, 3.4, 15.4, 9.6)
    padded = np.pad(IMAGE, 1)
    paint = ink(IMAGE)
    real = lambda h, v: 1 <= h <= 5 and 1 <= v <= 5
    grid(axes, 0.3, 1.2, padded, title="x with a border of zeros", fill=lambda h, v: paint(h - 1, v - 1) if real(h, v) else PADDING)
    outline(axes, 0.3, 1.2, 3, 3, ORANGE)
    outline(axes, 4.3, 5.2, 3, 3, GREEN)
    arrow(axes, (7.7, 4.7), (9.0, 4.7), INK)
    grid(axes, 9.3, 2.2, feature_map(IMAGE, KERNEL, pads=(1, 1)), title="out, 5 × 5",
         fill=lambda h, v: PALE[ORANGE] if h == v == 0 else PALE[GREEN] if h == v == 4 else "white")  # fmt: skip
    save(figure, "02-padding.png")


def draw_six():
    """Draw a 6 × 6 image with its odd row and column, and the first and the last window."""
    figure, axes = sheet(5.2, 3.6, 13.4, 9.2)
    x = np.pad(IMAGE, (0, 1))
    x[5, 1] = 2
    paint = ink(x)
    grid(axes, 0.3, 1.2, np.pad(x, (0, 1)), title="6 × 6, stride 2, \"same\"", size=13,
         fill=lambda h, v: PADDING if 6 in (h, v) else paint(h, v))  # fmt: skip
    outline(axes, 0.3, 1.2, 3, 3, ORANGE)
    outline(axes, 4.3, 5.2, 3, 3, GREEN)
    arrow(axes, (7.6, 4.7), (9.3, 4.7), INK)
    out = feature_map(x, KERNEL, 2, same_pads(6, 3, 2))
    grid(axes, 9.8, 3.2, out, title="out, 3 × 3", size=13,
         fill=lambda h, v: PALE[ORANGE] if h == v == 0 else PALE[GREEN] if h == v == 2 else "white")  # fmt: skip
    text(axes, 7.6, 8.7, "the odd row and column", size=11, color=QUIET, ha="left")
    save(figure, "02-six.png")


def main():
    """Draw all pictures of the chapter."""
    draw_perceptron()
    draw_window(0, 0, "02-window.png")
    draw_window(0, 1, "02-next.png")
    draw_feature_map()
    draw_padding()
    draw_odd_cell()
    draw_six()


if __name__ == "__main__":
    main()
