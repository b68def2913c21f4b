"""Question 3: where does overfitting begin, what does early stopping gain, and which images does a net get wrong?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import datasets, plotting
from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce.experiments import NET_1, NET_2, Experiment
from scratchnet.tools.reproduce.numbers import early_stop, listed, mean_spread
from scratchnet.tools.reproduce.page import Cells, Page, data_title, paragraphs, run_title
from scratchnet.tools.reproduce.results import Result

PATIENCES = (1, 2, 3, 5)

ABOUT = """Nothing is trained again for this. Early stopping depends on the validation losses alone, and restores the weights of
the epoch with the lowest of them. So a finished history shows after which epoch it would have stopped and which epoch's
weights it would have restored, and it holds the accuracy of these weights."""


def overfitting(page: Page) -> str:
    """Return the chapter."""
    parts = [f"## 3. Where does overfitting begin on {data_title(page.plan.photographs)}?", page.missing("overfitting")]
    nets = [e for net in (NET_1, NET_2) if page.of(e := Experiment(net, page.plan.photographs))]
    if nets:
        parts += [ABOUT, begins(page, nets), markdown_table(stopping(page, nets)), picture(page, nets)]
    both = [e for data in (page.plan.photographs, page.plan.digits) if page.of(e := Experiment(NET_1, data))]
    if both:
        results = [page.of(e)[0] for e in both]
        parts += ["### A closer look at the answers", markdown_table(map(confidence, results)), classes(results)]
        for e, result in zip(both, results, strict=True):
            parts += answers(page, e, result)
    return paragraphs(*parts)


def begins(page: Page, nets: list[Experiment]) -> str:
    """Return where the validation loss is lowest, and where it ends."""
    lines = []
    for e in nets:
        rows = page.rows(e)
        lines.append(
            f"- `{e.name}`: the validation loss is lowest after epoch {rows.epochs('low_epoch')} "
            f"({rows.mean('low_loss')}) and ends at {rows.mean('last_loss')}; training accuracy "
            f"ends at {rows.mean('last_train')}, validation accuracy at {rows.mean('last')}."
        )
    return "\n".join(lines)


def stopping(page: Page, nets: list[Experiment]) -> Iterator[Cells]:
    """Yield a row for each net and patience: what early stopping would have done."""
    for e in nets:
        histories = [result["history"] for result in page.of(e) if result["history"].get("val_loss")]
        for patience in PATIENCES if histories else ():
            stops = [early_stop(history["val_loss"], patience) for history in histories]
            pairs = list(zip(histories, stops, strict=True))
            change = {
                key: float(np.mean([history[key][stop.restored - 1] - history[key][-1] for history, stop in pairs]))
                for key in ("val_accuracy", "val_loss")
            }
            saved = np.mean([1 - stop.stopped / len(history["val_loss"]) for history, stop in pairs])
            yield {
                "experiment": f"`{e.name}`",
                "patience": patience,
                "last epoch trained": listed(stop.stopped for stop in stops),
                "epoch restored": listed(stop.restored for stop in stops),
                "validation accuracy restored": mean_spread([h["val_accuracy"][stop.restored - 1] for h, stop in pairs]),
                "accuracy compared with not stopping": f"{change['val_accuracy']:+.4f}",
                "validation loss compared with not stopping": f"{change['val_loss']:+.4f}",
                "epochs saved": f"{saved:.0%}",
            }


def picture(page: Page, nets: list[Experiment]) -> str:
    """Draw the first seed's curves and where each patience stops them."""
    histories = {run_title(e): history for e in nets if (history := page.of(e)[0]["history"]).get("val_loss")}
    if not histories:
        return ""
    stops: dict[str, dict[int, tuple[int, int]]] = {}
    for name, history in histories.items():
        found = {patience: early_stop(history["val_loss"], patience) for patience in PATIENCES}
        # If the patience does not run out before the last epoch, nothing stops.
        stops[name] = {patience: stop for patience, stop in found.items() if stop.stopped < len(history["val_loss"])}
    alt = "Validation curves with the epochs where early stopping stops and those whose weights it restores"
    return page.picture("early-stopping", alt, plotting.early_stopping, histories, stops, title="early stopping, first seed")


def confidence(result: Result) -> Cells:
    """Return a row of the table: how confident a net is, where it is right and where it is wrong."""
    means = {key: "–" if value is None else f"{value:.3f}" for key, value in result["answers"]["confidence"].items()}
    return {
        "experiment, last epoch, first seed": f"`{result['name']}`",
        "test images": f"{result['test_images']:,}",
        "mistakes": result["answers"]["wrong"],
        "mean probability where right": means["right"],
        "where wrong": means["wrong"],
    }


def classes(results: list[Result]) -> str:
    """Return a table of the accuracy of each class, the worst first."""
    columns = {}
    for result in results:
        confusion = np.array(result["answers"]["confusion"])
        share = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)
        ranked = [f"{result['class_names'][k]}: {share[k]:.3f}" for k in np.argsort(share, kind="stable")]
        columns[f"classes of `{result['name']}`, the hardest first"] = ranked
    return markdown_table([dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)])


def answers(page: Page, e: Experiment, result: Result) -> list[str]:
    """Return what one net confuses, as words, as a confusion matrix and as pictures."""
    confusion, names = np.array(result["answers"]["confusion"]), result["class_names"]
    true, predicted = (np.repeat(labels.ravel(), confusion.ravel()) for labels in np.indices(confusion.shape))
    title = f"{run_title(e)}, last epoch, seed {result['seed']}"
    matrix = page.picture(
        f"confusion-{e.data}", f"Confusion of {title}", plotting.confusion_matrix, true, predicted, names, title=title
    )
    return [f"**{title}.** {confused(confusion, names)}", matrix, mistakes(page, e, result, title)]


def confused(confusion: np.ndarray, names: list[str]) -> str:
    """Return the three pairs of classes that are confused most often, in either direction."""
    both = np.triu(confusion + confusion.T, k=1)
    total = both.sum()
    if not total:
        return "It made no mistake."
    pairs = np.argwhere(both >= 0)[np.argsort(-both, axis=None, kind="stable")[:3]]
    most = ", ".join(f"{names[i]} and {names[j]} ({both[i, j]}, {both[i, j] / total:.0%} of all)" for i, j in pairs if both[i, j])
    return f"Most often confused, in either direction: {most}."


def mistakes(page: Page, e: Experiment, result: Result, title: str) -> str:
    """Draw the most confident mistakes: their images come from the data set, all else from the result."""
    found: list[dict[str, Any]] = result["answers"]["mistakes"]
    if not found:
        return ""
    if any(status.name == e.data and "downloaded" in status.note for status in datasets.status()):
        command = f"scratchnet data fetch {e.data}"
        return f"(The most confident mistakes are not drawn, because their images are missing: `{command}` gets them.)"
    images = datasets.load(e.data).x_test
    probabilities = np.zeros((len(found), len(result["class_names"])))
    for row, mistake in zip(probabilities, found, strict=True):
        row[mistake["label"]], row[mistake["said"]] = mistake["of_label"], mistake["probability"]
    return page.picture(
        f"mistakes-{e.data}",
        f"The most confident mistakes of {title}",
        plotting.confident_mistakes,
        images[[mistake["index"] for mistake in found]],
        [mistake["label"] for mistake in found],
        probabilities,
        result["class_names"],
        title=f"{title}: the {len(found)} most confident of {result['answers']['wrong']:,} mistakes",
    )
