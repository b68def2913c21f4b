"""Right answers to dense_forward, in different styles."""

import numpy as np


def plain_loops(x, w, b):
    N, D = x.shape
    U = w.shape[1]
    out = np.zeros((N, U))
    for n in range(N):
        for u in range(U):
            total = b[u]
            for d in range(D):
                total += x[n, d] * w[d, u]
            out[n, u] = total
    return out


def matrix_product(x, w, b):
    return x @ w + b


def cs231n(x, w, b):
    num_train = x.shape[0]
    x_row = x.reshape(num_train, -1)
    out = x_row.dot(w) + b.reshape(1, -1)
    return out


def einsum(x, w, b):
    return np.einsum("nd,du->nu", x, w) + b


def bias_as_a_weight(x, w, b):
    ones = np.ones((len(x), 1))
    return np.hstack([x, ones]) @ np.vstack([w, b])


def rows_in_a_list(x, w, b):
    return np.array([[sum(xs * w[:, u]) + b[u] for u in range(w.shape[1])] for xs in x])
