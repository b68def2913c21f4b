"""A model as a picture: a box for each layer, and an arrow from each output to the layers that read it.

`layout` places the boxes as Sugiyama, Tagawa & Toda do (*Methods for visual understanding of hierarchical system structures*,
1981):

1. The rank of a box is the length of the longest path to it from the input; ranks lie one below the other.
2. An arrow that passes a rank has a place in it, as narrow as a line, and so never runs through a box. The arrows of one output
   share it.
3. Each rank is sorted by the mean place of the neighbours, downwards and upwards in turn; of the orders found, the one with the
   fewest crossings is kept.
4. Rank by rank, each box moves below the mean place of those that it reads, as far as the order and the distances in its rank
   permit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scratchnet.plotting.canvas import QUIET, TRAINING, PathLike, finish, new_figure
from scratchnet.support.checking import check_choice, check_count, check_flag
from scratchnet.support.keywords import named_arguments

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = 10.0             # points, of the text
ROW = 0.24              # inches: the height of a row of text, and the distances below
PAD = 0.12              # from text to the edge of its box
APART = 0.3             # from box to box within a rank
GAP = 0.36              # from rank to rank, if no arrow has to move sideways
HEAD = 0.14             # the length of the straight piece at the end of an arrow
MARGIN = 0.15
LONGEST = 60            # characters in a row of text
MOST_PIXELS = 60_000    # in each direction; Agg draws no more than 65,536
SWEEPS = 24

# -- where boxes and arrows are placed ---------------------------------------------------------------------------------


class Layout(NamedTuple):
    """Places in inches: x grows to the right, y downwards.

    Attributes
    ----------
    x, y : arrays (B,)
        The centre of each box.
    arrows : list of (int, int, list of (float, float, float))
        For each arrow the box that it leaves, the box that it enters, and the x, the top and the bottom of a vertical piece for
        each rank on its way, with the ranks of the two boxes. Between ranks the arrow is a curve.
    """

    x: np.ndarray
    y: np.ndarray
    arrows: list[tuple[int, int, list[tuple[float, float, float]]]]


def layout(parents: Sequence[Sequence[int]], widths: Sequence[float], heights: Sequence[float]) -> Layout:
    """Return the places of boxes of these sizes.

    Parameters
    ----------
    parents : sequence of sequence of int
        For each box those that it reads, all of which come before it.
    widths, heights : sequence of float

    Returns
    -------
    Layout

    Examples
    --------
    >>> layout([[], [0], [0, 1]], [1.0, 1.0, 1.0], [0.5, 0.5, 0.5]).x.round(1)      # a chain of three, and an arrow past it
    array([0.5, 0.5, 0.5])
    """
    ranks = [0] * len(parents)
    for box, read in enumerate(parents):
        ranks[box] = max((ranks[parent] + 1 for parent in read), default=0)
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for box, rank in enumerate(ranks):
        rows[rank].append(box)
    places, levels = list(widths), list(ranks)          # a place in a rank is that of a box, or of an arrow that passes
    passing: dict[tuple[int, int], int] = {}            # (the box that an arrow leaves, a rank that it passes) -> its place there
    ways = []
    for box, read in enumerate(parents):
        for parent in read:
            passed = [(parent, rank) for rank in range(ranks[parent] + 1, ranks[box])]
            for key in passed:
                if key not in passing:
                    passing[key] = len(places)
                    rows[key[1]].append(len(places))
                    places.append(0.0)
                    levels.append(key[1])
            ways.append([parent, *(passing[key] for key in passed), box])
    edges = list(dict.fromkeys(edge for way in ways for edge in pairwise(way)))
    rows = _sorted(rows, edges)
    x = _spread(rows, edges, np.array(places), len(parents))
    tops, bottoms = [0.0], []
    tall = [max([heights[i] for i in row if i < len(parents)]) for row in rows]
    sideways = [0.0] * len(rows)
    for a, b in edges:
        sideways[levels[a]] = max(sideways[levels[a]], abs(x[a] - x[b]))
    for height, shift in zip(tall, sideways, strict=True):
        bottoms.append(tops[-1] + height)
        tops.append(bottoms[-1] + GAP + min(1.0, 0.12 * shift))
    y = np.array([(tops[rank] + bottoms[rank]) / 2 for rank in ranks])
    ends = _entries(ways, x, places)
    arrows = []
    for way, end in zip(ways, ends, strict=True):
        first, last, rank = way[0], way[-1], ranks[way[0]]
        pieces = [(float(x[first]), float(y[first] + heights[first] / 2), bottoms[rank])]
        pieces += [(float(x[i]), tops[rank + k], bottoms[rank + k]) for k, i in enumerate(way[1:-1], 1)]
        pieces.append((end, tops[ranks[last]] - HEAD, float(y[last] - heights[last] / 2)))
        arrows.append((first, last, pieces))
    return Layout(x[: len(parents)], y, arrows)


def _sorted(rows: list[list[int]], edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the ranks with their boxes in order: of the orders that the sweeps find, the one with the fewest crossings."""
    near: dict[int, list[int]] = {i: [] for row in rows for i in row}
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    best, fewest = rows, _crossings(rows, edges)
    for sweep in range(SWEEPS if fewest else 0):
        rows = [list(row) for row in rows]
        down = sweep % 2 == 0
        for rank in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            before = {i: place for place, i in enumerate(rows[rank - 1 if down else rank + 1])}
            means = {}
            for place, i in enumerate(rows[rank]):
                neighbours = [before[j] for j in near[i] if j in before]
                means[i] = sum(neighbours) / len(neighbours) if neighbours else float(place)
            rows[rank].sort(key=means.__getitem__)
        crossings = _crossings(rows, edges)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(rows: Sequence[Sequence[int]], edges: Sequence[tuple[int, int]]) -> int:
    """Return how many pairs of arrows cross between neighbouring ranks."""
    place = {i: (rank, k) for rank, row in enumerate(rows) for k, i in enumerate(row)}
    by_rank: dict[int, list[tuple[int, int]]] = {}
    for a, b in edges:
        by_rank.setdefault(place[a][0], []).append((place[a][1], place[b][1]))
    return sum(
        (one[0] - other[0]) * (one[1] - other[1]) < 0
        for pairs in by_rank.values()
        for k, one in enumerate(pairs)
        for other in pairs[:k]
    )


def _spread(rows: Sequence[Sequence[int]], edges: Sequence[tuple[int, int]], widths: np.ndarray, boxes: int) -> np.ndarray:
    """Return the x of each place: near the mean of those above that it is connected to, and far enough from those beside it.

    Two things are to be straight: a chain of boxes, and a long arrow. So, for the place of a box, another box that it reads
    counts 100 times as much as an arrow that ends at it (the arrow may bend there), and where a box and a passing arrow are too
    close, the arrow yields.
    """
    above: list[list[tuple[int, float]]] = [[] for _ in widths]
    for a, b in edges:
        above[b].append((a, 1.0 if (a < boxes) == (b < boxes) else 0.01))
    x = np.zeros(len(widths))
    for row in rows:
        wanted = [sum(x[j] * pull for j, pull in above[i]) / sum(pull for _, pull in above[i]) if above[i] else 0.0 for i in row]
        apart = [(widths[i] + widths[j]) / 2 + APART for i, j in pairwise(row)]
        x[list(row)] = spaced(wanted, [100.0 if i < boxes else 1.0 for i in row], apart)
    return x - min(x - widths / 2)


def spaced(wanted: Sequence[float], weights: Sequence[float], apart: Sequence[float]) -> np.ndarray:
    """Return the places nearest to those wanted, by weighted least squares, with each at least `apart` from the one before.

    Without the distances, this is isotonic regression: neighbours in the wrong order are replaced by their mean, until all
    are in order.

    Examples
    --------
    >>> spaced([0.0, 0.0, 5.0], [1.0, 1.0, 1.0], [2.0, 2.0])
    array([-1.,  1.,  5.])
    """
    shifts = np.concatenate([[0.0], np.cumsum(apart)])
    blocks: list[tuple[float, float, int]] = []     # of neighbours that move together: the mean, the weight and their number
    for value, weight in zip(np.asarray(wanted) - shifts, weights, strict=True):
        block = (float(value), weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, heavy, count = blocks.pop()
            block = ((mean * heavy + block[0] * block[1]) / (heavy + block[1]), heavy + block[1], count + block[2])
        blocks.append(block)
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks]) + shifts


def _entries(ways: Sequence[Sequence[int]], x: np.ndarray, widths: Sequence[float]) -> list[float]:
    """Return the x at which each arrow enters its box: above the place it comes from if possible, and not where another enters."""
    ends = [0.0] * len(ways)
    for box in {way[-1] for way in ways}:
        entering = sorted((k for k, way in enumerate(ways) if way[-1] == box), key=lambda k: x[ways[k][-2]])
        half = widths[box] / 2 - PAD
        wanted = [float(np.clip(x[ways[k][-2]], x[box] - half, x[box] + half)) for k in entering]
        step = min(2 * PAD, 2 * half / max(1, len(entering) - 1))
        steps = step * np.arange(len(entering))
        places = spaced(wanted, [1.0] * len(entering), [step] * (len(entering) - 1))
        places = np.clip(places, x[box] - half + steps, x[box] + half - steps[::-1])
        for k, place in zip(entering, places, strict=True):
            ends[k] = float(place)
    return ends


# -- the picture -------------------------------------------------------------------------------------------------------


class _Box(NamedTuple):
    """A layer: its rows of text, whether it has parameters, and the indices of the boxes that it reads."""

    rows: list[str]
    has_params: bool
    parents: list[int]


@named_arguments
def plot_model(
    model: Any,
    to_file: PathLike | None = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    *,
    dpi: int = 200,
    show_layer_activations: bool = True,
    show_trainable: bool = False,
) -> Figure:
    """Draw the graph of a model: a box for each layer, blue if it has parameters, and arrows in the direction of forward.

    Parameters
    ----------
    model : Model
    to_file : str or path, optional
        The file to which the picture is written; None for none. Its suffix chooses the format (PNG, PDF, SVG).
    show_shapes : bool
        Whether boxes show the shapes of inputs and output.
    show_dtype : bool
    show_layer_names : bool
        Whether boxes show the layer's name before its class.
    rankdir : {"TB", "LR"}
        From top to bottom, or from left to right.
    dpi : int
        Pixels per inch; fewer for a graph that would be larger than 60,000 pixels.
    show_layer_activations : bool
        Whether boxes show the function that was given as `activation=`, as a row of its own.
    show_trainable : bool

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For another rankdir, or a model that is not built yet.

    Examples
    --------
    >>> from scratchnet import net_2
    >>> figure = plot_model(net_2((28, 28, 1), 10), None)
    >>> [text.get_text() for text in figure.axes[0].texts][:4]
    ['InputLayer', 'Conv2D', 'relu', 'Conv2D']
    """
    check_choice("rankdir", rankdir, ("TB", "LR"))
    check_count("dpi", dpi, "dpi=200")
    shown = {"shapes": show_shapes, "dtype": show_dtype, "names": show_layer_names, "trainable": show_trainable}
    shown["activations"] = show_layer_activations
    boxes = _boxes(model, {what: check_flag(f"show_{what}", flag) for what, flag in shown.items()})
    sizes = [(max(map(_text_width, box.rows)) + 2 * PAD, ROW * len(box.rows) + PAD) for box in boxes]
    widths, heights = zip(*sizes, strict=True)
    across = rankdir == "LR"
    places = layout([box.parents for box in boxes], *((heights, widths) if across else (widths, heights)))
    x, y = (places.y, places.x) if across else (places.x, places.y)
    reach = [point[0] for _, _, pieces in places.arrows for point in pieces]
    low, high = min([0.0, *reach]), max([0.0, *reach])                   # an arrow may run beside all boxes
    right, bottom = max(x + np.array(widths) / 2), max(y + np.array(heights) / 2)
    near = (0.0, low) if across else (low, 0.0)
    far = (right, max(bottom, high)) if across else (max(right, high), bottom)
    width, height = (far[i] - near[i] + 2 * MARGIN for i in (0, 1))

    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    figure.set_dpi(min(float(dpi), MOST_PIXELS / max(width, height)))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(near[0] - MARGIN, far[0] + MARGIN)
    axes.set_ylim(far[1] + MARGIN, near[1] - MARGIN)                    # y grows downwards
    axes.set_axis_off()
    for _, _, pieces in places.arrows:
        _draw_arrow(axes, pieces, across)
    for box, left, top, (wide, tall) in zip(boxes, x - np.array(widths) / 2, y - np.array(heights) / 2, sizes, strict=True):
        _draw_box(axes, box, float(left), float(top), wide, tall)
    return finish(figure, to_file)


def _boxes(model: Any, shown: dict[str, bool]) -> list[_Box]:
    """Return a box for each layer, also in nested models; an activation that is an argument of a layer is in that layer's box."""
    if not getattr(model, "nodes", None):
        raise ValueError(
            f"plot_model: expected a model with layers, got a {type(model).__name__} that has none. Begin it with Input(shape=...)"
        )
    by_argument = {node.layer.activation for node in model.nodes}
    index: dict[Any, int] = {}
    boxes: list[_Box] = []
    for node in model.nodes:
        layer = node.layer
        if layer in by_argument:
            index[node] = index[node.parents[0]]
            continue
        index[node] = len(boxes)
        kind = type(layer).__name__
        rows = [f"{layer.name} ({kind})" if shown["names"] else kind]
        if layer.activation is not None and shown["activations"]:
            rows.append(str(layer.activation.get_config().get("activation", type(layer.activation).__name__)))
        if shown["shapes"]:
            read = Counter((None, *parent.shape) for parent in node.parents)
            rows += [f"input: {f'{count} × ' if count > 1 else ''}{shape}" for shape, count in read.items()]
            rows.append(f"output: {(None, *node.shape)}")
        rows += [f"dtype: {model.dtype}"] if shown["dtype"] else []
        rows += [f"trainable: {layer.trainable}"] if shown["trainable"] and layer.params else []
        rows = [row if len(row) <= LONGEST else f"{row[:LONGEST]}…" for row in (" ".join(row.split()) for row in rows)]
        boxes.append(_Box(rows, bool(layer.params), [index[parent] for parent in node.parents]))
    return boxes


def _text_width(text: str) -> float:
    """Return the width of a row of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=SIZE), False)
    return float(width) / 72


def _draw_box(axes: Axes, box: _Box, left: float, top: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    edge, face = (TRAINING, "#E3EFF8") if box.has_params else (QUIET, "#F3F3F3")
    style = "round,pad=0,rounding_size=0.05"
    axes.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=style, facecolor=face, edgecolor=edge, linewidth=1.0))
    for k, row in enumerate(box.rows):
        x, y, color = left + width / 2, top + PAD / 2 + (k + 0.5) * ROW, "#444444" if k else "black"
        axes.text(x, y, row, fontsize=SIZE, ha="center", va="center_baseline", color=color, parse_math=False)


def _draw_arrow(axes: Axes, pieces: Sequence[tuple[float, float, float]], across: bool) -> None:
    """Draw vertical pieces, and curves between them that begin and end vertically; `across` exchanges x and y."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    x, top, bottom = pieces[0]
    points, codes = [(x, top), (x, bottom)], [Path.MOVETO, Path.LINETO]
    for x, top, bottom in pieces[1:]:
        before, start = points[-1]
        middle = (start + top) / 2
        points += [(before, middle), (x, middle), (x, top), (x, bottom)]
        codes += [Path.CURVE4] * 3 + [Path.LINETO]
    path = Path([(b, a) for a, b in points] if across else points, codes)
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, color=QUIET, linewidth=1.0, shrinkA=0, shrinkB=0))
