"""How far one step moves the weights of each layer, compared with the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchnet.callbacks.base import Callback, Logs
from scratchnet.support.arithmetic import quiet

Arrays = dict[str, list[np.ndarray]]


def layer_arrays(model: Any, arrays: Mapping[str, np.ndarray | None]) -> Arrays:
    """Return, by layer, those of `arrays` (`model.params` or `model.grads`) that have two or more axes and are trained.

    Biases and the scales of a normalization are left out: they start at 0 or 1, so a ratio says little about them.
    """
    found: Arrays = {}
    for name, array in arrays.items():
        layer = name.rpartition("/")[0]
        if array is not None and array.ndim > 1 and model.every_layer[layer].trainable:
            found.setdefault(layer, []).append(array)
    return found


@quiet
def length(arrays: list[np.ndarray]) -> float:
    """Return the square root of the sum of all squares.

    >>> length([np.array([[3.0]]), np.array([[4.0]])])
    5.0
    """
    return float(np.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays)))


class UpdateRatios(Callback):
    """Measure one training step of each epoch, the middle one: how far did it move each layer's weights?

    The ratio of a layer is ‖w after the step - w before‖ / ‖w before‖, over its kernels. Training itself is not changed. Pass the
    callback to `scratchnet.diagnosis.diagnose` afterwards. `scratchnet train` uses it and stores the ratios in the run folder.

    Attributes
    ----------
    ratios : dict of str to list of float
        For each layer with a kernel that is trained, one ratio per epoch.
    epochs : list of int
        The epochs that were measured; the first is 1.
    first_loss : float or None
        The loss of the first batch of the first epoch, before any step.

    Examples
    --------
    >>> from scratchnet import Dense, Input, Sequential
    >>> model = Sequential([Input(shape=(4,)), Dense(3, activation="softmax")], seed=0)
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> updates = UpdateRatios()
    >>> history = model.fit(x, y, epochs=3, callbacks=updates, verbose=0)
    >>> updates.epochs, [f"{ratio:.0e}" for ratio in updates.ratios["dense"]]
    ([1, 2, 3], ['2e-03', '2e-03', '2e-03'])
    """

    def __init__(self) -> None:
        self.ratios: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.first_loss: float | None = None
        self._before: Arrays | None = None
        self._now: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Discard what was measured in an epoch that was not finished."""
        self._before, self._now = None, {}

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Copy the weights before the step that is measured."""
        if batch == self.params.get("steps", 1) // 2:
            weights = layer_arrays(self.model, self.model.params)
            self._before = {layer: [a.copy() for a in arrays] for layer, arrays in weights.items()}

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Compare the weights with those before the step."""
        if self.first_loss is None and not self.epochs and batch == 0:
            self.first_loss = (logs or {}).get("loss")
        if self._before is not None:
            self._now, self._before = ratios_of(self.model, self._before), None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Record the ratios of this epoch."""
        if self._now:
            self.epochs.append(epoch + 1)
            for layer, ratio in self._now.items():
                self.ratios.setdefault(layer, []).append(ratio)


def ratios_of(model: Any, before: Arrays) -> dict[str, float]:
    """Return ‖w - before‖ / ‖before‖ for each layer; layers whose weights were all 0 are left out."""
    after = layer_arrays(model, model.params)
    return {
        layer: length([a - b for a, b in zip(after[layer], old, strict=True)]) / length(old)
        for layer, old in before.items()
        if length(old) > 0
    }
