"""An interrupt is delayed where it would do damage, and is never lost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext, suppress

import numpy as np
import pytest
from forced import functions_of, interruptions, press_ctrl_c

from scratchnet import cli
from scratchnet.support import interrupts
from scratchnet.support.files import write_text
from scratchnet.support.interrupts import uninterrupted

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("inner", [nullcontext, uninterrupted])
def test_an_interrupt_waits_for_the_end_of_the_outermost_block_and_the_handlers_are_restored(inner):
    handler = signal.getsignal(signal.SIGINT)
    done = []

    def write():
        with uninterrupted():
            with inner():
                signal.raise_signal(signal.SIGINT)
            done.append("written")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert done == ["written"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_block_in_another_thread_runs_unchanged():
    done = []

    def work():
        with uninterrupted():
            done.append("written")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert done == ["written"]


def test_after_an_interrupt_at_any_bytecode_the_next_one_is_answered():
    def block():
        with uninterrupted():
            pass

    def answered():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return True
        return False

    handler, places = signal.getsignal(signal.SIGINT), 0
    for _ in interruptions(functions_of(interrupts), block):
        places += 1
        assert answered()
        assert signal.getsignal(signal.SIGINT) is handler
    for _ in interruptions(functions_of(interrupts), block, press_ctrl_c):
        assert answered()
        assert signal.getsignal(signal.SIGINT) is handler
    assert places > 50


@pytest.mark.parametrize("call", range(1, 7))
def test_an_interrupt_while_the_handlers_are_set_restores_all_of_them(call, monkeypatch):
    set_handler, calls = signal.signal, []
    set_handler(signal.SIGTERM, signal.default_int_handler)
    handlers = [signal.getsignal(number) for number in SIGNALS]

    def interrupted_setting(number, handler):
        set_handler(number, handler)
        calls.append(number)
        if len(calls) == call:
            raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", interrupted_setting)
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            pass
        assert [signal.getsignal(number) for number in SIGNALS] == handlers
    finally:
        set_handler(signal.SIGTERM, signal.SIG_DFL)


def test_an_interrupt_while_a_file_is_created_leaves_no_temporary_file(tmp_path, monkeypatch):
    create = tempfile.mkstemp

    def interrupted_create(**words):
        signal.raise_signal(signal.SIGINT)
        return create(**words)

    monkeypatch.setattr(tempfile, "mkstemp", interrupted_create)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "letter.txt", "all of it")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# A console script, in which a signal arrives when a module is looked for (or when the process ends).
SCRIPT = """
import atexit, signal, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal({number})

sys.meta_path.insert(0, Finder)
if {module!r} == "the end":
    atexit.register(signal.raise_signal, {number})
from scratchnet.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("SIGINT", "scratchnet.callbacks"),     # the first after the handlers are installed
        ("SIGTERM", "numba.core.dispatcher"),
        ("SIGHUP", "llvmlite.binding"),
        ("SIGINT", "argparse"),
        ("SIGHUP", "scratchnet.tools.doctor"),
        ("SIGTERM", "scratchnet.tools.versions"),
        ("SIGINT", "the end"),
        ("SIGTERM", "the end"),
    ],
)
def test_a_signal_during_imports_ends_the_command_with_one_line_and_its_code_and_at_the_end_does_nothing(name, module, tmp_path):
    number = getattr(signal, name)
    script = tmp_path / "scratchnet"
    script.write_text(SCRIPT.format(module=module, number=int(number)))
    words = ["--version"] if module == "the end" else ["doctor"]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, timeout=120)
    if module == "the end":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "scratchnet: interrupted\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_at_any_moment_ends_a_training_with_its_code_and_one_line_and_leaves_no_draft(number, tmp_path):
    folder, seconds = tmp_path / "run", 4.0
    words = ["train", "--limit", "256", "--epochs", "1000", "--out", folder, "--force"]
    command = [sys.executable, "-m", "scratchnet", *map(str, words)]
    early = 0
    for delay in np.random.default_rng(number).uniform(0, seconds, 40):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(delay)
            process.send_signal(number)
            said = process.communicate(timeout=120)[1]
        lines = [line for line in said.splitlines() if "compiling kernels" not in line]
        begun = "/scratchnet/" in said and "from scratchnet.support import interrupts" not in said
        if process.returncode in (-number, 1) and not begun:
            early += 1                  # the interpreter was still starting, or the very first import
            continue
        assert process.returncode == 128 + number, said
        assert len(lines) == 1, said
        assert lines[0].startswith("scratchnet: interrupted")
        assert not list(tmp_path.rglob("*.part"))
    assert early < 10


def test_importing_the_package_in_a_program_changes_no_handler():
    code = """if True:
        import signal
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        import scratchnet.cli
        assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    """
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def interrupted_command(monkeypatch, work):
    """Run the command `doctor`, replaced by `work`, as if this process were the command; return its exit code."""
    monkeypatch.setattr("scratchnet.tools.doctor.run", work)
    handlers = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    monkeypatch.setattr(interrupts, "process", interrupts.Command())
    try:
        return cli.main(["doctor"])
    finally:
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in handlers)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_while_a_command_works_is_raised_once_and_decides_the_exit_code_whatever_error_it_causes(
    number, monkeypatch, capsys
):
    def work(args):
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)         # a terminal and `timeout` both send it: the second changes nothing
            raise OSError(5, "the terminal is closed")

    assert interrupted_command(monkeypatch, work) == 128 + number
    assert capsys.readouterr().err == "scratchnet: interrupted\n"


def test_a_later_signal_ends_the_command_at_once(monkeypatch, capfd):
    class Ended(BaseException):
        pass

    def end(code):
        raise Ended(code)

    def work(args):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)          # somebody catches it
        monkeypatch.setattr(interrupts, "PATIENCE", -1)
        with pytest.raises(Ended, match="143"):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(os, "_exit", end)
    assert interrupted_command(monkeypatch, work) == 0
    assert capfd.readouterr().err == "scratchnet: interrupted\n"


def test_main_called_by_a_program_gives_its_handlers_back(monkeypatch):
    monkeypatch.setattr("scratchnet.tools.doctor.run", lambda args: signal.raise_signal(signal.SIGTERM))
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    assert cli.main(["doctor"]) == 143
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


COMPILES = """
import json, signal
import numpy as np
from numba.core import codegen
hook, calls = codegen.CPUCodeLibrary._object_compiled_hook, []

def interrupted_hook(*args):        # LLVM calls this function and ignores its exceptions
    calls.append(1)
    if len(calls) == 1:
        signal.raise_signal(signal.SIGINT)
    return hook(*args)

codegen.CPUCodeLibrary._object_compiled_hook = interrupted_hook
from scratchnet.kernels import updates
results = []
for _ in range(2):
    p, g = np.ones(8), np.ones(8)
    try:
        updates.sgd_update(p, g, np.zeros(8), 0.5, 0.0, False)
        results.append(p[0])
    except KeyboardInterrupt:
        results.append("interrupted")
print(json.dumps([len(calls) > 0, *results]))
"""


@pytest.mark.compiled
def test_an_interrupt_while_a_kernel_is_compiled_is_not_lost_and_the_kernel_works(tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    env["NUMBA_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", COMPILES], env=env, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == [True, "interrupted", 0.5]
    assert "ignored" not in done.stderr
