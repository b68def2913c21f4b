"""The convolution's saboteurs: a kernel turned once too often, sums that forget, columns in another order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import Report, check_layer
from scratchnet.layers import Conv2D
from scratchnet.layers import conv2d as page
from scratchnet.padding import window_output_shape
from scratchnet.tools.saboteurs.entry import saboteur, telling, together
from scratchnet.tools.saboteurs.small_net import SmallNet


def _check() -> Report:
    return check_layer(Conv2D(3, (3, 2), strides=(2, 1), padding="same"), (5, 4, 2))


def _backward(change: Callable[..., tuple[Any, Any, Any]]) -> AbstractContextManager[Any]:
    """Break one of dx, dw, db: `change` gets what the page gives, and all that it gave it for."""

    def backward(
        dout: np.ndarray, x: np.ndarray, w: np.ndarray, strides: Any, pads: Any, need_dx: bool = True
    ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        dx, dw, db = page.conv2d_backward(dout, x, w, strides, pads, need_dx)
        changed_dx, dw, db = change(dx, dw, db, dout=dout, x=x, w=w, strides=strides, pads=pads)
        return changed_dx if need_dx else None, dw, db

    return telling(Conv2D, backward=backward)


def _with_col2im(col2im: Callable[..., np.ndarray]) -> AbstractContextManager[Any]:
    """Let the page run with another col2im."""
    return together(telling(Conv2D), patch.object(page, "col2im", col2im))


def _taps(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Begin a col2im: (N, OH, OW, KH, KW, C) numbers, the padded image of zeros that they go into, OH and OW."""
    (N, H, W, C), ((top, bottom), (left, right)) = x_shape, pads
    OH, OW = window_output_shape(x_shape, kernel, strides, pads)
    padded = np.zeros((N, top + H + bottom, left + W + right, C), cols.dtype)
    return cols.reshape(N, OH, OW, *kernel, C), padded, OH, OW


def _cropped(padded: np.ndarray, x_shape: Any, pads: Any) -> np.ndarray:
    (_, H, W, _), ((top, _), (left, _)) = x_shape, pads
    return np.ascontiguousarray(padded[:, top : top + H, left : left + W])


@saboteur(
    "conv-dx-kernel-not-flipped",
    title="The kernel is turned once too often in the image's gradient",
    operation="convolution, dx",
    witness="gradient",
    fools=("contract",),
    right="dcols = dout @ w.reshape(-1, F).T",
    wrong="dcols = dout @ w[::-1, ::-1].reshape(-1, F).T",
    looks_right="'Convolve dout with the turned kernel', says the book. Where the routine turns it already, turning it by"
    " hand turns it back. All shapes agree, and test kernels such as ones, crosses and diagonals equal their own half-turn.",
    source="https://github.com/sarisabban/PyNN/blob/d2eba61cbb1acc29b1d401aee2d383ea77057a7b/pynn/dx.py",
    seen="return np.rot90(k, 2) … dX[c] += convolve2d(dY[0], K1_flipped[c], mode='full')",
    check=_check,
)
def conv_dx_kernel_not_flipped() -> AbstractContextManager[Any]:
    """Send gradients back through the kernel turned by half a circle."""

    def change(dx: Any, dw: Any, db: Any, *, dout: Any, x: Any, w: Any, strides: Any, pads: Any) -> tuple[Any, Any, Any]:
        F = w.shape[-1]
        dcols = dout.reshape(-1, F) @ w[::-1, ::-1].reshape(-1, F).T
        return page.col2im(dcols, x.shape, w.shape[:2], strides, pads), dw, db

    return _backward(change)


@saboteur(
    "conv-dw-reversed",
    title="The two arguments of a correlation change places in dw",
    operation="convolution, dw",
    witness="gradient",
    fools=("contract",),
    right="dw = correlate(x, dout)",
    wrong="dw = correlate(dout, x)          # correlate(x, dout)[::-1, ::-1]",
    looks_right="A convolution may be written either way round, so a correlation seems to be; its result comes out reversed,"
    " in the same shape.",
    source="https://end-to-end-machine-learning.teachable.com/courses/"
    "322-convolutional-neural-networks-in-two-dimensions/lectures/24726662",
    seen="the order of the arguments matters in cross correlation. I got them in the wrong order",
    check=_check,
)
def conv_dw_reversed() -> AbstractContextManager[Any]:
    """Reverse the kernel's gradient."""
    return _backward(lambda dx, dw, db, **_: (dx, np.ascontiguousarray(dw[::-1, ::-1]), db))


@saboteur(
    "conv-dx-channels-not-swapped",
    title="The kernel's two channel axes are not swapped in dx",
    operation="convolution, dx",
    witness="gradient",
    fools=("contract",),
    right="dcols[…, i, j, c] = Σ_f dout[…, f] · w[i, j, c, f]",
    wrong="dcols[…, i, j, c] = Σ_f dout[…, f] · w[i, j, f, c]",
    looks_right="Pictures of a convolution's gradient show the turn of the kernel, and pictures have no channels. With as"
    " many channels as filters the shapes agree.",
    source="https://github.com/wuziheng/CNN-Numpy/issues/2",
    seen="base conv的代码还少一个 swapaxes (the code of base conv still lacks a swapaxes)",
    check=lambda: check_layer(Conv2D(2, (3, 2), strides=(2, 1), padding="same"), (5, 4, 2)),
)
def conv_dx_channels_not_swapped() -> AbstractContextManager[Any]:
    """Sum over the wrong one of two axes of one length."""

    def change(dx: Any, dw: Any, db: Any, *, dout: Any, x: Any, w: Any, strides: Any, pads: Any) -> tuple[Any, Any, Any]:
        if w.shape[2] == w.shape[3]:
            dcols = dout.reshape(-1, w.shape[3]) @ w.swapaxes(2, 3).reshape(-1, w.shape[3]).T
            dx = page.col2im(dcols, x.shape, w.shape[:2], strides, pads)
        return dx, dw, db

    return _backward(change)


@saboteur(
    "conv-kernel-height-for-width",
    title="The kernel's height is used for its width",
    operation="convolution, dx",
    witness="gradient",
    fools=("contract",),
    right="i, j = divmod(tap, KW)",
    wrong="i, j = divmod(tap, KH)",
    looks_right="Every kernel that people use is square, and then the two are one number. Only a kernel that is not square"
    " can tell.",
    source="https://github.com/Maratyszcza/NNPACK/issues/15",
    seen="currently all NNPACK tests cases for convolution use square images and kernels",
    check=_check,
    net=SmallNet(kernel_size=(3, 2)),
)
def conv_kernel_height_for_width() -> AbstractContextManager[Any]:
    """Number the taps as if the kernel were as wide as it is high."""

    def col2im(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        (KH, KW), (SH, SW) = kernel, strides
        taps, padded, OH, OW = _taps(cols, x_shape, kernel, strides, pads)
        padded = np.pad(padded, ((0, 0), (0, KW), (0, KH), (0, 0)))  # a tap may now miss the image
        for tap in range(KH * KW):
            i, j = divmod(tap, KH)
            padded[:, i : i + OH * SH : SH, j : j + OW * SW : SW] += taps[:, :, :, tap // KW, tap % KW]
        return _cropped(padded, x_shape, pads)

    return _with_col2im(col2im)


@saboteur(
    "conv-dx-stride-ignored",
    title="The stride is forgotten in the image's gradient",
    operation="convolution, dx",
    witness="gradient",
    fools=("contract",),
    right="dx[:, i : i + OH * SH : SH, j : j + OW * SW : SW] += dcols[…, i, j, :]",
    wrong="dx[:, i : i + OH, j : j + OW] += dcols[…, i, j, :]",
    looks_right="At stride 1 it is the same line. At stride 2 the shapes still fit, and the gradients lie crowded into a corner.",
    source="https://github.com/Kulbear/deep-learning-coursera/pull/34",
    seen="stride missing in conv_backward",
    check=_check,
)
def conv_dx_stride_ignored() -> AbstractContextManager[Any]:
    """Put each window's gradients at stride 1."""

    def col2im(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        taps, padded, OH, OW = _taps(cols, x_shape, kernel, strides, pads)
        for i, j in np.ndindex(*kernel):
            padded[:, i : i + OH, j : j + OW] += taps[:, :, :, i, j]
        return _cropped(padded, x_shape, pads)

    return _with_col2im(col2im)


@saboteur(
    "col2im-overwrites",
    title="col2im overwrites where it must add",
    operation="col2im",
    witness="gradient",
    fools=("contract",),
    right="np.add.at(x, (slice(None), rows, columns), taps)",
    wrong="x[:, rows, columns] += taps",
    looks_right="+= looks like adding. But with indices that repeat, NumPy reads all, adds, and writes all: of the several"
    " gradients of a pixel the last one stays.",
    source="https://github.com/HIPS/autograd/issues/39",
    seen="nd=2.0, ad=1.0",
    check=_check,
)
def col2im_overwrites() -> AbstractContextManager[Any]:
    """Add with repeated indices."""

    def col2im(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        taps, padded, OH, OW = _taps(cols, x_shape, kernel, strides, pads)
        oh, ow, i, j = np.ogrid[:OH, :OW, : kernel[0], : kernel[1]]
        padded[:, oh * strides[0] + i, ow * strides[1] + j] += taps
        return _cropped(padded, x_shape, pads)

    return _with_col2im(col2im)


@saboteur(
    "conv-dx-never-copied-back",
    title="The gradient is summed up, and another array returned",
    operation="convolution, dx",
    witness="gradient",
    fools=("contract",),
    right="dx[n] = padded[top : top + H, left : left + W]",
    wrong="padded[n] = padded_n              # and then: return dx",
    looks_right="dx has the shape that the next line asserts. The layer's own dw and db are right, and in a net of one"
    " convolution nobody asks for dx: it is zeros, and the layers below stop learning.",
    source="https://github.com/DmrfCoder/CourseraAi/blob/1a257b73/ConvolutionModel/Convolution_model-Step_by_Step.md",
    seen="dA_prev_pad[i, :, :, :] = da_prev_pad … return dA_prev, dW, db",
    check=_check,
)
def conv_dx_never_copied_back() -> AbstractContextManager[Any]:
    """Return the zeros that dx began as."""
    return _backward(lambda dx, dw, db, *, x, **_: (np.zeros_like(x), dw, db))


@saboteur(
    "conv-bias-gradient-averaged",
    title="The bias's gradient is averaged over the batch",
    operation="convolution, db",
    witness="gradient",
    fools=(),
    right="db = dout.sum(axis=(0, 1, 2))",
    wrong="db = dout.sum(axis=(0, 1, 2)) / N",
    looks_right="One division by N stands in the loss, and a second looks like the same average. Only the biases learn more"
    " slowly, and with a batch of one they don't even do that.",
    source="https://github.com/SkalskiP/ILearnDeepLearning.py/blob/09406319/01_mysteries_of_neural_networks/"
    "06_numpy_convolutional_neural_net/src/layers/convolutional.py",
    seen="self._db = da_curr.sum(axis=(0, 1, 2)) / n",
    check=_check,
)
def conv_bias_gradient_averaged() -> AbstractContextManager[Any]:
    """Divide by N once more."""
    return _backward(lambda dx, dw, db, *, x, **_: (dx, dw, db / x.dtype.type(len(x))))


@saboteur(
    "conv-weight-gradient-scaled",
    title="The kernel's gradient is divided by the number of positions",
    operation="convolution, dw",
    witness="gradient",
    fools=(),
    right="dw = cols.T @ dout",
    wrong="dw = cols.T @ dout / (N * OH * OW)",
    looks_right="A common factor changes the length of a step and not its direction; Adam, which divides by the gradient's"
    " own size, hides it altogether.",
    source="https://github.com/sebgao/cTensor/blob/4b354947/ctensor/operator.py",
    seen=".transpose(0, 3, 1, 2)*(1.0/(B*H*W))",
    check=_check,
)
def conv_weight_gradient_scaled() -> AbstractContextManager[Any]:
    """Take the mean over all windows instead of the sum."""
    return _backward(lambda dx, dw, db, *, dout, **_: (dx, dw / dout.dtype.type(dout[..., 0].size), db))


@saboteur(
    "im2col-column-order",
    title="Columns ordered by channel, kernels by position",
    operation="im2col",
    witness="definition",
    fools=("gradient", "contract"),
    right="cols.reshape(-1, KH * KW * C)          # (KH, KW, C), as in w",
    wrong="cols.reshape(-1, C * KH * KW)          # (C, KH, KW)",
    looks_right="The product has the right shape, is right for one channel, and a net learns weights in any order; those of"
    " another library give nonsense.",
    source="https://github.com/pytorch/executorch/pull/20708",
    seen="so the generic kernel's `[kp][c]` output was transposed relative to the weights.",
    check=_check,
)
def im2col_column_order() -> AbstractContextManager[Any]:
    """Put the channel first in every row, forward and back."""
    im2col, col2im = page.im2col, page.col2im

    def channel_first(x: np.ndarray, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        cols = im2col(x, kernel, strides, pads)
        return cols.reshape(len(cols), -1, x.shape[3]).swapaxes(1, 2).reshape(cols.shape)

    def and_back(cols: np.ndarray, x_shape: Any, kernel: Any, strides: Any, pads: Any) -> np.ndarray:
        cols = cols.reshape(len(cols), x_shape[3], -1).swapaxes(1, 2).reshape(cols.shape)
        return col2im(cols, x_shape, kernel, strides, pads)

    return together(telling(Conv2D), patch.multiple(page, im2col=channel_first, col2im=and_back))
