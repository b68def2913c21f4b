"""Exercise 12 of 12, training_step: one step of training, from images to new weights.

All pieces together, for a network with one hidden layer: dense, ReLU, dense, softmax
cross-entropy. Forward computes the loss of a batch; backward computes the gradient of
the loss with respect to each parameter; the update moves each against its gradient.

Shapes
    x              (N, D)              N images, as rows of D pixels
    y              (N, K)              one-hot: 1 for the right class, 0 for the others
    w1, b1         (D, U), (U,)        the first dense layer, with U units
    w2, b2         (U, K), (K,)        the second, with a unit for each of K classes
    learning_rate  one number
    ->  loss, before the update: one number
        w1, b1, w2, b2, after the update

Formula
    forward     hidden = max(0, x @ w1 + b1)        (N, U)
                logits = hidden @ w2 + b2           (N, K)
                p = softmax of each row of logits   (N, K)
                loss = -1/N · Σ_n Σ_k y[n, k] · log p[n, k]
    backward    dw2, db2, dw1, db1: exercises 2, 3 and 4, in reverse order
    update      a = a - learning_rate · da          for each parameter a

Example: N = 1, D = U = K = 2, learning_rate = 0.1
    x = [1 2]     w1 = [1 -1]     b1 = [0 0]     w2 = [2 1]     b2 = [-1 0]
    y = [1 0]          [0  0]                         [4 8]
    hidden = max(0, [1 -1]) = [1 0]      logits = [1 1]      p = [0.5 0.5]
    loss = log 2 = 0.6931                dlogits = [-0.5 0.5]
    dw1 = [-0.5 0]     db1 = [-0.5 0]    dw2 = [-0.5 0.5]    db2 = [-0.5 0.5]
          [-1   0]                             [ 0   0  ]
    after the update
    w1 = [1.05 -1]     b1 = [0.05 0]     w2 = [2.05 0.95]    b2 = [-0.95 -0.05]
         [0.1   0]                            [4    8   ]

Do not change the arguments: return new arrays. Write all of it, without functions of a library
other than NumPy; copy your earlier exercises if you like.

Run the example:    python -m doctest training_step.py      (prints only what is wrong)
Check your work:    scratchnet exercise check training_step.py
"""

import numpy as np


def training_step(x, y, w1, b1, w2, b2, learning_rate):
    """Return loss, w1, b1, w2, b2.

    >>> w1, b1 = np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([0.0, 0.0])
    >>> w2, b2 = np.array([[2.0, 1.0], [4.0, 8.0]]), np.array([-1.0, 0.0])
    >>> x, y = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])
    >>> loss, w1, b1, w2, b2 = training_step(x, y, w1, b1, w2, b2, 0.1)
    >>> print(np.round(loss, 4))
    0.6931
    >>> np.round(w1, 4), np.round(b2, 4)
    (array([[ 1.05, -1.  ],
           [ 0.1 ,  0.  ]]), array([-0.95, -0.05]))
    """
    raise NotImplementedError("training_step is empty: write its body in this place")
