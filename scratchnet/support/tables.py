"""Text tables: in aligned columns for commands, in Markdown for documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def text_table(rows: Sequence[Sequence[str]], align: str = "", gap: str = "  ") -> list[str]:
    """Return one line for each row, its cells padded to the width of their column.

    Parameters
    ----------
    rows : sequence of sequences of str
        All of the same length; the first is usually the header.
    align : str
        For each column "<" (left, also for those beyond the end of `align`) or ">" (right).
    gap : str
        The text between two columns.

    Examples
    --------
    >>> for line in text_table([("layer", "weights"), ("conv2d", "320"), ("dense", "1,290")], "<>"):
    ...     print(line)
    layer   weights
    conv2d      320
    dense     1,290
    """
    columns = list(zip(*rows, strict=True))
    sides = align.ljust(len(columns), "<")
    widths = [max(map(len, column)) for column in columns]
    formats = [f"{side}{width}" for side, width in zip(sides, widths, strict=True)]
    return [gap.join(map(format, row, formats)).rstrip() for row in rows]


def markdown_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a Markdown table, or an empty string if there are no rows.

    Parameters
    ----------
    rows : iterable of mappings
        For each row a mapping from column headers to cells; the headers are the keys of the first row.

    Examples
    --------
    >>> print(markdown_table([{"layer": "conv2d", "weights": 320}, {"layer": "dense", "weights": 1290}]))
    | layer | weights |
    |---|---|
    | conv2d | 320 |
    | dense | 1290 |
    """
    rows = list(rows)
    if not rows:
        return ""
    head, *lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (rows[0], *(row.values() for row in rows))]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *lines])
