"""Draw the pictures of chapter 6: `python docs/book/06_pictures.py`.

The paths and the distances are computed by the rules of scratchnet/optimizers.py. The curves of net_2 are those of the finished
training runs in docs/results/histories.
"""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scratchnet.optimizers.schedules import CosineDecay, ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay

from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam
from scratchnet.plotting.canvas import QUIET, finish, new_figure, plain_grid
from scratchnet.plotting.comparison import COLORS

PICTURES = Path(__file__).parent / "pictures"
HISTORIES = Path(__file__).parents[1] / "results" / "histories"
START = (-7.0, 2.0)
NUMPY = {"implementation": "numpy"}     # exactly the functions that the chapter shows
BLUE, RED, GREEN, PINK, AMBER = COLORS[:5]


def f(p):
    """Return the height of the surface: a valley, 20 times as steep across as along."""
    return p[0] ** 2 / 20 + p[1] ** 2


def df(p):
    """Return its gradient."""
    return np.array([p[0] / 10, 2 * p[1]])


def path(optimizer, steps, start=START, gradient=df):
    """Return the places that an optimizer visits: (steps + 1, 2)."""
    p = np.array(start)
    places = [p.copy()]
    for _ in range(steps):
        optimizer.update([p], [gradient(p)])
        places.append(p.copy())
    return np.array(places)


def paths():
    """Return for each optimizer, at a rate that suits this surface, its path and its colour."""
    return {
        "SGD, 0.95": (path(SGD(0.95, **NUMPY), 30), AMBER),
        "momentum, 0.1": (path(SGD(0.1, momentum=0.9, **NUMPY), 30), PINK),
        "Adagrad, 1.5": (path(Adagrad(1.5, **NUMPY), 30), GREEN),
        "Adam, 0.3": (path(Adam(0.3, **NUMPY), 30), BLUE),
        "Adadelta, 1.0": (path(Adadelta(1.0, **NUMPY), 3000), RED),
    }


def draw_paths():
    """Draw each path on the contours of the surface, and the heights that all of them reach."""
    figure = new_figure(5.2, 6.6)
    panels = figure.subplots(3, 2)
    x, y = np.meshgrid(np.linspace(-8, 4, 121), np.linspace(-3, 3, 121))
    *small, heights = panels.ravel()
    for axes, (name, (places, color)) in zip(small, paths().items(), strict=True):
        axes.contour(x, y, f((x, y)), levels=[0.05, 0.4, 1, 2, 3.5, 5.5, 8], colors="#c4cad1", linewidths=1)
        shown = places if len(places) < 100 else places[::100]
        axes.plot(*shown.T, "o-", color=color, markersize=3.5, linewidth=1.5)
        axes.plot(0, 0, "k+", markersize=10)
        axes.set(xlim=(-8, 4), ylim=(-3, 3), xticks=(), yticks=(), title=name)
        if shown is not places:
            axes.text(3.8, -2.9, "a point for\n100 steps", ha="right", va="bottom", fontsize=10.5)
        heights.loglog(range(1, len(places)), [f(p) for p in places[1:]], color=color, linewidth=1.8)
    heights.set(ylim=(1e-4, 20), xlabel="steps", title="height")
    plain_grid(heights)
    finish(figure, PICTURES / "06-paths.png")


def distances(optimizer, steps):
    """Return how far one weight has moved after each step if its gradient is always 0.01."""
    return -path(optimizer, steps, (0.0,), lambda p: np.full(1, 0.01))[1:, 0]


def draw_distances():
    """Draw how far a weight moves with each optimizer and rate."""
    figure = new_figure(5.2, 4.6)
    axes = figure.subplots()
    lines = [
        ("Adadelta, 1.0", Adadelta(1.0, **NUMPY), RED, "-"),
        ("Adam, 0.001", Adam(**NUMPY), BLUE, "-"),
        ("Adagrad, 0.03", Adagrad(0.03, **NUMPY), GREEN, "-"),
        ("Adagrad, 0.001", Adagrad(**NUMPY), GREEN, "--"),
        ("Adadelta, 0.001", Adadelta(**NUMPY), RED, "--"),
    ]
    steps = 6256
    for name, optimizer, color, line in lines:
        moved = distances(optimizer, steps)
        axes.loglog(range(1, steps + 1), moved, line, color=color, linewidth=2)
        axes.text(steps * 1.3, moved[-1], name, color=color, va="top" if name == "Adagrad, 0.03" else "center")
    axes.set(xlim=(1, 9e5), ylim=(1e-6, 60), xticks=[1, 10, 100, 1000], xlabel="steps", ylabel="distance from the start")
    axes.minorticks_off()
    axes.axvline(391, color=QUIET, linestyle=":")
    axes.text(391, 1.4e-6, " 1 epoch", color=QUIET)
    axes.xaxis.set_label_coords(0.33, -0.1)
    plain_grid(axes)
    finish(figure, PICTURES / "06-distances.png")


def accuracies(name):
    """Return the validation accuracy of the first 8 epochs for each seed of an experiment: (seeds, 8)."""
    files = sorted(HISTORIES.glob(f"net_2-cifar10-{name}-seed*.json"))
    return np.array([json.loads(file.read_text(encoding="utf-8"))["history"]["val_accuracy"][:8] for file in files])


def draw_net_2():
    """Draw net_2's accuracy on CIFAR-10 with each optimizer, at the default rates and at the best ones."""
    figure = new_figure(5.2, 4.6)
    axes = figure.subplots()
    lines = [
        ("Adam, 0.001", "adam", BLUE, "-"),
        ("Adadelta, 1.0", "adadelta-1", RED, "-"),
        ("Adagrad, 0.03", "adagrad-0.03", GREEN, "-"),
        ("Adagrad, 0.001", "adagrad", GREEN, "--"),
        ("Adadelta, 0.001", "adadelta", RED, "--"),
    ]
    labels = [0.69, 0.65, 0.61, 0.40, 0.27]
    epochs = range(1, 9)
    for (name, file, color, line), height in zip(lines, labels, strict=True):
        seeds = accuracies(file)
        axes.plot(epochs, seeds.mean(axis=0), line, color=color, linewidth=2)
        axes.fill_between(epochs, seeds.min(axis=0), seeds.max(axis=0), color=color, alpha=0.15, linewidth=0)
        axes.text(8.3, height, name, color=color, va="center")
    axes.set(xlim=(1, 12.6), ylim=(0, 0.75), xticks=epochs, xlabel="epoch", ylabel="validation accuracy")
    axes.xaxis.set_label_coords(0.3, -0.1)
    plain_grid(axes)
    finish(figure, PICTURES / "06-net_2.png")


def draw_schedules():
    """Draw the rate of each of 1,000 steps, with four schedules."""
    figure = new_figure(5.2, 3.9)
    axes = figure.subplots()
    schedules = {
        "PiecewiseConstantDecay": (PiecewiseConstantDecay([400, 800], [0.1, 0.03, 0.01]), "-"),
        "ExponentialDecay": (ExponentialDecay(0.1, decay_steps=300, decay_rate=0.5), "--"),
        "PolynomialDecay": (PolynomialDecay(0.1, decay_steps=1000, end_learning_rate=0.0), ":"),
        "CosineDecay, with a warm-up": (
            CosineDecay(0.0, decay_steps=900, warmup_target=0.1, warmup_steps=100), "-",
        ),
    }  # fmt: skip
    for (name, (schedule, line)), color in zip(schedules.items(), (GREEN, AMBER, RED, BLUE), strict=True):
        axes.plot([schedule(step) for step in range(1001)], line, color=color, linewidth=2, label=name)
    axes.set(xlabel="step", ylabel="learning rate", ylim=(0, 0.105), xlim=(0, 1000))
    plain_grid(axes)
    figure.legend(loc="outside upper left", frameon=False, ncols=1)
    finish(figure, PICTURES / "06-schedules.png")


def main():
    """Draw all four."""
    with mpl.rc_context({"font.size": 12}):
        draw_paths()
        draw_distances()
        draw_net_2()
        draw_schedules()


if __name__ == "__main__":
    main()
