"""Custom layers, losses and optimizers: they run unchanged, and one that does not fit is refused with the fix."""

import numpy as np
import pytest

from scratchnet import Dense, Input, ReLU, Sequential, Softmax, load_model
from scratchnet.callbacks import Callback, ModelCheckpoint
from scratchnet.gradcheck import check_layer, check_loss
from scratchnet.layers import Layer
from scratchnet.losses import CategoricalCrossentropy, Loss, SparseCategoricalCrossentropy, softmax
from scratchnet.optimizers import SGD, Optimizer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 4)).astype("float32")
Y = np.eye(3, dtype="float32")[np.arange(12) % 3]


def model_of(*layers, optimizer="adam", loss="categorical_crossentropy"):
    model = Sequential([Input(shape=(4,)), *layers, Dense(3, activation="softmax")], seed=1)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


# -- layers -----------------------------------------------------------------------------------------------------------


class Leaky(ReLU):
    def forward(self, x):
        self.check_input(x)
        self.cache = (x,)
        return np.where(x > 0, x, x * x.dtype.type(0.1))

    def backward(self, dout, need_dx=True):
        (x,) = self.cached(dout)
        return np.where(x > 0, dout, dout * x.dtype.type(0.1))


class Cooler(Softmax):
    def forward(self, x):
        return super().forward(x / x.dtype.type(5))


def test_a_layer_derived_from_relu_runs_its_own_forward_when_the_model_is_compiled():
    model = Sequential([Input(shape=(4,)), Dense(8), Leaky(), Dense(3, activation="softmax")], seed=1)
    before = model.predict(X, verbose=0)
    model.compile()
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)


def test_a_layer_derived_from_softmax_is_not_the_softmax_that_the_loss_takes_along():
    model = Sequential([Input(shape=(4,)), Dense(3), Cooler()], seed=1)
    with pytest.raises(ValueError, match="does not end in softmax"):
        model.compile()


class RowSum(Layer):
    """Says nothing of the shape that it gives."""

    def forward(self, x):
        self.check_input(x)
        self.cache = (x.shape,)
        return x.sum(axis=1, keepdims=True)

    def backward(self, dout, need_dx=True):
        return np.broadcast_to(dout.sum(axis=1, keepdims=True), self.cache[0]).copy()


def test_an_output_of_another_shape_than_was_announced_is_refused_and_not_spread_over_the_right_one():
    model = Sequential([Input(shape=(4,)), RowSum()])
    for call in (model.forward, model.predict):
        with pytest.raises(ValueError, match=r"RowSum.*\(12, 4\), as compute_output_shape says, got \(12, 1\)"):
            call(X)
    report = check_layer(RowSum(), (4,))
    assert not report.passed
    assert "compute_output_shape" in str(report)


class Times(Layer):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def forward(self, x):
        self.check_input(x)
        self.cache = ()
        return x * x.dtype.type(self.factor)

    def backward(self, dout, need_dx=True):
        return dout * dout.dtype.type(self.factor)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class TimesWithoutName(Times):
    def __init__(self, factor):
        super().__init__(factor)


def test_a_layer_with_an_argument_comes_back_and_one_that_could_not_is_refused_when_it_is_saved(tmp_path):
    model_of(Times(3)).save(tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz", custom_objects={"Times": Times}).layers[0].factor == 3
    with pytest.raises(ValueError, match=r"TimesWithoutName.* returns name, which its constructor does not take.*name=None"):
        model_of(TimesWithoutName(3)).save(tmp_path / "other.npz")
    assert not (tmp_path / "other.npz").exists()


class NoSuper(Layer):
    def __init__(self):
        self.factor = 2


class TextActivation(Layer):
    def __init__(self):
        super().__init__()
        self.activation = "relu"


@pytest.mark.parametrize(("layer", "words"), [(NoSuper, r"super\(\).__init__\(\)"), (TextActivation, r"Activation\('relu'\)")])
def test_a_layer_that_is_not_made_as_the_base_class_needs_it_says_so_when_it_is_connected(layer, words):
    with pytest.raises(TypeError, match=words):
        Sequential([Input(shape=(4,)), layer(), Dense(2)])


@pytest.mark.parametrize("grads", [{}, {"weights": 1}], ids=["none", "others"])
def test_a_backward_that_leaves_no_gradient_of_a_parameter_is_named_in_fit(grads):
    class Forgetful(Dense):
        def backward(self, dout, need_dx=True):
            dx = super().backward(dout, need_dx)
            self.grads = grads
            return dx

    with pytest.raises(ValueError, match=r"'forgetful'.*self\.grads"):
        model_of(Forgetful(5)).fit(X, Y, verbose=0)


def test_two_layers_of_the_empty_name_are_two_layers_of_one_name():
    with pytest.raises(ValueError, match="a different one for each layer"):
        model_of(Dense(5, name=""), Dense(4, name=""))


@pytest.mark.parametrize(("layer", "shape"), [(Dense, (4,)), (Dense(2), 4), (Dense(2), ())], ids=["class", "number", "empty"])
def test_the_checker_refuses_what_is_no_layer_or_no_shape(layer, shape):
    with pytest.raises(TypeError, match=r"Write Dense\(3\), not Dense|without the batch axis"):
        check_layer(layer, shape)


class NoDx(Times):
    def backward(self, dout, need_dx=True):
        return None


def test_the_checker_says_when_backward_gives_no_dx():
    assert "expected dx to be an array, got None" in str(check_layer(NoDx(2), (4,)))


# -- losses and optimizers --------------------------------------------------------------------------------------------


class Smooth(CategoricalCrossentropy):
    def __init__(self, eps=0.1, from_logits=False):
        super().__init__(from_logits)
        self.amount = eps

    def one_hot(self, y, K):
        return super().one_hot(y, K) * (1 - self.amount) + self.amount / K


class SmoothToo(Smooth):
    def get_config(self):
        return {**super().get_config(), "eps": self.amount}


class Decaying(Optimizer):
    """No state, and one argument that is stored under another name."""

    def __init__(self, learning_rate=0.01, decay=0.0):
        super().__init__(learning_rate)
        self.share = decay

    def step(self, p, g, state):
        p -= self.learning_rate * (g + self.share * p)


class DecayingToo(Decaying):
    def __init__(self, learning_rate=0.01, decay=0.0):
        super().__init__(learning_rate, decay)
        self.decay = decay


def test_a_loss_of_ones_own_is_saved_by_its_own_name_and_comes_back_with_its_argument(tmp_path):
    path = tmp_path / "model.npz"
    model = model_of(loss=SmoothToo(0.5))
    model.save(path)
    with pytest.raises(ValueError, match=r"got 'smoothtoo'.*custom_objects"):
        load_model(path)
    again = load_model(path, custom_objects={"SmoothToo": SmoothToo})
    assert again.loss.amount == 0.5
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_an_optimizer_without_state_comes_back_with_its_steps_and_its_argument(tmp_path):
    model = model_of(optimizer=DecayingToo(0.1, 0.5))
    model.fit(X, Y, batch_size=4, verbose=0)
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz", custom_objects={"DecayingToo": DecayingToo}).optimizer
    assert (again.iterations, again.learning_rate, again.decay) == (3, 0.1, 0.5)


@pytest.mark.parametrize(
    ("parts", "words"),
    [({"loss": Smooth()}, "Smooth takes eps"), ({"optimizer": Decaying()}, "Decaying takes decay")],
    ids=["loss", "optimizer"],
)
def test_a_part_whose_argument_would_be_lost_is_refused_by_save_and_before_a_training_that_saves(tmp_path, parts, words):
    model = model_of(**parts)
    with pytest.raises(ValueError, match=words):
        model.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=words):
        model.fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "model.npz")])
    assert model.optimizer.iterations == 0
    assert not any(tmp_path.iterdir())


def test_a_loss_with_a_formula_of_its_own_is_refused_since_training_would_not_use_it():
    class Shifted(SparseCategoricalCrossentropy):
        def __call__(self, y_true, y_pred):
            return 1000 + super().__call__(y_true, y_pred)

    with pytest.raises(ValueError, match=r"overrides only __call__.*one_hot"):
        model_of(loss=Shifted())


class Weighted(Loss):
    """Cross-entropy with a weight for each class, from the definition in probabilities."""

    def __init__(self, class_weights, from_logits=False):
        super().__init__(from_logits)
        self.class_weights = class_weights

    def one_hot(self, y, K):
        return y

    def value_and_gradient(self, logits, y):
        s, p = y @ np.asarray(self.class_weights), softmax(logits)
        return float(-(s * (y * np.log(p)).sum(axis=1)).mean()), ((p - y) * s[:, None] / len(y)).astype(logits.dtype)


class ForgetsTheWeight(Weighted):
    def value_and_gradient(self, logits, y):
        return super().value_and_gradient(logits, y)[0], (softmax(logits) - y) / len(y)


def test_training_calls_a_loss_of_a_user_s_own_for_value_and_gradient(tmp_path):
    weights = [1.0, 3.0, 0.5]
    model = model_of(optimizer=SGD(0.1), loss=Weighted(weights))
    logits = model.forward(X, to=model.logits).astype("float64")
    expected, _ = Weighted(weights).value_and_gradient(logits, Y)
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(expected, rel=1e-6)
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(Weighted(weights)(Y, model.predict(X, verbose=0)), rel=1e-5)

    # With equal weights of 2 it is twice the cross-entropy: half the rate takes the same step.
    twice, once = model_of(optimizer=SGD(0.05), loss=Weighted([2.0, 2.0, 2.0])), model_of(optimizer=SGD(0.1))
    for one in (twice, once):
        one.fit(X, Y, batch_size=5, shuffle=False, verbose=0)
    for a, b in zip(twice.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)

    model.save(tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz", custom_objects={"Weighted": Weighted}).loss.class_weights == weights


def test_a_loss_of_a_user_s_own_that_takes_logits_is_refused_for_a_model_that_ends_in_softmax():
    with pytest.raises(ValueError, match=r"Weighted: expected logits, .* Leave out from_logits=True, or remove the softmax"):
        model_of(loss=Weighted([1.0, 3.0, 0.5], from_logits=True))


def test_the_checker_checks_the_gradient_of_a_loss_of_a_user_s_own():
    assert check_loss(Weighted([1.0, 3.0, 0.5, 2.0])).passed
    report = check_loss(ForgetsTheWeight([1.0, 3.0, 0.5, 2.0]))
    assert {row.check for row in report.failures} == {"gradient"}


def test_a_loss_without_a_gradient_says_which_method_it_needs():
    class Half(Loss):
        def one_hot(self, y, K):
            return y

    with pytest.raises(NotImplementedError, match=r"Half needs a method value_and_gradient\(self, logits, y\)"):
        model_of(loss=Half()).fit(X, Y, verbose=0)


def test_labels_may_be_truth_values():
    p = np.array([[0.25, 0.75], [0.5, 0.5]])
    loss = SparseCategoricalCrossentropy()
    assert loss(np.array([True, False]), p) == loss(np.array([1, 0]), p)


# -- names and places -------------------------------------------------------------------------------------------------


def test_the_short_name_of_accuracy_is_the_name_in_every_history():
    model = model_of()
    model.compile(metrics=["acc"])
    assert [*model.evaluate(X, Y, verbose=0, return_dict=True)] == ["loss", "acc"]


def test_a_callback_that_stops_the_training_in_a_batch_stops_it_there():
    class Stop(Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            self.model.stop_training = batch == 1

    stop, model = Stop(), model_of()
    history = model.fit(X, Y, batch_size=2, epochs=3, verbose=0, callbacks=[stop])
    assert (stop.batches, model.optimizer.iterations, history.epoch) == (2, 2, [0])


def test_a_folder_is_no_model_and_no_file_to_write_and_the_message_names_one(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"The model of a run is .*model\.npz"):
        load_model(tmp_path)
    with pytest.raises(IsADirectoryError, match="expected the name of a file"):
        model_of().save(tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_optimizer_with_an_update_of_its_own_receives_lists_and_one_with_settings_is_saved(tmp_path):
    class Clipped(SGD):
        settings = ("bound",)

        def __init__(self, *args, **kwargs):
            self.bound = kwargs.pop("bound", 1.0)
            super().__init__(*args, **kwargs)

        def update(self, params, grads):
            super().update(params, [np.clip(g, -self.bound, self.bound) for g in grads])

    model = model_of(optimizer=Clipped(0.05, momentum=0.5, bound=0.01))
    before = model.get_weights()
    model.train_on_batch(X, Y)
    assert max(np.abs(a - b).max() for a, b in zip(model.get_weights(), before, strict=True)) <= 0.0005001
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz", custom_objects={"Clipped": Clipped}).optimizer
    assert (again.learning_rate, again.momentum, again.bound) == (0.05, 0.5, 0.01)


def test_a_callback_may_change_an_epochs_logs_in_its_last_batch():
    class Adds(Callback):
        def on_train_batch_end(self, batch, logs=None):
            logs["batches"] = batch + 1

    assert model_of().fit(X, Y, batch_size=4, verbose=0, callbacks=[Adds()]).history["batches"] == [3]
