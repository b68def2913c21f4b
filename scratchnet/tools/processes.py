"""A command that mpiexec has started in several processes: rank 0 runs it, and the other ranks only take part in training.

    rank 0          reads the command line, prints, writes;   tell("train", …)   model.fit(…)                    end
    other ranks     wait                                      receive it         model.fit(…), the same calls    end

Before each training run, rank 0 sends the others a message with what to train (`tell`). They print and write nothing. If a process
fails alone, for example because the disk is full, the others would wait for ever for its part of the next sum of gradients.
So the process that fails ends all of them.
"""

from __future__ import annotations

import io
import json
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from typing import Any

from scratchnet.distribution import GRACE, GRACE_INTERRUPT, POLL, DataParallel, OneProcess, StoppedTogether
from scratchnet.support import interrupts

team: OneProcess = OneProcess()         # what commands pass to `fit`
_told: Any = None                       # the communicator for the messages of `tell`


def run(command: Callable[[], int]) -> int:
    """Run a command in which all processes take part, and return the exit code of this process.

    Parameters
    ----------
    command : callable
        Runs the whole command and returns its exit code; called only in rank 0.
    """
    global team, _told
    together = team = DataParallel()
    if together.size == 1:
        return command()
    _told = together.comm.Dup()
    printed = io.StringIO()
    if together.rank == 0:
        code = _code_of(command)
        end = bytearray(8)
        request = _told.Ibcast(end)     # a length of 0: nothing follows. `all_end` notices if the others do not receive it
    else:
        with redirect_stdout(io.StringIO()), redirect_stderr(printed):
            code = _code_of(_follow)
    patience = GRACE_INTERRUPT if code > 128 else GRACE
    if code == 0:
        patience = float("inf")         # the others may still draw, or fail
    if not together.all_end(patience):
        if together.rank:
            print(f"scratchnet: process {together.rank} of {together.size}: {printed.getvalue().strip()}", file=sys.stderr)
        together.abort(code or 1)
    if together.rank == 0:
        request.Wait()
    return code


def _code_of(command: Callable[[], int]) -> int:
    """Run a command and return its exit code, also if it raises an exception."""
    try:
        return command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt as interrupt:
        return interrupts.exit_code(interrupt)
    except (ValueError, OSError, FloatingPointError) as error:
        print(error, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1


def _follow() -> int:
    """Take part in every training run that rank 0 announces, until rank 0 ends."""
    signals = interrupts.command()
    signals.begin()
    with signals.working():
        while (task := _hear()) is not None:
            with suppress(FloatingPointError, StoppedTogether):     # rank 0 has raised it too, and announces what is next
                import_module(f"scratchnet.tools.{task['command']}").follow(task)
    return 0


def _hear() -> Any:
    size = bytearray(8)
    _wait(_told.Ibcast(size))
    if not any(size):
        return None
    text = bytearray(int.from_bytes(size, "little"))
    _wait(_told.Ibcast(text))
    return json.loads(text)


def tell(command: str, **task: Any) -> None:
    """Send a task, which JSON must be able to represent, to the other processes: they call `follow(task)` of that command."""
    if team.size > 1:
        text = bytearray(json.dumps({"command": command, **task}).encode())
        for message in (bytearray(len(text).to_bytes(8, "little")), text):
            _wait(_told.Ibcast(message))


def _wait(request: Any) -> None:
    while not request.Test():
        time.sleep(POLL)
