"""Right answers to training_step, in different styles."""

import numpy as np


def plain_loops(x, y, w1, b1, w2, b2, learning_rate):
    (N, D), (U, K) = x.shape, w2.shape
    dw1, db1, dw2, db2 = np.zeros((D, U)), np.zeros(U), np.zeros((U, K)), np.zeros(K)
    loss = 0.0
    for n in range(N):
        hidden = [max(0.0, b1[u] + sum(x[n, d] * w1[d, u] for d in range(D))) for u in range(U)]
        logits = [b2[k] + sum(hidden[u] * w2[u, k] for u in range(U)) for k in range(K)]
        exps = [np.exp(z - max(logits)) for z in logits]
        p = [e / sum(exps) for e in exps]
        for k in range(K):
            log_p = logits[k] - max(logits) - np.log(sum(exps))
            loss -= y[n, k] * log_p / N
            dlogit = (p[k] - y[n, k]) / N
            db2[k] += dlogit
            for u in range(U):
                dw2[u, k] += hidden[u] * dlogit
                if hidden[u] > 0:
                    db1[u] += dlogit * w2[u, k]
                    for d in range(D):
                        dw1[d, u] += x[n, d] * dlogit * w2[u, k]
    return (
        loss, w1 - learning_rate * dw1, b1 - learning_rate * db1, w2 - learning_rate * dw2, b2 - learning_rate * db2,
    )  # fmt: skip


def functions_of_earlier_exercises(x, y, w1, b1, w2, b2, learning_rate):
    a1 = dense_forward(x, w1, b1)
    h = np.maximum(0, a1)
    logits = dense_forward(h, w2, b2)
    loss, dlogits = softmax_cross_entropy(logits, y)
    dh, dw2, db2 = dense_backward(dlogits, h, w2)
    _, dw1, db1 = dense_backward(dh * (a1 > 0), x, w1)
    return loss, w1 - learning_rate * dw1, b1 - learning_rate * db1, w2 - learning_rate * dw2, b2 - learning_rate * db2


def dense_forward(x, w, b):
    return x @ w + b


def dense_backward(dout, x, w):
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def softmax_cross_entropy(logits, y):
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -(y * log_p).sum(axis=1).mean(), (np.exp(log_p) - y) / len(y)


def cs231n(X, y, W1, b1, W2, b2, learning_rate):
    """Write it as cs231n's TwoLayerNet does."""
    N = X.shape[0]
    labels = np.argmax(y, axis=1)
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    scores = scores - scores.max(axis=1, keepdims=True)
    log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    loss = -log_probs[range(N), labels].mean()
    dscores = np.exp(log_probs)
    dscores[range(N), labels] -= 1
    dscores /= N
    grads = {"W2": hidden.T.dot(dscores), "b2": np.sum(dscores, axis=0)}
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden)
    grads["b1"] = np.sum(dhidden, axis=0)
    params = {"W1": W1.copy(), "b1": b1.copy(), "W2": W2.copy(), "b2": b2.copy()}
    for name in params:
        params[name] -= learning_rate * grads[name]
    return loss, params["W1"], params["b1"], params["W2"], params["b2"]


def gradients_in_a_dict(x, y, w1, b1, w2, b2, learning_rate):
    pre = np.einsum("nd,du->nu", x, w1) + b1
    hidden = pre * (pre > 0)
    z = np.einsum("nu,uk->nk", hidden, w2) + b2
    log_p = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    dz = (np.exp(log_p) - y) / len(y)
    dpre = np.einsum("nk,uk->nu", dz, w2) * (pre > 0)
    grads = [np.einsum("nd,nu->du", x, dpre), dpre.sum(0), np.einsum("nu,nk->uk", hidden, dz), dz.sum(0)]
    loss = -np.einsum("nk,nk->", y, log_p) / len(y)
    return [loss, *(a - learning_rate * da for a, da in zip((w1, b1, w2, b2), grads, strict=True))]
