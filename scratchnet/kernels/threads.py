"""Distribute the tasks of a kernel among threads.

A kernel that can be distributed is a plain loop over tasks (images, groups of images, blocks of a matrix), and the first two
arguments of a call are its range of tasks:

    @jit
    def double(first, last, x, out):
        for n in range(first, last):
            ...

    run(double, work, len(x), x, out)       # double(0, 42, x, out) on one thread, double(42, 70, x, out) on another, …

Compiled code releases Python's lock while it runs, so ordinary threads are enough. (numba's `prange` wakes its
threads a little sooner, and takes several times as long to compile.) The tasks are cut into pieces, large ones first, and a
thread that has finished takes the next: if a core is slow, or busy with another program, the other threads do its share.

Each task has separate sums. So a result depends on how the work is cut into tasks, which depends only on the
shapes. It does not depend on the threads: the bits are the same for any number of them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from typing import Any

from scratchnet.kernels.jit import config

WORTH_THREADS = 1 << 19     # multiply-adds, or numbers moved, below which one thread is quicker than waking a second
SHARE = 2 / 3               # the size of the next piece, relative to an equal part of the remaining tasks
LEAST = 1 / 16              # the smallest size of a piece but the last, relative to an equal part of all tasks
GROUPS = 16                 # groups of images in a backward pass, at most: further threads have no work
GROUP_NUMBERS = 1 << 26     # numbers in the sums of all groups, at most

_limit = int(config.NUMBA_NUM_THREADS)      # the cores that this process may use, unless the environment sets it


def count() -> int:
    """Return the number of threads on which kernels run."""
    return _limit


@contextmanager
def limit(threads: int) -> Iterator[None]:
    """Run kernels on at most `threads` threads within a `with` block; the bits of every result are the same.

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
    global _limit
    if threads < 1:
        raise ValueError(f"limit: expected at least 1 thread, got {threads}. Kernels need a thread to run on.")
    before, _limit = _limit, threads
    try:
        yield
    finally:
        _limit = before


@cache
def pieces(tasks: int, threads: int) -> tuple[tuple[int, int], ...]:
    """Return range(tasks) cut into (first, last), in decreasing sizes: a slow thread does fewer tasks, and all end together.

    Source: Polychronopoulos & Kuck, *Guided self-scheduling* (1987), where SHARE is 1.

    Examples
    --------
    >>> [last - first for first, last in pieces(128, 2)]
    [42, 28, 19, 13, 8, 6, 4, 4, 4]
    """
    least = max(1, int(LEAST * tasks / threads))
    edges = [0]
    while edges[-1] < tasks:
        size = max(least, int(SHARE * (tasks - edges[-1]) / threads))
        edges.append(min(tasks, edges[-1] + size))
    return tuple(pairwise(edges))


def groups_of(images: int, numbers: int) -> int:
    """Return the number of groups of images in backward if each keeps a sum of `numbers` numbers; it depends on shapes only."""
    return max(1, min(images, GROUPS, GROUP_NUMBERS // numbers))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(int(os.cpu_count() or 1), thread_name_prefix="scratchnet")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)      # a forked process does not inherit threads


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
    threads = min(_limit, tasks)
    if threads < 2 or work < WORTH_THREADS:
        kernel(0, tasks, *arguments)
        return
    remaining = deque(pieces(tasks, threads))

    def run_pieces() -> None:
        while True:
            try:
                first, last = remaining.popleft()        # one piece goes to one thread: popleft is atomic
            except IndexError:
                return
            kernel(first, last, *arguments)

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):                    # no thread starts while the interpreter ends; then this one does all the work
        helpers += [_pool().submit(run_pieces) for _ in range(threads - 1)]
    try:
        run_pieces()
    except BaseException:
        remaining.clear()                                # the others end with their current piece
        raise
    finally:
        working = [helper for helper in helpers if not helper.cancel()]     # a helper that has not started has no work left
        failures = [helper.exception() for helper in working]               # this waits: no thread writes after the return
    for failure in filter(None, failures):
        raise failure
