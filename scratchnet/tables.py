"""Text tables: rows of words in aligned columns, for reports and commands."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], align: str = "", gap: str = "  ") -> list[str]:
    """Return one line for each row, its cells padded to the width of their column.

    Parameters
    ----------
    rows : sequence of sequences of str
        All of one length; the first is usually the head.
    align : str
        For each column "<" (left, the default of those not named) or ">" (right).
    gap : str
        What stands between two columns.

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
