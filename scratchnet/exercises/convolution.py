"""The exercises of convolution: im2col, forward and backward."""

from __future__ import annotations

import operator

import numpy as np

from scratchnet import reference
from scratchnet.exercises.exercise import Case, Exercise, Trait, installed, normal
from scratchnet.exercises.pictures import covering, marked, number, rows, sum_of_products, wrapped
from scratchnet.layers import Conv2D
from scratchnet.layers import conv2d as page
from scratchnet.padding import window_output_shape, window_pads

VALID = ((0, 0), (0, 0))
ROWS = 12                       # windows that a table shows


def conv2d_forward(x, w, b, strides, pads):
    """Call the layer's forward."""
    return Conv2D.implementations["im2col"][0](x, w, b, strides, pads)


def conv2d_backward(dout, x, w, strides, pads):
    """Call the layer's backward."""
    return Conv2D.implementations["im2col"][1](dout, x, w, strides, pads)


def im2col(x, kernel, strides, pads):
    """Call the function of this name that the layer calls."""
    return page.im2col(x, kernel, strides, pads)


def im2col_definition(x, kernel, strides, pads):
    """Return cols[(n, oh, ow), (i, j, c)] = x[n, h, w, c], with 0 for padding."""
    N, C = len(x), x.shape[3]
    OH, OW = window_output_shape(x.shape, kernel, strides, pads)
    cols = np.zeros((N, OH, OW, *kernel, C))
    for n, oh, ow in np.ndindex(N, OH, OW):
        for i, j, h, w in reference._cells(x.shape, oh, ow, kernel, strides, pads):
            cols[n, oh, ow, i, j] = x[n, h, w]
    return cols.reshape(N * OH * OW, -1)


# -- cases --------------------------------------------------------------------------------------------------------------

# (N, H, W, C), (KH, KW), F, strides, pads, from small to large
SIZES = [
    ((1, 4, 3, 1), (2, 2), 1, (1, 1), ((0, 1), (0, 1))),
    ((1, 4, 4, 2), (3, 3), 2, (1, 1), ((1, 1), (1, 1))),
    ((2, 5, 4, 2), (3, 2), 2, (2, 1), window_pads("same", (5, 4), (3, 2), (2, 1))),
    ((2, 6, 6, 1), (3, 3), 3, (2, 2), ((0, 1), (0, 1))),
    ((3, 5, 6, 2), (2, 3), 3, (1, 2), VALID),
    ((2, 6, 8, 3), (3, 3), 3, (2, 2), ((0, 1), (0, 1))),
    ((2, 7, 6, 3), (3, 1), 4, (3, 2), ((2, 1), (0, 0))),      # more above than below, as no "same" padding has
    ((1, 7, 9, 3), (2, 3), 1, (3, 4), ((1, 0), (2, 1))),      # more at the left than at the right; both strides leave gaps
]
COLUMNS_FIRST = 3, 5            # of the sizes: arrays in which the first axis is the fastest in memory


def first_image():
    """Return a 3 × 3 image of small whole numbers."""
    return np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[None, :, :, None]


def first_kernel():
    """Return a 2 × 2 kernel of small whole numbers."""
    return np.array([[1.0, 2.0], [0.0, -1.0]])[:, :, None, None]


def images(rng, k, shape):
    """Return random images; some of them do not lie in memory in the order of their axes."""
    x = normal(rng, shape)
    return np.asfortranarray(x) if k in COLUMNS_FIRST else x


def im2col_cases(rng: np.random.Generator) -> list[Case]:
    """Return cases with and without padding, strides and channels."""
    cases = [Case({"x": first_image(), "kernel": (2, 2), "strides": (1, 1), "pads": VALID})]
    for k, (shape, kernel, _, strides, pads) in enumerate(SIZES):
        cases.append(Case({"x": images(rng, k, shape), "kernel": kernel, "strides": strides, "pads": pads}))
    return cases


def forward_cases(rng: np.random.Generator) -> list[Case]:
    """Return cases with and without padding, strides and channels."""
    first = {"x": first_image(), "w": first_kernel(), "b": np.array([0.5]), "strides": (1, 1), "pads": VALID}
    cases = [Case(first)]
    for k, (shape, kernel, F, strides, pads) in enumerate(SIZES):
        w, b, other = normal(rng, (*kernel, shape[3], F)), normal(rng, F), normal(rng, (*kernel, shape[3], F))
        arguments = {"x": images(rng, k, shape), "w": w, "b": b, "strides": strides, "pads": pads}
        cases.append(Case(arguments, {"w": other}))
    return cases


def backward_cases(rng: np.random.Generator) -> list[Case]:
    """Return cases with and without padding, strides and channels."""
    dout = np.array([[1.0, -1.0], [2.0, 3.0]])[None, :, :, None]
    cases = [Case({"dout": dout, "x": first_image(), "w": first_kernel(), "strides": (1, 1), "pads": VALID})]
    for k, (shape, kernel, F, strides, pads) in enumerate(SIZES):
        OH, OW = window_output_shape(shape, kernel, strides, pads)
        dout, w = normal(rng, (shape[0], OH, OW, F)), normal(rng, (*kernel, shape[3], F))
        x, other = images(rng, k, shape), normal(rng, shape)
        cases.append(Case({"dout": dout, "x": x, "w": w, "strides": strides, "pads": pads}, {"x": other}))
    return cases


def window(a):
    """Return the height and width of the window."""
    return a["w"].shape[:2] if "w" in a else a["kernel"]


def left_over(a):
    """Return how many rows and columns at the end, with padding, no window reaches."""
    axes = zip(a["x"].shape[1:3], window(a), a["strides"], a["pads"], strict=True)
    return [(size + sum(pads) - kernel) % stride for size, kernel, stride, pads in axes]


TRAITS: list[Trait] = [
    ("padding", lambda a: a["pads"] != VALID),
    ("an image that is not square", lambda a: a["x"].shape[1] != a["x"].shape[2]),
    ("several images", lambda a: len(a["x"]) > 1),
    ("several channels", lambda a: a["x"].shape[3] > 1),
    ("padding above and at the left", lambda a: a["pads"][0][0] and a["pads"][1][0]),
    ("different pads above and at the left", lambda a: a["pads"][0][0] != a["pads"][1][0]),
    ("a window that is not square", lambda a: window(a)[0] != window(a)[1]),
    ("a stride above 1", lambda a: max(a["strides"]) > 1),
    ("different strides", lambda a: a["strides"][0] != a["strides"][1]),
    ("a stride above 1 in both directions", lambda a: min(a["strides"]) > 1),
    ("another order in memory", lambda a: not a["x"].flags.c_contiguous),
    ("rows or columns at the end that no window reaches", lambda a: any(left_over(a))),
    ("less padding below than above", lambda a: a["pads"][0][0] > a["pads"][0][1]),
    ("less padding at the right than at the left", lambda a: a["pads"][1][0] > a["pads"][1][1]),
    ("a stride larger than the window", lambda a: any(map(operator.gt, a["strides"], window(a)))),
]
TRAITS_OF_FILTERS: list[Trait] = [
    ("several filters", lambda a: a["w"].shape[3] > 1),
    ("more filters than channels", lambda a: a["w"].shape[3] > a["w"].shape[2]),
    ("more channels than filters", lambda a: a["w"].shape[2] > a["w"].shape[3]),
]


# -- pictures -----------------------------------------------------------------------------------------------------------


def window_lines(x, n, c, oh, ow, kernel, strides, pads, *at):
    """Return the cells of one window of one channel; those of the padding are 0."""
    (KH, KW), (SH, SW), ((top, bottom), (left, right)) = kernel, strides, pads
    padded = np.pad(x[n, :, :, c], ((top, bottom), (left, right)))
    h, w = oh * SH - top, ow * SW - left
    cells = padded[oh * SH : oh * SH + KH, ow * SW : ow * SW + KW]
    title = f"The window ({oh}, {ow}) covers rows {h} to {h + KH - 1} and columns {w} to {w + KW - 1}."
    outside = h < 0 or w < 0 or h + KH > x.shape[1] or w + KW > x.shape[2]
    return [title + (" Cells outside are 0." if outside else ""), "", *marked(cells, *at)]


def im2col_picture(arguments, result, index):
    """Show which window a row is, and which of its cells a column."""
    x, kernel, strides, pads = arguments.values()
    row, column = index
    OH, OW = window_output_shape(x.shape, kernel, strides, pads)
    n, oh, ow = (int(k) for k in np.unravel_index(row, (len(x), OH, OW)))
    i, j, c = (int(k) for k in np.unravel_index(column, (*kernel, x.shape[3])))
    h, w = oh * strides[0] + i - pads[0][0], ow * strides[1] + j - pads[1][0]
    inside = 0 <= h < x.shape[1] and 0 <= w < x.shape[2]
    end = f"It is x[{n}, {h}, {w}, {c}] = {number(x[n, h, w, c])}." if inside else f"It is outside, at ({h}, {w}): 0."
    return [
        f"Row {row} is the window (n, oh, ow) = ({n}, {oh}, {ow}), since (n·OH + oh)·OW + ow",
        f"= ({n}·{OH} + {oh})·{OW} + {ow} = {row}. Column {column} is its cell (i, j, c) = ({i}, {j}, {c}).",
        "",
        *window_lines(x, n, c, oh, ow, kernel, strides, pads, (i, j)),
        "",
        end,
    ]


def forward_picture(arguments, result, index):
    """Show a window, the kernel, and the sum of their products."""
    x, w, b, strides, pads = arguments.values()
    n, oh, ow, f = index
    KH, KW, C, _ = w.shape
    terms = []
    for i, j, h, v in reference._cells(x.shape, oh, ow, (KH, KW), strides, pads):
        for c in range(C):
            terms.append(((f"x[{n}, {h}, {v}, {c}]", x[n, h, v, c]), (f"w[{i}, {j}, {c}, {f}]", w[i, j, c, f])))
    return [
        *window_lines(x, n, 0, oh, ow, (KH, KW), strides, pads),
        "",
        f"The kernel w[:, :, 0, {f}], which is not flipped:",
        "",
        *marked(w[:, :, 0, f]),
        "",
        *sum_of_products(terms, (f"b[{f}]", b[f])),
    ]


def backward_picture(arguments, result, index):
    """Show the windows that cover a pixel (dx), or that a weight is used in (dw), and what each contributes."""
    dout, x, w, strides, pads = arguments.values()
    table: list[tuple[str, ...]]
    if result == "db":
        (f,) = index
        sums = [(str(n), number(dout[n, :, :, f].sum())) for n in range(len(dout))]
        table = [("n", f"sum of dout[n, :, :, {f}]"), *sums]
        rule = f"b[{f}] is added to every output of filter {f}, so db[{f}] = Σ_n Σ_oh Σ_ow dout[n, oh, ow, {f}]"
        return [*wrapped(rule), "", *rows(table), "", f"Their sum: {number(dout[..., f].sum())}"]
    if result == "dw":
        i, j, c, f = index
        terms = []
        for n, oh, ow in np.ndindex(dout.shape[:3]):
            h, v = oh * strides[0] + i - pads[0][0], ow * strides[1] + j - pads[1][0]
            if 0 <= h < x.shape[1] and 0 <= v < x.shape[2]:
                terms.append(((f"dout[{n}, {oh}, {ow}, {f}]", dout[n, oh, ow, f]), (f"x[{n}, {h}, {v}, {c}]", x[n, h, v, c])))
        rule = f"w[{i}, {j}, {c}, {f}] is used in every window, for the cell ({i}, {j}) of each:"
        return [*wrapped(rule), "", *sum_of_products(terms)]
    n, h, v, c = index
    over = list(covering((h, v), dout.shape[1:3], w.shape[:2], strides, pads))
    if not over:
        return [f"No window covers the pixel ({h}, {v}), so it receives 0."]
    cells = [(h + pads[0][0] - oh * strides[0], v + pads[1][0] - ow * strides[1]) for oh, ow in over]
    table = [("window", "cell", "Σ_f dout · w", "for the pixel")]
    total = 0.0
    for (oh, ow), (i, j) in zip(over, cells, strict=True):
        share = float(dout[n, oh, ow] @ w[i, j, c])
        total += share
        products = [f"{number(d)}·{number(k)}" for d, k in zip(dout[n, oh, ow], w[i, j, c], strict=True)]
        shown = " + ".join(products[:2]) + (" + …" if len(products) > 2 else "")
        table.append((f"({oh}, {ow})", f"({i}, {j})", shown, number(share)))
    rest = [f"  … and {len(table) - 1 - ROWS} more"] if len(table) - 1 > ROWS else []
    return [
        f"dout[{n}, :, :, 0], with the windows that cover the pixel ({h}, {v}) in brackets:",
        "",
        *marked(dout[n, :, :, 0], *over),
        "",
        f"w[:, :, {c}, 0], with the weights that multiply this pixel in brackets:",
        "",
        *marked(w[:, :, c, 0], *cells),
        "",
        *([f"(These are the numbers of the first of {w.shape[3]} filters.)", ""] if w.shape[3] > 1 else []),
        "The windows (oh, ow) that cover it, and its cell (i, j) in each of them. Each",
        f"contributes dout[{n}, oh, ow, f] · w[i, j, {c}, f], summed over the filters f:",
        "",
        *rows(table[: ROWS + 1]),
        *rest,
        "",
        f"dx[{n}, {h}, {v}, {c}] is their sum, {number(total)}.",
    ]


# -- mistakes -----------------------------------------------------------------------------------------------------------


def with_pads(function, change):
    """Return the function with other pads, where there is padding; `change(size, kernel, stride, pads)` is for one axis."""

    def changed(*arguments, **named):
        values = dict(zip(("dout", "x", "w", "b", "strides", "pads"), arguments, strict=False)) | named
        sizes, strides, pads = values["x"].shape[1:3], values["strides"], values["pads"]
        kernel = values["w"].shape[:2] if "w" in values else values["kernel"]
        if pads != VALID:
            values["pads"] = tuple(change(*axis) for axis in zip(sizes, kernel, strides, pads, strict=True))
        return function(**values)

    return changed


def wrong_pads(function):
    """Return the bugs of padding, for a function that takes pads."""

    def keeps_size(size, kernel, stride, pads):
        total = (size - 1) * stride + kernel - size
        return total // 2, total - total // 2

    return [
        ("same-pad-wrong-side", with_pads(function, lambda size, kernel, stride, pads: pads[::-1])),
        ("same-pad-symmetric", with_pads(function, lambda s, kernel, t, pads: ((kernel - 1) // 2,) * 2 if kernel % 2 else pads)),
        ("same-keeps-size-at-stride-2", with_pads(function, keeps_size)),
    ]


def overwriting(by_window):
    """Return the backward in which each window, or each cell of the kernel, overwrites what the others have written into dx."""

    def backward(dout, x, w, strides, pads):
        _, dw, db = conv2d_backward(dout, x, w, strides, pads)
        (KH, KW), (SH, SW), (OH, OW) = w.shape[:2], strides, dout.shape[1:3]
        dpadded = np.zeros_like(np.pad(x, ((0, 0), *pads, (0, 0))))
        if by_window:
            for oh, ow in np.ndindex(OH, OW):
                share = np.einsum("nf,ijcf->nijc", dout[:, oh, ow], w)
                dpadded[:, oh * SH : oh * SH + KH, ow * SW : ow * SW + KW] = share
        else:
            for i, j in np.ndindex(KH, KW):
                dpadded[:, i : i + (OH - 1) * SH + 1 : SH, j : j + (OW - 1) * SW + 1 : SW] = dout @ w[i, j].T
        (top, _), (left, _) = pads
        return dpadded[:, top : top + x.shape[1], left : left + x.shape[2]], dw, db

    return backward


def _mean_over_everything(dout, x, w, strides, pads):
    return *conv2d_backward(dout, x, w, strides, pads)[:2], dout.mean(axis=(0, 1, 2))


IM2COL = Exercise(
    name="im2col",
    title="the windows of an image as the rows of a matrix",
    returns=("cols",),
    definition=im2col_definition,
    cases=im2col_cases,
    picture=im2col_picture,
    traits=TRAITS,
    mistakes=[installed("im2col-column-order", im2col), installed("view-read-as-contiguous", im2col), *wrong_pads(im2col)],
)
CONV2D_FORWARD = Exercise(
    name="conv2d_forward",
    title="convolution: a window, a kernel, and a sum",
    returns=("out",),
    definition=reference.conv2d_forward,
    cases=forward_cases,
    picture=forward_picture,
    traits=[*TRAITS, *TRAITS_OF_FILTERS],
    mistakes=[
        installed("view-read-as-contiguous", conv2d_forward),
        installed("im2col-column-order", conv2d_forward),
        *wrong_pads(conv2d_forward),
        ("batch-of-one-squeezed", lambda x, w, b, strides, pads: np.squeeze(conv2d_forward(x, w, b, strides, pads))),
    ],
    kept={"w": "stale-weight-cache"},
)
CONV2D_BACKWARD = Exercise(
    name="conv2d_backward",
    title="the gradients of convolution",
    returns=("dx", "dw", "db"),
    definition=reference.conv2d_backward,
    cases=backward_cases,
    picture=backward_picture,
    traits=[*TRAITS, *TRAITS_OF_FILTERS],
    mistakes=[
        *(
            installed(bug, conv2d_backward)
            for bug in (
                "conv-dx-kernel-not-flipped",
                "conv-dw-reversed",
                "conv-dx-channels-not-swapped",
                "conv-kernel-height-for-width",
                "conv-dx-stride-ignored",
                "col2im-overwrites",
                "conv-dx-never-copied-back",
                "conv-bias-gradient-averaged",
                "conv-weight-gradient-scaled",
                "im2col-column-order",
                "view-read-as-contiguous",
            )
        ),
        ("col2im-overwrites", overwriting(by_window=True)),
        ("col2im-overwrites", overwriting(by_window=False)),
        ("conv-bias-gradient-averaged", _mean_over_everything),
        *wrong_pads(conv2d_backward)[:2],       # with the third, out does not have the shape of dout
    ],
    kept={"x": "stale-backward-cache"},
    accumulates="gradient-kept-from-last-step",
    uninitialized="col2im-uninitialised",
    forward=lambda x, w, strides, pads: reference.conv2d_forward(x, w, None, strides, pads),
    gradients=("x", "w"),
)
