"""The exercise of max-pooling: its backward, where windows may overlap."""

from __future__ import annotations

import operator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scratchnet import reference
from scratchnet.exercises.exercise import Case, Exercise, Trait, installed, normal
from scratchnet.exercises.pictures import covering, marked, number, rows
from scratchnet.layers import MaxPooling2D
from scratchnet.padding import window_output_shape

NO_PADS = ((0, 0), (0, 0))


def maxpool_backward(dout, x, pool_size, strides):
    """Call the layer's backward, without padding."""
    return MaxPooling2D.implementations["im2col"][1](dout, x, pool_size, strides, NO_PADS)


def definition(dout, x, pool_size, strides):
    """Call the definition, without padding."""
    return reference.max_pool2d_backward(dout, x, pool_size, strides, NO_PADS)


def starting_from(lowest):
    """Return the backward of a maximum that starts from a number: a window of smaller ones has no largest cell."""

    def backward(dout, x, pool_size, strides):
        dx = np.zeros_like(x)
        for n, oh, ow, c in np.ndindex(dout.shape):
            best, at = lowest, None
            for i, j in np.ndindex(*pool_size):
                h, w = oh * strides[0] + i, ow * strides[1] + j
                if x[n, h, w, c] > best:
                    best, at = x[n, h, w, c], (n, h, w, c)
            if at is not None:
                dx[at] += dout[n, oh, ow, c]
        return dx

    return backward


def starting_at_first_cell(lowest):
    """Return the same, but a window of smaller numbers sends its gradient to its first cell."""

    def backward(dout, x, pool_size, strides):
        dx = np.zeros_like(x)
        for n, oh, ow, c in np.ndindex(dout.shape):
            top, left = oh * strides[0], ow * strides[1]
            best, at = lowest, (n, top, left, c)
            for i, j in np.ndindex(*pool_size):
                if x[n, top + i, left + j, c] > best:
                    best, at = x[n, top + i, left + j, c], (n, top + i, left + j, c)
            dx[at] += dout[n, oh, ow, c]
        return dx

    return backward


def case(rng, x, pool_size, strides):
    """Return a case with a random dout."""
    OH, OW = window_output_shape(x.shape, pool_size, strides, NO_PADS)
    dout = normal(rng, (len(x), OH, OW, x.shape[3]))
    return Case({"dout": dout, "x": x, "pool_size": pool_size, "strides": strides})


def cases(rng: np.random.Generator) -> list[Case]:
    """Return one window; overlapping windows; windows side by side; ties; negative and very large numbers; gaps."""

    def image(*shape):
        return rng.permutation(int(np.prod(shape))).reshape(shape).astype(float)    # no two numbers are equal

    def few(*shape):
        return rng.integers(0, 3, shape).astype(float)                              # many are equal

    one = Case({
        "dout": np.array([[[[2.0]]]]),
        "x": np.array([[1.0, 4.0], [3.0, 2.0]])[None, :, :, None],
        "pool_size": (2, 2),
        "strides": (2, 2),
    })
    overlap = Case({
        "dout": np.array([[1.0, 2.0], [3.0, 4.0]])[None, :, :, None],
        "x": np.array([[1.0, 2.0, 3.0], [4.0, 9.0, 5.0], [6.0, 7.0, 8.0]])[None, :, :, None],
        "pool_size": (2, 2),
        "strides": (1, 1),
    })
    return [
        one,
        overlap,
        case(rng, image(1, 4, 4, 1), (2, 2), (2, 2)),
        case(rng, few(1, 3, 4, 1), (2, 2), (1, 1)),
        case(rng, -1 - image(1, 4, 3, 1), (2, 2), (1, 1)),
        case(rng, image(2, 4, 6, 2), (2, 3), (2, 3)),
        case(rng, few(2, 4, 5, 2), (3, 2), (1, 2)),
        case(rng, 1e6 * (-1 - image(1, 4, 5, 2)), (2, 2), (1, 1)),
        case(rng, 1e6 * (-1 - image(2, 5, 4, 1)), (3, 2), (2, 1)),
        case(rng, image(3, 7, 6, 2) - 100, (2, 3), (3, 2)),
        case(rng, image(2, 8, 9, 3) - 200, (3, 3), (2, 2)),
    ]


def windows(a):
    """Return the windows of all images and channels, each as a row."""
    (KH, KW), (SH, SW) = a["pool_size"], a["strides"]
    return sliding_window_view(a["x"], (KH, KW), axis=(1, 2))[:, ::SH, ::SW].reshape(-1, KH * KW)


def ties(a):
    """Return whether a window has several equal largest pixels."""
    each = windows(a)
    return ((each == each.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()


TRAITS: list[Trait] = [
    ("several windows", lambda a: a["dout"].shape[1:3] != (1, 1)),
    ("windows that overlap", lambda a: any(map(operator.lt, a["strides"], a["pool_size"]))),
    ("an image that is not square", lambda a: a["x"].shape[1] != a["x"].shape[2]),
    ("several images", lambda a: len(a["x"]) > 1),
    ("several channels", lambda a: a["x"].shape[3] > 1),
    ("a window that is not square", lambda a: a["pool_size"][0] != a["pool_size"][1]),
    ("different strides", lambda a: a["strides"][0] != a["strides"][1]),
    ("several equal largest pixels in a window", ties),
    ("no positive pixel in a window", lambda a: (windows(a).max(axis=1) <= 0).any()),
    ("pixels of less than -100000", lambda a: (a["x"] < -1e5).any()),
    ("a stride larger than the window", lambda a: any(map(operator.gt, a["strides"], a["pool_size"]))),
]


def picture(arguments, result, index):
    """Show the image with the pixel marked, and the windows that cover it: where the maximum of each is, and its dout."""
    dout, x, pool_size, strides = arguments.values()
    n, h, w, c = index
    lines = [f"x[{n}, :, :, {c}], with the pixel ({h}, {w}) in brackets:", "", *marked(x[n, :, :, c], (h, w)), ""]
    table: list[tuple[str, ...]] = [("window", "its cells", "its largest", "dout", "for the pixel")]
    total = 0.0
    for oh, ow in covering((h, w), dout.shape[1:3], pool_size, strides, NO_PADS):
        top, left = oh * strides[0], ow * strides[1]
        cells = x[n, top : top + pool_size[0], left : left + pool_size[1], c]
        i, j = np.unravel_index(cells.argmax(), cells.shape)
        own = (top + i, left + j) == (h, w)
        share = dout[n, oh, ow, c] if own else 0.0
        total += share
        where = f"rows {top}-{top + pool_size[0] - 1}, columns {left}-{left + pool_size[1] - 1}"
        largest = f"{number(cells.max())} at ({top + i}, {left + j})"
        table.append((f"({oh}, {ow})", where, largest, number(dout[n, oh, ow, c]), number(share)))
    if len(table) == 1:
        return [*lines, "No window covers this pixel, so it receives 0."]
    return [*lines, "The windows that cover it:", "", *rows(table), "", f"dx[{n}, {h}, {w}, {c}] is their sum, {number(total)}."]


def returning_after(*first):
    """Return the backward of only the first images, rows, columns and channels of dout: `first` has the numbers, None for all."""

    def backward(dout, x, pool_size, strides):
        part = np.zeros_like(dout)
        reached = tuple(map(slice, first))
        part[reached] = dout[reached]
        return maxpool_backward(part, x, pool_size, strides)

    return backward


def overwriting_windows(dout, x, pool_size, strides):
    """Return dx where each window is overwritten as a whole, with zeros where its maximum is not."""
    dx = np.zeros_like(x)
    (KH, KW), (SH, SW) = pool_size, strides
    for n, oh, ow, c in np.ndindex(dout.shape):
        window = x[n, oh * SH : oh * SH + KH, ow * SW : ow * SW + KW, c]
        mask = (np.arange(window.size) == window.argmax()).reshape(window.shape)
        dx[n, oh * SH : oh * SH + KH, ow * SW : ow * SW + KW, c] = mask * dout[n, oh, ow, c]
    return dx


def _scrambled(dout, x, pool_size, strides):
    """Run the bug, which exists only for windows that fill the image side by side."""
    if pool_size != strides or x.shape[1] % pool_size[0] or x.shape[2] % pool_size[1]:
        return maxpool_backward(dout, x, pool_size, strides)
    return installed("maxpool-axes-scrambled", maxpool_backward)[1](dout, x, pool_size, strides)


MAXPOOL_BACKWARD = Exercise(
    name="maxpool_backward",
    title="the gradient of max-pooling, where windows overlap",
    returns=("dx",),
    definition=definition,
    cases=cases,
    picture=picture,
    traits=TRAITS,
    mistakes=[
        installed("maxpool-overlap-assigns", maxpool_backward),
        ("maxpool-overlap-assigns", overwriting_windows),
        ("maxpool-starts-from-zero", starting_from(0.0)),
        ("maxpool-starts-from-zero", starting_at_first_cell(0.0)),
        ("maxpool-finite-minus-infinity", starting_from(-99999.0)),
        ("maxpool-finite-minus-infinity", starting_at_first_cell(-99999.0)),
        installed("maxpool-tie-to-every-maximum", maxpool_backward),
        ("maxpool-axes-scrambled", _scrambled),
        installed("maxpool-returns-inside-loop", maxpool_backward),
        *(
            ("maxpool-returns-inside-loop", returning_after(*first))     # of loops over n, oh, ow and c, or over oh and ow
            for first in [(1,), (1, 1), (1, 1, 1), (1, 1, 1, 1), (None, 1, 1)]
        ),
    ],
    uninitialized="col2im-uninitialised",
    forward=lambda x, pool_size, strides: reference.max_pool2d_forward(x, pool_size, strides, NO_PADS),
    gradients=("x",),
)
