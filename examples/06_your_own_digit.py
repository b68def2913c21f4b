"""A digit of your own: a picture of any size is converted to the form of the training images, and the net classifies it.

    python examples/06_your_own_digit.py                    draws a four with three thick strokes, and classifies it
    python examples/06_your_own_digit.py my_digit.png       your own picture: one digit, dark on light or light on dark

The first run trains the net on printed digits and keeps it in runs/own-digit. `scratchnet predict RUN IMAGE` does the same
for any run.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from scratchnet import cli, load_model, plotting
from scratchnet.tools.pictures import prepare, read_picture


def draw_a_four(path):
    figure = Figure(figsize=(2, 2.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(0, 12))
    for stroke in ([(5.6, 10.4), (2, 4.4)], [(2, 4.4), (8, 4.6)], [(6.3, 7), (6, 1.5)]):
        axes.plot(*zip(*stroke, strict=True), color="navy", linewidth=11, solid_capstyle="round")
    axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(picture, run, limit, epochs):
    if not (run / "model.npz").exists():
        words = ["train", "--data", "glyphs", "--limit", str(limit), "--epochs", str(epochs), "--out", str(run)]
        if cli.main(words) != 0:
            raise SystemExit("Training failed, so there is no net to classify the picture. See the message above.")
    model = load_model(run / "model.npz")
    if picture is None:
        picture = run / "pictures" / "four.png"
        draw_a_four(picture)

    x, decision = prepare(read_picture(picture), model.input_shape[1:])     # x (28, 28, 1): light on dark, scaled, centred
    p = model.predict(x[None])[0]                                           # (1, 28, 28, 1) -> (1, 10) -> (10,)
    for digit in p.argsort()[::-1][:3]:
        print(f"{picture}: a {digit} with a probability of {100 * p[digit]:.1f} %")
    print(f"{picture}: {decision}")
    seen = run / f"{Path(picture).stem}-as-the-net-sees-it.png"
    plotting.prediction(x, p, "0123456789", title=Path(picture).name, note=decision, path=seen)
    print(f"Drawn: {seen}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Classify a picture of a digit.")
    parser.add_argument("picture", nargs="?", help="a PNG with one digit; without it a four is drawn")
    parser.add_argument("--run", type=Path, default=Path("runs/own-digit"), help="a run folder; a model is trained if it has none")
    parser.add_argument("--limit", type=int, default=12_000, help="images to train on (%(default)s)")
    parser.add_argument("--epochs", type=int, default=4)
    main(**vars(parser.parse_args()))
