"""The gradients of dropout, in training and in inference, for masks of every shape."""

import numpy as np
import pytest

from scratchnet import Activation, Dense, Dropout, Flatten, Input, Model, SpatialDropout2D
from scratchnet.gradcheck import check_layer, check_model

CASES = [
    (lambda **given: Dropout(0.4, **given), (3, 4, 2)),
    (lambda **given: Dropout(0.0, **given), (5,)),
    (lambda **given: Dropout(0.9, seed=1, **given), (7,)),
    (lambda **given: Dropout(0.5, (None, 1, None), **given), (4, 3)),
    (lambda **given: Dropout(0.5, (1, None, 1), **given), (4, 3)),
    (lambda **given: SpatialDropout2D(0.3, **given), (2, 3, 5)),
]


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_every_gradient_agrees_in_both_modes(make, shape, implementation, runnable):
    check_layer(make(implementation=runnable(implementation)), shape, raise_on_failure=True)


def test_a_network_with_dropout_agrees():
    x = Input(shape=(5, 4, 2))
    y = SpatialDropout2D(0.3)(Activation("relu")(x))
    y = Dropout(0.5)(Dense(6)(Flatten()(y)))
    model = Model(x, Dense(3, activation="softmax")(y), seed=0, dtype="float64")
    model.compile("adam")
    rng = np.random.default_rng(0)
    check_model(model, rng.normal(size=(3, 5, 4, 2)), np.eye(3), raise_on_failure=True)
