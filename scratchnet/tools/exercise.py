"""``scratchnet exercise``: list the exercises, begin one, and check an answer."""

from __future__ import annotations

import argparse
import shlex
from contextlib import suppress

from scratchnet import exercises
from scratchnet.exercises.child import GIGABYTES
from scratchnet.exercises.exercise import Exercise
from scratchnet.exercises.running import SECONDS
from scratchnet.support.files import as_path, make_folders
from scratchnet.support.tables import text_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of ``scratchnet exercise``."""
    parser.description = "Write a layer's function yourself: list the exercises, begin one, check your answer."
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="list the exercises, in order (the default)")
    start = actions.add_parser("start", help="write a file to complete; an existing file is never overwritten")
    start.add_argument("name", metavar="NAME", choices=exercises.EXERCISES, help="an exercise of the list")
    start.add_argument("--out", metavar="FILE", help="the file to write (default: NAME.py)")
    about = f"run FILE, and nothing else, in a process of its own, at most {SECONDS:g} s for each case, and say what is wrong"
    check = actions.add_parser(
        "check", help=about, description=f"{about[0].upper()}{about[1:]}. Exit code 0 if the answer is right, 1 if not."
    )
    check.add_argument("file", metavar="FILE", help="a file that defines the function of an exercise")
    check.add_argument("--hint", metavar="N", nargs="?", const=1, type=int, help="print hint N too (default: 1)")
    check.add_argument("--solution", action="store_true", help="print a solution too")
    parser.set_defaults(action="list")


def run(args: argparse.Namespace) -> int:
    """Do what ``args.action`` says; return 0, or 1 for an answer that is not right."""
    if args.action == "check":
        return check(args.file, args.hint, args.solution)
    print("\n".join(listed() if args.action in (None, "list") else start(args.name, args.out)))
    return 0


def listed() -> list[str]:
    """Return the lines of the list.

    >>> print(listed()[2])
     1  dense_forward          the dense layer: a weighted sum of all inputs
    """
    table = [(str(k), exercise.name, exercise.title) for k, exercise in enumerate(exercises.EXERCISES.values(), 1)]
    how = ["", "Begin one:  scratchnet exercise start NAME", "Check it:   scratchnet exercise check FILE"]
    return ["Functions to write, in this order:", "", *text_table(table, ">"), *how]


def start(name: str, out: str | None) -> list[str]:
    """Write the file with which an exercise begins, and return what to do next."""
    path = as_path(f"{name}.py" if out is None else out)
    if path.is_dir():
        raise IsADirectoryError(f"--out: expected the name of a file, got the folder {path}. Name a file in it: {path / name}.py")
    make_folders(path.parent)
    try:
        file = open(path, "x", encoding="utf-8")    # noqa: SIM115 - the file is removed if writing fails
    except FileExistsError:
        raise FileExistsError(
            f"exercise start: expected the name of a new file, got {path}, which exists. Choose another: --out FILE"
        ) from None
    try:
        with file:
            file.write(exercises.find(name).starter)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return [f"{path} is written. Complete the function in it, then", f"    scratchnet exercise check {shlex.quote(str(path))}"]


def check(file: str, hint: int | None, solution: bool) -> int:
    """Check an answer, print the report, and return 0 if it is right and 1 otherwise."""
    path = as_path(file)
    if path.is_dir():
        raise IsADirectoryError(f"exercise check: expected the name of a file, got the folder {path}. Name the file that you wrote")
    exercise = exercises.exercise_in(path)
    if hint is not None and exercise is not None:
        shown = hint_lines(exercise, hint)      # before the file is run: a wrong N is reported at once
    if exercise is not None:
        limits = f"with at most {SECONDS:g} s\nof processor time for each case and {GIGABYTES} GB of memory"
        print(f"Running {path}, and no other file, {limits}.\n", flush=True)
    report = exercises.check_file(path)
    print(report)
    if exercise is None:
        return 1
    if hint is not None:
        print("", *shown, sep="\n")
    if solution:
        print("", "A solution:", "", exercise.solution, sep="\n")
    if not report.passed and hint is None and not solution:
        print(f"\nFor a hint: scratchnet exercise check {shlex.quote(str(file))} --hint")
    names = list(exercises.EXERCISES)
    if report.passed and exercise.name != names[-1]:
        print(f"\nNext: scratchnet exercise start {names[names.index(exercise.name) + 1]}")
    return 0 if report.passed else 1


def hint_lines(exercise: Exercise, number: int) -> list[str]:
    """Return the lines of a hint."""
    hints = exercise.hints
    if not 1 <= number <= len(hints):
        raise ValueError(f"--hint: expected a number from 1 to {len(hints)}, got {number}. {exercise.name} has {len(hints)} hints")
    more = f"More: --hint {number + 1}" if number < len(hints) else "That was the last hint; --solution prints a solution."
    return [f"Hint {number} of {len(hints)}:", "", hints[number - 1], "", more]
