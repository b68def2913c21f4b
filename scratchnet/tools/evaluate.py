"""``scratchnet evaluate``: how good a trained net is, class by class."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import datasets, load_model, losses, preprocessing
from scratchnet.tools import inputs, run_folder


def run(args: argparse.Namespace) -> int:
    """Print loss, accuracy and a table of classes for the run and data in `args`; return 0."""
    path = run_folder.model_path(args.run_path)
    data_name = args.data or run_folder.read_settings(path).get("data")
    if data_name is None:
        raise ValueError(f"no settings.json beside {path} says what the net was trained on; name the data with --data")
    model = load_model(path)
    data = datasets.load(data_name)
    x, y = inputs.net_inputs(data.x_test[: args.limit]), data.y_test[: args.limit]
    inputs.check_fit(model, x.shape[1:], len(data.class_names), data.name)
    _, K = inputs.form(model)
    class_names = [*data.class_names, *map(str, range(len(data.class_names), K))]  # the net may know more than these

    # The loss is measured in its own way whatever the net was trained with, so that runs can be compared.
    model.compile(loss=losses.CategoricalCrossentropy(from_logits=inputs.gives_logits(model)), metrics=["accuracy"])
    loss, accuracy = model.evaluate(x, preprocessing.one_hot(y, K), batch_size=128, verbose=0)
    said = model.predict(x, batch_size=128).argmax(axis=1)
    print(f"{path}: {model.name}, {model.count_params():,} parameters")
    print(f"{data.name}: loss {loss:.4f}, accuracy {accuracy:.4f} ({len(x):,} test images)\n")
    print("\n".join(class_table(y, said, class_names)))
    return 0


def class_table(y_true: Any, y_pred: Any, class_names: Sequence[str]) -> list[str]:
    """Return lines of a table: each class, its images, the share that was right, what it was most often taken for.

    >>> for line in class_table([0, 0, 0, 1], [0, 1, 1, 1], ["cat", "dog", "owl"]):
    ...     print(line)
    class  images  accuracy  most often taken for
    cat         3    0.3333  dog (2)
    dog         1    1.0000
    owl         0         -
    """
    K = len(class_names)
    counts = np.bincount(np.asarray(y_true, int) * K + np.asarray(y_pred, int), minlength=K * K).reshape(K, K)
    width = max(5, *map(len, class_names))
    lines = [f"{'class':<{width}}  images  accuracy  most often taken for"]
    for k, row in enumerate(counts):
        images = row.sum()
        accuracy = f"{row[k] / images:.4f}" if images else "-"
        wrong = np.where(np.arange(K) == k, 0, row)
        other = f"{class_names[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else ""
        lines.append(f"{class_names[k]:<{width}}  {images:6}  {accuracy:>8}  {other}".rstrip())
    return lines
