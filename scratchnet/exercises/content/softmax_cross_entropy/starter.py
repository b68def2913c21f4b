"""Exercise 4 of 12, softmax_cross_entropy: the loss, and where backward begins.

The network returns K numbers for each image, the logits. Softmax makes probabilities p
of them, and the cross-entropy is -log of the probability of the right class: 0 if the
network is sure and right, large if it is sure and wrong. The loss is the mean over the
N images of the batch. You write the loss and its gradient with respect to the logits.

Shapes
    logits   (N, K)    any numbers, also large ones such as 10000
    y        (N, K)    one-hot: 1 for the right class, 0 for the others
    loss     one number
    dlogits  (N, K)

Formula
    p[n, k] = exp(logits[n, k]) / Σ_j exp(logits[n, j])
    loss    = -1/N · Σ_n Σ_k y[n, k] · log p[n, k]             log is the natural log
    dlogits[n, k] = ∂loss/∂logits[n, k]

Find ∂loss/∂logits yourself on paper, first for one image. The result is very short.
exp(10000) is too large for a float. But p does not change when the same number is
subtracted from all logits of a row, so such logits have finite answers: find a number.

Example, with N = 2, K = 3:  logits = log of [1 2 5]    y = [0 1 0]
                                             [1 1 2]        [0 0 1]
    p = [1/8 2/8 5/8]      loss = 1/2 · (log 4 + log 2) = 1.0397
        [1/4 1/4 2/4]      dlogits = [0.0625 -0.375 0.3125]
                                     [0.125   0.125 -0.25 ]

Run the example:    python -m doctest softmax_cross_entropy.py      (prints only what is wrong)
Check your work:    scratchnet exercise check softmax_cross_entropy.py
"""

import numpy as np


def softmax_cross_entropy(logits, y):
    """Return loss, dlogits.

    >>> logits = np.log([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]])
    >>> y = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> loss, dlogits = softmax_cross_entropy(logits, y)
    >>> print(np.round(loss, 4))
    1.0397
    >>> np.round(dlogits, 4)
    array([[ 0.0625, -0.375 ,  0.3125],
           [ 0.125 ,  0.125 , -0.25  ]])
    """
    raise NotImplementedError("softmax_cross_entropy is empty: write its body here")
