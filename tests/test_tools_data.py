"""`scratchnet data`: stored sets are listed, named sets are fetched or verified, and one failure does not hide another."""

import subprocess
import sys

import pytest
from small_runs import refused, train, write_bars

from scratchnet import cli, datasets


@pytest.fixture(autouse=True)
def empty_places(tmp_path, monkeypatch):
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("words", [["data"], ["data", "status"]])
def test_status_lists_every_set_and_both_places(words, tmp_path, capsys):
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(datasets.NAMES)]] == list(datasets.NAMES)
    assert lines[-2].split() == ["SCRATCHNET_DATA", "not", "set"]
    assert lines[-1].split() == ["cache", str(tmp_path / "cache")]


def test_a_folder_of_idx_files_is_verified(tmp_path, capsys):
    folder = write_bars(tmp_path / "bars")
    assert cli.main(["data", "verify", str(folder)]) == 0
    assert "48 + 24 images of 9×7, 4 classes; structure is right" in capsys.readouterr().out


def test_each_set_is_verified_although_another_is_damaged(tmp_path, capsys):
    good, bad = write_bars(tmp_path / "good"), write_bars(tmp_path / "bad")
    (bad / "train-labels-idx1-ubyte").write_bytes(b"short")
    assert cli.main(["data", "verify", str(bad), "mnits", str(good)]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{good}: ")
    assert printed.err.count("\n") == 1
    assert "train-labels-idx1-ubyte" in printed.err
    assert "mnits" in printed.err


def test_a_set_that_is_not_stored_cannot_be_verified(capsys):
    assert "not stored yet" in refused(capsys, 1, "data", "verify", "mnist")


def test_fetch_prints_where_the_set_is_stored(tmp_path, capsys):
    folder = write_bars(tmp_path / "bars")
    assert cli.main(["data", "fetch", str(folder)]) == 0
    assert f"in {folder})" in capsys.readouterr().out


def test_status_shows_a_stored_set_with_its_size(tmp_path, monkeypatch, capsys):
    found = datasets.Status("mnist", "cache", tmp_path / "mnist", 11_594_722, "there")
    monkeypatch.setattr(datasets, "status", lambda: [found])
    assert cli.main(["data"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["mnist", "cache", "11.6", "MB", str(tmp_path / "mnist")]


def test_verify_says_which_files_have_no_checksum(tmp_path, capsys):
    folder = write_bars(tmp_path / "bars")
    assert cli.main(["data", "verify", str(folder)]) == 0
    assert "2 of 4 files are plain, without a checksum; no published sums are known" in capsys.readouterr().out


def test_a_data_folder_that_cannot_be_read_does_not_stop_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / ("a" * 300)))
    assert cli.main(["data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(datasets.NAMES)]] == list(datasets.NAMES)
    assert "drawn when first used" in lines[1]
    assert "cannot be read (File name too long)" in lines[3]
    assert "cannot be read (File name too long)" in refused(capsys, 1, "data", "verify", "mnist")
    assert "cannot be read (File name too long)" in refused(capsys, 1, "train", "--data", "cifar10", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["train", "--out", "RUN", "--data"], ["data", "fetch"], ["data", "verify"]])
@pytest.mark.parametrize("path", ["a" * 5000, "~nobody of this name/x", "FILE"])
def test_a_path_that_is_no_set_is_refused_in_one_line(words, path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("text")
    assert len(refused(capsys, 1, *words, path)) < 600
    assert not (tmp_path / "RUN").exists()


def write_emnist(folder):
    """Write 28x28 images whose class is the column of a bright bar, stored as rows, under EMNIST's names."""
    plain = write_bars(folder / "plain", shape=(9, 7))
    for file in sorted(plain.iterdir()):
        file.rename(folder / f"emnist-mine-{file.name.replace('t10k', 'test')}")
    plain.rmdir()
    return folder


def test_evaluate_turns_emnist_as_the_run_did_and_says_so_of_data_that_is_not_turned(tmp_path, capsys, caplog):
    (tmp_path / "data").mkdir()
    data, run = write_emnist(tmp_path / "data"), tmp_path / "run"
    assert train(data, run, "--transpose") == 0
    printed = capsys.readouterr()
    assert "images of 7×9×1" in printed.out
    assert caplog.text == ""
    assert cli.main(["evaluate", str(run)]) == 0
    assert cli.main(["evaluate", str(run), "--data", str(data), "--transpose"]) == 0
    capsys.readouterr()
    assert caplog.text == ""
    assert cli.main(["evaluate", str(run), "--data", str(data)]) == 1
    assert "expected images of 7×9×1, got images of 9×7×1" in capsys.readouterr().err
    assert "stored transposed" in caplog.text


def test_what_is_said_of_emnist_is_one_line_on_stderr(tmp_path):
    (tmp_path / "data").mkdir()
    data = write_emnist(tmp_path / "data")
    program = f"from scratchnet import datasets; datasets.load({str(data)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("scratchnet: data: EMNIST's images are stored transposed")
