"""Counts of a net's answers, against the plain loops of their definitions."""

import numpy as np
import pytest

from scratchnet.metrics import confident_mistakes, confusion_matrix


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_a_confusion_matrix_counts_rows_as_truth_and_columns_as_answers(rng):
    y_true, y_pred = rng.integers(0, 4, 100), rng.integers(0, 4, 100)
    counts = confusion_matrix(y_true, y_pred, 5)
    assert counts.shape == (5, 5)
    for i in range(5):
        for j in range(5):
            assert counts[i, j] == sum(a == i and b == j for a, b in zip(y_true, y_pred, strict=True))


def test_a_confusion_matrix_of_many_classes_does_not_overflow_bytes():
    y = np.arange(200, dtype=np.uint8)[:, None]
    np.testing.assert_array_equal(confusion_matrix(y, y, 200), np.eye(200))


@pytest.mark.parametrize(
    ("y_true", "y_pred", "reason"),
    [
        ([0, 1], [0], "got 1 predictions for 2 labels"),
        ([], [], "at least one, got 0"),
        ([0, 3], [0, 1], r"expected classes 0\.\.2 in y_true, got 3"),
        ([0, 1], [0, -1], r"expected classes 0\.\.2 in y_pred, got -1"),
    ],
)
def test_a_confusion_matrix_of_wrong_labels_is_refused(y_true, y_pred, reason):
    with pytest.raises(ValueError, match=reason):
        confusion_matrix(y_true, y_pred, 3)


def test_the_confident_mistakes_are_the_wrong_answers_by_falling_probability(rng):
    p = rng.dirichlet(np.ones(3), 50)
    y_true = rng.integers(0, 3, 50)
    found = confident_mistakes(y_true, p)
    wrong = [i for i in range(50) if np.argmax(p[i]) != y_true[i]]
    assert sorted(found) == wrong
    assert (np.diff(p[found].max(axis=1)) <= 0).all()


def test_equally_sure_mistakes_keep_the_order_of_the_images():
    assert confident_mistakes([0] * 4, np.eye(3)[[1, 2, 0, 1]]).tolist() == [0, 1, 3]


def test_without_a_mistake_the_list_is_empty():
    assert len(confident_mistakes([0, 1], np.eye(3)[:2])) == 0
