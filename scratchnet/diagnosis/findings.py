"""The findings of a diagnosis: each question is a function of the facts, and its answer is a level, a sentence and some advice.

    ok          the numbers are as they should be
    note        worth knowing; the network learns nevertheless
    problem     the numbers show that something is wrong
    unknown     the numbers that would answer the question do not exist

The limits are rules of thumb, chosen such that networks that learn well are far from them. A finding states its numbers, so that
you can judge yourself.

Source: Karpathy, *A recipe for training neural networks* (2019), initial loss and overfitting a few images; the notes of Stanford's
course CS231n, *Learning*, the ratio of update and weight of about 1e-3; Glorot & Bengio, *Understanding the difficulty of training
deep feedforward neural networks* (2010), saturation and gradients that vanish from layer to layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, log, sqrt
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np

from scratchnet.callbacks import History, UpdateRatios
from scratchnet.diagnosis.measure import Facts, measure
from scratchnet.support.checking import check_count, check_images, shortened
from scratchnet.support.tables import text_table

LEARNED = 0.9       # a loss below this fraction of that of guessing shows that something was learned
SLOW = 3e-4         # ratios of steps and weights below this are slow,
FAST = 0.1          # and above this, a step replaces what was learned
MANY, ALL = 0.25, 0.9       # the dead part of a layer that is a note, or a problem
VANISHED = 1 / 30   # of the largest gradient
TINY = 1e-3         # the norm of a gradient; before anything is learned it is usually above 0.01
GAP = 0.1           # between the accuracies of training and validation
RISE = 1.1          # of the validation loss, over its lowest value
UNEQUAL = 5         # images of the most frequent class for one of the rarest

BETTER_RATES = {"Adadelta": (1.0, "the rate of its paper"), "Adagrad": (0.03, "the best rate that we measured for net_2")}


class Finding(NamedTuple):
    """The answer to one question."""

    question: str
    level: str          # "ok", "note", "problem" or "unknown"
    text: str
    advice: str = ""


class Diagnosis:
    """What `diagnose` returns: print it, or read its attributes.

    Attributes
    ----------
    facts : Facts
        The numbers.
    findings : list of Finding
    problems : list of str
        The questions whose answer is a problem.
    """

    def __init__(self, facts: Facts):
        self.facts = facts
        self.findings = [question(facts) for question in QUESTIONS]
        self.problems = [finding.question for finding in self.findings if finding.level == "problem"]

    def __getitem__(self, question: str) -> Finding:
        """Return the finding of a question, such as diagnosis["dead units"]."""
        return next(finding for finding in self.findings if finding.question == question)

    def __str__(self) -> str:
        lines = []
        for question, level, text, advice in self.findings:
            head = f"{level if level != 'problem' else 'PROBLEM':<8} {question:<15} "
            words = f"{text} {advice}".strip()
            lines.append(fill(words, 100, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False))
        lines += ["", *layer_table(self.facts), "", self.summary()]
        return "\n".join(lines)

    def summary(self) -> str:
        """Return the last line: how many problems and notes there are."""
        notes = sum(finding.level == "note" for finding in self.findings)
        if not self.problems:
            return "No problem found." if not notes else f"No problem found, {_plural(notes, 'note')}."
        return f"{_plural(len(self.problems), 'problem')}: {', '.join(self.problems)}."


def diagnose(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    *,
    validation_data: Sequence[np.ndarray] | None = None,
    history: History | Mapping[str, Sequence[float]] | None = None,
    updates: UpdateRatios | None = None,
    initial_loss: float | None = None,
    images: int = 1000,
    steps: Sequence[float] = (),
    stopped: str = "",
) -> Diagnosis:
    """Measure a model and its training, and explain what the numbers show. The model is not changed.

    Parameters
    ----------
    model : Model
        A classifier. If it is compiled, copies of it take a training step each, for the gradients and the ratios.
    x, y : ndarray
        The training images as the model takes them (N, ...), and their labels: integers (N,), or one-hot (N, K).
    validation_data : (x, y), optional
    history : History or dict, optional
        What `fit` returned.
    updates : UpdateRatios, optional
        The callback, if training had it: the ratios of every epoch, and the initial loss.
    initial_loss : float, optional
        The cross-entropy before training, in place of the one that `updates` has.
    images : int
        How many training images, and how many for validation, are used. They are drawn at random, always the same ones.
    steps : sequence of float
        The losses of the steps of an epoch in which training broke down: they are plotted in place of those of the epochs.
    stopped : str
        How training broke down, if it did: it is reported as a problem.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError
        For a model that is not a classifier, and for images or labels that do not suit it.

    Examples
    --------
    >>> from scratchnet import Dense, Input, Sequential
    >>> model = Sequential([Input(shape=(4,)), Dense(3, activation="softmax")], seed=0)
    >>> x = np.random.default_rng(0).random((60, 4)).astype("float32")
    >>> diagnosis = diagnose(model, x, np.zeros(60, int))
    >>> print(diagnosis["labels"].text)
    All 60 training images have label 0, of 3 classes: there is nothing to learn.
    """
    images = check_count("diagnose: images", images, "diagnose(model, x, y, images=1000)")
    model.build_for_data(x)
    if len(model.output_shape) != 2 or model.output_shape[-1] < 2:
        raise ValueError(
            f"diagnose: expected a classifier, with outputs (N, K) for two or more classes, got {model.output_shape}. Diagnose a"
            " model that ends in Dense(K, activation='softmax')"
        )
    K = model.output_shape[-1]
    validation = None if validation_data is None else checked(model, validation_data[0], validation_data[1], K)
    values = history.history if isinstance(history, History) else dict(history or {})
    facts = measure(model, checked(model, x, y, K), validation, values, updates, initial_loss, images, steps, stopped)
    return Diagnosis(facts)


def checked(model: Any, x: np.ndarray, y: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and integer labels, or raise ValueError."""
    x, y = check_images(x, model.nodes[0].shape), np.asarray(y)
    y = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] == K else y
    whole = y.ndim == 1 and y.dtype.kind in "iu" and len(y) == len(x) > 0
    if not whole or y.min() < 0 or y.max() >= K:
        raise ValueError(
            f"diagnose: expected a label from 0 to {K - 1} for each of {len(x)} images, got {shortened(y)}. Pass integers (N,), or"
            f" one-hot rows (N, {K})"
        )
    return x, y.astype(np.int64)


# -- the questions --------------------------------------------------------------------------------------------------------


def labels(f: Facts) -> Finding:
    """Are the classes equally frequent?"""
    name, K, n = "labels", len(f.counts), int(f.counts.sum())
    most, present = int(f.counts.argmax()), f.counts[f.counts > 0]
    missing = [k for k in range(K) if not f.counts[k]]
    if len(present) == 1:
        return Finding(
            name, "problem", f"All {n:,} training images have label {most}, of {K} classes: there is nothing to learn.",
            "Look at the labels before and after preprocessing.",
        )  # fmt: skip
    if missing:
        which = f"class {missing[0]}" if len(missing) == 1 else f"classes {', '.join(map(str, missing))}"
        mostly = f" {f.counts[most]:,} are of class {most}." if f.counts[most] > n / 2 else ""
        return Finding(
            name, "note" if n < 20 * K else "problem", f"None of the {n:,} training images is of {which}.{mostly}",
            "The network cannot learn what it never sees: check how the images were chosen.",
        )  # fmt: skip
    if present.max() >= UNEQUAL * present.min() and n >= 20 * K:
        rare = int(f.counts.argmin())
        return Finding(
            name, "note",
            f"Class {most} has {f.counts[most]:,} training images, class {rare} only {f.counts[rare]:,}: always predicting class"
            f" {most} has an accuracy of {f.counts[most] / n:.2f}.",
            "Judge by the accuracy of each class (scratchnet evaluate), and give rare classes a larger class_weight in fit.",
        )  # fmt: skip
    return Finding(name, "ok", f"{n:,} training images, from {present.min():,} to {present.max():,} of each of {K} classes.")


def initial_loss(f: Facts) -> Finding:
    """Was the loss before training about ln K?"""
    name, chance = "initial loss", log(len(f.counts))
    if f.initial_loss is None:
        return Finding(name, "unknown", "The loss before training is not known.", "Train with the callback UpdateRatios.")
    text = f"{f.initial_loss:.2f} before training; {chance:.2f} (ln {len(f.counts)}) is that of equal probabilities."
    if f.initial_loss > 1.5 * chance + 0.5:
        pixels = f" The pixels go from {f.low:.3g} to {f.high:.3g}." if max(abs(f.low), f.high) > 20 else ""
        advice = "Divide the images by 255." if pixels else "Check the scale of the initial weights, and that of the images."
        text += f" So the untrained network is sure of wrong answers: its logits are too large.{pixels}"
        return Finding(name, "problem", text, advice)
    if f.initial_loss < 0.7 * chance:
        return Finding(name, "note", f"{text} So the network had learned something before this training.")
    return Finding(name, "ok", text)


def learning(f: Facts) -> Finding:
    """Has the network learned anything?"""
    name = "learning"
    if f.guess < 0.01:
        return Finding(name, "unknown", "With these labels, the same answer is always right.")
    if empty(f):
        what = f"Every pixel is {f.low:g}" if isfinite(f.low + f.high) else "The images hold NaN or infinity"
        return Finding(name, "problem", f"{what}: there is nothing to learn.", "Look at the images before and after preprocessing.")
    if len(f.steps) and not f.history:
        return Finding(name, "unknown", "No epoch was finished, so the network is as it was before training.")
    text = (
        f"Cross-entropy {number(f.loss)} and accuracy {f.accuracy:.3f} on {f.images:,} training images; guessing by the frequency"
        f" of the classes gives a cross-entropy of {number(f.guess)}."
    )
    if learned(f):
        return Finding(name, "ok", text)
    hardly = "hardly" if f.loss < f.guess else "no"
    same = " It predicts the same class for all of them." if f.predicted == 1 else ""
    explained = any(q(f).level == "problem" for q in (labels, initial_loss, learning_rate, dead_units, saturation, gradients))
    advice = (
        "Can the network learn 20 images by heart? (scratchnet train --limit 20 --epochs 50.) If not, look at the images and labels"
        " that it receives."
    )
    if not explained and f.accuracy > 2 * f.counts.max() / f.counts.sum():
        return Finding(name, "note", f"{text} It has begun to learn.", "Train for more epochs, and diagnose again.")
    return Finding(name, "problem", f"{text} That is {hardly} better than guessing.{same}", "" if explained else advice)


def learning_rate(f: Facts) -> Finding:
    """Were the steps too large or too small?"""
    name, losses = "learning rate", [float(loss) for loss in f.history.get("loss", ())]
    start = max(f.guess, f.initial_loss or 0.0)
    measured = f.ratios or {layer: [ratio] for layer, ratio in f.replayed.items()}
    ratios = [float(np.median(row)) for row in zip(*measured.values(), strict=False)]       # of each epoch
    largest = max((ratio for values in measured.values() for ratio in values), default=0.0)
    rate = f"{f.optimizer} with {'learning rates up to' if f.scheduled else 'learning rate'} {f.learning_rate:g}"
    if empty(f):
        return Finding(name, "unknown", f"{rate}: with these images, no rate is right; see learning.")
    if f.stopped:
        return Finding(name, "problem", f"{rate}: {f.stopped}", smaller(f))
    wrong = [k for k, loss in enumerate(losses, 1) if not isfinite(loss)]
    if wrong:
        return Finding(name, "problem", f"{rate}: in epoch {wrong[0]} the loss was not finite.", smaller(f))
    high = max(losses, default=0.0)
    if high > 3 * start:
        k = losses.index(high) + 1
        return Finding(
            name, "problem", f"{rate} is too large: the mean loss of epoch {k} was {number(high)}, and before training it was about"
            f" {number(start)}.", smaller(f),
        )  # fmt: skip
    if losses and not learned(f) and min(losses) < 0.7 * f.guess:
        return Finding(
            name, "problem", f"{rate} is too large: the training loss was {number(min(losses))} in epoch"
            f" {1 + int(np.argmin(losses))}, but the network has since lost what it had learned.", smaller(f),
        )  # fmt: skip
    if not ratios:
        return Finding(name, "unknown", "The model is not compiled, so no step was measured.")
    where = f"in epoch {f.epochs[0]}, and by {ratios[-1]:.1e} in epoch {f.epochs[-1]}" if len(f.epochs) > 1 else "at the end"
    text = f"{rate}: a step changes the weights of a layer by {ratios[0]:.1e} of their norm {where} (the median of the layers)."
    if largest > FAST and not learned(f):
        return Finding(
            name, "problem", f"{text} In one layer it was {largest:.1e}: steps this large destroy what was learned.", smaller(f)
        )
    if max(ratios) < SLOW and f.loss > 0.5 * f.guess and f.guess > 0.01:
        if gradients(f).level == "problem" or dead_units(f).level == "problem":
            return Finding(name, "unknown", f"{text} The steps are small because the gradients are; see gradients and dead units.")
        for cause in (initial_loss(f), saturation(f)):
            if cause.level == "problem":
                return Finding(name, "unknown", f"{text} Correct another problem first; see {cause.question}.")
        return Finding(name, "problem", f"{text} That is slow: about 1e-3 is usual.", larger(f))
    if not learned(f) and dead_units(f).level == "problem":
        return Finding(name, "unknown", f"{text} An earlier step may have been too large; see dead units.")
    return Finding(name, "ok", text)


def dead_units(f: Facts) -> Finding:
    """Which ReLUs are never positive?"""
    name, relus = "dead units", [u for u in f.units if u.function == "relu"]
    if not relus:
        return Finding(name, "unknown", "The network has no ReLU.")
    many = [u for u in relus if u.dead >= MANY * u.units]
    if not many:
        dead, total = sum(u.dead for u in relus), sum(u.units for u in relus)
        return Finding(name, "ok", f"{dead} of {total} filters and units are never positive on {f.images:,} training images.")
    worst = [u for u in relus if u.dead >= ALL * u.units]
    text = "; ".join(f"{u.layer}: {u.dead} of {u.units} {u.what} are never positive" for u in many)
    text += f", on {f.images:,} training images. On these images they compute nothing, and their weights receive no gradient."
    if worst:
        advice = (
            "One large step can do this: train again with a smaller learning rate. Initial weights of 0 and large negative biases"
            " can, too: use the defaults. With LeakyReLU every unit has a gradient, unless the weights are 0."
        )
        return Finding(name, "problem", text, advice)
    advice = "The others suffice if the network learns. A smaller learning rate, or LeakyReLU, may leave fewer."
    return Finding(name, "note", text, advice)


def saturation(f: Facts) -> Finding:
    """Are sigmoids and tanhs so far from 0 that they pass on no gradient?"""
    name, smooth = "saturation", [u for u in f.units if u.function in ("sigmoid", "tanh")]
    if not smooth:
        return Finding(name, "ok", "The network has no sigmoid and no tanh, which could saturate.")
    text = ", ".join(f"{u.layer} ({u.function}) {u.saturated:.0%}" for u in smooth)
    text = f"The share of outputs so close to an end of their range that the derivative is below 1 % of its maximum: {text}."
    if max(u.saturated for u in smooth) < 0.5:
        return Finding(name, "ok", text)
    advice = "Make the initial weights smaller, scale the images, or use ReLU."
    return Finding(name, "note" if learned(f) else "problem", text, advice)


def gradients(f: Facts) -> Finding:
    """Does the gradient reach every layer?"""
    name = "gradients"
    if not f.gradients:
        return Finding(name, "unknown", "No gradient was computed: the model is not compiled, or its loss is not finite.")
    highest, lowest = max(f.gradients, key=lambda k: f.gradients[k]), min(f.gradients, key=lambda k: f.gradients[k])
    large, small = f.gradients[highest], f.gradients[lowest]
    zero = [layer for layer, norm in f.gradients.items() if norm == 0]
    if zero:
        return Finding(
            name, "problem", f"No gradient reaches {', '.join(zero)}: the norm is exactly 0.",
            "See dead units: a layer of which no unit is positive passes nothing on.",
        )  # fmt: skip
    text = f"The norm of a layer's gradient is between {small:.1e} ({lowest}) and {large:.1e} ({highest})."
    if small < VANISHED * large:
        advice = "Use ReLU and Glorot's or He's initial weights, fewer layers, or batch normalization between them."
        words = f"{text} It vanishes: {lowest} receives {large / small:,.0f} times less."
        return Finding(name, "note" if learned(f) else "problem", words, advice)
    if small < TINY and not learned(f):
        advice = "Check the scale of the initial weights and that of the images: are they many times too small?"
        return Finding(name, "problem", f"{text} That is tiny for a network that has not learned anything yet.", advice)
    return Finding(name, "ok", text)


def overfitting(f: Facts) -> Finding:
    """Is the network much better on training images than on others?"""
    name = "overfitting"
    if f.val_accuracy is None or f.val_loss is None or f.confidence is None:
        return Finding(name, "unknown", "There are no validation images.", "Pass validation_data.")
    if len(f.steps) and not f.history:
        return Finding(name, "unknown", "No epoch was finished.")
    if f.guess < 0.01 or not learned(f):
        return Finding(name, "unknown", "Only a network that has learned something can overfit; see learning.")
    n = int(f.counts.sum())
    gap = f.accuracy - f.val_accuracy
    text = f"Accuracy {f.accuracy:.3f} on {f.images:,} training images, {f.val_accuracy:.3f} on {f.val_images:,} validation images."
    val_losses = [float(loss) for loss in f.history.get("val_loss", ())]
    risen = False
    if any(map(isfinite, val_losses)):
        lowest = min(filter(isfinite, val_losses))
        epoch, epochs = val_losses.index(lowest) + 1, len(val_losses)
        risen = min(val_losses[-1], f.val_loss) > RISE * lowest
        last = f", and {number(val_losses[-1])} in the last" if epoch < epochs else ""
        text += f" The validation loss was lowest in epoch {epoch} of {epochs}: {number(lowest)}{last}."
    # Two standard deviations of the difference: an accuracy a of n images has the variance a (1 - a) / n, and variances add.
    noise = 2 * sqrt(f.accuracy * (1 - f.accuracy) / f.images + f.val_accuracy * (1 - f.val_accuracy) / f.val_images)
    if gap <= GAP + noise:
        return Finding(name, "ok", text)
    if f.val_accuracy < 1 / len(f.counts) + noise and n >= 50 * len(f.counts):
        text += " On validation images it is no better than guessing."
        advice = "Check that validation images and labels were prepared exactly as those of training."
        return Finding(name, "problem", text, advice)
    if f.confidence - f.val_accuracy > 0.15:
        text += f" On validation images its largest probability is {f.confidence:.2f} on average: it is too sure."
    advice = "Stop early (--patience 2), use more images, augmentation or dropout."
    if n < 50 * len(f.counts):
        text += f" With {n:,} training images for {len(f.counts)} classes, it learns them by heart."
    return Finding(name, "problem" if risen or n < 50 * len(f.counts) else "note", f"{text} It overfits.", advice)


QUESTIONS = (labels, initial_loss, learning, learning_rate, dead_units, saturation, gradients, overfitting)


# -- words ----------------------------------------------------------------------------------------------------------------


def learned(f: Facts) -> bool:
    """Return whether the loss is clearly below that of guessing, or nothing can be learned from the labels."""
    return f.loss < LEARNED * f.guess or f.guess < 0.01


def empty(f: Facts) -> bool:
    """Return whether the images hold nothing to learn from: all pixels are equal, or one is not finite."""
    return not isfinite(f.low + f.high) or f.low == f.high


def smaller(f: Facts) -> str:
    """Return the advice to use a smaller learning rate, and which."""
    if f.default_rate and f.learning_rate > f.default_rate:
        return f"Try the default, {f.default_rate:g}."
    return f"Try a smaller one, such as {f.learning_rate / 10:.2g}."


def larger(f: Facts) -> str:
    """Return the advice to use a larger learning rate, and which."""
    rate, why = BETTER_RATES.get(f.optimizer, (f.default_rate, "the default"))
    if f.learning_rate < rate:
        return f"Try {rate:g}, {why}."
    return f"Try a larger one, such as {10 * f.learning_rate:.2g}."


def number(value: float) -> str:
    """Return a loss as text.

    >>> number(2.3025851), number(0.0012), number(1.5e27), number(float("nan"))
    ('2.303', '0.0012', '1.5e+27', 'nan')
    """
    return f"{value:.4g}" if not 1e-4 <= value < 1e5 else f"{value:,.3f}" if value >= 0.1 else f"{value:.2g}"


def layer_table(f: Facts) -> list[str]:
    """Return the lines of a table: what was measured of each layer."""
    units = {u.layer: u for u in f.units}
    rows = [("layer", "dead", "saturated", "gradient", "ratio, first epoch", "ratio, last")]
    for layer in dict.fromkeys([*f.gradients, *units]):
        u = units.get(layer)
        dead = f"{u.dead} of {u.units}" if u is not None and u.function == "relu" else ""
        saturated = f"{u.saturated:.0%}" if u is not None and u.function in ("sigmoid", "tanh") else ""
        first = f"{f.ratios[layer][0]:.1e}" if layer in f.ratios else ""
        last = f"{f.last_ratios[layer]:.1e}" if layer in f.last_ratios else ""
        norm = f"{f.gradients[layer]:.1e}" if layer in f.gradients else ""
        rows.append((layer, dead, saturated, norm, first, last))
    return [line.rstrip() for line in text_table(rows, "<>>>>>")]


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
