"""Single images, copied into the middle of padded ones that stay in the processor's cache.

The padded image is a flat array of rows `Wp` pixels wide; its margin was filled before and is left alone.
"""

from __future__ import annotations

from scratchnet.kernels.jit import jit


@jit
def place(x, n, image, start, width):
    """Copy image n of x, (N, H, W·C), row by row from `start` on; the rows there are `width` numbers long."""
    _, H, length = x.shape
    for h in range(H):
        row = image[start + h * width : start + h * width + length]
        for k in range(length):
            row[k] = x[n, h, k]


@jit
def place_gradient(dout, out, masked, n, image, start, width):
    """Copy image n of dout, (N, OH, OW·F), row by row from `start` on; 0 where `out` is not positive, if `masked`."""
    _, rows, length = dout.shape
    zero = image.dtype.type(0)
    for h in range(rows):
        row = image[start + h * width : start + h * width + length]
        for k in range(length):
            value = dout[n, h, k]
            row[k] = value if not masked or out[n, h, k] > 0 else zero
