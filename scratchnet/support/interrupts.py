"""Ctrl-C, ``kill`` and a closed terminal: how they end the command, and how they are delayed where they would do damage.

Python raises KeyboardInterrupt between any two bytecodes of the main thread. Between two files that belong together this would
leave only one of them written, and in code that LLVM calls while it compiles, the exception is printed and lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from time import monotonic

TYPE_CHECKING = False   # the command imports this module first: `typing` would delay the handlers by ten milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]    # Windows has no SIGHUP
PATIENCE = 1.0      # seconds in which signals after the first have no further effect: a terminal and `timeout` may both send one


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was interrupted: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


def _replace(handler: Callable[..., Any], replaced: dict[int, Any], what: Callable[[Any], bool]) -> None:
    """Install `handler` for each signal whose present handler `what` accepts, and store the present one in `replaced`."""
    if threading.current_thread() is not threading.main_thread():   # only this thread receives signals and sets handlers
        return
    for number in SIGNALS:
        present = signal.getsignal(number)
        if what(present):
            replaced[number] = present
            signal.signal(number, handler)


def _restore(handlers: Mapping[int, Any]) -> None:
    """Install the handlers of a dict from signals to handlers; an interrupt that arrives meanwhile is raised at the end."""
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    except BaseException:
        _restore(handlers)
        raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Run the block to its end; an interrupt that arrives during the block is raised after it.

    A signal that would end the process, as SIGTERM does by default, waits as well. One that is ignored stays ignored.

    Examples
    --------
    >>> try:
    ...     with uninterrupted():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("all of it")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    all of it
    interrupted
    """
    replaced: dict[int, Any] = {}
    arrived: list[int] = []
    waits = True

    def wait(number: int, frame: Any) -> None:
        if waits:
            arrived.append(number)
        else:                           # the block has ended, and its handlers are being restored
            signal.signal(number, replaced[number])
            signal.raise_signal(number)

    try:
        try:
            _replace(wait, replaced, lambda present: callable(present) or present is signal.SIG_DFL)
            yield
        finally:
            waits = False
            _restore(replaced)
    finally:
        waits = False           # again, for an interrupt that arises as the first `finally` begins
        _restore(replaced)
        if arrived:
            signal.raise_signal(arrived[0])


@contextmanager
def noted() -> Iterator[list[int]]:
    """Append each signal that arrives to a list, which the block reads, and raise no interrupt.

    When the block ends, a signal that is still in the list is raised. A signal later than PATIENCE after the first has its usual
    effect at once.

    Examples
    --------
    >>> with noted() as signals:
    ...     signal.raise_signal(signal.SIGINT)
    ...     print(signals.pop() == signal.SIGINT)
    True
    """
    replaced: dict[int, Any] = {}
    arrived: list[int] = []
    first: list[float] = []

    def note(number: int, frame: Any) -> None:
        first.append(monotonic())
        if first[-1] - first[0] <= PATIENCE:
            arrived.append(number)
            return
        arrived.clear()
        signal.signal(number, replaced[number])
        signal.raise_signal(number)

    try:
        _replace(note, replaced, lambda present: callable(present) or present is signal.SIG_DFL)
        yield arrived
    finally:
        _restore(replaced)
        if arrived:
            signal.raise_signal(arrived[0])


class Command:
    """What a signal does to the command ``scratchnet``: it ends the command with one line and the right exit code.

    While the package and the command's own module are imported, nothing has to be cleaned up, and any module could catch an
    exception or replace it by another. So the process ends at once. While the command works, the signal becomes KeyboardInterrupt,
    so that files are closed and the run is recorded as interrupted; a second signal, later than PATIENCE, ends the process at once.
    When the command has ended, signals are ignored until the process ends.

    If `main` is called by another program, such as a test, every signal becomes KeyboardInterrupt until `main` returns.

    Attributes
    ----------
    number : int or None
        The first signal that arrived while the command worked.
    """

    def __init__(self) -> None:
        self.replaced: dict[int, Any] = {}
        self.works = False
        self.number: int | None = None
        self.time = 0.0

    def begin(self) -> None:
        """Install the handlers in place of Python's and the system's; signals that are ignored (nohup) stay ignored."""
        _replace(self.receive, self.replaced, lambda present: present in (signal.default_int_handler, signal.SIG_DFL))

    def receive(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        again = self.number is not None
        if self is not process or (self.works and not again):
            self.number, self.time = number, monotonic()
            raise KeyboardInterrupt(number)
        if not again or monotonic() - self.time > PATIENCE:
            with suppress(OSError):
                os.write(2, b"scratchnet: interrupted\n")
            os._exit(128 + number)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Raise KeyboardInterrupt when a signal arrives in the block, and in place of any error that the interrupt caused."""
        self.works = True
        try:
            yield
        except BaseException:
            if self.number is None:
                raise
            raise KeyboardInterrupt(self.number) from None

    def end(self) -> None:
        """Ignore signals until the process has ended, or restore the handlers of the program that called `main`."""
        _restore(dict.fromkeys(self.replaced, signal.SIG_IGN) if self is process else self.replaced)


process: Command | None = None      # set if this process is the command


def begin_process() -> None:
    """Handle signals from now on if this process is the command, as a console script or as ``python -m scratchnet``."""
    global process
    program = os.path.basename(sys.argv[0]).partition(".")[0] if getattr(sys, "argv", None) else ""
    if program in ("scratchnet", "scratchnet-script") or (program == "-m" and "scratchnet" in sys.orig_argv):
        process = Command()
        process.begin()


def command() -> Command:
    """Return the object that handles signals during a call of `main`."""
    return process or Command()
