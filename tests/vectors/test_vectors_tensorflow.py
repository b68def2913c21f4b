"""TensorFlow's literal vectors: numbers that stand written out in its own tests of convolution and pooling.

From github.com/tensorflow/tensorflow (Apache License 2.0), tensorflow/python/kernel_tests/nn_ops/:

    conv_ops_test.py     Conv2DTest: images, filters and output gradients count 1, 2, 3, … in row-major order
    pooling_ops_test.py  PoolingTest: images count 1, 2, …, 127, then go on from -127; "negative" ones are -1 times that

Each row names the test that its numbers are from. A padding is "same" or "valid", or pairs where TensorFlow's is explicit.
All are whole numbers or halves, so both dtypes give them exactly.
"""

from typing import NamedTuple

import numpy as np
import pytest
from shared import count_up, each_dtype, each_implementation

from scratchnet import AveragePooling2D, Conv2D, MaxPooling2D
from scratchnet.padding import window_output_shape, window_pads

POOLS = {"max": MaxPooling2D, "average": AveragePooling2D}


class Convolution(NamedTuple):
    test: str
    x: tuple
    w: tuple
    strides: tuple
    padding: str
    expected: list


class Pooling(NamedTuple):
    test: str
    kind: str
    x: tuple
    window: tuple
    strides: tuple
    padding: str | tuple
    expected: list
    sign: int = 1


def pads_of(padding, x_shape, window, strides):
    return window_pads(padding, x_shape[1:3], window, strides) if isinstance(padding, str) else padding


def by_test(cases):
    """Parametrize a test by cases, named after TensorFlow's tests."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.test)


# -- conv_ops_test.py -------------------------------------------------------------------------------------------------

FORWARD = [
    Convolution("testConv2D1x1Filter", (1, 2, 3, 3), (1, 1, 3, 3), (1, 1), "valid",
                [30, 36, 42, 66, 81, 96, 102, 126, 150, 138, 171, 204, 174, 216, 258, 210, 261, 312]),
    Convolution("testConv2D2x2Filter", (1, 2, 3, 3), (2, 2, 3, 3), (1, 1), "valid", [2271, 2367, 2463, 2901, 3033, 3165]),
    Convolution("testConv2D1x2Filter", (1, 2, 3, 3), (1, 2, 3, 3), (1, 1), "valid",
                [231, 252, 273, 384, 423, 462, 690, 765, 840, 843, 936, 1029]),
    Convolution("testConv2D2x2FilterStride2", (1, 2, 3, 3), (2, 2, 3, 3), (2, 2), "valid", [2271, 2367, 2463]),
    Convolution("testConv2D2x2FilterStride2Same", (1, 2, 3, 3), (2, 2, 3, 3), (2, 2), "same",
                [2271, 2367, 2463, 1230, 1305, 1380]),
    Convolution("testConv2D2x2FilterStride1x2", (1, 3, 6, 1), (2, 2, 1, 1), (1, 2), "valid", [58, 78, 98, 118, 138, 158]),
    Convolution("testConv2DKernelSmallerThanStrideValid", (1, 7, 7, 1), (2, 2, 1, 1), (3, 3), "valid", [65, 95, 275, 305]),
    Convolution("testConv2DKernelSmallerThanStrideSame", (1, 3, 3, 1), (1, 1, 1, 1), (2, 2), "same", [1, 3, 7, 9]),
    Convolution("testConv2DKernelSmallerThanStrideSame", (1, 4, 4, 1), (1, 1, 1, 1), (2, 2), "same", [1, 3, 9, 11]),
    Convolution("testConv2DKernelSmallerThanStrideSame", (1, 4, 4, 1), (2, 2, 1, 1), (3, 3), "same", [44, 28, 41, 16]),
    Convolution("testConv2DKernelSizeMatchesInputSize", (1, 2, 2, 1), (2, 2, 1, 2), (1, 1), "valid", [50, 60]),
]  # fmt: skip

INPUT_GRADIENTS = [
    Convolution("testConv2D2x2Depth1ValidBackpropInput", (1, 2, 3, 1), (2, 2, 1, 1), (1, 1), "valid", [1, 4, 4, 3, 10, 8]),
    Convolution("testConv2D2x2Depth3ValidBackpropInput", (1, 2, 3, 3), (2, 2, 3, 3), (1, 1), "valid",
                [14, 32, 50, 100, 163, 226, 167, 212, 257, 122, 140, 158, 478, 541, 604, 437, 482, 527]),
    Convolution("testConv2D2x2Depth3ValidBackpropInputStride1x2", (1, 3, 6, 1), (2, 2, 1, 1), (1, 2), "valid",
                [1, 2, 2, 4, 3, 6, 7, 12, 11, 18, 15, 24, 12, 16, 15, 20, 18, 24]),
    Convolution("testConv2DStrideTwoFilterOneSameBackpropInput", (1, 4, 4, 1), (1, 1, 1, 1), (2, 2), "same",
                [1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0]),
    Convolution("testConv2DKernelSizeMatchesInputSizeBackpropInput", (1, 2, 2, 1), (2, 2, 1, 2), (1, 1), "valid",
                [5, 11, 17, 23]),
]  # fmt: skip

FILTER_GRADIENTS = [
    Convolution("testConv2D2x2Depth1ValidBackpropFilter", (1, 2, 3, 1), (2, 2, 1, 1), (1, 1), "valid", [5, 8, 14, 17]),
    Convolution("testConv2D2x2Depth3ValidBackpropFilter", (1, 2, 3, 3), (2, 2, 3, 3), (1, 1), "valid",
                [17, 22, 27, 22, 29, 36, 27, 36, 45, 32, 43, 54, 37, 50, 63, 42, 57, 72,
                 62, 85, 108, 67, 92, 117, 72, 99, 126, 77, 106, 135, 82, 113, 144, 87, 120, 153]),
    Convolution("testConv2D2x2Depth3ValidBackpropFilterStride1x2", (1, 3, 6, 1), (2, 2, 1, 1), (1, 2), "valid",
                [161, 182, 287, 308]),
    Convolution("testConv2DStrideTwoFilterOneSameBackpropFilter", (1, 4, 4, 1), (1, 1, 1, 1), (2, 2), "same", [78]),
    Convolution("testConv2DKernelSizeMatchesInputSizeBackpropFilter", (1, 2, 2, 1), (2, 2, 1, 2), (1, 1), "valid",
                [1, 2, 2, 4, 3, 6, 4, 8]),
]  # fmt: skip


@each_implementation
@each_dtype
@by_test(FORWARD)
def test_a_convolution_layer_gives_tensorflows_numbers(case, dtype, implementation):
    x, w = count_up(case.x, dtype), count_up(case.w, dtype)
    layer = Conv2D(w.shape[3], w.shape[:2], case.strides, case.padding, use_bias=False, implementation=implementation)
    layer.build(x.shape[1:], dtype=dtype).set_weights([w])
    np.testing.assert_array_equal(layer.forward(x).ravel(), case.expected)


def gradients(case, dtype, implementation):
    """Run the layer's backward on a dout that counts up: -> dx, dw."""
    x, w = count_up(case.x, dtype), count_up(case.w, dtype)
    layer = Conv2D(w.shape[3], w.shape[:2], case.strides, case.padding, implementation=implementation)
    layer.build(x.shape[1:], dtype=dtype)
    layer.set_weights([w, np.zeros(w.shape[3])])
    dx = layer.backward(count_up(layer.forward(x).shape, dtype))
    return dx, layer.grads["kernel"]


@each_implementation
@each_dtype
@by_test(INPUT_GRADIENTS)
def test_a_convolutions_gradient_with_respect_to_its_input_is_tensorflows(case, dtype, implementation):
    np.testing.assert_array_equal(gradients(case, dtype, implementation)[0].ravel(), case.expected)


@each_implementation
@each_dtype
@by_test(FILTER_GRADIENTS)
def test_a_convolutions_gradient_with_respect_to_its_filter_is_tensorflows(case, dtype, implementation):
    np.testing.assert_array_equal(gradients(case, dtype, implementation)[1].ravel(), case.expected)


# -- pooling_ops_test.py ----------------------------------------------------------------------------------------------

POOLED = [
    Pooling("testAvgPoolValidPadding", "average", (1, 3, 3, 3), (2, 2), (2, 2), "valid", [7, 8, 9]),
    Pooling("testAvgPoolSamePadding", "average", (1, 2, 4, 3), (2, 2), (2, 2), "same", [8.5, 9.5, 10.5, 14.5, 15.5, 16.5]),
    Pooling("testAvgPoolSamePaddingNonSquareWindow", "average", (1, 2, 2, 1), (1, 2), (1, 1), "same", [1.5, 2, 3.5, 4]),
    Pooling("testAvgPoolSamePaddingNonSquareWindow_2", "average", (1, 2, 2, 1), (2, 1), (1, 1), "same", [2, 3, 3, 4]),
    Pooling("testAvgPoolSamePaddingNonSquareWindowMultiBatch_2", "average", (2, 2, 2, 2), (2, 1), (1, 1), "same",
            [3, 4, 5, 6, 5, 6, 7, 8, 11, 12, 13, 14, 13, 14, 15, 16]),
    Pooling("testAvgPoolValidPaddingUnevenStride", "average", (1, 3, 3, 3), (2, 2), (1, 2), "valid", [7, 8, 9, 16, 17, 18]),
    Pooling("testAvgPoolSamePaddingPacket_4", "average", (1, 4, 4, 4), (3, 3), (2, 2), "same",
            [21, 22, 23, 24, 27, 28, 29, 30, 45, 46, 47, 48, 51, 52, 53, 54]),
    Pooling("testAvgPoolKernelSmallerThanStride", "average", (1, 7, 7, 1), (2, 2), (3, 3), "valid", [5, 8, 26, 29]),
    Pooling("testMaxPoolValidPadding", "max", (1, 3, 3, 3), (2, 2), (2, 2), "valid", [13, 14, 15]),
    Pooling("testMaxPoolSamePadding", "max", (1, 2, 3, 3), (2, 2), (2, 2), "same", [13, 14, 15, 16, 17, 18]),
    Pooling("testMaxPoolSamePaddingNonSquareWindow", "max", (1, 2, 2, 1), (1, 2), (1, 1), "same", [2, 2, 4, 4]),
    Pooling("testMaxPoolValidPaddingUnevenStride", "max", (1, 4, 4, 1), (2, 2), (1, 2), "valid", [6, 8, 10, 12, 14, 16]),
    Pooling("testMaxPoolValidPaddingUnevenStride2_", "max", (1, 4, 4, 1), (2, 2), (2, 1), "valid", [6, 7, 8, 14, 15, 16]),
    Pooling("testMaxPoolKernelSmallerThanStrideValid", "max", (1, 7, 7, 1), (2, 2), (3, 3), "valid", [9, 12, 30, 33]),
    Pooling("testMaxPoolSamePaddingPacket8_", "max", (1, 8, 8, 8), (3, 3), (2, 2), "same", [
        81, 82, 83, 84, 85, 86, 87, 88, 97, 98, 99, 100, 101, 102, 103, 104, 113, 114, 115, 116, 117, 118, 119, 120,
        121, 122, 123, 124, 125, 126, 127, 120, 18, 19, 20, 21, 22, 23, 24, 25, 34, 35, 36, 37, 38, 39, 40, 41, 50, 51,
        52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 82, 83, 84, 85, 86, 87, 88, 89, 98, 99, 100, 101, 102,
        103, 104, 105, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 120, 121, -45, -44, -43,
        -42, -41, -40, -39, -38, -29, -28, -27, -26, -25, -24, -23, -22, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3,
        -2, -1, 0, 1, 2]),
    Pooling("testMaxPoolExplicitPaddingAdvanced", "max", (1, 6, 6, 1), (3, 3), (2, 2), ((1, 2), (2, 1)),
            [7, 9, 11, 12, 19, 21, 23, 24, 31, 33, 35, 36, 31, 33, 35, 36]),
    Pooling("testMaxPoolNegativeInputExpPadding", "max", (1, 3, 3, 1), (3, 3), (2, 2), ((2, 1), (2, 1)),
            [-1, -1, -1, -1], sign=-1),
    Pooling("testMaxPoolNegativeInputExpPaddingAdv", "max", (1, 6, 6, 1), (3, 3), (2, 2), ((1, 2), (2, 1)),
            [-1, -1, -3, -5, -7, -7, -9, -11, -19, -19, -21, -23, -31, -31, -33, -35], sign=-1),
    Pooling("testKernelSmallerThanStrideSame1_", "max", (1, 3, 3, 1), (1, 1), (2, 2), "same", [1, 3, 7, 9]),
    Pooling("testKernelSmallerThanStrideSame2_", "average", (1, 4, 4, 1), (1, 1), (2, 2), "same", [1, 3, 9, 11]),
]  # fmt: skip


def pooling_image(case, dtype):
    counted = (np.arange(np.prod(case.x)) + 128) % 255 - 127
    return case.sign * counted.reshape(case.x).astype(dtype)


@each_implementation
@each_dtype
@by_test(POOLED)
def test_pooling_gives_tensorflows_numbers(case, dtype, implementation):
    forward, _ = POOLS[case.kind].implementations[implementation]
    pads = pads_of(case.padding, case.x, case.window, case.strides)
    out = forward(pooling_image(case, dtype), case.window, case.strides, pads)
    np.testing.assert_array_equal(out.ravel(), case.expected)


@each_implementation
@each_dtype
@by_test([case for case in POOLED if isinstance(case.padding, str)])
def test_a_pooling_layer_gives_tensorflows_numbers(case, dtype, implementation):
    layer = POOLS[case.kind](case.window, case.strides, case.padding, implementation=implementation)
    out = layer.build(case.x[1:], dtype=dtype).forward(pooling_image(case, dtype))
    np.testing.assert_array_equal(out.ravel(), case.expected)


# Where max-pooling sends gradients, with ties in nearly every window: _testMaxPoolGradDirect and its kin.

CHESS = [1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
NAN = float("nan")


class PoolingGradient(NamedTuple):
    test: str
    x: list
    dout: list
    window: tuple
    strides: tuple
    padding: str | tuple
    expected: list


NINE = [11, 12, 13, 15, 16, 17, 19, 20, 21]
POOLING_GRADIENTS = [
    PoolingGradient("_testMaxPoolGradDirect1_1", [1] * 16, NINE, (2, 2), (1, 1), "valid",
                    [11, 12, 13, 0, 15, 16, 17, 0, 19, 20, 21, 0, 0, 0, 0, 0]),
    PoolingGradient("_testMaxPoolGradDirect1_2", CHESS, NINE, (2, 2), (1, 1), "valid",
                    [11, 0, 25, 0, 0, 31, 0, 17, 19, 0, 41, 0, 0, 0, 0, 0]),
    PoolingGradient("_testMaxPoolGradDirect1_3", CHESS, list(range(11, 27)), (3, 3), (1, 1), "same",
                    [54, 0, 62, 0, 0, 60, 0, 22, 47, 0, 51, 0, 0, 0, 0, 0]),
    PoolingGradient("_testMaxPoolGradExplicitPadding_1", CHESS, list(range(11, 23)), (2, 2), (1, 1), ((0, 0), (0, 1)),
                    [11, 0, 25, 0, 0, 31, 0, 49, 19, 0, 41, 0, 0, 0, 0, 22]),
    PoolingGradient("_testMaxPoolGradExplicitPadding_2", CHESS, NINE, (3, 3), (2, 2), ((2, 1), (2, 1)),
                    [54, 0, 30, 0, 0, 0, 0, 0, 39, 0, 21, 0, 0, 0, 0, 0]),
    PoolingGradient("_testMaxPoolGradExplicitPadding_3", [-1 if cell else -5 for cell in CHESS], list(range(11, 23)), (2, 2),
                    (1, 1), ((0, 0), (0, 1)), [11, 0, 25, 0, 0, 31, 0, 49, 19, 0, 41, 0, 0, 0, 0, 22]),
]  # fmt: skip


NAN_GRADIENTS = [
    PoolingGradient("_testMaxPoolGradDirectWithNans2_1", [NAN] * 16, NINE, (2, 2), (1, 1), "valid",
                    [11, 12, 13, 0, 15, 16, 17, 0, 19, 20, 21, 0, 0, 0, 0, 0]),
    PoolingGradient("_testMaxPoolGradDirectWithNans2_2", [NAN] * 16, [NAN, 12, 13, 15, NAN, 17, 19, 20, NAN], (2, 2), (1, 1),
                    "valid", [NAN, 12, 13, 0, 15, NAN, 17, 0, 19, 20, NAN, 0, 0, 0, 0, 0]),
]  # fmt: skip


def max_pool_gradient(case, dtype, implementation):
    x = np.array(case.x, dtype).reshape(1, 4, 4, 1)
    pads = pads_of(case.padding, x.shape, case.window, case.strides)
    dout = np.array(case.dout, dtype).reshape(1, *window_output_shape(x.shape, case.window, case.strides, pads), 1)
    _, backward = MaxPooling2D.implementations[implementation]
    return backward(dout, x, case.window, case.strides, pads).ravel()


@each_implementation
@each_dtype
@by_test(POOLING_GRADIENTS)
def test_max_pooling_sends_gradients_where_tensorflow_does(case, dtype, implementation):
    np.testing.assert_array_equal(max_pool_gradient(case, dtype, implementation), case.expected)


@pytest.mark.parametrize("implementation", ["loops", "im2col", pytest.param("fused", marks=pytest.mark.compiled)])
@each_dtype
@by_test(NAN_GRADIENTS)
def test_max_pooling_sends_the_gradient_of_a_nan_to_the_first_nan_of_the_window_as_tensorflow_does(case, dtype, implementation):
    np.testing.assert_array_equal(max_pool_gradient(case, dtype, implementation), case.expected)


@each_implementation
@each_dtype
def test_overlapping_windows_of_two_images_send_gradients_where_tensorflow_does(dtype, implementation):
    # testMaxPoolingGradWithArgmax
    x = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1], dtype).reshape(2, 3, 3, 1)
    dout = np.array([11, 12, 13, 14, 21, 22, 23, 24], dtype).reshape(2, 2, 2, 1)
    _, backward = MaxPooling2D.implementations[implementation]
    dx = backward(dout, x, (2, 2), (1, 1), ((0, 0), (0, 0)))
    np.testing.assert_array_equal(dx.ravel(), [11, 12, 0, 13, 0, 14, 0, 0, 0, 21, 0, 22, 0, 0, 0, 23, 0, 24])
