"""Memory brought into the processor's cache before it is needed: read in order, or an image copied into a padded one.

Legend: `x` are images, flat in `fetch` and (N, H, W·C) in `place`; `image` is a padded image, flat, with rows of `width` numbers,
whose margin was filled before and is not written.
"""

from __future__ import annotations

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import ALIGNMENT


@jit
def fetch(x, first, last):
    """Read one number of each cache line of x[first:last], and return their sum so that the compiler keeps the reads.

    If memory is read in order, the processor loads the next lines in advance. It does not do so for short rows, of one tile
    after another or of a matrix a few at a time, and waits for each. They are read faster if the memory around them has been
    read in order before.
    """
    total = x.dtype.type(0)
    for k in range(first, last, ALIGNMENT // x.itemsize):
        total += x[k]
    return total


@jit
def place(x, n, image, start, width):
    """Copy image n of x, (N, H, W·C), row by row, to image[start:], whose rows are `width` numbers long."""
    _, H, length = x.shape
    for h in range(H):
        row = image[start + h * width : start + h * width + length]
        for k in range(length):
            row[k] = x[n, h, k]
