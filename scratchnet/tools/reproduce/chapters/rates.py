"""Question 2: which optimizer wins, at its default and at its own good learning rate? Why does Adadelta crawl?"""

from __future__ import annotations

from functools import cache

import numpy as np

from scratchnet import plotting
from scratchnet.tools import train
from scratchnet.tools.reproduce.experiments import NET_2, Experiment
from scratchnet.tools.reproduce.numbers import mean_spread, row, values, winners
from scratchnet.tools.reproduce.page import Page, epochs_of, missing, spoken, table, verdict

PAPER = 1.0  # Zeiler's Adadelta has no rate, which is a rate of 1
GRADIENT = 0.01


def rates(page: Page) -> str:
    """Write the chapter."""
    epochs = page.plan.short["rates"]
    parts = [f"## 2. Which optimizer wins on {spoken(page.plan.photographs)}, and why does Adadelta crawl?", missing(page, "rates")]
    if page.done("rates"):
        about = f"net_2, the first {epochs} epochs. The sweep has one seed; each optimizer's best rate has all of them."
        parts += [about, sweep(page, epochs), picture(page, epochs), best_rates(page, epochs)]
    parts += ["### How far a step goes", steps()]
    return "\n\n".join(filter(None, parts))


def default(optimizer: str) -> float:
    """Ask an optimizer for its default rate, which the study used."""
    return float(train.OPTIMIZERS[optimizer]().learning_rate)


def rate_of(e: Experiment) -> float:
    """Tell an experiment's learning rate."""
    return default(e.optimizer) if e.learning_rate is None else e.learning_rate


def sweep(page: Page, epochs: int) -> str:
    """Tabulate the first seed of every rate."""
    lines = []
    for e in sorted(page.done("rates"), key=lambda e: (e.optimizer, rate_of(e))):
        result = page.of(e)[0]
        found = row(result, epochs)
        note = "default" if e.learning_rate is None else "the paper's" if (e.optimizer, rate_of(e)) == ("adadelta", PAPER) else ""
        if "failure" in result:
            note = f"the loss was no longer finite after {len(result['history'].get('loss', ()))} epochs"
        if found is None:
            lines.append([e.optimizer, f"{rate_of(e):g}", "–", "–", "–", note])
        else:
            best, low = f"{found.best:.4f} ({found.best_epoch})", f"{found.low_loss:.4f} ({found.low_epoch})"
            lines.append([e.optimizer, f"{rate_of(e):g}", best, low, f"{found.last_train:.4f}", note])
    head = ["optimizer", "learning rate", "best validation accuracy (epoch)", "lowest validation loss (epoch)"]
    return table([*head, "training accuracy, last", ""], lines)


def picture(page: Page, epochs: int) -> str:
    """Draw the best accuracy over the rates."""
    lines: dict[str, dict[float, float]] = {}
    for e in page.done("rates"):
        found = row(page.of(e)[0], epochs)
        if found is not None:
            lines.setdefault(e.optimizer, {})[rate_of(e)] = found.best
    return page.picture(
        "rates",
        "Best validation accuracy over the learning rate, by optimizer",
        plotting.over_rates,
        lines,
        defaults={o: default(o) for o in lines},
        ylabel=f"best validation accuracy in {epochs} epochs",
        title=f"net_2 on {spoken(page.plan.photographs)}, one seed",
    )


def best_rates(page: Page, epochs: int) -> str:
    """Hold the optimizers against each other, at their defaults and at the rate that won."""
    won = winners(page.plan, page.known)
    if not won:
        return "Which rate is best is said when the whole sweep is finished."
    experiments = page.plan.experiments
    lines, at_best, at_default, curves, usual_curves = [], {}, {}, {}, {}
    for optimizer, name in won.items():
        e, usual = experiments[name], Experiment(NET_2, page.plan.photographs, optimizer)
        tried = sorted(rate_of(other) for other in page.plan.groups["rates"] if other.optimizer == optimizer)
        at_best[optimizer], at_default[optimizer] = page.rows(e, epochs), page.rows(usual, epochs)
        edge = " (the largest tried)" * (rate_of(e) == tried[-1]) + " (the smallest tried)" * (rate_of(e) == tried[0])
        best = values(at_best[optimizer], "best")
        lines.append(
            [
                optimizer,
                f"{default(optimizer):g}",
                mean_spread(values(at_default[optimizer], "best")),
                f"{rate_of(e):g}{edge}",
                f"{mean_spread(best)} ({epochs_of(r.best_epoch for r in at_best[optimizer])})",
                len(best),
            ]
        )
        curves[optimizer] = page.series(e, "val_accuracy", epochs)
        usual_curves[optimizer] = page.series(usual, "val_accuracy", epochs)
    head = ["optimizer", "default rate", "best validation accuracy there", "best rate"]
    text = [table([*head, "best validation accuracy there (epoch)", "seeds"], lines)]
    text.append(
        page.picture(
            "rates-curves",
            "Validation accuracy per epoch at the default rates and at the best ones",
            plotting.compare,
            {"at the defaults": usual_curves, "each at its best rate": curves},
            ylabel="validation accuracy",
            title=f"net_2 on {spoken(page.plan.photographs)} (line: mean over seeds; band: from lowest to highest)",
        )
    )
    said = []
    for where, found in (("At the defaults", at_default), ("Each at its best rate", at_best)):
        for other in [o for o in won if o != "adam"]:
            said.append(f"- {where}: {verdict('adam', values(found['adam'], 'best'), other, values(found[other], 'best'))}.")
    for o in won:
        gain = np.mean(values(at_best[o], "best") or [np.nan]) - np.mean(values(at_default[o], "best") or [np.nan])
        said.append(f"- {o}: its best rate gives {gain:+.4f} over its default.")
    spread = {name: np.ptp([np.mean(values(f, "best") or [np.nan]) for f in found.values()]) for name, found in
              (("defaults", at_default), ("best", at_best))}  # fmt: skip
    said.append(
        f"- Between the best and the worst of the three lie {spread['defaults']:.4f} at the defaults and {spread['best']:.4f} at "
        f"the best rates: {_share(spread['defaults'], spread['best'])}"
    )
    return "\n\n".join([*text, "\n".join(said)])


def _share(at_default: float, at_best: float) -> str:
    if not at_default > 0:
        return "the defaults make no difference."
    share = 1 - at_best / at_default
    return f"{share:.0%} of the difference is one of default rates." if share > 0 else "it is none of default rates."


@cache
def steps() -> str:
    """Let each rule move one weight along a gradient that stays the same, and tell how far it came."""
    marks = (1, 391, 6256)  # a step; an epoch and sixteen of CIFAR-10 in batches of 128
    lines = []
    for optimizer, rate in (("adam", None), ("adagrad", None), ("adadelta", None), ("adadelta", PAPER)):
        rule = train.OPTIMIZERS[optimizer](**({} if rate is None else {"learning_rate": rate}))
        p, g, came = np.zeros(1), np.full(1, GRADIENT), []
        for step in range(1, marks[-1] + 1):
            rule.update([p], [g])
            if step in marks:
                came.append(f"{abs(p[0]):.2g}")
        lines.append([optimizer, f"{rule.learning_rate:g}", *came])
    head = ["optimizer", "learning rate", *(f"{n:,} step{'s' * (n > 1)}" for n in marks)]
    about = f"""One weight, a gradient of {GRADIENT:g} at every step, and how far the weight has come; {marks[1]:,} steps are an
epoch of CIFAR-10, {marks[2]:,} are sixteen. Adadelta's step is the size of its recent steps, √(d + ε) with d = 0 at first: it
starts at √ε and must grow by itself, and the rate then scales what comes out. Adagrad divides by the root of all squares
so far, which starts at 0.1 and not at the gradient's own size."""
    return f"{about}\n\n{table(head, lines)}"
