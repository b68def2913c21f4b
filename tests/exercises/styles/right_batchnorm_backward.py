"""Right answers to batchnorm_backward, in different styles."""

import numpy as np


def plain_loops(dout, x, gamma, mean, variance, epsilon):
    shape, C = x.shape, x.shape[-1]
    dout, x = dout.reshape(-1, C), x.reshape(-1, C)
    M = len(x)
    dx, dgamma, dbeta = np.zeros((M, C)), np.zeros(C), np.zeros(C)
    for c in range(C):
        inv = 1 / (variance[c] + epsilon) ** 0.5
        xhat = [(x[m, c] - mean[c]) * inv for m in range(M)]
        for m in range(M):
            dbeta[c] += dout[m, c]
            dgamma[c] += dout[m, c] * xhat[m]
        for k in range(M):
            for m in range(M):
                same = 1 if m == k else 0
                dx[k, c] += dout[m, c] * gamma[c] * inv * (same - 1 / M - xhat[m] * xhat[k] / M)
    return dx.reshape(shape), dgamma, dbeta


def one_line(dout, x, gamma, mean, variance, epsilon):
    axes = tuple(range(x.ndim - 1))
    sigma = np.sqrt(variance + epsilon)
    xhat = (x - mean) / sigma
    dx = gamma / sigma * (dout - dout.mean(axes) - xhat * (dout * xhat).mean(axes))
    return dx, (dout * xhat).sum(axes), dout.sum(axes)


def steps_of_the_paper(dout, x, gamma, mean, variance, epsilon):
    """Write the six steps of section 3 of the paper by Ioffe and Szegedy."""
    shape = x.shape
    dout, x = dout.reshape(-1, shape[-1]), x.reshape(-1, shape[-1])
    m = x.shape[0]
    dxhat = dout * gamma
    dvar = np.sum(dxhat * (x - mean) * -0.5 * (variance + epsilon) ** -1.5, axis=0)
    dmean = np.sum(dxhat * -1 / np.sqrt(variance + epsilon), axis=0) + dvar * np.mean(-2 * (x - mean), axis=0)
    dx = dxhat / np.sqrt(variance + epsilon) + dvar * 2 * (x - mean) / m + dmean / m
    dgamma = np.sum(dout * (x - mean) / np.sqrt(variance + epsilon), axis=0)
    return dx.reshape(shape), dgamma, np.sum(dout, axis=0)


def cs231n(dout, x, gamma, mean, variance, epsilon):
    """Go back along the graph of forward, one operation after the other, as cs231n's batchnorm_backward does."""
    shape = x.shape
    if x.ndim == 4:
        N, H, W, C = x.shape
        x, dout = x.reshape(N * H * W, C), dout.reshape(N * H * W, C)
    N, _ = x.shape
    xmu = x - mean
    sqrtvar = np.sqrt(variance + epsilon)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 * 1.0 / sqrtvar * dsqrtvar
    dsq = 1.0 / N * np.ones_like(dout) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1.0 / N * np.ones_like(dout) * dmu
    return (dx1 + dx2).reshape(shape), dgamma, dbeta


def own_statistics(dout, x, gamma, mean, variance, epsilon):
    axes = tuple(range(x.ndim - 1))
    M = np.prod(x.shape[:-1])
    centered = x - x.mean(axis=axes, keepdims=True)
    inv = (x.var(axis=axes, keepdims=True) + epsilon) ** -0.5
    xhat = centered * inv
    dbeta, dgamma = dout.sum(axis=axes), (xhat * dout).sum(axis=axes)
    return [(gamma * inv) * (dout - (dbeta + xhat * dgamma) / M), dgamma, dbeta]
