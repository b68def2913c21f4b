"""Draw the pictures of chapter 12: `python docs/book/12_pictures.py`. Nothing is measured; sizes are those of net_1."""

from pathlib import Path

from matplotlib.patches import FancyArrowPatch, Rectangle

from scratchnet.plotting.canvas import CORRECT, QUIET, TRAINING, VALIDATION, bare, finish, new_figure, plain_grid

PICTURES = Path(__file__).parent / "pictures"
N, H, W, C, F, KH, KW = 128, 28, 28, 32, 64, 3, 3      # net_1's second convolution on MNIST, and a batch
FLOAT = 4                                              # bytes


def draw_memory():
    """Draw the sizes of the arrays of one convolution."""
    sizes = {
        "x": N * H * W * C * FLOAT,
        "cols of im2col": N * H * W * KH * KW * C * FLOAT,
        "out": N * H * W * F * FLOAT,
        "w": KH * KW * C * F * FLOAT,
    }
    figure = new_figure(5.4, 2.8)
    axes = figure.subplots()
    megabytes = [size / 1e6 for size in sizes.values()]
    axes.barh(range(4), megabytes, color=[TRAINING, VALIDATION, TRAINING, TRAINING], height=0.6)
    for row, size in enumerate(megabytes):
        axes.annotate(f"{size:.3g} MB", (size, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=10)
    axes.set_yticks(range(4), sizes)
    axes.set_ylim(3.5, -0.5)
    axes.set_xlim(0, 1.25 * max(megabytes))
    axes.set_xlabel("megabytes, float32")
    plain_grid(axes)
    finish(figure, PICTURES / "12-memory.png")


def cell(axes, x, y, text, color, size=1.0):
    """Draw a square with a text."""
    axes.add_patch(Rectangle((x, y), size, size, facecolor=color, edgecolor="white", linewidth=1.5))
    axes.text(x + size / 2, y + size / 2, text, ha="center", va="center", color="white", fontsize=9)


def draw_registers():
    """Draw a tile of the result, the numbers of cols and the vectors of w that one step of k needs."""
    figure = new_figure(5.4, 4.8)
    axes = figure.subplots()
    for column in range(2):
        axes.add_patch(Rectangle((3 + 4 * column, 7), 3.8, 1, facecolor=CORRECT, edgecolor="white"))
        axes.text(4.9 + 4 * column, 7.5, f"w[k], vector {column}", ha="center", va="center", color="white", fontsize=9)
    for row in range(6):
        axes.add_patch(Rectangle((1, 5.2 - row), 1.4, 0.9, facecolor=VALIDATION, edgecolor="white"))
        axes.text(1.7, 5.65 - row, f"cols[{row}]", ha="center", va="center", color="white", fontsize=9)
        for column in range(2):
            axes.add_patch(Rectangle((3 + 4 * column, 5.2 - row), 3.8, 0.9, facecolor=TRAINING, edgecolor="white"))
            axes.text(4.9 + 4 * column, 5.65 - row, f"sum {row}{column}", ha="center", va="center", color="white", fontsize=9)
    axes.text(1.7, 6.6, "column k\nof cols", ha="center", va="center", fontsize=9)
    axes.text(6.9, 8.5, "row k of w", ha="center", va="center", fontsize=9)
    axes.text(6.9, -0.4, "12 vectors of sums stay in registers for all k", ha="center", va="center", fontsize=10)
    axes.text(6.9, -1.1, "each step: 8 loads, 12 multiply-adds", ha="center", va="center", fontsize=10, color=QUIET)
    axes.set_xlim(0.8, 11.2)
    axes.set_ylim(-1.6, 9)
    bare(axes)
    finish(figure, PICTURES / "12-registers.png")


def arrow(axes, start, end, color):
    """Draw an arrow between two points."""
    style = {"arrowstyle": "-|>", "mutation_scale": 9, "linewidth": 1.2, "shrinkA": 2, "shrinkB": 2}
    axes.add_patch(FancyArrowPatch(start, end, color=color, **style))


def draw_winograd():
    """Draw two outputs of three taps, with six products and with four."""
    figure = new_figure(5.4, 6.4)
    above, below = figure.subplots(2, 1)
    above.set_title("by the definition: 6 products", fontsize=11)
    below.set_title("Winograd: 4 products, and some additions", fontsize=11)
    for axes in (above, below):
        for k in range(4):
            cell(axes, 1.5 + 2 * k, 4, f"x{k}", QUIET)
        for k in range(2):
            cell(axes, 3.5 + 2 * k, 0, f"y{k}", TRAINING)
        axes.set_xlim(0, 10.5)
        axes.set_ylim(-0.3, 5.2)
        bare(axes)
    for k in range(2):
        for i in range(3):
            place = 0.4 + 1.7 * (3 * k + i)
            cell(above, place, 2, f"·w{i}", VALIDATION)
            arrow(above, (2 + 2 * (k + i), 4), (place + 0.5, 3), QUIET)
            arrow(above, (place + 0.5, 2), (4 + 2 * k, 1), TRAINING)
    inputs = ((0, 2), (1, 2), (1, 2), (1, 3))
    outputs = ((0,), (0, 1), (0, 1), (1,))
    for p in range(4):
        place = 1.0 + 2.2 * p
        cell(below, place, 2, f"p{p}", VALIDATION)
        for k in inputs[p]:
            arrow(below, (2 + 2 * k, 4), (place + 0.5, 3), QUIET)
        for k in outputs[p]:
            arrow(below, (place + 0.5, 2), (4 + 2 * k, 1), TRAINING)
    finish(figure, PICTURES / "12-winograd.png")


def main():
    """Draw all three."""
    PICTURES.mkdir(exist_ok=True)
    draw_memory()
    draw_registers()
    draw_winograd()


if __name__ == "__main__":
    main()
