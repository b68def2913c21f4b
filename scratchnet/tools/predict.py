"""``scratchnet predict``: a trained network's answer to pictures of your own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchnet import load_model, losses, plotting
from scratchnet.tools import inputs, run_folder
from scratchnet.tools.arguments import path_text
from scratchnet.tools.pictures import read_picture, to_net


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet predict``."""
    parser.description = (
        "Print the class and the three largest probabilities of each picture, and draw the picture as the network sees it. "
        "For a network of grey images, a drawing is inverted if it is dark on light, scaled so that its ink fits 20 of 28 pixels, "
        "and centred, as MNIST's digits are; a drawing that already has the network's input size is only inverted. For a network "
        "of colour images, the middle of the picture is cut out and averaged down to the input size."
    )
    parser.add_argument("run_path", type=path_text, metavar="RUN", help="a run folder, or a model.npz")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a picture of any size: grey, RGB or RGBA")
    parser.add_argument("--out", type=path_text, metavar="DIR", help="the folder for the drawings (predictions/ in the run folder)")


def run(args: argparse.Namespace) -> int:
    """Print one line for each picture, and draw each as the network sees it; return 0."""
    path = run_folder.model_path(args.run_path)
    class_names = run_folder.read_settings(path).get("class_names")
    model = load_model(path)
    shape, K = inputs.form(model)
    if class_names is None or len(class_names) != K:
        class_names = [str(k) for k in range(K)]
    x = np.stack([prepared(image, shape) for image in args.images])  # (N, H, W, C); all are read before any is drawn

    outputs = model.predict(x)  # (N, K)
    probabilities = losses.softmax(outputs) if inputs.gives_logits(model) else outputs
    folder = Path(args.out) if args.out else path.parent / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    drawings = drawing_paths(folder, args.images)
    for image, seen, p, drawing in zip(args.images, x, probabilities, drawings, strict=True):
        plotting.prediction(seen, p, class_names, title=Path(image).name, path=drawing)
        top = np.argsort(-p, kind="stable")[:3]
        chances = ", ".join(f"{class_names[k]}: {100 * p[k]:.1f} %" for k in top)
        print(f"{image}: {class_names[top[0]]} ({chances}); drawn in {drawing}")
    return 0


def prepared(image: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the picture in the file `image` as the network's input; errors name the file."""
    picture = read_picture(image)
    try:
        return to_net(picture, shape)
    except ValueError as error:
        raise ValueError(f"{image}: {error}") from None


def drawing_paths(folder: Path, images: Sequence[str]) -> list[Path]:
    """Return a file in `folder` for each picture: its name with "-prediction", and a number if that name is taken.

    >>> [path.name for path in drawing_paths(Path("out"), ["a/one.png", "b/one.png", "two.jpg"])]
    ['one-prediction.png', 'one-prediction-2.png', 'two-prediction.png']
    """
    taken = {Path(image).resolve() for image in images}  # the user's pictures are never overwritten
    paths = []
    for image in images:
        stem, number = f"{Path(image).stem}-prediction", 1
        path = folder / f"{stem}.png"
        while path.resolve() in taken:
            number += 1
            path = folder / f"{stem}-{number}.png"
        taken.add(path.resolve())
        paths.append(path)
    return paths
