import numpy as np


def adam(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1 - beta_1) * g                       # all of the shape of p
    v = beta_2 * v + (1 - beta_2) * g * g
    rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)     # one number
    p = p - rate * m / (np.sqrt(v) + epsilon)
    return p, m, v
