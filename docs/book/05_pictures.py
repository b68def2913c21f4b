"""Draw the pictures of chapter 5: `python docs/book/05_pictures.py`.

They show the shapes of both networks, the path of a batch through net_2, and each layer's share of parameters and of work.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from scratchnet import Conv2D, Dense, MaxPooling2D, net_1, net_2
from scratchnet.plotting.canvas import CORRECT, QUIET, TRAINING, VALIDATION, finish, new_figure

PICTURES = Path(__file__).parent / "pictures"
NETS = {"net_1": net_1, "net_2": net_2}
COLORS = {Conv2D: TRAINING, MaxPooling2D: CORRECT, Dense: VALIDATION}


def weight_layers(model):
    """Return the layers that `summary()` lists, without the input."""
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]


def multiply_adds(layer):
    """Return how many products of two numbers forward computes for one image."""
    if isinstance(layer, Conv2D):
        return int(np.prod(layer.output_shape[:2])) * layer.params["kernel"].size        # each window times each filter
    return layer.params["kernel"].size if isinstance(layer, Dense) else 0


def draw_images(axes, x, y, shape, color):
    """Draw C feature maps of H × W as a stack of squares, or D numbers as a bar."""
    if len(shape) == 3:
        side, copies = shape[0] / 28 * 0.95, min(4, 1 + shape[2] // 16)
        for k in reversed(range(copies)):
            axes.add_patch(Rectangle((x - side / 2 + 0.07 * k, y - side / 2 + 0.07 * k), side, side, fc="white", ec=color, lw=1.5))
    else:
        length = 0.3 + 0.14 * np.log2(shape[0] / 10)
        axes.add_patch(Rectangle((x - length / 2, y - 0.09), length, 0.18, fc="white", ec=color, lw=1.5))


def draw_networks():
    """Draw each layer's output, from top to bottom, with what computes it."""
    figure = new_figure(5.2, 8.6)
    for axes, (name, net) in zip(figure.subplots(1, 2), NETS.items(), strict=True):
        layers = weight_layers(net((28, 28, 1), 10))
        draw_images(axes, 0, 0, (28, 28, 1), QUIET)
        axes.text(0.6, 0, "28×28×1", ha="left", va="center")
        y, last = 0.0, 0.475
        for layer in layers:
            shape = layer.output_shape
            half = shape[0] / 56 * 0.95 if len(shape) == 3 else 0.09
            color = COLORS.get(type(layer), QUIET)
            y -= last + half + 0.75
            draw_images(axes, 0, y, shape, color)
            text = "×".join(map(str, shape))
            if len(shape) == 3:
                axes.text(half + 0.35, y, text, ha="left", va="center")
            else:
                axes.text(0, y - 0.3, text, ha="center", va="center")
            title = {Conv2D: "conv 3×3", MaxPooling2D: "max-pool 2×2"}.get(type(layer), layer.name.split("_")[0])
            strides = getattr(layer, "strides", None)
            title += f", stride {strides[0]}" if strides else ""
            text_color = "black" if color == QUIET else color
            axes.text(0.1, y + half + 0.45, title, color=text_color, ha="left", va="center", fontsize=10.5)
            arrow = FancyArrowPatch((0, y + half + 0.68), (0, y + half + 0.22), arrowstyle="-|>", mutation_scale=11, color=QUIET)
            axes.add_patch(arrow)
            last = half + (0 if len(shape) == 3 else 0.35)
        axes.set(xlim=(-1.05, 1.75), ylim=(-9.6, 0.7), title=name)
        axes.axis("off")
    finish(figure, PICTURES / "05-networks.png")


def draw_step():
    """Draw the path of a batch of N images through net_2: forward down, backward up, and the gradients to the optimizer."""
    layers = weight_layers(net_2((28, 28, 1), 10))
    names = [layer.name for layer in layers]
    arrays = ["x  (N, 28, 28, 1)", *("(N, " + ", ".join(map(str, layer.output_shape)) + ")" for layer in layers)]
    figure = new_figure(5.2, 7.4)
    axes = figure.subplots()
    for k, name in enumerate([*names, "loss"]):
        y = -1.5 * k
        axes.add_patch(FancyBboxPatch((-0.75, y - 0.28), 1.5, 0.56, boxstyle="round,pad=0.05", fc="#f4f5f7", ec="#444444"))
        axes.text(0, y, name, ha="center", va="center", fontweight="bold")
        down = FancyArrowPatch((-0.45, y + 1.12), (-0.45, y + 0.38), arrowstyle="-|>", mutation_scale=14, color=TRAINING, lw=2)
        axes.add_patch(down)
        text = arrays[k] if k < len(names) else "logits\n(N, 10)"
        axes.text(-0.65, y + 0.75, text, ha="right", va="center", color=TRAINING)
        if k:
            up = FancyArrowPatch((0.45, y + 0.38), (0.45, y + 1.12), arrowstyle="-|>", mutation_scale=14, color=VALIDATION, lw=2)
            axes.add_patch(up)
            if k == len(names):
                axes.text(0.65, y + 0.75, "dlogits\n(N, 10)", ha="left", va="center", color=VALIDATION)
        if k < len(names) and layers[k].params:
            axes.annotate(
                "dw, db", (0.85, y), (1.9, y), ha="left", va="center", color=VALIDATION,
                arrowprops={"arrowstyle": "<|-", "color": VALIDATION, "lw": 1.5},
            )  # fmt: skip
    axes.add_patch(FancyBboxPatch((3.0, -6.3), 0.5, 6.6, boxstyle="round,pad=0.05", fc="#f4f5f7", ec="#444444"))
    axes.text(3.25, -3, "the optimizer changes w and b", rotation=90, ha="center", va="center", fontweight="bold")
    axes.text(-0.65, -8.25, "y  (N, 10)", ha="right", va="center", color=TRAINING)
    axes.add_patch(FancyArrowPatch((-0.45, -8.25), (-0.2, -7.86), arrowstyle="-|>", mutation_scale=14, color=TRAINING, lw=2))
    axes.text(-1.9, 1.45, "forward: down", color=TRAINING, ha="center", fontsize=13)
    axes.text(1.6, 1.45, "backward: up", color=VALIDATION, ha="center", fontsize=13)
    axes.set(xlim=(-3.1, 3.7), ylim=(-8.5, 1.8))
    axes.axis("off")
    finish(figure, PICTURES / "05-step.png")


def draw_shares():
    """Draw which part of the parameters, and which part of the multiplications of forward, each layer has."""
    figure = new_figure(5.2, 5.6)
    for axes, (name, net) in zip(figure.subplots(2, 1), NETS.items(), strict=True):
        layers = [layer for layer in weight_layers(net((28, 28, 1), 10)) if layer.params]
        counts = {
            "parameters": ([sum(p.size for p in layer.params.values()) for layer in layers], VALIDATION, -0.2),
            "multiplications": ([multiply_adds(layer) for layer in layers], TRAINING, 0.2),
        }
        for what, (numbers, color, shift) in counts.items():
            shares = 100 * np.array(numbers) / sum(numbers)
            rows = np.arange(len(layers)) + shift
            axes.barh(rows, shares, 0.38, color=color, label=what)
            for row, share in zip(rows, shares, strict=True):
                axes.text(share + 1.5, row, f"{share:.1f} %" if share >= 0.05 else "< 0.1 %", va="center", fontsize=10.5)
        axes.set_yticks(range(len(layers)), [layer.name for layer in layers])
        axes.set(xlim=(0, 119), title=f"{name} on 28×28×1", xticks=range(0, 101, 25))
        axes.invert_yaxis()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    axes.set_xlabel("percent of the network")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    finish(figure, PICTURES / "05-shares.png")


def main():
    """Draw all three."""
    with mpl.rc_context({"font.size": 12}):
        draw_networks()
        draw_step()
        draw_shares()


if __name__ == "__main__":
    main()
