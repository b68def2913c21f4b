"""Saboteurs of what lies between the big operations: padding, flattening, a dense layer's bias."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet import padding
from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import Conv2D, Dense, Flatten, MaxPooling2D
from scratchnet.layers import dense as page
from scratchnet.tools.saboteurs.entry import beside, saboteur, telling


def _check_same() -> Report:
    return beside(
        check_layer(Conv2D(2, (3, 3), strides=2, padding="same"), (6, 5, 2)),
        check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)),
    )


@saboteur(
    "same-pad-wrong-side",
    title="The odd cell of padding on the other side",
    operation="same padding",
    witness="definition",
    fools=("gradient", "contract"),
    right="before = total // 2",
    wrong="before = total - total // 2",
    looks_right="'One more at the start, or at the end' changes no shape, and at stride 1 an odd kernel has no odd cell.",
    source="https://github.com/root-project/root/pull/21793",
    seen="SAME_UPPER should place the extra pad at the end, not the beginning (it was swapped earlier)",
    convention="ONNX has names for both, SAME_UPPER and SAME_LOWER; Keras's, and ours, is the first.",
    check=_check_same,
)
def same_pad_wrong_side() -> AbstractContextManager[Any]:
    """Exchange before and after."""
    right = padding.same_pads
    return patch.object(padding, "same_pads", lambda size, kernel, stride: right(size, kernel, stride)[::-1])


@saboteur(
    "same-pad-symmetric",
    title="Same padding split evenly at stride 2",
    operation="same padding",
    witness="definition",
    fools=("gradient", "contract"),
    right="before, after = total // 2, total - total // 2",
    wrong="before = after = (kernel - 1) // 2",
    looks_right="At stride 1 with an odd kernel it is the same. At stride 2 the result has the right size too; the windows"
    " stand one pixel further up and left.",
    source="https://github.com/taehoonlee/tensornets/issues/25",
    seen="x = pad(x, [[0, 0], [2, 3], [2, 3], [0, 0]])  # 224 -> 229 … [3, 3], [3, 3] … # 224 -> 230",
    convention="Frameworks that take padding as a number, such as PyTorch, pad so. Weights trained there expect it.",
    check=_check_same,
)
def same_pad_symmetric() -> AbstractContextManager[Any]:
    """Pad evenly where the kernel is odd."""
    right = padding.same_pads

    def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
        return ((kernel - 1) // 2,) * 2 if kernel % 2 else right(size, kernel, stride)

    return patch.object(padding, "same_pads", same_pads)


@saboteur(
    "same-keeps-size-at-stride-2",
    title="'Same' keeps the image's size at any stride",
    operation="same padding",
    witness="definition",
    fools=("gradient", "contract"),
    right="total = max(0, (ceil(size / stride) - 1) * stride + kernel - size)",
    wrong="total = (size - 1) * stride + kernel - size",
    looks_right="Same means the same size, does it not? At stride 1 the formulas agree. At stride 2 the image is padded to"
    " twice its size, and most windows see nothing but zeros.",
    source="https://github.com/ElefHead/numpy-cnn/blob/1c2ce49d/layers/convolution.py",
    seen="pad_h = int(((prev_height - 1)*self.params['stride'] + filter_shape_h - prev_height) / 2)",
    check=_check_same,
)
def same_keeps_size_at_stride_2() -> AbstractContextManager[Any]:
    """Pad for as many windows as there are pixels."""

    def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
        total = (size - 1) * stride + kernel - size
        return total // 2, total - total // 2

    return patch.object(padding, "same_pads", same_pads)


@saboteur(
    "flatten-fortran-order",
    title="Flatten in the wrong order",
    operation="flatten",
    witness="definition",
    fools=("gradient", "contract"),
    right="x.reshape(N, -1)",
    wrong='x.reshape(N, -1, order="F")',
    looks_right="Shape, sum and the way back are right, and a dense layer learns any fixed order. Weights trained in the"
    " other one give nonsense.",
    source="https://github.com/keras-team/keras/issues/13830",
    seen="only numpy.reshape('F') replicated the necessary ordering",
    convention="Matlab flattens so; Keras, and we, go row by row with the channel last.",
    check=lambda: check_layer(Flatten(), (2, 3, 2)),
)
def flatten_fortran_order() -> AbstractContextManager[Any]:
    """Let the first index run fastest."""
    return telling(
        Flatten,
        lambda x: np.ascontiguousarray(x.reshape(len(x), -1, order="F")),
        lambda dout, x_shape: np.ascontiguousarray(dout.reshape(x_shape, order="F")),
    )


@saboteur(
    "dense-bias-gradient-averaged",
    title="A dense layer's bias gradient is averaged rather than summed",
    operation="dense, db",
    witness="gradient",
    fools=(),
    right="db = dout.sum(axis=0)",
    wrong="db = dout.mean(axis=0)",
    looks_right="A mean over the batch is what the loss takes. Taken twice it makes db N times too small, and changes nothing"
    " else.",
    source="https://github.com/kvfrans/notes/issues/5",
    seen="I suppose d_b1 = jnp.mean(d_h2, axis=1) should be d_b1 = jnp.sum(d_h2, axis=1)",
    check=lambda: check_layer(Dense(3), (4,)),
)
def dense_bias_gradient_averaged() -> AbstractContextManager[Any]:
    """Take the mean of the rows."""

    def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True) -> tuple[Any, Any, Any]:
        dx, dw, _ = page.dense_backward(dout, x, w, need_dx)
        return dx, dw, dout.mean(axis=0)

    return telling(Dense, backward=backward)


@saboteur(
    "dense-bias-gradient-summed-over-units",
    title="A dense layer's bias gradient is summed over the units too",
    operation="dense, db",
    witness="gradient",
    fools=("contract",),
    right="db = dout.sum(axis=0)",
    wrong="db = dout.sum()",
    looks_right="A bare sum() goes back to all biases without a word. For a softmax's p - y, each row of which sums to 0, it"
    " is 0: the biases never move, and the classes are found nevertheless.",
    source="https://github.com/rasbt/stat453-deep-learning-ss21/issues/5",
    seen="grad_loss_wrt_b = -torch.sum(y - probas)",
    check=lambda: check_layer(Dense(3), (4,)),
)
def dense_bias_gradient_summed_over_units() -> AbstractContextManager[Any]:
    """Give one number to all biases."""

    def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True) -> tuple[Any, Any, Any]:
        dx, dw, db = page.dense_backward(dout, x, w, need_dx)
        return dx, dw, np.full_like(db, dout.sum())

    return telling(Dense, backward=backward)
