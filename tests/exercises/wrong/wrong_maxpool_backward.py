"""Wrong answers to maxpool_backward that are not in the gallery."""

import numpy as np


def _route(dout, x, pool_size, strides, share):
    """Add dout times share(window) to each window."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        box = np.s_[n, oh * strides[0]:oh * strides[0] + pool_size[0], ow * strides[1]:ow * strides[1] + pool_size[1], c]
        dx[box] += share(x[box]) * dout[n, oh, ow, c]
    return dx


def last_of_equal_pixels(dout, x, pool_size, strides):
    """Compare with >= in place of >."""

    def share(window):
        chosen = np.zeros(window.size)
        chosen[np.flatnonzero(window == window.max())[-1]] = 1
        return chosen.reshape(window.shape)

    return _route(dout, x, pool_size, strides, share)


def shared_among_equal_pixels(dout, x, pool_size, strides):
    return _route(dout, x, pool_size, strides, lambda window: (window == window.max()) / (window == window.max()).sum())


def as_the_average(dout, x, pool_size, strides):
    return _route(dout, x, pool_size, strides, lambda window: np.full(window.shape, 1 / window.size))


def smallest_pixel(dout, x, pool_size, strides):
    def share(window):
        return np.arange(window.size).reshape(window.shape) == window.argmin()

    return _route(dout, x, pool_size, strides, share)


def place_in_the_window(dout, x, pool_size, strides):
    """Use row and column in the window as row and column of the image."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        h, v = oh * strides[0], ow * strides[1]
        i, j = np.unravel_index(x[n, h:h + pool_size[0], v:v + pool_size[1], c].argmax(), pool_size)
        dx[n, i, j, c] += dout[n, oh, ow, c]
    return dx


def stride_is_the_pool_size(dout, x, pool_size, strides):
    """Assume windows side by side."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        h, v = oh * pool_size[0], ow * pool_size[1]
        window = x[n, h:h + pool_size[0], v:v + pool_size[1], c]
        if window.size:
            i, j = np.unravel_index(window.argmax(), window.shape)
            dx[n, h + i, v + j, c] += dout[n, oh, ow, c]
    return dx


def maximum_of_all_channels(dout, x, pool_size, strides):
    dx = np.zeros_like(x)
    for n, oh, ow in np.ndindex(dout.shape[:3]):
        h, v = oh * strides[0], ow * strides[1]
        window = x[n, h:h + pool_size[0], v:v + pool_size[1]]
        i, j, _ = np.unravel_index(window.argmax(), window.shape)
        dx[n, h + i, v + j] += dout[n, oh, ow]
    return dx
