"""Regularizers: their values and gradients, the penalty in the loss of training and validation, frozen layers, saving."""

import copy
import json

import numpy as np
import pytest

from scratchnet import Conv2D, Dense, Flatten, Input, MaxPooling2D, Sequential, load_model, regularizers
from scratchnet.gradcheck import check_model
from scratchnet.layers import Layer
from scratchnet.optimizers import SGD, Adam
from scratchnet.regularizers import L1, L1L2, L2, Regularizer

RNG = np.random.default_rng(4)
X = RNG.standard_normal((6, 5, 4, 2)).astype("float32")
Y = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 1]]


def model_of(kernel=None, bias=None, dtype="float32", optimizer=None, loss="categorical_crossentropy"):
    layers = [
        Conv2D(3, (3, 2), activation="relu", padding="same", kernel_regularizer=kernel, bias_regularizer=bias),
        MaxPooling2D(2),
        Flatten(),
        Dense(3, "softmax", kernel_regularizer=kernel, bias_regularizer=bias),
    ]
    model = Sequential([Input(shape=(5, 4, 2)), *layers], seed=1, dtype=dtype)
    model.compile(optimizer or SGD(0.1), loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("rule", [L1(0.3), L2(0.2), L1L2(0.1, 0.4), L1L2()])
@pytest.mark.parametrize("shape", [(), (7,), (3, 2, 4)])
def test_the_gradient_is_the_derivative_of_the_value(rule, shape):
    w = RNG.standard_normal((*shape, 1))
    for at in np.ndindex(w.shape):
        above, below = w.copy(), w.copy()
        above[at] += 1e-6
        below[at] -= 1e-6
        assert rule.gradient(w)[at] == pytest.approx((rule(above) - rule(below)) / 2e-6, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 1000, 100_003])
def test_a_value_is_the_sum_of_the_definition(size, dtype):
    w = (RNG.standard_normal(size) * 10.0 ** RNG.integers(-20, 15)).astype(dtype)
    exact = w.astype(np.longdouble)
    assert L2(0.5)(w) == pytest.approx(float(np.longdouble(0.5) * (exact * exact).sum()), rel=1e-12)
    assert L1(0.5)(w) == pytest.approx(float(np.longdouble(0.5) * np.abs(exact).sum()), rel=1e-12)


def test_a_weight_of_zero_has_the_gradient_zero_and_dtypes_are_kept():
    w = np.array([0.0, -0.0, 2.0, -3.0], "float32")
    assert L1(0.5).gradient(w).tolist() == [0, 0, 0.5, -0.5]
    assert {rule.gradient(w).dtype for rule in (L1(), L2(), L1L2(0.1, 0.1))} == {np.dtype("float32")}
    w.flags.writeable = False
    assert L2(0.5).gradient(w).tolist() == w.tolist()
    assert L2(0.5)(np.asfortranarray(np.ones((2, 3)))) == 3.0


@pytest.mark.parametrize(
    ("given", "made"),
    [("l2", L2(0.01)), ("l1", L1(0.01)), ("L1", L1(0.01)), ("l1l2", L1L2(0.0, 0.0)), (L2, L2()), (regularizers.l2(0.3), L2(0.3)),
     (regularizers.l1_l2(l1=0.1, l2=0.2), L1L2(0.1, 0.2)), (regularizers.l1(0.5), L1(0.5)), (None, None)],
)  # fmt: skip
def test_regularizers_have_the_names_of_keras(given, made):
    layer = Dense(2, kernel_regularizer=given)
    assert repr(layer.kernel_regularizer) == repr(made)
    again = Dense(**json.loads(json.dumps(layer.get_config())))
    assert repr(again.kernel_regularizer) == repr(made)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("l3", "'l1', 'l2'.*got 'l3'"),
        (0.01, r"got 0\.01.*L2\(0\.01\)"),
        (lambda w: 0.01 * (w * w).sum(), "Derive a class from regularizers.Regularizer"),
        ({"class_name": "Mine", "config": {}}, "expected 'l1'"),
    ],
)
def test_anything_else_is_refused_when_the_layer_is_made(wrong, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        Conv2D(2, 3, kernel_regularizer=wrong)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "much", None])
def test_a_factor_is_a_finite_number_of_at_least_zero(value):
    with pytest.raises(ValueError, match="l2: expected a finite number of at least 0"):
        L2(value)


def test_the_penalty_is_in_the_loss_of_every_kind_and_its_gradient_in_every_step():
    bare, penalized = model_of(dtype="float64"), model_of(L1L2(0.02, 0.03), L2(0.5), dtype="float64")
    for model in (bare, penalized):
        for name, p in model.params.items():
            p[...] = np.random.default_rng(len(name)).standard_normal(p.shape)
    expected = sum(
        0.02 * np.abs(p).sum() + 0.03 * (p * p).sum() if name.endswith("kernel") else 0.5 * (p * p).sum()
        for name, p in bare.params.items()
    )
    x = X.astype("float64")
    for call in ("evaluate", "test_on_batch"):
        losses = [getattr(model, call)(x, Y, return_dict=True)["loss"] for model in (bare, penalized)]
        assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-12)
    before = {name: p.copy() for name, p in bare.params.items()}
    losses = [model.train_on_batch(x, Y, return_dict=True)["loss"] for model in (bare, penalized)]
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-12)
    for name, p in penalized.params.items():
        w = before[name]
        gradient = 0.02 * np.sign(w) + 0.06 * w if name.endswith("kernel") else w
        np.testing.assert_allclose(p, bare.params[name] - 0.1 * gradient, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(penalized.grads[name], bare.grads[name] + gradient, rtol=1e-12, atol=1e-14)


def test_the_array_that_a_layer_stored_is_not_changed():
    class Keeps(Layer):
        def make_params(self, rng):
            return {"scale": np.ones(4)}

        def forward(self, x):
            self.cache = (x,)
            return x * self.params["scale"]

        def backward(self, dout, need_dx=True):
            self.first = (dout * self.cache[0]).sum(axis=0)
            self.grads = {"scale": self.first}
            return dout * self.params["scale"]

    layer = Keeps()
    layer.regularizers = {"scale": L2(1.0)}
    model = Sequential([Input(shape=(4,)), layer, Dense(3, "softmax")], seed=1, dtype="float64")
    model.compile(SGD(0.0))
    model.train_on_batch(X[:, 0, 0, :1] * np.ones(4), Y)
    np.testing.assert_array_equal(model.grads["keeps/scale"], layer.first + 2.0)
    check_model(model, X[:2, 0, 0, :1] * np.ones(4), Y[:2], raise_on_failure=True)


def test_a_frozen_layer_has_no_penalty():
    bare, frozen = model_of(), model_of("l2")
    frozen.set_weights(bare.get_weights())
    frozen.trainable = False
    assert frozen.evaluate(X, Y, verbose=0) == bare.evaluate(X, Y, verbose=0)
    weights = frozen.get_weights()
    frozen.train_on_batch(X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(frozen.get_weights(), weights, strict=True))


@pytest.mark.parametrize("loss", ["categorical_crossentropy"])
@pytest.mark.parametrize("rules", [(L2(0.3), None), (None, L1(0.4)), (L1L2(0.2, 0.1), L2(0.7))])
def test_the_gradient_of_a_network_includes_the_penalty(rules, loss):
    model = model_of(*rules, loss=loss)
    check_model(model, X[:2], Y[:2], raise_on_failure=True)
    check_model(model, X[:2], raise_on_failure=True)                   # a combination of the outputs has no penalty


class HalfGradient(L2):
    def gradient(self, w):
        return self.l2 * w


def test_a_penalty_with_the_gradient_of_another_is_found():
    report = check_model(model_of(HalfGradient(0.3)), X[:2], Y[:2])
    assert not report.passed
    assert {row.name for row in report.rows if not row.passed} == {"conv2d/kernel", "dense/kernel"}


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam()])
def test_a_model_with_regularizers_is_saved_loaded_and_trained_on_with_the_same_bits(tmp_path, optimizer):
    model = model_of(L1L2(0.02, 0.03), "l2", optimizer=optimizer)
    model.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.get_config() == model.get_config()
    histories = [m.fit(X, Y, epochs=2, batch_size=4, verbose=0).history for m in (model, again)]
    assert histories[0] == histories[1]


class Cubes(Regularizer):
    def __init__(self, factor=0.1):
        self.factor = factor

    def __call__(self, w):
        return float(self.factor * (np.abs(w) ** 3).sum())

    def gradient(self, w):
        return 3 * self.factor * w * np.abs(w)


def test_a_regularizer_of_ones_own_is_checked_and_loaded(tmp_path):
    model = model_of(Cubes(0.2))
    check_model(model, X[:2], Y[:2], raise_on_failure=True)
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.layers[0].kernel_regularizer.factor == 0.2
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_a_bias_that_does_not_exist_has_no_penalty_and_a_copy_of_a_model_has_its_own():
    model = Sequential([Input(shape=(2,)), Dense(3, "softmax", use_bias=False, bias_regularizer="l2")], seed=1)
    model.compile()
    assert np.isfinite(model.train_on_batch(X[:, 0, 0], Y))
    twin = copy.deepcopy(model_of("l2"))
    assert twin.evaluate(X, Y, verbose=0) == model_of("l2").evaluate(X, Y, verbose=0)
