"""Training: the loop that calls `train_step` for every batch. `Model.fit`, `evaluate` and `predict` are the functions below.

    fit      for each epoch, for each batch:  forward -> loss -> backward -> the optimizer changes every parameter

The loss and accuracy of an epoch are means over its samples, computed while the weights change. Those of the validation data are
computed after the epoch, with its last weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet.callbacks import Callback, CallbackList, EpochLines, History, ProgressBar
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import (
    check_batch_size,
    check_data,
    check_epochs,
    check_finite,
    check_flag,
    check_images,
    check_validation,
    check_verbose,
)
from scratchnet.support.exclusive import exclusive
from scratchnet.support.keywords import named_arguments

# -- many batches -----------------------------------------------------------------------------------------------------


@named_arguments
@exclusive(trains=True)
def fit(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Sequence[Callback] | Callback | None = None,
    validation_split: float = 0.0,
    validation_data: tuple[np.ndarray, np.ndarray] | None = None,
    shuffle: bool = True,
    *,
    initial_epoch: int = 0,
) -> History:
    """Train the model for several epochs.

    Parameters
    ----------
    x : ndarray (n, …)
        Images as floats, such as `preprocessing.normalize_images` returns.
    y : ndarray
        Labels: (n, K) one-hot, or integers (n,) for the sparse loss.
    batch_size : int, optional
        Images per step; 32 by default. The last batch of an epoch may be smaller.
    epochs : int
        Number of the last epoch, counted from 1.
    verbose : {"auto", 0, 1, 2}
        0 nothing, 1 a progress bar (on a terminal only), 2 one line per epoch; "auto" is 1 on a terminal, 2 elsewhere.
    callbacks : list of Callback, optional
    validation_split : float
        In [0, 1): the last fraction of the data, before any shuffling, is kept for validation.
    validation_data : (x, y), optional
        Data for validation; `validation_split` is then not used.
    shuffle : bool
        Whether images are put in a new order for each epoch.
    initial_epoch : int
        Number of epochs that are finished already, if training is continued.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For data or settings that do not suit the model; it is raised before training starts.
    FloatingPointError
        When a loss is not finite. The message names the first layer whose output is not; the model then has the
        weights of the last epoch with finite values, and its optimizer is reset.
    RuntimeError
        When another thread is using the model.
    """
    batch_size = check_batch_size(batch_size)
    x, labels, validation = check_validation(model, *check_data(model, x, y), validation_split, validation_data)
    epochs_left, shuffle = check_epochs(initial_epoch, epochs), check_flag("shuffle", shuffle)

    given = as_list(callbacks)
    history = model.history = next((c for c in given if isinstance(c, History)), None) or History()
    with shown_progress(verbose) as progress:
        events = CallbackList([*given, *([] if any(callback is history for callback in given) else [history]), *progress])
        names = ["loss", *model.metrics]
        names += [f"val_{name}" for name in names] if validation else []
        sizes = {"epochs": epochs, "steps": -(-len(x) // batch_size), "batch_size": batch_size, "samples": len(x)}
        events.call("set_model", model)
        events.call("set_params", {**sizes, "verbose": verbose, "metrics": names})
        model.stop_training = False
        events.call("on_train_begin", {})
        logs: dict[str, float] = {}
        good_weights = model.get_weights()
        try:
            for epoch in epochs_left:
                events.call("on_epoch_begin", epoch, {})
                logs = train_epoch(model, x, labels, batch_size, shuffle, events)
                if validation:
                    values = mean_values(model, *validation, batch_size)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                if not all(np.isfinite(p).all() for p in model.named_weights.values()):
                    check_finite(model, batch_of(model, x, slice(batch_size)), np.nan)
                good_weights = model.get_weights()
                events.call("on_epoch_end", epoch, logs)
                if model.stop_training:
                    break
        except FloatingPointError:
            model.set_weights(good_weights)
            model.optimizer.reset()
            raise
    events.call("on_train_end", logs)
    return history


def train_epoch(
    model: Any, x: np.ndarray, labels: np.ndarray, batch_size: int, shuffle: bool, events: CallbackList
) -> dict[str, float]:
    """Train on all data once, and return the mean loss and accuracy."""
    order = model.shuffle_rng.permutation(len(x)) if shuffle else np.arange(len(x))
    means, logs = Means(model), {}
    for number, start in enumerate(range(0, len(x), batch_size)):
        rows = order[start : start + batch_size]
        events.call("on_train_batch_begin", number, {})
        loss, logits = model.train_step(batch_of(model, x, rows), labels[rows])
        means.add(loss, logits, labels[rows])
        logs = means.values()
        events.call("on_train_batch_end", number, logs)
        if model.stop_training:
            break
    return logs


@quiet
def mean_values(model: Any, x: np.ndarray, labels: np.ndarray, batch_size: int, show: bool = False) -> dict[str, float]:
    """Return the mean loss and accuracy over all data, without training."""
    means = Means(model)
    for rows in batches(len(x), batch_size, "evaluate", show):
        batch = batch_of(model, x, rows)
        loss, logits = model.test_step(batch, labels[rows])
        check_finite(model, batch, loss)
        means.add(loss, logits, labels[rows])
    return means.values()


@named_arguments
@exclusive(trains=False)
@quiet
def evaluate(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    *,
    return_dict: bool = False,
) -> Any:
    """Return loss and accuracy over all data.

    Parameters
    ----------
    x, y : ndarray
        As for `fit`.
    batch_size : int, optional
        32 by default; it does not change the values beyond rounding.
    verbose : {"auto", 0, 1, 2}
        0 shows no bar.
    return_dict : bool

    Returns
    -------
    [loss, accuracy], or a dict of them, or the loss alone without metrics

    Raises
    ------
    ValueError
        For data that does not suit the model.
    FloatingPointError
        When a loss is not finite; the message names the first layer whose output is not.
    """
    batch_size, return_dict = check_batch_size(batch_size), check_flag("return_dict", return_dict)
    x, labels = check_data(model, x, y)
    return result(mean_values(model, x, labels, batch_size, show=check_verbose(verbose) == 1), return_dict)


@named_arguments
@exclusive(trains=False)
@quiet
def predict(model: Any, x: np.ndarray, batch_size: int | None = None, verbose: int | str = "auto") -> np.ndarray:
    """Return the model's outputs, such as probabilities (n, K); the model need not be compiled.

    Parameters
    ----------
    x : ndarray (n, …)
    batch_size : int, optional
        32 by default.
    verbose : {"auto", 0, 1, 2}
        0 shows no bar.

    Returns
    -------
    ndarray (n, K)

    Raises
    ------
    ValueError
        For images that do not suit the model.
    """
    batch_size = check_batch_size(batch_size)
    model.build_for_data(x)
    x = check_images(x, model.nodes[0].shape)
    out = np.empty((len(x), *model.nodes[-1].shape), model.dtype)
    for rows in batches(len(x), batch_size, "predict", show=check_verbose(verbose) == 1):
        out[rows] = model.forward(batch_of(model, x, rows), keep=False)
    return out


# -- one batch --------------------------------------------------------------------------------------------------------


@named_arguments
@exclusive(trains=True)
@quiet
def train_on_batch(model: Any, x: np.ndarray, y: np.ndarray, *, return_dict: bool = False) -> Any:
    """Train one step on one batch.

    Parameters
    ----------
    x : ndarray (N, …)
    y : ndarray
        As for `fit`.
    return_dict : bool

    Returns
    -------
    [loss, accuracy], or a dict of them, or the loss alone without metrics: those of this batch, before the step.

    Raises
    ------
    ValueError
        For data that does not suit the model.
    FloatingPointError
        When the loss is not finite. In this case the weights are not changed.
    """
    return_dict = check_flag("return_dict", return_dict)
    x, labels = check_data(model, x, y)
    loss, logits = model.train_step(x.astype(model.dtype, copy=False), labels)
    return result(values_of(model, loss, count_correct(logits, labels), len(x)), return_dict)


@named_arguments
@exclusive(trains=False)
@quiet
def test_on_batch(model: Any, x: np.ndarray, y: np.ndarray, *, return_dict: bool = False) -> Any:
    """Return the loss and accuracy of one batch as `train_on_batch` does, without training."""
    return_dict = check_flag("return_dict", return_dict)
    x, labels = check_data(model, x, y)
    loss, logits = model.test_step(x.astype(model.dtype, copy=False), labels)
    return result(values_of(model, loss, count_correct(logits, labels), len(x)), return_dict)


# -- helpers ----------------------------------------------------------------------------------------------------------


class Means:
    """Running means of loss and accuracy over the samples of several batches."""

    def __init__(self, model: Any):
        self.model = model
        self.loss, self.right, self.count = 0.0, 0, 0

    def add(self, loss: float, logits: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch: its mean loss, its logits (N, K) and the rows of its labels (N, K)."""
        self.loss += loss * len(labels)
        self.right += count_correct(logits, labels)
        self.count += len(labels)

    def values(self) -> dict[str, float]:
        """Return the means by name."""
        return values_of(self.model, self.loss / self.count, self.right, self.count)


def count_correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """Return in how many rows the logits and the label have the same argmax: (N, K), (N, K) -> int."""
    return int((logits.argmax(axis=1) == labels.argmax(axis=1)).sum())


def values_of(model: Any, loss: float, right: int, count: int) -> dict[str, float]:
    """Return the loss and, if the model has that metric, the accuracy by name."""
    return {"loss": loss, **({"accuracy": right / count} if model.metrics else {})}


def result(values: dict[str, float], return_dict: bool) -> Any:
    """Return values as Keras does: a dict, a list, or the loss alone if it is the only value."""
    if return_dict:
        return values
    return list(values.values()) if len(values) > 1 else values["loss"]


@quiet
def batch_of(model: Any, x: np.ndarray, rows: Any) -> np.ndarray:
    """Return some rows of the data in the model's precision."""
    return np.ascontiguousarray(x[rows], dtype=model.dtype)


def batches(count: int, batch_size: int, title: str, show: bool) -> Iterable[slice]:
    """Return slices that cut `count` samples into batches, with a progress bar on a terminal."""
    starts = tqdm(range(0, count, batch_size), desc=title, unit="batch", leave=False, disable=None if show else True)
    return (slice(start, start + batch_size) for start in starts)


def as_list(callbacks: Sequence[Callback] | Callback | None) -> list[Any]:
    """Return a list of callbacks, from one callback, a list of them, or None."""
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    return [callback for callback in given if callback is not None]


@contextmanager
def shown_progress(verbose: int | str) -> Iterator[list[Callback]]:
    """Provide the callbacks that show progress, and close the bar at the end, also when training is interrupted."""
    bar = ProgressBar()
    try:
        shown: dict[int, list[Callback]] = {0: [], 1: [bar], 2: [EpochLines()]}
        yield shown[check_verbose(verbose)]
    finally:
        bar.close()
