"""The checks of schedules, initializers and regularizers, of weighted losses, and of what training changes in a layer."""

import numpy as np
import pytest

from scratchnet import Dropout, Layer, RandomFlip, initializers, reference
from scratchnet.gradcheck import (
    GradientCheckError,
    check_initializer,
    check_layer,
    check_loss,
    check_regularizer,
    check_schedule,
)
from scratchnet.losses import CategoricalCrossentropy, softmax, softmax_cross_entropy_losses
from scratchnet.regularizers import L1, L1L2, L2, Regularizer
from scratchnet.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PiecewiseLinear,
    PolynomialDecay,
)


def failed(report):
    return {f"{row.check} {row.name}" for row in report.failures}


# -- schedules ---------------------------------------------------------------------------------------------------------

SCHEDULES = [
    ExponentialDecay(0.1, 1000, 0.96),
    ExponentialDecay(0.1, 7, 0.5, staircase=True),
    ExponentialDecay(0.1, 7, 0.0),
    InverseTimeDecay(0.1, 7, 0.5),
    InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    PiecewiseConstantDecay([5, 9], [0.1, 0.05, 0.01]),
    PiecewiseLinear([2, 5, 11], [0.02, 0.1, 0.01]),
    PolynomialDecay(0.1, 30, power=0.5),
    PolynomialDecay(0.1, 7, cycle=True),
    CosineDecay(0.1, 30, alpha=0.1),
    CosineDecay(0.01, 30, warmup_target=0.1, warmup_steps=4),
    CosineDecay(0.01, 30, warmup_target=0.1),
    CosineDecayRestarts(0.1, 5, t_mul=1.5, m_mul=0.9, alpha=0.1),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_schedule_agrees_with_its_formula_in_another_form(schedule):
    report = check_schedule(schedule, raise_on_failure=True)
    assert [f"{row.check} {row.name}" for row in report.rows] == ["definition rates", "contract rates", "contract any order"]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_that_is_one_step_late_or_early_is_found(schedule, monkeypatch):
    right = type(schedule).__call__
    for wrong in (lambda self, step: right(self, max(step - 1, 0)), lambda self, step: right(self, step + 1)):
        monkeypatch.setattr(type(schedule), "__call__", wrong)
        assert failed(check_schedule(schedule)) == {"definition rates"}


def test_the_row_of_a_wrong_schedule_names_the_step():
    right = CosineDecay(0.1, 1000, warmup_target=0.2, warmup_steps=100)

    def late(step):
        return right(step) if step != 101 else 0.0

    (row,) = check_schedule(late, steps=[0, 50, 101, 500], definition=right).failures
    assert row.where == (101,)


def test_a_schedule_of_your_own_is_compared_only_with_a_definition():
    class Halved(LearningRateSchedule):
        def __init__(self, first):
            self.first = first

        def __call__(self, step):
            return self.first / 2**step

    assert [row.check for row in check_schedule(Halved(0.5)).rows] == ["contract", "contract"]
    assert check_schedule(Halved(0.5), definition=lambda step: 0.5 * 0.5**step).passed
    assert not check_schedule(Halved(0.5), definition=lambda step: 0.5 * 0.5 ** (step + 1)).passed
    assert [row.check for row in check_schedule(CosineDecay(0.1, 9), definition=None).rows] == ["contract", "contract"]


def test_a_schedule_that_counts_its_calls_is_found():
    class Counting(LearningRateSchedule):
        def __init__(self):
            self.calls = 0

        def __call__(self, step):
            self.calls += 1
            return 1 / self.calls

    schedule = Counting()
    assert failed(check_schedule(schedule)) == {"contract any order"}
    assert schedule.calls == 0                          # a copy was checked


@pytest.mark.parametrize("wrong", [lambda step: -1.0, lambda step: 1 / (step - 3), lambda step: np.nan, lambda step: None])
def test_a_rate_that_no_optimizer_takes_is_a_failure_of_the_check(wrong):
    assert failed(check_schedule(wrong)) == {"contract rates"}
    with pytest.raises(GradientCheckError):
        check_schedule(wrong, raise_on_failure=True)


@pytest.mark.parametrize("wrong", [0.1, CosineDecay, None])
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(TypeError, match="check_schedule: expected an object such as CosineDecay"):
        check_schedule(wrong)


# -- initializers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in initializers.KNOWN if name != "identity"])
@pytest.mark.parametrize("seed", range(3))
def test_every_initializer_draws_from_its_distribution(name, seed):
    report = check_initializer(name, (3, 2, 4, 3), seed=seed, raise_on_failure=True)
    compared = {row.name for row in report.rows if row.check == "definition"}
    expected = set() if name == "dirac" else {"mean", "mean of each", "variance", "range"}
    assert compared == expected | ({"orthogonality"} if name == "orthogonal" else set())


def test_arguments_and_a_seed_of_an_initializer_are_respected():
    for rule in (
        initializers.HeNormal(seed=3),
        initializers.VarianceScaling(0.5, "fan_out", "uniform"),
        initializers.VarianceScaling(3.0, "fan_avg", "untruncated_normal"),
        initializers.TruncatedNormal(5.0, 0.1),
        initializers.RandomUniform(2, 3),
        initializers.Orthogonal(gain=2.0),
        initializers.Constant(0.1),
    ):
        check_initializer(rule, (3, 5), raise_on_failure=True)
    assert check_initializer(initializers.HeNormal(seed=3)).title.startswith("HeNormal")


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda shape, rng: 0.03 + rng.standard_normal(shape), {"definition mean"}),
        (lambda shape, rng: 1.1 * rng.standard_normal(shape), {"definition variance"}),
        (lambda shape, rng: np.random.default_rng(0).standard_normal(shape), {"definition mean of each", "contract new numbers"}),
        (lambda shape, rng: rng.standard_normal(shape) * np.arange(2), {"definition variance"}),
        (lambda shape, rng: rng.standard_normal(shape) + [-0.5, 0.5], {"definition mean of each"}),
        (lambda shape, rng: rng.standard_normal((3, *shape[1:])), {"contract runs"}),
        (lambda shape, rng: 1 / 0, {"contract runs"}),
    ],
)
def test_each_kind_of_bug_in_an_initializer_is_found(wrong, found):
    assert found <= failed(check_initializer(wrong, (5, 4, 3, 2), mean=0.0, variance=1.0))
    with pytest.raises(GradientCheckError):
        check_initializer(wrong, (5, 4, 3, 2), mean=0.0, variance=1.0, raise_on_failure=True)


@pytest.mark.parametrize("given", [{"mean": 0.0}, {"variance": 1.0}])
def test_a_mean_without_a_variance_or_the_other_way_round_is_refused(given):
    with pytest.raises(ValueError, match="check_initializer: expected both mean and variance, or neither, got mean="):
        check_initializer("he_normal", **given)


def test_an_initializer_that_ignores_the_generator_is_found():
    rng = np.random.default_rng(5)
    assert failed(check_initializer(lambda shape, _: rng.standard_normal(shape))) == {"contract bits"}


def test_numbers_outside_the_range_of_a_rule_are_found(monkeypatch):
    def rarely_far(self, shape, rng):
        w = rng.uniform(-0.05, 0.05, shape)
        w.flat[0] *= 1.02
        return w

    monkeypatch.setattr(initializers.RandomUniform, "draw", rarely_far)
    assert failed(check_initializer("random_uniform")) == {"definition range"}


def test_columns_that_are_not_orthogonal_are_found(monkeypatch):
    monkeypatch.setattr(initializers.Orthogonal, "draw", lambda self, shape, rng: rng.choice([-0.5, 0.5], shape))
    assert "definition orthogonality" in failed(check_initializer("orthogonal", (4, 3)))


# -- regularizers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [L1(0.1), L2(0.3), L1L2(0.1, 0.2), L1L2(0.0, 0.0), "l1", "l2"])
def test_the_gradient_of_every_regularizer_is_that_of_its_value(rule):
    report = check_regularizer(rule, raise_on_failure=True)
    assert [row.check for row in report.rows] == ["gradient", "definition", "contract"]


def test_bugs_of_a_regularizer_of_your_own_are_found():
    class Smooth(Regularizer):
        def __call__(self, w):
            return float(np.sqrt(1 + w * w).sum())

        def gradient(self, w):
            return w / np.sqrt(1 + w * w)

    class Half(Smooth):
        def gradient(self, w):
            return 0.5 * super().gradient(w)

    class Writing(Smooth):
        def gradient(self, w):
            g = super().gradient(w)
            w *= 0.5
            return g

    assert [row.check for row in check_regularizer(Smooth(), raise_on_failure=True).rows] == ["gradient", "contract"]
    assert failed(check_regularizer(Half())) == {"gradient w"}
    assert "contract inputs" in failed(check_regularizer(Writing()))
    with pytest.raises(ValueError, match="check_regularizer: expected 'l1'"):
        check_regularizer(None)


# -- losses with weights and smoothed labels ---------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_a_loss_with_smoothed_labels_is_compared_with_its_own_definition(smoothing):
    check_loss(CategoricalCrossentropy(label_smoothing=smoothing), raise_on_failure=True)


def weighted(value=True, gradient=True):
    def loss(logits, y, sample_weight=None):
        w = np.ones(len(y)) if sample_weight is None else sample_weight
        losses = softmax_cross_entropy_losses(logits, y)
        dlogits = (softmax(logits) - y) / len(y)
        return (losses * w if value else losses).mean(), dlogits * w[:, None] if gradient else dlogits

    return loss


def test_weights_that_reach_only_the_value_or_only_the_gradient_are_found():
    check_loss(weighted(), raise_on_failure=True)
    assert failed(check_loss(weighted(value=False), definition=None)) == {"gradient dlogits, weights"}
    assert failed(check_loss(weighted(gradient=False), definition=None)) == {"gradient dlogits, weights"}
    assert failed(check_loss(weighted(False, False))) == {"definition loss, weights", "definition dlogits, weights"}


# -- what training changes in a layer ----------------------------------------------------------------------------------


class Mean(Layer):
    """Subtract the moving mean, which training moves; the loops subtract it one number at a time."""

    momentum = 0.9
    implementations = {
        "loops": (lambda x, mean: np.stack([row - mean for row in x]), lambda dout: dout.copy()),
        "fused": (lambda x, mean: x - mean, lambda dout: dout.copy()),
    }

    def make_state(self):
        return {"mean": np.zeros(self.input_shape)}

    def forward(self, x, training=False):
        self.check_input(x)
        self.cache = ()
        out = self.forward_function(x, self.state["mean"])
        if training and self.trainable:
            self.state["mean"][...] = self.momentum * self.state["mean"] + (1 - self.momentum) * x.mean(axis=0)
        return out

    def backward(self, dout, need_dx=True):
        self.cached(dout)
        return self.backward_function(dout)


@pytest.fixture
def rule(monkeypatch):
    def moved(x, state, config):
        return {"mean": 0.9 * state["mean"] + 0.1 * x.sum(axis=0) / len(x)}

    monkeypatch.setitem(reference.STATE_RULES, "Mean", moved)


def test_the_state_that_training_leaves_is_compared_with_its_formula(rule):
    report = check_layer(Mean(), (3,), raise_on_failure=True)
    assert {"mean", "mean, ties", "mean, large"} <= {row.name for row in report.rows}
    assert "mean (inference)" not in {row.name for row in report.rows}

    class Reversed(Mean):                               # the formula of its base applies to it
        momentum = 0.1

    assert failed(check_layer(Reversed(), (3,))) == {"definition mean", "definition mean, ties", "definition mean, large"}


def test_the_state_of_a_layer_without_loops_is_compared_with_its_formula(rule):
    class Alone(Mean):
        implementations = {}
        forward_function = staticmethod(lambda x, mean: x - mean)
        backward_function = staticmethod(lambda dout: dout.copy())

    report = check_layer(Alone(), (3,), raise_on_failure=True)
    assert {row.name for row in report.rows if row.check == "definition"} == {"mean", "mean, ties", "mean, large"}

    class Reversed(Alone):
        momentum = 0.1

    assert failed(check_layer(Reversed(), (3,))) == {"definition mean", "definition mean, ties", "definition mean, large"}


def test_without_a_formula_the_state_is_that_of_the_loops():
    check_layer(Mean(), (3,), raise_on_failure=True)

    class Fused(Mean):
        def forward(self, x, training=False):
            out = super().forward(x, training)
            self.state["mean"] += training * self.trainable * (self.running == "other")
            return out

    check_layer(Fused(), (3,), raise_on_failure=True)


def test_a_frozen_layer_whose_state_moves_is_found(rule):
    class Moving(Mean):
        @property
        def trainable(self):
            return True

        @trainable.setter
        def trainable(self, value):
            pass

    report = check_layer(Moving(), (3,))
    assert failed(report) == {"contract frozen", "contract frozen (inference)"}
    assert "trainable is False" in report.failures[0].note


# -- what is drawn -----------------------------------------------------------------------------------------------------


class Noise(Layer):
    draws = True

    def drawn(self, shape):
        return self.rng.random(shape)

    def forward(self, x, training=False):
        self.check_input(x)
        self.cache = (np.array(0.5 + self.drawn(x.shape), x.dtype) if training else np.ones_like(x),)
        return x * self.cache[0]

    def backward(self, dout, need_dx=True):
        (factor,) = self.cached(dout)
        return dout * factor


class OnceForAll(Noise):
    def drawn(self, shape):
        return np.broadcast_to(self.rng.random((1, *shape[1:])), shape)


class SameInEachBatch(Noise):
    def drawn(self, shape):
        return np.random.default_rng(0).random(shape)


class Nothing(Noise):
    def drawn(self, shape):
        return np.zeros(shape)


def test_random_numbers_for_each_image_are_not_accused():
    for layer in (Noise(), Nothing()):
        check_layer(layer, (3,), raise_on_failure=True)


@pytest.mark.parametrize(
    ("kind", "note"), [(OnceForAll, "all images of a batch get the same"), (SameInEachBatch, "each batch gets the same")]
)
def test_random_numbers_that_are_drawn_too_rarely_are_found(kind, note):
    (row,) = check_layer(kind(), (3,)).failures
    assert row.name == "batch of one"
    assert note in row.note


def test_a_layer_that_declares_it_may_draw_once_for_a_batch():
    class Declared(OnceForAll):
        couples_batch = True

    check_layer(Declared(), (3,), raise_on_failure=True)
    check_layer(Dropout(0.5, noise_shape=(1, None)), (3,), raise_on_failure=True)


def test_a_random_layer_that_mixes_images_is_found():
    class Exchanging(Noise):
        def forward(self, x, training=False):
            return super().forward(x, training)[:: -1 if training else 1].copy()

        def backward(self, dout, need_dx=True):
            return super().backward(dout)

    assert "depends on the other images" in next(row.note for row in check_layer(Exchanging(), (3,)).failures if row.note)


@pytest.mark.parametrize("layer", [Dropout(0.3), RandomFlip("vertical")])
def test_a_layer_that_only_draws_must_return_its_input_in_inference(layer, monkeypatch):
    names = {row.name for row in check_layer(layer, (4, 3, 2), raise_on_failure=True).rows if row.check == "definition"}
    assert {"out (inference)", "dx (inference)"} <= names
    right = type(layer).forward

    def doubled(self, x, training=False):
        return right(self, x, training=training) * (1 if training else 2)

    monkeypatch.setattr(type(layer), "forward", doubled)
    assert "definition out (inference)" in failed(check_layer(layer, (4, 3, 2)))
