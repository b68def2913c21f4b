"""Each optimizer against its update rule, derived again here one number at a time."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import Dense, Input, Model, Sequential, load_model, optimizers
from scratchnet.kernels.threads import WORTH_THREADS, limit
from scratchnet.optimizers import KNOWN, SGD, Adadelta, Adagrad, Adam, AdamW, Nadam, Optimizer, RMSprop, get

SHAPES = [(3,), (2, 5), (3, 2, 1, 4), (1,), (129,)]


def sgd_rule(learning_rate=0.01, momentum=0.0, nesterov=False):
    """Return the step in Keras's form: the velocity has the unit of the parameter, so it includes the learning rate."""
    velocity = 0.0

    def step(p, g):
        nonlocal velocity
        velocity = momentum * velocity - learning_rate * g
        return p + (momentum * velocity - learning_rate * g if nesterov else velocity)

    return step


def adagrad_rule(learning_rate=1e-3, initial_accumulator_value=0.1, epsilon=1e-7):
    total = initial_accumulator_value

    def step(p, g):
        nonlocal total
        total += g * g
        return p - learning_rate * g / math.sqrt(total + epsilon)

    return step


def adadelta_rule(learning_rate=1e-3, rho=0.95, epsilon=1e-7):
    squares = moves = 0.0

    def step(p, g):
        nonlocal squares, moves
        squares = rho * squares + (1 - rho) * g * g
        move = -math.sqrt(moves + epsilon) / math.sqrt(squares + epsilon) * g  # with the moves up to the step before
        moves = rho * moves + (1 - rho) * move * move
        return p + learning_rate * move

    return step


def adam_rule(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m = v = 0.0
    t = 0

    def step(p, g):
        nonlocal m, v, t
        t += 1
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        return p - learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (math.sqrt(v) + epsilon)

    return step


def amsgrad_rule(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=True):
    """Return the step in the form of the largest v̂ with its correction at the time of the step."""
    m = v = largest = 0.0
    t = 0

    def step(p, g):
        nonlocal m, v, largest, t
        t += 1
        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        largest = max(largest, v)
        corrected = math.sqrt(largest / (1 - beta_2**t))
        return p - learning_rate * (m / (1 - beta_1**t)) / (corrected + epsilon / math.sqrt(1 - beta_2**t))

    return step


def nadam_rule(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m = v = 0.0
    t, product = 0, 1.0

    def step(p, g):
        nonlocal m, v, t, product
        t += 1
        now, after = (beta_1 * (1 - 0.5 * math.exp(k * math.log(0.96))) for k in (t, t + 1))
        product *= now
        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        m_bar = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
        return p - learning_rate * m_bar / (math.sqrt(v / (1 - beta_2**t)) + epsilon)

    return step


def rmsprop_rule(learning_rate=1e-3, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    """Return the step with the variance as the average of squared distances from the mean, which its recursion updates."""
    mean = variance = velocity = 0.0
    squares = 0.0

    def step(p, g):
        nonlocal mean, variance, squares, velocity
        squares += (g * g - squares) * (1 - rho)
        variance = rho * (variance + (1 - rho) * (g - mean) ** 2)       # West (1979)
        mean += (g - mean) * (1 - rho)
        velocity = momentum * velocity - learning_rate * g / math.sqrt((variance if centered else squares) + epsilon)
        return p + velocity

    return step


RULES = {
    "sgd": (SGD, sgd_rule, {}),
    "sgd with momentum": (SGD, sgd_rule, {"learning_rate": 0.05, "momentum": 0.8}),
    "sgd with Nesterov momentum": (SGD, sgd_rule, {"learning_rate": 0.05, "momentum": 0.7, "nesterov": True}),
    "adagrad": (Adagrad, adagrad_rule, {}),
    "adagrad from zero": (Adagrad, adagrad_rule, {"learning_rate": 0.3, "initial_accumulator_value": 0.0}),
    "adadelta": (Adadelta, adadelta_rule, {}),
    "adadelta as published": (Adadelta, adadelta_rule, {"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6}),
    "adam": (Adam, adam_rule, {}),
    "adam of other rates": (Adam, adam_rule, {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    "amsgrad": (Adam, amsgrad_rule, {"amsgrad": True}),
    "amsgrad of other rates": (Adam, amsgrad_rule, {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.5, "amsgrad": True}),
    "nadam": (Nadam, nadam_rule, {}),
    "nadam of other rates": (Nadam, nadam_rule, {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    "rmsprop": (RMSprop, rmsprop_rule, {}),
    "rmsprop with momentum": (RMSprop, rmsprop_rule, {"learning_rate": 0.05, "rho": 0.8, "momentum": 0.7}),
    "rmsprop, centered": (RMSprop, rmsprop_rule, {"centered": True, "epsilon": 1e-3}),
    "rmsprop, all": (RMSprop, rmsprop_rule, {"rho": 0.5, "momentum": 0.5, "epsilon": 1e-2, "centered": True}),
}
each_implementation = pytest.mark.parametrize("implementation", ["numpy", "fused"])
each_rule = pytest.mark.parametrize("rule", RULES)


def follow_rule(make_rule, options, start, gradients):
    """Update every number of every parameter separately, in Python floats."""
    ends = []
    for position, array in enumerate(start):
        end = np.empty(array.shape)
        for index in np.ndindex(*array.shape):
            step, p = make_rule(**options), float(array[index])
            for grads in gradients:
                p = step(p, float(grads[position][index]))
            end[index] = p
        ends.append(end)
    return ends


def random_walk(seed, shapes, steps, dtype, scale=1.0):
    rng = np.random.default_rng(seed)
    start = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return start, [[(scale * rng.standard_normal(shape)).astype(dtype) for shape in shapes] for _ in range(steps)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@each_implementation
@each_rule
def test_seven_steps_follow_the_rule_derived_independently(rule, implementation, dtype, tolerance):
    make, make_rule, options = RULES[rule]
    start, gradients = random_walk(1, SHAPES, 7, dtype)
    optimizer, params = make(**options), [p.copy() for p in start]
    optimizer.implementation = implementation
    for grads in gradients:
        optimizer.update(params, grads)
    for p, expected in zip(params, follow_rule(make_rule, options, start, gradients), strict=True):
        assert p.dtype == dtype
        np.testing.assert_allclose(p, expected, rtol=tolerance, atol=tolerance)


@each_rule
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-8, 1e-3, 1.0, 1e3]), size=st.integers(1, 40))
def test_any_gradients_of_any_scale_follow_the_rule(rule, seed, scale, size):
    make, make_rule, options = RULES[rule]
    start, gradients = random_walk(seed, [(size,)], 5, "float64", scale)
    optimizer, params = make(**options), [start[0].copy()]
    for grads in gradients:
        optimizer.update(params, grads)
    (expected,) = follow_rule(make_rule, options, start, gradients)
    moved = np.abs(expected - start[0]).max()
    np.testing.assert_allclose(params[0], expected, rtol=1e-15, atol=1e-9 * moved)


@each_implementation
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("make", "options", "first_step"),
    [
        # With g = 1e-8 the step depends on whether ε = 1e-7 is added to the root (then 1e-7) or under it (then 3e-4).
        (Adam, {}, 1e-3 * math.sqrt(1e-3) / 0.1 * 1e-9 / (math.sqrt(1e-3) * 1e-8 + 1e-7)),
        (Adagrad, {"initial_accumulator_value": 0.0}, 1e-3 * 1e-8 / math.sqrt(1e-16 + 1e-7)),
        (Adadelta, {}, 1e-3 * math.sqrt(1e-7) / math.sqrt(0.05e-16 + 1e-7) * 1e-8),
    ],
    ids=["Adam: beside", "Adagrad: under", "Adadelta: under both"],
)
def test_epsilon_is_added_where_keras_adds_it(make, options, first_step, dtype, implementation):
    p, optimizer = np.zeros(4, dtype), make(**options)
    optimizer.implementation = implementation
    optimizer.update([p], [np.full(4, 1e-8, dtype)])
    np.testing.assert_allclose(p, -first_step, rtol=1e-5)


@each_rule
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-8, 1e-3, 1.0, 1e3]), dtype=st.sampled_from("fd"))
def test_the_numpy_form_and_the_kernel_take_the_same_steps(rule, seed, scale, dtype):
    make, _, options = RULES[rule]
    start, gradients = random_walk(seed, [(3, 7), (2,)], 5, dtype, scale)
    ends, states = [], []
    for implementation in ("numpy", "fused"):
        optimizer, params = make(**options), [p.copy() for p in start]
        optimizer.implementation = implementation
        for grads in gradients:
            optimizer.update(params, grads)
        ends.append(params)
        states.append([array for arrays in optimizer.state for array in arrays])
    eps = np.finfo(dtype).eps
    for p, q, first in zip(*ends, start, strict=True):
        # Where everything is rounded to the size of p, a difference is a few of p's last places.
        np.testing.assert_allclose(p, q, rtol=0, atol=32 * eps * (np.abs(first).max() + np.abs(p - first).max()))
    for a, b in zip(*states, strict=True):
        np.testing.assert_allclose(a, b, rtol=32 * eps, atol=32 * eps * np.abs(a).max())


# Numbers of Keras's own tests, keras/src/optimizers/{sgd,adam,adagrad,adadelta}_test.py: the parameter before each of
# five equal steps along 0.1, 0.2, ..., 1.0 that follow one step along 0.01; and one step of rate 0.5.
KERAS_TRAJECTORIES = {
    "sgd": (SGD, {"nesterov": True}, [[0.9999 - 0.001 * t * k for k in range(1, 11)] for t in range(5)]),
    "adagrad": (
        Adagrad, {"learning_rate": 0.2, "initial_accumulator_value": 0.3, "epsilon": 1e-6},
        [[0.9963] * 10,
         [0.9604, 0.9278, 0.9003, 0.8784, 0.8615, 0.8487, 0.8388, 0.8313, 0.8255, 0.8209],
         [0.9251, 0.8629, 0.8137, 0.7768, 0.7497, 0.7298, 0.7151, 0.7040, 0.6956, 0.6891],
         [0.8903, 0.8012, 0.7342, 0.6862, 0.6521, 0.6277, 0.6099, 0.5967, 0.5867, 0.5790],
         [0.8560, 0.7422, 0.6604, 0.6037, 0.5644, 0.5367, 0.5168, 0.5021, 0.4910, 0.4825]],
    ),
    "adadelta": (
        Adadelta, {"learning_rate": 1.0, "rho": 0.8, "epsilon": 1e-6},
        [[p] * 10 for p in (0.9978, 0.9947, 0.9915, 0.9882, 0.9849)],
    ),
}  # fmt: skip
KERAS_SINGLE_STEPS = {
    "sgd": (SGD, [0.5, -1.0, -0.5, 3.0]),
    "adam": (Adam, [0.5, 1.5, 2.5, 3.5]),
    "adagrad": (Adagrad, [0.5233, 1.5007, 2.5005, 3.5061]),
    "adadelta": (Adadelta, [0.9993, 1.9993, 2.9993, 3.9993]),
}


@pytest.mark.parametrize("name", KERAS_TRAJECTORIES)
def test_trajectory_is_the_one_keras_publishes(name):
    make, options, published = KERAS_TRAJECTORIES[name]
    optimizer, p = make(**options), np.ones(10)
    optimizer.update([p], [np.full(10, 0.01)])
    for expected in published:
        np.testing.assert_allclose(p, expected, rtol=0, atol=6e-5)
        optimizer.update([p], [np.arange(0.1, 1.05, 0.1)])


@pytest.mark.parametrize("name", KERAS_SINGLE_STEPS)
def test_single_step_is_the_one_keras_publishes(name):
    make, expected = KERAS_SINGLE_STEPS[name]
    p = np.array([1.0, 2.0, 3.0, 4.0])
    make(learning_rate=0.5).update([p], [np.array([1.0, 6.0, 7.0, 2.0])])
    np.testing.assert_allclose(p, expected, rtol=0, atol=6e-5)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (SGD, {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False}),
        (Adagrad, {"learning_rate": 1e-3, "initial_accumulator_value": 0.1, "epsilon": 1e-7}),
        (Adadelta, {"learning_rate": 1e-3, "rho": 0.95, "epsilon": 1e-7}),
        (Adam, {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}),
        (AdamW, {"learning_rate": 1e-3, "weight_decay": 4e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}),
        (Nadam, {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
        (RMSprop, {"learning_rate": 1e-3, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False}),
    ],
)
def test_names_order_and_defaults_are_keras(make, expected):
    parameters = inspect.signature(make).parameters
    assert {name: parameters[name].default for name in list(parameters)[: len(expected)]} == expected
    assert make().learning_rate == expected["learning_rate"]


@each_rule
def test_update_writes_into_the_parameters_and_into_nothing_else(rule):
    make, _, options = RULES[rule]
    (p,), ((g,), _) = random_walk(2, [(4, 3)], 2, "float32")
    same, before, kept_g = p, p.copy(), g.copy()
    make(**options).update([p], [g])
    assert same is p
    assert (p != before).all()
    np.testing.assert_array_equal(g, kept_g)


@pytest.mark.parametrize("make", [kind for kind in KNOWN.values() if kind is not AdamW])     # whose decay depends on p
def test_a_new_learning_rate_scales_the_next_step_and_no_state(make):
    (start,), gradients = random_walk(3, [(6,)], 3, "float64")
    paths = []
    for factor in (1, 10):
        optimizer, p, path = make(), start.copy(), [start]
        for t, (g,) in enumerate(gradients):
            optimizer.learning_rate = make().learning_rate * (factor if t == 1 else 1)
            optimizer.update([p], [g])
            path.append(p.copy())
        paths.append(np.diff(path, axis=0))
    np.testing.assert_allclose(paths[1][1], 10 * paths[0][1], rtol=1e-9)
    np.testing.assert_allclose(paths[1][[0, 2]], paths[0][[0, 2]], rtol=1e-9)


def test_velocity_keeps_the_learning_rate_it_was_built_with():
    optimizer, p = SGD(learning_rate=0.5, momentum=0.5), np.zeros(1)
    optimizer.update([p], [np.ones(1)])  # velocity -0.5
    optimizer.learning_rate = 0.25
    optimizer.update([p], [np.ones(1)])  # velocity -0.25 - 0.25
    assert p[0] == -1.0


@pytest.mark.parametrize("turned", ["gradient", "parameter"])
@each_rule
def test_memory_order_does_not_change_the_step(rule, turned):
    make, _, options = RULES[rule]
    (p,), ((g,), _) = random_walk(4, [(5, 3)], 2, "float64")
    plain, other = p.copy(), p.copy()
    if turned == "gradient":
        make(**options).update([other], [np.asfortranarray(g)])
    else:
        other = np.asfortranarray(other)
        make(**options).update([other], [g])
    make(**options).update([plain], [g])
    np.testing.assert_array_equal(other, plain)


@each_rule
def test_two_optimizers_share_no_state(rule):
    make, _, options = RULES[rule]
    (start,), ((g,), (g2,)) = random_walk(5, [(6,)], 2, "float64")
    first, second = make(**options), make(**options)
    p, q = start.copy(), start.copy()
    first.update([p], [g])
    first.update([p], [g2])
    second.update([q], [g])
    second.update([q], [g2])
    np.testing.assert_array_equal(p, q)


def test_adam_counts_steps_and_not_parameters():
    together, alone = Adam(), Adam()
    p, q, single = np.ones(3), np.ones(3), np.ones(3)
    for t in range(1, 6):
        g = np.array([0.5, -2.0, 1e-3]) * t
        together.update([p, q], [g, g])
        alone.update([single], [g])
    np.testing.assert_array_equal(p, single)
    np.testing.assert_array_equal(q, single)


@each_rule
def test_every_optimizer_minimizes_a_quadratic_function(rule):
    make, _, options = RULES[rule]
    optimizer, p = make(**options | {"learning_rate": 0.1}), np.array([1.0, -2.0])
    for _ in range(50):
        before = p.copy()
        optimizer.update([p], [2 * p])
    assert (np.abs(p) < [1.0, 2.0]).all()
    assert (before != p).any()


@pytest.mark.parametrize(
    ("params", "grads"),
    [([np.zeros(3)], []), ([np.zeros(3)], [np.zeros(4)]), ([np.zeros((2, 3))], [np.zeros((3, 2))])],
    ids=["one missing", "another length", "another shape"],
)
@pytest.mark.parametrize("make", KNOWN.values())
def test_gradients_that_do_not_fit_their_parameters_are_refused(make, params, grads):
    with pytest.raises(ValueError):
        make().update(params, grads)
    np.testing.assert_array_equal(params[0], 0)


@pytest.mark.parametrize("name", ["ftrl", "lion", ""])
def test_the_error_for_an_unknown_optimizer_lists_the_known_ones(name):
    model = Sequential([Input(shape=(3,)), Dense(2, activation="softmax")])
    with pytest.raises(ValueError, match=r"(?si)(?=.*sgd)(?=.*adagrad)(?=.*adadelta)(?=.*adam)") as error:
        model.compile(optimizer=name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(("name", "kind"), KNOWN.items())
def test_optimizers_are_found_by_name_and_taken_as_objects(name, kind):
    model = Sequential([Input(shape=(3,)), Dense(2, activation="softmax")])
    model.compile(optimizer=name)
    assert type(model.optimizer) is kind
    optimizer = kind(learning_rate=0.125)
    model.compile(optimizer=optimizer)
    assert model.optimizer is optimizer


# -- what an optimizer says of itself, and what it refuses -------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.5, 0.25, True), SGD(), Adagrad(0.5, 0.2, 1e-3), Adagrad(0.5, 0), Adadelta(0.5, 0.9, 1e-3), Adam(0, 0, 0.9, 0.1),
     AdamW(0.5, 0.1), Nadam(0.5, 0.1), RMSprop(0.5, 0.1, 0.2, 0.3, True), SGD(0.5, weight_decay=0.1, clipnorm=2),
     Adam(clipvalue=0.5), Adagrad(global_clipnorm=0.5)],
    ids=repr,
)
def test_the_repr_of_an_optimizer_is_the_code_that_creates_it(optimizer):
    again = eval(repr(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert all(isinstance(value, (float, bool)) for value in again.get_config().values())


@pytest.mark.parametrize("rate", [-1e-9, float("nan"), float("inf"), "0.1", None, [0.1], np.ones(2)], ids=repr)
@pytest.mark.parametrize("make", KNOWN.values())
def test_a_learning_rate_that_is_no_finite_number_from_zero_on_is_refused(make, rate):
    with pytest.raises(ValueError, match="learning_rate"):
        make(learning_rate=rate)
    optimizer = make(learning_rate=0.5)
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = rate
    assert optimizer.learning_rate == 0.5
    optimizer.learning_rate = np.float32(0)
    assert optimizer.learning_rate == 0


@pytest.mark.parametrize(
    ("make", "name"),
    [(SGD, "momentum"), (Adadelta, "rho"), (Adam, "beta_1"), (Adam, "beta_2"), (AdamW, "beta_1"), (Nadam, "beta_2"),
     (RMSprop, "rho"), (RMSprop, "momentum")],
)  # fmt: skip
def test_fractions_are_at_least_zero_and_below_one(make, name):
    for value in (-1e-9, 1, 1.5):
        with pytest.raises(ValueError, match=name):
            make(**{name: value})
    for value in (0, 0.999):
        assert make(**{name: value}).get_config()[name] == value


def test_adagrads_accumulator_starts_at_zero_or_above():
    with pytest.raises(ValueError, match="initial_accumulator_value"):
        Adagrad(initial_accumulator_value=-1e-9)
    assert Adagrad(initial_accumulator_value=0).make_state(np.ones((2, 3)))[0].tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("make", KNOWN.values())
def test_after_a_reset_the_next_step_is_the_first(make):
    options = {"momentum": 0.9} if make is SGD else {}
    (start,), gradients = random_walk(6, [(6,)], 3, "float64")
    optimizer, p, q = make(**options), start.copy(), start.copy()
    for grads in gradients:
        optimizer.update([p], grads)
    assert optimizer.iterations == 3
    optimizer.reset()
    assert (optimizer.iterations, optimizer.state) == (0, [])
    optimizer.update([q], gradients[0])
    fresh = start.copy()
    make(**options).update([fresh], gradients[0])
    np.testing.assert_array_equal(q, fresh)


@pytest.mark.parametrize("make", KNOWN.values())
def test_another_models_parameters_are_refused_and_nothing_changes(make):
    optimizer = make()
    optimizer.update([np.ones(3), np.ones(2)], [np.ones(3), np.ones(2)])
    for params in ([np.ones(3)], [np.ones(3), np.ones(2), np.ones(1)], [np.ones(3), np.ones(4)]):
        with pytest.raises(ValueError, match=r"another optimizer, or call reset\(\)"):
            optimizer.update(params, [np.ones_like(p) for p in params])
        assert all((p == 1).all() for p in params)
        assert optimizer.iterations == 1


UNMOVABLE = [np.ones(2, int), np.ones(2, "float16"), np.ones(2, ">f8"), np.broadcast_to(1.0, 2), [1.0, 1.0]]


@pytest.mark.parametrize("p", UNMOVABLE, ids=["integers", "halves", "another byte order", "read only", "a list"])
@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_parameter_that_cannot_be_updated_in_place_is_refused(make, p):
    optimizer = make()
    with pytest.raises(ValueError, match="writeable arrays of float32 or float64"):
        optimizer.update([p], [np.ones(2)])
    assert optimizer.iterations == 0


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "1e-7"])
def test_numbers_of_an_optimizer_are_finite_and_not_negative(value):
    for make in (Adam, Adadelta, Adagrad):
        with pytest.raises(ValueError, match="epsilon: expected a finite number"):
            make(epsilon=value)
    with pytest.raises(ValueError, match="initial_accumulator_value: expected a finite number"):
        Adagrad(initial_accumulator_value=value)


def test_the_error_for_a_custom_optimizer_without_a_step_names_the_missing_method():
    class Lazy(Optimizer):
        pass

    with pytest.raises(NotImplementedError, match=r"Lazy.*step\(self, p, g, state\)"):
        Lazy(0.1).update([np.ones(1)], [np.ones(1)])


@pytest.mark.parametrize("name", ["Adam", "ADAM", "adam"])
def test_a_name_is_known_in_upper_and_lower_case_and_an_object_is_returned_unchanged(name):
    assert type(get(name)) is Adam
    mine = SGD(0.5)
    assert get(mine) is mine
    for unknown in (Adam, 3, None):
        with pytest.raises(ValueError, match="adadelta"):
            get(unknown)


@pytest.mark.parametrize("contiguous", [True, False])
def test_the_kernel_runs_where_it_is_chosen_and_possible(contiguous, monkeypatch):
    """The kernel updates a parameter in the order of memory. For a transposed parameter it would update a copy."""
    ran = []
    monkeypatch.setitem(Adam.implementations, "fused", lambda *arguments: ran.append(arguments[0]))
    p = np.ones((2, 3)) if contiguous else np.ones((3, 2)).T
    for wanted in ("fused", "numpy"):
        optimizer = Adam(implementation=wanted)
        optimizer.update([p], [np.ones((2, 3))])
        assert (len(ran) == 1) == (wanted == "fused" and contiguous)
        ran.clear()
    assert Adam().implementation == ("fused" if optimizers.COMPILED else "numpy")
    with pytest.raises(ValueError, match=r"Adam: expected one of 'numpy', 'fused', got 'im2col'"):
        Adam(implementation="im2col")


def test_the_old_name_of_the_choice_still_works_with_a_warning():
    optimizer = Adam()
    with pytest.warns(FutureWarning, match="in_one_pass is now called implementation"):
        optimizer.in_one_pass = False
    assert optimizer.implementation == "numpy"
    with pytest.warns(FutureWarning, match="in_one_pass is now called implementation"):
        assert optimizer.in_one_pass is False


def test_dicts_of_parameters_and_gradients_are_updated_like_lists_of_them():
    moved = []
    for as_dict in (True, False):
        params, grads = {"w": np.ones(3), "b": np.ones(1)}, {"b": np.array([2.0]), "w": np.array([1.0, -1, 0])}
        update = (params, grads) if as_dict else (list(params.values()), [grads["w"], grads["b"]])
        Adam().update(*update)
        moved.append(np.concatenate(list(params.values())))
    np.testing.assert_array_equal(*moved)


def test_an_implementation_that_is_not_the_default_is_saved():
    assert "implementation" not in Adam().get_config()
    assert SGD(implementation="numpy").get_config().get("implementation") == ("numpy" if optimizers.COMPILED else None)


@pytest.mark.compiled
@pytest.mark.parametrize("rule", RULES)
def test_two_threads_take_exactly_the_same_step_as_one(rule):
    make, _, options = RULES[rule]
    (start,), gradients = random_walk(7, [(WORTH_THREADS + 17,)], 3, "float32")
    ends = []
    for threads in (1, 2):
        optimizer, p = make(**options), start.copy()
        with limit(threads):
            for grads in gradients:
                optimizer.update([p], grads)
        ends.append([a.tobytes() for a in (p, *optimizer.state[0])])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("make", KNOWN.values())
def test_a_refused_first_step_leaves_no_state_behind(make):
    optimizer = make()
    with pytest.raises(ValueError, match="shape"):
        optimizer.update([np.ones(3)], [np.ones(4)])
    assert (optimizer.iterations, optimizer.state) == (0, [])
    optimizer.update([np.ones(2)], [np.ones(2)])


def test_a_read_only_parameter_is_refused_as_such_with_the_fix():
    p = np.ones(2, "float32")
    p.flags.writeable = False
    with pytest.raises(ValueError, match=r"got a read-only array of float32\. Pass a copy, which can be changed: p = p\.copy\(\)"):
        SGD().update([p], [np.ones(2)])


# -- closed forms -----------------------------------------------------------------------------------------------------


@each_implementation
@pytest.mark.parametrize(
    ("make", "options", "step"),
    [
        # After t equal gradients g the averages are (1 - βᵗ) g and (1 - βᵗ) g², so that the corrected ones are g and g².
        (Adam, {}, lambda g, t: g / (abs(g) + 1e-7 / math.sqrt(1 - 0.999**t))),
        (Adam, {"amsgrad": True}, lambda g, t: g / (abs(g) + 1e-7 / math.sqrt(1 - 0.999**t))),
        (RMSprop, {}, lambda g, t: g / math.sqrt((1 - 0.9**t) * g * g + 1e-7)),
        (RMSprop, {"centered": True}, lambda g, t: g / math.sqrt((1 - 0.9**t) * 0.9**t * g * g + 1e-7)),
        (
            RMSprop,
            {"momentum": 0.5},
            lambda g, t: sum(0.5 ** (t - s) * g / math.sqrt((1 - 0.9**s) * g * g + 1e-7) for s in range(1, t + 1)),
        ),
    ],
)
@pytest.mark.parametrize("g", [0.3, -2.0, 1e-6])
def test_steps_along_equal_gradients_have_their_closed_form(make, options, step, g, implementation):
    optimizer, p, expected = make(learning_rate=0.1, implementation=implementation, **options), np.zeros(3), 0.0
    for t in range(1, 31):
        optimizer.update([p], [np.full(3, g)])
        expected -= 0.1 * step(g, t)
        np.testing.assert_allclose(p, expected, rtol=1e-9)


def test_a_late_step_of_nadam_along_equal_gradients_is_one_of_nesterov_with_a_constant_momentum():
    """After many steps μ is β₁ and the corrections are 1: m = g, so m̄ = β₁ g + (1 - β₁) g = g."""
    optimizer, p = Nadam(learning_rate=0.1, beta_2=0.5), np.zeros(2)
    for t in range(2000):
        before = p.copy()
        optimizer.update([p], [np.array([0.5, -3.0])])
        if t == 0:      # m = 0.1 g and v̂ = g²
            one, two = 0.9 * (1 - 0.48), 0.9 * (1 - 0.5 * 0.96**2)
            first = 0.1 * two / (1 - one * two) + (1 - one) / (1 - one)
            np.testing.assert_allclose(p, [-0.1 * first, 0.1 * first], rtol=1e-6)
    np.testing.assert_allclose(before - p, [0.1, -0.1], rtol=1e-6)


@each_implementation
def test_amsgrad_remembers_the_largest_gradient_that_adam_forgets(implementation):
    steps = {}
    for amsgrad in (False, True):
        optimizer, p = Adam(1.0, 0.0, 0.5, amsgrad=amsgrad, implementation=implementation), np.zeros(1)
        for g in (8.0, *[1.0] * 30):
            before = p.copy()
            optimizer.update([p], [np.array([g])])
        steps[amsgrad] = float((before - p)[0])
    assert steps[False] == pytest.approx(1.0, rel=1e-4)
    assert steps[True] == pytest.approx(1 / math.sqrt(32), rel=1e-4)     # v was 0.5 · 8²


@each_implementation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_variance_that_rounding_makes_negative_gives_no_nan(implementation, dtype):
    optimizer, p = RMSprop(centered=True, epsilon=1e-7, implementation=implementation), np.zeros(5, dtype)
    for _ in range(2000):
        optimizer.update([p], [np.array([1e3, 0.1, 77.7, -1e4, 3.3], dtype)])
        assert np.isfinite(p).all()


# -- weight decay -----------------------------------------------------------------------------------------------------

EACH_KIND = pytest.mark.parametrize("make", KNOWN.values())


@each_implementation
@EACH_KIND
def test_without_gradients_a_parameter_shrinks_by_the_product_of_all_rates(make, implementation):
    optimizer = make(learning_rate=lambda step: 0.5 / (step + 1), weight_decay=0.25, implementation=implementation)
    p = np.array([[1.0, -2.0], [3.0, 1e-30]])
    start, left = p.copy(), 1.0
    for t in range(6):
        optimizer.update([p], [np.zeros((2, 2))])
        left *= 1 - 0.25 * 0.5 / (t + 1)
    np.testing.assert_allclose(p, left * start, rtol=1e-13)


@each_rule
@each_implementation
def test_no_moment_sees_the_weight_decay_and_the_step_is_added_to_what_it_left(rule, implementation):
    make, _, options = RULES[rule]
    (start,), gradients = random_walk(8, [(5,)], 6, "float64")
    decayed, plain = (make(**options, implementation=implementation, **more) for more in ({"weight_decay": 0.125}, {}))
    p, q = start.copy(), start.copy()
    for (g,) in gradients:
        rest, before = p - plain.learning_rate * 0.125 * p, q.copy()
        decayed.update([p], [g])
        plain.update([q], [g])
        np.testing.assert_allclose(p, rest + (q - before), rtol=1e-12, atol=1e-15)
    assert [s.tobytes() for s in decayed.state[0]] == [s.tobytes() for s in plain.state[0]]


def test_adamw_is_adam_with_a_weight_decay():
    (start,), gradients = random_walk(9, [(7,)], 5, "float32")
    ends = []
    for optimizer in (AdamW(0.01, 0.125), Adam(0.01, weight_decay=0.125), AdamW(learning_rate=0.01, weight_decay=0.125)):
        p = start.copy()
        for grads in gradients:
            optimizer.update([p], grads)
        ends.append(p.tobytes())
    assert len(set(ends)) == 1
    with pytest.raises(ValueError, match="weight_decay: expected a finite number"):
        AdamW(weight_decay=None)


@EACH_KIND
def test_a_frozen_parameter_is_neither_decayed_nor_counted_in_the_norm(make):
    p, q, alone = np.ones(3), np.ones(2), np.ones(2)
    optimizer, single = (make(learning_rate=0.5, weight_decay=0.25, global_clipnorm=1.0) for _ in range(2))
    for _ in range(3):
        optimizer.update([p, q], [None, np.full(2, 4.0)])
        single.update([alone], [np.full(2, 4.0)])
    assert (p == 1).all()
    assert q.tobytes() == alone.tobytes()
    assert all((s == fresh).all() for s, fresh in zip(optimizer.state[0], optimizer.make_state(p), strict=True))


@EACH_KIND
def test_a_frozen_layer_of_a_model_does_not_move_by_weight_decay(make):
    model = Sequential([Input(shape=(3,)), Dense(4), Dense(2, activation="softmax")], seed=1)
    model.compile(make(learning_rate=0.1, weight_decay=0.5))
    model.layers[0].trainable = False
    before = model.get_weights()
    model.train_on_batch(np.ones((2, 3), "float32"), np.eye(2, dtype="float32"))
    assert [(a == b).all() for a, b in zip(before, model.get_weights(), strict=True)] == [True, True, False, False]


# -- clipping ---------------------------------------------------------------------------------------------------------

GRADIENTS = [np.array([[3.0, 0.0], [0.0, -4.0]]), np.array([0.3, 0.4]), np.zeros(3)]
CLIPPED = {     # norms 5, 0.5 and 0; together √25.25
    "clipnorm": (1.0, [GRADIENTS[0] / 5, GRADIENTS[1], GRADIENTS[2]]),
    "clipvalue": (1.0, [np.array([[1.0, 0.0], [0.0, -1.0]]), GRADIENTS[1], GRADIENTS[2]]),
    "global_clipnorm": (1.0, [g / math.sqrt(25.25) for g in GRADIENTS]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("limit", CLIPPED)
@EACH_KIND
def test_a_step_with_a_limit_is_the_step_along_limited_gradients(make, limit, dtype):
    value, expected = CLIPPED[limit]
    grads = [g.astype(dtype) for g in GRADIENTS]
    kept = [g.tobytes() for g in grads]
    limited, plain = make(**{limit: value}), make()
    p, q = [np.ones_like(g) for g in grads], [np.ones_like(g) for g in grads]
    for _ in range(3):
        limited.update(p, grads)
        plain.update(q, [g.astype(dtype) for g in expected])
    for a, b in zip(p, q, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == "float32" else 1e-13)
    assert [g.tobytes() for g in grads] == kept


@pytest.mark.parametrize("limit", CLIPPED)
def test_gradients_within_the_limit_keep_their_bits(limit):
    (start,), gradients = random_walk(10, [(9,)], 3, "float32")
    p, q = start.copy(), start.copy()
    limited, plain = Adam(**{limit: 1e3}), Adam()
    for grads in gradients:
        limited.update([p], grads)
        plain.update([q], grads)
    assert p.tobytes() == q.tobytes()


def test_a_norm_whose_square_overflows_in_float32_is_computed():
    p = np.zeros(2, "float32")
    SGD(1.0, clipnorm=1.0).update([p], [np.array([3e30, -4e30], "float32")])
    np.testing.assert_allclose(p, [-0.6, 0.8], rtol=1e-6)


def test_only_one_limit_can_be_given_and_it_is_above_zero():
    with pytest.raises(ValueError, match=r"Adam: expected one of clipnorm, .*, got clipnorm=1 and clipvalue=2\. Keep one"):
        Adam(clipnorm=1, clipvalue=2)
    for name in CLIPPED:
        for value in (0, -1, math.nan, math.inf, "1"):
            with pytest.raises(ValueError, match=f"{name}: expected a finite number"):
                SGD(**{name: value})


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(0, 7))
def test_a_norm_does_not_depend_on_where_in_memory_a_gradient_starts(seed, size, offset):
    g = np.random.default_rng(seed).standard_normal(size).astype("float32")
    moved = np.zeros(size + 8, "float32")[offset : offset + size]
    moved[...] = g
    assert optimizers.norm(moved) == optimizers.norm(g)
    assert optimizers.norm(g) == pytest.approx(math.sqrt(math.fsum(float(x) ** 2 for x in g)), rel=1e-14)


# -- a learning rate for each parameter ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [SGD(0.1, momentum=0.9, nesterov=True), Adam(0.1), RMSprop(0.1)], ids=repr)
def test_a_multiplied_rate_is_that_of_an_optimizer_with_this_rate(rule):
    rng = np.random.default_rng(1)
    values = {"a/kernel": rng.standard_normal((3, 2)), "a/bias": rng.standard_normal(3), "b/bias": rng.standard_normal(2)}
    config = {key: value for key, value in rule.get_config().items() if key != "learning_rate"}
    one = type(rule)(0.1, learning_rate_multipliers={"bias": 2.0, "b/bias": 3.0}, **config)
    rates = {"a/kernel": 0.1, "a/bias": 0.1 * 2.0, "b/bias": 0.1 * (2.0 * 3.0)}
    each = {name: type(rule)(rate, **config) for name, rate in rates.items()}
    together, apart = ({name: value.copy() for name, value in values.items()} for _ in range(2))
    for _ in range(3):
        grads = {name: rng.standard_normal(value.shape) for name, value in values.items()}
        one.update(together, grads)
        for name, optimizer in each.items():
            optimizer.update([apart[name]], [grads[name]])
    for name in values:
        np.testing.assert_array_equal(together[name], apart[name])


def test_a_model_gives_its_optimizer_the_names_that_multipliers_need():
    model = Model(x := Input(shape=(3,)), Dense(2, activation="softmax")(x), seed=0)
    model.compile(SGD(0.1, learning_rate_multipliers={"bias": 0.0}))
    before = model.get_weights()
    model.train_on_batch(np.ones((2, 3), "float32"), np.eye(2))
    after = model.get_weights()
    assert (after[0] != before[0]).any()
    np.testing.assert_array_equal(after[1], before[1])


def test_weight_decay_is_not_multiplied():
    p = {"bias": np.array([1.0])}
    SGD(0.1, weight_decay=0.5, learning_rate_multipliers={"bias": 100.0}).update(p, {"bias": np.array([0.0])})
    np.testing.assert_allclose(p["bias"], [0.95])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": 2.0}, "expected names of parameters, got 'gamma'"),
        ({"bias": -1.0}, "the factor of 'bias': expected a finite number of at least 0, got -1"),
        ([2.0], "expected a dict with names as keys"),
    ],
)
def test_multipliers_that_cannot_be_meant_are_refused(given, message):
    p = np.array([1.0])
    with pytest.raises(ValueError, match=message):
        SGD(0.1, learning_rate_multipliers=given).update({"a/bias": p}, {"a/bias": p})
    assert p == 1


def test_multipliers_need_names():
    with pytest.raises(ValueError, match=r"expected params as a dict.*Pass model\.params"):
        SGD(0.1, learning_rate_multipliers={"bias": 2.0}).update([np.array([1.0])], [np.array([1.0])])


def test_multipliers_are_among_the_settings_that_are_saved(tmp_path):
    model = Model(x := Input(shape=(3,)), Dense(2, activation="softmax")(x), seed=0)
    model.compile(SGD(0.1, learning_rate_multipliers={"bias": 4.0}))
    model.train_on_batch(np.ones((2, 3), "float32"), np.eye(2))
    model.save(tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz").optimizer.learning_rate_multipliers == {"bias": 4.0}
