"""The sources of the numbers of `scratchnet reproduce`: prepared images, answers, and the versions of the code."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import scratchnet
from scratchnet import datasets
from scratchnet.tools.reproduce import results, trial


@pytest.fixture
def noise(monkeypatch):
    """Load a set of 20 colour images, whose test images are darker, and return its images."""
    rng = np.random.default_rng(0)
    x, x_test = (rng.integers(0, high, (20, 4, 3, 3), dtype=np.uint8) for high in (256, 90))
    y = np.arange(20, dtype=np.uint8) % 2
    monkeypatch.setattr(datasets, "load", lambda name: datasets.Dataset(name, x, y, x_test, y, ("a", "b")))
    trial.images.cache_clear()
    yield x, x_test
    trial.images.cache_clear()


def test_images_are_prepared_as_the_experiment_says_with_statistics_of_the_training_images(noise):
    x, x_test = noise
    found = {kind: trial.images("noise", 10, kind) for kind in ("scale", "standardize")}
    for images in found.values():
        assert (len(images.x_train), len(images.y_train), len(images.x_test), len(images.y_test)) == (10, 10, 5, 5)
    np.testing.assert_array_equal(found["scale"].x_test, x_test[:5].astype("float32") / 255)
    mean, deviation = x[:10].mean(axis=(0, 1, 2)), x[:10].std(axis=(0, 1, 2))
    np.testing.assert_allclose(found["standardize"].x_train, (x[:10] - mean) / deviation, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["standardize"].x_test, (x_test[:5] - mean) / deviation, rtol=1e-4, atol=1e-6)


def test_the_most_confident_mistakes_come_first_and_right_and_wrong_have_their_own_confidence():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    found = results.answers(probabilities, np.array([0, 1, 0, 1]))  # right, wrong at 0.6, wrong at 0.8, right
    assert [mistake["index"] for mistake in found["mistakes"]] == [2, 1]
    assert found["confidence"] == pytest.approx({"right": 0.8, "wrong": 0.7})


@pytest.mark.parametrize("room", results.NUMBERS_COME_FROM)
def test_every_name_that_numbers_come_from_is_a_file_or_a_folder_of_files(room):
    assert results.files_of(Path(scratchnet.__file__).parent, room)


@pytest.mark.parametrize(
    "file",
    [
        *("kernels/gemm.py", "layers/dense.py", "losses.py", "optimizers.py", "initializers.py", "padding.py", "networks.py"),
        *("model.py", "training.py", "plan.py", "support/checking.py", "support/config.py", "saving.py", "preprocessing.py"),
        *("datasets/cifar.py", "tools/inputs.py", "tools/reproduce/trial.py", "tools/reproduce/experiments.py"),
    ],
)
def test_the_source_changes_with_every_file_that_numbers_come_from(file, tmp_path, monkeypatch):
    package = tmp_path / "scratchnet"
    shutil.copytree(Path(scratchnet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = results.versions()["source"]
    monkeypatch.setattr(scratchnet, "__file__", str(package / "__init__.py"))
    assert results.versions()["source"] == before
    assert (package / file).is_file()
    with open(package / file, "a", encoding="utf-8") as text:
        text.write("# other\n")
    assert results.versions()["source"] != before
