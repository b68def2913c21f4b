"""Preprocessing: stored images and labels become the inputs of a network.

The study uses three functions: `normalize_images` scales pixels, `add_channel_axis` adds a channel axis to grey images, and
`one_hot` encodes labels. `standardize` is the other normalization in the study's theory chapter, and
`train_validation_split` reserves a part of the images for validation. No function modifies its arguments.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import numpy as np

from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import check_flag, check_seed, plain_array, shortened
from scratchnet.support.keywords import named_arguments

__all__ = ["add_channel_axis", "normalize_images", "one_hot", "standardize", "train_validation_split"]

CHUNK = 64


@named_arguments
@quiet
def normalize_images(images: np.ndarray) -> np.ndarray:
    """Scale pixels from [0, 255] to [0, 1]: ``images / 255``.

    Parameters
    ----------
    images : array of two or more axes, of integers or floats in [0, 255]
        One image or many, grey or colour, usually uint8.

    Returns
    -------
    float32 array of the same shape, in [0, 1]
        No channel axis is added; see `add_channel_axis`.

    Raises
    ------
    TypeError
        If the pixels are neither integers nor floats.
    ValueError
        For fewer than two axes, a pixel that is below 0, above 255 or not a number, and floats of which the largest is above 0
        and at most 1: these are scaled already, and dividing by 255 again would make them too small to learn from.

    Examples
    --------
    >>> normalize_images(np.array([[0, 51, 255]], np.uint8)).tolist()
    [[0.0, 0.20000000298023224, 1.0]]
    """
    images = plain_array("normalize_images", "images", images)
    if images.dtype.kind not in "uif":
        raise TypeError(f"normalize_images: expected integers or floats in [0, 255], got {images.dtype}. Pass the stored pixels")
    if images.ndim < 2:
        raise ValueError(f"normalize_images: expected at least two axes, as in (N, H, W), got shape {images.shape}. Reshape them")
    if images.size and images.dtype != np.uint8:
        low, high = images.min(), images.max()
        if not (low >= 0 and high <= 255):
            raise ValueError(f"normalize_images: expected pixels in [0, 255], got {low} to {high}. Rescale them first")
        if images.dtype.kind == "f" and 0 < high <= 1:
            raise ValueError(
                f"normalize_images: expected pixels in [0, 255], got floats from {low:.3g} to {high:.3g}."
                " They are in [0, 1] already. Use them as they are"
            )
    return np.divide(images, np.float32(255), dtype=np.float32, casting="unsafe")


@named_arguments
def add_channel_axis(images: np.ndarray) -> np.ndarray:
    """Return grey images with the channel axis that a convolution expects.

    Parameters
    ----------
    images : (N, H, W) or (N, H, W, C) array

    Returns
    -------
    (N, H, W, 1) array, or `images` itself if it has four axes already
        A view of the same values.

    Raises
    ------
    TypeError
        If the pixels are not numbers.
    ValueError
        If `images` has neither three nor four axes.

    Examples
    --------
    >>> add_channel_axis(np.zeros((5, 28, 28))).shape
    (5, 28, 28, 1)
    >>> add_channel_axis(np.zeros((5, 32, 32, 3))).shape
    (5, 32, 32, 3)
    """
    images = plain_array("add_channel_axis", "images", images)
    if images.dtype.kind not in "uifb":
        raise TypeError(f"add_channel_axis: expected images of numbers, got {images.dtype}. Read them with an image library first")
    if images.ndim == 4:
        return images
    if images.ndim != 3:
        fix = ". For a single image use images[None]" if images.ndim == 2 else ". Reshape them"
        raise ValueError(f"add_channel_axis: expected images of shape (N, H, W) or (N, H, W, C), got {images.shape}{fix}")
    return images[..., None]


@named_arguments
def one_hot(vector: np.ndarray, number_classes: int) -> np.ndarray:
    """Encode each label k as a row of zeros with a one at position k.

    Parameters
    ----------
    vector : (N,) or (N, 1) array of integers in [0, number_classes)
        Labels; those of CIFAR-10 have the second shape.
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
        If the shape is different, or a label is outside [0, number_classes).

    Examples
    --------
    >>> one_hot(np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    try:
        K = operator.index(number_classes)
    except TypeError:
        raise TypeError(f"one_hot: expected an integer, got number_classes={shortened(number_classes)}. For example 10") from None
    if not 1 <= K < 2**31:
        raise ValueError(f"one_hot: expected from 1 to 2**31 - 1 classes, got number_classes={shortened(K)}. For example 10")
    labels = plain_array("one_hot", "vector", vector)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        fix = ". Rows of several values are one-hot already" if labels.ndim == 2 else ". Reshape them"
        raise ValueError(f"one_hot: expected labels of shape (N,) or (N, 1), got {labels.shape}{fix}")
    if labels.size == 0 and labels.dtype.kind in "fuib":       # an empty list becomes an array of floats
        return np.zeros((0, K), np.float32)
    if labels.dtype.kind not in "ui":
        raise TypeError(f"one_hot: expected integers, got {labels.dtype}. If they are whole numbers use vector.astype(int)")
    outside = np.flatnonzero((labels < 0) | (labels >= K))
    if outside.size:
        first = outside[0]
        more = f". For labels up to {labels.max()} use number_classes={labels.max() + 1}"
        fix = more if labels.min() >= 0 else ". Number the classes from 0"
        raise ValueError(
            f"one_hot: expected labels from 0 to {K - 1} for number_classes={K}, got {labels[first]} at position {first}{fix}"
        )
    encoded = np.zeros((len(labels), K), np.float32)
    encoded[np.arange(len(labels)), labels] = 1
    return encoded


@named_arguments
@quiet
def standardize(x_train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Shift and scale each channel to mean 0 and standard deviation 1 over the training split.

    The other splits are shifted and scaled with the mean and deviation of the training split, because a prediction must not
    depend on statistics of the test data.

    Parameters
    ----------
    x_train : (N, H, W, C), (N, H, W) or (N, D) array of integers or floats
        In grey images without a channel axis all pixels are one channel; in rows (N, D) each column is one.
    *others : arrays of the same shape except for N

    Returns
    -------
    tuple of float32 arrays
        One for each argument, in the same order; float64 arrays if `x_train` is float64. A channel that is constant in
        `x_train` becomes 0 there, and is only shifted in the others.

    Raises
    ------
    TypeError
        If the values are neither integers nor floats.
    ValueError
        If `x_train` is empty, has another number of axes or holds values that are not finite, or if the shape of another
        split differs in more than N.

    Examples
    --------
    >>> x_train, x_test = standardize(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 5.0]]))
    >>> x_train.tolist(), x_test.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [[3.0, 0.0]])
    """
    splits = [plain_array("standardize", "x", x) for x in (x_train, *others)]
    train = splits[0]
    if train.ndim not in (2, 3, 4):
        raise ValueError(f"standardize: expected x_train of shape (N, H, W, C), (N, H, W) or (N, D), got {train.shape}. Reshape it")
    if train.size == 0:
        raise ValueError(f"standardize: expected at least one number in x_train, got shape {train.shape}. Pass the training images")
    for x in splits:
        if x.dtype.kind not in "uif":
            raise TypeError(f"standardize: expected integers or floats, got {x.dtype}. Convert them: x.astype('float32')")
        if x.shape[1:] != train.shape[1:]:
            raise ValueError(f"standardize: expected shapes that differ in N only, got {train.shape} and {x.shape}. Reshape one")
    C = 1 if train.ndim == 3 else train.shape[-1]
    sums = sum(rows.sum(axis=0) for rows in _rows(train))                             # (D,): D numbers per image
    lowest, highest = (pick(train.reshape(-1, C), axis=0) for pick in (np.min, np.max))
    constant = np.resize(lowest == highest, sums.size)      # the computed mean of equal numbers may differ by a rounding error
    mean = np.where(constant, np.resize(lowest, sums.size), _per_channel(sums, C) / len(train))
    squares = sum(((rows - mean) ** 2).sum(axis=0) for rows in _rows(train))
    deviation = np.sqrt(_per_channel(squares, C) / len(train))
    if not np.isfinite(deviation).all():
        raise ValueError(
            "standardize: expected finite values in x_train, got NaN or infinity. np.argwhere(~np.isfinite(x_train)) shows where"
        )
    scale = np.where(deviation > 0, deviation, 1)
    dtype = np.float64 if train.dtype.newbyteorder("=") == np.float64 else np.float32
    results = []
    for x in splits:
        out = np.empty((len(x), mean.size), dtype)
        for start, rows in zip(range(0, len(x), CHUNK), _rows(x), strict=True):
            out[start : start + CHUNK] = (rows - mean) / scale
        results.append(out.reshape(x.shape))
    return tuple(results)


def _rows(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some images at a time as rows of float64; all of CIFAR-10 at once would take 1.2 GB."""
    for start in range(0, len(x), CHUNK):
        chunk = x[start : start + CHUNK]
        yield chunk.reshape(len(chunk), -1).astype(np.float64)


def _per_channel(values: np.ndarray, C: int) -> np.ndarray:
    """Return the mean of each channel, repeated for the D numbers of an image: (D,) -> (D,)."""
    return np.tile(values.reshape(-1, C).mean(axis=0), values.size // C)


@named_arguments
def train_validation_split(
    x: np.ndarray, y: np.ndarray, fraction: float = 0.1, *, seed: int | None = None, stratify: bool = False
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Split images and labels at random into a training part and a validation part.

    Parameters
    ----------
    x : (N, ...) array
    y : (N,), (N, 1) or one-hot (N, K) array
    fraction : float
        The share of images for validation, between 0 and 1; their number is rounded.
    seed : int, optional
        The same seed gives the same split; without a seed every call gives a different one.
    stratify : bool
        Whether this fraction of each class is taken, to within one image; at least one image of each class remains for training.

    Returns
    -------
    (x_train, y_train), (x_validation, y_validation)
        Both in random order.

    Raises
    ------
    ValueError
        If `x` and `y` differ in length, `fraction` is not between 0 and 1, or a part would be empty.

    Examples
    --------
    >>> x, y = np.arange(10), np.array([0] * 8 + [1] * 2)
    >>> (x_train, y_train), (x_val, y_val) = train_validation_split(x, y, 0.5, seed=0, stratify=True)
    >>> sorted(y_val.tolist()), sorted([*x_train, *x_val]) == list(range(10))
    ([0, 0, 0, 0, 1], True)
    """
    x, y = (plain_array("train_validation_split", name, value) for name, value in (("x", x), ("y", y)))
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(
            f"train_validation_split: expected one label for each of N images, got x of shape {x.shape} and y of shape {y.shape}."
            " Pass both for the same images"
        )
    if not (np.isscalar(fraction) and isinstance(fraction, (float, np.floating)) and 0 < fraction < 1):
        got = shortened(fraction)
        raise ValueError(f"train_validation_split: expected fraction between 0 and 1, such as 0.1, got {got}")
    seed = check_seed("seed", seed)
    N = len(x)
    count = round(N * fraction)
    if not 0 < count < N:
        raise ValueError(
            f"train_validation_split: expected both parts to have images, got {count} of {N} for validation. Change {fraction=}"
        )
    order = np.random.default_rng(seed).permutation(N)
    chosen = np.zeros(N, bool)                          # by position in `order`
    if check_flag("stratify", stratify):
        if y.ndim > 2 or y.dtype.kind not in "fiubSU":
            raise ValueError(
                f"train_validation_split: expected labels of shape (N,), (N, 1) or (N, K) to stratify, as numbers or strings, got"
                f" {y.dtype} of shape {y.shape}. Pass stratify=False"
            )
        classes = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(N)
        chosen[_stratified(classes[order], fraction, count)] = True
    else:
        chosen[:count] = True
    train, validation = order[~chosen], order[chosen]
    return (x[train], y[train]), (x[validation], y[validation])


def _stratified(classes: np.ndarray, fraction: float, count: int) -> np.ndarray:
    """Return about `count` positions: for each class the integer part of its share, the rest by the largest remainders."""
    _, labels, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    shares = sizes * fraction
    quotas = np.floor(shares).astype(int)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    large_enough = by_remainder[(sizes - quotas)[by_remainder] > 1]
    quotas[large_enough[: count - quotas.sum()]] += 1
    return np.concatenate([np.flatnonzero(labels == k)[:quota] for k, quota in enumerate(quotas)])
