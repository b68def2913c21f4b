"""Short filters with fewer multiplications: the algorithms of Toom and Cook, which Winograd's convolution uses.

Legend: x are the inputs of a tile on one axis, w the r taps of a filter, y the m outputs, `stride` pixels apart; Bᵀ (`Bt`), G and
Aᵀ (`At`) the matrices of an algorithm.

A filter of r taps slides over inputs x on one axis and gives m outputs. By the definition this takes m·r products. In the form

    y = Aᵀ[(G·w) ⊙ (Bᵀ·x)]          (⊙ is the elementwise product)

it takes as many as Bᵀ has rows. For two outputs of two taps, three are enough, since one of them serves both:

    y0 = w0·x0 + w1·x1 = w0·(x0 - x1) + (w0 + w1)·x1
    y1 = w0·x1 + w1·x2 =                (w0 + w1)·x1 + w1·(x2 - x1)

Here the factors w0, w0 + w1 and w1 are the values of the polynomial w0 + w1·z at 0, at 1 and, as defined below, at infinity. In
general, the matrices are derived as follows: two polynomials of m and r coefficients have a product of m + r - 1 coefficients,
which is known from its values at as many points, and each value is one multiplication. (At infinity the value is the highest
coefficient.) For a fixed w, multiplication by its polynomial is a matrix T of shape (m + r - 1, m) with
T[n, i] = w[n - i], and the transpose of T is the filter that slides: (Tᵀx)[i] = Σ_k w[k]·x[i + k]. So the map from the first
polynomial to its values becomes, transposed, Aᵀ; the map from w to its values is G; and the map from values back to coefficients
becomes, transposed, Bᵀ.

Two outputs of three taps take 4 products instead of 6, three take 5 instead of 9, and four take 6 instead of 12; on both axes at
once, 16 instead of 36, 25 instead of 81, and 36 instead of 144.

More points cost precision, since the matrices then hold both larger and smaller numbers. Good points for four outputs are 0, ±2/3,
±3/2 and infinity. For three outputs, and for four of two taps, they are 0, 1, -1/2, -2 and infinity. Tests require that the error
of a convolution in float32 is below four times that of the direct kernels (or four times float32's epsilon, if that is larger).

At stride 2 the even and the odd pixels separate: of three taps, w0 and w2 are multiplied by even pixels only, and w1 by odd ones.
So the even pixels have a filter of two taps, to which the algorithm applies, and the odd pixels one tap, whose products are
computed directly: 5 products instead of 6 for two outputs, 9 instead of 12 for four. The product at 0 and the first output's
product of the odd tap are summands of the first output only; the product at infinity and the last output's product of the odd tap
are summands of the last output only. So the two of each pair are added before Aᵀ is applied, which then has 3 columns for two
outputs and 7 for four. The order of the products is: the one at 0, those of the odd tap, the one at infinity, the others. So the
two of each pair are neighbours, and so are the products of the odd tap, which all have the same filter.

Source: Winograd, *Arithmetic complexity of computations* (1980); Blahut, *Fast algorithms for signal processing* (2010),
chapter 5; for the points, Barabasz et al., *Error analysis and improving the accuracy of Winograd convolution for deep
neural networks* (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np

Rows = tuple[tuple[float, ...], ...]


class Algorithm(NamedTuple):
    """The matrices of m outputs on one axis, `stride` pixels apart, of a filter of r taps:

        products = (G @ w)[filters] * (Bt @ x)          y = At[:, sums] @ products

    Product k has filter `filters[k]` and is added to sum `sums[k]`: a row of G or a column of Aᵀ is stored once if
    several products share it.
    """

    stride: int
    Bt: Rows                    # (products, inputs)
    G: Rows                     # (filters, r)
    At: Rows                    # (m, sums)
    filters: tuple[int, ...]    # (products,) which row of G
    sums: tuple[int, ...]       # (products,) which column of Aᵀ


def transposed(rows: Sequence[tuple[float, ...]]) -> Rows:
    """Return the transposed matrix."""
    return tuple(zip(*rows, strict=True))


def _floats(matrix: Sequence[Sequence[Fraction]]) -> Rows:
    return tuple(tuple(map(float, row)) for row in matrix)


def toom_cook(m: int, r: int, points: Sequence[Fraction | int]) -> Algorithm:
    """Return the algorithm for m outputs of r taps at stride 1 from m + r - 2 points; infinity is added as the last one.

    Aᵀ has the powers of the points, G those divided by the product of the point's differences from the others, and Bᵀ the
    coefficients of the polynomials that are 0 at all points except one. The last row (of Aᵀ: column) belongs to infinity. The value
    there is the highest coefficient: (0, …, 0, 1) in G and Aᵀ. The other points determine a polynomial up to a multiple of the one
    that is 0 at all of them, whose highest coefficient is 1: its coefficients are the last row of Bᵀ.

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
    own = tuple(range(len(points) + 1))         # at stride 1 each product has a filter and a sum of its own
    return Algorithm(1, _floats(Bt), _floats(G), _floats(At), own, own)


def at_stride_2(even: Algorithm) -> Algorithm:
    """Return the algorithm for three taps at stride 2, from one for two taps, with 0 as its first point, for the even pixels.

    Examples
    --------
    >>> at_stride_2(toom_cook(2, 2, (0, 1))).At
    ((1.0, 0.0, 1.0), (0.0, 1.0, 1.0))
    """
    m = len(even.At)
    first, *others, last = range(m, 2 * m + 1)          # products of the even pixels; those of the odd tap are 0 to m - 1 below
    order = [first, *range(m), last, *others]
    Bt = np.zeros((2 * m + 1, 2 * m + 1))
    Bt[:m, 1::2], Bt[m:, ::2] = np.eye(m), even.Bt
    G = [(0.0, 1.0, 0.0)] * m + [(w0, 0.0, w2) for w0, w2 in even.G]
    columns = [*map(tuple, np.eye(m).tolist()), *transposed(even.At)]
    rows, filters = _distinct([G[k] for k in order])
    different, sums = _distinct([columns[k] for k in order])
    return Algorithm(2, tuple(map(tuple, Bt[order].tolist())), rows, transposed(different), filters, sums)


def _distinct(rows: Sequence[tuple[float, ...]]) -> tuple[Rows, tuple[int, ...]]:
    """Return the different rows, in the order in which they first occur, and for each row its number among them."""
    different = tuple(dict.fromkeys(rows))
    return different, tuple(map(different.index, rows))


ALGORITHMS = (
    toom_cook(2, 3, (0, 1, -1)),
    toom_cook(3, 3, (0, 1, Fraction(-1, 2), -2)),
    toom_cook(4, 3, (0, Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))),
    at_stride_2(toom_cook(2, 2, (0, 1))),
    at_stride_2(toom_cook(4, 2, (0, 1, Fraction(-1, 2), -2))),
)


def choose(S: int, OH: int, OW: int) -> int:
    """Return the index of the algorithm with the fewest products for OH × OW outputs; a tile at the edge counts as a whole one.

    Tiles of four outputs are chosen only if an image has several of them: in smaller images their error would exceed four times
    that of the direct kernels.
    """

    def products(i: int) -> int:
        m, K = len(ALGORITHMS[i].At), len(ALGORITHMS[i].Bt)
        return K * K * -(-OH // m) * -(-OW // m)

    suited = (i for i, a in enumerate(ALGORITHMS) if a.stride == S and (len(a.At) < 4 or len(a.At) < min(OH, OW)))
    return min(suited, key=products)


@cache
def runs_of(own: tuple[int, ...], other: tuple[int, ...]) -> np.ndarray:
    """Return the runs of an algorithm on two axes, as an array (runs, 4): each row is (product, other, down, across).

    A run consists of the down·across products that have the same sum, or the same filter. On each axis their numbers are
    consecutive, and so are those of their filters, or sums. `product` is the first product of the run.

    `runs_of(a.sums, a.filters)`: row s has the products that are added to sum s, and `other` is the filter of the first.
    `runs_of(a.filters, a.sums)`: row f has the products with filter f, and `other` is the sum of the first.

    Examples
    --------
    >>> a = ALGORITHMS[3]
    >>> a.filters, a.sums
    ((0, 1, 1, 2, 3), (0, 0, 1, 1, 2))
    >>> runs_of(a.sums, a.filters)[:3].tolist()         # on the second axis, sum 0 has products 0 and 1, whose filters are 0 and 1
    [[0, 0, 2, 2], [2, 1, 2, 2], [4, 3, 2, 1]]
    """
    P, others = len(own), len(set(other))
    axis = [(own.index(k), other[own.index(k)], own.count(k)) for k in range(len(set(own)))]
    return np.array([(p * P + q, i * others + j, down, across) for p, i, down in axis for q, j, across in axis])
