"""What every chapter of a report uses: the finished results, its pictures, and the notes on what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchnet import plotting
from scratchnet.plotting.comparison import Series
from scratchnet.tools.reproduce import numbers, results
from scratchnet.tools.reproduce.experiments import Experiment, Plan
from scratchnet.tools.reproduce.numbers import Seeds
from scratchnet.tools.reproduce.results import Result

Cells = dict[str, Any]  # a row of a table, by the heads of the columns
BAND = "line: mean over seeds; band: from lowest to highest"


@dataclass(frozen=True)
class Page:
    """A report that is being written.

    Attributes
    ----------
    plan : Plan
    known : dict of str to list of Result
        By experiment, the first seed first; an experiment without a finished result is missing.
    out : path
        The folder of the page and its pictures.
    """

    plan: Plan
    known: dict[str, list[Result]]
    out: Path

    def of(self, experiment: Experiment) -> list[Result]:
        """Return an experiment's results, one for each seed."""
        return self.known.get(experiment.name, [])

    def rows(self, experiment: Experiment, epochs: int | None = None) -> Seeds:
        """Summarize an experiment's results, or their first epochs."""
        return numbers.rows(self.of(experiment), epochs)

    def series(self, experiment: Experiment, key: str, epochs: int | None = None) -> list[list[float]]:
        """Return for each seed one value for each epoch."""
        return [result["history"].get(key, [])[:epochs] for result in self.of(experiment)]

    def done(self, group: str) -> list[Experiment]:
        """Return the experiments of a group that have a finished result."""
        return [e for e in self.plan.groups[group] if self.of(e)]

    def picture(self, name: str, alt: str, draw: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        """Draw ``name.png`` beside the page, and return the line that shows it."""
        draw(*args, **kwargs, path=self.out / f"{name}.png")
        return f"![{alt}]({name}.png)"

    def curves(
        self, name: str, alt: str, panels: Mapping[str, Series], title: str, ylabel: str = "validation accuracy"
    ) -> str:
        """Draw a panel of curves over the epochs for each entry of `panels` with curves; return "" if no entry has any.

        Parameters
        ----------
        name, alt : str
            As for `picture`.
        panels : mapping
            Title of a panel -> name of a line -> one series for each seed, one value for each epoch.
        title, ylabel : str
        """
        drawn = {panel: lines for panel, lines in panels.items() if any(map(any, lines.values()))}
        return self.picture(name, alt, plotting.compare, drawn, ylabel=ylabel, title=title) if drawn else ""

    def missing(self, group: str) -> str:
        """Return a note that names a group's experiments that are not trained yet, or "" if all are trained."""
        left = ", ".join(f"`{e.name}`" for e in self.plan.groups[group] if not self.of(e))
        quick = " --quick" * self.plan.quick
        return left and f"Not trained yet: {left}. `scratchnet reproduce{quick} --only {group}` trains them."


def collect(plan: Plan, out: Path) -> dict[str, list[Result]]:
    """Read all finished results that belong to the plan, those of every seed."""
    known: dict[str, list[Result]] = {}
    for name, experiment in plan.experiments.items():
        prefix, suffix = f"{name}-seed", ".json"
        found = [file.name for file in (out / "histories").glob(f"{prefix}*{suffix}")]
        seeds = sorted(int(seed) for text in found if (seed := text[len(prefix) : -len(suffix)]).isdigit())
        if seeds:
            known[name] = [result for seed in seeds if (result := results.finished(out, experiment, seed)) is not None]
    return known


def paragraphs(*parts: str) -> str:
    """Join the parts that are not empty, with an empty line between two of them."""
    return "\n\n".join(filter(None, parts))


def data_title(data: str) -> str:
    """Return the usual name of a data set."""
    return {"mnist": "MNIST", "cifar10": "CIFAR-10"}.get(data, data)


def run_title(e: Experiment) -> str:
    """Return the net and the data of an experiment in words."""
    return f"{e.net.name} on {data_title(e.data)}"
