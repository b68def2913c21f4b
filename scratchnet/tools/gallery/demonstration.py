"""``scratchnet gradcheck --break NAME``: install a bug of the gallery, show which check catches it, and train with it."""

from __future__ import annotations

import math
import time

from tqdm import tqdm

from scratchnet.gradcheck.report import Report, table
from scratchnet.support.tables import text_table
from scratchnet.tools import gallery
from scratchnet.tools.gallery import Bug, small_net, verdicts

ROWS = 8  # failed comparisons that are shown
NEAR = 0.02  # largest difference of accuracies at which the broken network counts as no worse than the healthy one


def run(name: str) -> int:
    """Demonstrate one bug, or all of them in a table.

    Parameters
    ----------
    name : str
        An entry of `gallery.CATALOGUE`, or "all".

    Returns
    -------
    int
        0 when the check that must catch the bug did so, for "all" when this holds for every bug; otherwise 1. A bug that this
        machine cannot show is left out.

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones.
    """
    return run_all() if name == "all" else run_one(gallery.find(name))


def caught(entry: Bug, report: Report) -> bool:
    """Return whether the check that must catch the bug failed."""
    return not verdicts(report).get(entry.check, True)


def fooled(report: Report) -> list[str]:
    """Return the checks that found nothing."""
    return [check for check, passed in verdicts(report).items() if passed]


def broken_accuracy(entry: Bug, show: bool = False) -> float:
    """Return the accuracy of the bug's network, trained and tested while the bug is installed."""
    with entry.installed():
        return entry.net.accuracy(show=show, threads=entry.threads)


def percent(accuracy: float) -> str:
    """Return an accuracy as text; NaN stands for a network whose loss did not stay finite.

    Examples
    --------
    >>> percent(0.9375), percent(float("nan"))
    ('93.8 %', 'diverged')
    """
    return "diverged" if math.isnan(accuracy) else f"{100 * accuracy:.1f} %"


def print_labelled(label: str, text: str) -> None:
    """Print a label and its text, with further lines below the first."""
    first, *others = text.split("\n")
    print(f"  {label:<8}{first}", *(f"{'':<10}{line}" for line in others), sep="\n")


def run_one(entry: Bug) -> int:
    """Demonstrate one bug."""
    print(f"{entry.name}: {entry.title} ({entry.operation})\n")
    print_labelled("right", entry.right)
    print_labelled("wrong", entry.wrong)
    print_labelled("seen", f"{entry.source}\n{entry.seen}")
    print(f"\nWhy it looks right. {entry.looks_right}")
    if entry.convention:
        print(f"A different convention, not an error in the source: {entry.convention}")
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
    print(f"\n{'caught' if found else 'NOT CAUGHT'} by the check that must catch it: {entry.check}")
    if silent:
        print(f"checks that it passes: {', '.join(silent)}")
    healthy, broken = entry.net.accuracy(show=True, threads=entry.threads), broken_accuracy(entry, show=True)
    print(f"\naccuracy on {small_net.TEST_IMAGES} test images after {small_net.STEPS} steps with {small_net.IMAGES:,} glyphs:")
    print(f"  healthy {percent(healthy):>8}\n  broken  {percent(broken):>8}\n")
    near = broken >= healthy - NEAR
    print("Good training proves nothing." if near else "Here the accuracy is lower, but the right accuracy is usually not known.")
    return 0 if found else 1


def run_all() -> int:
    """Demonstrate all bugs in a table, and count those that are caught."""
    began = time.perf_counter()
    healthy: dict[object, float] = {}
    rows = [("name", "check", "caught", "passes", "broken", "healthy")]
    hits = near = 0
    skipped = []
    for entry in tqdm(gallery.CATALOGUE.values(), desc="gallery", unit="bug", disable=None, leave=False):
        reason = entry.unavailable()
        if reason:
            skipped.append(f"{entry.name}: {reason}")
            continue
        report = entry.report()
        found = caught(entry, report)
        network = entry.net, entry.threads
        if network not in healthy:
            healthy[network] = entry.net.accuracy(threads=entry.threads)
        broken = broken_accuracy(entry)
        hits, near = hits + found, near + (broken >= healthy[network] - NEAR)
        cells = (entry.name, entry.check, "yes" if found else "NO", ", ".join(fooled(report)) or "-")
        rows.append((*cells, percent(broken), percent(healthy[network])))
    tried = len(rows) - 1
    print(*text_table(rows), *(f"left out: {line}" for line in skipped), sep="\n")
    print(f"\n{hits} of {tried} caught, {time.perf_counter() - began:.0f} s")
    print(f"{near} of {tried} broken networks are within {100 * NEAR:.0f} % of the healthy one: good training proves nothing")
    return 0 if hits == tried else 1
