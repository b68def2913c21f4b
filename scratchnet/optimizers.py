"""Optimizers: how a parameter is changed, given its gradient.

Each rule is one NumPy function below, which changes p and its state in place. p is a parameter and g its gradient; the state is
u, the velocity (SGD), a, the accumulated or averaged squares of gradients (Adagrad, Adadelta), d, the averaged squares of steps
(Adadelta), or m and v, the averages of gradients and of their squares (Adam).

`kernels/updates.py` computes the same in one pass over memory, and runs by default; Adam(implementation="numpy") runs exactly
the rule below. Names, defaults and the position of ε are Keras's; where a paper has another default, the class says so.

Sources: Kingma & Ba, *Adam: a method for stochastic optimization* (2015), algorithm 1 and the end of section 2; Duchi,
Hazan & Singer, *Adaptive subgradient methods* (2011), section 1; Zeiler, *ADADELTA: an adaptive learning rate method*
(2012), algorithm 1; Sutskever et al., *On the importance of initialization and momentum in deep learning* (2013),
equations 1 to 4.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from scratchnet.kernels import updates as fused
from scratchnet.kernels.jit import COMPILED
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import check_choice, check_flag, check_number, check_update, shortened
from scratchnet.support.config import config_of
from scratchnet.support.keywords import name_arguments, named_arguments

# -- the rules --------------------------------------------------------------------------------------------------------


def sgd_update(p: np.ndarray, g: np.ndarray, u: np.ndarray, learning_rate: float, momentum: float, nesterov: bool) -> None:
    """Move against the gradient with velocity u, which keeps a part of its last value.

    With `nesterov`, p moves by the velocity that the next step would have if the gradient stayed the same.
    """
    u[...] = momentum * u - learning_rate * g
    p += momentum * u - learning_rate * g if nesterov else u


def adagrad_update(p: np.ndarray, g: np.ndarray, a: np.ndarray, learning_rate: float, epsilon: float) -> None:
    """Divide by the root of the sum a of all squared gradients so far: large gradients make later steps smaller."""
    a += g * g
    p -= learning_rate * g / np.sqrt(a + epsilon)


def adadelta_update(
    p: np.ndarray, g: np.ndarray, a: np.ndarray, d: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """Divide by the root of recent squared gradients, a, and multiply by that of recent squared steps, d.

    The step then has the unit of the parameter. d averages the squares of steps before the learning rate is applied.
    """
    a[...] = rho * a + (1 - rho) * g * g
    step = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g
    d[...] = rho * d + (1 - rho) * step * step
    p -= learning_rate * step


def adam_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray,
    t: int, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Divide the average m of recent gradients by the root of the average v of their squares.

    Both averages start at 0, and after t steps their weights sum only to 1 - βᵗ; `adam_rate` corrects for this. ε is added to
    √v, not to its corrected form (the paper's ε-hat).
    """
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / (np.sqrt(v) + epsilon)


def adam_rate(t: int, learning_rate: float, beta_1: float, beta_2: float) -> float:
    """Return Adam's learning rate at step t = 1, 2, …, including the bias correction.

    Examples
    --------
    >>> round(adam_rate(1, 0.001, 0.9, 0.999), 9), round(adam_rate(100_000, 0.001, 0.9, 0.999), 9)
    (0.000316228, 0.001)
    """
    return learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)


# -- the classes, which hold the state --------------------------------------------------------------------------------

IMPLEMENTATIONS = ("numpy", "fused")
IN_ONE_PASS = "in_one_pass is now implementation: 'fused' for True, 'numpy' for False"


class Optimizer:
    """The base class of every optimizer.

    Parameters
    ----------
    learning_rate : float
        0 or more. It may be changed between steps.
    implementation : {"fused", "numpy"}, optional
        Which function of `implementations` runs: the kernel, by default, or the function of this module.

    Attributes
    ----------
    iterations : int
        Steps taken.
    state : list of list of ndarray
        For each parameter the arrays that `state_names` names.
    implementations : dict of str to function
        Of the class: its update rule by the name of an implementation, called as rule(p, g, *state, *constants).
    constants : tuple of str
        Of the class: the attributes that the rule takes as its constants.
    squares : tuple of str
        Of the class: which of `state_names` are sums or averages of squares, and so never negative.
    """

    implementations: Mapping[str, Callable[..., None]] = {}
    state_names: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()      # arguments that the constructor's signature does not name
    owner: Any = None                   # a weak reference to the model that was compiled with this object

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)

    @named_arguments
    def __init__(self, learning_rate: float, *, implementation: str | None = None, **fractions: float):
        self.learning_rate = learning_rate
        for name, value in fractions.items():
            setattr(self, name, check_number(name, value, below=1))
        self.implementation = implementation if implementation is not None else ("fused" if COMPILED else "numpy")
        self.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "owner": None}        # a copy does not belong to a model

    @property
    def learning_rate(self) -> float:
        """The factor by which every step is multiplied."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = check_number("learning_rate", value)

    @property
    def implementation(self) -> str:
        """The name of the implementation that runs."""
        return self._implementation

    @implementation.setter
    def implementation(self, name: str) -> None:
        self._implementation = check_choice(f"implementation of {type(self).__name__}", name, IMPLEMENTATIONS)

    @property
    def in_one_pass(self) -> bool:
        """The old name of `implementation == "fused"`."""
        warnings.warn(IN_ONE_PASS, FutureWarning, stacklevel=2)
        return self.implementation == "fused"

    @in_one_pass.setter
    def in_one_pass(self, value: bool) -> None:
        warnings.warn(IN_ONE_PASS, FutureWarning, stacklevel=2)
        self.implementation = "fused" if value else "numpy"

    def reset(self) -> None:
        """Clear all state: the next update is the first."""
        self.iterations = 0
        self.state: list[list[np.ndarray]] = []

    def make_state(self, p: np.ndarray) -> list[np.ndarray]:
        """Return the state of one parameter before the first step: zeros."""
        return [np.zeros_like(p) for _ in self.state_names]

    @quiet
    def update(
        self,
        params: Sequence[np.ndarray] | Mapping[Any, np.ndarray],
        grads: Sequence[np.ndarray | None] | Mapping[Any, np.ndarray | None],
    ) -> None:
        """Change every parameter by one step, in place. Gradients are only read.

        Parameters
        ----------
        params, grads : sequences of ndarray, or dicts by the same names
            Every call must have the same order, since the state is stored by position. A parameter whose gradient is None is not
            changed.

        Raises
        ------
        ValueError
            When shapes do not match each other or the state. In this case no parameter is changed.
        """
        for what, given in (("params", params), ("grads", grads)):
            if not isinstance(given, (list, tuple, Mapping)):
                raise ValueError(f"update: expected {what} as a list of arrays, or a dict by name, got {shortened(given)}")
        if isinstance(grads, Mapping) and not (isinstance(params, Mapping) and params.keys() <= grads.keys()):
            got = f"{shortened([*params])} and {shortened([*grads])}"
            raise ValueError(f"update: expected params and grads by the same names, got {got}")
        ps = list(params.values()) if isinstance(params, Mapping) else params
        gs = [grads[name] for name in params] if isinstance(grads, Mapping) else grads
        states = self.state or [self.make_state(p) for p in ps]
        check_update(ps, gs, states)
        self.state = states
        self.iterations += 1
        for p, g, state in zip(ps, gs, self.state, strict=True):
            if g is not None:
                self.step(p, g, state)

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply the rule to one parameter, which it changes in place; an optimizer of your own may override this."""
        if not self.implementations:
            raise NotImplementedError(f"{type(self).__name__} needs a method step(self, p, g, state)")
        # The kernel reads memory from the first number to the last, so p must be stored in that order.
        rule = self.implementations[self.implementation if p.flags.c_contiguous else "numpy"]
        rule(p, g, *state, *(getattr(self, name) for name in self.constants))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this optimizer: those of the constructor's signature."""
        config = config_of(self) | {name: getattr(self, name) for name in self.settings}
        if config.get("implementation") == ("fused" if COMPILED else "numpy"):
            del config["implementation"]
        return config


class SGD(Optimizer):
    """Stochastic gradient descent.

    Parameters
    ----------
    learning_rate : float
    momentum : float
        In [0, 1): the fraction of the velocity that is kept from step to step.
    nesterov : bool
    implementation : {"fused", "numpy"}, optional
        As for every `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> SGD(learning_rate=0.5).update([p], [np.array([0.2])])
    >>> p
    array([0.9])
    """

    implementations = {"numpy": sgd_update, "fused": fused.sgd_update}
    constants = ("learning_rate", "momentum", "nesterov")
    state_names = ("u",)
    momentum: float

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        implementation: str | None = None,
    ):
        super().__init__(learning_rate, implementation=implementation, momentum=momentum)
        self.nesterov = check_flag("nesterov", nesterov)


class Adagrad(Optimizer):
    """Adagrad. (The paper's accumulator starts at 0.)

    Parameters
    ----------
    learning_rate : float
    initial_accumulator_value : float
        0 or more.
    epsilon : float
    implementation : {"fused", "numpy"}, optional
        As for every `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adagrad(learning_rate=1.0, initial_accumulator_value=0.0).update([p], [np.array([0.2])])
    >>> p.round(4)
    array([0.])
    """

    implementations = {"numpy": adagrad_update, "fused": fused.adagrad_update}
    constants = ("learning_rate", "epsilon")
    state_names = squares = ("a",)

    def __init__(
        self,
        learning_rate: float = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        *,
        implementation: str | None = None,
    ):
        super().__init__(learning_rate, implementation=implementation)
        self.initial_accumulator_value = check_number("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = check_number("epsilon", epsilon)

    def make_state(self, p: np.ndarray) -> list[np.ndarray]:
        """Return the accumulator at its initial value."""
        return [np.full_like(p, self.initial_accumulator_value)]


class Adadelta(Optimizer):
    """Adadelta. (The paper has an ε of 1e-6 and no learning rate, as if it were 1.0; at Keras's 0.001, learning is very slow.)

    Parameters
    ----------
    learning_rate : float
    rho : float
        In [0, 1): the fraction of both averages that is kept from step to step.
    epsilon : float
    implementation : {"fused", "numpy"}, optional
        As for every `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adadelta(learning_rate=1.0).update([p], [np.array([0.2])])
    >>> p.round(6)
    array([0.998586])
    """

    implementations = {"numpy": adadelta_update, "fused": fused.adadelta_update}
    constants = ("learning_rate", "rho", "epsilon")
    state_names = squares = ("a", "d")
    rho: float

    def __init__(
        self, learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7, *, implementation: str | None = None
    ):
        super().__init__(learning_rate, implementation=implementation, rho=rho)
        self.epsilon = check_number("epsilon", epsilon)


class Adam(Optimizer):
    """Adam.

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        In [0, 1): the fractions of the averages m and v that are kept from step to step.
    epsilon : float
        The paper's ε-hat. (The paper's ε is 1e-8.)
    implementation : {"fused", "numpy"}, optional
        As for every `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adam(learning_rate=0.1).update([p], [np.array([0.2])])         # the first step is the rate, if g is far above ε
    >>> p.round(4)
    array([0.9])
    """

    implementations = {"numpy": adam_update, "fused": fused.adam_update}
    constants = ("iterations", "learning_rate", "beta_1", "beta_2", "epsilon")
    state_names = ("m", "v")
    squares = ("v",)
    beta_1: float
    beta_2: float

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        implementation: str | None = None,
    ):
        super().__init__(learning_rate, implementation=implementation, beta_1=beta_1, beta_2=beta_2)
        self.epsilon = check_number("epsilon", epsilon)


KNOWN: dict[str, Any] = {c.__name__.lower(): c for c in (SGD, Adagrad, Adadelta, Adam)}


def get(optimizer: Any) -> Optimizer:
    """Return an optimizer by name, with its defaults, or an `Optimizer` object itself.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> get("adagrad")
    Adagrad(learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-07)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str) or optimizer.lower() not in KNOWN:
        raise ValueError(
            f"optimizer: expected {', '.join(map(repr, KNOWN))} or an Optimizer object, got {shortened(optimizer)}"
        )
    return KNOWN[optimizer.lower()]()
