"""Question 2: which optimizer wins, at its default rate and at its own best rate? Why is Adadelta so slow?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from scratchnet import optimizers, plotting
from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce import numbers
from scratchnet.tools.reproduce.experiments import NET_2, Experiment
from scratchnet.tools.reproduce.numbers import Seeds, plural, verdict
from scratchnet.tools.reproduce.page import BAND, Cells, Page, data_title, paragraphs

PAPER = 1.0  # Zeiler's Adadelta has no learning rate, which is a rate of 1
GRADIENT = 0.01
MARKS = (1, 391, 6256)  # a step; an epoch and sixteen epochs of CIFAR-10 in batches of 128

STEPS = f"""One weight, a gradient of {GRADIENT:g} at every step, and how far the weight has moved; {MARKS[1]:,} steps are one
epoch of CIFAR-10, {MARKS[2]:,} are sixteen. Adadelta divides the gradient by its own recent size and multiplies it by that
of the recent steps, √(d + ε), where d is a moving average of their squares and is 0 at first: this factor starts at √ε and has
to grow from there, and the learning rate then scales the result. Adagrad divides by the root of the sum of all squared
gradients so far; this sum starts at 0.1, whatever the size of the gradient."""


def rates(page: Page) -> str:
    """Return the chapter."""
    epochs = page.plan.short["rates"]
    data = data_title(page.plan.photographs)
    parts = [f"## 2. Which optimizer wins on {data}, and why is Adadelta so slow?", page.missing("rates")]
    if page.done("rates"):
        about = f"net_2, the first {epochs} epochs. Each rate is trained with one seed, each optimizer's best with all seeds."
        parts += [about, markdown_table(sweep(page, epochs)), picture(page, epochs), *best_rates(page, epochs)]
    return paragraphs(*parts, "### How far a step goes", STEPS, markdown_table(steps()))


def default(optimizer: str) -> float:
    """Return an optimizer's default learning rate, which the study used."""
    return float(optimizers.KNOWN[optimizer]().learning_rate)


def rate_of(e: Experiment) -> float:
    """Return an experiment's learning rate."""
    return default(e.optimizer) if e.learning_rate is None else e.learning_rate


def first_seed(page: Page, e: Experiment, epochs: int) -> Seeds:
    """Summarize the first seed of an experiment; nothing if it failed within the first epoch."""
    return numbers.rows(page.of(e)[:1], epochs)


def sweep(page: Page, epochs: int) -> Iterator[Cells]:
    """Yield a row for each rate, from its first seed."""
    for e in sorted(page.done("rates"), key=lambda e: (e.optimizer, rate_of(e))):
        result, found = page.of(e)[0], first_seed(page, e, epochs)
        note = "default" if e.learning_rate is None else "the paper's" if (e.optimizer, rate_of(e)) == ("adadelta", PAPER) else ""
        if "failure" in result:
            note = f"the loss was no longer finite after {plural(len(result['history'].get('loss', ())), 'epoch')}"
        yield {
            "optimizer": e.optimizer,
            "learning rate": f"{rate_of(e):g}",
            "best validation accuracy (epoch)": found.best(),
            "lowest validation loss (epoch)": found.lowest(),
            "training accuracy, last": found.mean("last_train"),
            "": note,
        }


def picture(page: Page, epochs: int) -> str:
    """Draw the best accuracy over the rates."""
    lines: dict[str, dict[float, float]] = {}
    for e in page.done("rates"):
        for row in first_seed(page, e, epochs):
            lines.setdefault(e.optimizer, {})[rate_of(e)] = row.best
    return page.picture(
        "rates",
        "Best validation accuracy over the learning rate, by optimizer",
        plotting.over_rates,
        lines,
        defaults={o: default(o) for o in lines},
        ylabel=f"best validation accuracy in {epochs} epochs",
        title=f"net_2 on {data_title(page.plan.photographs)}, one seed",
    )


def best_rates(page: Page, epochs: int) -> list[str]:
    """Compare the optimizers, at their defaults and at the rate that won."""
    won = numbers.winners(page.plan, page.known)
    if not won:
        return ["The best rates are shown when the whole sweep is finished."]
    best = {o: page.plan.experiments[name] for o, name in won.items()}
    usual = {o: Experiment(NET_2, page.plan.photographs, o) for o in won}
    panels = {
        words: {o: page.series(e, "val_accuracy", epochs) for o, e in found.items()}
        for words, found in (("at the defaults", usual), ("each at its best rate", best))
    }
    at_default, at_best = ({o: page.rows(e, epochs) for o, e in found.items()} for found in (usual, best))
    lines = [
        {
            "optimizer": o,
            "default rate": f"{default(o):g}",
            "best validation accuracy at the default": at_default[o].mean("best"),
            "best rate": f"{rate_of(e):g}{edge(page, e)}",
            "best validation accuracy there (epoch)": at_best[o].best(),
            "seeds": len(at_best[o]),
        }
        for o, e in best.items()
    ]
    alt = "Validation accuracy per epoch at the default rates and at the best ones"
    curves = page.curves("rates-curves", alt, panels, f"net_2 on {data_title(page.plan.photographs)} ({BAND})")
    return [markdown_table(lines), curves, gains(at_default, at_best)]


def edge(page: Page, e: Experiment) -> str:
    """Return a note if a rate is at an end of its sweep, because a better one may lie outside."""
    tried = [rate_of(other) for other in page.plan.groups["rates"] if other.optimizer == e.optimizer]
    return " (the largest tried)" * (rate_of(e) == max(tried)) + " (the smallest tried)" * (rate_of(e) == min(tried))


def gains(at_default: dict[str, Seeds], at_best: dict[str, Seeds]) -> str:
    """Return what the default rates decide: Adam against the others, each against itself, and the spread of all."""
    lines = []
    for where, rows in (("At the defaults", at_default), ("Each at its best rate", at_best)):
        best = {o: found.values("best") for o, found in rows.items()}
        lines += [f"- {where}: {verdict('adam', best['adam'], o, best[o])}." for o in best if o != "adam"]
    usual, own = ({o: np.mean(rows.values("best") or [np.nan]) for o, rows in found.items()} for found in (at_default, at_best))
    lines += [f"- {o}: its best rate gives {own[o] - usual[o]:+.4f} over its default." for o in own]
    usual_spread, own_spread = (float(np.ptp(list(means.values()))) for means in (usual, own))
    lines.append(
        f"- The best and the worst of the three differ by {usual_spread:.4f} at the defaults and by {own_spread:.4f} at the best "
        f"rates: {share(usual_spread, own_spread)}"
    )
    return "\n".join(lines)


def share(at_default: float, at_best: float) -> str:
    """Return how much of the difference between the optimizers their default rates explain."""
    if not at_default > 0:
        return "the defaults make no difference."
    explained = 1 - at_best / at_default
    if explained > 0:
        return f"{explained:.0%} of the difference is due to the default rates."
    return "the default rates explain none of the difference."


@cache
def steps() -> list[Cells]:
    """Let each update rule move one weight with a constant gradient, and return a row for each: how far it has moved."""
    lines = []
    for optimizer, rate in (("adam", None), ("adagrad", None), ("adadelta", None), ("adadelta", PAPER)):
        rule = optimizers.KNOWN[optimizer](**({} if rate is None else {"learning_rate": rate}))
        p, g = np.zeros(1), np.full(1, GRADIENT)
        line = {"optimizer": optimizer, "learning rate": f"{rule.learning_rate:g}"}
        for step in range(1, MARKS[-1] + 1):
            rule.update([p], [g])
            if step in MARKS:
                line[plural(step, "step")] = f"{abs(p[0]):.2g}"
        lines.append(line)
    return lines
