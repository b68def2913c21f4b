"""Arrays in memory that has been used before.

A training step makes the same large arrays again and again. The system hands out fresh memory page by page, zeroing
each at first touch: filling a fresh 25 MB array takes several times as long as filling a used one. `empty` therefore
lends a block, and takes it back when the last view of the array is gone; nobody has to give anything back by hand, and
two arrays alive never share a block.

NumPy keeps the owner of an array's memory alive as its `base`, through any chain of views. So the owner of a lent array
is a view of the block, made for this one loan, and the end of the loan is the end of that view. That may come in any thread
and at any moment, even while `empty` is at work: a loan that ends only puts its block on a pile, and the next call of `empty`
sorts the pile in.

It must do so without one line of Python. Ctrl-C becomes a KeyboardInterrupt where Python's next line begins, and were that
a line of `__del__`, Python would print the exception and go on: the training would not stop. So a weak reference watches
the loan, and what it calls at the end is `append` itself.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from math import prod
from threading import Lock
from weakref import ref

import numpy as np
from numpy.typing import DTypeLike

from scratchnet.kernels.jit import jit

SMALLEST = 1 << 16          # bytes; below this the system's allocator is as quick
LARGEST_POOL = 1 << 29      # bytes kept for later use, in total; what came back since the last call lies beside them
LARGEST = LARGEST_POOL // 4 # bytes of a block that is kept: one never pushes all others out
ALIGNMENT = 64              # bytes: a cache line, and the widest vector
PAST_CACHE = 1 << 22        # bytes of an array that goes past the cache, at least: a few times a core's own cache

_free: OrderedDict[int, list[_Block]] = OrderedDict()   # bytes -> blocks; the sizes used last stand last
_returned: deque[_Watch] = deque()      # append and popleft are atomic
_lock = Lock()


# Memory that kernels make for themselves comes from the system's allocator. glibc's gives large pieces back as soon as they are
# free, to be zeroed page by page at the next call, unless a larger one was freed before: here is one.
np.empty(1 << 24, np.uint8)


def _begin_anew() -> None:
    """Forget all blocks, and a lock that another thread may have held when the process forked: that thread is not here."""
    global _lock
    _lock = Lock()
    _free.clear()
    _returned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class _Block(np.ndarray):
    """Bytes to lend."""

    start: int              # of the bytes that are lent
    watch: _Watch           # over the loan


class _Loan(np.ndarray):
    """A view of a block, made for one array.

    Of plain arrays NumPy makes the oldest one the base and skips those between. It stops at another class, so an array over a
    loan keeps the loan alive.
    """


class _Watch(ref[_Loan]):
    """Lie on the pile when the loan has ended, with its block."""

    block: _Block


def _make(size: int) -> _Block:
    """Make a block that has `size` bytes from an aligned one on."""
    block = _Block(size + ALIGNMENT, np.uint8)
    block.start = -block.ctypes.data % ALIGNMENT
    return block


def _lend(block: _Block) -> _Loan:
    """Give a view of `block` to be the base of one array, and watch it if the block is to come back."""
    loan = _Loan(block.size - ALIGNMENT, np.uint8, block, block.start)
    if block.nbytes <= LARGEST:
        watch = _Watch(loan, _returned.append)
        watch.block = block
        block.watch = watch     # a weak reference that is gone calls nobody: the block holds it
    return loan


def _pooled() -> int:
    """Say how many bytes the free blocks have together."""
    return sum(size * len(blocks) for size, blocks in _free.items())


def _sort_in() -> None:
    """Put what came back among the free blocks, and let go of the oldest sizes when there is too much; under the lock."""
    while _returned:
        block = _returned.popleft().block
        del block.watch         # else the two would hold each other, until the garbage collector comes
        _free.setdefault(block.nbytes, []).append(block)
        _free.move_to_end(block.nbytes)
    while _pooled() > LARGEST_POOL:
        size, blocks = next(iter(_free.items()))
        if blocks:
            blocks.pop()
        else:
            del _free[size]


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Make an array whose values are arbitrary, as `numpy.empty` does, in recycled memory when there is some.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    ndarray of `shape`, C-contiguous, aligned to 64 bytes when it is at least 64 KiB large.

    Examples
    --------
    >>> a = empty((128, 256), "float32")
    >>> address = a.ctypes.data
    >>> del a
    >>> empty((128, 256), "float32").ctypes.data == address
    True
    """
    dtype = np.dtype(dtype)
    size = prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    block = None
    if _lock.acquire(blocking=False):       # nobody waits: a finalizer may call from the midst of another call in this very thread
        try:
            if _returned:
                _sort_in()
            blocks = _free.get(size + ALIGNMENT)
            if blocks:
                block = blocks.pop()
                if not blocks:
                    del _free[size + ALIGNMENT]
        finally:
            _lock.release()
    return np.ndarray(shape, dtype, _lend(_make(size) if block is None else block))


def goes_past_cache(array: np.ndarray) -> bool:
    """Say whether `array` is so large that kernels store its whole lines past the cache (gemm.py): little of it would be in a
    core's own cache when it is read.
    """
    return array.nbytes >= PAST_CACHE


def plain(array: np.ndarray) -> np.ndarray:
    """Give `array` itself when it is C-contiguous, aligned and writeable, else a copy that is: what kernels are compiled for.

    numba compiles a kernel anew for every other layout, and the vector kernel counts on this one.
    """
    return array if array.flags.carray else np.array(array, order="C")


@jit
def scratch(size, like):
    """Make a kernel's own memory of `size` numbers, from the start of a cache line: in rows of whole vectors none lies in two."""
    block = np.empty(size + ALIGNMENT // like.itemsize, like.dtype)
    skip = -block.ctypes.data % ALIGNMENT // like.itemsize
    return block[skip : skip + size]
