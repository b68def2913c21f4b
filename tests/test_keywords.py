"""Arguments that do not exist here: each is refused in one sentence that names the remedy, and signatures stay what they were."""

import inspect
import pickle

import numpy as np
import pytest

from scratchnet import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    Input,
    LeakyReLU,
    MaxPooling2D,
    Model,
    ReLU,
    Sequential,
    Softmax,
    load_model,
    net_1,
)
from scratchnet.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from scratchnet.layers import Layer
from scratchnet.losses import CategoricalCrossentropy, Loss
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam, Optimizer
from scratchnet.preprocessing import one_hot, train_validation_split
from scratchnet.support import keywords
from scratchnet.support.keywords import named_arguments

X, Y = np.zeros((4, 3), "float32"), np.eye(2, dtype="float32")[[0, 1, 0, 1]]


def compiled():
    model = Sequential([Input(shape=(3,)), Dense(2, activation="softmax")], seed=0)
    model.compile()
    return model


EVERY_LAYER = "dtype weights activity_regularizer autocast"
OF_WEIGHTS = "kernel_constraint bias_constraint lora_rank quantization_config"
OPTIMIZER = """lr decay use_ema ema_momentum ema_overwrite_frequency
loss_scale_factor gradient_accumulation_steps name jit_compile"""
CALLS = {
    "Conv2D": (lambda **k: Conv2D(2, 3, **k), f"{EVERY_LAYER} {OF_WEIGHTS} data_format dilation_rate groups nb_filter border_mode"
               " subsample in_channels stride W_regularizer dim_ordering"),
    "Dense": (lambda **k: Dense(2, **k), f"{EVERY_LAYER} {OF_WEIGHTS} init output_dim in_features out_features bias"),
    "MaxPooling2D": (lambda **k: MaxPooling2D(2, **k), f"{EVERY_LAYER} data_format border_mode kernel_size stride"),
    "AveragePooling2D": (lambda **k: AveragePooling2D(2, **k), f"{EVERY_LAYER} data_format"),
    "Flatten": (Flatten, f"{EVERY_LAYER} data_format"),
    "Activation": (lambda **k: Activation("relu", **k), EVERY_LAYER),
    "ReLU": (ReLU, f"{EVERY_LAYER} threshold"),
    "LeakyReLU": (LeakyReLU, f"{EVERY_LAYER} alpha max_value"),
    "ELU": (ELU, f"{EVERY_LAYER} negative_slope"),
    "Softmax": (Softmax, f"{EVERY_LAYER} axis"),
    "Add": (Add, EVERY_LAYER),
    "Input": (lambda **k: Input((3,), **k), "sparse tensor ragged type_spec optional"),
    "Model": (lambda **k: Model(None, None, **k), "input output trainable"),
    "Sequential": (lambda **k: Sequential([Input((3,)), Dense(2)], **k), "trainable inputs"),
    "compile": (lambda **k: compiled().compile(**k), "loss_weights run_eagerly steps_per_execution jit_compile"
                " auto_scale_loss sample_weight_mode target_tensors lr"),
    "fit": (lambda **k: compiled().fit(X, Y, **k), "sample_weight_mode nb_epoch epoch workers use_multiprocessing max_queue_size"
            " show_accuracy learning_rate lr"),
    "evaluate": (lambda **k: compiled().evaluate(X, Y, **k), "class_weight callbacks workers epochs"),
    "predict": (lambda **k: compiled().predict(X, **k), "sample_weight callbacks workers y"),
    "train_on_batch": (lambda **k: compiled().train_on_batch(X, Y, **k), "steps reset_metrics"),
    "test_on_batch": (lambda **k: compiled().test_on_batch(X, Y, **k), "class_weight reset_metrics"),
    "save": (lambda **k: compiled().save("m.npz", **k), "overwrite save_format zipped"),
    "load_model": (lambda **k: load_model("m.npz", **k), "compile safe_mode options"),
    "load_weights": (lambda **k: compiled().load_weights("m.npz", **k), "by_name skip_mismatch"),
    "summary": (lambda **k: compiled().summary(**k), "positions layer_range"),
    "SGD": (SGD, OPTIMIZER),
    "Adam": (Adam, f"{OPTIMIZER} centered betas eps"),
    "Adagrad": (Adagrad, OPTIMIZER),
    "Adadelta": (Adadelta, OPTIMIZER),
    "CategoricalCrossentropy": (CategoricalCrossentropy, "axis reduction name dtype"),
    "EarlyStopping": (EarlyStopping, "min_deltas nothing_at_all"),
    "ReduceLROnPlateau": (ReduceLROnPlateau, "epsilon min_learning_rate"),
    "ModelCheckpoint": (lambda **k: ModelCheckpoint("m.npz", **k), "save_freq period"),
    "CSVLogger": (lambda **k: CSVLogger("m.csv", **k), "sep"),
    "one_hot": (lambda **k: one_hot(np.array([0]), **k), "num_classes dtype"),
    "train_validation_split": (lambda **k: train_validation_split(X, Y, **k), "test_size random_state"),
    "net_1": (net_1, "input_shape classes"),
}


@pytest.mark.parametrize(("who", "word"), [(who, word) for who, (_, words) in CALLS.items() for word in words.split()])
def test_a_word_that_does_not_exist_is_refused_with_the_remedy(who, word):
    with pytest.raises(TypeError) as refused:
        CALLS[who][0](**{word: 0.5})
    message = str(refused.value)
    assert message.startswith(f"{who}: expected ")
    assert f"got {word}=0.5. " in message
    assert (refused.value.__cause__ is None and refused.value.__suppress_context__) or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("who", "word", "remedy"),
    [
        ("evaluate", "class_weight", r"fit\(x, y, sample_weight=\.\.\.\)"),
        ("Conv2D", "data_format", r"x\.transpose\(0, 2, 3, 1\)"),
        ("Adam", "lr", r"learning_rate=0\.5"),
        ("Adam", "decay", r"schedules\.InverseTimeDecay.*ReduceLROnPlateau"),
        ("Dense", "weight_decay", r"compile\(optimizer=Adam\(weight_decay"),
        ("Conv2D", "dilation_rate", "dilation of 1"),
        ("Conv2D", "groups", "groups=1"),
        ("fit", "sample_weight_mode", "leave it out"),
        ("Sequential", "input_shape", r"begin with Input\(shape=\.\.\.\)"),
        ("net_1", "input_shape", r"sample_shape=0\.5"),
        ("Dense", "W_regularizer", "kernel_regularizer="),
        ("Flatten", "kernel_regularizer", "leave it out"),
        ("fit", "epoch", r"nearest is epochs=0\.5"),
        ("fit", "nb_epoch", r"called epochs here: epochs=0\.5"),
        ("Conv2D", "stride", r"nearest is strides=0\.5"),
        ("one_hot", "num_classes", "number_classes"),
    ],
)
def test_the_remedy_is_that_of_the_word(who, word, remedy):
    with pytest.raises(TypeError, match=remedy):
        CALLS[who][0](**{word: 0.5})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Conv2D(32), "Conv2D: expected kernel_size, got filters"),
        (lambda: Dense(), "Dense: expected units, got no argument"),
        (lambda: compiled().fit(X), "fit: expected y, got x"),
        (lambda: compiled().fit(), "fit: expected x and y, got no argument"),
        (lambda: Conv2D(2, 3, 2, "same", "relu"), r"Conv2D: expected at most 4 positional arguments \(filters, .*\), got 5"),
        (lambda: Adam(0.1, 0.9, 0.99, 1e-7, False, 0.01), r"Adam: .* 5 positional .*Name the others, such as weight_decay=\.\.\."),
        (lambda: Flatten(2), "Flatten: expected at most 0 positional arguments, got 1"),
        (lambda: Dense(2, units=3), "Dense: expected units once"),
        (lambda: compiled().compile("adam", "categorical_crossentropy", ["accuracy"]), r"compile: .*got 3\. Name .* metrics="),
    ],
)
def test_arguments_that_are_missing_too_many_or_twice_there_are_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()


class Scaled(Dense):
    """Passes what it does not know on to its base class."""

    def __init__(self, units, factor=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.factor = factor


def test_a_class_of_a_users_own_is_answered_in_its_own_name():
    with pytest.raises(TypeError, match=r"Scaled: expected only arguments among units, factor, activation.*nearest is factor=3"):
        Scaled(2, factr=3)
    assert Scaled(2, factor=3, activation="relu").factor == 3


def test_an_error_from_inside_a_function_stays_as_it_is():
    @named_arguments
    def broken(x, epochs=1):
        return x + "text"

    with pytest.raises(TypeError, match="unsupported operand"):
        broken(1)
    with pytest.raises(TypeError, match="broken: expected only arguments among x, epochs, got epoch=2"):
        broken(1, epoch=2)


CLASSES = [Conv2D, Dense, MaxPooling2D, Adam, SGD, CategoricalCrossentropy, EarlyStopping, Sequential, Model]


@pytest.mark.parametrize("thing", CLASSES)
def test_the_signature_of_a_class_is_the_one_that_is_written(thing):
    parameters = inspect.signature(thing).parameters
    assert not {"args", "kwargs", "settings"} & set(parameters)
    assert list(parameters)[:2] == [*inspect.signature(thing.__init__).parameters][1:3]
    source = inspect.getsource(thing.__init__)
    assert all(name in source for name in parameters)


FUNCTIONS = [Model.fit, Model.evaluate, Model.predict, Model.compile, Model.save, load_model, one_hot, Input, net_1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_signature_of_a_function_is_the_one_that_is_written(function):
    assert not {"args", "kwargs"} & set(inspect.signature(function).parameters)
    assert function.__doc__
    assert f"def {function.__name__}(" in inspect.getsource(function)


def test_a_decorated_function_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(one_hot)) is one_hot


def subclasses(kind):
    return {kind, *(found for below in kind.__subclasses__() for found in subclasses(below))}


OURS = [
    kind
    for base in (Layer, Loss, Optimizer, Callback)
    for kind in sorted(subclasses(base), key=lambda kind: kind.__name__)
    if kind.__module__.startswith("scratchnet.") and kind.__init__ is not object.__init__
]


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_constructor_of_the_library_is_answered_for(kind):
    assert hasattr(kind.__init__, "__wrapped__")


def test_a_word_stands_in_one_table_and_a_renamed_one_leads_to_an_argument_that_exists():
    exists = {name for kind in OURS for name in inspect.signature(kind).parameters}
    for function in (*CLASSES, *FUNCTIONS, train_validation_split):
        exists |= set(inspect.signature(function).parameters)
    assert {name for names in keywords.OTHER_NAMES.values() for name in names.split()} <= exists
    assert set(keywords.OTHER_NAMES) & set(keywords.INSTEAD) <= {"input_shape", "lr"}     # what the function has decides


# -- lists of layers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([Input((3,)), Input((3,)), Dense(2)], "got a second Input"),
        ([Input((3,)), Dense(2), Input((2,))], "got a second Input"),
        ([Input((3,)), lambda x: x, Dense(2)], "got a function, <lambda>.*Layer"),
        ([Input((3,)), np.tanh], "got a function, tanh"),
        ([Input((3,)), Dense], r"got the class Dense.*Dense\(\.\.\.\)"),
        ([Input((3,)), "relu"], r"got the string 'relu'.*Activation\('relu'\)"),
        ([Input((3,)), None], "got a NoneType"),
        ([Input((3,)), [Dense(2)]], "got a list"),
        (Dense(2), "got a Dense"),
        ((layer for layer in [Input((3,)), Dense(2)]), "got a generator"),
    ],
)
def test_a_list_with_something_else_than_layers_is_refused_by_what_it_holds(layers, words):
    with pytest.raises((TypeError, ValueError), match=rf"Sequential: expected .*{words}"):
        Sequential(layers)


def test_a_model_in_a_list_of_layers_is_a_layer():
    assert Sequential([Input((3,)), compiled()]).count_params() == compiled().count_params()
