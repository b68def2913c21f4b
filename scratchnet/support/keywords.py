"""Calls with arguments that do not exist here: an error that names the fix, in place of Python's own TypeError.

Functions are decorated with `named_arguments`; the base classes of layers, losses, optimizers and callbacks decorate the
constructors. The signature stays what it was, for `help`, editors and `inspect.signature`: the arguments are compared with it only
after Python has refused them. Arguments of Keras or PyTorch that do not exist here are in the tables below; for
any other word the error names the nearest argument. A word in a table may be an argument of other functions.

An argument of Keras is accepted if its value only asks for what is always done here, such as data_format="channels_last"
(`NEUTRAL`).
Every layer also takes `trainable`, and the shape of its input, which a `Sequential` model uses for its first layer (`declare`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, cast

from scratchnet.support.checking import check_shape, shortened
from scratchnet.support.config import arguments_of

Function = TypeVar("Function", bound=Callable[..., Any])

# Other names of arguments that exist. The error names the first of the listed arguments that the called function has.
OTHER_NAMES = {
    "lr": "learning_rate",
    "rate": "learning_rate",
    "eps": "epsilon",
    "optimiser": "optimizer",
    "nb_epoch": "epochs",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "nb_filter": "filters",
    "out_channels": "filters",
    "output_dim": "units",
    "out_features": "units",
    "border_mode": "padding",
    "pad": "padding",
    "subsample": "strides",
    "kernel": "kernel_size",
    "kernel_shape": "kernel_size",
    "bias": "use_bias",
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "activation_fn": "activation",
    "act": "activation",
    "alpha": "negative_slope",
    "input": "inputs",
    "output": "outputs",
    "num_classes": "number_classes",
    "x_train": "x",
    "X": "x",
    "y_train": "y",
    "labels": "y",
    "targets": "y",
    "criterion": "loss",
    "file_path": "path",
    "filename": "path",
    "filepath": "path",
    "input_shape": "shape sample_shape",
    "test_size": "fraction",
    "random_state": "seed",
    "random_seed": "seed",
    "sep": "separator",
    "delimiter": "separator",
}

# For each argument that does not exist, what to do instead; written as the fix and the arguments that share it.
INSTEAD = {
    word: remedy
    for remedy, words in {
        "Weights belong to fit, evaluate, train_on_batch and test_on_batch: leave it out, and write"
        " fit(x, y, sample_weight=...), or validation_data=(x, y, sample_weight)": "class_weight sample_weight sample_weight_mode",
        "The axes of images are (N, H, W, C): leave it out. x.transpose(0, 2, 3, 1) converts images whose channels come first":
            "data_format dim_ordering",
        "The shape of the input is not an argument here: leave it out, and begin with Input(shape=...), as in"
        " Sequential([Input(shape=(28, 28, 1)), Flatten(), ...])": "input_shape input_dim batch_input_shape input_length",
        "The number of input channels or features is known from the layer before: leave it out":
            "in_channels in_features num_features",
        "The shape of one sample, without the batch axis, is enough: leave it out; fit(batch_size=...) chooses the batch":
            "batch_shape batch_size",
        "A learning rate falls by a schedule: leave it out, and write from scratchnet.optimizers import schedules, and"
        " learning_rate=schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=decay), or use the callback ReduceLROnPlateau":
            "decay",
        "A learning rate belongs to an optimizer: leave it out, and write compile(optimizer=Adam(learning_rate=...))":
            "lr learning_rate",
        "A window covers neighbouring pixels: leave it out, which is a dilation of 1": "dilation_rate dilation atrous_rate",
        "Every filter sees all channels: leave it out, which is groups=1": "groups",
        "Only parameters have regularizers: leave it out, and write kernel_regularizer=... of Conv2D or Dense":
            "kernel_regularizer bias_regularizer activity_regularizer",
        "Constraints do not exist: leave it out":
            "kernel_constraint bias_constraint W_constraint b_constraint beta_constraint gamma_constraint",
        "It belongs to an optimizer: leave it out, and write it there, as in compile(optimizer=Adam(weight_decay=0.004))":
            "weight_decay clipnorm clipvalue global_clipnorm",
        "This variant of the rule does not exist: leave it out":
            "amsgrad use_ema ema_momentum ema_overwrite_frequency loss_scale_factor gradient_accumulation_steps centered",
        "The numbers of an activation belong to its layer: leave it out, and use ReLU(max_value=6), LeakyReLU(negative_slope=0.1)"
        " or ELU(alpha=0.5)": "max_value negative_slope",
        "A ReLU begins at 0: leave it out": "threshold",
        "The tanh form of GELU is an activation of its own, 'gelu_tanh': leave it out": "approximate",
        "Adam takes both as beta_1 and beta_2": "betas",
        "Batch normalization uses the whole batch, of all processes unless DataParallel(synchronized=False) is set: leave it out":
            "synchronized renorm renorm_clipping renorm_momentum virtual_batch_size track_running_stats",
        "Choose gamma and beta separately: center=False leaves out beta, scale=False gamma": "affine",
        "Freeze the model after it is made: model.trainable = False": "trainable",
        "The dtype is that of the model: leave it out, and write Model(..., dtype='float64')": "dtype",
        "Call set_weights of the layer after the model is made": "weights",
        "A model has one input, one output and one loss: leave it out": "loss_weights target_tensors",
        "A step calls the layers one after another, and nothing compiles these calls into one function: leave it out":
            "run_eagerly jit_compile steps_per_execution",
        "Inputs are plain arrays, and a model computes in one dtype: leave it out":
            "auto_scale_loss sparse tensor ragged type_spec autocast",
        "Data are arrays in memory: leave it out": "workers use_multiprocessing max_queue_size generator",
        "Callbacks are called by fit only: leave it out": "callbacks",
        "A loss is the mean over the batch, and classes are on the last axis: leave it out": "reduction axis ignore_class",
        "This object has no name here: leave it out": "name",
        "A file is always one .npz, which replaces an older one: leave it out": "overwrite save_format zipped save_traces",
        "A file is loaded as it was saved: leave it out": "compile safe_mode options by_name skip_mismatch",
        "The table has one form, with all layers: leave it out": "positions layer_range",
        "The model is saved at the end of epochs: leave it out": "save_freq period",
    }.items()
    for word in words.split()
}

# Arguments that are accepted, and left out, with one of these values: they ask for what happens in any case.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    word: values
    for words, values in {
        "data_format": (None, "channels_last"),
        "dilation_rate": (1, (1, 1), [1, 1]),
        "groups": (1,),
        "kernel_constraint bias_constraint gamma_constraint beta_constraint activity_regularizer kernel_regularizer"
        " bias_regularizer gamma_regularizer beta_regularizer class_weight sample_weight loss_weights weighted_metrics"
        " validation_batch_size validation_steps steps steps_per_epoch callbacks clipnorm clipvalue global_clipnorm weight_decay"
        " loss_scale_factor gradient_accumulation_steps decay custom_objects positions layer_range lora_rank quantization_config"
        " autocast sparse ragged tensor save_format options": (None,),
        "amsgrad use_ema run_eagerly jit_compile centered use_multiprocessing optional by_name skip_mismatch synchronized renorm":
            (None, False, "auto"),
        "auto_scale_loss overwrite safe_mode compile": (True,),
        "workers steps_per_execution validation_freq": (1,),
        "axis": (-1,),
        "max_queue_size": (10,),
        "max_value": (None,),
        "negative_slope threshold": (0, 0.0),
        "reduction": ("sum_over_batch_size", "auto"),
    }.items()
    for word in words.split()
}

# Arguments of every layer: the shape of its input, in the forms that Keras knows. A `batch_` shape begins with the batch size.
SHAPES = ("input_shape", "batch_input_shape", "input_dim")


def named_arguments(function: Function) -> Function:
    """Return a function that raises a TypeError with the remedy when its arguments do not suit its signature.

    Examples
    --------
    >>> @named_arguments
    ... def fit(x, y, epochs=1): ...
    >>> fit([1], [2], epoch=5)
    Traceback (most recent call last):
    ...
    TypeError: fit: expected only arguments among x, y, epochs, got epoch=5. The nearest is epochs=5
    >>> str(signature(fit))
    '(x, y, epochs=1)'
    """

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            mistake = _mistake(function, args, kwargs)
            if mistake is None:         # the arguments suit the signature: the error comes from inside
                raise
        declared, rest = _left_out(function, args, kwargs)
        if rest.keys() == kwargs.keys():
            raise TypeError(mistake)
        result = checked(*args, **rest)
        if declared:
            declare(args[0], **declared)
        return result

    return cast(Function, checked)


def name_arguments(kind: type) -> None:
    """Decorate the constructor that a class defines, if it defines one, with `named_arguments`."""
    if "__init__" in vars(kind):
        setattr(kind, "__init__", named_arguments(vars(kind)["__init__"]))  # noqa: B010 - mypy permits no assignment


def _left_out(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments that `declare` stores in a layer, and all others except the neutral ones."""
    form = signature(function)
    layer = function.__name__ == "__init__" and bool(args) and hasattr(args[0], "declared_shape")
    names = ("trainable", *SHAPES) if layer else ()
    declared = {word: kwargs[word] for word in names if word in kwargs and word not in form.parameters}
    rest = {"shape": declared.pop("input_shape")} if "input_shape" in declared and "shape" in form.parameters else {}
    for word, value in kwargs.items():
        neutral = word not in form.parameters and any(type(value) is type(v) and value == v for v in NEUTRAL.get(word, ()))
        if word not in declared and not neutral:
            rest[word] = value
    return declared, rest


def declare(
    layer: Any, trainable: bool = True, input_shape: Any = None, batch_input_shape: Any = None, input_dim: Any = None
) -> None:
    """Store in a layer what every layer of Keras can be given: whether it is trained, and the shape of its input.

    Raises
    ------
    ValueError
        For a shape that does not consist of positive integers.
    """
    layer.trainable = trainable
    shape = batch_input_shape[1:] if isinstance(batch_input_shape, (tuple, list)) else batch_input_shape
    if input_dim is not None:
        shape = (input_dim,)
    if input_shape is not None:
        shape = input_shape
    if shape is not None:
        layer.declared_shape = check_shape(f"{type(layer).__name__}: input_shape", shape)


def _mistake(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the arguments of a call, or None."""
    form = signature(function)
    try:
        form.bind(*args, **kwargs)
        return None
    except TypeError as error:
        refused = str(error)
    first = next(iter(form.parameters), "")
    bound = first in ("self", "model") and bool(args)       # a method: the caller does not pass the object itself
    constructor = bound and function.__name__ == "__init__"
    who = type(args[0]).__name__ if constructor else function.__name__
    own = [p.name for p in _parameters(form)][bound:]
    known = arguments_of(type(args[0])) if constructor else own
    unknown = [word for word in kwargs if word not in form.parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in form.parameters.values()):
        word = unknown[0]
        expected = f"only arguments among {', '.join(known)}" if known else "no argument"
        return f"{who}: expected {expected}, got {word}={shortened(kwargs[word], 40)}. {_remedy(word, kwargs[word], known)}"
    by_position = [p.name for p in _parameters(form) if p.kind is not p.KEYWORD_ONLY][bound:]
    given = len(args) - bound
    if given > len(by_position):
        rest = [name for name in known if name not in by_position]
        more = f", such as {rest[0]}=..." if rest else ""
        listed = f" ({', '.join(by_position)})" if by_position else ""
        return (
            f"{who}: expected at most {len(by_position)} positional arguments{listed}, got {given}."
            f" {'Name the others' if rest else 'Leave the others out'}{more}"
        )
    twice = [name for name in by_position[:given] if name in kwargs]
    if twice:
        return f"{who}: expected {twice[0]} once, got it by position and by name. Leave one of them out"
    there = [*by_position[:given], *kwargs]
    missing = [p.name for p in _parameters(form)[bound:] if p.default is p.empty and p.name not in there]
    if missing:
        given_too = ", ".join(there) or "no argument"
        return f"{who}: expected {' and '.join(missing)}, got {given_too}. Its arguments are {', '.join(known)}"
    return f"{who}: expected arguments among {', '.join(known)}, got others: {refused}"


def _parameters(form: Signature) -> list[Parameter]:
    """Return the parameters that have a name, without *args and **kwargs."""
    return [p for p in form.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _remedy(word: str, value: Any, known: list[str]) -> str:
    """Return what to write in place of an argument that does not exist."""
    for name in OTHER_NAMES.get(word, "").split():
        if name in known:
            return f"It is called {name} here: {name}={shortened(value, 40)}"
    if word in INSTEAD:
        return INSTEAD[word]
    lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), lower, n=1)
    if near:
        return f"The nearest is {lower[near[0]]}={shortened(value, 40)}"
    return "Leave it out"
