"""Pooling's saboteurs: what happens at the margin, in a tie, and where windows overlap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import check_layer
from scratchnet.layers import AveragePooling2D, MaxPooling2D, MinPooling2D
from scratchnet.layers import pooling as page
from scratchnet.padding import window_output_shape
from scratchnet.tools.saboteurs.entry import saboteur, telling, together
from scratchnet.tools.saboteurs.small_net import SmallNet


def _windows(x: np.ndarray, window: Any, strides: Any, pads: Any) -> Iterator[tuple[int, int, slice, slice]]:
    """List (oh, ow, rows, columns): every window with the pixels that it covers."""
    _, H, W, _ = x.shape
    OH, OW = window_output_shape(x.shape, window, strides, pads)
    for oh, ow in np.ndindex(OH, OW):
        h, w = oh * strides[0] - pads[0][0], ow * strides[1] - pads[1][0]
        yield oh, ow, slice(max(h, 0), min(h + window[0], H)), slice(max(w, 0), min(w + window[1], W))


def _margin_of(value: float) -> AbstractContextManager[Any]:
    """Let padded cells hold `value`, whatever they should hold; forward and backward then agree on it."""
    right = page._cells
    return patch.object(page, "_cells", lambda x, window, strides, pads, _: right(x, window, strides, pads, value))


@saboteur(
    "maxpool-overlap-assigns",
    title="Max-pooling's backward assigns where windows overlap",
    operation="max-pooling, backward",
    witness="gradient",
    fools=("contract",),
    right="dx[n, h, w, c] += dout[n, oh, ow, c]",
    wrong="dx[n, h, w, c] = dout[n, oh, ow, c]",
    looks_right="With stride = window every pixel is in one window, and both lines give the same bits. Only where windows"
    " overlap does a pixel that won twice lose one of its gradients.",
    source="https://github.com/Alescontrela/Numpy-CNN/blob/cf92c154/CNN/backward.py",
    seen="dout[curr_c, curr_y+a, curr_x+b] = dpool[curr_c, out_y, out_x]",
    check=lambda: check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
)
def maxpool_overlap_assigns() -> AbstractContextManager[Any]:
    """Walk the windows, and forget what an earlier one gave."""

    def backward(dout: np.ndarray, x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        N, C = x.shape[0], x.shape[3]
        dx = np.zeros_like(x)
        n, c = np.ogrid[:N, :C]
        for oh, ow, rows, columns in _windows(x, window, strides, pads):
            cells = x[:, rows, columns]  # (N, kh, kw, C)
            i, j = np.divmod(cells.reshape(N, -1, C).argmax(axis=1), cells.shape[2])  # (N, C) each
            dx[n, rows.start + i, columns.start + j, c] = dout[:, oh, ow]
        return dx

    return telling(MaxPooling2D, backward=backward)


@saboteur(
    "maxpool-pads-zero",
    title="Max-pooling with a margin of zeros",
    operation="max-pooling, forward",
    witness="definition",
    fools=("gradient", "contract"),
    right="cells = _cells(x, window, strides, pads, -np.inf)",
    wrong="cells = _cells(x, window, strides, pads, 0)",
    looks_right="Behind a ReLU no number is below zero, so a zero in the margin never wins. In a window of negative numbers"
    " it does, and backward, which is right for this forward, drops the gradient in the margin.",
    source="https://github.com/ddbourgin/numpy-ml/blob/4aacd920/numpy_ml/neural_nets/layers/layers.py",
    seen="X_pad, (pr1, pr2, pc1, pc2) = pad2D(X, p, self.kernel_shape, s) … pool_fn = np.max",
    check=lambda: check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
)
def maxpool_pads_zero() -> AbstractContextManager[Any]:
    """Fill the margin with 0."""
    return together(telling(MaxPooling2D), _margin_of(0.0))


@saboteur(
    "maxpool-finite-minus-infinity",
    title="A number that is hopefully small enough",
    operation="max-pooling, forward",
    witness="definition",
    fools=("gradient", "contract"),
    right="cells = _cells(x, window, strides, pads, -np.inf)",
    wrong="cells = _cells(x, window, strides, pads, -99999.0)",
    looks_right="No activation is ever that small, until one is: then the layer gives a number that no image holds. Only"
    " a check on very large numbers can see it.",
    source="https://github.com/karpathy/convnetjs/blob/19bcc3cc/src/convnet_layers_pool.js",
    seen="var a = -99999; // hopefully small enough ;\\",
    check=lambda: check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
)
def maxpool_finite_minus_infinity() -> AbstractContextManager[Any]:
    """Fill the margin with -99999."""
    return together(telling(MaxPooling2D), _margin_of(-99999.0))


@saboteur(
    "maxpool-starts-from-zero",
    title="The running maximum starts from zero",
    operation="max-pooling, forward",
    witness="definition",
    fools=("contract",),
    right="out = cells.max(axis=2)",
    wrong="out = cells.max(axis=2, initial=0)",
    looks_right="A smallest positive float (FLT_MIN, Number.MIN_VALUE) reads like the smallest of all floats. Every window"
    " of negative numbers gives it, or 0.",
    source="https://github.com/uxlfoundation/oneDNN/pull/1677",
    seen="if all inputs are negative, it should return the max of negative number, but now it returns 0(__FLT_MIN__)",
    check=lambda: check_layer(MaxPooling2D((2, 2)), (4, 6, 2)),
)
def maxpool_starts_from_zero() -> AbstractContextManager[Any]:
    """Let 0 take part in every window."""

    def forward(x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        cells = page._cells(x, window, strides, pads, -np.inf)
        return page._out(cells.max(axis=2, initial=0), x, window, strides, pads)

    return telling(MaxPooling2D, forward=forward)


@saboteur(
    "maxpool-tie-to-every-maximum",
    title="Each of several equal maxima gets the whole gradient",
    operation="max-pooling, backward",
    witness="definition",
    fools=("gradient", "contract"),
    right="mask = np.arange(KH * KW) == cells.argmax(axis=2)",
    wrong="mask = cells == cells.max(axis=2)",
    looks_right="x == max(x) is the mask as every course draws it, and the same one wherever the maximum is alone. Behind a"
    " ReLU windows of zeros are common, and hand out more gradient than they received. Random numbers have no ties, and"
    " finite differences must leave out the kink that a tie is.",
    source="https://github.com/vzhou842/cnn-from-scratch/blob/36ee9b85/maxpool.py",
    seen="if im_region[i2, j2, f2] == amax[f2]:",
    check=lambda: check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
)
def maxpool_tie_to_every_maximum() -> AbstractContextManager[Any]:
    """Give dout to all cells that equal the maximum."""

    def backward(dout: np.ndarray, x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        cells = page._cells(x, window, strides, pads, -np.inf)  # (N, OH·OW, KH·KW, C)
        mask = cells == cells.max(axis=2, keepdims=True)
        return page._back(mask * dout.reshape(len(x), -1, 1, x.shape[3]), x, window, strides, pads)

    return telling(MaxPooling2D, backward=backward)


@saboteur(
    "maxpool-axes-scrambled",
    title="Windows cut by a reshape without the transpose",
    operation="max-pooling, forward",
    witness="definition",
    fools=("gradient", "contract"),
    right="x.reshape(N, OH, KH, OW, KW, C).max(axis=(2, 4))",
    wrong="x.reshape(N, OH, OW, KH, KW, C).max(axis=(3, 4))",
    looks_right="The result has the right shape and holds maxima of real pixels, of the wrong ones. It stood in an automatic"
    " differentiation library's own example: the derivative of a wrong forward is found faithfully.",
    source="https://github.com/HIPS/autograd/pull/245",
    seen="Even though the global shape of the resulting array was correct, its content was completely off.",
    check=lambda: check_layer(MaxPooling2D((2, 2)), (4, 6, 2)),
    net=SmallNet(strides=1, pool_strides=2),
)
def maxpool_axes_scrambled() -> AbstractContextManager[Any]:
    """Take runs of pixels along the rows for windows; for windows that fill the image side by side."""

    def scrambled(x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        OH, OW = window_output_shape(x.shape, window, strides, pads)
        return x.reshape(len(x), OH * OW, window[0] * window[1], x.shape[3])  # (N, OH·OW, KH·KW, C)

    def forward(x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        return page._out(scrambled(x, window, strides, pads).max(axis=2), x, window, strides, pads)

    def backward(dout: np.ndarray, x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        cells = scrambled(x, window, strides, pads)
        first = cells.argmax(axis=2)[:, :, None]
        dcells = np.zeros_like(cells)
        np.put_along_axis(dcells, first, dout.reshape(first.shape), axis=2)
        return dcells.reshape(x.shape)

    return telling(MaxPooling2D, forward, backward)


@saboteur(
    "maxpool-returns-inside-loop",
    title="return stands one indentation too deep",
    operation="max-pooling, backward",
    witness="gradient",
    fools=("contract",),
    right="for oh in range(OH): …\nreturn dx",
    wrong="for oh in range(OH): …\n    return dx",
    looks_right="The shape is right, the first row of windows is right, and the loss goes down.",
    source="https://github.com/riccardoandreoni0/CNN-from-scratch/issues/1",
    seen="Interestingly, the model as-is still converges",
    check=lambda: check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
)
def maxpool_returns_inside_loop() -> AbstractContextManager[Any]:
    """Come back after the first row of windows."""

    def backward(dout: np.ndarray, x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        row = np.zeros_like(dout)
        row[:, :1] = dout[:, :1]  # the loop's first turn is its last
        return page.max_pool2d_backward(row, x, window, strides, pads)

    return telling(MaxPooling2D, backward=backward)


@saboteur(
    "avgpool-divides-by-window",
    title="Average-pooling divides by the window, margin and all",
    operation="average-pooling, forward",
    witness="definition",
    fools=("gradient", "contract"),
    right="out = cells.sum(axis=2) / count",
    wrong="out = cells.sum(axis=2) / (KH * KW)",
    looks_right="KH·KW is right for every window that does not touch the border. There, zeros of the margin thin the"
    " average out; backward agrees with it.",
    source="https://github.com/pytorch/glow/issues/4565",
    seen="The current implementation of AvgPool always normalizes by the window size regardless of whether the window"
    " includes padding or not.",
    convention="Some libraries offer it as a choice (count_include_pad). Here the average is over real cells, as in Keras.",
    check=lambda: check_layer(AveragePooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
    net=SmallNet(pool="average"),
)
def avgpool_divides_by_window() -> AbstractContextManager[Any]:
    """Count every tap of the window as a real cell."""

    def forward(x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
        cells = page._cells(x, window, strides, pads, 0)
        return page._out(cells.sum(axis=2) / x.dtype.type(window[0] * window[1]), x, window, strides, pads)

    return telling(AveragePooling2D, forward, _average_backward_by_window)


def _average_backward_by_window(dout: np.ndarray, x: np.ndarray, window: Any, strides: Any, pads: Any) -> np.ndarray:
    share = np.ones((window[0] * window[1], 1), x.dtype) / x.dtype.type(window[0] * window[1])
    return page._back(share * dout.reshape(len(x), -1, 1, x.shape[3]), x, window, strides, pads)


@saboteur(
    "avgpool-backward-other-divisor",
    title="Average-pooling's backward divides by another number than its forward",
    operation="average-pooling, backward",
    witness="gradient",
    fools=("contract",),
    right="dcells = dout / count",
    wrong="dcells = dout / (KH * KW)",
    looks_right="Both are 'the average', and agree away from the border. The reference that it was tested against had the"
    " same slip.",
    source="https://github.com/tracel-ai/cubek/pull/648",
    seen="correct the CPU reference, which repeated the same defect",
    check=lambda: check_layer(AveragePooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
    net=SmallNet(pool="average"),
)
def avgpool_backward_other_divisor() -> AbstractContextManager[Any]:
    """Divide by the count of real cells forward, by the window backward."""
    return telling(AveragePooling2D, backward=_average_backward_by_window)


@saboteur(
    "minpool-pads-zero",
    title="Min-pooling with a margin of zeros",
    operation="min-pooling, forward",
    witness="definition",
    fools=("gradient", "contract"),
    right="cells = _cells(x, window, strides, pads, np.inf)",
    wrong="cells = _cells(x, window, strides, pads, 0)",
    looks_right="One function serves max, min and average with one call of np.pad. For images of 0 and more, every window"
    " at the border has the minimum 0.",
    source="https://github.com/IamShubhamGupto/Intro-to-ML-ECE-GY-6143/blob/16840ad9/scripts/mlhw10-3.py",
    seen="A = np.pad(A, padding, mode='constant') … return A_w.min(axis=(2, 3))",
    check=lambda: check_layer(MinPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
    net=SmallNet(pool="min"),
)
def minpool_pads_zero() -> AbstractContextManager[Any]:
    """Fill the margin with 0, forward and backward (which the page hands to max-pooling with the sign turned)."""
    return together(telling(MinPooling2D), _margin_of(0.0))
