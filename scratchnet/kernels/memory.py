"""Arrays in recycled memory.

A training step makes the same large arrays again and again. The system provides fresh memory page by page and zeroes
each page at first touch: filling a fresh 25 MB array takes several times as long as filling a used one. `empty` therefore
lends a block, and takes it back when the last view of the array is gone. No call is needed to return it, and
two live arrays never share a block.

NumPy keeps the owner of an array's memory alive as its `base`, through any chain of views. So the owner of a lent array
is a view of the block, made for this one loan, and the loan ends when that view is freed. This can happen in any thread
and at any moment, even during a call of `empty`. A loan that ends therefore only appends its block to a queue, and the next call
of `empty` moves the blocks from the queue to the free ones.

No line of Python may run for that purpose. Ctrl-C becomes a KeyboardInterrupt where Python's next line begins, and if that were
a line of `__del__`, Python would print the exception and continue: the training would not stop. So a weak reference watches
the loan, and the function that it calls at the end is `append` itself.
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
LARGEST_POOL = 1 << 29      # bytes of free blocks, in total; those returned since the last call are not counted
LARGEST = LARGEST_POOL // 4 # bytes of a block that is kept: one never evicts all others
ALIGNMENT = 64              # bytes: a cache line, and the widest vector
PAST_CACHE = 1 << 22        # bytes of an array that is stored past the cache, at least: a few times a core's own cache

_free: OrderedDict[int, list[_Block]] = OrderedDict()   # bytes -> blocks; the most recently used sizes are last
_returned: deque[_Watch] = deque()      # append and popleft are atomic
_lock = Lock()


# The scratch memory of kernels comes from the system's allocator. glibc returns large pieces to the system as soon as they are
# free, to be zeroed page by page at the next call, unless a larger one was freed before. This line frees one.
np.empty(1 << 24, np.uint8)


def _reset() -> None:
    """Forget all blocks, and a lock that another thread may have held when the process forked: that thread does not exist here."""
    global _lock
    _lock = Lock()
    _free.clear()
    _returned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)


class _Block(np.ndarray):
    """Memory that is lent to arrays."""

    start: int              # the first byte that is lent
    watch: _Watch           # of the loan


class _Loan(np.ndarray):
    """A view of a block, made for one array.

    Among plain arrays NumPy makes the oldest one the base and skips those between. It stops at another class, so a view of a
    loan keeps the loan alive.
    """


class _Watch(ref[_Loan]):
    """A weak reference to a loan, which is appended to `_returned` with its block when the loan has ended."""

    block: _Block


def _allocate(size: int) -> _Block:
    """Return a block that has `size` bytes from an aligned address on."""
    block = _Block(size + ALIGNMENT, np.uint8)
    block.start = -block.ctypes.data % ALIGNMENT
    return block


def _lend(block: _Block) -> _Loan:
    """Return a view of `block` to be the base of one array, and watch it if the block is to be recycled."""
    loan = _Loan(block.size - ALIGNMENT, np.uint8, block, block.start)
    if block.nbytes <= LARGEST:
        watch = _Watch(loan, _returned.append)
        watch.block = block
        block.watch = watch     # the block keeps the weak reference alive, without which nothing is called
    return loan


def _free_bytes() -> int:
    """Return the total size of the free blocks."""
    return sum(size * len(blocks) for size, blocks in _free.items())


def _collect_returned() -> None:
    """Move returned blocks to the free ones, and free the least recently used sizes beyond the limit. Call it under the lock."""
    while _returned:
        block = _returned.popleft().block
        del block.watch         # else the two would keep each other alive until a garbage collection
        _free.setdefault(block.nbytes, []).append(block)
        _free.move_to_end(block.nbytes)
    while _free_bytes() > LARGEST_POOL:
        size, blocks = next(iter(_free.items()))
        if blocks:
            blocks.pop()
        else:
            del _free[size]


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array of arbitrary values, as `numpy.empty` does, in recycled memory if a block is free.

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
    if _lock.acquire(blocking=False):       # no waiting: a finalizer may call this during another call in the same thread
        try:
            if _returned:
                _collect_returned()
            blocks = _free.get(size + ALIGNMENT)
            if blocks:
                block = blocks.pop()
                if not blocks:
                    del _free[size + ALIGNMENT]
        finally:
            _lock.release()
    return np.ndarray(shape, dtype, _lend(_allocate(size) if block is None else block))


def goes_past_cache(array: np.ndarray) -> bool:
    """Return whether `array` is so large that kernels write it with nontemporal stores (gemm.py): little of it would be in a
    core's own cache when it is read.
    """
    return array.nbytes >= PAST_CACHE


def plain(array: np.ndarray) -> np.ndarray:
    """Return `array` itself if it is C-contiguous, aligned and writeable, else a copy that is: kernels are compiled for this.

    numba compiles a kernel again for each other layout, and the vector kernel requires this one.
    """
    return array if array.flags.carray else np.array(array, order="C")


@jit
def scratch(size, like):
    """Return memory for `size` numbers that starts at a cache line, so that the vectors of its rows do not cross lines."""
    block = np.empty(size + ALIGNMENT // like.itemsize, like.dtype)
    skip = -block.ctypes.data % ALIGNMENT // like.itemsize
    return block[skip : skip + size]
