"""Find the ink of a drawing, on paper of any brightness: dark on light or light on dark, in even or uneven light.

1. The background is estimated at each pixel, so that grey paper, a blackboard and a shadow are all backgrounds. For dark ink, a
   morphological closing removes whatever is dark and narrower than a third of the picture. The contrast is the closing minus
   the picture (the "black top-hat" of Serra, "Image Analysis and Mathematical Morphology", 1982).
2. Neighbouring pixels of strong contrast form a stroke. Specks, a frame around the picture, and strokes that reach its edge
   are left out. Several drawings far from each other are refused.
3. Both dark ink and light ink are tried. What remains after the ink is removed is even; what remains after the paper between the
   strokes is removed is not. So the ink is dark if the background estimated for dark ink is the more even one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

BLANK = 0.05     # a picture with less contrast than this is blank
WIDEST = 0.35    # of the picture's shorter side: the widest stroke
SHARES = (0.2, 0.35, 0.5, 0.65)  # of the strongest contrast: thresholds between paper and ink
FAINTEST = 0.1   # of the drawing's contrast: what is fainter is set to 0
SPECK = 0.05     # of the largest stroke's area: a smaller part is dirt
MOST_SOLID = 0.75  # of its box: a part that covers more is paper or a table, not strokes; 0.2 less if it is light
MANY = 50  # parts of a drawing; more are noise or a pattern
GAP = 0.25       # of the drawing's size: a part that is farther away is another drawing
FRAME = 0.4      # of the picture's edge: a part that covers more is a frame or a shadow
SHARP = 0.3      # of the drawing's contrast, within 1/25 of its size: a shadow changes more slowly

SHEET = "expected strokes, got an area as solid as a sheet of paper. Crop the picture to the paper, or use a thinner pen."

Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two are excluded


class Drawing(NamedTuple):
    """The ink of a drawing."""

    ink: Array  # (h, w): the contrast of ink with the paper, from 0 to 1; 0 outside the ink
    dark: bool  # the ink is darker than the paper
    box: Box
    free: bool  # it does not touch the picture's edge
    left_out: tuple[str, ...]  # what else the picture shows
    refusal: str  # why this is not one drawing; empty if it is


def find_ink(grey: Array) -> Drawing:
    """Return the ink of the only drawing in `grey`, (h, w) floats in [0, 1].

    Raises
    ------
    ValueError
        If the picture is blank or shows several drawings, or if ink and paper cannot be distinguished.

    Examples
    --------
    >>> grey = np.full((8, 6), 0.9)
    >>> grey[2:7, 3] = 0.4
    >>> drawing = find_ink(grey)
    >>> drawing.dark, drawing.box
    (True, (2, 3, 7, 4))
    """
    left_out: tuple[str, ...] = ()
    for dark in (True, False):
        frame = framed(contrast(grey, dark))
        if frame.any():
            grey = np.where(frame, background(grey, dark), grey)
            left_out = ("a frame or shadow at the edge is left out",)
    dark = unevenness(background(grey, True)) < unevenness(background(grey, False))
    found = one_drawing(contrast(grey, dark), dark)
    if found is None:
        raise ValueError("expected a dark drawing on light paper, or light on dark, got a blank picture. Increase its contrast.")
    if found.refusal:
        raise ValueError(found.refusal)
    return found._replace(left_out=left_out + found.left_out)


def unevenness(ground: Array) -> float:
    """Return the total variation of `ground`, (h, w): the sum of the differences of neighbouring pixels."""
    return float(np.abs(np.diff(ground, axis=0)).sum() + np.abs(np.diff(ground, axis=1)).sum())


def contrast(grey: Array, dark: bool) -> Array:
    """Return how much darker (or lighter) each pixel is than its background, as in even light; noise of the paper is near 0."""
    ground = background(grey, dark)
    excess = ground - grey if dark else grey - ground
    if dark:
        excess = excess * (np.median(ground) + 0.1) / (ground + 0.1)  # half the light gives half the contrast
    return np.maximum(excess - np.median(excess), 0.0)


def background(grey: Array, dark: bool) -> Array:
    """Return `grey` without what is dark (or light) and narrower than a third of the picture: its closing (or opening).

    >>> background(np.array([[0.9, 0.9, 0.2, 0.9, 0.8, 0.8, 0.8]] * 4), dark=True)[0]
    array([0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8])
    """
    radius = max(1, round(WIDEST * min(grey.shape) / 2))
    sign = 1.0 if dark else -1.0
    return -sign * largest_near(-largest_near(sign * grey, radius), radius)


def largest_near(x: Array, radius: int) -> Array:
    """Return the largest value of `x`, (h, w), in the square of `radius` pixels around each pixel."""
    x = x.astype(float)
    for _ in range(2):  # along the columns, then along the rows
        n = len(x)
        x = np.pad(x, ((radius, radius), (0, 0)), constant_values=-np.inf)
        width = 1
        while width < 2 * radius + 1:  # two windows of 4 make one of 8 if the second is moved by 4, and one of 7 if by 3
            step = min(width, 2 * radius + 1 - width)
            x = np.maximum(x[:-step], x[step:])
            width += step
        x = x[:n].T
    return x


class Strokes(NamedTuple):
    """The connected parts of a mask, the largest first."""

    number: Array  # (h, w): k + 1 in part k, 0 outside the mask
    area: Array    # (n,) pixels
    box: Array     # (n, 4): top, left, bottom, right; the last two are excluded
    edge: Array    # (n,): the share of the picture's outermost pixels that the part covers


def strokes(mask: Array) -> Strokes:
    """Return the parts of `mask`, (h, w) of bool, whose pixels touch each other at a side or a corner.

    Each pixel refers to the first pixel known to be of the same part. Neighbours take the lower of their two references, and
    chains of references are shortened, until all neighbours agree (Shiloach and Vishkin, J. Algorithms 3, 1982).

    In [[1, 0, 1], [0, 1, 0]] the pixels are number 0, 1 and 2, row by row, and `part` is first [0, 1, 2]. Pixel 2 touches both
    others, and takes the lower of the references that it is offered: [0, 1, 0]. Now pixels 1 and 2 are neighbours that refer to 1
    and 0, so what referred to 1 refers to 0: [0, 0, 0]. All neighbours agree: there is one part.

    >>> strokes(np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)).box
    array([[0, 0, 2, 2],
           [0, 3, 2, 4]])
    """
    h, w = mask.shape
    y, x = np.nonzero(mask)
    index = np.full((h + 1, w + 2), -1)  # a margin below and at both sides
    index[y, x + 1] = np.arange(len(y))
    pairs = [(index[:-1, 1:-1], near) for near in (index[:-1, 2:], index[1:, 1:-1], index[1:, 2:], index[1:, :-2])]
    a, b = np.concatenate([np.array([here[(here >= 0) & (near >= 0)], near[(here >= 0) & (near >= 0)]]) for here, near in pairs], 1)
    part = np.arange(len(y))
    while (part[a] != part[b]).any():
        low, high = np.minimum(part[a], part[b]), np.maximum(part[a], part[b])
        np.minimum.at(part, high, low)  # unlike part[high] = …, takes the lowest of several
        while (part != part[part]).any():
            part = part[part]
    _, part, area = np.unique(part, return_inverse=True, return_counts=True)
    order = np.argsort(-area, kind="stable")
    rank = np.argsort(order)  # the inverse permutation: part order[i] comes at place i, so part p comes at place rank[p]
    part, area = rank[part], area[order]
    number = np.zeros((h, w), int)
    number[y, x] = part + 1
    box = np.tile([h, w, 0, 0], (len(area), 1))
    for side, at in enumerate((y, x)):
        np.minimum.at(box[:, side], part, at)
        np.maximum.at(box[:, side + 2], part, at + 1)
    ring = edge_of(number)
    return Strokes(number, area, box, np.bincount(ring, minlength=len(area) + 1)[1:] / ring.size)


def framed(excess: Array) -> Array:
    """Return where `excess`, a contrast (h, w), shows a frame, or a shadow along the picture's edge, (h, w) of bool.

    A frame covers much of the picture's edge; or it is a rectangle of lines around something else.
    """
    parts = strokes(excess > max(SHARES[1] * excess.max(), BLANK))
    frames = [int(k) for k in np.flatnonzero(parts.edge > FRAME)]
    for k in range(min(3, len(parts.area))):
        top, left, bottom, right = parts.box[k]
        lines = parts.number[top:bottom, left:right] == k + 1
        if edge_of(lines).mean() > 0.8 and lines.mean() < 0.5 and nested(parts.box, parts.area, k):
            frames.append(k)
    frame = np.isin(parts.number, np.array(frames) + 1)
    return largest_near(frame, max(1, min(excess.shape) // 100)) > 0


def edge_of(x: Array) -> Array:
    """Return the outermost values of `x`, (h, w), as one row."""
    return np.concatenate([x[0], x[-1], x[1:-1, 0], x[1:-1, -1]])


def nested(boxes: Array, areas: Array, k: int) -> bool:
    """Return whether a part that is no speck lies well inside the box of part `k`."""
    margin = size(boxes[k]) // 20 + 1
    inside = np.all(boxes[:, :2] >= boxes[k, :2] + margin, axis=1) & np.all(boxes[:, 2:] <= boxes[k, 2:] - margin, axis=1)
    return bool(np.any(inside & (areas >= SPECK * areas[k])))


def one_drawing(excess: Array, dark: bool) -> Drawing | None:
    """Return the drawing in `excess`, a contrast (h, w), or None if it is blank.

    Four thresholds are tried. At the lower ones, faint lines and stains on the paper may join the drawing. So the first is used
    at which the drawing does not touch the picture's edge and is about as small as at any other. If it always touches, it is
    accepted.
    """
    if excess.max() < BLANK:
        return None
    tried = [separated(excess, share * excess.max(), dark) for share in SHARES]
    sheet = next((drawing for drawing in tried if drawing and drawing.refusal == SHEET), None)
    free = [drawing for drawing in tried if drawing and drawing.free and not drawing.refusal]
    if sheet:
        return sheet
    if free:
        smallest = min(size(drawing.box) for drawing in free)
        return next(drawing for drawing in free if size(drawing.box) <= 1.2 * smallest)
    found = [drawing for drawing in tried if drawing]
    return next((drawing for drawing in found if not drawing.refusal), found[0] if found else None)


def separated(excess: Array, threshold: float, dark: bool) -> Drawing | None:
    """Return the drawing above `threshold`, or None if there is only a frame or nothing.

    The drawing is the largest stroke, with all parts near it.
    """
    parts = strokes(excess > threshold)
    area, edge, box = parts.area, parts.edge, parts.box
    free, touching = np.flatnonzero(edge == 0), np.flatnonzero((edge > 0) & (edge <= FRAME))
    stands_free = len(free) > 0 and (len(touching) == 0 or bool(area[free[0]] > 0.25 * area[touching[0]]))
    if not stands_free and not len(touching):
        return None
    largest = free[0] if stands_free else touching[0]
    large = area >= SPECK * area[largest]
    if large.sum() > MANY:
        refusal = f"expected one drawing, got {large.sum()} specks. Use plain paper."
        return Drawing(excess, dark, union(box), stands_free, (), refusal)
    near, far = [largest], [k for k in free if large[k] and k != largest]
    while joined := [k for k in far if gap(union(box[near]), box[k]) <= GAP * size(union(box[near]))]:
        near += joined
        far = [k for k in far if k not in joined]
    keep = np.isin(parts.number, np.array(near) + 1)
    level = float(np.percentile(excess[keep], 95))
    ink = np.where(largest_near(keep, max(1, size(union(box[near])) // 20)) > 0, excess / level, 0.0)  # with its soft edge
    ink = np.where(ink < FAINTEST, 0.0, np.minimum(ink, 1.0))
    refusal = ""
    if not stands_free and sum(size(box[k]) > size(box[largest]) / 2 for k in touching) > 1:
        refusal = "expected one drawing, got several strokes at the edge, such as ruled lines. Crop it, or use plain paper."
    elif area[free].sum() - keep.sum() > 0.5 * keep.sum():
        refusal = "expected one drawing, got specks everywhere. Use plain paper."
    elif nested(box, area, largest):
        refusal = "expected one drawing, got one inside another, or in a frame. Crop the picture to the inner one."
    elif solid(keep, union(box[near])) > (MOST_SOLID if dark else MOST_SOLID - 0.2):
        refusal = SHEET
    elif far:
        refusal = f"expected one drawing, got {1 + len(far)}, far from each other. Crop the picture to one of them."
    elif size(union(box[near])) < max(4, 0.015 * max(excess.shape)):
        refusal = "expected a drawing, got a speck. Crop the picture closer to the drawing."
    elif steepest(excess, keep, max(1, size(union(box[near])) // 25)) < SHARP * level:
        refusal = "expected the sharp edges of ink, got light and shadow. Draw with a stronger pen, or in even light."
    left_out = ("strokes at the edge are left out",) if stands_free and large[touching].any() else ()
    return Drawing(ink, dark, union(box[near]), stands_free, left_out, refusal)


def solid(keep: Array, box: Box) -> float:
    """Return the share of `box` that a large drawing, `keep` (h, w) of bool, covers; 0 for a small or a long one."""
    top, left, bottom, right = box
    sides = (bottom - top, right - left)
    large = min(sides) > 0.4 * max(sides) and max(sides) > 0.5 * min(keep.shape)
    return float(keep[top:bottom, left:right].mean()) if large else 0.0


def steepest(excess: Array, keep: Array, k: int) -> float:
    """Return the largest difference of `excess` between pixels `k` rows or columns apart, of which one is in `keep`."""
    down, right = np.abs(excess[k:] - excess[:-k]), np.abs(excess[:, k:] - excess[:, :-k])
    return float(max(down.max(initial=0.0, where=keep[k:] | keep[:-k]), right.max(initial=0.0, where=keep[:, k:] | keep[:, :-k])))


def union(boxes: Array) -> Box:
    """Return the smallest box around `boxes`, (n, 4)."""
    top, left = boxes[:, :2].min(axis=0)
    bottom, right = boxes[:, 2:].max(axis=0)
    return int(top), int(left), int(bottom), int(right)


def size(box: Box) -> int:
    """Return the longer side of `box`."""
    return max(box[2] - box[0], box[3] - box[1])


def gap(a: Box, b: Box) -> int:
    """Return how many rows or columns, whichever are more, lie between two boxes.

    >>> gap((0, 0, 2, 2), (1, 5, 3, 6))
    3
    """
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3], 0)
