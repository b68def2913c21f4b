"""The report of `scratchnet reproduce`: its numbers and verdicts follow from the histories, and it needs no other file."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from small_studies import made_up, tiny, tiny_images, write_all

from scratchnet import datasets
from scratchnet.callbacks import EarlyStopping
from scratchnet.preprocessing import one_hot
from scratchnet.tools.reproduce import experiments, html, numbers, report, results
from scratchnet.tools.reproduce.page import Page
from scratchnet.tools.reproduce.published import KERAS


def noise(name):
    form = (28, 28) if name in ("mnist", "glyphs") else (32, 32, 3)
    x = np.random.default_rng(0).integers(0, 256, (60, *form), dtype=np.uint8)
    return datasets.Dataset(name, x, np.zeros(60, np.uint8), x, np.zeros(60, np.uint8), tuple("abcdefghij"))


@pytest.fixture(scope="module", autouse=True)
def noise_for_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", noise)
        patch.setattr(datasets, "status", list)  # no set is missing
        # Figures are built but not drawn, which takes half a second each; tests/test_plotting.py draws them.
        patch.setattr(Figure, "savefig", lambda figure, file, format: file.write(b"\x89PNG"))
        yield


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory):
    """A folder of results that are within a thousandth of Keras's, with Adadelta good at the paper's rate."""
    out = tmp_path_factory.mktemp("agreeing")
    best = {name.replace("-", "_"): published.best for name, published in KERAS.items()}
    return out, write_all(out, net_2_cifar10_adadelta_1=0.62, net_2_cifar10_adagrad_0_03=0.6, **best)


@pytest.fixture(scope="module")
def page(agreeing):
    out, plan = agreeing
    return report.write(plan, out).read_text(encoding="utf-8")


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are files without a figure, for tests of the text."""

    def picture(self, name, alt, *args, **kwargs):
        (self.out / f"{name}.png").write_bytes(b"\x89PNG")
        return f"![{alt}]({name}.png)"

    monkeypatch.setattr(Page, "picture", picture)


# -- numbers ----------------------------------------------------------------------------------------------------------

losses = st.lists(st.floats(0, 10) | st.sampled_from([1.0, 0.5]), min_size=1, max_size=20)


@given(val_loss=losses, patience=st.integers(1, 6))
def test_early_stopping_from_a_history_ends_where_its_definition_says(val_loss, patience):
    best = 0
    for epoch, loss in enumerate(val_loss):
        if loss < val_loss[best]:
            best = epoch
        if epoch - best >= patience:
            break
    assert numbers.early_stop(val_loss, patience) == numbers.Stop(stopped=epoch + 1, restored=best + 1)


@pytest.mark.compiled
@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_from_a_history_equals_a_training_that_was_stopped(patience):
    data = tiny_images()
    rng = np.random.default_rng(0)
    x, y = data.x_train, one_hot(rng.integers(0, 3, 48), 3)  # random labels: it must overfit
    x_test, y_test = data.x_test, one_hot(rng.integers(0, 3, 24), 3)

    def train(*callbacks):
        model = tiny().net.build(x.shape[1:], 3, seed=4)
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        model.optimizer.learning_rate = 0.01
        model.fit(x, y, 16, 12, 0, list(callbacks), validation_data=(x_test, y_test))
        return model

    whole = train().history.history
    stop = numbers.early_stop(whole["val_loss"], patience)
    stopped = train(EarlyStopping(patience=patience, restore_best_weights=True))
    assert stop.stopped == len(stopped.history.history["loss"]) < 12
    loss, accuracy = stopped.evaluate(x_test, y_test, 16, 0)
    assert (loss, accuracy) == (whole["val_loss"][stop.restored - 1], whole["val_accuracy"][stop.restored - 1])


def test_a_row_has_the_best_the_lowest_and_the_last_values_with_their_epochs():
    history = {
        "accuracy": [0.9, 0.97, 0.99],
        "val_accuracy": [0.96, 0.985, 0.98],
        "val_loss": [0.2, 0.1, 0.3],
        "seconds": [2.0, 1.0, 1.0],
    }
    machine = {"threads": 2}
    row = numbers.row({"history": history, "machine": machine})
    assert (row.best, row.best_epoch, row.low_loss, row.low_epoch, row.last_loss) == (0.985, 2, 0.1, 2, 0.3)
    assert (row.to_98, row.last, row.seconds) == (2, 0.98, 3.0)
    assert row.gap == pytest.approx(0.01)
    assert row.threads == 2
    assert numbers.row({"history": history, "machine": machine}, epochs=1).to_98 is None
    assert numbers.row({"history": {}, "machine": machine}) is None


def test_there_is_no_mean_if_one_seed_did_not_reach_the_accuracy():
    history = {"accuracy": [0.9], "val_accuracy": [0.99], "val_loss": [0.2]}
    below = {**history, "val_accuracy": [0.9]}
    reached, never = (numbers.row({"history": h, "machine": {"threads": 1}}) for h in (history, below))
    assert numbers.Seeds([reached, reached]).values("to_98") == [1.0, 1.0]
    assert numbers.Seeds([reached, never]).values("to_98") == []


def test_the_winner_is_the_best_of_its_optimizer_within_the_epochs_of_the_sweep():
    plan = experiments.plan()
    known = {e.name: [made_up(e, 0, best=0.5)] for e in plan.groups["rates"]}
    known["net_2-cifar10-adagrad-0.01"][0]["history"]["val_accuracy"][7] = 0.6
    late = known["net_2-cifar10-adagrad"][0]["history"]["val_accuracy"]
    late[15] = 0.9  # after sixteen epochs; the others had eight
    assert numbers.winners(plan, known)["adagrad"] == "net_2-cifar10-adagrad-0.01"
    failed = plan.experiments["net_2-cifar10-adam-0.003"]
    known[failed.name] = [made_up(failed, 0, failure="the loss is nan")]
    assert numbers.winners(plan, known)["adam"] != failed.name
    del known[failed.name]
    assert numbers.winners(plan, known) == {}


# -- the page ---------------------------------------------------------------------------------------------------------


def test_six_results_equal_to_kerass_agree_and_a_different_one_does_not(page, agreeing, tmp_path, undrawn):
    assert "6 of 6 agree." in page
    _, plan = agreeing
    best = {name.replace("-", "_"): published.best for name, published in KERAS.items()}
    write_all(tmp_path, plan, **{**best, "net_1_mnist_adam": 0.9352})
    other = report.write(plan, tmp_path).read_text(encoding="utf-8")
    assert "5 of 6 agree; outside the tolerance: `net_1-mnist-adam`." in other
    assert "net_1's best validation accuracy on MNIST is 0.9352" in other
    assert "not found: ours is higher" in page
    assert "not found: ours is higher" not in other


def test_the_claim_about_pooling_is_checked_against_the_same_net_without_pooling(agreeing, tmp_path, undrawn):
    _, plan = agreeing

    def verdict_with(**best):
        write_all(tmp_path, plan, **best)
        text = report.write(plan, tmp_path).read_text(encoding="utf-8")
        (line,) = (line for line in text.splitlines() if line.startswith("| with max-pooling MNIST"))
        return line.split("|")[3].strip()

    assert verdict_with(net_1_mnist_adam=0.99, stride1_none_mnist_adam=0.985) == "confirmed"
    assert verdict_with(net_1_mnist_adam=0.985, stride1_none_mnist_adam=0.99) == "the opposite"
    assert verdict_with(net_1_mnist_adam=0.99, stride1_none_mnist_adam=0.99) == "not found: no clear difference"


def test_a_difference_from_keras_is_explained_if_one_order_of_images_gives_kerass_figure(agreeing, tmp_path, undrawn):
    _, plan = agreeing

    def verdict_with(**best):
        write_all(tmp_path, plan, net_2_cifar10_adam=KERAS["net_2-cifar10-adam"].best + 0.03, **best)
        lines = report.write(plan, tmp_path).read_text(encoding="utf-8").splitlines()
        ours = (line for line in lines if line.startswith("| `net_2-cifar10-adam` |"))
        compared = (line for line in ours if "agrees" in line or "differs" in line)
        (verdict,) = (line.split("|")[6].strip() for line in compared)
        (one_order,) = (line.split("|")[-2].strip() for line in lines if line.startswith("| net_2 on CIFAR-10 |"))
        return verdict, one_order

    as_keras = KERAS["net_2-cifar10-adam"].best
    explained = "**differs**; agrees when images keep their order, see question 5"
    assert verdict_with(net_2_cifar10_adam_shuffled_once=as_keras) == (explained, "agrees")
    assert verdict_with(net_2_cifar10_adam_shuffled_once=as_keras + 0.03) == ("**differs**", "**differs**")


def test_seconds_are_those_of_the_most_usual_number_of_threads(tmp_path, undrawn):
    plan = experiments.plan()
    e = plan.experiments["net_1-mnist-adam"]
    for seed, (threads, seconds) in enumerate([(2, 1.0), (1, 3.0), (1, 3.0)]):
        result = made_up(e, seed)
        result["machine"]["threads"], result["history"]["seconds"] = threads, [seconds] * e.epochs
        results.write(results.path(tmp_path, e.name, seed), result)
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    assert "| 48 ± 0 |" in text
    assert "for the training runs on 1 thread." in text


def test_the_page_has_every_chapter_and_every_picture_that_it_shows(page, agreeing):
    out, _ = agreeing
    chapters = [line for line in page.splitlines() if line.startswith("## ")]
    assert len(chapters) == 11
    shown = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert len(shown) == 1 + 6 + 2 + 2 + 1 + 4 + 2 + 1 + 1
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in shown)


def test_the_tables_have_as_many_cells_in_every_line_as_in_their_head(page):
    lines = page.splitlines()
    tables = [k for k, line in enumerate(lines) if line.startswith("|---")]
    assert len(tables) >= 10
    for k in tables:
        end = next((n for n in range(k, len(lines)) if not lines[n].startswith("|")), len(lines))
        assert {line.count("|") for line in lines[k - 1 : end]} == {lines[k].count("|")}


def test_adadelta_is_slow_at_its_default_and_not_at_the_papers_rate(page):
    steps = [line for line in page.splitlines() if line.startswith("| adadelta | ")][-2:]
    slow, fast = ([float(cell) for cell in line.strip("| ").split(" | ")[1:]] for line in steps)
    assert slow[0] == 0.001
    assert fast[0] == 1
    assert np.allclose(np.divide(fast, slow), 1000, rtol=0.05)
    assert "1 (the largest tried)" in page


class References(HTMLParser):
    """Collect everything that a page refers to."""

    def __init__(self):
        super().__init__()
        self.found, self.open, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_html_page_needs_no_other_file(page, agreeing):
    out, _ = agreeing
    text = (out / "report.html").read_text(encoding="utf-8")
    parsed = References()
    parsed.feed(text)
    assert parsed.open == []
    assert len(parsed.found) == 20
    assert all(value.startswith("data:image/png;base64,") for value in parsed.found)
    assert not parsed.tags & {"script", "link", "iframe", "object"}
    assert "url(" not in text
    assert "@import" not in text
    assert "include}" not in text
    assert "There is no discussion yet" in text


def test_the_words_of_the_page_are_marked_up_and_escaped():
    marks = "# A & B\n\nsee **this** *one* `a*b*c` <i> 2*3*4\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | `x` |"
    text = html.page(marks, results.Path())
    assert "<h1>A &amp; B</h1>" in text
    assert "<p>see <strong>this</strong> <em>one</em> <code>a*b*c</code> &lt;i&gt; 2*3*4</p>" in text
    assert "<ul><li>one</li><li>two</li></ul>" in text
    assert "<td>1</td><td><code>x</code></td>" in text


def test_the_discussion_is_created_once_and_never_changed(agreeing, page, undrawn):
    out, plan = agreeing
    (out / "discussion.md").write_text("We find **this**.\n")
    again = report.write(plan, out).read_text(encoding="utf-8")
    assert (out / "discussion.md").read_text() == "We find **this**.\n"
    assert again == page
    assert "<p>We find <strong>this</strong>.</p>" in (out / "report.html").read_text(encoding="utf-8")


def test_what_is_not_trained_yet_is_named_with_the_command_that_trains_it(tmp_path, undrawn):
    plan = experiments.plan()
    e = plan.experiments["net_1-cifar10-adam"]
    results.write(results.path(tmp_path, e.name, 0), made_up(e, 0))
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    assert "Not trained yet: `net_1-mnist-adam`, `net_2-mnist-adam`" in text
    assert "`scratchnet reproduce --only pooling` trains them." in text
    assert "`scratchnet reproduce --only ledger` measures it." in text
    assert "| `net_1-cifar10-adam` | 1 |" in text


def test_a_report_downloads_nothing(tmp_path, undrawn, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda name: pytest.fail("a report needs no download"))
    absent = datasets.Status("cifar10", "", None, 0, "downloaded at its first use")
    monkeypatch.setattr(datasets, "status", lambda: [absent])
    plan = experiments.plan()
    e = plan.experiments["net_1-cifar10-adam"]
    results.write(results.path(tmp_path, e.name, 0), made_up(e, 0))
    assert "`scratchnet data fetch cifar10` gets them" in report.write(plan, tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["net_2-cifar10-adadelta-1", "net_2-mnist-adam", "net_2-mnist-adam-standardize"])
def test_a_training_that_failed_in_its_first_epoch_is_reported_and_the_page_is_written(name, tmp_path):
    plan = experiments.plan()
    write_all(tmp_path, plan, seeds=1)
    e = plan.experiments[name]
    results.write(results.path(tmp_path, name, 0), made_up(e, 0, failure="the loss is nan"))
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    assert "nan" not in text.lower()
    assert name != "net_2-cifar10-adadelta-1" or "no longer finite after 0 epochs" in text


def test_a_quick_report_says_so_and_says_nothing_about_the_study(tmp_path, undrawn):
    plan = experiments.plan(quick=True)
    write_all(tmp_path, plan, seeds=1)
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    assert "This is the quick form" in text
    assert "Keras's" not in text
    assert "0.9352" not in text
    assert "one seed" in text


def test_labels_that_gave_different_bits_are_reported(tmp_path, page, undrawn):
    assert "**different bits**" in page  # each was made up with other numbers
    plan = experiments.plan()
    write_all(tmp_path, plan, seeds=1)
    first = json.loads(results.path(tmp_path, "net_2-mnist-adam-one-hot-labels", 0).read_text())
    other = results.path(tmp_path, "net_2-mnist-adam-integer-labels", 0)
    results.write(other, {**json.loads(other.read_text()), "history": first["history"]})
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    assert "MNIST, 1 epoch on 60,000 images: the same bits" in text


# -- the words and the cells, from histories made for them ------------------------------------------------------------


def change(out, name, **histories):
    """Replace curves in an experiment's three histories."""
    for seed in range(3):
        file = results.path(out, name, seed)
        result = json.loads(file.read_text())
        result["history"] |= histories
        results.write(file, result)


def cells(text, start):
    """Return the cells of the lines that begin with `start`."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith(start)]


def test_claims_that_the_numbers_contradict_are_not_found(tmp_path, undrawn):
    plan = write_all(tmp_path, net_2_cifar10_adam=0.5, net_2_cifar10_adadelta=0.55, net_2_cifar10_adagrad=0.56)
    change(tmp_path, "net_1-cifar10-adam", val_loss=np.linspace(2, 1, 16).tolist())  # it falls to the end
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    for claim in ("there the validation loss is lowest", "and then rises", "Adadelta and Adagrad stay", "Adam wins"):
        ((_, _, verdict),) = cells(text, f"| {claim}")
        assert verdict.startswith("not found"), claim


def test_the_tables_hold_the_numbers_of_the_histories(tmp_path, undrawn):
    best = {"net_2_cifar10_adam": 0.6, "net_2_cifar10_adam_shuffled_once": 0.5, "net_2_cifar10_adam_standardize": 0.7}
    plan = write_all(tmp_path, **best, net_1_mnist_adam=0.99, stride1_none_mnist_adam=0.97)
    change(
        tmp_path,
        "net_1-cifar10-adam",
        val_loss=[2.0, 1.5, 1.0, 1.25, 1.5, *[2.0] * 11],
        val_accuracy=[0.1, 0.2, 0.4, 0.3, *[0.25] * 12],
        accuracy=(0.5 + np.arange(16) / 100).tolist(),
    )
    text = report.write(plan, tmp_path).read_text(encoding="utf-8")
    ours = cells(text, "| `net_1-cifar10-adam` | 3 |")[0]
    assert ours[2:5] == ["0.4000 ± 0.0000 (3, 3, 3)", "0.2500 ± 0.0000", "0.6500 ± 0.0000"]
    (losses,) = (row for row in cells(text, "| `net_1-cifar10-adam` | ") if len(row) == 4 and "/" not in row[1])
    assert losses[1:3] == ["1.0000 ± 0.0000 (3, 3, 3)", "2.0000 ± 0.0000"]
    stops = [row for row in cells(text, "| `net_1-cifar10-adam` | ") if len(row) == 8]
    assert stops[1][1:] == ["2", "5, 5, 5", "3, 3, 3", "0.4000 ± 0.0000", "+0.1500", "-1.0000", "69%"]
    (once,) = cells(text, "| net_2 on CIFAR-10 |")
    assert float(once[1][:6]) > float(once[2][:6])
    assert once[3].startswith("**+")
    assert "standardized 0.7001 ± 0.0001, / 255" in text
    (max_none,) = cells(text, "| pooling, stride 1: max - none |")
    assert max_none[4].startswith(("**+", "+"))
