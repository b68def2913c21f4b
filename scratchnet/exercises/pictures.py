"""Small printed pictures, at most 80 columns wide: a grid of numbers, the windows over a pixel, a sum with its terms."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from scratchnet.padding import Pads
from scratchnet.support.tables import text_table

WIDTH = 80
ROWS = 12                       # of a grid or a sum that are shown
Pair = tuple[int, int]
Term = tuple[tuple[str, float], tuple[str, float]]


def number(value: float) -> str:
    """Return a number with at most 5 digits.

    Examples
    --------
    >>> [number(value) for value in (2.0, -0.12345678, 1234567.0, float("nan"))]
    ['2', '-0.12346', '1.2346e+06', 'nan']
    """
    return f"{float(value) + 0.0:.5g}"


def wrapped(text: str, indent: str = "") -> list[str]:
    """Return a text as lines of at most 80 columns."""
    whole = r"(?<=[\d)],) (?=[\d(])| (?=\()| (?== )|(?<= =) "      # shapes, pairs and "t = 1" are not divided
    text = re.sub(whole, "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def wrapped_output(text: str) -> list[str]:
    r"""Return what a program printed as indented lines of at most 80 columns; the rest of a longer line is indented more.

    Examples
    --------
    >>> for line in wrapped_output("a\n  b " + "word " * 16):
    ...     print(line)
        a
          b word word word word word word word word word word word word word word
          word word
    """
    lines: list[str] = []
    for line in text.splitlines():
        more = textwrap.wrap(line, WIDTH, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
        lines += more or [""]
    return lines


def rows(table: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """Return the lines of an aligned table; its first row is the header."""
    return [" " * indent + line for line in text_table(table)]


def around(size: int, at: int, most: int) -> range:
    """Return at most `most` indices of an axis, around one of them.

    Examples
    --------
    >>> list(around(10, 8, 4)), list(around(3, 1, 4))
    ([6, 7, 8, 9], [0, 1, 2])
    """
    first = max(0, min(at - most // 2, size - most))
    return range(first, min(first + most, size))


def marked(a: np.ndarray, *at: Pair) -> list[str]:
    """Return a matrix as lines, with some elements in brackets; of a large matrix, the part around the first of them.

    Examples
    --------
    >>> for line in marked(np.array([[1.0, 2.0], [3.0, 4.5]]), (1, 0)):
    ...     print(line)
               0     1
        0      1     2
        1    [ 3 ]  4.5
    """
    a = np.atleast_2d(a)
    top, left = at[0] if at else (0, 0)
    which_rows = around(a.shape[0], top, ROWS)
    longest = max((len(number(a[h, w])) for h in which_rows for w in around(a.shape[1], left, ROWS)), default=1)
    cell = longest + 2          # a number, with its brackets
    which = around(a.shape[1], left, max(1, (WIDTH - 10) // (cell + 1)))
    lines = ["    " + "    " + " ".join(f"{w:^{cell}}" for w in which).rstrip()]
    for h in which_rows:
        cells = [f"[{number(a[h, w]):^{longest}}]" if (h, w) in at else f"{number(a[h, w]):^{cell}}" for w in which]
        lines.append(f"    {h:<4}" + " ".join(cells).rstrip())
    if len(which) < a.shape[1] or len(which_rows) < a.shape[0]:
        lines.append(f"    (part of {a.shape[0]} × {a.shape[1]})")
    return lines


def covering(pixel: Pair, out_shape: Pair, window: Pair, strides: Pair, pads: Pads) -> Iterator[Pair]:
    """Yield (oh, ow) for the windows that cover a pixel.

    Examples
    --------
    >>> list(covering((1, 1), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    for oh in range(out_shape[0]):
        for ow in range(out_shape[1]):
            i, j = pixel[0] + pads[0][0] - oh * strides[0], pixel[1] + pads[1][0] - ow * strides[1]
            if 0 <= i < window[0] and 0 <= j < window[1]:
                yield oh, ow


def sum_of_products(terms: Sequence[Term], extra: tuple[str, float] | None = None) -> list[str]:
    """Return the lines of a sum of products, and its value.

    Each term has two factors, and each factor a name and a value; `extra` is one more term, such as a bias.

    Examples
    --------
    >>> terms = [(("x[0]", 2.0), ("w[0]", 3.0)), (("x[1]", -1.0), ("w[1]", 4.0))]
    >>> for line in sum_of_products(terms, ("b", 0.5)):
    ...     print(line)
        x[0] · w[0]  =   2 · 3  =  6
        x[1] · w[1]  =  -1 · 4  =  -4
        b  =  0.5
        sum: 2.5
    """
    lines = []
    total = sum(a * b for (_, a), (_, b) in terms) + (extra[1] if extra else 0.0)
    longest = [max((len(term[k][0]) for term in terms[:ROWS]), default=0) for k in (0, 1)]
    widths = [max((len(number(term[k][1])) for term in terms[:ROWS]), default=0) for k in (0, 1)]
    for (left, a), (right, b) in terms[:ROWS]:
        first = f"{left:<{longest[0]}} · {right:<{longest[1]}}"
        lines.append(f"    {first}  =  {number(a):>{widths[0]}} · {number(b):>{widths[1]}}  =  {number(a * b)}")
    if len(terms) > ROWS:
        rest = sum(a * b for (_, a), (_, b) in terms[ROWS:])
        lines.append(f"    … and {len(terms) - ROWS} more products, with the sum {number(rest)}")
    if extra:
        lines.append(f"    {extra[0]}  =  {number(extra[1])}")
    return [*lines, f"    sum: {number(total)}"]
