"""Numbers that are too large or too small: no warning and no error of NumPy's own, whatever the caller has set."""

from functools import partial

import numpy as np
import pytest

from scratchnet import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Input,
    Layer,
    MaxPooling2D,
    MinPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    Sequential,
    Softmax,
    ZeroPadding2D,
    gradcheck,
    losses,
    preprocessing,
)
from scratchnet.callbacks import Callback
from scratchnet.datasets import glyphs, shapes
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.layers.base import IMPLEMENTATIONS
from scratchnet.metrics import confident_mistakes, confusion_matrix
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam

OPTIMIZERS = [SGD, Adagrad, Adadelta, Adam]


@pytest.fixture(autouse=True)
def strict():
    """NumPy raises on everything; pytest makes errors of warnings. Both stay so for the caller."""
    with np.errstate(all="raise"):
        before = np.geterr()
        yield
        assert np.geterr() == before


def data(N=12, scale=1.0, dtype="float32"):
    rng = np.random.default_rng(0)
    return (scale * rng.random((N, 4, 4, 1))).astype(dtype), np.eye(3)[np.arange(N) % 3]


def net(optimizer, implementation="fused", dtype="float32"):
    layers = [Input((4, 4, 1)), Conv2D(2, 2, activation="relu"), MaxPooling2D(2, 1), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=1, dtype=dtype, implementation=implementation)
    model.compile(optimizer, metrics=["accuracy"])
    return model


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("rate", [1e30, 1e200])
def test_a_training_that_diverges_ends_in_our_error_alone_with_its_weights_restored(implementation, rate, capfd):
    (x, y), model = data(), net(SGD(rate, implementation="numpy"), implementation)
    before = bits(model)
    with pytest.raises(FloatingPointError, match=r"^the loss is .*smaller learning rate"):
        model.fit(x, y, batch_size=4, epochs=3, verbose=0)
    assert bits(model) == before
    assert [line for line in capfd.readouterr().err.splitlines() if "compiling kernels" not in line] == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("implementation", ["im2col", "fused"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scale", [1e3, 1e-30])
def test_a_confident_net_and_one_with_tiny_images_train_evaluate_and_predict(scale, optimizer, implementation, dtype):
    x, y = data(scale=scale, dtype=dtype)
    model = net(optimizer(1e-9, implementation="numpy"), implementation, dtype)
    model.set_weights([100 * w for w in model.get_weights()])
    model.fit(x, y, batch_size=5, epochs=2, validation_data=(x, y), verbose=0)
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()
    assert np.isfinite(model.train_on_batch(x, y)).all()
    assert np.isfinite(model.test_on_batch(x, y)).all()
    np.testing.assert_allclose(model.predict(x, verbose=0).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch"])
def test_images_and_labels_beyond_float32_end_in_our_own_error(call):
    model, (x, y) = net("sgd"), data(dtype="float64")
    with pytest.raises(FloatingPointError, match="the images hold NaN or infinity"):
        getattr(model, call)(x * 1e300, y)
    with pytest.raises(ValueError, match="expected rows of non-negative numbers"):
        getattr(model, call)(x, np.where(y > 0, np.inf, -np.inf))


def test_weights_beyond_float32_become_infinite_and_the_layer_is_named():
    model, (x, y) = net("sgd"), data()
    model.set_weights([w.astype("float64") + 1e300 for w in model.get_weights()])
    with pytest.raises(FloatingPointError, match="'conv2d' is the first"):
        model.train_on_batch(x, y)


EXTREMES = [1e38, -1e38, 1e-38, -1e-45, 0.0, np.inf, -np.inf, np.nan]
LAYERS = {
    "Conv2D": lambda: Conv2D(2, 2, padding="same"),
    "Dense": lambda: Dense(3),
    "MaxPooling2D": lambda: MaxPooling2D(2, padding="same"),
    "MinPooling2D": lambda: MinPooling2D(2, padding="same"),
    "AveragePooling2D": lambda: AveragePooling2D(2, padding="same"),
    "BatchNormalization": BatchNormalization,
    "Flatten": Flatten,
    "GlobalAveragePooling2D": GlobalAveragePooling2D,
    "GlobalMaxPooling2D": GlobalMaxPooling2D,
    "Rescaling": lambda: Rescaling(1e30, -1e38),
    "Reshape": lambda: Reshape((8, -1)),
    "ZeroPadding2D": ZeroPadding2D,
    "Softmax": Softmax,
    "ReLU": ReLU,
    **{name: partial(Activation, name) for name in ACTIVATIONS},
}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_alone_takes_numbers_of_every_size(name, implementation):
    layer = LAYERS[name]()
    layer.implementation = implementation
    values = np.resize(np.array(EXTREMES, np.float32), 48)
    x = values.reshape(6, 8) if name == "Dense" else values.reshape(3, 4, 4, 1)
    out = layer.build(x.shape[1:]).forward(x)
    layer.backward(np.resize(values, out.size).reshape(out.shape))


def test_a_sum_and_a_layer_of_your_own_take_numbers_of_every_size():
    class Square(Layer):
        def forward(self, x):
            self.check_input(x)
            self.cache = (x,)
            return x * x

        def backward(self, dout, need_dx=True):
            (x,) = self.cached(dout)
            return 2 * x * dout

    x = np.array([EXTREMES], np.float32)
    layer = Square().build(x.shape[1:])
    layer.forward(x)
    layer.backward(x)
    Add().build([x.shape[1:]] * 2).forward(x, -x)


@pytest.mark.parametrize("scale", [1e4, 1e38, 1e-38])
def test_losses_alone_take_logits_of_every_size(scale):
    logits = np.array([[1, -1, 0], [-1, 0.5, 1]], np.float32) * np.float32(scale)
    y = np.eye(3)[[1, 2]]
    for function in (losses.softmax, losses.log_softmax):
        assert np.isfinite(function(logits)).all()
    assert np.isfinite(losses.softmax_cross_entropy(logits, y)[0])
    assert np.isfinite(losses.softmax_cross_entropy_losses(logits, y)).all()
    assert np.isfinite(losses.CategoricalCrossentropy(from_logits=True)(y, logits))
    assert np.isfinite(losses.SparseCategoricalCrossentropy(from_logits=True)(y.argmax(axis=1), logits))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("implementation", ["numpy", "fused"])
def test_optimizers_alone_take_gradients_of_every_size(optimizer, implementation):
    p, g = np.zeros(len(EXTREMES), np.float32), np.array(EXTREMES, np.float32)
    rule = optimizer(implementation=implementation)
    for _ in range(3):
        rule.update([p], [g])


def test_gradient_checks_of_saturated_functions_report_and_do_not_raise():
    x = np.array([800.0, -800.0, 1e-200])
    gradcheck.numerical_gradient(lambda: np.exp(x), x)
    gradcheck.complex_step_gradient(np.exp, [x], 0, np.ones(3))
    gradcheck.check_function(np.exp, lambda dout, x: dout * np.exp(x), [x])
    assert gradcheck.check_layer(Softmax(), (40,)).passed
    assert gradcheck.check_loss(losses.softmax_cross_entropy).passed
    for optimizer in OPTIMIZERS:
        assert gradcheck.check_optimizer(optimizer()).passed
    assert gradcheck.check_model(net("sgd"), data(3)[0], data(3)[1]).passed


def test_preprocessing_metrics_and_drawn_data_raise_nothing_of_numpys():
    preprocessing.standardize(np.array([[1e-30, 1.0], [0.0, 1.0], [1e30, 3.0]], np.float32))
    preprocessing.normalize_images(np.arange(12, dtype=np.uint8).reshape(1, 3, 4))
    preprocessing.one_hot(np.arange(3), 3)
    confusion_matrix([0, 1], [1, 1], 2)
    confident_mistakes([0, 1], np.array([[1e-300, 1.0], [1.0, 1e-300]]))
    for drawn in (glyphs, shapes):
        drawn.generate(20, 10)


def test_callbacks_keep_the_settings_of_their_own():
    seen = []

    class Look(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(np.geterr())

        def on_epoch_end(self, epoch, logs=None):
            seen.append(np.geterr())

    net("sgd").fit(*data(), verbose=0, callbacks=[Look()])
    assert seen == [dict.fromkeys(("divide", "over", "under", "invalid"), "raise")] * len(seen) != []
