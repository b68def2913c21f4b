"""The gallery: every saboteur is caught by its witness, fools whom it says it fools, and leaves nothing behind.

It is the checker's negative control; the other half is at the end: healthy code is never accused.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scratchnet.gradcheck import check_layer, check_loss, check_optimizer
from scratchnet.kernels import memory
from scratchnet.kernels.threads import limit
from scratchnet.layers import (
    Activation,
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    MaxPooling2D,
    MinPooling2D,
    ReLU,
    Softmax,
)
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam
from scratchnet.tools import gradcheck_break
from scratchnet.tools.saboteurs import CATALOGUE, WITNESSES, apply, find, small_net, verdicts
from scratchnet.tools.saboteurs.page import markdown
from scratchnet.tools.saboteurs.small_net import SmallNet

NAMES = [pytest.param(name, marks=pytest.mark.compiled) if entry.threads else name for name, entry in CATALOGUE.items()]


@cache
def broken_report(name):
    reason = find(name).unavailable()
    if reason:
        pytest.skip(reason)
    return find(name).report()


# -- caught, and mended ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_witness_that_must_catch_it_does(name):
    assert find(name).witness in {row.witness for row in broken_report(name).failures}


@pytest.mark.parametrize("left", [np.nan, 1e30, 0.0, 3.0])
def test_memory_that_nobody_cleared_is_found_whatever_was_left_there(left):
    used = memory.empty((8, 34, 34, 2), "float32")
    used[...] = left
    del used
    assert not find("col2im-uninitialised").report().passed


@pytest.mark.parametrize("name", NAMES)
def test_it_fools_the_witnesses_that_it_says_it_fools_and_no_other(name):
    assert tuple(witness for witness, well in verdicts(broken_report(name)).items() if well) == find(name).fools


@pytest.mark.parametrize("name", NAMES)
def test_all_is_well_again_after_it_though_an_error_ended_it(name):
    if find(name).unavailable():
        pytest.skip(find(name).unavailable())
    with pytest.raises(ZeroDivisionError), apply(name):
        raise ZeroDivisionError
    find(name).healthy_report().raise_if_failed()


# Behind a ReLU, in a chain, with full batches and ordinary numbers, these do no harm: that is why nobody saw them.
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
}
BITS_OR_LUCK = {
    "softmax-shift-batch-max",
    "softmax-no-shift",
    "gradient-becomes-float64",
    "race-in-parallel-sum",
    "col2im-uninitialised",
}


def weights_after_three_steps(net):
    """Of a net on images with much black around, where the biases of the second step make equal numbers: ties."""
    rng = np.random.default_rng(0)
    x = np.pad(rng.random((8, 4, 6, 1), dtype=np.float32), ((0, 0), (4, 6), (4, 4), (0, 0)))
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 8)]
    model = net.build()
    model.compile(small_net.optimizer(net.optimizer), "categorical_crossentropy", fuse=False)
    with limit(1):
        for rows in (slice(0, 4), slice(4, 8), slice(0, 8)):
            model.train_on_batch(x[rows], y[rows])
    return model.get_weights()


@cache
def healthy_weights(net):
    return weights_after_three_steps(net)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in BITS_OR_LUCK])
def test_training_runs_broken_unless_the_fault_does_no_harm_there(name):
    entry = find(name)
    with entry.broken():
        weights = weights_after_three_steps(entry.net)
    healthy = healthy_weights(entry.net)
    fits = all(a.shape == b.shape for a, b in zip(weights, healthy, strict=True))
    same = fits and all(np.allclose(a, b, rtol=1e-4, atol=1e-8) for a, b in zip(weights, healthy, strict=True))
    assert same == (name in HARMLESS_IN_THE_SMALL_NET)


# -- the catalogue -----------------------------------------------------------------------------------------------------


def test_the_gallery_has_at_least_forty_entries_and_every_witness_is_needed():
    assert len(CATALOGUE) >= 40
    assert {entry.witness for entry in CATALOGUE.values()} == set(WITNESSES)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_says_where_it_was_seen_and_what_the_right_line_is(name):
    entry = find(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)
    assert re.match(r"https://[^ ]+$", entry.source)
    assert entry.seen
    assert entry.right != entry.wrong
    assert entry.looks_right.endswith(".")
    assert entry.witness not in entry.fools
    assert set(entry.fools) <= set(WITNESSES)


def test_another_convention_is_not_called_an_error():
    conventions = {name for name, entry in CATALOGUE.items() if entry.convention}
    assert {"adagrad-from-zero", "avgpool-divides-by-window", "relu-gradient-at-zero"} <= conventions
    assert markdown().count("*Another convention:*") == len(conventions)


def test_an_unknown_name_is_refused_with_the_known_ones():
    for ask in (find, apply, gradcheck_break.run):
        with pytest.raises(ValueError, match=r"maxpool-pads-zero.*race-in-parallel-sum"):
            ask("maxpool-pads-one")


def test_the_page_of_the_gallery_is_the_one_that_its_command_makes():
    page = Path(__file__).parents[1] / "docs" / "gallery.md"
    assert page.read_text(encoding="utf-8") == markdown(), "python -m scratchnet.tools.saboteurs > docs/gallery.md"


def test_the_pages_that_name_the_number_of_entries_name_it_right():
    for page in ("README.md", "docs/gradient-checking.md"):
        assert "seventy real mistakes" in (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    assert len(CATALOGUE) == 70


# -- the demonstration -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_training(monkeypatch):
    """Nets that reach 0.75, at once."""
    monkeypatch.setattr(SmallNet, "accuracy", lambda self, **settings: 0.75)


@pytest.fixture
def two_entries(monkeypatch):
    kept = {name: CATALOGUE[name] for name in ("flatten-fortran-order", "ce-clipped")}
    monkeypatch.setattr(gradcheck_break.saboteurs, "CATALOGUE", kept)
    return kept


def test_one_is_shown_with_its_lines_its_source_the_rows_that_fail_and_the_accuracies(no_training, capsys):
    assert gradcheck_break.run("relu-gradient-at-zero") == 0
    shown = capsys.readouterr().out
    entry = find("relu-gradient-at-zero")
    for part in (entry.right, entry.wrong, entry.source, entry.looks_right, entry.convention, "dx, ties", "75.0 %"):
        assert part in shown
    assert "caught by the witness that must: definition" in shown
    assert "fooled, for they found nothing: gradient, contract" in shown


def test_all_are_shown_in_a_table_and_counted(no_training, two_entries, capsys):
    assert gradcheck_break.run("all") == 0
    shown = capsys.readouterr().out
    assert re.search(r"flatten-fortran-order +definition +yes +gradient, contract +75\.0 % +75\.0 %", shown)
    assert "2 of 2 caught" in shown


def test_one_that_is_not_caught_fails_the_command(no_training, two_entries, capsys):
    harmless = replace(two_entries["ce-clipped"], patch=lambda: apply("flatten-fortran-order"))
    two_entries["ce-clipped"] = harmless
    assert gradcheck_break.run("ce-clipped") == 1
    assert gradcheck_break.run("all") == 1
    shown = capsys.readouterr().out
    assert "NOT CAUGHT" in shown
    assert "1 of 2 caught" in shown


def test_what_this_machine_cannot_show_is_left_out_with_its_reason(no_training, two_entries, monkeypatch, capsys):
    monkeypatch.setattr(type(two_entries["ce-clipped"]), "unavailable", lambda self: "no hands" * ("ce" in self.name))
    assert gradcheck_break.run("all") == 0
    assert gradcheck_break.run("ce-clipped") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 caught" in shown
    assert "left out: ce-clipped: no hands" in shown
    assert "not shown: no hands" in shown


@pytest.fixture
def few_images(monkeypatch):
    """Squares of two sizes, which any net soon tells apart."""
    monkeypatch.setattr(small_net, "EPOCHS", 60)
    x = np.zeros((16, 14, 14, 1), np.float32)
    x[::2, 5:8, 5:8], x[1::2, 2:12, 2:12] = 1, 1
    y = np.eye(10, dtype=np.float32)[np.arange(16) % 2]
    monkeypatch.setattr(small_net, "images", lambda: ((x, y), (x, y)))


@pytest.mark.compiled
def test_a_broken_net_trains_and_the_same_way_each_time(few_images, capsys):
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
    assert gradcheck_break.percent(SmallNet().accuracy()) == "diverged"


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


# -- healthy code is never accused -------------------------------------------------------------------------------------


def random_layer(rng):
    """A layer of any kind in any telling, and a small shape for it."""

    def number(low, high):
        return int(rng.integers(low, high + 1))

    implementation = ("loops", "im2col", "fused")[number(0, 2)]
    most = 3 if implementation == "loops" else 6
    H, W, C = number(1, most), number(1, most), number(1, 3)
    padding = ("same", "valid")[number(0, 1)]
    largest = (4, 4) if padding == "same" else (min(4, H), min(4, W))
    window, strides = (number(1, largest[0]), number(1, largest[1])), (number(1, 3), number(1, 3))
    told = {"implementation": implementation}
    bias = bool(number(0, 1))
    makers = [
        lambda: (Conv2D(number(1, 3), window, strides, padding, use_bias=bias, **told), (H, W, C)),
        lambda: (MaxPooling2D(window, strides, padding, **told), (H, W, C)),
        lambda: (MinPooling2D(window, strides, padding, **told), (H, W, C)),
        lambda: (AveragePooling2D(window, strides, padding, **told), (H, W, C)),
        lambda: (Dense(number(1, 4), use_bias=bias, **told), (number(1, 7),)),
        lambda: (Softmax(), (number(1, 6),)),
        lambda: (ReLU(), (H, W, C)),
        lambda: (Activation("linear"), (H, W, C)),
        lambda: (Flatten(), (H, W, C)),
        lambda: (Add(), [(H, W, C)] * number(2, 3)),
    ]
    return makers[number(0, len(makers) - 1)]()


def random_optimizer(rng):
    rate, epsilon = 10 ** rng.uniform(-4, 0), 10 ** rng.uniform(-8, -3)
    fraction, other = rng.uniform(0, 0.99), rng.uniform(0.3, 0.999)
    makers = [
        lambda: SGD(rate, fraction, nesterov=bool(rng.integers(2))),
        lambda: Adagrad(rate, fraction, epsilon),
        lambda: Adadelta(rate, fraction, epsilon),
        lambda: Adam(rate, fraction, other, epsilon),
    ]
    return makers[rng.integers(len(makers))]()


def accuse(seed):
    """Check a random layer, loss shape and optimizer; a failed check raises with its table."""
    rng = np.random.default_rng(seed)
    layer, shape = random_layer(rng)
    check_layer(layer, shape, batch=int(rng.integers(1, 4)), seed=seed, raise_on_failure=True)
    check_loss(shape=(int(rng.integers(1, 7)), int(rng.integers(1, 7))), seed=seed, raise_on_failure=True)
    check_optimizer(random_optimizer(rng), steps=int(rng.integers(1, 9)), seed=seed, raise_on_failure=True)


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
