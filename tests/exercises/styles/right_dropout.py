"""Right answers to dropout, in different styles."""

import numpy as np


def plain_loops(x, dout, rate, u, training):
    out, dx = np.zeros(x.shape), np.zeros(x.shape)
    for k in np.ndindex(x.shape):
        if not training:
            out[k], dx[k] = x[k], dout[k]
        elif u[k] >= rate:
            out[k], dx[k] = x[k] / (1 - rate), dout[k] / (1 - rate)
    return out, dx


def factors(x, dout, rate, u, training):
    factor = (u >= rate) / (1 - rate) if training else np.ones_like(x)
    return x * factor, dout * factor


def cs231n(x, dout, rate, u, training):
    p = 1 - rate
    if training:
        mask = (u >= rate) / p
        out = x * mask
        dx = dout * mask
    else:
        out = x
        dx = dout
    return out, dx


def set_to_zero(x, dout, rate, u, training):
    out, dx = x.copy(), dout.copy()
    if training:
        drop = u < rate
        out[drop] = 0
        dx[drop] = 0
        out /= 1 - rate
        dx /= 1 - rate
    return out, dx


def where(x, dout, rate, u, training):
    keep = (u >= rate) | (not training)
    scale = 1 / (1 - rate) if training else 1
    return [np.where(keep, a * scale, 0) for a in (x, dout)]
