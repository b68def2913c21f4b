"""Batch normalization: all implementations against the definition, moving averages, both modes, and folding at inference."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    Model,
    ReLU,
    Sequential,
    load_model,
)
from scratchnet.datasets import cifar10, mnist
from scratchnet.kernels.threads import limit
from scratchnet.plan import NOTHING_JOINED, join_relus, plan_of
from scratchnet.regularizers import L2

fused = pytest.param("fused", marks=pytest.mark.compiled)
each_implementation = pytest.mark.parametrize("implementation", ["loops", "im2col", fused])
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


def by_definition(x, gamma, beta, epsilon):
    """Return out, mean and variance in float64."""
    x = x.astype("float64").reshape(-1, x.shape[-1])
    mean = x.mean(axis=0)
    variance = ((x - mean) ** 2).mean(axis=0)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta, mean, variance


def gradients_by_jacobian(dout, x, gamma, epsilon):
    """Return dx, dgamma and dbeta in float64, with the Jacobian of each channel as a matrix."""
    shape, C = x.shape, x.shape[-1]
    dout, x = dout.astype("float64").reshape(-1, C), x.astype("float64").reshape(-1, C)
    M, dx = len(x), np.zeros_like(x)
    inv = 1 / np.sqrt(x.var(axis=0) + epsilon)
    xhat = (x - x.mean(axis=0)) * inv
    for c in range(C):
        jacobian = gamma[c] * inv[c] * (np.eye(M) - np.ones((M, M)) / M - np.outer(xhat[:, c], xhat[:, c]) / M)
        dx[:, c] = jacobian.T @ dout[:, c]
    return dx.reshape(shape), (dout * xhat).sum(axis=0), dout.sum(axis=0)


def assert_close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * (1 + np.abs(expected).max(initial=0)))


def built(shape, dtype="float64", seed=0, **options):
    """Return a layer whose weights and moving averages are random."""
    layer = BatchNormalization(**options).build(shape, dtype=dtype)
    rng = np.random.default_rng(seed)
    for name, p in layer.named_weights.items():
        p[...] = rng.uniform(0.5, 2, p.shape) if name in ("gamma", "moving_variance") else rng.standard_normal(p.shape)
    return layer


# -- values -----------------------------------------------------------------------------------------------------------

SHAPES = [(4, 3), (1, 5), (7, 1), (3, 4, 5, 2), (2, 3, 2, 17), (1, 1, 1, 3), (1, 6, 5, 1), (2, 700)]


@each_implementation
@each_dtype
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**32), scale=st.sampled_from([1e-3, 1, 1e3]), offset=st.integers(-9, 9))
def test_training_follows_the_definition(implementation, dtype, shape, seed, scale, offset):
    rng = np.random.default_rng(seed)
    layer = built(shape[1:], dtype, seed, implementation=implementation)
    x = (scale * (rng.standard_normal(shape) + offset)).astype(dtype)
    if seed % 3 == 0:
        x = np.round(x)                                          # ties, and channels of variance 0
    dout = rng.standard_normal(shape).astype(dtype)
    gamma, beta, old_mean, old_variance = layer.get_weights()
    out, mean, variance = by_definition(x, gamma, beta, layer.epsilon)
    # The rounding of x itself, by which x - mean is wrong, relative to the standard deviation
    tolerance = TOLERANCE[dtype] * (1 + (np.abs(x).max(initial=0) / np.sqrt(variance.min() + layer.epsilon)))
    assert_close(layer.forward(x, training=True).reshape(-1, shape[-1]), out, tolerance)
    assert_close(layer.state["moving_mean"], 0.99 * old_mean + 0.01 * mean, TOLERANCE[dtype])
    assert_close(layer.state["moving_variance"], 0.99 * old_variance + 0.01 * variance, TOLERANCE[dtype])
    dx = layer.backward(dout)
    for got, right in zip((dx, *layer.grads.values()), gradients_by_jacobian(dout, x, gamma, layer.epsilon), strict=True):
        assert_close(got, right, tolerance)


@each_implementation
def test_by_default_the_functions_compute_all_gradients_of_training(implementation):
    x, dout = np.random.default_rng(13).standard_normal((2, 4, 3, 2))
    gamma = np.array([0.5, 2.0])
    forward, backward = BatchNormalization.implementations[implementation]
    out, mean, variance = forward(x, gamma, None, 0.1)
    assert_close(out.reshape(-1, 2), by_definition(x, gamma, 0, 0.1)[0], 1e-13)
    gradients = backward(dout, x, gamma, mean, variance, 0.1)
    for got, right in zip(gradients, gradients_by_jacobian(dout.reshape(-1, 2), x.reshape(-1, 2), gamma, 0.1), strict=True):
        assert_close(got.reshape(right.shape), right, 1e-13)


@each_implementation
@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
def test_inference_uses_the_moving_averages_and_changes_nothing(implementation, dtype, shape):
    layer = built(shape[1:], dtype, implementation=implementation)
    rng = np.random.default_rng(1)
    x, dout = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    before = layer.get_weights()
    gamma, beta, mean, variance = before
    inv = 1 / np.sqrt(variance + layer.epsilon)
    assert_close(layer.forward(x), gamma * (x - mean) * inv + beta, TOLERANCE[dtype])
    assert_close(layer.backward(dout), gamma * inv * dout, TOLERANCE[dtype])
    axes = tuple(range(len(shape) - 1))
    assert_close(layer.grads["gamma"], (dout * (x - mean) * inv).sum(axis=axes), TOLERANCE[dtype])
    assert_close(layer.grads["beta"], dout.sum(axis=axes), TOLERANCE[dtype])
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


@each_implementation
@each_dtype
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("center", "scale"), [(True, False), (False, True), (False, False)])
def test_a_layer_without_gamma_or_beta_is_one_with_1_or_0(center, scale, training, dtype, implementation):
    shape = (3, 4, 2, 3)
    rng = np.random.default_rng(2)
    x, dout = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    full = BatchNormalization(implementation=implementation).build(shape[1:], dtype=dtype)
    less = BatchNormalization(center=center, scale=scale, implementation=implementation).build(shape[1:], dtype=dtype)
    assert list(less.named_weights) == ["gamma"] * scale + ["beta"] * center + ["moving_mean", "moving_variance"]
    assert_close(less.forward(x, training=training), full.forward(x, training=training), TOLERANCE[dtype])
    assert_close(less.backward(dout), full.backward(dout), TOLERANCE[dtype])
    assert list(less.grads) == list(less.params)


@each_implementation
@each_dtype
@pytest.mark.parametrize("training", [True, False])
def test_the_relus_next_to_the_layer_are_computed_as_separate_ones_are(training, dtype, implementation):
    shape = (3, 5, 4, 3)
    layer = built(shape[1:], dtype, implementation=implementation)
    rng = np.random.default_rng(3)
    x = np.maximum(rng.standard_normal(shape), 0).astype(dtype)
    dout = rng.standard_normal(shape).astype(dtype)
    out = layer.forward(x, training)
    dx = layer.backward(dout)
    np.testing.assert_array_equal(layer.forward(x, training, relu=True), np.maximum(out, 0))
    np.testing.assert_array_equal(layer.backward(dout, relu_x=True), np.where(x > 0, dx, 0))
    assert layer.backward(dout, need_dx=False) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["mnist", "cifar10"])
@pytest.mark.compiled
def test_all_implementations_agree_on_real_images(source, dtype, real_data):
    (images, _), _ = {"mnist": mnist, "cifar10": cifar10}[source].load_data()
    x = (images[:3, 4:20, 6:17] / 255).astype(dtype).reshape(3, 16, 11, -1)       # MNIST: corners that are 0 in every image
    dout = np.random.default_rng(4).standard_normal(x.shape).astype(dtype)
    results = []
    for implementation in ("loops", "im2col", "fused"):
        layer = built(x.shape[1:], dtype, implementation=implementation)
        out = layer.forward(x, training=True)
        results.append([out, layer.backward(dout), *layer.grads.values(), *layer.state.values()])
    for others in results[1:]:
        for got, right in zip(others, results[0], strict=True):
            assert_close(got, right, TOLERANCE[dtype])


# -- precision, extremes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["im2col", fused])
@pytest.mark.parametrize("first", ["typical", "outlier"])
def test_a_mean_far_from_0_does_not_lose_the_variance_in_float32(implementation, first):
    """In float32, E[x²] - E[x]² would be 1e8 - 1e8, whose roundings are 8: larger than the variance."""
    rng = np.random.default_rng(5)
    x = (1e4 + rng.standard_normal((64, 20, 20, 3))).astype("float32")
    if first == "outlier":
        x[0, 0, 0] = -1e4
    layer = BatchNormalization(momentum=0, implementation=implementation).build(x.shape[1:])
    out = layer.forward(x, training=True)
    right, mean, variance = by_definition(x, 1, 0, 1e-3)
    np.testing.assert_allclose(layer.state["moving_mean"], mean, rtol=1e-7)
    np.testing.assert_allclose(layer.state["moving_variance"], variance, rtol=1e-5)
    np.testing.assert_allclose(out.reshape(-1, 3), right, atol=1e-3)               # half a rounding of x is 5e-4
    dout = rng.standard_normal(x.shape).astype("float32")
    inv = 1 / np.sqrt(variance + 1e-3)
    xhat, d = right.reshape(x.shape), dout.astype("float64")
    dx = inv * (d - d.mean(axis=(0, 1, 2)) - xhat * (d * xhat).mean(axis=(0, 1, 2)))
    assert_close(layer.backward(dout), dx, 1e-3)


@each_implementation
@each_dtype
@pytest.mark.parametrize("value", [0.1, 1e4, -1e-30, 0.0])
def test_a_channel_of_equal_values_becomes_beta_with_a_finite_gradient(value, dtype, implementation):
    shape = (5, 3, 2, 3)
    layer = built(shape[1:], dtype, implementation=implementation, momentum=0)
    dout = np.random.default_rng(6).standard_normal(shape).astype(dtype)
    out = layer.forward(np.full(shape, value, dtype), training=True)
    np.testing.assert_allclose(out, np.broadcast_to(layer.params["beta"], shape), atol=1e-10 * (1 + abs(value)), rtol=1e-6)
    inv = 1 / np.sqrt(layer.epsilon)
    assert_close(layer.backward(dout), layer.params["gamma"] * inv * (dout - dout.mean(axis=(0, 1, 2))), TOLERANCE[dtype])


@each_implementation
@each_dtype
def test_one_value_for_each_channel_becomes_beta_and_has_no_gradient(dtype, implementation):
    layer = built((4,), dtype, implementation=implementation)
    beta = layer.params["beta"]
    np.testing.assert_array_equal(layer.forward(np.array([[3.0, -1e4, 1e-30, 0.0]], dtype), training=True)[0], beta)
    np.testing.assert_allclose(layer.backward(np.array([[1.0, 2, 3, 4]], dtype)), 0, atol=1e-5 if dtype == "float32" else 1e-13)
    assert np.array_equal(layer.grads["gamma"], np.zeros(4))


@pytest.mark.compiled
@each_dtype
@pytest.mark.parametrize("shape", [(40, 33, 31, 16), (900, 1000), (7, 300, 299, 1), (61, 64, 64, 3)])
def test_the_bits_are_the_same_for_any_number_of_threads(shape, dtype):
    rng = np.random.default_rng(7)
    x, dout = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    results = []
    for threads in (1, 2, 3, 7):
        layer = built(shape[1:], dtype)
        with limit(threads):
            out = layer.forward(x, training=True, relu=True)
            results.append([out, layer.backward(dout, relu_x=True), *layer.grads.values(), *layer.state.values()])
    for others in results[1:]:
        for got, right in zip(others, results[0], strict=True):
            np.testing.assert_array_equal(got, right, strict=True)


@each_implementation
def test_read_only_arrays_of_any_layout_are_taken_and_not_changed(implementation):
    rng = np.random.default_rng(8)
    x, dout = (rng.standard_normal((4, 5, 3, 2)) for _ in range(2))
    plain, other = (built((5, 3, 2), implementation=implementation) for _ in range(2))
    out = plain.forward(x, training=True)
    dx = plain.backward(dout)
    xf, df = np.asfortranarray(x), np.asfortranarray(dout)
    xf.flags.writeable = df.flags.writeable = False
    assert_close(other.forward(xf, training=True), out, 1e-14)
    assert_close(other.backward(df), dx, 1e-14)
    assert np.array_equal(xf, x)


# -- training, freezing, saving ---------------------------------------------------------------------------------------


def test_moving_averages_follow_keras_s_rule_with_the_biased_variance():
    layer = BatchNormalization(momentum=0.75).build((1,), dtype="float64")
    layer.forward(np.array([[1.0], [5.0]]), training=True)              # mean 3, variance 4 (8 if divided by M - 1)
    assert layer.state["moving_mean"][0] == 0.25 * 3
    assert layer.state["moving_variance"][0] == 0.75 + 0.25 * 4


def test_a_frozen_layer_runs_in_inference_mode_in_training_too():
    layer = built((3,))
    x = np.random.default_rng(9).standard_normal((5, 3))
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_array_equal(layer.forward(x, training=True), layer.forward(x))
    layer.forward(x, training=True)
    dout = np.ones((5, 3))
    inv = 1 / np.sqrt(layer.state["moving_variance"] + 1e-3)
    assert_close(layer.backward(dout), dout * layer.params["gamma"] * inv, 1e-14)
    assert layer.grads == {"gamma": None, "beta": None}
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


@each_implementation
def test_a_layer_frozen_between_forward_and_backward_still_has_the_dx_of_its_forward(implementation):
    layer = built((3,), implementation=implementation)
    rng = np.random.default_rng(10)
    x, dout = rng.standard_normal((2, 5, 3))
    layer.forward(x, training=True)
    dx = layer.backward(dout)
    layer.trainable = False
    np.testing.assert_array_equal(layer.backward(dout), dx)


@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
def test_a_batch_whose_loss_is_not_finite_changes_no_moving_average(how):
    model = stack(Conv2D(3, 2), BatchNormalization(), dtype="float32", implementation="im2col")
    x, y = np.ones((4, 9, 8, 3), "float32"), np.eye(4, dtype="float32")
    x[1, 2, 3] = np.nan
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="the images hold NaN"):
        model.train_on_batch(x, y) if how == "train_on_batch" else model.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_have_the_order_and_the_initial_values_of_keras():
    layer = BatchNormalization().build((4, 4, 2))
    assert [(name, p.tolist()) for name, p in layer.named_weights.items()] == [
        ("gamma", [1, 1]), ("beta", [0, 0]), ("moving_mean", [0, 0]), ("moving_variance", [1, 1]),
    ]  # fmt: skip
    layer = BatchNormalization(
        beta_initializer="ones", gamma_initializer="zeros", moving_mean_initializer="ones", moving_variance_initializer="zeros"
    ).build((2,))
    assert [p.tolist() for p in layer.get_weights()] == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert (layer.count_params(), len(layer.params)) == (8, 2)


def test_a_regularizer_adds_its_penalty_to_the_loss_and_its_gradient_to_that_of_gamma():
    x, y = np.random.default_rng(12).random((4, 9, 8, 3)), np.eye(4)
    losses, grads = [], []
    for regularizer in (None, L2(0.5)):
        model = stack(BatchNormalization(gamma_regularizer=regularizer), implementation="im2col")
        gamma = model.get_layer("batch_normalization").params["gamma"].copy()
        losses.append(model.train_on_batch(x, y)[0])
        grads.append(model.grads["batch_normalization/gamma"])
    assert losses[1] - losses[0] == pytest.approx(0.5 * (gamma**2).sum())
    np.testing.assert_allclose(grads[1] - grads[0], gamma, rtol=1e-12)


@pytest.mark.parametrize(("axis", "shape"), [(-1, (3,)), (1, (3,)), (-1, (4, 5, 2)), (3, (4, 5, 2))])
def test_the_last_axis_is_taken_by_both_of_its_numbers(axis, shape):
    assert BatchNormalization(axis).build(shape).output_shape == shape


@pytest.mark.parametrize(("axis", "shape"), [(0, (3,)), (1, (4, 5, 2)), (-2, (4, 5, 2)), (32, (4, 5, 32))])
def test_another_axis_is_refused_with_the_fix(axis, shape):
    with pytest.raises(ValueError, match=rf"expected axis=-1 or axis={len(shape)}, .* got {axis}\. Write axis=-1"):
        BatchNormalization(axis)(Input(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": 1.0}, r"axis: expected an integer, got 1.0. Write axis=-1"),
        ({"momentum": 1.5}, "momentum: expected a number of at least 0 and below 1, got 1.5"),
        ({"epsilon": -1}, "epsilon: expected a finite number of at least 0, got -1"),
        ({"center": None}, "center: expected True or False, got None"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BatchNormalization(**options)


@pytest.mark.parametrize("word", ["synchronized", "renorm", "gamma_constraint", "num_features", "affine", "eps"])
def test_arguments_of_keras_and_pytorch_that_do_not_exist_name_the_fix(word):
    with pytest.raises(TypeError, match=r"leave it out|Choose gamma|called epsilon"):
        BatchNormalization(**{word: 1})


def test_training_on_no_sample_is_refused_and_inference_returns_none():
    layer = BatchNormalization().build((3,))
    with pytest.raises(ValueError, match="expected at least one sample in training, got none"):
        layer.forward(np.zeros((0, 3), "float32"), training=True)
    assert layer.forward(np.zeros((0, 3), "float32")).shape == (0, 3)


# -- folding ----------------------------------------------------------------------------------------------------------


def stack(*layers, shape=(9, 8, 3), dtype="float64", **options):
    """Return a compiled model that ends in a small dense layer, whose weights and moving averages are random."""
    model = Sequential([Input(shape), *layers, Flatten(), Dense(4, "softmax")], seed=3, dtype=dtype, **options)
    rng = np.random.default_rng(4)
    for name, p in model.named_weights.items():
        if not name.endswith("kernel"):
            p[...] = rng.uniform(0.3, 2, p.shape) if "gamma" in name or "variance" in name else 0.3 * rng.standard_normal(p.shape)
    model.compile("sgd", metrics=["accuracy"])
    return model


STACKS = {
    "conv": lambda: (Conv2D(5, 3), BatchNormalization()),
    "conv without a bias": lambda: (Conv2D(5, (2, 3), strides=2, use_bias=False), BatchNormalization()),
    "conv and ReLU": lambda: (Conv2D(16, 3, padding="same"), BatchNormalization(), ReLU(), MaxPooling2D(2)),
    "neither gamma nor beta": lambda: (Conv2D(5, 3), BatchNormalization(center=False, scale=False), ReLU()),
    "two": lambda: (Conv2D(16, 3), BatchNormalization(), ReLU(), Conv2D(16, 3), BatchNormalization(), ReLU()),
    "dense": lambda: (Flatten(), Dense(6), BatchNormalization(), ReLU()),
    "dense without a bias": lambda: (Flatten(), Dense(6, use_bias=False), BatchNormalization(scale=False)),
}


@pytest.mark.parametrize("implementation", ["loops", "im2col", "direct", fused])
@each_dtype
@pytest.mark.parametrize("name", STACKS)
def test_a_folded_normalization_gives_the_numbers_of_separate_layers(name, dtype, implementation):
    model = stack(*STACKS[name](), dtype=dtype, implementation=implementation)
    x = np.random.default_rng(5).standard_normal((3, 9, 8, 3)).astype(dtype)
    y = np.eye(4)[[0, 3, 1]]
    folded = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0), model.test_on_batch(x, y)
    assert any("fold" in keywords for keywords in model.plan.inference.values())
    normalizations = [node for node in model.nodes if type(node.layer) is BatchNormalization]
    assert all(model.plan.inference[node] == {"joined": True} for node in normalizations)
    np.testing.assert_array_equal(model.forward(x, keep=False), folded[0])
    model.compile("sgd", metrics=["accuracy"], fuse=False)
    assert model.plan == NOTHING_JOINED
    separate = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0), model.test_on_batch(x, y)
    for got, right in zip(folded, separate, strict=True):
        assert_close(got, np.array(right), TOLERANCE[dtype])


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("implementation", ["im2col", fused])
def test_the_gradients_of_a_fused_model_are_those_of_separate_layers(name, implementation):
    model = stack(*STACKS[name](), implementation=implementation)
    rng = np.random.default_rng(6)
    x, dout = rng.standard_normal((3, 9, 8, 3)), rng.standard_normal((3, 4))
    results = []
    for plan in (plan_of(model.nodes), NOTHING_JOINED):
        model.plan = plan
        out = model.forward(x, training=True)
        results.append([out, model.backward(dout), *(g.copy() for g in model.grads.values())])
    for got, right in zip(*results, strict=True):
        assert_close(got, right, 1e-12)


def test_the_relus_around_a_normalization_are_joined_to_it():
    model = stack(ReLU(), BatchNormalization(), ReLU(), Conv2D(3, 3))
    first, norm, second, conv = model.nodes[1:5]
    plan = plan_of(model.nodes)
    assert plan.forward == {norm: {"relu": True}, second: {"joined": True}}
    assert plan.backward == {
        norm: {"relu_x": True}, first: {"joined": True}, conv: {"relu_x": True}, second: {"joined": True},
    }  # fmt: skip
    assert plan.inference == plan.forward                                # no layer before it that could compute it


def two_readers(x):
    y = Conv2D(3, 3, padding="same")(x)
    return Add()([y, BatchNormalization()(y)])


class Mine(BatchNormalization):
    """A normalization with another forward."""

    def forward(self, x, training=False):
        return super().forward(x, training) + 1


NOT_FOLDED = {
    "two readers": two_readers,
    "an activation between": lambda x: BatchNormalization()(Conv2D(3, 3, activation="relu")(x)),
    "pooling between": lambda x: BatchNormalization()(MaxPooling2D(2)(Conv2D(3, 3)(x))),
    "a derived class": lambda x: Mine()(Conv2D(3, 3)(x)),
    "first": lambda x: BatchNormalization()(x),
}


@pytest.mark.parametrize("name", NOT_FOLDED)
def test_a_normalization_is_not_folded_where_another_layer_needs_what_is_before_it(name):
    x = Input((7, 6, 3))
    model = Model(x, Dense(3, "softmax")(Flatten()(NOT_FOLDED[name](x))), seed=1, dtype="float64")
    images = np.random.default_rng(7).standard_normal((2, 7, 6, 3))
    before = model.predict(images, verbose=0)                            # not compiled: nothing is joined
    model.compile()
    assert model.plan.inference == join_relus(model.nodes).forward
    assert_close(model.predict(images, verbose=0), before, 1e-14)


@pytest.mark.compiled
def test_outputs_of_layers_are_those_of_separate_layers():
    model = stack(*STACKS["conv and ReLU"]())
    x = np.random.default_rng(8).standard_normal((2, 9, 8, 3))
    outputs = model.layer_outputs(x)
    conv, norm = (model.get_layer(name) for name in ("conv2d", "batch_normalization"))
    np.testing.assert_allclose(outputs["conv2d"], conv.forward(x), rtol=1e-13)
    assert not np.allclose(outputs["conv2d"], outputs["batch_normalization"])
    for keep in (True, False):
        np.testing.assert_array_equal(model.forward(x, to=conv.node, keep=keep), outputs["conv2d"])
        np.testing.assert_array_equal(model.forward(x, to=norm.node, keep=keep), outputs["batch_normalization"])


@pytest.mark.compiled
def test_folding_uses_the_weights_of_the_moment():
    model = stack(*STACKS["conv and ReLU"](), dtype="float32")
    rng = np.random.default_rng(9)
    x, y = rng.random((12, 9, 8, 3), "float32"), np.eye(4, dtype="float32")[rng.integers(4, size=12)]
    predictions = []
    for _ in range(3):
        predictions.append(model.predict(x, verbose=0))
        model.fit(x, y, epochs=1, batch_size=5, verbose=0)
    right = model.forward(x, keep=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), right, atol=1e-6)
    assert not np.allclose(predictions[0], predictions[1], atol=1e-5)


@pytest.mark.compiled
def test_a_copy_of_a_model_folds_its_own_normalization():
    model = stack(*STACKS["conv"]())
    twin = copy.deepcopy(model)
    twin.get_layer("batch_normalization").params["gamma"][...] *= 2
    x = np.random.default_rng(10).standard_normal((2, 9, 8, 3))
    np.testing.assert_allclose(twin.predict(x, verbose=0), twin.forward(x), rtol=1e-12)
    assert not np.allclose(twin.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.compiled
def test_a_saved_model_continues_with_the_same_bits(tmp_path):
    rng = np.random.default_rng(11)
    x, y = rng.random((12, 9, 8, 3), "float32"), np.eye(4, dtype="float32")[rng.integers(4, size=12)]
    whole = stack(*STACKS["two"](), dtype="float32")
    whole.fit(x, y, epochs=2, batch_size=5, verbose=0)
    whole.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(x, verbose=0), whole.predict(x, verbose=0))
    for model in (whole, again):
        model.fit(x, y, epochs=1, batch_size=5, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), again.get_weights(), strict=True))


@pytest.mark.compiled
@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_folding_gives_the_same_on_real_images(source, real_data):
    (images, labels), _ = {"mnist": mnist, "cifar10": cifar10}[source].load_data()
    x = (images[:128] / 255).astype("float32").reshape(128, *images.shape[1:3], -1)
    y = np.eye(10, dtype="float32")[labels[:128].ravel()]
    layers = [
        Conv2D(16, 3, padding="same", use_bias=False), BatchNormalization(), ReLU(), MaxPooling2D(2),
        Conv2D(16, 3, strides=2), BatchNormalization(), ReLU(), Flatten(), Dense(16), BatchNormalization(), ReLU(),
    ]  # fmt: skip
    model = Sequential([Input(x.shape[1:]), *layers, Dense(10, "softmax")], seed=1)
    model.compile("adam", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    folded, values = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(folded, model.forward(x), atol=2e-6)
    model.compile("adam", metrics=["accuracy"], fuse=False)
    np.testing.assert_allclose(values, model.evaluate(x, y, verbose=0), rtol=1e-5)
