"""Saboteurs of memory and threads: what lies where, who cleared it, in how many bits, and who else writes there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import Report, Row, check_layer
from scratchnet.gradcheck.witnesses import fresh, run
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty
from scratchnet.kernels.threads import limit
from scratchnet.kernels.threads import run as share_out
from scratchnet.layers import Conv2D, Dense, Layer
from scratchnet.layers import conv2d as conv2d_page
from scratchnet.layers import dense as dense_page
from scratchnet.padding import window_output_shape
from scratchnet.tools.saboteurs.entry import beside, saboteur, telling, together

REPEATS = 100  # calls on the same arrays that must give the same bits
ORDINARY = 1e6  # above all results of these inputs: what was left in memory may be NaN, or too large for a sum to change it
RACERS = 1 << 16  # images that two threads sum: enough for each to be still at work when the other begins


def check_repeats(layer: Layer, input_shape: tuple[int, ...], batch: int, repeats: int = REPEATS) -> Report:
    """Run a layer of real size again and again on the same arrays: its threads then meet, and its memory is not fresh."""
    layer = fresh(layer, [input_shape], "float32", 0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *input_shape), dtype=np.float32)
    dout = rng.standard_normal((batch, *layer.output_shape), dtype=np.float32)
    results = run(layer, [x], dout)
    first = {name: a.tobytes() for name, a in results.items()}
    strange = [name for name, a in results.items() if not np.abs(a).max() < ORDINARY]
    if strange:
        return Report(f"{layer} on {x.shape}", [Row("contract", "finite", False, note=f"huge or NaN: {', '.join(strange)}")])
    note = ""
    for repeat in range(1, repeats + 1):
        again = {name: a.tobytes() for name, a in run(layer, [x], dout).items()}
        if again != first:
            which = ", ".join(name for name in first if again[name] != first[name])
            note = f"repeat {repeat} of the same call gave other bits in {which}"
            break
    return Report(f"{layer} on {x.shape}", [Row("contract", f"{repeats} repeats", not note, note=note)])


@saboteur(
    "view-read-as-contiguous",
    title="A view is read as if its numbers lay side by side",
    operation="im2col",
    witness="contract",
    fools=("gradient", "definition"),
    right="x = np.ascontiguousarray(x)",
    wrong="x = x.ravel(order='K').reshape(x.shape)",
    looks_right="Fresh arrays lie in order. x[::2], a transpose, and images read from files with the channel first do not.",
    source="https://github.com/szagoruyko/pyinn/pull/17",
    seen="The col2im and im2col functions produce wrong results if the inputs are not laid out contiguously in memory.",
    check=lambda: check_layer(Conv2D(2, (3, 2), padding="same"), (4, 3, 2)),
)
def view_read_as_contiguous() -> AbstractContextManager[Any]:
    """Read in the order of memory, and believe that it is that of the axes."""
    right = conv2d_page.im2col

    def im2col(x: np.ndarray, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        return right(x.ravel(order="K").reshape(x.shape), kernel, strides, pads)

    return together(telling(Conv2D), patch.object(conv2d_page, "im2col", im2col))


@saboteur(
    "gradient-becomes-float64",
    title="A gradient becomes float64 on the way",
    operation="dense, db",
    witness="contract",
    fools=("gradient", "definition"),
    right="db = dout.sum(axis=0)",
    wrong="db = np.ones(len(dout)) @ dout",
    looks_right="More digits cannot hurt. They double the memory, slow every step down, and spread to the parameters.",
    source="https://github.com/dlsyscourse/hw1/issues/20",
    seen="Many random-float64-promotion complaints from hw2 can be traced to problematic ops implementation in hw1.",
    check=lambda: check_layer(Dense(3), (4,)),
)
def gradient_becomes_float64() -> AbstractContextManager[Any]:
    """Sum with a row of ones, which NumPy makes in float64."""

    def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True) -> tuple[Any, Any, Any]:
        dx, dw, _ = dense_page.dense_backward(dout, x, w, need_dx)
        return dx, dw, np.ones(len(dout)) @ dout

    return telling(Dense, backward=backward)


@saboteur(
    "col2im-uninitialised",
    title="col2im adds to memory that nobody cleared",
    operation="col2im",
    witness="contract",
    fools=(),
    right="x = np.zeros(shape)",
    wrong="x = np.empty(shape)",
    looks_right="Pages fresh from the operating system are zeros, so the first runs are right. Whether a small check finds it"
    " is luck; repeats on recycled memory do.",
    source="https://github.com/eriklindernoren/ML-From-Scratch/blob/0c1e547e/mlfromscratch/deep_learning/layers.py",
    seen="images_padded = np.empty((batch_size, channels, height_padded, width_padded))",
    check=lambda: check_repeats(Conv2D(2, (3, 3), padding="same"), (32, 32, 2), batch=8, repeats=5),
)
def col2im_uninitialised() -> AbstractContextManager[Any]:
    """Begin with whatever is there."""

    def col2im(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        (N, H, W, C), ((top, bottom), (left, right)), (SH, SW) = x_shape, pads, strides
        OH, OW = window_output_shape(x_shape, kernel, strides, pads)
        taps = cols.reshape(N, OH, OW, *kernel, C)
        padded = empty((N, top + H + bottom, left + W + right, C), cols.dtype)
        with np.errstate(all="ignore"):  # what is there may be NaN
            for i, j in np.ndindex(*kernel):
                padded[:, i : i + OH * SH : SH, j : j + OW * SW : SW] += taps[:, :, :, i, j]
        return padded[:, top : top + H, left : left + W].copy()

    return together(telling(Conv2D), patch.object(conv2d_page, "col2im", col2im))


@jit
def _sum_rows(first, last, dout, db):
    for u in range(len(db)):
        total = db[u]
        for n in range(first, last):
            total += dout[n, u]
        db[u] = total


@saboteur(
    "race-in-parallel-sum",
    title="Threads race for the cells of a sum",
    operation="dense, db",
    witness="contract",
    fools=("gradient", "definition"),
    right="for n in range(N): db[u] += dout[n, u]",
    wrong="for n in prange(N): db[u] += dout[n, u]",
    looks_right="numba knows a sum of numbers in a prange and makes it safe; a sum into the cells of an array looks the same"
    " and is not. (Here the threads are ours, and race the same.) Two threads read, add, and write over each other, now and"
    f" then: the check runs up to {REPEATS} repeats on {RACERS:,} images.",
    source="https://github.com/numba/numba/issues/3681",
    seen="y[0, 1] += x[i, j]",
    check=lambda: _check_race(),
    threads=True,
)
def race_in_parallel_sum() -> AbstractContextManager[Any]:
    """Share images out among threads, and the sum's cells with them."""

    def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True) -> tuple[Any, Any, Any]:
        dx, dw, db = dense_page.dense_backward(dout, x, w, need_dx)
        db = np.zeros_like(db)
        share_out(_sum_rows, dout.size, len(dout), np.ascontiguousarray(dout), db)
        return dx, dw, db

    return telling(Dense, backward=backward)


def _check_race() -> Report:
    with limit(1):
        small = check_layer(Dense(8), (4,))
    return beside(small, check_repeats(Dense(8), (2,), batch=RACERS))
