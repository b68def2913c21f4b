"""One exercise: a function to write, what it must return, and how wrong answers to it are explained.

Its texts are files in the folder `content/NAME`:

    starter.txt     what `scratchnet exercise start` writes: a docstring with shapes, formula and a worked example in numbers, and
                    the function, whose body is `raise NotImplementedError`
    hints.md        the hints: each begins with a line "## Hint 1", "## Hint 2", …
    solution.txt    a solution, which `--solution` prints
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.tools import gallery

CONTENT = Path(__file__).with_name("content")
Arguments = dict[str, Any]
Function = Callable[..., Any]
Trait = tuple[str, Callable[[Arguments], Any]]
Picture = Callable[[Arguments, str, tuple[int, ...]], Sequence[str]]


@dataclass(frozen=True)
class Case:
    """One call of the function.

    Attributes
    ----------
    arguments : dict
        For each argument, in the order of the signature, an array, a number or a tuple.
    before : dict
        Other numbers for some of the arrays: the function is called with these first, and then with the numbers of `arguments` in
        the same arrays. A function that kept something of the first call returns another result.
    """

    arguments: Arguments
    before: Arguments = field(default_factory=dict)


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    Attributes
    ----------
    name : str
        That of the function.
    title : str
        A few words for the list of exercises.
    returns : tuple of str
        The names of the results, such as ("dx", "dw", "db").
    definition : callable
        Returns the right results, with the loops of `scratchnet.reference` if it has them; its signature is that of the exercise.
    cases : callable
        Takes a `numpy.random.Generator` and returns the cases, the smallest first.
    picture : callable
        `picture(arguments, result, index)` returns lines of at most 80 columns that show how the number result[index] is computed.
    traits : sequence of (str, callable)
        What the first case does not have, such as "several images", and a function of the arguments that returns whether a case has
        it: the check says which of them are new in a case that fails.
    mistakes : sequence of (str, callable)
        The name of a bug of the gallery, and what it returns, as a function with the signature of the exercise. The function may
        raise an error for a case in which the mistake does not appear. The same name may appear several times, for variants.
    kept : dict
        For a bug of the gallery that uses an array of an earlier call: the name of this argument, and that of the bug.
    writes : dict
        For a bug that writes into an argument: the name of this argument, and that of the bug.
    accumulates : str
        The bug that adds the results of an earlier call, if the exercise can have it.
    uninitialized : str
        The bug that returns the numbers of uninitialized memory, if the exercise can have it.
    forward : callable, optional
        Takes the same arguments without `dout`, by name, and returns the output whose gradients the results are: they are compared
        with finite differences. `gradients` are the names of the arguments that the gradients belong to.
    """

    name: str
    title: str
    returns: tuple[str, ...]
    definition: Function
    cases: Callable[[np.random.Generator], list[Case]]
    picture: Picture
    traits: Sequence[Trait] = ()
    mistakes: Sequence[tuple[str, Function]] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    writes: Mapping[str, str] = field(default_factory=dict)
    accumulates: str = ""
    uninitialized: str = ""
    forward: Function | None = None
    gradients: tuple[str, ...] = ()

    def all_cases(self) -> list[Case]:
        """Return the cases, always with the same numbers, in arrays that cannot be modified."""
        return self._all_cases

    @cached_property
    def _all_cases(self) -> list[Case]:
        cases = self.cases(np.random.default_rng(0))
        for case in cases:
            for a in [*case.arguments.values(), *case.before.values()]:
                if isinstance(a, np.ndarray):
                    a.flags.writeable = False
        return cases

    @cached_property
    def rights(self) -> list[dict[str, np.ndarray]]:
        """The right results of all cases."""
        return [self.right(case.arguments) for case in self.all_cases()]

    def new_in(self, i: int) -> list[str]:
        """Return the traits that case i has, and no case before it.

        Examples
        --------
        >>> from scratchnet.exercises import EXERCISES
        >>> EXERCISES["dense_forward"].new_in(3)
        ['a single unit']
        """
        *before, now = [case.arguments for case in self.all_cases()[: i + 1]]
        return [trait for trait, has in self.traits if has(now) and not any(map(has, before))]

    @property
    def arguments(self) -> list[str]:
        """The names of the arguments, in order."""
        return list(self.all_cases()[0].arguments)

    @property
    def signature(self) -> str:
        """The first line of the function.

        Examples
        --------
        >>> from scratchnet.exercises import EXERCISES
        >>> EXERCISES["dense_backward"].signature
        'def dense_backward(dout, x, w):'
        """
        return f"def {self.name}({', '.join(self.arguments)}):"

    def right(self, arguments: Arguments) -> dict[str, np.ndarray]:
        """Return the right results by name."""
        return self.named(self.definition(**copied(arguments)))

    @cached_property
    def wrongs(self) -> list[tuple[str, list[dict[str, np.ndarray] | None]]]:
        """For each of the mistakes, the name of its bug and its results in all cases; None where it does not appear."""
        return [(bug, [self._wrong(function, case.arguments) for case in self.all_cases()]) for bug, function in self.mistakes]

    def _wrong(self, function: Function, arguments: Arguments) -> dict[str, np.ndarray] | None:
        try:
            with np.errstate(all="ignore"):
                return self.named(function(**copied(arguments)))
        except Exception:       # of arrays whose shapes do not fit, for example
            return None

    def named(self, results: Any) -> dict[str, np.ndarray]:
        """Return the results of a function by name, as arrays of float64."""
        results = (results,) if len(self.returns) == 1 else results
        return {name: np.asarray(result, float) for name, result in zip(self.returns, results, strict=True)}

    def bugs(self) -> list[str]:
        """Return the names of the gallery's bugs that the check recognizes."""
        special = [*self.kept.values(), *self.writes.values(), self.accumulates, self.uninitialized]
        return list(dict.fromkeys([name for name, _ in self.mistakes] + [name for name in special if name]))

    @property
    def starter(self) -> str:
        """The file with which the exercise begins."""
        return self._text("starter.txt")

    @property
    def solution(self) -> str:
        """A solution."""
        return self._text("solution.txt")

    @property
    def hints(self) -> list[str]:
        """The hints, the first of which says least."""
        return [hint.strip() for hint in re.split(r"^## Hint \d+\n", self._text("hints.md"), flags=re.MULTILINE)[1:]]

    def _text(self, name: str) -> str:
        return (CONTENT / self.name / name).read_text(encoding="utf-8")


def normal(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Return numbers of the standard normal distribution, rounded to two digits, which are easier to read in a picture."""
    return rng.normal(size=shape).round(2)


def copied(arguments: Arguments) -> Arguments:
    """Return the arguments with copies of the arrays, which have the same order in memory."""
    return {name: a.copy(order="K") if isinstance(a, np.ndarray) else a for name, a in arguments.items()}


def installed(name: str, function: Function) -> tuple[str, Function]:
    """Return the name of a bug, and a function that calls `function` with the bug installed.

    `function` has the signature of the exercise and calls the library through the table or module in which the gallery replaces
    something.

    Examples
    --------
    >>> from scratchnet.layers import Dense
    >>> def backward(dout, x, w):
    ...     return Dense.implementations["im2col"][1](dout, x, w)
    >>> name, wrong = installed("dense-bias-gradient-averaged", backward)
    >>> dout = np.array([[1.0, 3.0], [2.0, 5.0]])
    >>> backward(dout, np.ones((2, 1)), np.ones((1, 2)))[2], wrong(dout, np.ones((2, 1)), np.ones((1, 2)))[2]
    (array([3., 8.]), array([1.5, 4. ]))
    """
    return name, partial(_run_installed, name, function)


def _run_installed(name: str, function: Function, *arguments: Any, **named: Any) -> Any:
    with gallery.apply(name):
        return function(*arguments, **named)
