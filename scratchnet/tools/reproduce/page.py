"""What every chapter of a report has at hand: the finished results, and how tables and pictures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.tools.reproduce import ledger, numbers, results
from scratchnet.tools.reproduce.experiments import SHAPES, Experiment, Net, Plan
from scratchnet.tools.reproduce.results import Result


@dataclass(frozen=True)
class Page:
    """A report that is being written.

    Attributes
    ----------
    plan : Plan
    known : dict of str to list of Result
        By experiment, the first seed first; experiments of which nothing is finished are missing.
    out : path
        Where pictures go, beside the page.
    """

    plan: Plan
    known: dict[str, list[Result]]
    out: Path

    def of(self, experiment: Experiment) -> list[Result]:
        """Give an experiment's results, one a seed."""
        return self.known.get(experiment.name, [])

    def rows(self, experiment: Experiment, epochs: int | None = None) -> list[numbers.Row]:
        """Summarize an experiment's results, or their first epochs."""
        return numbers.rows(self.of(experiment), epochs)

    def series(self, experiment: Experiment, key: str, epochs: int | None = None) -> list[list[float]]:
        """Give one value an epoch for each seed."""
        return [result["history"].get(key, [])[:epochs] for result in self.of(experiment)]

    def done(self, group: str) -> list[Experiment]:
        """Give those experiments of a group of which something is finished."""
        return [e for e in self.plan.groups[group] if self.of(e)]

    def picture(self, name: str, alt: str, draw: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        """Draw ``name.png`` beside the page and give the line that shows it."""
        draw(*args, **kwargs, path=self.out / f"{name}.png")
        return f"![{alt}]({name}.png)"


def collect(plan: Plan, out: Path) -> dict[str, list[Result]]:
    """Read all finished results that belong to the plan, every seed that is there."""
    known: dict[str, list[Result]] = {}
    for name, experiment in plan.experiments.items():
        prefix, suffix = f"{name}-seed", ".json"
        found = [file.name for file in (out / "histories").glob(f"{prefix}*{suffix}")]
        seeds = sorted(int(seed) for text in found if (seed := text[len(prefix) : -len(suffix)]).isdigit())
        if seeds:
            known[name] = [result for seed in seeds if (result := results.finished(out, experiment, seed)) is not None]
    return known


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a Markdown table.

    >>> print(table(["a", "b"], [[1, "x"]]))
    | a | b |
    |---|---|
    | 1 | x |
    """
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def verdict(a_name: str, a: Sequence[float], b_name: str, b: Sequence[float], digits: int = 4) -> str:
    """Write which of two is larger, as far as their seeds tell.

    >>> verdict("max", [3.0, 4.0], "none", [1.0, 2.0], 1)
    'max 3.5 ± 0.7, none 1.5 ± 0.7: **max is higher** with every seed'
    >>> verdict("max", [3.0], "none", [1.0], 1)
    'max 3.0, none 1.0: one seed decides nothing'
    """
    both = f"{a_name} {numbers.mean_spread(a, digits)}, {b_name} {numbers.mean_spread(b, digits)}"
    if not a or not b:
        return f"{both}: not trained yet"
    if min(len(a), len(b)) < 2:
        return f"{both}: one seed decides nothing"
    higher = numbers.compare(a, b)
    if not higher:
        return f"{both}: **no clear difference**, the seeds overlap"
    return f"{both}: **{a_name if higher > 0 else b_name} is higher** with every seed"


def difference(a: Sequence[float], b: Sequence[float], digits: int = 4) -> str:
    """Write by how much the mean of `a` is above that of `b`, and whether the seeds agree on it.

    >>> difference([3.0, 4.0], [1.0, 2.0], 1), difference([3.0, 4.0], [3.5, 3.5], 1), difference([3.0], [1.0], 1)
    ('**+2.0**, clear', '+0.0, seeds overlap', '+2.0, one seed')
    """
    if not a or not b:
        return "–"
    by = f"{float(np.mean(a)) - float(np.mean(b)):+.{digits}f}"
    if min(len(a), len(b)) < 2:
        return f"{by}, one seed"
    return f"**{by}**, clear" if numbers.compare(a, b) else f"{by}, seeds overlap"


def missing(page: Page, group: str) -> str:
    """Say what of a group is not trained yet, and how it is; nothing when all is."""
    left = [e.name for e in page.plan.groups[group] if not page.of(e)]
    if not left:
        return ""
    quick = " --quick" if page.plan.quick else ""
    return f"Not trained yet: {', '.join(f'`{name}`' for name in left)}. `scratchnet reproduce{quick} --only {group}` does it."


def spoken(data: str) -> str:
    """Write a data set's name as one says it."""
    return {"mnist": "MNIST", "cifar10": "CIFAR-10"}.get(data, data)


def epochs_of(values: Iterable[Any]) -> str:
    """Write one epoch for each seed.

    >>> epochs_of([4, 3, None])
    '4, 3, never'
    """
    return ", ".join("never" if value is None else str(value) for value in values)


@cache
def size(net: Net, data: str) -> Mapping[str, int]:
    """Count a net's parameters and forward multiply-adds for one image."""
    rows = ledger.count(net.build(SHAPES[data], 10, 0))
    return {"parameters": sum(row["parameters"] for row in rows), "madds": sum(row["forward_madds"] for row in rows)}
