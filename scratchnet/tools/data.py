"""``scratchnet data``: where the data sets live and what is there; fetch and verify them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from scratchnet import datasets
from scratchnet.datasets import DataError, Status


def run(args: argparse.Namespace) -> int:
    """Show, fetch or verify as ``args.action`` says; return 0."""
    if args.action == "status":
        print("\n".join(table(datasets.status())))
        print(f"\nSCRATCHNET_DATA  {datasets.data_dir() or 'not set'}")
        print(f"cache            {datasets.cache_dir()}")
    else:
        each(datasets.fetch if args.action == "fetch" else datasets.verify, args.names)
    return 0


def each(action: Callable[[str], Status], names: Sequence[str]) -> None:
    """Do `action` for every name and tell; the names that fail are raised together when all have had their turn."""
    failures = []
    for name in names:
        try:
            status = action(name)
        except DataError as error:
            failures.append(str(error))
        else:
            print(f"{status.name}: {status.note} ({size(status.size)} in {status.folder})", flush=True)
    if failures:
        raise DataError("; ".join(failures))


def table(rows: Sequence[Status]) -> list[str]:
    """Return lines of a table of the sets.

    >>> for line in table([Status("mnist", "", None, 0, "downloaded at its first use")]):
    ...     print(line)
    name   found in      size  where
    mnist  -                -  downloaded at its first use
    """
    cells = [("name", "found in", "size", "where")]
    for row in rows:
        there = (row.place, size(row.size), str(row.folder)) if row.folder else ("-", "-", row.note)
        cells.append((row.name, *there))
    name, place, much = (max(len(cell[i]) for cell in cells) for i in range(3))
    return [f"{a:<{name}}  {b:<{place}}  {c:>{max(much, 8)}}  {d}" for a, b, c, d in cells]


def size(count: int) -> str:
    """Return a number of bytes in MB.

    >>> size(11_594_722)
    '11.6 MB'
    """
    return f"{count / 1e6:.1f} MB"
