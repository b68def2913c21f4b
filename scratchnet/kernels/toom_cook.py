"""Short filters with fewer multiplications: the algorithms of Toom and Cook, which Winograd's convolution runs on.

A filter of r taps slides over inputs x on one axis and gives m outputs. Written down, that is m·r products; as

    y = Aᵀ[(G·w) ⊙ (Bᵀ·x)]          (⊙ multiplies number by number)

it takes as many as Bᵀ has rows. Where the matrices come from: two polynomials of m and r coefficients have a product of
m + r - 1 coefficients, which is known from its values at as many points, and each value is one multiplication. (At infinity
the value is the highest coefficient.) For a fixed w this product is a matrix T with T[n, i] = w[n - i], (m + r - 1, m), and
its transpose is the filter that slides: (Tᵀx)[i] = Σ_k w[k]·x[i + k]. So, transposed, the values of the first polynomial
become Aᵀ, those of w are G, and the way from values back to coefficients becomes Bᵀ.

Two outputs of three taps take 4 products instead of 6, four take 6 instead of 12; on both axes at once, 16 instead of 36 and
36 instead of 144.

More points cost digits, since the numbers in the matrices grow apart. 0, ±2/3, ±3/2 and infinity are good ones for four
outputs; tests hold the error of a convolution in float32 below four times that of the direct kernels.

At stride 2 the even and the odd pixels part: of three taps, w0 and w2 only ever meet even pixels, and w1 odd ones. So
outputs of two taps are multiplied at points, and the odd tap's products stay as they are, all with the same tap: 5 instead
of 6 for two outputs, 9 instead of 12 for four. The product at 0 is a summand of the first output alone, as that output's
product of the odd tap is, and the one at infinity of the last alone. So these are added up at once, before Aᵀ, which is left
with 3 columns for two outputs and with 7 for four.

Source: Winograd, *Arithmetic complexity of computations* (1980); Blahut, *Fast algorithms for signal processing* (2010),
chapter 5; for the points, Barabasz et al., *Error analysis and improving the accuracy of Winograd convolution for deep
neural networks* (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

Rows = tuple[tuple[float, ...], ...]


class Algorithm(NamedTuple):
    """The matrices of y = Aᵀ[(G·w) ⊙ (Bᵀ·x)]: m outputs on one axis, `stride` pixels apart, of a filter of r taps.

    Products may share a row of G or a column of Aᵀ, which is then written once: product k takes row `rows[k]`, and is added to
    those that take column `columns[k]`.
    """

    stride: int
    Bt: Rows                    # (products, inputs)
    G: Rows                     # (rows, r)
    At: Rows                    # (m, columns)
    rows: tuple[int, ...]       # (products,)
    columns: tuple[int, ...]    # (products,)


def transposed(rows: Sequence[tuple[float, ...]]) -> Rows:
    """Turn columns into rows."""
    return tuple(zip(*rows, strict=True))


def _floats(matrix: Sequence[Sequence[Fraction]]) -> Rows:
    return tuple(tuple(map(float, row)) for row in matrix)


def toom_cook(m: int, r: int, points: Sequence[Fraction | int]) -> Algorithm:
    """Make the algorithm for m outputs of r taps at stride 1 from m + r - 2 points; infinity is the last one.

    Aᵀ has the powers of the points, G those over the product of their differences, and Bᵀ the coefficients of the
    polynomials that are 0 at all points but one.

    Examples
    --------
    >>> toom_cook(2, 2, (0, 1)).At
    ((1.0, 1.0, 0.0), (0.0, 1.0, 1.0))
    """

    def polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
        coefficients = [Fraction(1)]        # the lowest power first
        for root in roots:
            coefficients = [a - root * b for a, b in zip([Fraction(0), *coefficients], [*coefficients, Fraction(0)], strict=True)]
        return coefficients + [Fraction(0)] * (m + r - 1 - len(coefficients))

    at = [Fraction(point) for point in points]
    others = [at[:i] + at[i + 1 :] for i in range(len(at))]
    scale = [prod((a - b for b in rest), start=Fraction(1)) for a, rest in zip(at, others, strict=True)]
    Bt = [polynomial(rest) for rest in others] + [polynomial(at)]
    G = [[a**k / by for k in range(r)] for a, by in zip(at, scale, strict=True)] + [[Fraction(k == r - 1) for k in range(r)]]
    At = [[*(a**i for a in at), Fraction(i == m - 1)] for i in range(m)]
    own = tuple(range(len(points) + 1))
    return Algorithm(1, _floats(Bt), _floats(G), _floats(At), own, own)


def at_stride_2(even: Algorithm) -> Algorithm:
    """Make the algorithm for three taps at stride 2 from one for two taps, which meets the even pixels.

    Examples
    --------
    >>> at_stride_2(toom_cook(2, 2, (0, 1))).At
    ((1.0, 0.0, 1.0), (0.0, 1.0, 1.0))
    """
    m = len(even.At)
    one = [tuple(float(i == k) for k in range(m)) for i in range(m)]                    # odd pixels: as they are
    Bt = [tuple(one[i][k // 2] if k % 2 else 0.0 for k in range(2 * m + 1)) for i in range(m)]
    Bt += [tuple(row[k // 2] if k % 2 == 0 else 0.0 for k in range(2 * m + 1)) for row in even.Bt]
    G = [(0.0, 1.0, 0.0)] + [(row[0], 0.0, row[1]) for row in even.G]
    columns = [*one, *transposed(even.At)]
    different = list(dict.fromkeys(columns))
    rows = (*[0] * m, *(row + 1 for row in even.rows))
    return Algorithm(2, tuple(Bt), tuple(G), transposed(different), rows, tuple(map(different.index, columns)))


ALGORITHMS = (
    toom_cook(2, 3, (0, 1, -1)),
    toom_cook(4, 3, (0, Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))),
    at_stride_2(toom_cook(2, 2, (0, 1))),
    at_stride_2(toom_cook(4, 2, (0, 1, -1, Fraction(-1, 2)))),
)


def choose(S: int, OH: int, OW: int) -> int:
    """Choose the algorithm with the fewest products an output, those for outputs behind the edge included."""

    def cost(a: Algorithm) -> float:
        m, K = len(a.At), len(a.Bt)
        return K * K * -(-OH // m) * -(-OW // m)

    return min((i for i, a in enumerate(ALGORITHMS) if a.stride == S), key=lambda i: cost(ALGORITHMS[i]))


def products_of(which: int) -> np.ndarray:
    """List the products on two axes in runs of neighbours: which is the first, its filter in U, its sum in M, whether it begins
    that sum, and how many products of the same filter there are in a row, each for the next sum.

    Examples
    --------
    >>> products_of(0)[:2].tolist(), products_of(2)[:2].tolist()
    ([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]], [[0, 0, 0, 1, 2], [2, 1, 0, 0, 1]])
    """
    a = ALGORITHMS[which]
    runs: list[list[int]] = []
    begun = set()
    for p, (i, j) in enumerate(product(range(len(a.Bt)), repeat=2)):
        u, m = a.rows[i] * len(a.G) + a.rows[j], a.columns[i] * len(a.At[0]) + a.columns[j]
        if j and runs[-1][1:3] == [u, m - runs[-1][-1]]:
            runs[-1][-1] += 1
        else:
            runs.append([p, u, m, m not in begun, 1])
        begun.add(m)
    return np.array(runs)
