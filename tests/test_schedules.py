"""Learning rate schedules: at which step a rate changes, and what an optimizer does with a schedule."""

import copy
import importlib
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import Dense, Input, Sequential, load_model, optimizers
from scratchnet.callbacks import ModelCheckpoint
from scratchnet.gradcheck import check_optimizer
from scratchnet.optimizers import SGD, Adam, schedules
from scratchnet.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

EXAMPLES = [
    ExponentialDecay(0.1, 3, 0.5),
    ExponentialDecay(0.1, 3, 0.5, staircase=True),
    InverseTimeDecay(0.1, 3, 0.5),
    PiecewiseConstantDecay([2, 4], [0.1, 0.05, 0.01]),
    PolynomialDecay(0.1, 6),
    CosineDecay(0.1, 6, 0.1),
    CosineDecay(0.0, 4, warmup_target=0.1, warmup_steps=3),
    CosineDecayRestarts(0.1, 3),
]
each_example = pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)


class Mine(LearningRateSchedule):
    def __init__(self, first):
        self.first = first

    def __call__(self, step):
        return self.first / (step + 1)


def rates(schedule, steps):
    return [schedule(step) for step in range(steps)]


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 4)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 12)]


def model_with(optimizer):
    model = Sequential([Input(shape=(4,)), Dense(3, activation="softmax")], seed=1)
    model.compile(optimizer)
    return model


# -- the formulas -----------------------------------------------------------------------------------------------------


def test_the_module_has_the_path_it_has_in_keras():
    assert importlib.import_module("scratchnet.optimizers.schedules") is schedules is optimizers.schedules


def test_a_staircase_falls_at_multiples_of_decay_steps_and_not_before():
    assert rates(ExponentialDecay(1.0, 3, 0.5, True), 7) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert rates(InverseTimeDecay(1.0, 3, 1.0, True), 7) == [1, 1, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 3]


def test_a_boundary_is_the_last_step_of_the_old_rate():
    assert rates(PiecewiseConstantDecay([0, 2], [3.0, 2.0, 1.0]), 5) == [3, 2, 2, 1, 1]
    assert rates(PiecewiseConstantDecay([1.5], [2.0, 1.0]), 4) == [2, 2, 1, 1]
    assert rates(PiecewiseConstantDecay([], [2.0]), 2) == [2, 2]


def test_a_warm_up_reaches_its_target_at_warmup_steps_and_the_cosine_ends_decay_steps_later():
    schedule = CosineDecay(0.1, 10, 0.25, warmup_target=0.5, warmup_steps=4)
    np.testing.assert_allclose(rates(schedule, 5), [0.1, 0.2, 0.3, 0.4, 0.5])
    assert schedule(9) == pytest.approx(0.5 * (1 + 0.25) / 2)           # half way
    assert schedule(13) > schedule(14) == schedule(1000) == 0.125


def test_warmup_steps_without_a_target_are_not_used_as_in_keras():
    assert rates(CosineDecay(0.5, 4, warmup_steps=3), 6) == rates(CosineDecay(0.5, 4), 6)


@given(st.floats(1e-4, 1), st.integers(1, 50), st.floats(0.01, 1), st.integers(0, 200))
def test_continuous_decays_follow_their_recursion(first, steps, rate, step):
    falling = ExponentialDecay(first, steps, rate)
    assert falling(step + steps) == pytest.approx(falling(step) * rate, rel=1e-9)
    inverse = InverseTimeDecay(first, steps, rate)
    assert 1 / inverse(step + steps) == pytest.approx(1 / inverse(step) + rate / first, rel=1e-9)


@given(st.integers(1, 40), st.sampled_from([1.0, 1.5, 2.0]), st.integers(0, 3))
def test_restarts_begin_where_the_lengths_before_end(length, longer, number):
    at = math.ceil(sum(length * longer**i for i in range(number)))
    schedule = CosineDecayRestarts(1.0, length, longer, 0.5)
    assert schedule(at) <= 0.5**number
    if at == sum(length * longer**i for i in range(number)):
        assert schedule(at) == 0.5**number
        assert number == 0 or schedule(at - 1) < 0.5 ** (number - 1) or length * longer ** (number - 1) == 1


@each_example
def test_a_schedule_is_the_code_that_creates_it_and_survives_every_copy(schedule):
    again = [
        eval(repr(schedule)),
        type(schedule).from_config(schedule.get_config()),
        schedules.deserialize(schedules.serialize(schedule)),
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),
    ]
    assert all(rates(other, 12) == rates(schedule, 12) and repr(other) == repr(schedule) for other in again)
    assert all(isinstance(rate, float) and rate >= 0 for rate in rates(schedule, 12))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExponentialDecay(-0.1, 3, 0.5), "initial_learning_rate: expected a finite number of at least 0, got -0.1"),
        (lambda: ExponentialDecay(0.1, 0, 0.5), "decay_steps: expected a finite number above 0, got 0"),
        (lambda: ExponentialDecay(0.1, 3, math.nan), "decay_rate: expected a finite number"),
        (lambda: ExponentialDecay(0.1, 3, 0.5, "yes"), "staircase: expected True or False"),
        (lambda: PiecewiseConstantDecay([1], [0.1]), "one value more than boundaries, got 1 boundaries and 1 values"),
        (lambda: PiecewiseConstantDecay([3, 1], [0.1, 0.2, 0.3]), "increasing order"),
        (lambda: PiecewiseConstantDecay([1, 1], [0.1, 0.2, 0.3]), "increasing order"),
        (lambda: PiecewiseConstantDecay(3, [0.1]), "boundaries: expected a list of numbers"),
        (lambda: PolynomialDecay(0.1, -5), "decay_steps"),
        (lambda: CosineDecay(0.1, 5, -1), "alpha"),
        (lambda: CosineDecay(0.1, 5, warmup_target="0.1"), "warmup_target"),
        (lambda: CosineDecayRestarts(0.1, 5, 0.5), "t_mul: expected a finite number of at least 1"),
        (lambda: LearningRateSchedule()(0), r"needs a method __call__\(self, step\)"),
        (lambda: schedules.deserialize({"class_name": "Mine", "config": {}}), "CosineDecay.*got 'Mine'.*custom_objects"),
    ],
)
def test_arguments_that_no_schedule_can_have_are_refused(make, words):
    with pytest.raises((ValueError, NotImplementedError), match=words):
        make()


def test_a_word_that_does_not_exist_is_refused_with_a_sentence():
    with pytest.raises(TypeError, match=r"ExponentialDecay: expected only arguments among .*, got steps=3"):
        ExponentialDecay(0.1, steps=3, decay_rate=0.5)


# -- in an optimizer --------------------------------------------------------------------------------------------------


@each_example
@pytest.mark.parametrize("kind", optimizers.KNOWN.values())
def test_each_step_has_the_rate_of_the_number_of_steps_before_it(kind, schedule):
    check_optimizer(kind(learning_rate=schedule), raise_on_failure=True)


def test_the_first_step_has_the_rate_of_step_zero():
    optimizer, p = SGD(PiecewiseConstantDecay([0], [1.0, 0.25])), np.zeros(1)
    moved = []
    for _ in range(3):
        rate, before = optimizer.learning_rate, p.copy()
        optimizer.update([p], [np.ones(1)])
        moved.append((rate, *(before - p)))
    assert moved == [(1.0, 1.0), (0.25, 0.25), (0.25, 0.25)]


def test_a_step_of_ones_own_reads_the_rate_of_its_own_step():
    seen = []

    class Own(optimizers.Optimizer):
        def step(self, p, g, state):
            seen.append((self.iterations, self.learning_rate))

    optimizer = Own(Mine(1.0))
    for _ in range(3):
        optimizer.update([np.ones(1), np.ones(1)], [np.ones(1), np.ones(1)])
    assert seen == [(1, 1.0)] * 2 + [(2, 0.5)] * 2 + [(3, 1 / 3)] * 2
    assert optimizer.learning_rate == 0.25


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda step: 0.5**step, [1, 0.5, 0.25]),
        (lambda: 0.125, [0.125] * 3),                               # as Keras calls a function
        (lambda step: np.where(step < 1, 0.5, 0.25), [0.5, 0.25, 0.25]),
        (lambda step: np.float32(0.5), [0.5] * 3),
    ],
    ids=["of the step", "without argument", "an array without axes", "a number of NumPy"],
)
def test_a_plain_function_is_a_schedule_too(function, expected):
    optimizer, read = SGD(function), []
    for _ in range(3):
        read.append(optimizer.learning_rate)
        optimizer.update([np.ones(1)], [np.ones(1)])
    assert read == expected


@pytest.mark.parametrize("bad", [math.nan, -0.1, math.inf, None, "0.1", [0.1]], ids=repr)
def test_a_rate_that_is_no_finite_number_stops_the_step_before_anything_changes(bad):
    optimizer, p = Adam(lambda step: bad if step else 0.5), np.ones(2)
    optimizer.update([p], [np.ones(2)])
    before, state = p.copy(), copy.deepcopy(optimizer.state)
    with pytest.raises(ValueError, match=r"the learning rate of <function .* at step 1: expected a finite number"):
        optimizer.update([p], [np.ones(2)])
    assert optimizer.iterations == 1
    np.testing.assert_array_equal(p, before)
    np.testing.assert_array_equal(optimizer.state, state)


def test_a_rate_too_large_for_a_float_is_refused_in_the_same_words():
    optimizer = SGD(ExponentialDecay(1.0, 1, 1e6))
    optimizer.iterations = 100
    with pytest.raises(ValueError, match="at step 100: expected a finite number of at least 0, got inf"):
        optimizer.learning_rate  # noqa: B018


def test_a_number_does_not_replace_a_schedule_but_another_schedule_does():
    optimizer = Adam(Mine(0.5))
    with pytest.raises(TypeError, match=r"expected another schedule.*got 0\.1.*Adam\(learning_rate=0\.001\)"):
        optimizer.learning_rate = 0.1
    assert (optimizer.learning_rate, optimizer.get_config()["learning_rate"].first) == (0.5, 0.5)
    optimizer.learning_rate = Mine(0.25)
    assert optimizer.learning_rate == 0.25
    fixed = Adam(0.5)
    assert fixed.get_config()["learning_rate"] == 0.5
    fixed.learning_rate = Mine(0.125)
    assert fixed.learning_rate == 0.125


def test_a_class_in_place_of_a_schedule_is_refused():
    with pytest.raises(ValueError, match="A class needs parentheses"):
        Adam(ExponentialDecay)


# -- saved and loaded -------------------------------------------------------------------------------------------------


KINDS = {
    "sgd": SGD,
    "adamw": optimizers.AdamW,
    "amsgrad": lambda schedule: Adam(schedule, amsgrad=True, weight_decay=0.125, clipvalue=0.01),
    "nadam": lambda schedule: optimizers.Nadam(schedule, global_clipnorm=0.25),
    "rmsprop": lambda schedule: optimizers.RMSprop(schedule, momentum=0.5, centered=True, clipnorm=0.25),
}


@each_example
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_training_resumes_in_the_middle_of_a_schedule_with_the_same_bits(tmp_path, kind, schedule):
    x, y = data()
    straight = model_with(kind(schedule))
    straight.fit(x, y, batch_size=5, epochs=4, verbose=0)
    first = model_with(kind(schedule))
    first.fit(x, y, batch_size=5, epochs=2, verbose=0)
    first.save(tmp_path / "model.npz")
    second = load_model(tmp_path / "model.npz")
    assert repr(second.optimizer) == repr(first.optimizer)
    assert second.optimizer.learning_rate == schedule(6)
    second.fit(x, y, batch_size=5, initial_epoch=2, epochs=4, verbose=0)
    for a, b in zip(straight.get_weights(), second.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_schedule_of_ones_own_is_loaded_if_its_class_is_given(tmp_path):
    model_with(Adam(Mine(0.5))).save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"got 'Mine'\. Pass its class: custom_objects=\{'Mine': Mine\}"):
        load_model(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz", custom_objects={"Mine": Mine})
    assert type(again.optimizer.get_config()["learning_rate"]) is Mine
    assert again.optimizer.learning_rate == 0.5


def test_a_plain_function_is_refused_by_save_and_before_a_training_that_saves(tmp_path):
    x, y = data()
    model = model_with(SGD(lambda step: 0.1))
    for save in (model.save, lambda path: model.fit(x, y, verbose=0, callbacks=[ModelCheckpoint(path)])):
        with pytest.raises(ValueError, match=r"which can be saved.*Derive a class from LearningRateSchedule"):
            save(tmp_path / "model.npz")
    assert model.optimizer.iterations == 0
    assert not any(tmp_path.iterdir())
    model.fit(x, y, verbose=0)
