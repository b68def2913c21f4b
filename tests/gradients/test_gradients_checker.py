"""The checker itself: it finds what is right right, and what is wrong wrong."""

import numpy as np
import pytest

from scratchnet import Dense
from scratchnet.gradcheck import (
    GradientCheckError,
    check_function,
    check_layer,
    check_loss,
    check_optimizer,
    complex_step_gradient,
    numerical_gradient,
)
from scratchnet.gradcheck.numeric import relative_errors
from scratchnet.layers import Layer
from scratchnet.losses import softmax_cross_entropy
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam


def test_a_known_derivative_is_found_by_both_methods():
    x = np.random.default_rng(0).standard_normal((3, 2))
    dout = np.random.default_rng(1).standard_normal((3, 2))
    expected = dout * np.cos(x)
    np.testing.assert_allclose(numerical_gradient(lambda: np.sin(x), x, dout), expected, atol=1e-9)
    np.testing.assert_allclose(complex_step_gradient(np.sin, [x], 0, dout), expected, rtol=1e-14)


def test_the_error_against_the_step_is_v_shaped():
    x = np.array([0.7])
    errors = [abs(numerical_gradient(lambda: np.exp(x), x, step=h)[0] - np.exp(0.7)) for h in (1e-2, 1e-5, 1e-12)]
    assert errors[1] < 1e-3 * min(errors[0], errors[2])


def test_numbers_are_put_back_to_the_last_bit():
    x = np.random.default_rng(0).standard_normal(5)
    before = x.tobytes()
    numerical_gradient(lambda: x**3, x, np.ones(5))
    assert x.tobytes() == before


def test_less_than_float64_is_refused():
    with pytest.raises(ValueError, match="astype"):
        numerical_gradient(lambda: 1.0, np.ones(2, "float32"))


def test_an_error_of_one_part_in_ten_thousand_is_found():
    x = np.random.default_rng(0).standard_normal((4, 3))
    report = check_function(lambda x: x**2, lambda dout, x: 2.0002 * x * dout, [x])
    assert not report.passed
    assert report.failures[0].largest == pytest.approx(1e-4, rel=0.01)


def test_a_gradient_right_only_for_upstream_ones_is_found():
    """Softmax's outputs sum to 1: upstream ones give a gradient of 0, whatever backward forgets."""
    x = np.random.default_rng(0).standard_normal((2, 4))

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(axis=1, keepdims=True)

    assert not check_function(softmax, lambda dout, x: 0 * x, [x]).passed


def test_a_backward_that_writes_into_its_arguments_is_found():
    def backward(dout, x):
        dout *= 2 * x
        return dout

    report = check_function(lambda x: x**2, backward, [np.random.default_rng(0).standard_normal(3)])
    assert report.failures[0].witness == "contract"


def test_a_gradient_of_nan_is_never_right():
    assert relative_errors(np.array([np.nan]), np.array([1.0]))[0] == np.inf
    x = np.ones(2)
    assert not check_function(lambda x: x**2, lambda dout, x: np.full(2, np.nan), [x]).passed


def test_a_check_whose_differences_all_met_a_kink_does_not_pass():
    flips = iter(range(10**6))
    report = check_function(np.abs, lambda dout, x: dout, [np.ones(3)], kinks=lambda: [np.array(next(flips))])
    assert not report.passed
    assert report.failures[0].skipped == 3


def test_raising_is_on_request_and_the_error_holds_the_table():
    broken = {"forward": np.sin, "backward": lambda dout, x: dout, "arrays": [np.ones(2)]}
    assert not check_function(**broken).passed
    with pytest.raises(GradientCheckError, match=r"(?s)witness.*argument 0.*WRONG"):
        check_function(**broken, raise_on_failure=True)


class Wrong(Layer):
    """A layer with one fault, of each kind that a witness is there for."""

    def __init__(self, fault, *, name=None):
        super().__init__(name=name)
        self.fault, self.calls = fault, 0

    def make_params(self, rng):
        return {"scale": rng.standard_normal(self.input_shape)}

    def forward(self, x):
        self.calls += 1
        self.cache = (x, self.cache[0] if self.fault == "stale" and self.cache and self.cache[0].shape == x.shape else x)
        return x * self.params["scale"]

    def backward(self, dout, need_dx=True):
        x = self.cache[1]
        if self.fault == "writes":
            dout *= 1.0
            dout += 0.5
        grad = (dout * x).sum(axis=0)
        if self.fault == "accumulates" and self.grads:
            grad = grad + self.grads["scale"]
        if self.fault == "mean":
            grad = grad / len(x)
        if self.fault == "dtype":
            grad = grad.astype(np.float64)
        if self.fault == "random":
            grad = grad * (1 + 1e-12 * self.calls)
        if self.fault == "single image":
            dout = dout if len(dout) > 1 else 0 * dout
        self.grads = {"scale": grad}
        return dout * self.params["scale"]


@pytest.mark.parametrize(
    ("fault", "witness"),
    [
        ("mean", "gradient"),
        ("writes", "contract"),
        ("accumulates", "contract"),
        ("stale", "contract"),
        ("dtype", "contract"),
        ("random", "contract"),
        ("single image", "contract"),
    ],
)
def test_each_kind_of_fault_in_a_layer_of_ones_own_is_found(fault, witness):
    report = check_layer(Wrong(fault), (3, 2))
    assert witness in {row.witness for row in report.failures}


def test_the_same_layer_without_a_fault_passes():
    check_layer(Wrong(None), (3, 2), raise_on_failure=True)


def test_a_layer_that_raises_is_a_finding_and_no_crash():
    class Unfinished(Layer):
        def forward(self, x):
            raise IndexError("not yet")

    report = check_layer(Unfinished(), (2,))
    assert not report.passed
    assert "not yet" in str(report)


def test_the_layer_itself_is_not_touched():
    layer = Dense(2)
    check_layer(layer, (3,))
    assert not layer.built
    assert not layer.params


def test_a_loss_with_the_sign_turned_or_without_its_mean_is_found():
    assert not check_loss(lambda z, y: (softmax_cross_entropy(z, y)[0], -softmax_cross_entropy(z, y)[1])).passed
    assert not check_loss(lambda z, y: (softmax_cross_entropy(z, y)[0], len(z) * softmax_cross_entropy(z, y)[1])).passed


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(),
        SGD(0.1, 0.9),
        SGD(0.1, 0.9, True),
        Adagrad(),
        Adagrad(0.01, 0.0),
        Adadelta(),
        Adadelta(1.0, 0.9),
        Adam(),
        Adam(0.1, 0.5, 0.7, 1e-3),
    ],
    ids=repr,
)
def test_every_optimizer_follows_its_formula(optimizer):
    check_optimizer(optimizer, raise_on_failure=True)


def test_an_epsilon_in_the_wrong_place_is_found():
    class Inside(Adam):
        def step(self, p, g, state):
            m, v = state
            m[...] = self.beta_1 * m + (1 - self.beta_1) * g
            v[...] = self.beta_2 * v + (1 - self.beta_2) * g * g
            rate = self.learning_rate * np.sqrt(1 - self.beta_2**self.iterations) / (1 - self.beta_1**self.iterations)
            p -= rate * m / np.sqrt(v + self.epsilon)

    Inside.__name__ = "Adam"
    report = check_optimizer(Inside())
    assert "gradients of 1e-8" in {row.name for row in report.failures}
