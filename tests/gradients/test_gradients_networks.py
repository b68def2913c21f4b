"""Whole networks along random directions, at their real size, with joined and fused layers."""

from types import SimpleNamespace

import numpy as np
import pytest

from scratchnet import Activation, Add, Conv2D, Dense, Flatten, Input, MaxPooling2D, Model, net_1, net_2
from scratchnet.gradcheck import GradientCheckError, check_model
from scratchnet.gradcheck.network import along, in_float64, rounding
from scratchnet.gradcheck.numeric import Numeric
from scratchnet.kernels import winograd
from scratchnet.layers import activations, dense
from scratchnet.losses import CategoricalCrossentropy, softmax
from scratchnet.optimizers import Adam
from scratchnet.plan import NOTHING_JOINED, join_relus


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("network", [net_1, net_2])
def test_a_whole_net_of_real_size_agrees(network, shape):
    rng = np.random.default_rng(11)
    model = network(shape, 10, seed=1)
    model.compile("adam", "categorical_crossentropy")
    report = check_model(model, rng.random((2, *shape)), np.eye(10)[[3, 8]], directions=1, raise_on_failure=True)
    assert sum(row.compared for row in report.rows) == 9


def small(implementation, pooled):
    """The networks of the study with a few maps, small enough for the plain loops."""
    strides = 1 if pooled else 2
    x = Input(shape=(5, 4, 2))
    y = Conv2D(3, (3, 3), activation="relu", padding="same")(x)
    y = Conv2D(4, (3, 3), activation="relu", strides=strides, padding="same")(y)
    y = MaxPooling2D((2, 2), strides=1, padding="same")(y) if pooled else y
    y = Dense(6, activation="relu")(Flatten()(y))
    return Model(x, Dense(3, activation="softmax")(y), seed=1, implementation=implementation)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_small_network_agrees_in_every_implementation(pooled, implementation, fuse, runnable):
    model = small(runnable(implementation), pooled)
    model.compile("adam", "categorical_crossentropy", fuse=fuse)
    x = np.random.default_rng(12).random((2, 5, 4, 2))
    check_model(model, x, np.eye(3)[[0, 2]], directions=1, raise_on_failure=True)
    check_model(model, x, directions=1, seed=1, raise_on_failure=True)


def on_black():
    x = np.zeros((2, 28, 28, 1))
    x[:, 10:18, 12:16] = np.random.default_rng(13).random((2, 8, 4, 1))
    return x


@pytest.mark.compiled
def test_on_a_black_background_parameters_agree_and_the_ties_of_the_pool_are_reported(monkeypatch):
    """Random biases move every ReLU off its kink, but all windows of the background are ties, which a step in x breaks."""
    monkeypatch.setattr(winograd, "suits", lambda *_: False)  # its rounding errors would break the ties before any step does
    x = on_black()
    report = check_model(net_1((28, 28, 1), 10, seed=2), x, directions=1)
    assert [row.name for row in report.failures] == ["x"]
    assert report.failures[0].skipped == 1
    assert "kinks" in report.failures[0].note


@pytest.mark.compiled
def test_winograd_breaks_the_ties_of_a_black_background_without_changing_the_gradients_of_the_parameters(monkeypatch):
    """With another winner of a tie, the gradient goes to another of several equal cells, all computed from equal pixels."""
    x, y, grads = on_black(), np.eye(10)[[3, 7]], {}
    for name in ("winograd", "direct"):
        if name == "direct":
            monkeypatch.setattr(winograd, "suits", lambda *_: False)
        model = net_1((28, 28, 1), 10, seed=2, dtype="float64")
        model.set_weights([w if w.ndim > 1 else w + 0.1 for w in model.get_weights()])
        model.backward((model.forward(x) - y) / 2)
        grads[name] = model.grads
    for name, direct in grads["direct"].items():
        np.testing.assert_allclose(grads["winograd"][name], direct, rtol=0, atol=1e-12 * abs(direct).max())


# -- the check itself --------------------------------------------------------------------------------------------------


def dense_net(**options):
    x = Input(shape=(4,))
    return Model(x, Dense(3, activation="softmax")(Dense(5, activation="relu")(x)), seed=3, implementation="im2col", **options)


DENSE_X, DENSE_Y = np.random.default_rng(14).random((3, 4)), np.eye(3)[[0, 2, 1]]


def test_the_check_uses_a_copy_and_does_not_change_the_model():
    model, x = dense_net(), DENSE_X.copy()
    before = model.get_weights()
    check_model(model, x, DENSE_Y, raise_on_failure=True)
    assert (model.dtype, x.tolist()) == (np.float32, DENSE_X.tolist())
    assert all(layer.grads == {} for layer in model.layers)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
        assert now.dtype == np.float32


def test_the_copy_is_in_float64_with_the_same_kernels_and_biases_off_the_kink():
    model = dense_net()
    twin = in_float64(model, np.random.default_rng(0))
    assert {p.dtype for p in twin.params.values()} == {np.dtype(np.float64)}
    for name, p in model.params.items():
        if name.endswith("kernel"):
            np.testing.assert_array_equal(twin.params[name], p)
        else:
            assert not p.any()
            assert (np.abs(twin.params[name]) > 1e-4).all()
            assert (np.abs(twin.params[name]) < 1).all()


@pytest.mark.parametrize("labels", [DENSE_Y, None], ids=["loss", "outputs"])
@pytest.mark.parametrize("directions", [1, 3])
def test_every_array_has_a_row_with_the_given_number_of_directions(labels, directions):
    model = dense_net()
    report = check_model(model, DENSE_X, labels, directions=directions, raise_on_failure=True)
    assert [row.name for row in report.rows] == ["x", *model.params]
    assert {row.compared for row in report.rows} == {directions}
    assert "(3, 4)" in report.title
    assert "43 parameters" in report.title


@pytest.mark.parametrize("labels", [DENSE_Y, None], ids=["loss", "outputs"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_gradient_that_is_off_by_a_ten_thousandth_is_found_in_its_row(monkeypatch, which, labels):
    def off(*args, **joined):
        gradients = list(dense.dense_backward(*args, **joined))
        gradients[which] = None if gradients[which] is None else gradients[which] * 1.0001
        return tuple(gradients)

    monkeypatch.setattr(Dense, "implementations", {**Dense.implementations, "im2col": (dense.dense_forward, off)})
    report = check_model(dense_net(), DENSE_X, labels)
    wrong = {row.name.rpartition("/")[2] for row in report.failures}
    # A wrong dx makes all gradients below it wrong too.
    assert wrong == {0: {"x", "kernel", "bias"}, 1: {"kernel"}, 2: {"bias"}}[which]
    with pytest.raises(GradientCheckError, match="WRONG"):
        check_model(dense_net(), DENSE_X, labels, raise_on_failure=True)


def test_images_in_float32_are_checked_in_float64():
    check_model(dense_net(), DENSE_X.astype("float32"), DENSE_Y, raise_on_failure=True)


def test_integer_labels_are_accepted_if_the_loss_of_the_model_takes_them():
    model = dense_net()
    model.compile("adam", "sparse_categorical_crossentropy")
    labels = check_model(model, DENSE_X, DENSE_Y.argmax(axis=1), raise_on_failure=True)
    assert str(labels) == str(check_model(dense_net(), DENSE_X, DENSE_Y))


@pytest.mark.parametrize("y", [[0, 2, 1], [[0], [2], [1]], DENSE_Y[:1], DENSE_Y[:, :1], 1], ids=str)
@pytest.mark.parametrize("compiled", [True, False])
def test_labels_that_would_be_broadcast_are_refused_with_the_fix(compiled, y):
    model = dense_net()
    if compiled:
        model.compile("adam", "categorical_crossentropy")
    with pytest.raises(ValueError, match=r"one_hot\(y, 3\)"):
        check_model(model, DENSE_X, y)


def test_rows_that_are_not_a_distribution_are_refused():
    with pytest.raises(ValueError, match="sum 1"):
        check_model(dense_net(), DENSE_X, 2 * DENSE_Y)


def test_a_wrong_joined_forward_is_found_although_its_backward_matches_it(monkeypatch):
    """Differences are computed from a forward in which nothing is joined."""

    def shifted(x, w, b, relu=False):
        out = dense.dense_forward(x, w, b)
        return np.maximum(out - 0.1, 0) if relu else out

    monkeypatch.setattr(Dense, "implementations", {**Dense.implementations, "im2col": (shifted, dense.dense_backward)})
    model = dense_net()
    assert check_model(model, DENSE_X, DENSE_Y).passed
    model.compile("adam", "categorical_crossentropy")
    assert not check_model(model, DENSE_X, DENSE_Y).passed


class Squared(CategoricalCrossentropy):
    """The squared error of the probabilities, summed over classes: a loss of a user that is no cross-entropy."""

    factor = 1.0

    def value_and_gradient(self, logits, y):
        p = softmax(logits)
        dp = 2 * (p - y) / len(y)
        return ((p - y) ** 2).sum() / len(y), self.factor * activations.softmax_backward(dp, p)


def test_a_model_with_a_custom_loss_is_checked_with_that_loss(monkeypatch):
    model = dense_net()
    model.compile("adam", Squared())
    report = check_model(model, DENSE_X, DENSE_Y, raise_on_failure=True)
    assert {row.compared for row in report.rows} == {2}
    assert report.rows[1].numeric != check_model(dense_net(), DENSE_X, DENSE_Y).rows[1].numeric
    monkeypatch.setattr(Squared, "factor", 1.0001)
    assert len(check_model(model, DENSE_X, DENSE_Y).failures) == len(report.rows)
    model.compile("adam", "categorical_crossentropy")
    check_model(model, DENSE_X, DENSE_Y, raise_on_failure=True)


def test_a_direction_that_crosses_a_kink_is_tried_with_shorter_steps_and_counted():
    """Of 2,000 numbers between -1e-5 and 1e-5, a ReLU always switches some at the first step."""
    x = Input(shape=(2000,))
    model = Model(x, Activation("relu")(x), seed=0, implementation="im2col")
    numbers = np.random.default_rng(15).uniform(-1e-5, 1e-5, (1, 2000))
    (row,) = check_model(model, numbers, directions=4).rows
    assert row.retried > 4
    assert row.skipped == 0
    assert row.passed


def test_on_a_kink_every_direction_is_given_up_and_the_check_does_not_pass():
    x = Input(shape=(3,))
    model = Model(x, Activation("relu")(x), seed=0, implementation="im2col")
    (row,) = check_model(model, np.zeros((1, 3)), directions=2).rows
    assert not row.passed
    assert (row.compared, row.skipped) == (0, 2)
    assert row.retried == 2 * 3 * 10               # directions, draws, halvings
    assert "kinks" in row.note


def test_a_compiled_model_is_checked_with_softmax_and_loss_joined(monkeypatch):
    """Backward then starts below the softmax, so a wrong backward of the softmax itself does no harm."""
    wrong = (activations.softmax_forward, lambda dout, out: dout)
    monkeypatch.setitem(activations.ACTIVATIONS, "softmax", {"im2col": wrong, "fused": wrong})
    model = dense_net()
    model.compile("adam", "categorical_crossentropy")
    assert check_model(model, DENSE_X, DENSE_Y).passed
    assert not check_model(model, DENSE_X).passed


# -- gradients as small as rounding ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sure():
    """A network that has memorized twelve images, with a loss of about 1e-5, and these images and labels."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((12, 6, 5, 1)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 12)]
    x = Input(shape=(6, 5, 1))
    y = Dense(3, activation="softmax")(Flatten()(Conv2D(4, 3)(x)))
    model = Model(x, y, seed=0, implementation="im2col")
    model.compile(Adam(0.05), "categorical_crossentropy")
    model.fit(images, labels, batch_size=12, epochs=400, verbose=0)
    assert model.evaluate(images, labels, verbose=0) < 1e-4
    return model, images, labels


def scale_one(monkeypatch, name, factor):
    """Multiply this array's gradient by `factor` in every model."""
    right = Model.grads.fget
    wrong = property(lambda self: {key: g * factor if key == name else g for key, g in right(self).items()})
    monkeypatch.setattr(Model, "grads", wrong)


@pytest.mark.parametrize("image", range(12))
def test_a_network_that_is_sure_of_its_labels_passes(sure, image):
    model, images, labels = sure
    one = slice(image, image + 1)
    report = check_model(model, images[one], labels[one], seed=image, raise_on_failure=True)
    assert {row.compared for row in report.rows} == {2}


@pytest.mark.parametrize("name", ["conv2d/kernel", "conv2d/bias", "dense/kernel", "dense/bias"])
def test_a_gradient_of_zeros_is_found_in_a_network_that_is_sure_of_its_labels(sure, name, monkeypatch):
    model, images, labels = sure
    scale_one(monkeypatch, name, 0)
    assert [row.name for row in check_model(model, images[:1], labels[:1]).failures] == [name]


def test_a_row_in_which_a_gradient_of_zeros_would_pass_says_that_it_was_not_compared(sure, monkeypatch):
    model, images, labels = sure
    surer = in_float64(model, np.random.default_rng(0))
    surer.set_weights([4 * w for w in model.get_weights()])
    for factor in (1, 0):
        with monkeypatch.context() as patched:
            scale_one(patched, "dense/kernel", factor)
            report = check_model(surer, images[:1], labels[:1], raise_on_failure=True)
        row = next(row for row in report.rows if row.name == "dense/kernel")
        assert (row.compared, row.largest) == (0, None)
        assert "not compared" in row.note
        assert row.cells()[6] == "-"
    scale_one(monkeypatch, "dense/kernel", 0)
    assert not check_model(surer, images[:1], np.roll(labels[:1], 1)).passed       # labels that it does not expect


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("place", range(8))
def test_a_gradient_that_is_a_thousandth_too_large_is_found_in_an_untrained_network(pooled, place, monkeypatch):
    model = small("im2col", pooled)
    name = list(model.params)[place]
    scale_one(monkeypatch, name, 1.001)
    report = check_model(model, np.random.default_rng(12).random((2, 5, 4, 2)), np.eye(3)[[0, 2]])
    assert [row.name for row in report.failures] == [name]


@pytest.mark.parametrize(("terms", "size"), [([0.5, -0.1, 0.2, 0.3], 1), ([0.5, -8.0, 0.2, 0.3], 8)])
def test_the_rounding_allowed_follows_from_the_terms_and_the_shortest_step(terms, size):
    steps = iter([False, True, True, True, True, True])
    numeric = Numeric(np.zeros(2))
    objective = SimpleNamespace(
        terms=lambda: np.array(terms),
        choices=lambda: [np.array(next(steps))],
        centre=[np.array(True)],
        rounding=rounding(np.array(terms)),
    )
    for _ in range(2):                             # the first direction crosses a kink once, the second none
        along(np.zeros(25), np.ones(25), objective, numeric)
    assert next(steps, None) is None
    assert numeric.retried == 1
    assert numeric.rounding == pytest.approx(2 * 2.0**-52 * 2 * size / (1e-5 / 5 / 2))


@pytest.mark.compiled
@pytest.mark.parametrize("order", [1, -1])
def test_a_joined_layer_does_not_write_into_a_gradient_that_another_path_reads(order):
    x, dout = (np.random.default_rng(k).standard_normal((2, 5, 4, 1)) for k in (0, 1))
    grads = []
    for fuse in (True, False):
        image = Input((5, 4, 1))
        skip = Conv2D(1, 2, padding="same")(image)
        way = Conv2D(1, 3, padding="same", activation="relu")(image)
        model = Model(image, Add()([way, skip][::order]), seed=0, dtype="float64")
        model.plan = join_relus(model.nodes) if fuse else NOTHING_JOINED
        model.forward(x)
        upstream = dout.copy()
        model.backward(upstream)
        np.testing.assert_array_equal(upstream, dout)
        grads.append(np.concatenate([g.ravel() for g in model.grads.values()]))
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-12)
