"""Exercise 11 of 12, dropout: forward and backward, in training and in inference.

In training, dropout replaces each number by 0 with the probability `rate`, so that the
next layer cannot rely on any single number. The numbers that are kept are made larger,
so that the mean stays as it was. In inference, when the network is used, nothing is
dropped and nothing is made larger. The random numbers u are given to you, so that the
check knows which numbers you must drop.

Shapes
    x, dout, u, out, dx    all of one shape, which can be any
    u                      random numbers, 0 ≤ u < 1
    rate                   the fraction to drop, 0 ≤ rate < 1
    training               True or False

Formula, for each number apart
    training:    out = x / (1 - rate) where u ≥ rate, and 0 elsewhere
    inference:   out = x
    dx = dout · ∂out/∂x     dout is the gradient of the loss with respect to out

Example, in training, with rate = 0.2. The numbers that are kept are multiplied by
1 / (1 - 0.2) = 1.25
    u    = [0.1 0.9 0.2  0.5]      the first is below 0.2: it is dropped
    x    = [1   2   3    4  ]
    out  = [0   2.5 3.75 5  ]
    dout = [5   6   7    8  ]
    dx   = [0   7.5 8.75 10 ]

Do not change x or dout. Draw no random numbers of your own.

Run the example:    python -m doctest dropout.py      (prints only what is wrong)
Check your work:    scratchnet exercise check dropout.py
"""

import numpy as np


def dropout(x, dout, rate, u, training):
    """Return out, dx.

    >>> x, dout = np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0])
    >>> out, dx = dropout(x, dout, 0.2, np.array([0.1, 0.9, 0.2, 0.5]), True)
    >>> out, dx
    (array([0.  , 2.5 , 3.75, 5.  ]), array([ 0.  ,  7.5 ,  8.75, 10.  ]))
    """
    raise NotImplementedError("dropout is empty: write its body in this place")
