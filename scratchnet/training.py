"""Training: the loop that calls `train_step` for every batch. `Model.fit`, `evaluate` and `predict` are the functions below.

    fit      for each epoch, for each batch:  forward -> loss -> backward -> the optimizer changes every parameter

The loss and accuracy of an epoch are means over its samples, computed while the weights change. Those of the validation data are
computed after the epoch, with its last weights.

`evaluate` and `predict` can average over several views of each image ("test-time augmentation"): see `views`.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet.callbacks import Callback, CallbackList, EpochLines, History, ProgressBar, TerminateOnNaN
from scratchnet.distribution import OneProcess, samples_argument
from scratchnet.layers.base import Samples
from scratchnet.losses import softmax
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import (
    check_augment,
    check_batch_size,
    check_data,
    check_epochs,
    check_finite,
    check_flag,
    check_images,
    check_sample_weights,
    check_steps,
    check_validation,
    check_validation_freq,
    check_verbose,
    shortened,
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
    validation_data: Sequence[np.ndarray] | None = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: np.ndarray | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] = 1,
    *,
    distribution: OneProcess | None = None,
) -> History:
    """Train the model for several epochs.

    Parameters
    ----------
    x : ndarray (n, …)
        Images as floats, such as `preprocessing.normalize_images` returns. n is the number of all images; N is that of a batch.
    y : ndarray
        Labels: (n, K) one-hot, or integers (n,) for the sparse loss.
    batch_size : int, optional
        Images per step; 32 by default. The last batch of an epoch may be smaller.
    epochs : int
        Number of the last epoch, counted from 1.
    verbose : {"auto", 0, 1, 2}
        0 nothing, 1 a progress bar on a terminal and one line per epoch elsewhere, 2 one line per epoch; "auto" is 1.
    callbacks : list of Callback, optional
    validation_split : float
        In [0, 1): the last fraction of the data, before any shuffling, is kept for validation.
    validation_data : (x, y), optional
        Data for validation; `validation_split` is then not used. (x, y, sample_weight) gives the samples weights.
    shuffle : bool
        Whether images are put in a new order for each epoch.
    class_weight : dict of int to float, optional
        The weight of the images of each class, in training only; 1 for a class that is not in the dict.
    sample_weight : ndarray (n,), optional
        The weight of each image: its loss is multiplied by it. As in Keras the sum is divided by the number of images, not by the
        sum of the weights, and of the metrics only `weighted_metrics` are weighted.
    initial_epoch : int
        Number of epochs that are finished already, if training is continued.
    steps_per_epoch : int, optional
        Steps in an epoch. The next epoch continues in the data where this one ends; where the data end, the epoch ends too, with
        a warning. Without `batch_size`, a batch has n / steps_per_epoch images, rounded up.
    validation_steps : int, optional
        How many batches of the validation data are used: the first ones, in each epoch.
    validation_batch_size : int, optional
        `batch_size` by default.
    validation_freq : int or list of int
        Validation runs after each epoch whose number is a multiple of it, or is in the list; the first epoch is 1. The lists of
        validation values in the history are then shorter.
    distribution : DataParallel, optional
        Several processes train the model, each on its part of every batch; see `scratchnet.distribution`.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For data or settings that do not suit the model; it is raised before training starts.
    FloatingPointError
        When a loss is not finite. The message names the first layer whose output is not; the model then has the
        weights of the last epoch with finite values, and its optimizer is reset. With the callback `TerminateOnNaN` training
        ends in the same way without an error.
    RuntimeError
        When another thread is using the model.
    """
    x, labels = check_data(model, x, y)
    weights = check_sample_weights(model, labels, sample_weight)
    (x, labels, weights), validation = check_validation(model, (x, labels, weights), validation_split, validation_data)
    weights = check_sample_weights(model, labels, weights, class_weight)
    epochs_left, shuffle = check_epochs(initial_epoch, epochs), check_flag("shuffle", shuffle)
    validates = check_validation_freq(validation_freq)
    val_size, val_batches = check_steps(
        "validation_steps",
        validation_steps,
        batch_size if validation_batch_size is None else check_batch_size(validation_batch_size, "validation_batch_size"),
        len(validation[0]) if validation else 0,
    )
    batch_size, _ = check_steps("steps_per_epoch", steps_per_epoch, batch_size, len(x))
    order = Order(len(x), batch_size, steps_per_epoch, model.shuffle_rng if shuffle else None, initial_epoch)

    distribution = check_distribution(distribution)
    settings = {
        "shape of x": x.shape, "checksum of y": zlib.crc32(np.ascontiguousarray(labels).data), "batch_size": batch_size,
        "epochs": [*epochs_left], "shuffle": shuffle, "number of validation images": len(validation[0]) if validation else 0,
        "validation_batch_size": val_size, "steps": [steps_per_epoch, val_batches],
    }  # fmt: skip

    given = [callback for callback in as_list(callbacks) if distribution.rank == 0 or not getattr(callback, "writes_files", False)]
    history = model.history = next((c for c in given if isinstance(c, History)), None) or History()
    shown = shown_progress(verbose if distribution.rank == 0 else 0)
    with distribution.fitting(model, settings), shown as progress:
        events = CallbackList([*given, *([] if any(callback is history for callback in given) else [history]), *progress])
        names = ["loss", *model.metrics, *model.weighted_metrics]
        names += [f"val_{name}" for name in names] if validation else []
        sizes = {"epochs": epochs, "steps": steps_per_epoch or order.batches, "batch_size": batch_size, "samples": len(x)}
        events.call("set_model", model)
        events.call("set_params", {**sizes, "verbose": verbose, "metrics": names})
        model.stop_training = False
        events.call("on_train_begin", {})
        logs: dict[str, float] = {}
        good_weights = model.get_weights()
        try:
            for epoch in epochs_left:
                events.call("on_epoch_begin", epoch, {})
                logs = train_epoch(model, x, labels, weights, order, events, distribution)
                distribution.end_epoch(model)
                if validation and validates(epoch):
                    values = mean_values(model, *validation, val_size, val_batches, distribution=distribution)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                if not all(np.isfinite(p).all() for p in model.named_weights.values()):
                    check_finite(model, batch_of(model, x, slice(batch_size)), np.nan)
                good_weights = model.get_weights()
                events.call("on_epoch_end", epoch, logs)
                if distribution.agree(model.stop_training):
                    break
        except FloatingPointError as error:
            model.set_weights(good_weights)
            model.optimizer.reset()
            terminator = next((callback for callback in given if isinstance(callback, TerminateOnNaN)), None)
            if terminator is None:
                raise
            terminator.end(error)
            logs = dict.fromkeys(names, np.nan)
            events.call("on_epoch_end", epoch, logs)
    events.call("on_train_end", logs)
    return history


class Order:
    """Which samples are in which batch: the data again and again, each time in a new order.

    Parameters
    ----------
    count, batch_size : int
    steps : int, optional
        Batches in an epoch: the next epoch then continues where this one ends. By default an epoch is all data.
    rng : numpy.random.Generator, optional
        Draws the orders. None: the order of the data.
    passes : int
        How many times all data have been used before.
    """

    def __init__(self, count: int, batch_size: int, steps: int | None, rng: np.random.Generator | None, passes: int = 0):
        self.count, self.batch_size, self.steps, self.rng, self.passes = count, batch_size, steps, rng, passes
        self.batches = -(-count // batch_size)
        self.next = 0               # the number of the next batch
        self.order = np.arange(count)

    def epoch(self) -> Iterator[np.ndarray]:
        """Return the indices of the samples in each batch of the next epoch."""
        for step in range(self.steps or self.batches):
            if self.next == self.batches:
                warnings.warn(
                    f"steps_per_epoch: expected {self.steps} batches in each epoch, got {step}, because the data end there. The"
                    " next epoch begins with the first batch again. Choose steps_per_epoch as a divisor of"
                    f" {self.batches}, or leave it out",
                    UserWarning,
                    stacklevel=5,
                )
                break
            if self.next == 0 and self.rng is not None:
                self.order = self.rng.permutation(self.count)
            self.next += 1
            yield self.order[(self.next - 1) * self.batch_size : self.next * self.batch_size]
        if self.next == self.batches:
            self.next, self.passes = 0, self.passes + 1


def train_epoch(
    model: Any,
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    order: Order,
    events: CallbackList,
    distribution: OneProcess,
) -> dict[str, float]:
    """Train on the batches of one epoch, and return the mean loss and metrics."""
    means, logs = Means(model, distribution), {}
    for number, batch in enumerate(order.epoch()):
        events.call("on_train_batch_begin", number, {})
        samples = distribution.part(batch, order.passes)        # all of the batch, unless several processes share it
        rows, w = samples.rows, None if weights is None else weights[samples.rows]
        # In one process, this is model.train_step(batch, labels, w). Of several processes, each computes its part of the batch.
        loss, logits = distribution.train_step(model, batch_of(model, x, rows), labels[rows], w, samples)
        if samples.counts:
            means.add(loss, logits, labels[rows], w)
        logs = means.values()
        events.call("on_train_batch_end", number, logs)
        if distribution.agree(model.stop_training):
            break
    return logs


@quiet
def mean_values(
    model: Any,
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    batch_size: int,
    number: int,
    show: bool = False,
    augment: str | None = None,
    distribution: OneProcess | None = None,
) -> dict[str, float]:
    """Return the mean loss and metrics over the first `number` batches, without training."""
    distribution = distribution or OneProcess()
    means = Means(model, distribution)
    for whole in batches(min(len(x), number * batch_size), batch_size, "evaluate", show):
        samples = distribution.part(whole, 0)
        rows = slice(samples.rows.start, samples.rows.stop)
        batch, w = batch_of(model, x, rows), None if weights is None else weights[rows]
        loss, logits = distribution.test_step(model, batch, labels[rows], w, samples, augment)
        check_finite(model, batch, loss)
        if samples.counts:
            means.add(loss, logits, labels[rows], w)
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
    sample_weight: np.ndarray | None = None,
    steps: int | None = None,
    *,
    return_dict: bool = False,
    augment: str | None = None,
) -> Any:
    """Return the loss and the metrics over all data.

    Parameters
    ----------
    x, y : ndarray
        As for `fit`.
    batch_size : int, optional
        32 by default; it changes the values only by rounding.
    verbose : {"auto", 0, 1, 2}
        "auto" and 1 show a bar on a terminal; 0 and 2 show none.
    sample_weight : ndarray (n,), optional
        As for `fit`.
    steps : int, optional
        How many batches are used, the first ones. Without `batch_size`, a batch has n / steps images, rounded up.
    return_dict : bool
    augment : {None, "flip", "translate", "flip_translate"}
        Loss and metrics are computed from the logits averaged over several views of each image; see `predict`.

    Returns
    -------
    [loss, metrics ...], such as [loss, accuracy], or a dict of them, or the loss alone without metrics

    Raises
    ------
    ValueError
        For data that does not suit the model.
    FloatingPointError
        When a loss is not finite; the message names the first layer whose output is not.
    """
    return_dict = check_flag("return_dict", return_dict)
    x, labels = check_data(model, x, y)
    weights = check_sample_weights(model, labels, sample_weight)
    augment = check_augment(augment, model.nodes[0].shape, model.nodes[-1].shape)
    batch_size, number = check_steps("steps", steps, batch_size, len(x))
    return result(mean_values(model, x, labels, weights, batch_size, number, check_verbose(verbose) == 1, augment), return_dict)


@named_arguments
@exclusive(trains=False)
@quiet
def predict(
    model: Any,
    x: np.ndarray,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    steps: int | None = None,
    *,
    augment: str | None = None,
) -> np.ndarray:
    """Return the model's outputs, such as probabilities (n, K); the model need not be compiled.

    Parameters
    ----------
    x : ndarray (n, …)
    batch_size : int, optional
        32 by default.
    verbose : {"auto", 0, 1, 2}
        "auto" and 1 show a bar on a terminal; 0 and 2 show none.
    steps : int, optional
        As for `evaluate`: only the images of the first batches.
    augment : {None, "flip", "translate", "flip_translate"}
        The views of each image whose logits are averaged ("test-time augmentation"). The softmax is applied after this, so that
        the probabilities of an image still have the sum 1. (Keras has no such argument; Ultralytics' `predict` has one of this
        name.) The views and their weights are:

        - "flip": the image and its mirror image, 1/2 each. Not for digits: a mirrored digit is not a digit.
        - "translate": the image, 1/2; the image moved by one pixel up and to the left, 1/4; and down and to the right, 1/4. Pixels
          from outside are filled with the reflection of the image, as `np.pad(mode="reflect")` does.
        - "flip_translate": these three and their mirror images, each with half of the weight.

    Returns
    -------
    ndarray (n, K)

    Raises
    ------
    ValueError
        For images that do not suit the model.

    Notes
    -----
    The source of "flip_translate" is Jordan, *94% on CIFAR-10 in 3.29 seconds on a single GPU* (2024), section 3.5, where logits
    are averaged too. Averaging log-probabilities instead would give the same result: for each view, they are the logits minus one
    number, which the softmax ignores.
    """
    model.build_for_data(x)
    x = check_images(x, model.nodes[0].shape)
    augment = check_augment(augment, model.nodes[0].shape, model.nodes[-1].shape)
    batch_size, number = check_steps("steps", steps, batch_size, len(x))
    x = x[: number * batch_size]
    out = np.empty((len(x), *model.nodes[-1].shape), model.dtype)
    for numbers in batches(len(x), batch_size, "predict", show=check_verbose(verbose) == 1):
        rows = slice(numbers.start, numbers.stop)
        batch = batch_of(model, x, rows)
        out[rows] = mean_output(model, batch, augment) if augment else model.forward(batch, keep=False)
    return out


# -- several views of each image --------------------------------------------------------------------------------------


def views(x: np.ndarray, augment: str) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the weight of each view that `augment` names, and the images in this view, (N, H, W, C); see `predict`.

    The sum of the weights is 1.

    Examples
    --------
    >>> x = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)
    >>> for weight, view in views(x, "translate"):
    ...     print(weight, view[0, :, :, 0].astype(int).tolist())
    0.5 [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    0.25 [[4, 5, 4], [7, 8, 7], [4, 5, 4]]
    0.25 [[4, 3, 4], [1, 0, 1], [4, 3, 4]]
    """
    H, W = x.shape[1:3]
    moved = [(1.0, x)]
    if "translate" in augment:
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")                # -> (N, H + 2, W + 2, C)
        moved = [(0.5, x), (0.25, padded[:, 2:, 2:]), (0.25, padded[:, :H, :W])]
    for weight, view in moved:
        if "flip" in augment:
            weight /= 2
            yield weight, view[:, :, ::-1]
        yield weight, view


def mean_logits(model: Any, x: np.ndarray, augment: str) -> np.ndarray:
    """Return the weighted mean of the logits over the views of each image: (N, H, W, C) -> (N, K)."""
    logits_of = partial(model.forward, to=model.logits, keep=False)
    return sum(weight * logits_of(np.ascontiguousarray(view)) for weight, view in views(x, augment))


def mean_output(model: Any, x: np.ndarray, augment: str) -> np.ndarray:
    """Return the softmax of the mean logits, or the mean logits if the model does not end in softmax: (N, H, W, C) -> (N, K)."""
    logits = mean_logits(model, x, augment)
    return logits if model.logits is model.nodes[-1] else softmax(logits)


# -- one batch --------------------------------------------------------------------------------------------------------


@named_arguments
@exclusive(trains=True)
@quiet
def train_on_batch(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray | None = None,
    class_weight: Mapping[int, float] | None = None,
    *,
    return_dict: bool = False,
) -> Any:
    """Train one step on one batch.

    Parameters
    ----------
    x : ndarray (N, …)
    y : ndarray
        As for `fit`.
    sample_weight, class_weight : optional
        As for `fit`.
    return_dict : bool

    Returns
    -------
    [loss, metrics ...], or a dict of them, or the loss alone without metrics: those of this batch, before the step.

    Raises
    ------
    ValueError
        For data that does not suit the model.
    FloatingPointError
        When the loss is not finite. In this case the weights are not changed.
    """
    return_dict = check_flag("return_dict", return_dict)
    x, labels = check_data(model, x, y)
    w = check_sample_weights(model, labels, sample_weight, class_weight)
    state = [(array, array.copy()) for node in model.nodes for array in node.layer.state.values()]
    try:
        loss, logits = model.train_step(x.astype(model.dtype, copy=False), labels, w)
    except FloatingPointError:
        for array, before in state:         # forward has changed it
            array[...] = before
        raise
    return result(values_of(model, loss, logits, labels, w), return_dict)


@named_arguments
@exclusive(trains=False)
@quiet
def test_on_batch(
    model: Any, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, *, return_dict: bool = False
) -> Any:
    """Return the loss and the metrics of one batch as `train_on_batch` does, without training."""
    return_dict = check_flag("return_dict", return_dict)
    x, labels = check_data(model, x, y)
    w = check_sample_weights(model, labels, sample_weight)
    loss, logits = model.test_step(x.astype(model.dtype, copy=False), labels, w)
    return result(values_of(model, loss, logits, labels, w), return_dict)


# -- helpers ----------------------------------------------------------------------------------------------------------


class Means:
    """Running means of the loss and the metrics over the samples of several batches, of all processes that share them."""

    def __init__(self, model: Any, distribution: OneProcess | None = None):
        self.model, self.distribution = model, distribution or OneProcess()
        self.loss, self.count, self.weight = 0.0, 0, 0.0
        # For each metric, how many samples are right, or the sum of their weights.
        self.right: dict[str, float] = dict.fromkeys([*model.metrics, *model.weighted_metrics], 0)

    def add(self, loss: float, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add a batch: its mean loss, its logits (N, K), the rows of its labels (N, K), and its weights (N,) if there are any."""
        self.loss += loss * len(labels)
        self.count += len(labels)
        self.weight += len(labels) if weights is None else float(weights.sum())
        classes = labels.argmax(axis=1) if self.right else labels       # (N, K) -> (N,)
        for name, metric in self.model.metrics.items():
            self.right[name] += int(metric.right(classes, logits).sum())
        for name, metric in self.model.weighted_metrics.items():
            right = metric.right(classes, logits)
            self.right[name] += float(right.sum() if weights is None else (weights * right).sum())

    def values(self) -> dict[str, float]:
        """Return all means by name; a weighted one is 0 if all weights are."""
        sums = self.distribution.total(np.array([self.loss, self.count, self.weight, *self.right.values()], float))
        loss, count, weight, *right = sums.tolist()
        found = dict(zip(self.right, right, strict=True))
        unweighted = {name: found[name] / count for name in self.model.metrics}
        weighted = {name: found[name] / weight if weight else 0.0 for name in self.model.weighted_metrics}
        return {"loss": loss / count, **unweighted, **weighted}


def values_of(
    model: Any, loss: float, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    """Return the loss and the metrics of one batch by name."""
    means = Means(model)
    means.add(loss, logits, labels, weights)
    return {**means.values(), "loss": loss}     # loss itself: (loss · N) / N may be rounded differently


def result(values: dict[str, float], return_dict: bool) -> Any:
    """Return values as Keras does: a dict, a list, or the loss alone if it is the only value."""
    if return_dict:
        return values
    return list(values.values()) if len(values) > 1 else values["loss"]


def samples_for(model: Any, rows: np.ndarray, epoch: int) -> dict[str, Any]:
    """Return the keyword argument `samples` as a dict, for a batch outside `fit`, as in the checks; `rows` are its indices."""
    return samples_argument(model, Samples(rows, epoch))


@quiet
def batch_of(model: Any, x: np.ndarray, rows: Any) -> np.ndarray:
    """Return some rows of the data in the model's precision."""
    return np.ascontiguousarray(x[rows], dtype=model.dtype)


def batches(count: int, batch_size: int, title: str, show: bool) -> Iterable[range]:
    """Return ranges that cut `count` samples into batches, with a progress bar on a terminal."""
    starts = tqdm(range(0, count, batch_size), desc=title, unit="batch", leave=False, disable=None if show else True)
    return (range(start, min(start + batch_size, count)) for start in starts)


def check_distribution(distribution: Any) -> OneProcess:
    """Return the object that divides batches among processes; by default, one for a single process."""
    if distribution is not None and not isinstance(distribution, OneProcess):
        raise ValueError(
            f"distribution: expected a DataParallel, got {shortened(distribution)}. For example"
            " distribution=scratchnet.distribution.DataParallel()"
        )
    return distribution or OneProcess()


def as_list(callbacks: Sequence[Callback] | Callback | None) -> list[Any]:
    """Return a list of callbacks, from one callback, a list of them, or None."""
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    return [callback for callback in given if callback is not None]


@contextmanager
def shown_progress(verbose: int | str) -> Iterator[list[Callback]]:
    """Provide the callbacks that show progress, and close the bar at the end, even if training is interrupted."""
    bar = ProgressBar()
    try:
        shown: dict[int, list[Callback]] = {0: [], 1: [bar], 2: [EpochLines()]}
        yield shown[check_verbose(verbose)]
    finally:
        bar.close()
