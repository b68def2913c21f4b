"""Keras's names: the namespaces, `scratchnet.keras`, attributes of objects, and the sentence for each name that does not exist."""

import copy
import doctest
import importlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scratchnet.keras

import scratchnet
from scratchnet import Conv2D, Dense, Flatten, Input, Model, Sequential, load_model
from scratchnet.keras_names import unknown
from scratchnet.layers.base import Node

PUBLIC = json.loads((Path(__file__).parent / "vectors" / "keras_public_names.json").read_text(encoding="utf-8"))
ROOMS = [room for room in PUBLIC if not room.startswith("class ")]
SENTENCE = re.compile(r"[\w.]+: expected a name that exists here, got \w+\. [A-Za-z].+")
X = np.random.default_rng(0).random((6, 5, 5, 1), dtype="float32")


def small(**settings):
    model = Sequential([Conv2D(2, 3, input_shape=(5, 5, 1)), Flatten(), Dense(3, activation="softmax")], seed=1, **settings)
    model.compile()
    return model


def answer(call, kind):
    """The message of an error of this kind, or "", and what the call returned."""
    try:
        return "", call()
    except kind as error:
        return str(error), None


# -- namespaces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_keras_exists_or_is_answered_in_one_sentence(room):
    path = f"scratchnet.keras.{room}".rstrip(".")
    message, module = answer(lambda: importlib.import_module(path), ImportError)
    if message:
        assert SENTENCE.match(message)
        return
    for word in PUBLIC[room].split():
        if hasattr(module, word):
            continue
        with pytest.raises(AttributeError) as refused:
            getattr(module, word)
        assert SENTENCE.match(str(refused.value))
        with pytest.raises(ImportError) as not_imported:
            exec(f"from {path} import {word}")
        assert str(not_imported.value) == str(refused.value)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("from scratchnet.layers import LSTM", "sequences"),
        ("from scratchnet.keras.layers import LSTM", "sequences"),
        ("from scratchnet.preprocessing.image import ImageDataGenerator", "RandomFlip, RandomTranslation and RandomCrop"),
        ("from scratchnet.keras.preprocessing.image import ImageDataGenerator", "RandomFlip"),
        ("from scratchnet.keras.applications import VGG16", "Pretrained"),
        ("import scratchnet.keras.applications.vgg16", "Pretrained"),
        ("from scratchnet.utils import np_utils", "from scratchnet.utils import to_categorical"),
        ("from scratchnet.layers.convolutional import Conv2D", "from scratchnet.layers import"),
        ("from scratchnet.keras.optimizers.legacy import Adam", "from scratchnet.optimizers import Adam"),
        ("from scratchnet.models import Sequental", "nearest is Sequential"),
        ("from scratchnet import data", "arrays in memory"),
        ("import scratchnet as tf; tf.constant([1])", "use np"),
        ("import scratchnet as tf; tf.GradientTape()", "train_on_batch"),
        ("import scratchnet as tf; tf.data.Dataset", "arrays in memory"),
        ("import scratchnet as tf; tf.random.set_seed(1)", "set_random_seed"),
        ("from scratchnet.layers import Conv1D", "Conv2D"),
        ("from scratchnet.layers import DepthwiseConv2D", "use Conv2D"),
        ("from scratchnet.losses import MeanSquaredError", "classes"),
        ("import scratchnet; scratchnet.metrics.Precision", "confusion_matrix"),
        ("import scratchnet; scratchnet.layers.to_categorical", "scratchnet.utils.to_categorical"),
        ("import scratchnet as tf; tf.pad", r"use np\.pad"),
        ("import scratchnet as keras; keras.activations.get", "activation='relu'"),
        ("import scratchnet as keras; keras.metrics.SparseCategoricalCrossentropy", "val_loss"),
        ("import scratchnet as keras; keras.backend.set_image_dim_ordering", "transpose"),
        ("from scratchnet.utils import load_img", r"plt\.imread"),
    ],
)
def test_a_name_that_does_not_exist_is_answered_with_what_to_write(statement, words):
    with pytest.raises((ImportError, AttributeError), match=words) as refused:
        exec(statement)
    assert SENTENCE.match(str(refused.value))


def test_scratchnet_keras_is_scratchnet_itself_and_no_module_exists_twice():
    code = """
import scratchnet as tf, sys
import scratchnet.keras.layers.conv2d, scratchnet.keras.plotting.canvas, scratchnet.keras.backend as K
from scratchnet.keras import layers, models
from scratchnet.keras.layers import Conv2D
from scratchnet.keras.models import Sequential
import scratchnet.layers.conv2d, scratchnet.plotting.canvas
assert tf.keras is tf and tf.keras.keras is tf and K is tf.backend
assert layers is tf.layers and Conv2D is tf.layers.conv2d.Conv2D is tf.Conv2D and Sequential is tf.Sequential
files = {}
for name, module in sys.modules.items():
    if name.startswith("scratchnet") and getattr(module, "__file__", None):
        files.setdefault(module.__file__, set()).add(id(module))
        assert ".keras." not in module.__name__ and module.__spec__.name == module.__name__, name
assert all(len(modules) == 1 for modules in files.values())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_star_imports_dir_hasattr_and_doctests_work_with_the_answers():
    names = {}
    exec("from scratchnet.keras.layers import *\nfrom scratchnet.keras.models import *\nfrom scratchnet import *", names)
    assert names["MaxPool2D"] is scratchnet.MaxPooling2D
    assert names["load_model"] is load_model
    for room in unknown._namespaces.values():
        assert not hasattr(room, "no_such_name_at_all")
        assert dir(room)
        assert not hasattr(room, "__wrapped__")
        doctest.DocTestFinder().find(room)


def test_private_names_have_the_plain_error_of_python():
    with pytest.raises(AttributeError, match=r"module 'scratchnet\.layers' has no attribute '_foo'"):
        scratchnet.layers._foo  # noqa: B018


def test_a_remedy_does_not_name_a_word_that_exists():
    assert not [word for word in unknown.INSTEAD if word in vars(scratchnet.layers) and word[0].isupper()]


def test_aliases_of_layers_and_functions_that_connect_them():
    layers = scratchnet.layers
    assert layers.MaxPool2D is layers.MaxPooling2D
    assert layers.Convolution2D is layers.Conv2D
    x = Input((3,))
    total = layers.add([Dense(2)(x), Dense(2)(x)], name="sum")
    assert (total.layer.name, total.shape) == ("sum", (2,))
    again = layers.Dense.from_config(Dense(4, activation="relu").get_config())
    assert again.units == 4


# -- attributes -------------------------------------------------------------------------------------------------------


def objects():
    model = small()
    return {
        "Layer": model.layers[0],
        "Model": Model(model.inputs, model.outputs),
        "Sequential": model,
        "Optimizer": model.optimizer,
        "History": scratchnet.callbacks.History(),
        "Loss": model.loss,
    }


@pytest.mark.parametrize("kind", ["Layer", "Model", "Sequential", "Optimizer", "History", "Loss"])
def test_every_attribute_of_keras_exists_or_is_answered_in_one_sentence(kind):
    thing = objects()[kind]
    for word in PUBLIC[f"class {kind}"].split():
        message, _ = answer(lambda word=word: getattr(thing, word), AttributeError)
        assert not message or re.match(rf"\w+: expected an attribute that exists here, got {word}\. [A-Za-z]", message)


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("fit_generator", r"fit\(x, y\)"),
        ("predict_classes", "argmax"),
        ("predict_proba", "predict"),
        ("to_json", "save"),
        ("fitt", "fit"),
    ],
)
def test_an_attribute_that_does_not_exist_is_answered_with_what_to_write(word, remedy):
    with pytest.raises(AttributeError, match=rf"Sequential: expected .* got {word}\. .*{remedy}"):
        getattr(small(), word)


def test_optimizers_answer_to_lr():
    with pytest.raises(AttributeError, match=r"Adam: .* got lr\. It is called learning_rate"):
        small().optimizer.lr  # noqa: B018


def test_weights_are_views_that_can_be_assigned_to_and_copied_out():
    model = small()
    layer = model.layers[0]
    assert [w.path for w in model.weights] == list(model.params)
    assert (layer.kernel.name, layer.kernel.shape, layer.bias.path) == ("kernel", (3, 3, 1, 2), "conv2d/bias")
    assert type(layer.kernel.numpy()) is np.ndarray
    layer.kernel.assign(np.ones((3, 3, 1, 2)))
    assert (layer.get_weights()[0] == 1).all()
    layer.kernel.numpy()[...] = 5
    assert (layer.get_weights()[0] == 1).all()
    with pytest.raises(ValueError, match=r"assign: expected conv2d/kernel of shape"):
        layer.kernel.assign([1, 2])
    layer.trainable = False
    assert [w.path for w in model.trainable_weights] == ["dense/kernel", "dense/bias"]
    assert [w.path for w in model.non_trainable_weights] == ["conv2d/kernel", "conv2d/bias"]
    model.set_weights(model.weights)


def test_outputs_of_layers_make_a_second_model():
    model = small()
    middle = Model(model.input, model.get_layer("conv2d").output)
    np.testing.assert_array_equal(middle.predict(X), model.layer_outputs(X)["conv2d"])
    np.testing.assert_array_equal(Model(model.inputs, model.output).predict(X), model.predict(X))
    assert model.get_layer(index=-1) is model.layers[-1]
    assert model.layers[1].input is model.layers[0].output
    assert isinstance(model.layers[-1].output, Node)
    with pytest.raises(ValueError, match="index=9 of 3 layers"):
        model.get_layer(index=9)
    with pytest.raises(AttributeError, match="expected a connected layer"):
        Dense(2).output  # noqa: B018


def test_results_of_functions_and_losses_and_a_learning_rate_answer_numpy():
    model = small()
    probabilities = model(X)
    assert scratchnet.nn.softmax(probabilities).numpy().shape == (6, 3)
    loss = scratchnet.losses.SparseCategoricalCrossentropy()
    assert loss([0, 1, 2, 0, 1, 2], probabilities).numpy() == loss([0, 1, 2, 0, 1, 2], model.predict(X))
    assert scratchnet.losses.sparse_categorical_crossentropy([0] * 6, probabilities).numpy().shape == (6,)
    assert model.optimizer.learning_rate.numpy() == scratchnet.backend.get_value(model.optimizer.learning_rate) == 0.001
    with pytest.raises(AttributeError, match=r"optimizer\.learning_rate = 0\.001 sets it"):
        model.optimizer.learning_rate.assign(0.1)


def test_a_config_and_a_clone_are_models_with_the_same_layers_and_new_weights():
    model = small()
    for made in (Model.from_config(model.get_config()), scratchnet.models.clone_model(model)):
        assert type(made) is Sequential
        assert made.get_config() == model.get_config()
        assert made.optimizer is None
        made.set_weights(model.get_weights())
        np.testing.assert_array_equal(made.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="get_config"):
        Model.from_config({})
    with pytest.raises(TypeError, match="expected a model"):
        scratchnet.models.clone_model(3)


def test_variables_say_whether_they_are_trained():
    layer = scratchnet.layers.BatchNormalization().build((None, 4))
    assert [(v.name, v.trainable) for v in layer.variables] == [
        ("gamma", True), ("beta", True), ("moving_mean", False), ("moving_variance", False)
    ]


def test_a_layer_is_built_for_a_shape_with_or_without_the_batch_axis():
    for shape in ((4,), (None, 4), [None, 4]):
        assert Dense(3).build(shape).params["kernel"].shape == (4, 3)
    with pytest.raises(ValueError, match="expected a shape"):
        Dense(3).build(4)


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda model: Model(model.input, [layer.output for layer in model.layers]), "make one for each"),
        (lambda model: Sequential(model.layers[:-1]), r"\(layer\.output\)"),
        (lambda model: model.input.dtype, "dtype"),
        (lambda model: model(X).eval(), "array of NumPy already"),
        (lambda model: scratchnet.metrics.CategoricalAccuracy().no_such_attribute, "dir"),
        (lambda model: model.save("a/long/path/" * 20 + "best.keras"), "'best.keras'"),
        (lambda model: model.fit((X * 255).astype("uint8"), np.eye(3)[[0, 1, 2] * 2]), "Rescaling"),
    ],
)
def test_what_scripts_ask_of_models_and_is_refused_names_what_to_write(call, remedy):
    with pytest.raises((AttributeError, TypeError, ValueError), match=remedy):
        call(small())


def test_the_sum_of_two_nodes_is_a_layer_and_other_arithmetic_is_refused():
    x = Input((3,))
    a, b = Dense(2)(x), Dense(2)(x)
    assert type((a + b).layer).__name__ == "Add"
    for wrong in (lambda: a * 2, lambda: a / 255.0, lambda: 1 - a, lambda: a + 1):
        with pytest.raises(TypeError, match="Node: expected arithmetic by a layer"):
            wrong()


def test_objects_are_copied_and_pickled_as_before():
    for name, thing in objects().items():
        copy.copy(thing), copy.deepcopy(thing)
        if name != "History":
            pickle.loads(pickle.dumps(thing))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(small())).predict(X), small().predict(X))


def test_an_error_within_a_property_is_the_error_that_is_seen():
    class Odd(Dense):
        @property
        def broken(self):
            return self.units.nothing

    with pytest.raises(AttributeError, match="'int' object has no attribute 'nothing'"):
        Odd(2).broken  # noqa: B018


# -- functions --------------------------------------------------------------------------------------------------------


def test_to_categorical_is_that_of_keras():
    to_categorical = scratchnet.utils.to_categorical
    np.testing.assert_array_equal(to_categorical([1, 2]), [[0, 1, 0], [0, 0, 1]])
    assert to_categorical(np.array([[1], [2]], "uint8"), 4).shape == (2, 4)
    assert to_categorical([[1, 2]]).shape == (1, 2, 3)
    assert to_categorical([1.0]).dtype == np.float64
    for wrong, words in (([1.5], "whole numbers"), ([-1], "from 0"), ([5], "num_classes=6"), ([], "whole numbers")):
        with pytest.raises(ValueError, match=words):
            to_categorical(wrong, 3)


def test_normalize_divides_by_the_norm_and_leaves_zeros():
    normalize = scratchnet.utils.normalize
    np.testing.assert_allclose(normalize([[3.0, 4.0], [0, 0]]), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(normalize(np.arange(4.0).reshape(2, 2), axis=0, order=1), [[0, 0.25], [1, 0.75]])


def test_set_random_seed_makes_models_without_a_seed_reproducible():
    def drawn():
        return [Sequential([Input((4,)), Dense(3)]).get_weights()[0] for _ in range(2)]

    with_seed = Sequential([Input((4,)), Dense(3)], seed=3).get_weights()[0]
    scratchnet.utils.set_random_seed(1)
    first = drawn()
    scratchnet.utils.set_random_seed(1)
    second = drawn()
    scratchnet.support.seeds._source.clear()
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(with_seed, Sequential([Input((4,)), Dense(3)], seed=3).get_weights()[0])


def test_the_backend_answers_the_questions_of_old_scripts():
    K = scratchnet.backend
    assert (K.image_data_format(), K.floatx(), K.epsilon(), K.clear_session()) == ("channels_last", "float32", 1e-7, None)
    with pytest.raises(ValueError, match="transpose"):
        K.set_image_data_format("channels_first")
    with pytest.raises(ValueError, match="dtype='float64'"):
        K.set_floatx("float64")


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.weights.h5", "M.HDF5"])
def test_files_of_keras_are_refused_before_anything_is_written(tmp_path, name):
    model, path = small(), tmp_path / name
    calls = [
        lambda: model.save(path),
        lambda: model.save_weights(path),
        lambda: model.load_weights(path),
        lambda: load_model(path),
        lambda: scratchnet.models.save_model(model, path),
        lambda: scratchnet.callbacks.ModelCheckpoint(path),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"expected the name of an \.npz file, got .*, a format of Keras"):
            call()
    assert not list(tmp_path.iterdir())


def test_weights_alone_are_saved_and_loaded(tmp_path):
    model, other = small(), small()
    model.layers[0].set_weights([w + 1 for w in model.layers[0].get_weights()])
    model.save_weights(tmp_path / "w.npz")
    other.load_weights(tmp_path / "w.npz")
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
    with pytest.raises(ValueError, match="model"):
        load_model(tmp_path / "w.npz")
