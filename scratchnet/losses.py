"""Softmax cross-entropy: how surprised the network is by the labels.

With logits z of one image, probabilities p = softmax(z) and a label y (a one-hot row, or any distribution):

    loss = -Σ_k y_k log p_k,       log p_k = (z_k - max z) - log Σ_j exp(z_j - max z)

The logarithm meets the exponential, so the loss is computed from the logits: log p of a p that has gone to 0 would be
lost, z_k - max z is not. And the derivatives of the two meet as well. With ∂ log p_k / ∂z_j = δ_kj - p_j and Σ y = 1,

    dz_j = -Σ_k y_k (δ_kj - p_j) = p_j - y_j

which is as simple as the gradient of a squared error. A batch's loss is the mean over its N images, so dlogits is
(p - y) / N.

Source: Bishop, *Pattern recognition and machine learning* (2006), equations 4.108 and 4.109; Bridle, *Probabilistic
interpretation of feedforward classification network outputs* (1990).
"""

from __future__ import annotations

from typing import Any

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Take the logarithm of the softmax of every row, each row's own maximum taken out first: (N, K) -> (N, K)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)                       # the largest is 0
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))        # the sum is between 1 and K


def softmax(logits: np.ndarray) -> np.ndarray:
    """Make every row of logits a distribution: (N, K) -> (N, K).

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1e4, -1e4]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return np.exp(log_softmax(logits))


def softmax_cross_entropy_losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Give each image's own loss: (N, K), (N, K) -> (N,).

    Real logits are taken to float64 first: they are few, and log p is then good to the last bit of a float32.
    """
    logits = logits if np.iscomplexobj(logits) else logits.astype(np.float64)
    return -(y * log_softmax(logits)).sum(axis=-1)


def softmax_cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Give the mean loss of a batch and its gradient with respect to the logits.

    Parameters
    ----------
    logits : ndarray (N, K)
    y : ndarray (N, K)
        One-hot rows, or other distributions of sum 1.

    Returns
    -------
    loss : float
        In nats, 0 or more.
    dlogits : ndarray (N, K) of the dtype of `logits`
        (p - y) / N.

    Examples
    --------
    >>> loss, dlogits = softmax_cross_entropy(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]))
    >>> round(loss, 4), dlogits
    (0.6931, array([[-0.5,  0.5]]))
    """
    loss = softmax_cross_entropy_losses(logits, y).mean()
    dlogits = (softmax(logits) - y) / len(logits)               # (N, K)
    return float(loss), dlogits.astype(logits.dtype, copy=False)


class _Crossentropy:
    """What the two have in common.

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` are logits; False: probabilities, such as a softmax gives.
    """

    name: str
    other_labels: str

    def __init__(self, from_logits: bool = False):
        self.from_logits = from_logits

    def __repr__(self) -> str:
        return f"{type(self).__name__}(from_logits={self.from_logits})"

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this loss again."""
        return {"from_logits": self.from_logits}

    def one_hot(self, y: np.ndarray, K: int) -> np.ndarray:
        """Check labels for K classes and give them as rows: -> (N, K), float."""
        raise NotImplementedError(f"{type(self).__name__} needs a method one_hot(self, y, K)")

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """Give the mean loss.

        Parameters
        ----------
        y_true : ndarray
            Labels: (N, K) one-hot for the categorical loss, (N,) integers for the sparse one.
        y_pred : ndarray (N, K)
            Probabilities, or logits with `from_logits=True`. A probability of 0 for the true class gives inf.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            For labels of another kind or number, and for predictions that are no probabilities.
        """
        y_pred = np.asarray(y_pred)
        y = self.one_hot(np.asarray(y_true), y_pred.shape[-1])
        if len(y) != len(y_pred):
            raise ValueError(f"{len(y)} labels and {len(y_pred)} predictions: give one label for each prediction")
        if self.from_logits:
            return float(softmax_cross_entropy_losses(y_pred, y).mean())
        if (y_pred < 0).any() or (y_pred > 1).any():
            raise ValueError(f"y_pred are not probabilities; for logits use {type(self).__name__}(from_logits=True)")
        with np.errstate(divide="ignore"):
            logs = np.log(y_pred, dtype=np.float64)
        return float(-(y * np.where(y > 0, logs, 0.0)).sum(axis=-1).mean())


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy for one-hot labels (N, K).

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; False: probabilities, such as a softmax gives.

    Examples
    --------
    >>> loss = CategoricalCrossentropy()
    >>> round(loss(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]])), 4)       # -log 0.75
    0.2877
    """

    name = "categorical_crossentropy"

    def one_hot(self, y: np.ndarray, K: int) -> np.ndarray:
        """Check that `y` are rows of K non-negative numbers of sum 1.

        Raises
        ------
        ValueError
            With the line that mends it.
        """
        if y.ndim != 2 or y.shape[1] != K:
            raise ValueError(
                f"categorical_crossentropy takes one-hot labels of shape (N, {K}); got {y.dtype} {y.shape}."
                f" For integer labels: y = one_hot(y, {K}), or loss='sparse_categorical_crossentropy'"
            )
        if y.dtype.kind not in "fiub" or not (np.abs(y.sum(axis=1) - 1) <= 1e-4).all() or (y < 0).any():
            raise ValueError(
                f"categorical_crossentropy takes rows of non-negative numbers of sum 1; make them with one_hot(labels, {K})"
            )
        return y


class SparseCategoricalCrossentropy(_Crossentropy):
    """Cross-entropy for integer labels (N,) or (N, 1), from 0 to K - 1.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; False: probabilities, such as a softmax gives.

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy()
    >>> round(loss(np.array([1]), np.array([[0.25, 0.75]])), 4)                # -log 0.75
    0.2877
    """

    name = "sparse_categorical_crossentropy"

    def one_hot(self, y: np.ndarray, K: int) -> np.ndarray:
        """Check that `y` are whole numbers from 0 to K - 1, and give the rows of the identity that they name.

        Raises
        ------
        ValueError
            With the line that mends it.
        """
        if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] != 1):
            raise ValueError(
                f"sparse_categorical_crossentropy takes integer labels of shape (N,) or (N, 1); got {y.dtype} {y.shape}."
                " For one-hot labels: y = y.argmax(axis=1), or loss='categorical_crossentropy'"
            )
        labels = y.reshape(-1).astype(np.uint8 if y.dtype.kind == "b" else y.dtype, copy=False)
        if labels.dtype.kind not in "fiu" or (labels != np.floor(labels)).any():
            raise ValueError(f"sparse_categorical_crossentropy takes whole numbers from 0 to {K - 1}; got {y.dtype} labels")
        if len(labels) and (labels.min() < 0 or labels.max() >= K):
            raise ValueError(
                f"labels run from {labels.min():g} to {labels.max():g}, but the model has {K} outputs, for labels 0 to {K - 1}:"
                " give its last layer more units, or number the labels from 0"
            )
        return np.eye(K)[labels.astype(np.intp)]


KNOWN: dict[str, type[_Crossentropy]] = {c.name: c for c in (CategoricalCrossentropy, SparseCategoricalCrossentropy)}


def get(loss: Any) -> _Crossentropy:
    """Find a loss by name, or take it as it is.

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones. For one of another formula, which training would never call.

    Examples
    --------
    >>> get("categorical_crossentropy")
    CategoricalCrossentropy(from_logits=False)
    """
    if isinstance(loss, _Crossentropy):
        if type(loss).__call__ is not _Crossentropy.__call__:
            raise ValueError(
                f"{type(loss).__name__}.__call__ would not be called: training takes the cross-entropy of logits and the rows of"
                " one_hot, so a loss of your own overrides one_hot(self, y, K)"
            )
        return loss
    if not isinstance(loss, str) or loss not in KNOWN:
        raise ValueError(f"unknown loss {loss!r}; known are {', '.join(map(repr, KNOWN))}, or an object of scratchnet.losses")
    return KNOWN[loss]()
