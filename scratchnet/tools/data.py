"""``scratchnet data``: where the data sets are stored; download and verify them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from scratchnet import datasets
from scratchnet.datasets import DataError, Status
from scratchnet.support.tables import text_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of ``scratchnet data``."""
    parser.description = "Show where the data sets are stored; download or generate them; verify their files."
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("status", help="show which sets are stored, and where (the default)")
    for action, about in (("fetch", "download or generate the named sets"), ("verify", "verify the files of the named sets")):
        one = actions.add_parser(action, help=about, description=f"{about.capitalize()}.")
        names = ", ".join(datasets.NAMES)
        one.add_argument("names", metavar="NAME", nargs="+", help=f"{names}, or a folder with four idx files")
    parser.set_defaults(action="status")


def run(args: argparse.Namespace) -> int:
    """Show, fetch or verify as ``args.action`` says; return 0."""
    if args.action == "status":
        print("\n".join(table(datasets.status())), end="\n\n")
        places = [("SCRATCHNET_DATA", str(datasets.data_dir() or "not set")), ("cache", str(datasets.cache_dir()))]
        print("\n".join(text_table(places)))
    else:
        each(datasets.fetch if args.action == "fetch" else datasets.verify, args.names)
    return 0


def each(action: Callable[[str], Status], names: Sequence[str]) -> None:
    """Apply `action` to every name and print its result. Failures are collected and raised together at the end."""
    failures = []
    for name in names:
        try:
            status = action(name)
        except DataError as error:
            failures.append(str(error))
        else:
            checked = f"; {status.checked}" if status.checked else ""
            print(f"{status.name}: {status.note} ({size(status.size)} in {status.folder}){checked}", flush=True)
    if failures:
        raise DataError("; ".join(failures))


def table(sets: Sequence[Status]) -> list[str]:
    """Return the lines of a table of data sets.

    >>> for line in table([Status("mnist", "", None, 0, "downloaded at its first use")]):
    ...     print(line)
    name   found in  size  where
    mnist  -            -  downloaded at its first use
    """
    rows = [("name", "found in", "size", "where")]
    for one in sets:
        rows.append((one.name, *((one.place, size(one.size), str(one.folder)) if one.folder else ("-", "-", one.note))))
    return text_table(rows, "<<>")


def size(count: int) -> str:
    """Return a number of bytes in MB.

    >>> size(11_594_722)
    '11.6 MB'
    """
    return f"{count / 1e6:.1f} MB"
