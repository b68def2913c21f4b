"""Checks of what a user passes in. Every error says what was expected, what was received, and the fix."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from scratchnet.support.arithmetic import quiet

# -- arrays -----------------------------------------------------------------------------------------------------------


def refused_kind(name: str, value: Any) -> str:
    """Return what is wrong with a masked array, an np.matrix or a list that contains one, and the fix; else "".

    A masked array leaves numbers out of every sum, and loses its mask where it becomes a plain array: both results are wrong.
    For np.matrix, * is the matrix product.

    Examples
    --------
    >>> refused_kind("x", np.ma.masked_array([1.0, 2.0], mask=[True, False]))
    'got a masked array. Choose values for the masked numbers: x.filled(0)'
    >>> refused_kind("x", np.array([1.0, 2.0]))
    ''
    """
    if type(value) is np.ndarray:
        return ""
    if isinstance(value, np.ma.MaskedArray):
        return f"got a masked array. Choose values for the masked numbers: {name}.filled(0)"
    if isinstance(value, np.matrix):
        return f"got an np.matrix. Make it a NumPy array with np.asarray({name})"
    if isinstance(value, (list, tuple)):
        return next((refused for item in value if not isinstance(item, float) and (refused := refused_kind(name, item))), "")
    return ""


def plain_array(who: str, name: str, value: Any) -> np.ndarray:
    """Return `value` as an array, or raise ValueError for a masked array, an np.matrix, or a list that contains one."""
    if refused := refused_kind(name, value):
        raise ValueError(f"{who}: expected {name} as an array of numbers, {refused}")
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{who}: expected {name} as an array of numbers, got rows of different lengths. Make them equally long"
        ) from None


def number_array(who: str, name: str, value: Any) -> np.ndarray:
    """Return `value` as an array of floats or complex numbers, or raise ValueError; whole numbers and bools become float64.

    A difference of unsigned integers would wrap around, and a gradient of integers be rounded to 0.
    """
    array = plain_array(who, name, value)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind not in "fc" or not array.ndim:
        single = array.dtype.kind in "fc"
        got = "a single number" if single else array.dtype
        given = f"[{name}]" if single else name
        raise ValueError(f"{who}: expected {name} as an array of numbers, got {got}. Convert it with np.array({given}, 'float32')")
    return array


# -- images and labels ------------------------------------------------------------------------------------------------


def check_images(x: np.ndarray, expected: tuple[int, ...], name: str = "x", what: str = "") -> np.ndarray:
    """Return `x` as an array, or raise ValueError when it is not at least one image of the shape `expected`, as floats."""
    what = what or name
    wanted = f"{what}: expected floats of shape (n, {', '.join(map(str, expected))})"
    if refused := refused_kind(name, x):
        raise ValueError(f"{wanted}, {refused}")
    x = plain_array(what, name, x)
    if x.dtype.kind not in "fuibc":
        raise ValueError(f"{wanted}, got {x.dtype} of shape {x.shape}. Make them numbers: np.array({name}, 'float32')")
    if x.ndim == 0 or x.shape[1:] != expected:
        raise ValueError(f"{wanted}, got shape {x.shape}.{shape_fix(name, x.shape, expected)}")
    if x.dtype.kind != "f":
        fix = f"{name}.real.astype(float)"
        if x.dtype.kind in "ui":
            fix = f"{name} = normalize_images({name}), or {name}.astype('float32') for a model that begins with Rescaling"
        raise ValueError(f"{wanted}, got {x.dtype}. Make them with {fix}")
    if not len(x):
        raise ValueError(f"{wanted}, got an empty array. Pass at least one image")
    return x


def shape_fix(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Return what to do with an array of another shape, so that its samples have the shape `expected`.

    Examples
    --------
    >>> shape_fix("x", (60000, 784), (28, 28, 1))
    ' Rows become images with x.reshape(-1, 28, 28, 1)'
    >>> shape_fix("x", (60000, 3, 32, 32), (32, 32, 3))
    ' Make the channels the last axis: x.transpose(0, 2, 3, 1)'
    """
    sizes = ", ".join(map(str, expected))
    if shape == expected:
        return f" Make one sample a batch of one: {name}[np.newaxis]"
    if (*shape[1:], 1) == expected:
        return f" Add the channel axis of grey images: preprocessing.add_channel_axis({name})"
    if shape[1:] == (*expected, 1):
        return f" Remove the last axis, of length 1: {name}[..., 0]"
    if len(expected) == 3:
        H, W, C = expected
        if shape[1:] == (C, H, W):
            return f" Make the channels the last axis: {name}.transpose(0, 2, 3, 1)"
        if shape == (C, H, W):
            return f" Make the channels the last axis, and one sample a batch of one: {name}.transpose(1, 2, 0)[np.newaxis]"
        if shape[1:] == (H * W * C,):
            first = f" (or, if the channels are stored one after another: {name}.reshape(-1, {C}, {H}, {W}).transpose(0, 2, 3, 1))"
            return f" Rows become images with {name}.reshape(-1, {sizes}){first if C > 1 else ''}"
    if len(expected) == 1 and len(shape) > 2 and prod(shape[1:]) == expected[0]:
        return f" Images become rows with {name}.reshape(len({name}), -1)"
    if len(shape) == len(expected) + 1 and 0 not in shape:
        return f" A model takes samples of one shape: resize or crop these, or make a model with Input(shape={shape[1:]})"
    return " The length of the first axis is the number of samples"


@quiet
def check_data(model: Any, x: np.ndarray, y: np.ndarray, what: str = "", name: str = "x") -> tuple[np.ndarray, np.ndarray]:
    """Return images and the rows of their labels, or raise ValueError for data that does not suit a compiled model.

    `what` is the argument that holds them, and `name` the images' variable, for the message.
    """
    if model.optimizer is None:
        raise ValueError(
            "Model: expected a compiled model, got one that is not compiled. Call model.compile(optimizer='adam',"
            " loss='categorical_crossentropy', metrics=['accuracy'])"
        )
    model.build_for_data(x)
    x, y = check_images(x, model.nodes[0].shape, name, what), plain_array(what or "labels", "y", y)
    labels = len(y) if y.ndim else 0
    if len(x) != labels:
        raise ValueError(
            f"{what or 'x, y'}: expected one label for each image, got {len(x)} images and {labels} labels. Pass both for the same"
            " samples"
        )
    return x, model.loss.one_hot(y, model.nodes[-1].shape[0]).astype(model.dtype, copy=False)


# -- weights of samples -----------------------------------------------------------------------------------------------


@quiet
def check_weights(who: str, value: Any, count: int, name: str = "sample_weight") -> np.ndarray:
    """Return the weights of `count` samples as float64 of shape (count,), or raise ValueError."""
    w = plain_array(who, name, value)
    if w.dtype.kind not in "fiub":
        raise ValueError(f"{who}: expected {name} as numbers, got {w.dtype}. Convert it with np.array({name}, 'float32')")
    if w.shape not in ((count,), (count, 1)):
        raise ValueError(f"{who}: expected {name} of shape ({count},), got shape {w.shape}. Pass one number for each sample")
    if not (np.isfinite(w) & (w >= 0)).all():
        raise ValueError(
            f"{who}: expected {name} as finite numbers of at least 0, got others, such as {w[~(np.isfinite(w) & (w >= 0))][0]}."
            " A weight of 0 leaves a sample out"
        )
    return w.reshape(-1).astype(np.float64)


def check_sample_weights(
    model: Any, labels: np.ndarray, sample_weight: Any, class_weight: Any = None, what: str = "sample_weight"
) -> np.ndarray | None:
    """Return the weight of each sample (n,), from weights of samples or of classes, or None if neither is given.

    `labels` are the rows that the loss receives: the class of a sample is the argmax of its row. As in Keras, a class that
    `class_weight` does not name has the weight 1.
    """
    if sample_weight is None and class_weight is None:
        return None
    if sample_weight is not None and class_weight is not None:
        raise ValueError(
            "class_weight and sample_weight: expected one of them, got both. Multiply them: sample_weight * factors[classes],"
            " where factors = np.array([1.0, ...]) has the weight of each class"
        )
    model.loss.check_takes_weights()
    if class_weight is None:
        return check_weights(what, sample_weight, len(labels))
    factors = check_class_weight(class_weight, labels.shape[1])
    return factors[labels.argmax(axis=1)]


def check_class_weight(class_weight: Any, K: int) -> np.ndarray:
    """Return the weight of each of K classes (K,), from a dict of those that are not 1."""
    example = "For example class_weight={0: 1.0, 1: 5.0}"
    if not isinstance(class_weight, Mapping):
        fix = "Make it one: dict(enumerate(class_weight))" if isinstance(class_weight, (list, tuple, np.ndarray)) else example
        raise ValueError(f"class_weight: expected a dict from class numbers to weights, got {shortened(class_weight)}. {fix}")
    factors = np.ones(K)
    for label, weight in class_weight.items():
        if not is_integer(label) or not 0 <= label < K:
            raise ValueError(f"class_weight: expected class numbers from 0 to {K - 1} as keys, got {shortened(label)}. {example}")
        factors[label] = check_number(f"class_weight of class {label}", weight)
    return factors


# -- arguments of compile and fit -------------------------------------------------------------------------------------


def check_compile(model: Any, optimizer: Any, loss: Any) -> None:
    """Raise ValueError when optimizer and loss do not suit the model."""
    if not model.params:
        raise ValueError("compile: expected a model with parameters to train, got none. Add a layer such as Dense or Conv2D")
    output_shape, has_softmax = model.nodes[-1].shape, model.logits is not model.nodes[-1]
    if len(output_shape) != 1:
        raise ValueError(
            f"{type(loss).__name__}: expected outputs of shape (K,) for each sample, got {output_shape}."
            " End the model with Flatten and Dense"
        )
    name = type(loss).__name__
    if not has_softmax and not loss.from_logits:
        raise ValueError(
            f"{name}: expected probabilities, got the outputs of a model that does not end in softmax, which are logits. Write"
            f" compile(loss={name}(from_logits=True)), or give the last layer activation='softmax'"
        )
    if has_softmax and loss.from_logits:
        raise ValueError(
            f"{name}: expected logits, got the outputs of a model that ends in softmax, which are probabilities. Leave out"
            " from_logits=True, or remove the softmax"
        )
    owner = optimizer.owner and optimizer.owner()
    if owner is not model and (owner is not None or (optimizer.owner and optimizer.state)):
        raise ValueError(
            f"{type(optimizer).__name__}: expected an object of this model alone, got one that belongs to another model, and has"
            f" its state. Make one for each model: compile(optimizer={optimizer!r})"
        )


Data = tuple[np.ndarray, np.ndarray, np.ndarray | None]     # images, rows of labels, and the weights of samples if there are any


@quiet
def check_validation(model: Any, data: Data, validation_split: float, validation_data: Any) -> tuple[Data, Data | None]:
    """Return the images, labels and weights to train on, and those to validate with, if there are any."""
    validation_split = check_number("validation_split", validation_split, below=1)
    if validation_data is not None:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            got = type(validation_data).__name__
            if isinstance(validation_data, (tuple, list)):
                got = f"{got} of length {len(validation_data)}"
            raise ValueError(
                f"validation_data: expected a pair (or three with weights), got {got}. For example validation_data=(x_test, y_test)"
            )
        x_val, labels_val = check_data(model, validation_data[0], validation_data[1], "validation_data", "x_val")
        if not (np.isfinite(x_val.min()) and np.isfinite(x_val.max())):     # otherwise the error would follow a whole epoch
            raise ValueError(
                "validation_data: expected finite images, got NaN or infinity. np.argwhere(~np.isfinite(x_val)) shows where"
            )
        weights = validation_data[2] if len(validation_data) == 3 else None
        return data, (x_val, labels_val, check_sample_weights(model, labels_val, weights, what="validation_data"))
    if not validation_split:
        return data, None
    count = len(data[0])
    at = int(count * (1 - validation_split))
    if at == 0 or at == count:
        raise ValueError(
            f"validation_split: expected samples for training and for validation, got {validation_split} of {count} samples."
            " Use another fraction, or more samples"
        )
    x, labels, weights = data
    first, rest = slice(at), slice(at, None)
    return (
        (x[first], labels[first], weights if weights is None else weights[first]),
        (x[rest], labels[rest], weights if weights is None else weights[rest]),
    )


def check_steps(name: str, steps: Any, batch_size: Any, count: int) -> tuple[int, int]:
    """Return the size of a batch and how many batches `count` samples make, but at most `steps`.

    As in Keras, without a batch size the size is count / steps, rounded up, and without both it is 32.
    """
    if steps is None:
        size = check_batch_size(batch_size)
        return size, -(-count // size)
    steps = check_count(name, steps, f"{name}=100")
    size = max(1, -(-count // steps)) if batch_size is None else check_batch_size(batch_size)
    return size, min(steps, -(-count // size))


def check_validation_freq(validation_freq: Any) -> Callable[[int], bool]:
    """Return the function that returns whether validation follows an epoch; the first epoch is 0."""
    if is_integer(validation_freq):
        every = check_count("validation_freq", validation_freq, "validation_freq=2, for every second epoch")
        return lambda epoch: (epoch + 1) % every == 0
    if not isinstance(validation_freq, (list, tuple)):
        raise ValueError(
            "validation_freq: expected an integer of at least 1, or a list of epochs, got"
            f" {shortened(validation_freq)}. For example validation_freq=2, or validation_freq=[1, 5, 10]"
        )
    example = "validation_freq=[1, 5, 10]: the first epoch is 1"
    numbers = {check_count("validation_freq", epoch, example) for epoch in validation_freq}
    return lambda epoch: epoch + 1 in numbers


def check_epochs(initial_epoch: int, epochs: int) -> range:
    """Return the epochs to train, from `initial_epoch` on."""
    check_count("initial_epoch", initial_epoch, "initial_epoch=0, if no epoch is finished", lowest=0)
    if not is_integer(epochs) or not -(2**31) < epochs < 2**31:
        raise ValueError(f"epochs: expected an integer below 2147483648, got {shortened(epochs)}. For example epochs=16")
    if epochs < initial_epoch:
        raise ValueError(
            f"epochs: expected at least initial_epoch={initial_epoch}, got {epochs}. Finished epochs count"
            f" too: epochs={initial_epoch} + the number of further ones"
        )
    return range(initial_epoch, epochs)


def check_batch_size(batch_size: int | None, name: str = "batch_size") -> int:
    """Return the number of images in a step: 32 for None."""
    if batch_size is None:
        return 32
    return check_count(name, batch_size, f"{name}=128")


def check_verbose(verbose: int | str) -> int:
    """Return 0 (no output), 1 (a bar) or 2 (lines); "auto" and 1 are a bar on a terminal, and lines elsewhere."""
    if isinstance(verbose, str) and verbose == "auto":
        verbose = 1
    if not isinstance(verbose, (int, np.integer)) or verbose not in (0, 1, 2):
        raise ValueError(f"verbose: expected 'auto', 0, 1 or 2, got {shortened(verbose)}")
    return 2 if verbose == 1 and not sys.stderr.isatty() else int(verbose)


# -- numbers and updates ----------------------------------------------------------------------------------------------


def check_number(name: str, value: Any, lowest: float = 0.0, below: float = np.inf) -> float:
    """Return a finite number of at least `lowest` (any for -inf), and below `below`."""
    try:
        number = np.nan if isinstance(value, (str, bytes, bool, np.bool_)) or not np.isscalar(value) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):      # complex numbers, dates; integers too large for a float
        number = np.nan
    if not lowest <= number < below or np.isinf(number):
        kind = "a finite number" if below == np.inf else "a number"
        limits = [f"at least {lowest:g}"] if lowest > -np.inf else []
        limits += [f"below {below:g}"] if below < np.inf else []
        raise ValueError(f"{name}: expected {kind}{' of ' if limits else ''}{' and '.join(limits)}, got {shortened(value)}")
    return number


def check_names(name: str, value: Any, example: str) -> dict[str, Any]:
    """Return a copy of a dict whose keys are strings; `example` is such a dict, for the message."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}: expected a dict with names as keys, got {shortened(value)}. For example {name}={example}")
    return dict(value)


def check_positive(name: str, value: Any, fix: str = "") -> float:
    """Return a finite number above 0; `fix` is a sentence for the message."""
    number = check_number(name, value)
    if not number:
        raise ValueError(f"{name}: expected a finite number above 0, got {shortened(value)}{fix and f'. {fix}'}")
    return number


def check_fraction(name: str, value: Any) -> float:
    """Return a number from 0 to 1, both included."""
    try:
        number = check_number(name, value)
    except ValueError:
        number = np.nan
    if not number <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {shortened(value)}. For example {name}=0.1")
    return number


def is_integer(value: Any) -> bool:
    """Return whether `value` is an integer of Python or of NumPy; True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_integer(name: str, value: Any) -> int:
    """Return an integer from 0 to 2**31 - 1; True and False count as 1 and 0."""
    if not isinstance(value, (int, np.integer, np.bool_)) or not 0 <= value < 2**31:
        raise ValueError(f"{name}: expected an integer from 0 to 2147483647, got {shortened(value)}. For example {name}=1")
    return int(value)


def check_text(name: str, value: Any, example: str) -> str:
    """Return a string that is not empty; `example` is what the message proposes."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: expected a string that is not empty, got {shortened(value)}. For example {example}")
    return value


def check_function(name: str, value: Any, example: str) -> Any:
    """Return a function; `example` is what the message proposes."""
    if not callable(value):
        raise ValueError(f"{name}: expected a function, got {shortened(value)}. For example {example}")
    return value


def check_count(name: str, value: Any, example: str, lowest: int = 1) -> int:
    """Return an integer from `lowest` to 2**31 - 1; `example` is a call that the message proposes."""
    if not is_integer(value) or not lowest <= value < 2**31:
        raise ValueError(f"{name}: expected an integer from {lowest} to 2147483647, got {shortened(value)}. For example {example}")
    return int(value)


def check_shape(name: str, value: Any) -> tuple[int, ...]:
    """Return a shape, from a tuple or a list of integers of at least 1."""
    if not isinstance(value, (tuple, list)):
        raise ValueError(f"{name}: expected a shape as a tuple of integers, got {shortened(value)}. For example (28, 28, 1)")
    return tuple(check_count(name, size, "(28, 28, 1)") for size in value)


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value` if it is one of the known strings."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, known))}, got {shortened(value)}")
    return value


def check_augment(value: Any, input_shape: tuple[Any, ...], output_shape: tuple[Any, ...]) -> str | None:
    """Return which views of an image are used, or None; the shapes are those of the model, without the batch axis."""
    if value is None:
        return None
    value = check_choice("augment", value, ("flip", "translate", "flip_translate"))
    if len(input_shape) != 3 or len(output_shape) != 1:
        raise ValueError(
            "augment: expected a model that computes (K,) from images (H, W, C), got one that computes"
            f" {output_shape} from {input_shape}. Leave out augment"
        )
    return value


def check_flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_, int)) or value not in (0, 1):
        raise ValueError(f"{name}: expected True or False, got {shortened(value)}")
    return bool(value)


def check_dtype(name: str, value: Any) -> np.dtype:
    """Return float32 or float64 as a dtype."""
    try:
        dtype = np.dtype(value) if isinstance(value, (str, type, np.dtype)) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{name}: expected dtype='float32' or 'float64', got dtype={shortened(value)}")
    return np.dtype(dtype)


def check_name(value: Any) -> str | None:
    """Return the name of a layer or of a model: a string, or None."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"name: expected a string, got {shortened(value)}. For example name='first'")
    return value


def check_seed(name: str, value: Any) -> int | None:
    """Return a seed: None, or an integer of at least 0."""
    if value is None:
        return None
    if not is_integer(value) or value < 0:
        raise ValueError(f"{name}: expected None or an integer of at least 0, got {shortened(value)}. For example seed=1")
    return int(value)


def shortened(value: Any, longest: int = 80) -> str:
    """Return a value as Python writes it, in one line, and cut off where it is long.

    Examples
    --------
    >>> shortened([1, 2]), shortened("a" * 100, longest=10)
    ('[1, 2]', "'aaaaaaaaa...")
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of too many digits, or a class of a user's own
        text = f"a {type(value).__name__}"
    return text if len(text) <= longest else f"{text[:longest]}..."


def check_update(
    params: Sequence[np.ndarray], grads: Sequence[np.ndarray | None], states: Sequence[Sequence[np.ndarray]]
) -> None:
    """Raise ValueError for parameters that cannot be changed in place, and for gradients or a state that do not match them."""
    other = "For another model make another optimizer, or call reset()"
    if len({len(params), len(grads), len(states)}) > 1:
        raise ValueError(
            f"update: expected as many gradients and states as parameters, got {len(params)} parameters, {len(grads)} gradients"
            f" and {len(states)} states. {other}"
        )
    for p, g, state in zip(params, grads, states, strict=True):
        if g is None:
            continue
        for name, a in (("p", p), ("g", g)):
            if refused := refused_kind(name, a):
                raise ValueError(f"update: expected parameters and gradients as arrays of numbers, {refused}")
        if not isinstance(p, np.ndarray) or p.dtype not in (np.float32, np.float64) or not p.flags.writeable:
            got = f"{getattr(p, 'dtype', type(p).__name__)}. Convert them: np.asarray(p, 'float32')"
            if isinstance(p, np.ndarray) and not p.flags.writeable:
                got = f"a read-only array of {p.dtype}. Pass a copy, which can be changed: p = p.copy()"
            raise ValueError(
                f"update: expected parameters as writeable arrays of float32 or float64, which are changed in place; got {got}"
            )
        if not isinstance(g, (np.ndarray, np.generic)) or g.dtype not in (np.float32, np.float64):
            got = f"{getattr(g, 'dtype', type(g).__name__)}. Convert it: np.asarray(g, p.dtype)"
            raise ValueError(f"update: expected the gradient of each parameter as an array of float32 or float64, got {got}")
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
