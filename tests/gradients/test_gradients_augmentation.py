"""The gradients of augmentation layers: flips, crops, and translations whose reflected pixels add their gradients."""

import numpy as np
import pytest

from scratchnet import RandomCrop, RandomFlip, RandomTranslation
from scratchnet.gradcheck import check_layer

pytestmark = pytest.mark.compiled       # without the compiler, drawing for each image takes minutes

CASES = [
    (lambda **given: RandomFlip(**given), (3, 4, 2)),
    (lambda **given: RandomFlip("horizontal", **given), (4, 3, 1)),
    (lambda **given: RandomFlip("vertical", **given), (4, 1, 3)),
    (lambda **given: RandomTranslation(0.4, (-0.2, 1.0), **given), (5, 4, 2)),
    (lambda **given: RandomTranslation(1.0, 1.0, "constant", fill_value=3.0, **given), (4, 5, 1)),
    (lambda **given: RandomTranslation(0.9, 0.5, "nearest", **given), (3, 6, 2)),
    (lambda **given: RandomTranslation(0.9, 0.5, "reflect", "nearest", **given), (3, 6, 2)),
    (lambda **given: RandomCrop(3, 2, **given), (4, 5, 2)),
    (lambda **given: RandomCrop(4, 3, **given), (4, 5, 1)),
]


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_every_gradient_agrees_in_both_modes(make, shape, implementation, runnable):
    check_layer(make(implementation=runnable(implementation)), shape, raise_on_failure=True)


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
def test_pixels_that_are_read_twice_add_their_gradients(implementation, runnable):
    right_by_2 = RandomTranslation(0, (0.5, 0.5), implementation=runnable(implementation)).build((1, 4, 1), dtype="float64")
    out = right_by_2.forward(np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1), training=True)
    assert out.ravel().tolist() == [2, 1, 1, 2]
    dx = right_by_2.backward(np.array([10.0, 20, 400, 8000]).reshape(1, 1, 4, 1))
    assert dx.ravel().tolist() == [420, 8010, 0, 0]
