"""The gradients of Dense in every implementation."""

import numpy as np
import pytest

from scratchnet import Dense
from scratchnet.gradcheck import check_function, check_layer
from scratchnet.layers.dense import dense_backward, dense_forward


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize(("units", "inputs", "batch"), [(4, 7, 3), (1, 5, 2), (17, 3, 4), (3, 1, 5), (5, 100, 1)])
def test_every_gradient_agrees(units, inputs, batch, implementation, runnable):
    check_layer(Dense(units, implementation=runnable(implementation)), (inputs,), batch=batch, raise_on_failure=True)


@pytest.mark.compiled
def test_cutting_the_work_into_slices_and_blocks_does_not_change_the_result():
    """Forward cuts the work at 2,048 inputs, backward at 96; this size is a multiple of neither."""
    rng = np.random.default_rng(3)
    x, dout = rng.standard_normal((101, 2311)), rng.standard_normal((101, 19))
    fused, plain = (Dense(19, implementation=name).build((2311,), dtype="float64") for name in ("fused", "im2col"))
    np.testing.assert_allclose(fused.forward(x), plain.forward(x), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(fused.backward(dout), plain.backward(dout), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(fused.grads["kernel"], plain.grads["kernel"], rtol=1e-11, atol=1e-11)


def test_complex_steps_agree_to_twelve_digits():
    rng = np.random.default_rng(6)
    arrays = [rng.standard_normal((3, 5)), rng.standard_normal((5, 4)), rng.standard_normal(4)]
    check_function(
        dense_forward, lambda dout, x, w, b: dense_backward(dout, x, w), arrays, complex_step=True, raise_on_failure=True
    )
