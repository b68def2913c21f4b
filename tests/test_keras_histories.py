"""Training runs with weights, smoothed labels, regularizers, steps and metrics: every epoch has the values of Keras."""

import json
import os
import warnings

import numpy as np
import pytest
from keras_histories import CASES, RECORDED, run

import scratchnet

TOLERANCE = 1e-5


def largest_difference(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert {name: len(values) for name, values in ours.items()} == {name: len(values) for name, values in theirs.items()}
    return max(np.max(np.abs(np.subtract(ours[name], theirs[name])) / np.maximum(1e-3, np.abs(theirs[name]))) for name in ours)


@pytest.mark.parametrize("name", CASES)
def test_a_history_is_the_one_that_was_recorded_from_keras(name):
    recorded = json.loads(RECORDED.read_text())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "steps")
        assert largest_difference(run(scratchnet, CASES[name]), recorded[name]) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_history_is_that_of_keras(name):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed: the recorded histories are compared")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert largest_difference(run(scratchnet, CASES[name]), run(keras, CASES[name])) < TOLERANCE
