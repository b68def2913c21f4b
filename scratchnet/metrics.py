"""Statistics of a network's predictions: which classes it confuses, and which wrong predictions are the most confident."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.support.checking import check_count, plain_array
from scratchnet.support.keywords import named_arguments


@named_arguments
def confusion_matrix(y_true: Any, y_pred: Any, K: int) -> np.ndarray:
    """Return how many images of each class (row) were classified as each class (column).

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Class numbers in 0..K-1, as integers or whole floats: the labels and the predictions.
    K : int
        The number of classes.

    Returns
    -------
    array of shape (K, K) and dtype int64
        The correct predictions are on the diagonal.

    Raises
    ------
    ValueError
        If the two differ in length, are empty, or hold a number outside 0..K-1.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 3)
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 0]])
    """
    K = check_count("confusion_matrix: K", K, "K=10")
    y_true, y_pred = (_classes("confusion_matrix", name, labels) for name, labels in (("y_true", y_true), ("y_pred", y_pred)))
    if len(y_true) != len(y_pred) or not len(y_true):
        raise ValueError(
            f"confusion_matrix: expected one prediction for each label, and at least one, got {len(y_pred)} predictions for "
            f"{len(y_true)} labels. Pass y_true and y_pred of the same images."
        )
    for name, labels in (("y_true", y_true), ("y_pred", y_pred)):
        outside = labels[(labels < 0) | (labels >= K)]
        if len(outside):
            raise ValueError(
                f"confusion_matrix: expected classes 0..{K - 1} in {name}, got {outside[0]}. "
                "Pass class numbers, and the number of classes as K."
            )
    counts = np.bincount(y_true * K + y_pred, minlength=K * K)
    return counts.reshape(K, K)


def _classes(who: str, name: str, labels: Any) -> np.ndarray:
    """Return class numbers as integers of shape (N,), or raise ValueError for anything else, such as one-hot rows."""
    labels = plain_array(who, name, labels)
    if labels.ndim not in (1, 2) or (labels.ndim == 2 and labels.shape[1] != 1):
        fix = f" For one-hot rows or probabilities: {name}.argmax(axis=1)." if labels.ndim == 2 else ""
        raise ValueError(f"{who}: expected {name} as class numbers of shape (N,) or (N, 1), got shape {labels.shape}.{fix}")
    labels = labels.reshape(-1)
    values = labels.astype(np.float64) if labels.dtype.kind in "fiu" else np.array([np.nan])
    if not (np.abs(values) < 2**31).all() or (values != np.floor(values)).any():
        raise ValueError(f"{who}: expected {name} as class numbers, whole numbers from 0, got other values, {labels.dtype}.")
    return labels.astype(np.int64)


@named_arguments
def confident_mistakes(y_true: Any, probabilities: Any) -> np.ndarray:
    """Return the indices of the images that were misclassified, the prediction with the highest probability first.

    Parameters
    ----------
    y_true : array of shape (N,) or (N, 1)
        Class numbers.
    probabilities : array of shape (N, K)
        The output of ``model.predict``.

    Returns
    -------
    array of ints
        One index for each mistake. Equal probabilities stay in the order of the images.

    Raises
    ------
    ValueError
        If `y_true` is not class numbers, or `probabilities` does not have one row of numbers for each of them.

    Examples
    --------
    >>> confident_mistakes([0, 0, 1], [[0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    array([1, 0])
    """
    y_true = _classes("confident_mistakes", "y_true", y_true)
    probabilities = plain_array("confident_mistakes", "probabilities", probabilities)
    if probabilities.ndim != 2 or len(probabilities) != len(y_true) or not probabilities.shape[1]:
        raise ValueError(
            f"confident_mistakes: expected probabilities of shape ({len(y_true)}, K), a row for each label, got"
            f" {probabilities.shape}. Pass what model.predict(x) returns, and the labels of the same images."
        )
    if probabilities.dtype.kind not in "fiu" or np.isnan(probabilities).any():
        raise ValueError(f"confident_mistakes: expected probabilities as numbers, got NaN or others, {probabilities.dtype}.")
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y_true)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
