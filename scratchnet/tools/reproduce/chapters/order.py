"""Question 5, raised by the comparison with Keras: does it matter whether images are shuffled for every epoch?"""

from __future__ import annotations

from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce.experiments import Experiment
from scratchnet.tools.reproduce.numbers import difference
from scratchnet.tools.reproduce.page import BAND, Cells, Page, paragraphs, run_title
from scratchnet.tools.reproduce.published import KERAS, KERAS_VERSION, keras_difference

ABOUT = """`fit` draws a new order of the training images for every epoch. Here the same training is run on images that were
shuffled once, with the seed, and then keep that order. All else is equal, including the weights at the start."""

WHY = f"""The comparison with Keras raises this question. Keras's `fit` also shuffles for every epoch, but on TensorFlow, after
`keras.utils.set_random_seed`, it draws the same order in every epoch, and this call is what makes training repeatable.
`python examples/08_the_order_of_images.py` shows it. So the figures of {KERAS_VERSION} above probably belong to images
in one order."""


def order(page: Page) -> str:
    """Return the chapter."""
    epochs = page.plan.short["order"]
    parts = ["## 5. Does it matter whether images are shuffled for every epoch?", ABOUT]
    parts += ["" if page.plan.quick else WHY, page.missing("order")]
    pairs = pairs_of(page)
    if pairs:
        parts += [f"The first {epochs} epochs.", markdown_table(effect(page, *pair, epochs) for pair in pairs)]
        parts.append(picture(page, pairs, epochs))
    return paragraphs(*parts)


def pairs_of(page: Page) -> list[tuple[Experiment, Experiment]]:
    """Return the experiments that differ in the shuffling alone and have both finished an epoch."""
    done = [e for e in page.done("order") if page.rows(e)]
    return [(a, b) for a in done for b in done if (a.net, a.shuffled, b.shuffled) == (b.net, "every epoch", "once")]


def effect(page: Page, shuffled: Experiment, once: Experiment, epochs: int) -> Cells:
    """Return a row of the table: what the order changes, and how far the accuracy with one order is from Keras's."""
    rows, once_rows = page.rows(shuffled, epochs), page.rows(once, epochs)
    best, once_best = rows.values("best"), once_rows.values("best")
    line = {
        "": run_title(once),
        "best validation accuracy (epoch), shuffled for every epoch": rows.best(),
        "shuffled once": once_rows.best(),
        "difference": difference(best, once_best),
        "difference of the lowest validation loss": difference(rows.values("low_loss"), once_rows.values("low_loss")),
    }
    if page.plan.quick:
        return line
    theirs = KERAS[shuffled.name]
    off, agrees = keras_difference(shuffled.name, shuffled.data, once_best)
    return line | {
        "Keras's best": f"{theirs.best:.4f} ({theirs.best_epoch})",
        "once - Keras's": f"{off:+.4f}",
        "verdict": "agrees" if agrees else "**differs**",
    }


def picture(page: Page, pairs: list[tuple[Experiment, Experiment]], epochs: int) -> str:
    """Draw the validation accuracy of each pair."""
    panels = {
        run_title(once): {
            "shuffled for every epoch": page.series(shuffled, "val_accuracy", epochs),
            "shuffled once": page.series(once, "val_accuracy", epochs),
        }
        for shuffled, once in pairs
    }
    return page.curves("order", "Validation accuracy per epoch, images shuffled for every epoch and once", panels, f"Adam ({BAND})")
