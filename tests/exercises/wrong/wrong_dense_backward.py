"""Wrong answers to dense_backward that are not in the gallery."""

import numpy as np


def weight_gradient_averaged(dout, x, w):
    return dout @ w.T, x.T @ dout / len(x), dout.sum(axis=0)


def bias_gradient_is_a_row(dout, x, w):
    """Keep the axis of the samples, as a shape (1, U)."""
    return dout @ w.T, x.T @ dout, dout.sum(axis=0, keepdims=True)


def in_the_wrong_order(dout, x, w):
    return x.T @ dout, dout @ w.T, dout.sum(axis=0)


def weight_gradient_transposed(dout, x, w):
    return dout @ w.T, dout.T @ x, dout.sum(axis=0)


def last_sample_only(dout, x, w):
    """Assign in the loop over the samples in place of adding."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n in range(len(x)):
        dx[n] = w @ dout[n]
        dw = np.outer(x[n], dout[n])
    return dx, dw, dout.sum(axis=0)
