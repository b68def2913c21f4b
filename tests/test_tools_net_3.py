"""net_3 in the command line: its recipe as defaults, and every command that takes a run."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from small_runs import refused, write_bars

from scratchnet import cli, datasets, load_model, preprocessing
from scratchnet.callbacks import Callback
from scratchnet.model import Model
from scratchnet.networks import net_3
from scratchnet.optimizers import SGD, Adam
from scratchnet.tools import demo, inputs, recipes
from scratchnet.tools import train as train_tool

pytestmark = pytest.mark.compiled  # training in plain Python would take minutes

FILTERS, EPOCHS = (4, 8, 8), 11  # of --quick, in these tests
MIRRORS = recipes.mirrors


@pytest.fixture(scope="module", autouse=True)
def narrow_and_mirrored():
    """Make --quick narrower still, and mirror the images, as is done with photographs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "QUICK_FILTERS", FILTERS)
        patch.setattr(recipes, "QUICK_EPOCHS", EPOCHS)
        patch.setattr(recipes, "mirrors", lambda data: True)
        yield


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars", n_train=40, n_test=16, shape=(28, 28))


def words(bars, folder, *more):
    return ["train", "--net", "net_3", "--quick", "--data", str(bars), "--out", str(folder), *more]


@pytest.fixture(scope="module")
def run(bars, tmp_path_factory):
    """A finished run with the defaults of the recipe; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "net_3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_tool, "draw", lambda *args: None)
        assert cli.main(words(bars, folder)) == 0
    return folder


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr(train_tool, "draw", lambda *args: None)


def settings_of(run):
    return json.loads((run / "settings.json").read_text())


def by_hand(bars, batch_size=1000, epochs=EPOCHS, flip=True):
    """Do what the recipe says with library calls."""
    data = datasets.load(str(bars))
    x, y = (images[..., None] / np.float32(255) for images in (data.x_train, data.x_test))
    model = net_3((28, 28, 1), 4, filters=FILTERS, flip=flip, seed=0)
    recipe = recipes.Recipe(batch_size=batch_size, epochs=epochs, learning_rate=1.46484375 * batch_size / 1000)
    recipe.compile(model, x)
    history = model.fit(x, preprocessing.one_hot(data.y_train, 4), batch_size, epochs, verbose=0)
    return model, history, (y, preprocessing.one_hot(data.y_test, 4))


def same_weights(one, other):
    return [w.tobytes() for w in one.get_weights()] == [w.tobytes() for w in other.get_weights()]


def test_without_options_the_recipe_decides(run):
    arguments, settings = settings_of(run)["arguments"], settings_of(run)
    assert (arguments["optimizer"], arguments["epochs"], arguments["batch_size"], arguments["quick"]) == ("sgd", EPOCHS, 1000, True)
    assert settings["optimizer"]["learning_rate"]["class_name"] == "PiecewiseLinear"
    config = settings["optimizer"]["learning_rate"]["config"]
    assert config["boundaries"] == pytest.approx([0, 2.2, 11])
    assert config["values"] == pytest.approx([0.2 * 1.46484375, 1.46484375, 0])
    model = load_model(run / "model.npz")
    assert [layer.filters for layer in model.layers if layer.name.startswith("conv")] == [4, 4, 8, 8, 8, 8]
    assert model.loss.label_smoothing == 0.2
    assert isinstance(model.optimizer, SGD)
    assert (model.optimizer.momentum, model.optimizer.nesterov, model.optimizer.weight_decay) == (0.85, True, 0.0102)
    assert model.optimizer.learning_rate_multipliers == {"beta": 64.0}
    assert model.optimizer.iterations == EPOCHS
    assert "random_flip" in [layer.name for layer in model.layers]


def test_a_run_has_the_bits_of_the_recipe_in_library_calls(run, bars):
    model, history, _ = by_hand(bars)
    assert same_weights(load_model(run / "model.npz"), model)
    assert json.loads((run / "history.json").read_text())["loss"] == history.history["loss"]


def test_train_and_evaluate_print_the_plain_values_and_those_of_several_views(run, bars, tmp_path, capsys, without_figures):
    assert cli.main(words(bars, tmp_path / "run", "--epochs", "2")) == 0
    printed = capsys.readouterr().out
    model, _, (x, y) = by_hand(bars, epochs=2)
    plain, augmented = model.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0, augment="flip_translate")
    assert f"validation accuracy {plain[1]:.4f}, loss {plain[0]:.4f} (16 test images)\n" in printed
    views = f"with test-time augmentation (flip_translate): accuracy {augmented[1]:.4f}, loss {augmented[0]:.4f}\n"
    assert views in printed
    result = settings_of(tmp_path / "run")["result"]
    assert result["augmented_val_loss"] == pytest.approx(augmented[0])
    assert result["augmented_val_accuracy"] == augmented[1]

    assert cli.main(["evaluate", str(run)]) == 0
    assert re.search(
        r"bars: loss \d.*\(16 test images\)\nwith test-time augmentation \(flip_translate\): loss .*; each class without it:\n\n"
        r"class ",
        capsys.readouterr().out,
    )


@pytest.mark.parametrize("views", ["none", "flip", "translate"])
def test_evaluate_averages_over_the_views_that_are_asked_for(views, run, bars, capsys):
    capsys.readouterr()
    assert cli.main(["evaluate", str(run), "--augment", views]) == 0
    printed = capsys.readouterr().out
    assert ("test-time augmentation" in printed) == (views != "none")
    assert views == "none" or f"with test-time augmentation ({views}): loss " in printed


@pytest.mark.parametrize("value", ["mirror", True, None, ["flip"]])
def test_views_that_do_not_exist_are_refused_in_settings(value, run, tmp_path, capsys):
    (tmp_path / "model.npz").write_bytes((run / "model.npz").read_bytes())
    (tmp_path / "settings.json").write_text(json.dumps({**settings_of(run), "augment": value}))
    assert "expected augment to be one of flip, translate, flip_translate, got" in refused(capsys, 1, "evaluate", tmp_path)


class Stop(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "more", [[], pytest.param(["--optimizer", "adam", "--patience", "3"], marks=pytest.mark.slow)], ids=["sgd", "adam"]
)
def test_an_interrupted_run_resumes_to_the_same_bits(more, bars, tmp_path, monkeypatch, capsys, without_figures):
    """Its third epoch has the other side of each image, random crops of its own, and its own rates."""
    options = ["--batch-size", "24", "--epochs", "4", *more]
    assert cli.main(words(bars, tmp_path / "whole", *options)) == 0
    fit = Model.fit
    with monkeypatch.context() as patch:
        patch.setattr(Model, "fit", lambda self, *args, callbacks, **more: fit(self, *args, callbacks=[*callbacks, Stop()], **more))
        refused(capsys, 130, *words(bars, tmp_path / "run", *options))
    assert settings_of(tmp_path / "run")["epochs"] == 2
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert same_weights(*(load_model(tmp_path / name / "model.npz") for name in ("run", "whole")))
    assert (tmp_path / "run" / "history.json").read_bytes() == (tmp_path / "whole" / "history.json").read_bytes()
    old, new = (settings_of(tmp_path / name) for name in ("whole", "run"))
    assert new["optimizer"] == old["optimizer"]
    assert new["result"] == old["result"]


@pytest.mark.parametrize(
    ("more", "peak"),
    [
        (["--batch-size", "500"], 1.46484375 / 2),
        (["--learning-rate", "3"], 3.0),
        (["--learning-rate", "3", "--batch-size", "10"], 3.0),
        (["--optimizer", "sgd"], 1.46484375),
    ],
)
def test_the_highest_rate_is_the_given_one_or_proportional_to_the_batch(more, peak, bars, tmp_path, capsys, without_figures):
    assert cli.main(words(bars, tmp_path / "run", "--epochs", "1", "--limit", "20", *more)) == 0
    assert settings_of(tmp_path / "run")["optimizer"]["learning_rate"]["config"]["values"][1] == pytest.approx(peak)
    assert f"sgd with a rate up to {peak:.4g}; label smoothing 0.2" in capsys.readouterr().out


def test_another_optimizer_has_its_own_rate_and_nothing_of_the_recipe(bars, tmp_path, capsys, without_figures):
    assert cli.main(words(bars, tmp_path / "run", "--epochs", "1", "--optimizer", "adam")) == 0
    optimizer = load_model(tmp_path / "run" / "model.npz").optimizer
    assert isinstance(optimizer, Adam)
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.learning_rate_multipliers) == (0.001, None, None)
    assert settings_of(tmp_path / "run")["optimizer"] == {"name": "adam", "learning_rate": 0.001}
    assert "\nadam; label smoothing 0.2" in capsys.readouterr().out


def test_one_image_is_enough_for_a_step(bars, tmp_path, without_figures):
    assert cli.main(words(bars, tmp_path / "run", "--limit", "1", "--epochs", "2")) == 0


def test_images_that_are_too_small_are_refused_before_a_run_is_replaced(run, tmp_path, capsys):
    small = write_bars(tmp_path / "small", shape=(24, 28))
    before = sorted(run.iterdir())
    sentence = "net_3: expected images of shape (H, W, C), at least 25 × 25 pixels, got (24, 28, 1). For smaller ones use net_2"
    assert refused(capsys, 1, *words(small, run, "--force")) == f"scratchnet: {sentence}\n"
    assert sorted(run.iterdir()) == before
    assert settings_of(run)["state"] == "done"


def test_a_resumed_run_takes_no_quick_and_one_with_a_wrong_quick_is_refused(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--resume", str(run), "--quick"])
    assert capsys.readouterr().err.endswith("expected no other, got --quick\n")
    settings = settings_of(run)
    settings["arguments"]["quick"] = "yes"
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert 'argument --quick: expected true or false, got "yes"' in refused(capsys, 1, "train", "--resume", tmp_path)


def test_images_are_mirrored_only_where_that_keeps_their_class(monkeypatch):
    monkeypatch.setattr(recipes, "mirrors", MIRRORS)
    assert {name: recipes.views(name) for name in (*datasets.NAMES, "path/of/letters")} == {
        "cifar10": "flip_translate", "fashion-mnist": "flip_translate", "shapes": "flip_translate",
        "mnist": "translate", "glyphs": "translate", "path/of/letters": "translate",
    }  # fmt: skip


def test_a_run_on_digits_mirrors_nothing(bars, tmp_path, monkeypatch, capsys, without_figures):
    monkeypatch.setattr(recipes, "mirrors", MIRRORS)
    assert cli.main(words(bars, tmp_path / "run", "--epochs", "1")) == 0
    assert "random_flip" not in [layer.name for layer in load_model(tmp_path / "run" / "model.npz").layers]
    assert settings_of(tmp_path / "run")["augment"] == "translate"
    assert "crops, without flips, vary the training images\n" in capsys.readouterr().out


@pytest.mark.slow
def test_the_figures_show_the_whitening_filters_and_maps_after_activations(bars, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(train_tool.plotting, "filters", lambda kernel, path: drawn.append(kernel.shape))
    assert cli.main(words(bars, tmp_path / "run", "--epochs", "1")) == 0
    assert drawn == [(2, 2, 1, 16)]
    assert (tmp_path / "run" / "feature_maps.png").exists()


# -- what the other commands make of a run --------------------------------------------------------------------------------


def test_diagnose_measures_a_run_with_a_schedule_and_alternating_flips(run, tmp_path, capsys):
    assert cli.main(["diagnose", str(run), "--out", str(tmp_path / "d.png")]) == 0
    printed = capsys.readouterr().out
    highest = 1.46484375 * (0.2 + 0.8 * 2 / 2.2)    # steps are whole numbers: none is at 2.2, where the schedule has its peak
    assert f"SGD with learning rates up to {highest:g}: a step changes the weights" in " ".join(printed.split())
    assert "conv2d_5 " in printed


def test_explain_shows_the_whitening_layer_as_a_convolution(run, tmp_path, capsys):
    assert cli.main(["explain", str(run), "--index", "2", "--out", str(tmp_path / "page.html")]) == 0
    assert '"kind":"conv","name":"whitening"' in re.sub(r'": "', '":"', (tmp_path / "page.html").read_text()).replace(", ", ",")


def test_predict_and_the_demo_take_a_run(run, tmp_path, capsys):
    image = np.zeros((28, 28), np.uint8)
    image[5:23, 12:16] = 255
    Image.fromarray(image).save(tmp_path / "one.png")
    assert cli.main(["predict", str(run), str(tmp_path / "one.png")]) == 0
    assert re.search(r"one\.png: \d \(\d: [\d.]+ %, \d: ", capsys.readouterr().out)
    net = demo.loaded(str(run))
    ink = np.zeros((224, 224), np.uint8)
    ink[60:160, 100:120] = 255
    assert sum(net.look(ink)["probabilities"]) == pytest.approx(1, rel=1e-5)
    shown = [maps.name for maps in net.layers]
    assert shown[:3] == ["whitening", "conv2d", "activation"]
    assert not {name for name in shown if name.startswith(("batch_normalization", "random"))}


def test_feature_maps_are_those_after_an_activation(run):
    model = load_model(run / "model.npz")
    x = np.random.default_rng(0).random((2, 28, 28, 1), dtype="float32")
    found = inputs.feature_maps(model, x)
    assert [name for name in found if name.startswith("activation")] == ["activation", *(f"activation_{n}" for n in range(1, 6))]
    np.testing.assert_array_equal(found["activation_2"], model.layer_outputs(x)["activation_2"])
