"""Right answers to dense_backward, in different styles."""

import numpy as np


def plain_loops(dout, x, w):
    N, D = x.shape
    U = w.shape[1]
    dx = np.zeros((N, D))
    dw = np.zeros((D, U))
    db = np.zeros(U)
    for n in range(N):
        for u in range(U):
            for d in range(D):
                dx[n, d] += dout[n, u] * w[d, u]
                dw[d, u] += dout[n, u] * x[n, d]
            db[u] += dout[n, u]
    return dx, dw, db


def matrix_products(dout, x, w):
    return dout @ w.T, x.T @ dout, dout.sum(0)


def cs231n(dout, x, w):
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    dx = dout.dot(w.T).reshape(x.shape)
    db = np.sum(dout, axis=0)
    return [dx, dw, db]


def einsum(dout, x, w):
    dx = np.einsum("nu,du->nd", dout, w)
    dw = np.einsum("nd,nu->du", x, dout)
    db = np.einsum("nu->u", dout)
    return dx, dw, db


def sample_by_sample(dout, x, w):
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[1])
    for n in range(len(x)):
        dx[n] = w @ dout[n]
        dw += np.outer(x[n], dout[n])
        db += dout[n]
    return dx, dw, db


def ones_times_dout(dout, x, w):
    return (w @ dout.T).T, (dout.T @ x).T, np.ones(len(dout)) @ dout
