"""What every layer shares: its name and settings, its place in a graph, what it refuses when it stands alone."""

import copy
import gc
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest

import scratchnet
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
    MinPooling2D,
    Model,
    ReLU,
    Softmax,
    metrics,
    plotting,
    preprocessing,
)
from scratchnet.layers import InputLayer, Layer, base
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam
from scratchnet.support.config import full_config

EVERY_KIND = [
    Conv2D(3, (3, 2), strides=(1, 2), padding="same", activation="relu", use_bias=False, name="first"),
    Conv2D(2, 3, implementation="im2col"),
    MaxPooling2D((2, 3), strides=1, padding="same"),
    MinPooling2D(2),
    AveragePooling2D(3, name="mean"),
    BatchNormalization(momentum=0.9, epsilon=1e-5, scale=False, beta_initializer="ones", name="norm"),
    BatchNormalization(3, center=False, implementation="im2col"),
    Dense(4, "softmax", kernel_initializer="he_uniform", bias_initializer="ones"),
    Flatten(),
    Add(name="sum"),
    ReLU(name="r"),
    Softmax(),
    Activation("linear"),
    InputLayer((3, 2)),
]


@pytest.mark.parametrize("layer", EVERY_KIND, ids=repr)
def test_the_repr_of_a_layer_is_the_code_that_creates_it(layer):
    again = eval(repr(layer), vars(scratchnet) | {"InputLayer": InputLayer})
    assert again.get_config() == layer.get_config()
    assert "None" not in repr(layer)


def test_layers_without_a_name_get_the_names_that_keras_gives():
    names = [kind.default_name() for kind in (Conv2D, MaxPooling2D, MinPooling2D, AveragePooling2D, Dense, ReLU, Softmax)]
    assert names == ["conv2d", "max_pooling2d", "min_pooling2d", "average_pooling2d", "dense", "re_lu", "softmax"]
    image = Input(shape=(3,))
    assert [layer.name for layer in Model(image, Softmax()(ReLU()(image))).layers[1:]] == ["re_lu", "softmax"]


def test_the_repr_of_a_node_shows_its_layer_and_its_shape_with_none_for_the_batch():
    node = Conv2D(3, 3, padding="same")(Input(shape=(6, 5, 2)))
    assert "Conv2D" in repr(node)
    assert "(None, 6, 5, 3)" in repr(node)


# -- implementations ---------------------------------------------------------------------------------------------------


def test_an_unknown_implementation_is_refused_when_the_layer_is_made():
    for make in (lambda **told: Dense(2, **told), lambda **told: Conv2D(2, 3, **told), lambda **told: MaxPooling2D(2, **told)):
        with pytest.raises(ValueError, match=r"(?s)(?=.*cuda)(?=.*loops)(?=.*im2col)(?=.*fused)"):
            make(implementation="cuda")


def test_fused_without_the_compiler_falls_back_to_im2col_and_says_so(monkeypatch):
    monkeypatch.setattr(base, "why_not", lambda: "no compiler")
    with pytest.warns(RuntimeWarning, match="no compiler.*im2col"):
        assert base.choose_implementation("fused") == "im2col"


@pytest.mark.parametrize(
    ("reason", "name"), [("", "fused"), ("", "direct"), ("", "im2col"), ("no compiler", "im2col"), ("no compiler", "loops")]
)
def test_an_implementation_that_can_run_gives_no_warning(monkeypatch, reason, name):
    monkeypatch.setattr(base, "why_not", lambda: reason)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert base.choose_implementation(name) == name


def test_a_layers_own_implementation_overrides_that_of_the_model_it_is_built_for():
    own, asked = Dense(2, implementation="loops"), Dense(2)
    for layer in (own, asked):
        layer.build_for([(3,)], np.random.default_rng(0), "float64", "im2col")
    assert own.forward_function is scratchnet.reference.dense_forward
    assert asked.forward_function is scratchnet.layers.dense.dense_forward


# -- a place in a graph ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), [np.zeros(3)], Dense(2), 3], ids=["array", "list", "layer", "int"])
def test_a_layer_is_connected_to_a_node_and_to_nothing_else(wrong):
    with pytest.raises(TypeError, match=r"(?s)(?=.*Input)(?=.*build)"):
        Dense(2)(wrong)


@pytest.mark.parametrize("shapes", [[], [(2, 3)]], ids=["none", "one"])
def test_add_of_fewer_than_two_is_refused(shapes):
    with pytest.raises(ValueError, match=r"Add\(\)\(\[a, b\]\)"):
        Add().compute_output_shape(*shapes)


@pytest.mark.parametrize("shapes", [[(2, 3), (3, 2)], [(2, 3), (2, 3), (2, 3, 1)]])
def test_add_of_different_shapes_is_refused_and_of_equal_ones_keeps_them(shapes):
    with pytest.raises(ValueError, match="the same shape"):
        Add().compute_output_shape(*shapes)
    assert Add().compute_output_shape((2, 3), (2, 3)) == (2, 3)


# -- a layer alone -----------------------------------------------------------------------------------------------------


def test_a_layer_alone_draws_the_same_weights_each_time_and_those_of_the_generator_it_is_given():
    def kernel(*rng):
        return Dense(3).build((4,), *rng).params["kernel"]

    np.testing.assert_array_equal(kernel(), kernel(np.random.default_rng(0)))
    np.testing.assert_array_equal(kernel(np.random.default_rng(5)), kernel(np.random.default_rng(5)))
    assert not np.array_equal(kernel(), kernel(np.random.default_rng(5)))


def test_building_again_clears_the_cache():
    layer = Dense(3).build((4,), dtype="float64")
    layer.forward(np.ones((2, 4)))
    layer.backward(np.ones((2, 3)))
    layer.build((5,), dtype="float64")
    assert layer.grads == {}
    assert layer.params["kernel"].shape == (5, 3)
    with pytest.raises(ValueError, match="forward"):
        layer.backward(np.ones((2, 3)))


def test_a_layer_outside_a_model_refuses_an_activation_argument():
    with pytest.raises(ValueError, match=r"(?s)(?=.*relu)(?=.*without)"):
        Dense(3, activation="relu").build((4,))
    assert Dense(3).build((4,)).built


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex128"])
def test_a_layer_computes_in_float32_or_float64(dtype):
    with pytest.raises(ValueError, match=dtype):
        Dense(3).build((4,), dtype=dtype)


def test_an_input_must_be_an_array_of_the_shape_and_dtype_that_the_layer_was_built_for():
    layer = Dense(3)
    with pytest.raises(ValueError, match="build"):
        layer.forward(np.zeros((2, 4), "float32"))
    layer.build((4,))
    for shape, dtype in (((2, 5), "float32"), ((2, 4), "float64"), ((2, 4), "complex128")):
        with pytest.raises(ValueError, match=str(shape[1]) if dtype == "float32" else dtype):
            layer.forward(np.zeros(shape, dtype))
    with pytest.raises(ValueError, match="list"):
        layer.forward([[0.0] * 4])


@pytest.mark.parametrize("batch", [1, 3])
def test_dout_belongs_to_the_last_batch(batch):
    layer = Dense(3).build((4,), dtype="float64")
    with pytest.raises(ValueError, match="forward"):
        layer.backward(np.zeros((2, 3)))
    layer.forward(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=f"{batch}"):
        layer.backward(np.zeros((batch, 3)))
    assert layer.backward(np.zeros((2, 3))).shape == (2, 4)


def test_a_layer_without_forward_or_backward_says_which_method_it_needs():
    layer = Layer().build((3,))
    with pytest.raises(NotImplementedError, match=r"forward\(self, x\)"):
        layer.forward(np.zeros((1, 3)))
    with pytest.raises(NotImplementedError, match=r"backward\(self, dout"):
        layer.backward(np.zeros((1, 3)))
    assert layer.output_shape == (3,)
    assert layer.count_params() == 0


def test_weights_of_a_layer_are_copies_and_a_wrong_list_is_refused_whole():
    layer = Dense(2).build((3,), dtype="float64")
    before = layer.get_weights()
    before[0][...] = 7
    assert not (layer.params["kernel"] == 7).any()
    kept = layer.get_weights()
    with pytest.raises(ValueError, match=r"(?s)(?=.*2)(?=.*1)(?=.*kernel, bias)"):
        layer.set_weights([np.ones((3, 2))])
    with pytest.raises(ValueError, match=r"(?s)bias.*\(2,\).*\(3,\)"):
        layer.set_weights([np.ones((3, 2)), np.ones(3)])
    for now, then in zip(layer.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(now, then)
    layer.set_weights([np.ones((3, 2)), np.zeros(2)])
    np.testing.assert_array_equal(layer.params["kernel"], 1)


def test_a_layer_whose_implementations_lack_the_one_that_runs_is_refused():
    class Scale(base.Layer):
        implementations = {"loops": (np.copy, np.copy)}

    with pytest.raises(ValueError, match=r"Scale: expected implementations with an entry 'fused'.*'loops'"):
        Scale().build((3,))


def test_what_a_convolution_takes_by_position_means_the_same_in_keras():
    assert Conv2D(2, 3, 2, "same").strides == (2, 2)
    with pytest.raises(TypeError, match="positional"):
        Conv2D(2, 3, 2, "same", "relu")


@pytest.mark.parametrize("bias", [["?", "?"], [None, None], [1j, 1j]], ids=["text", "object", "complex"])
def test_weights_that_are_no_real_numbers_are_refused_before_any_is_copied(bias):
    layer = Dense(2).build((4,))
    before = layer.get_weights()
    with pytest.raises(ValueError, match="real numbers"):
        layer.set_weights([np.ones((4, 2)), bias])
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])


@pytest.mark.parametrize("kernel", [np.ones((2, 4), "float32"), np.ones((4, 2))], ids=["another shape", "another dtype"])
def test_a_parameter_that_was_put_in_the_place_of_the_layers_own_is_refused_when_it_does_not_fit(kernel):
    layer = Dense(2).build((4,))
    layer.params["kernel"] = kernel  # kernels would read past its end
    with pytest.raises(ValueError, match=r"expected params\['kernel'\] to be float32 of shape \(4, 2\)"):
        layer.forward(np.ones((1, 4), "float32"))


# -- where a graph begins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0, 3), (3, -1), (2.5,), None, 28, "28"])
def test_an_input_without_a_shape_of_whole_numbers_from_one_on_is_refused(shape):
    with pytest.raises(ValueError, match=r"Input\(shape="):
        Input(shape=shape)


def test_an_input_of_one_cell_is_an_input():
    assert Input(shape=(1,)).shape == (1,)
    assert InputLayer((np.int64(2), 1), name="x").get_config() == {"shape": [2, 1], "name": "x"}


@pytest.mark.parametrize("kind", [lambda **given: Conv2D(2, 3, **given), MaxPooling2D, MinPooling2D, AveragePooling2D])
def test_an_unknown_padding_is_refused_when_the_layer_is_made(kind):
    with pytest.raises(ValueError, match=r"(?s)(?=.*'full')(?=.*valid)(?=.*same)"):
        kind(padding="full")


@pytest.mark.parametrize("value", [0, (1, 0), (2, 2, 2), (2,), "33", (True, 2), 1.5, (1.0, 2), None, True], ids=repr)
def test_a_pair_is_one_or_two_whole_numbers_from_one_on(value):
    with pytest.raises(ValueError, match=r"strides=\(2, 2\)"):
        base.pair("strides", value)
    assert base.pair("strides", (1, np.int64(2))) == (1, 2)
    assert base.pair("strides", np.int64(3)) == (3, 3)


class Scale(Layer):
    def __init__(self, factor, *, name=None):
        super().__init__(name=name)
        self.factor = factor


class ScaleUnderAnotherName(Layer):
    def __init__(self, factor, *, name=None):
        super().__init__(name=name)
        self.slope = factor


class ScaleByAThird(Layer):
    def __init__(self, factor=1.0, *, name=None):
        super().__init__(name=name)
        self.factor = factor / 3


def test_the_settings_of_a_layer_are_the_arguments_that_it_stores_under_their_names():
    assert full_config(Scale(2.0, name="s")) == {"factor": 2.0, "name": "s"}


def test_a_layer_whose_settings_lack_an_argument_is_refused_before_it_is_saved_without_it():
    with pytest.raises(ValueError, match=r"ScaleUnderAnotherName takes factor, (?s:.*)'factor': self\.factor"):
        full_config(ScaleUnderAnotherName(2.0))


def test_a_layer_that_stores_another_number_under_an_arguments_name_is_refused_and_not_saved_with_it():
    with pytest.raises(ValueError, match=r"ScaleByAThird: expected self\.factor to be the argument 'factor'"):
        full_config(ScaleByAThird(2.0))


def test_the_old_names_of_a_layer_still_work_with_one_warning_each():
    pair = (np.copy, np.copy)
    with pytest.warns(FutureWarning, match="Old.tellings is now called implementations") as caught:

        class Old(Layer):
            tellings = {"fused": pair}

    assert len(caught) == 1
    assert Old.implementations == {"fused": pair}
    assert Old().build((3,)).forward_function is np.copy
    with pytest.warns(FutureWarning, match="kinks is now called branch_pattern") as caught:

        class Bent(Layer):
            def kinks(self):
                return ["mine"]

    assert len(caught) == 1
    assert Bent().branch_pattern() == ["mine"]
    with pytest.warns(FutureWarning, match="Conv2D.tellings"):
        assert Conv2D.tellings is Conv2D.implementations
    with pytest.warns(FutureWarning, match="Conv2D.kinks is now called branch_pattern"):
        assert Conv2D(1, 1).kinks() == []


def test_a_layer_of_several_inputs_stores_all_their_shapes_and_its_input_shape_is_the_first():
    class Outer(Layer):
        def compute_output_shape(self, first, second):
            return (*first, *second)

    layer = Outer().build([(3,), (2, 4)])
    assert (layer.input_shape, layer.input_shapes, layer.output_shape) == ((3,), ((3,), (2, 4)), (3, 2, 4))


class Narrow(Dense):
    """Passes all but one argument on."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)


def test_the_settings_of_a_layer_that_passes_its_arguments_on_are_those_of_its_base_class_too():
    config = full_config(Narrow(4, activation="relu", use_bias=False, name="n"))
    assert config == Dense(4, activation="relu", use_bias=False, name="n").get_config()
    assert full_config(Narrow(4)) == Dense(4).get_config()


class Fixed(Dense):
    """Sets an argument that its constructor seems to pass on."""

    def __init__(self, **kwargs):
        super().__init__(units=4, **kwargs)


def test_a_layer_that_its_settings_cannot_make_again_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"Fixed: expected a constructor that takes the arguments of get_config.*units"):
        full_config(Fixed())


def test_a_layer_with_a_setting_that_is_not_a_number_is_saved():
    assert np.isnan(full_config(Scale(float("nan")))["factor"])


def test_old_names_are_found_in_a_mixin_and_may_call_those_of_their_base_class():
    class Mixin:
        tellings = {"fused": (np.copy, np.copy)}

    with pytest.warns(FutureWarning, match="Mixed.tellings is now called implementations") as caught:

        class Mixed(Mixin, Dense):
            pass

    assert len(caught) == 1
    assert Mixed.implementations is Mixin.tellings
    with pytest.warns(FutureWarning, match="First.kinks"):

        class First(Layer):
            def kinks(self):
                return [1]

    with pytest.warns(FutureWarning, match="Second.kinks") as caught:

        class Second(First):
            def kinks(self):
                return [*super().kinks(), 2]

    assert len(caught) == 1
    assert Second().branch_pattern() == [1, 2]


def test_gradients_go_to_the_parameters_by_name_whatever_others_a_derived_layer_has():
    class Gained(Dense):
        def make_params(self, rng):
            return {"gain": np.ones(3), **super().make_params(rng)}

    layer = Gained(3).build((3,))
    layer.forward(np.ones((2, 3), "float32"))
    layer.backward(np.ones((2, 3), "float32"))
    assert {name: gradient.shape for name, gradient in layer.grads.items()} == {"kernel": (3, 3), "bias": (3,)}


# -- parameters --------------------------------------------------------------------------------------------------------


class Scaled(Layer):
    """out = a·x, with a parameter without axes."""

    start = 0.5

    def make_params(self, rng):
        return {"a": self.start}

    def forward(self, x):
        self.check_input(x)
        self.cache = (x,)
        return self.params["a"] * x

    def backward(self, dout, need_dx=True):
        (x,) = self.cached(dout)
        self.grads = {"a": (dout * x).sum()}
        return dout * self.params["a"]


@pytest.mark.parametrize("implementation", ["fused", "numpy"])
@pytest.mark.parametrize("optimizer", [SGD, Adagrad, Adadelta, Adam])
def test_a_parameter_without_axes_is_trained_saved_and_loaded_in_its_shape(tmp_path, optimizer, implementation):
    x = Input(shape=(3,))
    model = Model(x, Dense(2, activation="softmax")(Scaled()(x)), seed=0)
    model.compile(optimizer(0.1, implementation=implementation), "categorical_crossentropy")
    images, labels = np.ones((4, 3), "float32"), np.eye(2, dtype="float32")[[0, 0, 1, 0]]
    model.fit(images, labels, epochs=2, verbose=0)
    a = model.params["scaled/a"]
    assert (a.shape, a.dtype) == ((), np.float32)
    assert a != 0.5
    model.save(tmp_path / "model.npz")
    again = scratchnet.load_model(tmp_path / "model.npz", custom_objects={"Scaled": Scaled})
    assert again.params["scaled/a"].shape == ()
    for one in (model, again):
        one.fit(images, labels, epochs=1, verbose=0, shuffle=False)
    assert again.params["scaled/a"] == model.params["scaled/a"]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2, 0), (3,), (2, 1, 3)])
def test_a_parameter_has_the_shape_that_make_params_gives_it_in_row_major_order(shape):
    class Made(Scaled):
        start = np.asfortranarray(np.ones(shape)) if shape else 1

    p = Made().build((3,)).params["a"]
    assert (p.shape, p.dtype) == (shape, np.float32)
    assert p.flags.c_contiguous
    assert p.flags.writeable


def test_two_layers_never_share_a_parameter_whatever_make_params_returns():
    class Constant(Scaled):
        start = np.full(3, 0.5, "float32")

    first, second = (Constant().build((3,)) for _ in range(2))
    first.params["a"][...] = 7
    assert second.params["a"].tolist() == Constant.start.tolist() == [0.5] * 3


# -- arrays that do not compute as arrays do ---------------------------------------------------------------------------


def masked(values):
    """Return a masked array in which every third number is masked."""
    return np.ma.masked_array(values, np.arange(np.size(values)).reshape(np.shape(values)) % 3 == 0)


ALONE = [(layer, shape) for layer, shape in zip(EVERY_KIND, [(6, 5, 2)] * 7 + [(5,), (2, 3), [(2,), (2,)], (4,), (4,), (4,)])]  # noqa: B905


@pytest.mark.parametrize(("layer", "shape"), ALONE, ids=[type(layer).__name__ for layer, _ in ALONE])
def test_a_masked_array_is_refused_by_every_layer_forward_and_backward(layer, shape):
    layer = type(layer)(**{**layer.get_config(), **({"activation": None} if isinstance(layer, (Dense, Conv2D)) else {})})
    layer.build(shape)
    xs = [np.ones((2, *s), "float32") for s in layer.input_shapes]
    out = layer.forward(*xs)
    with pytest.raises(ValueError, match=r"got a masked array\. Choose values for the masked numbers: dout\.filled\(0\)"):
        layer.backward(masked(out))
    with pytest.raises(ValueError, match=r"got a masked array\. Choose values for the masked numbers: x\.filled\(0\)"):
        layer.forward(*xs[:-1], masked(xs[-1]))


@pytest.mark.parametrize("mask", [False, True, np.ma.nomask])
def test_a_masked_array_is_refused_even_if_nothing_or_all_is_masked(mask):
    with pytest.raises(ValueError, match="masked"):
        Softmax().build((3,)).forward(np.ma.masked_array(np.ones((2, 3), "float32"), mask))


def test_a_matrix_is_refused_and_a_memory_map_is_an_array(tmp_path):
    layer = Softmax().build((3,))
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match=r"np\.asarray\(x\)"):
        layer.forward(matrix)
    np.save(tmp_path / "x.npy", np.arange(6, dtype="float32").reshape(2, 3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(layer.forward(mapped), layer.forward(np.array(mapped)))


def test_a_single_number_is_no_batch():
    with pytest.raises(ValueError, match=r"expected x as float32 of shape \(N, 3\)"):
        ReLU().build((3,)).forward(np.array(1, "float32"))


def test_masked_arrays_are_refused_wherever_a_model_takes_an_array():
    x = Input(shape=(4,))
    model = Model(x, Dense(3, activation="softmax")(x), seed=0)
    model.compile("sgd", "categorical_crossentropy")
    images, labels = np.ones((3, 4), "float32"), np.eye(3, dtype="float32")
    calls = [
        lambda: model.fit(masked(images), labels, verbose=0),
        lambda: model.fit(images, masked(labels), verbose=0),
        lambda: model.fit(images, labels, validation_data=(masked(images), labels), verbose=0),
        lambda: model.fit(images, labels, validation_data=(images, masked(labels)), verbose=0),
        lambda: model.evaluate(masked(images), labels, verbose=0),
        lambda: model.predict(masked(images), verbose=0),
        lambda: model.predict([masked(image) for image in images], verbose=0),
        lambda: model.train_on_batch(masked(images), labels),
        lambda: model.test_on_batch(images, masked(labels)),
        lambda: model.forward(masked(images)),
        lambda: (model.forward(images), model.backward(masked(labels))),
        lambda: model.layer_outputs(masked(images)),
        lambda: model.set_weights([masked(w) for w in model.get_weights()]),
        lambda: model.layers[1].set_weights([masked(w) for w in model.layers[1].get_weights()]),
        lambda: Dense(2, kernel_initializer=lambda shape, rng: masked(np.ones(shape))).build((3,)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"got a masked array\. Choose values for the masked numbers: .*\.filled\(0\)"):
            call()


# -- memory ------------------------------------------------------------------------------------------------------------


def branched():
    x = Input(shape=(6, 5, 1))
    a, b = Conv2D(4, 3, padding="same", activation="relu")(x), Conv2D(4, 3, padding="same")(x)
    y = Flatten()(MaxPooling2D(2)(Add()([a, b])))
    return Model(x, Dense(3, activation="softmax")(y), seed=0, implementation="im2col")


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def parts(model):
    """Return weak references to a model and to what only it refers to."""
    return [weakref.ref(part) for part in (model, *model.nodes, *model.layers, *model.params.values())]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["made", "trained", "loaded", "copied", "ends before an activation"])
def test_a_dropped_model_is_freed_at_once_without_the_collector(how, tmp_path):
    model = branched()
    alive = parts(model)
    if how == "trained":
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        images, labels = np.ones((8, 6, 5, 1), "float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2, 0, 1]]
        stop = scratchnet.callbacks.EarlyStopping(monitor="loss")
        history = model.fit(images, labels, epochs=1, verbose=0, validation_split=0.25, callbacks=[stop])
        assert history.model is model
        model.evaluate(images, labels, verbose=0)
        model.predict(images, verbose=0)
        alive += [weakref.ref(model.optimizer), weakref.ref(model.loss), *map(weakref.ref, model.optimizer.state[0])]
        del stop
    elif how == "loaded":
        model.save(tmp_path / "model.npz")
        model = scratchnet.load_model(tmp_path / "model.npz")
        alive += parts(model)
    elif how == "copied":
        other = copy.deepcopy(model)
        assert [node.layer.node for node in other.nodes] == other.nodes
        alive += parts(other)
        del other
    elif how == "ends before an activation":
        other = Model(model.nodes[0], model.layers[1].node)
        alive += parts(other)
        del other
    del model
    assert [part() for part in alive if part() is not None] == []


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_memory_is_flat_over_many_models_without_the_collector(count):
    for _ in range(3 * count):      # Python keeps up to 2,000 freed tuples of each length for later use
        branched()
    tracemalloc.start()
    try:
        first = branched()
        one = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            branched()
        assert tracemalloc.get_traced_memory()[0] < 11 * one
    finally:
        tracemalloc.stop()
    assert first.params


@pytest.mark.usefixtures("no_collector")
def test_a_deep_graph_that_is_dropped_needs_no_deep_stack():
    x = Input(shape=(2,))
    for _ in range(20_000):
        x = ReLU()(x)
    last = weakref.ref(x.layer)
    del x
    assert last() is None


def test_a_layer_keeps_its_place_while_it_is_kept_even_if_the_graph_is_dropped():
    layer, image = Dense(2, activation="relu"), Input(shape=(3,))
    after = layer(image)
    assert layer.node is after.parents[0]
    assert image.layer.node is image
    del after
    assert layer.node.parents == (image,)
    assert layer.node.shape == (2,)
    with pytest.raises(ValueError, match="not connected yet, got one that is"):
        layer(image)
    alone = copy.deepcopy(layer)
    assert alone.node is None
    assert alone(image).layer is alone.activation


def test_masked_arrays_are_refused_by_the_functions_around_the_model():
    two, three = masked(np.full((4, 2), 0.5)), np.eye(4, 2)
    labels, image = masked(np.array([0, 1, 0, 1])), masked(np.zeros((4, 4)))
    p, loss = np.ones(3), scratchnet.losses.CategoricalCrossentropy()
    calls = [
        lambda: preprocessing.normalize_images(image),
        lambda: preprocessing.add_channel_axis(image[None]),
        lambda: preprocessing.one_hot(labels, 2),
        lambda: preprocessing.one_hot([*labels], 2),
        lambda: preprocessing.standardize(np.ones((4, 2)), two),
        lambda: preprocessing.train_validation_split(two, labels),
        lambda: metrics.confusion_matrix(labels, [0, 1, 0, 1], 2),
        lambda: metrics.confident_mistakes([0, 1, 0, 1], two),
        lambda: plotting.image_sheet(image[None], [0], ["a"]),
        lambda: plotting.prediction(image, [0.5, 0.5], ["a", "b"]),
        lambda: plotting.filters(masked(np.ones((3, 3, 1, 2)))),
        lambda: SGD().update([p], [masked(p)]),
        lambda: SGD().update([masked(p)], [p]),
        lambda: loss(three, two),
        lambda: loss(two, np.full((4, 2), 0.5)),
        lambda: loss.one_hot(two, 2),
        lambda: scratchnet.losses.SparseCategoricalCrossentropy().one_hot(labels, 2),
        lambda: scratchnet.losses.softmax_cross_entropy(two, three),
        lambda: scratchnet.losses.softmax(two),
        lambda: scratchnet.losses.log_softmax(two),
        lambda: scratchnet.gradcheck.check_function(np.tanh, np.tanh, [two]),
        lambda: scratchnet.gradcheck.check_model(branched(), masked(np.ones((1, 6, 5, 1)))),
        lambda: scratchnet.gradcheck.numerical_gradient(lambda: 1.0, two),
        lambda: scratchnet.gradcheck.complex_step_gradient(np.exp, [two], 0, two),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"got a masked array\. Choose values for the masked numbers: .*\.filled\(0\)"):
            call()
