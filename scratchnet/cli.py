"""The ``scratchnet`` command: parse the arguments, call a program of ``scratchnet.tools``, report an error as one line.

Exit codes: 0 success, 1 failure (the reason is one line on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from scratchnet._version import __version__

COMMANDS = {
    "train": "train a net; write the model, its history and figures to a run folder",
    "evaluate": "print the loss and the accuracy of a trained net, class by class",
    "predict": "classify your own pictures with a trained net",
    "data": "show where the data sets are; download or verify them",
    "gradcheck": "compare every gradient with finite differences",
    "reproduce": "repeat the study's experiments and write one report of all",
    "bench": "measure how fast this machine trains, against its own peak or against other frameworks",
    "doctor": "show versions, threads, vector width and BLAS, with hints",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``scratchnet``; by default those of the process.

    Returns
    -------
    int
        0 success, 1 failure, 130 interrupted.

    Raises
    ------
    SystemExit
        By argparse: code 2 for wrong usage, 0 for ``--help`` and ``--version``.
    """
    prepare_streams()
    interrupt_on_sigterm()
    try:
        args = parser().parse_args(argv)
        tool = importlib.import_module(f"scratchnet.tools.{args.command}")
        code = tool.run(args) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone. Python must not flush into the closed pipe again at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return 1
    except OSError as error:
        named = error.filename is not None and error.strerror
        return fail(f"{error.filename}: {error.strerror}" if named else str(error))
    except MemoryError as error:
        return fail(f"not enough memory: {error}")
    except (ValueError, FloatingPointError) as error:
        return fail(str(error))


def prepare_streams() -> None:
    """Replace a closed stdout or stderr, and print ? for a character that a stream cannot encode."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed with >&- or 2>&-: the output is lost, but the command still works
            setattr(sys, name, io.StringIO())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def interrupt_on_sigterm() -> None:
    """Make SIGTERM, which 'kill' and 'timeout' send, interrupt the command as Ctrl-C does."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # only this thread may set a handler
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def fail(reason: str, code: int = 1) -> int:
    """Print `reason` as one line on stderr and return the exit code."""
    print(f"scratchnet: {' '.join(reason.split())}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="scratchnet",
        description="Convolutional networks written from scratch: train one, look at it, check its gradients.",
        epilog="'scratchnet COMMAND --help' describes a command. Exit codes: 0 success, 1 failure, 2 wrong usage.",
    )
    top.add_argument("--version", action="version", version=f"scratchnet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=CommandParser)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, module=f"scratchnet.tools.{name}", help=summary, allow_abbrev=False)
    return top


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, which gets its options from the command's module.

    The module is imported when the command is parsed: ``scratchnet --help`` imports none.
    """

    def __init__(self, *, module: str, **options: Any):
        super().__init__(**options)
        self.module: str | None = module

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the options, once, and parse."""
        if self.module is not None:
            importlib.import_module(self.module).add_arguments(self)
            self.module = None
        return super().parse_known_args(args, namespace)
