"""A convolutional network on one page: a small net_2, with NumPy and nothing else.

    image                                      (N, 9, 8, 1)
    conv 3×3, 8 maps, same, ReLU               (N, 9, 8, 8)
    conv 3×3, 16 maps, stride 2, same, ReLU    (N, 5, 4, 16)
    flatten, dense 32, ReLU                    (N, 32)
    dense 10, softmax, cross-entropy           (N, 10)

Capitals are sizes, lower-case names are arrays: x is a layer's input, w and b are its parameters. da is the gradient of
the loss with respect to a; dout is the one with respect to a layer's output. Each backward follows its forward.
"""

import numpy as np

DIGITS = """
    ###  .#.  ###  ###  #.#  ###  ###  ###  ###  ###
    #.#  ##.  ..#  ..#  #.#  #..  #..  ..#  #.#  #.#
    #.#  .#.  ###  .##  ###  ###  ###  .#.  ###  ###
    #.#  .#.  #..  ..#  ..#  ..#  #.#  .#.  #.#  ..#
    ###  ###  ###  ###  ..#  ###  ###  .#.  ###  ###
"""


def draw_digits(N, rng):
    """Draw noisy images with a digit at a random position: -> x (N, 9, 8, 1) and one-hot labels y (N, 10)."""
    digits = np.array([[cell == "#" for cell in row] for row in DIGITS.split()])            # (5·10, 3)
    digits = digits.reshape(5, 10, 3).swapaxes(0, 1)                                        # -> (10, 5, 3)
    x, labels = 0.1 * rng.standard_normal((N, 9, 8, 1)), rng.integers(0, 10, N)
    for n, (top, left) in enumerate(rng.integers(0, (5, 6), (N, 2))):
        x[n, top : top + 5, left : left + 3, 0] += digits[labels[n]] * rng.uniform(0.7, 1.3)
    return x, np.eye(10)[labels]


def pad_same(x, S):
    """Pad x with zeros for ceil(size / S) windows of 3×3 at stride S; if the number of zeros is odd, the end gets one more."""
    totals = [max(0, (-(-size // S) - 1) * S + 3 - size) for size in x.shape[1:3]]
    return np.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)])


def taps(padded, S):
    """Return a pair for each cell of the kernel: (i, j), and the slices of the pixels that it is multiplied with."""
    OH, OW = ((size - 3) // S + 1 for size in padded.shape[1:3])
    return [((i, j), np.s_[:, i : i + S * OH : S, j : j + S * OW : S]) for i, j in np.ndindex(3, 3)]


def conv_forward(x, w, b, S):
    padded = pad_same(x, S)
    return b + sum(padded[pixels] @ w[ij] for ij, pixels in taps(padded, S))  # (N, OH, OW, C) @ (C, F) -> (N, OH, OW, F)


def conv_backward(dout, x, w, S):
    padded, dw = pad_same(x, S), np.zeros_like(w)
    dpadded = np.zeros_like(padded)
    for ij, pixels in taps(padded, S):
        dw[ij] = np.tensordot(padded[pixels], dout, ((0, 1, 2), (0, 1, 2)))   # (C, N·OH·OW) @ (N·OH·OW, F) -> (C, F)
        dpadded[pixels] += dout @ w[ij].T                                     # (N, OH, OW, F) @ (F, C) -> (N, OH, OW, C)
    (_, H, W, _), (_, PH, PW, _) = x.shape, padded.shape
    top, left = (PH - H) // 2, (PW - W) // 2
    return dpadded[:, top : top + H, left : left + W], dw, dout.sum(axis=(0, 1, 2))


def dense_forward(x, w, b):
    return x @ w + b                                        # D inputs, U units: (N, D) @ (D, U) + (U,) -> (N, U)


def dense_backward(dout, x, w):
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)         # dx (N, D), dw (D, U), db (U,)


def softmax_cross_entropy(logits, y):
    """Return the mean loss, and dlogits = (p - y) / N: the backward of softmax and cross-entropy together."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[y == 1]).mean(), (p - y) / len(y)


def forward(x, params):
    """Return the logits (N, 10), and the arrays that backward needs."""
    w1, b1, w2, b2, w3, b3, w4, b4 = params
    a1 = np.maximum(0, conv_forward(x, w1, b1, S=1))        # (N, 9, 8, 1) -> (N, 9, 8, 8)
    a2 = np.maximum(0, conv_forward(a1, w2, b2, S=2))       # -> (N, 5, 4, 16)
    flat = a2.reshape(len(x), -1)                           # -> (N, 320)
    a3 = np.maximum(0, dense_forward(flat, w3, b3))         # -> (N, 32)
    return dense_forward(a3, w4, b4), (x, a1, a2, flat, a3)


def backward(dlogits, cache, params):
    """Return a gradient for each parameter, computed from the last layer to the first. A ReLU's dx is dout where out > 0."""
    (x, a1, a2, flat, a3), (w1, _, w2, _, w3, _, w4, _) = cache, params
    da3, dw4, db4 = dense_backward(dlogits, a3, w4)
    dflat, dw3, db3 = dense_backward(da3 * (a3 > 0), flat, w3)
    da1, dw2, db2 = conv_backward(dflat.reshape(a2.shape) * (a2 > 0), a1, w2, S=2)
    _, dw1, db1 = conv_backward(da1 * (a1 > 0), x, w1, S=1)
    return [dw1, db1, dw2, db2, dw3, db3, dw4, db4]


def main(images=6000, epochs=5, batch=32, learning_rate=5e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    rng = np.random.default_rng(1)
    (x, y), (x_test, y_test) = draw_digits(images, rng), draw_digits(1000, rng)
    params, t = [], 0
    for shape in [(3, 3, 1, 8), (3, 3, 8, 16), (5 * 4 * 16, 32), (32, 10)]:
        limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))    # Glorot and Bengio's; prod: 3·3, or 1 if dense
        params += [rng.uniform(-limit, limit, shape), np.zeros(shape[-1])]
    ms, vs = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    for epoch in range(epochs):
        for rows in np.array_split(rng.permutation(images), images // batch):
            logits, cache = forward(x[rows], params)
            loss, dlogits = softmax_cross_entropy(logits, y[rows])
            t += 1
            rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            for p, g, m, v in zip(params, backward(dlogits, cache, params), ms, vs, strict=True):     # Adam (the book, chapter 6)
                m += (1 - beta_1) * (g - m)
                v += (1 - beta_2) * (g * g - v)
                p -= rate * m / (np.sqrt(v) + epsilon)
        right = forward(x_test, params)[0].argmax(axis=1) == y_test.argmax(axis=1)
        print(f"epoch {epoch + 1}: loss of the last batch {loss:.3f}, accuracy on new images {right.mean():.3f}")


if __name__ == "__main__":
    main()
