"""Exercises: functions to write, and a check that says what is wrong with them.

    >>> import numpy as np
    >>> from scratchnet import exercises
    >>> def dense_backward(dout, x, w):
    ...     return dout @ w.T, x.T @ dout, dout.mean(axis=0)
    >>> report = exercises.check(dense_backward, "dense_backward")
    >>> report.passed, report.bugs
    (False, ['dense-bias-gradient-averaged'])

`print(report)` shows the first number that differs, how it is computed, and, if the answer is that of a bug of the gallery, which
one. The command is `scratchnet exercise`.

The signatures. All arrays are float64, images are (N, H, W, C), kernels (KH, KW, C, F). No argument may be modified. Several
results are returned as a tuple, in this order. `kernel`, `pool_size` and `strides` are pairs (rows, columns), `pads` is
((top, bottom), (left, right)):

    dense_forward(x, w, b)                                           out
    dense_backward(dout, x, w)                                       dx, dw, db
    relu(x, dout)                                                    out, dx            forward and backward in one function
    softmax_cross_entropy(logits, y)                                 loss, dlogits      y: one-hot (N, K); mean loss
    im2col(x, kernel, strides, pads)                                 cols               (N·OH·OW, KH·KW·C)
    conv2d_forward(x, w, b, strides, pads)                           out
    conv2d_backward(dout, x, w, strides, pads)                       dx, dw, db
    maxpool_backward(dout, x, pool_size, strides)                    dx                 no padding; the first of equal maxima
    adam(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)      p, m, v            new arrays; ε is added to √v, as in Keras
    batchnorm_backward(dout, x, gamma, mean, variance, epsilon)      dx, dgamma, dbeta  x (N, H, W, C) or (N, C)
    dropout(x, dout, rate, u, training)                              out, dx            u: uniform in [0, 1); kept where u >= rate
    training_step(x, y, w1, b1, w2, b2, learning_rate)               loss, w1, b1, w2, b2
                                                                     dense, ReLU, dense, softmax cross-entropy, SGD; new arrays
"""

from __future__ import annotations

from scratchnet.exercises.catalogue import EXERCISES, find
from scratchnet.exercises.checking import Report, check, check_file, exercise_in
from scratchnet.exercises.exercise import Case, Exercise

__all__ = ["EXERCISES", "Case", "Exercise", "Report", "check", "check_file", "exercise_in", "find"]
