"""Arrays in recycled memory.

A training step makes the same large arrays again and again. The system provides fresh memory page by page and zeroes
each page at first touch: filling a fresh 25 MB array takes several times as long as filling a used one. So `empty`
lends a part of a segment, a large piece of memory that is requested once. The part is free again when the last view of the array is
freed. No call is needed to return it, and two live arrays never share memory.

    segment    [ array A |   free   | array B | array C |            free             ]
                         ^ the next array begins here if it fits, otherwise after C: at the first place with enough room

A page of a segment takes memory only from its first use on. Because the first place with enough room is used, and free places
become one when nothing lies between them, large arrays and then small ones are stored in the same pages.

NumPy keeps the owner of an array's memory alive as its `base`, through any chain of views. So the owner of a lent array
is a view of the segment, made for this one loan, and the loan ends when that view is freed. This can happen in any thread
and at any moment, even during a call of `empty`.

No line of Python may run when a loan ends. Ctrl-C becomes a KeyboardInterrupt where Python's next line begins, and if that were
a line of `__del__`, Python would print the exception and continue: the training would not stop. So each loan has a
weak reference, whose callback, `set.discard`, removes the loan from those of its segment. Whatever is not lent is free: there is no
list of free places, which an interrupt could leave incomplete.

There is no lock either: an interrupt between two bytecodes could leave it held. Two threads may find the same place at the same
time. So a loan is first added to those of the segment, and then compared with the others. At least one of the two threads sees the
other's loan, and takes memory that is not recycled instead.
"""

from __future__ import annotations

from contextlib import suppress
from math import prod
from weakref import ref

import numpy as np
from numba.extending import register_jitable
from numpy.typing import DTypeLike

from scratchnet.kernels.jit import jit

SMALLEST = 1 << 16          # bytes; below this the system's allocator is as quick
SEGMENT = 1 << 30           # bytes; one segment without any array is kept, others are freed
LARGEST = SEGMENT // 2      # bytes; a larger array has memory of its own, so that the rest of its segment is not wasted
ALIGNMENT = 64              # bytes: a cache line, and the widest vector
PAST_CACHE = 1 << 22        # bytes; arrays from this size on, a few times a core's own cache, are written with nontemporal stores

_segments: list[_Segment] = []


# The scratch memory of kernels comes from the system's allocator. glibc returns large pieces to the system as soon as they are
# free, to be zeroed page by page at the next call, unless a larger one was freed before. This line frees one.
np.empty(1 << 24, np.uint8)


class _Memory(np.ndarray):
    """The memory of a segment.

    The base of a view is normally not the array that it was made from, but the first one in the chain, which owns the memory. NumPy
    stops before an array of another class. So the base of a lent array is its loan, and that of the loan is this memory.
    """


class _Loan(np.ndarray):
    """A view of a segment's memory, made for one array."""


class _Watch(ref[_Loan]):
    """A weak reference to a loan. It is equal to itself only, so that it can be an element of a set."""

    part: tuple[int, int]       # the first byte of the loan in its segment, and the first byte after it

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class _Segment:
    """A piece of memory whose parts are lent to arrays."""

    def __init__(self) -> None:
        self.memory = _aligned(SEGMENT).view(_Memory)
        self.loans: set[_Watch] = set()

    def parts(self) -> list[tuple[int, int]]:
        """Return the parts that are lent, in order."""
        return sorted([watch.part for watch in list(self.loans)])       # a list first, since other threads change the set

    def place(self, size: int) -> int | None:
        """Return the first place of `size` free bytes, or None if there is none."""
        start = 0
        for begin, end in [*self.parts(), (self.memory.size, self.memory.size)]:
            if begin - start >= size:
                return start
            start = max(start, end)
        return None

    def lend(self, start: int, size: int) -> _Loan | None:
        """Return a view of the bytes from `start` on, or None if another thread lends one of them at the same time."""
        loan = _Loan(size, np.uint8, self.memory, start)
        watch = _Watch(loan, self.loans.discard)
        watch.part = start, start + size
        self.loans.add(watch)
        overlapping = [other for other in list(self.loans) if other.part[0] < start + size and start < other.part[1]]
        return loan if overlapping == [watch] else None


def _aligned(size: int) -> np.ndarray:
    """Return `size` fresh bytes from an aligned address on."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    return memory[-memory.ctypes.data % ALIGNMENT :][:size]


def _lend(size: int) -> np.ndarray:
    """Return at least `size` bytes, recycled unless they are too many or another thread takes the place."""
    size = -(-size // ALIGNMENT) * ALIGNMENT
    if size > LARGEST:
        return _aligned(size)
    idle = [segment for segment in list(_segments) if not segment.loans]
    for segment in idle[1:]:
        with suppress(ValueError):      # another thread removed it
            _segments.remove(segment)
    for segment in list(_segments):
        start = segment.place(size)
        if start is not None:
            break
    else:
        try:
            segment, start = _Segment(), 0
        except MemoryError:             # the array itself may still fit
            return _aligned(size)
        _segments.append(segment)
    loan = segment.lend(start, size)
    return _aligned(size) if loan is None else loan


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array of arbitrary values, as `numpy.empty` does, in recycled memory.

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
    return np.empty(shape, dtype) if size < SMALLEST else np.ndarray(shape, dtype, _lend(size))


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


@register_jitable           # and not `jit`: Python calls it too, without a compilation
def pitch_of(count, itemsize):
    """Return how many numbers apart the rows of a matrix should begin, if each has `count` numbers of `itemsize` bytes.

    This distance is a whole number of cache lines. A line can be stored only in the few places of one set of the cache, and lines
    whose distance is a multiple of a large power of two belong to the same set. A row of 128 float32 numbers is eight lines long.
    If such rows follow each other directly, the first lines of all rows use only one set in eight, and they evict each other. If
    the rows are nine lines apart, they use all sets. A distance that is not a multiple of eight lines is kept: its lines use at
    least one set in four.

    Examples
    --------
    >>> pitch_of(128, 4), pitch_of(64, 4), pitch_of(64, 8), pitch_of(10, 4)
    (144, 64, 72, 16)
    """
    lines = -(-count * itemsize // ALIGNMENT)
    return (lines + (lines % 8 == 0)) * ALIGNMENT // itemsize


def with_pitch(matrix: np.ndarray) -> np.ndarray:
    """Return a copy of a matrix, (R, C) -> (R, pitch), pitch as `pitch_of` returns; the numbers after the first C are arbitrary."""
    rows, columns = matrix.shape
    copy = empty((rows, pitch_of(columns, matrix.itemsize)), matrix.dtype)
    copy[:, :columns] = matrix
    return copy


@jit
def scratch(size, like):
    """Return memory for `size` numbers that starts at a cache line, so that the vectors of its rows do not cross lines."""
    block = np.empty(size + ALIGNMENT // like.itemsize, like.dtype)
    skip = -block.ctypes.data % ALIGNMENT // like.itemsize
    return block[skip : skip + size]
