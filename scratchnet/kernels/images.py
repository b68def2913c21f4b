"""Memory that is read once, in order, before a kernel needs it: to bring it into the cache, to find zeros, or to pad an image.

Legend: `x` are images, flat in `fetch` and `find_zeros`, and (N, H, W·C) in `place`; `zero` says for each pixel of an image whether
all of its C channels are 0; `image` is a padded image, flat, with rows of `width` numbers;
its margin was filled before and is not written.
"""

from __future__ import annotations

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import ALIGNMENT


@jit
def fetch(x, first, last):
    """Read one number of each cache line of x[first:last], and return their sum so that the compiler keeps the reads.

    If memory is read in order, the processor loads the next lines in advance. It does not do so when a kernel
    reads short rows, tile by tile or a few rows of a matrix at a time, and the kernel waits for each row. Such rows are read faster
    if the memory around them has been read in order before.
    """
    total = x.dtype.type(0)
    for k in range(first, last, ALIGNMENT // x.itemsize):
        total += x[k]
    return total


@jit
def find_zeros(x, start, C, zero):
    """Write to zero[p] whether all C channels of pixel p are 0, from x[start] on; return whether there is such a pixel."""
    found = False
    for p in range(len(zero)):
        pixel = x[start + p * C : start + (p + 1) * C]
        other = False
        for c in range(C):
            other |= pixel[c] != 0
        zero[p] = not other
        found |= not other
    return found


@jit
def only_zeros(zero, h, w, KH, KW, H, W):
    """Return whether `zero`, (H·W,), is true for all KH × KW pixels from (h, w) on; those outside the image count as zeros."""
    for i in range(max(0, h), min(H, h + KH)):
        for j in range(max(0, w), min(W, w + KW)):
            if not zero[i * W + j]:
                return False
    return True


@jit
def place(x, n, image, start, width):
    """Copy image n of x, (N, H, W·C), row by row, to image[start:], whose rows are `width` numbers long."""
    _, H, length = x.shape
    for h in range(H):
        row = image[start + h * width : start + h * width + length]
        for k in range(length):
            row[k] = x[n, h, k]
