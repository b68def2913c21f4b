"""``scratchnet evaluate``: the loss and the accuracy of a trained network, and the accuracy of each class."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import datasets, load_model, losses, preprocessing
from scratchnet.metrics import confusion_matrix
from scratchnet.support.tables import text_table
from scratchnet.tools import inputs, run_folder
from scratchnet.tools.arguments import DATA, TRANSPOSE, VIEWS, path_text, positive_int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet evaluate``."""
    parser.description = "Print the loss and the accuracy of a trained network on test images, and the accuracy of each class."
    parser.add_argument("run_path", type=path_text, metavar="RUN", help="a run folder, or a model.npz")
    parser.add_argument("--data", type=path_text, metavar="NAME|PATH", help=f"{DATA} (default: the data of the run)")
    as_in_run = "default: as in the run, unless --data names other data"
    parser.add_argument("--transpose", action="store_true", help=f"{TRANSPOSE} ({as_in_run})")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="use only the first N test images (default: all)")
    parser.add_argument(
        "--augment",
        choices=["none", *VIEWS],
        help="also evaluate predictions averaged over views of each image: mirrored, moved by one pixel, or both (default: "
        "what the run's recipe says, or none)",
    )


def run(args: argparse.Namespace) -> int:
    """Print loss, accuracy and a table of classes for the run and data in `args`; return 0."""
    path = run_folder.model_path(args.run_path)
    settings = run_folder.read_settings(path)
    data_name = args.data or settings.get("data")
    if data_name is None:
        raise ValueError(f"{path}: expected a settings.json beside it that names the data, got none. Name the data with --data.")
    model = load_model(path)
    transpose = args.transpose or (args.data is None and inputs.transposed(settings))
    data = datasets.load(data_name, transpose=transpose)
    x, y = inputs.net_inputs(data.x_test[: args.limit]), data.y_test[: args.limit]
    inputs.check_fit(model, x.shape[1:], len(data.class_names), data.name)
    _, K = inputs.form(model)
    class_names = [*data.class_names, *map(str, range(len(data.class_names), K))]  # the network may have more classes

    # Always cross-entropy, whatever loss the network was trained with, so that runs can be compared.
    model.compile(loss=losses.CategoricalCrossentropy(from_logits=inputs.gives_logits(model)), metrics=["accuracy"])
    loss, accuracy = model.evaluate(x, preprocessing.one_hot(y, K), batch_size=128, verbose=0)
    y_pred = model.predict(x, batch_size=128).argmax(axis=1)
    augment = args.augment or settings.get("augment", "none")
    print(f"{path}: {model.name}, {model.count_params():,} parameters")
    print(f"{data.name}: loss {loss:.4f}, accuracy {accuracy:.4f} ({len(x):,} test images)")
    if augment != "none":
        loss, accuracy = model.evaluate(x, preprocessing.one_hot(y, K), batch_size=128, verbose=0, augment=augment)
        print(f"with test-time augmentation ({augment}): loss {loss:.4f}, accuracy {accuracy:.4f}; each class without it:")
    print()
    print("\n".join(class_table(y, y_pred, class_names)))
    return 0


def class_table(y_true: Any, y_pred: Any, class_names: Sequence[str]) -> list[str]:
    """Return the lines of a table: each class, its number of images, its accuracy, and its most frequent wrong prediction.

    >>> for line in class_table([0, 0, 0, 1], [0, 1, 1, 1], ["cat", "dog", "owl"]):
    ...     print(line)
    class  images  accuracy  most often confused with
    cat         3    0.3333  dog (2)
    dog         1    1.0000
    owl         0         -
    """
    rows = [("class", "images", "accuracy", "most often confused with")]
    for k, counts in enumerate(confusion_matrix(y_true, y_pred, len(class_names))):
        images, correct = counts.sum(), counts[k]
        wrong = np.where(np.arange(len(counts)) == k, 0, counts)
        other = f"{class_names[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else ""
        rows.append((class_names[k], str(images), f"{correct / images:.4f}" if images else "-", other))
    return text_table(rows, "<>>")
