"""What a check found: rows that print as a table, and that can be raised as an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Row:
    """One comparison.

    Attributes
    ----------
    witness : str
        "gradient" (backward against finite differences of forward), "definition" (against the plain loops),
        "update rule" (an optimizer against its formula) or "contract" (bits, mutation, stale state).
    name : str
        What was compared, such as "kernel" or "x".
    passed : bool
        Also of a row that could not be compared, whose note says so; it prints - for a verdict.
    largest, median : float, optional
        Relative errors: |a - b| / max(|a|, |b|, floor), see `relative_errors`.
    where : tuple of int, optional
        The index of the worst number.
    analytic, numeric : float, optional
        The two values there: the code's, and the witness's.
    compared : int
        How many numbers, or directions.
    retried, skipped : int
        How often a difference that met a kink was taken again, with a smaller step or another direction; and how many
        were given up.
    note : str
        What a contract says, or what went wrong.
    """

    witness: str
    name: str
    passed: bool
    largest: float | None = None
    median: float | None = None
    where: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    compared: int = 0
    retried: int = 0
    skipped: int = 0
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Give the row as it is printed."""

        def number(value: float | None) -> str:
            return "" if value is None else f"{value:.1e}"

        where = "" if self.where is None else str(list(map(int, self.where))).replace(" ", "")
        kinks = f"{self.retried}" + (f"+{self.skipped}" if self.skipped else "") if self.retried or self.skipped else ""
        verdict = "WRONG" if not self.passed else "-" if self.note else "ok"
        values = "" if self.passed or self.analytic is None else f"got {self.analytic:.6g}, expected {self.numeric:.6g}"
        return (
            self.witness,
            self.name,
            number(self.largest),
            number(self.median),
            where,
            kinks,
            verdict,
            values or self.note,
        )


class GradientCheckError(AssertionError):
    """A check failed; its text is the report's table."""


@dataclass
class Report:
    """All that one check compared.

    Attributes
    ----------
    title : str
    rows : list of Row
    """

    title: str
    rows: list[Row] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every row passed, and there is one."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def failures(self) -> list[Row]:
        """The rows that did not pass."""
        return [row for row in self.rows if not row.passed]

    @property
    def largest(self) -> float:
        """The largest relative error of all gradients."""
        return max((row.largest for row in self.rows if row.witness == "gradient" and row.largest is not None), default=0.0)

    def raise_if_failed(self) -> Report:
        """Raise `GradientCheckError` with the table when a row failed, else give the report itself."""
        if not self.passed:
            raise GradientCheckError(f"{self.title}\n{self}")
        return self

    def __str__(self) -> str:
        """Give the table: a row a comparison, the failed ones with both values."""
        return table(self.rows, self.title)


HEAD = ("witness", "compared", "largest", "median", "worst at", "kinks", "verdict", "")


def table(rows: Iterable[Row], title: str = "") -> str:
    """Lay rows out in columns.

    Examples
    --------
    >>> print(table([Row("gradient", "kernel", True, 2.5e-10, 1e-11, (0, 2), compared=6)], "Dense(2)"))
    Dense(2)
    witness   compared  largest  median   worst at  kinks  verdict
    gradient  kernel    2.5e-10  1.0e-11  [0,2]            ok
    """
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([title, *lines] if title else lines)
