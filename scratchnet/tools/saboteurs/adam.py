"""Adam's saboteurs: each is the rule with one thing in another place, and most of them train."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import sqrt
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import Report, check_layer, check_optimizer
from scratchnet.layers import Dense
from scratchnet.optimizers import Adam, adam_rate
from scratchnet.tools.saboteurs.entry import beside, saboteur, together

State = list[np.ndarray]


def _check() -> Report:
    return beside(check_optimizer(Adam()), check_layer(Dense(2), (3,)))


def _step(step: Callable[[Adam, np.ndarray, np.ndarray, State], None]) -> AbstractContextManager[Any]:
    return patch.object(Adam, "step", step)


def _remember(adam: Adam, g: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
    m[...] = adam.beta_1 * m + (1 - adam.beta_1) * g
    v[...] = adam.beta_2 * v + (1 - adam.beta_2) * g * g


def _rate(adam: Adam, t: int) -> float:
    return adam_rate(t, adam.learning_rate, adam.beta_1, adam.beta_2)


FOOLED = ("gradient", "definition", "contract")


@saboteur(
    "adam-no-correction",
    title="Adam without its bias correction",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="p -= lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)",
    wrong="p -= lr * m / (np.sqrt(v) + epsilon)",
    looks_right="The correction tends to 1, so it looks like an ornament. The first step is 0.1 / √0.001 = 3.2 times too long.",
    source="https://github.com/SkalskiP/ILearnDeepLearning.py/blob/08d23248/01_mysteries_of_neural_networks/"
    "06_numpy_convolutional_neural_net/src/optimizers/adam.py",
    seen="dw = self._cache_v[dw_key] / (np.sqrt(self._cache_s[dw_key]) + self._eps)",
    check=_check,
)
def adam_no_correction() -> AbstractContextManager[Any]:
    """Divide m by √v as they are."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        _remember(self, g, m, v)
        p -= self.learning_rate * m / (np.sqrt(v) + self.epsilon)

    return _step(step)


@saboteur(
    "adam-correction-without-t",
    title="Adam's bias correction without the step's number",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="m_hat = m / (1 - beta_1**t)",
    wrong="m_hat = m / (1 - beta_1)",
    looks_right="At t = 1 it is right, so a test of one step passes. The next steps are up to twice too long, and in the end"
    " all are 0.3 times what they should be.",
    source="https://github.com/eriklindernoren/ML-From-Scratch/issues/35",
    seen="m_hat = self.m / (1 - self.b1)",
    check=_check,
)
def adam_correction_without_t() -> AbstractContextManager[Any]:
    """Correct every step as the first."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        _remember(self, g, m, v)
        p -= _rate(self, 1) * m / (np.sqrt(v) + self.epsilon)

    return _step(step)


@saboteur(
    "adam-correction-multiplied",
    title="Adam's bias correction multiplied instead of divided",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="m_hat = m / (1 - beta_1**t);  v_hat = v / (1 - beta_2**t)",
    wrong="m_hat = m * (1 - beta_1**t);  v_hat = v * (1 - beta_2**t)",
    looks_right="Either way the factors tend to 1, and something was corrected in between. The first step is ten times too"
    " long: a small rate survives it.",
    source="https://github.com/karpathy/convnetjs/pull/70",
    seen="biasCorr1 = gsumi[j] * (1 - Math.pow(this.beta1, this.k))",
    check=_check,
)
def adam_correction_multiplied() -> AbstractContextManager[Any]:
    """Multiply both means by what they should be divided by."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        t = self.iterations
        _remember(self, g, m, v)
        m_hat, v_hat = m * (1 - self.beta_1**t), v * (1 - self.beta_2**t)
        p -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)

    return _step(step)


@saboteur(
    "adam-t-per-parameter",
    title="Adam counts a step for every parameter",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="t += 1                        # once a step\nfor p in params: …",
    wrong="for p in params:\n    t += 1                    # once a parameter",
    looks_right="The rule is called once for each parameter, and its calls seem to be its steps; with one parameter they are.",
    source="https://github.com/tinygrad/tinygrad/pull/10",
    seen="While loop which rises t is meant till convergence so each optimiser step t=t+1",
    check=_check,
)
def adam_t_per_parameter() -> AbstractContextManager[Any]:
    """Count in `step`, which each parameter has its own call of."""
    update = Adam.update

    def counted(self: Adam, params: Any, grads: Any) -> None:
        calls = getattr(self, "calls", 0)
        self.calls = calls if self.state else 0  # type: ignore[attr-defined]
        update(self, params, grads)

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        self.calls += 1  # type: ignore[attr-defined]
        _remember(self, g, m, v)
        p -= _rate(self, self.calls) * m / (np.sqrt(v) + self.epsilon)  # type: ignore[attr-defined]

    return together(patch.object(Adam, "update", counted), _step(step))


@saboteur(
    "adam-epsilon-inside-root",
    title="Adam's ε inside the root",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="m / (np.sqrt(v) + epsilon)",
    wrong="m / np.sqrt(v + epsilon)",
    looks_right="Both prevent a division by 0, and Adadelta has it inside. 1e-7 inside acts as 3e-4 outside: parameters with"
    " small gradients stand still.",
    source="https://github.com/Alescontrela/Numpy-CNN/blob/cf92c154/CNN/network.py",
    seen="f1 -= lr * v1/np.sqrt(s1+1e-7)",
    check=_check,
)
def adam_epsilon_inside_root() -> AbstractContextManager[Any]:
    """Add ε to v."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        _remember(self, g, m, v)
        p -= _rate(self, self.iterations) * m / np.sqrt(v + self.epsilon)

    return _step(step)


@saboteur(
    "adam-epsilon-on-corrected-v",
    title="Adam's ε beside the corrected root",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)",
    wrong="lr * m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)",
    looks_right="The paper prints both forms and calls them the same, with another ε. In the first steps they differ by a"
    " factor of up to 32 where gradients are tiny.",
    source="https://github.com/tensorflow/tensorflow/issues/9047",
    seen="(tf.sqrt(v_t) + epsilon_t) / tf.sqrt(1 - beta2_power)",
    convention="The paper's algorithm 1 and PyTorch have ε so; Keras and we have the paper's ε-hat, from the end of its section 2.",
    check=_check,
)
def adam_epsilon_on_corrected_v() -> AbstractContextManager[Any]:
    """Follow algorithm 1 to the letter."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        t = self.iterations
        _remember(self, g, m, v)
        m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        p -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)

    return _step(step)


@saboteur(
    "adam-state-reset-each-step",
    title="Adam's means start from 0 at every step",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="m, v = self.m, self.v",
    wrong="m, v = np.zeros(p.shape), np.zeros(p.shape)",
    looks_right="It is good style to set a variable before its use, and a test of one step passes.",
    source="https://github.com/Alescontrela/Numpy-CNN/blob/cf92c154/CNN/network.py",
    seen="v1 = np.zeros(f1.shape), within the function that is called for each batch",
    check=_check,
)
def adam_state_reset_each_step() -> AbstractContextManager[Any]:
    """Remember nothing."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = np.zeros_like(p), np.zeros_like(p)
        _remember(self, g, m, v)
        p -= _rate(self, self.iterations) * m / (np.sqrt(v) + self.epsilon)

    return _step(step)


@saboteur(
    "adam-moment-aliased",
    title="Adam's step is the mean itself, scaled in place",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="update = m.copy();  update *= lr",
    wrong="update = m;  update *= lr",
    looks_right="update = m reads like a value. It is another name for the same memory, and the mean shrinks by the learning"
    " rate at every step.",
    source="https://github.com/yangluo7/CAME/issues/2",
    seen="update = exp_avg",
    check=_check,
)
def adam_moment_aliased() -> AbstractContextManager[Any]:
    """Scale the kept mean along with the step."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        _remember(self, g, m, v)
        update = m
        update *= _rate(self, self.iterations)
        p -= update / (np.sqrt(v) + self.epsilon)

    return _step(step)


@saboteur(
    "adam-betas-reversed",
    title="Adam's β taken for 1 - β",
    operation="Adam",
    witness="update rule",
    fools=FOOLED,
    right="m = beta_1 * m + (1 - beta_1) * g",
    wrong="m = (1 - beta_1) * m + beta_1 * g",
    looks_right="The paper's first draft had β so, with 0.1 and 0.001. A model was trained and published with it, and a right"
    " Adam found much the same.",
    source="https://github.com/ryankiros/skip-thoughts/issues/82",
    seen="are replaced with 1-beta1 and 1-beta2 when updating the exp averages m_t and v_t, but not when computing the update lr_t",
    check=_check,
)
def adam_betas_reversed() -> AbstractContextManager[Any]:
    """Forget quickly what should be kept long."""

    def step(self: Adam, p: np.ndarray, g: np.ndarray, state: State) -> None:
        m, v = state
        m[...] = (1 - self.beta_1) * m + self.beta_1 * g
        v[...] = (1 - self.beta_2) * v + self.beta_2 * g * g
        rate = self.learning_rate * sqrt(1 - self.beta_2**self.iterations) / (1 - self.beta_1**self.iterations)
        p -= rate * m / (np.sqrt(v) + self.epsilon)

    return _step(step)
