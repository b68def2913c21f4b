"""A network's predictions: the classes that it confuses, its most confident mistakes, and its prediction for one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet import metrics
from scratchnet.plotting.canvas import (
    CORRECT,
    QUIET,
    TRAINING,
    VALIDATION,
    PathLike,
    bare,
    check_names,
    finish,
    new_figure,
    show,
)
from scratchnet.support.checking import plain_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(
    y_true: Any, y_pred: Any, class_names: Sequence[str], *, title: str | None = None, path: PathLike | None = None
) -> Figure:
    """Draw how many images of each class (row) were classified as each class (column).

    Correct predictions are on the diagonal. The colour is the share of the row, so a rare class is as visible as a common one.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,)
        Class numbers: the labels, and the network's predictions.
    class_names : sequence of K str
    title : str, optional
        By default the accuracy.
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the two differ in length, are empty, or hold a number outside 0..K-1.

    Examples
    --------
    >>> figure = confusion_matrix([0, 0, 1], [0, 1, 1], ["cat", "dog"])
    >>> figure.get_suptitle()
    'accuracy 0.667: 2 of 3 images'
    """
    names = check_names(class_names, 1)
    K = len(names)
    counts = metrics.confusion_matrix(y_true, y_pred, K)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    correct, total = int(np.trace(counts)), int(counts.sum())
    title = title or f"accuracy {correct / total:.3f}: {correct:,} of {total:,} images"
    side = max(3.6, 0.56 * K) if K <= 20 else 10.0
    longest = max(map(len, names))
    # Room for the names, horizontal at the left and slanting below: 10-point letters are about 0.085 inch wide.
    figure = new_figure(side + 1.9 + 0.085 * longest, side + 1.0 + 0.06 * longest, title, compress=True)
    axes = figure.subplots()
    # The square root makes rare mistakes visible.
    picture = axes.imshow(np.sqrt(share), cmap="Blues", vmin=0.0, vmax=1.0)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, shrink=0.8, label="share of the row")
    bar.set_ticks([0.0, 0.1**0.5, 0.25**0.5, 0.5**0.5, 1.0], labels=["0", "10 %", "25 %", "50 %", "100 %"])
    if longest > 2:
        axes.set_xticks(range(K), names, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(K), names)
    axes.set_yticks(range(K), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if K <= 20:
        for i, j in zip(*np.nonzero(counts), strict=True):
            color = "white" if share[i, j] > 0.4 else "black"
            axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=color, fontsize=8.5)
    return finish(figure, path)


def confident_mistakes(
    images: Any,
    y_true: Any,
    probabilities: Any,
    class_names: Sequence[str],
    *,
    count: int = 24,
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw the misclassified images on which the network was most confident, the most confident first.

    The predicted class and its probability are above each image, the true class and its probability below it. Some of these
    images have wrong labels.

    Parameters
    ----------
    images : array of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3)
        ``uint8``, or floats in [0, 1].
    y_true : array of shape (N,)
        Class numbers.
    probabilities : array of shape (N, K)
        The output of ``model.predict``.
    class_names : sequence of K str
    count : int
        The largest number of images drawn.
    title : str, optional
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the three differ in length, or there are fewer names than classes.

    Examples
    --------
    >>> figure = confident_mistakes(np.zeros((2, 8, 8)), [0, 1], [[0.2, 0.8], [0.1, 0.9]], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    'predicted dog 0.80'
    """
    images = plain_array("confident_mistakes", "images", images)
    y_true = plain_array("confident_mistakes", "y_true", y_true).reshape(-1)
    probabilities = plain_array("confident_mistakes", "probabilities", probabilities)
    if not len(images) == len(y_true) == len(probabilities):
        raise ValueError(
            f"confident_mistakes: expected a label and a row of probabilities for each image, got {len(images)} images, "
            f"{len(y_true)} labels, {len(probabilities)} rows. Pass those of the same images."
        )
    names = check_names(class_names, probabilities.shape[1])
    y_pred = probabilities.argmax(axis=1)
    mistakes = metrics.confident_mistakes(y_true, probabilities)
    shown = mistakes[:count]
    if title is None:
        fewer = len(shown) < len(mistakes)
        title = f"the {len(shown)} most confident of {len(mistakes):,} mistakes" if fewer else f"all {len(mistakes)} mistakes"
    if not len(shown):
        figure = new_figure(5, 1.6)
        axes = figure.subplots()
        axes.text(0.5, 0.5, f"no mistake among {len(images):,} images", ha="center", va="center", fontsize=12)
        bare(axes)
        return finish(figure, path)

    columns = min(6, len(shown))
    rows = -(-len(shown) // columns)
    # A long name needs a wider tile: 9-point letters are about 0.075 inch wide.
    wide = max(1.35, 0.075 * (max(map(len, names)) + 16))
    high = wide * images.shape[1] / images.shape[2] + 0.42
    figure = new_figure(wide * columns + 0.3, high * rows + 0.4, title, compress=True)
    panels = np.ravel(figure.subplots(rows, columns))
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes, i in zip(panels, shown, strict=False):
        show(axes, images[i])
        predicted, true = (f"{names[k]} {probabilities[i, k]:.2f}" for k in (y_pred[i], y_true[i]))
        axes.set_title(f"predicted {predicted}", fontsize=9, color=VALIDATION, pad=3)
        axes.set_xlabel(f"true {true}", fontsize=9, color=CORRECT, labelpad=3)
    return finish(figure, path)


def prediction(
    image: Any,
    probabilities: Any,
    class_names: Sequence[str],
    *,
    title: str | None = None,
    note: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw one image as the network sees it, beside the probability of each class.

    Parameters
    ----------
    image : array of shape (H, W), (H, W, 1) or (H, W, 3)
        The network's input.
    probabilities : array of shape (K,)
    class_names : sequence of K str
    title : str, optional
    note : str, optional
        Written below the image: for example how it was prepared. A semicolon begins a new line.
    path : str or path, optional
        A file to which the picture is also written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `probabilities` is not one row, or there are fewer names than classes.

    Examples
    --------
    >>> figure = prediction(np.zeros((8, 8)), [0.25, 0.75], ["cat", "dog"])
    >>> figure.axes[1].get_title()
    'dog: 75.0 %'
    """
    probabilities = plain_array("prediction", "probabilities", probabilities).astype(float)
    if probabilities.ndim != 1 or not len(probabilities):
        raise ValueError(f"prediction: expected probabilities of shape (K,), got {probabilities.shape}. Pass the row of one image.")
    K = len(probabilities)
    names = check_names(class_names, K)[:K]
    best = int(probabilities.argmax())

    figure = new_figure(7.6, max(3.4, 0.3 * K + 0.9), title)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    show(left, image)
    left.set_title("as the network sees it", fontsize=11)
    if note is not None:
        left.set_xlabel(note.replace("; ", "\n"), fontsize=9, color=QUIET)
    colors = [TRAINING if k == best else "#9DC3E0" for k in range(K)]
    right.barh(range(K), probabilities, color=colors, height=0.72)
    for k, p in enumerate(probabilities):
        weight = "bold" if k == best else "normal"
        right.text(p + 0.015, k, f"{100 * p:.1f} %", va="center", fontsize=9, fontweight=weight, color=QUIET)
    right.set_yticks(range(K), names)
    right.set_ylim(K - 0.4, -0.6)
    right.set_xlim(0.0, 1.19)  # room for the number beside a bar of length 1
    right.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    right.set_xlabel("probability")
    right.spines["bottom"].set_bounds(0.0, 1.0)
    right.spines[["top", "right"]].set_visible(False)
    right.set_title(f"{names[best]}: {100 * probabilities[best]:.1f} %", fontsize=11)
    return finish(figure, path)
