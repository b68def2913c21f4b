"""The run folder: the files that training writes after every epoch, and how it resumes from them.

A run folder contains

    model.npz        the model with its weights and the optimizer's state: scratchnet.load_model reads it
    history.json     History.history: lists of loss, accuracy, val_loss and val_accuracy, one value for each epoch
    history.csv      the same as a table, epochs from 1
    settings.json    all arguments, versions, the machine, and how the run ended
    *.png            the figures; diagnosis.png is that of `scratchnet diagnose`

Each file is written under a temporary name and then renamed, so that it is always complete. `model.npz` also holds the history
and the state of the callbacks, and so everything that training needs to resume after its last finished epoch with the same
bits. It is written first. A process that is killed before it has written the history leaves one of an earlier epoch, which is
written again from the model when the run is used or resumed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any

import numpy as np

from scratchnet import saving
from scratchnet.callbacks import Callback, UpdateRatios
from scratchnet.model import CLASSES, Model
from scratchnet.support.files import is_part, lock, make_folders, sweep, write_text
from scratchnet.support.interrupts import uninterrupted
from scratchnet.tools.arguments import VIEWS

MODEL = "model.npz"
HISTORY_JSON = "history.json"
HISTORY_CSV = "history.csv"
SETTINGS = "settings.json"
RECORD = "record"  # the entry in the config of MODEL, and the prefix of its arrays
FIGURES = ("history.png", "filters.png", "feature_maps.png", "confusion_matrix.png", "confident_mistakes.png")
DIAGNOSIS = "diagnosis.png"
FILES = (MODEL, HISTORY_JSON, HISTORY_CSV, *FIGURES, DIAGNOSIS, SETTINGS)  # the order in which `start` removes them

History = dict[str, list[float]]


def default_folder(net: str, data: str, now: datetime | None = None) -> Path:
    """Return ``runs/<date>-<net>-<data>``, the date to the second.

    >>> default_folder("net_2", "data/fashion mnist", datetime(2030, 1, 31, 9, 5, 7)).as_posix()
    'runs/2030-01-31-090507-net_2-fashion_mnist'
    """
    now = now or datetime.now()
    name = re.sub(r"[^\w.-]+", "_", Path(data).name or "data")
    return Path("runs") / f"{now:%Y-%m-%d-%H%M%S}-{net}-{name}"


def check_free(folder: Path, force: bool) -> None:
    """Raise OSError if `folder` is a file, or is not empty and `force` is False. Nothing is created.

    Temporary files of a killed process do not count.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder, got a file. Name another --out.")
    if not force and folder.is_dir() and not all(is_part(name, FILES) for name in os.listdir(folder)):
        raise FileExistsError(
            f"{folder}: expected a new or empty folder, got one with files. Name another --out, or add --force to replace its run."
        )


class Held:
    """A run folder that this process alone writes to: `with Held(path):`. It is made if it does not exist.

    Raises
    ------
    OSError
        When the block begins, if another process trains in the folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self.handle: int | None = None

    def __enter__(self) -> Held:
        make_folders(self.path)
        if sys.platform != "win32":  # Windows cannot open a folder
            self.handle = os.open(self.path, os.O_RDONLY)
            try:
                lock(self.handle)
            except BlockingIOError:
                os.close(self.handle)
                raise OSError(
                    f"{self.path}: expected a folder that no other process trains in, got one in use. Wait for the other, or name"
                    " another folder."
                ) from None
            except OSError:
                pass  # the file system has no locks
        sweep(self.path, FILES)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.handle is not None:
            os.close(self.handle)

    def check(self) -> None:
        """Raise FileNotFoundError if the folder was renamed or removed: writing would create a second one."""
        try:
            here = self.path.is_dir() if self.handle is None else os.path.samestat(os.stat(self.path), os.fstat(self.handle))
        except OSError:
            here = False
        if not here:
            raise FileNotFoundError(
                f"{self.path}: the run folder was renamed, moved or removed while training, which has stopped. "
                "Continue with: scratchnet train --resume, and the folder's new name"
            )

    def __truediv__(self, name: str) -> Path:
        self.check()
        return self.path / name


def start(folder: Path) -> None:
    """Remove the files of an earlier run, so that the files of two runs are never mixed. The folder is made if necessary."""
    make_folders(folder)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write ``settings.json``."""
    write_text(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")


def write_history(folder: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Write ``history.json`` and ``history.csv`` from lists of one value for each epoch."""
    for name, text in history_texts(history).items():
        write_text(folder / name, text)


def history_texts(history: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the content of ``history.json`` and ``history.csv``."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["epoch", *history])
    rows.writerows([epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), start=1))
    return {HISTORY_JSON: json.dumps(history, indent=2) + "\n", HISTORY_CSV: table.getvalue()}


# -- training that may stop at any instant, and resume --------------------------------------------------------------------


class Recorder(Callback):
    """Write model and history into the run folder after every epoch, so that a run can be resumed however it stopped.

    Parameters
    ----------
    folder : Held
    callbacks : sequence of Callback
        Those whose state is written and restored. They must precede this one in `fit`.
    record : dict, optional
        The record that `resumed` returned, if training resumes.

    Attributes
    ----------
    updates : UpdateRatios
        Another callback, which also precedes this one: what it measures is written too.
    """

    writes_files = True

    def __init__(self, folder: Held, callbacks: Sequence[Callback] = (), record: Mapping[str, Any] | None = None):
        self.folder, self.callbacks, self.record = folder, callbacks, record or {}
        for callback, state in zip(callbacks, self.record.get("callbacks", ()), strict=False):
            wrong = [name for name in callback.state_names if name not in state or not fits(state[name], getattr(callback, name))]
            if wrong:
                raise ValueError(
                    f"{folder.path / MODEL}: expected the state of {type(callback).__name__}, got missing or invalid values of"
                    f" {', '.join(wrong)}. Train again, with another --out."
                )
        self.history: History = {key: list(values) for key, values in self.record.get("history", {}).items()}
        self.seconds, self.began = self.record.get("seconds", 0.0), time.perf_counter()
        self.stopped, self.finished = (bool(self.record.get(name)) for name in ("stopped", "finished"))
        self.updates = updates_of(self.record)

    @property
    def epochs(self) -> int:
        """Return the number of epochs written."""
        return len(self.history.get("loss", ()))

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Restore the state of the callbacks."""
        self.began = time.perf_counter()
        for callback, state in zip(self.callbacks, self.record.get("callbacks", ()), strict=False):
            for name in callback.state_names:
                setattr(callback, name, state[name])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Append the epoch's values and write."""
        history = {key: [*self.history.get(key, ()), float(value)] for key, value in (logs or {}).items()}
        with uninterrupted():
            self.write(history)

    def write(self, history: History, *, finished: bool = False, include_optimizer: bool = True) -> None:
        """Write the model with everything that resuming needs, then the history. `finished`: no epoch follows."""
        now = time.perf_counter()
        self.seconds, self.began = self.seconds + now - self.began, now
        states, arrays = ([], {}) if finished else self._states()
        record = {
            "epochs": len(history.get("loss", ())),
            "history": history,
            "seconds": self.seconds,
            "stopped": self.stopped or bool(self.model.stop_training),
            "finished": finished,
            "callbacks": states,
            "updates": {"epochs": self.updates.epochs, "ratios": self.updates.ratios},
        }
        path, more = self.folder / MODEL, {RECORD: record}
        saving.save_model(self.model, path, include_optimizer, more_config=more, more_arrays=arrays)
        self.history = history
        write_history(path.parent, history)

    def _states(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """Return the state of each callback for JSON, in which weights are lists of names, and the weights by these names."""
        states: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        weights = self.model.named_weights
        for number, callback in enumerate(self.callbacks):
            state = {name: getattr(callback, name) for name in callback.state_names}
            for name, value in state.items():
                if isinstance(value, list):  # weights, which are stored once if they are the model's own
                    own = all(a.tobytes() == p.tobytes() for a, p in zip(value, weights.values(), strict=True))
                    state[name] = [parameter if own else f"{RECORD}/{number}/{name}/{parameter}" for parameter in weights]
                    arrays |= {} if own else dict(zip(state[name], value, strict=True))
                elif value is not None:
                    state[name] = np.asarray(value).item()
            states.append(state)
        return states, arrays


def fits(value: Any, initial: Any) -> bool:
    """Return whether a saved value is of the kind of a callback's initial one: a number, or anything if that is None.

    >>> fits(3, 0), fits("3", 0), fits(None, 0), fits(None, None)
    (True, False, False, True)
    """
    return initial is None or isinstance(value, (int, float))


def updates_of(record: Mapping[str, Any]) -> UpdateRatios:
    """Return the callback with what a run has measured: nothing, if an earlier version wrote the run and did not measure it."""
    updates, stored = UpdateRatios(), record.get("updates", {})
    updates.epochs = list(stored.get("epochs", ()))
    updates.ratios = {layer: list(values) for layer, values in stored.get("ratios", {}).items()}
    return updates


def resumed(folder: Path) -> tuple[Model, dict[str, Any]] | None:
    """Return the model and the record of a run after its last finished epoch; None if no epoch was finished.

    Raises
    ------
    ValueError
        If the model's file is damaged, or no run wrote it.
    """
    path = folder / MODEL
    if not path.exists():
        return None
    arrays, config = saving.load_arrays(path)
    model = saving.restore(CLASSES, path, arrays, config)
    saving.warn_if_not_finite(path, model)
    try:
        if model.optimizer is None:
            raise ValueError("no optimizer")
        record = checked(config[RECORD])
        for state in record["callbacks"]:
            for name, value in state.items():
                if isinstance(value, list):
                    state[name] = [arrays[key] for key in value]
                elif not isinstance(value, NoneType if name.endswith("weights") else (int, float, NoneType)):
                    raise TypeError(f"{name} of a callback is of the wrong kind")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a model with the record of its run, got one with no record or an invalid one"
            f" ({type(error).__name__}: {error}). Train again, with another --out."
        ) from None
    return model, record


def checked(record: Any) -> dict[str, Any]:
    """Return the record of a run; raise KeyError, TypeError or ValueError if it is invalid."""
    epochs, history = record["epochs"], record["history"]
    lengths = {len(values) for values in history.values()}
    if type(epochs) is not int or epochs < 0 or lengths != {epochs} or "loss" not in history:
        raise ValueError(f"{epochs!r} epochs, but lists of {sorted(lengths)} values in the history")
    if not all(isinstance(value, (int, float)) for values in history.values() for value in values):
        raise TypeError("a value in the history is not a number")
    if not isinstance(record["seconds"], (int, float)) or not all(isinstance(state, dict) for state in record["callbacks"]):
        raise TypeError("seconds is not a number, or a callback's state is not a dict")
    updates = record.get("updates", {"epochs": [], "ratios": {}})
    measured = [updates["epochs"], *updates["ratios"].values()]
    if not all(isinstance(value, (int, float)) for values in measured for value in values) or len({*map(len, measured)}) > 1:
        raise TypeError("updates are not lists of numbers of one length")
    return {**record, "stopped": bool(record["stopped"]), "finished": bool(record["finished"])}


def agree(folder: Path) -> None:
    """Write the history again from the model if a killed process left that of another epoch. Folders in use are not changed."""
    with suppress(Exception):  # a damaged model raises its own error when it is loaded; a read-only folder can still be read
        if wrong_history(folder):
            with Held(folder):
                history = wrong_history(folder)  # another process may have written it meanwhile
                if history:
                    write_history(folder, history)


def wrong_history(folder: Path) -> History | None:
    """Return the history in the model's file, or None if ``history.json`` and ``history.csv`` agree with it."""
    with np.load(folder / MODEL, allow_pickle=False) as file:
        history = checked(json.loads(str(file["config"]))[RECORD])["history"]
    texts = history_texts(history)
    same = all((folder / name).is_file() and (folder / name).read_bytes() == text.encode() for name, text in texts.items())
    return None if same else history


# -- reading a run --------------------------------------------------------------------------------------------------------


def model_path(run: str | Path) -> Path:
    """Return the model file of `run`, a run folder or the file itself; raise FileNotFoundError if there is none.

    If the process that wrote the run was killed, the history is made to agree with the model.
    """
    run = Path(run)
    path = run / MODEL if run.is_dir() else run
    if not path.is_file():
        found = f"a folder without {MODEL}" if run.is_dir() else "a path that does not exist"
        raise FileNotFoundError(
            f"{run}: expected a run folder or a {MODEL}, got {found}. Name a folder that 'scratchnet train' wrote."
        )
    if path.name == MODEL and path.with_name(SETTINGS).is_file():
        agree(path.parent)
    return path


def measured(model: Path) -> tuple[History, UpdateRatios]:
    """Return the history and the ratios that a run has written into its model; nothing for a model that no run wrote."""
    with suppress(KeyError, TypeError, AttributeError, ValueError):
        record = checked(saving.load_arrays(model)[1][RECORD])
        return record["history"], updates_of(record)
    return {}, UpdateRatios()


def read_run(run: str | Path) -> dict[str, Any]:
    """Return the settings of a run that is to be resumed; raise FileNotFoundError if it has none."""
    folder = Path(run)
    if not (folder / SETTINGS).is_file():
        found = f"a folder without {SETTINGS}" if folder.is_dir() else "a file" if folder.exists() else "a path that does not exist"
        raise FileNotFoundError(
            f"{run}: expected a run folder with {SETTINGS}, got {found}. Name a folder that 'scratchnet train' wrote."
        )
    return read_settings(folder / MODEL)


def read_settings(model: Path) -> dict[str, Any]:
    """Return the content of ``settings.json`` beside `model`, or an empty dict if there is no such file."""
    path = model.with_name(SETTINGS)
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, got an error: {error}. Train again, or delete the file.") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected a JSON object, got a {type(settings).__name__}. Train again, or delete the file.")
    for key, (what, fits) in KINDS.items():
        if key in settings and not fits(settings[key]):
            raise ValueError(f"{path}: expected {key} to be {what}, got {short(settings[key])}. Train again, or delete the file.")
    return settings


def is_text(value: Any) -> bool:
    """Return whether `value` is text that can name a file."""
    return isinstance(value, str) and "\0" not in value


# What the commands read from settings.json: a description for messages, and a test.
KINDS = {
    "data": ("text", is_text),
    "class_names": ("a list of strings", lambda names: isinstance(names, list) and all(map(is_text, names))),
    "arguments": ("an object", lambda arguments: isinstance(arguments, dict)),
    "versions": ("an object", lambda versions: isinstance(versions, dict)),
    "state": ("text", is_text),
    "augment": (f"one of {', '.join(VIEWS)}", lambda name: name in VIEWS),
}


def short(value: Any) -> str:
    """Return the beginning of a value as JSON, for a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
