"""Keras's namespace `utils`: labels, rows of norm 1, seeds, and the picture of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import plotting
from scratchnet.keras_names.backend import clear_session
from scratchnet.support.checking import check_count, is_integer, number_array, plain_array, shortened
from scratchnet.support.keywords import named_arguments
from scratchnet.support.seeds import set_random_seed

__all__ = ["clear_session", "normalize", "set_random_seed", "to_categorical"]

if hasattr(plotting, "plot_model"):
    plot_model = plotting.plot_model
    __all__ += ["plot_model"]


@named_arguments
def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return labels as one-hot rows: (N,) or (N, 1) -> (N, K).

    Parameters
    ----------
    x : array of integers, or of floats that are whole numbers
        Classes from 0 on.
    num_classes : int, optional
        K; the largest class plus one by default.

    Returns
    -------
    ndarray of float64, as in Keras

    Raises
    ------
    ValueError
        When a class is not a whole number from 0 to K - 1.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = plain_array("to_categorical", "x", x)
    if labels.dtype.kind not in "fiub" or not labels.size or not (labels == np.floor(labels)).all():
        raise ValueError(f"to_categorical: expected classes as whole numbers, got {shortened(x)}. For example [0, 2, 1]")
    classes = labels.astype(np.int64)
    shape = classes.shape[:-1] if classes.ndim > 1 and classes.shape[-1] == 1 else classes.shape
    K = int(classes.max()) + 1 if num_classes is None else check_count("num_classes", num_classes, "num_classes=10")
    if classes.min() < 0 or classes.max() >= K:
        raise ValueError(
            f"to_categorical: expected classes from 0 to {K - 1}, got {classes.min()} to {classes.max()}. Count classes from 0,"
            f" and leave num_classes out or write num_classes={classes.max() + 1}"
        )
    encoded = np.zeros((classes.size, K))
    encoded[np.arange(classes.size), classes.reshape(-1)] = 1
    return encoded.reshape(*shape, K)


@named_arguments
def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """Return x divided by its norm along an axis, so that each row has norm 1; a row of zeros stays as it is.

    Pixels from 0 to 255 become numbers from 0 to 1 with `preprocessing.normalize_images(x)`, not with this function.

    Parameters
    ----------
    x : array
    axis : int
    order : int
        Of the norm: 2 for the Euclidean length.

    Examples
    --------
    >>> normalize([[3, 4]])
    array([[0.6, 0.8]])
    """
    x = number_array("normalize", "x", x)
    if not is_integer(order) or order < 1 or not is_integer(axis) or not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"normalize: expected order of at least 1 and an axis of x, got order={shortened(order)}, axis={shortened(axis)}."
            " Leave them out"
        )
    norm = np.asarray(np.linalg.norm(x, order, axis, keepdims=True))
    return x / np.where(norm == 0, 1, norm)
