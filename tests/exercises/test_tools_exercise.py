"""The command ``scratchnet exercise``: list, start, check."""

import pytest

from scratchnet import cli
from scratchnet.exercises import EXERCISES, find


def test_the_list_names_every_exercise_in_order_and_what_to_do_next(capsys):
    assert cli.main(["exercise"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line[:2].strip().isdigit()] == list(EXERCISES)
    assert max(map(len, lines)) <= 100
    assert "scratchnet exercise start NAME" in lines[-2]


def test_start_writes_the_file_and_never_overwrites_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["exercise", "start", "im2col"]) == 0
    assert (tmp_path / "im2col.py").read_text(encoding="utf-8") == find("im2col").starter
    (tmp_path / "im2col.py").write_text("mine")
    assert cli.main(["exercise", "start", "im2col"]) == 1
    assert (tmp_path / "im2col.py").read_text() == "mine"
    assert cli.main(["exercise", "start", "relu", "--out", "new/folder/a file.py"]) == 0
    assert "check 'new/folder/a file.py'" in capsys.readouterr().out
    assert cli.main(["exercise", "start", "relu", "--out", "new"]) == 1


@pytest.mark.parametrize("words", [["start", "nothing"], ["start"], ["check"], ["check", "a.py", "--hint", "x"], ["solve"]])
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["exercise", *words])
    assert caught.value.code == 2


def test_check_says_what_it_runs_and_shows_hints_and_the_solution_only_when_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["exercise", "start", "relu"])
    capsys.readouterr()
    exercise = find("relu")
    assert cli.main(["exercise", "check", "relu.py"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("Running relu.py, and no other file, with at most 10 s")
    assert "NotImplementedError" in out
    assert "For a hint: scratchnet exercise check relu.py --hint" in out
    assert exercise.hints[0] not in out
    assert exercise.solution not in out

    assert cli.main(["exercise", "check", "relu.py", "--hint", "2"]) == 1
    out = capsys.readouterr().out
    assert exercise.hints[1] in out
    assert exercise.hints[0] not in out
    assert exercise.solution not in out

    assert cli.main(["exercise", "check", "relu.py", "--solution"]) == 1
    assert exercise.solution in capsys.readouterr().out

    (tmp_path / "relu.py").write_text(exercise.solution, encoding="utf-8")
    assert cli.main(["exercise", "check", "relu.py"]) == 0
    out = capsys.readouterr().out
    assert "relu: passed" in out
    assert out.endswith("Next: scratchnet exercise start softmax_cross_entropy\n")


def test_what_cannot_be_checked_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relu.py").write_text(find("relu").starter, encoding="utf-8")
    (tmp_path / "syntax.py").write_text("def relu(x, dout)")
    for words in (["nothing.py"], ["."], ["relu.py", "--hint", "9"], ["relu.py", "--hint", "0"]):
        assert cli.main(["exercise", "check", *words]) == 1
        streams = capsys.readouterr()
        assert streams.out == ""
        assert streams.err.startswith("scratchnet: ")
        assert streams.err.count("\n") == 1
    assert cli.main(["exercise", "check", "syntax.py"]) == 1
    out = capsys.readouterr().out
    assert "Running" not in out
    assert "syntax.py, line 1" in out
