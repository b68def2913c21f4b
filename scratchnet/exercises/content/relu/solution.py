import numpy as np


def relu(x, dout):
    out = np.maximum(x, 0)              # the shape of x
    dx = np.where(x > 0, dout, 0)       # the shape of x
    return out, dx
