"""Training: how a model meets data.

    fit      for each epoch, for each batch:  forward -> loss -> backward -> the optimizer moves every parameter

`Model` derives from `Training`, and that from `Compiled`, which does one batch; what is here does many.
Values of an epoch are means over its samples, taken while the weights move; those of validation are one pass with the
epoch's last weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet.callbacks import Callback, CallbackList, EpochLines, History, ProgressBar
from scratchnet.checking import check_batch_size, check_images, check_verbose
from scratchnet.compiled import Compiled


class Training(Compiled):
    """What a model can do with data."""

    history: History | None = None
    stop_training: bool = False

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
        batch_size = check_batch_size(batch_size)
        x, labels = self._check(x, y)
        if not 0 <= validation_split < 1:
            raise ValueError(f"validation_split is at least 0 and below 1; got {validation_split!r}")
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("validation_data is a pair: validation_data=(x_test, y_test)")
            x_val, labels_val = self._check(*validation_data, what="validation_data", name="x_val")
            if not (np.isfinite(x_val.min()) and np.isfinite(x_val.max())):     # an epoch would be lost before they are met
                raise ValueError("validation_data: the images hold NaN or infinity; np.argwhere(~np.isfinite(x_val)) tells where")
        elif validation_split:
            at = int(len(x) * (1 - validation_split))
            if at == 0 or at == len(x):
                raise ValueError(f"validation_split={validation_split} of {len(x)} samples leaves one side empty")
            x, labels, x_val, labels_val = x[:at], labels[:at], x[at:], labels[at:]
        validates = validation_data is not None or bool(validation_split)
        if not isinstance(epochs, (int, np.integer)) or not isinstance(initial_epoch, (int, np.integer)):
            raise ValueError(f"epochs and initial_epoch are integers; got {epochs!r} and {initial_epoch!r}")
        if not 0 <= initial_epoch <= epochs:
            raise ValueError(
                f"epochs={epochs} counts all epochs, with the initial_epoch={initial_epoch} that are done; it cannot be smaller"
            )

        self.history = History()
        given: Sequence[Any] = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        showing: dict[int, list[Callback]] = {0: [], 1: [ProgressBar()], 2: [EpochLines()]}
        shown = showing[check_verbose(verbose)]
        told = CallbackList([*(c for c in given if c is not None), self.history, *shown])
        names = ["loss", *self.metrics]
        names += [f"val_{name}" for name in names] if validates else []
        steps = -(-len(x) // batch_size)
        told.tell("set_model", self)
        told.tell(
            "set_params",
            {
                "epochs": epochs,
                "steps": steps,
                "batch_size": batch_size,
                "samples": len(x),
                "verbose": verbose,
                "metrics": names,
            },
        )
        self.stop_training = False
        told.tell("on_train_begin")
        good_weights = self.get_weights()
        logs: dict[str, float] = {}
        try:
            for epoch in range(initial_epoch, epochs):
                told.tell("on_epoch_begin", epoch)
                logs = self._epoch(x, labels, batch_size, shuffle, told)
                if validates:
                    values = self._mean_values(x_val, labels_val, batch_size, show=False)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                if not all(np.isfinite(p).all() for p in self.params.values()):
                    raise FloatingPointError(self._what_went_wrong(self._batch(x, slice(0, batch_size)), np.nan))
                good_weights = self.get_weights()
                told.tell("on_epoch_end", epoch, logs)
                if self.stop_training:
                    break
        except FloatingPointError:
            self.set_weights(good_weights)
            self.optimizer.reset()
            raise
        finally:
            for callback in shown:
                if isinstance(callback, ProgressBar):
                    callback.close()
        told.tell("on_train_end", logs)
        return self.history

    def _epoch(
        self, x: np.ndarray, labels: np.ndarray, batch_size: int, shuffle: bool, told: CallbackList
    ) -> dict[str, float]:
        """Train on all data once, and give the means over its samples."""
        order = self.shuffle_rng.permutation(len(x)) if shuffle else np.arange(len(x))
        total, right, seen = 0.0, 0, 0
        logs: dict[str, float] = {}
        for number, start in enumerate(range(0, len(x), batch_size)):
            rows = order[start : start + batch_size]
            told.tell("on_train_batch_begin", number)
            batch_loss, batch_right = self._step(self._batch(x, rows), labels[rows])
            total, right, seen = total + batch_loss * len(rows), right + batch_right, seen + len(rows)
            logs = self._values(total / seen, right, seen)
            told.tell("on_train_batch_end", number, logs)
            if self.stop_training:
                break
        return logs

    def _mean_values(self, x: np.ndarray, labels: np.ndarray, batch_size: int, show: bool) -> dict[str, float]:
        """Give the means over all data, without training."""
        total, right = 0.0, 0
        for start in tqdm(
            range(0, len(x), batch_size), desc="evaluate", unit="batch", leave=False, disable=None if show else True
        ):
            rows = slice(start, start + batch_size)
            batch = self._batch(x, rows)
            loss, batch_right = self._look(batch, labels[rows])
            if not np.isfinite(loss):
                raise FloatingPointError(self._what_went_wrong(batch, loss))
            total, right = total + loss * len(batch), right + batch_right
        return self._values(total / len(x), right, len(x))

    def evaluate(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *,
        return_dict: bool = False,
    ) -> Any:
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
        FloatingPointError
            When a loss is not finite; it names the first layer whose output went wrong.
        """
        batch_size = check_batch_size(batch_size)
        x, labels = self._check(x, y)
        return self._result(self._mean_values(x, labels, batch_size, show=check_verbose(verbose) == 1), return_dict)

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
        batch_size = check_batch_size(batch_size)
        x = check_images(x, self.nodes[0].shape)
        out = np.empty((len(x), *self.nodes[-1].shape), self.dtype)
        show = check_verbose(verbose) == 1
        for start in tqdm(
            range(0, len(x), batch_size), desc="predict", unit="batch", leave=False, disable=None if show else True
        ):
            rows = slice(start, start + batch_size)
            out[rows] = self.plan.forward(self._batch(x, rows), self.nodes[-1], keep=False)
        return out

    def _batch(self, x: np.ndarray, rows: Any) -> np.ndarray:
        return np.ascontiguousarray(x[rows], dtype=self.dtype)
