"""`scratchnet data`: stored sets are listed, named sets are fetched or verified, and one failure does not hide another."""

import pytest
from small_runs import refused, write_bars

from scratchnet import cli, datasets


@pytest.fixture(autouse=True)
def empty_places(tmp_path, monkeypatch):
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("words", [["data"], ["data", "status"]])
def test_status_lists_every_set_and_both_places(words, tmp_path, capsys):
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == list(datasets.NAMES)
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
