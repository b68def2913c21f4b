"""``scratchnet export``: write a trained network as an ONNX file, which other programs can run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import load_model
from scratchnet.exchange.onnx_export import OPSET, onnx_bytes
from scratchnet.model import Model
from scratchnet.support.files import as_path, write_whole
from scratchnet.support.optional import optional
from scratchnet.tools import run_folder
from scratchnet.tools.arguments import path_text

IMAGES = 32  # for the comparison of the file with the model
TOLERANCE = 1e-4  # relative to the largest output, or to 1 if that is larger: onnxruntime adds float32 numbers in another order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet export``."""
    parser.description = (
        f"Write a trained network as an ONNX file (operator set {OPSET}), which onnxruntime and other programs run, without this "
        "package. Its input is the same as that of the model here: float32 images of shape (N, H, W, C), pixels in [0, 1]. "
        f"If onnxruntime is installed, it and this package compute the outputs for {IMAGES} images of random pixels, and the "
        "largest difference is printed; if they do not agree, nothing is written. "
        'pip install "scratchnet[onnx]" installs what is needed.'
    )
    parser.add_argument("run_path", type=path_text, metavar="RUN", help="a run folder, or a model.npz")
    parser.add_argument("file", type=path_text, metavar="FILE", help="the file to write, such as model.onnx")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """Write the ONNX file of the run in `args`; return 0."""
    path, file = run_folder.model_path(args.run_path), as_path(args.file)
    if file.is_dir():
        raise IsADirectoryError(f"{file}: expected the name of a file, got a folder. Name a file in it: {file / 'model.onnx'}")
    if file.exists() and not args.force:
        raise FileExistsError(f"{file}: expected a new file, got one that exists. Name another, or add --force to replace it")
    if file.exists() and file.samefile(path):
        raise ValueError(f"{file}: expected another file than the model, got the model itself. Choose another name")
    model = load_model(path)
    try:
        content = onnx_bytes(model)
    except (ImportError, TypeError) as error:  # onnx is missing, or a layer has no form in ONNX
        raise ValueError(str(error)) from error
    compared = comparison(model, content, file)
    write_whole(file, lambda out: out.write(content))
    images, outputs = (", ".join(map(str, ("N", *shape[1:]))) for shape in (model.input_shape, model.output_shape))
    print(f"{path}: {model.name}, {model.count_params():,} parameters")
    print(f"{len(content) / 1e6:.1f} MB in {file}: ONNX, operator set {OPSET}, ({images}) -> ({outputs})")
    print(compared)
    return 0


def comparison(model: Model, content: bytes, file: Path) -> str:
    """Return a line with the largest difference between the outputs of onnxruntime and of the model, on random images.

    Raises
    ------
    ValueError
        When they differ by more than rounding.
    """
    try:
        runtime: Any = optional("onnxruntime", "onnx", "export")
    except ImportError:
        return 'not compared with the model: onnxruntime is not installed (pip install "scratchnet[onnx]")'
    x = np.random.default_rng(0).random((IMAGES, *model.nodes[0].shape), "float32")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x})
    expected = model.predict(x)
    difference = float(np.abs(outputs - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ValueError(
            f"{file}: expected the model's outputs from onnxruntime {runtime.__version__}, got outputs that differ by up to"
            f" {difference:.2g}. Nothing was written. Check that all weights are finite; otherwise please report it"
        )
    return f"onnxruntime {runtime.__version__} computes the same: largest difference on {IMAGES} random images {difference:.1e}"
