"""Wrong answers to training_step that are not in the gallery."""

import numpy as np


def _forward(x, y, w1, b1, w2, b2):
    hidden = np.maximum(x @ w1 + b1, 0)
    z = hidden @ w2 + b2
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return hidden, -(y * log_p).sum() / len(x), (np.exp(log_p) - y) / len(x)


def uphill(x, y, w1, b1, w2, b2, learning_rate):
    hidden, loss, dlogits = _forward(x, y, w1, b1, w2, b2)
    dhidden = dlogits @ w2.T * (hidden > 0)
    w2, b2 = w2 + learning_rate * hidden.T @ dlogits, b2 + learning_rate * dlogits.sum(0)
    return loss, w1 + learning_rate * x.T @ dhidden, b1 + learning_rate * dhidden.sum(0), w2, b2


def second_layer_updated_first(x, y, w1, b1, w2, b2, learning_rate):
    """Go backward through weights that have been updated already."""
    hidden, loss, dlogits = _forward(x, y, w1, b1, w2, b2)
    w2, b2 = w2 - learning_rate * hidden.T @ dlogits, b2 - learning_rate * dlogits.sum(0)
    dhidden = dlogits @ w2.T * (hidden > 0)
    return loss, w1 - learning_rate * x.T @ dhidden, b1 - learning_rate * dhidden.sum(0), w2, b2


def relu_forgotten_in_backward(x, y, w1, b1, w2, b2, learning_rate):
    hidden, loss, dlogits = _forward(x, y, w1, b1, w2, b2)
    dhidden = dlogits @ w2.T
    w2, b2 = w2 - learning_rate * hidden.T @ dlogits, b2 - learning_rate * dlogits.sum(0)
    return loss, w1 - learning_rate * x.T @ dhidden, b1 - learning_rate * dhidden.sum(0), w2, b2


def biases_not_updated(x, y, w1, b1, w2, b2, learning_rate):
    hidden, loss, dlogits = _forward(x, y, w1, b1, w2, b2)
    dhidden = dlogits @ w2.T * (hidden > 0)
    return loss, w1 - learning_rate * x.T @ dhidden, b1.copy(), w2 - learning_rate * hidden.T @ dlogits, b2.copy()


def loss_after_the_update(x, y, w1, b1, w2, b2, learning_rate):
    hidden, _, dlogits = _forward(x, y, w1, b1, w2, b2)
    dhidden = dlogits @ w2.T * (hidden > 0)
    w2, b2 = w2 - learning_rate * hidden.T @ dlogits, b2 - learning_rate * dlogits.sum(0)
    w1, b1 = w1 - learning_rate * x.T @ dhidden, b1 - learning_rate * dhidden.sum(0)
    return _forward(x, y, w1, b1, w2, b2)[1], w1, b1, w2, b2


def returns_the_gradients(x, y, w1, b1, w2, b2, learning_rate):
    hidden, loss, dlogits = _forward(x, y, w1, b1, w2, b2)
    dhidden = dlogits @ w2.T * (hidden > 0)
    return loss, x.T @ dhidden, dhidden.sum(0), hidden.T @ dlogits, dlogits.sum(0)
