"""The other activations: values, implementations that agree, extreme numbers, and the ways in which an activation is given."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import ELU, Activation, Conv2D, Dense, Flatten, Input, LeakyReLU, Model, ReLU, Sequential, Softmax, load_model
from scratchnet.datasets import cifar10, mnist
from scratchnet.kernels.threads import limit
from scratchnet.layers.activations import ACTIVATIONS, FUNCTIONS, SETTINGS
from scratchnet.plan import join_relus
from scratchnet.support.arithmetic import quiet

NAMES = ["sigmoid", "tanh", "softplus", "elu", "selu", "silu", "gelu", "gelu_tanh", "leaky_relu", "relu6"]
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
DEFINITIONS = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: SCALE * (x if x > 0 else ALPHA * (math.exp(x) - 1)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "leaky_relu": lambda x: max(x, 0.2 * x),
    "relu6": lambda x: min(max(x, 0), 6),
}
each_name = pytest.mark.parametrize("name", NAMES)
FUSED = pytest.param("fused", marks=pytest.mark.compiled)
each_implementation = pytest.mark.parametrize("implementation", ["loops", "im2col", FUSED])


def both(name, implementation, x, dout):
    """Return out and dx of an activation's pair of functions, with its settings."""
    forward, backward = ACTIVATIONS[name][implementation]
    settings = SETTINGS.get(name, ())
    out = forward(x, *settings)
    return out, backward(dout, x if name in ("silu", "gelu", "gelu_tanh") else out, *settings)


def built(layer, shape, dtype="float32", implementation="fused"):
    layer.implementation = implementation
    return layer.build(shape, dtype=dtype)


# -- values -----------------------------------------------------------------------------------------------------------


@each_name
@each_implementation
def test_an_activation_equals_its_definition(name, implementation):
    x = np.concatenate([np.linspace(-9, 9, 181), [0.0, 1e-5, -1e-5]]).reshape(2, -1)
    for dtype, tolerance in (("float32", 3e-7), ("float64", 3e-16)):
        rows = x.astype(dtype)
        out, _ = both(name, implementation, rows, rows)
        assert out.dtype == dtype
        right = np.vectorize(DEFINITIONS[name], otypes=[float])(rows.astype(float))
        np.testing.assert_allclose(out, right, rtol=0, atol=tolerance * 16)


@each_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=10)
@given(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7), st.integers(1, 4)), st.integers(0, 2**32 - 1))
def test_the_implementations_agree(name, dtype, shape, seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(shape) * rng.choice([0.1, 1, 5])).astype(dtype)
    x[rng.random(shape) < 0.2] = 0
    dout = rng.standard_normal(shape).astype(dtype)
    right = both(name, "loops", x, dout)
    for implementation in ("im2col", "fused"):
        for got, expected in zip(both(name, implementation, x, dout), right, strict=True):
            assert got.dtype == dtype
            np.testing.assert_allclose(got, expected, rtol=0, atol=64 * np.finfo(dtype).eps * max(1, abs(expected).max()))


@pytest.mark.parametrize("load", [mnist.load_data, cifar10.load_data])
def test_the_kernels_and_the_page_agree_on_real_images(load, real_data):
    (images, _), _ = load()
    x = images[:8].astype("float32") / 32 - 4
    x[images[:8] == 0] = 0                             # black, which in MNIST is most of an image
    dout = np.random.default_rng(0).standard_normal(x.shape).astype("float32")
    for name in NAMES:
        exact = both(name, "im2col", x.astype(float), dout.astype(float))
        for implementation in ("im2col", "fused"):
            for got, right in zip(both(name, implementation, x, dout), exact, strict=True):
                np.testing.assert_allclose(got, right, rtol=2e-6, atol=5e-7)


def test_the_two_forms_of_gelu_differ_by_less_than_five_ten_thousandths():
    x = np.linspace(-8, 8, 1001)
    distance = np.abs(FUNCTIONS["gelu"](x) - FUNCTIONS["gelu_tanh"](x))
    assert 1e-4 < distance.max() < 5e-4


def test_the_gradient_at_the_kinks_is_that_of_the_left_side_and_zero_at_the_limit():
    x, ones = np.array([[-0.0, 0.0, 6.0]]), np.ones((1, 3))
    for implementation in ("loops", "im2col", "fused"):
        assert both("leaky_relu", implementation, x, ones)[1].tolist() == [[0.2, 0.2, 1.0]]
        assert both("relu6", implementation, x, ones)[1].tolist() == [[0.0, 0.0, 0.0]]
        assert both("elu", implementation, x, ones)[1].tolist() == [[1.0, 1.0, 1.0]]
        assert both("selu", implementation, x, ones)[1].tolist() == [[SCALE * ALPHA, SCALE * ALPHA, SCALE]]


# -- extreme numbers --------------------------------------------------------------------------------------------------

ENDS = {
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "softplus": (0, "x"),
    "elu": (-1, "x"),
    "selu": (-SCALE * ALPHA, None),
    "silu": (0, "x"),
    "gelu": (0, "x"),
    "gelu_tanh": (0, "x"),
    "relu6": (0, 6),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("implementation", ["im2col", FUSED])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_numbers_give_the_limits_and_their_gradients_without_a_warning(name, implementation, dtype, size):
    x = np.array([[-size, size]], dtype)
    layer = built(Activation(name), (2,), dtype, implementation)
    with np.errstate(all="raise"):
        out, dx = layer.forward(x), layer.backward(np.ones_like(x))
    low, high = ENDS[name]
    high = {"x": size, None: np.asarray(SCALE, dtype) * np.asarray(size, dtype)}.get(high, high)
    np.testing.assert_allclose(out, [[low, high]], rtol=1e-6, atol=0)
    flat = name in ("sigmoid", "tanh", "relu6")
    np.testing.assert_allclose(dx, [[0, 0 if flat else SCALE if name == "selu" else 1]], rtol=1e-6, atol=1e-6)


@each_name
@pytest.mark.parametrize("implementation", ["im2col", FUSED])
def test_zeros_and_the_smallest_numbers_keep_their_digits(name, implementation):
    x = np.array([[0.0, -0.0, 1e-30, -1e-30, 1e-38, -1e-38]], "float32")
    out, _ = both(name, implementation, x, x)
    start = {"sigmoid": 0.5, "softplus": math.log(2)}.get(name, 0)
    left, right = {
        "tanh": (1, 1),
        "elu": (1, 1),
        "selu": (SCALE * ALPHA, SCALE),
        "leaky_relu": (0.2, 1),
        "relu6": (0, 1),
    }.get(name, (0.5, 0.5))
    expected = start + (0 if start else np.where(x > 0, right, left) * x.astype(float))
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-44)


@each_name
@pytest.mark.parametrize("implementation", ["im2col", FUSED])
def test_a_nan_is_shown_and_not_hidden(name, implementation):
    x = np.array([[np.nan, 1.0]], "float32")
    out, _ = both(name, implementation, x, x)
    assert np.isnan(out).tolist() == [[True, False]]


# -- kernels ----------------------------------------------------------------------------------------------------------


@pytest.mark.compiled
@each_name
def test_any_number_of_threads_gives_the_same_bits(name):
    rng = np.random.default_rng(2)
    x, dout = (rng.standard_normal((3, 41, 43, 31)).astype("float32") * 3 for _ in range(2))
    with limit(1):
        right = both(name, "fused", x, dout)
    for threads in (2, 3, 7):
        with limit(threads):
            for got, expected in zip(both(name, "fused", x, dout), right, strict=True):
                np.testing.assert_array_equal(got, expected)


@each_name
@each_implementation
def test_transposed_and_read_only_arrays_give_the_same_and_nothing_is_written_into(name, implementation):
    rng = np.random.default_rng(3)
    x, dout = (rng.standard_normal((3, 4, 5)).astype("float32") for _ in range(2))
    right = both(name, implementation, x, dout)
    other = [np.asfortranarray(a) for a in (x, dout)]
    for array in other:
        array.flags.writeable = False
    for _ in range(2):
        for got, expected in zip(both(name, implementation, *other), right, strict=True):
            np.testing.assert_array_equal(got, expected)
            assert not any(np.shares_memory(got, a) for a in other)


# -- layers -----------------------------------------------------------------------------------------------------------


def test_the_layers_give_the_numbers_of_keras_own_examples():
    x = np.array([[-10, -5, 0.0, 5, 10]], "float32")
    for layer in (LeakyReLU(negative_slope=0.5), ReLU(max_value=10, negative_slope=0.5)):
        np.testing.assert_array_equal(layer.build((5,)).forward(x), [[-5.0, -2.5, 0.0, 5.0, 10.0]])


def test_the_layer_has_another_default_slope_than_the_name_as_in_keras():
    x = np.array([[-1.0]], "float32")
    assert LeakyReLU().build((1,)).forward(x)[0, 0] == np.float32(-0.3)
    assert Activation("leaky_relu").build((1,)).forward(x)[0, 0] == np.float32(-0.2)


def test_a_relu_with_arguments_is_another_function_and_is_not_fused_into_its_neighbours():
    image = Input((4, 4, 2))
    for layer in (ReLU(), ReLU(None, 0.0), ReLU(6), ReLU(negative_slope=0.1), LeakyReLU(0), ELU(), Activation("relu6")):
        fused = layer.function == "relu"
        model = Model(image, Flatten()(layer(Conv2D(3, 2)(image))), seed=0)
        assert bool(join_relus(model.nodes).forward) is fused


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LeakyReLU(-0.1), "negative_slope: expected a finite number of at least 0, got -0.1"),
        (lambda: LeakyReLU(None), "negative_slope: expected"),
        (lambda: ELU("2"), "alpha: expected"),
        (lambda: ReLU(max_value=-1), "max_value: expected"),
        (lambda: Activation(lambda x: x), "activation: expected 'relu', .*a layer of your own"),
        (lambda: Activation(np.tanh), "activation: expected 'relu', .*a layer of your own"),
        (lambda: Dense(2, activation=Dense(2)), "activation: expected 'relu', .*Use this layer itself"),
        (lambda: Activation(LeakyReLU(0.1)), "activation: expected 'relu', .*Use this layer itself"),
        (lambda: Dense(2, activation=np.zeros(3)), "activation: expected 'relu'"),
        (lambda: Dense(2, activation={"class_name": ["ReLU"], "config": {}}), "activation: expected 'relu'"),
    ],
)
def test_a_wrong_argument_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_branch_pattern_is_the_side_of_each_kink():
    x = np.array([[-1.0, 2.0, 7.0]], "float32")
    patterns = {}
    for name in ("leaky_relu", "relu6", "selu", "gelu"):
        layer = Activation(name).build((3,))
        layer.forward(x)
        patterns[name] = [side.tolist() for side in layer.branch_pattern()]
    right = [[False, True, True]]
    assert patterns == {
        "leaky_relu": [right, [[False, False, False]]],
        "relu6": [right, [[False, False, True]]],
        "selu": [right],
        "gelu": [],
    }


# -- how an activation is given ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_the_layer_of_its_name(name):
    x = np.random.default_rng(4).standard_normal((3, 5)).astype("float32")
    by_name, by_function = (Activation(given).build((5,)).forward(x) for given in (name, FUNCTIONS[name]))
    np.testing.assert_array_equal(by_name, by_function)
    np.testing.assert_allclose(FUNCTIONS[name](x), by_name, rtol=2e-6, atol=1e-6)
    assert FUNCTIONS[name]([[1, -1]]).dtype == "float64"
    image = Input((5,))
    np.testing.assert_array_equal(Model(image, FUNCTIONS[name](Dense(5)(image)), seed=1).forward(x).shape, x.shape)


def test_a_function_names_the_layer_that_takes_the_numbers():
    with pytest.raises(TypeError, match=r"leaky_relu: expected only arguments among x, got negative_slope=0.1. .*LeakyReLU"):
        FUNCTIONS["leaky_relu"](np.zeros(3), negative_slope=0.1)
    with pytest.raises(TypeError, match=r"gelu: expected only arguments among x, got approximate=True. .*'gelu_tanh'"):
        FUNCTIONS["gelu"](np.zeros(3), approximate=True)
    with pytest.raises(ValueError, match="sigmoid: expected x as an array of numbers"):
        FUNCTIONS["sigmoid"]("two")


LAYERS = [LeakyReLU(0.1), LeakyReLU(0.1, name="mine"), ELU(0.5), ReLU(max_value=6), Activation("tanh")]
GIVEN = ["elu", "swish", FUNCTIONS["gelu"], *LAYERS]


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: getattr(given, "__name__", str(given)))
def test_a_model_with_any_activation_is_saved_and_loaded(given, tmp_path):
    layers = [Input((6, 5, 2)), Conv2D(3, 2, activation=given), Flatten(), Dense(4, given), Dense(3, activation=Softmax())]
    model = Sequential(layers, seed=2)
    model.compile("adam")
    x, y = np.random.default_rng(5).standard_normal((8, 6, 5, 2)).astype("float32"), np.eye(3)[np.arange(8) % 3]
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert again.get_config() == model.get_config()
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_a_given_layer_is_copied_since_several_layers_may_have_it():
    leaky = LeakyReLU(0.25)
    first, second = Dense(2, activation=leaky), Dense(2, activation=leaky)
    assert len({id(layer) for layer in (leaky, first.activation, second.activation)}) == 3
    assert first.activation.settings == (0.25, math.inf)
    with pytest.raises(ValueError, match="expected no activation outside a model"):
        first.build((3,))


@quiet
def train(activation, implementation, x, y):
    layers = [Input(x.shape[1:]), Conv2D(4, 3, activation=activation), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=3, implementation=implementation)
    model.compile("adam")
    return model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"]


@pytest.mark.compiled
@each_name
def test_training_is_the_same_in_every_implementation(name):
    x, y = np.random.default_rng(6).standard_normal((16, 6, 5, 1)).astype("float32"), np.eye(3)[np.arange(16) % 3]
    right = train(name, "im2col", x, y)
    for implementation in ("loops", "fused"):
        np.testing.assert_allclose(train(name, implementation, x, y), right, rtol=1e-5)
