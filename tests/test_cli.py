"""The command: usage, exit codes, one line for each error."""

import io
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
from small_runs import refused, write_bars

import scratchnet
from scratchnet import cli


def misused(capsys, *words):
    """Run the command, which argparse must refuse, and return its last line."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(word) for word in words])
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--net", "net_4"], "invalid choice: 'net_4'"),
        (["train", "--quick"], "--quick makes net_3 smaller: expected --net net_3, got net_2"),
        (["train", "--optimizer", "lion"], "invalid choice: 'lion'"),
        (["train", "--epochs", "0"], "expected a whole number of at least 1, got '0'"),
        (["train", "--epochs", "2.5"], "got '2.5'"),
        (["train", "--batch-size", "-1"], "got '-1'"),
        (["train", "--seed", "-1"], "a whole number of at least 0"),
        (["train", "--learning-rate", "nan"], "expected a finite number above 0, got 'nan'"),
        (["train", "--learning-rate", "inf"], "got 'inf'"),
        (["train", "--learning-rate", "fast"], "got 'fast'"),
        (["train", "--epoch", "3"], "unrecognized arguments"),
        (["evaluate"], "required: RUN"),
        (["predict", "run"], "required: IMAGE"),
        (["data", "burn"], "invalid choice: 'burn'"),
        (["data", "fetch"], "required: NAME"),
        (["gradcheck", "--break"], "expected one argument"),
        (["reproduce", "--seeds", "0"], "expected a whole number of at least 1, got '0'"),
        (["reproduce", "--only"], "expected at least one argument"),
        (["doctor", "now"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_mistake(words, part, capsys):
    assert part in misused(capsys, *words)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_a_help_text(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert f"scratchnet {command}" in capsys.readouterr().out


def test_the_defaults_of_train_are_those_of_its_help():
    args = cli.parser().parse_args(["train"])
    assert (args.net, args.data, args.optimizer, args.batch_size, args.seed) == ("net_2", "glyphs", "adam", 128, 0)
    assert (args.epochs, args.learning_rate, args.patience, args.limit, args.out) == (5, None, None, None, None)


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"scratchnet {scratchnet.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("two\n  lines"), 1, "two lines"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 1, "a.txt: No such file or directory"),
        (OSError("no mirror answered"), 1, "no mirror answered"),
        (FloatingPointError("the loss is nan"), 1, "the loss is nan"),
        (MemoryError("614 MB"), 1, "not enough memory: 614 MB"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_becomes_one_line_and_an_exit_code(error, code, line, capsys, monkeypatch):
    def run(args):
        raise error

    monkeypatch.setattr("scratchnet.tools.doctor.run", run)
    assert refused(capsys, code, "doctor") == f"scratchnet: {line}\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    def run(args):
        raise TypeError("a bug")

    monkeypatch.setattr("scratchnet.tools.doctor.run", run)
    with pytest.raises(TypeError, match="a bug"):
        cli.main(["doctor"])


def test_gradcheck_receives_the_name_to_break_and_returns_its_code(monkeypatch):
    seen = []

    def run(args):
        seen.append(args.break_name)
        return 1 if args.break_name else None

    monkeypatch.setattr("scratchnet.tools.gradcheck.run", run)
    assert cli.main(["gradcheck"]) == 0
    assert cli.main(["gradcheck", "--break", "all"]) == 1
    assert seen == [None, "all"]


def process(*words, **options):
    command = [sys.executable, "-m", "scratchnet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_as_a_process_the_exit_codes_are_0_1_and_2(tmp_path):
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"scratchnet {scratchnet.__version__}\n", "")
    done = process("evaluate", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    done = process("train", "--epochs", "none")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_module_and_command_are_the_same(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scratchnet", "--version"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("scratchnet", run_name="__main__")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"scratchnet {scratchnet.__version__}\n"


def test_a_character_that_a_stream_cannot_encode_becomes_a_question_mark(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("scratchnet.tools.doctor.run", lambda args: print("9×7"))
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["doctor"]) == 0
    assert out.buffer.getvalue().split() == [b"9?7"]


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_stream_closed_from_the_start_is_no_error(closed, monkeypatch, capsys):
    def run(args):
        print("found")
        print("doubted", file=sys.stderr)

    monkeypatch.setattr("scratchnet.tools.doctor.run", run)
    monkeypatch.setattr(sys, closed, None)  # as Python sets it for >&- and 2>&-
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr() == (("", "doubted\n") if closed == "stdout" else ("found\n", ""))


@pytest.fixture(scope="module")
def streams_run(tmp_path_factory):
    """A run of two epochs, and a picture; in plain Python it would take minutes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("streams")
    write_bars(folder / "bärs", shape=(28, 28))
    done = process("train", "--batch-size", 16, "--epochs", 1, "--data", "bärs", "--out", "rün", cwd=folder)
    assert (done.returncode, done.stderr.count("\n") < 2) == (0, True)
    grey = np.full((40, 40), 255, np.uint8)
    grey[8:32, 18:23] = 0
    Image.fromarray(grey).save(folder / "eins ①.png")
    return folder


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that can close a stream")
@pytest.mark.parametrize("words", [
    "evaluate rün",
    *(pytest.param(words, marks=pytest.mark.slow) for words in (
        "train --batch-size 16 --epochs 1 --data bärs --out again --force", "train --resume rün", "predict rün 'eins ①.png'",
        "doctor", "data", "gradcheck", "bench --help", "reproduce --help",
    )),
])  # fmt: skip
def test_closed_streams_and_a_locale_of_ascii_change_no_exit_code(words, streams_run):
    shells = [(">&- 2>&-", {}), ("<&- >&- 2>&-", {}), (">&-", {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})]
    if "rün" not in words:      # where every name is ASCII, a name in a run's settings that is not cannot be found
        shells += [("", {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})]
    for closing, env in shells:
        command = f'"{sys.executable}" -m scratchnet {words} {closing}'
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, timeout=120, cwd=streams_run, env={**os.environ, **env}
        )
        assert (done.returncode, done.stderr.decode()) == (0, ""), (closing, env)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that can close a stream")
def test_no_file_takes_the_number_of_a_closed_stream():
    code = "import os, sys; from scratchnet import cli; cli.prepare_streams(); sys.exit(os.open(os.devnull, os.O_RDONLY))"
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -c "{code}" <&- >&- 2>&-'], timeout=60)
    assert done.returncode >= 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that can close a stream")
def test_as_a_process_closed_streams_do_not_change_the_exit_code(tmp_path):
    for words, code in (("data", 0), (f'evaluate "{tmp_path}"', 1)):
        command = f'"{sys.executable}" -m scratchnet {words} >&-'
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (code, code)


def test_a_closed_pipe_ends_the_command_silently(monkeypatch, tmp_path, capsys):
    def run(args):
        raise BrokenPipeError

    monkeypatch.setattr("scratchnet.tools.doctor.run", run)
    with open(tmp_path / "out", "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.main(["doctor"]) == 1
        out.write("more")
    assert (tmp_path / "out").read_text() == ""  # what was printed later was discarded
    assert capsys.readouterr().err == ""


def test_a_reader_that_closes_the_pipe_early_is_no_error():
    command = f'"{sys.executable}" -m scratchnet data | head -c 1 > {os.devnull}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_the_help_that_lists_the_commands_loads_neither_matplotlib_nor_a_tool():
    code = """if True:
        import contextlib, sys
        from scratchnet import cli
        with contextlib.suppress(SystemExit):
            cli.parser(["--help"]).parse_args(["--help"])
        sys.exit(any(name == "matplotlib" or name.startswith("scratchnet.tools.") for name in sys.modules))
    """
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, timeout=60).returncode == 0


def test_the_help_of_no_command_loads_matplotlib():
    code = """if True:
        import contextlib, sys
        from scratchnet import cli
        for command in cli.COMMANDS:
            with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):
                cli.main([command, "--help"])
            if "matplotlib" in sys.modules:
                sys.exit(command)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
