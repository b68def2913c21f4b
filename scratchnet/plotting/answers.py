"""What a net answers: the classes it confuses, where it was sure and wrong, its answer to one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.plotting.canvas import (
    QUIET,
    RIGHT,
    TRAINING,
    VALIDATION,
    PathLike,
    bare,
    check_names,
    finish,
    new_figure,
    show,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(
    y_true: Any, y_pred: Any, class_names: Sequence[str], *, title: str | None = None, path: PathLike | None = None
) -> Figure:
    """Draw how many images of each class (row) were taken for each class (column).

    The colour is the share of the row, so a rare class is as visible as a common one; the diagonal is what was right.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,)
        Class numbers: what the images are, and what the net says.
    class_names : sequence of K str
    title : str, optional
        Otherwise the accuracy.
    path : str or path, optional
        Where the picture is written as well.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When the two differ in length, are empty, or hold a number outside 0..K-1.

    Examples
    --------
    >>> figure = confusion_matrix([0, 0, 1], [0, 1, 1], ["cat", "dog"])
    >>> figure.get_suptitle()
    'accuracy 0.667: 2 of 3 images'
    """
    y_true, y_pred = np.asarray(y_true).reshape(-1), np.asarray(y_pred).reshape(-1)
    names = check_names(class_names, 1)
    K = len(names)
    if len(y_true) != len(y_pred) or not len(y_true):
        raise ValueError(f"one answer for each of at least one image; {len(y_pred)} for {len(y_true)} came")
    for which, labels in (("y_true", y_true), ("y_pred", y_pred)):
        outside = labels[(labels < 0) | (labels >= K)]
        if len(outside):
            raise ValueError(f"{which} has class {outside[0]}; {K} class names go with 0..{K - 1}")
    counts = np.bincount(y_true.astype(int) * K + y_pred.astype(int), minlength=K * K).reshape(K, K)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    right = int(np.trace(counts))
    title = title or f"accuracy {right / len(y_true):.3f}: {right:,} of {len(y_true):,} images"
    side = max(3.6, 0.56 * K) if K <= 20 else 10.0
    longest = max(map(len, names))
    # Room for the names, upright at the left and slanting below: 10-point letters are about 0.085 inch wide.
    figure = new_figure(side + 1.9 + 0.085 * longest, side + 1.0 + 0.06 * longest, title, compress=True)
    axes = figure.subplots()
    # The square root lifts the rare mistakes, which are what one looks for here.
    picture = axes.imshow(np.sqrt(share), cmap="Blues", vmin=0.0, vmax=1.0)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, shrink=0.8, label="share of the row")
    bar.set_ticks([0.0, 0.1**0.5, 0.25**0.5, 0.5**0.5, 1.0], labels=["0", "10 %", "25 %", "50 %", "100 %"])
    if longest > 2:
        axes.set_xticks(range(K), names, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(K), names)
    axes.set_yticks(range(K), names)
    axes.set_xlabel("the net says")
    axes.set_ylabel("the image is")
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
    """Draw the images on which the net was wrong and most sure of it, the surest first.

    Each tile says what the net said and how sure it was, and below it what the image is. Some of them are the
    labels' mistakes, not the net's.

    Parameters
    ----------
    images : array of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3)
        ``uint8``, or floats in [0, 1].
    y_true : array of shape (N,)
        Class numbers.
    probabilities : array of shape (N, K)
        What ``model.predict`` gives.
    class_names : sequence of K str
    count : int
        At most so many tiles.
    title : str, optional
    path : str or path, optional
        Where the picture is written as well.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When the three differ in length or there are fewer names than classes.

    Examples
    --------
    >>> figure = confident_mistakes(np.zeros((2, 8, 8)), [0, 1], [[0.2, 0.8], [0.1, 0.9]], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    'says dog 0.80'
    """
    images, y_true, probabilities = np.asarray(images), np.asarray(y_true).reshape(-1), np.asarray(probabilities)
    if not len(images) == len(y_true) == len(probabilities):
        raise ValueError(
            f"as many labels and rows of probabilities as images, please: {len(images)} images, "
            f"{len(y_true)} labels, {len(probabilities)} rows came"
        )
    names = check_names(class_names, probabilities.shape[1])
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != y_true)
    surest = wrong[np.argsort(-probabilities[wrong, said[wrong]], kind="stable")][:count]
    if title is None:
        fewer = len(surest) < len(wrong)
        title = f"the {len(surest)} surest of {len(wrong):,} mistakes" if fewer else f"all {len(wrong)} mistakes"
    if not len(surest):
        figure = new_figure(5, 1.6)
        axes = figure.subplots()
        axes.text(0.5, 0.5, f"no mistake among {len(images):,} images", ha="center", va="center", fontsize=12)
        bare(axes)
        return finish(figure, path)

    columns = min(6, len(surest))
    rows = -(-len(surest) // columns)
    # A long name needs a wider tile: 9-point letters are about 0.075 inch wide.
    wide = max(1.35, 0.075 * (max(map(len, names)) + 11))
    high = wide * images.shape[1] / images.shape[2] + 0.42
    figure = new_figure(wide * columns + 0.3, high * rows + 0.4, title, compress=True)
    panels = np.ravel(figure.subplots(rows, columns))
    for axes in panels[len(surest) :]:
        axes.set_visible(False)
    for axes, i in zip(panels, surest, strict=False):
        show(axes, images[i])
        axes.set_title(f"says {names[said[i]]} {probabilities[i, said[i]]:.2f}", fontsize=9, color=VALIDATION, pad=3)
        axes.set_xlabel(f"is {names[y_true[i]]} {probabilities[i, y_true[i]]:.2f}", fontsize=9, color=RIGHT, labelpad=3)
    return finish(figure, path)


def prediction(
    image: Any,
    probabilities: Any,
    class_names: Sequence[str],
    *,
    title: str | None = None,
    path: PathLike | None = None,
) -> Figure:
    """Draw one image as the net sees it, beside the probability it gives each class.

    Parameters
    ----------
    image : array of shape (H, W), (H, W, 1) or (H, W, 3)
        What the net was given.
    probabilities : array of shape (K,)
    class_names : sequence of K str
    title : str, optional
    path : str or path, optional
        Where the picture is written as well.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When `probabilities` is not one row, or there are fewer names than classes.

    Examples
    --------
    >>> figure = prediction(np.zeros((8, 8)), [0.25, 0.75], ["cat", "dog"])
    >>> figure.axes[1].get_title()
    'dog: 75.0 %'
    """
    probabilities = np.asarray(probabilities, float)
    if probabilities.ndim != 1 or not len(probabilities):
        raise ValueError(f"the probabilities of one image have shape (K,), not {probabilities.shape}")
    K = len(probabilities)
    names = check_names(class_names, K)[:K]
    best = int(probabilities.argmax())

    figure = new_figure(7.6, max(3.4, 0.3 * K + 0.9), title)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    show(left, image)
    left.set_title("as the net sees it", fontsize=11)
    colors = [TRAINING if k == best else "#9DC3E0" for k in range(K)]
    right.barh(range(K), probabilities, color=colors, height=0.72)
    for k, p in enumerate(probabilities):
        weight = "bold" if k == best else "normal"
        right.text(p + 0.015, k, f"{100 * p:.1f} %", va="center", fontsize=9, fontweight=weight, color=QUIET)
    right.set_yticks(range(K), names)
    right.set_ylim(K - 0.4, -0.6)
    right.set_xlim(0.0, 1.19)  # room for the number beside a full bar
    right.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    right.set_xlabel("probability")
    right.spines["bottom"].set_bounds(0.0, 1.0)
    right.spines[["top", "right"]].set_visible(False)
    right.set_title(f"{names[best]}: {100 * probabilities[best]:.1f} %", fontsize=11)
    return finish(figure, path)
