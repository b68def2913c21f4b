"""Wrong answers to dense_forward that are not in the gallery."""

import numpy as np


def bias_forgotten(x, w, b):
    return x @ w


def reshaped_for_transposed(x, w, b):
    """Make the shapes fit with reshape, which scrambles the weights."""
    return (w.reshape(w.shape[1], w.shape[0]) @ x.T).T + b


def bias_of_the_sample(x, w, b):
    out = np.zeros((len(x), len(b)))
    for n in range(len(x)):
        out[n] = x[n] @ w + b[n % len(b)]
    return out


def only_the_last_product(x, w, b):
    """Assign in the inner loop in place of adding."""
    out = np.zeros((len(x), len(b)))
    for n in range(len(x)):
        for u in range(len(b)):
            for d in range(x.shape[1]):
                out[n, u] = x[n, d] * w[d, u] + b[u]
    return out
