"""Checks of what a user passes in. Every error says what was expected, what was received, and the fix."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.support.arithmetic import quiet

# -- images and labels ------------------------------------------------------------------------------------------------


def check_images(x: np.ndarray, expected: tuple[int, ...], name: str = "x", what: str = "") -> np.ndarray:
    """Return `x` as an array, or raise ValueError when it is not at least one image of the shape `expected`, as floats."""
    x, what = np.asarray(x), what or name
    wanted = f"{what}: expected floats of shape (n, {', '.join(map(str, expected))})"
    if x.shape[1:] != expected:
        fix = ""
        if x.shape == expected:
            fix = f" One sample is a batch of one: {name}[np.newaxis]"
        elif (*x.shape[1:], 1) == expected:
            fix = f" Grey images get their channel axis from preprocessing.add_channel_axis({name})"
        raise ValueError(f"{wanted}, got shape {x.shape}.{fix}")
    if x.dtype.kind != "f":
        fix = f". Make them with {name} = normalize_images({name})" if x.dtype.kind in "ui" else ""
        raise ValueError(f"{wanted}, got {x.dtype}{fix}")
    if not len(x):
        raise ValueError(f"{wanted}, got an empty array. Pass at least one image")
    return x


@quiet
def check_data(model: Any, x: np.ndarray, y: np.ndarray, what: str = "", name: str = "x") -> tuple[np.ndarray, np.ndarray]:
    """Return images and the rows of their labels, or raise ValueError for data that does not suit a compiled model.

    `what` is the argument that holds them, and `name` the images' variable, for the message.
    """
    if model.optimizer is None:
        raise ValueError(
            "expected a compiled model. Call model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])"
        )
    x, y = check_images(x, model.nodes[0].shape, name, what), np.asarray(y)
    labels = len(y) if y.ndim else 0
    if len(x) != labels:
        raise ValueError(f"{what or 'x, y'}: expected one label for each image, got {len(x)} images and {labels} labels")
    return x, model.loss.one_hot(y, model.nodes[-1].shape[0]).astype(model.dtype, copy=False)


# -- arguments of compile and fit -------------------------------------------------------------------------------------


def check_compile(model: Any, optimizer: Any, loss: Any, metrics: tuple[str, ...]) -> None:
    """Raise ValueError when optimizer, loss and metrics do not suit the model."""
    if not model.params:
        raise ValueError("the model has no parameter to train. Add a layer such as Dense or Conv2D")
    if metrics not in ((), ("accuracy",)):
        raise ValueError(f"metrics: expected ['accuracy'] or None, got {list(metrics)!r}")
    output_shape, has_softmax = model.nodes[-1].shape, model.logits is not model.nodes[-1]
    if len(output_shape) != 1:
        raise ValueError(
            f"{type(loss).__name__}: expected outputs of shape (K,) for each sample, got {output_shape}."
            " End it with Flatten and Dense"
        )
    name = type(loss).__name__
    if not has_softmax and not loss.from_logits:
        raise ValueError(
            f"the model does not end in softmax, so its outputs are logits: compile(loss={name}(from_logits=True)),"
            " or give the last layer activation='softmax'"
        )
    if has_softmax and loss.from_logits:
        raise ValueError(
            f"the model ends in softmax, so its outputs are not logits: compile(loss={loss.name!r}), or remove the softmax"
        )
    owner = optimizer.owner and optimizer.owner()
    if owner is not model and (owner is not None or (optimizer.owner and optimizer.state)):
        raise ValueError(
            f"this {type(optimizer).__name__} object belongs to another model, and holds its state. Make one for each model:"
            f" compile(optimizer={optimizer!r})"
        )


@quiet
def check_validation(
    model: Any, x: np.ndarray, labels: np.ndarray, validation_split: float, validation_data: Any
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Return the images and labels to train on, and those to validate with, if there are any."""
    if not 0 <= validation_split < 1:
        raise ValueError(f"validation_split: expected at least 0 and below 1, got {validation_split!r}")
    if validation_data is not None:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
            got = type(validation_data).__name__
            raise ValueError(f"validation_data: expected a pair, got {got}. For example validation_data=(x_test, y_test)")
        x_val, labels_val = check_data(model, validation_data[0], validation_data[1], "validation_data", "x_val")
        if not (np.isfinite(x_val.min()) and np.isfinite(x_val.max())):     # otherwise the error comes after a whole epoch
            raise ValueError(
                "validation_data: expected finite images, got NaN or infinity. np.argwhere(~np.isfinite(x_val)) shows where"
            )
        return x, labels, (x_val, labels_val)
    if not validation_split:
        return x, labels, None
    at = int(len(x) * (1 - validation_split))
    if at == 0 or at == len(x):
        raise ValueError(
            f"validation_split: expected samples for training and for validation, got {validation_split} of {len(x)} samples."
            " Use another fraction, or more samples"
        )
    return x[:at], labels[:at], (x[at:], labels[at:])


def check_epochs(initial_epoch: int, epochs: int) -> range:
    """Return the epochs to train, from `initial_epoch` on."""
    if not isinstance(epochs, (int, np.integer)) or not isinstance(initial_epoch, (int, np.integer)):
        raise ValueError(f"epochs and initial_epoch: expected integers, got {epochs!r} and {initial_epoch!r}")
    if not 0 <= initial_epoch <= epochs:
        raise ValueError(
            f"epochs: expected at least initial_epoch={initial_epoch}, got {epochs}. It is the number of the last epoch,"
            f" including those that are finished: epochs={initial_epoch} + the number of further ones"
        )
    return range(initial_epoch, epochs)


def check_batch_size(batch_size: int | None) -> int:
    """Return the number of images in a step: 32 for None."""
    if batch_size is None:
        return 32
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size: expected an integer of at least 1, got {batch_size!r}")
    return int(batch_size)


def check_verbose(verbose: int | str) -> int:
    """Return 0 (no output), 1 (a bar) or 2 (lines); "auto" is a bar on a terminal, and lines elsewhere."""
    if verbose == "auto":
        return 1 if sys.stderr.isatty() else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose: expected 'auto', 0, 1 or 2, got {verbose!r}")
    return int(verbose)


# -- numbers and updates ----------------------------------------------------------------------------------------------


def check_number(name: str, value: float, lowest: float = 0.0) -> float:
    """Return a finite number of at least `lowest`."""
    if not np.isscalar(value) or isinstance(value, str) or not lowest <= float(value) < np.inf:
        raise ValueError(f"{name}: expected a finite number of at least {lowest:g}, got {value!r}")
    return float(value)


def check_update(params: Sequence[np.ndarray], grads: Sequence[np.ndarray], states: Sequence[Sequence[np.ndarray]]) -> None:
    """Raise ValueError for parameters that cannot be changed in place, and for gradients or a state that do not match them."""
    other = "For another model make another optimizer, or call reset()"
    if len({len(params), len(grads), len(states)}) > 1:
        raise ValueError(
            f"update: expected as many gradients and states as parameters, got {len(params)} parameters, {len(grads)} gradients"
            f" and {len(states)} states. {other}"
        )
    for p, g, state in zip(params, grads, states, strict=True):
        if not isinstance(p, np.ndarray) or p.dtype not in (np.float32, np.float64) or not p.flags.writeable:
            got = getattr(p, "dtype", type(p).__name__)
            raise ValueError(
                f"update: expected parameters as writeable arrays of float32 or float64, which are changed in place; got {got}"
            )
        if len({p.shape, g.shape, *(s.shape for s in state)}) > 1:
            shapes = f"{p.shape}, {g.shape}" + (f" and {state[0].shape}" if state else "")
            raise ValueError(f"update: expected a parameter, its gradient and its state of the same shape, got {shapes}. {other}")


@quiet
def check_finite(model: Any, x: np.ndarray, loss: float) -> None:
    """Raise FloatingPointError for a loss that is not finite; the message names the first layer whose output is not."""
    if np.isfinite(loss):
        return
    if not np.isfinite(x).all():
        where = f"np.argwhere(~np.isfinite(x.astype({str(model.dtype)!r}))) shows where"
        raise FloatingPointError(f"the loss is {loss}: the images hold NaN or infinity; {where}")
    where = "every layer's output is finite, but too large for the loss"
    for name, value in model.layer_outputs(x).items():
        if not np.isfinite(value).all():
            where = f"layer {name!r} is the first whose output is not finite"
            break
    raise FloatingPointError(
        f"the loss is {loss}: {where}. If this happens during training, a smaller learning rate often helps; it was"
        f" {model.optimizer.learning_rate:g}"
    )
