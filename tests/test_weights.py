"""Weights of samples and classes, smoothed labels, steps and metrics: definitions, refusals, saving, callbacks."""

import warnings

import numpy as np
import pytest

from scratchnet import Dense, Flatten, Input, Sequential, load_model, losses, metrics
from scratchnet.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from scratchnet.gradcheck import check_function, check_loss
from scratchnet.losses import CategoricalCrossentropy, Loss, SparseCategoricalCrossentropy, smooth_labels, softmax_cross_entropy
from scratchnet.optimizers import SGD
from scratchnet.reference import softmax_cross_entropy as by_definition

RNG = np.random.default_rng(9)
N, K = 11, 4
X = RNG.standard_normal((N, 3, 2, 1)).astype("float32")
LABELS = RNG.integers(0, K, N)
Y = np.eye(K)[LABELS]
W = RNG.uniform(0, 3, N)


def model_of(loss="categorical_crossentropy", dtype="float32", **options):
    last = None if getattr(loss, "from_logits", False) else "softmax"
    model = Sequential([Input(shape=X.shape[1:]), Flatten(), Dense(5, "relu"), Dense(K, last)], seed=2, dtype=dtype)
    model.compile(SGD(0.1), loss, **{"metrics": ["accuracy"], **options})
    return model


# -- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
@pytest.mark.parametrize("s", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(5, 4), (1, 2), (3, 10)])
def test_a_smoothed_loss_passes_the_checks_of_a_loss(kind, s, shape):
    check_loss(kind(label_smoothing=s), shape=shape, raise_on_failure=True)


@pytest.mark.parametrize("s", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(5, 4), (1, 2), (7, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weighted_loss_is_that_of_the_plain_loops(s, shape, dtype):
    rng = np.random.default_rng(shape)
    logits, y, w = rng.standard_normal(shape).astype(dtype), rng.dirichlet(np.ones(shape[1]), shape[0]), rng.uniform(0, 3, shape[0])
    loss, dlogits = CategoricalCrossentropy(label_smoothing=s).value_and_gradient(logits, y, w)
    assert loss == pytest.approx(by_definition(logits.astype("float64"), y, w, s), rel=1e-6 if dtype == "float32" else 1e-13)
    assert dlogits.dtype == dtype
    check_function(
        lambda z: np.asarray(CategoricalCrossentropy(label_smoothing=s).value_and_gradient(z, y, w)[0]),
        lambda dout, z: dout * CategoricalCrossentropy(label_smoothing=s).value_and_gradient(z, y, w)[1],
        [logits.astype("float64")],
        raise_on_failure=True,
    )


def test_smoothed_labels_have_the_sum_one_and_zero_changes_no_bit():
    y = RNG.dirichlet(np.ones(7), 50)
    for s in (0.01, 0.1, 0.9, 1.0):
        np.testing.assert_allclose(smooth_labels(y, s).sum(axis=1), 1, rtol=1e-14)
        np.testing.assert_allclose(smooth_labels(np.eye(7), s).max(axis=1), 1 - s + s / 7, rtol=1e-14)
    assert smooth_labels(y, 0.0) is y


@pytest.mark.parametrize("s", [-0.1, 1.0001, np.nan, "much", None, [0.1]])
def test_an_amount_of_smoothing_is_from_0_to_1(s):
    for kind in (CategoricalCrossentropy, SparseCategoricalCrossentropy):
        with pytest.raises(ValueError, match="label_smoothing: expected a number from 0 to 1, got"):
            kind(label_smoothing=s)


def test_weights_of_one_change_no_bit_and_a_weight_of_two_is_the_sample_twice():
    logits = RNG.standard_normal((N, K)).astype("float32")
    loss, dlogits = softmax_cross_entropy(logits, Y)
    weighted, dweighted = softmax_cross_entropy(logits, Y, np.ones(N))
    assert loss == weighted
    np.testing.assert_array_equal(dlogits, dweighted)
    twice = softmax_cross_entropy(logits, Y, np.array([2.0] + [1.0] * (N - 1)))[0]
    assert twice * N == pytest.approx(softmax_cross_entropy(logits[[0, *range(N)]], Y[[0, *range(N)]])[0] * (N + 1), rel=1e-12)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("s", [0.0, 0.1])
def test_a_loss_alone_is_the_mean_of_the_function_times_the_weights(from_logits, s):
    p = RNG.dirichlet(np.ones(K), N)
    for y, kind, function, options in (
        (Y, CategoricalCrossentropy, losses.categorical_crossentropy, {"label_smoothing": s}),
        (LABELS, SparseCategoricalCrossentropy, losses.sparse_categorical_crossentropy, {}),
    ):
        loss, each = kind(from_logits, **options), function(y, p, from_logits, **options)
        assert each.shape == (N,)
        assert loss(y, p) == pytest.approx(each.mean(), rel=1e-12)
        assert loss(y, p, W) == pytest.approx((W * each).sum() / N, rel=1e-12)
        assert loss(y, p, sample_weight=W[:, None]) == loss(y, p, W)


def test_a_probability_of_zero_is_infinite_where_it_counts():
    p = np.array([[0.0, 1.0], [0.5, 0.5]])
    y = np.eye(2)
    assert losses.categorical_crossentropy(y, p).tolist() == [np.inf, pytest.approx(np.log(2))]
    assert CategoricalCrossentropy()(y, p) == np.inf
    assert CategoricalCrossentropy()(y, p, [0, 1]) == pytest.approx(np.log(2) / 2)
    assert CategoricalCrossentropy()(y[::-1], p) < np.inf
    assert CategoricalCrossentropy(label_smoothing=0.1)(y[::-1], p) == np.inf      # its target is not 0 any more


BAD_WEIGHTS = {
    "NaN": (np.where(np.arange(N) == 3, np.nan, 1.0), "finite numbers of at least 0, got others, such as nan"),
    "infinite": (np.full(N, np.inf), "such as inf"),
    "negative": (-W, "of at least 0"),
    "too few": (W[:5], r"of shape \(11,\), got shape \(5,\)"),
    "one for each class": (np.ones((N, K)), r"got shape \(11, 4\)"),
    "one number": (2.0, r"got shape \(\)"),
    "masked": (np.ma.masked_array(W, mask=W > 1), "masked array"),
    "texts": (np.array(["1"] * N), "as numbers, got <U1"),
    "objects": (np.array([None] * N), "as numbers, got object"),
    "complex": (W + 0j, "as numbers, got complex"),
    "a dict": ({0: 1.0}, "as numbers, got object"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights_are_refused_before_anything_changes(name):
    weights, words = BAD_WEIGHTS[name]
    model = model_of()
    before = model.get_weights()
    calls = [
        lambda: model.fit(X, Y, sample_weight=weights, verbose=0),
        lambda: model.fit(X, Y, validation_data=(X, Y, weights), verbose=0),
        lambda: model.evaluate(X, Y, sample_weight=weights, verbose=0),
        lambda: model.train_on_batch(X, Y, weights),
        lambda: model.test_on_batch(X, Y, weights),
        lambda: CategoricalCrossentropy()(Y, np.full((N, K), 0.25), weights),
        lambda: metrics.CategoricalAccuracy().update_state(Y, np.full((N, K), 0.25), weights),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=words):
            call()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({4: 1.0}, "class numbers from 0 to 3 as keys, got 4"),
        ({-1: 1.0}, "got -1"),
        ({1.0: 2.0}, r"got 1\.0"),
        ({"cat": 2.0}, "got 'cat'"),
        ({True: 2.0}, "got True"),
        ({1: -2.0}, "class_weight of class 1: expected a finite number of at least 0, got -2.0"),
        ({1: np.nan}, "class_weight of class 1: .*nan"),
        ({1: "2"}, "class_weight of class 1: .*'2'"),
        ([1.0, 2.0, 1.0, 1.0], r"expected a dict .*dict\(enumerate\(class_weight\)\)"),
        ("balanced", "expected a dict .*got 'balanced'"),
    ],
)
def test_bad_class_weights_are_refused(given, words):
    model = model_of()
    for call in (lambda: model.fit(X, Y, class_weight=given, verbose=0), lambda: model.train_on_batch(X, Y, None, given)):
        with pytest.raises(ValueError, match=words):
            call()


def test_weights_of_samples_and_classes_together_are_refused_as_in_keras():
    for call in (model_of().fit, model_of().train_on_batch):
        with pytest.raises(ValueError, match="class_weight and sample_weight: expected one of them, got both"):
            call(X, Y, sample_weight=W, class_weight={0: 2.0})


@pytest.mark.parametrize("y", [Y, LABELS, LABELS[:, None]])
def test_weights_of_classes_are_the_weights_of_their_samples(y):
    loss = "categorical_crossentropy" if y is Y else "sparse_categorical_crossentropy"
    factors = np.array([0.5, 3.0, 1.0, 0.0])
    one, two = model_of(loss), model_of(loss)
    one.fit(X, y, epochs=3, batch_size=4, class_weight={0: 0.5, np.int64(1): 3, 3: 0}, verbose=0)
    two.fit(X, y, epochs=3, batch_size=4, sample_weight=factors[LABELS], verbose=0)
    assert one.history.history == two.history.history


def test_the_validation_of_a_split_has_the_weights_of_its_samples_but_none_of_classes():
    model = model_of()
    x, y, w = (array[int(N * 0.6) :] for array in (X, Y, W))
    history = model.fit(X, Y, sample_weight=W, validation_split=0.4, verbose=0).history
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x, y, sample_weight=w, verbose=0)[0], rel=1e-12)
    history = model.fit(X, Y, class_weight={1: 5.0}, validation_split=0.4, verbose=0).history
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x, y, verbose=0)[0], rel=1e-12)


class Plain(Loss):
    """A loss of a user's own that was written before there were weights."""

    name = "plain"

    def one_hot(self, y, K):
        return y

    def value_and_gradient(self, logits, y):
        return softmax_cross_entropy(logits, y)


class Weighted(Plain):
    def value_and_gradient(self, logits, y, sample_weight=None):
        return softmax_cross_entropy(logits, y, sample_weight)


def test_a_loss_without_weights_works_and_refuses_weights_in_its_own_name():
    model, ours = model_of(Plain()), model_of()
    assert model.fit(X, Y, epochs=2, verbose=0).history == ours.fit(X, Y, epochs=2, verbose=0).history
    for call in (
        lambda: model.fit(X, Y, sample_weight=W, verbose=0),
        lambda: model.fit(X, Y, class_weight={0: 2.0}, verbose=0),
        lambda: model.evaluate(X, Y, sample_weight=W, verbose=0),
        lambda: model.train_on_batch(X, Y, W),
        lambda: Plain()(Y, np.full((N, K), 0.25), W),
    ):
        with pytest.raises(ValueError, match=r"Plain: expected a loss that weights samples.*sample_weight=None"):
            call()
    weighted = model_of(Weighted())
    assert weighted.train_on_batch(X, Y, W) == model_of().train_on_batch(X, Y, W)
    check_loss(Weighted(), raise_on_failure=True)


class ForgetsTheWeights(Plain):
    def value_and_gradient(self, logits, y, sample_weight=None):
        return softmax_cross_entropy(logits, y, sample_weight)[0], softmax_cross_entropy(logits, y)[1]


def test_a_gradient_without_the_weights_is_found_by_the_check():
    report = check_loss(ForgetsTheWeights())
    assert [row.name for row in report.rows if not row.passed] == ["dlogits, weights"]


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "binary_crossentropy", "MSE", np.square, Loss, 3])
def test_a_loss_that_does_not_exist_is_answered_with_those_that_do(loss):
    with pytest.raises(ValueError, match=r"'categorical_crossentropy', 'sparse_categorical_crossentropy'.*two classes"):
        model_of(loss)


# -- steps and validation ---------------------------------------------------------------------------------------------


class Seen(Callback):
    """Records the first pixel of every image of every step."""

    def __init__(self):
        self.rows, self.steps = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.rows.append([])
        self.steps.append(0)

    def on_train_batch_end(self, batch, logs=None):
        assert batch == self.steps[-1]
        self.steps[-1] += 1


@pytest.mark.parametrize(
    ("steps", "batch_size", "lengths"),
    [(1, 4, [1, 1, 1, 1]), (2, 4, [2, 1, 2, 1]), (3, 4, [3] * 4), (5, 4, [3] * 4), (4, None, [4] * 4), (20, None, [11] * 4),
     (None, 4, [3] * 4)],
)  # fmt: skip
def test_an_epoch_of_steps_continues_in_the_data_and_ends_with_them(steps, batch_size, lengths):
    seen = Seen()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model_of().fit(X, Y, epochs=4, batch_size=batch_size, steps_per_epoch=steps, callbacks=[seen], verbose=0)
    assert seen.steps == lengths
    assert seen.params["steps"] == (steps or 3)
    short = [str(w.message) for w in caught if "steps_per_epoch" in str(w.message)]
    assert len(short) == sum(length < (steps or 0) for length in lengths)


def test_epochs_of_steps_see_every_image_once_in_each_pass_and_shuffle_at_its_beginning():
    model = model_of()
    seen = []
    step = model.train_step
    model.train_step = lambda x, y, w=None: seen.append(x[:, 0, 0, 0].tolist()) or step(x, y, w)
    model.fit(X, Y, epochs=6, batch_size=4, steps_per_epoch=1, verbose=0)
    passes = [[pixel for batch in batches for pixel in batch] for batches in (seen[:3], seen[3:])]
    assert [sorted(images) for images in passes] == [sorted(X[:, 0, 0, 0].tolist())] * 2
    assert passes[0] != passes[1]
    whole = model_of()
    whole.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), model.get_weights(), strict=True))


@pytest.mark.parametrize("freq", [0, -1, 1.5, "2", None, True, {2}, [0], [1.5], ["1"]])
def test_a_frequency_of_validation_is_an_integer_or_a_list_of_epochs(freq):
    with pytest.raises(ValueError, match="validation_freq: expected"):
        model_of().fit(X, Y, validation_data=(X, Y), validation_freq=freq, verbose=0)


def test_callbacks_wait_for_a_validation_value_that_an_epoch_lacks(tmp_path):
    model = model_of()
    callbacks = [
        EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        ReduceLROnPlateau("val_accuracy", patience=1),
        ModelCheckpoint(tmp_path / "best.npz", save_best_only=True),
        CSVLogger(tmp_path / "log.csv"),
    ]
    history = model.fit(X, Y, epochs=5, validation_data=(X, Y), validation_freq=2, callbacks=callbacks, verbose=0).history
    assert {name: len(values) for name, values in history.items()} == {
        "loss": 5, "accuracy": 5, "val_loss": 2, "val_accuracy": 2, "learning_rate": 5
    }  # fmt: skip
    assert (tmp_path / "best.npz").exists()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 6
    with pytest.raises(ValueError, match="expected monitor to be one of"):
        model.fit(X, Y, epochs=2, callbacks=[EarlyStopping("val_loss")], verbose=0)


# -- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["acc"], ["acc"]), ("accuracy", ["accuracy"]), (["Accuracy"], ["Accuracy"]), ([], []), (None, []),
        (["categorical_accuracy", "acc"], ["categorical_accuracy", "acc"]),
        ([metrics.CategoricalAccuracy()], ["categorical_accuracy"]), ([metrics.CategoricalAccuracy("hits")], ["hits"]),
        ([metrics.CategoricalAccuracy], ["categorical_accuracy"]), (["CategoricalAccuracy"], ["CategoricalAccuracy"]),
        ([metrics.categorical_accuracy], ["categorical_accuracy"]), (["acc", "acc"], ["acc", "acc_1"]),
        ([metrics.TopKCategoricalAccuracy(k=2, name="top2")], ["top2"]),
    ],
)  # fmt: skip
def test_a_metric_has_the_name_that_it_has_in_keras_everywhere(tmp_path, given, names):
    model = model_of(metrics=given)
    seen = Seen()
    history = model.fit(X, Y, epochs=1, validation_data=(X, Y), callbacks=[seen], verbose=0).history
    assert [*history] == ["loss", *names, "val_loss", *(f"val_{name}" for name in names)] == seen.params["metrics"]
    assert [*model.evaluate(X, Y, return_dict=True, verbose=0)] == ["loss", *names]
    assert [*model.train_on_batch(X, Y, return_dict=True)] == ["loss", *names]
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.evaluate(X, Y, verbose=0, return_dict=True) == model.evaluate(X, Y, verbose=0, return_dict=True)


def test_weighted_metrics_are_weighted_named_and_saved(tmp_path):
    model = model_of(metrics=["accuracy"], weighted_metrics=["accuracy", metrics.TopKCategoricalAccuracy(2, "top2")])
    right = model.predict(X, verbose=0).argmax(axis=1) == LABELS
    values = model.evaluate(X, Y, sample_weight=W, batch_size=4, verbose=0, return_dict=True)
    assert values["accuracy"] == right.mean()
    assert values["weighted_accuracy"] == pytest.approx((W * right).sum() / W.sum(), rel=1e-12)
    assert model.evaluate(X, Y, sample_weight=np.zeros(N), verbose=0, return_dict=True)["weighted_accuracy"] == 0
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.evaluate(X, Y, sample_weight=W, batch_size=4, verbose=0, return_dict=True) == values


@pytest.mark.parametrize("given", ["mse", "AUC", ["precision"], [None], 5, [np.mean], [lambda y, p: 1.0], [{}], [["accuracy"]]])
def test_a_metric_that_does_not_exist_is_refused(given):
    with pytest.raises(ValueError, match="metrics: expected 'accuracy', 'categorical_accuracy'"):
        model_of(metrics=given)


def test_a_metric_of_other_labels_than_the_loss_is_refused():
    with pytest.raises(ValueError, match="metric for one-hot labels, which the loss takes, got 'sparse_categorical_accuracy'"):
        model_of(metrics=["sparse_categorical_accuracy"])
    with pytest.raises(ValueError, match="metric for integer labels, which the loss takes, got CategoricalAccuracy"):
        model_of("sparse_categorical_crossentropy", metrics=[metrics.CategoricalAccuracy()])
    model_of("sparse_categorical_crossentropy", metrics=["acc", "sparse_top_k_categorical_accuracy"])
    model_of(Plain(), metrics=["sparse_categorical_accuracy", "categorical_accuracy"])      # its labels are not known


def test_a_callback_knows_that_a_larger_value_of_a_metric_is_better():
    model = model_of(metrics=[metrics.CategoricalAccuracy("hits")])
    watch = EarlyStopping("val_hits", patience=50)
    history = model.fit(X, Y, epochs=8, validation_data=(X, Y), callbacks=[watch], verbose=0).history
    assert watch.mode == "max"
    assert watch.best == max(history["val_hits"])


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_top_k_counts_the_outputs_that_are_larger(k):
    p = RNG.integers(0, 4, (200, 5)) / 4.0                      # with ties
    labels = RNG.integers(0, 5, 200)
    expected = [sum(row > row[label]) < k for row, label in zip(p, labels, strict=True)]
    assert metrics.sparse_top_k_categorical_accuracy(labels, p, k).tolist() == expected
    assert metrics.top_k_categorical_accuracy(np.eye(5)[labels], p, k).tolist() == expected


def test_a_metric_alone_is_a_running_weighted_mean():
    metric = metrics.SparseCategoricalAccuracy()
    assert metric.result() == 0.0
    p = RNG.dirichlet(np.ones(K), N)
    metric.update_state(LABELS[:4], p[:4], W[:4])
    metric.update_state(LABELS[4:, None], p[4:], W[4:])
    right = p.argmax(axis=1) == LABELS
    assert metric.result() == pytest.approx((W * right).sum() / W.sum(), rel=1e-12)
    metric.reset_state()
    metric.update_state(LABELS, p)
    assert metric.result() == right.mean() == metrics.sparse_categorical_accuracy(LABELS, p).mean()


@pytest.mark.parametrize(
    ("metric", "y", "words"),
    [
        (metrics.CategoricalAccuracy(), LABELS, "sparse_categorical_accuracy"),
        (metrics.SparseCategoricalAccuracy(), Y, r"argmax\(axis=1\)"),
        (metrics.SparseCategoricalAccuracy(), LABELS + 2, r"expected classes 0\.\.3"),
        (metrics.SparseCategoricalAccuracy(), LABELS[:3], "one label for each prediction"),
    ],
)
def test_labels_of_another_kind_are_refused_by_a_metric(metric, y, words):
    with pytest.raises(ValueError, match=words):
        metric.update_state(y, RNG.dirichlet(np.ones(K), N))
