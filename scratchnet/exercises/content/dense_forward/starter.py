"""Exercise 1 of 12, dense_forward: the forward pass of a dense layer.

A dense layer has U units. Each unit returns a weighted sum of all D inputs, plus a
bias of its own. The layer computes N samples at once: each row of x is one sample.

Shapes
    x    (N, D)    N samples, with D numbers each
    w    (D, U)    the weights; column u belongs to unit u
    b    (U,)      the biases, one for each unit
    out  (N, U)    the result

Formula
    out[n, u] = b[u] + Σ_d x[n, d] · w[d, u]            Σ_d is the sum over d = 0 … D-1

Example, with N = 1, D = 3, U = 2
    x = [1 0 2]      w = [1 2]      b = [0.5 0]
                         [3 4]
                         [5 6]
    out[0, 0] = 0.5 + 1·1 + 0·3 + 2·5 = 11.5
    out[0, 1] = 0 + 1·2 + 0·4 + 2·6 = 14

Run the example:    python -m doctest dense_forward.py      (prints only what is wrong)
Check your work:    scratchnet exercise check dense_forward.py
"""

import numpy as np


def dense_forward(x, w, b):
    """Return out, of shape (N, U).

    >>> w = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> dense_forward(np.array([[1.0, 0.0, 2.0]]), w, np.array([0.5, 0.0]))
    array([[11.5, 14. ]])
    """
    raise NotImplementedError("dense_forward is empty: write its body in this place")
