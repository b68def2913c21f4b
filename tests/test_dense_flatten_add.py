"""Dense against its definition in every implementation; Flatten and Add, which only move numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratchnet.kernels.dense
import scratchnet.layers.dense
import scratchnet.reference
from scratchnet import Add, Dense, Flatten

IMPLEMENTATIONS = {
    "loops": scratchnet.reference,
    "im2col": scratchnet.layers.dense,
    "fused": scratchnet.kernels.dense,
}
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
fused = pytest.param("fused", marks=pytest.mark.compiled)
each_implementation = pytest.mark.parametrize("name", ["loops", "im2col", fused])


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * (1 + np.abs(expected).max()))


def dense_by_definition(x, w, b):
    """out[n, f] = b[f] + sum over d of x[n, d] · w[d, f]."""
    out = np.zeros((len(x), w.shape[1]))
    for n, f in np.ndindex(*out.shape):
        out[n, f] = b[f] + sum(float(x[n, d]) * float(w[d, f]) for d in range(len(w)))
    return out


def dense_gradients_by_definition(dout, x, w):
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])
    for n, d, f in np.ndindex(*x.shape, w.shape[1]):
        dx[n, d] += float(dout[n, f]) * float(w[d, f])
        dw[d, f] += float(dout[n, f]) * float(x[n, d])
    for n, f in np.ndindex(*dout.shape):
        db[f] += float(dout[n, f])
    return dx, dw, db


def random_case(seed, N, D, F, dtype="float64"):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in ((N, D), (D, F), (F,), (N, F)))


cases = st.builds(
    random_case,
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 7]),
    st.sampled_from([1, 2, 3, 5, 17, 33]),
    st.sampled_from([1, 2, 3, 5, 10, 17]),
    st.sampled_from(["float32", "float64"]),
)


@each_implementation
@given(case=cases)
def test_dense_forward_equals_the_definition(name, case):
    x, w, b, _ = case
    out = IMPLEMENTATIONS[name].dense_forward(x, w, b)
    assert out.dtype == x.dtype
    assert_close(out, dense_by_definition(x, w, b), TOLERANCE[str(x.dtype)])


@each_implementation
@given(case=cases)
def test_dense_backward_equals_the_definition(name, case):
    x, w, _, dout = case
    gradients = IMPLEMENTATIONS[name].dense_backward(dout, x, w)
    for gradient, expected in zip(gradients, dense_gradients_by_definition(dout, x, w), strict=True):
        assert gradient.dtype == x.dtype
        assert_close(gradient, expected, TOLERANCE[str(x.dtype)])


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(128, 300, 128), (128, 128, 10), (37, 1001, 65), (1, 517, 129)], ids=str)
def test_im2col_and_fused_agree_at_sizes_that_fill_whole_tiles(sizes, dtype):
    x, w, b, dout = random_case(1, *sizes, dtype)
    im2col, fused = IMPLEMENTATIONS["im2col"], IMPLEMENTATIONS["fused"]
    assert_close(fused.dense_forward(x, w, b), im2col.dense_forward(x, w, b), TOLERANCE[dtype])
    for ours, theirs in zip(fused.dense_backward(dout, x, w), im2col.dense_backward(dout, x, w), strict=True):
        assert_close(ours, theirs, TOLERANCE[dtype])


@each_implementation
def test_dense_gives_the_numbers_worked_out_by_hand(name):
    x, w, b = np.array([[1.0, 2, 3]]), np.array([[1.0, -1], [2, 0], [0, 4]]), np.array([0.5, -0.5])
    ops = IMPLEMENTATIONS[name]
    np.testing.assert_array_equal(ops.dense_forward(x, w, b), [[5.5, 10.5]])
    np.testing.assert_array_equal(ops.dense_forward(x, w, None), [[5, 11]])
    dx, dw, db = ops.dense_backward(np.array([[2.0, -3]]), x, w)
    np.testing.assert_array_equal(dx, [[5, 4, -12]])
    np.testing.assert_array_equal(dw, [[2, -3], [4, -6], [6, -9]])
    np.testing.assert_array_equal(db, [2, -3])


@each_implementation
def test_dense_bias_gradient_is_a_sum_over_the_batch_and_not_a_mean(name):
    x, w, _, dout = random_case(2, 3, 2, 2)
    _, dw, db = IMPLEMENTATIONS[name].dense_backward(dout, x, w)
    _, dw_twice, db_twice = IMPLEMENTATIONS[name].dense_backward(np.tile(dout, (2, 1)), np.tile(x, (2, 1)), w)
    np.testing.assert_allclose(db_twice, 2 * db, rtol=1e-13)
    np.testing.assert_allclose(dw_twice, 2 * dw, rtol=1e-13)


@each_implementation
@given(case=cases)
def test_dense_backward_is_the_adjoint_of_forward(name, case):
    x, w, _, dout = (a.astype(float) for a in case)
    out = IMPLEMENTATIONS[name].dense_forward(x, w, None)
    dx, dw, _ = IMPLEMENTATIONS[name].dense_backward(dout, x, w)
    size = 1 + np.sum(np.abs(x) @ np.abs(w))
    assert abs(np.sum(out * dout) - np.sum(x * dx)) <= 1e-12 * size
    assert abs(np.sum(out * dout) - np.sum(w * dw)) <= 1e-12 * size


@each_implementation
def test_dense_backward_writes_into_nothing_and_repeats_its_bits(name):
    x, w, b, dout = random_case(3, 4, 7, 5, "float32")
    kept = [a.copy() for a in (x, w, b, dout)]
    ops = IMPLEMENTATIONS[name]
    first, second = ops.dense_backward(dout, x, w), ops.dense_backward(dout, x, w)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert not np.shares_memory(one, other)
    for now, then in zip((x, w, b, dout), kept, strict=True):
        np.testing.assert_array_equal(now, then)


@each_implementation
def test_dense_without_need_dx_leaves_only_dx_out(name):
    x, w, _, dout = random_case(4, 3, 5, 2)
    full = IMPLEMENTATIONS[name].dense_backward(dout, x, w)
    dx, dw, db = IMPLEMENTATIONS[name].dense_backward(dout, x, w, need_dx=False)
    assert dx is None
    np.testing.assert_array_equal(dw, full[1])
    np.testing.assert_array_equal(db, full[2])


@each_implementation
def test_dense_takes_views(name):
    rng = np.random.default_rng(5)
    x, w, dout = rng.standard_normal((6, 4)).T, rng.standard_normal((12, 10))[::-2, ::2], rng.standard_normal((4, 10))
    dout = dout[:, ::-2]
    ops = IMPLEMENTATIONS[name]
    plain = [a.copy(order="C") for a in (dout, x, w)]
    assert_close(ops.dense_forward(x, w, None), ops.dense_forward(plain[1], plain[2], None), 1e-14)
    for actual, expected in zip(ops.dense_backward(dout, x, w), ops.dense_backward(*plain), strict=True):
        assert_close(actual, expected, 1e-14)


@pytest.mark.compiled
def test_a_read_only_gradient_of_one_row_does_not_compile_a_kernel_again():
    x, w, _, dout = random_case(3, 1, 8, 3)
    expected = scratchnet.kernels.dense.dense_backward(dout, x, w)
    before = scratchnet.kernels.dense._backward.signatures
    dout.flags.writeable = False
    for value, right in zip(scratchnet.kernels.dense.dense_backward(dout, x, w), expected, strict=True):
        np.testing.assert_array_equal(value, right)
    assert scratchnet.kernels.dense._backward.signatures == before


@each_implementation
def test_dense_results_that_are_kept_never_change(name):
    x, w, b, dout = random_case(6, 5, 9, 4, "float32")
    ops = IMPLEMENTATIONS[name]
    kept = ops.dense_forward(x, w, b)[1:], *ops.dense_backward(dout, x, w)
    then = [a.copy() for a in kept]
    for scale in (2, 3, 4):
        ops.dense_forward(scale * x, w, b)
        ops.dense_backward(scale * dout, x, w)
    for now, before in zip(kept, then, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_implementation
def test_dense_layer_holds_parameters_and_gradients_of_its_shape_and_dtype(name, dtype):
    layer = Dense(5, implementation=name).build((7,), np.random.default_rng(0), dtype)
    assert (layer.output_shape, layer.count_params()) == ((5,), 40)
    x, _, _, dout = random_case(7, 3, 7, 5, dtype)
    assert_close(layer.forward(x), dense_by_definition(x, *layer.get_weights()), TOLERANCE[dtype])
    first = layer.backward(dout)
    gradients = {key: gradient.copy() for key, gradient in layer.grads.items()}
    np.testing.assert_array_equal(layer.backward(dout), first)
    for key, expected in gradients.items():
        np.testing.assert_array_equal(layer.grads[key], expected)  # overwritten, not added up
        assert (layer.grads[key].shape, layer.grads[key].dtype) == (layer.params[key].shape, dtype)


def test_dense_layer_without_bias_has_one_parameter():
    layer = Dense(3, use_bias=False).build((4,), dtype="float64")
    x = np.random.default_rng(8).standard_normal((2, 4))
    assert_close(layer.forward(x), dense_by_definition(x, layer.params["kernel"], np.zeros(3)), 1e-12)
    layer.backward(x[:, :3])
    assert list(layer.params) == list(layer.grads) == ["kernel"]


def test_dense_weights_are_glorot_uniform_and_biases_zero():
    kernel, bias = Dense(60).build((90,), np.random.default_rng(9)).get_weights()
    limit = np.sqrt(6 / (90 + 60))
    assert 0.97 * limit < np.abs(kernel).max() <= limit
    assert abs(kernel.std() - limit / np.sqrt(3)) < 0.03 * limit
    assert not bias.any()


def test_an_empty_batch_is_flattened_too():
    assert Flatten().build((2, 3, 1)).forward(np.zeros((0, 2, 3, 1), "float32")).shape == (0, 6)


def test_dense_refuses_images_and_says_to_flatten_them():
    with pytest.raises(ValueError, match="Flatten"):
        Dense(3).build((4, 4, 1))


def test_dense_refuses_an_input_of_another_width_and_names_both():
    with pytest.raises(ValueError, match="7") as error:
        Dense(3).build((7,)).forward(np.zeros((2, 8), "float32"))
    assert "8" in str(error.value)


@pytest.mark.parametrize("units", [0, -1, 2.5])
def test_dense_refuses_units_that_are_not_a_positive_whole_number(units):
    with pytest.raises((TypeError, ValueError), match="units"):
        Dense(units).build((3,))


@each_implementation
@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (2, 4)], ids=str)
def test_dense_backward_refuses_a_gradient_of_another_shape_than_the_output(name, shape):
    layer = Dense(5, implementation=name).build((7,))
    layer.forward(np.zeros((2, 7), "float32"))
    with pytest.raises(ValueError, match="dout"):
        layer.backward(np.zeros(shape, "float32"))


@each_implementation
def test_dense_backward_refuses_a_gradient_of_another_dtype(name):
    layer = Dense(5, implementation=name).build((7,))
    layer.forward(np.zeros((2, 7), "float32"))
    with pytest.raises((TypeError, ValueError), match=r"(?s)(?=.*float32)(?=.*float64)"):
        layer.backward(np.zeros((2, 5), "float64"))


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 3, 17])),
    view=st.booleans(),
)
def test_flatten_reads_an_image_row_by_row_and_backward_restores_it(shape, view):
    x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    layer = Flatten().build(shape[1:])
    if view:
        x = x.transpose(0, 2, 1, 3)
        layer = Flatten().build(x.shape[1:])
    assert layer.output_shape == (int(np.prod(shape[1:])),)
    out = layer.forward(x)
    for n, i, j, c in np.ndindex(*x.shape):
        assert out[n, (i * x.shape[2] + j) * x.shape[3] + c] == x[n, i, j, c]
    np.testing.assert_array_equal(layer.backward(out), x)
    assert layer.params == {}


def test_add_sums_in_forward_and_passes_the_gradient_to_both_inputs():
    rng = np.random.default_rng(10)
    a, b, dout = (rng.standard_normal((2, 3, 4, 2)) for _ in range(3))
    kept = a.copy(), b.copy(), dout.copy()
    layer = Add().build([(3, 4, 2), (3, 4, 2)], dtype="float64")
    np.testing.assert_array_equal(layer.forward(a, b), a + b)
    da, db = layer.backward(dout)
    np.testing.assert_array_equal(da, dout)
    np.testing.assert_array_equal(db, dout)
    for now, then in zip((a, b, dout), kept, strict=True):
        np.testing.assert_array_equal(now, then)
