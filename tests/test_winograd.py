"""Winograd's convolution: its algorithm in exact arithmetic, its kernels against the definition and the direct ones."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import Conv2D, Input, Model
from scratchnet.gradcheck import check_layer
from scratchnet.kernels import conv2d, memory, toom_cook, winograd
from scratchnet.layers import conv2d as page
from scratchnet.padding import window_pads

pytestmark = pytest.mark.compiled


def exactly(rows):
    return [[Fraction(v) for v in row] for row in rows]


@pytest.mark.parametrize("algorithm", toom_cook.ALGORITHMS)
def test_algorithm_gives_neighbouring_outputs_of_a_filter_of_three_taps(algorithm):
    rng = np.random.default_rng(0)
    Bt, G, At = (np.array(matrix) for matrix in algorithm[1:4])
    G, At = G[list(algorithm.filters)], At[:, list(algorithm.sums)]
    x, w = rng.standard_normal(Bt.shape[1]), rng.standard_normal(3)
    outputs = [x[i * algorithm.stride :][:3] @ w for i in range(len(At))]
    assert len(x) == (len(outputs) - 1) * algorithm.stride + 3
    np.testing.assert_allclose(At @ ((G @ w) * (Bt @ x)), outputs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("algorithm", toom_cook.ALGORITHMS)
def test_products_on_two_axes_are_those_of_one_axis_with_each_other(algorithm):
    rng = np.random.default_rng(0)
    Bt, G, At = (np.array(matrix) for matrix in algorithm[1:4])
    (m, Q), P, R = At.shape, len(Bt), len(G)
    x, w = rng.standard_normal((Bt.shape[1],) * 2), rng.standard_normal((3, 3))
    V, U, M = Bt @ x @ Bt.T, G @ w @ G.T, np.zeros((Q, Q))
    for s, (p, f, down, across) in enumerate(toom_cook.runs_of(algorithm.sums, algorithm.filters)):
        (i, j), (k, n) = divmod(p, P), divmod(f, R)
        M[divmod(s, Q)] = np.sum(V[i : i + down, j : j + across] * U[k : k + down, n : n + across])
    outputs = [[(x[algorithm.stride * i :, algorithm.stride * j :][:3, :3] * w).sum() for j in range(m)] for i in range(m)]
    np.testing.assert_allclose(At @ M @ At.T, outputs, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("algorithm", toom_cook.ALGORITHMS)
def test_runs_of_sums_and_of_filters_contain_the_same_products(algorithm):
    P, R, Q = len(algorithm.Bt), len(algorithm.G), len(algorithm.At[0])

    def products(own, other, width):
        return {
            (p + i * P + j, label, o + i * width + j)
            for label, (p, o, down, across) in enumerate(toom_cook.runs_of(own, other))
            for i in range(down)
            for j in range(across)
        }

    by_sum = products(algorithm.sums, algorithm.filters, R)
    assert {(p, s, f) for p, f, s in products(algorithm.filters, algorithm.sums, Q)} == by_sum
    assert sorted(p for p, _, _ in by_sum) == list(range(P * P))


@pytest.mark.parametrize(("m", "r", "points"), [(2, 3, (0, 1, -1)), (3, 2, (0, 2, Fraction(-1, 3))), (1, 1, ()), (4, 1, (0, 1, 2))])
def test_toom_cook_multiplies_exactly_whatever_the_points(m, r, points):
    _, Bt, G, At, _, _ = toom_cook.toom_cook(m, r, points)
    x, w = np.arange(3.0, 2 + m + r) ** 2, np.arange(1.0, r + 1)
    np.testing.assert_allclose(np.array(At) @ ((G @ w) * (Bt @ x)), [x[i : i + r] @ w for i in range(m)], rtol=1e-13)


@pytest.mark.parametrize(
    ("stride", "size", "outputs"),
    [(1, 28, 4), (1, 32, 4), (1, 14, 4), (1, 8, 4), (1, 7, 4), (1, 6, 3), (1, 4, 2), (1, 3, 3)]
    + [(2, 16, 4), (2, 14, 2), (2, 8, 4), (2, 4, 2)],
)
def test_the_algorithm_with_the_fewest_products_is_chosen_but_no_large_tile_for_a_small_image(stride, size, outputs):
    algorithm = toom_cook.ALGORITHMS[toom_cook.choose(stride, size, size)]
    assert (algorithm.stride, len(algorithm.At)) == (stride, outputs)


def case(seed, N, H, W, C, F, stride, padding, dtype):
    rng = np.random.default_rng(seed)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((N, H, W, C), (3, 3, C, F), F))
    pads, strides = window_pads(padding, (H, W), (3, 3), (stride, stride)), (stride, stride)
    dout = rng.standard_normal(page.conv2d_forward(x, w, b, strides, pads).shape).astype(dtype)
    return x, w, b, strides, pads, dout


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    N=st.integers(1, 3),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    channels=st.tuples(st.sampled_from([16, 32, 48]), st.sampled_from([16, 64])),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(["same", "valid"]),
    relu_x=st.booleans(),
)
def test_both_passes_equal_those_of_the_page_in_float64(seed, N, size, channels, stride, padding, relu_x):
    x, w, b, strides, pads, dout = case(seed, N, *size, *channels, stride, padding, "float64")
    out = page.conv2d_forward(x, w, b, strides, pads)
    np.testing.assert_allclose(winograd.conv2d_forward(x, w, b, strides, pads), out, rtol=0, atol=1e-12 * abs(out).max())
    np.testing.assert_allclose(
        winograd.conv2d_forward(x, w, b, strides, pads, relu=True), np.maximum(out, 0), rtol=0, atol=1e-12 * abs(out).max()
    )
    dx, dw, db = page.conv2d_backward(dout, x, w, strides, pads)
    expected = (np.where(x > 0, dx, 0) if relu_x else dx), dw, db
    got = winograd.conv2d_backward(dout, x, w, strides, pads, relu_x=relu_x)
    for value, right in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=1e-12 * max(1, abs(right).max()))


@pytest.mark.parametrize(("stride", "size"), [(1, 32), (2, 56)])
@pytest.mark.parametrize("several", [True, False])                          # several images a group, or one in several blocks
def test_the_gradient_of_every_tile_is_0_where_x_is_not_positive(stride, size, several):
    shape = (33, 16, 16, 48, 64) if several else (2, size, size, 32, 64)
    x, w, _, strides, pads, dout = case(5, *shape, stride, "same", "float64")
    dx, dw, db = page.conv2d_backward(dout, x, w, strides, pads)
    got = winograd.conv2d_backward(dout, x, w, strides, pads, relu_x=True)
    for value, right in zip(got, (np.where(x > 0, dx, 0), dw, db), strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=1e-11 * abs(right).max())


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    N=st.sampled_from([1, 2, 20]),
    size=st.tuples(st.integers(3, 16), st.integers(3, 16)),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(["same", "valid"]),
    dtype=st.sampled_from(["float32", "float64"]),
    relu=st.booleans(),
    share=st.sampled_from([0.0, 0.1, 0.4]),
    zero=st.sampled_from([0.0, -0.0]),
)
def test_a_window_of_zeros_gives_exactly_the_bias_and_no_gradient_gives_exactly_0(
    seed, N, size, stride, padding, dtype, relu, share, zero
):
    x, w, b, strides, pads, dout = case(seed, N, *size, 16, 32, stride, padding, dtype)
    rng = np.random.default_rng(seed)
    for images in (x, dout):                                            # black pixels, and a black rectangle
        images[rng.random(images.shape[:3]) < share] = zero
        images[:, rng.integers(images.shape[1]) :, : rng.integers(images.shape[2] + 1)] = zero
    ones, none = np.ones((3, 3, 1, 1)), np.zeros(1)
    pixels, gradients = ((images != 0).any(axis=3, keepdims=True).astype("float64") for images in (x, dout))
    empty_windows = page.conv2d_forward(pixels, ones, none, strides, pads)[..., 0] == 0
    unreached = page.conv2d_backward(gradients, pixels, ones, strides, pads)[0][..., 0] == 0
    out = winograd.conv2d_forward(x, w, b, strides, pads, relu=relu)
    assert (out[empty_windows] == (np.maximum(b, 0) if relu else b)).all()
    dx, dw, db = winograd.conv2d_backward(dout, x, w, strides, pads, relu_x=relu)
    assert (dx[unreached] == 0).all()
    rights = page.conv2d_backward(dout, x, w, strides, pads)
    rights = np.where(x > 0, rights[0], 0) if relu else rights[0], *rights[1:]
    for value, right in zip((dx, dw, db), rights, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=(1e-11 if dtype == "float64" else 1e-4) * max(1, abs(right).max()))


def error(value, right):
    return np.sqrt(np.mean((value - right) ** 2)) / np.sqrt(np.mean(right**2))


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize(
    ("stride", "size"),
    [(1, 28), (1, 14), (1, 8), (1, 7), (1, 5), (1, 4), (1, 3), (2, 32), (2, 28), (2, 16), (2, 10), (2, 8), (2, 7), (2, 5), (2, 4)],
)
def test_float32_error_stays_below_four_times_that_of_the_direct_kernels_or_of_one_rounding(stride, size, images):
    """Direct sums of few numbers, such as dw of one 3 × 3 image, have less than one rounding error; ours then has some."""
    x, w, b, strides, pads, dout = case(1, images, size, size, 32, 64, stride, "same", "float32")
    exact = [a.astype("float64") for a in (x, w, b, dout)]
    rights = page.conv2d_forward(*exact[:3], strides, pads), *page.conv2d_backward(exact[3], *exact[:2], strides, pads)
    ours = winograd.conv2d_forward(x, w, b, strides, pads), *winograd.conv2d_backward(dout, x, w, strides, pads)
    directs = conv2d.direct_forward(x, w, b, strides, pads), *conv2d.direct_backward(dout, x, w, strides, pads)
    for our, direct, right in zip(ours, directs, rights, strict=True):
        assert error(our, right) < 4 * max(error(direct, right), np.finfo("float32").eps)


def test_backward_with_need_dx_false_gives_the_same_parameter_gradients():
    x, w, _, strides, pads, dout = case(2, 3, 7, 8, 16, 32, 1, "same", "float32")
    _, dw, db = winograd.conv2d_backward(dout, x, w, strides, pads)
    none, dw_alone, db_alone = winograd.conv2d_backward(dout, x, w, strides, pads, need_dx=False)
    assert none is None
    np.testing.assert_array_equal(dw_alone, dw)
    np.testing.assert_array_equal(db_alone, db)


@pytest.mark.parametrize("spoilt", ["x", "dout"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_not_hidden(spoilt, value):
    x, w, b, strides, pads, dout = case(3, 2, 6, 6, 16, 16, 1, "same", "float32")
    if spoilt == "x":
        x[1, 2, 3, 4] = value
        assert not np.isfinite(winograd.conv2d_forward(x, w, b, strides, pads)[1]).all()
    dout[0, 1, 2, 3] = value if spoilt == "dout" else dout[0, 1, 2, 3]
    dx, dw, db = winograd.conv2d_backward(dout, x, w, strides, pads)
    assert not np.isfinite(dw).all()
    if spoilt == "dout":
        assert not np.isfinite(dx).all()
        assert not np.isfinite(db).all()


@pytest.mark.parametrize(
    ("kernel", "strides", "channels", "said"),
    [
        ((3, 3), (1, 1), (16, 32), True),
        ((3, 3), (2, 2), (32, 16), True),
        ((3, 3), (2, 1), (16, 16), False),
        ((3, 3), (3, 3), (16, 16), False),
        ((3, 2), (1, 1), (16, 16), False),
        ((3, 3), (1, 1), (1, 32), False),
        ((3, 3), (1, 1), (16, 17), False),
    ],
    ids=str,
)
def test_it_takes_3_by_3_kernels_at_strides_1_and_2_with_whole_vectors_of_channels(kernel, strides, channels, said):
    assert winograd.suits((*kernel, *channels), strides) is said


@pytest.mark.parametrize(("stride", "shape"), [(1, (5, 6, 16)), (1, (4, 8, 16)), (2, (5, 4, 16)), (2, (7, 8, 16))])
def test_gradients_pass_every_check_of_a_layer(stride, shape):
    layer = Conv2D(16, (3, 3), strides=stride, padding="same")
    report = check_layer(layer, shape)
    assert report.passed, str(report)


def test_direct_runs_without_winograd_and_fused_with_it():
    x = np.random.default_rng(4).standard_normal((2, 6, 6, 16)).astype("float32")
    outs = {}
    for name in ("direct", "fused"):
        image = Input((6, 6, 16))
        model = Model(image, Conv2D(16, 3, padding="same")(image), seed=1, implementation=name)
        outs[name] = model.forward(x)
        layer = model.layers[1]
        alone = (conv2d.direct_forward if name == "direct" else winograd.conv2d_forward)(
            x, layer.params["kernel"], layer.params["bias"], (1, 1), layer.pads
        )
        np.testing.assert_array_equal(outs[name], alone)
    assert (outs["direct"] != outs["fused"]).any()
    np.testing.assert_allclose(outs["direct"], outs["fused"], atol=1e-5)


def test_an_image_without_any_output_has_a_gradient_of_0():
    x, w = np.ones((2, 2, 600, 16), "float32"), np.ones((3, 3, 16, 16), "float32")
    used = memory.empty(x.shape, "float32")
    used.fill(np.nan)
    del used                        # its block is lent to dx
    dx, dw, db = winograd.conv2d_backward(np.zeros((2, 0, 598, 16), "float32"), x, w, (1, 1), ((0, 0), (0, 0)))
    assert not dx.any()
    assert not dw.any()
    assert not db.any()
