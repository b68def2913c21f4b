"""Arrays in recycled memory.

A training step makes the same large arrays again and again. The system provides fresh memory page by page and zeroes
each page at first touch: filling a fresh 25 MB array takes several times as long as filling a used one. `empty` therefore
lends a block, and takes it back when the last view of the array is freed. No call is needed to return it, and
two live arrays never share a block.

NumPy keeps the owner of an array's memory alive as its `base`, through any chain of views. So the owner of a lent array
is a view of the block, made for this one loan, and the loan ends when that view is freed. This can happen in any thread
and at any moment, even during a call of `empty`. The end of a loan therefore only appends the block to a queue, and the next call
of `empty` moves the blocks from the queue to the free ones.

No line of Python may run when a loan ends. Ctrl-C becomes a KeyboardInterrupt where Python's next line begins, and if that were
a line of `__del__`, Python would print the exception and continue: the training would not stop. So each loan has a
weak reference, whose callback is `append` itself.

There is no lock either: an interrupt between two bytecodes could leave it held. At any time a block belongs to one array or is in
one list or queue, and it is moved by single calls that cannot be interrupted: `pop`, `popleft` or `append`. Between two such
calls, an interrupt, another thread or a finalizer that calls `empty` can at worst cause the loss of a block, which is then freed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress
from math import prod
from weakref import ref

import numpy as np
from numpy.typing import DTypeLike

from scratchnet.kernels.jit import jit

SMALLEST = 1 << 16          # bytes; below this the system's allocator is as quick
LARGEST_POOL = 1 << 29      # bytes of free blocks, in total; those returned since the last call are not counted
LARGEST = LARGEST_POOL // 2 # bytes of the largest block that is kept: so no single block evicts all others
SLACK = 9 / 8               # a free block is at most this much larger than the array that it is lent to
ALIGNMENT = 64              # bytes: a cache line, and the widest vector
PAST_CACHE = 1 << 22        # bytes; arrays from this size on, a few times a core's own cache, are written with nontemporal stores

_free: OrderedDict[int, list[_Block]] = OrderedDict()   # bytes -> blocks; the most recently used sizes are last
_returned: deque[_Watch] = deque()


# The scratch memory of kernels comes from the system's allocator. glibc returns large pieces to the system as soon as they are
# free, to be zeroed page by page at the next call, unless a larger one was freed before. This line frees one.
np.empty(1 << 24, np.uint8)


class _Block(np.ndarray):
    """Memory that is lent to arrays."""

    start: int              # the first byte that is lent
    watch: _Watch | None    # the weak reference to the loan


class _Loan(np.ndarray):
    """A view of a block, made for one array.

    The base of a view is normally not the array that it was made from, but the first one in the chain, which owns the memory. NumPy
    stops at an array of another class, so a view of a loan keeps the loan alive.
    """


class _Watch(ref[_Loan]):
    """A weak reference to a loan, which is appended to `_returned` with its block when the loan has ended."""

    block: _Block | None = None     # None if an interrupt ended the loan before it was complete


def _allocate(size: int) -> _Block:
    """Return a block that has `size` bytes from an aligned address on."""
    block = _Block(size + ALIGNMENT, np.uint8)
    block.start = -block.ctypes.data % ALIGNMENT
    return block


def _lend(block: _Block) -> _Loan:
    """Return a view of `block` that becomes the base of one array, with a weak reference if the block is to be recycled."""
    loan = _Loan(block.size - ALIGNMENT, np.uint8, block, block.start)
    if block.nbytes <= LARGEST:
        watch = _Watch(loan, _returned.append)
        watch.block = block
        block.watch = watch     # the block keeps the weak reference alive: its callback is not called if it is freed first
    return loan


def _fitting(size: int) -> int:
    """Return the size of the smallest free block that an array of `size` bytes may have, or `size`."""
    return min((free for free in list(_free) if size <= free <= SLACK * size), default=size)


def _take(size: int) -> _Block | None:
    """Return a free block of `size` bytes, or None if there is none."""
    blocks = _free.get(size, [])
    try:
        block = blocks.pop()
    except IndexError:
        block = None
    if not blocks:
        _free.pop(size, None)
    return block


def _collect_returned() -> None:
    """Move returned blocks to the free ones, and free the least recently used sizes beyond the limit."""
    for _ in range(len(_returned)):
        try:
            block = _returned.popleft().block
        except IndexError:          # another thread was quicker
            break
        if block is not None:
            block.watch = None      # a cycle of references would last until a garbage collection
            _free.setdefault(block.nbytes, []).append(block)
            with suppress(KeyError):                # another thread took the last of this size
                _free.move_to_end(block.nbytes)
    free = list(_free.items())      # a copy, since other threads change it
    excess = sum(size * len(blocks) for size, blocks in free) - LARGEST_POOL
    for size, _ in free:
        while excess > 0 and _take(size) is not None:
            excess -= size


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
    if _returned:
        _collect_returned()
    block = _take(_fitting(size + ALIGNMENT))
    return np.ndarray(shape, dtype, _lend(_allocate(size) if block is None else block))


def goes_past_cache(array: np.ndarray) -> bool:
    """Return whether `array` is so large that kernels write it with nontemporal stores (gemm.py): little of it would be in a
    core's own cache when it is read.
    """
    return array.nbytes >= PAST_CACHE


def plain(array: np.ndarray) -> np.ndarray:
    """Return `array` itself if it is C-contiguous, aligned and writeable, else a copy that is: the layout that all kernels take.

    For any other layout, numba would compile a kernel again, and the vector kernel cannot be used.
    """
    return array if array.flags.carray else np.array(array, order="C")


@jit
def scratch(size, like):
    """Return memory for `size` numbers that starts at a cache line, so that the vectors of its rows do not cross lines."""
    block = np.empty(size + ALIGNMENT // like.itemsize, like.dtype)
    skip = -block.ctypes.data % ALIGNMENT // like.itemsize
    return block[skip : skip + size]
