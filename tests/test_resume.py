"""`scratchnet train --resume`: a run goes on where it stopped, however it stopped, and ends with the same bits."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

import numpy as np
import pytest
from small_runs import refused, write_bars

from scratchnet import cli, load_model, saving
from scratchnet.callbacks import Callback
from scratchnet.model import Model
from scratchnet.saving import save_model
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
    """Start a command, kill it a time after its run has begun, and return the number of epochs in the folder, or None."""
    with start(command) as process:
        while not (folder / "settings.json").exists() and process.poll() is None:
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
    more = [*RUNS[kind], "--epochs", "30", *(["--patience", "12"] if kind != "plain" else [])]
    whole = tmp_path / "whole"
    with start(words(bars, whole, *more)) as process:
        assert process.wait() == 0
    settings = json.loads((whole / "settings.json").read_text())
    kills, between, left = 0, 0, 0
    while kills < 25:
        run, before = tmp_path / "run", 0
        command = words(bars, run, *more)
        while True:
            again = command[1] == "--resume"    # then the start of the process counts, too
            epochs = killed(command, run, rng.uniform(0, settings["seconds"]["training"] + 2 * again))
            if epochs is None:  # not begun: nothing can be lost
                break
            kills, between, left = kills + 1, between + (0 < epochs < settings["epochs"]), left + bool(parts(run))
            assert epochs >= before
            print(f"{kind}: kill {kills} after epoch {epochs} of {settings['epochs']}", flush=True)
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


# -- stopped in other ways ---------------------------------------------------------------------------------------------


class InEpoch(Callback):
    """Do something in the middle of an epoch, counted from 1."""

    def __init__(self, epoch, act):
        self.epoch, self.act, self.now = epoch, act, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 1:
            self.act()


@pytest.fixture
def during(monkeypatch):
    """Return a context in which training does something in an epoch."""

    @contextmanager
    def arrange(epoch, act):
        fit = Model.fit

        def acting_fit(self, *args, callbacks, **options):
            return fit(self, *args, callbacks=[*callbacks, InEpoch(epoch, act)], **options)

        with monkeypatch.context() as patch:
            patch.setattr(Model, "fit", acting_fit)
            yield patch

    return arrange


@pytest.fixture
def whole(bars, tmp_path, without_figures):
    folder = tmp_path / "whole"
    assert cli.main(words(bars, folder, *RUNS["plain"])) == 0
    return folder


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_run_resumes_to_the_same_bits_with_the_command_that_it_names(epoch, bars, whole, tmp_path, during, capsys):
    run = tmp_path / "run"
    with during(epoch, interrupt):
        line = refused(capsys, 130, *words(bars, run, *RUNS["plain"]))
    assert (f"Continue with: scratchnet train --resume {run}" in line) == (epoch == 2)
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert content(run) == content(whole)


def full_disk(patch, folder):
    """From now on no file of the folder can be written."""
    fsync = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    patch.setattr(os, "fsync", full)
    return lambda: patch.setattr(os, "fsync", fsync)


def read_only(patch, folder):
    mkstemp = tempfile.mkstemp

    def refuse(**options):
        raise PermissionError(13, "Permission denied", f"{options['dir']}/{options['prefix']}abcdefgh{options['suffix']}")

    patch.setattr(tempfile, "mkstemp", refuse)
    return lambda: patch.setattr(tempfile, "mkstemp", mkstemp)


@pytest.mark.parametrize(("fault", "reason"), [(full_disk, "No space left on device"), (read_only, "Permission denied")])
def test_a_folder_that_cannot_be_written_any_more_is_one_line_that_names_the_file(
    fault, reason, bars, whole, tmp_path, during, capsys, monkeypatch
):
    run, faults = tmp_path / "run", []
    with during(2, lambda: faults.append(fault(monkeypatch, run))):
        line = refused(capsys, 1, *words(bars, run, *RUNS["plain"]))
    assert f"{run / 'model.npz'}: {reason}; {run} holds model and history after epoch 1. Continue with:" in line
    assert epochs_of(run) == {1}
    assert parts(run) == []
    faults[0]()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert content(run) == content(whole)


@posix
@pytest.mark.parametrize("other", ["nothing", "a folder", "a file"])
def test_a_run_whose_folder_is_renamed_stops_and_does_not_begin_a_second_one(other, bars, whole, tmp_path, during, capsys):
    run, new = tmp_path / "run", tmp_path / "new"

    def rename():
        run.rename(new)
        if other == "a folder":
            run.mkdir()
        elif other == "a file":
            run.write_text("mine")

    with during(2, rename):
        line = refused(capsys, 1, *words(bars, run, *RUNS["plain"]))
    assert f"{run}: the run folder was renamed, moved or removed" in line
    assert run.exists() == (other != "nothing")
    assert other != "a folder" or list(run.iterdir()) == []
    assert cli.main(["train", "--resume", str(new)]) == 0
    assert content(new) == content(whole)


def test_a_run_whose_folder_is_removed_stops_in_one_line(bars, tmp_path, during, capsys, without_figures):
    run = tmp_path / "run"
    with during(2, lambda: shutil.rmtree(run)):
        line = refused(capsys, 1, *words(bars, run, *RUNS["plain"]))
    assert "renamed, moved or removed" in line
    assert not run.exists()


@posix
def test_a_folder_that_another_process_trains_in_is_refused(bars, whole, capsys):
    before = content(whole)
    with run_folder.Held(whole):
        assert "no other process trains in" in refused(capsys, 1, *words(bars, whole, "--force"))
        settings = json.loads((whole / "settings.json").read_text())
        run_folder.write_settings(whole, settings | {"state": "running"})
        assert "no other process trains in" in refused(capsys, 1, "train", "--resume", whole)
        run_folder.write_settings(whole, settings)
    assert content(whole) == before


def test_a_folder_with_nothing_but_what_a_killed_run_left_counts_as_empty(bars, tmp_path, without_figures):
    run = tmp_path / "run"
    run.mkdir()
    for name in (".settings.json.abcdefgh.part", ".model.npz.01234567.part"):
        (run / name).write_text("left")
    assert cli.main(words(bars, run, "--epochs", "1")) == 0
    assert parts(run) == []


# -- what --resume takes, and what it refuses --------------------------------------------------------------------------


def test_a_finished_run_has_nothing_left_to_train(whole, capsys):
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert cli.main(["train", "--resume", str(whole)]) == 0
    assert f"{whole}, which is finished" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


@pytest.mark.parametrize(
    "other",
    ["--net net_2", "--data glyphs", "--optimizer adam", "--epochs 5", "--batch-size 128", "--seed 0", "--learning-rate 1",
     "--patience 1", "--limit 1", "--out x", "--force"],
)  # fmt: skip
def test_resume_takes_no_other_option_not_even_with_its_default(other, tmp_path, capsys):
    for command in ([*other.split(), "--resume", str(tmp_path)], ["--resume", str(tmp_path), *other.split()]):
        with pytest.raises(SystemExit) as caught:
            cli.main(["train", *command])
        assert caught.value.code == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "--resume takes all options from the run" in error
        assert other.split()[0] in error


@pytest.mark.parametrize("option", ["--out", "--resume", "--data"])
def test_an_empty_path_is_wrong_usage(option, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", option, ""])
    assert caught.value.code == 2
    assert "expected a path, got ''" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for path, found in ((tmp_path, "a folder without"), (tmp_path / "no", "does not exist"), (tmp_path / "file", "a file")):
        assert found in refused(capsys, 1, "train", "--resume", path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def stopped(folder, **changes):
    """Make a finished run look as if it had stopped, with other settings."""
    settings = json.loads((folder / "settings.json").read_text())
    settings |= {"state": "running"} | {key: value for key, value in changes.items() if key != "arguments"}
    settings["arguments"] |= changes.get("arguments", {})
    (folder / "settings.json").write_text(json.dumps({key: value for key, value in settings.items() if value != "gone"}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arguments": {"epochs": 2.5}}, "expected a whole number"),
        ({"arguments": {"epochs": True}}, "expected a whole number"),
        ({"arguments": {"epochs": 1}}, "expected at most 1 epochs, as its settings say, got 2"),
        ({"arguments": {"net": "net_9"}}, "invalid choice: 'net_9'"),
        ({"arguments": {"transpose": "x"}}, "argument --transpose: expected true or false"),
        ({"arguments": {"colour": "red"}}, "unrecognized arguments: --colour=red"),
        ({"arguments": {"epochs": None}}, "no epochs"),
        ({"data": "gone"}, "no such"),
        ({"data": 5}, "expected data to be text, got 5"),
        ({"data": "no\0where"}, "expected data to be text"),
        ({"training_images": 47}, "the data that the run began with, training_images 47"),
        ({"data_checksum": 1}, "data_checksum 1, got"),
        ({"class_names": 4}, "expected class_names to be a list of strings, got 4"),
        ({"versions": []}, "expected versions to be an object"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_those_of_the_run_are_refused_in_one_sentence(changes, reason, whole, capsys, monkeypatch):
    monkeypatch.chdir(whole)
    stopped(whole, **changes)
    if changes.get("data") == "gone":       # the data by the path in the arguments, which does not exist
        stopped(whole, arguments={"data": "no such data"}, data="gone")
    before = {path.name: path.read_bytes() for path in whole.iterdir() if path.name != "settings.json"}
    assert reason in refused(capsys, 1, "train", "--resume", whole)
    assert {path.name: path.read_bytes() for path in whole.iterdir() if path.name != "settings.json"} == before


@posix
@pytest.mark.parametrize("name", ["model.npz", "history.json", "settings.json"])
def test_a_pipe_in_place_of_a_file_is_never_waited_for(name, whole, capsys):
    stopped(whole)
    (whole / name).unlink()
    os.mkfifo(whole / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_tool, "finish", lambda *args: 0)
        code = cli.main(["train", "--resume", str(whole)])
    assert (code, capsys.readouterr().err.count("\n")) == ((0, 0) if name == "history.json" else (1, 1))
    if name == "history.json":
        run_folder.agree(whole)
        assert (whole / name).is_file()


@pytest.mark.parametrize(
    "change", [{"wait": "3"}, {"wait": None}, {"best": "nan"}, {"best_weights": 5}, {"best_weights": ["no such"]}]
)
def test_a_callback_whose_saved_state_is_invalid_is_refused_by_name(change, bars, tmp_path, capsys, without_figures):
    run = tmp_path / "run"
    assert cli.main(words(bars, run, "--epochs", "1", "--patience", "3")) == 0
    stopped(run)
    arrays, config = saving.load_arrays(run / "model.npz")
    state = dict.fromkeys(("best", "best_epoch", "wait", "stopped_epoch"), 0)
    config[run_folder.RECORD] |= {"finished": False, "callbacks": [{**state, "best_weights": None, **change}]}
    saving.save_arrays(run / "model.npz", arrays, config)
    assert "model.npz: expected" in refused(capsys, 1, "train", "--resume", run)
    config[run_folder.RECORD]["callbacks"] = [{}]
    saving.save_arrays(run / "model.npz", arrays, config)
    assert "state of EarlyStopping, got missing or invalid values" in refused(capsys, 1, "train", "--resume", run)


@pytest.mark.parametrize("damage", ["no record", "wrong record", "half", "a folder"])
def test_a_model_that_no_run_wrote_cannot_be_resumed(damage, whole, capsys):
    stopped(whole)
    path = whole / "model.npz"
    model, bytes_ = load_model(path), path.read_bytes()
    path.unlink()
    if damage == "no record":
        model.save(path)
    elif damage == "wrong record":
        save_model(model, path, more_config={run_folder.RECORD: {"epochs": 2, "history": {"loss": [1.0]}}})
    elif damage == "half":
        path.write_bytes(bytes_[: len(bytes_) // 2])
    else:
        path.mkdir()
    assert "model.npz" in refused(capsys, 1, "train", "--resume", whole)


def test_other_versions_are_named_and_the_run_goes_on(bars, whole, tmp_path, during, capsys):
    run = tmp_path / "run"
    with during(2, interrupt):
        assert cli.main(words(bars, run, *RUNS["plain"])) == 130
    settings = json.loads((run / "settings.json").read_text())
    settings["versions"]["numpy"] = "0.1"
    (run / "settings.json").write_text("\ufeff" + json.dumps(settings))         # as an editor may save it
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "versions have changed, so the last bits may differ: numpy 0.1 is now" in capsys.readouterr().out
    assert content(run) == content(whole)


def test_the_file_of_a_model_is_read_once_to_resume_it(whole, monkeypatch):
    read, load = [], saving.load_arrays
    monkeypatch.setattr(saving, "load_arrays", lambda path: (read.append(path), load(path))[1])
    run_folder.resumed(whole)
    assert read == [whole / "model.npz"]


def test_a_run_resumes_from_any_working_folder(bars, whole, tmp_path, during, monkeypatch):
    monkeypatch.chdir(bars.parent)
    with during(2, interrupt):
        assert cli.main(words("bars", tmp_path / "run", *RUNS["plain"])) == 130
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--resume", "run"]) == 0
    assert content(tmp_path / "run") == content(whole)


def test_the_best_weights_are_stored_once_while_they_are_the_models_own(bars, tmp_path, without_figures):
    run, sizes = tmp_path / "run", []
    save = saving.save_model

    def noting(*args, **more):
        save(*args, **more)
        sizes.append(len(more["more_arrays"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "save_model", noting)
        assert cli.main(words(bars, run, *RUNS["early stopping"])) == 0
    assert sizes == [0, 8, 8, 0]        # the best epoch, two that are not, and the restored model
