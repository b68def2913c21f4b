"""Share the tasks of a kernel out among threads.

A kernel that can be shared out is a plain loop over tasks (images, groups of images, blocks of a matrix) and is told
which ones are its own:

    @jit
    def double(first, last, x, out):
        for n in range(first, last):
            ...

    run(double, work, len(x), x, out)       # double(0, 42, x, out) on one thread, double(42, 70, x, out) on another, …

Compiled code gives up Python's lock while it runs, so ordinary threads are enough. (numba's own `prange` wakes its
threads a little sooner, and takes several times as long to compile.) The tasks are cut into pieces, large ones first, and a
thread that is done takes the next: when a core is slow, or another program holds it, the others do its share.

What a task adds up is its own. So a result depends on how work was cut into tasks, which the kernels do by its shape
alone, and not on the threads: the bits are the same for any number of them.
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
SHARE = 2 / 3               # of an equal part of what is left: the size of the next piece
LEAST = 1 / 16              # of an equal part of everything: the size of a piece, but for the last, at least
GROUPS = 16                 # of images in a backward pass, at most: more threads than that find no work
GROUP_NUMBERS = 1 << 26     # numbers in all groups' sums together, at most

_limit = int(config.NUMBA_NUM_THREADS)      # the cores that this process may use, or the environment's own word


def count() -> int:
    """Say on how many threads kernels run."""
    return _limit


@contextmanager
def limit(threads: int) -> Iterator[None]:
    """Run kernels on at most so many threads, for the time of a `with` block; the bits of every result are the same.

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
        raise ValueError(f"kernels need a thread to run on; got limit({threads})")
    before, _limit = _limit, threads
    try:
        yield
    finally:
        _limit = before


@cache
def pieces(tasks: int, threads: int) -> tuple[tuple[int, int], ...]:
    """Cut range(tasks) into (first, last), smaller and smaller: who is late or slow does fewer tasks, and all end together.

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
    """Say into how many groups backward cuts its images, when each keeps a sum of so many numbers; by the shape alone."""
    return max(1, min(images, GROUPS, GROUP_NUMBERS // numbers))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(int(os.cpu_count() or 1), thread_name_prefix="scratchnet")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)      # threads do not come along into a forked process


def run(kernel: Callable[..., None], work: int, tasks: int, *arguments: Any) -> None:
    """Call `kernel(first, last, *arguments)` until all of range(tasks) is done, on several threads when it is worth it.

    Parameters
    ----------
    kernel : callable
        Writes only what belongs to its own tasks.
    work : int
        Multiply-adds, or numbers moved, in all.
    tasks : int
    *arguments
        Handed to the kernel as they are.
    """
    threads = min(_limit, tasks)
    if threads < 2 or work < WORTH_THREADS:
        kernel(0, tasks, *arguments)
        return
    left = deque(pieces(tasks, threads))

    def take() -> None:
        while True:
            try:
                first, last = left.popleft()        # one piece goes to one thread: popleft is atomic
            except IndexError:
                return
            kernel(first, last, *arguments)

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):                    # while the interpreter ends no thread starts any more; this one does it all
        helpers += [_pool().submit(take) for _ in range(threads - 1)]
    try:
        take()
    except BaseException:
        left.clear()                                # the others end with the piece in hand
        raise
    finally:
        working = [helper for helper in helpers if not helper.cancel()]     # nothing is left for one that has not begun
        failures = [helper.exception() for helper in working]               # waits: nobody writes once we have returned
    for failure in filter(None, failures):
        raise failure
