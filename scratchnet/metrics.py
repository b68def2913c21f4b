"""Statistics of a network's predictions: which classes it confuses, and which wrong predictions are the most confident."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.support.keywords import named_arguments


@named_arguments
def confusion_matrix(y_true: Any, y_pred: Any, K: int) -> np.ndarray:
    """Return how many images of each class (row) were classified as each class (column).

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Class numbers in 0..K-1: the labels and the predictions.
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
    y_true, y_pred = np.asarray(y_true).reshape(-1), np.asarray(y_pred).reshape(-1)
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
    counts = np.bincount(y_true.astype(int) * K + y_pred.astype(int), minlength=K * K)
    return counts.reshape(K, K)


@named_arguments
def surest_mistakes(y_true: Any, probabilities: Any) -> np.ndarray:
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

    Examples
    --------
    >>> surest_mistakes([0, 0, 1], [[0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    array([1, 0])
    """
    y_true, probabilities = np.asarray(y_true).reshape(-1), np.asarray(probabilities)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y_true)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
