"""Bugs of memory and threads: layout, uninitialized memory, precision, and races."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet.gradcheck import Report, Row, check_layer
from scratchnet.gradcheck.under_test import fresh, run
from scratchnet.kernels.jit import jit
from scratchnet.kernels.memory import empty
from scratchnet.kernels.threads import limit
from scratchnet.kernels.threads import run as run_on_threads
from scratchnet.layers import Conv2D, Dense, Layer
from scratchnet.layers import conv2d as conv2d_page
from scratchnet.layers import dense as dense_page
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.convolution import col2im_loop
from scratchnet.tools.gallery.entry import bug, join_reports
from scratchnet.tools.gallery.padding_and_dense import check_dense

REPEATS = 100  # calls on the same arrays that must give the same bits
ORDINARY = 1e6  # more than any right result: uninitialised memory may hold NaN, or numbers too large for a sum to change
RACERS = 1 << 16  # images that two threads sum: so many that the first thread is still at work when the second begins


def check_repeats(layer: Layer, input_shape: tuple[int, ...], batch: int, repeats: int = REPEATS) -> Report:
    """Run a layer of realistic size many times on the same arrays, on several threads and with recycled memory."""
    layer = fresh(layer, [input_shape], "float32", 0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *input_shape), dtype=np.float32)
    dout = rng.standard_normal((batch, *layer.output_shape), dtype=np.float32)
    title = f"{layer} on {x.shape}"
    results = run(layer, [x], dout)
    first = {name: a.tobytes() for name, a in results.items()}
    strange = [name for name, a in results.items() if not np.abs(a).max() < ORDINARY]
    if strange:
        return Report(title, [Row("contract", "finite", False, note=f"huge or NaN: {', '.join(strange)}")])
    note = ""
    for repeat in range(1, repeats + 1):
        again = {name: a.tobytes() for name, a in run(layer, [x], dout).items()}
        if again != first:
            different = ", ".join(name for name in first if again[name] != first[name])
            note = f"repeat {repeat} of the same call gave other bits in {different}"
            break
    return Report(title, [Row("contract", f"{repeats} repeats", not note, note=note)])


@bug("view-read-as-contiguous", lambda: check_layer(Conv2D(2, (3, 2), padding="same"), (4, 3, 2)))
def view_read_as_contiguous():
    """Read the numbers in the order of memory, as if it were the order of the axes."""
    right = conv2d_page.im2col

    def im2col(x, *window):
        return right(x.ravel(order="K").reshape(x.shape), *window)

    return replace.page_with(Conv2D.implementations, conv2d_page, im2col=im2col)


@bug("gradient-becomes-float64", check_dense, replace.backward_of(Dense.implementations))
def gradient_becomes_float64(dout, x, w, *options):
    """Sum by a product with ones, which are float64 by default."""
    dx, dw, _ = dense_page.dense_backward(dout, x, w, *options)
    return dx, dw, np.ones(len(dout)) @ dout


@bug(
    "col2im-uninitialised",
    lambda: check_repeats(Conv2D(2, (3, 3), padding="same"), (32, 32, 2), batch=8, repeats=5),
    partial(col2im_loop, begin=empty),
)
def col2im_uninitialised(padded, taps, strides):
    """Add to whatever the memory contains; the loop is correct."""
    (SH, SW), (OH, OW, KH, KW) = strides, taps.shape[1:5]
    with np.errstate(all="ignore"):  # it may be NaN
        for i, j in np.ndindex(KH, KW):
            padded[:, i : i + OH * SH : SH, j : j + OW * SW : SW] += taps[:, :, :, i, j]


@jit
def _sum_rows(first, last, dout, db):
    for u in range(len(db)):
        total = db[u]
        for n in range(first, last):
            total += dout[n, u]
        db[u] = total


def check_race() -> Report:
    """Check a small dense layer on one thread, and repeat one of many images on all threads."""
    with limit(1):
        small = check_layer(Dense(8), (4,))
    return join_reports(small, check_repeats(Dense(8), (2,), batch=RACERS))


@bug("race-in-parallel-sum", check_race, replace.backward_of(Dense.implementations), threads=True)
def race_in_parallel_sum(dout, x, w, *options):
    """Divide the images among the threads, but let them share the elements of the sum."""
    dx, dw, db = dense_page.dense_backward(dout, x, w, *options)
    db = np.zeros_like(db)
    run_on_threads(_sum_rows, dout.size, len(dout), np.ascontiguousarray(dout), db)
    return dx, dw, db
