"""Many trainings, one after another, with the progress of the whole and the time that is left.

The first seed comes first for all, so that a campaign that is stopped half-way has every experiment once. The work of an
epoch is reckoned in multiply-adds, from which the time left is estimated: on a terminal by one bar, elsewhere in the
line that each epoch prints.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scratchnet.callbacks import Callback
from scratchnet.callbacks.progress import describe
from scratchnet.tools.reproduce import ledger, numbers, results, trial
from scratchnet.tools.reproduce.experiments import IMAGES, RATES, SHAPES, Experiment, Net, Plan


class Progress(Callback):
    """Show how much of all the work is done: a bar on a terminal, a line an epoch elsewhere.

    Parameters
    ----------
    total : float
        Work of everything that is still to be trained, in multiply-adds.
    """

    def __init__(self, total: float):
        form = "{percentage:3.0f} % {bar:12} {elapsed}, {remaining} left  {desc}"
        self.bar = tqdm(total=total, disable=None, dynamic_ncols=True, bar_format=form)
        self.total, self.done, self.began = total, 0.0, time.perf_counter()
        self.work = 0.0
        self.title = self.epoch = ""

    def start(self, title: str, work: float) -> None:
        """Name the next training, and the work of one of its epochs."""
        self.title, self.work = title, work

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Name the epoch."""
        self.epoch = f"{self.title} epoch {epoch + 1}/{self.params['epochs']}"

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Move the bar on."""
        if not self.bar.disable:
            self.bar.set_description_str(f"{self.epoch}: {describe(dict(logs or {}))}", refresh=False)
            self.bar.update(self.work / self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Print the epoch's values where there is no bar."""
        self.done += self.work
        if self.bar.disable:
            share = min(self.done / self.total, 1.0) if self.total else 1.0
            left = clock((time.perf_counter() - self.began) * (1 - share) / share)
            print(f"{self.epoch}: {describe(dict(logs or {}))}; {share:.0%} done, {left} left", flush=True)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()


def clock(seconds: float) -> str:
    """Write a time as one reads it.

    >>> clock(5), clock(65), clock(7384)
    ('5 s', '1 min', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def run(plan: Plan, selected: Mapping[str, Experiment], seeds: int, out: Path) -> None:
    """Train all that is selected and not finished, with seeds 0 to `seeds` - 1.

    Raises
    ------
    ValueError
        When a finished result has other settings than are asked for: before anything is trained.
    """
    every = list(tasks(plan, selected, seeds, out))
    left = [e for e, seed in every if results.finished(out, e, seed) is None]
    if left:
        count = sum(e.epochs for e in left)
        print(f"{len(left)} of {len(every)} trainings are left, {count} epochs; --out {out} keeps what is finished", flush=True)
    work = sum(epoch_work(e) * e.epochs for e in left) + unknown_work(plan, selected, seeds, out)
    progress = Progress(work)
    try:
        for experiment, seed in tasks(plan, selected, seeds, out):
            if results.finished(out, experiment, seed) is None:
                progress.start(results.label(experiment.name, seed), epoch_work(experiment))
                trial.run(experiment, seed, out, [progress])
    finally:
        progress.close()


def tasks(plan: Plan, selected: Mapping[str, Experiment], seeds: int, out: Path) -> Iterator[tuple[Experiment, int]]:
    """Give each training in order; what won the sweep is known, and given, once the first seed is through."""
    for seed in range(seeds):
        for name, experiment in selected.items():
            if seed == 0 or name not in plan.one_seed:
                yield experiment, seed
        if seed and sweeps(plan, selected):
            known = {name: [found] for name in plan.experiments if (found := _read(out, plan, name)) is not None}
            for winner in numbers.winners(plan, known).values():
                if winner in plan.one_seed:
                    yield plan.experiments[winner], seed


def sweeps(plan: Plan, selected: Mapping[str, Experiment]) -> bool:
    """Say whether all of the learning rates are selected: one that is picked out alone is no sweep to win."""
    return all(e.name in selected for e in plan.groups["rates"])


def unknown_work(plan: Plan, selected: Mapping[str, Experiment], seeds: int, out: Path) -> float:
    """Reckon the winners' work while they are unknown: one training for each optimizer and each further seed."""
    if not sweeps(plan, selected) or all(_read(out, plan, e.name) for e in plan.groups["rates"]):
        return 0.0
    longest = next(e for e in plan.groups["rates"] if e.name in plan.one_seed)
    return epoch_work(longest) * longest.epochs * (seeds - 1) * len(RATES)


def _read(out: Path, plan: Plan, name: str) -> Any:
    return results.finished(out, plan.experiments[name], 0)


def epoch_work(experiment: Experiment) -> float:
    """Reckon the multiply-adds of an epoch: training forward and backward, validation forward."""
    train, test = IMAGES[experiment.data]
    if experiment.limit:
        train, test = min(train, experiment.limit), min(test, experiment.limit // 2)
    forward, backward = _multiply_adds(experiment.net, SHAPES[experiment.data])
    return float(train * (forward + backward) + test * forward)


@cache
def _multiply_adds(net: Net, shape: tuple[int, ...]) -> tuple[int, int]:
    rows = ledger.count(net.build(shape, 10, 0))
    return sum(row["forward_madds"] for row in rows), sum(row["backward_madds"] for row in rows)
