"""The plan: which nodes run as one step, and that the gradients are those of layers run one by one."""

import numpy as np
import pytest

from scratchnet import (
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    MinPooling2D,
    Model,
    ReLU,
    Softmax,
)
from scratchnet.kernels import conv2d, dense
from scratchnet.kernels.relu import mask, relu_backward
from scratchnet.layers import activations
from scratchnet.layers import conv2d as conv2d_page
from scratchnet.layers import dense as dense_page
from scratchnet.plan import FusedStep, Plan

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


# What stands behind the first convolution's ReLU, and whether the gradient comes back to it with the mask applied.
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
    "a layer of one's own": (lambda image: Dense(5)(MinusOne()(conv(4)(image))), False),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_those_of_layers_run_one_by_one(name):
    make, masked = GRAPHS[name]
    image = Input(shape=(7, 6, 2))
    model = Model(image, make(image), seed=3, dtype="float64")
    x = RNG.standard_normal((4, 7, 6, 2))
    dout = RNG.standard_normal((4, *model.nodes[-1].shape))
    results = []
    for fuse in (True, False):
        plan = Plan(model.nodes, fuse)
        out = plan.forward(x, plan.output)
        dx = plan.backward(dout, plan.output, need_dx=True)
        results.append([out, dx, *(g.copy() for g in model.grads.values())])
        first = plan.steps[0]
        assert isinstance(first, FusedStep) == fuse
        if fuse:
            assert first.dout_masked == masked
    assert all(np.any(value) for value in results[1])
    for value, right in zip(*results, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=1e-12 * max(1, abs(right).max()))


def test_a_chain_passes_every_mask_on():
    image = Input(shape=(8, 8, 1))
    x = MaxPooling2D(2, strides=1, padding="same")(conv(32)(conv(16)(image)))
    model = Model(image, Softmax()(dense_end(x)), dtype="float64")
    steps = [step for step in Plan(model.nodes, fuse=True).steps if isinstance(step, FusedStep)]
    assert [(step.relu, step.dout_masked, step.relu_x) for step in steps] == [
        (True, True, False),  # conv 16: its x is the image
        (True, True, True),  # conv 32
        (True, True, True),  # dense 7, behind the pooling and Flatten
        (False, False, True),  # dense 5, whose output goes to the loss
    ]


def relu_output(shape, dtype):
    """Give what a ReLU hands on: half of it is 0."""
    return np.maximum(RNG.standard_normal(shape), 0).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("name", ["direct_backward", "conv2d_backward"])
def test_a_convolution_gives_the_gradient_in_front_of_the_relu_before_it(name, strides, dtype):
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
def test_a_dense_layer_gives_the_gradient_in_front_of_the_relu_before_it(D, dtype):
    x, w, dout = relu_output((9, D), dtype), RNG.standard_normal((D, 6)).astype(dtype), RNG.standard_normal((9, 6)).astype(dtype)
    dx, dw, db = dense_page.dense_backward(dout, x, w)
    got = dense.dense_backward(dout, x, w, relu_x=True)
    for value, right in zip(got, (np.where(x > 0, dx, 0), dw, db), strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=abs(right).max() * (1e-5 if dtype == "float32" else 1e-12))
    assert not got[0][x == 0].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_s_own_pass_and_the_one_in_place_are_its_rule(dtype):
    out = np.array([0, -0.0, 1, np.inf, np.nan, 1e-45, 3], dtype)
    dout = np.array([1, 2, np.nan, -np.inf, 5, 6, -0.0], dtype)
    right = activations.relu_backward(dout, out)
    np.testing.assert_array_equal(relu_backward(dout, out), right, strict=True)
    given = dout.copy()
    mask(given, out)
    np.testing.assert_array_equal(given, right, strict=True)
    large = RNG.standard_normal((700, 801)).astype(dtype)
    np.testing.assert_array_equal(relu_backward(large.T, large.T), activations.relu_backward(large.T, large.T))
