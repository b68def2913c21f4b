"""Callbacks that write files: a wrong file is refused before work starts, and values stand under their own names."""

import os

import pytest
from test_callbacks import data, small_model

from scratchnet.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint


class CountsEpochs(Callback):
    """Tells how much work was done."""

    begun = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.begun += 1


def tree(folder):
    """Everything below a folder: names and bytes."""
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def fit(*callbacks, epochs=2, **options):
    x, y = data()
    return small_model().fit(x, y, epochs=epochs, verbose=0, callbacks=list(callbacks), **options)


@pytest.mark.parametrize("place", ["notes.txt/log", "notes.txt/deep/er/log", "folder", "x" * 300, "/proc/nope/log"])
@pytest.mark.parametrize("kind", [CSVLogger, ModelCheckpoint])
def test_a_file_that_cannot_be_written_is_refused_before_the_first_epoch(kind, place, tmp_path):
    if place.startswith("/proc") and not os.path.isdir("/proc"):
        pytest.skip("needs a folder in which nobody can write")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    before, counts = tree(tmp_path), CountsEpochs()
    with pytest.raises(OSError, match=r"[nN]ame a file in"):
        fit(kind(tmp_path / place), counts)
    assert counts.begun == 0
    assert tree(tmp_path) == before


def test_the_try_makes_no_folder_and_leaves_files_as_they_were(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n")
    (tmp_path / "m.npz").write_text("a model")
    files = [CSVLogger(tmp_path / "log.csv"), ModelCheckpoint(tmp_path / "m.npz"), ModelCheckpoint(tmp_path / "{loss}" / "m.npz")]
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="val_lss"):
        fit(*files, CSVLogger(tmp_path / "deep" / "er" / "log.csv"), EarlyStopping("val_lss"))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("separator", ["", "::", "\n", '"', None, 7])
def test_a_separator_that_is_not_one_character_is_refused_at_once(separator):
    with pytest.raises(ValueError, match=r"(?s)separator is one character.*got"):
        CSVLogger("log.csv", separator=separator)
