import numpy as np
import pytest

from scratchnet import datasets
from scratchnet.datasets import DataError, generated, glyphs, shapes
from scratchnet.preprocessing import normalize_images, one_hot

MODULES = {"glyphs": glyphs, "shapes": shapes}
SHAPES = {"glyphs": (28, 28), "shapes": (32, 32, 3)}
both = pytest.mark.parametrize("name", MODULES)


@pytest.fixture(scope="module")
def drawn():
    """A part of each set."""
    return {name: module.generate(3000, 600, seed=0) for name, module in MODULES.items()}


@pytest.fixture(scope="module")
def fields():
    return glyphs.digit_fields()


@pytest.fixture
def small(monkeypatch, fields):
    """Sets of few images, which are drawn quickly."""
    monkeypatch.setattr(generated, "TRAIN", 30)
    monkeypatch.setattr(generated, "TEST", 20)
    monkeypatch.setattr(glyphs, "digit_fields", lambda: fields)


def flat(images):
    return normalize_images(images).reshape(len(images), -1)


def linear_accuracy(splits, epochs):
    """Test accuracy of softmax regression on the pixels, by gradient descent with momentum."""
    (x, y), (x_test, y_test) = [(np.c_[flat(images), np.ones(len(images), np.float32)], y) for images, y in splits]
    weights = np.zeros((x.shape[1], 10), np.float32)
    speed = np.zeros_like(weights)
    targets = one_hot(y, 10)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(x)), len(x) // 100):
            scores = np.exp(x[batch] @ weights - (x[batch] @ weights).max(axis=1, keepdims=True))
            p = scores / scores.sum(axis=1, keepdims=True)
            speed = 0.9 * speed - 0.02 * x[batch].T @ (p - targets[batch]) / len(batch)
            weights += speed
    return ((x_test @ weights).argmax(axis=1) == y_test).mean()


@both
def test_images_are_bytes_of_the_announced_shape_in_equal_classes(drawn, name):
    for (images, labels), count in zip(drawn[name], (3000, 600), strict=True):
        assert images.shape == (count, *SHAPES[name])
        assert images.dtype == labels.dtype == np.uint8
        assert np.bincount(labels).tolist() == [count // 10] * 10
        assert images.max() > 200
        assert images.min() < 20


@both
def test_the_same_seed_draws_the_same_images_and_another_seed_does_not(small, name):
    generate = MODULES[name].generate
    first, again, other = generate(40, 10, seed=5), generate(40, 10, seed=5), generate(40, 10, seed=6)
    for split in (0, 1):
        np.testing.assert_array_equal(first[split][0], again[split][0])
        np.testing.assert_array_equal(first[split][1], again[split][1])
        assert not np.array_equal(first[split][0], other[split][0])


@both
def test_no_test_image_is_in_the_training_split(drawn, name):
    (x_train, _), (x_test, _) = drawn[name]
    images = {image.tobytes() for image in x_train}
    assert len(images) == len(x_train)
    assert not any(image.tobytes() in images for image in x_test)


@both
def test_the_test_split_does_not_depend_on_the_size_of_the_training_split(small, name):
    generate = MODULES[name].generate
    np.testing.assert_array_equal(generate(10, 10)[1][0], generate(20, 10)[1][0])


@both
def test_an_empty_split_is_refused(name):
    with pytest.raises(ValueError, match="expected at least one image in each split"):
        MODULES[name].generate(0, 5)


def test_digits_are_white_on_black(drawn):
    (images, _), _ = drawn["glyphs"]
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert border.mean() < 15 < 150 < images.max(axis=(1, 2)).min()


def test_every_typeface_draws_ten_different_digits(fields):
    inside = fields.reshape(len(glyphs.FACES), 10, -1) > 0
    for face, digits in zip(glyphs.FACES, inside, strict=True):
        differing = (digits[:, None] != digits).mean(axis=-1)
        assert (differing + np.eye(10)).min() > 0.01, face


def test_a_missing_typeface_is_an_error(monkeypatch):
    monkeypatch.setattr(glyphs, "FACES", ("NoSuchFace",))
    with pytest.raises(DataError, match=r"NoSuchFace\.ttf is missing"):
        glyphs.digit_fields()


def test_the_colour_does_not_reveal_the_shape(drawn):
    (images, labels), _ = drawn["shapes"]
    middle = images[:, 12:20, 12:20].mean(axis=(1, 2))
    means = np.array([middle[labels == k].mean(axis=0) for k in range(10)])
    assert np.abs(means - middle.mean(axis=0)).max() < 20  # the standard deviation between images is about 50


def test_a_linear_classifier_on_glyphs_is_far_better_than_chance_and_below_95_percent(drawn):
    assert 0.6 < linear_accuracy(drawn["glyphs"], epochs=12) < 0.95


def test_a_linear_classifier_learns_little_about_shapes(drawn):
    assert linear_accuracy(drawn["shapes"], epochs=4) < 0.5


@pytest.mark.slow
@pytest.mark.compiled
@both
def test_net_2_passes_98_percent_where_a_linear_classifier_stays_below_95(name):
    from scratchnet import net_2
    from scratchnet.preprocessing import add_channel_axis

    splits = MODULES[name].generate()
    assert linear_accuracy(splits, epochs=30) < 0.95
    (x_train, y_train), (x_test, y_test) = [
        (add_channel_axis(normalize_images(images)), one_hot(labels, 10)) for images, labels in splits
    ]
    model = net_2(x_train.shape[1:], 10, seed=0)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    for _ in range(8):
        model.fit(x_train, y_train, batch_size=128, verbose=0)
        accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1]
        if accuracy > 0.98:
            return
    pytest.fail(f"after 8 epochs net_2 has a test accuracy of {accuracy:.4f}")


@both
def test_a_set_is_drawn_once_and_then_read_from_the_cache(small, cache, monkeypatch, name):
    first = MODULES[name].load_data()
    assert [file.parent.name for file in cache.rglob("*.npz")] == [name]

    def draw_again():
        raise AssertionError("the set was drawn again")

    monkeypatch.setattr(MODULES[name].SET, "prepare", draw_again)
    again = MODULES[name].load_data()
    for split in (0, 1):
        np.testing.assert_array_equal(first[split][0], again[split][0])
        np.testing.assert_array_equal(first[split][1], again[split][1])
    dataset = datasets.load(name)
    assert dataset.class_names == MODULES[name].CLASS_NAMES
    assert (len(dataset.x_train), len(dataset.y_test)) == (30, 20)


def flip_a_pixel(file):
    content = dict(np.load(file))
    content["x_test"][0] ^= 1
    np.savez(file, **content)


def add_a_pickled_object(file):
    content = dict(np.load(file))
    np.savez(file, **{**content, "x_test": np.array([print, {}], dtype=object)})


DAMAGES = {
    "half of the file": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "an empty file": lambda file: file.write_bytes(b""),
    "another file": lambda file: file.write_text("a letter"),
    "a flipped byte": lambda file: file.write_bytes(file.read_bytes()[:900] + b"!!" + file.read_bytes()[902:]),
    "a changed pixel": flip_a_pixel,
    "a pickled object": add_a_pickled_object,
    "an array missing": lambda file: np.savez(file, x_train=np.zeros(3)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_set_is_refused_by_verify_and_drawn_again_by_load(small, cache, damage):
    first = glyphs.load_data()
    datasets.verify("glyphs")
    (file,) = cache.rglob("*.npz")
    damage(file)
    with pytest.raises(DataError, match=f"{file}: the file is damaged"):
        datasets.verify("glyphs")
    np.testing.assert_array_equal(glyphs.load_data()[1][0], first[1][0])
    assert datasets.verify("glyphs").note == "30 + 20 images of 28×28, 10 classes; checksums and structure are right"


def test_fetch_replaces_a_damaged_set(small, cache):
    assert datasets.fetch("glyphs").place == "cache"
    (file,) = cache.rglob("*.npz")
    file.write_bytes(b"")
    assert datasets.fetch("glyphs").size == file.stat().st_size > 0
    assert [row.place for row in datasets.status()] == ["cache", "", "", "", ""]


def test_a_cache_that_cannot_be_written_to_is_a_warning_and_the_set_is_still_drawn(small, cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="export SCRATCHNET_CACHE=FOLDER"):
        (x_train, _), _ = glyphs.load_data()
    assert len(x_train) == 30
    with pytest.raises(DataError, match="export SCRATCHNET_CACHE=FOLDER"):
        datasets.fetch("glyphs")
