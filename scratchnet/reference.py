"""Definitions: the operations of layers, losses and optimizers as the plain loops of their textbook definitions.

Each loop runs over one index of the formula in the docstring, so that the two can be compared symbol by symbol. The other
implementations (im2col in the layers, direct and fused in the kernels) are tested against these. A backward function adds the
gradient of each output, multiplied by a derivative, to the gradient of every number from which that output was computed.

Notation: images N, input H × W × C, kernel or window KH × KW, stride SH × SW, output OH × OW × F. Tap (i, j) is a position in
the window; for the window at (oh, ow) it covers the input cell (h, w), h = oh·SH + i - top and w = ow·SW + j - left. Where w is
the kernel, the column of that cell is called v. Cells outside the image are padding, the others are real cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from scratchnet.padding import Pads, window_output_shape

Pair = tuple[int, int]


def _cells(
    x_shape: tuple[int, ...], oh: int, ow: int, window: Pair, strides: Pair, pads: Pads
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (i, j, h, w) for the taps of the window at oh, ow that cover a real cell, in row-major order."""
    _, H, W, _ = x_shape
    (KH, KW), (SH, SW), ((top, _), (left, _)) = window, strides, pads
    for i in range(KH):
        for j in range(KW):
            h, w = oh * SH + i - top, ow * SW + j - left
            if 0 <= h < H and 0 <= w < W:
                yield i, j, h, w


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: Pair, pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """out[n, oh, ow, f] = b[f] + Σ_i Σ_j Σ_c x[n, h, v, c] · w[i, j, c, f], with 0 for padding.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    w : ndarray (KH, KW, C, F)
    b : ndarray (F,) or None
    strides : (int, int)
    pads : ((top, bottom), (left, right))
    relu : bool
        Whether the ReLU after the convolution is computed too.

    Returns
    -------
    ndarray (N, OH, OW, F)

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d_forward(x, np.ones((2, 2, 1, 1)), None, (1, 1), ((0, 0), (0, 0)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    KH, KW, C, F = w.shape
    OH, OW = window_output_shape(x.shape, (KH, KW), strides, pads)
    out = np.zeros((len(x), OH, OW, F), x.dtype)
    for n, oh, ow, f in np.ndindex(out.shape):
        for i, j, h, v in _cells(x.shape, oh, ow, (KH, KW), strides, pads):
            for c in range(C):
                out[n, oh, ow, f] += x[n, h, v, c] * w[i, j, c, f]
        if b is not None:
            out[n, oh, ow, f] += b[f]
    return relu_forward(out) if relu else out


def conv2d_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: Pair,
    pads: Pads,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Add dout·w to dx and dout·x to dw for each product x·w of forward.

    Parameters
    ----------
    dout : ndarray (N, OH, OW, F)
    x, w, strides, pads : as for `conv2d_forward`
    need_dx : bool
        Whether dx is returned; None otherwise.
    need_dw : bool
        Whether dw and db are returned; None otherwise.
    relu_x : bool
        Whether x is the output of a ReLU, whose backward is computed too.

    Returns
    -------
    dx, dw, db : ndarrays shaped as x, w, (F,)
    """
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[3], w.dtype)
    for n, oh, ow, f in np.ndindex(dout.shape):
        for i, j, h, v in _cells(x.shape, oh, ow, w.shape[:2], strides, pads):
            for c in range(x.shape[3]):
                dx[n, h, v, c] += dout[n, oh, ow, f] * w[i, j, c, f]
                dw[i, j, c, f] += dout[n, oh, ow, f] * x[n, h, v, c]
        db[f] += dout[n, oh, ow, f]
    if relu_x:
        dx = relu_backward(dx, x)
    return dx if need_dx else None, dw if need_dw else None, db if need_dw else None


def max_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """out[n, oh, ow, c] = max over the window's real cells of x[n, h, w, c]: (N, H, W, C) -> (N, OH, OW, C)."""
    out = np.zeros((len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(out.shape):
        out[n, oh, ow, c] = np.max([x[n, h, w, c] for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)])
    return out


def max_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add each dout to the dx of the first of the window's largest cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        cells = [(h, w) for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)]
        h, w = cells[np.argmax([x[n, h, w, c] for h, w in cells])]
        dx[n, h, w, c] += dout[n, oh, ow, c]
    return dx


def min_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """out[n, oh, ow, c] = min over the window's real cells of x[n, h, w, c]: (N, H, W, C) -> (N, OH, OW, C)."""
    out = np.zeros((len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(out.shape):
        out[n, oh, ow, c] = np.min([x[n, h, w, c] for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)])
    return out


def min_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add each dout to the dx of the first of the window's smallest cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        cells = [(h, w) for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)]
        h, w = cells[np.argmin([x[n, h, w, c] for h, w in cells])]
        dx[n, h, w, c] += dout[n, oh, ow, c]
    return dx


def average_pool2d_forward(x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """out[n, oh, ow, c] = mean over the window's real cells of x[n, h, w, c]: (N, H, W, C) -> (N, OH, OW, C)."""
    out = np.zeros((len(x), *window_output_shape(x.shape, window, strides, pads), x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(out.shape):
        out[n, oh, ow, c] = np.mean([x[n, h, w, c] for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)])
    return out


def average_pool2d_backward(dout: np.ndarray, x: np.ndarray, window: Pair, strides: Pair, pads: Pads) -> np.ndarray:
    """Add dout / (number of real cells) to the dx of each of the window's real cells: (N, OH, OW, C) -> (N, H, W, C)."""
    dx = np.zeros_like(x)
    for n, oh, ow, c in np.ndindex(dout.shape):
        cells = [(h, w) for _, _, h, w in _cells(x.shape, oh, ow, window, strides, pads)]
        for h, w in cells:
            dx[n, h, w, c] += dout[n, oh, ow, c] / len(cells)
    return dx


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, relu: bool = False) -> np.ndarray:
    """out[n, u] = b[u] + Σ_d x[n, d] · w[d, u]: (N, D), (D, U), (U,) -> (N, U)."""
    out = np.zeros((len(x), w.shape[1]), x.dtype)
    for n, u in np.ndindex(out.shape):
        for d in range(x.shape[1]):
            out[n, u] += x[n, d] * w[d, u]
        if b is not None:
            out[n, u] += b[u]
    return relu_forward(out) if relu else out


def dense_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool = True, *, need_dw: bool = True, relu_x: bool = False
) -> tuple[np.ndarray | None, ...]:
    """Add dout·w to dx and dout·x to dw for each product x·w of forward: (N, U) -> (N, D), (D, U), (U,)."""
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[1], w.dtype)
    for n, u in np.ndindex(dout.shape):
        for d in range(x.shape[1]):
            dx[n, d] += dout[n, u] * w[d, u]
            dw[d, u] += dout[n, u] * x[n, d]
        db[u] += dout[n, u]
    if relu_x:
        dx = relu_backward(dx, x)
    return dx if need_dx else None, dw if need_dw else None, db if need_dw else None


def flatten_forward(x: np.ndarray) -> np.ndarray:
    """out[n, (h·W + w)·C + c] = x[n, h, w, c], and samples of any other shape in row-major order: (N, …) -> (N, D)."""
    out = np.zeros((len(x), x[0].size), x.dtype)
    for n in range(len(x)):
        for d, index in enumerate(np.ndindex(x.shape[1:])):
            out[n, d] = x[n][index]
    return out


def flatten_backward(dout: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Return dx, with each number of dout at the index of x that it was read from: (N, D) -> x_shape."""
    dx = np.zeros(x_shape, dout.dtype)
    for n in range(x_shape[0]):
        for d, index in enumerate(np.ndindex(x_shape[1:])):
            dx[n][index] = dout[n, d]
    return dx


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Return x where x > 0, else 0, elementwise; a NaN stays NaN."""
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        out[index] = x[index] if not x[index] <= 0 else 0.0
    return out


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx: dout where out > 0, else 0."""
    dx = np.zeros_like(dout)
    for index in np.ndindex(dout.shape):
        dx[index] = dout[index] if out[index] > 0 else 0.0
    return dx


def softmax_forward(x: np.ndarray) -> np.ndarray:
    """p[n, k] = exp(x[n, k]) / Σ_j exp(x[n, j]), computed with the row's maximum subtracted from x: (N, …, K) -> (N, …, K)."""
    p = np.zeros_like(x)
    for n in np.ndindex(x.shape[:-1]):
        highest = x[n].max()
        for k in range(x.shape[-1]):
            p[n][k] = np.exp(x[n][k] - highest) / sum(np.exp(z - highest) for z in x[n])
    return p


def softmax_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """dx[n, k] = Σ_j dout[n, j] · ∂p_j/∂x_k with ∂p_j/∂x_k = p_j (1 if j = k else 0) - p_j p_k: (N, …, K) -> (N, …, K)."""
    dx = np.zeros_like(dout)
    for n in np.ndindex(dout.shape[:-1]):
        for k, j in np.ndindex(dout.shape[-1], dout.shape[-1]):
            dx[n][k] += dout[n][j] * out[n][j] * ((j == k) - out[n][k])
    return dx


def softmax_cross_entropy(
    logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, label_smoothing: float = 0.0
) -> float:
    """Return -1/N Σ_n w[n] Σ_k y'[n, k] · log p[n, k], where p is the softmax and y' = y (1 - s) + s / K: (N, K), (N, K) -> a number."""
    total = 0.0
    for n, k in np.ndindex(logits.shape):
        highest = logits[n].max()
        log_sum = np.log(sum(np.exp(z - highest) for z in logits[n]))
        smoothed = y[n, k] * (1 - label_smoothing) + label_smoothing / logits.shape[1]
        weight = 1.0 if sample_weight is None else sample_weight[n]
        total += weight * smoothed * (log_sum - (logits[n, k] - highest))
    return float(total / len(logits))


# -- update rules, one number at a time, written from the formulas of the papers ---------------------------------------


def sgd(p: float, gradients: list[float], *, learning_rate: float, momentum: float, nesterov: bool) -> float:
    """Sutskever et al. (2013): v ← μv - εg, p ← p + v; Nesterov's in the form that evaluates g at p: p ← p + μv - εg."""
    v = 0.0
    for g in gradients:
        v = momentum * v - learning_rate * g
        p = p + momentum * v - learning_rate * g if nesterov else p + v
    return p


def adagrad(
    p: float, gradients: list[float], *, learning_rate: float, initial_accumulator_value: float, epsilon: float
) -> float:
    """Duchi et al. (2011): p ← p - η g_t / √(G₀ + Σ_{s ≤ t} g_s² + ε)."""
    for t, g in enumerate(gradients):
        history = sum(earlier**2 for earlier in gradients[: t + 1])
        p = p - learning_rate * g / float(np.sqrt(initial_accumulator_value + history + epsilon))
    return p


def adadelta(p: float, gradients: list[float], *, learning_rate: float, rho: float, epsilon: float) -> float:
    """Zeiler (2012), algorithm 1: Δ_t = -(RMS[Δ]_{t-1} / RMS[g]_t) g_t, RMS[·] = √(E[·²] + ε); p ← p + η Δ_t."""
    steps: list[float] = []

    def decayed(values: list[float]) -> float:
        return sum((1 - rho) * rho ** (len(values) - 1 - s) * value**2 for s, value in enumerate(values))

    for t, g in enumerate(gradients):
        rms_step, rms_gradient = np.sqrt(decayed(steps) + epsilon), np.sqrt(decayed(gradients[: t + 1]) + epsilon)
        steps.append(float(-rms_step / rms_gradient * g))
        p = p + learning_rate * steps[-1]
    return p


def adam(
    p: float, gradients: list[float], *, learning_rate: float, beta_1: float, beta_2: float, epsilon: float
) -> float:
    """Kingma & Ba (2015): p ← p - α m̂ / (√v̂ + ε), where their ε is ε̂ / √(1 - β₂ᵗ), and ε̂ is `epsilon`."""
    for t in range(1, len(gradients) + 1):
        seen = gradients[:t]
        m_hat = sum((1 - beta_1) * beta_1 ** (t - 1 - s) * g for s, g in enumerate(seen)) / (1 - beta_1**t)
        v_hat = sum((1 - beta_2) * beta_2 ** (t - 1 - s) * g**2 for s, g in enumerate(seen)) / (1 - beta_2**t)
        p = p - learning_rate * m_hat / float(np.sqrt(v_hat) + epsilon / np.sqrt(1 - beta_2**t))
    return p


UPDATE_RULES: dict[str, Callable[..., float]] = {"SGD": sgd, "Adagrad": adagrad, "Adadelta": adadelta, "Adam": adam}
