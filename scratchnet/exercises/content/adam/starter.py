"""Exercise 9 of 12, adam: one step of the optimizer Adam.

An optimizer moves the parameters p against the gradient g. Adam keeps two averages for
each parameter: m of recent gradients and v of their squares. It steps along m, divided
by the root of v, so that all parameters move by about the learning rate, whether their
gradients are large or small. Both averages begin at 0 and are too small at first; the
factor with the powers of beta_1 and beta_2 corrects this.

Shapes
    p, g, m, v     arrays of one shape, which can be any; everything is elementwise
    t              the number of this step: 1, 2, 3, …
    learning_rate, beta_1, beta_2, epsilon    numbers

Formula, in this order; m and v on the right are the arguments, those of the last step
    m = beta_1 · m + (1 - beta_1) · g
    v = beta_2 · v + (1 - beta_2) · g²
    rate = learning_rate · √(1 - beta_2^t) / (1 - beta_1^t)        ^t: to the power t
    p = p - rate · m / (√v + epsilon)                              m, v: the new ones

(Keras uses this form, too; it is the one at the end of section 2 of the paper by Kingma
and Ba. Here epsilon is added to √v itself. Many courses divide m and v by 1 - beta^t
first, and add epsilon after that: the result differs a little.)

Example: the first step, t = 1, with learning_rate 0.1, beta_1 0.9, beta_2 0.99
    p = [1 5 3]      g = [2 -1 0]      m = v = [0 0 0]      epsilon 1e-7
    m = [0.2 -0.1 0]      v = [0.04 0.01 0]      √v = [0.2 0.1 0]
    rate = 0.1 · √0.01 / 0.1 = 0.1
    p = [0.9 5.1 3]       moved by 0.1 where there is a gradient, large or small

Do not change the arguments: return new arrays.

Run the example:    python -m doctest adam.py      (prints only what is wrong)
Check your work:    scratchnet exercise check adam.py
"""

import numpy as np


def adam(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Return the new p, m, v.

    >>> p, g, zeros = np.array([1.0, 5.0, 3.0]), np.array([2.0, -1.0, 0.0]), np.zeros(3)
    >>> p, m, v = adam(p, g, zeros, zeros, 1, 0.1, 0.9, 0.99, 1e-7)
    >>> np.round(p, 4), np.round(m, 4), np.round(v, 4)
    (array([0.9, 5.1, 3. ]), array([ 0.2, -0.1,  0. ]), array([0.04, 0.01, 0.  ]))
    """
    raise NotImplementedError("adam is empty: write its body in this place")
