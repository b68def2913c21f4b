"""Ctrl-C and ``kill``, held back where they would do harm.

Python turns them into a KeyboardInterrupt wherever its next line begins. Between two files that belong together that leaves
one of them behind, and in a line that LLVM calls while it compiles the exception is printed and forgotten.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block come to its end first; an interrupt that arrived meanwhile comes behind it.

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
    arrived: list[int] = []
    try:
        with ExitStack() as handlers:
            if threading.current_thread() is threading.main_thread():   # the only one that is interrupted, or may arrange it
                for number in (signal.SIGINT, signal.SIGTERM):
                    handler = signal.getsignal(number)
                    if callable(handler):
                        handlers.callback(signal.signal, number, handler)
                        signal.signal(number, lambda number, frame: arrived.append(number))
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])
