import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet.preprocessing import (
    add_channel_axis,
    normalize_images,
    one_hot,
    standardize,
    train_validation_split,
)


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=4, max_side=5)))
@settings(deadline=None)
def test_normalized_bytes_equal_the_studys_division_bit_for_bit(images):
    scaled = normalize_images(images)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, images.astype("float32") / 255)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float32, np.float64])
def test_pixels_of_another_type_but_the_same_range_are_scaled_equally(dtype):
    images = np.array([[0, 128, 255]])
    np.testing.assert_array_equal(normalize_images(images.astype(dtype)), images.astype(np.float32) / 255)


def test_images_scaled_already_are_not_scaled_again():
    with pytest.raises(ValueError, match=r"in \[0, 1\] already\. Use them as they are"):
        normalize_images(normalize_images(np.array([[0, 255]], np.uint8)))


def test_a_black_float_image_stays_black():
    assert not normalize_images(np.zeros((2, 3))).any()


@pytest.mark.parametrize("pixel", [-1.0, 256.0, np.nan, np.inf])
def test_a_pixel_outside_the_range_is_refused(pixel):
    with pytest.raises(ValueError, match=r"expected pixels in \[0, 255\]"):
        normalize_images(np.array([[7.0, pixel]]))


@pytest.mark.parametrize("images", [np.zeros((2, 2), bool), np.full((2, 2), "a"), np.zeros((2, 2), complex)])
def test_images_that_are_not_real_numbers_are_refused(images):
    with pytest.raises(TypeError, match="expected integers or floats"):
        normalize_images(images)


def test_a_row_of_pixels_is_not_an_image():
    with pytest.raises(ValueError, match="expected at least two axes"):
        normalize_images(np.zeros(784, np.uint8))


def test_normalizing_does_not_change_its_argument():
    images = np.array([[3.0, 255.0]])
    normalize_images(images)
    assert images.tolist() == [[3.0, 255.0]]


def test_only_grey_images_get_a_channel_axis():
    grey = np.arange(12).reshape(2, 3, 2)
    assert add_channel_axis(grey).shape == (2, 3, 2, 1)
    np.testing.assert_array_equal(add_channel_axis(grey)[..., 0], grey)
    assert add_channel_axis(np.zeros((2, 3, 2, 5))).shape == (2, 3, 2, 5)


@pytest.mark.parametrize(("shape", "hint"), [((28, 28), r"images\[None\]"), ((9,), "expected"), ((1,) * 5, "expected")])
def test_a_channel_axis_for_other_shapes_is_refused(shape, hint):
    with pytest.raises(ValueError, match=hint):
        add_channel_axis(np.zeros(shape))


@given(st.integers(1, 20).flatmap(lambda K: st.tuples(st.just(K), st.lists(st.integers(0, K - 1), max_size=20))))
def test_each_one_hot_row_has_a_single_one_at_its_label(case):
    K, labels = case
    encoded = one_hot(np.array(labels), K)
    assert encoded.shape == (len(labels), K)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded.sum(axis=1), 1)
    np.testing.assert_array_equal(encoded.argmax(axis=1), labels)
    assert set(np.unique(encoded)) <= {0.0, 1.0}


def test_labels_in_a_column_are_encoded_like_labels_in_a_row():
    np.testing.assert_array_equal(one_hot(np.array([[2], [0]], np.uint8), 3), one_hot(np.array([2, 0]), 3))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 10], "expected labels from 0 to 9 .*, got 10 at position 1. For labels up to 10 use number_classes=11"),
        ([3, 4, -1, 10], "expected labels from 0 to 9 for number_classes=10, got -1 at position 2. Number the classes from 0$"),
    ],
)
def test_a_label_out_of_range_is_named_with_its_position(labels, message):
    with pytest.raises(ValueError, match=message):
        one_hot(np.array(labels), 10)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [True, False], ["cat"]])
def test_labels_that_are_not_integers_are_refused(labels):
    with pytest.raises(TypeError, match="expected integers"):
        one_hot(np.array(labels), 10)


def test_labels_that_are_one_hot_already_are_refused():
    with pytest.raises(ValueError, match="one-hot already"):
        one_hot(np.eye(3, dtype=int), 3)


@pytest.mark.parametrize(("K", "error"), [(0, ValueError), (-3, ValueError), (10.0, TypeError), ("10", TypeError)])
def test_a_number_of_classes_that_is_not_a_positive_integer_is_refused(K, error):
    with pytest.raises(error, match="number_classes="):
        one_hot(np.array([0]), K)


@pytest.mark.parametrize("shape", [(150, 5, 4, 3), (150, 5, 4), (150, 3)])
def test_standardized_training_channels_have_zero_mean_and_unit_deviation(shape):
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    (standardized,) = standardize(x)
    assert standardized.dtype == np.float32
    assert standardized.shape == shape
    axes = (0, 1, 2) if len(shape) > 2 else 0  # in grey images all pixels are one channel
    np.testing.assert_allclose(standardized.mean(axis=axes, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(standardized.std(axis=axes, dtype=float), 1, atol=1e-6)


def test_other_splits_are_standardized_with_the_training_splits_mean_and_deviation():
    rng = np.random.default_rng(1)
    train, test = rng.normal(5, 3, (70, 4, 4, 2)), rng.normal(-2, 7, (9, 4, 4, 2))
    _, standardized = standardize(train, test)
    np.testing.assert_allclose(standardized, (test - train.mean(axis=(0, 1, 2))) / train.std(axis=(0, 1, 2)))


def test_a_channel_without_deviation_becomes_zero():
    x = np.stack([np.full((4, 2, 2), 7.0), np.arange(16.0).reshape(4, 2, 2)], axis=-1)
    (standardized,) = standardize(x)
    assert not standardized[..., 0].any()
    assert standardized[..., 1].std() == pytest.approx(1)


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, 1e300])
def test_a_constant_channel_becomes_zero_although_its_mean_is_rounded(value):
    train, test = standardize(np.full((7, 3, 3, 1), value), np.full((1, 3, 3, 1), value + 1))
    assert not train.any()
    assert (test == (value + 1) - value).all()


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([np.zeros((0, 3))], "expected at least one number"),
        ([np.zeros(3)], r"expected x_train of shape \(N, H, W, C\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "expected shapes that differ in N only"),
        ([np.array([[1.0], [np.nan]])], "expected finite values"),
    ],
)
def test_splits_that_cannot_be_standardized_are_refused(splits, message):
    with pytest.raises(ValueError, match=message):
        standardize(*splits)


def test_an_empty_split_beside_the_training_split_stays_empty():
    assert standardize(np.eye(3), np.zeros((0, 3)))[1].shape == (0, 3)


def test_standardizing_strings_is_refused():
    with pytest.raises(TypeError, match="expected integers or floats"):
        standardize(np.array([["a"]]))


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.booleans())
@settings(deadline=None)
def test_a_split_keeps_every_image_once_with_its_label(N, fraction, stratify):
    if not 0 < round(N * fraction) < N:
        with pytest.raises(ValueError, match="expected both parts to have images"):
            train_validation_split(np.arange(N), np.arange(N), fraction, stratify=stratify)
        return
    x = np.arange(N)
    (x_train, y_train), (x_val, y_val) = train_validation_split(x, x % 3, fraction, seed=N, stratify=stratify)
    assert sorted([*x_train, *x_val]) == x.tolist()
    np.testing.assert_array_equal(y_train, x_train % 3)
    np.testing.assert_array_equal(y_val, x_val % 3)
    if not stratify:
        assert len(x_val) == round(N * fraction)


def test_the_same_seed_gives_the_same_split_and_another_seed_does_not():
    x = np.arange(100)
    first, again, other = (train_validation_split(x, x, seed=seed)[1][0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("form", ["integers", "column", "one-hot"])
def test_a_stratified_split_takes_its_fraction_of_every_class(form):
    labels = np.repeat([0, 1, 2], [500, 50, 5])
    y = {"integers": labels, "column": labels[:, None], "one-hot": one_hot(labels, 3)}[form]
    (_, y_train), (_, y_val) = train_validation_split(np.arange(555), y, 0.2, seed=0, stratify=True)
    counts = (y_val if form == "one-hot" else one_hot(y_val, 3)).sum(axis=0)
    assert counts.tolist() == [100, 10, 1]
    assert len(y_train) == 444


def test_a_stratified_split_leaves_training_an_image_of_every_class():
    labels = np.array([0] * 30 + [1])
    for seed in range(5):
        (_, y_train), _ = train_validation_split(labels, labels, 0.9, seed=seed, stratify=True)
        assert set(y_train) == {0, 1}


def test_an_unstratified_split_of_sorted_labels_is_shuffled():
    labels = np.repeat(np.arange(10), 100)
    (_, y_train), (_, y_val) = train_validation_split(labels, labels, 0.3, seed=0)
    assert len(set(y_val[:50])) > 5
    assert len(set(y_train[:50])) > 5


@pytest.mark.parametrize(
    ("x", "y", "fraction", "message"),
    [
        (np.zeros(4), np.zeros(5), 0.5, "expected one label for each"),
        (np.zeros(4), np.zeros(4), 0, "between 0 and 1"),
        (np.zeros(4), np.zeros(4), 1.0, "between 0 and 1"),
        (np.zeros(4), np.zeros(4), float("nan"), "between 0 and 1"),
        (np.zeros(4), np.zeros(4), 0.01, "expected both parts to have images"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(x, y, fraction, message):
    with pytest.raises(ValueError, match=message):
        train_validation_split(x, y, fraction)
