"""The gallery: every bug is caught by its check, fools exactly the checks that it names, and leaves nothing changed.

The bugs are the positive control of the checker, which must detect each. The negative control is at the end: correct code is never
accused.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scratchnet import initializers
from scratchnet.gradcheck import (
    check_initializer,
    check_layer,
    check_loss,
    check_optimizer,
    check_regularizer,
    check_schedule,
)
from scratchnet.kernels.memory import empty
from scratchnet.kernels.threads import limit
from scratchnet.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    SpatialDropout2D,
    ZeroPadding2D,
)
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy, softmax_cross_entropy
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Nadam, RMSprop
from scratchnet.regularizers import L1, L1L2, L2
from scratchnet.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from scratchnet.tools.gallery import CATALOGUE, CHECKS, apply, demonstration, find, memory, small_net, verdicts
from scratchnet.tools.gallery.entry import TEXTS, bug, catalogue, read_texts
from scratchnet.tools.gallery.page import markdown
from scratchnet.tools.gallery.small_net import SmallNet

NAMES = [pytest.param(name, marks=pytest.mark.compiled) if entry.threads else name for name, entry in CATALOGUE.items()]


@cache
def broken_report(name):
    reason = find(name).unavailable()
    if reason:
        pytest.skip(reason)
    return find(name).report()


# -- caught, and undone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_check_that_must_catch_it_does(name):
    assert find(name).check in {row.check for row in broken_report(name).failures}


@pytest.mark.parametrize("left", [np.nan, 1e30, 0.0, 3.0])
def test_uninitialised_memory_is_found_whatever_it_contains(left):
    used = empty((8, 34, 34, 2), "float32")
    used[...] = left
    del used
    assert not find("col2im-uninitialised").report().passed


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_passes_exactly_the_checks_that_it_names(name):
    assert tuple(check for check, passed in verdicts(broken_report(name)).items() if passed) == find(name).fools


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_is_removed_even_after_an_error(name):
    if find(name).unavailable():
        pytest.skip(find(name).unavailable())
    with pytest.raises(ZeroDivisionError), apply(name):
        raise ZeroDivisionError
    find(name).healthy_report().raise_if_failed()


# After a ReLU, in a chain, with full batches and ordinary numbers, these do no harm; this is why they were not noticed. Some are
# wrong in inference only, or in a later step, or change only the loss that is shown.
HARMLESS_IN_THE_SMALL_NET = {
    "maxpool-pads-zero",
    "maxpool-finite-minus-infinity",
    "maxpool-starts-from-zero",
    "ce-clipped",
    "ce-epsilon-inside-log",
    "adagrad-epsilon-outside-root",
    "relu-writes-into-dout",
    "relu-writes-into-x",
    "softmax-writes-into-saved-output",
    "batch-of-one-squeezed",
    "view-read-as-contiguous",
    "batchnorm-moving-variance-unbiased",
    "batchnorm-inference-uses-batch",
    "dropout-mask-from-values",
    "dropout-active-in-inference",
    "softplus-overflows",
    "l2-scaled-twice",
    "cosine-counts-warm-up",
}
BITS_OR_LUCK = {
    "softmax-shift-batch-max",
    "softmax-no-shift",
    "gradient-becomes-float64",
    "race-in-parallel-sum",
    "col2im-uninitialised",
}


def weights_after_three_steps(net, fuse=False):
    """Return them for images with a wide black border, where the biases make all numbers equal in the second step: ties."""
    rng = np.random.default_rng(0)
    x = np.pad(rng.random((8, 4, 6, 1), dtype=np.float32), ((0, 0), (4, 6), (4, 4), (0, 0)))
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 8)]
    model = net.compiled(fuse=fuse)
    with limit(1):
        for rows in (slice(0, 4), slice(4, 8), slice(0, 8)):
            model.train_on_batch(x[rows], y[rows], **net.weights_of(y[rows]))
    return model.get_weights()


@cache
def healthy_weights(net):
    return weights_after_three_steps(net)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in BITS_OR_LUCK])
def test_training_runs_the_bug_unless_it_does_no_harm_there(name):
    entry = find(name)
    with entry.installed():
        weights = weights_after_three_steps(entry.net)
    healthy = healthy_weights(entry.net)
    fits = all(a.shape == b.shape for a, b in zip(weights, healthy, strict=True))
    same = fits and all(np.allclose(a, b, rtol=1e-4, atol=1e-8) for a, b in zip(weights, healthy, strict=True))
    assert same == (name in HARMLESS_IN_THE_SMALL_NET)


@pytest.mark.parametrize("name", ["stale-weight-cache", "conv-dw-reversed", "col2im-overwrites", "dense-bias-gradient-averaged"])
def test_a_bug_is_the_same_whether_relus_are_joined_or_not(name):
    with apply(name):
        alone, joined = (weights_after_three_steps(find(name).net, fuse=fuse) for fuse in (False, True))
    for a, b in zip(alone, joined, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# -- the catalogue -----------------------------------------------------------------------------------------------------


def test_the_gallery_has_at_least_a_hundred_entries_and_every_check_is_needed():
    assert len(CATALOGUE) >= 100
    assert {entry.check for entry in CATALOGUE.values()} == set(CHECKS)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_says_where_it_was_seen_and_what_the_right_line_is(name):
    entry = find(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)
    assert re.match(r"https://[^ ]+$", entry.source)
    assert entry.seen
    assert entry.right != entry.wrong
    assert entry.looks_right.endswith(".")
    assert entry.check not in entry.fools
    assert set(entry.fools) <= set(CHECKS)


def test_every_bug_has_its_text_and_every_text_its_bug():
    assert list(TEXTS) == list(CATALOGUE)


def test_a_bug_without_a_text_is_refused():
    with pytest.raises(ValueError, match=r"expected a section \[relu-of-no-text\] in bugs\.ini"):
        bug("relu-of-no-text", lambda: None)


def test_a_text_without_a_bug_is_refused():
    with pytest.raises(ValueError, match=r"got none for relu-of-no-code\. Write the function"):
        catalogue(list(CATALOGUE.values()), {**TEXTS, "relu-of-no-code": {}})


def test_two_bugs_of_one_name_are_refused():
    with pytest.raises(ValueError, match="got several: ce-clipped"):
        catalogue([*CATALOGUE.values(), find("ce-clipped")], TEXTS)


def test_a_text_with_a_missing_or_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match=r"in \[a-b\].* got title, author\. Missing: check, .*wrong; unknown: author"):
        read_texts("[a-b]\ntitle = A\nauthor = B\n")


def test_lines_of_code_keep_their_indentation_and_lines_of_text_are_joined():
    keys = "title = A\noperation = B\ncheck = contract\nlooks_right = one\n  two\nsource = C\nseen = 100 % = D  ; # E\n"
    text = read_texts(f"[a-b]\n{keys}right = x = 1\nwrong =\n    |if x:\n    |    x = 2\n")["a-b"]
    assert text["wrong"] == "if x:\n    x = 2"
    assert (text["right"], text["looks_right"], text["seen"]) == ("x = 1", "one two", "100 % = D  ; # E")
    assert (text["fools"], text["convention"]) == ((), "")


def test_the_text_of_the_race_names_the_numbers_of_its_check():
    assert f"{memory.REPEATS} repeats on {memory.RACERS:,} images" in find("race-in-parallel-sum").looks_right


def test_another_convention_is_not_called_an_error():
    conventions = {name for name, entry in CATALOGUE.items() if entry.convention}
    assert {"adagrad-from-zero", "avgpool-divides-by-window", "relu-gradient-at-zero"} <= conventions
    assert markdown().count("*A different convention:*") == len(conventions)


def test_an_unknown_name_is_refused_with_the_known_ones():
    for ask in (find, apply, demonstration.run):
        with pytest.raises(ValueError, match=r"maxpool-pads-zero.*race-in-parallel-sum"):
            ask("maxpool-pads-one")


def test_the_page_of_the_gallery_is_what_its_command_prints():
    page = Path(__file__).parents[1] / "docs" / "gallery.md"
    assert page.read_text(encoding="utf-8") == markdown(), "python -m scratchnet.tools.gallery > docs/gallery.md"


def test_the_pages_that_name_the_number_of_entries_name_it_right():
    for page in ("README.md", "docs/gradient-checking.md"):
        text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
        assert f"{len(CATALOGUE)} bugs from public code" in text
    map_of_the_package = (Path(__file__).parents[1] / "scratchnet" / "README.md").read_text(encoding="utf-8")
    assert f"{len(CATALOGUE)} bugs from public code" in map_of_the_package


# -- the demonstration -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_training(monkeypatch):
    """Let every network reach 0.75 at once."""
    monkeypatch.setattr(SmallNet, "accuracy", lambda self, **settings: 0.75)


@pytest.fixture
def two_entries(monkeypatch):
    kept = {name: CATALOGUE[name] for name in ("flatten-fortran-order", "ce-clipped")}
    monkeypatch.setattr(demonstration.gallery, "CATALOGUE", kept)
    return kept


def test_one_is_shown_with_its_lines_its_source_the_rows_that_fail_and_the_accuracies(no_training, capsys):
    assert demonstration.run("relu-gradient-at-zero") == 0
    shown = capsys.readouterr().out
    entry = find("relu-gradient-at-zero")
    for part in (entry.right, entry.wrong, entry.source, entry.looks_right, entry.convention, "dx, ties", "75.0 %"):
        assert part in shown
    assert "caught by the check that must catch it: definition" in shown
    assert "checks that it passes: gradient, contract" in shown


def test_all_are_shown_in_a_table_and_counted(no_training, two_entries, capsys):
    assert demonstration.run("all") == 0
    shown = capsys.readouterr().out
    assert re.search(r"flatten-fortran-order +definition +yes +gradient, contract +75\.0 % +75\.0 %", shown)
    assert "2 of 2 caught" in shown


def test_one_that_is_not_caught_fails_the_command(no_training, two_entries, capsys):
    harmless = replace(two_entries["ce-clipped"], install=lambda: apply("flatten-fortran-order"))
    two_entries["ce-clipped"] = harmless
    assert demonstration.run("ce-clipped") == 1
    assert demonstration.run("all") == 1
    shown = capsys.readouterr().out
    assert "NOT CAUGHT" in shown
    assert "1 of 2 caught" in shown


def test_what_this_machine_cannot_show_is_left_out_with_its_reason(no_training, two_entries, monkeypatch, capsys):
    monkeypatch.setattr(type(two_entries["ce-clipped"]), "unavailable", lambda self: "no threads" * ("ce" in self.name))
    assert demonstration.run("all") == 0
    assert demonstration.run("ce-clipped") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 caught" in shown
    assert "left out: ce-clipped: no threads" in shown
    assert "not shown: no threads" in shown


@pytest.fixture
def few_images(monkeypatch):
    """Squares of two sizes, which any network soon distinguishes."""
    monkeypatch.setattr(small_net, "EPOCHS", 60)
    x = np.zeros((16, 14, 14, 1), np.float32)
    x[::2, 5:8, 5:8], x[1::2, 2:12, 2:12] = 1, 1
    y = np.eye(10, dtype=np.float32)[np.arange(16) % 2]
    monkeypatch.setattr(small_net, "images", lambda: ((x, y), (x, y)))


@pytest.mark.compiled
def test_a_broken_net_trains_with_the_same_result_each_time(few_images, capsys):
    reached = []
    for _ in range(2):
        with apply("maxpool-overlap-assigns"):
            reached.append(SmallNet().accuracy())
    assert reached[0] == reached[1]
    assert reached[0] > 0.9
    assert capsys.readouterr().out == ""


def test_a_net_whose_loss_goes_to_infinity_has_no_accuracy_and_is_called_diverged(few_images, monkeypatch):
    def fit(self, *args, **settings):
        raise FloatingPointError

    monkeypatch.setattr(small_net.Model, "fit", fit)
    assert demonstration.percent(SmallNet().accuracy()) == "diverged"


def test_small_glyphs_are_grey_images_of_half_the_size_with_one_hot_labels(monkeypatch):
    drawn = np.full((6, 28, 28), 51, np.uint8), np.arange(6, dtype=np.uint8)
    monkeypatch.setattr(small_net.glyphs.SET, "find", lambda: None)
    monkeypatch.setattr(small_net.glyphs, "generate", lambda train, test: (drawn, drawn))
    small_net.images.cache_clear()
    try:
        (x, y), _ = small_net.images()
    finally:
        small_net.images.cache_clear()
    assert x.shape == (6, 14, 14, 1)
    np.testing.assert_allclose(x, 0.2, rtol=1e-6)
    np.testing.assert_array_equal(y.argmax(axis=1), drawn[1])


# -- correct code is never accused -------------------------------------------------------------------------------------


def random_layer(rng):
    """Return a layer of any kind in any implementation, and a small shape for it."""

    def number(low, high):
        return int(rng.integers(low, high + 1))

    implementation = ("loops", "im2col", "fused")[number(0, 2)]
    most = 3 if implementation == "loops" else 6
    H, W, C = number(1, most), number(1, most), number(1, 3)
    padding = ("same", "valid")[number(0, 1)]
    largest = (4, 4) if padding == "same" else (min(4, H), min(4, W))
    window, strides = (number(1, largest[0]), number(1, largest[1])), (number(1, 3), number(1, 3))
    options = {"implementation": implementation}
    bias = bool(number(0, 1))
    makers = [
        lambda: (Conv2D(number(1, 3), window, strides, padding, use_bias=bias, **options), (H, W, C)),
        lambda: (MaxPooling2D(window, strides, padding, **options), (H, W, C)),
        lambda: (MinPooling2D(window, strides, padding, **options), (H, W, C)),
        lambda: (AveragePooling2D(window, strides, padding, **options), (H, W, C)),
        lambda: (Dense(number(1, 4), use_bias=bias, **options), (number(1, 7),)),
        lambda: (Softmax(), (number(1, 6),)),
        lambda: (ReLU(), (H, W, C)),
        lambda: (Activation("linear"), (H, W, C)),
        lambda: (Flatten(), (H, W, C)),
        lambda: (Add(), [(H, W, C)] * number(2, 3)),
        lambda: (Concatenate(number(1, 3), **options), [(H, W, C)] * number(2, 3)),
        lambda: (BatchNormalization(momentum=rng.uniform(0, 0.99), center=bias, scale=bool(number(0, 1)), **options), (H, W, C)),
        lambda: (BatchNormalization(epsilon=10 ** rng.uniform(-5, 0), **options), (number(1, 5),)),
        lambda: (GlobalAveragePooling2D(keepdims=bias, **options), (H, W, C)),
        lambda: (GlobalMaxPooling2D(keepdims=bias, **options), (H, W, C)),
        lambda: (Dropout(rng.uniform(0, 0.9), (None, None, 1, number(0, 1) or None) if bias else None, **options), (H, W, C)),
        lambda: (Dropout(rng.uniform(0, 0.9), (1, None), **options), (number(1, 5),)),
        lambda: (SpatialDropout2D(rng.uniform(0, 0.9), **options), (H, W, C)),
        lambda: (RandomFlip(("horizontal_and_vertical", "horizontal", "vertical")[number(0, 2)], **options), (H, W, C)),
        lambda: (RandomCrop(number(1, H), number(1, W), **options), (H, W, C)),
        lambda: (
            RandomTranslation(
                rng.uniform(0, 1),
                (-rng.uniform(0, 1), rng.uniform(0, 1)),
                ("reflect", "constant", "nearest")[number(0, 2)],
                ("bilinear", "nearest")[number(0, 1)],
                fill_value=rng.uniform(-1, 1),
                **options,
            ),
            (H, W, C),
        ),
        lambda: (Activation(sorted(ACTIVATIONS)[number(0, len(ACTIVATIONS) - 1)]), (H, W, C)),
        lambda: (LeakyReLU(rng.uniform(0, 2)), (H, W, C)),
        lambda: (ELU(rng.uniform(0, 2)), (H, W, C)),
        lambda: (Rescaling(rng.uniform(-2, 2), rng.uniform(-2, 2), **options), (H, W, C)),
        lambda: (Reshape((-1, C), **options), (H, W, C)),
        lambda: (ZeroPadding2D(((number(0, 2), number(0, 2)), (number(0, 2), number(0, 2))), **options), (H, W, C)),
    ]
    return makers[number(0, len(makers) - 1)]()


def random_optimizer(rng):
    rate, epsilon = 10 ** rng.uniform(-4, 0), 10 ** rng.uniform(-8, -3)
    fraction, other = rng.uniform(0, 0.99), rng.uniform(0.3, 0.999)
    makers = [
        lambda: SGD(rate, fraction, nesterov=bool(rng.integers(2))),
        lambda: Adagrad(rate, fraction, epsilon),
        lambda: Adadelta(rate, fraction, epsilon),
        lambda: Adam(rate, fraction, other, epsilon, amsgrad=bool(rng.integers(2))),
        lambda: AdamW(rate, 10 ** rng.uniform(-3, 0), fraction, other, epsilon),
        lambda: Nadam(rate, fraction, other, epsilon),
        lambda: RMSprop(rate, fraction, rng.choice([0, other]), epsilon, bool(rng.integers(2))),
        lambda: SGD(rate, **{("clipnorm", "clipvalue", "global_clipnorm")[rng.integers(3)]: 10 ** rng.uniform(-2, 1)}),
        lambda: Adam(random_schedule(rng)),
    ]
    return makers[rng.integers(len(makers))]()


def random_schedule(rng):
    first, steps, factor = 10 ** rng.uniform(-3, 0), int(rng.integers(1, 60)), rng.uniform(0.1, 0.99)
    staircase = bool(rng.integers(2))
    makers = [
        lambda: ExponentialDecay(first, steps, factor, staircase),
        lambda: InverseTimeDecay(first, steps, factor, staircase),
        lambda: PiecewiseConstantDecay([steps, 2 * steps], [first, first * factor, first / 10]),
        lambda: PolynomialDecay(first, steps, first / 10, rng.uniform(0.5, 3), staircase),
        lambda: CosineDecay(first, steps, factor),
        lambda: CosineDecay(first / 10, steps, factor, warmup_target=first, warmup_steps=int(rng.integers(0, 9))),
        lambda: CosineDecayRestarts(first, steps, rng.choice([1, 1.5, 2]), factor, factor / 2),
    ]
    return makers[rng.integers(len(makers))]()


def random_loss(rng):
    smoothing = rng.uniform(0, 1)
    losses = [CategoricalCrossentropy(label_smoothing=smoothing), SparseCategoricalCrossentropy(label_smoothing=smoothing)]
    return [softmax_cross_entropy, *losses][rng.integers(3)]


def accuse(seed):
    """Check a random layer, loss, optimizer, schedule, regularizer and initializer; a failed check raises with its table."""
    rng = np.random.default_rng(seed)
    layer, shape = random_layer(rng)
    check_layer(layer, shape, batch=int(rng.integers(1, 4)), seed=seed, raise_on_failure=True)
    check_loss(random_loss(rng), shape=(int(rng.integers(1, 7)), int(rng.integers(1, 7))), seed=seed, raise_on_failure=True)
    check_optimizer(random_optimizer(rng), steps=int(rng.integers(1, 9)), seed=seed, raise_on_failure=True)
    check_schedule(random_schedule(rng), raise_on_failure=True)
    regularizer = (L1(rng.uniform(0.01, 1)), L2(rng.uniform(0.01, 1)), L1L2(rng.uniform(0.01, 1), rng.uniform(0.01, 1)))
    check_regularizer(regularizer[rng.integers(3)], shape=(3, int(rng.integers(1, 5))), seed=seed, raise_on_failure=True)
    rule = sorted(set(initializers.KNOWN) - {"identity"})[rng.integers(len(initializers.KNOWN) - 1)]
    check_initializer(rule, tuple(map(int, rng.integers(1, 5, 4))), seed=seed, raise_on_failure=True)


@pytest.mark.filterwarnings("ignore:NUMBA_DISABLE_JIT:RuntimeWarning")
@pytest.mark.parametrize("seed", range(25))
def test_healthy_code_is_not_accused(seed):
    with limit(1):
        accuse(seed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:NUMBA_DISABLE_JIT:RuntimeWarning")
def test_healthy_code_is_not_accused_in_500_random_cases_on_all_threads():
    for seed in range(1000, 1500):
        accuse(seed)
