"""Exercise 2 of 12, dense_backward: the backward pass of a dense layer.

Forward computed out = x @ w + b, and the rest of the network computed from out one
number L, the loss. Backward receives dout, the gradient of L with respect to out. It
returns the gradients of L with respect to x, w and b. Names: da is the gradient of L
with respect to a, so da has the shape of a, and dx[n, d] = ∂L/∂x[n, d].

Shapes
    dout (N, U), x (N, D), w (D, U)    ->    dx (N, D), dw (D, U), db (U,)

Formula
    The chain rule adds one term for every output that is computed from the number:

    ∂L/∂a = Σ_n Σ_u dout[n, u] · ∂out[n, u]/∂a

    with  out[n, u] = b[u] + Σ_d x[n, d] · w[d, u].  Put x[n, d], w[d, u] and b[u] in
    the place of a. Ask for each: which outputs use it, and with which factor?

Example, with N = 2, D = 3, U = 2
    dout = [1 2]      x = [1 0 2]      w = [1 2]
           [3 0]          [4 1 0]          [3 4]
                                           [5 6]
    dx[0, 1] = 1·3 + 2·4 = 11        both units use x[0, 1], with the weights 3 and 4
    dw[0, 0] = 1·1 + 3·4 = 13        both samples use w[0, 0], with the inputs 1 and 4
    db[0] = 1 + 3 = 4                both samples use b[0]

Run the example:    python -m doctest dense_backward.py      (prints only what is wrong)
Check your work:    scratchnet exercise check dense_backward.py
"""

import numpy as np


def dense_backward(dout, x, w):
    """Return dx, dw, db.

    >>> x, w = np.array([[1, 0, 2], [4, 1, 0.0]]), np.array([[1, 2], [3, 4], [5, 6.0]])
    >>> dx, dw, db = dense_backward(np.array([[1, 2], [3, 0.0]]), x, w)
    >>> dx
    array([[ 5., 11., 17.],
           [ 3.,  9., 15.]])
    >>> dw
    array([[13.,  2.],
           [ 3.,  0.],
           [ 2.,  4.]])
    >>> db
    array([4., 2.])
    """
    raise NotImplementedError("dense_backward is empty: write its body in this place")
