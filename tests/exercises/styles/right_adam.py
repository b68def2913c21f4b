"""Right answers to adam, in different styles."""

import math

import numpy as np


def plain_loops(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_p, new_m, new_v = np.zeros(p.shape), np.zeros(p.shape), np.zeros(p.shape)
    rate = learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    for k in np.ndindex(p.shape):
        new_m[k] = beta_1 * m[k] + (1 - beta_1) * g[k]
        new_v[k] = beta_2 * v[k] + (1 - beta_2) * g[k] ** 2
        new_p[k] = p[k] - rate * new_m[k] / (math.sqrt(new_v[k]) + epsilon)
    return new_p, new_m, new_v


def four_lines(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    rate = learning_rate * np.sqrt(1 - np.power(beta_2, t)) / (1 - np.power(beta_1, t))
    return p - rate * m / (np.sqrt(v) + epsilon), m, v


def as_keras(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    beta_1_power, beta_2_power = beta_1**t, beta_2**t
    alpha = learning_rate * np.sqrt(1 - beta_2_power) / (1 - beta_1_power)
    m = m + (g - m) * (1 - beta_1)
    v = v + (np.square(g) - v) * (1 - beta_2)
    return p - (m * alpha) / (np.sqrt(v) + epsilon), m, v


def on_copies(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    p, m, v = p.copy(), m.copy(), v.copy()
    m *= beta_1
    m += (1 - beta_1) * g
    v *= beta_2
    v += (1 - beta_2) * g * g
    p -= learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)
    return [p, m, v]


def corrected_averages(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Correct m and v, as algorithm 1 of the paper, with the epsilon that makes it the same."""
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
    m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
    return p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon / np.sqrt(1 - beta_2**t)), m, v
