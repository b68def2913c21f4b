"""Wrong answers to adam that are not in the gallery."""

import numpy as np


def _averages(g, m, v, beta_1, beta_2):
    return beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g


def uphill(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = _averages(g, m, v, beta_1, beta_2)
    return p + learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon), m, v


def with_the_old_average(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_m, new_v = _averages(g, m, v, beta_1, beta_2)
    return p - learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(new_v) + epsilon), new_m, new_v


def without_the_root(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = _averages(g, m, v, beta_1, beta_2)
    return p - learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (v + epsilon), m, v


def one_step_late(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Add 1 to t, as if it counted from 0: the powers are those of the next step."""
    m, v = _averages(g, m, v, beta_1, beta_2)
    return p - learning_rate * np.sqrt(1 - beta_2 ** (t + 1)) / (1 - beta_1 ** (t + 1)) * m / (np.sqrt(v) + epsilon), m, v


def average_without_its_weight(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Add the gradient whole, as momentum does."""
    m, v = beta_1 * m + g, beta_2 * v + g * g
    return p - learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon), m, v


def correction_without_the_root(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = _averages(g, m, v, beta_1, beta_2)
    return p - learning_rate * (1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon), m, v
