"""Softmax cross-entropy against the exact formula, from moderate logits to ±10,000."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import Dense, Input, Model
from scratchnet.losses import (
    CategoricalCrossentropy,
    Loss,
    SparseCategoricalCrossentropy,
    get,
    log_softmax,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_losses,
)


def cross_entropy_by_definition(logits, labels):
    """Mean over the batch of log(sum exp(z)) - z[label], as log1p of what the other classes add to the largest."""
    losses = []
    for row, label in zip(np.asarray(logits, float).tolist(), labels, strict=True):
        top = max(range(len(row)), key=row.__getitem__)
        rest = math.fsum(math.exp(value - row[top]) for k, value in enumerate(row) if k != top)
        losses.append((row[top] - row[label]) + math.log1p(rest))
    return math.fsum(losses) / len(losses)


def probabilities_by_definition(logits):
    wide = np.asarray(logits, float)
    terms = np.exp(wide - wide.max(axis=1, keepdims=True))
    return terms / terms.sum(axis=1, keepdims=True)


def random_case(seed, N, K, scale, dtype):
    rng = np.random.default_rng(seed)
    logits = rng.uniform(-scale, scale, (N, K)).astype(dtype)
    labels = rng.integers(0, K, N)
    return logits, labels, np.eye(K, dtype=dtype)[labels]


cases = st.builds(
    random_case,
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 5, 17]),
    st.sampled_from([2, 3, 10, 17]),
    st.sampled_from([1, 30, 1e4]),
    st.sampled_from(["float32", "float64"]),
)


@given(cases)
def test_loss_is_within_a_millionth_of_the_exact_formula(case):
    logits, labels, y = case
    loss, _ = softmax_cross_entropy(logits, y)
    assert loss == pytest.approx(cross_entropy_by_definition(logits, labels), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("margin", [1, 4, 10, 16])
@pytest.mark.parametrize("offset", [-9984, 0, 9984])
def test_a_confident_row_keeps_its_small_loss(offset, margin, dtype):
    # log(1 + exp(-16)) rounds to 0 in float32 when the 1 is added before the logarithm.
    logits = np.array([[offset, offset - margin, offset - margin]], dtype)
    loss, _ = softmax_cross_entropy(logits, np.array([[1, 0, 0]], dtype))
    assert loss == pytest.approx(math.log1p(2 * math.exp(-margin)), rel=1e-6)


@given(cases)
def test_gradient_is_probability_minus_label_over_the_batch_size(case):
    logits, _, y = case
    _, dlogits = softmax_cross_entropy(logits, y)
    assert (dlogits.dtype, dlogits.shape) == (logits.dtype, logits.shape)
    expected = (probabilities_by_definition(logits) - y) / len(y)
    np.testing.assert_allclose(dlogits, expected, rtol=0, atol=2 * np.finfo(logits.dtype).eps)


@given(cases)
def test_gradient_rows_sum_to_zero(case):
    logits, _, y = case
    _, dlogits = softmax_cross_entropy(logits, y)
    assert np.abs(dlogits.astype(float).sum(axis=1)).max() <= 4 * logits.shape[1] * np.finfo(logits.dtype).eps


def test_loss_and_gradient_are_the_numbers_worked_out_by_hand():
    # Two rows: equal logits (p = 1/2), and ln 3 ahead (p = 3/4, 1/4) with the wrong label.
    loss, dlogits = softmax_cross_entropy(np.array([[5.0, 5], [math.log(3), 0]]), np.array([[1.0, 0], [0, 1]]))
    assert loss == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-14)
    np.testing.assert_allclose(dlogits, [[-0.25, 0.25], [0.375, -0.375]], rtol=1e-14)


def test_loss_is_a_mean_and_not_a_sum_over_the_batch():
    logits, _, y = random_case(1, 3, 4, 5, "float64")
    once, gradient = softmax_cross_entropy(logits, y)
    twice, gradient_twice = softmax_cross_entropy(np.tile(logits, (2, 1)), np.tile(y, (2, 1)))
    assert twice == pytest.approx(once, rel=1e-14)
    np.testing.assert_allclose(gradient_twice[:3], gradient / 2, rtol=1e-14)


@given(cases, st.integers(-(2**12), 2**12))
def test_the_loss_does_not_change_when_the_logits_are_shifted(case, shift):
    logits, _, y = case
    logits, y = np.round(logits.astype(float)), y.astype(float)
    loss, shifted = softmax_cross_entropy(logits, y)[0], softmax_cross_entropy(logits + shift, y)[0]
    assert shifted == pytest.approx(loss, rel=1e-11, abs=1e-11)


@given(cases)
def test_loss_follows_when_classes_and_samples_change_places(case):
    logits, _, y = case
    loss, dlogits = softmax_cross_entropy(logits, y)
    turned, dturned = softmax_cross_entropy(logits[::-1, ::-1], y[::-1, ::-1])
    assert turned == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(dturned[::-1, ::-1], dlogits, rtol=0, atol=4 * np.finfo(logits.dtype).eps)


@given(cases)
def test_integer_labels_give_what_their_one_hot_rows_give(case):
    logits, labels, y = case
    sparse, categorical = SparseCategoricalCrossentropy(from_logits=True), CategoricalCrossentropy(from_logits=True)
    expected = categorical(y, logits)
    assert expected == pytest.approx(softmax_cross_entropy(logits, y)[0], rel=1e-6)
    assert sparse(labels, logits) == pytest.approx(expected, rel=1e-6)
    assert sparse(labels[:, None].astype("uint8"), logits) == pytest.approx(expected, rel=1e-6)


def test_loss_of_probabilities_equals_the_loss_of_their_logits():
    logits, labels, y = random_case(2, 6, 5, 4, "float64")
    expected = cross_entropy_by_definition(logits, labels)
    assert CategoricalCrossentropy()(y, softmax(logits)) == pytest.approx(expected, rel=1e-12)
    assert SparseCategoricalCrossentropy()(labels, softmax(logits)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [CategoricalCrossentropy(), SparseCategoricalCrossentropy()])
def test_a_certain_mistake_costs_more_than_any_clipped_probability_would(loss):
    y_true = np.array([[0.0, 1.0]]) if isinstance(loss, CategoricalCrossentropy) else np.array([1])
    assert loss(y_true, np.array([[1 - 1e-12, 1e-12]])) == pytest.approx(-math.log(1e-12), rel=1e-6)


@pytest.mark.parametrize("from_logits", [True, False])
def test_lists_are_taken_for_the_arrays_that_they_make(from_logits):
    y_true, y_pred = [[0, 1], [1, 0]], [[0.25, 0.75], [0.5, 0.5]]
    loss = CategoricalCrossentropy(from_logits)
    assert loss(y_true, y_pred) == loss(np.array(y_true), np.array(y_pred)) > 0
    assert SparseCategoricalCrossentropy(from_logits)([1, 0], y_pred) == loss(y_true, y_pred)


def test_loss_is_a_plain_float_and_a_softmax_is_an_array_of_probabilities():
    logits, _, y = random_case(3, 2, 3, 2, "float32")
    assert isinstance(CategoricalCrossentropy(from_logits=True)(y, logits), float)
    np.testing.assert_allclose(softmax(logits), probabilities_by_definition(logits), rtol=1e-6)
    assert softmax(logits).dtype == np.float32


def test_loss_writes_into_neither_logits_nor_labels():
    logits, _, y = random_case(4, 5, 3, 10, "float32")
    kept_logits, kept_y = logits.copy(), y.copy()
    first, second = softmax_cross_entropy(logits, y), softmax_cross_entropy(logits, y)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.shares_memory(first[1], second[1])
    np.testing.assert_array_equal(logits, kept_logits)
    np.testing.assert_array_equal(y, kept_y)


@pytest.mark.parametrize(
    ("y_true", "word"),
    [(np.eye(3)[[0, 1]][:, :2], "3"), (np.eye(3), "2"), (np.array([0, 1]), "one_hot|Sparse|sparse")],
    ids=["too few classes", "too many rows", "integers"],
)
def test_labels_that_do_not_fit_the_logits_are_refused(y_true, word):
    with pytest.raises(ValueError, match=word):
        CategoricalCrossentropy(from_logits=True)(y_true, np.zeros((2, 3)))


@pytest.mark.parametrize("labels", [[0, 3], [-1, 2]])
def test_integer_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match=str(labels[1] if labels[1] == 3 else labels[0])):
        SparseCategoricalCrossentropy(from_logits=True)(np.array(labels), np.zeros((2, 3)))


# -- what a loss says of itself, and what it refuses -------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("kind", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_the_repr_of_a_loss_is_the_code_that_creates_it(kind, from_logits):
    loss = eval(repr(kind(from_logits=from_logits, label_smoothing=0.1)))
    assert type(loss) is kind
    assert loss.get_config() == {"from_logits": from_logits, "label_smoothing": 0.1}
    assert kind().from_logits is False


def test_a_loss_is_a_known_name_or_an_object_and_nothing_else():
    assert type(get("sparse_categorical_crossentropy")) is SparseCategoricalCrossentropy
    mine = CategoricalCrossentropy(from_logits=True)
    assert get(mine) is mine
    assert type(get(CategoricalCrossentropy)) is CategoricalCrossentropy      # as in Keras, a class is made an object
    for unknown in ("mse", Loss, np.mean, None, 3, []):
        with pytest.raises(ValueError, match=r"'categorical_crossentropy', 'sparse_categorical_crossentropy'"):
            get(unknown)


@pytest.mark.parametrize("y_pred", [[[1.5, -0.5]], [[-1e-9, 1.0]], [[0.5, 1 + 1e-9]], [[3.0, 2.0]]])
def test_logits_where_probabilities_belong_are_refused_with_the_argument_that_takes_them(y_pred):
    with pytest.raises(ValueError, match=r"CategoricalCrossentropy\(from_logits=True\)"):
        CategoricalCrossentropy()(np.array([[0.0, 1.0]]), np.array(y_pred))


def test_a_probability_of_zero_costs_nothing_for_another_class_and_infinity_for_the_true_one():
    loss = CategoricalCrossentropy()
    assert loss(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])) == 0
    assert loss(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == math.inf


@pytest.mark.parametrize("from_logits", [True, False])
def test_more_or_fewer_labels_than_predictions_are_refused_with_both_numbers(from_logits):
    for labels in (1, 3):
        with pytest.raises(ValueError, match=rf"{labels} labels and 2 predictions"):
            SparseCategoricalCrossentropy(from_logits)(np.zeros(labels, int), np.full((2, 4), 0.25))


@pytest.mark.parametrize(
    "rows",
    [[[0.5, 0.4]], [[1.5, -0.5]], [[1.0, 1.0]], [[0.0, 0.0]], [["a", "b"]], [[1 + 0j, 0]]],
    ids=["short", "negative", "two hot", "none hot", "text", "complex"],
)
def test_rows_that_are_no_distributions_are_refused(rows):
    with pytest.raises((TypeError, ValueError), match=r"one_hot|sum|numeric|type"):
        CategoricalCrossentropy(from_logits=True)(np.array(rows), np.zeros((1, 2)))


@pytest.mark.parametrize(
    "y", [[[True, False]], [[1, 0]], [[0.25, 0.75]], [[1 / 3, 2 / 3 + 5e-5]]], ids=["bool", "int", "soft", "rounded"]
)
def test_rows_that_are_distributions_are_taken(y):
    assert CategoricalCrossentropy(from_logits=True)(np.array(y), np.zeros((1, 2))) == pytest.approx(math.log(2), rel=1e-3)


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (np.eye(3)[[0, 1]], "argmax"),
        (np.zeros((2, 1, 1), int), r"\(N, 1\)"),
        (np.array([0.5, 1]), "whole"),
        (np.array(["0", "1"]), "whole"),
    ],
    ids=["one-hot", "three axes", "half", "text"],
)
def test_labels_that_are_no_whole_numbers_in_a_row_are_refused(labels, word):
    with pytest.raises(ValueError, match=word):
        SparseCategoricalCrossentropy(from_logits=True)(labels, np.zeros((2, 3)))


def test_whole_numbers_of_any_kind_are_labels_and_no_labels_are_none():
    loss = SparseCategoricalCrossentropy(from_logits=True)
    for labels in (np.array([0, 2], "uint8"), np.array([0.0, 2.0]), np.array([[0], [2]])):
        np.testing.assert_array_equal(loss.one_hot(labels, 3), [[1, 0, 0], [0, 0, 1]])
    assert loss.one_hot(np.zeros(0, int), 3).shape == (0, 3)


def test_the_error_for_a_custom_loss_without_labels_names_the_missing_method():
    class Mine(type(get("categorical_crossentropy")).__base__):
        pass

    with pytest.raises(NotImplementedError, match=r"Mine.*one_hot\(self, y, K\)"):
        Mine()(np.zeros((1, 2)), np.zeros((1, 2)))


def test_softmax_and_its_loss_go_along_the_last_axis_of_any_shape():
    logits = np.random.default_rng(5).standard_normal((2, 3, 4))
    flat = logits.reshape(6, 4)
    np.testing.assert_allclose(softmax(logits).reshape(6, 4), softmax(flat), rtol=1e-14)
    y = np.eye(4)[np.arange(6) % 4]
    losses = softmax_cross_entropy_losses(logits, y.reshape(2, 3, 4))
    np.testing.assert_allclose(losses.ravel(), softmax_cross_entropy_losses(flat, y), rtol=1e-14)


def test_a_loss_of_nan_is_nan_and_probabilities_are_normalized_as_keras_does():
    loss = CategoricalCrossentropy()
    assert math.isnan(loss(np.array([[0.0, 1.0]]), np.array([[0.5, math.nan]])))
    assert loss(np.array([[0.0, 1.0]]), np.array([[0.2, 0.4]])) == pytest.approx(-math.log(0.4 / 0.6))


# -- a loss alone ------------------------------------------------------------------------------------------------------

LOSSES = {"categorical": (CategoricalCrossentropy, np.eye(3)[[0, 2]]), "sparse": (SparseCategoricalCrossentropy, np.array([0, 2]))}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sums", [0.3, 0.999, 1.7, 2.5])
def test_rows_of_any_sum_are_divided_by_it_as_keras_does(name, sums):
    kind, y = LOSSES[name]
    p = np.array([[0.2, 0.3, 0.5], [0.1, 0.5, 0.4]])
    scaled = np.minimum(p * sums, 1)
    assert kind()(y, scaled) == pytest.approx(kind()(y, scaled / scaled.sum(axis=1, keepdims=True)))
    assert kind()(y, p) == pytest.approx(-(math.log(0.2) + math.log(0.4)) / 2)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(3,), (2,), (), (1, 2, 3), (2, 1, 3), (0, 3), (2, 0)], ids=str)
def test_predictions_that_are_not_one_row_for_each_label_are_refused(shape, name, from_logits):
    kind, y = LOSSES[name]
    for labels in (y, y[:1], y[0]):
        with pytest.raises(ValueError, match=r"y_pred"):
            kind(from_logits)(labels, np.full(shape, 1 / 3))


def test_one_sample_without_a_batch_axis_is_refused_with_the_fix():
    with pytest.raises(ValueError, match=r"y_pred\[np\.newaxis\]"):
        CategoricalCrossentropy()(np.eye(3), np.full(3, 1 / 3))


def test_a_row_of_zeros_is_no_distribution():
    with pytest.raises(ValueError, match=r"sum 0 in row 1"):
        CategoricalCrossentropy()(np.eye(2), np.array([[0.5, 0.5], [0.0, 0.0]]))


@pytest.mark.parametrize("y_pred", [[["a", "b"]], [[None, 1]], [[1 + 1j, 0]], [[-0.1, 1.0]], [[np.inf, 0.0]]], ids=str)
def test_predictions_that_are_no_probabilities_are_refused_in_one_sentence(y_pred):
    with pytest.raises(ValueError, match=r"^CategoricalCrossentropy: expected "):
        CategoricalCrossentropy()(np.array([[0.0, 1.0]]), np.array(y_pred))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int64", "bool"])
def test_the_dtype_of_one_hot_labels_does_not_change_the_loss_or_its_gradient(dtype):
    logits, labels, y = random_case(5, 4, 3, 5, "float32")
    loss, dlogits = softmax_cross_entropy(logits, y)
    again, dagain = softmax_cross_entropy(logits, y.astype(dtype))
    assert again == loss
    assert dagain.dtype == np.float32
    np.testing.assert_allclose(dagain, dlogits, atol=1e-7)
    assert CategoricalCrossentropy(True)(y.astype(dtype), logits) == loss
    if dtype != "bool":
        assert SparseCategoricalCrossentropy(True)(labels.astype(dtype), logits) == loss


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool"])
def test_logits_of_whole_numbers_are_those_numbers(dtype):
    logits, y = np.array([[1, 0, 1], [0, 1, 0]], dtype), np.eye(3)[[1, 1]]
    for function in (softmax, log_softmax):
        np.testing.assert_array_equal(function(logits), function(logits.astype(float)))
    loss, dlogits = softmax_cross_entropy(logits, y)
    expected, dexpected = softmax_cross_entropy(logits.astype(float), y)
    assert loss == expected
    np.testing.assert_array_equal(dlogits, dexpected)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1), (2,), (3, 3)])
def test_labels_that_numpy_would_broadcast_over_the_logits_are_refused_with_both_shapes(shape):
    y = np.full(shape, 1 / 3)
    for function in (softmax_cross_entropy, softmax_cross_entropy_losses):
        with pytest.raises(ValueError, match=r"\(2, 3\)"):
            function(np.zeros((2, 3)), y)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3), (0, 3)])
def test_the_mean_loss_is_one_of_rows(shape):
    with pytest.raises(ValueError, match=r"shape \(N, K\)"):
        softmax_cross_entropy(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize("labels", [[[np.nan, 1.0]], [[np.inf, 1.0]], [[2.0, -1.0]], [[1.0, 1.0]], [["0", "1"]]], ids=str)
def test_rows_that_are_no_labels_are_refused(labels):
    with pytest.raises(ValueError, match="one_hot"):
        CategoricalCrossentropy(True).one_hot(labels, 2)
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        SparseCategoricalCrossentropy(True).one_hot([row[0] + 0.5 if row[0] in (1.0, 2.0) else row[0] for row in labels], 2)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("kind", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_a_single_class_trains_and_is_measured_with_a_warning(kind, from_logits):
    y = np.ones((4, 1)) if kind is CategoricalCrossentropy else np.zeros(4, int)
    with pytest.warns(UserWarning, match=r"at least 2 classes, got 1.*Dense\(2\)"):
        assert kind(from_logits)(y, np.ones((4, 1))) == 0
    x = Input(shape=(3,))
    model = Model(x, Dense(1, activation=None if from_logits else "softmax")(x), seed=0)
    model.compile("sgd", kind(from_logits), metrics=["accuracy"])
    images = np.ones((4, 3), "float32")
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.warns(UserWarning, match="at least 2 classes, got 1"):
            call(images, y, **({"verbose": 0} if call in (model.fit, model.evaluate) else {}))
