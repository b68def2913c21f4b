"""The gradients of batch normalization, in training and in inference: the term of x itself, of the mean and of the variance."""

import numpy as np
import pytest

from scratchnet import BatchNormalization, Conv2D, Dense, Flatten, Input, MaxPooling2D, ReLU, Sequential
from scratchnet.gradcheck import check_layer, check_model

OPTIONS = [{}, {"center": False}, {"scale": False}, {"center": False, "scale": False, "epsilon": 0.1}]


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", [(5,), (1,), (3, 4, 2), (4, 3, 1)])
def test_every_gradient_agrees_in_both_modes(shape, options, implementation, runnable):
    layer = BatchNormalization(implementation=runnable(implementation), **options)
    report = check_layer(layer, shape, batch=4, raise_on_failure=True)
    assert {row.name for row in report.rows if row.check == "gradient"} >= {"x", "x (inference)"}


@pytest.mark.parametrize("implementation", ["im2col", "fused"])
def test_a_batch_of_one_image_and_a_batch_of_one_number_agree(implementation, runnable):
    for shape in ((3, 4, 2), (3,)):
        check_layer(BatchNormalization(implementation=runnable(implementation)), shape, batch=1, raise_on_failure=True)


WITHOUT = {
    "the mean": lambda dout, dbeta, M, rest: dout - rest,
    "the variance": lambda dout, dbeta, M, rest: dout - dbeta / M,
    "both": lambda dout, dbeta, M, rest: dout,
}


@pytest.mark.parametrize("missing", WITHOUT)
def test_a_dx_without_the_term_through_the_mean_or_the_variance_is_found(missing):
    class Wrong(BatchNormalization):
        def backward(self, dout, need_dx=True):
            dx = super().backward(dout, need_dx)
            x, mean, variance, batch = self.cache
            if not batch:
                return dx
            inv = 1 / np.sqrt(variance + self.epsilon)
            rest = (x - mean) * inv * self.grads["gamma"] / len(x)
            return self.params["gamma"] * inv * WITHOUT[missing](dout, self.grads["beta"], len(x), rest)

    wrong = {(row.check, row.name) for row in check_layer(Wrong(), (3,), batch=5).failures}
    assert ("gradient", "x") in wrong
    assert ("gradient", "x (inference)") not in wrong


@pytest.mark.parametrize("implementation", ["im2col", "fused"])
def test_a_network_with_normalizations_everywhere_agrees(implementation, runnable):
    layers = [
        BatchNormalization(), Conv2D(4, 3, use_bias=False), BatchNormalization(), ReLU(), MaxPooling2D(2, 1), BatchNormalization(),
        Flatten(), ReLU(), BatchNormalization(), Dense(5), BatchNormalization(), ReLU(), Dense(3, "softmax"),
    ]  # fmt: skip
    model = Sequential([Input((6, 5, 2)), *layers], seed=2, dtype="float64", implementation=runnable(implementation))
    model.compile("sgd")
    rng = np.random.default_rng(3)
    check_model(model, rng.standard_normal((5, 6, 5, 2)), np.eye(3)[[0, 2, 1, 1, 0]], raise_on_failure=True)
