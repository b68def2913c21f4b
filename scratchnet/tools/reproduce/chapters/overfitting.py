"""Question 3: where does overfitting begin, what does early stopping give back, and what is it that a net gets wrong?"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import datasets, plotting
from scratchnet.tools.reproduce.experiments import NET_1, NET_2, Experiment
from scratchnet.tools.reproduce.numbers import early_stop, mean_spread, values
from scratchnet.tools.reproduce.page import Page, epochs_of, missing, spoken, table
from scratchnet.tools.reproduce.results import Result

PATIENCES = (1, 2, 3, 5)

ABOUT = """Nothing is trained again for this. Early stopping looks at the validation losses so far and at nothing else, and
gives back the weights of the lowest of them: so a finished history says after which epoch it would have stopped and
which epoch's weights it would have given back, and what these were worth stands in the history too."""


def overfitting(page: Page) -> str:
    """Write the chapter."""
    parts = [f"## 3. Where does overfitting begin on {spoken(page.plan.photographs)}?", missing(page, "overfitting")]
    nets = [e for net in (NET_1, NET_2) if page.of(e := Experiment(net, page.plan.photographs))]
    if nets:
        parts += [ABOUT, begins(page, nets), stopping(page, nets), picture(page, nets)]
    both = [e for data in (page.plan.photographs, page.plan.digits) if page.of(e := Experiment(NET_1, data))]
    if both:
        parts += ["### A closer look at the answers", *answers(page, both)]
    return "\n\n".join(filter(None, parts))


def begins(page: Page, nets: list[Experiment]) -> str:
    """Say where the validation loss is lowest, and where it ends."""
    lines = []
    for e in nets:
        rows = page.rows(e)
        lines.append(
            f"- `{e.name}`: the validation loss is lowest after epoch {epochs_of(r.low_epoch for r in rows)} "
            f"({mean_spread(values(rows, 'low_loss'))}) and ends at {mean_spread(values(rows, 'last_loss'))}; training accuracy "
            f"ends at {mean_spread(values(rows, 'last_train'))}, validation accuracy at {mean_spread(values(rows, 'last'))}."
        )
    return "\n".join(lines)


def stopping(page: Page, nets: list[Experiment]) -> str:
    """Tabulate each patience."""
    lines = []
    for e in nets:
        histories = [r["history"] for r in page.of(e) if r["history"].get("val_loss")]
        for patience in PATIENCES:
            stops = [early_stop(h["val_loss"], patience) for h in histories]
            pairs = list(zip(histories, stops, strict=True))
            accuracy = [h["val_accuracy"][s.restored - 1] for h, s in pairs]
            given_back = [a - h["val_accuracy"][-1] for a, (h, _) in zip(accuracy, pairs, strict=True)]
            losses = [h["val_loss"][s.restored - 1] - h["val_loss"][-1] for h, s in pairs]
            saved = [1 - s.stopped / len(h["val_loss"]) for h, s in pairs]
            lines.append(
                [
                    f"`{e.name}`",
                    patience,
                    epochs_of(s.stopped for s in stops),
                    epochs_of(s.restored for s in stops),
                    mean_spread(accuracy),
                    f"{np.mean(given_back):+.4f}",
                    f"{np.mean(losses):+.4f}",
                    f"{np.mean(saved):.0%}",
                ]
            )
    head = ["experiment", "patience", "last epoch trained", "epoch given back", "validation accuracy given back"]
    return table([*head, "accuracy against not stopping", "validation loss against not stopping", "epochs saved"], lines)


def picture(page: Page, nets: list[Experiment]) -> str:
    """Draw the first seed's curves with each patience on them."""
    histories = {f"{e.net.name} on {spoken(e.data)}": page.of(e)[0]["history"] for e in nets}
    histories = {name: history for name, history in histories.items() if history.get("val_loss")}
    if not histories:
        return ""
    stops: dict[str, dict[int, tuple[int, int]]] = {}
    for name, history in histories.items():
        found = {p: early_stop(history["val_loss"], p) for p in PATIENCES}
        # One that never runs out stops nothing.
        stops[name] = {p: (s.stopped, s.restored) for p, s in found.items() if s.stopped < len(history["val_loss"])}
    alt = "Validation curves with the epochs where early stopping stops and those whose weights it gives back"
    return page.picture("early-stopping", alt, plotting.early_stopping, histories, stops, title="early stopping, first seed")


def answers(page: Page, both: list[Experiment]) -> list[str]:
    """Hold the nets' answers to both sets of images beside each other."""
    results = [page.of(e)[0] for e in both]
    parts = [_sure(results), _classes(results)]
    for e, result in zip(both, results, strict=True):
        confusion = np.array(result["answers"]["confusion"])
        K = len(confusion)
        true, said = (np.repeat(grid.ravel(), confusion.ravel()) for grid in np.indices((K, K)))
        names, title = result["class_names"], f"{e.net.name} on {spoken(e.data)}, last epoch, seed {result['seed']}"
        parts.append(f"**{title}.** {_confusions(confusion, names)}")
        name = f"confusion-{e.data}"
        parts.append(page.picture(name, f"Confusion of {title}", plotting.confusion_matrix, true, said, names, title=title))
        parts.append(_mistakes(page, e, result, title))
    return parts


def _sure(results: list[Result]) -> str:
    lines = []
    for result in results:
        sure = result["answers"]["confidence"]
        right, wrong = (f"{sure[key]:.3f}" if sure[key] is not None else "–" for key in ("right", "wrong"))
        lines.append([f"`{result['name']}`", f"{result['test_images']:,}", result["answers"]["wrong"], right, wrong])
    head = ["experiment, last epoch, first seed", "test images", "mistakes", "mean probability where right", "where wrong"]
    return table(head, lines)


def _classes(results: list[Result]) -> str:
    """Tabulate the accuracy of each class, the worst first."""
    columns = []
    for result in results:
        confusion = np.array(result["answers"]["confusion"])
        share = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)
        columns.append([f"{result['class_names'][k]}: {share[k]:.3f}" for k in np.argsort(share, kind="stable")])
    head = [f"classes of `{result['name']}`, the hardest first" for result in results]
    return table(head, zip(*columns, strict=False))


def _confusions(confusion: np.ndarray, names: list[str]) -> str:
    pairs: list[tuple[int, int, int]] = []
    for i in range(len(confusion)):
        for j in range(i + 1, len(confusion)):
            pairs.append((int(confusion[i, j] + confusion[j, i]), i, j))
    pairs.sort(key=lambda pair: -pair[0])
    total = sum(count for count, _, _ in pairs)
    if not total:
        return "It made no mistake."
    most = ", ".join(f"{names[i]} and {names[j]} ({count}, {count / total:.0%} of all)" for count, i, j in pairs[:3] if count)
    return f"Most often confused, either way: {most}."


def _mistakes(page: Page, e: Experiment, result: Result, title: str) -> str:
    """Draw the surest mistakes: their images come from the data set, all else from the result."""
    found: list[dict[str, Any]] = result["answers"]["mistakes"]
    if not found:
        return ""
    if any(status.name == e.data and "downloaded" in status.note for status in datasets.status()):
        return f"(The surest mistakes are not drawn, for their images are not here: `scratchnet data fetch {e.data}` gets them.)"
    images = datasets.load(e.data).x_test
    probabilities = np.zeros((len(found), len(result["class_names"])))
    for k, mistake in enumerate(found):
        probabilities[k, mistake["label"]], probabilities[k, mistake["said"]] = mistake["of_label"], mistake["probability"]
    return page.picture(
        f"mistakes-{e.data}",
        f"The surest mistakes of {title}",
        plotting.confident_mistakes,
        images[[m["index"] for m in found]],
        [m["label"] for m in found],
        probabilities,
        result["class_names"],
        title=f"{title}: the {len(found)} surest of {result['answers']['wrong']:,} mistakes",
    )
