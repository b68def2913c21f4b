"""Optimizers: how a parameter moves once its gradient is known.

Each rule is stated below in NumPy, line by line with its paper's symbols, and changes p and its state in place;
`kernels/updates.py` does the same in one pass over memory, and is what runs. Names, defaults and the places of ε are
Keras's; where a paper has another default, its class says so.

Sources: Kingma & Ba, *Adam: a method for stochastic optimization* (2015), algorithm 1 and the end of section 2; Duchi,
Hazan & Singer, *Adaptive subgradient methods* (2011), section 1; Zeiler, *ADADELTA: an adaptive learning rate method*
(2012), algorithm 1; Sutskever et al., *On the importance of initialization and momentum in deep learning* (2013),
equations 1 to 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from scratchnet.checking import check_number, check_update
from scratchnet.kernels import updates
from scratchnet.kernels.jit import COMPILED
from scratchnet.kernels.updates import one_pass

# -- the rules --------------------------------------------------------------------------------------------------------


def sgd_update(p: np.ndarray, g: np.ndarray, u: np.ndarray, learning_rate: float, momentum: float, nesterov: bool) -> None:
    """Go downhill, with the speed u of a heavy ball; Nesterov's looks one step of that speed ahead."""
    u[...] = momentum * u - learning_rate * g
    p += momentum * u - learning_rate * g if nesterov else u


def adagrad_update(p: np.ndarray, g: np.ndarray, a: np.ndarray, learning_rate: float, epsilon: float) -> None:
    """Divide by the root of all squared gradients so far, a: what has moved a lot moves less."""
    a += g * g
    p -= learning_rate * g / np.sqrt(a + epsilon)


def adadelta_update(
    p: np.ndarray, g: np.ndarray, a: np.ndarray, d: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """Divide by the root of recent squared gradients, a, and multiply by that of recent squared steps, d.

    The step then has the unit of the parameter. d takes in the step before the learning rate scales it.
    """
    a[...] = rho * a + (1 - rho) * g * g
    step = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g
    d[...] = rho * d + (1 - rho) * step * step
    p -= learning_rate * step


def adam_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray,
    t: int, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Divide recent gradients' mean m by the root of their squares' mean v.

    Both start at 0, and after t steps have seen weights of sum 1 - βᵗ only; the rate corrects for it. ε stands beside
    √v, not beside its corrected form (the paper's ε-hat).
    """
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / (np.sqrt(v) + epsilon)


def adam_rate(t: int, learning_rate: float, beta_1: float, beta_2: float) -> float:
    """Give Adam's learning rate at step t = 1, 2, …, with the bias correction in it.

    Examples
    --------
    >>> round(adam_rate(1, 0.001, 0.9, 0.999), 9), round(adam_rate(100_000, 0.001, 0.9, 0.999), 9)
    (0.000316228, 0.001)
    """
    return learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)


# -- the classes, which hold the state --------------------------------------------------------------------------------


class Optimizer:
    """The base of every optimizer.

    Parameters
    ----------
    learning_rate : float
        0 or more. May be set anew between steps.
    in_one_pass : bool
        Whether the kernel runs; False: the rule as NumPy states it.

    Attributes
    ----------
    iterations : int
        Steps taken.
    state : list of list of ndarray
        For each parameter the arrays that `state_names` names.
    """

    settings: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, **fractions: float):
        self.learning_rate = learning_rate
        for name, value in fractions.items():
            if not 0 <= value < 1:
                raise ValueError(f"{type(self).__name__}: {name} is at least 0 and below 1; got {value!r}")
            setattr(self, name, float(value))
        self.in_one_pass = COMPILED
        self.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    @property
    def learning_rate(self) -> float:
        """The step's scale."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = check_number("learning_rate", value)

    def reset(self) -> None:
        """Forget all state: the next update is the first."""
        self.iterations = 0
        self.state: list[list[np.ndarray]] = []

    def make_state(self, p: np.ndarray) -> list[np.ndarray]:
        """Make the state of one parameter at the start: zeros."""
        return [np.zeros_like(p) for _ in self.state_names]

    def update(self, params: Sequence[np.ndarray], grads: Sequence[np.ndarray]) -> None:
        """Move every parameter one step, in place. Gradients are only read.

        Parameters
        ----------
        params, grads : sequences of ndarray
            In the same order at each call: state belongs to a place in it.

        Raises
        ------
        ValueError
            When shapes do not match each other or the state; nothing is moved then.
        """
        states = self.state or [self.make_state(p) for p in params]
        check_update(params, grads, states)
        self.state = states
        self.iterations += 1
        for p, g, state in zip(params, grads, self.state, strict=True):
            self.step(p, g, state)

    def runs_in_one_pass(self, p: np.ndarray) -> bool:
        """Say whether the kernel takes this parameter: it changes it in place, number after number in memory."""
        return self.in_one_pass and p.flags.c_contiguous

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply the rule to one parameter; each optimizer has its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a method step(self, p, g, state)")

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this optimizer again."""
        return {name: getattr(self, name) for name in ("learning_rate", *self.settings)}


class SGD(Optimizer):
    """Stochastic gradient descent.

    Parameters
    ----------
    learning_rate : float
    momentum : float
        In [0, 1): how much of the last step's speed is kept.
    nesterov : bool

    Examples
    --------
    >>> p = np.array([1.0])
    >>> SGD(learning_rate=0.5).update([p], [np.array([0.2])])
    >>> p
    array([0.9])
    """

    settings = ("momentum", "nesterov")
    state_names = ("u",)
    momentum: float

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False):
        super().__init__(learning_rate, momentum=momentum)
        self.nesterov = bool(nesterov)

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply `sgd_update`."""
        if self.runs_in_one_pass(p):
            one_pass(updates.sgd, p, g, state, self.learning_rate, self.momentum, self.nesterov)
        else:
            sgd_update(p, g, state[0], self.learning_rate, self.momentum, self.nesterov)


class Adagrad(Optimizer):
    """Adagrad. (The paper's accumulator starts at 0.)

    Parameters
    ----------
    learning_rate : float
    initial_accumulator_value : float
        0 or more.
    epsilon : float

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adagrad(learning_rate=1.0, initial_accumulator_value=0.0).update([p], [np.array([0.2])])
    >>> p.round(4)
    array([0.])
    """

    settings = ("initial_accumulator_value", "epsilon")
    state_names = ("a",)

    def __init__(self, learning_rate: float = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7):
        super().__init__(learning_rate)
        self.initial_accumulator_value = check_number("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = check_number("epsilon", epsilon)

    def make_state(self, p: np.ndarray) -> list[np.ndarray]:
        """Start the accumulator."""
        return [np.full_like(p, self.initial_accumulator_value)]

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply `adagrad_update`."""
        if self.runs_in_one_pass(p):
            one_pass(updates.adagrad, p, g, state, self.learning_rate, self.epsilon)
        else:
            adagrad_update(p, g, state[0], self.learning_rate, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this optimizer again."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """Adadelta. (The paper has no learning rate, which is a rate of 1.0, and an ε of 1e-6; at Keras's 0.001 it crawls.)

    Parameters
    ----------
    learning_rate : float
    rho : float
        In [0, 1): how long squared gradients and steps are remembered.
    epsilon : float

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adadelta(learning_rate=1.0).update([p], [np.array([0.2])])
    >>> p.round(6)
    array([0.998586])
    """

    settings = ("rho", "epsilon")
    state_names = ("a", "d")
    rho: float

    def __init__(self, learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7):
        super().__init__(learning_rate, rho=rho)
        self.epsilon = check_number("epsilon", epsilon)

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply `adadelta_update`."""
        if self.runs_in_one_pass(p):
            one_pass(updates.adadelta, p, g, state, self.learning_rate, self.rho, 1 - self.rho, self.epsilon)
        else:
            adadelta_update(p, g, state[0], state[1], self.learning_rate, self.rho, self.epsilon)


class Adam(Optimizer):
    """Adam.

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        In [0, 1): how long gradients and their squares are remembered.
    epsilon : float
        The paper's ε-hat. (The paper's ε is 1e-8.)

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adam(learning_rate=0.1).update([p], [np.array([0.2])])         # the first step: the rate, for gradients far above ε
    >>> p.round(4)
    array([0.9])
    """

    settings = ("beta_1", "beta_2", "epsilon")
    state_names = ("m", "v")
    beta_1: float
    beta_2: float

    def __init__(self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7):
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2)
        self.epsilon = check_number("epsilon", epsilon)

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply `adam_update`; every parameter is at the same step t."""
        if self.runs_in_one_pass(p):
            rate = adam_rate(self.iterations, self.learning_rate, self.beta_1, self.beta_2)
            m_and_v = (self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2)
            one_pass(updates.adam, p, g, state, rate, *m_and_v, self.epsilon)
        else:
            adam_update(p, g, state[0], state[1], self.iterations, self.learning_rate, self.beta_1, self.beta_2, self.epsilon)


KNOWN: dict[str, Any] = {c.__name__.lower(): c for c in (SGD, Adagrad, Adadelta, Adam)}


def get(optimizer: Any) -> Optimizer:
    """Find an optimizer by name, in its defaults, or take it as it is.

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones.

    Examples
    --------
    >>> get("adagrad")
    Adagrad(learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-07)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str) or optimizer.lower() not in KNOWN:
        raise ValueError(
            f"unknown optimizer {optimizer!r}; known are {', '.join(map(repr, KNOWN))}, or an object of scratchnet.optimizers"
        )
    return KNOWN[optimizer.lower()]()
