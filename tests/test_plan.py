"""The plan: which ReLUs are joined to a neighbour, and that the gradients are those of layers that join nothing."""

import sys

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
    Input,
    MaxPooling2D,
    MinPooling2D,
    Model,
    ReLU,
    Softmax,
    net_1,
    net_2,
)
from scratchnet.kernels import conv2d, dense
from scratchnet.kernels.relu import copy_gradient, relu_backward
from scratchnet.layers import activations
from scratchnet.layers import conv2d as conv2d_page
from scratchnet.layers import dense as dense_page
from scratchnet.plan import NOTHING_JOINED, join_relus, plan_of

pytestmark = pytest.mark.compiled
RNG = np.random.default_rng(11)


def conv(filters, **options):
    return Conv2D(filters, 3, padding="same", activation="relu", **options)


def dense_end(x):
    return Dense(5)(Dense(7, activation="relu")(Flatten()(x)))


def two_readers(image):
    first = conv(16)(image)
    return dense_end(Add()([first, conv(16)(first)]))


def twice_the_same(image):
    first = conv(4)(image)
    return dense_end(Add()([first, first]))


class MinusOne(Flatten):
    """Flatten by name only: its output holds none of its input's numbers."""

    def forward(self, x):
        return super().forward(x - 1)


# What reads the output of the first convolution's ReLU, and whether that ReLU's backward is joined to a later layer.
GRAPHS = {
    "conv": (lambda image: dense_end(conv(16, strides=2)(conv(16)(image))), True),
    "conv with a softmax": (lambda image: Softmax()(dense_end(conv(3)(conv(4)(image)))), True),
    "flatten and dense": (lambda image: dense_end(conv(4)(image)), True),
    "max-pooling": (lambda image: dense_end(MaxPooling2D((3, 2), strides=(1, 2), padding="same")(conv(4)(image))), True),
    "two poolings": (lambda image: dense_end(MinPooling2D(2, strides=1)(MaxPooling2D(2, strides=1)(conv(4)(image)))), True),
    "average-pooling": (lambda image: dense_end(AveragePooling2D(2, strides=1)(conv(4)(image))), False),
    "two readers": (two_readers, False),
    "one reader twice": (twice_the_same, False),
    "another activation": (lambda image: Flatten()(Conv2D(3, 2)(ReLU()(conv(4)(image)))), False),
    "nothing": (lambda image: conv(4)(image), False),
    "a layer of your own": (lambda image: Dense(5)(MinusOne()(conv(4)(image))), False),
}


@pytest.mark.parametrize("implementation", ["loops", "im2col", "direct", "fused"])
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_those_of_layers_that_join_nothing(name, implementation):
    make, joined = GRAPHS[name]
    image = Input(shape=(7, 6, 2))
    model = Model(image, make(image), seed=3, dtype="float64", implementation=implementation)
    x = RNG.standard_normal((4, 7, 6, 2))
    dout = RNG.standard_normal((4, *model.nodes[-1].shape))
    results = []
    for plan in (join_relus(model.nodes), NOTHING_JOINED):
        model.plan = plan
        results.append([model.forward(x), model.backward(dout), *(g.copy() for g in model.grads.values())])
        convolution, relu = model.nodes[1:3]
        assert plan.forward.get(convolution, {}) == ({"relu": True} if plan.forward else {})
        assert (relu in plan.backward) == (joined and plan is not NOTHING_JOINED)
    assert all(np.any(value) for value in results[1])
    for value, right in zip(*results, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=1e-12 * max(1, abs(right).max()))


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_normalization_applies_the_smooth_activation_after_it_and_the_gradients_are_the_same(name, implementation, dtype):
    image = Input(shape=(5, 4, 2))
    normalized = BatchNormalization(momentum=0.5)(Conv2D(3, 3)(image))
    model = Model(image, Dense(3)(Flatten()(Activation(name)(normalized))), seed=3, dtype=dtype, implementation=implementation)
    x, dout = RNG.standard_normal((6, 5, 4, 2)).astype(dtype), RNG.standard_normal((6, 3)).astype(dtype)
    joined, start = plan_of(model.nodes), model.get_weights()
    activation = model.nodes[3]
    assert joined.forward[activation] == joined.backward[activation] == {"joined": True}
    assert activation not in joined.inference                       # there the convolution may compute the normalization
    results = []
    for plan in (joined, NOTHING_JOINED):
        model.plan = plan
        model.set_weights(start)
        out, dx = model.forward(x, training=True), model.backward(dout)
        results.append([out, dx, *(g.copy() for g in model.grads.values()), *model.get_weights()])
    rounding = np.finfo(dtype).eps if implementation == "loops" else 0      # its moments are float64, and kept in float32
    for value, right in zip(*results, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=8 * rounding * max(1, abs(right).max()))


def test_an_activation_that_others_read_the_input_of_is_not_joined_to_the_normalization():
    image = Input(shape=(5, 4, 2))
    normalized = BatchNormalization()(image)
    model = Model(image, Add()([Activation("gelu")(normalized), normalized]))
    assert plan_of(model.nodes).forward == {}


def test_a_chain_joins_every_relu_on_both_sides():
    image = Input(shape=(8, 8, 1))
    x = MaxPooling2D(2, strides=1, padding="same")(conv(32)(conv(16)(image)))
    model = Model(image, Softmax()(dense_end(x)), dtype="float64")
    plan = join_relus(model.nodes)
    found = [
        (node.layer.name, plan.forward.get(node, {}), plan.backward.get(node, {}))
        for node in model.nodes
        if isinstance(node.layer, (Conv2D, Dense))
    ]
    assert found == [
        ("conv2d", {"relu": True}, {}),                             # its x is the image
        ("conv2d_1", {"relu": True}, {"relu_x": True}),
        ("dense", {"relu": True}, {"relu_x": True}),                # its x comes from a ReLU, through pooling and Flatten
        ("dense_1", {}, {"relu_x": True}),                          # its output goes to the loss
    ]


def test_a_class_derived_from_a_layer_joins_nothing_because_it_may_define_its_own_forward():
    class Mine(Conv2D):
        def forward(self, x):
            return super().forward(x)

    image = Input(shape=(8, 8, 1))
    model = Model(image, Dense(3, activation="softmax")(Flatten()(ReLU()(Mine(4, 3)(image)))))
    assert join_relus(model.nodes).forward == {}


@pytest.mark.parametrize("network", [net_1, net_2])
def test_fit_calls_forward_and_backward_of_every_layer_s_own_class(network):
    """Under the defaults, a breakpoint in any layer's page is reached."""
    model = network((8, 8, 1), 10, seed=0)
    model.compile()
    pages = {type(node.layer) for node in model.nodes[1:] if node is not model.nodes[-1]}       # softmax is joined to the loss
    codes = {getattr(kind, name).__code__: (kind.__name__, name) for kind in pages for name in ("forward", "backward")}
    reached = set()

    def trace(frame, event, argument):
        if frame.f_code in codes:
            reached.add(codes[frame.f_code])

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        model.fit(RNG.random((4, 8, 8, 1), dtype="float32"), np.eye(10)[[1, 2, 3, 4]], verbose=0)
    finally:
        sys.settrace(before)
    assert reached == set(codes.values())


@pytest.mark.parametrize("implementation", ["loops", "im2col", "direct", "fused"])
def test_the_chosen_pair_runs_and_no_other(implementation, monkeypatch):
    ran = []

    def noting(name, pair):
        return tuple(lambda *a, function=function, **k: (ran.append(name), function(*a, **k))[1] for function in pair)

    for kind in (Conv2D, Dense):
        table = {name: noting(name, pair) for name, pair in kind.implementations.items()}
        monkeypatch.setattr(kind, "implementations", table)
    model = net_2((6, 6, 1), 3, seed=0, implementation=implementation)
    model.compile()
    model.fit(RNG.random((2, 6, 6, 1), dtype="float32"), np.eye(3)[[0, 2]], verbose=0)
    assert len(ran) == 8        # two convolutions and two dense layers
    assert set(ran) <= {implementation, "fused" if implementation == "direct" else implementation}


def relu_output(shape, dtype):
    """Return what a ReLU may compute: half of it is 0."""
    return np.maximum(RNG.standard_normal(shape), 0).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("name", ["direct_backward", "conv2d_backward"])
def test_a_convolution_computes_the_gradient_before_a_joined_relu(name, strides, dtype):
    x, w = relu_output((5, 9, 8, 16), dtype), RNG.standard_normal((3, 3, 16, 16)).astype(dtype)
    pads = ((1, 1), (1, 1))
    dout = RNG.standard_normal(conv2d_page.conv2d_forward(x, w, None, strides, pads).shape).astype(dtype)
    dx, dw, db = conv2d_page.conv2d_backward(dout, x, w, strides, pads)
    got = getattr(conv2d, name)(dout, x, w, strides, pads, relu_x=True)
    for value, right in zip(got, (np.where(x > 0, dx, 0), dw, db), strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=abs(right).max() * (1e-5 if dtype == "float32" else 1e-12))
    assert not got[0][x == 0].any()
    none, *parameters = getattr(conv2d, name)(dout, x, w, strides, pads, need_dx=False, relu_x=True)
    assert none is None
    for value, right in zip(parameters, got[1:], strict=True):
        np.testing.assert_array_equal(value, right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("D", [1, 5, dense.BLOCK - 1, dense.BLOCK, 2 * dense.BLOCK + 1])
def test_a_dense_layer_computes_the_gradient_before_a_joined_relu(D, dtype):
    x, w, dout = relu_output((9, D), dtype), RNG.standard_normal((D, 6)).astype(dtype), RNG.standard_normal((9, 6)).astype(dtype)
    dx, dw, db = dense_page.dense_backward(dout, x, w)
    got = dense.dense_backward(dout, x, w, relu_x=True)
    for value, right in zip(got, (np.where(x > 0, dx, 0), dw, db), strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=abs(right).max() * (1e-5 if dtype == "float32" else 1e-12))
    assert not got[0][x == 0].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_and_a_copy_with_its_mask_follow_the_definition(dtype):
    out = np.array([0, -0.0, 1, np.inf, np.nan, 1e-45, 3], dtype)
    dout = np.array([1, 2, np.nan, -np.inf, 5, 6, -0.0], dtype)
    right = activations.relu_backward(dout, out)
    np.testing.assert_array_equal(relu_backward(dout, out), right, strict=True)
    for masked, expected in ((True, right), (False, dout)):
        copy = np.full_like(dout, 7)
        copy_gradient(dout, copy, out, masked)
        np.testing.assert_array_equal(copy, expected, strict=True)
    large = RNG.standard_normal((700, 801)).astype(dtype)
    np.testing.assert_array_equal(relu_backward(large.T, large.T), activations.relu_backward(large.T, large.T))
