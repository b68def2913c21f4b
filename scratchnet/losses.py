"""Loss functions: they measure how wrong the network's outputs are, and their gradients are where backward starts.

Softmax cross-entropy measures how improbable the network finds the labels. With logits z of one image, probabilities
p = softmax(z) and a label y (a one-hot row, or any distribution):

    loss = -Σ_k y_k log p_k,       log p_k = (z_k - max z) - log Σ_i exp(z_i - max z)

It is computed from the logits: the logarithm cancels the exponential of softmax. The logarithm of a p that was rounded to 0
would be -inf; computed from z, log p is finite. The gradient becomes simple too. With δ_kj = 1 where k = j, and 0 elsewhere,

    ∂ log p_k/∂z_j = δ_kj - exp(z_j - max z) / Σ_i exp(z_i - max z)  =  δ_kj - p_j
    dz_j = -Σ_k y_k (δ_kj - p_j)  =  -y_j + p_j Σ_k y_k              =  p_j - y_j          since Σ_k y_k = 1

(max z depends on z too. But log p does not depend on which number is subtracted, so max z may be treated as a constant.)
The loss of a batch is the mean over its N images, so the row of dlogits that belongs to an image is (p - y) / N.

Label smoothing replaces each label row y by y (1 - s) + s / K, with a small s such as 0.1. The loss is lowest at p = y, and with
this y no p_k has to be 0 or 1, for which logits would have to grow without limit. The rows still have the sum (1 - s) + K · s / K
= 1, so the gradient stays p - y, with the smoothed y. All K classes receive s / K, the true one too, which then has 1 - s + s / K.

With a weight w_n for each image, its loss is multiplied by w_n, and so is the row of its gradient. As in Keras, the sum is
still divided by N, and not by the sum of the weights: weights that are twice as large give twice the loss.

A loss of your own derives from `Loss` and defines `one_hot` and `value_and_gradient`; see examples/09_your_own_loss.py.

Source: Bishop, *Pattern recognition and machine learning* (2006), equations 4.108 and 4.109; Bridle, *Probabilistic
interpretation of feedforward classification network outputs* (1990). Label smoothing: Szegedy et al., *Rethinking the Inception
architecture for computer vision* (2016), section 7.
"""

from __future__ import annotations

import warnings
from inspect import Parameter, signature
from typing import Any

import numpy as np

from scratchnet.layers.activations import softmax_forward as softmax
from scratchnet.support.arithmetic import quiet
from scratchnet.support.arrays import Number, Tensor
from scratchnet.support.checking import check_flag, check_fraction, check_weights, number_array, plain_array, shortened
from scratchnet.support.config import config_of
from scratchnet.support.keywords import name_arguments, named_arguments

__all__ = [
    "CategoricalCrossentropy",
    "Loss",
    "SparseCategoricalCrossentropy",
    "categorical_crossentropy",
    "get",
    "log_softmax",
    "smooth_labels",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_losses",
    "sparse_categorical_crossentropy",
]


@quiet
def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax of every row; the maximum of the row is subtracted first: (N, K) -> (N, K)."""
    logits = number_array("log_softmax", "logits", logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)                       # the largest is 0
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))        # the sum is between 1 and K


@quiet
def softmax_cross_entropy_losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the loss of each image: (N, K), (N, K) -> (N,).

    Real logits are converted to float64 first. This costs little, and the rounding errors of log p are then below those of float32.
    (Complex logits are those of `gradcheck.complex_step_gradient`.)

    Raises
    ------
    ValueError
        For labels of another shape, which NumPy would broadcast, and for arrays that are not numbers or are masked.
    """
    logits, y = _same_shape(logits, y)
    logits = logits if np.iscomplexobj(logits) else logits.astype(np.float64)
    return -(y * log_softmax(logits)).sum(axis=-1)


@quiet
def smooth_labels(y: np.ndarray, s: float) -> np.ndarray:
    """Return y (1 - s) + s / K: (N, K) -> (N, K).

    Examples
    --------
    >>> smooth_labels(np.array([[0.0, 0.0, 1.0, 0.0]]), 0.2)
    array([[0.05, 0.05, 0.85, 0.05]])
    """
    return y * (1 - s) + s / y.shape[-1] if s else y


@quiet
def softmax_cross_entropy(
    logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Return the mean loss of a batch and its gradient with respect to the logits.

    Parameters
    ----------
    logits : ndarray (N, K)
    y : ndarray (N, K)
        One-hot rows, or other distributions, with sum 1.
    sample_weight : ndarray (N,), optional
        A factor for the loss of each image.

    Returns
    -------
    loss : float
        0 or more, computed with the natural logarithm.
    dlogits : ndarray (N, K) of the dtype of `logits`, float64 for whole numbers
        (p - y) / N, each row times the weight of its image. p is computed in this dtype, and not in float64 as the loss is, because
        backward also computes in this dtype and has rounding errors of the same size.

    Raises
    ------
    ValueError
        For logits that are not (N, K), and labels of another shape.

    Examples
    --------
    >>> loss, dlogits = softmax_cross_entropy(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]))
    >>> round(loss, 4), dlogits
    (0.6931, array([[-0.5,  0.5]]))
    """
    logits, y = _same_shape(logits, y)
    if logits.ndim != 2 or not len(logits):
        raise ValueError(
            f"softmax_cross_entropy: expected logits of shape (N, K), at least one row, got shape {logits.shape}. Pass one row for"
            " each image"
        )
    losses = softmax_cross_entropy_losses(logits, y)            # (N, K), (N, K) -> (N,)
    dlogits = (np.exp(log_softmax(logits)) - y) / len(logits)   # (p - y) / N: (N, K)
    if sample_weight is not None:
        w = number_array("softmax_cross_entropy", "sample_weight", sample_weight)
        if w.shape != (len(logits),):
            raise ValueError(
                f"softmax_cross_entropy: expected sample_weight of shape ({len(logits)},), got {w.shape}. Pass one for each row"
            )
        losses, dlogits = w * losses, w[:, np.newaxis] * dlogits        # (N, 1) * (N, K) -> (N, K)
    return float(losses.mean()), dlogits.astype(logits.dtype, copy=False)


def _same_shape(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays of numbers, or raise ValueError when NumPy would broadcast one of them."""
    logits, y = (number_array("softmax cross-entropy", name, a) for name, a in (("logits", logits), ("y", y)))
    if logits.shape != y.shape:
        raise ValueError(
            f"softmax cross-entropy: expected logits and labels of the same shape, got {logits.shape} and {y.shape}."
            " Convert integer labels to rows with preprocessing.one_hot(y, K)"
        )
    return logits, y


class Loss:
    """The base of every loss.

    Training calls `one_hot` once for all labels, and `value_and_gradient` for each batch. A loss of your own defines both.

    Parameters
    ----------
    from_logits : bool
        Whether the model's outputs are logits; False: probabilities, such as a softmax computes.

    Attributes
    ----------
    name : str
        A class attribute. A loss of this library has this name in `compile(loss=...)` and in a saved model.
    labels : {"one-hot", "integer"}, optional
        A class attribute: the labels that `one_hot` takes; `compile` then refuses metrics for other labels.
    takes_weights : bool
        A class attribute: whether `value_and_gradient` has the argument `sample_weight`; found from its signature.
    """

    name: str
    labels: str | None = None
    takes_weights = False
    label_smoothing = 0.0

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)
        if "value_and_gradient" in vars(cls):
            parameters = signature(cls.value_and_gradient).parameters.values()
            cls.takes_weights = any(p.name == "sample_weight" or p.kind is Parameter.VAR_KEYWORD for p in parameters)

    @named_arguments
    def __init__(self, from_logits: bool = False):
        self.from_logits = check_flag("from_logits", from_logits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this loss: those of the constructor's signature."""
        return config_of(self)

    def one_hot(self, y: np.ndarray, K: int) -> np.ndarray:
        """Check labels for K classes and return them as rows (N, K), which `value_and_gradient` receives."""
        raise NotImplementedError(f"{type(self).__name__} needs a method one_hot(self, y, K)")

    def value_and_gradient(
        self, logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the mean loss of a batch and its gradient with respect to the logits.

        Parameters
        ----------
        logits : ndarray (N, K)
            What the final softmax receives, or the outputs of a model without one.
        y : ndarray (N, K)
            Rows of `one_hot`.
        sample_weight : ndarray (N,), optional
            Passed only if training has weights. A loss of your own need not have this argument.

        Returns
        -------
        loss : float
        dlogits : ndarray (N, K) of the dtype of `logits`
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method value_and_gradient(self, logits, y)")

    @quiet
    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
        """Return the mean loss.

        Parameters
        ----------
        y_true : ndarray
            Labels: (N, K) one-hot for the categorical loss, (N,) integers for the sparse one.
        y_pred : ndarray (N, K)
            Probabilities, or logits with `from_logits=True`. As in Keras, each row of probabilities is divided by its sum. A
            probability of 0 for the true class gives inf, and a NaN gives NaN.
        sample_weight : ndarray (N,), optional
            A factor of at least 0 for the loss of each row. The sum is divided by N, not by the sum of the weights.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            For labels of another kind or number, and for predictions that are not probabilities: of another shape, negative,
            above 1, or a row of zeros.

        Warns
        -----
        UserWarning
            For a single class: its probability is 1 and the loss 0, whatever the network computes.
        """
        logits, y, infinite = self.checked(y_true, y_pred)
        if sample_weight is None:
            return Number("inf" if infinite.any() else self.value_and_gradient(logits, y)[0])
        self.check_takes_weights()
        w = check_weights(type(self).__name__, sample_weight, len(y))
        return Number("inf" if (infinite & (w > 0)).any() else self.value_and_gradient(logits, y, sample_weight=w)[0])

    def check_takes_weights(self) -> None:
        """Raise ValueError for a loss that cannot weight samples."""
        if not self.takes_weights:
            raise ValueError(
                f"{type(self).__name__}: expected a loss that weights samples, got one whose value_and_gradient has no"
                " sample_weight. Define value_and_gradient(self, logits, y, sample_weight=None), or leave the weights out"
            )

    def checked(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the logits (N, K), the rows of the labels (N, K), and which losses (N,) are infinite.

        Logits of a row of probabilities p are log p, since softmax(log p) = p / Σ p.
        """
        who = type(self).__name__
        y_pred = number_array(who, "y_pred", y_pred)
        if y_pred.dtype.kind == "c":
            raise ValueError(f"{who}: expected y_pred as real numbers, got {y_pred.dtype}. Take the real part: y_pred.real")
        if y_pred.ndim != 2 or not y_pred.size:
            one = y_pred.ndim == 1 and y_pred.size
            fix = "Make one sample a batch of one: y_pred[np.newaxis]" if one else "Pass one row for each sample"
            raise ValueError(f"{who}: expected y_pred of shape (N, K), with at least one row, got shape {y_pred.shape}. {fix}")
        y = self.one_hot(plain_array(who, "y_true", y_true), y_pred.shape[1])
        if len(y) != len(y_pred):
            raise ValueError(
                f"{who}: expected one label for each prediction, got {len(y)} labels and {len(y_pred)} predictions."
                " Pass both for the same images"
            )
        if self.from_logits:
            return y_pred, y, np.zeros(len(y), bool)
        if (y_pred < 0).any() or (y_pred > 1).any():
            raise ValueError(
                f"{who}: expected y_pred as probabilities, got numbers from {y_pred.min():g} to"
                f" {y_pred.max():g}. For logits use {who}(from_logits=True)"
            )
        empty = np.flatnonzero(~y_pred.any(axis=1))
        if empty.size:
            raise ValueError(f"{who}: expected rows of y_pred with sum 1, got the sum 0 in row {empty[0]}. Apply softmax")
        infinite = ((y_pred == 0) & (smooth_labels(y, self.label_smoothing) > 0)).any(axis=1)
        # p = 0 is replaced by the smallest normal number, whose log is finite. Where y_k = 0, y_k log p_k is then 0, and not NaN.
        return np.log(np.maximum(y_pred, np.finfo(float).tiny), dtype=np.float64), y, infinite


def warn_of_one_class(who: str, K: int) -> None:
    """Warn if there is one class: softmax gives it the probability 1, so that the loss is 0 and nothing is learned."""
    if K == 1:
        warnings.warn(
            f"{who}: expected at least 2 classes, got 1. Softmax gives a single class the probability 1, so the loss is 0, the"
            " accuracy 1, and nothing is learned. Give the last layer one unit for each class, such as Dense(2)",
            UserWarning,
            stacklevel=3,
        )


class _Crossentropy(Loss):
    """The base of the two losses, which differ only in the labels that they take."""

    def value_and_gradient(
        self, logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Return `softmax_cross_entropy` for the smoothed labels."""
        weights = () if sample_weight is None else (sample_weight,)
        return softmax_cross_entropy(logits, smooth_labels(y, self.label_smoothing), *weights)


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy for one-hot labels (N, K).

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; False: probabilities, such as a softmax computes.
    label_smoothing : float
        From 0 to 1: s in y (1 - s) + s / K.

    Examples
    --------
    >>> loss = CategoricalCrossentropy()
    >>> round(loss(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]])), 4)       # -log 0.75
    0.2877
    >>> loss = CategoricalCrossentropy(label_smoothing=0.1)
    >>> round(loss(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]])), 4)       # -0.05 log 0.25 - 0.95 log 0.75
    0.3426
    """

    name = "categorical_crossentropy"
    labels = "one-hot"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0):
        super().__init__(from_logits)
        self.label_smoothing = check_fraction("label_smoothing", label_smoothing)

    @quiet
    def one_hot(self, y: np.ndarray, K: int) -> np.ndarray:
        """Check that `y` are rows of K non-negative numbers with sum 1, and return them.

        Raises
        ------
        ValueError
            For other labels; the message says how to convert them.
        """
        y = plain_array("categorical_crossentropy", "y", y)
        warn_of_one_class("categorical_crossentropy", K)
        if y.ndim != 2 or y.shape[1] != K:
            raise ValueError(
                f"categorical_crossentropy: expected one-hot labels of shape (N, {K}), got {y.dtype} of shape {y.shape}."
                f" For integer labels: y = one_hot(y, {K}), or loss='sparse_categorical_crossentropy'"
            )
        y = y.astype(np.float32) if y.dtype == np.float16 else y    # sums in float16 have an error in the third digit
        if y.dtype.kind not in "fiub" or not (np.abs(y.sum(axis=1) - 1) <= 1e-4).all() or (y < 0).any():
            raise ValueError(
                f"categorical_crossentropy: expected rows of non-negative numbers with sum 1, got {y.dtype} rows that are not."
                f" Make them with one_hot(labels, {K})"
            )
        return y


class SparseCategoricalCrossentropy(_Crossentropy):
    """Cross-entropy for integer labels (N,) or (N, 1), from 0 to K - 1.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; False: probabilities, such as a softmax computes.
    label_smoothing : float
        From 0 to 1: s in y (1 - s) + s / K. (The loss of this name in Keras has no such argument.)

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy()
    >>> round(loss(np.array([1]), np.array([[0.25, 0.75]])), 4)                # -log 0.75
    0.2877
    """

    name = "sparse_categorical_crossentropy"
    labels = "integer"

    def __init__(self, from_logits: bool = False, *, label_smoothing: float = 0.0):
        super().__init__(from_logits)
        self.label_smoothing = check_fraction("label_smoothing", label_smoothing)

    @quiet
    def one_hot(self, y: np.ndarray, K: int) -> np.ndarray:
        """Check that `y` are integers from 0 to K - 1, and return their one-hot rows.

        Raises
        ------
        ValueError
            For other labels; the message says how to convert them.
        """
        y = plain_array("sparse_categorical_crossentropy", "y", y)
        warn_of_one_class("sparse_categorical_crossentropy", K)
        if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] != 1):
            raise ValueError(
                "sparse_categorical_crossentropy: expected integer labels of shape (N,) or (N, 1), got"
                f" {y.dtype} of shape {y.shape}. For one-hot labels: y = y.argmax(axis=1), or loss='categorical_crossentropy'"
            )
        labels = y.reshape(-1).astype(np.uint8 if y.dtype.kind == "b" else y.dtype, copy=False)
        if labels.dtype.kind not in "fiu" or (labels != np.floor(labels)).any():
            raise ValueError(
                f"sparse_categorical_crossentropy: expected whole numbers from 0 to {K - 1}, got {y.dtype} values that are"
                " not. Number the classes from 0: np.unique(y, return_inverse=True)[1]"
            )
        if len(labels) and (labels.min() < 0 or labels.max() >= K):
            raise ValueError(
                f"sparse_categorical_crossentropy: expected labels from 0 to {K - 1}, one for each of {K} outputs, got labels from"
                f" {labels.min():g} to {labels.max():g}. Give the last layer more units, or number the labels from 0"
            )
        return np.eye(K)[labels.astype(np.intp)]


KNOWN: dict[str, type[Loss]] = {c.name: c for c in (CategoricalCrossentropy, SparseCategoricalCrossentropy)}


@named_arguments
@quiet
def categorical_crossentropy(
    y_true: np.ndarray, y_pred: np.ndarray, from_logits: bool = False, label_smoothing: float = 0.0
) -> np.ndarray:
    """Return the loss of each image: (N, K), (N, K) -> (N,). `compile(loss=...)` takes this function in place of its name.

    Parameters, errors and warnings are those of `CategoricalCrossentropy` and of the call of such an object.

    Examples
    --------
    >>> categorical_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(4)
    array([0.0513, 2.3026])
    """
    return _of_each(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


@named_arguments
@quiet
def sparse_categorical_crossentropy(y_true: np.ndarray, y_pred: np.ndarray, from_logits: bool = False) -> np.ndarray:
    """Return the loss of each image: (N,), (N, K) -> (N,). `compile(loss=...)` takes this function in place of its name.

    Parameters, errors and warnings are those of `SparseCategoricalCrossentropy` and of the call of such an object.

    Examples
    --------
    >>> sparse_categorical_crossentropy([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(4)
    array([0.0513, 2.3026])
    """
    return _of_each(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def _of_each(loss: Loss, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each image: (N,)."""
    logits, y, infinite = loss.checked(y_true, y_pred)
    return Tensor.of(np.where(infinite, np.inf, softmax_cross_entropy_losses(logits, smooth_labels(y, loss.label_smoothing))))


FUNCTIONS = {categorical_crossentropy: CategoricalCrossentropy, sparse_categorical_crossentropy: SparseCategoricalCrossentropy}


def get(loss: Any) -> Loss:
    """Return a loss by name, by its class or function, or a `Loss` object itself.

    Raises
    ------
    ValueError
        For an unknown name, and for a loss that overrides only `__call__`, which training never calls.

    Examples
    --------
    >>> get("categorical_crossentropy")
    CategoricalCrossentropy(from_logits=False, label_smoothing=0.0)
    >>> get(sparse_categorical_crossentropy)
    SparseCategoricalCrossentropy(from_logits=False, label_smoothing=0.0)
    """
    if isinstance(loss, type) and issubclass(loss, Loss) and loss is not Loss:
        loss = loss()
    if isinstance(loss, Loss):
        kind = type(loss)
        if kind.__call__ is not Loss.__call__ and kind.value_and_gradient in (c.value_and_gradient for c in KNOWN.values()):
            raise ValueError(
                f"{kind.__name__}: expected a class that overrides value_and_gradient, got one that overrides only __call__, which"
                " training never calls. Override value_and_gradient(self, logits, y); y are the rows of one_hot(self, y, K)"
            )
        return loss
    named = {**KNOWN, **{kind.__name__: kind for kind in KNOWN.values()}} if isinstance(loss, str) else FUNCTIONS
    try:
        return named[loss]()
    except (KeyError, TypeError):
        raise ValueError(
            f"loss: expected {', '.join(map(repr, KNOWN))} or a Loss object, got {shortened(loss)}. The first is for one-hot"
            " labels, the second for integers (two classes need two outputs); for another loss derive a class from losses.Loss"
        ) from None
