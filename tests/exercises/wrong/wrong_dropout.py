"""Wrong answers to dropout that are not in the gallery."""

import numpy as np


def scaled_in_inference(x, dout, rate, u, training):
    """Scale as the paper does: not in training, but in inference."""
    factor = (u >= rate) * 1.0 if training else 1 - rate
    return x * factor, dout * factor


def kept_where_u_is_small(x, dout, rate, u, training):
    """Keep the right fraction, but other numbers."""
    factor = (u < 1 - rate) / (1 - rate) if training else 1.0
    return x * factor, dout * factor


def not_scaled(x, dout, rate, u, training):
    factor = u >= rate if training else 1.0
    return x * factor, dout * factor


def backward_without_scale(x, dout, rate, u, training):
    if not training:
        return x.copy(), dout.copy()
    return np.where(u >= rate, x / (1 - rate), 0), np.where(u >= rate, dout, 0)


def multiplied_by_u(x, dout, rate, u, training):
    factor = u / (1 - rate) if training else 1.0
    return x * factor, dout * factor


def own_random_numbers(x, dout, rate, u, training):
    if not training:
        return x.copy(), dout.copy()
    factor = (np.random.default_rng().random(x.shape) >= rate) / (1 - rate)
    return x * factor, dout * factor
