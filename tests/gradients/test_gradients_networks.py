"""Whole networks along random directions, at their real size, with their joined and fused steps."""

import numpy as np
import pytest

from scratchnet import net_1, net_2
from scratchnet.gradcheck import check_model


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("network", [net_1, net_2])
def test_a_whole_net_of_real_size_agrees(network, shape):
    rng = np.random.default_rng(11)
    model = network(shape, 10, seed=1)
    model.compile("adam", "categorical_crossentropy")
    report = check_model(model, rng.random((2, *shape)), np.eye(10)[[3, 8]], directions=1, raise_on_failure=True)
    assert sum(row.compared for row in report.rows) == 9


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("network", [net_1, net_2])
def test_a_small_net_agrees_in_every_telling(network, implementation, telling):
    shape = (5, 4, 2) if implementation == "loops" else (8, 10, 2)
    model = network(shape, 3, seed=1, implementation=telling(implementation))
    x = np.random.default_rng(12).random((2, *shape))
    model.compile("adam", "categorical_crossentropy")
    check_model(model, x, np.eye(3)[[0, 2]], directions=1, raise_on_failure=True)
    check_model(model, x, directions=1, seed=1, raise_on_failure=True)


@pytest.mark.compiled
def test_a_black_background_on_the_kink_is_not_held_against_the_net():
    """Images that are mostly 0, as MNIST's: random biases move every ReLU off its kink."""
    x = np.zeros((2, 28, 28, 1))
    x[:, 10:18, 12:16] = np.random.default_rng(13).random((2, 8, 4, 1))
    model = net_1((28, 28, 1), 10, seed=2)
    report = check_model(model, x, directions=1, raise_on_failure=True)
    assert report.passed
