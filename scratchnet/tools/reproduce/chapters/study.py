"""The six experiments: our figures, compared with Keras's and with what the study says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from scratchnet import plotting
from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce.experiments import NET_1, Experiment, Net
from scratchnet.tools.reproduce.numbers import Seeds, compare, difference, mean_spread, plural
from scratchnet.tools.reproduce.page import Cells, Page, paragraphs, run_title
from scratchnet.tools.reproduce.published import KERAS, KERAS_VERSION, STUDY, STUDY_CEILING, TOLERANCE, keras_difference


def study(page: Page) -> str:
    """Return the chapter."""
    parts = ["## The six experiments", page.missing("study"), *ours(page)]
    if not page.plan.quick and page.done("study"):
        parts += ["### Compared with Keras", *keras(page), "### What the study says", markdown_table(claims(page))]
    return paragraphs(*parts, "### The figures", *figures(page))


def ours(page: Page) -> list[str]:
    """Return two tables of our figures, and what their columns mean."""
    threads = Counter(row.threads for e in page.done("study") for row in page.rows(e))
    usual = max(threads, key=lambda n: threads[n], default=1)
    about = f"""Means over the seeds ± their standard deviation; in parentheses one epoch for each seed. Seconds are those of
the median epoch times the number of epochs, for the training runs on {plural(usual, 'thread')}."""
    done = page.done("study")
    tables = [[accuracies(page, e) for e in done], [losses(page, e, usual) for e in done]]
    return [*map(markdown_table, tables), about] if done else []


def accuracies(page: Page, e: Experiment) -> Cells:
    """Return a row of the first table: the accuracies of one experiment."""
    rows = page.rows(e)
    return {
        "experiment": f"`{e.name}`",
        "seeds": len(rows),
        "best validation accuracy (epoch)": rows.best(),
        "last validation accuracy": rows.mean("last"),
        "last training accuracy": rows.mean("last_train"),
        "epochs to 98 %": rows.epochs("to_98") if e.data == page.plan.digits else "–",
    }


def losses(page: Page, e: Experiment, threads: int) -> Cells:
    """Return a row of the second table: the losses of one experiment, and its seconds on `threads` threads."""
    rows = page.rows(e)
    return {
        "experiment": f"`{e.name}`",
        "lowest validation loss (epoch)": rows.lowest(),
        "last validation loss": rows.mean("last_loss"),
        "seconds": Seeds(row for row in rows if row.threads == threads).mean("seconds", 0),
    }


def keras(page: Page) -> list[str]:
    """Compare our best validation accuracies with Keras's, within the tolerance of the data."""
    # An experiment without rows had no finite loss in any seed; the table above shows that.
    lines = {e.name: keras_figures(page, e) for e in page.done("study") if page.rows(e)}
    far = [f"`{name}`" for name, line in lines.items() if line["verdict"] != "agrees"]
    total = f"{len(lines) - len(far)} of {len(lines)} agree"
    beyond = f"; outside the tolerance: {', '.join(far)}. Question 5 examines one reason, the order of the images." if far else "."
    about = f"{KERAS_VERSION}, one seed, the same data, batch size and number of epochs."
    others = (other_figures(page, e) for e in page.done("study") if page.rows(e))
    return [about, markdown_table(lines.values()), total + beyond, "Ours / Keras's:", markdown_table(others)]


def keras_figures(page: Page, e: Experiment) -> Cells:
    """Return a row of the first table: the best accuracy of one experiment compared with Keras's."""
    theirs, rows = KERAS[e.name], page.rows(e)
    off, agrees = keras_difference(e.name, e.data, rows.values("best"))
    once = page.rows(replace(e, epochs=page.plan.short["order"], shuffled="once")).values("best")
    explained = bool(once) and keras_difference(e.name, e.data, once)[1]
    return {
        "experiment": f"`{e.name}`",
        "best validation accuracy": rows.mean("best"),
        "Keras's (epoch)": f"{theirs.best:.4f} ({theirs.best_epoch})",
        "difference": f"{off:+.4f}",
        "allowed": f"{TOLERANCE[e.data]:g}",
        "verdict": "agrees" if agrees else "**differs**" + "; agrees when images keep their order, see question 5" * explained,
    }


def other_figures(page: Page, e: Experiment) -> Cells:
    """Return a row of the second table: what else can be compared with Keras's."""
    theirs, rows = KERAS[e.name], page.rows(e)
    return {
        "experiment": f"`{e.name}`",
        "lowest validation loss (Keras's epoch)": f"{rows.mean('low_loss')} / {theirs.low_loss:.4f} ({theirs.low_epoch})",
        "last training accuracy": f"{rows.mean('last_train')} / {theirs.last_train:.4f}",
        "epochs to 98 %": f"{rows.epochs('to_98')} / {theirs.to_98}" if e.data == page.plan.digits else "–",
    }


def claims(page: Page) -> Iterator[Cells]:
    """Yield a row for each statement of the study, with our figures."""
    rows = {e.name: page.rows(e) for e in page.plan.groups["study"]}
    yield from best_on_mnist(rows["net_1-mnist-adam"])
    yield from max_pooling(page)
    yield from net_1_overfits(rows["net_1-cifar10-adam"])
    yield from adam_wins(*(rows[f"net_2-cifar10-{optimizer}"] for optimizer in ("adam", "adadelta", "adagrad")))


def claim(study: str, found: str, verdict: str) -> Cells:
    """Return a row of the table of claims."""
    return {"the study": study, "we find": found, "verdict": verdict}


def best_on_mnist(rows: Seeds) -> Iterator[Cells]:
    """Check the best accuracy that the study prints for MNIST."""
    if rows:
        theirs = STUDY["net_1-mnist-adam"].best or 0.0
        verdict = "confirmed" if min(rows.values("best")) <= theirs + TOLERANCE["mnist"] else "not found: ours is higher"
        verdict += ", already after one epoch" * (min(rows.values("first")) > theirs)
        found = f"best {rows.mean('best')}; after the first epoch {rows.mean('first')}"
        yield claim(f"net_1's best validation accuracy on MNIST is {theirs}", found, verdict)


def max_pooling(page: Page) -> Iterator[Cells]:
    """Check the claim about pooling against the net that differs from net_1 in the pooling alone; question 1 has more."""
    epochs = page.plan.short["pooling"]
    pooled, plain = (page.rows(Experiment(net, page.plan.digits), epochs) for net in (NET_1, Net(1)))
    if not pooled or not plain:
        return
    first = pooled.values("first"), plain.values("first")
    reached = pooled.values("to_98"), plain.values("to_98")
    faster = compare(*first) > 0 or compare(*reached) < 0
    slower = compare(*first) < 0 or compare(*reached) > 0
    if min(map(len, first)) < 2:
        verdict = "undecided, with one seed"
    elif faster and slower:
        verdict = "in one of the two measures only"
    else:
        verdict = "confirmed" if faster else "the opposite" if slower else "not found: no clear difference"
    found = (
        f"epochs to 98 %, of net_1 with its pooling and without it: {pooled.epochs('to_98')} and {plain.epochs('to_98')}; "
        f"difference of the validation accuracy after epoch 1: {difference(*first)}"
    )
    yield claim("with max-pooling MNIST converges in fewer epochs", found, verdict)


def net_1_overfits(rows: Seeds) -> Iterator[Cells]:
    """Check what the study says of net_1 on CIFAR-10."""
    if not rows:
        return
    theirs = STUDY["net_1-cifar10-adam"]
    train, last, epoch = theirs.last_train or 0.0, theirs.last or 0.0, theirs.low_epoch or 0
    yield claim(
        f"net_1 on CIFAR-10 ends at training accuracy {train} and validation accuracy {last}",
        f"{rows.mean('last_train')} and {rows.mean('last')}",
        f"{np.mean(rows.values('last_train')) - train:+.4f} and {np.mean(rows.values('last')) - last:+.4f}",
    )
    near = all(abs(row.low_epoch - epoch) <= 1 for row in rows)
    yield claim(
        f"there the validation loss is lowest near epoch {epoch}",
        f"epoch {rows.epochs('low_epoch')}",
        "confirmed, within one epoch" if near else "not found",
    )
    rise = [row.last_loss / row.low_loss for row in rows]
    yield claim(
        "and then rises: net_1 overfits",
        f"at the end {mean_spread(rise, 1)} times the lowest; training minus validation accuracy {rows.mean('gap', 2)}",
        "confirmed" if min(rise) > 1.1 else "not found",
    )


def adam_wins(adam: Seeds, adadelta: Seeds, adagrad: Seeds) -> Iterator[Cells]:
    """Check what the study says of the three optimizers on CIFAR-10, at their default rates."""
    if not adadelta or not adagrad:
        return
    ours, others = adam.values("best"), [adadelta.values("best"), adagrad.values("best")]
    highest = max(map(max, others))
    yield claim(
        f"Adadelta and Adagrad stay below about {STUDY_CEILING} on CIFAR-10",
        f"Adadelta {adadelta.mean('best')}; Adagrad {adagrad.mean('best')}",
        "confirmed, at the default rates" if highest < STUDY_CEILING else "not found",
    )
    if adam:
        ahead = "ahead, with one seed" if min(ours) > highest else "not found"
        verdict = "confirmed at the default rates" if all(compare(ours, other) > 0 for other in others) else ahead
        yield claim("Adam wins", f"Adam {adam.mean('best')}", f"{verdict}; for each at its own best rate, see question 2")


def figures(page: Page) -> list[str]:
    """Draw the study's figure of each experiment, from the first seed."""
    drawn = []
    for e in page.done("study"):
        result = page.of(e)[0]
        if result["history"].get("loss"):
            title = f"{run_title(e)}, {e.optimizer.capitalize()}, seed {result['seed']}"
            alt = f"Accuracy and loss per epoch: {title}"
            drawn.append(page.picture(e.name, alt, plotting.history, result["history"], title=title))
    return drawn
