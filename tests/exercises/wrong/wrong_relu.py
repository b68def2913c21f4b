"""Wrong answers to relu that are not in the gallery."""

import numpy as np


def gradient_clipped_too(x, dout):
    """Apply ReLU to the gradient as well."""
    return np.maximum(x, 0), np.where(x > 0, np.maximum(dout, 0), 0)


def derivative_is_x(x, dout):
    """Multiply by the output, where its derivative belongs."""
    out = np.maximum(x, 0)
    return out, dout * out


def max_along_an_axis(x, dout):
    return np.max(x, 0), np.where(x > 0, dout, 0)


def leaky(x, dout):
    return np.where(x > 0, x, 0.01 * x), np.where(x > 0, dout, 0.01 * dout)


def absolute_value(x, dout):
    return np.abs(x), np.sign(x) * dout
