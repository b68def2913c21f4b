"""Training and inference: the argument `training`, the state of layers, what they draw, and frozen layers."""

import numpy as np
import pytest

from scratchnet import Activation, Conv2D, Dense, Flatten, Input, Layer, Model, load_model, net_2
from scratchnet.gradcheck import check_layer, check_model


class Centre(Layer):
    """Subtract the mean of the batch in training, and its moving average in inference."""

    couples_batch = True

    def make_state(self):
        return {"mean": np.zeros(self.input_shape)}

    def forward(self, x, training=False):
        self.check_input(x)
        training = training and self.trainable
        self.cache = (training,)
        if not training:
            return x - self.state["mean"]
        mean = x.mean(axis=0)
        self.state["mean"][...] = 0.9 * self.state["mean"] + 0.1 * mean
        return x - mean

    def backward(self, dout, need_dx=True):
        (training,) = self.cached(dout)
        return dout - dout.mean(axis=0) if training else dout.copy()


class Noise(Layer):
    """Multiply by random numbers in training."""

    draws = True

    def __init__(self, seed=None, *, name=None):
        super().__init__(name=name)
        self.seed = seed

    def forward(self, x, training=False):
        self.check_input(x)
        self.cache = (self.rng.random(x.shape).astype(x.dtype) + 0.5 if training else np.ones_like(x),)
        return x * self.cache[0]

    def backward(self, dout, need_dx=True):
        (factor,) = self.cached(dout)
        return dout * factor


OWN = {"Centre": Centre, "Noise": Noise}


def small_net(seed=3):
    x = Input(shape=(4, 6, 2))
    y = Conv2D(3, 3, activation="relu", name="conv")(x)
    y = Noise(name="noise")(y)
    y = Dense(5, name="hidden")(Centre(name="centre")(Flatten()(y)))
    model = Model(x, Dense(3, activation="softmax", name="last")(Activation("relu")(y)), seed=seed)
    model.compile("adam", metrics=["accuracy"])
    return model


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.random((20, 4, 6, 2), "float32"), np.eye(3, dtype="float32")[rng.integers(3, size=20)]


def weights_equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def test_fit_trains_and_predict_does_not(data):
    model = small_net()
    before = model.get_layer("centre").state["mean"].copy()
    model.predict(data[0], verbose=0)
    model.evaluate(*data, verbose=0)
    assert np.array_equal(model.get_layer("centre").state["mean"], before)
    model.fit(*data, verbose=0)
    assert not np.array_equal(model.get_layer("centre").state["mean"], before)


def test_a_layer_whose_forward_takes_no_training_is_called_without_it():
    assert (Centre.takes_training, Dense.takes_training) == (True, False)


@pytest.mark.parametrize("layer", [Centre(), Noise()])
def test_a_layer_is_checked_in_both_modes(layer):
    report = check_layer(layer, (3, 2), raise_on_failure=True)
    names = [row.name for row in report.rows if row.check == "gradient"]
    assert names == ["x", "x (inference)"]


def test_a_gradient_that_is_wrong_in_inference_alone_is_found():
    class Wrong(Centre):
        def backward(self, dout, need_dx=True):
            return dout - dout.mean(axis=0)

    wrong = {row.name for row in check_layer(Wrong(), (3,)).rows if row.verdict == "WRONG"}
    assert "x (inference)" in wrong
    assert "x" not in wrong


def test_what_training_changes_without_being_declared_is_found():
    class Hidden(Centre):
        def make_state(self):
            self.mean = np.zeros(self.input_shape)
            return {}

        def forward(self, x, training=False):
            self.check_input(x)
            self.cache = (training,)
            if not training:
                return x - self.mean
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
            return x - x.mean(axis=0)

    rows = {row.name: row for row in check_layer(Hidden(), (3,)).rows}
    assert "training changed self.mean, which is not saved" in rows["declared state"].note


def test_a_forward_that_changes_its_state_in_inference_is_found():
    class Restless(Centre):
        def forward(self, x, training=False):
            out = super().forward(x, training=True)
            self.cache = (True,)
            return out

    rows = {row.name: row for row in check_layer(Restless(), (3,)).rows}
    assert "training=False changed self.state" in rows["declared state"].note


def test_a_network_is_checked_as_it_is_trained(data):
    report = check_model(small_net(), data[0][:3], data[1][:3], raise_on_failure=True)
    assert all(row.compared for row in report.rows)


def test_weights_and_state_are_listed_layer_by_layer(data):
    model = small_net()
    assert list(model.named_weights)[2:5] == ["centre/mean", "hidden/kernel", "hidden/bias"]
    assert "centre/mean" not in model.params
    assert model.count_params() == sum(w.size for w in model.get_weights())
    lines = []
    model.summary(print_fn=lines.append)
    assert "Non-trainable params: 24 (96.00 B)" in lines[0]


def test_training_continues_from_a_file_with_the_same_bits(data, tmp_path):
    whole, half = small_net(), small_net()
    whole.fit(*data, batch_size=6, epochs=4, verbose=0)
    half.fit(*data, batch_size=6, epochs=2, verbose=0)
    half.save(tmp_path / "m.npz")
    rest = load_model(tmp_path / "m.npz", custom_objects=OWN)
    assert weights_equal(half, rest)
    rest.fit(*data, batch_size=6, epochs=4, initial_epoch=2, verbose=0)
    assert weights_equal(whole, rest)


def test_layers_that_draw_have_generators_of_their_own_from_the_seed_of_the_model():
    def drawn(seed, layer_seed=None):
        x = Input(shape=(5,))
        model = Model(x, Noise(layer_seed, name="b")(Noise(name="a")(Dense(5)(x))), seed=seed)
        return [model.get_layer(name).rng.random() for name in "ab"], model.get_weights()[0]

    (a, b), w = drawn(1)
    assert a != b
    assert drawn(1)[0] == [a, b]
    assert drawn(2)[0] != [a, b]
    assert drawn(2, layer_seed=7)[0][1] == drawn(3, layer_seed=7)[0][1] == np.random.default_rng(7).random()
    x = Input(shape=(5,))
    alone = Model(x, Dense(5)(x), seed=1)
    assert np.array_equal(alone.get_weights()[0], w)        # a layer that draws changes the weights of no other


# -- frozen layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["loops", "im2col", "direct", "fused"])
@pytest.mark.parametrize("frozen", ["conv", "hidden", "last"])
def test_nothing_of_a_frozen_layer_moves_and_every_other_layer_does(data, frozen, implementation):
    x = Input(shape=(4, 6, 2))
    y = Conv2D(3, 3, activation="relu", name="conv")(x)
    y = Dense(5, activation="relu", name="hidden")(Flatten()(y))
    model = Model(x, Dense(3, activation="softmax", name="last")(y), seed=1, implementation=implementation)
    model.compile("adam")
    model.get_layer(frozen).trainable = False
    before = {name: p.copy() for name, p in model.named_weights.items()}
    model.fit(*data, verbose=0, epochs=2)
    moved = {name for name, p in model.named_weights.items() if not np.array_equal(p, before[name])}
    assert moved == {name for name in before if not name.startswith(frozen)}


@pytest.mark.parametrize("implementation", ["loops", "im2col", "direct", "fused"])
@pytest.mark.parametrize("channels", [3, 16])
def test_the_gradients_of_other_layers_do_not_depend_on_what_is_frozen(implementation, channels):
    rng = np.random.default_rng(5)
    x = Input(shape=(5, 6, channels))
    y = Conv2D(16, 3, activation="relu", padding="same", name="a")(x)
    y = Conv2D(16, 3, strides=2, activation="relu", padding="same", name="b")(y)
    model = Model(x, Dense(3, activation="softmax", name="last")(Flatten()(y)), seed=1, implementation=implementation)
    model.compile("sgd")
    images, dout = rng.random((2, 5, 6, channels), "float32"), rng.standard_normal((2, 3)).astype("float32")
    model.forward(images, to=model.logits)
    model.backward(dout, start=model.logits)
    free = {name: g.copy() for name, g in model.grads.items()}
    for name in ("b", "last"):
        model.get_layer(name).trainable = False
        model.forward(images, to=model.logits)
        model.backward(dout, need_dx=False, start=model.logits)
        got = model.grads
        assert all(got[f"{name}/{key}"] is None for key in ("kernel", "bias"))
        assert model.get_layer(name).grads == {"kernel": None, "bias": None}        # it was not computed
        assert all(np.array_equal(g, free[key]) for key, g in got.items() if g is not None)


def test_no_gradient_is_computed_below_the_lowest_layer_that_trains(data, monkeypatch):
    model = net_2((8, 8, 1), 3, seed=1)
    model.compile("sgd")
    for layer in model.layers[:3]:
        layer.trainable = False
    called = []
    for node in model.nodes[1:]:
        original = node.layer.backward

        def spy(dout, need_dx=True, *, _name=node.layer.name, _original=original, **joined):
            called.append((_name, need_dx))
            return _original(dout, need_dx, **joined)

        node.layer.backward = spy
    model.train_on_batch(np.random.default_rng(0).random((4, 8, 8, 1), "float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0]])
    assert called == [("dense_1", True), ("dense", True), ("dense", False)]     # dense's ReLU has its name


def test_freezing_takes_effect_at_once_and_is_saved(data, tmp_path):
    model = small_net()
    model.fit(*data, verbose=0)
    model.get_layer("hidden").trainable = False
    before = model.get_layer("hidden").get_weights()
    model.fit(*data, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_layer("hidden").get_weights(), strict=True))
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz", custom_objects=OWN)
    assert [layer.trainable for layer in again.layers] == [layer.name != "hidden" for layer in again.layers]
    again.get_layer("hidden").trainable = True
    again.fit(*data, verbose=0)
    assert not np.array_equal(before[0], again.get_layer("hidden").get_weights()[0])


def test_model_trainable_sets_all_layers(data):
    model = small_net()
    model.trainable = False
    assert not any(layer.trainable for layer in model.layers)
    assert not model.trainable
    model.trainable = True
    assert all(layer.trainable for layer in model.layers)
    with pytest.raises(ValueError, match="trainable: expected True or False, got 'no'"):
        model.get_layer("hidden").trainable = "no"
