"""Draw the pictures of chapter 9, and write the output of its commands into the page: `python docs/book/09_pictures.py`.

It takes about a minute. Everything runs in a temporary folder, on 2,048 generated digits.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from scratchnet import datasets, net_2
from scratchnet.callbacks import TerminateOnNaN, UpdateRatios
from scratchnet.optimizers import Adam
from scratchnet.plotting.canvas import QUIET, TRAINING, finish, new_figure, plain_grid
from scratchnet.plotting.comparison import COLORS, MARKERS
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot

PICTURES = Path(__file__).parent / "pictures"
PAGE = Path(__file__).with_name("09-when-it-does-not-learn.md")
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
IMAGES, EPOCHS = 2048, 3
BLOCK = r"(<!-- output of this program -->\n```text\n)((?:\$ scratchnet .*\n)*)(?:.*\n)*?```$"


def measure(rate):
    """Train net_2 with Adam, and return the last training loss and the ratios of the first epoch by layer."""
    x, y = datasets.glyphs.load_data()[0]
    x, y = add_channel_axis(normalize_images(x[:IMAGES])), one_hot(y[:IMAGES], 10)
    model, updates = net_2(x.shape[1:], 10, seed=0), UpdateRatios()
    model.compile(Adam(rate), "categorical_crossentropy")
    history = model.fit(x, y, batch_size=128, epochs=EPOCHS, callbacks=[updates, TerminateOnNaN()], verbose=0)
    return history.history["loss"][-1], {layer: ratios[0] for layer, ratios in updates.ratios.items()}


def draw_rates():
    """Draw the ratios of the layers, and the loss, for learning rates from 1e-6 to 0.1."""
    losses, ratios = zip(*map(measure, RATES), strict=True)
    figure = new_figure(5.4, 6.4)
    above, below = figure.subplots(2, 1, sharex=True)
    above.axhspan(1e-4, 1e-2, color=QUIET, alpha=0.15, linewidth=0, label="usual")
    for number, layer in enumerate(ratios[0]):
        values = [row[layer] for row in ratios]
        above.plot(RATES, values, color=COLORS[number], marker=MARKERS[number], markersize=5, label=layer)
    above.set(xscale="log", yscale="log")
    above.set_title("‖Δw‖ / ‖w‖ of a step in epoch 1", fontsize=11)
    above.legend(frameon=False, fontsize=9, loc="lower right")
    below.plot(RATES, losses, color=TRAINING, marker="o")
    below.axhline(np.log(10), color=QUIET, linestyle="--")
    below.annotate("guessing: ln 10", (RATES[2], np.log(10)), xytext=(0, 5), textcoords="offset points", fontsize=9)
    below.set_ylim(0, 2.7)
    below.set_title(f"training loss after {EPOCHS} epochs", fontsize=11)
    below.set_xlabel("learning rate of Adam")
    for axes in (above, below):
        plain_grid(axes)
    finish(figure, PICTURES / "09-rates.png")


def run(command, folder):
    """Run a command of the page in `folder`, and return what it prints, without the lines of progress."""
    words = [sys.executable, "-m", *command.split()]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).rstrip()


def write_page(folder):
    """Write the output of each block's last command below its commands."""

    def block(match):
        printed = [run(command.removeprefix("$ "), folder) for command in match[2].splitlines()]
        kept = printed[-1] if "train" not in match[2].splitlines()[-1] else printed[-1].splitlines()[-1]
        return f"{match[1]}{match[2]}{kept}\n```"

    PAGE.write_text(re.sub(BLOCK, block, PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")


def main():
    """Write the page, and draw both pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_page(folder)
        shutil.copy(Path(folder) / "runs" / "dead" / "diagnosis.png", PICTURES / "09-diagnosis.png")
    draw_rates()


if __name__ == "__main__":
    main()
