"""Convolution against its definition, published vectors and its algebra, in every implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratchnet.kernels.conv2d
import scratchnet.layers.conv2d
import scratchnet.reference
from scratchnet import Conv2D
from scratchnet.padding import same_pads

IMPLEMENTATIONS = {
    "loops": scratchnet.reference,
    "im2col": scratchnet.layers.conv2d,
    "fused": scratchnet.kernels.conv2d,
}
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
fused = pytest.param("fused", marks=pytest.mark.compiled)
each_implementation = pytest.mark.parametrize("name", ["loops", "im2col", fused])


def conv2d_by_definition(x, w, b, strides, pads):
    """out[n, i, j] = b + sum over p, q of x[n, i·SH + p - top, j·SW + q - left] @ w[p, q]; zero outside the image."""
    (N, H, W, _), (KH, KW, _, F), (SH, SW) = x.shape, w.shape, strides
    (top, bottom), (left, right) = pads
    out = np.zeros((N, (H + top + bottom - KH) // SH + 1, (W + left + right - KW) // SW + 1, F))
    for n, i, j in np.ndindex(*out.shape[:3]):
        out[n, i, j] = b
        for p, q in np.ndindex(KH, KW):
            r, s = i * SH + p - top, j * SW + q - left
            if 0 <= r < H and 0 <= s < W:
                out[n, i, j] += x[n, r, s].astype(float) @ w[p, q].astype(float)
    return out


def conv2d_gradients_by_definition(dout, x, w, strides, pads):
    """Return dx, dw and db: for each product x·w in an output cell, add dout·w to that dx and dout·x to that dw."""
    (_, H, W, _), (KH, KW, _, _), (SH, SW) = x.shape, w.shape, strides
    (top, _), (left, _) = pads
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[-1])
    for n, i, j in np.ndindex(*dout.shape[:3]):
        above = dout[n, i, j].astype(float)
        db += above
        for p, q in np.ndindex(KH, KW):
            r, s = i * SH + p - top, j * SW + q - left
            if 0 <= r < H and 0 <= s < W:
                dx[n, r, s] += w[p, q] @ above
                dw[p, q] += np.outer(x[n, r, s], above)
    return dx, dw, db


def assert_close(actual, expected, tolerance):
    """Relative to the largest element: a sum that happens to cancel to nearly 0 is still a sum of large terms."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * (1 + np.abs(expected).max()))


def random_case(seed, x_shape, kernel, filters, strides, padding, dtype="float64"):
    rng = np.random.default_rng(seed)
    pads = ((0, 0), (0, 0))
    if padding == "same":
        pads = tuple(same_pads(n, k, s) for n, k, s in zip(x_shape[1:3], kernel, strides, strict=True))
    x = rng.standard_normal(x_shape).astype(dtype)
    w = rng.standard_normal((*kernel, x_shape[3], filters)).astype(dtype)
    b = rng.standard_normal(filters).astype(dtype)
    dout = rng.standard_normal(conv2d_by_definition(x[:, :, :, :1], w[:, :, :1], b, strides, pads).shape).astype(dtype)
    return x, w, b, dout, strides, pads


@st.composite
def cases(draw):
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = draw(st.sampled_from(["same", "valid"]))
    H, W = (draw(st.integers(1 if padding == "same" else k, 7)) for k in kernel)
    channels, filters = draw(st.sampled_from([1, 2, 3, 5, 17])), draw(st.sampled_from([1, 2, 3, 5, 17, 19]))
    if channels * filters > 60:  # the loops are interpreted, so both may not be large
        filters = 3
    shape = (draw(st.integers(1, 3)), H, W, channels)
    strides = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return random_case(draw(st.integers(0, 2**32 - 1)), shape, kernel, filters, strides, padding, dtype)


@each_implementation
@given(case=cases())
def test_forward_equals_the_definition(name, case):
    x, w, b, _, strides, pads = case
    out = IMPLEMENTATIONS[name].conv2d_forward(x, w, b, strides, pads)
    assert out.dtype == x.dtype
    assert_close(out, conv2d_by_definition(x, w, b, strides, pads), TOLERANCE[str(x.dtype)])


@each_implementation
@given(case=cases())
def test_backward_equals_the_definition(name, case):
    x, w, _, dout, strides, pads = case
    gradients = IMPLEMENTATIONS[name].conv2d_backward(dout, x, w, strides, pads)
    for gradient, expected in zip(gradients, conv2d_gradients_by_definition(dout, x, w, strides, pads), strict=True):
        assert gradient.dtype == x.dtype
        assert_close(gradient, expected, TOLERANCE[str(x.dtype)])


LARGER = [
    ((3, 28, 28, 1), (3, 3), 32, (1, 1), "same"),  # net_1's first convolution
    ((2, 14, 13, 32), (3, 3), 64, (1, 1), "same"),  # its second
    ((2, 14, 15, 32), (3, 3), 64, (2, 2), "same"),  # net_2's second
    ((1, 32, 31, 3), (3, 3), 32, (1, 1), "same"),
    ((2, 11, 9, 17), (5, 2), 33, (2, 3), "valid"),
    ((2, 9, 12, 5), (1, 1), 65, (1, 1), "valid"),
    ((1, 8, 8, 3), (7, 7), 7, (1, 2), "same"),
    ((2, 7, 5, 31), (2, 4), 1, (3, 1), "same"),
]


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LARGER, ids=str)
def test_im2col_and_fused_agree_at_sizes_that_fill_whole_tiles(case, dtype):
    x, w, b, dout, strides, pads = random_case(3, *case, dtype=dtype)
    im2col, fused = IMPLEMENTATIONS["im2col"], IMPLEMENTATIONS["fused"]
    args = (strides, pads)
    assert_close(fused.conv2d_forward(x, w, b, *args), im2col.conv2d_forward(x, w, b, *args), TOLERANCE[dtype])
    for ours, theirs in zip(
        fused.conv2d_backward(dout, x, w, *args), im2col.conv2d_backward(dout, x, w, *args), strict=True
    ):
        assert_close(ours, theirs, TOLERANCE[dtype])


# Numbers of TensorFlow's tensorflow/python/kernel_tests/nn_ops/conv_ops_test.py, where every tensor holds 1, 2, 3, ...


def counted(*shape):
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


FORWARD_VECTORS = {
    "1x1": ((1, 2, 3, 3), (1, 1, 3, 3), (1, 1), "valid",
            [30, 36, 42, 66, 81, 96, 102, 126, 150, 138, 171, 204, 174, 216, 258, 210, 261, 312]),
    "2x2": ((1, 2, 3, 3), (2, 2, 3, 3), (1, 1), "valid", [2271, 2367, 2463, 2901, 3033, 3165]),
    "1x2": ((1, 2, 3, 3), (1, 2, 3, 3), (1, 1), "valid",
            [231, 252, 273, 384, 423, 462, 690, 765, 840, 843, 936, 1029]),
    "stride 2": ((1, 2, 3, 3), (2, 2, 3, 3), (2, 2), "valid", [2271, 2367, 2463]),
    "stride 2 same": ((1, 2, 3, 3), (2, 2, 3, 3), (2, 2), "same", [2271, 2367, 2463, 1230, 1305, 1380]),
    "stride 1x2": ((1, 3, 6, 1), (2, 2, 1, 1), (1, 2), "valid", [58, 78, 98, 118, 138, 158]),
    "stride beyond kernel": ((1, 7, 7, 1), (2, 2, 1, 1), (3, 3), "valid", [65, 95, 275, 305]),
    "stride beyond 1x1 kernel, odd": ((1, 3, 3, 1), (1, 1, 1, 1), (2, 2), "same", [1, 3, 7, 9]),
    "stride beyond 1x1 kernel, even": ((1, 4, 4, 1), (1, 1, 1, 1), (2, 2), "same", [1, 3, 9, 11]),
    "stride beyond kernel same": ((1, 4, 4, 1), (2, 2, 1, 1), (3, 3), "same", [44, 28, 41, 16]),
    "kernel as large as image": ((1, 2, 2, 1), (2, 2, 1, 2), (1, 1), "valid", [50, 60]),
}  # fmt: skip
INPUT_GRADIENT_VECTORS = {
    "depth 1": ((1, 2, 3, 1), (2, 2, 1, 1), (1, 1, 2, 1), (1, 1), "valid", [1, 4, 4, 3, 10, 8]),
    "depth 3": ((1, 2, 3, 3), (2, 2, 3, 3), (1, 1, 2, 3), (1, 1), "valid",
                [14, 32, 50, 100, 163, 226, 167, 212, 257, 122, 140, 158, 478, 541, 604, 437, 482, 527]),
    "stride 1x2": ((1, 3, 6, 1), (2, 2, 1, 1), (1, 2, 3, 1), (1, 2), "valid",
                   [1, 2, 2, 4, 3, 6, 7, 12, 11, 18, 15, 24, 12, 16, 15, 20, 18, 24]),
    "stride 2 same": ((1, 4, 4, 1), (1, 1, 1, 1), (1, 2, 2, 1), (2, 2), "same",
                      [1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0]),
    "kernel as large as image": ((1, 2, 2, 1), (2, 2, 1, 2), (1, 1, 1, 2), (1, 1), "valid", [5, 11, 17, 23]),
}  # fmt: skip
KERNEL_GRADIENT_VECTORS = {
    "depth 1": ((1, 2, 3, 1), (2, 2, 1, 1), (1, 1, 2, 1), (1, 1), "valid", [5, 8, 14, 17]),
    "depth 3": ((1, 2, 3, 3), (2, 2, 3, 3), (1, 1, 2, 3), (1, 1), "valid",
                [17, 22, 27, 22, 29, 36, 27, 36, 45, 32, 43, 54, 37, 50, 63, 42, 57, 72,
                 62, 85, 108, 67, 92, 117, 72, 99, 126, 77, 106, 135, 82, 113, 144, 87, 120, 153]),
    "stride 1x2": ((1, 3, 6, 1), (2, 2, 1, 1), (1, 2, 3, 1), (1, 2), "valid", [161, 182, 287, 308]),
    "stride 2 same": ((1, 4, 4, 1), (1, 1, 1, 1), (1, 2, 2, 1), (2, 2), "same", [78]),
    "kernel as large as image": ((1, 2, 2, 1), (2, 2, 1, 2), (1, 1, 1, 2), (1, 1), "valid", [1, 2, 2, 4, 3, 6, 4, 8]),
}  # fmt: skip


def pads_of(padding, x_shape, w_shape, strides):
    if padding == "valid":
        return ((0, 0), (0, 0))
    return tuple(same_pads(n, k, s) for n, k, s in zip(x_shape[1:3], w_shape[:2], strides, strict=True))


@each_implementation
@pytest.mark.parametrize("vector", FORWARD_VECTORS)
def test_forward_gives_tensorflows_published_numbers(name, vector):
    x_shape, w_shape, strides, padding, expected = FORWARD_VECTORS[vector]
    pads = pads_of(padding, x_shape, w_shape, strides)
    out = IMPLEMENTATIONS[name].conv2d_forward(
        counted(*x_shape), counted(*w_shape), np.zeros(w_shape[3]), strides, pads
    )
    np.testing.assert_allclose(out.ravel(), expected, rtol=1e-13)


@each_implementation
@pytest.mark.parametrize("vector", INPUT_GRADIENT_VECTORS)
def test_input_gradient_gives_tensorflows_published_numbers(name, vector):
    x_shape, w_shape, out_shape, strides, padding, expected = INPUT_GRADIENT_VECTORS[vector]
    pads = pads_of(padding, x_shape, w_shape, strides)
    dx, _, _ = IMPLEMENTATIONS[name].conv2d_backward(
        counted(*out_shape), np.zeros(x_shape), counted(*w_shape), strides, pads
    )
    np.testing.assert_allclose(dx.ravel(), expected, rtol=1e-13)


@each_implementation
@pytest.mark.parametrize("vector", KERNEL_GRADIENT_VECTORS)
def test_kernel_gradient_gives_tensorflows_published_numbers(name, vector):
    x_shape, w_shape, out_shape, strides, padding, expected = KERNEL_GRADIENT_VECTORS[vector]
    pads = pads_of(padding, x_shape, w_shape, strides)
    dout = counted(*out_shape)
    _, dw, db = IMPLEMENTATIONS[name].conv2d_backward(dout, counted(*x_shape), np.zeros(w_shape), strides, pads)
    np.testing.assert_allclose(dw.ravel(), expected, rtol=1e-13)
    np.testing.assert_allclose(db, dout.sum(axis=(0, 1, 2)), rtol=1e-13)


@each_implementation
def test_same_padding_at_stride_two_puts_the_odd_cell_at_the_bottom_and_right(name):
    x = counted(1, 4, 4, 1)
    first_tap, last_tap = np.zeros((3, 3, 1, 1)), np.zeros((3, 3, 1, 1))
    first_tap[0, 0], last_tap[2, 2] = 1, 1
    args = ((2, 2), ((0, 1), (0, 1)))
    conv2d_forward = IMPLEMENTATIONS[name].conv2d_forward
    np.testing.assert_array_equal(conv2d_forward(x, first_tap, None, *args)[0, :, :, 0], [[1, 3], [9, 11]])
    np.testing.assert_array_equal(conv2d_forward(x, last_tap, None, *args)[0, :, :, 0], [[11, 0], [0, 0]])
    layer = Conv2D(1, (3, 3), strides=(2, 2), padding="same", implementation=name).build((4, 4, 1), dtype="float64")
    layer.set_weights([first_tap, np.zeros(1)])
    np.testing.assert_array_equal(layer.forward(x)[0, :, :, 0], [[1, 3], [9, 11]])


@pytest.mark.parametrize("name", ["im2col", fused])
@given(case=cases(), scale=st.floats(-3, 3))
def test_convolution_is_linear_in_the_image_and_in_the_kernel(name, case, scale):
    x, w, *_, strides, pads = (a.astype(float) if isinstance(a, np.ndarray) else a for a in case)

    def conv(x, w):
        return IMPLEMENTATIONS[name].conv2d_forward(x, w, None, strides, pads)

    x2, w2 = x[::-1, :, ::-1] + 0.5, w[:, ::-1] - 0.25
    assert_close(conv(x + scale * x2, w), conv(x, w) + scale * conv(x2, w), 1e-12)
    assert_close(conv(x, w + scale * w2), conv(x, w) + scale * conv(x, w2), 1e-12)


@pytest.mark.parametrize("name", ["im2col", fused])
@given(case=cases())
def test_backward_is_the_adjoint_of_forward(name, case):
    x, w, b, dout, strides, pads = (a.astype(float) if isinstance(a, np.ndarray) else a for a in case)
    ops = IMPLEMENTATIONS[name]
    dx, dw, db = ops.conv2d_backward(dout, x, w, strides, pads)
    out = ops.conv2d_forward(x, w, None, strides, pads)
    size = 1 + np.sum(np.abs(out * dout))
    assert abs(np.sum(out * dout) - np.sum(x * dx)) <= 1e-12 * size
    assert abs(np.sum(out * dout) - np.sum(w * dw)) <= 1e-12 * size
    assert abs(np.sum((ops.conv2d_forward(x, w, b, strides, pads) - out) * dout) - np.sum(b * db)) <= 1e-11 * size


@each_implementation
def test_backward_writes_into_nothing_and_repeats_its_bits(name):
    x, w, b, dout, *args = random_case(5, (2, 5, 7, 3), (2, 3), 4, (1, 2), "same", "float32")
    kept = [a.copy() for a in (x, w, b, dout)]
    ops = IMPLEMENTATIONS[name]
    ops.conv2d_forward(x, w, b, *args)
    first, second = ops.conv2d_backward(dout, x, w, *args), ops.conv2d_backward(dout, x, w, *args)
    for a, b_ in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b_)
        assert not np.shares_memory(a, b_)
    for now, then in zip((x, w, b, dout), kept, strict=True):
        np.testing.assert_array_equal(now, then)


@each_implementation
def test_without_need_dx_only_dx_is_left_out(name):
    x, w, _, dout, *args = random_case(6, (2, 5, 4, 3), (3, 2), 5, (2, 1), "same")
    full = IMPLEMENTATIONS[name].conv2d_backward(dout, x, w, *args)
    dx, dw, db = IMPLEMENTATIONS[name].conv2d_backward(dout, x, w, *args, need_dx=False)
    assert dx is None
    np.testing.assert_array_equal(dw, full[1])
    np.testing.assert_array_equal(db, full[2])


@each_implementation
@pytest.mark.parametrize("view", ["transposed", "stepped", "reversed"])
def test_views_give_what_their_copies_give(name, view):
    def seen(a):
        return {"transposed": a.transpose(0, 2, 1, 3), "stepped": a[:, ::2, 1:, 1:3], "reversed": a[:, ::-1, :, ::-1]}[
            view
        ]

    rng = np.random.default_rng(7)
    x, w = seen(rng.standard_normal((2, 6, 7, 4))), rng.standard_normal((3, 2, 5, 2)).transpose(1, 0, 3, 2)
    x = x[..., :2]
    args = ((2, 1), ((1, 0), (1, 1)))
    ops = IMPLEMENTATIONS[name]
    out = ops.conv2d_forward(x, w, None, *args)
    assert_close(out, ops.conv2d_forward(x.copy(order="C"), w.copy(order="C"), None, *args), 1e-14)
    wide = rng.standard_normal((*out.shape[:3], 2 * out.shape[3]))
    plain = ops.conv2d_backward(wide[..., ::2].copy(order="C"), x.copy(order="C"), w.copy(order="C"), *args)
    for actual, expected in zip(ops.conv2d_backward(wide[..., ::2], x, w, *args), plain, strict=True):
        assert_close(actual, expected, 1e-14)


@each_implementation
def test_results_that_are_kept_never_change(name):
    x, w, b, dout, *args = random_case(8, (2, 6, 6, 3), (3, 3), 4, (1, 1), "same", "float32")
    ops = IMPLEMENTATIONS[name]
    kept_view = ops.conv2d_forward(x, w, b, *args)[1:, ::2]  # the whole array is gone, a view of it lives on
    kept_gradients = ops.conv2d_backward(dout, x, w, *args)
    then = [a.copy() for a in (kept_view, *kept_gradients)]
    for scale in (2, 3, 4):
        ops.conv2d_forward(scale * x, w, b, *args)
        ops.conv2d_backward(scale * dout, x, w, *args)
    for now, before in zip((kept_view, *kept_gradients), then, strict=True):
        np.testing.assert_array_equal(now, before)


def built(input_shape=(5, 6, 3), dtype="float32", **options):
    options = {"filters": 4, "kernel_size": (2, 3), "strides": (1, 2), "padding": "same"} | options
    return Conv2D(**options).build(input_shape, np.random.default_rng(0), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_implementation
def test_layer_holds_parameters_and_gradients_of_its_shape_and_dtype(name, dtype):
    layer = built(dtype=dtype, implementation=name)
    assert layer.input_shape == (5, 6, 3)
    assert layer.output_shape == (5, 3, 4)
    assert layer.count_params() == 2 * 3 * 3 * 4 + 4
    rng = np.random.default_rng(1)
    x, dout = rng.standard_normal((2, 5, 6, 3)).astype(dtype), rng.standard_normal((2, 5, 3, 4)).astype(dtype)
    out, dx = layer.forward(x), layer.backward(dout)
    assert (out.shape, out.dtype) == (dout.shape, dtype)
    assert (dx.shape, dx.dtype) == (x.shape, dtype)
    assert list(layer.params) == list(layer.grads) == ["kernel", "bias"]
    assert layer.params["kernel"].shape == (2, 3, 3, 4)
    assert layer.params["bias"].shape == (4,)
    for key, gradient in layer.grads.items():
        assert (gradient.shape, gradient.dtype) == (layer.params[key].shape, dtype)


@each_implementation
def test_layer_overwrites_its_gradients_instead_of_adding_to_them(name):
    layer, rng = built(implementation=name), np.random.default_rng(2)
    x, dout = (rng.standard_normal(s).astype("float32") for s in ((2, 5, 6, 3), (2, 5, 3, 4)))
    layer.forward(x)
    layer.backward(dout)
    first = {key: gradient.copy() for key, gradient in layer.grads.items()}
    layer.backward(dout)
    for key, gradient in layer.grads.items():
        np.testing.assert_array_equal(gradient, first[key])


def test_layer_without_bias_has_one_parameter_and_adds_nothing():
    layer = built(use_bias=False, dtype="float64")
    x = np.random.default_rng(3).standard_normal((1, 5, 6, 3))
    expected = conv2d_by_definition(x, layer.params["kernel"], 0, (1, 2), ((0, 1), (0, 1)))
    assert_close(layer.forward(x), expected, 1e-12)
    layer.backward(np.random.default_rng(4).standard_normal(expected.shape))
    assert list(layer.params) == list(layer.grads) == ["kernel"]
    assert layer.count_params() == 72


def test_layer_takes_a_whole_number_for_a_square_kernel_and_stride():
    layer = Conv2D(2, 3, strides=2).build((7, 9, 1))
    assert layer.params["kernel"].shape == (3, 3, 1, 2)
    assert layer.output_shape == (3, 4, 2)


def test_layer_weights_are_glorot_uniform_and_biases_zero():
    kernel, bias = Conv2D(16, (3, 5)).build((8, 8, 4), np.random.default_rng(5)).get_weights()
    limit = np.sqrt(6 / (3 * 5 * 4 + 3 * 5 * 16))
    assert np.abs(kernel).max() <= limit
    assert np.abs(kernel).max() > 0.95 * limit
    assert abs(kernel.std() - limit / np.sqrt(3)) < 0.05 * limit  # a uniform law's deviation
    assert not bias.any()


def test_layer_float32_pass_stays_near_the_float64_pass():
    x = np.random.default_rng(6).standard_normal((2, 5, 6, 3))
    single, double = built(dtype="float32"), built(dtype="float64")
    double.set_weights([w.astype("float64") for w in single.get_weights()])
    assert_close(single.forward(x.astype("float32")), double.forward(x.astype("float32").astype(float)), 1e-6)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"filters": 0}, "filters"),
        ({"filters": -3}, "filters"),
        ({"kernel_size": (0, 3)}, "kernel"),
        ({"kernel_size": (3, 3, 3)}, "kernel"),
        ({"strides": (0, 1)}, "stride"),
        ({"padding": "full"}, "same"),
        ({"implementation": "cuda"}, "fused"),
        ({"kernel_initializer": "glorot"}, "glorot_uniform"),
        ({"kernel_size": (6, 2), "padding": "valid"}, "6"),
        ({"input_shape": (5, 6)}, "channel"),
        ({"activation": "relu"}, "ReLU|Activation"),
        ({"activation": "mish"}, "relu"),
    ],
    ids=str,
)
def test_layer_refuses_what_cannot_be_built_and_says_what_can(options, word):
    with pytest.raises(ValueError, match=word):
        built(**options)


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 5, 6, 4), (2, 6, 5, 3), (5, 6, 3), (2, 90)], ids=str)
def test_layer_refuses_an_input_of_another_shape_and_names_both(shape):
    with pytest.raises(ValueError, match=r"5, 6, 3") as error:
        built().forward(np.zeros(shape, "float32"))
    assert str(shape[-1]) in str(error.value)


def test_layer_refuses_complex_numbers():
    with pytest.raises((TypeError, ValueError), match="complex"):
        built().forward(np.zeros((1, 5, 6, 3), "complex128"))


def test_backward_before_forward_is_refused_with_an_explanation():
    with pytest.raises((RuntimeError, ValueError), match="forward"):
        built().backward(np.zeros((2, 5, 3, 4), "float32"))


@each_implementation
@pytest.mark.parametrize("shape", [(3, 5, 3, 4), (1, 5, 3, 4), (2, 5, 3, 3), (2, 3, 5, 4)], ids=str)
def test_backward_refuses_a_gradient_of_another_shape_than_the_output(name, shape):
    layer = built(implementation=name)
    layer.forward(np.zeros((2, 5, 6, 3), "float32"))
    with pytest.raises(ValueError, match="dout"):
        layer.backward(np.zeros(shape, "float32"))


@each_implementation
def test_backward_refuses_a_gradient_of_another_dtype(name):
    layer = built(implementation=name)
    layer.forward(np.zeros((2, 5, 6, 3), "float32"))
    with pytest.raises((TypeError, ValueError), match=r"(?s)(?=.*float32)(?=.*float64)"):
        layer.backward(np.zeros((2, 5, 3, 4), "float64"))


@each_implementation
def test_a_stride_far_beyond_the_image_is_one_beyond_it(name):
    x = np.random.default_rng(3).standard_normal((2, 5, 6, 3)).astype("float32")
    outs = []
    for stride in (40, 2**31 - 1):
        layer = Conv2D(2, 3, strides=stride, padding="same", implementation=name).build((5, 6, 3), np.random.default_rng(1))
        outs.append([layer.forward(x), layer.backward(np.ones((2, 1, 1, 2), "float32")), layer.grads["kernel"]])
    for near, far in zip(*outs, strict=True):
        np.testing.assert_array_equal(near, far)


@pytest.mark.parametrize("kernel", [(3000, 3000), (10**6, 1), 10**9])
def test_a_kernel_that_is_nearly_all_padding_is_refused_before_its_weights_are_allocated(kernel):
    with pytest.raises(ValueError, match=r"a kernel of .* on an image of \(28, 28\).*Make it smaller, for example \(55, "):
        Conv2D(1, kernel, padding="same").build((28, 28, 1))


@pytest.mark.parametrize("kernel", [7, 31])
def test_a_kernel_larger_than_a_small_map_is_accepted(kernel):
    assert Conv2D(2, kernel, padding="same").build((1, 2, 1)).forward(np.ones((1, 1, 2, 1), "float32")).shape == (1, 1, 2, 2)


def test_sizes_that_no_machine_integer_holds_are_refused():
    with pytest.raises(ValueError, match=r"strides: expected an integer from 1 to 2147483647, got 1000"):
        Conv2D(1, 3, strides=10**20)
