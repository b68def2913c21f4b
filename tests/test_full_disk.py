"""A full disk: one line names the path, and what was written before remains whole.

The disk is a small file system that is really full.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from PIL import Image
from small_runs import refused, write_bars
from small_studies import tiny, tiny_images, write_all

from scratchnet import cli, load_model
from scratchnet.tools import bench, run_folder
from scratchnet.tools.reproduce import campaign, experiments, trial

pytestmark = [
    pytest.mark.compiled,  # training in plain Python would take minutes
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs tmpfs, or the limit of a file's size"),
]



@contextmanager
def small_file_system(folder, size):
    """Mount a file system of `size` bytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the command mount")
    if done.returncode:
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
    try:
        yield "No space left on device"
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def limit_of_file_size(folder, size):
    """Limit the size of every file that this process writes; Python ignores the signal SIGXFSZ."""
    import resource

    folder.mkdir()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.fixture(params=[small_file_system, limit_of_file_size], ids=["tmpfs", "RLIMIT_FSIZE"])
def full(request):
    return request.param


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars")


@pytest.fixture(scope="module")
def run(bars, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    assert cli.main(words(bars, folder)) == 0
    return folder


def words(bars, folder):
    return ["train", "--data", str(bars), "--batch-size", "16", "--epochs", "2", "--out", str(folder)]


def fill(disk):
    """Write a file "filling" that takes all the space."""
    with open(disk / "filling", "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def contents(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("blocks", [0, 1, 40])
def test_a_run_without_space_for_its_first_model_says_so_and_leaves_no_part_of_one(blocks, full, bars, run, tmp_path, capsys):
    with full(tmp_path / "disk", 4096 * blocks or 16) as reason:
        line = refused(capsys, 1, *words(bars, tmp_path / "disk" / "run"))
        left = contents(tmp_path / "disk")
        assert f"{tmp_path / 'disk' / 'run'}" in line
        assert reason in line
        assert left in ([], ["settings.json"])
        if left:
            assert f"model.npz: {reason}; no epoch was finished" in line
            json.loads((tmp_path / "disk" / "run" / "settings.json").read_text())


def test_a_run_without_space_for_its_second_model_keeps_the_first_and_resumes_elsewhere(bars, run, tmp_path, capsys, monkeypatch):
    size = (run / "model.npz").stat().st_size
    monkeypatch.chdir(tmp_path)
    with small_file_system(tmp_path / "disk", int(1.5 * size)) as reason:
        folder = tmp_path / "disk" / "run"
        line = refused(capsys, 1, *words(bars, folder))
        assert f"{folder / 'model.npz'}: {reason}; {folder} holds model and history after epoch 1. Continue with:" in line
        assert {"model.npz", "history.json", "history.csv", "settings.json"} <= {*contents(folder)}
        assert not [name for name in contents(folder) if name.endswith(".part")]
        again = refused(capsys, 1, "train", "--resume", folder)
        assert f"{folder / 'model.npz'}: {reason}" in again
        subprocess.run(["mount", "-o", f"remount,size={20 * size}", str(tmp_path / "disk")], check=True)
        assert cli.main(["train", "--resume", str(folder)]) == 0
        assert (folder / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
        ours, whole = (load_model(place / "model.npz").get_weights() for place in (folder, run))
        assert [w.tobytes() for w in ours] == [w.tobytes() for w in whole]


def test_a_history_that_finds_no_space_is_named_and_made_again_from_the_model(bars, run, tmp_path, capsys):
    """The disk is filled up to the last block, after the model was written."""
    size = (run / "model.npz").stat().st_size
    with small_file_system(tmp_path / "disk", 4096 * (3 * size // 4096)) as reason:
        folder = tmp_path / "disk" / "run"
        write = run_folder.write_history

        def filled(place, history):
            fill(tmp_path / "disk")
            write(place, history)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_folder, "write_history", filled)
            line = refused(capsys, 1, *words(bars, folder))
        assert f"history.json: {reason}; {folder} holds model and history after epoch 1" in line
        (tmp_path / "disk" / "filling").unlink()
        run_folder.model_path(folder)
        assert (folder / "history.csv").read_text().count("\n") == 2


def test_drawings_that_find_no_space_are_named_and_no_part_of_one_stays(full, run, tmp_path, capsys):
    grey = np.full((40, 40), 255, np.uint8)
    grey[8:32, 18:23] = 0
    Image.fromarray(grey).save(tmp_path / "one.png")
    with full(tmp_path / "disk", 4096) as reason:
        line = refused(capsys, 1, "predict", run, tmp_path / "one.png", "--out", tmp_path / "disk" / "drawings")
        assert line == f"scratchnet: {tmp_path / 'disk' / 'drawings' / 'one-prediction.png'}: {reason}\n"
        assert contents(tmp_path / "disk") == []


def test_a_measurement_keeps_its_numbers_although_its_chart_finds_no_space(full, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench.ladder, "peak", lambda threads: 100.0)
    rung = {"rung": "direct", "threads": 1, "ms": 1.0, "gflops": 10.0}
    monkeypatch.setattr(bench, "climb", lambda measured, quick: measured.update(ladder=[rung]))
    with full(tmp_path / "disk", 4096 * 2) as reason:
        line = refused(capsys, 1, "bench", "--quick", "--out", tmp_path / "disk" / "bench")
        assert line == f"scratchnet: {tmp_path / 'disk' / 'bench' / 'ladder.png'}: {reason}\n"
        assert contents(tmp_path / "disk") == ["ladder.json"]
        assert json.loads((tmp_path / "disk" / "bench" / "ladder.json").read_text())["ladder"] == [rung]


def test_a_study_that_finds_no_space_names_the_file_and_continues_when_there_is_space(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(trial, "images", tiny_images)
    monkeypatch.setattr(campaign, "run", lambda plan, selected, seeds, out: trial.run(tiny(), 0, out))
    out = tmp_path / "disk" / "results"
    command = ["reproduce", "--quick", "--only", "study", "--out", out]
    whole = trial.run(tiny(), 0, tmp_path / "whole")
    size = next(tmp_path.glob("whole/**/model.npz")).stat().st_size
    for least in (4096, size // 2, int(1.5 * size)):
        with small_file_system(tmp_path / "disk", least) as reason:
            line = refused(capsys, 1, *command)
            assert line.startswith(f"scratchnet: {out}")
            assert line.endswith(f"model.npz: {reason}\n")
            assert not [name for name in contents(out) if name.endswith(".part")]
            subprocess.run(["mount", "-o", f"remount,size={20 * size}", str(tmp_path / "disk")], check=True)
            assert trial.run(tiny(), 0, out)["weights_sha256"] == whole["weights_sha256"]
        (tmp_path / "disk").rmdir()


def test_a_report_that_finds_no_space_names_the_file(tmp_path, capsys):
    with small_file_system(tmp_path / "disk", 1 << 20) as reason:
        write_all(tmp_path / "disk" / "out", experiments.plan(quick=True), seeds=1)
        fill(tmp_path / "disk")
        line = refused(capsys, 1, "reproduce", "--quick", "--only", "report", "--out", tmp_path / "disk" / "out")
        assert line.startswith(f"scratchnet: {tmp_path / 'disk' / 'out'}")
        assert line.endswith(f": {reason}\n")
        assert not [name for name in contents(tmp_path / "disk") if name.endswith(".part")]


@pytest.mark.slow
def test_a_standard_output_without_space_is_named():
    for words in (["data"], ["--help"], ["predict", "--help"], ["--version"]):
        with open("/dev/full", "w") as out:
            command = [sys.executable, "-m", "scratchnet", *words]
            env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=120, env=env)
        assert (done.returncode, done.stderr) == (1, "scratchnet: standard output: No space left on device\n")


def test_a_training_whose_standard_output_has_no_space_says_so_and_what_it_keeps(bars, tmp_path):
    with open("/dev/full", "w") as out:
        command = [sys.executable, "-u", "-m", "scratchnet", *words(bars, tmp_path / "run")]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "scratchnet: standard output: No space left on device\n")
