"""The diagnosis: networks that were made sick on purpose are found out, for the right reason, and healthy ones are not accused."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchnet import Activation, Conv2D, Dense, Flatten, Input, Sequential, load_model, net_2
from scratchnet.callbacks import TerminateOnNaN, UpdateRatios
from scratchnet.diagnosis import diagnose
from scratchnet.diagnosis.findings import QUESTIONS
from scratchnet.diagnosis.measure import sampled, units_of
from scratchnet.initializers import RandomNormal
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam
from scratchnet.plotting import diagnosis as draw
from scratchnet.preprocessing import one_hot

HISTORIES = Path(__file__).parent.parent / "docs" / "results" / "histories"
H, W, K = 8, 7, 4


def bars(n, rng, noise=0.2):
    """Images with a bright row, whose height is the class, on noise: (n, H, W, 1), and the labels."""
    y = rng.integers(0, K, n)
    x = rng.random((n, H, W, 1)) * noise
    x[np.arange(n), 2 * y] += 0.8
    return x.astype(np.float32), y


TRAIN, TEST = (bars(n, np.random.default_rng(n)) for n in (600, 300))


def conv_net(activation="relu"):
    layers = [Conv2D(8, 3, padding="same", activation=activation), Flatten(), Dense(16, activation=activation)]
    return Sequential([Input(shape=(H, W, 1)), *layers, Dense(K, activation="softmax")], seed=3)


def dense_net(activation, deviation=None, depth=4, units=16):
    start = {} if deviation is None else {"kernel_initializer": RandomNormal(stddev=deviation)}
    layers = [Dense(units, activation=activation, **start) for _ in range(depth)]
    return Sequential([Input(shape=(H, W, 1)), Flatten(), *layers, Dense(K, activation="softmax", **start)], seed=3)


def trained(model, optimizer, epochs=4, train=TRAIN, batch_size=32, **keywords):
    """Train, and return the diagnosis."""
    updates = UpdateRatios()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks = [updates, TerminateOnNaN()]
    history = model.fit(*train, batch_size, epochs, validation_data=TEST, callbacks=callbacks, verbose=0)
    return diagnose(model, *train, validation_data=TEST, history=history, updates=updates, **keywords)


# -- healthy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Adam(), Adam(3e-3), Adagrad(0.03), Adadelta(1.0), SGD(0.1, momentum=0.9)], ids=repr)
@pytest.mark.parametrize("make", [conv_net, lambda: dense_net("relu", depth=2), lambda: dense_net("tanh", depth=2)])
def test_a_network_that_learns_is_not_accused(make, optimizer):
    diagnosis = trained(make(), type(optimizer).from_config(optimizer.get_config()))
    assert diagnosis.facts.accuracy > 0.8
    assert diagnosis.problems == []
    assert diagnosis.summary().startswith("No problem found")


def test_the_histories_of_the_study_on_mnist_are_not_accused():
    facts = trained(conv_net(), Adam()).facts
    paths = sorted(HISTORIES.glob("net_*-mnist-*.json"))
    assert len(paths) > 8
    for path in paths:
        stored = json.loads(path.read_text())
        history = stored.get("history", stored)
        assert [q.__name__ for q in QUESTIONS if q(facts._replace(history=history)).level == "problem"] == [], path.name


# -- sick -------------------------------------------------------------------------------------------------------------


def test_a_huge_learning_rate_that_kills_every_relu_is_named_with_its_default():
    diagnosis = trained(conv_net(), Adam(3.0))
    assert {"learning rate", "dead units", "gradients", "learning"} <= {*diagnosis.problems}
    assert "conv2d: 8 of 8 filters are never positive" in diagnosis["dead units"].text
    assert diagnosis["learning rate"].advice == "Try the default, 0.001."
    assert "predicts the same class" in diagnosis["learning"].text
    assert diagnosis["learning"].advice == ""           # the other findings explain it


def test_a_loss_that_is_not_finite_is_named_with_its_epoch():
    diagnosis = trained(conv_net(), SGD(1e30))
    assert "in epoch 1 the loss was not finite" in diagnosis["learning rate"].text


def test_a_loss_that_explodes_and_stays_finite_is_named():
    diagnosis = trained(dense_net("relu", depth=1), SGD(300.0), epochs=2)
    assert np.isfinite(diagnosis.facts.history["loss"]).all()
    assert "is too large: the mean loss of epoch" in diagnosis["learning rate"].text


def test_a_network_that_loses_again_what_it_had_learned_is_accused_of_its_rate():
    facts = trained(conv_net(), Adam(1e-6), epochs=1).facts
    assert "lost again" not in str(QUESTIONS[3](facts))
    assert "in epoch 2, but the network has since lost" in QUESTIONS[3](facts._replace(history={"loss": [1.2, 0.3, 1.38]})).text


SLOW = [(Adadelta(), "Try 1, the rate"), (Adam(1e-6), "Try 0.001"), (SGD(1e-4), "Try 0.01")]


@pytest.mark.parametrize(("optimizer", "advice"), SLOW, ids=["Adadelta", "Adam", "SGD"])
def test_steps_that_crawl_are_called_slow(optimizer, advice):
    diagnosis = trained(conv_net(), type(optimizer).from_config(optimizer.get_config()))
    assert "learning rate" in diagnosis.problems
    assert "That is slow" in diagnosis["learning rate"].text
    assert diagnosis["learning rate"].advice.startswith(advice)
    assert diagnosis["dead units"].level == diagnosis["gradients"].level == "ok"


def test_small_steps_at_the_end_of_a_training_run_that_has_converged_are_not_called_slow():
    facts = trained(conv_net(), Adam(), epochs=8).facts
    tiny = {layer: [1e-6] * 8 for layer in facts.ratios}
    assert QUESTIONS[3](facts._replace(ratios=tiny)).level == "ok"
    falling = {layer: [1e-3, 1e-6] for layer in facts.ratios}       # a schedule has ended
    assert QUESTIONS[3](facts._replace(loss=1.0, ratios=falling)).level == "ok"


def test_tiny_initial_weights_let_the_gradient_vanish_and_the_rate_is_not_accused():
    diagnosis = trained(dense_net("tanh", 0.01), SGD())
    assert diagnosis.problems == ["learning", "gradients"]
    assert "That is tiny" in diagnosis["gradients"].text


def test_a_gradient_that_vanishes_from_layer_to_layer_is_named_with_the_layer_that_it_does_not_reach():
    diagnosis = trained(dense_net("sigmoid", depth=6), SGD())
    assert {"learning", "gradients"} <= {*diagnosis.problems}
    norms = diagnosis.facts.gradients
    lowest = min(norms, key=norms.get)
    assert lowest in ("dense", "dense_1")
    assert f"It vanishes: {lowest} receives" in diagnosis["gradients"].text


def test_large_initial_weights_saturate_tanh_and_make_the_first_loss_large():
    diagnosis = trained(dense_net("tanh", 2.0), SGD(), epochs=1)
    assert {"saturation", "initial loss"} <= {*diagnosis.problems}
    assert "pixels go" not in diagnosis["initial loss"].text


def test_pixels_that_were_not_divided_are_named():
    model = dense_net("relu", depth=1)
    model.compile(SGD(1e-6), "sparse_categorical_crossentropy")
    x, y = TRAIN[0] * 255, TRAIN[1]
    updates = UpdateRatios()
    model.fit(x, y, epochs=1, callbacks=updates, verbose=0)
    finding = diagnose(model, x, y, updates=updates)["initial loss"]
    assert finding.level == "problem"
    assert "The pixels go from" in finding.text
    assert "255" in finding.advice


def test_twenty_images_are_learned_by_heart_and_called_overfitting():
    few = np.random.default_rng(1).random((20, H, W, 1), np.float32), np.arange(20) % K     # noise
    diagnosis = trained(conv_net(), Adam(3e-3), epochs=40, train=few, batch_size=20)
    assert diagnosis.facts.accuracy == 1.0
    assert diagnosis.problems == ["overfitting"]
    assert "learns them by heart" in diagnosis["overfitting"].text


def test_a_gap_that_chance_explains_is_not_called_overfitting():
    facts = trained(conv_net(), Adam(), epochs=1).facts._replace(accuracy=0.95, val_accuracy=0.8)
    overfitting = QUESTIONS[-1]
    assert overfitting(facts._replace(images=1000, val_images=1000)).level == "note"
    assert overfitting(facts._replace(images=20, val_images=20)).level == "ok"


def test_a_validation_loss_that_rises_makes_overfitting_a_problem_unless_the_best_weights_were_restored():
    facts = trained(conv_net(), Adam(), epochs=1).facts
    history = {"loss": [1, 0.5, 0.1], "val_loss": [1.1, 1.0, 2.0]}
    facts = facts._replace(accuracy=0.98, val_accuracy=0.65, val_loss=2.0, history=history)
    finding = QUESTIONS[-1](facts)
    assert finding.level == "problem"
    assert "lowest in epoch 2 of 3: 1.000, and 2.000 in the last" in finding.text
    assert QUESTIONS[-1](facts._replace(val_loss=1.0)).level == "note"


def test_labels_that_are_all_the_same_are_named_and_nothing_else_is_accused():
    diagnosis = trained(conv_net(), Adam(), epochs=1, train=(TRAIN[0], np.full(600, 2)))
    assert diagnosis["labels"].text == "All 600 training images have label 2, of 4 classes: there is nothing to learn."
    assert diagnosis["learning"].level == "unknown"


def test_a_missing_class_and_a_rare_one_are_named():
    x, y = TRAIN
    missing, rare = y != 1, (y != 1) | (np.arange(600) < 40)
    model = conv_net()
    assert "is of class 1." in diagnose(model, x[missing], y[missing])["labels"].text
    finding = diagnose(model, x[rare], y[rare])["labels"]
    assert finding.level == "note"
    assert f"class 1 only {(y[rare] == 1).sum()}" in finding.text


def test_labels_without_relation_to_the_images_are_found_by_the_loss_alone():
    random = np.random.default_rng(0).permutation(TRAIN[1])
    diagnosis = trained(dense_net("relu", depth=1, units=2), Adam(), epochs=2, train=(TRAIN[0], random))
    assert diagnosis.problems == ["learning"]
    assert "20 images by heart" in diagnosis["learning"].advice


def test_small_steps_of_huge_weights_are_not_called_a_slow_rate():
    diagnosis = trained(dense_net("relu", 50.0), Adam(), epochs=1)
    assert "initial loss" in diagnosis.problems
    assert diagnosis["learning rate"].level == "unknown"
    assert "see initial loss" in diagnosis["learning rate"].text


@pytest.fixture(scope="module")
def healthy_facts():
    return trained(conv_net(), Adam(), epochs=2).facts._replace(accuracy=0.98)


def test_a_network_that_has_learned_nothing_is_not_called_overfitting(healthy_facts):
    facts = healthy_facts._replace(val_accuracy=0.5, val_loss=3.0)
    assert QUESTIONS[-1](facts).level != "ok"
    assert QUESTIONS[-1](facts._replace(loss=facts.guess)).level == "unknown"


def test_validation_images_that_are_only_guessed_are_suspected_before_overfitting(healthy_facts):
    finding = QUESTIONS[-1](healthy_facts._replace(val_accuracy=0.2, val_loss=3.0))
    assert finding.level == "problem"
    assert "prepared exactly as those of training" in finding.advice


@pytest.mark.parametrize(("low", "high", "part"), [(0.0, 0.0, "Every pixel is 0"), (np.nan, np.nan, "The images hold NaN")])
def test_images_without_content_are_named_and_the_rate_is_not_accused(healthy_facts, low, high, part):
    facts = healthy_facts._replace(low=low, high=high, loss=healthy_facts.guess)
    levels = {question.__name__: question(facts) for question in QUESTIONS}
    assert levels["learning"].text.startswith(part)
    assert levels["learning_rate"].level == "unknown"


def test_a_network_that_has_begun_to_learn_is_not_accused(healthy_facts):
    learning = QUESTIONS[2]
    facts = healthy_facts._replace(loss=0.95 * healthy_facts.guess, history={})
    assert learning(facts._replace(accuracy=0.6)).level == "note"
    assert learning(facts._replace(accuracy=0.3)).level == "problem"


# -- the numbers ------------------------------------------------------------------------------------------------------


def test_exactly_the_units_that_are_never_positive_are_counted():
    model = conv_net()
    kernel, bias, *others = model.get_weights()
    bias[[1, 4, 5]] = -100
    model.set_weights([kernel, bias, *others])
    conv, dense = units_of(model, TRAIN[0])
    assert (conv.layer, conv.what, conv.units, conv.dead) == ("conv2d", "filters", 8, 3)
    outputs = model.layer_outputs(TRAIN[0])["dense"]
    assert dense.dead == (outputs.max(axis=0) <= 0).sum()
    finding = diagnose(model, *TRAIN)["dead units"]
    assert finding.level == "note"
    assert finding.text.startswith("conv2d: 3 of 8 filters are never positive")


def test_saturation_is_the_part_of_outputs_with_a_small_derivative():
    model = Sequential([Input(shape=(2,)), Activation("sigmoid"), Activation("tanh"), Dense(2, activation="softmax")], seed=0)
    x = np.array([[0.0, 7.0], [-7.0, 1.0]], np.float32)
    sigmoid, tanh = units_of(model, x)
    assert (sigmoid.saturated, tanh.saturated) == (0.5, 0.0)


def test_the_ratio_and_the_gradient_are_those_of_a_step_computed_here():
    model = dense_net("relu", depth=1)
    model.compile(SGD(0.25), "categorical_crossentropy")
    x, y = TRAIN[0][:100], TRAIN[1][:100]
    facts = diagnose(model, x, y).facts
    before = model.params["dense/kernel"].copy()
    model.train_on_batch(x, one_hot(y, K))
    dw = model.grads["dense/kernel"]
    np.testing.assert_allclose(facts.gradients["dense"], np.linalg.norm(dw), rtol=1e-5)
    np.testing.assert_allclose(facts.replayed["dense"], 0.25 * np.linalg.norm(dw) / np.linalg.norm(before), rtol=1e-4)


def test_the_callback_measures_the_middle_step_of_each_epoch_and_changes_nothing():
    weights, watched = [], UpdateRatios()
    seen = []

    class Watch(UpdateRatios):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(self.model.params["dense/kernel"].copy())

        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.params["dense/kernel"].copy())

    for callbacks in ([], [watched, Watch()]):
        model = dense_net("relu", depth=1)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(*TRAIN, 200, epochs=2, callbacks=callbacks, verbose=0)
        weights.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert watched.epochs == [1, 2]
    for epoch in (0, 1):            # three steps in an epoch, each seen before and after
        before, after = seen[6 * epoch + 2], seen[6 * epoch + 3]
        expected = np.linalg.norm(after - before) / np.linalg.norm(before)
        np.testing.assert_allclose(watched.ratios["dense"][epoch], expected, rtol=1e-4)


def test_frozen_layers_have_no_ratio():
    model = conv_net()
    model.layers[0].trainable = False
    diagnosis = trained(model, Adam(), epochs=1)
    assert [*diagnosis.facts.ratios] == [*diagnosis.facts.gradients] == ["dense", "dense_1"]


def test_a_diagnosis_does_not_change_the_model():
    model = conv_net()
    trained(model, Adam(), epochs=1)
    before, state = model.get_weights(), [a.copy() for arrays in model.optimizer.state for a in arrays]
    diagnose(model, *TRAIN)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(state, [a for arrays in model.optimizer.state for a in arrays], strict=True))


def test_the_sample_is_drawn_from_all_images_because_files_are_often_sorted():
    x, y = np.zeros((1000, 1)), np.repeat(np.arange(10), 100)
    _, labels = sampled(x, y, 100)
    assert len(np.unique(labels)) == 10
    assert np.array_equal(labels, sampled(x, y, 100)[1])


# -- what is not known, and what is refused ---------------------------------------------------------------------------


def test_what_is_not_known_is_said_to_be_unknown():
    model = conv_net(activation="sigmoid")
    diagnosis = diagnose(model, *TRAIN)
    unknown = {finding.question for finding in diagnosis.findings if finding.level == "unknown"}
    assert unknown == {"initial loss", "learning rate", "dead units", "gradients", "overfitting"}


def test_weights_that_are_not_finite_are_named():
    model = conv_net()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.params["dense/kernel"][0, 0] = np.nan
    diagnosis = diagnose(model, *TRAIN)
    assert "the first in dense/kernel" in diagnosis["learning rate"].text


def test_one_hot_labels_and_a_dict_as_history_are_accepted():
    model = conv_net()
    diagnosis = diagnose(model, TRAIN[0], one_hot(TRAIN[1], K), history={"loss": [1.3, 1.2]})
    assert diagnosis.facts.counts.tolist() == np.bincount(TRAIN[1]).tolist()


@pytest.mark.parametrize("y", [TRAIN[1][:5], TRAIN[1] + K, TRAIN[1] - 1, TRAIN[1] / 2, np.zeros((600, 3))], ids=str)
def test_labels_that_do_not_suit_the_model_are_refused(y):
    with pytest.raises(ValueError, match="diagnose: expected a label from 0 to 3 for each of 600 images"):
        diagnose(conv_net(), TRAIN[0], y)


def test_a_model_that_does_not_classify_is_refused():
    model = Sequential([Input(shape=(H, W, 1)), Conv2D(2, 3)], seed=0)
    with pytest.raises(ValueError, match="diagnose: expected a classifier"):
        diagnose(model, *TRAIN)


# -- the text and the picture -----------------------------------------------------------------------------------------


def test_the_text_fits_100_columns_and_the_picture_shows_every_layer(tmp_path):
    diagnosis = trained(conv_net(), Adam(3.0), epochs=2)
    assert max(map(len, str(diagnosis).splitlines())) <= 100
    figure = draw(diagnosis, title="sick", path=tmp_path / "sick.png")
    assert (tmp_path / "sick.png").stat().st_size > 10_000
    labels = [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes[2:]]
    assert labels == [["conv2d", "dense"], ["conv2d", "dense", "dense_1"]]
    assert figure.axes[0].get_yscale() == "log"


@pytest.mark.parametrize("history", [{}, {"loss": [1.0]}, {"loss": [np.nan], "val_loss": [np.nan]}], ids=str)
def test_a_picture_can_be_drawn_of_whatever_is_known(history):
    draw(diagnose(dense_net("sigmoid"), *TRAIN, history=history))


def test_a_saved_net_2_gives_the_same_diagnosis_after_loading(tmp_path):
    model = net_2((H, W, 1), K, seed=0)
    text = str(trained(model, Adam(), epochs=1).facts.units)
    model.save(tmp_path / "m.npz")
    assert str(diagnose(load_model(tmp_path / "m.npz"), *TRAIN).facts.units) == text
