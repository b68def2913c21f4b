"""Optimizers: how a parameter is changed, given its gradient.

Each rule is one NumPy function below, which changes p and its state in place. p is a parameter and g its gradient; the state is

    u       the velocity                                    SGD; RMSprop with momentum
    a       the sum or the average of squared gradients     Adagrad; Adadelta, RMSprop
    d       the average of squared steps                    Adadelta
    m, v    the averages of gradients and of their squares  Adam and its relatives; m also in centered RMSprop
    w       the largest v so far                            Adam with amsgrad

A step clips the gradients, and then, for each parameter, applies weight decay and the rule.

`kernels/updates.py` computes the same in one pass over memory, and runs by default; Adam(implementation="numpy") runs exactly
the rule below. Names, defaults and the position of ε are Keras's; where a paper has another default, the class says so.

Sources: Kingma & Ba, *Adam: a method for stochastic optimization* (2015), algorithm 1 and the end of section 2; Duchi,
Hazan & Singer, *Adaptive subgradient methods* (2011), section 1; Zeiler, *ADADELTA: an adaptive learning rate method*
(2012), algorithm 1; Sutskever et al., *On the importance of initialization and momentum in deep learning* (2013),
equations 1 to 4; Hinton, Srivastava & Swersky, *Neural networks for machine learning*, lecture 6e (2012), RMSprop; Graves,
*Generating sequences with recurrent neural networks* (2013), equations 38 to 41, its centered form; Reddi, Kale & Kumar, *On the
convergence of Adam and beyond* (2018), algorithm 2; Dozat, *Incorporating Nesterov momentum into Adam* (2016), algorithm 2;
Loshchilov & Hutter, *Decoupled weight decay regularization* (2019), algorithms 1 and 2; Pascanu, Mikolov & Bengio, *On the
difficulty of training recurrent neural networks* (2013), algorithm 1, clipping.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod, sqrt
from typing import Any

import numpy as np

from scratchnet import schedules
from scratchnet.kernels import updates as fused
from scratchnet.kernels.jit import COMPILED
from scratchnet.support.arithmetic import quiet
from scratchnet.support.arrays import Number
from scratchnet.support.checking import (
    check_choice,
    check_flag,
    check_names,
    check_number,
    check_positive,
    check_update,
    shortened,
)
from scratchnet.support.config import config_of
from scratchnet.support.keywords import name_arguments, named_arguments

sys.modules[f"{__name__}.schedules"] = schedules        # so it can be imported by this name, as os.path can

# -- the rules --------------------------------------------------------------------------------------------------------


def sgd_update(p: np.ndarray, g: np.ndarray, u: np.ndarray, learning_rate: float, momentum: float, nesterov: bool) -> None:
    """Move against the gradient with velocity u, which keeps a part of its last value.

    With `nesterov`, p moves by the velocity that the next step would have if the gradient stayed the same.
    """
    u[...] = momentum * u - learning_rate * g
    p += momentum * u - learning_rate * g if nesterov else u


def adagrad_update(p: np.ndarray, g: np.ndarray, a: np.ndarray, learning_rate: float, epsilon: float) -> None:
    """Divide g by the root of the sum a of all squared gradients so far: large gradients make later steps smaller."""
    a += g * g
    p -= learning_rate * g / np.sqrt(a + epsilon)


def adadelta_update(
    p: np.ndarray, g: np.ndarray, a: np.ndarray, d: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """Divide g by √a, with a the average of recent squared gradients, and multiply it by √d, with d that of recent squared steps.

    g / √a has no unit: it does not change if the parameter is measured in other units. √d gives the step the unit of the parameter.
    d averages the squares of the steps as they are before they are multiplied by the learning rate.
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

    Both averages start at 0. After t steps m is Σ_i (1 - β₁) β₁^(t-i) g_i, i = 1 … t, and the factors of the g_i have the sum
    1 - β₁ᵗ, not 1. So m is too small by this factor, and v by 1 - β₂ᵗ. The corrected step is m / (1 - β₁ᵗ) / √(v / (1 - β₂ᵗ));
    `adam_rate` contains both corrections. ε is added to √v, not to the corrected √(v / (1 - β₂ᵗ)): it is the paper's ε-hat.
    """
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / (np.sqrt(v) + epsilon)


def adam_rate(t: int, learning_rate: float, beta_1: float, beta_2: float) -> float:
    """Return Adam's learning rate at step t = 1, 2, …, including the bias correction of m and v:

        m / (1 - β₁ᵗ) / √(v / (1 - β₂ᵗ))  =  √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / √v

    Examples
    --------
    >>> round(adam_rate(1, 0.001, 0.9, 0.999), 9), round(adam_rate(100_000, 0.001, 0.9, 0.999), 9)
    (0.000316228, 0.001)
    """
    return learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)


def amsgrad_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, w: np.ndarray,
    t: int, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Apply Adam's rule, but with w, the largest v so far, in place of v.

    v falls when the last large gradients were long ago, and Adam's steps then grow. w never falls.
    """
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    w[...] = np.maximum(w, v)
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / (np.sqrt(w) + epsilon)


def nadam_update(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray,
    factors: tuple[float, float, float], learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """Apply Adam's rule with Nesterov's momentum: it uses the m that the next step would have if g stayed the same."""
    m_factor, g_factor, v_factor = factors
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    p -= learning_rate * (m_factor * m + g_factor * g) / (np.sqrt(v_factor * v) + epsilon)


@lru_cache(maxsize=16)
def nadam_factors(t: int, beta_1: float, beta_2: float) -> tuple[float, float, float]:
    """Return the factors of m, g and v in Nadam's step t = 1, 2, …, which correct for the start of m and v at 0.

    The momentum rises: μ_t = β₁ (1 - 0.96ᵗ / 2). m is multiplied by μ_(t+1) / (1 - μ_1⋯μ_(t+1)), g by (1 - μ_t) / (1 - μ_1⋯μ_t) and
    v by 1 / (1 - β₂ᵗ).

    In an average with the μ's, m ← μ_t m + (1 - μ_t) g, the factors of the g would have the sum 1 - μ_1⋯μ_t. Keras, like PyTorch,
    divides by this, but averages m with β₁, and so does this rule, to make the same steps. The two averages differ only in the
    first steps: later μ_t is β₁, and both divisors, 1 - μ_1⋯μ_t and 1 - β₁ᵗ, are 1.

    Examples
    --------
    >>> [round(factor, 6) for factor in nadam_factors(1, 0.9, 0.999)]
    [0.627878, 1.0, 1000.0]
    """
    last = min(t, 1000)                 # 0.96¹⁰⁰⁰ / 2 is less than the rounding of 1: from there on μ = β₁
    product = beta_1**t * prod(1 - 0.5 * 0.96**i for i in range(1, last + 1))
    momentum, next_momentum = (beta_1 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
    return next_momentum / (1 - product * next_momentum), (1 - momentum) / (1 - product), 1 / (1 - beta_2**t)


def rmsprop_update(p: np.ndarray, g: np.ndarray, a: np.ndarray, learning_rate: float, rho: float, epsilon: float) -> None:
    """Divide g by the root of the average a of recent squared gradients."""
    a[...] = rho * a + (1 - rho) * g * g
    p -= learning_rate * g / np.sqrt(a + epsilon)


def full_rmsprop_update(
    p: np.ndarray, g: np.ndarray, a: np.ndarray, m: np.ndarray, u: np.ndarray,
    learning_rate: float, rho: float, momentum: float, epsilon: float, centered: bool,
) -> None:  # fmt: skip
    """Move with a velocity u, which keeps a part of its last value; `centered` divides by the standard deviation of gradients.

    The variance is the average of squares minus the square of the average m. (Where rounding makes it negative it is 0 here; in
    Keras, whose rule is the same otherwise, the root of a negative number is NaN.)
    """
    a[...] = rho * a + (1 - rho) * g * g
    m[...] = rho * m + (1 - rho) * g if centered else 0
    u[...] = momentum * u + learning_rate * g / np.sqrt(np.maximum(a - m * m, 0) + epsilon)
    p -= u


# -- before the rule --------------------------------------------------------------------------------------------------


def weight_decay_update(p: np.ndarray, learning_rate: float, weight_decay: float) -> None:
    """Make every number smaller by a fraction of itself, independently of the gradient and its averages ("decoupled").

    If the loss had the term ½ · weight_decay · ‖p‖² instead, weight_decay · p would be added to the gradient, and Adam would divide
    it by √v.
    """
    p -= learning_rate * weight_decay * p


def norm(*grads: np.ndarray) -> float:
    """Return the square root of the sum of all squares, summed in float64 and without BLAS, whose sums may depend on its threads.

    Examples
    --------
    >>> norm(np.array([3.0, 0.0]), np.array([[4.0]]))
    5.0
    """
    return sqrt(sum(float(np.einsum("i,i", g.ravel(), g.ravel(), dtype=np.float64)) for g in grads))


def clip_by_norm(grads: Sequence[np.ndarray], highest: float) -> list[np.ndarray]:
    """Return gradients whose common norm is at most `highest`: g · highest / ‖g‖ if the norm is above it.

    Examples
    --------
    >>> clip_by_norm([np.array([3.0]), np.array([4.0])], 1.0)
    [array([0.6]), array([0.8])]
    """
    length = norm(*grads)
    return [*grads] if length <= highest else [g * (highest / length) for g in grads]


# -- the classes, which hold the state --------------------------------------------------------------------------------

Rate = float | Callable[..., Any]       # a number, a LearningRateSchedule, or a function of the step

IMPLEMENTATIONS = ("numpy", "fused")
DECAY = {"numpy": weight_decay_update, "fused": fused.weight_decay_update}
# get_config leaves these out if they are None
UNLESS_NONE = ("weight_decay", "learning_rate_multipliers", "clipnorm", "clipvalue", "global_clipnorm")
IN_ONE_PASS = "in_one_pass is now called implementation: 'fused' in place of True, 'numpy' in place of False"


class Optimizer:
    """The base class of every optimizer.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A number of at least 0, which may be changed between steps, or a schedule, whose rate is computed for each step (see
        `scratchnet.optimizers.schedules`). A function of your own is called with the number of steps already taken, or, as
        in Keras, without arguments if it takes none.
    weight_decay : float, optional
        Before each step, learning_rate · weight_decay · p is subtracted from each parameter p, also from biases, as in Keras.
    learning_rate_multipliers : dict of str to float, optional
        Factors of the learning rate for some parameters, by the parameter's name, such as "dense/kernel", or by the end of the
        name: {"bias": 2.0} doubles the learning rate of the biases of all layers. (PyTorch has parameter groups for this; Keras has
        nothing.) Weight decay is not multiplied.
    clipnorm : float, optional
        The gradient of each parameter is scaled to this norm if its own is larger.
    clipvalue : float, optional
        Each number of the gradients is limited to [-clipvalue, clipvalue].
    global_clipnorm : float, optional
        All gradients are scaled by one factor to this common norm if theirs is larger. Only one of the three can be given.
    implementation : {"fused", "numpy"}, optional
        Which function of `implementations` runs: the kernel, by default, or the function of this module.

    Attributes
    ----------
    iterations : int
        Steps taken.
    state : list of list of ndarray
        For each parameter the arrays that `state_names` names.
    implementations : dict of str to function
        Its update rule by the name of an implementation, called as rule(p, g, *state, *constants).
    constants : tuple of str
        The attributes that the rule takes as its constants.
    squares : tuple of str
        Which of `state_names` are sums or averages of squares, and so never negative.
    """

    implementations: Mapping[str, Callable[..., None]] = {}
    state_names: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()      # arguments that the constructor's signature does not name
    owner: Any = None                   # a weak reference to the model that was compiled with this object
    _schedule: Callable[..., Any] | None = None
    _rate_of_step: float | None = None  # the rate of the step that `update` computes; `iterations` includes that step already

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)

    @named_arguments
    def __init__(
        self,
        learning_rate: Rate,
        *,
        weight_decay: float | None = None,
        learning_rate_multipliers: Mapping[str, float] | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        implementation: str | None = None,
    ):
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else check_number("weight_decay", weight_decay)
        self.learning_rate_multipliers = None
        if learning_rate_multipliers is not None:
            factors = check_names("learning_rate_multipliers", learning_rate_multipliers, '{"bias": 2.0}')
            self.learning_rate_multipliers = {name: check_number(f"the factor of {name!r}", f) for name, f in factors.items()}
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        limits = {name: value for name, value in limits.items() if value is not None}
        if len(limits) > 1:
            got = " and ".join(f"{name}={shortened(value)}" for name, value in limits.items())
            raise ValueError(f"{type(self).__name__}: expected one of clipnorm, clipvalue and global_clipnorm, got {got}. Keep one")
        limits = {name: check_positive(name, value, "Leave it out if nothing is to be clipped") for name, value in limits.items()}
        self.clipnorm, self.clipvalue = limits.get("clipnorm"), limits.get("clipvalue")
        self.global_clipnorm = limits.get("global_clipnorm")
        self.implementation = implementation if implementation is not None else ("fused" if COMPILED else "numpy")
        self.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "owner": None}        # a copy does not belong to a model

    @property
    def learning_rate(self) -> float:
        """The factor of every step. With a schedule: the factor of the next step, and during a step the factor of this step."""
        if self._rate_of_step is not None:
            return self._rate_of_step
        return Number(self._learning_rate if self._schedule is None else schedules.rate_at(self._schedule, self.iterations))

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if isinstance(value, type):
            raise ValueError(f"learning_rate: expected a number or a schedule, got {shortened(value)}. A class needs parentheses")
        if callable(value):
            self._schedule = value
        elif self._schedule is not None:
            raise TypeError(
                f"learning_rate: expected another schedule in place of {shortened(self._schedule)}, got {shortened(value)}. To set"
                f" it by hand or by a callback, make the optimizer with a number: {type(self).__name__}(learning_rate=0.001)"
            )
        else:
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
        params, grads : sequences of ndarray, or dicts with the same names
            Every call must pass the parameters in the same order, since the state is stored by position. A parameter whose gradient
            is None is not changed.

        Raises
        ------
        ValueError
            When shapes do not match each other or the state. In this case no parameter is changed.
        """
        for what, given in (("params", params), ("grads", grads)):
            if not isinstance(given, (list, tuple, Mapping)):
                raise ValueError(
                    f"update: expected {what} as a list of arrays, or a dict by name, got {shortened(given)}. For one parameter:"
                    " update([p], [g])"
                )
        if isinstance(grads, Mapping) and not (isinstance(params, Mapping) and params.keys() <= grads.keys()):
            got = f"{shortened([*params])} and {shortened([*grads])}"
            raise ValueError(f"update: expected params and grads with the same names, got {got}. Make both from one list of names")
        ps = list(params.values()) if isinstance(params, Mapping) else params
        gs = [grads[name] for name in params] if isinstance(grads, Mapping) else grads
        states = self.state or [self.make_state(p) for p in ps]
        check_update(ps, gs, states)
        factors = self._multipliers(params)
        rate = float(self.learning_rate)    # of this step, before it is counted: schedules count from 0
        self.state = states
        self.iterations += 1
        try:
            for p, g, state, factor in zip(ps, self._clip(gs), self.state, factors, strict=True):
                if g is not None:
                    self._rate_of_step = rate * factor
                    if self.weight_decay:
                        DECAY[self._form(p)](p, rate, self.weight_decay)
                    self.step(p, g, state)
        finally:
            self._rate_of_step = None

    def _multipliers(self, params: Sequence[np.ndarray] | Mapping[Any, np.ndarray]) -> list[float]:
        """Return the factor of the learning rate for each parameter."""
        factors = self.learning_rate_multipliers
        if not factors:
            return [1.0] * len(params)
        model = self.owner and self.owner()
        names = [*(params if isinstance(params, Mapping) or model is None else model.params)]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                "update: expected params as a dict, since learning_rate_multipliers go by name, got a list. Pass model.params"
            )
        unused = [key for key in factors if not any(f"/{name}".endswith(f"/{key}") for name in names)]
        if unused:
            raise ValueError(
                f"learning_rate_multipliers: expected names of parameters, got {shortened(unused[0])}, which no name ends with."
                f" The names are {shortened(names)}"
            )
        return [prod(factor for key, factor in factors.items() if f"/{name}".endswith(f"/{key}")) for name in names]

    def _clip(self, grads: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
        """Return the gradients, limited as `clipnorm`, `clipvalue` or `global_clipnorm` says, without changing `grads`."""
        present = [g for g in grads if g is not None]
        if self.clipnorm is not None:
            present = [clipped for g in present for clipped in clip_by_norm([g], self.clipnorm)]
        elif self.clipvalue is not None:
            present = [np.clip(g, -self.clipvalue, self.clipvalue) for g in present]
        elif self.global_clipnorm is not None:
            present = clip_by_norm(present, self.global_clipnorm)
        clipped = iter(present)
        return [None if g is None else next(clipped) for g in grads]

    def _form(self, p: np.ndarray) -> str:
        """Return the name of the implementation for p: a kernel reads memory in order, so p must be stored in that order."""
        return self.implementation if p.flags.c_contiguous else "numpy"

    def step(self, p: np.ndarray, g: np.ndarray, state: list[np.ndarray]) -> None:
        """Apply the rule to one parameter, which it changes in place; an optimizer of your own may override this."""
        if not self.implementations:
            raise NotImplementedError(f"{type(self).__name__} needs a method step(self, p, g, state)")
        rule = self.implementations[self._form(p)]
        rule(p, g, *state, *(getattr(self, name) for name in self.constants))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this optimizer: those of the constructor's signature.

        Those of weight decay and clipping are in it if they are set. A schedule is the object itself; `schedules.serialize`
        converts it to values for JSON.
        """
        config = config_of(self) | {name: getattr(self, name) for name in self.settings}
        config = {name: value for name, value in config.items() if value is not None or name not in UNLESS_NONE}
        if self._schedule is not None:
            config = {"learning_rate": self._schedule, **{name: v for name, v in config.items() if name != "learning_rate"}}
        if config.get("implementation") == ("fused" if COMPILED else "numpy"):
            del config["implementation"]
        return config


class SGD(Optimizer):
    """Stochastic gradient descent.

    Parameters
    ----------
    learning_rate : float or schedule
    momentum : float
        In [0, 1): the fraction of the velocity that is kept from step to step.
    nesterov : bool
    **common
        weight_decay, learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every
        `Optimizer`.

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

    def __init__(self, learning_rate: Rate = 0.01, momentum: float = 0.0, nesterov: bool = False, **common: Any):
        super().__init__(learning_rate, **common)
        self.momentum = check_number("momentum", momentum, below=1)
        self.nesterov = check_flag("nesterov", nesterov)


class Adagrad(Optimizer):
    """Adagrad.

    Parameters
    ----------
    learning_rate : float or schedule
    initial_accumulator_value : float
        The value at which the sum a of squared gradients starts, 0 or more. (It is 0 in the paper.)
    epsilon : float
    **common
        weight_decay, learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every
        `Optimizer`.

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
        self, learning_rate: Rate = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7, **common: Any
    ):
        super().__init__(learning_rate, **common)
        self.initial_accumulator_value = check_number("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = check_number("epsilon", epsilon)

    def make_state(self, p: np.ndarray) -> list[np.ndarray]:
        """Return the accumulator at its initial value."""
        return [np.full_like(p, self.initial_accumulator_value)]


class Adadelta(Optimizer):
    """Adadelta. (The paper has an ε of 1e-6 and no learning rate, as if it were 1.0; at Keras's 0.001, learning is very slow.)

    Parameters
    ----------
    learning_rate : float or schedule
    rho : float
        In [0, 1): the fraction of both averages that is kept from step to step.
    epsilon : float
    **common
        weight_decay, learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every
        `Optimizer`.

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

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **common: Any):
        super().__init__(learning_rate, **common)
        self.rho = check_number("rho", rho, below=1)
        self.epsilon = check_number("epsilon", epsilon)


class Adam(Optimizer):
    """Adam.

    Parameters
    ----------
    learning_rate : float or schedule
    beta_1, beta_2 : float
        In [0, 1): the fractions of the averages m and v that are kept from step to step.
    epsilon : float
        The paper's ε-hat. (The paper's ε is 1e-8.)
    amsgrad : bool
        Whether the largest v so far takes the place of v. Changing the attribute later has no effect.
    **common
        weight_decay, learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every
        `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Adam(learning_rate=0.1).update([p], [np.array([0.2])])         # the first step is ±the rate, whatever g is
    >>> p.round(4)
    array([0.9])
    """

    implementations = {"numpy": adam_update, "fused": fused.adam_update}
    constants = ("iterations", "learning_rate", "beta_1", "beta_2", "epsilon")
    state_names: tuple[str, ...] = ("m", "v")
    squares: tuple[str, ...] = ("v",)

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Any,
    ):
        super().__init__(learning_rate, **common)
        self.beta_1, self.beta_2 = check_number("beta_1", beta_1, below=1), check_number("beta_2", beta_2, below=1)
        self.epsilon, self.amsgrad = check_number("epsilon", epsilon), check_flag("amsgrad", amsgrad)
        if self.amsgrad:
            self.implementations = {"numpy": amsgrad_update, "fused": fused.amsgrad_update}
            self.state_names, self.squares = ("m", "v", "w"), ("v", "w")


class AdamW(Adam):
    """Adam with decoupled weight decay: Adam(weight_decay=0.004) with weight_decay as the second argument.

    Parameters
    ----------
    learning_rate : float or schedule
    weight_decay : float
        Before each step, learning_rate · weight_decay · p is subtracted from each parameter p. (PyTorch's default is 0.01.)
    beta_1, beta_2, epsilon, amsgrad
        As for `Adam`.
    **common
        learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> AdamW(learning_rate=0.1, weight_decay=0.5).update([p], [np.array([0.2])])       # 0.05 by decay, 0.1 by Adam
    >>> p.round(4)
    array([0.85])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Any,
    ):
        weight_decay = check_number("weight_decay", weight_decay)       # None is refused too
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **common)


class Nadam(Optimizer):
    """Nadam: Adam with Nesterov's momentum.

    The momentum rises with 0.96ᵗ, as in Keras 3. The paper's, and PyTorch's, rises with 0.96^(t / 250), much more slowly.

    Parameters
    ----------
    learning_rate : float or schedule
    beta_1, beta_2 : float
        In [0, 1): the fractions of the averages m and v that are kept from step to step.
    epsilon : float
    **common
        weight_decay, learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every
        `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> Nadam(learning_rate=0.1).update([p], [np.array([0.2])])
    >>> p.round(4)
    array([0.8937])
    """

    implementations = {"numpy": nadam_update, "fused": fused.nadam_update}
    constants = ("factors", "learning_rate", "beta_1", "beta_2", "epsilon")
    state_names = ("m", "v")
    squares = ("v",)

    def __init__(
        self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, **common: Any
    ):
        super().__init__(learning_rate, **common)
        self.beta_1, self.beta_2 = check_number("beta_1", beta_1, below=1), check_number("beta_2", beta_2, below=1)
        self.epsilon = check_number("epsilon", epsilon)

    @property
    def factors(self) -> tuple[float, float, float]:
        """The factors of m, g and v in this step."""
        return nadam_factors(self.iterations, self.beta_1, self.beta_2)


class RMSprop(Optimizer):
    """RMSprop.

    Parameters
    ----------
    learning_rate : float or schedule
    rho : float
        In [0, 1): the fraction of the averages that is kept from step to step.
    momentum : float
        In [0, 1): the fraction of the velocity that is kept from step to step.
    epsilon : float
        It is added to the average under the root. (PyTorch adds it to the root.)
    centered : bool
        Whether steps are divided by the standard deviation of recent gradients, not by the root of their mean square. With
        `momentum` or `centered`, which are chosen when the optimizer is made, the rule is `full_rmsprop_update`.
    **common
        weight_decay, learning_rate_multipliers, clipnorm, clipvalue, global_clipnorm, implementation: as for every
        `Optimizer`.

    Examples
    --------
    >>> p = np.array([1.0])
    >>> RMSprop(learning_rate=0.1).update([p], [np.array([0.2])])
    >>> p.round(4)
    array([0.6838])
    """

    implementations = {"numpy": rmsprop_update, "fused": fused.rmsprop_update}
    constants: tuple[str, ...] = ("learning_rate", "rho", "epsilon")
    state_names: tuple[str, ...] = ("a",)
    squares = ("a",)

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Any,
    ):
        super().__init__(learning_rate, **common)
        self.rho, self.momentum = check_number("rho", rho, below=1), check_number("momentum", momentum, below=1)
        self.epsilon, self.centered = check_number("epsilon", epsilon), check_flag("centered", centered)
        if self.momentum or self.centered:
            self.implementations = {"numpy": full_rmsprop_update, "fused": fused.full_rmsprop_update}
            self.constants, self.state_names = ("learning_rate", "rho", "momentum", "epsilon", "centered"), ("a", "m", "u")


KNOWN: dict[str, Any] = {c.__name__.lower(): c for c in (SGD, Adagrad, Adadelta, Adam, AdamW, Nadam, RMSprop)}


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
            f"optimizer: expected {', '.join(map(repr, KNOWN))} or an Optimizer object, got {shortened(optimizer)}. For"
            " example optimizer='adam', or optimizer=Adam(0.01)"
        )
    return KNOWN[optimizer.lower()]()
