"""Initializers: the distributions of the initial weights, and what is refused."""

from functools import partial

import numpy as np
import pytest

from scratchnet import Dense
from scratchnet.initializers import config_name, fans, glorot_uniform, he_uniform, initialize, ones, zeros

SHAPE = (3, 5, 4, 16)
LAWS = {"glorot_uniform": (glorot_uniform, 6 / (60 + 240)), "he_uniform": (he_uniform, 6 / 60)}


def test_fans_count_what_goes_into_an_output_and_what_an_input_goes_into():
    assert fans(SHAPE) == (3 * 5 * 4, 3 * 5 * 16)
    assert fans((7, 2)) == (7, 2)


@pytest.mark.parametrize("name", LAWS)
def test_weights_fill_the_published_interval_evenly_and_to_its_ends(name):
    draw, square = LAWS[name]
    w, limit = draw(SHAPE, np.random.default_rng(0)), np.sqrt(square)
    assert (w.shape, w.dtype) == (SHAPE, "float64")
    assert -limit <= w.min() < -0.98 * limit
    assert 0.98 * limit < w.max() <= limit
    assert abs(w.mean()) < 0.06 * limit
    assert w.std() == pytest.approx(limit / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("name", LAWS)
def test_the_same_seed_draws_the_same_weights_and_another_draws_others(name):
    draws = [initialize(name, (4, 3), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize(("name", "function", "value"), [("zeros", zeros, 0), ("ones", ones, 1)])
def test_constants_are_constant_by_name_and_as_functions(name, function, value):
    for initializer in (name, function):
        w = initialize(initializer, (2, 3), np.random.default_rng(0))
        assert w.shape == (2, 3)
        assert (w == value).all()


def test_a_custom_function_returns_the_weights():
    layer = Dense(2, kernel_initializer=lambda shape, rng: np.arange(6.0).reshape(shape), bias_initializer="ones").build((3,))
    np.testing.assert_array_equal(layer.params["kernel"], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(layer.params["bias"], [1, 1])


def test_the_error_for_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"(?s)(?=.*'glorot')(?=.*glorot_uniform)(?=.*he_uniform)(?=.*zeros)"):
        initialize("glorot", (2, 3), np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(3, 2), (2,), (2, 3, 1)])
def test_a_function_that_gives_another_shape_is_refused_and_both_are_named(shape):
    with pytest.raises(ValueError, match=r"2, 3") as error:
        initialize(lambda wanted, rng: np.zeros(shape), (2, 3), np.random.default_rng(0))
    assert str(shape) in str(error.value)


def test_a_saved_layer_names_its_initializer_and_a_custom_one_becomes_zeros():
    assert [config_name(known) for known in ("he_uniform", he_uniform, ones)] == ["he_uniform", "he_uniform", "ones"]
    assert config_name(lambda shape, rng: np.zeros(shape)) == "zeros"
    assert config_name(partial(np.full, fill_value=2.0)) == "zeros"  # without a name at all
