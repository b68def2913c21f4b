"""Exercise 3 of 12, relu: an activation function, forward and backward.

ReLU keeps the positive numbers and replaces the others with 0. Its derivative is 1
where x is positive and 0 elsewhere. At x = 0 there is no derivative; this library uses
0 there, as Keras and PyTorch do. Write both directions in one function: dout is the
gradient of the loss with respect to out, dx the gradient with respect to x.

Shapes
    x, dout, out and dx all have the same shape, which can be any shape.

Formula, for each number apart
    out = max(0, x)
    dx = dout where x > 0, and 0 elsewhere

Example
    x    = [-2 0 3]
    dout = [ 5 6 7]
    out  = [ 0 0 3]
    dx   = [ 0 0 7]      the 5 and the 6 go nowhere; the 7 is passed on as it is

Do not change x or dout: other layers still need them. Return new arrays.

Run the example:    python -m doctest relu.py      (prints only what is wrong)
Check your work:    scratchnet exercise check relu.py
"""

import numpy as np


def relu(x, dout):
    """Return out, dx.

    >>> out, dx = relu(np.array([-2.0, 0.0, 3.0]), np.array([5.0, 6.0, 7.0]))
    >>> out
    array([0., 0., 3.])
    >>> dx
    array([0., 0., 7.])
    """
    raise NotImplementedError("relu is empty: write its body in this place")
