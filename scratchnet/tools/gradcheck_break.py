"""``scratchnet gradcheck --break NAME``: put a bug of the gallery in, show who catches it, and train with it."""

from __future__ import annotations

import math
import time

from tqdm import tqdm

from scratchnet.gradcheck.report import Report, table
from scratchnet.tools import saboteurs
from scratchnet.tools.saboteurs import Saboteur, small_net, verdicts

ROWS = 8  # failed comparisons that are shown of one check
NEAR = 0.02  # of accuracy: a broken net that comes so near to the healthy one says nothing about the bug


def run(name: str) -> int:
    """Break what `name` names, or one thing after another for "all".

    Parameters
    ----------
    name : str
        An entry of `saboteurs.CATALOGUE`, or "all".

    Returns
    -------
    int
        0 when the witness that must catch it did, 1 when it did not, or one of them all was not caught.

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones.
    """
    return run_all() if name == "all" else run_one(saboteurs.find(name))


def caught(entry: Saboteur, report: Report) -> bool:
    """Say whether the witness that must find something did."""
    return not verdicts(report).get(entry.witness, True)


def fooled(report: Report) -> list[str]:
    """List the witnesses that found nothing."""
    return [witness for witness, well in verdicts(report).items() if well]


def broken_accuracy(entry: Saboteur, show: bool = False) -> float:
    """Train the net that runs what is broken, while it is."""
    with entry.broken():
        return entry.net.accuracy(show=show, threads=entry.threads)


def percent(accuracy: float) -> str:
    """Write an accuracy; NaN is a net whose loss did not stay finite.

    Examples
    --------
    >>> percent(0.9375), percent(float("nan"))
    ('93.8 %', 'diverged')
    """
    return "diverged" if math.isnan(accuracy) else f"{100 * accuracy:.1f} %"


def tell(what: str, text: str) -> None:
    """Print a label and what it is for, further lines below the first."""
    first, *others = text.split("\n")
    print(f"  {what:<8}{first}", *(f"{'':<10}{line}" for line in others), sep="\n")


def run_one(entry: Saboteur) -> int:
    """Show one entry at work."""
    print(f"{entry.name}: {entry.title} ({entry.operation})\n")
    tell("right", entry.right)
    tell("wrong", entry.wrong)
    tell("seen", f"{entry.source}\n{entry.seen}")
    print(f"\nWhy it looks right. {entry.looks_right}")
    if entry.convention:
        print(f"Another convention, no error there: {entry.convention}")
    reason = entry.unavailable()
    if reason:
        print(f"\nnot shown: {reason}")
        return 0
    report = entry.report()
    failures = report.failures
    found, silent = caught(entry, report), fooled(report)
    print(f"\n{table(failures[:ROWS], report.title)}")
    if len(failures) > ROWS:
        print(f"… and {len(failures) - ROWS} more")
    print(f"\n{'caught' if found else 'NOT CAUGHT'} by the witness that must: {entry.witness}")
    if silent:
        print(f"fooled, for they found nothing: {', '.join(silent)}")
    healthy, broken = entry.net.accuracy(show=True, threads=entry.threads), broken_accuracy(entry, show=True)
    print(f"\n{small_net.STEPS} steps of a small net on {small_net.IMAGES:,} glyphs, then {small_net.TEST_IMAGES} it has not seen:")
    print(f"  healthy {percent(healthy):>8}\n  broken  {percent(broken):>8}\n")
    near = broken >= healthy - NEAR
    print("Training well proves nothing." if near else "Here training suffers; but who would know what it should have reached?")
    return 0 if found else 1


def run_all() -> int:
    """Show all entries in a table, and count."""
    began = time.perf_counter()
    healthy: dict[object, float] = {}
    rows = [("name", "witness", "caught", "fools", "broken", "healthy")]
    tried = hits = near = 0
    skipped = []
    for entry in tqdm(saboteurs.CATALOGUE.values(), desc="saboteurs", unit="bug", disable=None, leave=False):
        reason = entry.unavailable()
        if reason:
            skipped.append(f"{entry.name}: {reason}")
            continue
        report = entry.report()
        found = caught(entry, report)
        if (entry.net, entry.threads) not in healthy:
            healthy[entry.net, entry.threads] = entry.net.accuracy(threads=entry.threads)
        well, broken = healthy[entry.net, entry.threads], broken_accuracy(entry)
        tried, hits, near = tried + 1, hits + found, near + (broken >= well - NEAR)
        cells = (entry.name, entry.witness, "yes" if found else "NO", ", ".join(fooled(report)) or "-")
        rows.append((*cells, percent(broken), percent(well)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in skipped:
        print(f"left out: {line}")
    print(f"\n{hits} of {tried} caught, {time.perf_counter() - began:.0f} s")
    print(f"{near} of {tried} broken nets reach what the healthy one does, to {100 * NEAR:.0f} %: training well proves nothing")
    return 0 if hits == tried else 1
