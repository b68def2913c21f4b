"""What a report opens with: one picture of the six experiments, and a sentence on each finding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scratchnet import plotting
from scratchnet.tools.reproduce import numbers
from scratchnet.tools.reproduce.chapters.better import trained
from scratchnet.tools.reproduce.experiments import NET_1, NET_2, Experiment, Net
from scratchnet.tools.reproduce.numbers import Seeds, compare, mean_spread, several_views
from scratchnet.tools.reproduce.page import Page, paragraphs, run_title
from scratchnet.tools.reproduce.published import keras_difference

PICTURE = """A panel for each experiment, all with the same axes: accuracy in training (blue) and in validation (orange). A line is
the mean over the seeds, and a band goes from the lowest seed to the highest. Where the two lines separate, the network
memorizes its training images."""


def findings(page: Page) -> str:
    """Return the opening of the page; the sentences are left out of a quick report, whose numbers mean nothing."""
    if not page.done("study"):
        return ""
    sentences = "" if page.plan.quick else "\n".join(f"- {text}" for text in found(page))
    return paragraphs("## What we find", picture(page), PICTURE, sentences)


def picture(page: Page) -> str:
    """Draw the six experiments as small panels."""
    panels = {
        f"{run_title(e)}, {e.optimizer.capitalize()}": {
            "training": page.series(e, "accuracy"),
            "validation": page.series(e, "val_accuracy"),
        }
        for e in page.done("study")
    }
    panels = {title: lines for title, lines in panels.items() if any(map(any, lines.values()))}
    alt = "Accuracy per epoch of the six experiments, in training and validation"
    return page.picture("overview", alt, plotting.small_panels, panels, ylabel="accuracy") if panels else ""


def found(page: Page) -> Iterator[str]:
    """Yield a sentence for each question whose experiments are finished."""
    for sentence in (digits, photographs, overfitting, max_pooling, optimizers, preprocessing, order, net_3, against_keras):
        yield from sentence(page)


def digits(page: Page) -> Iterator[str]:
    """Compare the two networks on digits."""
    yield from two_networks(page, page.plan.digits, "MNIST")


def photographs(page: Page) -> Iterator[str]:
    """Compare the two networks on photographs."""
    yield from two_networks(page, page.plan.photographs, "CIFAR-10")


def two_networks(page: Page, data: str, title: str) -> Iterator[str]:
    """Compare the best accuracies of net_1 and net_2."""
    one, two = (page.rows(Experiment(net, data)) for net in (NET_1, NET_2))
    if one and two:
        higher = compare(one.values("best"), two.values("best"))
        who = {
            1: "net_1 is higher, its lowest seed above net_2's highest",
            -1: "net_2 is higher, its lowest seed above net_1's highest",
            0: "no clear difference",
        }[higher]
        best = f"{one.mean('best')} with net_1 and {two.mean('best')} with net_2"
        yield f"**{title}.** The best validation accuracy is {best}: {who}."


def overfitting(page: Page) -> Iterator[str]:
    """Yield a sentence on when the validation loss is lowest, and how far it rises."""
    both = [row for net in (NET_1, NET_2) for row in page.rows(Experiment(net, page.plan.photographs))]
    if both:
        epochs = [row.low_epoch for row in both]
        rise = [row.last_loss / row.low_loss for row in both]
        yield (
            f"**Overfitting.** On CIFAR-10, with Adam, the validation loss is lowest after epoch {min(epochs)} to {max(epochs)}, "
            f"and ends at {min(rise):.1f} to {max(rise):.1f} times that (question 3)."
        )


def max_pooling(page: Page) -> Iterator[str]:
    """Yield a sentence on what max-pooling alone changes on digits."""
    epochs = page.plan.short["pooling"]
    pooled, plain = (page.rows(Experiment(net, page.plan.digits), epochs) for net in (NET_1, Net(1)))
    if pooled and plain:
        early = compare(pooled.values("first"), plain.values("first"))
        late = compare(pooled.values("best"), plain.values("best"))
        words = {
            1: "higher (the lowest seed with it is above the highest without it)",
            0: "not clearly different",
            -1: "lower (the highest seed with it is below the lowest without it)",
        }
        yield (
            "**Max-pooling.** In net_1 with it, compared with net_1 without it, the validation accuracy after one epoch is "
            f"{words[early]}, and the best of {epochs} epochs is {words[late]}: {pooled.mean('best')} against "
            f"{plain.mean('best')} (question 1)."
        )


def optimizers(page: Page) -> Iterator[str]:
    """Compare the three optimizers, at their default rates and at their best ones."""
    won = numbers.winners(page.plan, page.known)
    epochs = page.plan.short["rates"]
    usual = {o: page.rows(Experiment(NET_2, page.plan.photographs, o), epochs) for o in won}
    best = {o: page.rows(page.plan.experiments[name], epochs) for o, name in won.items()}
    finished = won and all(usual.values()) and all(best.values())
    if finished and mean_range(usual) > mean_range(best):
        at_default, at_best = (", ".join(f"{o} {mean(rows):.3f}" for o, rows in found.items()) for found in (usual, best))
        share = 1 - mean_range(best) / mean_range(usual)
        yield (
            f"**Optimizers.** The best accuracy in {epochs} epochs of CIFAR-10: {at_default} at the default rates; {at_best} with "
            f"each at its own best rate. Of the difference between the best and the worst, {share:.0%} is due to the default rates "
            "(question 2)."
        )


def mean(rows: Seeds) -> float:
    """Return the mean of the best validation accuracies."""
    return float(np.mean(rows.values("best")))


def mean_range(rows: dict[str, Seeds]) -> float:
    """Return the distance between the highest and the lowest mean."""
    means = [mean(found) for found in rows.values()]
    return max(means) - min(means)


def preprocessing(page: Page) -> Iterator[str]:
    """Yield a sentence on what standardized pixels change on photographs."""
    epochs = page.plan.short["preprocessing"]
    kinds = ("standardize", "scale")
    rows = [page.rows(Experiment(NET_2, page.plan.photographs, preprocessing=kind), epochs) for kind in kinds]
    if all(rows):
        first, best = (" against ".join(mean_spread(found.values(key)) for found in rows) for key in ("first", "best"))
        yield (
            f"**Preprocessing.** On CIFAR-10, pixels with zero mean and unit deviation, against pixels in [0, 1]: an accuracy of "
            f"{first} after one epoch, and of {best} in the best of {epochs} epochs (question 4)."
        )


def order(page: Page) -> Iterator[str]:
    """Yield a sentence on what a new order of the images in each epoch changes."""
    epochs = page.plan.short["order"]
    done = [e for e in page.done("order") if page.rows(e)]
    gains = [
        mean(page.rows(a, epochs)) - mean(page.rows(b, epochs))
        for a in done
        for b in done
        if (a.net, a.shuffled, b.shuffled) == (b.net, "every epoch", "once")
    ]
    if gains:
        yield (
            f"**The order of the images.** A new one in each epoch changes the accuracy on CIFAR-10 by {100 * min(gains):+.1f} to "
            f"{100 * max(gains):+.1f} points, compared with one order for all epochs (question 5)."
        )


def net_3(page: Page) -> Iterator[str]:
    """Yield a sentence on the network that does better."""
    (e,) = page.plan.groups["net_3"]
    rows = page.rows(e)
    if rows:
        minutes = mean_spread([seconds / 60 for seconds in rows.values("seconds")], 0)
        views = mean_spread(several_views(trained(page, e)))
        yield (
            f"**What would do better.** net_3 ends at an accuracy of {rows.mean('last')} on CIFAR-10, and of "
            f"{views} if predictions are means over six views of an image, after {e.epochs} epochs "
            f"and {minutes} minutes (question 6)."
        )


def against_keras(page: Page) -> Iterator[str]:
    """Count the experiments whose accuracy agrees with Keras's."""
    done = [e for e in page.done("study") if page.rows(e)]
    agree = [e for e in done if keras_difference(e.name, e.data, page.rows(e).values("best"))[1]]
    yield (
        f"**Keras.** {len(agree)} of the {len(done)} experiments agree with Keras's accuracy within the tolerance; question 5 "
        "examines one reason why the others differ."
    )
