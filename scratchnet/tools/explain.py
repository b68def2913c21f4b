"""``scratchnet explain``: a page that shows how a trained network computed every number for an image."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import datasets, explain, load_model
from scratchnet.model import Model
from scratchnet.support.files import write_text
from scratchnet.tools import inputs, run_folder
from scratchnet.tools.arguments import DATA, natural, path_text
from scratchnet.tools.predict import LONGEST, prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet explain``."""
    parser.description = (
        "Write one self-contained web page (no internet, no server) of what a trained network computed for one image: every "
        "layer's feature maps and the probabilities. A click on a cell shows the sum that made its number or, in the mode "
        "Backward, which cells sent gradient to it, and how much, for the class that you choose. The image is a picture of your "
        "own, prepared in the same way as by 'scratchnet predict', or a test image of a data set."
    )
    parser.add_argument("run_path", type=path_text, metavar="RUN", help="a run folder, or a model.npz")
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="a picture file: PNG, JPEG, GIF, BMP, TIFF, WebP or PPM")
    parser.add_argument("--index", type=natural, metavar="N", help="in place of IMAGE: test image N, counted from 0")
    parser.add_argument("--data", type=path_text, metavar="NAME|PATH", help=f"{DATA} (with --index; default: the data of the run)")
    parser.add_argument("--out", type=path_text, metavar="FILE", help="the page (default: NAME-explained.html in the run folder)")
    parser.add_argument("--open", action="store_true", help="open the page in the web browser")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Write the page for the image in `args`; return 0."""
    if (args.image is None) == (args.index is None):
        got = "none" if args.image is None else "both"
        args.usage_error(f"expected either a picture IMAGE or a test image --index N, got {got}")
    if args.data is not None and args.index is None:
        args.usage_error("--data names the set of a test image: expected --index N with it, got none")
    path = run_folder.model_path(args.run_path)
    settings = run_folder.read_settings(path)
    model = load_model(path)
    class_names, label = settings.get("class_names"), None
    if args.image is not None:
        shape, _ = inputs.form(model)
        x, note = prepared(args.image, shape)
        source, name = Path(args.image).name, Path(args.image).stem[:LONGEST]
    else:
        data, x, label = set_image(model, args, settings, path)
        class_names, note = data.class_names, ""
        source, name = f"test image {args.index} of {data.name}", f"{Path(data.name).name}-{args.index}"
    out = Path(args.out) if args.out is not None else path.parent / f"{name}-explained.html"
    for what, read in (("picture", args.image), ("model", path)):
        if read is not None and out.resolve() == Path(read).resolve():
            raise ValueError(f"--out: expected another file than the {what}, got {out}. Choose another name.")

    _, K = inputs.form(model)
    names = [*(class_names or ())]
    names = [*names, *map(str, range(len(names), K))] if len(names) <= K else [str(k) for k in range(K)]
    inside = explain.look_inside(model, x, label)
    text = explain.as_html(inside, names, net=model.name, source=source, label=label, note=note)
    write_text(out, text)
    first, second = np.argsort(-inside.probabilities, kind="stable")[:2]
    chances = ", ".join(f"{names[k]}: {100 * inside.probabilities[k]:.1f} %" for k in (first, second))
    print(f"{source}: {names[first]} ({chances}); {len(text.encode()) / 1e6:.1f} MB in {out}")
    if note:
        print(f"  {note}")
    if args.open:
        webbrowser.open(out.resolve().as_uri())
    return 0


def set_image(model: Model, args: argparse.Namespace, settings: dict[str, Any], path: Path) -> tuple[Any, np.ndarray, int]:
    """Return the data set that `args` or the run names, its test image ``--index`` as the network's input, and its label."""
    name = args.data or settings.get("data")
    if name is None:
        raise ValueError(f"{path}: expected a settings.json beside it that names the data, got none. Name the data with --data.")
    data = datasets.load(name, transpose=args.data is None and inputs.transposed(settings))
    count = len(data.x_test)
    if args.index >= count:
        raise ValueError(f"--index: expected at most {count - 1}, got {args.index}. {data.name} has {count:,} test images.")
    x = inputs.net_inputs(data.x_test[args.index : args.index + 1])
    inputs.check_fit(model, x.shape[1:], len(data.class_names), data.name)
    return data, x[0], int(data.y_test[args.index])
