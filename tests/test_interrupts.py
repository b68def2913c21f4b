"""An interrupt is delayed where it would do damage, and is never lost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext

import pytest

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


@pytest.mark.parametrize("call", [1, 2, 3, 4])
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
