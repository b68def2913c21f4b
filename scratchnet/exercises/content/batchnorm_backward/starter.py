"""Exercise 10 of 12, batchnorm_backward: the backward pass of batch normalization.

In training, batch normalization gives each channel the mean 0 and the variance 1, over
the whole batch, and then multiplies by gamma and adds beta, which are learned. Each
output depends on each input of its channel in three ways: directly, through the mean,
and through the variance. Leave none of the three out.

Shapes
    dout      (N, C) or (N, H, W, C)    gradient of the loss with respect to out
    x         the shape of dout         the input of forward
    gamma     (C,)                      one factor for each channel
    mean, variance  (C,)                of each channel of x, from forward
    epsilon   one number
    ->  dx (the shape of x), dgamma (C,), dbeta (C,)

Formula of forward, for one channel. x_k, with k = 1 … M, are all its numbers in the
batch: M is N, or N·H·W for images. Σ_k is the sum over all of them.
    mean     = 1/M · Σ_k x_k
    variance = 1/M · Σ_k (x_k - mean)²
    xhat_k   = (x_k - mean) / √(variance + epsilon)
    out_k    = gamma · xhat_k + beta

Backward: gamma and beta are in all M outputs of their channel. For dx, go back through
the four lines on paper, from the last to the first: mean and variance depend on x, too.
In the end it is one line.

Example: one channel with M = 3 numbers, and an epsilon with variance + epsilon = 1
    x = [1 2 3]      mean = 2, variance = 2/3, epsilon = 1/3, so xhat = [-1 0 1]
    dout = [3 0 6]   gamma = 2
    dbeta = 3 + 0 + 6 = 9
    dgamma = 3·(-1) + 0·0 + 6·1 = 3
    dx = [2 -6 4]    its sum is 0: adding 1 to all x_k would not change any output

Run the example:    python -m doctest batchnorm_backward.py      (prints only what is wrong)
Check your work:    scratchnet exercise check batchnorm_backward.py
"""

import numpy as np


def batchnorm_backward(dout, x, gamma, mean, variance, epsilon):
    """Return dx, dgamma, dbeta.

    >>> x, dout = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [0.0], [6.0]])
    >>> gamma, mean, variance = np.array([2.0]), np.array([2.0]), np.array([2 / 3])
    >>> dx, dgamma, dbeta = batchnorm_backward(dout, x, gamma, mean, variance, 1 / 3)
    >>> np.round(dx[:, 0], 4), np.round(dgamma, 4), np.round(dbeta, 4)
    (array([ 2., -6.,  4.]), array([3.]), array([9.]))
    """
    raise NotImplementedError("batchnorm_backward is empty: write its body here")
