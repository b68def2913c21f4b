"""The gradients of ReLU and softmax, and what happens exactly at the kink."""

import numpy as np
import pytest

from scratchnet import Activation, ReLU, Softmax
from scratchnet.gradcheck import check_function, check_layer
from scratchnet.gradcheck.numeric import differences
from scratchnet.layers.activations import softmax_backward, softmax_forward


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (1, 1, 1)])
def test_relu_agrees(shape):
    check_layer(ReLU(), shape, raise_on_failure=True)


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (2, 1, 3)])
def test_softmax_agrees(shape):
    check_layer(Softmax(), shape, batch=4, raise_on_failure=True)


def test_a_linear_activation_agrees():
    check_layer(Activation("linear"), (3, 2), raise_on_failure=True)


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
