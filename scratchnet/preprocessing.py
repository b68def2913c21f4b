"""From images and labels as they are stored to what a network takes: scaled pixels, a channel axis, one-hot labels.

The study's own preparation is three lines, ``normalize_images``, ``add_channel_axis`` and ``one_hot``; `standardize` is
the other normalization its theory chapter names, and `train_validation_split` sets images aside to watch training by.
Every function gives new arrays and leaves its arguments alone.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import numpy as np

__all__ = ["add_channel_axis", "normalize_images", "one_hot", "standardize", "train_validation_split"]

CHUNK = 64


def normalize_images(images: np.ndarray) -> np.ndarray:
    """Scale pixels from [0, 255] to [0, 1]: ``images / 255``.

    Parameters
    ----------
    images : array of two or more axes, of integers or floats in [0, 255]
        One image or many, grey or coloured; as a rule uint8.

    Returns
    -------
    float32 array of the same shape, in [0, 1]
        No channel axis is added; `add_channel_axis` does that.

    Raises
    ------
    TypeError
        If the pixels are neither integers nor floats.
    ValueError
        If a pixel is below 0, above 255 or not a number; or if they are floats of which none is above 1: they are
        scaled already, and scaling them once more would leave pictures too dark to learn from.

    Examples
    --------
    >>> normalize_images(np.array([[0, 51, 255]], np.uint8)).tolist()
    [[0.0, 0.20000000298023224, 1.0]]
    """
    images = np.asarray(images)
    if images.dtype.kind not in "uif":
        raise TypeError(f"images of dtype {images.dtype}: expected integers or floats in [0, 255]")
    if images.ndim < 2:
        raise ValueError(f"images of shape {images.shape}: expected at least two axes, as in (N, H, W)")
    if images.size and images.dtype != np.uint8:
        low, high = images.min(), images.max()
        if not (low >= 0 and high <= 255):
            raise ValueError(f"pixels from {low} to {high}: expected [0, 255]")
        if images.dtype.kind == "f" and 0 < high <= 1:
            raise ValueError(f"floats from {low:.3g} to {high:.3g}: they are in [0, 1] already, use them as they are")
    return np.divide(images, np.float32(255), dtype=np.float32, casting="unsafe")


def add_channel_axis(images: np.ndarray) -> np.ndarray:
    """Give grey images the channel axis that a convolution expects.

    Parameters
    ----------
    images : (N, H, W) or (N, H, W, C) array

    Returns
    -------
    (N, H, W, 1) array, or what came where it has four axes already
        A view of the same values.

    Raises
    ------
    ValueError
        If there are neither three axes nor four.

    Examples
    --------
    >>> add_channel_axis(np.zeros((5, 28, 28))).shape
    (5, 28, 28, 1)
    >>> add_channel_axis(np.zeros((5, 32, 32, 3))).shape
    (5, 32, 32, 3)
    """
    images = np.asarray(images)
    if images.ndim == 4:
        return images
    if images.ndim != 3:
        hint = "; for one image: images[None]" if images.ndim == 2 else ""
        raise ValueError(f"images of shape {images.shape}: expected (N, H, W) or (N, H, W, C){hint}")
    return images[..., None]


def one_hot(vector: np.ndarray, number_classes: int) -> np.ndarray:
    """Turn each label k into a row of zeros with a one at place k.

    Parameters
    ----------
    vector : (N,) or (N, 1) array of integers in [0, number_classes)
        Labels; the second form is CIFAR-10's.
    number_classes : int
        K, at least 1.

    Returns
    -------
    (N, K) float32 array

    Raises
    ------
    TypeError
        If the labels, or `number_classes`, are not integers.
    ValueError
        If the shape is another, or a label lies outside [0, number_classes).

    Examples
    --------
    >>> one_hot(np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    try:
        K = operator.index(number_classes)
    except TypeError:
        raise TypeError(f"number_classes={number_classes!r}: expected an integer") from None
    if K < 1:
        raise ValueError(f"number_classes={K}: expected at least 1")
    labels = np.asarray(vector)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = "; rows of several values are one-hot already" if labels.ndim == 2 else ""
        raise ValueError(f"labels of shape {labels.shape}: expected (N,) or (N, 1){hint}")
    if labels.size == 0:
        return np.zeros((0, K), np.float32)
    if labels.dtype.kind not in "ui":
        raise TypeError(f"labels of dtype {labels.dtype}: expected integers; if they are whole: vector.astype(int)")
    outside = np.flatnonzero((labels < 0) | (labels >= K))
    if outside.size:
        first = outside[0]
        raise ValueError(
            f"label {labels[first]} at position {first}: expected 0 to {K - 1} for number_classes={K}"
            + (f"; for labels up to {labels.max()}: number_classes={labels.max() + 1}" if labels.min() >= 0 else "")
        )
    encoded = np.zeros((len(labels), K), np.float32)
    encoded[np.arange(len(labels)), labels] = 1
    return encoded


def standardize(x_train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Shift and scale each channel to zero mean and unit deviation over the training split.

    The other splits are shifted and scaled by the training split's figures: their own must not be known before they are
    predicted.

    Parameters
    ----------
    x_train : (N, H, W, C), (N, H, W) or (N, D) array of integers or floats
        Of grey images without a channel axis, all pixels are one channel; of rows, each column is one.
    *others : arrays of the same shape but for N

    Returns
    -------
    tuple of float32 arrays
        As many as came, in their order; float64 arrays where `x_train` is float64. A channel without any deviation
        becomes zero.

    Raises
    ------
    TypeError
        If the values are neither integers nor floats.
    ValueError
        If `x_train` is empty, has another number of axes or holds values that are not finite, or if another split's
        shape doesn't fit it.

    Examples
    --------
    >>> x_train, x_test = standardize(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 5.0]]))
    >>> x_train.tolist(), x_test.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [[3.0, 0.0]])
    """
    splits = [np.asarray(x) for x in (x_train, *others)]
    train = splits[0]
    if train.ndim not in (2, 3, 4):
        raise ValueError(f"x_train of shape {train.shape}: expected (N, H, W, C), (N, H, W) or (N, D)")
    if train.size == 0:
        raise ValueError(f"x_train of shape {train.shape} is empty: it has no mean")
    for x in splits:
        if x.dtype.kind not in "uif":
            raise TypeError(f"images of dtype {x.dtype}: expected integers or floats")
        if x.shape[1:] != train.shape[1:]:
            raise ValueError(f"a split of shape {x.shape} beside x_train of {train.shape}: they may differ in N only")
    C = 1 if train.ndim == 3 else train.shape[-1]
    sums = sum(rows.sum(axis=0) for rows in _rows(train))                             # (D,), D numbers an image
    lowest, highest = (pick(train.reshape(-1, C), axis=0) for pick in (np.min, np.max))
    constant = np.resize(lowest == highest, sums.size)      # of equal numbers a sum has rounding, and a mean is not quite them
    mean = np.where(constant, np.resize(lowest, sums.size), _per_channel(sums, C) / len(train))
    squares = sum(((rows - mean) ** 2).sum(axis=0) for rows in _rows(train))
    deviation = np.sqrt(_per_channel(squares, C) / len(train))
    if not np.isfinite(deviation).all():
        raise ValueError("x_train holds values that are not finite; np.argwhere(~np.isfinite(x_train)) tells where")
    scale = np.where(deviation > 0, deviation, 1)
    dtype = np.float64 if train.dtype == np.float64 else np.float32
    results = []
    for x in splits:
        out = np.empty((len(x), mean.size), dtype)
        for start, rows in zip(range(0, len(x), CHUNK), _rows(x), strict=True):
            out[start : start + CHUNK] = (rows - mean) / scale
        results.append(out.reshape(x.shape))
    return tuple(results)


def _rows(x: np.ndarray) -> Iterator[np.ndarray]:
    """Give some images at a time, each a row of float64: all of CIFAR-10 at once would take 1.2 GB."""
    for start in range(0, len(x), CHUNK):
        chunk = x[start : start + CHUNK]
        yield chunk.reshape(len(chunk), -1).astype(np.float64)


def _per_channel(values: np.ndarray, C: int) -> np.ndarray:
    """Give each of D numbers of an image the mean over its channel."""
    return np.tile(values.reshape(-1, C).mean(axis=0), values.size // C)


def train_validation_split(
    x: np.ndarray, y: np.ndarray, fraction: float = 0.1, *, seed: int | None = None, stratify: bool = False
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Set a random part of the images aside for validation.

    Parameters
    ----------
    x : (N, ...) array
    y : (N,), (N, 1) or one-hot (N, K) array
    fraction : float
        The part that is set aside, between 0 and 1; the number of images is rounded.
    seed : int, optional
        The same seed gives the same split; without one, every call gives another.
    stratify : bool
        Take the fraction of each class instead of the whole, to within one image; a class keeps at least one for
        training.

    Returns
    -------
    (x_train, y_train), (x_validation, y_validation)
        Both in random order.

    Raises
    ------
    ValueError
        If `x` and `y` differ in length, `fraction` isn't between 0 and 1, or a part would be empty.

    Examples
    --------
    >>> x, y = np.arange(10), np.array([0] * 8 + [1] * 2)
    >>> (x_train, y_train), (x_val, y_val) = train_validation_split(x, y, 0.5, seed=0, stratify=True)
    >>> sorted(y_val.tolist()), sorted([*x_train, *x_val]) == list(range(10))
    ([0, 0, 0, 0, 1], True)
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"x of shape {x.shape} and y of shape {y.shape}: expected one label for each of N images")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction}: expected a number between 0 and 1, such as 0.1")
    N = len(x)
    aside = round(N * fraction)
    if not 0 < aside < N:
        raise ValueError(f"fraction={fraction} of {N} images is {aside}: one part would be empty")
    order = np.random.default_rng(seed).permutation(N)
    chosen = np.zeros(N, bool)                          # by place in `order`
    if stratify:
        classes = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(N)
        chosen[_stratified(classes[order], fraction, aside)] = True
    else:
        chosen[:aside] = True
    train, validation = order[~chosen], order[chosen]
    return (x[train], y[train]), (x[validation], y[validation])


def _stratified(classes: np.ndarray, fraction: float, aside: int) -> np.ndarray:
    """Choose about `aside` places: of each class the whole part of its share, then by the largest remainders."""
    _, which, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    shares = sizes * fraction
    quotas = np.floor(shares).astype(int)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    may_give = by_remainder[(sizes - quotas)[by_remainder] > 1]
    quotas[may_give[: aside - quotas.sum()]] += 1
    return np.concatenate([np.flatnonzero(which == k)[:quota] for k, quota in enumerate(quotas)])
