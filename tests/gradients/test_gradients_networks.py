"""Whole networks along random directions, at their real size, with their joined and fused steps."""

import numpy as np
import pytest

from scratchnet import Conv2D, Dense, Flatten, Input, MaxPooling2D, Model, net_1, net_2
from scratchnet.gradcheck import check_model
from scratchnet.kernels import winograd


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("network", [net_1, net_2])
def test_a_whole_net_of_real_size_agrees(network, shape):
    rng = np.random.default_rng(11)
    model = network(shape, 10, seed=1)
    model.compile("adam", "categorical_crossentropy")
    report = check_model(model, rng.random((2, *shape)), np.eye(10)[[3, 8]], directions=1, raise_on_failure=True)
    assert sum(row.compared for row in report.rows) == 9


def small(implementation, pooled):
    """The study's nets with a few maps: small enough for the plain loops."""
    strides = 1 if pooled else 2
    x = Input(shape=(5, 4, 2))
    y = Conv2D(3, (3, 3), activation="relu", padding="same")(x)
    y = Conv2D(4, (3, 3), activation="relu", strides=strides, padding="same")(y)
    y = MaxPooling2D((2, 2), strides=1, padding="same")(y) if pooled else y
    y = Dense(6, activation="relu")(Flatten()(y))
    return Model(x, Dense(3, activation="softmax")(y), seed=1, implementation=implementation)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_small_net_agrees_in_every_telling(pooled, implementation, fuse, telling):
    model = small(telling(implementation), pooled)
    model.compile("adam", "categorical_crossentropy", fuse=fuse)
    x = np.random.default_rng(12).random((2, 5, 4, 2))
    check_model(model, x, np.eye(3)[[0, 2]], directions=1, raise_on_failure=True)
    check_model(model, x, directions=1, seed=1, raise_on_failure=True)


def on_black():
    x = np.zeros((2, 28, 28, 1))
    x[:, 10:18, 12:16] = np.random.default_rng(13).random((2, 8, 4, 1))
    return x


@pytest.mark.compiled
def test_on_a_black_background_parameters_agree_and_the_ties_of_the_pool_are_reported(monkeypatch):
    """Random biases move every ReLU off its kink. But all windows of the background are ties, which a step in x breaks."""
    monkeypatch.setattr(winograd, "suits", lambda *_: False)  # its last bits break the ties before any step does
    x = on_black()
    report = check_model(net_1((28, 28, 1), 10, seed=2), x, directions=1)
    assert [row.name for row in report.failures] == ["x"]
    assert report.failures[0].skipped == 1
    assert "kinks" in report.failures[0].note


@pytest.mark.compiled
def test_winograd_breaks_the_ties_of_a_black_background_and_gives_the_parameters_the_same_gradients(monkeypatch):
    """A tie that the last bits break goes to another of equal cells, and those saw equal pixels."""
    x, y, grads = on_black(), np.eye(10)[[3, 7]], {}
    for name in ("winograd", "direct"):
        if name == "direct":
            monkeypatch.setattr(winograd, "suits", lambda *_: False)
        model = net_1((28, 28, 1), 10, seed=2, dtype="float64")
        model.set_weights([w if w.ndim > 1 else w + 0.1 for w in model.get_weights()])
        model.backward((model.forward(x) - y) / 2)
        grads[name] = model.grads
    for name, direct in grads["direct"].items():
        np.testing.assert_allclose(grads["winograd"][name], direct, rtol=0, atol=1e-12 * abs(direct).max())
