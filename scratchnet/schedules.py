"""Learning rate schedules: the learning rate as a function of the step. `scratchnet.optimizers.schedules` is this module.

    model.compile(SGD(learning_rate=ExponentialDecay(0.1, decay_steps=1000, decay_rate=0.5)))

A step is one batch. Steps are counted from 0: the rate of the first step is schedule(0), and that of the step after n steps is
schedule(n). So the count is `optimizer.iterations` before the step, which is saved with the model: training resumes in the middle
of a schedule. Names, defaults and the steps at which a rate changes are Keras's.

Sources: Loshchilov & Hutter, *SGDR: stochastic gradient descent with warm restarts* (2017), equation 5, the cosine; Goyal et al.,
*Accurate, large minibatch SGD* (2017), section 2.2, the gradual warm-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from math import ceil, cos, floor, inf, pi
from typing import Any

import numpy as np

from scratchnet.support.checking import check_flag, check_number, check_positive, shortened
from scratchnet.support.config import config_of, full_config
from scratchnet.support.keywords import name_arguments


class LearningRateSchedule:
    """The base class of all schedules. A schedule of your own defines `__call__(self, step)`.

    Examples
    --------
    >>> class Halved(LearningRateSchedule):
    ...     def __init__(self, first):
    ...         self.first = first
    ...     def __call__(self, step):
    ...         return self.first / 2**step
    >>> Halved(0.5)(3), Halved(0.5)
    (0.0625, Halved(first=0.5))
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        name_arguments(cls)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, step), which returns a learning rate")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this schedule: those of the constructor's signature."""
        return config_of(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LearningRateSchedule:
        """Return a schedule with these arguments."""
        return cls(**config)


class _Decay(LearningRateSchedule):
    """The base of the two schedules that have a `decay_rate`."""

    def __init__(self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False):
        self.initial_learning_rate = check_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = check_positive("decay_steps", decay_steps)
        self.decay_rate, self.staircase = check_number("decay_rate", decay_rate), check_flag("staircase", staircase)

    def periods(self, step: int) -> float:
        """Return step / decay_steps, rounded down if `staircase` is set."""
        periods = step / self.decay_steps
        return floor(periods) if self.staircase else periods


class ExponentialDecay(_Decay):
    """Multiply the rate by `decay_rate` every `decay_steps` steps: initial_learning_rate · decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Number of steps after which the rate is multiplied by `decay_rate`.
    decay_rate : float
    staircase : bool
        Whether the exponent is rounded down, so that the rate changes only at the steps decay_steps, 2·decay_steps, …

    Examples
    --------
    >>> [ExponentialDecay(1.0, 2, 0.25)(step) for step in range(5)]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    >>> [ExponentialDecay(1.0, 2, 0.25, staircase=True)(step) for step in range(5)]
    [1.0, 1.0, 0.25, 0.25, 0.0625]
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        return self.initial_learning_rate * self.decay_rate ** self.periods(step)


class InverseTimeDecay(_Decay):
    """Divide the rate by a number that grows with the steps: initial_learning_rate / (1 + decay_rate · step / decay_steps).

    With decay_steps=1 it is what Keras's old argument `decay` did.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate : float
    staircase : bool
        Whether step / decay_steps is rounded down.

    Examples
    --------
    >>> [InverseTimeDecay(1.0, 1, 0.5)(step) for step in (0, 2, 6)]
    [1.0, 0.5, 0.25]
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        return self.initial_learning_rate / (1 + self.decay_rate * self.periods(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """Use values[i] up to and including the step boundaries[i], and values[-1] after the last boundary.

    A boundary b is thus the last step of the old rate. Steps are counted from 0, so b + 1 steps come before the new rate.

    Parameters
    ----------
    boundaries : list of int
        Steps, in increasing order.
    values : list of float
        One more than boundaries.

    Examples
    --------
    >>> [PiecewiseConstantDecay([1, 3], [1.0, 0.5, 0.1])(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]):
        self.boundaries, self.values = _numbers("boundaries", boundaries), _numbers("values", values)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: expected one value more than boundaries, got {len(self.boundaries)} boundaries and"
                f" {len(self.values)} values. The first value is the rate before the first boundary"
            )
        check_increasing("PiecewiseConstantDecay", boundaries, self.boundaries)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class PiecewiseLinear(LearningRateSchedule):
    """Go from value to value in straight lines: the rate is values[i] at step boundaries[i], and constant outside the boundaries.

    (Keras has no schedule of this name; pytorch-ignite has. With three boundaries it is a warm-up and a linear decay.)

    Parameters
    ----------
    boundaries : list of int
        Steps, in increasing order.
    values : list of float
        As many as boundaries.

    Examples
    --------
    >>> [PiecewiseLinear([0, 2, 4], [0.5, 1.0, 0.0])(step) for step in range(6)]
    [0.5, 0.75, 1.0, 0.5, 0.0, 0.0]
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]):
        self.boundaries, self.values = _numbers("boundaries", boundaries), _numbers("values", values)
        if len(self.values) != len(self.boundaries) or not self.values:
            raise ValueError(
                f"PiecewiseLinear: expected a value for each boundary, got {len(self.boundaries)} boundaries and"
                f" {len(self.values)} values. values[i] is the rate at step boundaries[i]"
            )
        check_increasing("PiecewiseLinear", boundaries, self.boundaries)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        return float(np.interp(step, self.boundaries, self.values))


class PolynomialDecay(LearningRateSchedule):
    """Change from one rate to another: end + (initial - end) · (1 - step / decay_steps)^power, and then stay at `end`.

    Parameters
    ----------
    initial_learning_rate, decay_steps, end_learning_rate, power : float
    cycle : bool
        Whether the rate rises again after `decay_steps`. The formula then has, in place of `decay_steps`, its smallest positive
        multiple that is at least `step`.

    Examples
    --------
    >>> [PolynomialDecay(1.0, 4, end_learning_rate=0.0)(step) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ):
        self.initial_learning_rate = check_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = check_positive("decay_steps", decay_steps)
        self.end_learning_rate = check_number("end_learning_rate", end_learning_rate)
        self.power, self.cycle = check_number("power", power), check_flag("cycle", cycle)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        length = self.decay_steps * (max(ceil(step / self.decay_steps), 1) if self.cycle else 1)
        rest = 1 - min(step / length, 1)
        return self.end_learning_rate + (self.initial_learning_rate - self.end_learning_rate) * rest**self.power


class CosineDecay(LearningRateSchedule):
    """Lower the rate along half a period of a cosine, optionally after a linear warm-up.

    With f = min((step - warmup_steps) / decay_steps, 1), the finished fraction of the decay, and with `start`, the rate at which it
    starts (`warmup_target`, or `initial_learning_rate` without warm-up),

        rate = start · (alpha + (1 - alpha) · (1 + cos(π f)) / 2)

    Parameters
    ----------
    initial_learning_rate : float
        The rate of step 0.
    decay_steps : int
        Number of steps of the decay, after those of the warm-up.
    alpha : float
        The last rate, as a fraction of `start`.
    warmup_target : float, optional
        The rate rises linearly from `initial_learning_rate` at step 0 to this at step `warmup_steps`, where the decay starts.
        Without it there is no warm-up, and `warmup_steps` is not used.
    warmup_steps : int

    Examples
    --------
    >>> [round(CosineDecay(1.0, 4)(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    >>> [round(CosineDecay(0.0, 2, warmup_target=1.0, warmup_steps=4)(step), 3) for step in range(7)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        *,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ):
        self.initial_learning_rate = check_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps, self.alpha = check_positive("decay_steps", decay_steps), check_number("alpha", alpha)
        self.warmup_target = None if warmup_target is None else check_number("warmup_target", warmup_target)
        self.warmup_steps = check_number("warmup_steps", warmup_steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        start, first = self.initial_learning_rate, 0.0
        if self.warmup_target is not None:
            start, first = self.warmup_target, self.warmup_steps
        if step < first:
            return self.initial_learning_rate + (start - self.initial_learning_rate) * step / first
        fraction = min((step - first) / self.decay_steps, 1)
        return start * (self.alpha + (1 - self.alpha) * (1 + cos(pi * fraction)) / 2)


class CosineDecayRestarts(LearningRateSchedule):
    """Repeat a cosine decay: whenever it has reached its end, the next one starts.

    Decay i = 0, 1, … has first_decay_steps · t_mulⁱ steps. With f from 0 to 1, the finished fraction of its steps,

        rate = initial_learning_rate · (alpha + (1 - alpha) · m_mulⁱ · (1 + cos(π f)) / 2)

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Number of steps of the first decay.
    t_mul : float
        At least 1: each decay is this many times as long as the one before.
    m_mul : float
        Each decay starts at this many times the rate at which the one before started (with alpha = 0).
    alpha : float
        The lowest rate, as a fraction of `initial_learning_rate`.

    Examples
    --------
    >>> [round(CosineDecayRestarts(1.0, 2)(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ):
        self.initial_learning_rate = check_number("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = check_positive("first_decay_steps", first_decay_steps)
        self.t_mul, self.m_mul = check_number("t_mul", t_mul, lowest=1.0), check_number("m_mul", m_mul)
        self.alpha = check_number("alpha", alpha)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        length, height, rest = self.first_decay_steps, 1.0, float(step)
        while rest >= length:
            rest, length, height = rest - length, length * self.t_mul, height * self.m_mul
        return self.initial_learning_rate * (self.alpha + (1 - self.alpha) * height * (1 + cos(pi * rest / length)) / 2)


def check_increasing(title: str, given: Any, boundaries: Sequence[float]) -> None:
    """Raise ValueError unless each boundary is larger than the one before."""
    if [*boundaries] != sorted(set(boundaries)):
        raise ValueError(
            f"{title}: expected boundaries in increasing order, got {shortened(given)}. Sort them, and their values with them"
        )


def _numbers(name: str, values: Sequence[float]) -> list[float]:
    """Return a list of finite numbers of at least 0."""
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise ValueError(f"{name}: expected a list of numbers, got {shortened(values)}. For example {name}=[1000, 2000]")
    return [check_number(name, value) for value in values]


# -- what an optimizer does with a schedule ---------------------------------------------------------------------------


def rate_at(schedule: Callable[..., Any], step: int) -> float:
    """Return the learning rate of a step, from a schedule or a function, which is called without the step if it has no parameter.

    Raises
    ------
    ValueError
        When it is not a finite number of at least 0.

    Examples
    --------
    >>> rate_at(lambda step: 0.5 / (step + 1), 4), rate_at(lambda: 0.25, 4)
    (0.1, 0.25)
    """
    takes_step = isinstance(schedule, LearningRateSchedule) or accepts(schedule, step)
    try:
        rate = schedule(step) if takes_step else schedule()
    except OverflowError:       # of Python's floats
        rate = inf
    return check_number(f"the learning rate of {shortened(schedule)} at step {step}", single(rate))


def accepts(function: Callable[..., Any], *arguments: Any) -> bool:
    """Return whether a function can be called with these positional arguments; True if Python does not know its signature.

    Examples
    --------
    >>> accepts(lambda epoch: 0.1, 0), accepts(lambda epoch: 0.1, 0, 0.5)
    (True, False)
    """
    try:
        signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:          # of a function that is not written in Python
        pass
    return True


def single(value: Any) -> Any:
    """Return the number of an array without axes, such as `np.where` returns, and anything else as it is."""
    return value.item() if isinstance(value, np.ndarray) and not value.ndim else value


KNOWN: dict[str, type[LearningRateSchedule]] = {
    kind.__name__: kind
    for kind in (
        CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay,
        PiecewiseLinear, PolynomialDecay,
    )
}  # fmt: skip


def serialize(learning_rate_schedule: Any) -> dict[str, Any]:
    """Return the class and the arguments of a schedule as values for JSON.

    Raises
    ------
    ValueError
        For a plain function, and for a schedule that cannot be re-created from its `get_config`.

    Examples
    --------
    >>> serialize(PolynomialDecay(0.1, 1000))["class_name"]
    'PolynomialDecay'
    """
    if not isinstance(learning_rate_schedule, LearningRateSchedule):
        raise ValueError(
            f"learning_rate: expected a number or a schedule, which can be saved, got {shortened(learning_rate_schedule)}. Derive a"
            " class from LearningRateSchedule with a method __call__(self, step)"
        )
    return {"class_name": type(learning_rate_schedule).__name__, "config": full_config(learning_rate_schedule)}


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> LearningRateSchedule:
    """Return the schedule that `serialize` described; `custom_objects` are classes of your own by name.

    Examples
    --------
    >>> deserialize(serialize(ExponentialDecay(0.1, 1000, 0.5, True)))
    ExponentialDecay(initial_learning_rate=0.1, decay_steps=1000.0, decay_rate=0.5, staircase=True)
    """
    kinds, name = {**KNOWN, **(custom_objects or {})}, config["class_name"]
    if name not in kinds:
        raise ValueError(
            f"learning_rate: expected one of {', '.join(KNOWN)}, got {shortened(name)}. Pass its class:"
            f" custom_objects={{{name!r}: {name}}}"
        )
    return kinds[name].from_config(config["config"])


def optimizer_config(optimizer: Any) -> dict[str, Any]:
    """Return the arguments of an optimizer as values for JSON; a schedule becomes its class and its arguments."""
    config = full_config(optimizer)
    return config | {name: serialize(value) for name, value in config.items() if callable(value)}
