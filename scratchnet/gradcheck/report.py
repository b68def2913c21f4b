"""The results of a check: rows, which can be printed as a table or raised as an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

from scratchnet.support.deprecation import OldName
from scratchnet.support.tables import text_table

NOT_COMPARED = "not compared"  # the first words of the note of a row in which nothing was compared


def _accept_witness(kind: type[Row]) -> type[Row]:
    """Let `Row(witness=...)`, the old name, set `check`."""
    init = kind.__init__

    @wraps(init)
    def renamed(self: Row, *args: Any, **kwargs: Any) -> None:
        if "witness" in kwargs:
            vars(kind)["witness"].warn(kind)
            kwargs["check"] = kwargs.pop("witness")
        init(self, *args, **kwargs)

    kind.__init__ = renamed  # type: ignore[method-assign]
    return kind


@_accept_witness
@dataclass
class Row:
    """One comparison.

    Attributes
    ----------
    check : str
        The kind: "gradient" (backward against finite differences of forward), "definition" (forward and backward against plain
        loops), "update rule" (an optimizer against its formula), or "contract" (conditions other than right values).
    name : str
        What was compared, such as "kernel" or "x".
    passed : bool
        False if nothing could be compared; `note` then begins with "not compared" and says why. Such a row still passes, with
        the verdict "-", in a network, where other arrays are compared, and if the gradient is also compared with a definition.
    largest, median : float, optional
        Of the relative errors |a - b| / max(|a|, |b|, floor), see `relative_errors`.
    where : tuple of int, optional
        The index of the largest error.
    analytic, numeric : float, optional
        The two values at that index: the one computed by the code, and the expected one.
    compared : int
        How many numbers, or directions.
    retried, skipped : int
        How many differences crossed a kink and were computed again with a smaller step or along another direction, and how
        many were given up.
    note : str
        What went wrong.
    """

    check: str
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
    witness = OldName("check")

    @property
    def verdict(self) -> str:
        """The result as a word: "ok", "WRONG", "not compared", or "-" for a row that passes although it was not compared."""
        if self.passed:
            return "-" if self.note else "ok"
        return NOT_COMPARED if self.note.startswith(NOT_COMPARED) else "WRONG"

    def passing_uncompared(self) -> Row:
        """Return the row, changed to passed if nothing was compared."""
        return replace(self, passed=self.passed or self.verdict == NOT_COMPARED)

    def cells(self) -> tuple[str, ...]:
        """Return the row's cells, as they are printed."""

        def number(value: float | None) -> str:
            return "" if value is None else f"{value:.1e}"

        where = "" if self.where is None else str(list(map(int, self.where))).replace(" ", "")
        kinks = f"{self.retried}" + (f"+{self.skipped}" if self.skipped else "") if self.retried or self.skipped else ""
        values = "" if self.passed or self.analytic is None else f"got {self.analytic:.6g}, expected {self.numeric:.6g}"
        return (
            self.check,
            self.name,
            number(self.largest),
            number(self.median),
            where,
            kinks,
            self.verdict,
            values or self.note,
        )


class GradientCheckError(AssertionError):
    """A check failed. The message is the table of the report."""


@dataclass
class Report:
    """All comparisons of one check.

    Attributes
    ----------
    title : str
    rows : list of Row
    """

    title: str
    rows: list[Row] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the report has rows, and all of them passed."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def failures(self) -> list[Row]:
        """The rows that did not pass."""
        return [row for row in self.rows if not row.passed]

    @property
    def largest(self) -> float:
        """The largest relative error of all gradients."""
        return max((row.largest for row in self.rows if row.check == "gradient" and row.largest is not None), default=0.0)

    def raise_if_failed(self) -> Report:
        """Raise a `GradientCheckError` with the table if the report has not passed. Otherwise return the report itself."""
        if not self.passed:
            raise GradientCheckError(f"{self.title}\n{self}")
        return self

    @property
    def not_compared(self) -> list[Row]:
        """The rows in which nothing was compared, whether they count as passed or not."""
        return [row for row in self.rows if row.note.startswith(NOT_COMPARED)]

    def __str__(self) -> str:
        """Return the table, with one line for each row, and a last line with the names of rows in which nothing was compared."""
        names = ", ".join(row.name for row in self.not_compared)
        return table(self.rows, self.title) + (f"\n{NOT_COMPARED}: {names}" if names else "")


HEAD = ("check", "compared", "largest", "median", "worst at", "kinks", "verdict", "")


def table(rows: Iterable[Row], title: str = "") -> str:
    """Return the rows as a text table.

    Examples
    --------
    >>> print(table([Row("gradient", "kernel", True, 2.5e-10, 1e-11, (0, 2), compared=6)], "Dense(2)"))
    Dense(2)
    check     compared  largest  median   worst at  kinks  verdict
    gradient  kernel    2.5e-10  1.0e-11  [0,2]            ok
    """
    lines = text_table([HEAD, *(row.cells() for row in rows)])
    return "\n".join([title, *lines] if title else lines)
