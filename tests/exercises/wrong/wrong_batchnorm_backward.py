"""Wrong answers to batchnorm_backward that are not in the gallery."""

import numpy as np


def _parts(dout, x, mean, variance, epsilon):
    axes, M = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    inv = 1 / np.sqrt(variance + epsilon)
    xhat = (x - mean) * inv
    return M, inv, xhat, dout.sum(axes), (dout * xhat).sum(axes)


def mean_and_variance_are_constants(dout, x, gamma, mean, variance, epsilon):
    _, inv, _, dbeta, dgamma = _parts(dout, x, mean, variance, epsilon)
    return gamma * inv * dout, dgamma, dbeta


def variance_is_a_constant(dout, x, gamma, mean, variance, epsilon):
    M, inv, _, dbeta, dgamma = _parts(dout, x, mean, variance, epsilon)
    return gamma * inv * (dout - dbeta / M), dgamma, dbeta


def gamma_forgotten(dout, x, gamma, mean, variance, epsilon):
    M, inv, xhat, dbeta, dgamma = _parts(dout, x, mean, variance, epsilon)
    return inv / M * (M * dout - dbeta - xhat * dgamma), dgamma, dbeta


def gradient_of_gamma_from_x(dout, x, gamma, mean, variance, epsilon):
    """Use x, where the normalized x belongs."""
    M, inv, xhat, dbeta, dgamma = _parts(dout, x, mean, variance, epsilon)
    dx = gamma * inv / M * (M * dout - dbeta - xhat * dgamma)
    return dx, (dout * x).sum(tuple(range(x.ndim - 1))), dbeta


def sums_over_the_first_axis(dout, x, gamma, mean, variance, epsilon):
    """Sum over the axis of the images only, which is right for (N, C)."""
    inv = 1 / np.sqrt(variance + epsilon)
    xhat = (x - mean) * inv
    dbeta, dgamma = dout.sum(0), (dout * xhat).sum(0)
    return gamma * inv / len(x) * (len(x) * dout - dbeta - xhat * dgamma), dgamma, dbeta


def epsilon_forgotten(dout, x, gamma, mean, variance, epsilon):
    M, inv, xhat, dbeta, dgamma = _parts(dout, x, mean, variance, 0.0)
    return gamma * inv / M * (M * dout - dbeta - xhat * dgamma), dgamma, dbeta
