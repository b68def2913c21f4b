"""Training: how a model meets data.

    fit      for each epoch, for each batch:  forward -> loss -> backward -> the optimizer moves every parameter

`Model` derives from `Training`; what is here needs of it only the plan, the parameters and their gradients.
Values of an epoch are means over its samples, taken while the weights move; those of validation are one pass with the
epoch's last weights.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet import losses, optimizers
from scratchnet.callbacks import Callback, CallbackList, EpochLines, History, ProgressBar
from scratchnet.layers.base import Node
from scratchnet.plan import Plan, is_activation


class Training:
    """What `Model` can do with data."""

    plan: Plan
    nodes: list[Node]
    dtype: np.dtype
    shuffle_rng: np.random.Generator
    optimizer: Any = None
    loss: Any = None
    metrics: tuple[str, ...] = ()
    fuse: bool = True
    history: History | None = None
    stop_training: bool = False

    # -- how to train -------------------------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", loss: Any = "categorical_crossentropy", metrics: Sequence[str] | None = None, *, fuse: bool = True) -> None:
        """Choose optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "adagrad", "adadelta", "adam", or an object with its own settings.
        loss : str or object
            "categorical_crossentropy" for one-hot labels, "sparse_categorical_crossentropy" for integers.
        metrics : list of str, optional
            ["accuracy"], or nothing.
        fuse : bool
            Whether neighbours (a layer and its ReLU) run as one step.

        Raises
        ------
        ValueError
            For unknown names, and when the loss does not suit the model's last layer.
        """
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        metrics = tuple(metrics or ())
        if any(metric not in ("accuracy", "acc") for metric in metrics) or len(metrics) > 1:
            raise ValueError(f"metrics is ['accuracy'] or None; got {list(metrics)!r}")
        if len(self.nodes[-1].shape) != 1:
            raise ValueError(f"a cross-entropy needs one row of numbers a sample; the model gives {self.nodes[-1].shape}. End it with Flatten and Dense")
        ends_in_softmax = is_activation(self.nodes[-1], "softmax")
        name = type(loss).__name__
        if not ends_in_softmax and not loss.from_logits:
            raise ValueError(
                f"the model does not end in softmax, so its outputs are logits: compile(loss={name}(from_logits=True)),"
                " or give the last layer activation='softmax'"
            )
        if ends_in_softmax and loss.from_logits:
            raise ValueError(f"the model ends in softmax, so its outputs are no logits: compile(loss={loss.name!r}), or take the softmax away")
        self.optimizer, self.loss, self.metrics, self.fuse = optimizer, loss, ("accuracy",) if metrics else (), fuse
        self.plan = Plan(self.nodes, fuse)

    def _training_config(self) -> dict[str, Any]:
        if self.optimizer is None:
            return {}
        settings = {
            "optimizer": type(self.optimizer).__name__.lower(),
            "optimizer_config": self.optimizer.get_config(),
            "loss": self.loss.name,
            "loss_config": self.loss.get_config(),
            "metrics": list(self.metrics),
            "fuse": self.fuse,
        }
        return {"compile": settings, "shuffle_state": self.shuffle_rng.bit_generator.state}

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _step(self, x: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Train on one batch: give its loss, and how many images were right, before the weights move."""
        logits = self.plan.forward(x, self.plan.logits)
        loss, dlogits = losses.softmax_cross_entropy(logits, labels)
        if not np.isfinite(loss):
            raise FloatingPointError(self._what_went_wrong(x, loss))
        self.plan.backward(dlogits, self.plan.logits, need_dx=False)
        self.optimizer.update(list(self.params.values()), list(self.grads.values()))        # type: ignore[attr-defined]
        return loss, _count_right(logits, labels)

    def _look(self, x: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Give a batch's loss and how many images were right, and change nothing."""
        logits = self.plan.forward(x, self.plan.logits, keep=False)
        loss, _ = losses.softmax_cross_entropy(logits, labels)
        return loss, _count_right(logits, labels)

    def _what_went_wrong(self, x: np.ndarray, loss: float) -> str:
        """Name the first layer whose output is not finite."""
        if not np.isfinite(x).all():
            return f"the loss is {loss}: the images hold NaN or infinity; look with np.isfinite(x).all(axis=(1, 2, 3))"
        for name, value in self.layer_outputs(x).items():                                   # type: ignore[attr-defined]
            if not np.isfinite(value).all():
                where = f"layer {name!r} is the first whose output is not finite"
                break
        else:
            where = "every layer's output is finite, but too large for the loss"
        return f"the loss is {loss}: {where}. A smaller learning rate often helps; it was {self.optimizer.learning_rate:g}"

    def _values(self, loss: float, right: int, count: int) -> dict[str, float]:
        return {"loss": loss, **({"accuracy": right / count} if self.metrics else {})}

    def _result(self, values: dict[str, float], return_dict: bool) -> Any:
        if return_dict:
            return values
        return list(values.values()) if self.metrics else values["loss"]

    def train_on_batch(self, x: np.ndarray, y: np.ndarray, *, return_dict: bool = False) -> Any:
        """Train one step on one batch.

        Parameters
        ----------
        x : ndarray (N, …)
        y : ndarray
            Labels as the loss takes them.
        return_dict : bool

        Returns
        -------
        [loss, accuracy], or a dict of them, or the loss alone without metrics: this batch's own, before the step.

        Raises
        ------
        ValueError
            For data that does not suit the model.
        FloatingPointError
            When the loss is not finite; the weights have not moved then.
        """
        x, labels = self._check(x, y)
        loss, right = self._step(x.astype(self.dtype, copy=False), labels)
        return self._result(self._values(loss, right, len(x)), return_dict)

    def test_on_batch(self, x: np.ndarray, y: np.ndarray, *, return_dict: bool = False) -> Any:
        """Give the values of one batch as `train_on_batch` does, without training."""
        x, labels = self._check(x, y)
        loss, right = self._look(x.astype(self.dtype, copy=False), labels)
        return self._result(self._values(loss, right, len(x)), return_dict)

    # -- many batches -------------------------------------------------------------------------------------------------

    def fit(
        self,
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
        """Train for some epochs.

        Parameters
        ----------
        x : ndarray (n, …)
            Images as floats, such as `preprocessing.normalize_images` makes.
        y : ndarray
            Labels: (n, K) one-hot, or integers (n,) for the sparse loss.
        batch_size : int, optional
            Images in a step; 32 when not given. The last batch of an epoch may be smaller.
        epochs : int
            Number of the last epoch, counted from 1.
        verbose : {"auto", 0, 1, 2}
            0 nothing, 1 a progress bar (on a terminal only), 2 a line an epoch; "auto" is 1 on a terminal, 2 elsewhere.
        callbacks : list of Callback, optional
        validation_split : float
            In [0, 1): the last fraction of the data, before any shuffling, is kept for validation.
        validation_data : (x, y), optional
            Data for validation; `validation_split` is then not used.
        shuffle : bool
            Whether images come in a new order at each epoch.
        initial_epoch : int
            Epochs that count as done: training that goes on.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            For data or settings that do not suit, before work starts.
        FloatingPointError
            When a loss is not finite. It names the first layer whose output went wrong; the model then has the weights
            of the last good epoch, and its optimizer starts anew.
        """
        batch_size = _check_batch_size(batch_size)
        x, labels = self._check(x, y)
        if not 0 <= validation_split < 1:
            raise ValueError(f"validation_split is at least 0 and below 1; got {validation_split!r}")
        if validation_data is not None:
            x_val, labels_val = self._check(*validation_data, what="validation_data")
        elif validation_split:
            at = int(len(x) * (1 - validation_split))
            if at == 0 or at == len(x):
                raise ValueError(f"validation_split={validation_split} of {len(x)} samples leaves one side empty")
            x, labels, x_val, labels_val = x[:at], labels[:at], x[at:], labels[at:]
        validates = validation_data is not None or bool(validation_split)
        if not 0 <= initial_epoch <= epochs:
            raise ValueError(f"epochs={epochs} counts all epochs, with the initial_epoch={initial_epoch} that are done; it cannot be smaller")

        self.history = History()
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
        shown: list[Callback] = {0: [], 1: [ProgressBar()], 2: [EpochLines()]}[_check_verbose(verbose)]
        told = CallbackList([*given, self.history, *shown])
        names = ["loss", *self.metrics]
        names += [f"val_{name}" for name in names] if validates else []
        steps = -(-len(x) // batch_size)
        told.set_model(self)
        told.set_params(
            {"epochs": epochs, "steps": steps, "batch_size": batch_size, "samples": len(x), "verbose": verbose, "metrics": names}
        )
        self.stop_training = False
        told.on_train_begin()
        good_weights = self.get_weights()                                                   # type: ignore[attr-defined]
        logs: dict[str, float] = {}
        try:
            for epoch in range(initial_epoch, epochs):
                told.on_epoch_begin(epoch)
                logs = self._epoch(x, labels, batch_size, shuffle, told)
                if validates:
                    values = self._mean_values(x_val, labels_val, batch_size, show=False)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                if not all(np.isfinite(p).all() for p in self.params.values()):             # type: ignore[attr-defined]
                    raise FloatingPointError(self._what_went_wrong(self._batch(x, slice(0, batch_size)), np.nan))
                good_weights = self.get_weights()                                           # type: ignore[attr-defined]
                told.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        except FloatingPointError:
            self.set_weights(good_weights)                                                  # type: ignore[attr-defined]
            self.optimizer.reset()
            raise
        finally:
            for callback in shown:
                if isinstance(callback, ProgressBar):
                    callback.close()
        told.on_train_end(logs)
        return self.history

    def _epoch(self, x: np.ndarray, labels: np.ndarray, batch_size: int, shuffle: bool, told: CallbackList) -> dict[str, float]:
        """Train on all data once, and give the means over its samples."""
        order = self.shuffle_rng.permutation(len(x)) if shuffle else np.arange(len(x))
        total, right, seen = 0.0, 0, 0
        logs: dict[str, float] = {}
        for number, start in enumerate(range(0, len(x), batch_size)):
            rows = order[start : start + batch_size]
            told.on_train_batch_begin(number)
            batch_loss, batch_right = self._step(self._batch(x, rows), labels[rows])
            total, right, seen = total + batch_loss * len(rows), right + batch_right, seen + len(rows)
            logs = self._values(total / seen, right, seen)
            told.on_train_batch_end(number, logs)
        return logs

    def _mean_values(self, x: np.ndarray, labels: np.ndarray, batch_size: int, show: bool) -> dict[str, float]:
        """Give the means over all data, without training."""
        total, right = 0.0, 0
        for start in tqdm(range(0, len(x), batch_size), desc="evaluate", unit="batch", leave=False, disable=None if show else True):
            rows = slice(start, start + batch_size)
            loss, batch_right = self._look(self._batch(x, rows), labels[rows])
            total, right = total + loss * len(labels[rows]), right + batch_right
        values = self._values(total / len(x), right, len(x))
        if not np.isfinite(values["loss"]):
            raise FloatingPointError(self._what_went_wrong(self._batch(x, slice(0, batch_size)), values["loss"]))
        return values

    def evaluate(self, x: np.ndarray, y: np.ndarray, batch_size: int | None = None, verbose: int | str = "auto", *, return_dict: bool = False) -> Any:
        """Give loss and accuracy over all data.

        Parameters
        ----------
        x, y : ndarray
            As for `fit`.
        batch_size : int, optional
            32 when not given; it does not change the values beyond rounding.
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
        """
        batch_size = _check_batch_size(batch_size)
        x, labels = self._check(x, y)
        return self._result(self._mean_values(x, labels, batch_size, show=_check_verbose(verbose) == 1), return_dict)

    def predict(self, x: np.ndarray, batch_size: int | None = None, verbose: int | str = "auto") -> np.ndarray:
        """Give the model's outputs, such as probabilities (n, K); the model need not be compiled.

        Parameters
        ----------
        x : ndarray (n, …)
        batch_size : int, optional
            32 when not given.
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
        batch_size = _check_batch_size(batch_size)
        x = self._check_images(x)
        out = np.empty((len(x), *self.nodes[-1].shape), self.dtype)
        show = _check_verbose(verbose) == 1
        for start in tqdm(range(0, len(x), batch_size), desc="predict", unit="batch", leave=False, disable=None if show else True):
            rows = slice(start, start + batch_size)
            out[rows] = self.plan.forward(self._batch(x, rows), self.nodes[-1], keep=False)
        return out

    def _batch(self, x: np.ndarray, rows: Any) -> np.ndarray:
        return np.ascontiguousarray(x[rows], dtype=self.dtype)

    # -- what came ----------------------------------------------------------------------------------------------------

    def _check_images(self, x: np.ndarray, what: str = "x") -> np.ndarray:
        x, expected = np.asarray(x), self.nodes[0].shape
        wanted = f"(n, {', '.join(map(str, expected))})"
        if x.shape[1:] != expected:
            mend = " Grey images get their channel axis from preprocessing.add_channel_axis" if (*x.shape[1:], 1) == expected else ""
            mend = f" One sample is a batch of one: {what}[np.newaxis]" if x.shape == expected else mend
            raise ValueError(f"{what}: the model takes images of shape {wanted}; got {x.shape}.{mend}")
        if x.dtype.kind != "f":
            raise ValueError(f"{what}: the model takes images as floats; got {x.dtype}. Make them with {what} = normalize_images({what})")
        if not len(x):
            raise ValueError(f"{what}: there is no image in it")
        return x

    def _check(self, x: np.ndarray, y: np.ndarray, what: str = "x, y") -> tuple[np.ndarray, np.ndarray]:
        """Refuse what does not suit the model, and give images and one-hot labels."""
        if self.optimizer is None:
            raise ValueError("compile comes first: model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])")
        x, y = self._check_images(x, what.split(",")[0]), np.asarray(y)
        if len(x) != (len(y) if y.ndim else 0):
            raise ValueError(f"{what}: {len(x)} images and {len(y) if y.ndim else 0} labels; give one label an image")
        return x, self.loss.one_hot(y, self.nodes[-1].shape[0]).astype(self.dtype, copy=False)


def _count_right(logits: np.ndarray, labels: np.ndarray) -> int:
    return int((logits.argmax(axis=1) == labels.argmax(axis=1)).sum())


def _check_batch_size(batch_size: int | None) -> int:
    if batch_size is None:
        return 32
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size is an integer of at least 1; got {batch_size!r}")
    return int(batch_size)


def _check_verbose(verbose: int | str) -> int:
    if verbose == "auto":
        return 1 if sys.stderr.isatty() else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose is 'auto', 0, 1 or 2; got {verbose!r}")
    return int(verbose)
