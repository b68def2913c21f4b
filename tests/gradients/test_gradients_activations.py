"""The gradients of the activations, and what happens exactly at the kink."""

import numpy as np
import pytest

from scratchnet import ELU, Activation, LeakyReLU, ReLU, Softmax
from scratchnet.gradcheck import check_function, check_layer
from scratchnet.gradcheck.numeric import differences
from scratchnet.layers.activations import ACTIVATIONS, SETTINGS, softmax_backward, softmax_forward


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (1, 1, 1)])
def test_relu_agrees(shape):
    check_layer(ReLU(), shape, raise_on_failure=True)


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (2, 1, 3)])
def test_softmax_agrees(shape):
    check_layer(Softmax(), shape, batch=4, raise_on_failure=True)


def test_a_linear_activation_agrees():
    check_layer(Activation("linear"), (3, 2), raise_on_failure=True)


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_agrees(name, implementation, runnable):
    layer = Activation(name)
    layer.implementation = runnable(implementation)
    check_layer(layer, (3, 4, 2), raise_on_failure=True)


@pytest.mark.parametrize(
    "layer", [LeakyReLU(), LeakyReLU(0), LeakyReLU(2), ELU(0.5), ELU(3), ELU(0), ReLU(max_value=0.5), ReLU(1, 0.25)], ids=str
)
def test_layers_with_arguments_agree(layer):
    check_layer(layer, (5, 3), raise_on_failure=True)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu", "gelu_tanh"])
def test_complex_steps_agree_where_the_function_is_analytic(name):
    """The page's functions use |x|, so what is differentiated here is the definition."""
    definition = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "silu": lambda x: x / (1 + np.exp(-x)),
        "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    }[name]
    _, backward = ACTIVATIONS[name]["im2col"]
    keep = definition if name in ("sigmoid", "tanh") else lambda x: x
    x = np.random.default_rng(8).standard_normal((4, 5))
    check_function(definition, lambda dout, x: backward(dout, keep(x)), [x], complex_step=True, raise_on_failure=True)


@pytest.mark.compiled
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("relu", "softmax", "linear")])
def test_the_kernels_gradient_of_float32_is_the_slope_of_float64(name):
    """The checker runs in float64, which has no vector kernels."""
    (forward, _), (_, backward) = ACTIVATIONS[name]["im2col"], ACTIVATIONS[name]["fused"]
    settings, rng = SETTINGS.get(name, ()), np.random.default_rng(9)
    x, dout = rng.standard_normal((2, 7, 9)).astype("float32") * 2
    wide, step = x.astype(float), 1e-6
    slope = (forward(wide + step, *settings) - forward(wide - step, *settings)) / (2 * step)
    kept = x if name in ("silu", "gelu", "gelu_tanh") else ACTIVATIONS[name]["fused"][0](x, *settings)
    np.testing.assert_allclose(backward(dout, kept, *settings), dout * slope, rtol=0, atol=4e-6)


def test_the_gradient_of_relu_at_zero_is_zero():
    layer = ReLU().build((3,), dtype="float64")
    layer.forward(np.array([[-0.0, 0.0, 1e-300]]))
    assert layer.backward(np.array([[5.0, 7.0, 9.0]])).tolist() == [[0.0, 0.0, 9.0]]


def test_a_difference_across_the_kink_is_computed_again_and_one_on_it_is_given_up():
    layer = ReLU().build((2,), dtype="float64")
    x = np.array([[2e-6, 0.0]])                    # closer to the kink than the first step, and exactly on it
    numeric = differences(lambda: layer.forward(x), x, 1.0, kinks=lambda: [layer.cache[0] > 0])
    assert numeric.retried >= 3
    assert numeric.skipped == 1
    assert numeric.gradient[0, 0] == pytest.approx(1.0, abs=1e-8)
    assert np.isnan(numeric.gradient[0, 1])


def test_complex_steps_agree_to_twelve_digits():
    x = np.random.default_rng(7).standard_normal((3, 5))
    check_function(
        softmax_forward, lambda dout, x: softmax_backward(dout, softmax_forward(x)), [x], complex_step=True, raise_on_failure=True
    )
