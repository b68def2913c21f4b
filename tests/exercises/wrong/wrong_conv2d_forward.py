"""Wrong answers to conv2d_forward that are not in the gallery."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _conv(x, w, strides, pads):
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = sliding_window_view(padded, w.shape[:2], axis=(1, 2))[:, ::strides[0], ::strides[1]]
    return np.einsum("nhwcij,ijcf->nhwf", windows, w, optimize=True)


def kernel_flipped(x, w, b, strides, pads):
    """Flip the kernel, as the convolution of mathematics does."""
    return _conv(x, w[::-1, ::-1], strides, pads) + b


def bias_for_each_product(x, w, b, strides, pads):
    """Add the bias inside the loop over the window."""
    return _conv(x, w, strides, pads) + b * (w.shape[0] * w.shape[1])


def first_channel_only(x, w, b, strides, pads):
    return _conv(x[..., :1], w[:, :, :1], strides, pads) + b


def strides_swapped(x, w, b, strides, pads):
    return _conv(x, w, strides[::-1], pads) + b


def kernel_transposed(x, w, b, strides, pads):
    """Swap rows and columns of a square kernel."""
    return _conv(x, w.swapaxes(0, 1) if w.shape[0] == w.shape[1] else w, strides, pads) + b


def mean_of_the_products(x, w, b, strides, pads):
    return _conv(x, w, strides, pads) / (w.shape[0] * w.shape[1]) + b
