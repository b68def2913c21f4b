"""The numbers of a diagnosis. The model is never changed: what a training step would change is changed in a copy.

dead        a unit (a filter, or a neuron) whose ReLU is 0 on all images, and at all positions: it receives no gradient
saturated   an output of sigmoid or tanh so close to an end of its range that the derivative is below 1 % of its maximum
gradient    the norm of the loss's gradient with respect to a layer's kernel, for one batch
ratio       ‖w after a step - w before‖ / ‖w before‖
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from scratchnet import losses
from scratchnet.callbacks.updates import UpdateRatios, layer_arrays, length, ratios_of
from scratchnet.layers import Activation
from scratchnet.schedules import rate_at
from scratchnet.support.arithmetic import quiet
from scratchnet.training import samples_for

STEPS = 5           # training steps, each of another copy, of which the median is reported
BATCH = 128


class Units(NamedTuple):
    """The outputs of one activation on the sample of images."""

    layer: str
    function: str
    what: str               # "filters" or "units"
    units: int
    dead: int               # of a ReLU: units that are 0 everywhere
    saturated: float        # of sigmoid and tanh: the fraction of outputs that are saturated


class Facts(NamedTuple):
    """Everything that is known about a model and its training; None and empty where nothing is known.

    The losses are cross-entropies in nats, without the penalties of regularizers and without label smoothing.
    """

    name: str
    optimizer: str                              # its class; "" for a model that is not compiled
    learning_rate: float                        # if a schedule sets it, the highest so far
    scheduled: bool                             # whether one does
    default_rate: float                         # of this optimizer; 0 if its class has none, and with a schedule
    counts: np.ndarray                          # (K,) training images of each class
    images: int                                 # in the sample of training images
    low: float                                  # the lowest and the highest pixel
    high: float
    loss: float                                 # of the model as it is, on the sample
    accuracy: float
    predicted: int                              # how many different classes it predicts there
    initial_loss: float | None                  # before training
    val_images: int
    val_loss: float | None                      # of the model as it is, on a sample of the validation images
    val_accuracy: float | None
    confidence: float | None                    # the mean of the largest probability there
    units: list[Units]
    gradients: dict[str, float]                 # by layer, in order
    replayed: dict[str, float]                  # the ratios of the copies' steps
    epochs: list[int]                           # those whose ratios were measured during training
    ratios: dict[str, list[float]]
    history: Mapping[str, Sequence[float]]
    steps: Sequence[float]                      # the losses of the steps of an epoch that broke down, if it was repeated
    stopped: str                                # how training broke down; "" if it did not

    @property
    def guess(self) -> float:
        """The loss of always predicting the frequencies of the classes: ln K if they are equally frequent."""
        p = self.counts[self.counts > 0] / self.counts.sum()
        return float(-(p * np.log(p)).sum())

    @property
    def last_ratios(self) -> dict[str, float]:
        """The ratios at the end: those of the last measured epoch, otherwise those of the copies' steps."""
        return {layer: values[-1] for layer, values in self.ratios.items()} or self.replayed


@quiet
def measure(
    model: Any,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray] | None,
    history: Mapping[str, Sequence[float]],
    updates: UpdateRatios | None,
    initial_loss: float | None,
    images: int,
    steps: Sequence[float],
    stopped: str,
) -> Facts:
    """Return the facts from images with integer labels, and from what is known of the training. Arguments are checked already."""
    K = int(model.output_shape[-1])
    sample, labels = sampled(*training, images)
    logits = logits_of(model, sample)
    loss, accuracy = score(logits, labels)
    val: dict[str, Any] = {"val_images": 0, "val_loss": None, "val_accuracy": None, "confidence": None}
    if validation is not None:
        val_sample, val_labels = sampled(*validation, images)
        val_logits = logits_of(model, val_sample)
        val_loss, val_accuracy = score(val_logits, val_labels)
        confidence = float(losses.softmax(val_logits).max(axis=1).mean())
        val = {"val_images": len(val_labels), "val_loss": val_loss, "val_accuracy": val_accuracy, "confidence": confidence}
    gradients, replayed = replay(model, sample, labels, K)
    return Facts(
        name=model.name,
        optimizer="" if model.optimizer is None else type(model.optimizer).__name__,
        learning_rate=highest_rate(model.optimizer),
        scheduled=is_scheduled(model.optimizer),
        default_rate=default_rate(model.optimizer),
        counts=np.bincount(training[1], minlength=K),
        images=len(labels),
        low=float(sample.min()),
        high=float(sample.max()),
        loss=loss,
        accuracy=accuracy,
        predicted=len(np.unique(logits.argmax(axis=1))),
        initial_loss=updates.first_loss if initial_loss is None and updates is not None else initial_loss,
        **val,
        units=units_of(model, sample),
        gradients=gradients,
        replayed=replayed,
        epochs=[] if updates is None else list(updates.epochs),
        ratios={} if updates is None else {layer: list(values) for layer, values in updates.ratios.items()},
        history=history,
        steps=steps,
        stopped=stopped or not_finite(model),
    )


def not_finite(model: Any) -> str:
    """Return a sentence if a weight is NaN or infinite, and "" otherwise."""
    bad = [name for name, p in model.named_weights.items() if not np.isfinite(p).all()]
    return f"the weights hold NaN or infinity, the first in {bad[0]}." if bad else ""


def is_scheduled(optimizer: Any) -> bool:
    """Return whether a schedule sets the learning rate of an optimizer."""
    return optimizer is not None and callable(optimizer.get_config().get("learning_rate"))


def highest_rate(optimizer: Any) -> float:
    """Return the learning rate of an optimizer: with a schedule the highest of the steps so far, and 0 without an optimizer.

    >>> from scratchnet.optimizers import SGD
    >>> from scratchnet.schedules import PiecewiseLinear
    >>> optimizer = SGD(PiecewiseLinear([0, 2, 4], [0.1, 0.5, 0.0]))
    >>> optimizer.iterations = 4
    >>> highest_rate(optimizer), highest_rate(SGD(0.2))
    (0.5, 0.2)
    """
    if optimizer is None:
        return 0.0
    if not is_scheduled(optimizer):
        return float(optimizer.learning_rate)
    return max(rate_at(optimizer.get_config()["learning_rate"], step) for step in range(optimizer.iterations + 1))


def default_rate(optimizer: Any) -> float:
    """Return the default learning rate of an optimizer's class, or 0 if there is none, or a schedule in its place.

    >>> from scratchnet.optimizers import Adam
    >>> default_rate(Adam(learning_rate=5.0))
    0.001
    """
    parameter = None if optimizer is None or is_scheduled(optimizer) else signature(type(optimizer)).parameters.get("learning_rate")
    return float(parameter.default) if parameter is not None and isinstance(parameter.default, (int, float)) else 0.0


def sampled(x: np.ndarray, y: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `images` of the images and labels, drawn at random, always the same ones: files are often sorted by class."""
    if len(x) <= images:
        return x, y
    rows = np.random.default_rng(0).choice(len(x), images, replace=False)
    return x[rows], y[rows]


def logits_of(model: Any, x: np.ndarray) -> np.ndarray:
    """Return the logits of all images: (N, H, W, C) -> (N, K) float64."""
    x = x.astype(model.dtype, copy=False)
    parts = [model.forward(x[k : k + BATCH], to=model.logits, keep=False) for k in range(0, len(x), BATCH)]
    return np.concatenate(parts).astype(np.float64)


def score(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return cross-entropy and accuracy.

    >>> score(np.zeros((2, 4)), np.array([0, 1]))
    (1.3862943611198906, 0.5)
    """
    y = np.eye(logits.shape[1])[labels]
    return float(losses.softmax_cross_entropy_losses(logits, y).mean()), float(np.mean(logits.argmax(axis=1) == labels))


def units_of(model: Any, x: np.ndarray) -> list[Units]:
    """Return dead and saturated units of each ReLU, sigmoid and tanh."""
    largest: dict[str, np.ndarray] = {}
    saturated: dict[str, int] = {}
    sizes: dict[str, int] = {}
    activations = {
        "/".join(map(str, [*(inner.name for inner in node.within), node.layer.name])): node.layer
        for node in model.nodes
        if isinstance(node.layer, Activation) and node.layer.function in ("relu", "sigmoid", "tanh")
    }
    for k in range(0, len(x), BATCH):
        outputs = model.layer_outputs(x[k : k + BATCH].astype(model.dtype, copy=False))
        for name, layer in activations.items():
            out = outputs[name].reshape(-1, outputs[name].shape[-1])        # (N·H·W, units)
            highest = out.max(axis=0)
            largest[name] = np.maximum(largest.get(name, highest), highest)
            sizes[name] = sizes.get(name, 0) + out.size
            slope = {"sigmoid": 4 * out * (1 - out), "tanh": 1 - out * out}.get(layer.function)     # 1 at most
            saturated[name] = saturated.get(name, 0) + (0 if slope is None else int((slope < 0.01).sum()))
    return [
        Units(
            name,
            layer.function,
            "filters" if len(layer.output_shape) > 1 else "units",
            units=len(largest[name]),
            dead=int((largest[name] <= 0).sum()) if layer.function == "relu" else 0,
            saturated=saturated[name] / sizes[name],
        )
        for name, layer in activations.items()
    ]


def replay(model: Any, x: np.ndarray, labels: np.ndarray, K: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return gradient norms and ratios by layer: medians of several steps, each from the model as it is, on another batch."""
    norms: list[dict[str, float]] = []
    ratios: list[dict[str, float]] = []
    for k in range(0, min(len(x), STEPS * BATCH) if model.optimizer is not None else 0, BATCH):
        twin = copy.deepcopy(model)
        images, y = x[k : k + BATCH].astype(twin.dtype, copy=False), np.eye(K, dtype=twin.dtype)[labels[k : k + BATCH]]
        before = layer_arrays(model, model.params)
        try:
            twin.train_step(images, y, **samples_for(twin, np.arange(k, k + len(images)), 0))
        except FloatingPointError:
            break
        norms.append({layer: length(arrays) for layer, arrays in layer_arrays(twin, twin.grads).items()})
        ratios.append(ratios_of(twin, before))
    return medians(norms), medians(ratios)


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each name.

    >>> medians([{"a": 1.0}, {"a": 5.0}, {"a": 2.0}])
    {'a': 2.0}
    """
    return {name: float(np.median([row[name] for row in rows if name in row])) for name in (rows[0] if rows else ())}
