"""The gradients of Conv2D in every implementation: non-square images and kernels, strides other than the kernel, one channel."""

import numpy as np
import pytest

from scratchnet import Conv2D
from scratchnet.gradcheck import check_function, check_layer
from scratchnet.layers.conv2d import conv2d_backward, conv2d_forward
from scratchnet.padding import window_pads

CASES = [
    # filters, kernel, strides, padding, image
    (3, (3, 3), (1, 1), "same", (5, 6, 2)),
    (2, (3, 3), (2, 2), "same", (6, 6, 3)),        # as in net_2: the odd padded cell at the end
    (3, (3, 3), (2, 2), "same", (5, 7, 2)),
    (2, (2, 4), (3, 1), "same", (7, 6, 1)),        # non-square, an even kernel
    (4, (3, 2), (1, 2), "valid", (5, 7, 2)),
    (2, (2, 2), (3, 3), "valid", (6, 8, 2)),       # a stride larger than the kernel: some pixels are not read
    (1, (1, 1), (2, 1), "same", (4, 3, 3)),
    (3, (5, 4), (1, 1), "valid", (5, 4, 1)),       # the kernel is the image
    (17, (1, 2), (1, 1), "same", (2, 3, 5)),       # a number of columns that does not fill a vector
]


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize(("filters", "kernel", "strides", "padding", "shape"), CASES)
def test_every_gradient_agrees(filters, kernel, strides, padding, shape, implementation, runnable):
    layer = Conv2D(filters, kernel, strides, padding, implementation=runnable(implementation))
    check_layer(layer, shape, raise_on_failure=True)


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
def test_a_layer_without_bias_agrees_and_has_no_bias_gradient(implementation, runnable):
    layer = Conv2D(3, 3, padding="same", use_bias=False, implementation=runnable(implementation))
    report = check_layer(layer, (4, 5, 2), raise_on_failure=True)
    assert not any(row.name == "bias" for row in report.rows)


def test_complex_steps_agree_to_twelve_digits():
    rng = np.random.default_rng(5)
    x, w, b = rng.standard_normal((2, 5, 4, 2)), rng.standard_normal((3, 2, 2, 3)), rng.standard_normal(3)
    strides, pads = (2, 1), window_pads("same", (5, 4), (3, 2), (2, 1))
    check_function(
        lambda x, w, b: conv2d_forward(x, w, b, strides, pads),
        lambda dout, x, w, b: conv2d_backward(dout, x, w, strides, pads),
        [x, w, b],
        complex_step=True,
        raise_on_failure=True,
    )
