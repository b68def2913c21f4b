"""The run folder: the files that ``scratchnet train`` writes, and how they are read again.

A run folder contains

    model.npz        the model with its weights and the optimizer's state: scratchnet.load_model reads it
    history.json     History.history: lists of loss, accuracy, val_loss and val_accuracy, one value for each epoch
    history.csv      the same as a table, epochs from 1
    settings.json    all arguments, versions, the machine, and how the run ended
    *.png            the figures

Each file is written under a temporary name and then renamed, so that it is always complete.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from scratchnet.support.files import write_text

MODEL = "model.npz"
HISTORY_JSON = "history.json"
HISTORY_CSV = "history.csv"
SETTINGS = "settings.json"
FIGURES = ("history.png", "filters.png", "feature_maps.png", "confusion_matrix.png", "confident_mistakes.png")


def default_folder(net: str, data: str, now: datetime | None = None) -> Path:
    """Return ``runs/<date>-<net>-<data>``, the date to the second.

    >>> default_folder("net_2", "data/fashion mnist", datetime(2030, 1, 31, 9, 5, 7)).as_posix()
    'runs/2030-01-31-090507-net_2-fashion_mnist'
    """
    now = now or datetime.now()
    name = re.sub(r"[^\w.-]+", "_", Path(data).name or "data")
    return Path("runs") / f"{now:%Y-%m-%d-%H%M%S}-{net}-{name}"


def check_free(folder: Path, force: bool) -> None:
    """Raise OSError if `folder` is a file, or is not empty and `force` is False. Nothing is created."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder, got a file. Name another --out.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise FileExistsError(
            f"{folder}: expected a new or empty folder, got one with files. Name another --out, or add --force to replace its run."
        )


def start(folder: Path) -> None:
    """Create `folder`, and remove the files of an earlier run, so that the files of two runs are never mixed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, HISTORY_JSON, HISTORY_CSV, SETTINGS, *FIGURES):
        (folder / name).unlink(missing_ok=True)


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write ``settings.json``."""
    write_text(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")


def write_history(folder: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Write ``history.json`` and ``history.csv`` from lists of one value for each epoch."""
    write_text(folder / HISTORY_JSON, json.dumps(history, indent=2) + "\n")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["epoch", *history])
    rows.writerows([epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), start=1))
    write_text(folder / HISTORY_CSV, table.getvalue())


def model_path(run: str | Path) -> Path:
    """Return the model file of `run`, a run folder or the file itself; raise FileNotFoundError if there is none."""
    run = Path(run)
    path = run / MODEL if run.is_dir() else run
    if not path.is_file():
        found = f"a folder without {MODEL}" if run.is_dir() else "a path that does not exist"
        raise FileNotFoundError(
            f"{run}: expected a run folder or a {MODEL}, got {found}. Name a folder that 'scratchnet train' wrote."
        )
    return path


def read_settings(model: Path) -> dict[str, Any]:
    """Return the content of ``settings.json`` beside `model`, or an empty dict if there is no such file."""
    path = model.with_name(SETTINGS)
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got an error: {error}. Train again, or delete the file.") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected a JSON object, got a {type(settings).__name__}. Train again, or delete the file.")
    return settings
