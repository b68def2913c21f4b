"""Images whose pixels are read from other places of the same image, as in a flip or a translation; and the transposed map."""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty, plain
from scratchnet.kernels.structures import Taps
from scratchnet.kernels.threads import run


@jit
def _forward(first, last, x, rows, cols, fill_value, out):
    """Write out[n, p, q] = Σ_s Σ_t rows.weight[n, p, s] · cols.weight[n, q, t] · x[n, rows.index[n, p, s], cols.index[n, q, t]]."""
    _, H, W, C = x.shape
    # Row H and column W hold the fill value: what lies outside the image is read by an index too, and the loops need no condition.
    image = np.full((H + 1, (W + 1) * C), fill_value, x.dtype)
    line = np.empty((W + 1) * C, x.dtype)
    for n in range(first, last):
        for h in range(H):
            image[h, : W * C] = x[n, h].reshape(-1)
        for p in range(out.shape[1]):
            above, below = image[rows.index[n, p, 0]], image[rows.index[n, p, 1]]
            a, b = rows.weight[n, p, 0], rows.weight[n, p, 1]
            for k in range(len(line)):
                line[k] = a * above[k] + b * below[k]
            for q in range(out.shape[2]):
                left, right = C * cols.index[n, q, 0], C * cols.index[n, q, 1]
                a, b = cols.weight[n, q, 0], cols.weight[n, q, 1]
                for c in range(C):
                    out[n, p, q, c] = a * line[left + c] + b * line[right + c]


@jit
def _backward(first, last, dout, rows, cols, dx):
    """Add the gradient of each output to those of the pixels that it was read from, with the same weights: the transposed map."""
    _, H, W, C = dx.shape
    dimage = np.empty((H + 1, (W + 1) * C), dx.dtype)
    dline = np.empty((W + 1) * C, dx.dtype)
    for n in range(first, last):
        dimage[:] = 0
        for p in range(dout.shape[1]):
            dline[:] = 0
            for q in range(dout.shape[2]):
                left, right = C * cols.index[n, q, 0], C * cols.index[n, q, 1]
                a, b = cols.weight[n, q, 0], cols.weight[n, q, 1]
                for c in range(C):
                    dline[left + c] += a * dout[n, p, q, c]
                    dline[right + c] += b * dout[n, p, q, c]
            for s in range(2):
                drow, a = dimage[rows.index[n, p, s]], rows.weight[n, p, s]
                for k in range(len(dline)):
                    drow[k] += a * dline[k]
        for h in range(H):
            dx[n, h].reshape(-1)[:] = dimage[h, : W * C]


def resample_forward(x: np.ndarray, rows: Taps, cols: Taps, fill_value: float) -> np.ndarray:
    """Return the output as `layers.augmentation.resample_forward` does, in recycled memory."""
    N, _, _, C = x.shape
    out = empty((N, rows.index.shape[1], cols.index.shape[1], C), x.dtype)
    run(_forward, 4 * (x.size + out.size), N, plain(x), rows, cols, x.dtype.type(fill_value), out)
    return out


def resample_backward(dout: np.ndarray, x_shape: tuple[int, ...], rows: Taps, cols: Taps) -> np.ndarray:
    """Return dx as `layers.augmentation.resample_backward` does, in recycled memory."""
    dx = empty(x_shape, dout.dtype)
    run(_backward, 4 * (dx.size + dout.size), len(dx), plain(dout), rows, cols, dx)
    return dx
