"""`scratchnet train`: the files of a run folder, when a folder is refused, and what remains of a run that stops early."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import refused, train, write_bars

import scratchnet
from scratchnet import cli, datasets, optimizers
from scratchnet.callbacks import Callback
from scratchnet.tools import run_folder
from scratchnet.tools import train as train_tool

pytestmark = pytest.mark.compiled  # training in plain Python would take minutes

FILES = {
    "model.npz",
    "history.json",
    "history.csv",
    "settings.json",
    "history.png",
    "filters.png",
    "feature_maps.png",
    "confusion_matrix.png",
    "confident_mistakes.png",
}


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars")


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory):
    """A finished run folder, made once; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    words = ["train", "--data", str(bars), "--epochs", "3", "--batch-size", "8", "--learning-rate", "0.003"]
    assert cli.main([*words, "--seed", "3", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def without_figures(monkeypatch):
    """Leave out the figures, which take longest, in tests of something else."""
    monkeypatch.setattr(train_tool, "draw", lambda *args: None)


def test_a_run_folder_holds_exactly_the_documented_files(trained):
    assert {path.name for path in trained.iterdir()} == FILES
    for path in trained.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.read_bytes().endswith(b"IEND\xaeB\x60\x82")


def test_the_model_file_opens_without_pickle_and_names_its_arrays(trained):
    with np.load(trained / "model.npz", allow_pickle=False) as arrays:
        assert {"conv2d/kernel", "conv2d/bias", "dense/kernel", "config"} <= set(arrays.files)
        assert arrays["conv2d/kernel"].shape == (3, 3, 1, 32)


def test_history_has_one_value_for_each_epoch_in_both_files(trained):
    history = json.loads((trained / "history.json").read_text())
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 3 for values in history.values())
    lines = (trained / "history.csv").read_text().splitlines()
    assert lines[0].split(",")[0] == "epoch"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]


def test_settings_hold_what_is_needed_to_repeat_the_run(trained, bars):
    settings = json.loads((trained / "settings.json").read_text())
    assert settings["state"] == "done"
    assert settings["arguments"] == {
        "net": "net_2",
        "data": str(bars),
        "optimizer": "adam",
        "learning_rate": 0.003,
        "epochs": 3,
        "batch_size": 8,
        "patience": None,
        "limit": None,
        "seed": 3,
        "out": str(trained),
        "force": False,
    }
    assert settings["versions"]["numpy"] == np.__version__
    assert settings["versions"]["scratchnet"] == scratchnet.__version__
    assert set(settings["versions"]) == {"scratchnet", "python", "numpy", "numba"}
    assert settings["parameters"] == scratchnet.net_2((9, 7, 1), 4).count_params()
    assert settings["seconds"]["training"] > 0
    assert (settings["training_images"], settings["test_images"], settings["epochs"]) == (48, 24, 3)


def test_a_named_set_is_not_confused_with_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    model = scratchnet.net_2((4, 4, 1), 2)
    model.compile()
    x, y = np.zeros((1, 4, 4, 1), np.float32), np.zeros(1, np.uint8)
    images = datasets.Dataset("mnist", x, y, x, y, ("0", "1"))
    for data, kept in (("mnist", "mnist"), ("./mnist", str(tmp_path / "mnist"))):
        args = cli.parser().parse_args(["train", "--data", data])
        assert train_tool.describe(args, model, images)["data"] == kept


def test_settings_describe_the_machine_without_naming_it(trained):
    machine = json.loads((trained / "settings.json").read_text())["platform"]
    assert set(machine) == {"system", "machine", "processors"}
    assert platform.node() not in machine.values()


def test_the_saved_model_has_the_recorded_accuracy(trained, bars):
    settings = json.loads((trained / "settings.json").read_text())
    data = datasets.load(str(bars))
    p = scratchnet.load_model(trained / "model.npz").predict((data.x_test / 255).astype("float32")[..., None])
    assert np.mean(p.argmax(axis=1) == data.y_test) == pytest.approx(settings["result"]["val_accuracy"])


def test_train_prints_summary_time_accuracy_and_folder(bars, tmp_path, capsys):
    assert train(bars, tmp_path / "run", "--net", "net_1") == 0
    printed = capsys.readouterr().out
    assert "net_1 on bars: 48 training and 24 test images of 9×7×1, 4 classes" in printed
    assert "max_pooling2d" in printed
    assert re.search(r"^trained 1 epoch in \d+\.\d s$", printed, re.MULTILINE)
    assert re.search(r"^validation accuracy [01]\.\d{4}, loss \d\.\d{4} \(24 test images\)$", printed, re.MULTILINE)
    assert printed.splitlines()[-1] == f"run folder: {tmp_path / 'run'}"


def test_the_default_run_folder_is_under_runs(bars, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--data", str(bars), "--epochs", "1", "--limit", "8"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-net_2-bars", folder.name)
    assert f"run folder: {os.path.join('runs', folder.name)}" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(bars, tmp_path, without_figures):
    weights = []
    for run, seed in enumerate(("7", "7", "8")):
        assert train(bars, tmp_path / str(run), "--seed", seed) == 0
        with np.load(tmp_path / str(run) / "model.npz") as arrays:
            weights.append(arrays["dense/kernel"])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_limit_takes_the_first_images_of_both_splits(bars, tmp_path, capsys, without_figures):
    assert train(bars, tmp_path / "run", "--limit", "5") == 0
    assert "5 training and 5 test images" in capsys.readouterr().out
    assert train(bars, tmp_path / "more", "--limit", "1000") == 0
    assert "48 training and 24 test images" in capsys.readouterr().out


def test_without_a_rate_each_optimizer_uses_its_default(bars, tmp_path, without_figures):
    for name in optimizers.KNOWN:
        assert train(bars, tmp_path / name, "--optimizer", name, "--limit", "4") == 0
        chosen = json.loads((tmp_path / name / "settings.json").read_text())["optimizer"]
        assert chosen == {"name": name, "learning_rate": optimizers.KNOWN[name]().learning_rate}


def test_the_optimizers_of_the_command_are_those_of_the_library():
    for name, kind in optimizers.KNOWN.items():
        assert cli.parser().parse_args(["train", "--optimizer", name]).optimizer == name
        assert isinstance(optimizers.get(name), kind)


def test_patience_stops_early_and_restores_the_best_weights(tmp_path, without_figures):
    wrong = write_bars(tmp_path / "wrong", shift=1)  # the better the net, the worse it does on these test labels
    assert train(wrong, tmp_path / "run", "--patience", "2", "--epochs", "40") == 0
    val_loss = json.loads((tmp_path / "run" / "history.json").read_text())["val_loss"]
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert len(val_loss) == val_loss.index(min(val_loss)) + 3
    assert settings["epochs"] == len(val_loss)
    assert settings["result"]["val_loss"] == pytest.approx(min(val_loss), rel=1e-4)
    assert min(val_loss) < val_loss[-1]
    images, model = datasets.load(str(wrong)), scratchnet.load_model(tmp_path / "run" / "model.npz")
    x = (images.x_test / 255).astype("float32")[..., None]
    found = model.evaluate(x, np.eye(4)[images.y_test], batch_size=16, verbose=0)
    assert found == pytest.approx([settings["result"]["val_loss"], settings["result"]["val_accuracy"]], rel=1e-6)


def test_a_folder_that_is_not_empty_is_refused_before_any_work(bars, tmp_path, capsys, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(datasets, "load", lambda name: pytest.fail("data were loaded"))
    assert "--force" in refused(capsys, 1, "train", "--data", bars, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_force_replaces_a_run_and_deletes_nothing_else(bars, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "history.csv").write_text("old")
    assert train(bars, tmp_path, "--force", "--limit", "8") == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"notes.txt"}
    assert (tmp_path / "history.csv").read_text() != "old"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_data_that_cannot_be_loaded_leave_no_folder(tmp_path, capsys):
    line = refused(capsys, 1, "train", "--data", "mnits", "--out", tmp_path / "run")
    for name in ("mnits", *datasets.NAMES):
        assert name in line
    assert not (tmp_path / "run").exists()


def test_an_empty_data_folder_is_refused(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert "idx" in refused(capsys, 1, "train", "--data", tmp_path / "data", "--out", tmp_path / "run")


def test_a_damaged_data_file_is_refused_by_name(tmp_path, capsys):
    folder = write_bars(tmp_path / "data")
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    assert "train-images" in refused(capsys, 1, "train", "--data", folder, "--out", tmp_path / "run")


class InterruptIn(Callback):
    """Raise an error, such as that of Ctrl-C, in the middle of an epoch."""

    def __init__(self, epoch, error):
        super().__init__()
        self.epoch, self.now, self.error = epoch, -1, error

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 1:
            raise self.error


@pytest.fixture
def break_off(monkeypatch):
    """Return a function that makes training raise an error in an epoch, counted from 0."""

    def arrange(epoch, error):
        fit = scratchnet.Model.fit

        def breaking_fit(self, *args, callbacks, **options):
            return fit(self, *args, callbacks=[*callbacks, InterruptIn(epoch, error)], **options)

        monkeypatch.setattr(scratchnet.Model, "fit", breaking_fit)

    return arrange


def test_an_interrupted_run_keeps_its_finished_epochs(bars, tmp_path, capsys, break_off):
    break_off(2, KeyboardInterrupt())
    folder = tmp_path / "run"
    line = refused(capsys, 130, "train", "--data", bars, "--batch-size", 8, "--out", folder)
    assert f"interrupted; {folder} holds model and history after epoch 2" in line
    assert len(json.loads((folder / "history.json").read_text())["val_loss"]) == 2
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["state"], settings["epochs"]) == ("interrupted", 2)
    assert cli.main(["evaluate", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "model.npz",
        "history.json",
        "history.csv",
        "settings.json",
        "history.png",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_a_terminated_run_is_recorded_as_interrupted(bars, tmp_path):
    folder = tmp_path / "run"
    words = ["train", "--data", bars, "--batch-size", 8, "--epochs", 1_000_000, "--out", folder]
    command = [sys.executable, "-m", "scratchnet", *map(str, words)]
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}  # its lock can stay held
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        try:
            deadline = time.monotonic() + 120
            while not (folder / "model.npz").exists():
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            run.terminate()
            said = run.communicate(timeout=60)[1]
        finally:
            run.kill()
    assert run.returncode == 143, said
    assert f"interrupted; {folder} holds model and history after epoch" in said.splitlines()[-1]
    assert json.loads((folder / "settings.json").read_text())["state"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_model_and_history_of_an_epoch_are_written(number, bars, tmp_path, capsys, monkeypatch):
    write_history = run_folder.write_history

    def interrupted_write(folder, history):
        if len(history["loss"]) == 2:
            signal.raise_signal(number)
        write_history(folder, history)

    monkeypatch.setattr(run_folder, "write_history", interrupted_write)
    folder = tmp_path / "run"
    line = refused(capsys, 128 + number, "train", "--data", bars, "--batch-size", 8, "--out", folder)
    assert f"interrupted; {folder} holds model and history after epoch 2" in line
    assert len(json.loads((folder / "history.json").read_text())["loss"]) == 2
    steps = -(-len(datasets.load(str(bars)).x_train) // 8)
    assert scratchnet.load_model(folder / "model.npz").optimizer.iterations == 2 * steps


def test_a_run_interrupted_in_its_first_epoch_says_that_there_is_no_model(bars, tmp_path, capsys, break_off):
    break_off(0, KeyboardInterrupt())
    line = refused(capsys, 130, "train", "--data", bars, "--batch-size", 8, "--out", tmp_path / "run")
    assert "holds no model" in line
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["settings.json"]


def test_a_loss_that_is_not_finite_is_one_line_that_says_what_is_kept(bars, tmp_path, capsys, break_off):
    break_off(1, FloatingPointError("the loss is nan; dense went wrong first"))
    folder = tmp_path / "run"
    line = refused(capsys, 1, "train", "--data", bars, "--batch-size", 8, "--out", folder)
    assert "dense went wrong first" in line
    assert f"{folder} holds model and history after epoch 1" in line
    assert json.loads((folder / "settings.json").read_text())["state"] == "failed"


@pytest.mark.parametrize("error", [BrokenPipeError(), MemoryError(), OSError(28, "No space left on device"), TypeError()], ids=repr)
def test_a_run_that_stops_with_any_error_is_not_recorded_as_running(error, bars, tmp_path, break_off):
    break_off(1, error)
    args = cli.parser().parse_args(["train", "--data", str(bars), "--batch-size", "8", "--out", str(tmp_path / "run")])
    with pytest.raises(type(error)):
        train_tool.run(args)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (settings["state"], settings["epochs"]) == ("failed", 1)


def test_a_run_whose_figures_cannot_be_written_is_recorded_as_failed(bars, tmp_path, capsys, monkeypatch):
    def draw(*args):
        raise OSError(28, "No space left on device", "history.png")

    monkeypatch.setattr(train_tool, "draw", draw)
    line = refused(capsys, 1, "train", "--data", bars, "--epochs", 1, "--out", tmp_path / "run")
    assert line == "scratchnet: history.png: No space left on device\n"
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["state"] == "failed"


def test_a_record_that_cannot_be_written_does_not_hide_the_first_error(bars, tmp_path, capsys, break_off, monkeypatch):
    def full(folder, settings):
        if settings["state"] == "failed":
            raise OSError("no space for the note")

    monkeypatch.setattr(run_folder, "write_settings", full)
    break_off(0, MemoryError("614 MB"))
    line = refused(capsys, 1, "train", "--data", bars, "--batch-size", 8, "--out", tmp_path / "run")
    assert "614 MB" in line


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_learning_rate_far_too_large_fails_in_one_line(bars, tmp_path, capsys):
    words = ["--optimizer", "sgd", "--learning-rate", "1e30"]
    line = refused(capsys, 1, "train", "--data", bars, *words, "--out", tmp_path / "run")
    assert "conv2d" in line or "dense" in line
