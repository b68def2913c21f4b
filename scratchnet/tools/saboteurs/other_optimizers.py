"""The saboteurs of Adagrad, Adadelta and momentum: what is remembered, from when, and in which order."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import Report, check_layer, check_optimizer
from scratchnet.layers import Dense
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Optimizer
from scratchnet.tools.saboteurs.entry import beside, saboteur
from scratchnet.tools.saboteurs.small_net import SmallNet

State = list[np.ndarray]
FOOLED = ("gradient", "definition", "contract")


def _check(optimizer: Optimizer) -> Report:
    return beside(check_optimizer(optimizer), check_layer(Dense(2), (3,)))


@saboteur(
    "adagrad-from-zero",
    title="Adagrad's accumulator starts from 0",
    operation="Adagrad",
    witness="update rule",
    fools=FOOLED,
    right="a = np.full_like(p, 0.1)",
    wrong="a = np.zeros_like(p)",
    looks_right="It is the paper's start. The first step is then lr · sign(g), however small the gradient.",
    source="https://github.com/oreilly-japan/deep-learning-from-scratch/blob/0dda3d17/common/optimizer.py",
    seen="self.h[key] = np.zeros_like(val)",
    convention="The paper, that book and PyTorch start from 0, Keras from 0.1; so do we, unless told otherwise.",
    check=lambda: _check(Adagrad()),
    net=SmallNet(optimizer="adagrad"),
)
def adagrad_from_zero() -> AbstractContextManager[Any]:
    """Begin with nothing, whatever initial_accumulator_value says."""
    return patch.object(Adagrad, "make_state", lambda self, p: [np.zeros_like(p)])


@saboteur(
    "adagrad-decays",
    title="Adagrad forgets",
    operation="Adagrad",
    witness="update rule",
    fools=FOOLED,
    right="a += g * g",
    wrong="a = rho * a + (1 - rho) * g * g",
    looks_right="It is RMSprop under Adagrad's name, and mostly trains better.",
    source="https://github.com/tensorflow/swift-apis/pull/733",
    seen="But `AdaGrad` has no accumulators since first implementation #192. Instead it has `rho`.",
    check=lambda: _check(Adagrad()),
    net=SmallNet(optimizer="adagrad"),
)
def adagrad_decays() -> AbstractContextManager[Any]:
    """Average squares instead of summing them."""

    def step(self: Adagrad, p: np.ndarray, g: np.ndarray, state: State) -> None:
        (a,) = state
        a[...] = 0.95 * a + 0.05 * g * g
        p -= self.learning_rate * g / np.sqrt(a + self.epsilon)

    return patch.object(Adagrad, "step", step)


@saboteur(
    "adagrad-epsilon-outside-root",
    title="Adagrad's ε outside the root",
    operation="Adagrad",
    witness="update rule",
    fools=FOOLED,
    right="g / np.sqrt(a + epsilon)",
    wrong="g / (np.sqrt(a) + epsilon)",
    looks_right="The same purpose, one bracket apart. With an accumulator of 0.1 and more it can hardly be measured; from 0"
    " it can.",
    source="https://github.com/ml-explore/mlx/pull/142",
    seen="This is a bit different than the stated implementation which has `eps` inside the `\\sqrt`",
    convention="MLX, PyTorch and ONNX have it outside, Keras and we inside.",
    check=lambda: _check(Adagrad(0.01, 0.0)),
    net=SmallNet(optimizer="adagrad"),
)
def adagrad_epsilon_outside_root() -> AbstractContextManager[Any]:
    """Add ε to the root."""

    def step(self: Adagrad, p: np.ndarray, g: np.ndarray, state: State) -> None:
        (a,) = state
        a += g * g
        p -= self.learning_rate * g / (np.sqrt(a) + self.epsilon)

    return patch.object(Adagrad, "step", step)


@saboteur(
    "adadelta-accumulators-in-wrong-order",
    title="Adadelta's accumulators in the wrong order",
    operation="Adadelta",
    witness="update rule",
    fools=FOOLED,
    right="a = rho * a + (1 - rho) * g * g\nstep = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g",
    wrong="step = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g\na = rho * a + (1 - rho) * g * g",
    looks_right="Any order of three lines runs, and trains. Only the paper's divides by an average that this gradient is"
    " part of already.",
    source="https://github.com/yacineMahdid/artificial-intelligence-and-machine-learning/issues/43",
    seen="You first calculate both E_g and E_p and based on them the delta whereas you should just calculate E_g, then delta"
    " and finally E_p.",
    check=lambda: _check(Adadelta()),
    net=SmallNet(optimizer="adadelta"),
)
def adadelta_accumulators_in_wrong_order() -> AbstractContextManager[Any]:
    """Take the step before its gradient is counted."""

    def step(self: Adadelta, p: np.ndarray, g: np.ndarray, state: State) -> None:
        a, d = state
        change = np.sqrt(d + self.epsilon) / np.sqrt(a + self.epsilon) * g
        a[...] = self.rho * a + (1 - self.rho) * g * g
        d[...] = self.rho * d + (1 - self.rho) * change * change
        p -= self.learning_rate * change

    return patch.object(Adadelta, "step", step)


@saboteur(
    "adadelta-lr-inside",
    title="The learning rate inside Adadelta's accumulator",
    operation="Adadelta",
    witness="update rule",
    fools=FOOLED,
    right="d = rho * d + (1 - rho) * step * step;  p -= lr * step",
    wrong="step *= lr;  d = rho * d + (1 - rho) * step * step;  p -= step",
    looks_right="The paper accumulates the step as it is taken, and at the paper's rate, 1, there is no difference. At"
    " Keras's 0.001 the steps that are remembered are a thousand times too short.",
    source="https://github.com/keras-team/keras/pull/11532",
    seen="update = lr * g * K.sqrt(d_a + self.epsilon) / K.sqrt(new_a + self.epsilon)",
    convention="A reading of the paper, which has no rate. It was proposed for Keras and not taken; ours is Keras's.",
    check=lambda: _check(Adadelta()),
    net=SmallNet(optimizer="adadelta"),
)
def adadelta_lr_inside() -> AbstractContextManager[Any]:
    """Scale the step before it is remembered."""

    def step(self: Adadelta, p: np.ndarray, g: np.ndarray, state: State) -> None:
        a, d = state
        a[...] = self.rho * a + (1 - self.rho) * g * g
        change = self.learning_rate * np.sqrt(d + self.epsilon) / np.sqrt(a + self.epsilon) * g
        d[...] = self.rho * d + (1 - self.rho) * change * change
        p -= change

    return patch.object(Adadelta, "step", step)


@saboteur(
    "adadelta-missing-root",
    title="Adadelta's numerator without its root",
    operation="Adadelta",
    witness="update rule",
    fools=FOOLED,
    right="step = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g",
    wrong="step = (d + epsilon) / np.sqrt(a + epsilon) * g",
    looks_right="RMS[Δ] is short for a root, and d is 'the squares' already. The test, by the same author, read it the same way.",
    source="https://github.com/tensorflow/tensorflow/pull/2157",
    seen="Is definitely missing the RMS part. The test pass because is missing the RMS there too.",
    check=lambda: _check(Adadelta()),
    net=SmallNet(optimizer="adadelta"),
)
def adadelta_missing_root() -> AbstractContextManager[Any]:
    """Multiply by the mean square, not its root."""

    def step(self: Adadelta, p: np.ndarray, g: np.ndarray, state: State) -> None:
        a, d = state
        a[...] = self.rho * a + (1 - self.rho) * g * g
        change = (d + self.epsilon) / np.sqrt(a + self.epsilon) * g
        d[...] = self.rho * d + (1 - self.rho) * change * change
        p -= self.learning_rate * change

    return patch.object(Adadelta, "step", step)


@saboteur(
    "momentum-velocity-reset",
    title="The velocity starts from 0 at every step",
    operation="SGD with momentum",
    witness="update rule",
    fools=FOOLED,
    right="u = self.u",
    wrong="u = np.zeros(p.shape)",
    looks_right="A variable is set where it is used. Momentum becomes plain descent, which trains.",
    source="https://github.com/zishansami102/CNN-from-Scratch/blob/04d47831/MNIST/convnet.py",
    seen="v3 = np.zeros(theta3.shape) … v3 = MU*v3 - LEARNING_RATE*dtheta3/batch_size",
    check=lambda: _check(SGD(0.1, 0.9)),
    net=SmallNet(optimizer="momentum"),
)
def momentum_velocity_reset() -> AbstractContextManager[Any]:
    """Never use what was kept."""

    def step(self: SGD, p: np.ndarray, g: np.ndarray, state: State) -> None:
        u = np.zeros_like(p)
        u = self.momentum * u - self.learning_rate * g
        p += u

    return patch.object(SGD, "step", step)


@saboteur(
    "momentum-dampened",
    title="Momentum scales the gradient by 1 - μ",
    operation="SGD with momentum",
    witness="update rule",
    fools=FOOLED,
    right="u = momentum * u - lr * g",
    wrong="u = momentum * u - (1 - momentum) * lr * g",
    looks_right="It is an average, as in Adam: momentum at a tenth of the learning rate.",
    source="https://github.com/eriklindernoren/ML-From-Scratch/blob/2067d12c/mlfromscratch/deep_learning/optimizers.py",
    seen="self.w_updt = self.momentum * self.w_updt + (1 - self.momentum) * grad_wrt_w",
    convention="Some libraries offer it (dampening). Ours, as in Keras and in Sutskever et al., has none.",
    check=lambda: _check(SGD(0.1, 0.9)),
    net=SmallNet(optimizer="momentum"),
)
def momentum_dampened() -> AbstractContextManager[Any]:
    """Average instead of adding up."""

    def step(self: SGD, p: np.ndarray, g: np.ndarray, state: State) -> None:
        (u,) = state
        u[...] = self.momentum * u - (1 - self.momentum) * self.learning_rate * g
        p += u

    return patch.object(SGD, "step", step)


@saboteur(
    "momentum-one-step-stale",
    title="The step uses the velocity of the step before",
    operation="SGD with momentum",
    witness="update rule",
    fools=FOOLED,
    right="u = momentum * u - lr * g;  p += u",
    wrong="p += u;  u = momentum * u - lr * g",
    looks_right="Both lines are there. The way is the right one, one step late; where all updates happen at once, as in a"
    " symbolic framework, nobody sees an order at all.",
    source="https://github.com/mdenil/dropout/issues/4",
    seen="gparam_mom is one time step too old. Only updates[gparam_mom] has been updated with the current gradient.",
    check=lambda: _check(SGD(0.1, 0.9)),
    net=SmallNet(optimizer="momentum"),
)
def momentum_one_step_stale() -> AbstractContextManager[Any]:
    """Move first, and look afterwards."""

    def step(self: SGD, p: np.ndarray, g: np.ndarray, state: State) -> None:
        (u,) = state
        p += u
        u[...] = self.momentum * u - self.learning_rate * g

    return patch.object(SGD, "step", step)


@saboteur(
    "nesterov-velocity-updated-first",
    title="Nesterov's formula for the old velocity is given the new one",
    operation="SGD with Nesterov's momentum",
    witness="update rule",
    fools=FOOLED,
    right="p += mu * mu * u - (1 + mu) * lr * g;  u = mu * u - lr * g",
    wrong="u = mu * u - lr * g;  p += mu * mu * u - (1 + mu) * lr * g",
    looks_right="'First the velocity, then the parameter' is right for plain momentum, and for the other form of Nesterov's,"
    " p += mu * u - lr * g. This form has been multiplied out for the old velocity.",
    source="https://github.com/oreilly-japan/deep-learning-from-scratch/blob/0dda3d17/common/optimizer.py",
    seen="self.v[key] -= self.lr * grads[key] … params[key] += self.momentum * self.momentum * self.v[key]",
    check=lambda: _check(SGD(0.1, 0.9, nesterov=True)),
    net=SmallNet(optimizer="nesterov"),
)
def nesterov_velocity_updated_first() -> AbstractContextManager[Any]:
    """Count the newest gradient once more."""

    def step(self: SGD, p: np.ndarray, g: np.ndarray, state: State) -> None:
        (u,) = state
        mu = self.momentum
        u[...] = mu * u - self.learning_rate * g
        p += mu * mu * u - (1 + mu) * self.learning_rate * g

    return patch.object(SGD, "step", step)
