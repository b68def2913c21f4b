"""`scratchnet diagnose`: runs that finished, failed, were resumed or are old, and what it refuses."""

import json
import re

import numpy as np
import pytest
from matplotlib.image import imread
from small_runs import refused, train, write_bars

from scratchnet import cli, plotting, saving
from scratchnet.tools import run_folder
from scratchnet.tools import train as train_tool

DRAW = plotting.diagnosis

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars", n_train=160, n_test=80)


@pytest.fixture(scope="module", autouse=True)
def quick_pictures():
    """Train without figures, and draw no diagnosis: only the file is written."""

    def written(diagnosis, title, path):
        path.write_bytes(b"a picture")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_tool, "draw", lambda *arguments: None)
        patch.setattr(plotting, "diagnosis", written)
        yield


@pytest.fixture(scope="module")
def finished(bars, tmp_path_factory):
    """A run of three epochs."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert train(bars, folder, "--epochs", "3", "--batch-size", "32") == 0
    return folder


def diagnosed(capsys, run, *words):
    """Return what the command prints for a run."""
    capsys.readouterr()
    assert cli.main(["diagnose", str(run), *map(str, words)]) == 0
    return capsys.readouterr().out


def copied(run, folder, change_config=lambda config: None, change_settings=lambda settings: None):
    """Copy model and settings of a run, changed."""
    folder.mkdir()
    arrays, config = saving.load_arrays(run / "model.npz")
    settings = json.loads((run / "settings.json").read_text())
    change_config(config)
    change_settings(settings)
    saving.save_arrays(folder / "model.npz", arrays, config)
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def flat(text):
    return " ".join(text.split())


def test_a_finished_run_that_learned_has_no_problem_and_a_picture(finished, capsys, monkeypatch):
    monkeypatch.setattr(plotting, "diagnosis", DRAW)
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    printed = diagnosed(capsys, finished)
    assert "net_2 after epoch 3 of 3" in printed
    assert "No problem found" in printed
    assert "PROBLEM" not in printed
    assert imread(finished / "diagnosis.png").std() > 0.01
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.name != "diagnosis.png"} == before


def test_the_ratios_of_every_epoch_are_stored_with_the_model_also_when_a_run_resumes(bars, finished, tmp_path, capsys):
    _, updates = run_folder.measured(finished / "model.npz")
    assert updates.epochs == [1, 2, 3]
    assert {*updates.ratios} == {"conv2d", "conv2d_1", "dense", "dense_1"}
    assert all(len(values) == 3 for values in updates.ratios.values())

    class Stops(run_folder.Recorder):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch == 0:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scratchnet.tools.train.Recorder", Stops)
        assert train(bars, tmp_path / "run", "--epochs", "3", "--batch-size", "32") == 130
    assert "after epoch 1 of 3" in diagnosed(capsys, tmp_path / "run")
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    _, again = run_folder.measured(tmp_path / "run" / "model.npz")
    assert (again.epochs, again.ratios) == (updates.epochs, updates.ratios)


def test_a_run_that_diverged_in_its_first_epoch_is_repeated_until_it_does_so_again(bars, tmp_path, capsys):
    assert train(bars, tmp_path / "run", "--optimizer", "sgd", "--learning-rate", "1e9") == 1
    step = int(re.search(r"in step (\d+) of epoch 1, the loss is (nan|inf)", flat(diagnosed(capsys, tmp_path / "run")))[1])
    assert 2 <= step <= 10
    assert (tmp_path / "run" / "diagnosis.png").exists()
    assert not (tmp_path / "run" / "model.npz").exists()


def test_a_run_that_failed_for_another_reason_is_not_accused_of_its_learning_rate(finished, tmp_path, capsys):
    run = copied(finished, tmp_path / "run", change_settings=lambda settings: settings.update(state="failed"))
    printed = diagnosed(capsys, run)
    assert "repeated, went well" in printed
    assert "PROBLEM" not in printed


def test_the_run_of_an_earlier_version_is_measured_at_its_end_only(finished, tmp_path, capsys):
    run = copied(finished, tmp_path / "run", change_config=lambda config: config["record"].pop("updates"))
    printed = diagnosed(capsys, run)
    assert "of their norm at the end" in flat(printed)
    assert "No problem found" in printed


def test_a_model_without_a_run_needs_its_data_and_says_so(bars, finished, tmp_path, capsys):
    model = tmp_path / "alone.npz"
    model.write_bytes((finished / "model.npz").read_bytes())
    assert "Name the data with --data." in refused(capsys, 1, "diagnose", model)
    printed = diagnosed(capsys, model, "--data", bars, "--out", tmp_path / "new" / "picture.png")
    assert "The loss before training is not known" in flat(printed)
    assert (tmp_path / "new" / "picture.png").exists()


def test_labels_that_changed_since_training_are_refused(bars, finished, tmp_path, capsys):
    other = write_bars(tmp_path / "other", n_train=160, n_test=80, shift=1)
    line = refused(capsys, 1, "diagnose", finished, "--data", other)
    assert "expected the data that the run was trained on" in line
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in bars.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert "No problem" in diagnosed(capsys, finished, "--data", moved)


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert "expected a run folder or a model.npz, got a folder without model.npz" in refused(capsys, 1, "diagnose", tmp_path)
    assert "expected a run folder" in refused(capsys, 1, "diagnose", tmp_path / "nothing")


def test_a_run_that_was_interrupted_before_its_first_epoch_ended_is_refused(finished, tmp_path, capsys):
    run = copied(finished, tmp_path / "run", change_settings=lambda settings: settings.update(state="interrupted"))
    (run / "model.npz").unlink()
    assert "got a folder without model.npz" in refused(capsys, 1, "diagnose", run)


DAMAGED = [{}, {"epochs": [1, 2, 3]}, {"epochs": [1], "ratios": {"dense": []}}, {"epochs": ["a"], "ratios": {}}, 3]


@pytest.mark.parametrize("updates", DAMAGED, ids=str)
def test_a_damaged_record_of_ratios_is_refused_when_a_run_resumes(finished, tmp_path, capsys, updates):
    def damage(config):
        config["record"]["updates"] = updates

    run = copied(finished, tmp_path / "run", damage, lambda settings: settings.update(state="running"))
    assert "a model with the record of its run" in refused(capsys, 1, "train", "--resume", run)


def test_images_is_the_size_of_the_sample(finished, capsys):
    assert "20 of 160 training images" in diagnosed(capsys, finished, "--images", "20")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["diagnose", str(finished), "--images", "0"])
    assert stopped.value.code == 2


def test_the_callback_changes_no_bit_of_a_run(bars, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("scratchnet.callbacks.UpdateRatios.on_train_batch_begin", lambda self, batch, logs=None: None)
    assert train(bars, tmp_path / "run", "--epochs", "3", "--batch-size", "32") == 0
    (one, _), (other, _) = (saving.load_arrays(run / "model.npz") for run in (finished, tmp_path / "run"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
