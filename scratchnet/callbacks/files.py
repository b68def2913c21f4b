"""Callbacks that write files: the model at the end of an epoch, and a table of the values of all epochs."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.callbacks.base import Callback, Logs
from scratchnet.callbacks.watching import Monitor
from scratchnet.schedules import optimizer_config
from scratchnet.support.checking import check_flag, check_integer, check_number, shortened
from scratchnet.support.config import full_config
from scratchnet.support.files import as_path, refuse_other_formats, write_text
from scratchnet.support.interrupts import uninterrupted

BYTE_ORDER_MARK = "\ufeff"


def check_path(name: str, value: Any, example: str) -> str:
    """Return a path as a string; `example` is the file name that the message proposes."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name}: expected the path of a file, got {shortened(value)}. For example {name}={example!r}")
    return os.fspath(value)


def check_writable(path: str | os.PathLike[str], example: str) -> None:
    """Raise an OSError if a file could not be written at the end of an epoch. The test leaves no file and no folder.

    Raises
    ------
    OSError
        If `path` is a folder, or a file cannot be made there. `example` is the file name that the message proposes.
    """
    try:
        path = as_path(path).absolute()
        if os.path.isdir(path):
            raise IsADirectoryError(f"expected the name of a file, got the folder {path}. Name a file in it: {path / example}")
        folder = next(filter(os.path.exists, path.parents), path.parent)    # `fit` would create the folders below this one
        with uninterrupted(), tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.", suffix=".part"):
            pass                                        # with a name as `write_whole` would make it
    except IsADirectoryError:
        raise
    except OSError as error:
        raise type(error)(
            f"{path} cannot be written: {error.strerror}. Name a file in a folder that you may write to, such as {example}"
        ) from None


class ModelCheckpoint(Monitor):
    """Save the model at the end of epochs.

    Parameters
    ----------
    filepath : path
        It may contain the epoch and its values, as in "model-{epoch:02d}-{val_loss:.3f}.npz"; the first epoch is 1 here.
    monitor : str
    verbose : int
        1 prints a line for each file.
    save_best_only : bool
        Whether an epoch is saved only if it is better than all before.
    save_weights_only : bool
        Whether the optimizer's state is left out.
    mode : {"auto", "min", "max"}
    initial_value_threshold : float, optional
        With `save_best_only`, the value that the first saved epoch must improve on.

    Attributes
    ----------
    best : float or None
        The best value so far. The next `fit` continues with it, as in Keras, so that a worse model never replaces a better one.
    """

    state_names = ("best",)

    writes_files = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        *,
        initial_value_threshold: float | None = None,
    ):
        refuse_other_formats(filepath, "model.npz")
        super().__init__(monitor, mode)
        self.filepath = check_path("filepath", filepath, "model.npz")
        self.verbose, self.save_best_only = check_integer("verbose", verbose), check_flag("save_best_only", save_best_only)
        self.save_weights_only = check_flag("save_weights_only", save_weights_only)
        if initial_value_threshold is not None:
            initial_value_threshold = check_number("initial_value_threshold", initial_value_threshold, lowest=-np.inf)
        self.initial_value_threshold = self.best = initial_value_threshold

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise an error before training if the model cannot be saved, or the file cannot be written."""
        self.model.get_config()                                     # raises for a layer that could not be saved
        full_config(self.model.loss)
        optimizer_config(self.model.optimizer)                      # so does this for a loss or an optimizer
        if self.save_best_only:
            self.check_monitor()
        names, all_known = self.known_names()
        known = dict.fromkeys(names, 0.0)
        check_writable(self._path(0, known if all_known else defaultdict(float, known)), "model.npz")

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format_map(logs | {"epoch": epoch + 1})
        except (KeyError, ValueError) as error:
            known = ", ".join(["epoch", *logs])
            raise ValueError(
                f"ModelCheckpoint: expected only the names {known} in the braces of filepath, got {self.filepath!r} ({error}). For"
                " example 'model-{epoch:02d}.npz'"
            ) from None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save the model, or with `save_best_only` only if the value is the best so far."""
        logs = logs or {}
        if self.save_best_only:
            value = self.watched(logs)
            if value is None or not self.better(value, self.best):
                return
            self.best = value
        path = self._path(epoch, logs)
        self.model.save(path, include_optimizer=not self.save_weights_only)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class CSVLogger(Callback):
    """Write each epoch's values as a row of a CSV file, which is complete after every epoch. The first epoch is 0, as in Keras.

    Parameters
    ----------
    filename : path
    separator : str
        One character.
    append : bool
        Whether rows are appended to an existing file. It must have the columns of this training run, in any order. A byte
        order mark, which spreadsheets write, stays.
    """

    writes_files = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False):
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"CSVLogger: expected separator to be one character, such as ',' or ';' or '\\t', got {separator!r}")
        self.filename, self.separator = Path(check_path("filename", filename, "log.csv")), separator
        self.append = check_flag("append", append)
        self.mark = ""
        self.columns: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Read the rows to append to. Raise an error if the file cannot be written, or has other columns."""
        check_writable(self.filename, "log.csv")
        self.filename = as_path(self.filename)
        self.mark, self.columns, self.rows = "", [], []
        if self.append and self.filename.exists():
            self._read()
        if self.columns:
            self._check_columns()

    def _read(self) -> None:
        try:
            text = self.filename.read_bytes().decode()
            self.mark = text[: text.startswith(BYTE_ORDER_MARK)]
            table = csv.DictReader(io.StringIO(text[len(self.mark) :], newline=""), delimiter=self.separator)
            self.columns, self.rows = list(table.fieldnames or ()), list(table)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(
                f"{self.filename}: expected a table of text in UTF-8, got something else ({error}). Name another file, or"
                " overwrite this one with append=False"
            ) from None

    def _check_columns(self) -> None:
        names, all_known = self.known_names()
        known = ["epoch", *names]
        # A user's own callback may add any name, so a column that is not known yet may be its value.
        unknown = set(self.columns) - set(known) if all_known else set()
        missing = set(known) - set(self.columns)
        wrong = ""
        if unknown or missing:
            wrong = f"expected the columns {', '.join(map(repr, known))}, got {', '.join(map(repr, self.columns))}"
        elif any(None in row for row in self.rows):
            wrong = "expected as many values as columns in each row, got a row with more"
        if wrong:
            raise ValueError(f"{self.filename}: {wrong}. Name another file, or overwrite this one with append=False")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's row. A name that is new becomes another column, which is empty in the rows above."""
        self.rows.append({"epoch": epoch, **(logs or {})})
        self.columns = list(dict.fromkeys([*self.columns, *self.rows[-1]]))
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, delimiter=self.separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.filename, self.mark + text.getvalue())
