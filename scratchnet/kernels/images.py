"""Memory brought into the processor's cache before it is needed: as it lies, or an image into the middle of a padded one.

The padded image is a flat array; its margin was filled before and is left alone.
"""

from __future__ import annotations

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import ALIGNMENT


@jit
def fetch(x, first, last):
    """Read one number of every cache line of x[first:last], and give their sum so that the compiler leaves the reads in.

    The processor foresees a walk through memory and has the next lines ready. It does not foresee short rows, of one tile
    after another or of a matrix a few at a time, and waits for each; so they are better taken out of what has been walked
    through before.
    """
    total = x.dtype.type(0)
    for k in range(first, last, ALIGNMENT // x.itemsize):
        total += x[k]
    return total


@jit
def place(x, n, image, start, width):
    """Copy image n of x, (N, H, W·C), row by row from `start` on; the rows there are `width` numbers long."""
    _, H, length = x.shape
    for h in range(H):
        row = image[start + h * width : start + h * width + length]
        for k in range(length):
            row[k] = x[n, h, k]
