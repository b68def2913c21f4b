"""Callbacks that write files: a wrong file is refused before training starts, and each value is in its own column."""

import csv
import os

import numpy as np
import pytest
from test_callbacks import Adds, data, small_model

from scratchnet.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau


class CountsEpochs(Callback):
    """Counts the epochs that began."""

    begun = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.begun += 1


def tree(folder):
    """Return the names and bytes of everything below a folder."""
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def fit(*callbacks, epochs=2, **options):
    x, y = data()
    return small_model().fit(x, y, epochs=epochs, verbose=0, callbacks=list(callbacks), **options)


@pytest.mark.parametrize("place", ["notes.txt/log", "notes.txt/deep/er/log", "folder", "x" * 300, "/proc/nope/log"])
@pytest.mark.parametrize("kind", [CSVLogger, ModelCheckpoint])
def test_a_file_that_cannot_be_written_is_refused_before_the_first_epoch(kind, place, tmp_path):
    if place.startswith("/proc") and not os.path.isdir("/proc"):
        pytest.skip("needs a folder in which no user can write")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    before, counts = tree(tmp_path), CountsEpochs()
    with pytest.raises(OSError, match=r"[nN]ame a file in"):
        fit(kind(tmp_path / place), counts)
    assert counts.begun == 0
    assert tree(tmp_path) == before


def test_testing_whether_a_file_can_be_written_changes_nothing(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n")
    (tmp_path / "m.npz").write_text("a model")
    files = [CSVLogger(tmp_path / "log.csv"), ModelCheckpoint(tmp_path / "m.npz"), ModelCheckpoint(tmp_path / "{loss}" / "m.npz")]
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="val_lss"):
        fit(*files, CSVLogger(tmp_path / "deep" / "er" / "log.csv"), EarlyStopping("val_lss"))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("separator", ["", "::", "\n", '"', None, 7])
def test_a_separator_that_is_not_one_character_is_refused(separator):
    with pytest.raises(ValueError, match=r"(?s)expected separator to be one character.*got"):
        CSVLogger("log.csv", separator=separator)


def read(path, **options):
    """Return the table in a CSV file, and check that each row has as many values as there are columns."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, **options))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_appended_values_are_in_their_own_columns(end, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"accuracy;epoch;loss\n0.25;0;9.5{end}", newline="")
    history = fit(CSVLogger(path, separator=";", append=True)).history
    first, *rows = read(path, delimiter=";")
    assert first == {"accuracy": "0.25", "epoch": "0", "loss": "9.5"}
    assert [row.pop("epoch") for row in rows] == ["0", "1"]
    assert {name: [float(row[name]) for row in rows] for name in rows[0]} == {name: history[name] for name in rows[0]}
    assert path.read_text().splitlines()[0] == "accuracy;epoch;loss"


@pytest.mark.parametrize("content", ["", "\n", "epoch,loss,accuracy"])
def test_a_file_without_rows_is_appended_to_like_a_new_one(content, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(content)
    fit(CSVLogger(path, append=True))
    assert [list(row) for row in read(path)] == [["epoch", "loss", "accuracy"]] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch,loss\n0,1\n", "'epoch', 'loss', 'accuracy', got 'epoch', 'loss'"),
        ("loss,accuracy\n1,1\n", "got 'loss', 'accuracy'"),
        ("epoch,loss,accuracy,val_loss\n0,1,1,1\n", "got 'epoch', 'loss', 'accuracy', 'val_loss'"),
        ("epoch;loss;accuracy\n0;1;1\n", "got 'epoch;loss;accuracy'"),
        ("epoch,loss,accuracy\n0,1,0.51,2,0.75\n", "as many values as columns in each row, got a row with more"),
    ],
)
def test_a_file_with_other_columns_is_refused_before_the_first_epoch_and_kept(content, message, tmp_path):
    path, counts = tmp_path / "log.csv", CountsEpochs()
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"(?s)log\.csv: expected .*{message}\..*append=False"):
        fit(CSVLogger(path, append=True), counts)
    assert counts.begun == 0
    assert path.read_text() == content


def test_the_learning_rate_that_plateau_adds_is_a_column_that_can_be_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    for _ in range(2):
        fit(ReduceLROnPlateau("loss"), CSVLogger(path, append=True))
    assert [row["learning_rate"] for row in read(path)] == ["0.1"] * 4
    with pytest.raises(ValueError, match="learning_rate"):
        fit(CSVLogger(path, append=True))


def test_a_value_that_a_users_callback_adds_later_becomes_a_column(tmp_path):
    class AddsLater(Adds):
        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                super().on_epoch_end(epoch, logs)

    path = tmp_path / "log.csv"
    fit(CSVLogger(path))
    fit(AddsLater("val_f1"), CSVLogger(path, append=True))
    fit(Adds("val_f2", 0.75), CSVLogger(path, append=True))
    rows = read(path)
    assert [row["val_f1"] for row in rows] == ["", "", "", "0.5", "", ""]
    assert [row["val_f2"] for row in rows] == ["", "", "", "", "0.75", "0.75"]
    assert [row["epoch"] for row in rows] == ["0", "1"] * 3


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_checkpoint_of_weights_only_leaves_the_optimizers_state_out(weights_only, tmp_path):
    fit(ModelCheckpoint(tmp_path / "model.npz", save_weights_only=weights_only))
    with np.load(tmp_path / "model.npz") as file:
        assert any(name.startswith("optimizer/") for name in file.files) == (not weights_only)


@pytest.mark.parametrize(("threshold", "saved"), [(0.4, False), (0.6, True)])
def test_the_first_save_must_be_better_than_the_initial_threshold(threshold, saved, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "model.npz", save_best_only=True, initial_value_threshold=threshold)
    checkpoint.set_model(small_model())
    checkpoint.set_params({"metrics": ["loss", "val_loss"]})
    checkpoint.on_train_begin()
    checkpoint.on_epoch_end(0, {"loss": 1.0, "val_loss": 0.5})
    assert (tmp_path / "model.npz").exists() == saved


def test_the_home_folder_is_meant_by_a_tilde_in_the_files_of_callbacks(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit(ModelCheckpoint("~/deep/m-{epoch}.npz", "loss"), CSVLogger("~/deep/log.csv"), epochs=1)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["log.csv", "m-1.npz"]
    assert not (tmp_path / "~").exists()
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_with_a_byte_order_mark_is_appended_to_and_keeps_the_mark(end, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(f"\ufeffepoch,loss,accuracy{end}0,9.5,0.25{end}".encode())
    fit(CSVLogger(path, append=True))
    content = path.read_bytes()
    assert content.startswith("\ufeffepoch,loss,accuracy\n0,9.5,0.25\n0,".encode())
    assert content.decode().count("\ufeff") == 1
    assert len(content.splitlines()) == 4


@pytest.mark.parametrize(
    "content",
    ["epoch,loss,accuracy\n0,1,1\n".encode("utf-16"), b"epoch,loss,accuracy\n0,1,\xe9\n", b"epoch," + b"x" * 200_000],
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence_and_kept(content, tmp_path):
    path, counts = tmp_path / "log.csv", CountsEpochs()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"log\.csv: expected a table of text in UTF-8.*append=False"):
        fit(CSVLogger(path, append=True), counts)
    assert counts.begun == 0
    assert path.read_bytes() == content
