"""Sequential models that grow layer by layer or learn their input from data, and models that are layers of other models."""

import copy
import pickle

import numpy as np
import pytest

from scratchnet import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    Model,
    Sequential,
    load_model,
)
from scratchnet.layers import InputLayer, Layer
from scratchnet.optimizers import SGD

RNG = np.random.default_rng(17)
X = RNG.random((12, 6, 5, 2), dtype="float32")
Y = np.arange(12) % 3


def layers():
    return [Conv2D(4, 3, activation="relu", padding="same"), MaxPooling2D(), Flatten(), Dense(3, activation="softmax")]


def at_once(seed=3):
    return Sequential([Input((6, 5, 2)), *layers()], seed=seed)


def same_weights(a, b):
    assert list(a.params) == list(b.params)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def trained(model, epochs=2):
    model.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(X, Y, batch_size=5, epochs=epochs, verbose=0, shuffle=False).history


def added(first, seed=3, last=None):
    model = Sequential(seed=seed)
    for layer in [*first, *(last or layers())]:
        model.add(layer)
    return model


def by_build():
    model = added([])
    model.build((None, 6, 5, 2))
    return model


def by_predict():
    model = Sequential(layers(), seed=3)
    model.predict(X, verbose=0)
    return model


def by_call():
    model = Sequential(layers(), seed=3)
    assert model(X[:2]).shape == (2, 3)
    return model


def by_outer_model():
    inner = Sequential(layers())
    return Sequential([Input((6, 5, 2)), inner], seed=3)


WAYS = {
    "add": lambda: added([Input((6, 5, 2))]),
    "an InputLayer": lambda: added([InputLayer((6, 5, 2))]),
    "input_shape": lambda: added([], last=[Conv2D(4, 3, activation="relu", padding="same", input_shape=(6, 5, 2)), *layers()[1:]]),
    "batch_input_shape": lambda: Sequential(
        [Conv2D(4, 3, activation="relu", padding="SAME", batch_input_shape=(None, 6, 5, 2)), *layers()[1:]], seed=3
    ),
    "build": by_build,
    "predict": by_predict,
    "call": by_call,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_make_a_model_draws_the_weights_of_the_model_made_at_once(way):
    model = WAYS[way]()
    same_weights(model, at_once())
    assert trained(model) == trained(at_once())


def test_a_model_that_fit_builds_is_the_model_made_at_once_also_when_it_was_compiled_before():
    model = Sequential(layers(), seed=3)
    assert trained(model) == trained(at_once())
    assert model.layers[0].output_shape == (6, 5, 4)


def test_layers_leave_the_input_out_and_those_of_a_functional_model_keep_it():
    model = at_once()
    assert [type(layer).__name__ for layer in model.layers] == ["Conv2D", "MaxPooling2D", "Flatten", "Dense"]
    graph = Model(model.inputs, model.outputs)
    assert type(graph.layers[0]).__name__ == "InputLayer"


def test_a_layer_that_is_removed_leaves_the_others_as_they_are_and_can_be_used_again():
    model = at_once()
    before = model.get_weights()
    last = model.pop()
    assert model.output_shape == (None, 24)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    model.add(Dense(5, activation="softmax", name="head"))
    assert (model.output_shape, model.layers[-1].name) == ((None, 5), "head")
    other = Sequential([Input((24,)), last], seed=0)
    np.testing.assert_array_equal(other.get_weights()[0], before[2])
    for _ in range(5):
        model.pop()
    assert model.layers == []
    assert model.pop() is None


def test_a_model_that_changes_must_be_compiled_again_and_trains():
    model = at_once()
    trained(model)
    model.pop()
    with pytest.raises(ValueError, match="compiled"):
        model.fit(X, Y)
    model.add(Dense(3, activation="softmax"))
    assert len(trained(model)["loss"]) == 2


def test_a_summary_before_the_shape_is_known_says_so_and_afterwards_shows_it():
    lines = []
    model = Sequential([Dense(3), Dense(2)])
    model.summary(print_fn=lines.append)
    rows = lines[0].splitlines()
    assert rows[4].split() == ["dense", "(Dense)", "?", "0", "(unbuilt)"]
    assert rows[5].split() == ["dense_1", "(Dense)", "?", "0", "(unbuilt)"]
    assert rows[-3] == "Total params: 0 (0.00 B)"
    model.build((None, 4))
    model.summary(100, print_fn=lines.append, show_trainable=True)
    rows = lines[1].splitlines()
    assert rows[4].split() == ["dense", "(Dense)", "(None,", "3)", "15", "Y"]
    assert len(rows[1]) == 100
    Sequential().summary(print_fn=lines.append)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.count_params(), r"knows the shape of its input.*model\.build"),
        (lambda m: m.get_weights(), r"knows the shape of its input"),
        (lambda m: m.output_shape, r"knows the shape of its input"),
        (lambda m: m.save("model.npz"), r"knows the shape of its input"),
        (lambda m: m.build(), r"input_shape with the batch axis"),
        (lambda m: m.build((None,)), r"input_shape with the batch axis"),
        (lambda m: m.build((None, None, 5, 2)), r"integer"),
        (lambda m: m.predict(np.float32(1)), r"knows the shape of its input"),
        (lambda m: m.add(Input((3,))), r"second Input"),
        (lambda m: m.add(m.layers[0]), r"in a model once"),
        (lambda m: m.add("relu"), r"Activation\('relu'\)"),
    ],
)
def test_what_a_model_without_a_shape_cannot_do_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call(Sequential([Conv2D(2, 3), Flatten()]))


def test_a_shape_that_the_layers_cannot_take_leaves_the_model_as_it_was():
    model = Sequential(layers(), seed=3)
    with pytest.raises(ValueError, match=r"\(H, W, C\)"):
        model.build((None, 5))
    with pytest.raises(ValueError, match=r"\(H, W, C\)|images|shape"):
        model.predict(X[:, 0, 0])
    model.build((None, 6, 5, 2))
    same_weights(model, at_once())
    with pytest.raises(ValueError, match=r"expected the shape that the model has already, \(None, 6, 5, 2\)"):
        model.build((None, 7, 5, 2))


@pytest.mark.parametrize("shape", [0.5, (0,), "784", (None, 3), (-1,)])
def test_a_declared_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="Dense: input_shape: expected"):
        Dense(3, input_shape=shape)


def test_every_layer_takes_trainable_and_a_shape_also_one_of_a_users_own():
    class Twice(Layer):
        def __init__(self, factor=2, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def forward(self, x):
            return x * self.factor

        def backward(self, dout, need_dx=True):
            return dout * self.factor

    layer = Twice(3, input_shape=(4,), trainable=False, name="twice")
    assert (layer.declared_shape, layer.trainable, layer.name, layer.factor) == ((4,), False, "twice", 3)
    assert Sequential([layer, Dense(2)]).input_shape == (None, 4)
    assert not Conv2D(2, 3, trainable=False).trainable
    assert Dense(2, input_dim=7).declared_shape == (7,)
    assert Flatten(input_shape=[2, 3]).declared_shape == (2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2D(2, 3, data_format="channels_last", dilation_rate=(1, 1), groups=1, kernel_constraint=None),
        lambda: MaxPooling2D(data_format=None),
        lambda: Flatten(data_format="channels_last"),
        lambda: Input((3,), batch_size=32, dtype="float32"),
        lambda: Input(batch_shape=(None, 3)),
        lambda: at_once().compile(run_eagerly=False, loss_weights=None, jit_compile="auto"),
    ],
)
def test_arguments_that_ask_for_what_happens_in_any_case_are_accepted(make):
    make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Conv2D(2, 3, data_format="channels_first"), r"transpose\(0, 2, 3, 1\)"),
        (lambda: Conv2D(2, 3, dilation_rate=2), "dilation of 1"),
        (lambda: Conv2D(2, 3, groups=True), "groups=1"),
        (lambda: Conv2D(2, 3, dilation_rate=True, data_format="channels_last"), "dilation of 1"),
        (lambda: SGD(lr=0.1), "learning_rate=0.1"),
    ],
)
def test_the_same_arguments_with_other_values_are_refused(make, words):
    with pytest.raises(TypeError, match=words):
        make()


# -- models of models -------------------------------------------------------------------------------------------------


def block(name=None, filters=3):
    x = Input((6, 5, 2))
    a = Conv2D(filters, 3, padding="same", activation="relu")(x)
    b = Conv2D(filters, 1, padding="same")(x)
    return Model(x, Activation("relu")(Add()([a, b])), name=name, seed=5)


def nested(**settings):
    inner = Sequential([block("block"), AveragePooling2D()], name="features")
    return Sequential([Input((6, 5, 2)), inner, Flatten(), Dense(3, activation="softmax")], seed=1, **settings)


def flat(model):
    """The same network, with its layers connected one by one, and the same weights."""
    x = image = Input((6, 5, 2))
    a = Conv2D(3, 3, padding="same", activation="relu")(x)
    b = Conv2D(3, 1, padding="same")(x)
    x = AveragePooling2D()(Activation("relu")(Add()([a, b])))
    plain = Model(image, Dense(3, activation="softmax")(Flatten()(x)), seed=1)
    plain.set_weights(model.get_weights())
    return plain


def test_a_model_of_models_computes_and_trains_as_its_layers_connected_one_by_one():
    model = nested()
    plain = flat(model)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert trained(model) == trained(plain)
    for p, q in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    assert [*map(len, (model.plan.forward, model.plan.backward))] == [*map(len, (plain.plan.forward, plain.plan.backward))]


def test_names_of_weights_are_paths_and_the_summary_has_one_row_for_a_model():
    model, lines = nested(), []
    assert [*model.params] == [
        "features/block/conv2d/kernel",
        "features/block/conv2d/bias",
        "features/block/conv2d_1/kernel",
        "features/block/conv2d_1/bias",
        "dense/kernel",
        "dense/bias",
    ]
    model.summary(print_fn=lines.append)
    rows = [row.split()[0] for row in lines[0].splitlines()[4:-4]]
    assert rows == ["features", "flatten", "dense"]
    model.summary(print_fn=lines.append, expand_nested=True)
    rows = [row.split()[0] for row in lines[1].splitlines()[4:-4]]
    assert rows[:6] == ["features", "block", "input_layer", "conv2d", "conv2d_1", "add"]
    assert model.get_layer("features") is model.layers[0]
    assert lines[0].splitlines()[-3:] == lines[1].splitlines()[-3:]


def test_models_without_a_name_are_numbered():
    model = Sequential([Input((4,)), Sequential([Dense(3)]), Sequential([Dense(2)])])
    assert [part.name for part in model.layers] == ["sequential", "sequential_1"]
    with pytest.raises(ValueError, match="name: expected a different one"):
        Sequential([Input((4,)), Sequential([Dense(3)], name="a"), Sequential([Dense(2)], name="a")])


def test_the_same_model_twice_in_one_graph_is_refused_and_in_two_graphs_shares_its_weights():
    inner = Sequential([Input((4,)), Dense(4)], seed=2)
    x = Input((4,))
    with pytest.raises(ValueError, match="in a model once"):
        Model(x, inner(inner(x)))
    first, second = (Model(x, Dense(3, activation="softmax")(inner(x))) for x in (Input((4,)), Input((4,))))
    first.compile(SGD(0.5), "sparse_categorical_crossentropy")
    before = inner.get_weights()[0]
    first.fit(X[:, 0, :2, :].reshape(12, 4), Y, verbose=0)
    assert not np.array_equal(before, inner.get_weights()[0])
    np.testing.assert_array_equal(second.get_weights()[0], inner.get_weights()[0])


def test_a_model_does_not_take_another_shape_or_dtype():
    with pytest.raises(ValueError, match=r"Model 'block': expected an input of shape \(6, 5, 2\), got \(5, 5, 2\)"):
        block("block")(Input((5, 5, 2)))
    with pytest.raises(ValueError, match="dtype='float32'"):
        Sequential([Input((6, 5, 2)), block()], dtype="float64")
    inner = Sequential([Dense(3)])
    outer = Sequential([Input((4,)), inner], dtype="float64")
    assert outer.predict(np.zeros((2, 4))).dtype == inner.predict(np.zeros((2, 4))).dtype == np.float64


@pytest.mark.parametrize("way", ["inner.trainable", "layer.trainable"])
def test_a_frozen_model_within_a_model_does_not_move(way):
    model = nested()
    if way == "inner.trainable":
        model.layers[0].trainable = False
    else:
        for layer in model.layers[0].layers[0].layers:
            layer.trainable = False
    before = model.get_weights()
    trained(model)
    moved = [not np.array_equal(p, q) for p, q in zip(before, model.get_weights(), strict=True)]
    assert moved == [False] * 4 + [True] * 2
    model.layers[0].trainable = True
    trained(model)
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize("frozen", [False, True])
def test_models_of_models_are_saved_loaded_copied_and_pickled(tmp_path, frozen):
    model = nested()
    model.layers[0].trainable = not frozen
    trained(model)
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    fresh = nested()
    fresh.set_weights(model.get_weights())
    fresh.layers[0].trainable = not frozen
    for other in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(fresh))):
        same_weights(model, other)
        assert type(other) is Sequential
        assert [type(part).__name__ for part in other.layers] == ["Sequential", "Flatten", "Dense"]
        assert [layer.trainable for layer in other.every_layer.values()] == [
            layer.trainable for layer in model.every_layer.values()
        ]
        np.testing.assert_array_equal(model.predict(X), other.predict(X))
    ours, theirs = (m.fit(X, Y, epochs=2, verbose=0).history for m in (model, again))
    assert ours == theirs
    same_weights(model, again)
    again.add(Dense(2))


def test_a_saved_sequential_is_one_again_and_grows(tmp_path):
    model = at_once()
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert type(again) is Sequential
    assert len(again.layers) == 4
    again.pop()
    again.add(Dense(7))
    assert again.output_shape == (None, 7)


def test_a_call_with_images_is_inference_and_its_result_has_numpy():
    model = at_once()
    out = model(X)
    np.testing.assert_array_equal(out, model.predict(X))
    assert type(out.numpy()) is np.ndarray
    assert model(X, training=True).shape == (12, 3)
    with pytest.raises(ValueError, match=r"expected floats of shape"):
        model(X[0])
    with pytest.raises(ValueError, match="normalize_images"):
        model((X * 255).astype("uint8"))


def test_a_model_inside_another_computes_on_its_own_between_forward_and_backward():
    model = nested()
    x, dout = X, RNG.random((12, 3), dtype="float32")
    model.forward(x, training=True)
    expected = model.backward(dout)
    model.forward(x, training=True)
    model.layers[0].predict(x[::-1])
    np.testing.assert_array_equal(model.backward(dout), expected)


def test_a_class_with_call_is_refused_when_it_is_defined():
    with pytest.raises(TypeError, match=r"MyNet: expected a graph of layers.*Model\(inputs, outputs\)"):

        class MyNet(Model):
            def __init__(self):
                super().__init__()

            def call(self, x):
                return x


def test_layers_of_branches_have_the_order_of_keras():
    """By depth, then by the first visit of a search from the output: what Keras 3.15 lists for the same graph."""
    image = Input((6, 5, 2), name="in")
    small = Conv2D(3, 1, padding="same", name="small")(image)
    large = Conv2D(3, 3, padding="same", name="large_1")(image)
    large = Conv2D(3, 3, padding="same", activation="relu", name="large_2")(large)
    model = Model(image, Dense(2, name="last")(Flatten(name="flat")(Add(name="sum")([small, large]))), seed=1)
    assert [layer.name for layer in model.layers] == ["in", "large_1", "small", "large_2", "sum", "flat", "last"]
    assert [name.partition("/")[0] for name in model.params][::2] == ["large_1", "small", "large_2", "last"]
    outer = Sequential([Input((6, 5, 2)), model])
    assert [p.shape for p in outer.get_weights()] == [p.shape for p in model.get_weights()]


def test_train_on_batch_trains_a_model_in_a_model_and_restores_its_state_if_the_loss_is_not_finite():
    inner = Sequential([Flatten(), BatchNormalization()])
    model = Sequential([Input((6, 5, 2)), inner, Dense(3, activation="softmax")], seed=1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = inner.get_weights()
    with pytest.raises(FloatingPointError):
        model.train_on_batch(np.full_like(X, np.nan), Y)
    for old, new in zip(before, inner.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.train_on_batch(X, Y)
    assert all((old != new).any() for old, new in zip(before, inner.get_weights(), strict=True))
