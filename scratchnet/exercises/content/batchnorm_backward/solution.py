import numpy as np


def batchnorm_backward(dout, x, gamma, mean, variance, epsilon):
    axes, M = tuple(range(x.ndim - 1)), x.size // x.shape[-1]   # all but the channels
    inv = 1 / np.sqrt(variance + epsilon)                       # (C,)
    xhat = (x - mean) * inv                                     # (…, C)
    dbeta = dout.sum(axis=axes)                                 # (…, C) -> (C,)
    dgamma = (dout * xhat).sum(axis=axes)                       # (…, C) -> (C,)
    dx = gamma * inv / M * (M * dout - dbeta - xhat * dgamma)   # (…, C)
    return dx, dgamma, dbeta
