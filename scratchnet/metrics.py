"""Statistics of a network's predictions: its accuracy, which classes it confuses, which wrong predictions are the most confident.

A metric of training is the mean of one number per image, 1 for a right prediction and 0 for a wrong one:

    accuracy            right if the largest output is that of the label's class
    top-k accuracy      right if fewer than k outputs are larger than that of the label's class

Softmax does not change which outputs are larger, so logits give the same values as probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from scratchnet.support.checking import check_count, check_name, check_weights, number_array, plain_array, shortened
from scratchnet.support.config import config_of
from scratchnet.support.keywords import name_arguments, named_arguments

__all__ = [
    "CategoricalAccuracy",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "categorical_accuracy",
    "confident_mistakes",
    "confusion_matrix",
    "get",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

# -- metrics of training ----------------------------------------------------------------------------------------------


class Metric:
    """The base of the metrics that `compile(metrics=[...])` takes.

    Parameters
    ----------
    name : str, optional
        Its name in histories and logs; by default that of its class, such as "categorical_accuracy".

    Attributes
    ----------
    labels : {"one-hot", "integer"}
        A class attribute: the labels that `update_state` takes.
    """

    labels = "one-hot"
    default_name = ""
    sum: float
    count: float

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)

    def __init__(self, name: str | None = None):
        self.name = check_name(name) or self.default_name
        self.reset_state()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this metric: those of the constructor's signature."""
        return config_of(self)

    def right(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return whether each prediction is right, from class numbers (N,) and probabilities or logits (N, K): bool (N,)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method right(self, labels, outputs)")

    def of_each(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Return 1 for each right prediction and 0 for each wrong one: (N,).

        Raises
        ------
        ValueError
            If `y_pred` is not (N, K), or `y_true` is not one label for each row, of the kind that `labels` names.
        """
        y_pred = number_array(self.name, "y_pred", y_pred)
        if y_pred.ndim != 2 or not y_pred.size:
            raise ValueError(f"{self.name}: expected y_pred of shape (N, K), got shape {y_pred.shape}. Pass what predict returns")
        y_true = plain_array(self.name, "y_true", y_true)
        if self.labels == "integer":
            labels = _classes(self.name, "y_true", y_true)
            if len(labels) == len(y_pred) and (labels.min() < 0 or labels.max() >= y_pred.shape[1]):
                classes = f"0..{y_pred.shape[1] - 1}"
                raise ValueError(f"{self.name}: expected classes {classes} in y_true, got others. Number them from 0")
        elif y_true.ndim != 2 or y_true.shape[1] != y_pred.shape[1]:
            raise ValueError(
                f"{self.name}: expected one-hot y_true of shape {y_pred.shape}, got shape {y_true.shape}. For integer labels use"
                f" sparse_{self.default_name}"
            )
        else:
            labels = y_true.argmax(axis=1)
        if len(labels) != len(y_pred):
            raise ValueError(
                f"{self.name}: expected one label for each prediction, got {len(labels)} labels and {len(y_pred)} predictions."
                " Pass both for the same images"
            )
        return self.right(labels, y_pred).astype(np.float64)

    @named_arguments
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch to the running mean: labels, probabilities or logits (N, K), and optionally a weight for each image."""
        right = self.of_each(y_true, y_pred)
        w = np.ones(len(right)) if sample_weight is None else check_weights(self.name, sample_weight, len(right))
        self.sum, self.count = self.sum + float((w * right).sum()), self.count + float(w.sum())

    def result(self) -> float:
        """Return the mean of all batches since `reset_state`, weighted if they had weights; 0 if their weights are all 0."""
        return self.sum / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forget all batches."""
        self.sum = self.count = 0.0


class CategoricalAccuracy(Metric):
    """How often the largest output is that of the label's class, for one-hot labels.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> metric = CategoricalAccuracy()
    >>> metric.update_state([[0, 0, 1], [0, 1, 0]], [[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]])
    >>> metric.result()
    0.5
    """

    default_name = "categorical_accuracy"

    def __init__(self, name: str = "categorical_accuracy"):
        super().__init__(name)

    def right(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return whether the argmax of each row is the label."""
        return np.asarray(outputs.argmax(axis=1) == labels)


class SparseCategoricalAccuracy(CategoricalAccuracy):
    """How often the largest output is that of the label's class, for integer labels.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> metric = SparseCategoricalAccuracy()
    >>> metric.update_state([2, 1], [[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]])
    >>> metric.result()
    0.5
    """

    labels = "integer"
    default_name = "sparse_categorical_accuracy"

    def __init__(self, name: str = "sparse_categorical_accuracy"):
        super().__init__(name)


class TopKCategoricalAccuracy(Metric):
    """How often the output of the label's class is among the k largest, for one-hot labels; an output equal to the k-th counts too.

    Parameters
    ----------
    k : int
    name : str

    Examples
    --------
    >>> metric = TopKCategoricalAccuracy(k=2)
    >>> metric.update_state([[0, 0, 1], [0, 1, 0]], [[0.1, 0.2, 0.7], [0.5, 0.2, 0.3]])
    >>> metric.result()
    0.5
    """

    default_name = "top_k_categorical_accuracy"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy"):
        super().__init__(name)
        self.k = check_count("top_k_categorical_accuracy: k", k, "k=5")

    def right(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return whether fewer than k outputs of each row are larger than that of the label; False if the latter is not finite."""
        own = outputs[np.arange(len(labels)), labels][:, np.newaxis]        # (N, K) -> (N, 1)
        return np.asarray(((outputs > own).sum(axis=1) < self.k) & np.isfinite(own[:, 0]))


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """How often the output of the label's class is among the k largest, for integer labels.

    Parameters
    ----------
    k : int
    name : str
    """

    labels = "integer"
    default_name = "sparse_top_k_categorical_accuracy"

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy"):
        super().__init__(k, name)


@named_arguments
def categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return 1 for each right prediction and 0 for each wrong one: (N, K), (N, K) -> (N,)."""
    return CategoricalAccuracy().of_each(y_true, y_pred)


@named_arguments
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return 1 for each right prediction and 0 for each wrong one: (N,), (N, K) -> (N,)."""
    return SparseCategoricalAccuracy().of_each(y_true, y_pred)


@named_arguments
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """Return 1 where the label is among the k largest outputs, else 0: (N, K), (N, K) -> (N,)."""
    return TopKCategoricalAccuracy(k).of_each(y_true, y_pred)


@named_arguments
def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """Return 1 where the label is among the k largest outputs, else 0: (N,), (N, K) -> (N,)."""
    return SparseTopKCategoricalAccuracy(k).of_each(y_true, y_pred)


CLASSES = (CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy)
KNOWN: dict[str, type[Metric]] = {name: kind for kind in CLASSES for name in (kind.default_name, kind.__name__)}
FUNCTIONS: dict[Any, type[Metric]] = dict(
    zip(
        (categorical_accuracy, sparse_categorical_accuracy, top_k_categorical_accuracy, sparse_top_k_categorical_accuracy),
        CLASSES,
        strict=True,
    )
)


def get(metric: Any, labels: str | None = None, classes: Mapping[str, Any] = MappingProxyType({})) -> Metric:
    """Return a metric by name, by its class or function, by what `config` returns, or a `Metric` object itself.

    Parameters
    ----------
    metric : str, Metric, class, function or dict
        "accuracy" and "acc" are the accuracy of labels of either kind. The metric has the name that is given here, as in Keras.
    labels : {"one-hot", "integer"}, optional
        The labels of the loss; by default any.
    classes : dict of str to class
        Classes of your own by name, for what `config` returns for a metric of such a class.

    Raises
    ------
    ValueError
        For anything else, and for a metric that takes other labels than the loss.

    Examples
    --------
    >>> get("acc"), get("acc", "integer")
    (CategoricalAccuracy(name='acc'), SparseCategoricalAccuracy(name='acc'))
    >>> get("top_k_categorical_accuracy")
    TopKCategoricalAccuracy(k=5, name='top_k_categorical_accuracy')
    """
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return SparseCategoricalAccuracy(metric) if labels == "integer" else CategoricalAccuracy(metric)
    made = metric
    if isinstance(metric, str) and metric in KNOWN:
        made = KNOWN[metric](name=metric)
    elif isinstance(metric, dict) and metric.keys() == {"class_name", "config"} and isinstance(metric["config"], dict):
        kind = {**classes, **KNOWN}.get(str(metric["class_name"]))
        made = kind(**metric["config"]) if isinstance(kind, type) else metric
    elif isinstance(metric, type) and issubclass(metric, Metric) and metric is not Metric:
        made = metric()
    elif callable(metric):
        made = next((kind() for function, kind in FUNCTIONS.items() if function is metric), metric)
    if not isinstance(made, Metric):
        known = ", ".join(repr(kind.default_name) for kind in CLASSES)
        raise ValueError(
            f"metrics: expected 'accuracy', {known} or a Metric object, got {shortened(metric)}. The loss is in every history; for"
            " other statistics use predict, or metrics.confusion_matrix"
        )
    if labels is not None and made.labels != labels:
        raise ValueError(
            f"metrics: expected a metric for {labels} labels, which the loss takes, got {shortened(metric)}. Write"
            " metrics=['accuracy'], which suits both"
        )
    return made


def config(metric: Metric) -> str | dict[str, Any]:
    """Return a metric as a value for JSON, from which `get` makes it again: its name if that is enough.

    Examples
    --------
    >>> config(get("acc")), config(CategoricalAccuracy(name="hits"))
    ('acc', {'class_name': 'CategoricalAccuracy', 'config': {'name': 'hits'}})
    """
    arguments = metric.get_config()
    if type(metric) in (CategoricalAccuracy, SparseCategoricalAccuracy) and metric.name.lower() in ("accuracy", "acc"):
        return metric.name
    if KNOWN.get(metric.name) is type(metric) and arguments == KNOWN[metric.name](name=metric.name).get_config():
        return metric.name
    return {"class_name": type(metric).__name__, "config": arguments}


def listed(metrics: Any, labels: str | None = None, classes: Mapping[str, Any] = MappingProxyType({})) -> list[Metric]:
    """Return a list of metrics from a list, one metric or None; each is passed to `get`."""
    given = metrics if isinstance(metrics, (list, tuple)) else [] if metrics is None else [metrics]
    return [get(metric, labels, classes) for metric in given]


def by_name(metrics: Any, labels: str | None = None, taken: Iterable[str] = (), prefix: str = "") -> dict[str, Metric]:
    """Return metrics by the names that they have in histories, from the argument of `compile`.

    A metric whose name is taken gets another, as in Keras: "accuracy_1", or, in `weighted_metrics`, "weighted_accuracy".
    """
    named: dict[str, Metric] = {}
    for metric in listed(metrics, labels):
        name, count = metric.name, 0
        if name in taken:
            name = prefix + name
        while name in named or name in taken or name == "loss":
            count += 1
            name = f"{metric.name}_{count}"
        named[name] = metric
    return named


# -- statistics of predictions ----------------------------------------------------------------------------------------


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
        fix = f" For one-hot rows or probabilities: {name}.argmax(axis=1)." if labels.ndim == 2 else " Reshape them."
        raise ValueError(f"{who}: expected {name} as class numbers of shape (N,) or (N, 1), got shape {labels.shape}.{fix}")
    labels = labels.reshape(-1)
    values = labels.astype(np.float64) if labels.dtype.kind in "fiu" else np.array([np.nan])
    if not (np.abs(values) < 2**31).all() or (values != np.floor(values)).any():
        raise ValueError(
            f"{who}: expected {name} as class numbers, whole numbers from 0, got other values, {labels.dtype}. Number the classes"
            f" from 0: np.unique({name}, return_inverse=True)[1]."
        )
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
        raise ValueError(
            f"confident_mistakes: expected probabilities as numbers, got NaN or another type, {probabilities.dtype}. Pass what"
            " model.predict(x) returns."
        )
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y_true)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
