"""Distribute the tasks of a kernel among threads.

A kernel that can be distributed is a plain loop over tasks (images, groups of images, blocks or rows of a matrix), and the first
two arguments of a call are its range of tasks:

    @jit
    def double(first, last, x, out):
        for n in range(first, last):
            ...

    run(double, work, len(x), x, out)       # double(0, 42, x, out) on one thread, double(42, 70, x, out) on another, …

Compiled code releases Python's lock while it runs, so ordinary threads are enough. (numba's `prange` wakes its threads a little
sooner, and takes several times as long to compile.) The tasks are cut into pieces, large ones first, and a thread that has
finished one takes the next: if a core is slow, or busy with another program, the other threads do its share. `run` returns, or
raises an exception, only when no thread works on its tasks any more, even if it is interrupted.

Each task has separate sums. So a result depends on how the work is cut into tasks, which depends only on the
shapes. It does not depend on the threads: the bits are the same for any number of them.
"""

from __future__ import annotations

import os
from _thread import get_ident, start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any

from scratchnet.kernels.jit import config

WORTH_THREADS = 1 << 19     # multiply-adds, or numbers moved, below which one thread is quicker than waking a second
SHARE = 2 / 3               # the size of the next piece, relative to an equal part of the remaining tasks
LEAST = 1 / 16              # the smallest size of a piece, except the last, relative to an equal part of all tasks
MOST = 1 << 34              # multiply-adds in a piece of several tasks, at most: an interrupt waits for the end of a piece
GROUPS = 16                 # groups of images in a backward pass, at most: further threads have no work
GROUP_NUMBERS = 1 << 26     # numbers in the sums of all groups, at most
PATIENCE = 0.1              # seconds after which a caller checks, even without a message, whether its helpers have ended

CORES = int(config.NUMBA_NUM_THREADS)       # that this process may use, or the number that NUMBA_NUM_THREADS sets
_limits: dict[object, int] = {}             # the limit of each `with limit(...)` block that is running, the newest last


def count() -> int:
    """Return the number of threads on which kernels run."""
    return [CORES, *_limits.values()][-1]


@contextmanager
def limit(threads: int) -> Iterator[None]:
    """Run kernels on at most `threads` threads within a `with` block; the bits of every result are the same.

    If several blocks run at once, in one thread or in several, the one that began last counts for all threads.

    Raises
    ------
    ValueError
        For a number below 1.

    Examples
    --------
    >>> with limit(1):
    ...     count()
    1
    """
    if threads < 1:
        raise ValueError(f"limit: expected at least 1 thread, got {threads}. Use limit(1) for one thread.")
    block = object()
    try:
        _limits[block] = threads
        yield
    finally:
        _limits.pop(block, None)


@cache
def pieces(tasks: int, threads: int, most: int | None = None) -> tuple[tuple[int, int], ...]:
    """Return range(tasks) cut into (first, last), in decreasing sizes: a slow thread does fewer tasks, and all end together.

    No piece has more than `most` tasks.

    Source: Polychronopoulos & Kuck, *Guided self-scheduling* (1987), where SHARE is 1.

    Examples
    --------
    >>> [last - first for first, last in pieces(128, 2)]
    [42, 28, 19, 13, 8, 6, 4, 4, 4]
    """
    least, most = max(1, int(LEAST * tasks / threads)), most or tasks
    edges = [0]
    while edges[-1] < tasks:
        size = min(most, max(least, int(SHARE * (tasks - edges[-1]) / threads)))
        edges.append(min(tasks, edges[-1] + size))
    return tuple(pairwise(edges))


def groups_of(images: int, numbers: int) -> int:
    """Return the number of groups of images in backward if each keeps a sum of `numbers` numbers; it depends on shapes only."""
    return max(1, min(images, GROUPS, GROUP_NUMBERS // numbers))


# -- helpers: threads that live as long as the process ----------------------------------------------------------------
#
# An interrupt (Ctrl-C) is an exception that arises in the main thread between any two of its bytecodes. So nothing below depends on
# two of them being executed together. No interrupt arises in a helper, so each helper records its own state. A helper waits for
# jobs, and an interpreter that ends does not wait for the helper. `threading.Thread.start` and `concurrent.futures` are many
# lines of Python under locks, and an interrupt among them can leave a thread that is not recorded; `start_new_thread` is one call.

_jobs: SimpleQueue[_Job] = SimpleQueue()
_started = 0                # helpers, except those whose start was interrupted


def _forget_helpers() -> None:
    """Forget the helpers and their queue: a forked process does not inherit threads."""
    global _jobs, _started
    _jobs, _started = SimpleQueue(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def _serve(jobs: SimpleQueue[_Job]) -> None:
    while True:
        jobs.get().help()


class _Job:
    """Calls of a kernel, one for each piece of the tasks, that the thread of a caller and its helpers share."""

    def __init__(self, kernel: Callable[..., None], arguments: tuple[Any, ...], ranges: Iterable[tuple[int, int]]):
        self.kernel, self.arguments, self.pieces = kernel, arguments, deque(ranges)
        self.helping: set[int] = set()      # the helpers that may be running a kernel
        self.ends: SimpleQueue[None] = SimpleQueue()        # a message from each helper that has ended
        self.failures: list[BaseException] = []

    def work(self) -> None:
        """Make calls until no piece remains."""
        while True:
            try:
                first, last = self.pieces.popleft()         # one piece goes to one thread: popleft is atomic
            except IndexError:
                return
            self.kernel(first, last, *self.arguments)

    def help(self) -> None:
        """Run pieces on a helper's thread; record its end and its failure."""
        self.helping.add(get_ident())     # before the first piece is taken, so that `end` misses no helper
        try:
            self.work()
        except BaseException as error:
            self.pieces.clear()
            self.failures.append(error)
        finally:
            self.helping.discard(get_ident())
            self.ends.put(None)

    def ask_helpers(self, number: int) -> None:
        """Offer the pieces to `number` helpers. A helper that is late may find none left."""
        global _started
        with suppress(RuntimeError):        # no thread starts while the interpreter ends; then the caller does all the work
            while _started < number:
                start_new_thread(_serve, (_jobs,))
                _started += 1
        for _ in range(min(number, _started)):
            _jobs.put(self)

    def end(self) -> None:
        """Drop the remaining pieces and wait for the helpers: no thread writes afterwards. An interrupt is raised last."""
        try:
            self.pieces.clear()
            while self.helping:
                with suppress(Empty):
                    self.ends.get(timeout=PATIENCE)
            self.arguments = ()         # a busy helper may not have taken the job yet: it should not keep the arrays
        except BaseException:
            self.end()
            raise


def run(kernel: Callable[..., None], work: int, tasks: int, *arguments: Any) -> None:
    """Call `kernel(first, last, *arguments)` for pieces of range(tasks), on several threads if there is enough work.

    Parameters
    ----------
    kernel : callable
        It writes only what belongs to its tasks.
    work : int
        Multiply-adds, or numbers moved, in total.
    tasks : int
    *arguments
        Passed to the kernel unchanged.
    """
    threads = min(count(), tasks)
    if work < WORTH_THREADS or (threads < 2 and work <= MOST):
        kernel(0, tasks, *arguments)
        return
    most = max(1, tasks * MOST // work)
    job = _Job(kernel, arguments, pieces(tasks, threads, min(most, tasks)))
    try:
        try:
            job.ask_helpers(threads - 1)
            job.work()
        finally:
            job.end()
    finally:
        job.end()           # again, for an interrupt that arises as the first `finally` begins
    if job.failures:
        raise job.failures.pop()
