"""ReLU and softmax: their values, what happens at the kink and at the ends of the number range."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchnet import Activation, Dense, ReLU, Softmax
from scratchnet.layers.activations import relu_backward, relu_forward, softmax_backward, softmax_forward

logit_rows = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 3, 10, 17])), elements=st.floats(-1e4, 1e4)
)


def softmax_by_definition(row):
    """exp(x_k) / sum exp(x_j), with the largest taken out so that Python's own exp cannot overflow."""
    terms = [math.exp(value - max(row)) for value in row]
    return [term / math.fsum(terms) for term in terms]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_keeps_what_is_positive_and_only_that(dtype):
    x = np.array([[-2.5, -0.0, 0.0, 3.5, -1e-30, 1e-30]], dtype)
    out = relu_forward(x)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, np.array([[0, 0, 0, 3.5, 0, 1e-30]], dtype))
    assert not np.shares_memory(out, x)


def test_relu_lets_no_gradient_through_at_zero():
    out = relu_forward(np.array([[-1.0, -0.0, 0.0, 2.0]]))
    dout = np.array([[3.0, 5.0, 7.0, -11.0]])
    np.testing.assert_array_equal(relu_backward(dout, out), [[0, 0, 0, -11]])


def test_relu_shows_a_nan_instead_of_hiding_it():
    assert np.isnan(relu_forward(np.array([[np.nan, 1.0]]))[0, 0])


def test_relu_backward_writes_into_nothing():
    rng = np.random.default_rng(0)
    out, dout = relu_forward(rng.standard_normal((3, 4))), rng.standard_normal((3, 4))
    kept_out, kept_dout = out.copy(), dout.copy()
    first, second = relu_backward(dout, out), relu_backward(dout, out)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, np.where(out > 0, dout, 0))
    np.testing.assert_array_equal(out, kept_out)
    np.testing.assert_array_equal(dout, kept_dout)
    assert not np.shares_memory(first, dout)


@given(logit_rows)
def test_softmax_equals_the_definition(x):
    np.testing.assert_allclose(softmax_forward(x), [softmax_by_definition(row) for row in x.tolist()], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(x=logit_rows)
def test_softmax_rows_sum_to_one_even_at_logits_of_ten_thousand(dtype, x):
    out = softmax_forward(x.astype(dtype))
    assert out.dtype == dtype
    assert (out >= 0).all()
    np.testing.assert_allclose(out.sum(axis=-1), 1, rtol=4 * np.finfo(dtype).eps * x.shape[1])


@given(logit_rows, st.integers(-(2**13), 2**13))
def test_softmax_does_not_change_when_a_row_is_shifted(x, shift):
    x = np.round(x * 64) / 64  # so that adding the shift is exact and only softmax is tested
    shifts = shift * np.arange(1, len(x) + 1)[:, None]  # another shift for each row: their maxima are their own
    np.testing.assert_array_equal(softmax_forward(x + shifts), softmax_forward(x))


def test_softmax_subtracts_the_maximum_of_each_row():
    # With the batch's maximum taken out, the second row would be exp(-2000) / exp(-2000) = 0 / 0.
    out = softmax_forward(np.array([[1000.0, 999.0], [-1000.0, -1001.0]]))
    np.testing.assert_allclose(out[0], [1 / (1 + math.exp(-1)), 1 / (1 + math.e)], rtol=1e-14)
    np.testing.assert_array_equal(out[0], out[1])


def test_softmax_works_along_the_last_axis_of_images_too():
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    np.testing.assert_allclose(softmax_forward(x), softmax_forward(x.reshape(-1, 5)).reshape(x.shape), rtol=1e-14)


@given(logit_rows, st.integers(0, 2**32 - 1))
def test_softmax_backward_multiplies_by_the_whole_jacobian(x, seed):
    dout = np.random.default_rng(seed).standard_normal(x.shape)
    out = softmax_forward(x / 1e3)
    expected = np.zeros(x.shape)
    for n, i, j in np.ndindex(*x.shape, x.shape[1]):
        expected[n, j] += dout[n, i] * out[n, i] * ((i == j) - out[n, j])
    np.testing.assert_allclose(softmax_backward(dout, out), expected, rtol=0, atol=1e-14)


def test_softmax_backward_works_along_the_last_axis_of_images_too():
    rng = np.random.default_rng(4)
    out, dout = softmax_forward(rng.standard_normal((2, 3, 4, 5))), rng.standard_normal((2, 3, 4, 5))
    rows = softmax_backward(dout.reshape(-1, 5), out.reshape(-1, 5))
    np.testing.assert_allclose(softmax_backward(dout, out), rows.reshape(out.shape), rtol=1e-14)


def test_softmax_backward_writes_into_nothing():
    rng = np.random.default_rng(2)
    out, dout = softmax_forward(rng.standard_normal((3, 4))), rng.standard_normal((3, 4))
    kept_out, kept_dout = out.copy(), dout.copy()
    np.testing.assert_array_equal(softmax_backward(dout, out), softmax_backward(dout, out))
    np.testing.assert_array_equal(out, kept_out)
    np.testing.assert_array_equal(dout, kept_dout)


@pytest.mark.parametrize(
    ("make", "forward"),
    [
        (ReLU, relu_forward),
        (Softmax, softmax_forward),
        (lambda: Activation("relu"), relu_forward),
        (lambda: Activation("softmax"), softmax_forward),
        (lambda: Activation("linear"), lambda x: x),
    ],
    ids=["ReLU", "Softmax", "relu", "softmax", "linear"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_layers_apply_their_function_and_hold_no_parameters(make, forward, dtype):
    rng = np.random.default_rng(3)
    x, dout = rng.standard_normal((4, 6)).astype(dtype), rng.standard_normal((4, 6)).astype(dtype)
    layer = make().build((6,), dtype=dtype)
    out = layer.forward(x)
    np.testing.assert_array_equal(out, forward(x))
    dx = layer.backward(dout)
    assert (dx.shape, dx.dtype, layer.params, layer.output_shape) == (x.shape, dtype, {}, (6,))
    # The directional derivative along dout of <dout, f(x)>, in float64: did the layer keep what its backward needs?
    wide, step = x.astype(float), 1e-6
    ends = [np.sum(dout * forward(wide + sign * step * dout)) for sign in (1, -1)]
    np.testing.assert_allclose(np.sum(dx * dout), (ends[0] - ends[1]) / (2 * step), rtol=1e-4)


@pytest.mark.parametrize("make", [Activation, lambda name: Dense(3, activation=name)])
def test_the_error_for_an_unknown_activation_lists_the_known_ones(make):
    with pytest.raises(ValueError, match=r"(?s)(?=.*relu)(?=.*softmax)(?=.*mish)"):
        make("mish")
