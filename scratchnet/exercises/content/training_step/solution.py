import numpy as np


def training_step(x, y, w1, b1, w2, b2, learning_rate):
    N = len(x)
    hidden = np.maximum(x @ w1 + b1, 0)                     # (N, D) @ (D, U) -> (N, U)
    logits = hidden @ w2 + b2                               # (N, U) @ (U, K) -> (N, K)
    shifted = logits - logits.max(axis=1, keepdims=True)    # (N, K), at most 0
    total = np.exp(shifted).sum(axis=1, keepdims=True)      # (N, 1)
    log_p = shifted - np.log(total)                         # (N, K)
    loss = -(y * log_p).sum() / N                           # one number

    dlogits = (np.exp(log_p) - y) / N                       # (N, K)
    dw2 = hidden.T @ dlogits                                # (U, N) @ (N, K) -> (U, K)
    db2 = dlogits.sum(axis=0)                               # (K,)
    dhidden = dlogits @ w2.T                                # (N, K) @ (K, U) -> (N, U)
    dhidden = np.where(hidden > 0, dhidden, 0)              # backward of the ReLU
    dw1 = x.T @ dhidden                                     # (D, N) @ (N, U) -> (D, U)
    db1 = dhidden.sum(axis=0)                               # (U,)

    w1, b1 = w1 - learning_rate * dw1, b1 - learning_rate * db1
    w2, b2 = w2 - learning_rate * dw2, b2 - learning_rate * db2
    return loss, w1, b1, w2, b2
