"""``scratchnet predict``: a trained network's predictions for pictures of your own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchnet import load_model, plotting
from scratchnet.support.files import make_folders
from scratchnet.tools import inputs, run_folder
from scratchnet.tools.arguments import path_text
from scratchnet.tools.pictures import Prepared, prepare, read_picture

PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pdf", ".svg"}
LONGEST = 50  # characters of a picture's name that its drawing's name begins with: a name has at most 255 bytes, a character 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet predict``."""
    parser.description = (
        "Print the class and the three largest probabilities of each picture, and draw the picture as the network sees it. "
        "For a network of grey images, the ink of the only drawing in the picture is found, dark on light or light on dark, scaled "
        "to fit 20 of 28 pixels, and centred, as MNIST's digits are; a picture in which the ink is not clear is refused. For "
        "a network of colour images, the middle of the picture is cut out and averaged down to the input size. What was decided "
        "is printed, and written below the drawing."
    )
    parser.add_argument("run_path", type=path_text, metavar="RUN", help="a run folder, or a model.npz")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a picture file: PNG, JPEG, GIF, BMP, TIFF, WebP or PPM")
    about = "the folder for the drawings (default: predictions/ in the run folder)"
    parser.add_argument("--out", type=path_text, metavar="DIR", help=about)


def run(args: argparse.Namespace) -> int:
    """Print the prediction for each picture, and draw the picture as the network sees it; return 0."""
    path = run_folder.model_path(args.run_path)
    folder = drawings_folder(args.out, path)
    settings = run_folder.read_settings(path)
    model = load_model(path)
    shape, K = inputs.form(model)
    class_names = inputs.class_names(settings, K)
    pictures = [prepared(image, shape) for image in args.images]  # all are read before any is drawn
    x = np.stack([picture.x for picture in pictures])  # (N, H, W, C)

    probabilities = inputs.probabilities(model, x)  # (N, K)
    make_folders(folder)
    drawings = drawing_paths(folder, args.images)
    for image, picture, p, drawing in zip(args.images, pictures, probabilities, drawings, strict=True):
        plotting.prediction(picture.x, p, class_names, title=inputs.as_title(Path(image).name), note=picture.decision, path=drawing)
        top = np.argsort(-p, kind="stable")[:3]
        chances = ", ".join(f"{class_names[k]}: {100 * p[k]:.1f} %" for k in top)
        print(f"{image}: {class_names[top[0]]} ({chances}); drawn in {drawing}")
        print(f"  {picture.decision}")
    return 0


def drawings_folder(out: str | None, model: Path) -> Path:
    """Return the folder for the drawings: `out`, or ``predictions`` beside the model file. It is not created.

    Raises
    ------
    ValueError
        If `out` is a file, or looks like the name of a picture.
    """
    if out is None:
        return model.parent / "predictions"
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out: expected a folder, got the file {out}. Choose another name.")
    if not folder.is_dir() and folder.suffix.lower() in PICTURES:
        raise ValueError(f"--out: expected a folder, got {out}, the name of a picture. Name a folder for the drawings.")
    return folder


def prepared(image: str, shape: tuple[int, ...]) -> Prepared:
    """Return the picture in the file `image` as the network's input; errors name the file."""
    picture = read_picture(image)
    try:
        return prepare(picture, shape)
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
        stem, number = f"{Path(image).stem[:LONGEST]}-prediction", 1
        path = folder / f"{stem}.png"
        while path.resolve() in taken:
            number += 1
            path = folder / f"{stem}-{number}.png"
        taken.add(path.resolve())
        paths.append(path)
    return paths
