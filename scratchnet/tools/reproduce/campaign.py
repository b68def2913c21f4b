"""Many training runs, one after another, with the total progress and the remaining time.

All experiments are trained with the first seed before any is trained with the second. So a campaign that is stopped early may
already have a result for each. The work of an epoch is counted in multiply-adds, from which the remaining time is estimated. A
terminal shows one bar; without a terminal, each epoch prints a line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from scratchnet.callbacks import Callback
from scratchnet.callbacks.progress import describe
from scratchnet.tools.reproduce import ledger, numbers, results, trial
from scratchnet.tools.reproduce.experiments import RATES, Experiment, Plan


class Progress(Callback):
    """Show how much of all the work is done: with a bar on a terminal, otherwise with a line for each epoch.

    Parameters
    ----------
    total : float
        The work of everything that still has to be trained, in multiply-adds.
    """

    def __init__(self, total: float):
        form = "{percentage:3.0f} % {bar:12} {elapsed}, {remaining} left  {desc}"
        self.bar = tqdm(total=total, disable=None, dynamic_ncols=True, bar_format=form)
        self.total, self.done, self.began = total, 0.0, time.perf_counter()
        self.work = 0.0
        self.title = self.epoch = ""

    def start(self, title: str, work: float) -> None:
        """Set the name of the next run, and the work of each of its epochs."""
        self.title, self.work = title, work

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the name of the epoch."""
        self.epoch = f"{self.title} epoch {epoch + 1}/{self.params['epochs']}"

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Advance the bar."""
        if not self.bar.disable:
            self.bar.set_description_str(f"{self.epoch}: {describe(dict(logs or {}))}", refresh=False)
            self.bar.update(self.work / self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Print the epoch's values if there is no bar."""
        self.done += self.work
        if self.bar.disable:
            share = min(self.done / self.total, 1.0) if self.total else 1.0
            left = clock((time.perf_counter() - self.began) * (1 - share) / share)
            print(f"{self.epoch}: {describe(dict(logs or {}))}; {share:.0%} done, {left} left", flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()


def clock(seconds: float) -> str:
    """Return a time in words.

    >>> clock(5), clock(65), clock(7384)
    ('5 s', '1 min', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def run(plan: Plan, selected: Mapping[str, Experiment], seeds: int, out: Path) -> None:
    """Train everything that is selected and not finished, with seeds 0 to `seeds` - 1.

    Raises
    ------
    ValueError
        If a finished result has other settings than the plan; nothing is trained then.
    """
    every = list(tasks(plan, selected, seeds, out))
    left = [e for e, seed in every if results.finished(out, e, seed) is None]
    if left:
        epochs = sum(e.epochs for e in left)
        print(f"{len(left)} of {len(every)} runs are left, {epochs} epochs; --out {out} keeps what is finished", flush=True)
    progress = Progress(sum(epoch_work(e) * e.epochs for e in left) + unknown_work(plan, selected, seeds, out))
    try:
        for experiment, seed in tasks(plan, selected, seeds, out):
            if results.finished(out, experiment, seed) is None:
                progress.start(results.label(experiment.name, seed), epoch_work(experiment))
                trial.run(experiment, seed, out, [progress])
    finally:
        progress.close()


def tasks(plan: Plan, selected: Mapping[str, Experiment], seeds: int, out: Path) -> Iterator[tuple[Experiment, int]]:
    """Yield each run in order. The best rate of each optimizer is known after the first seed; the other seeds include it."""
    for seed in range(seeds):
        for name, experiment in selected.items():
            if seed == 0 or name not in plan.one_seed:
                yield experiment, seed
        if seed and sweeps(plan, selected):
            first = {name: results.finished(out, e, 0) for name, e in plan.experiments.items()}
            known = {name: [result] for name, result in first.items() if result is not None}
            for winner in numbers.winners(plan, known).values():
                if winner in plan.one_seed:
                    yield plan.experiments[winner], seed


def sweeps(plan: Plan, selected: Mapping[str, Experiment]) -> bool:
    """Return whether all learning rates are selected; a single one is no sweep."""
    return all(e.name in selected for e in plan.groups["rates"])


def unknown_work(plan: Plan, selected: Mapping[str, Experiment], seeds: int, out: Path) -> float:
    """Return the work of the best rates while they are unknown: one run for each optimizer and each further seed."""
    if not sweeps(plan, selected) or all(results.finished(out, e, 0) for e in plan.groups["rates"]):
        return 0.0
    longest = next(e for e in plan.groups["rates"] if e.name in plan.one_seed)
    return epoch_work(longest) * longest.epochs * (seeds - 1) * len(RATES)


def epoch_work(experiment: Experiment) -> float:
    """Return the multiply-adds of an epoch: training forward and backward, validation forward."""
    train, test = experiment.sizes()
    work = ledger.totals(experiment.net, experiment.data)
    return float(train * (work["forward_madds"] + work["backward_madds"]) + test * work["forward_madds"])
