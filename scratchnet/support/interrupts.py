"""Ctrl-C and ``kill``, delayed where they would do damage.

Python raises KeyboardInterrupt between any two lines. Between two files that belong together this leaves only one of them
written, and in code that LLVM calls while it compiles, the exception is printed and lost.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Run the block to its end; an interrupt that arrives during the block is raised after it.

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
            if threading.current_thread() is threading.main_thread():   # only this thread receives signals and sets handlers
                for number in (signal.SIGINT, signal.SIGTERM):
                    handler = signal.getsignal(number)
                    if callable(handler):
                        handlers.callback(signal.signal, number, handler)
                        signal.signal(number, lambda number, frame: arrived.append(number))
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])
