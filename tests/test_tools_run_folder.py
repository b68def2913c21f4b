"""The run folder: no file is lost, and no file is incomplete."""

import csv
import json
import os
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from small_runs import refused

from scratchnet import Dense, Input, Sequential, cli
from scratchnet.saving import save_model
from scratchnet.tools import run_folder


def table(folder):
    return list(csv.reader((folder / "history.csv").read_text().splitlines()))


def test_the_default_folder_is_named_by_date_net_and_data():
    now = datetime(2031, 2, 3, 14, 5, 6)
    assert run_folder.default_folder("net_1", "mnist", now) == Path("runs/2031-02-03-140506-net_1-mnist")
    assert run_folder.default_folder("net_2", "/data/my set/", now).name == "2031-02-03-140506-net_2-my_set"
    assert run_folder.default_folder("net_2", "..", now).parent == Path("runs")


def test_two_runs_a_second_apart_have_different_folders():
    first, second = datetime(2031, 2, 3, 14, 5, 6), datetime(2031, 2, 3, 14, 5, 7)
    assert run_folder.default_folder("net_1", "mnist", first) != run_folder.default_folder("net_1", "mnist", second)


def test_a_new_or_empty_folder_is_free_and_is_not_touched(tmp_path):
    run_folder.check_free(tmp_path, force=False)
    run_folder.check_free(tmp_path / "new", force=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_anything_in_it_is_refused_without_force(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        run_folder.check_free(tmp_path, force=False)
    run_folder.check_free(tmp_path, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_file_in_place_of_the_folder_is_always_refused(tmp_path, force):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(NotADirectoryError, match="expected a folder, got a file"):
        run_folder.check_free(tmp_path / "run", force=force)


def test_starting_removes_an_earlier_run_and_nothing_else(tmp_path):
    for name in ("model.npz", "history.json", "settings.json", "filters.png", "notes.txt", "mine.png"):
        (tmp_path / name).write_text("old")
    (tmp_path / "predictions").mkdir()
    run_folder.start(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "mine.png", "predictions"}


def test_history_is_written_as_lists_and_as_a_table_from_epoch_1(tmp_path):
    history = {"loss": [2.5, 1.25], "val_loss": [2.0, 1.5]}
    run_folder.write_history(tmp_path, history)
    assert json.loads((tmp_path / "history.json").read_text()) == history
    assert table(tmp_path) == [["epoch", "loss", "val_loss"], ["1", "2.5", "2.0"], ["2", "1.25", "1.5"]]


def test_history_keeps_every_digit(tmp_path):
    history = {"loss": [1 / 3, 0.1 + 0.2]}
    run_folder.write_history(tmp_path, history)
    assert json.loads((tmp_path / "history.json").read_text()) == history
    assert [float(row[1]) for row in table(tmp_path)[1:]] == history["loss"]


def test_a_history_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    run_folder.write_history(tmp_path, {"loss": [2.0]})

    def refuse(source, target):
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no room"):
        run_folder.write_history(tmp_path, {"loss": [2.0, 1.0]})
    assert json.loads((tmp_path / "history.json").read_text()) == {"loss": [2.0]}
    assert {path.name for path in tmp_path.iterdir()} == {"history.json", "history.csv"}


def test_an_interrupt_just_after_a_file_was_renamed_is_not_swallowed(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted_replace(source, target):
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted_replace)
    with pytest.raises(KeyboardInterrupt):
        run_folder.write_settings(tmp_path, {"state": "done"})
    assert run_folder.read_settings(tmp_path / "model.npz") == {"state": "done"}
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_the_model_is_found_by_its_folder_and_by_its_path(tmp_path):
    model = tmp_path / "model.npz"
    model.write_bytes(b"")
    assert run_folder.model_path(tmp_path) == model
    assert run_folder.model_path(str(model)) == model


def test_a_run_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a folder without model\.npz"):
        run_folder.model_path(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing: .* does not exist"):
        run_folder.model_path(tmp_path / "nothing")


def test_settings_are_read_from_the_folder_of_the_model(tmp_path):
    assert run_folder.read_settings(tmp_path / "model.npz") == {}
    run_folder.write_settings(tmp_path, {"data": "mnist"})
    assert run_folder.read_settings(tmp_path / "model.npz") == {"data": "mnist"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "expected JSON"),
        ("", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("9" * 5000, "expected"),
        ("[1]", "expected a JSON object, got a list"),
        ('{"data": 5}', "expected data to be text, got 5"),
        ('{"data": "a\\u0000b"}', "expected data to be text"),
        ('{"class_names": 5}', "expected class_names to be a list of strings, got 5"),
        ('{"class_names": ["a", null]}', "expected class_names to be a list of strings"),
        ('{"arguments": []}', "expected arguments to be an object"),
    ],
    ids=lambda text: text[:30],
)
def test_damaged_settings_are_refused_in_one_sentence(tmp_path, text, reason, capsys):
    (tmp_path / "settings.json").write_text(text)
    (tmp_path / "model.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=reason):
        run_folder.read_settings(tmp_path / "model.npz")
    for command in (["evaluate", tmp_path], ["predict", tmp_path, "x.png"], ["train", "--resume", tmp_path]):
        assert "settings.json: expected" in refused(capsys, 1, *command)


def test_settings_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "settings.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="expected JSON"):
        run_folder.read_settings(tmp_path / "model.npz")


# -- the history agrees with the model -------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run folder whose process was killed after the model of the second epoch, before its history."""
    model = Sequential([Input(shape=(4,)), Dense(3, activation="softmax")], seed=1)
    model.compile()
    run_folder.write_settings(tmp_path, {"state": "running"})
    record = {"epochs": 2, "history": {"loss": [2.0, 1.0]}, "seconds": 0.0, "stopped": False, "finished": False, "callbacks": []}
    save_model(model, tmp_path / "model.npz", more_config={run_folder.RECORD: record})
    run_folder.write_history(tmp_path, {"loss": [2.0]})
    return tmp_path


@pytest.mark.parametrize("file", ["history.json", "history.csv"])
@pytest.mark.parametrize("state", ["of an epoch before", "missing", "cut", "right"])
def test_a_history_that_does_not_agree_with_the_model_is_written_again_when_the_run_is_used(file, state, run):
    path, old = run / file, (run / file).read_text()
    run_folder.model_path(run)
    right = path.read_text()
    assert right != old
    if state == "missing":
        path.unlink()
    else:
        path.write_text({"of an epoch before": old, "cut": right[:5], "right": right}[state])
    before = path.stat().st_mtime_ns if state == "right" else None
    run_folder.model_path(run)
    assert path.read_text() == right
    assert before in (None, path.stat().st_mtime_ns)


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of POSIX")
def test_a_run_that_a_live_process_writes_is_only_read(run):
    with run_folder.Held(run):
        run_folder.model_path(run)
    assert json.loads((run / "history.json").read_text()) == {"loss": [2.0]}


def test_a_run_that_cannot_be_written_is_read_all_the_same(run, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert run_folder.model_path(run) == run / "model.npz"


def test_a_model_alone_gets_no_history(run, tmp_path):
    alone = tmp_path / "alone" / "model.npz"
    alone.parent.mkdir()
    shutil.copy(run / "model.npz", alone)
    run_folder.model_path(alone)
    assert [path.name for path in alone.parent.iterdir()] == ["model.npz"]


@pytest.mark.parametrize(
    "command", ["predict x y --out", "reproduce --out", "bench --out", "train --out", "evaluate", "evaluate x --data"]
)
def test_an_empty_path_is_wrong_usage_in_every_command(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command.split(), ""])
    assert caught.value.code == 2
    assert "expected a path, got ''" in capsys.readouterr().err
