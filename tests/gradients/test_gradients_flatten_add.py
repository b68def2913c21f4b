"""The gradients of layers that only move numbers."""

import numpy as np
import pytest

from scratchnet import Add, Conv2D, Flatten, Input, Model
from scratchnet.gradcheck import check_layer, check_model


@pytest.mark.parametrize("shape", [(2, 3, 4), (5,), (1, 1, 3)])
def test_flatten_agrees(shape):
    check_layer(Flatten(), shape, raise_on_failure=True)


@pytest.mark.parametrize("count", [2, 3])
def test_add_agrees(count):
    check_layer(Add(), [(3, 4, 2)] * count, raise_on_failure=True)


def test_an_output_read_twice_gets_the_sum_of_its_gradients():
    x = Input(shape=(5, 4, 2))
    a = Conv2D(3, 3, padding="same", activation="relu")(x)
    b = Conv2D(3, (1, 2), padding="same")(a)
    model = Model(x, Flatten()(Add()([a, b, a])), seed=0)      # a is read by the convolution, and twice by the sum
    check_model(model, np.random.default_rng(1).standard_normal((2, 5, 4, 2)), raise_on_failure=True)
