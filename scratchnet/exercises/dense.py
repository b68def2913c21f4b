"""The exercises of the dense layer."""

from __future__ import annotations

import numpy as np

from scratchnet import reference
from scratchnet.exercises.exercise import Case, Exercise, installed, normal
from scratchnet.exercises.pictures import number, sum_of_products, wrapped
from scratchnet.layers import Dense


def dense_forward(x, w, b):
    """Call the layer's forward."""
    return Dense.implementations["im2col"][0](x, w, b)


def dense_backward(dout, x, w):
    """Call the layer's backward."""
    return Dense.implementations["im2col"][1](dout, x, w)


def forward_cases(rng: np.random.Generator) -> list[Case]:
    """Return cases of 1 to 6 samples; the first has small whole numbers."""
    first = {"x": np.array([[1.0, 2.0]]), "w": np.array([[3.0, -1.0, 2.0], [1.0, 4.0, -2.0]]), "b": np.array([0.5, 0.0, -1.0])}
    cases = [Case(first)]
    for N, D, U in [(2, 3, 2), (3, 2, 3), (1, 4, 1), (6, 5, 4)]:
        draws = [{"x": normal(rng, (N, D)), "w": normal(rng, (D, U)), "b": normal(rng, U)} for _ in range(2)]
        cases.append(Case(*draws))
    return cases


def backward_cases(rng: np.random.Generator) -> list[Case]:
    """Return cases of 1 to 6 samples; the first has small whole numbers."""
    first = {
        "dout": np.array([[1.0, -2.0], [3.0, 0.5]]),
        "x": np.array([[1.0, 2.0, -1.0], [4.0, 0.0, 3.0]]),
        "w": np.array([[2.0, -1.0], [1.0, 3.0], [-2.0, 5.0]]),
    }
    cases = [Case(first)]
    for N, D, U in [(1, 3, 2), (3, 2, 3), (2, 1, 4), (4, 3, 1), (4, 4, 4), (6, 5, 4)]:
        draws = [{"dout": normal(rng, (N, U)), "x": normal(rng, (N, D)), "w": normal(rng, (D, U))} for _ in range(2)]
        cases.append(Case(*draws))
    return cases


SEVERAL_SAMPLES = ("several samples", lambda a: len(a["x"]) > 1)
ONE_SAMPLE = ("a single sample", lambda a: len(a["x"]) == 1)
ONE_INPUT = ("a single input", lambda a: a["x"].shape[1] == 1)
ONE_UNIT = ("a single unit", lambda a: a["w"].shape[1] == 1)
SQUARE = ("as many samples as units", lambda a: len(a["x"]) == a["w"].shape[1])


def forward_picture(arguments, result, index):
    """Show a row of x times a column of w, plus a bias."""
    x, w, b = arguments["x"], arguments["w"], arguments["b"]
    n, u = index
    terms = [((f"x[{n}, {d}]", x[n, d]), (f"w[{d}, {u}]", w[d, u])) for d in range(x.shape[1])]
    return [f"out[{n}, {u}] = b[{u}] + Σ_d x[{n}, d] · w[d, {u}]", "", *sum_of_products(terms, extra=(f"b[{u}]", b[u]))]


def backward_picture(arguments, result, index):
    """Show the sum over the units (dx) or the samples (dw and db)."""
    dout, x, w = arguments["dout"], arguments["x"], arguments["w"]
    N, U = dout.shape
    if result == "dx":
        n, d = index
        terms = [((f"dout[{n}, {u}]", dout[n, u]), (f"w[{d}, {u}]", w[d, u])) for u in range(U)]
        rule = f"x[{n}, {d}] is used by every unit u, so dx[{n}, {d}] = Σ_u dout[{n}, u] · w[{d}, u]"
        return [*wrapped(rule), "", *sum_of_products(terms)]
    if result == "dw":
        d, u = index
        terms = [((f"x[{n}, {d}]", x[n, d]), (f"dout[{n}, {u}]", dout[n, u])) for n in range(N)]
        rule = f"w[{d}, {u}] is used by every sample n, so dw[{d}, {u}] = Σ_n x[n, {d}] · dout[n, {u}]"
        return [*wrapped(rule), "", *sum_of_products(terms)]
    (u,) = index
    lines = [f"    dout[{n}, {u}] = {number(dout[n, u])}" for n in range(N)]
    rule = f"b[{u}] is added to unit {u} of every sample n, so db[{u}] = Σ_n dout[n, {u}]"
    return [*wrapped(rule), "", *lines, f"    sum: {number(dout[:, u].sum())}"]


DENSE_FORWARD = Exercise(
    name="dense_forward",
    title="the dense layer: a weighted sum of all inputs",
    returns=("out",),
    definition=reference.dense_forward,
    cases=forward_cases,
    picture=forward_picture,
    traits=[SEVERAL_SAMPLES, SQUARE, ONE_UNIT],
    mistakes=[("batch-of-one-squeezed", lambda x, w, b: np.squeeze(dense_forward(x, w, b)))],
    kept={"w": "stale-weight-cache"},
)
DENSE_BACKWARD = Exercise(
    name="dense_backward",
    title="the gradients of the dense layer",
    returns=("dx", "dw", "db"),
    definition=reference.dense_backward,
    cases=backward_cases,
    picture=backward_picture,
    traits=[ONE_SAMPLE, ONE_INPUT, ONE_UNIT],
    mistakes=[
        installed("dense-bias-gradient-averaged", dense_backward),
        installed("dense-bias-gradient-summed-over-units", dense_backward),
        ("dense-bias-gradient-summed-over-units", lambda dout, x, w: (*dense_backward(dout, x, w)[:2], dout.sum())),
        ("batch-of-one-squeezed", lambda dout, x, w: (np.squeeze(dout @ w.T), *dense_backward(dout, x, w)[1:])),
    ],
    kept={"x": "stale-backward-cache"},
    accumulates="gradient-kept-from-last-step",
    forward=lambda x, w: reference.dense_forward(x, w, np.zeros(w.shape[1])),
    gradients=("x", "w"),
)
