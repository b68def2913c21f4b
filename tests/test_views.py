"""Test-time augmentation: predict and evaluate average the logits over several views of each image."""

import re

import numpy as np
import pytest

from scratchnet import Activation, Conv2D, Dense, Flatten, Input, Model
from scratchnet.losses import CategoricalCrossentropy
from scratchnet.training import views

K = 3
X = np.random.default_rng(0).standard_normal((7, 5, 4, 2))
Y = np.eye(K)[[0, 1, 2, 0, 1, 2, 0]]


def model_of(softmax=True, dtype="float64"):
    image = Input((5, 4, 2))
    x = Conv2D(3, (3, 2), activation="relu")(image)
    logits = Dense(K)(Flatten()(x))
    return Model(image, Activation("softmax")(logits) if softmax else logits, seed=1, dtype=dtype)


def moved(image, down, right):
    """Move an image by at most one pixel; what is outside is its reflection, without the edge itself."""
    H, W, _ = image.shape
    out = np.empty_like(image)
    for h in range(H):
        for w in range(W):
            row, col = h - down, w - right
            row = 1 if row == -1 else H - 2 if row == H else row
            col = 1 if col == -1 else W - 2 if col == W else col
            out[h, w] = image[row, col]
    return out


def mirrored(image):
    return np.array([[row[len(row) - 1 - w] for w in range(len(row))] for row in image])


VIEWS = {
    "flip": [(1 / 2, lambda image: image), (1 / 2, mirrored)],
    "translate": [
        (1 / 2, lambda image: image),
        (1 / 4, lambda image: moved(image, 1, 1)),
        (1 / 4, lambda image: moved(image, -1, -1)),
    ],
}
VIEWS["flip_translate"] = [
    (weight / 2, lambda image, view=view, mirror=mirror: mirror(view(image)))
    for weight, view in VIEWS["translate"]
    for mirror in (mirrored, lambda image: image)
]


def expected(augment):
    """Compute the mean logits with one plain prediction for each view of each image."""
    plain = model_of(softmax=False)
    return np.array([sum(weight * plain.predict(view(image)[None])[0] for weight, view in VIEWS[augment]) for image in X])


@pytest.mark.parametrize("augment", VIEWS)
@pytest.mark.parametrize("batch_size", [1, 3, 7, 32])
def test_predictions_are_the_softmax_of_the_weighted_mean_of_the_logits(augment, batch_size):
    logits = expected(augment)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model_of().predict(X, batch_size, augment=augment), p, rtol=1e-12)
    np.testing.assert_allclose(model_of(softmax=False).predict(X, batch_size, augment=augment), logits, rtol=1e-12)
    assert not np.allclose(p, model_of().predict(X), atol=1e-3)


@pytest.mark.parametrize("augment", VIEWS)
def test_evaluate_averages_the_same_logits(augment):
    logits = expected(augment)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    model = model_of()
    model.compile(loss=CategoricalCrossentropy(label_smoothing=0.2), metrics=["accuracy"])
    loss, accuracy = model.evaluate(X, Y, 3, augment=augment)
    assert loss == pytest.approx(-np.mean(((0.8 * Y + 0.2 / K) * log_p).sum(axis=1)), rel=1e-12)
    assert accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == Y.argmax(axis=1)))


def test_probabilities_still_have_the_sum_1_in_float32():
    p = model_of(dtype="float32").predict(X.astype("float32"), augment="flip_translate")
    assert (p.dtype, p.shape) == (np.float32, (7, K))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def test_with_flip_an_image_and_its_mirror_image_have_the_same_prediction():
    model = model_of()
    np.testing.assert_allclose(model.predict(X[:, :, ::-1], augment="flip"), model.predict(X, augment="flip"), rtol=1e-12)
    assert not np.allclose(model.predict(X[:, :, ::-1]), model.predict(X), atol=1e-3)


def test_no_view_changes_the_images_and_none_is_the_plain_prediction():
    model, x = model_of(), X.copy()
    x.flags.writeable = False
    model.predict(x, augment="flip_translate")
    assert model.predict(x, augment=None).tobytes() == model.predict(X).tobytes()


def test_one_column_and_one_row_are_their_own_reflection():
    x = np.arange(3.0).reshape(1, 3, 1, 1)
    assert [view.ravel().tolist() for _, view in views(x, "translate")] == [[0, 1, 2], [1, 2, 1], [1, 0, 1]]


def test_steps_and_views_work_together():
    model = model_of()
    np.testing.assert_array_equal(model.predict(X, 2, steps=2, augment="flip"), model.predict(X[:4], 2, augment="flip"))


@pytest.mark.parametrize("wrong", ["mirror", "", True, ["flip"], 0])
def test_an_unknown_augment_is_refused_with_the_known_ones(wrong):
    with pytest.raises(ValueError, match=r"^augment: expected one of 'flip', 'translate', 'flip_translate', got "):
        model_of().predict(X, augment=wrong)


def test_a_model_of_rows_has_no_views():
    row = Input((6,))
    model = Model(row, Dense(3, activation="softmax")(row), seed=0)
    model.compile()
    sentence = "augment: expected a model that computes (K,) from images (H, W, C), got one that computes (3,) from (6,). Leave out"
    sentence = re.escape(sentence)
    with pytest.raises(ValueError, match=sentence):
        model.predict(np.zeros((2, 6), "float32"), augment="flip")
    with pytest.raises(ValueError, match=sentence):
        model.evaluate(np.zeros((2, 6), "float32"), np.eye(3)[:2], augment="flip")


def test_a_model_whose_output_is_an_image_has_no_views():
    image = Input((5, 4, 2))
    model = Model(image, Conv2D(2, 3, padding="same")(image), seed=0)
    with pytest.raises(ValueError, match=r"^augment: expected a model that computes \(K,\) from images"):
        model.predict(X.astype("float32"), augment="flip")
