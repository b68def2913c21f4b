"""The checker itself: right code passes, and wrong code fails in the row that is meant to find it."""

from pathlib import Path

import numpy as np
import pytest

from scratchnet import AveragePooling2D, Conv2D, Dense, Input, MaxPooling2D, MinPooling2D, Model, Softmax, reference
from scratchnet.gradcheck import (
    GradientCheckError,
    check_function,
    check_layer,
    check_loss,
    check_model,
    check_optimizer,
    complex_step_gradient,
    contract,
    numerical_gradient,
)
from scratchnet.gradcheck.comparison import compare, relative_errors
from scratchnet.gradcheck.definition import counted_windows
from scratchnet.gradcheck.numeric import Numeric, central_differences, differences
from scratchnet.gradcheck.report import Report, Row, table
from scratchnet.gradcheck.under_test import fresh
from scratchnet.layers import Layer
from scratchnet.losses import (
    CategoricalCrossentropy,
    Loss,
    SparseCategoricalCrossentropy,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_losses,
)
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam


def test_a_known_derivative_is_found_by_both_methods():
    x = np.random.default_rng(0).standard_normal((3, 2))
    dout = np.random.default_rng(1).standard_normal((3, 2))
    expected = dout * np.cos(x)
    np.testing.assert_allclose(numerical_gradient(lambda: np.sin(x), x, dout), expected, atol=1e-9)
    np.testing.assert_allclose(complex_step_gradient(np.sin, [x], 0, dout), expected, rtol=1e-14)


def test_the_error_against_the_step_is_v_shaped():
    x = np.array([0.7])
    errors = [abs(numerical_gradient(lambda: np.exp(x), x, step=h)[0] - np.exp(0.7)) for h in (1e-2, 1e-5, 1e-12)]
    assert errors[1] < 1e-3 * min(errors[0], errors[2])


def test_numbers_are_restored_to_the_last_bit():
    x = np.random.default_rng(0).standard_normal(5)
    before = x.tobytes()
    numerical_gradient(lambda: x**3, x, np.ones(5))
    assert x.tobytes() == before


def test_less_than_float64_is_refused():
    with pytest.raises(ValueError, match="astype"):
        numerical_gradient(lambda: 1.0, np.ones(2, "float32"))


def test_an_error_of_one_part_in_ten_thousand_is_found():
    x = np.random.default_rng(0).standard_normal((4, 3))
    report = check_function(lambda x: x**2, lambda dout, x: 2.0002 * x * dout, [x])
    assert not report.passed
    assert report.failures[0].largest == pytest.approx(1e-4, rel=0.01)


def test_a_gradient_that_is_right_only_for_upstream_ones_is_found():
    """The outputs of softmax sum to 1, so with upstream ones the true gradient is 0, and any backward that returns 0 passes."""
    x = np.random.default_rng(0).standard_normal((2, 4))

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(axis=1, keepdims=True)

    assert not check_function(softmax, lambda dout, x: 0 * x, [x]).passed


def test_a_backward_that_writes_into_its_arguments_is_found():
    def backward(dout, x):
        dout *= 2 * x
        return dout

    report = check_function(lambda x: x**2, backward, [np.random.default_rng(0).standard_normal(3)])
    assert report.failures[0].check == "contract"


def test_a_gradient_of_nan_is_never_right():
    assert relative_errors(np.array([np.nan]), np.array([1.0]))[0] == np.inf
    x = np.ones(2)
    assert not check_function(lambda x: x**2, lambda dout, x: np.full(2, np.nan), [x]).passed


def test_a_check_whose_differences_all_cross_a_kink_does_not_pass():
    flips = iter(range(10**6))
    report = check_function(np.abs, lambda dout, x: dout, [np.ones(3)], kinks=lambda: [np.array(next(flips))])
    assert not report.passed
    assert report.failures[0].skipped == 3


def test_an_error_is_raised_on_request_and_contains_the_table():
    broken = {"forward": np.sin, "backward": lambda dout, x: dout, "arrays": [np.ones(2)]}
    assert not check_function(**broken).passed
    with pytest.raises(GradientCheckError, match=r"(?s)check.*argument 0.*WRONG"):
        check_function(**broken, raise_on_failure=True)


class Wrong(Layer):
    """A layer with one bug, of each kind that a check is meant to find."""

    def __init__(self, bug, *, name=None):
        super().__init__(name=name)
        self.bug, self.calls, self.backwards = bug, 0, 0

    def make_params(self, rng):
        return {"scale": rng.standard_normal(self.input_shape)}

    def forward(self, x):
        self.calls += 1
        kept = self.cache[0] if self.bug == "stale" and self.cache and self.cache[0].shape == x.shape else x
        if self.bug == "reads memory":
            x = x.ravel(order="K").reshape(x.shape)
        self.out = x * self.params["scale"]
        self.cache = (x, kept.copy() if "writes into the cache" in str(self.bug) else kept, self.out)
        if self.bug == "writes into x" or (self.bug == "writes into x the second time" and self.calls == 2):
            x += 1e-3
        if self.bug == "half precise" and x.dtype == np.float32:
            return (self.out.astype("float16") * 1.01).astype("float32")
        if self.bug == "other bits in one buffer":
            self.buffers = getattr(self, "buffers", {})
            buffer = self.buffers.setdefault((x.shape, x.dtype), np.empty_like(self.out))
            buffer[...] = self.out * (1 + 1e-12 * self.calls)
            return buffer
        return self.out.astype("float64") if self.bug == "float64 out" else self.out

    def backward(self, dout, need_dx=True):
        x = self.cache[1]
        if self.bug == "writes into dout":
            dout *= 1.0
            dout += 0.5
        grad = (dout * x).sum(axis=0)
        self.backwards += 1
        if self.bug == "writes into the cache" or (self.bug == "writes into the cache the second time" and self.backwards == 2):
            x += 1e-3
        if self.bug == "writes into out":
            self.out += 1e-3
        if self.bug == "writes into a parameter":
            self.params["scale"] += 1e-3
        if self.bug == "accumulates" and self.grads:
            grad = grad + self.grads["scale"]
        if self.bug == "last backward":
            x, self.last = getattr(self, "last", x), x.copy()
            grad = (dout * x).sum(axis=0) if x.shape == dout.shape else grad
        if self.bug == "mean":
            grad = grad / len(x)
        if self.bug == "float64 gradient":
            grad = grad.astype(np.float64)
        if self.bug == "float32 gradient":
            grad = grad.astype(np.float32)
        if self.bug == "other bits":
            grad = grad * (1 + 1e-12 * self.calls)
        if self.bug == "single image":
            dout = dout if len(dout) > 1 else 0 * dout
        grads_before, self.grads = self.grads, {"scale": grad}
        if self.bug == "without dx half" and not need_dx:
            self.grads = {"scale": grad / 2}
        if self.bug == "without dx nothing" and not need_dx:
            self.grads = grads_before
        if self.bug == "no gradient":
            self.grads = {}
        if self.bug == "one gradient too many":
            self.grads["shift"] = grad
        if self.bug == "gradient of another shape":
            self.grads["scale"] = grad[None]
        dx = dout * self.params["scale"]
        return dx.astype("float32") if self.bug == "float32 dx" else dx


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("mean", {"gradient scale", "contract batch of one"}),
        ("writes into dout", {"contract inputs"}),
        ("writes into x", {"contract inputs"}),
        ("writes into x the second time", {"contract inputs"}),
        ("writes into a parameter", {"contract inputs"}),
        ("writes into the cache", {"contract cache"}),
        ("writes into the cache the second time", {"contract cache"}),
        ("writes into out", {"contract cache"}),
        ("accumulates", {"contract bits"}),
        ("other bits", {"contract bits"}),
        ("other bits in one buffer", {"contract bits"}),
        ("stale", {"contract stale state"}),
        ("last backward", {"contract stale state"}),
        ("reads memory", {"contract memory layout"}),
        ("single image", {"contract batch of one"}),
        ("without dx half", {"contract need_dx=False"}),
        ("without dx nothing", {"contract need_dx=False"}),
        ("float64 gradient", {"contract float32"}),
        ("float32 gradient", {"contract shapes"}),
        ("float32 dx", {"contract shapes"}),
        ("one gradient too many", {"contract runs"}),
        ("gradient of another shape", {"gradient scale", "contract shapes"}),
        ("no gradient", {"contract runs"}),
        ("float64 out", {"contract float32"}),
        ("half precise", {"contract float32"}),
    ],
)
def test_each_kind_of_bug_in_a_custom_layer_is_found_by_the_row_that_is_meant_for_it(bug, found):
    report = check_layer(Wrong(bug), (3, 2))
    assert found <= {f"{row.check} {row.name}" for row in report.failures}
    assert all(bool(row.note) != row.passed for row in report.rows if row.check == "contract")


def test_each_condition_of_the_contract_has_a_layer_and_arrays_of_its_own(monkeypatch):
    seen = []

    def greedy(layer, xs, dout):
        seen.append((layer, xs[0], dout))
        assert layer.params["scale"].any()
        for array in (xs[0], dout, layer.params["scale"]):
            assert array.any()
            array[...] = 0
        return ""

    monkeypatch.setattr(contract, "CONTRACT", [("one", greedy), ("two", greedy)])
    check_layer(Wrong(None), (3, 2), raise_on_failure=True)
    assert len(seen) == 2


def test_an_exception_in_one_condition_of_the_contract_leaves_the_others(monkeypatch):
    def squeezes(layer, xs, dout):
        raise IndexError("too many indices")

    first, *others = contract.CONTRACT
    monkeypatch.setattr(contract, "CONTRACT", [first, ("batch of two", squeezes), *others])
    report = check_layer(Wrong(None), (3, 2))
    assert [row.name for row in report.failures] == ["batch of two"]
    assert report.failures[0].note == "IndexError: too many indices"
    assert [row.name for row in report.rows if row.check == "contract"][-len(others) :] == [name for name, _ in others]


def test_the_page_on_gradient_checking_lists_every_condition_of_the_contract():
    page = (Path(__file__).parents[2] / "docs" / "gradient-checking.md").read_text(encoding="utf-8")
    table = page.partition("| condition | finds |")[2].partition("\n\n")[0]
    listed = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert listed == [name for name, _ in contract.CONTRACT]


def test_a_layer_that_drops_its_cache_in_backward_fails_only_where_backward_runs_twice():
    class Drops(Wrong):
        def backward(self, dout, need_dx=True):
            dx = super().backward(dout)
            self.cache = None
            return dx

    assert [row.name for row in check_layer(Drops(None), (3, 2)).failures] == ["cache", "bits"]


def test_gradients_that_a_second_backward_adds_to_the_first_are_found():
    class Adds(Wrong):
        def forward(self, x):
            self.grads = {}
            return super().forward(x)

        def backward(self, dout, need_dx=True):
            before = dict(self.grads)
            dx = super().backward(dout)
            self.grads["scale"] = self.grads["scale"] + before.get("scale", 0)
            return dx

    assert [row.name for row in check_layer(Adds(None), (3, 2)).failures] == ["bits"]


def test_the_branch_pattern_of_a_pooling_layer_is_the_index_of_the_real_cell_that_wins():
    x = np.array([[-1, -5, -2, -9], [-3, -4, -8, -1]], float).reshape(1, 2, 4, 1)
    for kind, expected in ((MaxPooling2D, [0, 3]), (MinPooling2D, [1, 1])):
        layer = kind(2).build((2, 4, 1), dtype="float64")
        layer.forward(x)
        (chosen,) = layer.branch_pattern()
        np.testing.assert_array_equal(chosen, np.reshape(expected, (1, 2, 1)))
    layer = MaxPooling2D(2, strides=1, padding="same").build((2, 4, 1), dtype="float64")
    layer.forward(x)
    (chosen,) = layer.branch_pattern()
    np.testing.assert_array_equal(chosen.ravel(), [0, 1, 3, 2, 0, 0, 1, 0])


@pytest.mark.parametrize("parameters", [True, False])
def test_the_note_on_a_backward_that_fit_cannot_call_shows_the_signature(parameters):
    class Twice(Layer):
        def make_params(self, rng):
            return {"shift": np.ones(self.input_shape)} if parameters else {}

        def forward(self, x):
            return 2 * x + self.params.get("shift", 0)

        def backward(self, dout):
            self.grads = {"shift": dout.sum(axis=0)} if parameters else {}
            return 2 * dout

    (failure,) = check_layer(Twice(), (3,)).failures
    assert failure.name == "need_dx=False"
    assert "backward(self, dout, need_dx=True)" in failure.note


def test_a_layer_may_return_anything_as_dx_with_need_dx_false():
    class Frugal(Wrong):
        def backward(self, dout, need_dx=True):
            dx = super().backward(dout)
            return dx if need_dx else None

    report = check_layer(Frugal(None), (3, 2), raise_on_failure=True)
    assert [row.name for row in report.rows].count("need_dx=False") == 1


def test_the_note_on_a_missing_gradient_names_it():
    (row, *_) = check_layer(Wrong("no gradient"), (3, 2)).failures
    assert "self.grads" in row.note
    assert "'scale'" in row.note


def test_the_same_layer_without_a_bug_passes():
    check_layer(Wrong(None), (3, 2), raise_on_failure=True)


def test_an_exception_in_a_layer_is_a_failed_row_and_not_a_crash():
    class Unfinished(Layer):
        def forward(self, x):
            raise IndexError("not yet")

    report = check_layer(Unfinished(), (2,))
    assert [(row.name, row.passed) for row in report.rows] == [("runs", False)] * 2       # gradient and contract, once each
    assert "not yet" in str(report)


def test_the_layer_itself_is_not_changed():
    layer = Dense(2)
    check_layer(layer, (3,))
    assert not layer.built
    assert not layer.params


def test_a_loss_with_the_wrong_sign_or_without_its_mean_is_found():
    assert not check_loss(lambda z, y: (softmax_cross_entropy(z, y)[0], -softmax_cross_entropy(z, y)[1])).passed
    assert not check_loss(lambda z, y: (softmax_cross_entropy(z, y)[0], len(z) * softmax_cross_entropy(z, y)[1])).passed


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(),
        SGD(0.1, 0.9),
        SGD(0.1, 0.9, True),
        Adagrad(),
        Adagrad(0.01, 0.0),
        Adadelta(),
        Adadelta(1.0, 0.9),
        Adam(),
        Adam(0.1, 0.5, 0.7, 1e-3),
        SGD(0.1, 0.9, True, weight_decay=0.2, learning_rate_multipliers={"beta": 64.0}),
        Adam(learning_rate_multipliers={"bias": 2.0, "b/bias": 3.0, "kernel": 0.0}),
    ],
    ids=repr,
)
def test_every_optimizer_follows_its_formula(optimizer):
    check_optimizer(optimizer, raise_on_failure=True)


def test_a_factor_of_the_rate_that_is_forgotten_or_multiplies_the_decay_too_is_found():
    class Forgets(SGD):
        def _multipliers(self, params):
            return [1.0] * len(params)

    class DecaysToo(SGD):
        def step(self, p, g, state):
            p *= 1 - (self._rate_of_step - 0.01) * self.weight_decay        # 0.01 is already subtracted
            super().step(p, g, state)

    for kind in (Forgets, DecaysToo):
        kind.__name__ = "SGD"
        report = check_optimizer(kind(0.01, weight_decay=0.1, learning_rate_multipliers={"beta": 64.0}, implementation="numpy"))
        assert {row.name for row in report.failures} == {"beta", "beta, NumPy"}


def test_an_epsilon_in_the_wrong_place_is_found():
    class Inside(Adam):
        def step(self, p, g, state):
            m, v = state
            m[...] = self.beta_1 * m + (1 - self.beta_1) * g
            v[...] = self.beta_2 * v + (1 - self.beta_2) * g * g
            rate = self.learning_rate * np.sqrt(1 - self.beta_2**self.iterations) / (1 - self.beta_1**self.iterations)
            p -= rate * m / np.sqrt(v + self.epsilon)

    Inside.__name__ = "Adam"
    report = check_optimizer(Inside())
    assert "gradients of 1e-8" in {row.name for row in report.failures}
    assert {row.name: row.largest > 0.1 for row in report.rows if row.check == "update rule"} == {
        "matrix": False,
        "vector": False,
        "gradients of 1e-8": True,
        "matrix, NumPy": False,
        "vector, NumPy": False,
        "gradients of 1e-8, NumPy": True,
    }


# -- how errors are measured -------------------------------------------------------------------------------------------


def test_an_error_is_relative_to_the_larger_of_the_two_numbers():
    np.testing.assert_allclose(relative_errors(np.array([3.0, -2.0]), np.array([2.0, 2.0])), [1 / 3, 2.0], rtol=1e-15)


def test_small_numbers_beside_large_ones_are_measured_by_a_thousandth_of_the_largest():
    errors = relative_errors(np.array([1000.0, 1.1, 1e-3]), np.array([1000.0, 1.0, 0.0]))
    np.testing.assert_allclose(errors, [0, 0.1 / 1.1, 1e-3], rtol=1e-12)


def test_numbers_below_the_smallest_that_counts_are_rounding_unless_it_is_lowered():
    a, b = np.array([2e-9]), np.array([1e-9])
    np.testing.assert_allclose(relative_errors(a, b), [1e-3], rtol=1e-12)
    np.testing.assert_allclose(relative_errors(a, b, smallest=0), [0.5], rtol=1e-12)
    assert relative_errors(np.zeros(2), np.zeros(2), smallest=0).tolist() == [0, 0]


def test_equal_infinities_agree_and_others_are_infinitely_wrong():
    a, b = np.array([np.inf, -np.inf, 1.0, np.nan]), np.array([np.inf, np.inf, np.inf, np.nan])
    errors = relative_errors(a, b)
    assert errors[:3].tolist() == [0, np.inf, np.inf]
    assert np.isnan(errors[3])                     # not compared
    assert relative_errors(np.zeros(0), np.zeros(0)).shape == (0,)


def test_a_row_holds_the_largest_error_its_index_both_values_and_the_median():
    got, expected = np.ones((2, 3)), np.ones((2, 3))
    got[1, 2], got[0, 1] = 4.0, 1.001
    row = compare("gradient", "x", got, expected, 0.5, Numeric(expected, retried=2))
    assert (row.passed, row.where, row.analytic, row.numeric, row.compared) == (False, (1, 2), 4.0, 1.0, 6)
    assert (row.retried, row.skipped) == (2, 0)
    assert row.largest == pytest.approx(0.75)
    assert row.median == 0
    assert compare("gradient", "x", got, expected, 0.75).passed
    assert not compare("gradient", "x", got, expected, 0.7499).passed


def test_a_row_without_differences_counts_no_kinks():
    row = compare("definition", "x", np.ones(3), np.ones(3), 1.0)
    assert (row.passed, row.retried, row.skipped) == (True, 0, 0)


def test_a_gradient_of_another_shape_is_wrong_and_both_shapes_are_named():
    row = compare("gradient", "x", np.ones((3, 1)), np.ones(3), 1.0)
    assert not row.passed
    assert "(3, 1)" in row.note
    assert "(3,)" in row.note


@pytest.mark.parametrize(("skipped", "passes"), [(5, True), (6, False)])
def test_one_difference_in_twenty_may_be_given_up(skipped, passes):
    expected = np.ones(100)
    expected[:skipped] = np.nan
    row = compare("gradient", "x", np.ones(100), expected, 1e-6, Numeric(expected, skipped, skipped))
    assert row.passed == passes
    assert (row.compared, row.retried, row.skipped) == (100 - skipped, skipped, skipped)
    assert ("kinks" in row.note) == (not passes)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_forward_that_returns_nan_is_reported_as_that_and_not_as_a_kink(value):
    x = np.linspace(0.1, 1, 40)
    place = np.arange(40) == 3                     # one in forty is fewer than may be given up at kinks
    report = check_function(lambda x: np.where(place, value, x), lambda dout, x: np.where(place, 0, dout), [x])
    (failure,) = report.failures
    assert failure.note == "forward returns NaN or infinity"
    (failure,) = check_function(lambda x: value * x, lambda dout, x: dout, [x]).failures
    assert "NaN" in failure.note
    assert "kinks" not in failure.note


# -- differences -------------------------------------------------------------------------------------------------------


def test_the_step_grows_with_the_number_so_that_it_stays_above_rounding():
    x = np.array([1e8, -1e8, 0.5])
    np.testing.assert_allclose(numerical_gradient(lambda: x**2, x, np.ones(3)), 2 * x, rtol=1e-8)


def test_the_difference_is_divided_by_the_step_after_rounding():
    x = np.array([1.0])                            # 1 + 1e-15 is not a number: the next one is 2.2e-16 further, or 1.1e-15
    assert numerical_gradient(lambda: 3 * (x - 1), x, step=1e-15)[0] == 3.0


def test_central_differences_are_exact_for_a_parabola_and_one_sided_ones_would_not_be():
    x = np.array([2.0])
    assert numerical_gradient(lambda: x**2, x, step=0.5)[0] == 4.0


def test_central_differences_are_computed_where_the_mask_says_and_the_array_is_restored():
    x = np.array([[1.0, 2.0], [-3.0, 4.0]])
    before, calls = x.tobytes(), []

    def f():
        calls.append(x.copy())
        return x**2

    gradient = central_differences(f, x, 10.0, 0.5, np.array([[False, True], [True, False]]))
    np.testing.assert_array_equal(gradient, [[np.nan, 40.0], [-60.0, np.nan]])
    assert [(call - np.frombuffer(before).reshape(2, 2)).tolist() for call in calls] == [
        [[0, 1], [0, 0]], [[0, -1], [0, 0]], [[0, 0], [1.5, 0]], [[0, 0], [-1.5, 0]],
    ]  # fmt: skip
    assert x.tobytes() == before


def test_only_the_numbers_at_a_kink_are_computed_again():
    x, seen = np.array([5.0, 3e-6, -5.0]), []

    def f():
        seen.append(x.copy())
        return np.abs(x)

    assert differences(f, x, np.ones(3), kinks=lambda: [x > 0]).gradient.round(8).tolist() == [1, 1, -1]
    assert len(seen) == 1 + 2 * 3 + 2 * 2 + 1      # at x; each number; two more steps for the second; at x again


def test_an_f_that_returns_the_same_array_from_each_call_is_differentiated():
    x, out = np.array([1.0, 2.0]), np.empty(2)
    np.testing.assert_allclose(numerical_gradient(lambda: np.square(x, out=out), x, np.ones(2)), [2, 4], rtol=1e-9)


def test_a_step_is_halved_until_it_stays_on_one_side_of_the_kink():
    x = np.array([3e-6])                           # 1e-5 and 5e-6 cross 0, 2.5e-6 does not
    numeric = differences(lambda: np.abs(x), x, kinks=lambda: [x > 0])
    assert (numeric.retried, numeric.skipped) == (2, 0)
    assert numeric.gradient[0] == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_a_kink_on_either_side_is_found(side):
    x = np.array([0.0])
    numeric = differences(lambda: np.abs(x - side * 7e-6), x, kinks=lambda: [x > side * 7e-6])
    assert numeric.retried == 1
    assert numeric.gradient[0] == pytest.approx(-side, rel=1e-9)


def test_the_pattern_to_keep_is_that_at_x_whatever_was_computed_before():
    x, seen = np.array([1.0]), [np.array([False])]

    def f():
        seen[0] = x > 0
        return np.abs(x)

    numeric = differences(f, x, kinks=lambda: seen)
    assert (numeric.retried, numeric.skipped) == (0, 0)


def test_a_difference_on_a_kink_is_given_up_and_the_number_restored():
    x = np.array([0.0, 1.0])
    numeric = differences(lambda: np.abs(x), x, kinks=lambda: [x > 0, x < 0])
    assert (numeric.retried, numeric.skipped) == (10, 1)
    assert np.isnan(numeric.gradient[0])
    assert numeric.gradient[1] == pytest.approx(1.0)
    assert x.tolist() == [0.0, 1.0]


def test_what_f_keeps_between_calls_belongs_to_the_restored_numbers():
    kept, x = [], np.array([1.0, 2.0])

    def f():
        kept[:] = [x.copy()]
        return x.sum()

    differences(f, x)
    assert kept[0].tolist() == [1.0, 2.0]


def test_a_complex_step_changes_one_number_of_one_array_and_restores_it():
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    gradient = complex_step_gradient(lambda a, b: a * b + a.sum(), [a, b], 0, np.array([1.0, 10.0]))
    np.testing.assert_allclose(gradient, [3 + 11, 40 + 11], rtol=1e-14)
    assert a.tolist() == [1.0, 2.0]


def test_complex_steps_find_an_error_that_differences_cannot():
    x = np.random.default_rng(0).standard_normal(4)
    almost = {"forward": np.sin, "backward": lambda dout, x: dout * np.cos(x) * (1 + 1e-11), "arrays": [x]}
    assert check_function(**almost).passed
    assert not check_function(**almost, complex_step=True).passed
    assert check_function(**almost, complex_step=True, tolerance=1e-10).passed
    assert not check_function(**almost, tolerance=1e-13).passed


# -- functions ---------------------------------------------------------------------------------------------------------


def test_a_function_of_several_arrays_is_checked_in_each_and_none_means_not_compared():
    arrays = [np.random.default_rng(k).standard_normal((2, 3)) for k in range(3)]

    def backward(dout, c, a, b):
        return None, dout * b, dout * (a + 1)

    report = check_function(lambda c, a, b: a * b + c, backward, arrays, names=["c", "a", "b"])
    assert [(row.name, row.passed) for row in report.rows] == [("inputs", True), ("a", True), ("b", False)]


def test_a_list_of_gradients_works_like_a_tuple():
    arrays = [np.random.default_rng(k).standard_normal((2, 3)) for k in range(2)]
    report = check_function(lambda a, b: a * b, lambda dout, a, b: [dout * b, dout * (a + 1)], arrays)
    assert [(row.name, row.passed) for row in report.rows] == [("inputs", True), ("argument 0", True), ("argument 1", False)]


def test_a_forward_that_writes_into_its_argument_is_found_even_if_it_writes_the_same_numbers_twice():
    def relu(x):
        x[x <= 0] = 0
        return x.copy()

    x = np.array([-1.0, 2.0, -3.0])
    report = check_function(relu, lambda dout, x: np.where(x > 0, dout, 0), [x])
    assert [row.check for row in report.failures] == ["contract"]
    assert "wrote" in report.failures[0].note
    assert x.tolist() == [-1.0, 2.0, -3.0]


def test_integers_are_checked_as_floats_and_arguments_are_not_changed():
    x = np.array([1, 2, 3])
    assert check_function(lambda x: x**2, lambda dout, x: 2 * x * dout, [x]).passed
    assert x.tolist() == [1, 2, 3]


def test_fewer_gradients_than_arrays_are_refused():
    with pytest.raises(ValueError, match="zip"):
        check_function(lambda a, b: a * b, lambda dout, a, b: (dout * b,), [np.ones(2), np.ones(2)])


def test_the_upstream_gradient_follows_the_seed_and_is_never_ones():
    seen = []

    def backward(dout, x):
        seen.append(dout.copy())
        return dout

    for seed in (1, 1, 2):
        check_function(lambda x: x * 1.0, backward, [np.ones(3)], seed=seed)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.isclose(seen[0], seen[2]).any()
    assert (seen[0] != 1).all()


# -- reports -----------------------------------------------------------------------------------------------------------


def test_a_wrong_row_prints_its_index_its_kinks_and_both_values():
    row = Row("gradient", "kernel", False, 1.25, 1e-11, (0, 2), 1.5, -0.5, compared=6, retried=3, skipped=1)
    assert row.cells() == ("gradient", "kernel", "1.2e+00", "1.0e-11", "[0,2]", "3+1", "WRONG", "got 1.5, expected -0.5")


def test_a_right_row_prints_no_values_and_a_condition_only_its_note():
    right = Row("gradient", "x", True, 1e-9, 1e-11, (1,), 1.5, 1.5, retried=2)
    assert right.cells() == ("gradient", "x", "1.0e-09", "1.0e-11", "[1]", "2", "ok", "")
    assert Row("contract", "bits", False, note="other bits").cells() == ("contract", "bits", "", "", "", "", "WRONG", "other bits")
    assert Row("gradient", "x", False, skipped=4).cells()[5] == "0+4"
    assert Row("contract", "bits", True).compared == 0


def test_a_report_passes_when_it_has_rows_and_all_of_them_pass():
    right, wrong = Row("gradient", "x", True, 1e-9), Row("gradient", "w", False, 0.5)
    assert not Report("nothing").passed
    assert Report("right", [right, right]).passed
    assert not Report("wrong", [right, wrong]).passed
    assert Report("wrong", [right, wrong]).failures == [wrong]
    report = Report("right", [right])
    assert report.raise_if_failed() is report


def test_the_largest_error_of_a_report_is_that_of_its_gradients():
    rows = [Row("gradient", "x", True, 1e-9), Row("gradient", "w", True, 2e-9), Row("definition", "out", True, 0.5)]
    assert Report("", [*rows, Row("contract", "bits", True), Row("gradient", "b", False)]).largest == 2e-9
    assert Report("", rows[2:]).largest == 0


def test_a_report_prints_its_title_and_aligned_columns_with_one_line_for_each_row():
    rows = [Row("gradient", "x", True, 1e-9, 1e-10, (0,)), Row("contract", "a long name", False, note="broken")]
    title, head, first, second = str(Report("Dense(2)", rows)).splitlines()
    assert title == "Dense(2)"
    assert head.split() == ["check", "compared", "largest", "median", "worst", "at", "kinks", "verdict"]
    for word in ("verdict", "compared"):
        place = head.index(word)
        assert first[place - 2 : place] == second[place - 2 : place] == "  "
        assert first[place] != " "
        assert second[place] != " "
    assert second.endswith("WRONG    broken")
    assert len(table(rows).splitlines()) == 3


def test_the_old_name_of_check_works_and_warns():
    with pytest.warns(FutureWarning, match=r"Row\.witness is now called check") as warned:
        row = Row(witness="contract", name="bits", passed=True)
    assert len(warned) == 1
    assert row == Row("contract", "bits", True)
    with pytest.warns(FutureWarning, match=r"Row\.witness is now called check") as warned:
        assert row.witness == "contract"
    assert len(warned) == 1
    with pytest.warns(FutureWarning, match=r"Row\.witness is now called check"):
        row.witness = "gradient"
    assert row.check == "gradient"


# -- losses and optimizers ---------------------------------------------------------------------------------------------


def cross_entropy_with(bug):
    """Softmax cross-entropy with one bug."""
    calls = []

    def loss(logits, y):
        calls.append(1)
        if bug == "writes into logits":
            logits -= logits.max(axis=-1, keepdims=True)
        value, dlogits = softmax_cross_entropy(logits, y)
        if bug == "writes into labels":
            y *= 1 - 1e-12
        if bug == "value":
            value *= 1 + 1e-8
        if bug == "gradient":
            dlogits = dlogits * (1 + 1e-8)
        if bug == "clipped":
            value = min(value, 16.0)
        if bug == "hard labels only":
            dlogits = dlogits * (y.max() == 1)
        if bug == "other bits of the value":
            value *= 1 + 1e-15 * len(calls)
        if bug == "other bits of the gradient":
            dlogits = dlogits * (1 + 1e-15 * len(calls))
        return value, dlogits

    return loss


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("value", {"definition loss", "definition loss, logits of ±1e4", "definition loss, rows far apart"}),
        ("gradient", {"definition dlogits", "definition dlogits, logits of ±1e4", "definition dlogits, rows far apart"}),
        ("clipped", {"definition loss, logits of ±1e4"}),
        ("hard labels only", {"gradient dlogits, soft labels"}),
        ("writes into logits", {"contract inputs"}),
        ("writes into labels", {"contract inputs"}),
        ("other bits of the value", {"contract bits"}),
        ("other bits of the gradient", {"contract bits"}),
    ],
)
def test_each_kind_of_bug_in_a_loss_is_found_by_the_row_that_is_meant_for_it(bug, found):
    failed = {f"{row.check} {row.name}" for row in check_loss(cross_entropy_with(bug)).failures}
    assert found <= failed
    if "writes" not in bug and bug not in ("value", "gradient"):
        assert failed == found


def test_a_loss_is_called_with_logits_and_labels_of_the_given_shape_and_a_correct_one_passes():
    shapes = []

    def loss(logits, y):
        shapes.append((logits.shape, y.shape))
        np.testing.assert_allclose(y.sum(axis=1), 1)
        return softmax_cross_entropy(logits, y)

    report = check_loss(loss, shape=(3, 7), raise_on_failure=True)
    assert set(shapes) == {((3, 7), (3, 7))}
    assert len(report.rows) == 10
    with pytest.raises(GradientCheckError):
        check_loss(cross_entropy_with("value"), raise_on_failure=True)


class Weighted(Loss):
    """Cross-entropy in which each class has a weight: a loss of a user."""

    def __init__(self, bug=None):
        super().__init__()
        self.bug, self.calls = bug, 0

    def value_and_gradient(self, logits, y):
        self.calls += 1
        weights = (y * np.arange(1.0, y.shape[1] + 1)).sum(axis=1)
        p = softmax(logits)
        value = (weights * softmax_cross_entropy_losses(logits, y)).mean()
        dlogits = (p - y) / len(y) * (1 if self.bug == "weight" else weights[:, None])
        if self.bug == "hard labels only":
            dlogits = dlogits * (y.max() == 1)
        if self.bug == "writes into labels":
            y *= 1 - 1e-12
        if self.bug == "bits":
            value *= 1 + 1e-15 * self.calls
        return value, dlogits


def test_a_loss_object_with_another_formula_is_checked_without_the_definition_of_softmax_cross_entropy():
    report = check_loss(Weighted(), raise_on_failure=True)
    assert [(row.check, row.name) for row in report.rows] == [
        ("gradient", "dlogits"),
        ("gradient", "dlogits, soft labels"),
        ("contract", "inputs"),
        ("contract", "bits"),
    ]
    assert report.title == "Weighted"


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("weight", {"gradient dlogits", "gradient dlogits, soft labels"}),
        ("hard labels only", {"gradient dlogits, soft labels"}),
        ("writes into labels", {"contract inputs", "contract bits"}),
        ("bits", {"contract bits"}),
    ],
)
def test_each_kind_of_bug_in_a_loss_object_is_found(bug, found):
    failed = {f"{row.check} {row.name}" for row in check_loss(Weighted(bug)).failures}
    assert failed
    assert failed <= found


@pytest.mark.parametrize("kind", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_a_loss_object_of_the_library_is_compared_with_the_definition(kind):
    report = check_loss(kind(), raise_on_failure=True)
    assert len(report.rows) == 13
    assert sum(row.check == "definition" for row in report.rows) == 8

    class Derived(kind):
        pass

    assert len(check_loss(Derived(), raise_on_failure=True).rows) == 5


def test_a_definition_may_be_given_or_left_out():
    assert not check_loss(Weighted().value_and_gradient).passed      # a function is compared with softmax cross-entropy
    assert check_loss(Weighted().value_and_gradient, definition=None).passed
    assert len(check_loss(Weighted(), definition=Weighted().value_and_gradient, raise_on_failure=True).rows) == 10
    wrong = check_loss(Weighted(), definition=softmax_cross_entropy)
    assert {row.check for row in wrong.failures} == {"definition"}


def late(steps_before, wrong):
    """Adam with a bug that begins after some steps."""

    class Late(Adam):
        def step(self, p, g, state):
            if self.iterations > steps_before:
                wrong(p, g)
            super().step(p, g, state)

    Late.__name__ = "Adam"
    return Late()


def test_a_bug_that_begins_with_the_last_step_is_found():
    def drift(p, g):
        p *= 1 + 1e-9

    assert check_optimizer(late(6, drift), steps=6).passed
    report = check_optimizer(late(6, drift), steps=7)
    assert {row.name for row in report.failures} >= {"matrix", "vector"}
    assert {row.check for row in report.failures} == {"update rule"}


def test_an_optimizer_that_writes_into_a_gradient_is_found_in_both_implementations():
    def scribble(p, g):
        g += 1e-18

    report = check_optimizer(late(3, scribble))
    assert {"gradients", "gradients, NumPy"} == {row.name for row in report.failures if row.check == "contract"}


@pytest.mark.parametrize("broken", ["fused", "numpy"])
def test_a_bug_in_one_implementation_only_is_found_in_its_rows(broken, monkeypatch):
    def stands_still(*arguments):
        pass

    monkeypatch.setattr(Adam, "implementations", {**Adam.implementations, broken: stands_still})
    wrong = {row.name for row in check_optimizer(Adam(implementation="fused")).failures}
    assert wrong == {name + ", NumPy" * (broken == "numpy") for name in ("matrix", "vector", "gradients of 1e-8")}


def test_the_optimizer_itself_is_not_changed_and_its_state_is_not_used():
    optimizer = Adam(0.5)
    optimizer.update([np.ones(3)], [np.ones(3)])
    state = [a.copy() for a in optimizer.state[0]]
    check_optimizer(optimizer, raise_on_failure=True)
    assert optimizer.iterations == 1
    assert optimizer.implementation == Adam().implementation
    for now, then in zip(optimizer.state[0], state, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_error_on_an_optimizer_without_a_formula_names_those_that_have_one_and_the_fix(monkeypatch):
    class Mine(SGD):
        pass

    with pytest.raises(ValueError, match=r"SGD, Adagrad, Adadelta, Adam.*Mine.*reference\.UPDATE_RULES\['Mine'\]"):
        check_optimizer(Mine())
    monkeypatch.setitem(reference.UPDATE_RULES, "Mine", reference.sgd)
    check_optimizer(Mine(), raise_on_failure=True)
    with pytest.raises(GradientCheckError, match="matrix"):
        check_optimizer(late(0, lambda p, g: np.add(p, 1, out=p)), raise_on_failure=True)


# -- layers ------------------------------------------------------------------------------------------------------------


def test_the_branch_pattern_of_a_custom_layer_is_used():
    class Absolute(Layer):
        def forward(self, x):
            self.cache = (x,)
            return np.abs(x)

        def backward(self, dout, need_dx=True):
            return dout * np.sign(self.cache[0])

        def branch_pattern(self):
            asked.append(1)
            return [self.cache[0] > 0]

    asked = []
    check_layer(Absolute(), (4,), raise_on_failure=True)
    assert asked


def test_the_loops_of_a_custom_layer_are_its_definition():
    def twice(x):
        return 2 * x

    def twice_backward(dout, x):
        return 2 * dout

    class Double(Layer):
        implementations = {
            "loops": (lambda x: 3 * x, twice_backward),
            "im2col": (twice, twice_backward),
            "fused": (twice, twice_backward),
        }

        def forward(self, x):
            self.cache = (x,)
            return self.forward_function(x)

        def backward(self, dout, need_dx=True):
            return self.backward_function(dout, self.cache[0])

    assert [row.name for row in check_layer(Double(), (3,)).failures] == ["out", "out, ties", "out, large"]


def test_loops_that_a_custom_layer_never_calls_are_a_failed_row():
    class Double(Layer):
        implementations = {"loops": (lambda x: 3 * x, np.copy), "fused": (np.copy, np.copy)}

        def forward(self, x):
            return 2 * x

        def backward(self, dout, need_dx=True):
            return 2 * dout

    (failure,) = check_layer(Double(), (3,)).failures
    assert (failure.check, failure.name) == ("definition", "loops")
    assert "forward must call self.forward_function" in failure.note


@pytest.mark.parametrize(
    ("case", "count"),
    [((28, 3, 2), (0, 1, 14)), ((27, 3, 2), (1, 1, 14)), ((5, 4, 1), (1, 2, 5)), ((7, 1, 3), (0, 0, 3)), ((3, 5, 1), (2, 2, 3))],
)
def test_windows_are_counted_and_not_computed(case, count):
    assert counted_windows("same", *case) == count


def test_padding_on_the_wrong_side_is_found_although_the_loops_use_the_same_padding():
    class Before(Conv2D):
        @property
        def pads(self):
            return tuple((after, before) for before, after in super().pads)

    report = check_layer(Before(2, 3, strides=2, padding="same"), (6, 6, 1))
    assert [row.name for row in report.failures] == ["padding"]


@pytest.mark.parametrize(
    "layer", [Conv2D(2, (3, 2), padding="same"), MaxPooling2D((2, 3), 1, "same"), AveragePooling2D(2), MinPooling2D(2)]
)
def test_the_padding_of_every_layer_with_a_window_is_compared_with_a_count(layer):
    assert "padding" in {row.name for row in check_layer(layer, (5, 6, 2), raise_on_failure=True).rows}


def test_the_copy_that_is_checked_has_other_weights_and_biases_that_are_not_zero():
    layer = Dense(4)
    layer.seen = ["a list of the layer"]
    twin = fresh(layer, [(3,)], "float64", 0)
    assert layer.params == {}
    assert twin.seen == layer.seen
    assert twin.seen is not layer.seen
    assert (np.abs(twin.params["bias"]) > 1e-3).all()
    assert twin.params["kernel"].dtype == "float64"
    drawn = Dense(4).build((3,), np.random.default_rng(0), "float64").params["kernel"]
    assert not np.allclose(twin.params["kernel"], drawn, atol=1e-4)
    assert np.allclose(twin.params["kernel"], drawn, atol=0.1)              # the weights keep the size of the initializer's
    assert np.abs(twin.params["bias"]).max() > 0.05
    assert fresh(Dense(4, implementation="loops"), [(3,)], "float64", 0).running == "loops"


def test_both_precisions_have_the_same_weights_even_if_the_initializer_draws_others_each_time():
    own = np.random.default_rng(3)
    layer = Dense(2, kernel_initializer=lambda shape, rng: own.standard_normal(shape))
    check_layer(layer, (3,), raise_on_failure=True)


def test_a_layer_in_a_model_is_checked_without_its_activation():
    layer = Conv2D(2, 3, activation="relu", padding="same")
    layer(Input(shape=(4, 5, 2)))
    check_layer(layer, (4, 5, 2), raise_on_failure=True)
    assert layer.node is not None
    assert layer.activation is not None


def test_a_layer_is_checked_without_the_graph_above_it_even_if_that_is_deep():
    x = Input(shape=(2,))
    for _ in range(1000):
        x = Dense(2)(x)
    check_layer(x.layer, (2,), raise_on_failure=True)
    assert x.layer.node is x


# -- truncation, rounding, or a mistake --------------------------------------------------------------------------------


def tanh_of(slope):
    def forward(x):
        return np.tanh(slope * x)

    def backward(dout, x):
        return dout * slope * (1 - np.tanh(slope * x) ** 2)

    return forward, backward, np.random.default_rng(0).standard_normal(6) / slope


def root_near(size):
    def forward(x):
        return np.sqrt(np.abs(x))

    def backward(dout, x):
        return dout * np.sign(x) / (2 * np.sqrt(np.abs(x)))

    return forward, backward, size * np.array([1.3, -1.0, 1.7, -2.0])


CURVED = {
    **{f"tanh({slope:g}x)": tanh_of(slope) for slope in (200, 1000, 1e4, 1e6)},
    **{f"sqrt|x| near {size:g}": root_near(size) for size in (1e-3, 1e-5, 1e-6, 1e-9, 1e-11)},
    "|x| at 3e-6": (np.abs, lambda dout, x: dout * np.sign(x), np.array([3e-6, 1.0])),
    "sin(300x)": (lambda x: np.sin(300 * x), lambda dout, x: dout * 300 * np.cos(300 * x), np.array([0.1, 0.2])),
    "1/x": (lambda x: 1 / x, lambda dout, x: -dout / x**2, np.array([1e-4, -3e-3])),
}


@pytest.mark.parametrize("name", CURVED)
def test_truncation_of_a_strongly_curved_function_is_no_mistake(name):
    forward, backward, x = CURVED[name]
    check_function(forward, backward, [x], raise_on_failure=True)
    check_function(forward, backward, [np.concatenate([x, [1.0, -2.0]])], raise_on_failure=True)


@pytest.mark.parametrize("factor", [1.00001, 1.01, 0.5, -1.0, 0.0])
@pytest.mark.parametrize("name", CURVED)
def test_a_mistake_stays_however_short_the_step(name, factor):
    forward, backward, x = CURVED[name]
    report = check_function(forward, lambda dout, x: factor * backward(dout, x), [x])
    assert not report.passed
    if factor:
        assert report.rows[-1].verdict == "WRONG"


def test_one_wrong_number_among_a_hundred_curved_ones_is_found():
    forward, backward, _ = tanh_of(200)
    x = np.random.default_rng(1).standard_normal(100) / 200

    def wrong(dout, x):
        dx = backward(dout, x)
        dx[57] *= 1.0001
        return dx

    (row,) = check_function(forward, wrong, [x]).failures
    assert row.where == (57,)


def test_a_derivative_of_a_network_with_strong_curvature_is_no_mistake_and_a_wrong_one_is():
    x = Input(shape=(3,))
    model = Model(x, Sharp()(x), seed=0)
    images = np.random.default_rng(2).standard_normal((2, 3)) / 3000
    check_model(model, images, raise_on_failure=True)
    model.layers[-1].factor = 1.0001
    assert not check_model(model, images).passed


class Sharp(Layer):
    """out = tanh(3000·x)."""

    factor = 1.0

    def forward(self, x):
        self.cache = (np.tanh(3000 * x),)
        return self.cache[0]

    def backward(self, dout, need_dx=True):
        return self.factor * 3000 * dout * (1 - self.cache[0] ** 2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


TINY = {
    "1e-12x": (lambda x: 1e-12 * x, lambda dout, x: 1e-12 * dout, np.arange(1.0, 4)),
    "1 + 1e-20x": (lambda x: 1 + 1e-20 * x, lambda dout, x: 1e-20 * dout, np.arange(1.0, 4)),
    "1 + 1e-12x - 1": (lambda x: (1 + 1e-12 * x) - 1, lambda dout, x: 1e-12 * dout, np.arange(1.0, 4)),
    "sigmoid at 30": (sigmoid, lambda dout, x: dout * sigmoid(x) * sigmoid(-x), np.array([30.0, 31.0])),
    "sigmoid at 40": (sigmoid, lambda dout, x: dout * sigmoid(x) * sigmoid(-x), np.array([40.0, 41.0, 60.0])),
    "sigmoid at 40, less 1": (lambda x: 1 - sigmoid(x), lambda dout, x: -dout * sigmoid(-x), np.array([40.0, 36.0])),
    "tanh at 20": (np.tanh, lambda dout, x: dout / np.cosh(x) ** 2, np.array([20.0, -21.0])),
}


@pytest.mark.parametrize("factor", [1, 0])
@pytest.mark.parametrize("name", TINY)
def test_where_no_gradient_is_above_rounding_nothing_is_compared_and_nothing_passes(name, factor):
    forward, backward, x = TINY[name]
    report = check_function(forward, lambda dout, x: factor * backward(dout, x), [x])
    assert not report.passed
    assert report.not_compared == [report.rows[-1]]
    assert report.rows[-1].cells()[6] == "not compared"
    assert "not compared" in str(report).splitlines()[-1]
    with pytest.raises(GradientCheckError, match="not compared"):
        check_function(forward, backward, [x], raise_on_failure=True)


@pytest.mark.parametrize("complex_step", [False, True])
@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0, 1e6])
def test_a_gradient_of_zeros_is_wrong_where_the_true_one_is_above_rounding(size, complex_step):
    x, steps = np.array([1.0, 2.0]), {"complex_step": complex_step}
    assert check_function(lambda x: size * x, lambda dout, x: size * dout, [x], **steps).passed
    assert check_function(lambda x: size * x, lambda dout, x: 0 * dout, [x], **steps).rows[-1].verdict == "WRONG"


def test_a_random_forward_is_not_compared():
    rng = np.random.default_rng(0)
    report = check_function(lambda x: x + 1e-9 * rng.standard_normal(5), lambda dout, x: dout, [np.arange(5.0)])
    assert [row.verdict for row in report.rows] == ["ok", "not compared"]


def test_a_gradient_that_is_not_compared_passes_beside_a_definition_and_is_named_in_the_last_line():
    for report in (check_layer(Softmax(), (1,)), check_loss(shape=(3, 1))):
        assert report.passed
        assert {row.verdict for row in report.not_compared} == {"-"}
        assert "not compared" in str(report).splitlines()[-1]
    assert not check_loss(lambda z, y: (0 * z.sum(), 0 * z), definition=None).passed

    class Dead(Layer):
        def forward(self, x):
            return 0 * x

        def backward(self, dout, need_dx=True):
            return 0 * dout

    assert [row.name for row in check_layer(Dead(), (3,)).failures] == ["x"]


# -- a forgotten return ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("complex_step", [False, True])
@pytest.mark.parametrize("returned", [None, (None,), [None]], ids=repr)
def test_a_backward_without_a_return_does_not_pass(returned, complex_step):
    report = check_function(lambda x: x, lambda dout, x: returned, [np.ones(3)], complex_step=complex_step)
    assert not report.passed
    assert "return" in report.failures[0].note


def test_a_forward_without_a_return_does_not_pass():
    (failure,) = check_function(lambda x: None, lambda dout, x: dout, [np.ones(3)]).failures
    assert "return" in failure.note
    with pytest.raises(GradientCheckError, match="return"):
        check_function(lambda x: None, lambda dout, x: dout, [np.ones(3)], raise_on_failure=True)
    with pytest.raises(ValueError, match="return"):
        numerical_gradient(lambda: None, np.ones(2))
    with pytest.raises(ValueError, match="return"):
        complex_step_gradient(lambda x: None, [np.ones(2)], 0, np.ones(2))


def test_a_check_of_nothing_does_not_pass():
    assert not check_function(lambda: np.ones(2), lambda dout: (), []).passed
    assert not check_function(lambda x: x, lambda dout, x: dout, [np.zeros(0)]).passed


@pytest.mark.parametrize("returned", [None, 1.0, (1.0, None), (None, np.zeros((5, 4))), (1.0, 2.0, 3.0)], ids=str)
def test_a_loss_that_does_not_return_a_value_and_a_gradient_does_not_pass(returned):
    (failure,) = check_loss(lambda logits, y: returned).failures
    assert "expected the loss to return (mean loss, dlogits)" in failure.note


@pytest.mark.parametrize("method", ["forward", "backward", "branch_pattern", "grads"])
def test_a_method_of_a_layer_without_a_return_does_not_pass_and_the_note_names_it(method):
    class Forgets(Wrong):
        def forward(self, x):
            out = super().forward(x)
            return None if method == "forward" else out

        def backward(self, dout, need_dx=True):
            dx = super().backward(dout)
            if method == "grads":
                self.grads = {"scale": None}
            return None if method == "backward" else dx

        def branch_pattern(self):
            return None if method == "branch_pattern" else []

    report = check_layer(Forgets(None), (3, 2))
    assert not report.passed
    assert all(word in report.failures[0].note for word in (method, "None"))


# -- a numerical gradient and its arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
@pytest.mark.parametrize("call", range(1, 8))
def test_x_is_restored_when_f_raises_at_any_call(call, error):
    x, calls = np.array([1.0, 2.0, 3.0]), []

    def f():
        calls.append(1)
        if len(calls) == call:
            raise error
        return x**2

    with pytest.raises(error):
        numerical_gradient(f, x, np.ones(3))
    assert x.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("x", "word"),
    [
        (np.ma.masked_array([1.0, 2.0], [False, True]), r"x\.filled"),
        (np.broadcast_to(1.0, (2,)), r"x\.copy\(\)"),
        ([1.0, 2.0], "astype"),
        (np.ones(2, int), "astype"),
    ],
    ids=["masked", "read-only", "list", "int"],
)
def test_numbers_that_cannot_be_moved_are_refused_with_the_fix(x, word):
    with pytest.raises(ValueError, match=word):
        numerical_gradient(lambda: np.ones(2), x)


def test_a_dout_that_would_be_broadcast_is_refused():
    x = np.ones((2, 3))
    for shape in ((3,), (2, 1), (1, 2, 3)):
        with pytest.raises(ValueError, match="shape of f"):
            numerical_gradient(lambda: 2 * x, x, np.ones(shape))
    assert numerical_gradient(lambda: 2 * x, x, 3.0).round(6).tolist() == [[6.0] * 3] * 2


# -- what a layer declares, shares and overwrites ----------------------------------------------------------------------


class BatchNorm(Layer):
    """out = γ·(x - mean)/√(variance + ε) + β, with mean and variance of the batch, for each channel."""

    couples_batch = True

    def make_params(self, rng):
        return {"gamma": np.ones(self.input_shape[-1]), "beta": np.zeros(self.input_shape[-1])}

    def forward(self, x):
        axes = tuple(range(x.ndim - 1))
        deviation = np.sqrt(x.var(axes) + x.dtype.type(1e-3))
        self.cache = ((x - x.mean(axes)) / deviation, deviation)
        return self.params["gamma"] * self.cache[0] + self.params["beta"]

    def backward(self, dout, need_dx=True):
        normal, deviation = self.cache
        axes = tuple(range(dout.ndim - 1))
        self.grads = {"gamma": (dout * normal).sum(axes), "beta": dout.sum(axes)}
        d = dout * self.params["gamma"]
        return (d - d.mean(axes) - normal * (d * normal).mean(axes)) / deviation


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("shape", [(4,), (3, 2, 4)])
def test_a_right_batch_normalization_that_declares_itself_passes(shape, batch):
    check_layer(BatchNorm(), shape, batch=batch, raise_on_failure=True)


def test_a_layer_that_mixes_images_without_declaring_it_is_told_the_word():
    class Undeclared(BatchNorm):
        couples_batch = False

    (failure,) = check_layer(Undeclared(), (4,)).failures
    assert failure.name == "batch of one"
    assert "couples_batch = True" in failure.note


def test_a_declared_layer_is_still_checked_for_gradients_the_order_of_images_and_a_batch_of_one():
    class WrongGradient(BatchNorm):
        def backward(self, dout, need_dx=True):
            super().backward(dout)
            return dout * self.params["gamma"] / self.cache[1]  # mean and variance depend on x too

    class ByPlace(BatchNorm):
        def forward(self, x):
            return super().forward(x) + np.arange(len(x), dtype=x.dtype)[:, None]

    class Squeezed(BatchNorm):
        def forward(self, x):
            return super().forward(x).squeeze()

    found = {kind: {row.name for row in check_layer(kind(), (4,)).failures} for kind in (WrongGradient, ByPlace, Squeezed)}
    assert found == {WrongGradient: {"x"}, ByPlace: {"batch of one"}, Squeezed: {"batch of one"}}


class Scaled(Layer):
    """out = a·x with one number a, a parameter without axes."""

    def make_params(self, rng):
        return {"a": 0.5}

    def forward(self, x):
        self.cache = (x,)
        return self.params["a"] * x

    def backward(self, dout, need_dx=True):
        (x,) = self.cache
        self.grads = {"a": (dout * x).sum()}
        return dout * self.params["a"]


def reused(layer, name, values):
    """Return values in a buffer that the layer keeps."""
    buffer = vars(layer).setdefault(f"{name} {values.shape} {values.dtype}", np.empty_like(values))
    buffer[...] = values
    return buffer


def test_a_parameter_without_axes_is_checked_and_its_gradient_too():
    check_layer(Scaled(), (4,), raise_on_failure=True)

    class Other(Scaled):
        def backward(self, dout, need_dx=True):
            dx = super().backward(dout)
            self.calls = getattr(self, "calls", 0) + 1
            self.grads["a"] = self.grads["a"] * (1 + 1e-12 * self.calls)
            return dx

    assert "bits" in {row.name for row in check_layer(Other(), (4,)).failures}


def test_a_second_call_that_overwrites_the_output_or_the_dx_of_the_first_is_found():
    class OneOutput(Scaled):
        def forward(self, x):
            return reused(self, "out", super().forward(x))

    class OneDx(Scaled):
        def backward(self, dout, need_dx=True):
            return reused(self, "dx", super().backward(dout))

    class OneGradient(Scaled):
        def make_params(self, rng):
            return {"a": np.full(self.input_shape, 0.5)}

        def backward(self, dout, need_dx=True):
            dx = super().backward(dout)
            self.grads = {"a": reused(self, "da", (dout * self.cache[0]).sum(axis=0))}
            return dx

    for kind in (OneOutput, OneDx):
        assert [row.name for row in check_layer(kind(), (4,)).failures] == ["own memory"]
    check_layer(OneGradient(), (4,), raise_on_failure=True)     # gradients belong to the last backward


def test_what_all_layers_of_a_class_share_is_found():
    kept = {}

    class InTheClass(Scaled):
        shared = {}

        def forward(self, x):
            self.shared["x"] = x
            return super().forward(x)

        def backward(self, dout, need_dx=True):
            self.cache = (self.shared["x"],)
            return super().backward(dout)

    class InTheModule(InTheClass):
        shared = kept

    class SharedGradients(Scaled):
        shared = {}

        def backward(self, dout, need_dx=True):
            dx = super().backward(dout)
            self.shared.update(self.grads)
            self.grads = self.shared
            return dx

    for kind in (InTheClass, InTheModule, SharedGradients):
        assert [row.name for row in check_layer(kind(), (4,)).failures] == ["two layers"]


@pytest.mark.parametrize("optimizer", [SGD(1e-30), SGD(0.0), Adam(1e-30)], ids=repr)
def test_an_optimizer_whose_steps_change_no_number_is_not_compared(optimizer):
    report = check_optimizer(optimizer)
    assert not report.passed
    assert "matrix" in {row.name for row in report.not_compared}


def test_a_relu_that_passes_nothing_is_not_compared_and_one_that_passes_something_is():
    assert not check_function(lambda x: np.maximum(x, 0), lambda dout, x: 0 * dout, [np.array([-1.0, -2.0])]).passed
    assert check_function(lambda x: np.maximum(x, 0), lambda dout, x: dout * (x > 0), [np.array([-1.0, 2.0])]).passed
    assert not check_function(lambda x: np.maximum(x, 0), lambda dout, x: 0 * dout, [np.array([-1.0, 2.0])]).passed
