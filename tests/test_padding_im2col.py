"""Padding against its formula, and im2col with its adjoint col2im."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet.kernels.im2col import col2im, col2im_numpy, im2col, im2col_numpy
from scratchnet.padding import check_window, output_size, same_pads

SIZES = [(n, k, s) for n in range(1, 13) for k in range(1, 10) for s in range(1, 6)]


def patches_by_definition(x, window, strides, pads):
    """One row for each image and window position, one column for each cell of the window; zero outside the image."""
    (N, H, W, C), (KH, KW), (SH, SW) = x.shape, window, strides
    (top, bottom), (left, right) = pads
    rows = []
    for n in range(N):
        for i in range((H + top + bottom - KH) // SH + 1):
            for j in range((W + left + right - KW) // SW + 1):
                row = np.zeros((KH, KW, C), x.dtype)
                for p in range(KH):
                    for q in range(KW):
                        r, s = i * SH + p - top, j * SW + q - left
                        if 0 <= r < H and 0 <= s < W:
                            row[p, q] = x[n, r, s]
                rows.append(row.reshape(-1))
    return np.array(rows)


@st.composite
def windows(draw):
    """A random image size, window, strides and pads (any pads smaller than the window, not only `same` ones)."""
    KH, KW = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in (KH, KW))
    H, W = (draw(st.integers(max(1, k - a - b), 6)) for k, (a, b) in zip((KH, KW), pads, strict=True))
    shape = (draw(st.integers(1, 3)), H, W, draw(st.sampled_from([1, 2, 3, 5, 17])))
    return shape, (KH, KW), (draw(st.integers(1, 3)), draw(st.integers(1, 3))), pads, draw(st.integers(0, 2**32 - 1))


def test_same_padding_gives_one_output_for_every_stride_begun():
    for n, k, s in SIZES:
        assert output_size(n, k, s, same_pads(n, k, s)) == math.ceil(n / s), (n, k, s)


def test_same_padding_follows_its_formula_with_the_odd_cell_last():
    for n, k, s in SIZES:
        total = max(0, (math.ceil(n / s) - 1) * s + k - n)
        assert tuple(same_pads(n, k, s)) == (total // 2, total - total // 2), (n, k, s)


def test_same_padding_never_leaves_a_window_without_a_real_cell():
    for n, k, s in SIZES:
        before, _ = same_pads(n, k, s)
        for start in range(-before, math.ceil(n / s) * s - before, s):
            assert any(0 <= cell < n for cell in range(start, start + k)), (n, k, s, start)


@pytest.mark.parametrize(
    ("n", "k", "s", "pads"),
    [
        (28, 3, 1, (1, 1)),  # both nets' first convolution
        (28, 3, 2, (0, 1)),  # net_2's second convolution on MNIST ...
        (32, 3, 2, (0, 1)),  # ... and on CIFAR-10
        (27, 3, 2, (1, 1)),  # an odd size is symmetric again
        (28, 2, 1, (0, 1)),  # net_1's pool
        (7, 1, 3, (0, 0)),  # a stride wider than the kernel needs no padding
    ],
)
def test_same_padding_of_the_two_networks_is_the_published_one(n, k, s, pads):
    assert tuple(same_pads(n, k, s)) == pads


@pytest.mark.parametrize(
    ("n", "k", "s", "pads", "out"),
    [(7, 3, 1, (0, 0), 5), (7, 3, 2, (0, 0), 3), (8, 3, 2, (0, 0), 3), (3, 3, 5, (0, 0), 1), (5, 4, 2, (1, 2), 3)],
)
def test_output_size_counts_the_windows_that_fit(n, k, s, pads, out):
    assert output_size(n, k, s, pads) == out


def test_im2col_of_a_three_by_three_image_lists_its_four_patches():
    x = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    cols = im2col(x, (2, 2), (1, 1), ((0, 0), (0, 0)))
    np.testing.assert_array_equal(cols, [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]])


def test_col2im_adds_where_patches_overlap():
    cols = np.array([[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]], dtype=float)
    x = col2im(cols, (1, 3, 3, 1), (2, 2), (1, 1), ((0, 0), (0, 0)))
    np.testing.assert_array_equal(x[0, :, :, 0], [[1, 4, 3], [8, 20, 12], [7, 16, 9]])


@given(windows())
def test_im2col_rows_are_the_patches_of_the_padded_image(case):
    shape, window, strides, pads, seed = case
    x = np.random.default_rng(seed).standard_normal(shape)
    np.testing.assert_array_equal(im2col(x, window, strides, pads), patches_by_definition(x, window, strides, pads))


@given(windows(), st.sampled_from([np.float64, np.complex128]))
def test_im2col_and_col2im_are_adjoint(case, dtype):
    shape, window, strides, pads, seed = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    cols = im2col(x, window, strides, pads)
    c = rng.standard_normal(cols.shape).astype(dtype)
    if dtype is np.complex128:
        x, c = x + 1j * rng.standard_normal(x.shape), c + 1j * rng.standard_normal(c.shape)
        cols = im2col(x, window, strides, pads)
    # The bilinear product, without a conjugate: the complex-step checker relies on it.
    left, right = np.sum(cols * c), np.sum(x * col2im(c, x.shape, window, strides, pads))
    assert abs(left - right) <= 1e-12 * (1 + np.sum(np.abs(cols * c)))


@given(windows())
def test_col2im_of_im2col_counts_the_windows_that_see_each_cell(case):
    shape, window, strides, pads, seed = case
    x = np.random.default_rng(seed).standard_normal(shape)
    cell_numbers = np.arange(1, x.size + 1).reshape(shape)  # from 1, so that 0 is the padding
    seen = patches_by_definition(cell_numbers, window, strides, pads)
    counts = np.bincount(seen.ravel(), minlength=x.size + 1)[1:].reshape(shape)
    again = col2im(im2col(x, window, strides, pads), shape, window, strides, pads)
    np.testing.assert_allclose(again, counts * x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_im2col_and_col2im_keep_the_dtype(dtype):
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype(dtype)
    cols = im2col(x, (3, 2), (1, 2), ((1, 1), (0, 1)))
    assert cols.dtype == dtype
    assert col2im(cols, x.shape, (3, 2), (1, 2), ((1, 1), (0, 1))).dtype == dtype


@pytest.mark.parametrize("view", ["transposed", "stepped", "reversed"])
def test_im2col_of_a_view_equals_im2col_of_its_copy(view):
    x = np.random.default_rng(1).standard_normal((3, 7, 6, 4))
    x = {"transposed": x.transpose(0, 2, 1, 3), "stepped": x[::2, 1:, ::2, 1:3], "reversed": x[:, ::-1, :, ::-1]}[view]
    args = ((2, 3), (2, 1), ((0, 1), (1, 1)))
    cols = im2col(x, *args)
    np.testing.assert_array_equal(cols, im2col(np.ascontiguousarray(x), *args))
    wide = np.zeros((cols.shape[0], 2 * cols.shape[1]))
    wide[:, ::2] = cols
    np.testing.assert_array_equal(col2im(wide[:, ::2], x.shape, *args), col2im(cols, x.shape, *args))


def test_im2col_and_col2im_leave_their_arguments_alone_and_share_nothing():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 4, 4, 2))
    kept_x = x.copy()
    cols = im2col(x, (1, 1), (1, 1), ((0, 0), (0, 0)))  # 1×1 patches are the image itself: the tempting shortcut
    kept_cols = cols.copy()
    back = col2im(cols, x.shape, (1, 1), (1, 1), ((0, 0), (0, 0)))
    assert not np.shares_memory(cols, back)
    np.testing.assert_array_equal(x, kept_x)
    np.testing.assert_array_equal(cols, kept_cols)


def test_a_valid_window_may_be_as_large_as_the_image_and_no_larger():
    check_window((4, 5), "valid", (4, 5, 3))
    for larger in ((5, 5), (4, 6)):
        with pytest.raises(ValueError, match="expected a window that fits"):
            check_window(larger, "valid", (4, 5, 3))
        check_window(larger, "same", (4, 5, 3))


@given(windows(), st.sampled_from(["float32", "float64", "complex128"]))
def test_the_numpy_form_and_the_numba_form_are_equal_bit_for_bit(case, dtype):
    shape, window, strides, pads, seed = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    cols = im2col_numpy(x, window, strides, pads)
    np.testing.assert_array_equal(im2col(x, window, strides, pads), cols, strict=True)
    dcols = rng.standard_normal(cols.shape).astype(dtype)
    np.testing.assert_array_equal(
        col2im(dcols, shape, window, strides, pads), col2im_numpy(dcols, shape, window, strides, pads), strict=True
    )


@given(windows())
def test_the_numpy_form_of_col2im_is_the_transpose_of_its_im2col(case):
    shape, window, strides, pads, seed = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    cols = im2col_numpy(x, window, strides, pads)
    other = rng.standard_normal(cols.shape)
    back = col2im_numpy(other, shape, window, strides, pads)
    assert np.sum(cols * other) == pytest.approx(np.sum(x * back), rel=1e-10, abs=1e-10)
