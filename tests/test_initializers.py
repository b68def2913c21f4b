"""Initializers: the distributions of the initial weights, and what is refused."""

import json
import math
from functools import partial

import numpy as np
import pytest

import scratchnet.initializers
from scratchnet import Conv2D, Dense, Input, Model, load_model
from scratchnet.initializers import (
    KNOWN,
    Constant,
    Dirac,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    config_name,
    fans,
    get,
    glorot_uniform,
    he_uniform,
    initialize,
    ones,
    zeros,
)

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


# -- the other rules --------------------------------------------------------------------------------------------------

MANY = (7, 9, 20, 60)       # 75,600 numbers; the fans are 7·9·20 = 1260 and 7·9·60 = 3780
NORMAL = {HeNormal: 2 / 1260, LecunNormal: 1 / 1260, GlorotNormal: 2 / (1260 + 3780)}
UNIFORM = {HeUniform: 2 / 1260, LecunUniform: 1 / 1260, GlorotUniform: 2 / (1260 + 3780)}


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in np.ravel(x)])


def largest_distance(values, cdf):
    """Return the largest distance between the share of values up to x and the probability of that: Kolmogorov's statistic."""
    values = np.sort(np.ravel(values))
    probabilities, steps = cdf(values), np.arange(len(values) + 1) / len(values)
    return max(abs(probabilities - steps[1:]).max(), abs(probabilities - steps[:-1]).max())


def limit_of(values):
    """Exceeded by Kolmogorov's statistic once in ten million draws of the right distribution."""
    return 2.9 / math.sqrt(np.size(values))


def truncated_cdf(stddev):
    """The distribution function of a normal variable that is known to lie within two deviations."""
    low, high = normal_cdf([-2, 2])
    return lambda x: (normal_cdf(np.asarray(x) / stddev) - low) / (high - low)


def test_the_constant_is_the_deviation_of_a_truncated_normal_variable():
    inside = math.erf(2 / math.sqrt(2))                                     # the probability of |z| <= 2
    variance = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / inside       # integrated by parts: z² φ(z) = -z · φ'(z)
    assert math.sqrt(variance) == pytest.approx(scratchnet.initializers.TRUNCATED, rel=1e-15)


@pytest.mark.parametrize("rule", NORMAL, ids=lambda rule: rule.__name__)
def test_the_normal_rules_are_truncated_and_have_the_variance_that_the_fans_ask_for(rule):
    w, variance = rule()(MANY, np.random.default_rng(1)), NORMAL[rule]
    stddev = math.sqrt(variance) / scratchnet.initializers.TRUNCATED
    assert 1.98 * stddev < abs(w).max() <= 2 * stddev
    assert w.var() == pytest.approx(variance, rel=0.02)
    assert largest_distance(w, truncated_cdf(stddev)) < limit_of(w)


@pytest.mark.parametrize("rule", UNIFORM, ids=lambda rule: rule.__name__)
def test_the_uniform_rules_have_the_variance_that_the_fans_ask_for(rule):
    w, limit = rule()(MANY, np.random.default_rng(2)), math.sqrt(3 * UNIFORM[rule])
    assert 0.999 * limit < abs(w).max() <= limit
    assert w.var() == pytest.approx(UNIFORM[rule], rel=0.02)
    assert largest_distance(w, lambda x: (x + limit) / (2 * limit)) < limit_of(w)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "normal", "uniform"])
def test_variance_scaling_has_the_variance_of_its_mode(mode, distribution):
    w = VarianceScaling(3.0, mode, distribution)((300, 200), np.random.default_rng(3))
    assert w.var() == pytest.approx(3 / {"fan_in": 300, "fan_out": 200, "fan_avg": 250}[mode], rel=0.03)
    assert (abs(w).max() > 2.5 * w.std()) == (distribution == "untruncated_normal")


def test_given_distributions_have_the_given_limits_and_moments():
    rng = np.random.default_rng(4)
    w = RandomUniform(-1, 3)(MANY, rng)
    assert -1 <= w.min() < -0.99 < 2.99 < w.max() < 3
    assert largest_distance(w, lambda x: (x + 1) / 4) < limit_of(w)
    w = RandomNormal(0.5, 2)(MANY, rng)
    assert largest_distance((w - 0.5) / 2, normal_cdf) < limit_of(w)
    w = TruncatedNormal(0.5, 2)(MANY, rng)
    assert -3.5 <= w.min() < -3.45 < 4.45 < w.max() <= 4.5
    assert largest_distance(w - 0.5, truncated_cdf(2)) < limit_of(w)


def test_defaults_are_those_of_keras():
    rng = np.random.default_rng(5)
    assert RandomNormal()(MANY, rng).std() == pytest.approx(0.05, rel=0.01)
    assert abs(RandomUniform()(MANY, rng)).max() == pytest.approx(0.05, rel=0.001)
    assert abs(TruncatedNormal()(MANY, rng)).max() == pytest.approx(0.1, rel=0.001)
    assert VarianceScaling().get_config() == {"scale": 1, "mode": "fan_in", "distribution": "truncated_normal", "seed": None}
    assert (Constant().value, Orthogonal().gain, Identity().gain) == (0, 1, 1)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (3, 2, 4, 5), (1, 1, 2, 9), (1, 1)])
def test_an_orthogonal_matrix_keeps_lengths_and_may_be_scaled(shape):
    w = Orthogonal(gain=0.5)(shape, np.random.default_rng(6)).reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, 0.25 * np.eye(min(w.shape)), atol=1e-14)


def test_orthogonal_matrices_have_no_preferred_direction():
    """Without the signs of R, LAPACK's Q is never uniform: the sign of each column's largest part is not a fair coin."""
    rng = np.random.default_rng(7)
    draws = np.array([Orthogonal()((3, 3), rng) for _ in range(4000)])      # entries have mean 0 and variance 1/3
    assert abs(draws.mean(axis=0)).max() < 5 / math.sqrt(3 * 4000)
    assert abs(draws.var(axis=0) - 1 / 3).max() < 0.03
    assert abs(np.linalg.det(draws).mean()) < 0.1       # rotations and reflections are equally likely
    angles = np.arctan2(draws[:, 1, 0], draws[:, 0, 0])
    assert largest_distance(angles, lambda a: (a + np.pi) / (2 * np.pi)) < limit_of(angles)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_identity_makes_a_dense_layer_return_its_input(shape):
    layer = Dense(shape[1], kernel_initializer="identity").build((shape[0],))
    x = np.random.default_rng(8).standard_normal((2, shape[0])).astype("float32")
    width = min(shape)
    np.testing.assert_array_equal(layer.forward(x)[:, :width], x[:, :width])
    assert not layer.forward(x)[:, width:].any()
    np.testing.assert_array_equal(Identity(3)(shape), 3 * np.eye(*shape))


@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (2, 2), (4, 3), (1, 1)])
@pytest.mark.parametrize("filters", [2, 3, 7])
def test_dirac_makes_a_convolution_return_its_channels(kernel, filters):
    x = np.random.default_rng(9).standard_normal((2, 6, 5, 3)).astype("float32")
    layer = Conv2D(filters, kernel, padding="same", kernel_initializer="dirac", implementation="im2col").build(x.shape[1:])
    out, same = layer.forward(x), min(filters, 3)
    np.testing.assert_array_equal(out[..., :same], x[..., :same])
    assert not out[..., same:].any()


def test_the_filters_after_the_first_channels_are_drawn_by_another_rule():
    w = Dirac(others="he_normal")((3, 3, 4, 10), np.random.default_rng(10))
    drawn = HeNormal()((3, 3, 4, 10), np.random.default_rng(10))
    np.testing.assert_array_equal(w[..., 4:], drawn[..., 4:])
    np.testing.assert_array_equal(w[..., :4], Dirac()((3, 3, 4, 10))[..., :4])


@pytest.mark.parametrize(("channels", "same"), [(0, 0), (3, 3), (4, 4), (9, 4)])
def test_dirac_can_leave_out_the_last_channels(channels, same):
    w = Dirac(others="ones", channels=channels)((3, 3, 4, 10))
    np.testing.assert_array_equal(w[..., :same], Dirac()((3, 3, 4, 10))[..., :same])
    assert (w[..., same:] == 1).all()


# -- names, classes and files -----------------------------------------------------------------------------------------

WITH_ARGUMENTS = [
    HeNormal(seed=3),
    VarianceScaling(2.0, "fan_out", "uniform", seed=1),
    RandomNormal(mean=1.0, stddev=0.1),
    RandomUniform(-1.0, 1.0),
    TruncatedNormal(stddev=0.2, seed=4),
    Orthogonal(gain=1.4),
    Constant(0.1),
    Dirac(others=HeNormal(seed=2), seed=5),
    Dirac(others="ones", channels=3),
]


@pytest.mark.parametrize("name", KNOWN)
def test_every_rule_is_found_by_its_name_its_class_and_the_name_of_the_class(name):
    kind, shape = type(KNOWN[name]), (3, 3, 2, 5) if name == "dirac" else (4, 3)
    expected = initialize(name, shape, np.random.default_rng(1))
    for other in (kind, kind.__name__, kind(), getattr(scratchnet.initializers, name), {"class_name": kind.__name__}):
        np.testing.assert_array_equal(initialize(other, shape, np.random.default_rng(1)), expected)
    assert config_name(kind()) == name


@pytest.mark.parametrize(("other", "name"), [("normal", RandomNormal), ("uniform", RandomUniform), ("zero", Zeros), ("one", Ones)])
def test_the_short_names_of_keras_exist(other, name):
    assert type(get(other)) is name


@pytest.mark.parametrize("rule", WITH_ARGUMENTS, ids=repr)
def test_a_rule_with_arguments_is_saved_with_them(rule):
    saved = json.loads(json.dumps(config_name(rule)))
    again = get(saved)
    assert (type(again), again.get_config()) == (type(rule), rule.get_config())
    layer = Conv2D(3, 2, kernel_initializer=rule)
    assert Conv2D(**layer.get_config()).get_config() == layer.get_config()
    assert eval(repr(layer), vars(scratchnet)).get_config() == layer.get_config()


def test_a_saved_model_keeps_the_rules_and_their_arguments(tmp_path):
    x = Input(shape=(3,))
    model = Model(x, Dense(2, kernel_initializer=RandomNormal(stddev=0.5, seed=3), bias_initializer=Constant(0.1))(x), seed=0)
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz").layers[-1]
    assert again.kernel_initializer.get_config() == {"mean": 0.0, "stddev": 0.5, "seed": 3}
    assert again.bias_initializer.get_config() == {"value": 0.1}
    np.testing.assert_array_equal(again.params["kernel"], model.layers[-1].params["kernel"])


def test_a_rule_of_your_own_that_shares_a_name_is_not_taken_for_ours():
    class HeNormal(scratchnet.initializers.HeNormal):
        def draw(self, shape, rng):
            return np.ones(shape)

    assert config_name(HeNormal()) == "zeros"


def test_a_seed_of_its_own_draws_the_same_numbers_in_each_call_and_nothing_from_the_model():
    rng = np.random.default_rng(11)
    rule = HeNormal(seed=3)
    first, second = rule((4, 3), rng), rule((4, 3), rng)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(rng.random(), np.random.default_rng(11).random())
    assert not np.array_equal(first, HeNormal(seed=4)((4, 3), rng))
    assert not np.array_equal(HeNormal()((4, 3), rng), HeNormal()((4, 3), rng))


def test_the_lower_case_names_take_arguments_as_those_of_keras_do():
    made = scratchnet.initializers
    for rule, expected in (
        (made.he_normal(seed=3), HeNormal(seed=3)),
        (made.he_normal(), HeNormal()),
        (made.random_normal(stddev=0.01), RandomNormal(stddev=0.01)),
        (made.constant(2.0), Constant(2.0)),
        (made.random_uniform(-1, 1), RandomUniform(-1, 1)),
    ):
        assert (type(rule), rule.get_config()) == (type(expected), expected.get_config())
    assert HeNormal()(shape=(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomNormal(stddev=-1), "stddev: expected a finite number of at least 0"),
        (lambda: RandomNormal(mean=np.inf), "mean: expected a finite number"),
        (lambda: RandomUniform(1, 0), "maxval: expected a finite number of at least 1"),
        (lambda: VarianceScaling(0), "scale: expected"),
        (lambda: VarianceScaling(mode="fan"), "mode: expected one of 'fan_in', 'fan_out', 'fan_avg'"),
        (lambda: VarianceScaling(distribution="beta"), "distribution: expected one of"),
        (lambda: HeNormal(seed=-1), "seed: expected None or an integer"),
        (lambda: Constant("a"), "value: expected a finite number"),
        (lambda: Identity()((3, 3, 2, 2)), r"Identity: expected the shape \(D, U\) of a matrix, got \(3, 3, 2, 2\).*'dirac'"),
        (lambda: Dirac()((3, 3)), r"Dirac: expected the shape \(KH, KW, C, F\) of a kernel, got \(3, 3\).*'identity'"),
        (lambda: Orthogonal()((3,)), r"Orthogonal: expected a shape of two or more axes, got \(3,\)"),
        (lambda: Dirac("nothing"), "initializer: expected 'glorot_uniform'"),
        (lambda: Dirac(channels=-1), r"channels: expected an integer from 0 .* For example Dirac\(channels=24\)"),
        (lambda: get({"class_name": "Glorot", "config": {}}), "initializer: expected 'glorot_uniform'"),
        (lambda: get({"config": 3}), "initializer: expected 'glorot_uniform'"),
    ],
)
def test_wrong_arguments_are_refused_with_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_argument_is_refused_with_the_known_ones():
    with pytest.raises(TypeError, match=r"RandomNormal: expected only arguments .*, got std=0\.1\. The nearest"):
        RandomNormal(std=0.1)
