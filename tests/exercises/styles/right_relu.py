"""Right answers to relu, in different styles."""

import numpy as np


def plain_loops(x, dout):
    out, dx = np.zeros(x.shape), np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        if x[index] > 0:
            out[index] = x[index]
            dx[index] = dout[index]
    return out, dx


def mask(x, dout):
    positive = x > 0
    return x * positive, dout * positive


def copy_and_set(x, dout):
    out = x.copy()
    out[x < 0] = 0
    dx = np.array(dout)
    dx[x <= 0] = 0
    return out, dx


def flat_loop(x, dout):
    out = np.array([max(0.0, number) for number in x.ravel()]).reshape(x.shape)
    dx = np.array([g if a > 0 else 0.0 for a, g in zip(x.ravel(), dout.ravel(), strict=True)]).reshape(x.shape)
    return out, dx


def from_the_output(x, dout):
    out = np.maximum(0, x)
    return [out, np.where(out > 0, dout, 0)]


def half_of_x_plus_its_absolute_value(x, dout):
    return (x + np.abs(x)) / 2, dout * np.heaviside(x, 0)
