"""Every bug of the gallery that fits an exercise is recognized in an answer, and no right answer is called a bug."""

import re

import numpy as np
import pytest

from scratchnet.exercises import EXERCISES, comparison, find
from scratchnet.exercises.activations_and_losses import relu_definition
from scratchnet.exercises.convolution import conv2d_backward
from scratchnet.tools import gallery

OPTIMIZERS = ("adagrad", "adadelta", "momentum", "nesterov", "nadam", "rmsprop")

# Bugs that an answer to an exercise cannot have, each with the reason.
FIT_NONE = {
    **dict.fromkeys(["maxpool-pads-zero", "minpool-pads-zero"], "no exercise pads a pool"),
    **dict.fromkeys(["avgpool-divides-by-window", "avgpool-backward-other-divisor"], "no exercise has an average pool"),
    "flatten-fortran-order": "no exercise flattens images",
    "adam-t-per-parameter": "adam receives t, and is called for one array",
    **dict.fromkeys(
        [name for name in gallery.CATALOGUE if name.split("-")[0] in OPTIMIZERS],
        "the only optimizer to write is adam",
    ),
    **dict.fromkeys(["decay-inside-moments", "decay-after-step"], "adam has no weight decay"),
    **dict.fromkeys(["clip-scales-up", "clip-each-array-apart"], "no exercise clips gradients"),
    **dict.fromkeys(["warm-up-skipped-at-first-step", "cosine-counts-warm-up"], "no exercise has a schedule"),
    "softmax-writes-into-saved-output": "softmax_cross_entropy receives no output of softmax",
    "gradient-becomes-float64": "all arrays of the exercises are float64",
    "race-in-parallel-sum": "an answer starts no threads",
    **dict.fromkeys(["add-shares-gradient", "parent-gradient-overwritten"], "no exercise has a graph with branches"),
    **dict.fromkeys(
        [
            "batchnorm-momentum-reversed",
            "batchnorm-averages-never-move",
            "batchnorm-moving-variance-unbiased",
            "batchnorm-inference-uses-batch",
            "batchnorm-frozen-averages-move",
        ],
        "batchnorm_backward has no moving averages",
    ),
    **dict.fromkeys(["flip-along-batch", "flip-once-for-the-batch"], "no exercise augments images"),
    **dict.fromkeys(
        [name for name in gallery.CATALOGUE if name.split("-")[0] in ("tanh", "leaky", "selu", "elu", "softplus")],
        "the only activation to write is relu",
    ),
    "global-average-of-a-smaller-window": "no exercise has a global pool",
    "concatenate-offset-not-advanced": "no exercise joins arrays",
    **dict.fromkeys(
        ["smoothing-keeps-too-much", "smoothing-uniform-part-unscaled", "smoothing-by-other-classes"],
        "softmax_cross_entropy receives labels that are smoothed already",
    ),
    **dict.fromkeys(["weights-ignored", "weights-normalized"], "softmax_cross_entropy receives no weights of images"),
    **dict.fromkeys(["l2-gradient-without-two", "l2-scaled-twice"], "no exercise has a penalty"),
    **dict.fromkeys(
        ["he-fan-out-for-fan-in", "fans-without-window", "orthogonal-signs-of-qr", "truncated-normal-not-widened"],
        "no exercise draws initial values",
    ),
}

MISTAKES = [
    pytest.param(exercise.name, bug, function, id=f"{exercise.name}-{k}-{bug}")
    for exercise in EXERCISES.values()
    for k, (bug, function) in enumerate(exercise.mistakes)
]


def by_position(name, function):
    """Return a function that may be called by position, as an answer is; some mistakes take arguments by name."""
    return lambda *arguments: function(**dict(zip(find(name).arguments, arguments, strict=True)))


def test_every_bug_of_the_gallery_fits_an_exercise_or_has_a_reason_why_not():
    fit = {bug for exercise in EXERCISES.values() for bug in exercise.bugs()}
    assert fit | set(FIT_NONE) == set(gallery.CATALOGUE)
    assert not fit & set(FIT_NONE)


@pytest.mark.parametrize(("name", "bug", "function"), MISTAKES)
def test_a_bug_of_the_gallery_is_recognized_in_an_answer(name, bug, function, check_here):
    report = check_here(by_position(name, function), name)
    assert (report.passed, report.bugs) == (False, [bug])
    assert gallery.find(bug).title in " ".join(str(report).split())
    assert gallery.find(bug).source in str(report)
    assert max(len(line) for line in report.lines if "http" not in line and "gallery.md#" not in line) <= 80


def as_float32(results):
    return {name: np.asarray(np.asarray(a, np.float32), np.float64) for name, a in results.items()}


@pytest.mark.parametrize("name", EXERCISES)
def test_a_bug_is_recognized_in_results_rounded_to_float32_of_which_some_are_missing(name):
    for bug, results in EXERCISES[name].wrongs:
        known = results[: results.index(None)] if None in results else results
        with np.errstate(over="ignore"):
            rounded = [as_float32(a) for a in known]
        assert list(comparison.recognized(EXERCISES[name], rounded)) == [bug]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_definition_passes_and_no_bug_is_named(name, check_here):
    report = check_here(by_position(name, EXERCISES[name].definition), name)
    assert (report.passed, report.kind, report.bugs) == (True, "", [])


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_rounded_to_float32_passes(name, check_here):
    def rounded(*arguments):
        results = EXERCISES[name].definition(*arguments)
        many = isinstance(results, tuple)
        less = [np.asarray(np.asarray(r, np.float32), np.float64) for r in (results if many else [results])]
        return tuple(less) if many else less[0]

    assert check_here(rounded, name).passed


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_answer_that_is_no_bug_of_the_gallery_is_called_none(name, check_here):
    def scaled(*arguments):
        results = EXERCISES[name].definition(*arguments)
        return tuple(1.5 * r for r in results) if isinstance(results, tuple) else 1.5 * results

    report = check_here(scaled, name)
    assert (report.kind, report.bugs) == ("numbers", [])


# -- the bugs that are not another value of one call ---------------------------------------------------------------------


def keeping(name, argument):
    """Return an answer that keeps an argument of the first call with arrays of these shapes."""
    kept = {}

    def answer(*arguments):
        values = dict(zip(find(name).arguments, arguments, strict=True))
        shapes = tuple(a.shape for a in arguments if isinstance(a, np.ndarray))
        values[argument] = kept.setdefault((shapes, id(arguments[0])), (values[argument].copy(), arguments[0]))[0]
        return find(name).definition(**values)

    return answer


KEPT = [(exercise.name, argument, bug) for exercise in EXERCISES.values() for argument, bug in exercise.kept.items()]


@pytest.mark.parametrize(("name", "argument", "bug"), KEPT)
def test_an_argument_that_is_kept_from_an_earlier_call_is_recognized(name, argument, bug, check_here):
    report = check_here(keeping(name, argument), name)
    assert (report.passed, report.bugs) == (False, [bug])


ACCUMULATE = [exercise.name for exercise in EXERCISES.values() if exercise.accumulates]


@pytest.mark.parametrize("name", ACCUMULATE)
def test_gradients_added_to_those_of_the_call_before_are_recognized(name, check_here):
    totals = {}

    def adding(*arguments):
        results = find(name).definition(*arguments)
        total = totals.get(results[1].shape)
        totals[results[1].shape] = results[1] if total is None else total + results[1]
        return results[0], totals[results[1].shape], *results[2:]

    report = check_here(adding, name)
    assert (report.kind, report.bugs) == ("random", ["gradient-kept-from-last-step"])


def test_an_answer_that_writes_into_dout_or_x_is_told_the_line(check_here):
    def relu(x, dout):
        dout[x <= 0] = 0
        return np.maximum(x, 0), dout

    report = check_here(relu, "relu")
    assert (report.kind, report.bugs) == ("modified", ["relu-writes-into-dout"])
    assert "dout[x <= 0] = 0" in str(report)

    def relu_of_x(x, dout):
        dx = relu_definition(x, dout)[1]
        np.maximum(x, 0, out=x)
        return x, dx

    assert check_here(relu_of_x, "relu").bugs == ["relu-writes-into-x"]


def test_memory_that_was_not_cleared_is_recognized(check_here):
    def uncleared(*arguments):
        dx, dw, db = conv2d_backward(*arguments)
        return dx + np.full_like(dx, 9e33), dw, db

    report = check_here(uncleared, "conv2d_backward")
    assert (report.kind, report.bugs) == ("uninitialized", ["col2im-uninitialised"])


def test_only_the_results_whose_numbers_are_those_of_the_bug_are_said_to_be(check_here):
    def averaging(dout, x, w):
        return dout @ w.T, x.T @ dout / len(x), dout.mean(axis=0)

    text = " ".join(str(check_here(averaging, "dense_backward")).split())
    assert "dw[0, 0]: expected 13, got 6.5" in text
    assert "The numbers of db are those of *The bias gradient of a dense layer is averaged" in text


def definition_but(name, change):
    """Return the definition, whose results `change(results, *arguments)` replaces."""

    def answer(*arguments):
        results = find(name).definition(*arguments)
        return change(results, *arguments)

    return answer


def log_of_p(loss, logits, y):
    """Return another loss, from the logarithm of p, which can be rounded to 0."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return -(y * np.log(p / p.sum(axis=1, keepdims=True))).sum() / len(y)


def step_with_log_of_p(results, x, y, w1, b1, w2, b2, learning_rate):
    return log_of_p(results[0], np.maximum(x @ w1 + b1, 0) @ w2 + b2, y), *results[1:]


def without_infinity(results, logits, y):
    """Take the log of p, and correct the infinities and NaN that it makes, to the largest float and 0."""
    return np.nan_to_num(log_of_p(results[0], logits, y)), results[1]


def first_in_columns(dout, x, pool_size, strides):
    """Search the largest pixel of a window column by column."""
    dx = find("maxpool_backward").definition(dout.swapaxes(1, 2), x.swapaxes(1, 2), pool_size[::-1], strides[::-1])
    return np.ascontiguousarray(dx.swapaxes(1, 2))


def pads_divided(axis):
    """Return pads of which the larger one is always after, on one axis, as in "same"."""
    return lambda pads: tuple(tuple(sorted(pair)) if k == axis else pair for k, pair in enumerate(pads))


def conv2d_backward_with(pads_of):
    """Return the backward with other pads."""
    return lambda dout, x, w, strides, pads: find("conv2d_backward").definition(dout, x, w, strides, pads_of(pads))


def gaps_filled(dx, dout, x, w, strides, pads):
    """Put something into the pixels that no window covers."""
    return dx[0] + (1e-3 if strides[0] > w.shape[0] else 0), *dx[1:]


def only_where_there_is_a_gradient(results, p, g, *rest):
    return tuple(np.where(g == 0, old, new) for old, new in zip((p, *rest[:2]), results, strict=True))


def without_variance(results, dout, x, gamma, mean, variance, epsilon):
    """Treat a channel without variance as one of which nothing depends on the mean."""
    return np.where(variance == 0, gamma * dout / np.sqrt(epsilon), results[0]), *results[1:]


def unbiased_of_one(results, dout, *rest):
    """Divide by M - 1 where M is 1."""
    return tuple(np.full_like(a, np.nan) if dout.size == dout.shape[-1] else a for a in results)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("relu", lambda x, dout: (np.clip(x, 0, 6), dout * ((x > 0) & (x < 6)))),
        ("relu", lambda x, dout: (np.maximum(x, 0), np.where((x > 0) & (dout > 0), dout, 0))),
        ("softmax_cross_entropy", definition_but("softmax_cross_entropy", lambda r, logits, y: (log_of_p(r[0], logits, y), r[1]))),
        ("softmax_cross_entropy", definition_but("softmax_cross_entropy", without_infinity)),
        ("training_step", definition_but("training_step", step_with_log_of_p)),
        ("dropout", lambda x, dout, rate, u, training: [a * (u > rate) / (1 - rate) if training else a for a in (x, dout)]),
        ("dropout", definition_but("dropout", lambda r, x, dout, rate, u, training: r if rate else (0 * x, 0 * dout))),
        ("im2col", lambda x, k, s, pads: find("im2col").definition(x, k, s, [(sum(p) // 2, sum(p) - sum(p) // 2) for p in pads])),
        ("im2col", lambda x, k, s, pads: find("im2col").definition(x, k, s, pads_divided(1)(pads))),
        ("conv2d_forward", lambda x, w, b, s, pads: find("conv2d_forward").definition(x, w, b, s, pads_divided(1)(pads))),
        ("conv2d_backward", conv2d_backward_with(pads_divided(0))),
        ("conv2d_backward", conv2d_backward_with(pads_divided(1))),
        ("conv2d_backward", definition_but("conv2d_backward", gaps_filled)),
        ("maxpool_backward", first_in_columns),
        ("adam", definition_but("adam", only_where_there_is_a_gradient)),
        ("batchnorm_backward", definition_but("batchnorm_backward", without_variance)),
        ("batchnorm_backward", definition_but("batchnorm_backward", unbiased_of_one)),
    ],
)
def test_an_answer_that_breaks_only_one_promise_of_its_starter_file_is_refused(name, answer, check_here):
    report = check_here(answer, name)
    assert (report.kind, report.bugs) == ("numbers", [])


def test_a_gradient_without_the_axis_of_a_single_unit_is_refused(check_here):
    report = check_here(lambda dout, x, w: (dout @ w.T, x.T @ dout, np.squeeze(dout.sum(axis=0))), "dense_backward")
    assert (report.kind, report.bugs) == ("shape", [])


def test_two_bugs_in_two_results_are_both_named(check_here):
    def answer(*arguments):
        dx, dw, db = conv2d_backward(*arguments)
        return np.zeros_like(dx), dw, db / len(arguments[0])

    assert check_here(answer, "conv2d_backward").bugs == ["conv-dx-never-copied-back", "conv-bias-gradient-averaged"]


# -- the pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXERCISES)
def test_the_picture_of_every_number_fits_80_columns_and_contains_the_right_value(name):
    exercise = EXERCISES[name]
    rng = np.random.default_rng(1)
    for case, right in zip(exercise.all_cases(), exercise.rights, strict=True):
        for result, a in right.items():
            for flat in rng.permutation(a.size)[:5]:
                index = tuple(int(k) for k in np.unravel_index(flat, a.shape))
                lines = exercise.picture(case.arguments, result, index)
                assert max(map(len, lines)) <= 80, "\n".join(lines)
                numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?", " ".join(lines))]
                value = float(a[index])
                assert any(abs(n - value) <= 1e-4 * abs(value) + 1e-9 for n in numbers), (result, index, value, "\n".join(lines))


@pytest.mark.parametrize("name", ["dense_backward", "conv2d_backward", "maxpool_backward", "dropout"])
def test_a_picture_changes_with_an_array_if_and_only_if_the_result_depends_on_it(name):
    exercise = find(name)
    case = exercise.all_cases()[0].arguments
    for array in [argument for argument, a in case.items() if isinstance(a, np.ndarray)]:
        other = {**case, array: case[array][..., ::-1, :] + 0.25 if case[array].ndim > 1 else case[array] + 0.25}
        for result, a in exercise.right(case).items():
            indices = list(np.ndindex(a.shape))
            shown = [exercise.picture(case, result, k) for k in indices] != [exercise.picture(other, result, k) for k in indices]
            assert shown == (not np.array_equal(a, exercise.right(other)[result])), (result, array)


def test_the_picture_of_a_pixel_has_its_windows_and_weights_in_brackets():
    exercise = find("conv2d_backward")
    lines = exercise.picture(exercise.all_cases()[0].arguments, "dx", (0, 1, 0, 0))
    assert lines[2:5] == ["         0    1", "    0   [1 ]  -1", "    1   [2 ]  3"]
    assert lines[8:11] == ["         0    1", "    0   [1 ]  2", "    1   [0 ]  -1"]
