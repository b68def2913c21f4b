"""compile, fit, evaluate and predict as in Keras; the same seed gives the same bits; mistakes are refused with an explanation."""

import math
import re

import numpy as np
import pytest

from scratchnet import (
    Add,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    Model,
    ReLU,
    Sequential,
    Softmax,
    load_model,
    net_1,
    net_2,
)
from scratchnet.callbacks import Callback
from scratchnet.kernels.threads import limit
from scratchnet.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam

K = 3


def data(N=10, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, 5, 4, 1)).astype(dtype), np.eye(K, dtype=dtype)[rng.integers(0, K, N)]


def untrained(seed=1, dtype="float64", softmax=True, **options):
    image = Input(shape=(5, 4, 1))
    x = Conv2D(2, (3, 2), activation="relu", padding="same")(image)
    x = Conv2D(3, (2, 2), activation="relu", strides=(2, 1), padding="same")(x)
    x = Dense(4, activation="relu")(Flatten()(x))
    return Model(image, Dense(K, activation="softmax" if softmax else None)(x), seed=seed, dtype=dtype, **options)


def compiled(optimizer=None, seed=1, dtype="float64", metrics=("accuracy",), **options):
    model = untrained(seed, dtype)
    model.compile(optimizer or SGD(0.1), metrics=list(metrics) or None, **options)
    return model


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


class Watch(Callback):
    """Keeps what each batch's running means and each epoch's logs said."""

    def __init__(self):
        super().__init__()
        self.batches, self.epochs = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.append([])

    def on_train_batch_end(self, batch, logs=None):
        self.batches[-1].append(dict(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, dict(logs)))

    def sample_losses(self, epoch):
        """With batches of one: the loss of each sample, in the order it came (k·mean_k - (k-1)·mean_(k-1))."""
        means = [logs["loss"] for logs in self.batches[epoch]]
        return np.diff([0.0, *(k * mean for k, mean in enumerate(means, start=1))])


def order_of_samples(model, x, y, watch, epoch):
    """Return which sample each batch of one contained; the weights must not have changed."""
    each = np.array([model.test_on_batch(x[n : n + 1], y[n : n + 1])[0] for n in range(len(x))])
    assert np.min(np.diff(np.sort(each))) > 1e-6, "samples must be told apart by their loss"
    return [int(np.argmin(np.abs(each - loss))) for loss in watch.sample_losses(epoch)]


def manual_epoch(model, x, y, batch_size):
    """The epoch a reader would write: the mean of each batch's own values, weighted by its number of samples."""
    totals, N = np.zeros(2), len(x)
    for start in range(0, N, batch_size):
        part = slice(start, start + batch_size)
        totals += len(x[part]) * np.array(model.train_on_batch(x[part], y[part]))
    return totals / N


def test_history_maps_each_name_to_one_value_an_epoch():
    x, y = data()
    history = compiled().fit(x, y, batch_size=4, epochs=3, validation_data=(x[:3], y[:3]), verbose=0)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1, 2]
    assert all(len(values) == 3 and all(type(v) is float for v in values) for values in history.history.values())
    plain = compiled(metrics=()).fit(x, y, epochs=2, verbose=0)
    assert list(plain.history) == ["loss"]


def test_the_values_of_an_epoch_are_means_over_samples_while_the_weights_change():
    x, y = data(10)  # batches of 4, 4 and 2: a mean of batch means would weigh the last two samples double
    model, by_hand = compiled(), compiled()
    history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    for epoch in range(2):
        expected = manual_epoch(by_hand, x, y, 4)
        assert [history["loss"][epoch], history["accuracy"][epoch]] == pytest.approx(expected, rel=1e-12)
    assert bits(model) == bits(by_hand)


def test_the_last_partial_batch_is_kept():
    x, y = data(10)
    watch = Watch()
    compiled().fit(x, y, batch_size=4, epochs=1, verbose=0, callbacks=[watch])
    assert len(watch.batches[0]) == 3
    watch = Watch()
    compiled().fit(x, y, batch_size=64, epochs=1, verbose=0, callbacks=[watch])
    assert len(watch.batches[0]) == 1


def test_batch_logs_are_running_means_that_end_at_the_epochs_values():
    x, y = data(10)
    watch, by_hand = Watch(), compiled()
    compiled().fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0, callbacks=[watch])
    first = by_hand.train_on_batch(x[:4], y[:4])
    assert [watch.batches[0][0]["loss"], watch.batches[0][0]["accuracy"]] == pytest.approx(first, rel=1e-12)
    assert watch.batches[0][-1]["loss"] == pytest.approx(watch.epochs[0][1]["loss"], rel=1e-12)


def test_samples_are_shuffled_again_in_each_epoch_and_all_of_them_are_used():
    x, y = data(12)
    model, watch = compiled(SGD(0.0)), Watch()
    model.fit(x, y, batch_size=1, epochs=3, verbose=0, callbacks=[watch])
    orders = [order_of_samples(model, x, y, watch, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert list(range(12)) not in orders


def test_without_shuffle_samples_keep_their_order():
    x, y = data(12)
    model, watch = compiled(SGD(0.0)), Watch()
    model.fit(x, y, batch_size=1, epochs=2, shuffle=False, verbose=0, callbacks=[watch])
    assert [order_of_samples(model, x, y, watch, epoch) for epoch in range(2)] == [list(range(12))] * 2


def test_validation_split_takes_the_last_fraction_before_shuffling():
    x, y = data(10)
    model, watch = compiled(SGD(0.0)), Watch()
    history = model.fit(x, y, batch_size=1, epochs=2, validation_split=0.25, verbose=0, callbacks=[watch]).history
    for epoch in range(2):
        assert sorted(order_of_samples(model, x, y, watch, epoch)) == list(range(7))  # floor(10 · 0.75), as in Keras
    loss, accuracy = model.evaluate(x[7:], y[7:], verbose=0)
    assert history["val_loss"] == pytest.approx([loss, loss], rel=1e-12)
    assert history["val_accuracy"] == [accuracy, accuracy]


def test_validation_is_one_pass_with_the_epochs_last_weights():
    x, y = data(10)
    x_val, y_val = data(7, seed=9)
    model = compiled()
    history = model.fit(x, y, batch_size=3, epochs=2, validation_data=(x_val, y_val), verbose=0).history
    loss, accuracy = model.evaluate(x_val, y_val, batch_size=4, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-12)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy, rel=1e-12)


def test_validation_does_not_touch_the_training():
    x, y = data(10)
    alone, watched = compiled(Adam()), compiled(Adam())
    alone.fit(x, y, batch_size=3, epochs=3, verbose=0)
    watched.fit(x, y, batch_size=3, epochs=3, validation_data=data(5, seed=9), verbose=0)
    assert bits(alone) == bits(watched)


def test_a_negative_initial_epoch_is_refused_by_its_own_name():
    with pytest.raises(ValueError, match="initial_epoch: expected an integer from 0 to 2147483647, got -1"):
        compiled().fit(X, Y, epochs=5, initial_epoch=-1, verbose=0)
    with pytest.raises(ValueError, match="epochs: expected at least initial_epoch=3, got 2"):
        compiled().fit(X, Y, epochs=2, initial_epoch=3, verbose=0)


def test_initial_epoch_is_where_the_count_begins():
    x, y = data()
    watch = Watch()
    history = compiled().fit(x, y, epochs=5, initial_epoch=3, verbose=0, callbacks=[watch])
    assert history.epoch == [3, 4]
    assert [epoch for epoch, _ in watch.epochs] == [3, 4]
    assert len(history.history["loss"]) == 2


def test_a_second_fit_continues_from_the_first_with_its_own_history():
    x, y = data()
    model, once = compiled(Adam()), compiled(Adam())
    first = model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    second = model.fit(x, y, epochs=1, shuffle=False, verbose=0)
    once.fit(x, y, epochs=3, shuffle=False, verbose=0)
    assert bits(model) == bits(once)
    assert (len(first.history["loss"]), len(second.history["loss"])) == (2, 1)
    assert model.history is second


def test_fit_writes_into_none_of_its_arrays():
    x, y = data()
    kept_x, kept_y = x.copy(), y.copy()
    compiled().fit(x, y, batch_size=4, epochs=2, validation_split=0.3, verbose=0)
    np.testing.assert_array_equal(x, kept_x)
    np.testing.assert_array_equal(y, kept_y)


def test_fit_takes_views_and_other_float_widths():
    wide, y = np.random.default_rng(3).standard_normal((20, 4, 10, 1)), data(10)[1]
    view = wide[::2, :, ::-2].transpose(0, 2, 1, 3)
    models = [compiled(dtype="float32") for _ in range(3)]
    models[0].fit(view, y, epochs=2, verbose=0)
    models[1].fit(np.ascontiguousarray(view).astype("float32"), y.astype("float32"), epochs=2, verbose=0)
    models[2].fit(np.asfortranarray(view), y.astype("uint8"), epochs=2, verbose=0)
    assert bits(models[0]) == bits(models[1]) == bits(models[2])


def test_verbose_0_prints_nothing_and_the_others_one_line_an_epoch(capfd):
    x, y = data()
    for verbose, lines in ((0, 0), (2, 3), ("auto", 3), (1, 3)):  # nothing here is a terminal
        compiled().fit(x, y, epochs=3, validation_data=(x, y), verbose=verbose)
        out, err = capfd.readouterr()
        assert len(out.splitlines()) == lines, verbose
        assert err == ""
    model = compiled()
    history = model.fit(x, y, epochs=3, validation_data=(x, y), verbose=2).history
    for epoch, line in enumerate(capfd.readouterr().out.splitlines()):
        assert f"{epoch + 1}/3" in line
        for name, values in history.items():
            shown = re.search(rf"(?<![a-z_]){name}\W+([0-9.]+)", line)
            assert float(shown[1]) == pytest.approx(values[epoch], abs=1e-3)


def test_evaluate_and_predict_are_silent_at_verbose_0(capfd):
    x, y = data()
    model = compiled()
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    assert capfd.readouterr() == ("", "")


def test_evaluate_and_the_batch_methods_return_what_they_promise():
    x, y = data()
    model, bare = compiled(), compiled(metrics=())
    for call in (lambda m, **k: m.evaluate(x, y, verbose=0, **k), lambda m, **k: m.test_on_batch(x, y, **k)):
        loss, accuracy = call(model)
        assert call(model, return_dict=True) == {"loss": loss, "accuracy": accuracy}
        assert call(bare) == pytest.approx(loss, rel=1e-12)
        assert call(bare, return_dict=True) == {"loss": call(bare)}
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "accuracy"}
    assert isinstance(bare.train_on_batch(x, y), float)


def test_train_on_batch_gives_the_batchs_own_values_before_its_step():
    x, y = data()
    model, accuracies = compiled(SGD(0.5)), set()
    for _ in range(10):
        before = model.test_on_batch(x, y)
        assert model.train_on_batch(x, y) == pytest.approx(before, rel=1e-12)
        accuracies.add(before[1])
    assert len(accuracies) > 2, "the accuracy must move for this to show anything"
    assert model.test_on_batch(x, y)[0] < before[0]


def test_evaluate_and_predict_do_not_depend_on_the_batch_size_and_change_no_weight():
    x, y = data(10)
    model = compiled()
    before, whole = bits(model), model.evaluate(x, y, batch_size=10, verbose=0)
    probabilities = model.predict(x, batch_size=10)
    assert probabilities.shape == (10, K)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(probabilities, model.forward(x), rtol=1e-12)
    for batch_size in (1, 3, 7):
        assert model.evaluate(x, y, batch_size=batch_size, verbose=0) == pytest.approx(whole, rel=1e-12)
        np.testing.assert_allclose(model.predict(x, batch_size=batch_size), probabilities, rtol=1e-12)
    assert whole[0] == pytest.approx(-np.mean(np.log(probabilities[y == 1])), rel=1e-12)
    assert whole[1] == pytest.approx(np.mean(probabilities.argmax(axis=1) == y.argmax(axis=1)), rel=1e-12)
    assert bits(model) == before


def test_predictions_that_are_kept_never_change():
    x, _ = data(10)
    model = compiled(dtype="float32")
    first = model.predict(x)
    kept = first.copy()
    model.predict(x[::-1])
    model.predict(-x)
    np.testing.assert_array_equal(first, kept)


def test_one_step_of_gradient_descent_goes_against_the_gradient_of_the_loss():
    x, y = data(6)
    model, weights = compiled(SGD(0.5)), untrained().get_weights()
    for w in weights:
        w += 0.1 * np.random.default_rng(w.size).standard_normal(w.shape)
    model.set_weights(weights)
    probabilities = model.forward(x)
    model.backward(-y / probabilities / len(y))  # of the mean of -log p, through the softmax itself
    expected = [w - 0.5 * g for w, g in zip(model.get_weights(), model.grads.values(), strict=True)]
    model.train_on_batch(x, y)
    for w, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(w, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_training_with_and_without_joined_relus_gives_the_same_result(dtype, tolerance):
    x, y = data(10, dtype=dtype)
    fused, plain = compiled(dtype=dtype), compiled(dtype=dtype, fuse=False)
    for model in (fused, plain):
        model.fit(x, y, batch_size=4, epochs=3, verbose=0)
    for a, b in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("behind", ["relu", "add"])
def test_an_output_that_another_layer_reads_before_its_relu_is_not_fused(behind):
    x, y = data(6)
    losses = []
    for fuse in (True, False):
        image = Input(shape=(5, 4, 1))
        before = Conv2D(2, (2, 3), padding="same")(image)
        after = ReLU()(before)
        total = Add()([before, after] if behind == "relu" else [after, before])
        logits = Dense(K)(Flatten()(total))
        model = Model(image, Softmax()(logits), seed=2, dtype="float64")
        model.compile(SGD(0.5), fuse=fuse)
        losses.append([model.train_on_batch(x, y) for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("labels_as", ["flat", "column", "bytes"])
def test_integer_labels_train_as_their_one_hot_rows_do(labels_as):
    x, y = data(10)
    labels = y.argmax(axis=1)
    labels = {"flat": labels, "column": labels[:, None], "bytes": labels.astype("uint8")}[labels_as]
    categorical, sparse = compiled(), compiled(loss="sparse_categorical_crossentropy")
    expected = categorical.fit(x, y, batch_size=4, epochs=2, validation_split=0.2, verbose=0).history
    actual = sparse.fit(x, labels, batch_size=4, epochs=2, validation_split=0.2, verbose=0).history
    for name, values in expected.items():
        assert actual[name] == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize("loss", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_a_model_of_logits_trains_as_the_model_of_probabilities_does(loss):
    x, y = data(10)
    labels = y if loss is CategoricalCrossentropy else y.argmax(axis=1)
    logits, probabilities = untrained(softmax=False), untrained()
    logits.compile(SGD(0.1), loss=loss(from_logits=True), metrics=["accuracy"])
    probabilities.compile(SGD(0.1), loss=loss(), metrics=["accuracy"])
    histories = [m.fit(x, labels, batch_size=4, epochs=2, verbose=0).history for m in (logits, probabilities)]
    for name in ("loss", "accuracy"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-12)
    assert not np.allclose(logits.predict(x).sum(axis=1), 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SGD, Adagrad, Adadelta, Adam])
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(optimizer, dtype):
    x, y = data(20, dtype=dtype)
    runs = []
    for seed in (3, 3, 4):
        model = compiled(optimizer(), seed=seed, dtype=dtype)
        history = model.fit(x, y, batch_size=6, epochs=3, validation_split=0.2, verbose=0)
        runs.append((bits(model), history.history))
        np.random.default_rng().standard_normal(5)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [net_1, net_2])
def test_the_number_of_threads_changes_not_one_bit(make, dtype):
    rng = np.random.default_rng(5)
    x, y = rng.random((70, 12, 10, 3)).astype(dtype), np.eye(4)[rng.integers(0, 4, 70)]
    runs = []
    for threads in (1, 2, 3, 2):
        with limit(threads):
            model = make((12, 10, 3), 4, seed=6, dtype=dtype)
            model.compile(metrics=["accuracy"])
            history = model.fit(x, y, batch_size=32, epochs=2, validation_split=0.1, verbose=0)
            runs.append((bits(model), history.history, model.predict(x).tobytes()))
    assert runs[0] == runs[1] == runs[2] == runs[3]


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.1, momentum=0.9, nesterov=True), Adagrad, Adadelta, Adam])
def test_a_training_that_is_saved_loaded_and_continued_equals_one_without_a_stop(tmp_path, optimizer):
    x, y = data(11, dtype="float32")
    straight, first = compiled(optimizer(), dtype="float32"), compiled(optimizer(), dtype="float32")
    whole = straight.fit(x, y, batch_size=4, epochs=4, verbose=0).history
    half = first.fit(x, y, batch_size=4, epochs=2, verbose=0).history
    first.save(tmp_path / "half.npz")
    resumed = load_model(tmp_path / "half.npz")
    rest = resumed.fit(x, y, batch_size=4, epochs=4, initial_epoch=2, verbose=0).history
    assert bits(resumed) == bits(straight)
    assert {name: half[name] + rest[name] for name in half} == whole


class Poison(Callback):
    """Spoils one parameter after the first batch of the given epoch, as a diverging step would."""

    def __init__(self, epoch, key):
        super().__init__()
        self.epoch, self.key, self.ends = epoch, key, []

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, 0):
            weights = self.model.get_weights()
            weights[list(self.model.params).index(self.key)].flat[0] = np.nan
            self.model.set_weights(weights)

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(bits(self.model))


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", ["conv2d", "conv2d_1", "dense", "dense_1"])
def test_a_loss_that_is_not_finite_names_the_first_bad_layer_and_keeps_the_last_good_weights(name, fuse):
    x, y = data(10)
    model, poison = compiled(fuse=fuse), Poison(2, f"{name}/kernel")
    with pytest.raises(FloatingPointError) as error:
        model.fit(x, y, batch_size=4, epochs=5, verbose=0, callbacks=[poison])
    named = set(re.findall(r"(?:conv2d|dense)(?:_\d)?", str(error.value)))
    assert named == {name}
    assert len(poison.ends) == 2
    assert bits(model) == poison.ends[-1]


@pytest.mark.parametrize("call", ["fit", "evaluate"])
def test_the_error_names_a_bad_image_in_a_later_batch_as_the_cause(call):
    x, y = data(10)
    bad = x.copy()
    bad[9, 0, 0, 0] = np.nan
    given = {"fit": (x, y, 4), "evaluate": (bad, y, 4)}[call]
    more = {"validation_data": (bad, y)} if call == "fit" else {}
    kind, words = {"fit": (ValueError, "validation_data: .* NaN"), "evaluate": (FloatingPointError, "the images hold NaN")}[call]
    with pytest.raises(kind, match=words):
        getattr(compiled(), call)(*given, verbose=0, **more)


def test_training_that_fails_in_its_first_epoch_leaves_the_first_weights():
    x, y = data(10)
    model = compiled()
    before = bits(model)
    with pytest.raises(FloatingPointError, match="dense"):
        model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[Poison(0, "dense/bias")])
    assert bits(model) == before


def test_a_learning_rate_that_explodes_is_caught():
    x, y = data(10, dtype="float32")
    model = compiled(SGD(1e30), dtype="float32")
    # NumPy's own warnings on the way to infinity, where it does the products, are not what is tested.
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="conv2d"):
        model.fit(x, y, batch_size=2, epochs=3, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_a_callback_that_asks_to_stop_ends_training_after_its_epoch():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    x, y = data()
    model = compiled()
    assert model.fit(x, y, epochs=5, verbose=0, callbacks=[Stop()]).epoch == [0, 1]
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]  # the request is not remembered


def test_a_pool_that_reduces_images_to_one_cell_still_trains():
    x, y = data(8)
    layers = [Input(shape=(5, 4, 1)), Conv2D(3, 2), MaxPooling2D((4, 3)), Flatten(), Dense(K, activation="softmax")]
    model = Sequential(layers, seed=0, dtype="float64")
    model.compile(Adam(0.05))
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


X, Y = data(6, dtype="float32")
TWO_HOT = np.maximum(Y, np.roll(Y, 1, axis=1))
MISTAKES = {
    "bytes": (X.astype("uint8"), Y, {}, "normalize_images"),
    "no channel axis": (X[..., 0], Y, {}, "add_channel_axis"),
    "turned images": (X.transpose(0, 2, 1, 3), Y, {}, r"(?s)(?=.*5, 4, 1)(?=.*4, 5, 1)"),
    "one image": (X[0], Y[:1], {}, r"5, 4, 1"),
    "integer labels": (X, Y.argmax(axis=1), {}, r"one_hot|sparse_categorical_crossentropy"),
    "too few classes": (X, Y[:, :2], {}, r"(?s)(?=.*3)(?=.*2)"),
    "two-hot labels": (X, TWO_HOT, {}, "one_hot|one-hot"),
    "labels of no class": (X, 0 * Y, {}, "one_hot|one-hot"),
    "labels that are not a number": (X, np.nan * Y, {}, "one_hot|one-hot|finite"),
    "other lengths": (X, Y[:4], {}, r"(?s)(?=.*6)(?=.*4)"),
    "no images": (X[:0], Y[:0], {}, r"(?i)empty|no (image|sample)|at least one"),
    "batch_size 0": (X, Y, {"batch_size": 0}, "batch_size"),
    "batch_size -1": (X, Y, {"batch_size": -1}, "batch_size"),
    "batch_size 2.5": (X, Y, {"batch_size": 2.5}, "batch_size"),
}
FIT_MISTAKES = {
    "validation_split 1": (X, Y, {"validation_split": 1.0}, "validation_split"),
    "validation_split -0.1": (X, Y, {"validation_split": -0.1}, "validation_split"),
    "validation_split that leaves none": (X, Y, {"validation_split": 0.99}, "validation_split"),
    "validation labels": (X, Y, {"validation_data": (X, Y[:, :2])}, r"(?s)(?=.*3)(?=.*2)"),
    "validation images": (X, Y, {"validation_data": (X.astype("uint8"), Y)}, r"validation_data: .*x_val = normalize_images"),
    "a callback's class": (X, Y, {"callbacks": [Callback]}, "parentheses"),
    "a callback's class alone": (X, Y, {"callbacks": Callback}, "parentheses"),
    "validation_data of one": (X, Y, {"validation_data": (X,)}, "validation_data"),
    "epochs -1": (X, Y, {"epochs": -1}, "epochs"),
    "verbose 7": (X, Y, {"verbose": 7}, "verbose"),
}


@pytest.mark.parametrize("mistake", MISTAKES | FIT_MISTAKES)
def test_fit_refuses_a_mistake_before_any_work_and_names_the_fix(mistake):
    x, y, options, words = (MISTAKES | FIT_MISTAKES)[mistake]
    model, watch = compiled(dtype="float32"), Watch()
    before = bits(model)
    with pytest.raises((TypeError, ValueError), match=words):
        model.fit(x, y, **({"verbose": 0, "callbacks": [watch]} | options))
    assert bits(model) == before
    assert watch.batches == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_evaluate_refuses_the_same_mistakes(mistake):
    x, y, options, words = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError), match=words):
        compiled(dtype="float32").evaluate(x, y, verbose=0, **options)


@pytest.mark.parametrize("mistake", [name for name in MISTAKES if "batch_size" not in name])
def test_the_batch_methods_refuse_the_same_mistakes(mistake):
    x, y, _, words = MISTAKES[mistake]
    model = compiled(dtype="float32")
    before = bits(model)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises((TypeError, ValueError), match=words):
            call(x, y)
    assert bits(model) == before


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 2, 3, 0, 1], r"(?s)(?=.*3)(?=.*2)"),
        ([0, 1, -1, 2, 0, 1], "-1"),
        ([0.5, 1, 1, 2, 0, 1], "integer|whole"),
        (Y, "categorical_crossentropy"),
    ],
    ids=["too large", "negative", "a fraction", "one-hot rows"],
)
def test_integer_labels_outside_the_classes_are_refused(labels, words):
    model = compiled(loss="sparse_categorical_crossentropy", dtype="float32")
    with pytest.raises((TypeError, ValueError), match=words):
        model.fit(X, np.array(labels), verbose=0)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_training_before_compile_is_refused_and_says_compile(call):
    with pytest.raises((RuntimeError, ValueError), match=r"compile\("):
        getattr(untrained(dtype="float32"), call)(X, Y)


def test_an_optimizer_that_already_trains_another_model_is_refused():
    optimizer, first = Adam(), compiled()
    first.compile(optimizer)
    first.compile(optimizer)  # again the same model
    with pytest.raises(ValueError, match="Make one for each model"):
        compiled().compile(optimizer)
    del first
    compiled().compile(optimizer)  # it belongs to no model, and has moved nothing


def test_predict_needs_no_compile():
    assert untrained(dtype="float32").predict(X).shape == (6, K)


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", "sparse_categorical_crossentropy", CategoricalCrossentropy()]
)
def test_the_error_for_a_model_without_softmax_asks_for_a_loss_from_logits(loss):
    with pytest.raises(ValueError, match="from_logits=True"):
        untrained(softmax=False).compile(loss=loss)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "mse"}, r"(?s)(?=.*categorical_crossentropy)(?=.*sparse_categorical_crossentropy)(?=.*mse)"),
        ({"metrics": ["f1"]}, r"(?s)(?=.*accuracy)(?=.*f1)"),
    ],
    ids=["loss", "metric"],
)
def test_the_error_for_an_unknown_name_lists_the_known_ones(options, words):
    with pytest.raises(ValueError, match=words):
        untrained().compile(**options)


def test_a_loss_of_thousands_is_still_finite_and_learned_from():
    x, y = data(6)
    model = compiled(SGD(1e-9))
    model.set_weights([100 * w for w in model.get_weights()])
    loss, _ = model.test_on_batch(x, y)
    assert math.isfinite(loss)
    assert loss > 100
    model.train_on_batch(x, y)
    assert model.test_on_batch(x, y)[0] < loss


class SpoilsTheLastStep(Poison):
    """Spoils a parameter where no later batch of the epoch sees it."""

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(0 if batch == self.params["steps"] - 1 else -1)


def test_weights_that_an_epochs_last_step_spoils_are_not_kept():
    x, y = data(8)
    model, poison = compiled(), SpoilsTheLastStep(1, "dense/kernel")
    with pytest.raises(FloatingPointError, match="dense"):
        model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[poison])  # and no validation that would see it
    assert bits(model) == poison.ends[-1]


def test_after_a_loss_that_was_not_finite_the_optimizer_starts_again():
    x, y = data(10)
    model = compiled(Adam(0.01))
    with pytest.raises(FloatingPointError):
        model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[Poison(1, "dense/kernel")])
    assert (model.optimizer.iterations, model.optimizer.state) == (0, [])


def test_train_on_batch_refuses_a_loss_that_is_not_finite_and_changes_no_weight():
    x, y = data(6)
    model = compiled(Adam())
    x[3] = np.nan
    before = bits(model)
    with pytest.raises(FloatingPointError, match="NaN"):
        model.train_on_batch(x, y)
    assert (bits(model), model.optimizer.iterations) == (before, 0)


def test_with_validation_data_the_split_removes_no_training_image():
    x, y = data(12)
    model, watch = compiled(SGD(0.0)), Watch()
    options = {"validation_split": 0.5, "validation_data": data(5, seed=9)}
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[watch], **options)
    assert sorted(order_of_samples(model, x, y, watch, 0)) == list(range(12))


@pytest.mark.compiled
@pytest.mark.parametrize("fuse", [True, False])
def test_fuse_decides_whether_relus_are_joined_and_is_saved(fuse, tmp_path):
    model = compiled(dtype="float32", fuse=fuse)
    model.save(tmp_path / "model.npz")
    for found in (model, load_model(tmp_path / "model.npz")):
        assert any("relu" in joined for joined in found.plan.forward.values()) == fuse
        assert any("relu_x" in joined for joined in found.plan.backward.values()) == fuse
