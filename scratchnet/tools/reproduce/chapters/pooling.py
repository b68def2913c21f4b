"""Question 1: does max-pooling make MNIST converge in fewer epochs? The effects of pooling and of the stride, separated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce.experiments import CELLS, HALVING, NET_1, NET_2, Experiment, Net
from scratchnet.tools.reproduce.ledger import totals
from scratchnet.tools.reproduce.numbers import Seeds, difference
from scratchnet.tools.reproduce.page import BAND, Cells, Page, data_title, paragraphs

ABOUT = """The study compares net_1 (stride 1, max-pooling) with net_2 (stride 2, no pooling), which changes two things at once.
Here each stride of the second convolution, 1 or 2, is combined with each kind of pooling; all else is equal. This pooling
(2×2, stride 1) keeps the size, so the four nets of one stride have the same number of parameters and differ in the pooling
alone, and two nets with the same pooling differ in the stride alone. Pooling with stride 2 ("halving") halves the size
without a stride of the convolution: such a net has as many parameters as net_2, and its second convolution costs as much as
in net_1."""

CHANGES = """What one change does, as a difference of means. It is *clear* where every seed of one lies on the same side of every
seed of the other. The first line is the sum of the second and the fourth: the effect of the pooling plus that of the stride."""

THEORY = """The study's theory says that average pooling overfits less. The table shows training minus validation accuracy at the
end, average pooling's minus the other's; a value below 0 means that average pooling overfits less:"""

PAIRS = {
    "the study's own: net_1 - net_2": (NET_1, NET_2),
    "pooling, stride 1: max - none": (Net(1, "max"), Net(1)),
    "pooling, stride 2: max - none": (Net(2, "max"), Net(2)),
    "stride, no pooling: 1 - 2": (Net(1), Net(2)),
    "stride, max-pooling: 1 - 2": (Net(1, "max"), Net(2, "max")),
    "equal parameters: halving by max - by stride": (Net(1, "max", 2), Net(2)),
}
OTHERS = ("max", "min", "none")
MEASURES = {  # the text, and the number of digits
    "first": ("validation accuracy after epoch 1", 4),
    "to_98": ("epochs to 98 %", 1),
    "low_epoch": ("epoch of the lowest validation loss", 1),
    "best": ("best validation accuracy", 4),
}


def pooling(page: Page) -> str:
    """Return the chapter."""
    epochs = page.plan.short["pooling"]
    title = f"## 1. Does max-pooling make {data_title(page.plan.digits)} converge in fewer epochs?"
    parts = [title, ABOUT, page.missing("pooling")]
    if page.done("pooling"):
        parts += [markdown_table(sizes(page)), f"The first {epochs} epochs, the same seeds for all:"]
        parts += [markdown_table(nets(page, epochs)), pictures(page, epochs)]
        parts += [CHANGES, markdown_table(changes(page, epochs)), THEORY, markdown_table(gaps(page, epochs))]
    return paragraphs(*parts)


def kind(net: Net) -> Cells:
    """Return the cells that name a net."""
    return {"stride": net.stride, "pooling": net.pool + ", halving" * (net.pool_stride == 2)}


def sizes(page: Page) -> Iterator[Cells]:
    """Yield a row of the first table for each net: its size."""
    for e in page.done("pooling"):
        size = totals(e.net, e.data)
        yield kind(e.net) | {
            "the study's": e.net.name if e.net in (NET_1, NET_2) else "",
            "parameters": f"{size['parameters']:,}",
            "multiply-adds": f"{size['forward_madds']:,}",
            "seeds": len(page.rows(e)),
        }


def nets(page: Page, epochs: int) -> Iterator[Cells]:
    """Yield a row of the second table for each net: its results."""
    for e in page.done("pooling"):
        rows = page.rows(e, epochs)
        yield kind(e.net) | {
            "validation accuracy, epoch 1": rows.mean("first"),
            "epochs to 98 %": rows.epochs("to_98"),
            "best validation accuracy (epoch)": rows.best(),
            "lowest validation loss (epoch)": rows.lowest(),
            "training accuracy, last": rows.mean("last_train"),
            "training - validation, last": rows.mean("gap"),
        }


def pictures(page: Page, epochs: int) -> str:
    """Draw the validation accuracy and the gap: one panel for each stride, and one for pooling that halves."""
    ways = {"stride 1": CELLS[:4], "stride 2": CELLS[4:], "stride 1, halving": HALVING}

    def panels(series: Callable[[Experiment], list[list[float]]]) -> dict[str, dict[str, list[list[float]]]]:
        return {way: {net.pool: series(Experiment(net, page.plan.digits)) for net in nets} for way, nets in ways.items()}

    def accuracy(e: Experiment) -> list[list[float]]:
        return page.series(e, "val_accuracy", epochs)

    def gap(e: Experiment) -> list[list[float]]:
        both = zip(page.series(e, "accuracy", epochs), accuracy(e), strict=True)
        return [[a - b for a, b in zip(train, test, strict=True)] for train, test in both]

    alt = "Training minus validation accuracy per epoch by stride and pooling"
    above = "above 0: higher accuracy on the training images than on the validation images"
    return paragraphs(
        page.curves("pooling-accuracy", "Validation accuracy per epoch by stride and pooling", panels(accuracy), BAND),
        page.curves("pooling-gap", alt, panels(gap), above, ylabel="training - validation accuracy"),
    )


def changes(page: Page, epochs: int) -> Iterator[Cells]:
    """Yield a row for each pair of nets, most of which differ in one thing; two rows add up to net_1's lead over net_2."""
    for what, pair in PAIRS.items():
        a, b = (_rows(page, net, epochs) for net in pair)
        found = {words: difference(a.values(key), b.values(key), digits) for key, (words, digits) in MEASURES.items()}
        yield {"difference": what, **found}


def gaps(page: Page, epochs: int) -> Iterator[Cells]:
    """Yield a row for each stride: how much less the net with average pooling overfits than the others."""
    for stride in (1, 2):
        average, *others = (_rows(page, Net(stride, pool), epochs).values("gap") for pool in ("average", *OTHERS))
        yield {"average against": f"stride {stride}"} | dict(zip(OTHERS, (difference(average, gap) for gap in others), strict=True))


def _rows(page: Page, net: Net, epochs: int) -> Seeds:
    return page.rows(Experiment(net, page.plan.digits), epochs)
