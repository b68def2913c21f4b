"""Question 1: does max-pooling make MNIST converge in fewer epochs? Pooling and stride apart from each other."""

from __future__ import annotations

from scratchnet import plotting
from scratchnet.tools.reproduce.experiments import CELLS, HALVING, NET_1, NET_2, Experiment, Net
from scratchnet.tools.reproduce.numbers import mean_spread, values
from scratchnet.tools.reproduce.page import Page, difference, epochs_of, missing, size, spoken, table

ABOUT = """The study compares net_1 (stride 1, max-pooling) with net_2 (stride 2, no pooling): two changes at once. Here
the second convolution's stride, 1 or 2, meets each kind of pooling, all else equal. This pooling, 2×2 with stride 1,
keeps the size, so that four nets of one stride have the same parameters: among them only pooling differs, and between
nets of one pooling only the stride. Pooling with stride 2 ("halving") is the third way: as many parameters as net_2,
with the second convolution's work of net_1."""


def pooling(page: Page) -> str:
    """Write the chapter."""
    epochs = page.plan.short["pooling"]
    title = f"## 1. Does max-pooling make {spoken(page.plan.digits)} converge in fewer epochs?"
    parts = [title, ABOUT, missing(page, "pooling")]
    if page.done("pooling"):
        parts += [f"The first {epochs} epochs, the same seeds for all.", cells(page, epochs)]
        parts += [pictures(page, epochs), answers(page, epochs)]
    return "\n\n".join(filter(None, parts))


def cells(page: Page, epochs: int) -> str:
    """Tabulate all nets."""
    lines = []
    for e in page.done("pooling"):
        rows, counted = page.rows(e, epochs), size(e.net, e.data)
        lines.append(
            [
                f"{e.net.stride}",
                e.net.pool + ", halving" * (e.net.pool_stride == 2),
                e.net.name if e.net.name.startswith("net") else "",
                f"{counted['parameters']:,}",
                f"{counted['madds']:,}",
                len(rows),
                mean_spread(values(rows, "first")),
                epochs_of(row.to_98 for row in rows),
                f"{mean_spread(values(rows, 'best'))} ({epochs_of(row.best_epoch for row in rows)})",
                f"{mean_spread(values(rows, 'low_loss'))} ({epochs_of(row.low_epoch for row in rows)})",
                mean_spread(values(rows, "last_train")),
                mean_spread(values(rows, "gap")),
            ]
        )
    head = ["stride", "pooling", "the study's", "parameters", "multiply-adds", "seeds", "validation accuracy, epoch 1"]
    head += ["epochs to 98 %", "best validation accuracy (epoch)", "lowest validation loss (epoch)"]
    return table([*head, "training accuracy, last", "training - validation, last"], lines)


def pictures(page: Page, epochs: int) -> str:
    """Draw validation accuracy and the gap, a panel for each way of making the image smaller, or not."""
    ways = {"stride 1": CELLS[:4], "stride 2": CELLS[4:], "stride 1, halving": HALVING}

    def panels(key: str) -> dict[str, dict[str, list[list[float]]]]:
        found = {way: {net.pool: _series(page, net, key, epochs) for net in nets} for way, nets in ways.items()}
        return {way: lines for way, lines in found.items() if any(map(any, lines.values()))}

    accuracy = panels("val_accuracy")
    if not accuracy:
        return ""
    lines = [
        page.picture(
            "pooling-accuracy",
            "Validation accuracy per epoch by stride and pooling",
            plotting.compare,
            accuracy,
            ylabel="validation accuracy",
            title="line: mean over seeds; band: from lowest to highest",
        ),
        page.picture(
            "pooling-gap",
            "Training minus validation accuracy per epoch by stride and pooling",
            plotting.compare,
            panels("gap"),
            ylabel="training - validation accuracy",
            title="above 0: surer of the training images than of others",
        ),
    ]
    return "\n\n".join(lines)


def _series(page: Page, net: Net, key: str, epochs: int) -> list[list[float]]:
    e = Experiment(net, page.plan.digits)
    if key != "gap":
        return page.series(e, key, epochs)
    both = zip(page.series(e, "accuracy", epochs), page.series(e, "val_accuracy", epochs), strict=True)
    return [[t - v for t, v in zip(train, test, strict=True)] for train, test in both]


OTHERS = ("max", "min", "none")
MEASURES = {
    "first": ("validation accuracy after epoch 1", 4),
    "to_98": ("epochs to 98 %", 1),
    "low_epoch": ("epoch of the lowest validation loss", 1),
    "best": ("best validation accuracy", 4),
}


def answers(page: Page, epochs: int) -> str:
    """Compare the nets that differ in one thing, and share net_1's lead over net_2 out between its two causes."""

    def of(net: Net, key: str) -> list[float]:
        return values(page.rows(Experiment(net, page.plan.digits), epochs), key)

    pairs = {
        "the study's own: net_1 - net_2": (NET_1, NET_2),
        "pooling, stride 1: max - none": (Net(1, "max"), Net(1)),
        "pooling, stride 2: max - none": (Net(2, "max"), Net(2)),
        "stride, no pooling: 1 - 2": (Net(1), Net(2)),
        "stride, max-pooling: 1 - 2": (Net(1, "max"), Net(2, "max")),
        "equal parameters: halving by max - by stride": (Net(1, "max", 2), Net(2)),
    }
    lines = [
        [what, *(difference(of(a, key), of(b, key), digits) for key, (_, digits) in MEASURES.items())]
        for what, (a, b) in pairs.items()
    ]
    head = ["difference", *(words for words, _ in MEASURES.values())]
    about = (
        "What one change does, as a difference of means. *Clear* where every seed of one lies on the same side of every seed of "
        "the other. The first line is the sum of the second and the fourth: what pooling and what the stride does."
    )
    gaps = [
        [f"stride {stride}", *(difference(of(Net(stride, "average"), "gap"), of(Net(stride, other), "gap")) for other in OTHERS)]
        for stride in (1, 2)
    ]
    theory = (
        "The study's theory says that average pooling overfits less. Training minus validation accuracy at the end, average "
        "pooling's minus that of others; below 0 is less overfitting:"
    )
    return "\n\n".join([about, table(head, lines), theory, table(["average against", *OTHERS], gaps)])
