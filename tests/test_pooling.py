"""Max-, min- and average-pooling against their definitions, published vectors and each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratchnet.kernels.pooling
import scratchnet.layers.pooling
import scratchnet.reference
from scratchnet import AveragePooling2D, MaxPooling2D, MinPooling2D
from scratchnet.padding import clip_window, same_pads

IMPLEMENTATIONS = {
    "loops": scratchnet.reference,
    "im2col": scratchnet.layers.pooling,
    "fused": scratchnet.kernels.pooling,
}
LAYERS = {"max": MaxPooling2D, "min": MinPooling2D, "average": AveragePooling2D}
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
each_implementation = pytest.mark.parametrize("name", IMPLEMENTATIONS)
each_kind = pytest.mark.parametrize("kind", LAYERS)


def forward(name, kind):
    return getattr(IMPLEMENTATIONS[name], f"{kind}_pool2d_forward")


def backward(name, kind):
    return getattr(IMPLEMENTATIONS[name], f"{kind}_pool2d_backward")


def pool2d_by_definition(kind, x, window, strides, pads, dout=None):
    """Return out, from the real cells of each window, and dx: dout goes to the first extreme cell, or to all cells equally."""
    N, H, W, C = x.shape
    (KH, KW), (SH, SW), ((top, bottom), (left, right)) = window, strides, pads
    out = np.zeros((N, (H + top + bottom - KH) // SH + 1, (W + left + right - KW) // SW + 1, C))
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(*out.shape):
        rows = [r for r in range(i * SH - top, i * SH - top + KH) if 0 <= r < H]
        columns = [s for s in range(j * SW - left, j * SW - left + KW) if 0 <= s < W]
        cells = [(r, s) for r in rows for s in columns]
        values = [float(x[n, r, s, c]) for r, s in cells]
        out[n, i, j, c] = {"max": max, "min": min, "average": lambda v: sum(v) / len(v)}[kind](values)
        if dout is None:
            continue
        if kind == "average":
            for r, s in cells:
                dx[n, r, s, c] += dout[n, i, j, c] / len(cells)
        else:
            r, s = cells[values.index(out[n, i, j, c])]
            dx[n, r, s, c] += dout[n, i, j, c]
    return out, dx


def random_case(seed, x_shape, window, strides, padding, ties=False, dtype="float64"):
    rng = np.random.default_rng(seed)
    pads = ((0, 0), (0, 0))
    if padding == "same":
        pads = tuple(same_pads(n, k, s) for n, k, s in zip(x_shape[1:3], window, strides, strict=True))
    x = rng.integers(-2, 1, x_shape) if ties else rng.standard_normal(x_shape)
    x = x.astype(dtype)
    dout = rng.standard_normal(pool2d_by_definition("max", x, window, strides, pads)[0].shape).astype(dtype)
    return x, dout, window, strides, pads


@st.composite
def cases(draw):
    window = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = draw(st.sampled_from(["same", "valid"]))
    H, W = (draw(st.integers(1 if padding == "same" else k, 6)) for k in window)
    shape = (draw(st.integers(1, 2)), H, W, draw(st.sampled_from([1, 2, 3, 5, 17])))
    strides = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return random_case(draw(st.integers(0, 2**32 - 1)), shape, window, strides, padding, draw(st.booleans()), dtype)


@each_kind
@each_implementation
@given(case=cases())
def test_forward_equals_the_definition(name, kind, case):
    x, _, window, strides, pads = case
    out = forward(name, kind)(x, window, strides, pads)
    expected, _ = pool2d_by_definition(kind, x, window, strides, pads)
    assert out.dtype == x.dtype
    if kind == "average":
        np.testing.assert_allclose(out, expected, rtol=0, atol=4 * TOLERANCE[str(x.dtype)])
    else:
        np.testing.assert_array_equal(out, expected)  # a pooled cell is a copy: not one bit may differ


@each_kind
@each_implementation
@given(case=cases())
def test_backward_equals_the_definition_ties_included(name, kind, case):
    x, dout, window, strides, pads = case
    dx = backward(name, kind)(dout, x, window, strides, pads)
    _, expected = pool2d_by_definition(kind, x, window, strides, pads, dout)
    assert dx.dtype == x.dtype
    np.testing.assert_allclose(dx, expected, rtol=0, atol=16 * TOLERANCE[str(x.dtype)])


def real_cells(size, kernel, stride, pads):
    """The real cells of each window on one axis, and nothing if it fits nowhere."""
    starts = range(-pads[0], size + pads[1] - kernel + 1, stride)
    return [[cell for cell in range(start, start + kernel) if 0 <= cell < size] for start in starts]


@given(
    size=st.integers(1, 7),
    kernel=st.integers(1, 20),
    stride=st.integers(1, 9),
    pads=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_a_clipped_window_has_the_same_real_cells_at_each_position(size, kernel, stride, pads):
    for p in (pads, same_pads(size, kernel, stride), (0, 0)):
        (clipped, _), (steps, _), (rows, _) = clip_window((size, 1), (kernel, 1), (stride, 1), (p, (0, 0)))
        expected = real_cells(size, kernel, stride, p)
        if all(expected):               # as in every layer: no window is empty
            assert real_cells(size, clipped, steps, rows) == expected
            assert clipped <= 2 * size - 1 or p != same_pads(size, kernel, stride)


@each_kind
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strides", [None, 1, (2, 3), 10**9])
@pytest.mark.parametrize("pool_size", [10**9, (1, 10**9), (2**31 - 1, 3)])
def test_a_window_far_larger_than_the_image_costs_what_one_costs_that_covers_it(kind, implementation, strides, pool_size):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 4, 5, 3)).astype("float32")
    strides = pool_size if strides is None else strides
    small = [min(k, 40 + k % 2) for k in np.broadcast_to(pool_size, 2)]        # as odd or even: the same centre
    results = []
    for size, steps in ((pool_size, strides), (small, np.minimum(strides, 40).tolist())):
        layer = LAYERS[kind](size, strides=steps, padding="same", implementation=implementation).build(x.shape[1:])
        out = layer.forward(x)
        dx = layer.backward(np.cos(np.arange(out.size, dtype="float32")).reshape(out.shape))
        results.append((out, dx))
    for far, near in zip(*results, strict=True):
        np.testing.assert_array_equal(far, near)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_kind
@pytest.mark.parametrize(
    "case",
    [
        ((1, 14, 15, 64), (2, 2), (1, 1), "same"),  # net_1's pool
        ((3, 13, 16, 33), (3, 2), (2, 2), "same"),
        ((1, 15, 9, 17), (2, 5), (3, 1), "valid"),
    ],
    ids=str,
)
def test_im2col_and_fused_agree_on_many_maps(case, kind, dtype):
    shape, window, strides, padding = case
    pads = ((0, 0), (0, 0))
    if padding == "same":
        pads = tuple(same_pads(n, k, s) for n, k, s in zip(shape[1:3], window, strides, strict=True))
    rng = np.random.default_rng(4)
    x = np.maximum(rng.standard_normal(shape), 0).astype(dtype)  # after a ReLU half of the cells tie at 0
    args = (window, strides, pads)
    out = forward("fused", kind)(x, *args)
    np.testing.assert_allclose(out, forward("im2col", kind)(x, *args), rtol=0, atol=4 * TOLERANCE[dtype])
    dout = rng.standard_normal(out.shape).astype(dtype)
    ours, theirs = (backward(name, kind)(dout, x, *args) for name in ("fused", "im2col"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=16 * TOLERANCE[dtype])


# Numbers of TensorFlow's tensorflow/python/kernel_tests/nn_ops/pooling_ops_test.py; every input holds 1, 2, 3, ...
VALID, ONE_AFTER = (0, 0), (0, 1)
VECTORS = {
    "average, valid": ("average", (1, 3, 3, 3), (2, 2), (2, 2), (VALID, VALID), [7, 8, 9]),
    "average, same that pads nothing": ("average", (1, 2, 4, 3), (2, 2), (2, 2), (VALID, VALID),
                                        [8.5, 9.5, 10.5, 14.5, 15.5, 16.5]),
    "average, window 1x2": ("average", (1, 2, 2, 1), (1, 2), (1, 1), (VALID, ONE_AFTER), [1.5, 2, 3.5, 4]),
    "average, window 2x1": ("average", (1, 2, 2, 1), (2, 1), (1, 1), (ONE_AFTER, VALID), [2, 3, 3, 4]),
    "average, batch of 2": ("average", (2, 2, 2, 2), (1, 2), (1, 1), (VALID, ONE_AFTER),
                            [2, 3, 3, 4, 6, 7, 7, 8, 10, 11, 11, 12, 14, 15, 15, 16]),
    "average, 3x3 stride 2": ("average", (1, 4, 4, 4), (3, 3), (2, 2), (ONE_AFTER, ONE_AFTER),
                              [21, 22, 23, 24, 27, 28, 29, 30, 45, 46, 47, 48, 51, 52, 53, 54]),
    "average, stride 1x2": ("average", (1, 3, 3, 3), (2, 2), (1, 2), (VALID, VALID), [7, 8, 9, 16, 17, 18]),
    "average, stride 2x1": ("average", (1, 3, 3, 3), (2, 2), (2, 1), (VALID, VALID), [7, 8, 9, 10, 11, 12]),
    "average, stride beyond window": ("average", (1, 7, 7, 1), (2, 2), (3, 3), (VALID, VALID), [5, 8, 26, 29]),
    "max, valid": ("max", (1, 3, 3, 3), (2, 2), (2, 2), (VALID, VALID), [13, 14, 15]),
    "max, same": ("max", (1, 2, 3, 3), (2, 2), (2, 2), (VALID, ONE_AFTER), [13, 14, 15, 16, 17, 18]),
    "max, window 1x2": ("max", (1, 2, 2, 1), (1, 2), (1, 1), (VALID, ONE_AFTER), [2, 2, 4, 4]),
    "max, stride 1x2": ("max", (1, 4, 4, 1), (2, 2), (1, 2), (VALID, VALID), [6, 8, 10, 12, 14, 16]),
    "max, stride 2x1": ("max", (1, 4, 4, 1), (2, 2), (2, 1), (VALID, VALID), [6, 7, 8, 14, 15, 16]),
    "max, stride beyond window": ("max", (1, 7, 7, 1), (2, 2), (3, 3), (VALID, VALID), [9, 12, 30, 33]),
    "max, stride beyond 1x1": ("max", (1, 4, 4, 1), (1, 1), (2, 2), (VALID, VALID), [1, 3, 9, 11]),
    "max, pads 1 2 2 1": ("max", (1, 6, 6, 1), (3, 3), (2, 2), ((1, 2), (2, 1)),
                          [7, 9, 11, 12, 19, 21, 23, 24, 31, 33, 35, 36, 31, 33, 35, 36]),
    "negated, max, pads 1 2 2 1": ("max", (1, 6, 6, 1), (3, 3), (2, 2), ((1, 2), (2, 1)),
                                   [-1, -1, -3, -5, -7, -7, -9, -11, -19, -19, -21, -23, -31, -31, -33, -35]),
    "negated, max, pads 2 1 2 1": ("max", (1, 3, 3, 1), (3, 3), (2, 2), ((2, 1), (2, 1)), [-1, -1, -1, -1]),
}  # fmt: skip


@each_implementation
@pytest.mark.parametrize("vector", VECTORS)
def test_forward_gives_tensorflows_published_numbers(name, vector):
    kind, shape, *args, expected = VECTORS[vector]
    x = np.arange(1.0, np.prod(shape) + 1).reshape(shape) * (-1 if vector.startswith("negated") else 1)
    np.testing.assert_allclose(forward(name, kind)(x, *args).ravel(), expected, rtol=1e-14)


@each_implementation
def test_first_maximum_in_row_major_order_takes_the_gradient(name):
    # TensorFlow's testMaxPoolingGradWithArgmax, of the same file: nearly every window is a tie.
    x = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1.0]).reshape(2, 3, 3, 1)
    dout = np.array([11, 12, 13, 14, 21, 22, 23, 24.0]).reshape(2, 2, 2, 1)
    dx = backward(name, "max")(dout, x, (2, 2), (1, 1), (VALID, VALID))
    np.testing.assert_array_equal(dx.ravel(), [11, 12, 0, 13, 0, 14, 0, 0, 0, 21, 0, 22, 0, 0, 0, 23, 0, 24])


@each_implementation
def test_overlapping_windows_add_their_gradients(name):
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 5  # the centre is the maximum of all four windows
    dout = np.array([0.5, -2, 8, 16.0]).reshape(1, 2, 2, 1)
    dx = backward(name, "max")(dout, x, (2, 2), (1, 1), (VALID, VALID))
    assert dx[0, 1, 1, 0] == 22.5
    assert np.count_nonzero(dx) == 1


@each_implementation
def test_padded_cells_never_win_a_window(name):
    x = np.array([[-3.0, -1], [-2, -4]]).reshape(1, 2, 2, 1)
    args = ((2, 2), (1, 1), (ONE_AFTER, ONE_AFTER))
    np.testing.assert_array_equal(forward(name, "max")(x, *args).ravel(), [-1, -1, -2, -4])
    np.testing.assert_array_equal(forward(name, "min")(-x, *args).ravel(), [1, 1, 2, 4])
    dout = np.array([1, 10, 100, 1000.0]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(backward(name, "max")(dout, x, *args).ravel(), [0, 11, 100, 1000])
    np.testing.assert_array_equal(backward(name, "min")(dout, -x, *args).ravel(), [0, 11, 100, 1000])


@each_implementation
def test_average_divides_by_the_real_cells_in_both_directions(name):
    x = np.array([[2.0, 4], [6, 12]]).reshape(1, 2, 2, 1)
    args = ((2, 2), (1, 1), (ONE_AFTER, ONE_AFTER))
    np.testing.assert_array_equal(forward(name, "average")(x, *args).ravel(), [6, 8, 9, 12])
    dout = np.array([4.0, 20, 200, 1000]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(backward(name, "average")(dout, x, *args).ravel(), [1, 11, 101, 1111])


@each_implementation
@given(case=cases())
def test_min_pool_is_minus_the_max_pool_of_minus_the_image(name, case):
    x, dout, *args = case
    np.testing.assert_array_equal(forward(name, "min")(x, *args), -forward(name, "max")(-x, *args))
    np.testing.assert_array_equal(backward(name, "min")(dout, x, *args), backward(name, "max")(dout, -x, *args))


@each_kind
@each_implementation
@given(case=cases())
def test_dx_of_pooling_has_the_same_sum_as_dout(name, kind, case):
    x, dout, *args = case
    dx = backward(name, kind)(dout, x, *args).astype(float)
    expected = dout.astype(float).sum(axis=(1, 2))
    np.testing.assert_allclose(dx.sum(axis=(1, 2)), expected, rtol=0, atol=36 * TOLERANCE[str(x.dtype)])


@each_kind
@each_implementation
def test_backward_writes_into_nothing_and_repeats_its_bits(name, kind):
    x, dout, *args = random_case(5, (2, 5, 6, 3), (3, 2), (1, 2), "same", ties=True, dtype="float32")
    kept_x, kept_dout, out = x.copy(), dout.copy(), forward(name, kind)(x, *args)
    kept_out = out.copy()
    first, second = backward(name, kind)(dout, x, *args), backward(name, kind)(dout, x, *args)
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)
    for now, then in ((x, kept_x), (dout, kept_dout), (out, kept_out)):
        np.testing.assert_array_equal(now, then)


@each_kind
@each_implementation
def test_a_one_by_one_window_gives_a_copy_and_not_the_array_itself(name, kind):
    x = np.random.default_rng(6).standard_normal((1, 3, 4, 2))
    args = ((1, 1), (1, 1), (VALID, VALID))
    out, dx = forward(name, kind)(x, *args), backward(name, kind)(x, x, *args)
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(dx, x)
    assert not np.shares_memory(out, x)
    assert not np.shares_memory(dx, x)


@each_kind
@each_implementation
@pytest.mark.parametrize("view", ["transposed", "stepped", "reversed"])
def test_views_give_what_their_copies_give(name, kind, view):
    def seen(a):
        return {"transposed": a.transpose(0, 2, 1, 3), "stepped": a[:, ::2, 1:, ::2], "reversed": a[::-1, ::-1]}[view]

    rng = np.random.default_rng(7)
    x = seen(rng.standard_normal((2, 6, 7, 4)))
    args = ((3, 2), (2, 1), ((1, 1), ONE_AFTER))
    out = forward(name, kind)(x, *args)
    np.testing.assert_array_equal(out, forward(name, kind)(x.copy(order="C"), *args))
    dout = rng.standard_normal((*out.shape[:3], 2 * out.shape[3]))[..., ::2]
    expected = backward(name, kind)(dout.copy(order="C"), x.copy(order="C"), *args)
    np.testing.assert_array_equal(backward(name, kind)(dout, x, *args), expected)


@each_kind
@each_implementation
def test_results_that_are_kept_never_change(name, kind):
    x, dout, *args = random_case(8, (2, 6, 6, 3), (2, 2), (1, 1), "same", dtype="float32")
    kept = forward(name, kind)(x, *args)[1:, ::2], backward(name, kind)(dout, x, *args)
    then = [a.copy() for a in kept]
    for scale in (2, 3, 4):
        forward(name, kind)(scale * x, *args)
        backward(name, kind)(scale * dout, x, *args)
    for now, before in zip(kept, then, strict=True):
        np.testing.assert_array_equal(now, before)


@each_kind
@pytest.mark.parametrize("name", ["loops", "im2col", pytest.param("fused", marks=pytest.mark.compiled)])
def test_layer_gives_what_its_pair_gives(name, kind):
    x, dout, *args = random_case(9, (2, 5, 7, 3), (3, 2), (2, 1), "same", dtype="float32")
    layer = LAYERS[kind]((3, 2), strides=(2, 1), padding="same", implementation=name).build((5, 7, 3))
    assert layer.output_shape == (3, 7, 3)
    np.testing.assert_array_equal(layer.forward(x), forward(name, kind)(x, *args))
    np.testing.assert_array_equal(layer.backward(dout), backward(name, kind)(dout, x, *args))
    assert layer.params == {}
    assert layer.count_params() == 0


@each_kind
def test_layer_without_strides_steps_by_its_window(kind):
    assert LAYERS[kind]((3, 2)).build((9, 9, 1)).output_shape == (3, 4, 1)
    assert LAYERS[kind](3).build((10, 9, 1)).output_shape == (3, 3, 1)
    assert LAYERS[kind]().build((9, 8, 1)).output_shape == (4, 4, 1)
    assert LAYERS[kind]((2, 2), strides=(1, 1), padding="same").build((28, 28, 64)).output_shape == (28, 28, 64)


@each_kind
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"pool_size": (0, 2)}, "pool_size"),
        ({"pool_size": (2, 2, 2)}, "pool_size"),
        ({"strides": (1, -1)}, "stride"),
        ({"padding": "zero"}, "same"),
        ({"implementation": "cuda"}, "fused"),
        ({"pool_size": (2, 7)}, "7"),
    ],
    ids=str,
)
def test_layer_refuses_what_cannot_be_built_and_says_what_can(kind, options, word):
    with pytest.raises(ValueError, match=word):
        LAYERS[kind](**options).build((5, 6, 3))


@each_kind
def test_layer_refuses_an_input_of_another_shape_and_names_both(kind):
    with pytest.raises(ValueError, match=r"5, 6, 3") as error:
        LAYERS[kind]().build((5, 6, 3)).forward(np.zeros((2, 5, 8, 3), "float32"))
    assert "8" in str(error.value)


@each_kind
@pytest.mark.parametrize("name", ["loops", "im2col", pytest.param("fused", marks=pytest.mark.compiled)])
@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (1, 2, 3, 3), (2, 2, 3, 2)], ids=str)
def test_backward_refuses_a_gradient_of_another_shape_than_the_output(kind, name, shape):
    layer = LAYERS[kind](implementation=name).build((5, 6, 3))
    layer.forward(np.zeros((2, 5, 6, 3), "float32"))
    with pytest.raises(ValueError, match="dout"):
        layer.backward(np.zeros(shape, "float32"))
