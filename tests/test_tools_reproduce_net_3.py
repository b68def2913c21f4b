"""net_3 in `scratchnet reproduce`: its parts, the split, what a result contains, and the tables that follow from it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from small_studies import made_up

from scratchnet import load_model, networks
from scratchnet.callbacks import Callback
from scratchnet.tools.recipes import NET_3
from scratchnet.tools.reproduce import campaign, experiments, ledger, report, results, trial
from scratchnet.tools.reproduce.chapters.findings import net_3 as finding
from scratchnet.tools.reproduce.experiments import of_net_3, parts_of_net_3
from scratchnet.tools.reproduce.net_3 import PARTS, SMALL, SMALL_NET, Net3
from scratchnet.tools.reproduce.page import Page

TINY = of_net_3(
    Net3(filters=(16, 16, 16)),
    "cifar10",
    replace(NET_3, batch_size=12, epochs=3, learning_rate=0.05, whitening_images=10),
    held_out=True,
    note="small",
)


def tiny_images(name="cifar10", limit=None, prepared="scale"):
    """Return 40 + 8 images of 26×25: noise, darker above for class 0; no two images are equal."""
    rng = np.random.default_rng(3)

    def split(n):
        y = (np.arange(n) % 2).astype(np.uint8)
        x = rng.random((n, 26, 25, 3), dtype=np.float32)
        x[y == 0, :13] *= np.float32(0.5)
        return x, y

    return trial.Images(*split(40), *split(8), ("dark", "bright"))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(trial, "images", tiny_images)
    monkeypatch.setattr(trial.plotting, "history", lambda *args, **kwargs: None)


class Stop(Callback):
    """Interrupt the training after the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


# -- what is trained --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 30, 1)])
def test_the_whole_net_assembled_from_its_parts_is_the_networks_own(shape):
    for flip in (True, False):
        net = Net3(filters=(16, 32, 16), flip=flip)
        built, assembled = net.build(shape, 10, seed=4), net.assemble(shape, 10, seed=4)
        expected = networks.net_3(shape, 10, filters=(16, 32, 16), flip=flip, seed=4)
        assert built.get_config() == assembled.get_config() == expected.get_config()
        for a, b in zip(assembled.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def leaves(settings, prefix=""):
    """Return the settings without their nesting."""
    found = {}
    for key, value in settings.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def test_each_part_is_taken_away_alone():
    base, *others = parts_of_net_3("cifar10", SMALL_NET, SMALL)
    whole = leaves(base.settings())
    changed = [{key for key, value in leaves(e.settings()).items() if whole[key] != value} for e in others]
    assert changed == [
        {"note", f"{where}.{key}"}
        for where, key in [
            ("net", "whitening"),
            ("net", "identities"),
            ("recipe", "label_smoothing"),
            ("net", "flip"),
            ("net", "crop"),
            ("recipe", "beta_multiplier"),
            ("net", "activation"),
        ]
    ]
    assert len(others) == len(PARTS)
    assert {e.held_out for e in (base, *others)} == {True}


@pytest.mark.parametrize(
    ("net", "missing"),
    [
        (Net3(flip=False), {"RandomFlip"}),
        (Net3(crop=False), {"RandomCrop"}),
        (Net3(whitening=False), {"PatchWhitening"}),
    ],
)
def test_a_net_without_a_part_has_no_layer_of_it(net, missing):
    kinds = {type(layer).__name__ for layer in Net3().build((32, 32, 3), 10, seed=0).layers}
    assert kinds - {type(layer).__name__ for layer in net.build((32, 32, 3), 10, seed=0).layers} == missing


def test_a_net_without_identities_or_gelu_has_none():
    drawn = Net3(identities=False, activation="relu").build((32, 32, 3), 10, seed=0)
    whole = Net3().build((32, 32, 3), 10, seed=0)
    assert np.trace(whole.params["conv2d_1/kernel"][1, 1]) == 64
    assert abs(np.trace(drawn.params["conv2d_1/kernel"][1, 1])) < 8
    names = {layer.get_config()["activation"] for layer in drawn.layers if type(layer).__name__ == "Activation"}
    assert names == {"relu", "softmax"}


def test_the_groups_are_the_whole_recipe_and_its_parts_and_can_be_trained_alone():
    plan = experiments.plan()
    assert list(plan.select(["net_3"])) == ["net_3-cifar10-sgd"]
    (whole,) = plan.groups["net_3"]
    assert (whole.net, whole.recipe, whole.held_out, whole.sizes()) == (Net3(), NET_3, False, (50_000, 10_000))
    assert list(plan.select(["parts"])) == [e.name for e in plan.groups["parts"]]
    assert {e.sizes() for e in plan.groups["parts"]} == {(45_000, 5_000)}
    assert [seed for _, seed in campaign.tasks(plan, plan.select(["net_3"]), 5, results.Path("nowhere"))] == [0, 1, 2, 3, 4]


def test_multiply_adds_are_counted_with_the_whitening_and_without_gradients_that_no_layer_needs():
    forward = [31 * 31 * 32 * 12, 31 * 31 * 64 * 288, 15 * 15 * 64 * 576, 15 * 15 * 256 * 576]
    forward += [7 * 7 * 256 * 2304] * 2 + [3 * 3 * 256 * 2304, 2560]
    counted = ledger.totals(Net3(), "cifar10")
    assert counted["forward_madds"] == sum(forward)
    assert counted["backward_madds"] == 2 * sum(forward[1:])     # the whitening has no gradient of its kernel, and no dx
    trained = ledger.totals(Net3(whitening=False), "cifar10")
    assert trained["backward_madds"] == forward[0] + 2 * sum(forward[1:])


# -- one training -----------------------------------------------------------------------------------------------------


def test_the_last_tenth_of_the_training_images_takes_the_place_of_the_test_images():
    data = tiny_images()
    split = trial.held_out(data)
    np.testing.assert_array_equal(np.concatenate([split.x_train, split.x_test]), data.x_train)
    np.testing.assert_array_equal(np.concatenate([split.y_train, split.y_test]), data.y_train)
    assert (len(split.x_train), len(split.x_test)) == (36, 4)


@pytest.mark.compiled
def test_an_interrupted_training_of_net_3_resumes_to_the_same_bits(tmp_path, small):
    whole = trial.run(TINY, 1, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trial.run(TINY, 1, tmp_path / "parts", [Stop()])
    resumed = trial.run(TINY, 1, tmp_path / "parts")
    histories = ({key: values for key, values in result["history"].items() if key != "seconds"} for result in (whole, resumed))
    assert next(histories) == next(histories)
    for key in ("weights_sha256", "training_wrong", "augmented_wrong", "answers"):
        assert whole[key] == resumed[key]
    assert trial.run(TINY, 1, tmp_path / "parts") == resumed


@pytest.mark.compiled
def test_a_result_has_the_mistakes_of_several_views_and_those_on_the_training_images(tmp_path, small, monkeypatch):
    data = tiny_images()
    used = []
    predict = trial.Model.predict

    def noted(self, x, *args, **kwargs):
        used.append(x)
        return predict(self, x, *args, **kwargs)

    monkeypatch.setattr(trial.Model, "predict", noted)
    result = trial.run(TINY, 0, tmp_path)
    assert not any(len(x) == 8 for x in used)       # the test images
    model = load_model(trial.run_directory(tmp_path, TINY, 0) / "model.npz")
    train, held_out = slice(36), slice(36, 40)

    def wrong(rows, **augment):
        return int((model.predict(data.x_train[rows], verbose=0, **augment).argmax(axis=1) != data.y_train[rows]).sum())

    assert result["training_wrong"] == wrong(train)
    assert result["augmented_wrong"] == wrong(held_out, augment="flip_translate")
    assert result["answers"]["wrong"] == wrong(held_out)
    assert (result["training_images"], result["test_images"], result["learning_rate"]) == (36, 4, 0.05)
    assert json.loads(json.dumps(asdict(TINY))) == result["settings"]


# -- the chapter ------------------------------------------------------------------------------------------------------


def write(out, e, accuracies, more=()):
    """Write made-up results: for each seed the last accuracy, and of 1,000 images how many are wrong otherwise."""
    for seed, best in enumerate(accuracies):
        result = made_up(e, seed, best=best)
        result["history"]["seconds"] = [30.0] * e.epochs
        result |= {"training_images": 1000, "test_images": 1000, **dict(more)}
        results.write(results.path(out, e.name, seed), result)


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """Return a function that writes the report and returns the text of the chapter."""

    def picture(self, name, alt, *args, **kwargs):
        (self.out / f"{name}.png").write_bytes(b"\x89PNG")
        return f"![{alt}]({name}.png)"

    monkeypatch.setattr(Page, "picture", picture)
    monkeypatch.setattr(report, "CHAPTERS", [report.chapters.better, lambda page: "\n".join(finding(page))])
    return lambda plan: report.write(plan, tmp_path).read_text(encoding="utf-8")


def row(text, start):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_networks_are_compared_by_the_last_accuracy_the_gap_and_the_minutes(tmp_path, chapter):
    plan = experiments.plan()
    (e,) = plan.groups["net_3"]
    write(tmp_path, e, [0.5, 0.75], {"training_wrong": 100, "augmented_wrong": 200})
    write(tmp_path, plan.experiments["net_1-cifar10-adam"], [0.5, 0.5])
    text = chapter(plan)
    madds = f"{ledger.totals(Net3(), 'cifar10')['forward_madds']:,}"
    expected = ["net_3", "1,978,657", madds, "12", "2", "0.6250 ± 0.1768", "0.8000 ± 0.0000", "0.9000 ± 0.0000"]
    assert row(text, "net_3") == [*expected, "0.2750 ± 0.1768", "6.0 ± 0.0", "2"]
    assert row(text, "net_1")[6] == "–"
    assert row(text, "net_1")[8].startswith("0.")
    assert "| net_2 |" not in text
    assert "0.6250 ± 0.1768 on CIFAR-10, and of 0.8000 ± 0.0000 if predictions are means over six views" in text
    assert "after 12 epochs and 6 ± 0 minutes" in text
    assert "45,000 to train, 5,000 to compare" in " ".join(text.split())
    assert "tuned its numbers on CIFAR-10's test images" in text
    assert "![Accuracy per epoch of net_1, net_2 and net_3](better.png)" in text


def test_a_part_that_helps_has_a_difference_below_zero_where_it_is_taken_away(tmp_path, chapter):
    plan = experiments.plan()
    base, whitening, *_, gelu = plan.groups["parts"]
    write(tmp_path, base, [0.875, 0.9], {"training_wrong": 100, "augmented_wrong": 50})
    write(tmp_path, whitening, [0.75, 0.8], {"training_wrong": 300, "augmented_wrong": 50})
    write(tmp_path, gelu, [0.85, 0.925], {"training_wrong": 100, "augmented_wrong": 50})
    text = chapter(plan)
    assert row(text, "nothing")[2:5] == ["2", "0.8875 ± 0.0177", ""]
    assert row(text, "whitening")[3:] == ["0.7750 ± 0.0354", "**-0.1125**, clear", "-0.0750 ± 0.0354"]
    assert row(text, "GELU")[4] == "+0.0000, seeds overlap"
    assert "change the accuracy of the whole small net by **+0.0625**, clear" in text
    assert "Not trained yet: `net_3-cifar10-sgd-small-without-identities`" in text
    assert "(32, 64, 128 filters)" in text
    assert "4 epochs in batches of 500" in text


def test_a_run_that_failed_in_its_first_epoch_is_left_out_of_the_chapter(tmp_path, chapter):
    plan = experiments.plan()
    for e in (plan.groups["net_3"][0], plan.groups["parts"][0]):
        results.write(results.path(tmp_path, e.name, 0), made_up(e, 0, failure="the loss is nan"))
    text = chapter(plan)
    assert "| net_3 |" not in text
    assert "| nothing |" not in text
