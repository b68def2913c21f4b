import numpy as np


def softmax_cross_entropy(logits, y):
    N = len(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)        # (N, K), at most 0
    total = np.exp(shifted).sum(axis=1, keepdims=True)          # (N, 1), from 1 to K
    log_p = shifted - np.log(total)                             # (N, K)
    loss = -(y * log_p).sum() / N                               # one number
    dlogits = (np.exp(log_p) - y) / N                           # (N, K)
    return loss, dlogits
