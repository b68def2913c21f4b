"""Question 5, which the study did not ask and the comparison with Keras does: does it matter when images are shuffled?"""

from __future__ import annotations

from scratchnet import plotting
from scratchnet.tools.reproduce.experiments import Experiment
from scratchnet.tools.reproduce.numbers import mean_spread, values
from scratchnet.tools.reproduce.page import Page, difference, epochs_of, missing, spoken, table
from scratchnet.tools.reproduce.published import KERAS, KERAS_VERSION, beside_keras

ABOUT = """`fit` draws a new order of the training images for every epoch. Here the same is trained with images that were
shuffled once, with the seed, and never again; all else is equal, the weights at the start too."""

WHY = f"""It is asked because of Keras. Its `fit` draws an order for every epoch as well, but on TensorFlow, once
`keras.utils.set_random_seed` was called, it is the same order in every epoch; and whoever wants a training that can be
repeated calls it. `python examples/08_the_order_of_images.py` shows it. So the figures of {KERAS_VERSION} that stand above
are probably of images in one order."""


def order(page: Page) -> str:
    """Write the chapter."""
    epochs = page.plan.short["order"]
    parts = ["## 5. Does it matter whether images are shuffled for every epoch?", ABOUT]
    parts += ["" if page.plan.quick else WHY, missing(page, "order")]
    pairs = [(studied, once) for studied, once in both(page) if page.of(studied) and page.of(once)]
    if pairs:
        parts += [f"The first {epochs} epochs.", effect(page, pairs, epochs), picture(page, pairs, epochs)]
    return "\n\n".join(filter(None, parts))


def both(page: Page) -> list[tuple[Experiment, Experiment]]:
    """Pair each of the study's trainings with the same one in one order."""
    group = {e.name: e for e in page.plan.groups["order"]}
    return [(group[Experiment(e.net, e.data, e.optimizer).name], e) for e in group.values() if e.shuffled == "once"]


def effect(page: Page, pairs: list[tuple[Experiment, Experiment]], epochs: int) -> str:
    """Tabulate what the order does, and where one order stands beside Keras."""
    lines = []
    for studied, once in pairs:
        rows = {e.shuffled: page.rows(e, epochs) for e in (studied, once)}
        best = {shuffled: values(found, "best") for shuffled, found in rows.items()}
        lines.append(
            [
                f"{once.net.name} on {spoken(once.data)}",
                *(f"{mean_spread(best[s])} ({epochs_of(r.best_epoch for r in found)})" for s, found in rows.items()),
                difference(best["every epoch"], best["once"]),
                difference(values(rows["every epoch"], "low_loss"), values(rows["once"], "low_loss")),
                *keras(page, studied, best["once"]),
            ]
        )
    head = ["", "best validation accuracy (epoch), shuffled for every epoch", "shuffled once", "difference"]
    head += ["difference of the lowest validation loss"]
    return table(head if page.plan.quick else [*head, "Keras's best", "once - Keras's", "verdict"], lines)


def keras(page: Page, studied: Experiment, once: list[float]) -> list[str]:
    """Hold the trainings in one order against Keras's figure."""
    if page.plan.quick or not once:
        return []
    theirs = KERAS[studied.name]
    off, agrees = beside_keras(studied.name, studied.data, once)
    return [f"{theirs.best:.4f} ({theirs.best_epoch})", f"{off:+.4f}", "agrees" if agrees else "**differs**"]


def picture(page: Page, pairs: list[tuple[Experiment, Experiment]], epochs: int) -> str:
    """Draw the validation accuracy of each pair."""
    panels = {
        f"{once.net.name} on {spoken(once.data)}": {
            "shuffled for every epoch": page.series(studied, "val_accuracy", epochs),
            "shuffled once": page.series(once, "val_accuracy", epochs),
        }
        for studied, once in pairs
    }
    return page.picture(
        "order",
        "Validation accuracy per epoch, images shuffled for every epoch and once",
        plotting.compare,
        panels,
        ylabel="validation accuracy",
        title="Adam (line: mean over seeds; band: from lowest to highest)",
    )
