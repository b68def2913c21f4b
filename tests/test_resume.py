"""`scratchnet train --resume`: a run goes on where it stopped, however it stopped, and ends with the same bits."""

import json
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import write_bars

from scratchnet import cli, load_model
from scratchnet.tools import run_folder
from scratchnet.tools import train as train_tool

pytestmark = pytest.mark.compiled  # training in plain Python would take minutes

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, and locks of POSIX")

# Labels of the test images are wrong, so that early stopping waits, stops, and restores an earlier epoch's weights.
RUNS = {"plain": ["--epochs", "2"], "early stopping": ["--epochs", "9", "--patience", "2", "--learning-rate", "0.01"]}


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars", shift=1)


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr(train_tool, "draw", lambda *args: None)
    monkeypatch.setattr(train_tool.plotting, "history", lambda *args, **options: None)


def words(bars, folder, *more):
    return ["train", "--data", str(bars), "--batch-size", "8", *more, "--out", str(folder)]


def content(folder):
    """Return everything that a run's bits are: arrays, optimizer, shuffling, history and result, without times and places."""
    with np.load(folder / "model.npz", allow_pickle=False) as file:
        arrays = {name: file[name].tobytes() for name in file.files if name != "config"}
        config = json.loads(str(file["config"]))
    config[run_folder.RECORD].pop("seconds")
    settings = json.loads((folder / "settings.json").read_text())
    history = [(folder / name).read_text() for name in ("history.json", "history.csv")]
    return arrays, config, history, [settings[key] for key in ("state", "epochs", "result", "training_images", "optimizer")]


def epochs_of(folder):
    """Return the epochs that the model, both histories and the record tell, after the run was used."""
    run_folder.model_path(folder)
    model = load_model(folder / "model.npz")
    steps = -(-48 // 8)
    with np.load(folder / "model.npz") as file:
        record = json.loads(str(file["config"]))[run_folder.RECORD]
    rows = (folder / "history.csv").read_text().splitlines()[1:]
    history = json.loads((folder / "history.json").read_text())
    return {model.optimizer.iterations / steps, record["epochs"], len(rows), *map(len, history.values())}


def parts(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def instants(monkeypatch):
    """Return a function that runs a command and copies its folder at every instant at which a kill could leave another content."""

    def record(command, folder, copies):
        seen = set()

        def copy():
            files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
            state = frozenset(files.items())
            if state not in seen:
                seen.add(state)
                shutil.copytree(folder, copies / str(len(seen)))

        def copying(function):
            def call(*args):
                copy()
                result = function(*args)
                copy()
                return result

            return call

        with monkeypatch.context() as patch:
            for name in ("replace", "fsync"):
                patch.setattr(os, name, copying(getattr(os, name)))
            assert cli.main(command) == 0
        return sorted(copies.iterdir(), key=lambda path: int(path.name))

    return record


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_killed_at_any_instant_resumes_to_the_same_bits(kind, bars, tmp_path, instants, without_figures):
    whole = tmp_path / "whole"
    copies = instants(words(bars, whole, *RUNS[kind]), whole, tmp_path / "copies")
    assert len(copies) > 12
    ran = len(json.loads((whole / "history.json").read_text())["loss"])
    assert kind == "plain" or ran < 9
    seen = set()
    for copy in copies:
        if not (copy / "settings.json").exists():
            assert parts(copy) == [path.name for path in copy.iterdir()]        # nothing is finished, so nothing is lost
            continue
        if (copy / "model.npz").exists():
            (epochs,) = epochs_of(copy)
            seen.add(epochs)
        assert cli.main(["train", "--resume", str(copy)]) == 0
        assert content(copy) == content(whole)
        assert parts(copy) == []
    assert seen == set(range(1, ran + 1))


def start(command):
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}  # its lock can stay held
    words = [sys.executable, "-m", "scratchnet", *map(str, command)]
    return subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def killed(command, folder, seconds):
    """Start a command, kill it a time after it has made its folder, and return the number of epochs in the folder, or None."""
    with start(command) as process:
        while not folder.exists() and process.poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
    if not (folder / "settings.json").exists():
        return None
    if not (folder / "model.npz").exists():
        return 0
    (epochs,) = epochs_of(folder)
    return epochs


@posix
@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_runs_killed_at_random_points_resume_to_the_same_bits(kind, bars, tmp_path):
    """25 kill points for each kind of run, some of a process that resumes: nothing is lost, nothing is different."""
    rng = random.Random(5)
    more = RUNS[kind] if kind != "plain" else ["--epochs", "30"]
    whole = tmp_path / "whole"
    with start(words(bars, whole, *more)) as process:
        assert process.wait() == 0
    settings = json.loads((whole / "settings.json").read_text())
    kills, between, left = 0, 0, 0
    while kills < 25:
        run, before = tmp_path / "run", 0
        command = words(bars, run, *more)
        while True:
            epochs = killed(command, run, rng.uniform(0, settings["seconds"]["training"] + 1))
            if epochs is None:  # not begun: nothing can be lost
                break
            kills, between, left = kills + 1, between + (0 < epochs < settings["epochs"]), left + bool(parts(run))
            assert epochs >= before
            command, before = ["train", "--resume", run], epochs
            if rng.random() < 0.5:
                break
        if command[1] != "--resume":
            continue
        with start(command) as process:
            assert process.communicate()[1].count("Error") == 0
        assert process.returncode == 0
        assert content(run) == content(whole)
        assert parts(run) == []
        shutil.rmtree(run)
    print(f"{kind}: {kills} kills, {between} between two epochs, {left} left a .part file, 0 lost, 0 different")
