"""The ``scratchnet`` command: parse the command line, run one of the commands, and report an error as one line.

Each command is a module of ``scratchnet.tools`` with two functions: ``add_arguments(parser)`` and ``run(args)``.
Exit codes: 0 success, 1 failure (the reason is one line on stderr), 2 wrong usage, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, TextIO

from scratchnet._version import __version__
from scratchnet.distribution import started
from scratchnet.support import interrupts
from scratchnet.support.files import reason

COMMANDS = {
    "train": "train a network; write its model, history and figures into a run folder",
    "evaluate": "print loss and accuracy of a trained network, and the accuracy of each class",
    "predict": "classify pictures of your own with a trained network",
    "explain": "write a page that shows how a trained network computed every number for an image",
    "diagnose": "find out why a run does not learn, or overfits: dead units, the size of steps, gradients",
    "export": "write a trained network as an ONNX file, which other programs run",
    "data": "show where the data sets are stored; download or verify them",
    "demo": "draw a digit in the browser, and see what a network predicts",
    "gradcheck": "compare every gradient with finite differences",
    "exercise": "write a layer's function yourself: exercises, with a check that says what is wrong",
    "reproduce": "repeat the study's experiments and write one report of all of them",
    "bench": "measure how fast this machine trains, compared with its peak or with installed frameworks",
    "doctor": "show versions, threads, vector width and BLAS, with hints",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, in all processes that mpiexec has started, and return its exit code; see `run`."""
    if started() == 1:
        return run(argv)
    try:
        return import_module("scratchnet.tools.processes").run(lambda: run(argv))
    except (ImportError, ValueError) as error:      # mpi4py is missing, or was built for another MPI
        return fail(str(error))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command in this process and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after ``scratchnet``; by default those of the process.

    Returns
    -------
    int
        0 success, 1 failure, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).

    Raises
    ------
    SystemExit
        By argparse: code 2 for wrong usage, 0 for ``--help`` and ``--version``.
    """
    signals = interrupts.command()
    try:
        signals.begin()
        prepare_streams()
        argv = sys.argv[1:] if argv is None else argv
        try:
            args = parser(argv).parse_args(argv)
        except SystemExit:
            sys.stdout.flush()      # the text of --help: when Python flushes it at exit, an error cannot be reported any more
            raise
        command = tool(args.command)
        with signals.working():
            code = command.run(args) or 0
            sys.stdout.flush()
        return code
    except KeyboardInterrupt as interrupt:
        return fail("interrupted", interrupts.exit_code(interrupt))
    except BrokenPipeError:         # the reader of the output (head, less) has closed the pipe
        discard(sys.stdout)
        return 1
    except OSError as error:
        return fail(reason(error))
    except MemoryError as error:
        return fail(f"not enough memory: {error}")
    except (ValueError, FloatingPointError) as error:
        return fail(str(error))
    finally:
        signals.end()


def prepare_streams() -> None:
    """Make printing safe.

    Output to a closed stream is discarded, a character that a stream cannot encode becomes "?", and an error names its stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:             # closed: the next file that is opened would have this number, and be printed into
            os.open(os.devnull, os.O_RDWR)
    for name, words in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        if stream is None:  # closed with >&- or 2>&-
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
            for method in {"write", "flush"} - vars(stream).keys():     # unless an earlier call of `main` has done it
                setattr(stream, method, named(getattr(stream, method), words))


def named(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function that runs `call`, and sets `name` as the file of an OSError that `call` raises."""

    def calling(*args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            error.filename = name
            raise

    return calling


def fail(message: str, code: int = 1) -> int:
    """Print `message` as one line on stderr and return the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
    with suppress(OSError):         # the terminal may be closed
        print(f"scratchnet: {' '.join(message.split())}", file=sys.stderr)
    return code


def discard(stream: TextIO) -> None:
    """Redirect `stream` to os.devnull: Python flushes it at exit, which would fail on a closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def tool(command: str) -> ModuleType:
    """Return the module of `command`. It is imported only when it is needed, so that ``--help`` is fast."""
    return import_module(f"scratchnet.tools.{command}")


def parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line `argv`, or of every command line by default.

    The options of a command are defined in its module, so they are added only if `argv` names the command.
    """
    top = argparse.ArgumentParser(
        prog="scratchnet",
        description="Convolutional networks written from scratch: train one, look inside it, check its gradients.",
        epilog="'scratchnet COMMAND --help' lists the options of a command. "
        "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).",
    )
    top.add_argument("--version", action="version", version=f"scratchnet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, allow_abbrev=False)
        if argv is None or name in argv:
            tool(name).add_arguments(command)
    return top
