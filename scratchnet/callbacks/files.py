"""Callbacks that write files: the model at the end of epochs, and a table of their values."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from scratchnet.callbacks.base import Callback, Logs
from scratchnet.callbacks.watching import Monitor
from scratchnet.config import full_config
from scratchnet.files import write_text


def check_writable(path: str | os.PathLike[str], example: str) -> None:
    """Refuse a file that could not be written at the end of an epoch. The try leaves nothing behind, no folder either.

    Raises
    ------
    OSError
        When `path` is a folder, or no file can be made where it would lie; `example` is a name for the advice.
    """
    path = Path(path).absolute()
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; name a file in it, such as {path / example}")
    try:
        folder = next(filter(os.path.exists, path.parents), path.parent)  # those below it will be made
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.", suffix=".part"):  # as when it is written
            pass
    except OSError as error:
        raise type(error)(
            f"{path} cannot be written: {error.strerror}. Name a file in a folder that you may write to, such as {example}"
        ) from None


class ModelCheckpoint(Monitor):
    """Save the model at the end of epochs.

    Parameters
    ----------
    filepath : path
        May name the epoch and its values, as in "model-{epoch:02d}-{val_loss:.3f}.npz"; the first epoch is 1 here.
    monitor : str
    verbose : int
        1 prints each save.
    save_best_only : bool
        Whether only an epoch better than all before is saved.
    save_weights_only : bool
        Whether the optimizer's state is left out.
    mode : {"auto", "min", "max"}
    initial_value_threshold : float, optional
        A value that the first saved epoch must better.
    """

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
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.initial_value_threshold = initial_value_threshold

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew, if the model can be saved and the file written; only a checkpoint that chooses needs its value."""
        self.model.get_config()                                     # what `save` would refuse after an epoch is refused now:
        for part in (self.model.loss, self.model.optimizer):        # layers by the line above, these by their own
            full_config(part)
        if self.save_best_only:
            super().on_train_begin(logs)
        self.best = self.initial_value_threshold
        known = dict.fromkeys([*self.params.get("metrics", []), *(self.more_names or ())], 0.0)
        check_writable(self._path(0, known if self.more_names is not None else defaultdict(float, known)), "model.npz")

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format_map(logs | {"epoch": epoch + 1})
        except (KeyError, ValueError) as error:
            known = ", ".join(["epoch", *logs])
            raise ValueError(
                f"filepath={self.filepath!r} cannot be filled in ({error}); known names are {known}"
            ) from None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if it is time to."""
        logs = logs or {}
        if self.save_best_only:
            value = self.watched(logs)
            if not self.better(value, self.best):
                return
            self.best = value
        path = self._path(epoch, logs)
        self.model.save(path, include_optimizer=not self.save_weights_only)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class CSVLogger(Callback):
    """Write each epoch's values as a row of a CSV file; the file is whole after every epoch.

    Parameters
    ----------
    filename : path
    separator : str
        One character.
    append : bool
        Whether rows go behind those of an existing file; it has this training's columns, in any order.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False):
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"separator is one character, such as ',' or ';' or '\\t'; got {separator!r}")
        self.filename, self.separator, self.append = Path(filename), separator, append
        self.columns: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Read what is there, when rows are appended; refuse a file that cannot be written, or has other columns."""
        check_writable(self.filename, "log.csv")
        self.columns, self.rows = [], []
        if self.append and self.filename.exists():
            with self.filename.open(encoding="utf-8", newline="") as file:
                table = csv.DictReader(file, delimiter=self.separator)
                self.columns, self.rows = list(table.fieldnames or ()), list(table)
        if self.columns:
            self._check_columns()

    def _check_columns(self) -> None:
        known = ["epoch", *self.params.get("metrics", []), *(self.more_names or ())]
        # Callbacks that are not ours may add any name: a column that is not known yet may still be theirs.
        strange = set(self.columns) - set(known) if self.more_names is not None else set()
        missing = set(known) - set(self.columns)
        wrong = ""
        if strange or missing:
            wrong = f"the columns {', '.join(map(repr, self.columns))}, but training gives {', '.join(map(repr, known))}"
        elif any(None in row for row in self.rows):
            wrong = "a row with more values than there are columns"
        if wrong:
            raise ValueError(f"{self.filename} has {wrong}. Name another file, or write this one anew with append=False")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write one more row. A name that comes only now becomes one more column, empty in the rows above."""
        self.rows.append({"epoch": epoch, **(logs or {})})
        self.columns = list(dict.fromkeys([*self.columns, *self.rows[-1]]))
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, delimiter=self.separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.filename, text.getvalue())
