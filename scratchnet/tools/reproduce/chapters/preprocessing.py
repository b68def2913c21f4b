"""Question 4: / 255 against standardization; one-hot against integer labels."""

from __future__ import annotations

from collections.abc import Iterator

from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce.experiments import NET_2, Experiment
from scratchnet.tools.reproduce.numbers import plural, verdict
from scratchnet.tools.reproduce.page import BAND, Cells, Page, data_title, paragraphs
from scratchnet.tools.reproduce.results import Result

NAMES = {"scale": "/ 255", "standardize": "standardized"}
LABELS = "One-hot labels with `categorical_crossentropy` against integers with `sparse_categorical_crossentropy`:"


def preprocessing(page: Page) -> str:
    """Return the chapter."""
    epochs = page.plan.short["preprocessing"]
    parts = ["## 4. Does the preprocessing matter?", page.missing("preprocessing")]
    if page.done("preprocessing"):
        parts += [f"net_2 with Adam, the first {epochs} epochs.", markdown_table(scaling(page, epochs)), higher(page, epochs)]
        parts += [pictures(page, epochs), LABELS, labels(page)]
    return paragraphs(*parts)


def prepared(page: Page) -> dict[str, dict[str, Experiment]]:
    """Return the experiments by data and by what was done to the pixels."""
    both = (page.plan.digits, page.plan.photographs)
    return {data: {kind: Experiment(NET_2, data, preprocessing=kind) for kind in NAMES} for data in both}


def scaling(page: Page, epochs: int) -> Iterator[Cells]:
    """Yield a row for pixels in [0, 1], and one for pixels with zero mean and unit deviation in each channel."""
    for data, kinds in prepared(page).items():
        for kind, e in kinds.items():
            if rows := page.rows(e, epochs):
                yield {
                    "data": data_title(data),
                    "pixels": NAMES[kind],
                    "seeds": len(rows),
                    "validation accuracy, epoch 1": rows.mean("first"),
                    "best (epoch)": rows.best(),
                    "lowest validation loss (epoch)": rows.lowest(),
                    "training - validation, last": rows.mean("gap"),
                }


def higher(page: Page, epochs: int) -> str:
    """Return which of the two is ahead, early and at its best."""
    lines = []
    for data, kinds in prepared(page).items():
        for when, key in (("after epoch 1", "first"), (f"at its best in {epochs} epochs", "best")):
            scaled, standardized = (page.rows(e, epochs).values(key) for e in kinds.values())
            found = verdict(NAMES["standardize"], standardized, NAMES["scale"], scaled)
            lines.append(f"- {data_title(data)}, validation accuracy {when}: {found}.")
    return "\n".join(lines)


def pictures(page: Page, epochs: int) -> str:
    """Draw the validation accuracy, a picture for each data set."""
    drawn = []
    for data, kinds in prepared(page).items():
        panel = {NAMES[kind]: page.series(e, "val_accuracy", epochs) for kind, e in kinds.items()}
        alt = f"Validation accuracy per epoch on {data_title(data)}, by preprocessing"
        drawn.append(page.curves(f"pixels-{data}", alt, {data_title(data): panel}, f"net_2 ({BAND})"))
    return paragraphs(*drawn)


def labels(page: Page) -> str:
    """Compare the runs on one-hot and on integer labels, bit by bit."""
    lines = []
    for data in (page.plan.digits, page.plan.photographs):
        pair = [page.of(Experiment(NET_2, data, note=note)) for note in ("one-hot-labels", "integer-labels")]
        if all(pair):
            lines.append(f"- {data_title(data)}{same_bits(*(found[0] for found in pair))}")
    return "\n".join(lines) or "Not trained yet."


def same_bits(a: Result, b: Result) -> str:
    """Return whether two training runs have the same bits, as text."""
    if a["versions"] != b["versions"]:
        return ": trained by different versions, so the bits cannot be compared. Train both again."
    keys = [key for key in a["history"] if key != "seconds"]
    same = all(a["history"][key] == b["history"][key] for key in keys) and a["weights_sha256"] == b["weights_sha256"]
    result = "the same bits, every weight and every number of the history" if same else "**different bits**"
    one, other = (found["history"]["loss"] for found in (a, b))
    about = f"{plural(len(one), 'epoch')} on {a['training_images']:,} images"
    return f", {about}: {result} (loss {one[-1]!r} and {other[-1]!r})."
