"""Question 4: / 255 against standardization; one-hot against integer labels."""

from __future__ import annotations

from scratchnet import plotting
from scratchnet.tools.reproduce.experiments import NET_2, Experiment
from scratchnet.tools.reproduce.numbers import mean_spread, values
from scratchnet.tools.reproduce.page import Page, epochs_of, missing, spoken, table, verdict

NAMES = {"scale": "/ 255", "standardize": "standardized"}


def preprocessing(page: Page) -> str:
    """Write the chapter."""
    epochs = page.plan.short["preprocessing"]
    parts = ["## 4. Does the preprocessing matter?", missing(page, "preprocessing")]
    if page.done("preprocessing"):
        parts += [scaling(page, epochs), labels(page)]
    return "\n\n".join(filter(None, parts))


def scaling(page: Page, epochs: int) -> str:
    """Compare pixels in [0, 1] with pixels of zero mean and unit deviation in each channel."""
    lines, said = [], []
    panels: dict[str, dict[str, list[list[float]]]] = {}
    for data in (page.plan.digits, page.plan.photographs):
        found = {}
        for prepared, words in NAMES.items():
            e = Experiment(NET_2, data, preprocessing=prepared)
            rows = page.rows(e, epochs)
            found[prepared] = rows
            if rows:
                first, gap = mean_spread(values(rows, "first")), mean_spread(values(rows, "gap"))
                at = f"{mean_spread(values(rows, 'best'))} ({epochs_of(r.best_epoch for r in rows)})"
                low = f"{mean_spread(values(rows, 'low_loss'))} ({epochs_of(r.low_epoch for r in rows)})"
                lines.append([spoken(data), words, len(rows), first, at, low, gap])
                panels.setdefault(data, {})[words] = page.series(e, "val_accuracy", epochs)
        for when, field in (("after epoch 1", "first"), (f"at its best in {epochs} epochs", "best")):
            scale, standardize = (values(found[prepared], field) for prepared in ("scale", "standardize"))
            higher = verdict(NAMES["standardize"], standardize, NAMES["scale"], scale)
            said.append(f"- {spoken(data)}, validation accuracy {when}: {higher}.")
    head = ["data", "pixels", "seeds", "validation accuracy, epoch 1", "best (epoch)", "lowest validation loss (epoch)"]
    parts = [f"net_2 with Adam, the first {epochs} epochs.", table([*head, "training - validation, last"], lines), "\n".join(said)]
    if any(map(any, (runs for lines in panels.values() for runs in lines.values()))):
        draw = {data: lines for data, lines in panels.items() if any(map(any, lines.values()))}
        parts += [_picture(page, data, lines) for data, lines in draw.items()]
    return "\n\n".join(parts)


def _picture(page: Page, data: str, lines: dict[str, list[list[float]]]) -> str:
    return page.picture(
        f"pixels-{data}",
        f"Validation accuracy per epoch on {spoken(data)}, by preprocessing",
        plotting.compare,
        {spoken(data): lines},
        ylabel="validation accuracy",
        title="net_2 (line: mean over seeds; band: from lowest to highest)",
    )


def labels(page: Page) -> str:
    """Compare the runs on one-hot and on integer labels, bit by bit."""
    lines = []
    for data in (page.plan.digits, page.plan.photographs):
        pair = [page.of(Experiment(NET_2, data, note=note)) for note in ("one-hot-labels", "integer-labels")]
        if all(pair):
            a, b = (found[0] for found in pair)
            if a["versions"] != b["versions"]:
                lines.append(f"- {spoken(data)}: trained by different versions, so their bits say nothing; train both again.")
                continue
            keys = [key for key in a["history"] if key != "seconds"]
            same = all(a["history"][key] == b["history"][key] for key in keys) and a["weights_sha256"] == b["weights_sha256"]
            result = "the same bits, every weight and every number of the history" if same else "**different bits**"
            epochs = len(a["history"]["loss"])
            lines.append(
                f"- {spoken(data)}, {epochs} epoch{'s' * (epochs != 1)} on {a['training_images']:,} images: {result} "
                f"(loss {a['history']['loss'][-1]!r} and {b['history']['loss'][-1]!r})."
            )
    return "One-hot labels with `categorical_crossentropy` against integers with `sparse_categorical_crossentropy`:\n\n" + (
        "\n".join(lines) if lines else "not trained yet."
    )
