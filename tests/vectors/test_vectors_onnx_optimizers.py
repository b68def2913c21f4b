"""ONNX's Adam and Adagrad: three conventions differ from ours, so its cases run with ours changed to those.

- Its published Adam cases are a step T = 0, at which ONNX corrects no bias. Our first step is t = 1, at which the rate is
  learning_rate·√(1 - β₂) / (1 - β₁): a learning rate divided by that factor takes the correction out.
- Its Adagrad divides by √h + ε, ours by √(h + ε'). For one number they are equal with ε' = (√h + ε)² - h.
- Its weight decay is added to the gradient before all else, so we hand over that sum.

What this leaves out is checked against the generators' own formulas, `apply_adam` from T = 1 on and `apply_adagrad`.
"""

import numpy as np
import pytest
from onnx_cases import LISTED, cases, needs_onnx
from shared import each_dtype

from scratchnet.optimizers import Adagrad, Adam

pytestmark = needs_onnx
each_implementation = pytest.mark.parametrize("implementation", ["numpy", "fused"])

def unpack(case, dtype, states):
    """R, T, all parameters, all gradients, then each state of all -> R, and for each parameter [x, g with decay, *states]."""
    rate, step, *arrays = case.inputs
    assert step == 0
    count = len(arrays) // (2 + states)
    groups = [[array.astype(dtype) for array in arrays[i::count]] for i in range(count)]
    return float(rate), [[x, case.attributes["norm_coefficient"] * x + g, *state] for x, g, *state in groups]


def assert_close(results, published, tolerance):
    """Compare [x, *states] of each parameter with the outputs: all parameters, then each state of all."""
    count = len(results)
    for i, result in enumerate(results):
        for actual, expected in zip(result, published[i::count], strict=True):
            np.testing.assert_allclose(actual, expected, rtol=tolerance)


# -- Adam -------------------------------------------------------------------------------------------------------------


def adam_step(case, dtype, implementation, corrected):
    rate, groups = unpack(case, dtype, states=2)
    beta_1, beta_2 = case.attributes["alpha"], case.attributes["beta"]
    if not corrected:
        rate *= (1 - beta_1) / np.sqrt(1 - beta_2)
    optimizer = Adam(rate, beta_1, beta_2, epsilon=case.attributes["epsilon"])
    optimizer.implementation = implementation
    optimizer.state = [[v, h] for _, _, v, h in groups]
    optimizer.update([x for x, *_ in groups], [g for _, g, *_ in groups])
    return [[x, v, h] for x, _, v, h in groups]


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", LISTED["Adam"])
def test_adam_gives_the_published_step_when_its_bias_correction_is_taken_out(name, dtype, implementation):
    case = cases()[name]
    assert_close(adam_step(case, dtype, implementation, corrected=False), case.outputs, 5e-7)      # those are float32 numbers


@pytest.mark.parametrize("name", LISTED["Adam"])
def test_the_published_adam_step_is_not_our_first_one(name):
    case = cases()[name]
    for (x, *_), published in zip(adam_step(case, "float64", "numpy", corrected=True), case.outputs, strict=False):
        assert np.abs(x - published).min() > 0.1


@each_implementation
@each_dtype
def test_adam_follows_the_generators_formula_with_bias_correction_for_many_steps(dtype, implementation):
    from onnx.backend.test.case.node.adam import apply_adam

    rng = np.random.default_rng(3)
    x = rng.standard_normal(37).astype(dtype)
    expected, v, h = x.astype("float64"), np.zeros(37), np.zeros(37)
    optimizer = Adam(learning_rate=0.02, epsilon=1e-3)              # large, so that its place is seen
    optimizer.implementation = implementation
    for t in range(1, 21):
        g = rng.standard_normal(37).astype(dtype)
        optimizer.update([x], [g])
        expected, v, h = apply_adam(0.02, t, expected, g.astype("float64"), v, h, 0.0, 0.0, 0.9, 0.999, 1e-3)
        np.testing.assert_allclose(x, expected, rtol=0, atol={"float32": 2e-6, "float64": 1e-14}[dtype])


# -- Adagrad ----------------------------------------------------------------------------------------------------------


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", LISTED["Adagrad"])
def test_adagrad_gives_the_published_step_when_its_epsilon_is_moved_into_the_root(name, dtype, implementation):
    case = cases()[name]
    rate, groups = unpack(case, dtype, states=1)
    for x, g, h in groups:
        for i in range(x.size):                                     # ε' depends on the number
            root = np.sqrt(float(h[i] + g[i] ** 2))
            moved = (root + case.attributes["epsilon"]) ** 2 - root**2
            optimizer = Adagrad(rate, epsilon=moved)
            optimizer.implementation = implementation
            optimizer.state = [[h[i : i + 1]]]
            optimizer.update([x[i : i + 1]], [g[i : i + 1]])
    # With ε where ours stands x would be off by 2.5e-7, which float64 can tell.
    assert_close([[x, h] for x, _, h in groups], case.outputs, {"float32": 5e-7, "float64": 1e-7}[dtype])


@each_implementation
@each_dtype
def test_adagrad_follows_the_generators_formula_for_many_steps_when_there_is_no_epsilon_to_place(dtype, implementation):
    from onnx.backend.test.case.node.adagrad import apply_adagrad

    rng = np.random.default_rng(4)
    x = rng.standard_normal(37).astype(dtype)
    expected, h = x.astype("float64"), np.full(37, 0.1)
    optimizer = Adagrad(learning_rate=0.3, initial_accumulator_value=0.1, epsilon=0.0)
    optimizer.implementation = implementation
    for t in range(20):
        g = rng.standard_normal(37).astype(dtype)
        optimizer.update([x], [g])
        expected, h = apply_adagrad(0.3, t, expected, g.astype("float64"), h, 0.0, 0.0, 0.0)
        np.testing.assert_allclose(x, expected, rtol=0, atol={"float32": 2e-6, "float64": 1e-14}[dtype])
