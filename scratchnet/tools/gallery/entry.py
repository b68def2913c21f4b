"""One entry of the gallery: the text of a bug, from bugs.ini, and the few lines of code that reproduce it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from scratchnet.gradcheck import Report
from scratchnet.kernels.jit import COMPILED
from scratchnet.kernels.threads import count, limit
from scratchnet.tools.gallery.small_net import SmallNet

CHECKS = ("gradient", "definition", "update rule", "contract")
CODE = ("right", "wrong")  # texts whose lines are not joined
REQUIRED = {"title", "operation", "check", *CODE, "looks_right", "source", "seen"}
OPTIONAL = {"fools", "convention"}


@dataclass(frozen=True)
class Bug:
    """A mistake, where it was seen, and which checks detect it.

    Attributes
    ----------
    name, title : str
    operation : str
        What it breaks.
    check : str
        The check that must catch it, one of `CHECKS`.
    fools : tuple of str
        The checks that `run_checks` runs as well and that find nothing.
    right, wrong : str
        The line as it should be, and as it was found.
    looks_right : str
        Why the mistake was not noticed.
    source : str
        Address of the thread or file where it was seen; `seen` is the text or code there.
    convention : str
        The other convention, if the source is not in error but follows another one.
    run_checks : callable
        Returns the report in which `check` fails while this bug is installed. Without the bug, all checks pass.
    install : callable
        Returns the context manager that installs the bug.
    net : SmallNet
        A network that runs the broken operation, to demonstrate that it trains all the same.
    threads : bool
        Whether it needs compiled kernels on two threads.
    """

    name: str
    title: str
    operation: str
    check: str
    fools: tuple[str, ...]
    right: str
    wrong: str
    looks_right: str
    source: str
    seen: str
    convention: str
    run_checks: Callable[[], Report]
    install: Callable[[], AbstractContextManager[Any]] = field(repr=False)
    net: SmallNet = field(default_factory=SmallNet)
    threads: bool = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Break the operation inside a `with` block, for layers that are built there; undo it afterwards, also after an error."""
        with self.install():
            yield

    def report(self) -> Report:
        """Return the report of its checks while the bug is installed."""
        with self.installed():
            return self.healthy_report()

    def healthy_report(self) -> Report:
        """Return the report of the same checks without the bug."""
        if self.threads:
            return self.run_checks()
        with limit(1):
            return self.run_checks()

    def unavailable(self) -> str:
        """Return why this machine cannot show the bug; empty when it can."""
        if self.threads and not COMPILED:
            return "NUMBA_DISABLE_JIT=1: without compiled kernels no threads run"
        if self.threads and count() < 2:
            return "a race needs two threads"
        return ""


def verdicts(report: Report) -> dict[str, bool]:
    """Return for each check that a report contains whether all of its rows passed."""
    ran = [check for check in CHECKS if any(row.check == check for row in report.rows)]
    return {check: all(row.passed for row in report.rows if row.check == check) for check in ran}


# -- texts and code ---------------------------------------------------------------------------------------------------


def read_texts(ini: str) -> dict[str, dict[str, Any]]:
    r"""Return the texts of bugs.ini: for the name of each bug a dict of the fields of `Bug`.

    Raises
    ------
    ValueError
        For a section with a missing or an unknown key.
    configparser.Error
        For lines that are not sections of keys and values, and for a section or key that appears twice.

    Examples
    --------
    >>> texts = read_texts('''
    ... [sum-of-nothing]
    ... title = A sum starts at one
    ... operation = sum
    ... check = definition
    ... fools = gradient, contract
    ... right = total = 0
    ... wrong = total = 1
    ... looks_right =
    ...     The difference
    ...     is constant.
    ... source = https://example.org
    ... seen = total = 1
    ... ''')
    >>> texts["sum-of-nothing"]["fools"], texts["sum-of-nothing"]["looks_right"]
    (('gradient', 'contract'), 'The difference is constant.')
    """
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), empty_lines_in_values=False)
    parser.read_string(ini, "bugs.ini")
    texts: dict[str, dict[str, Any]] = {}
    for name in parser.sections():
        section = dict(parser[name])
        missing, unknown = REQUIRED - section.keys(), section.keys() - REQUIRED - OPTIONAL
        if missing or unknown:
            raise ValueError(
                f"bugs.ini: expected the keys {', '.join(sorted(REQUIRED))} in [{name}], and perhaps {', '.join(sorted(OPTIONAL))};"
                f" got {', '.join(section)}. Missing: {', '.join(sorted(missing)) or 'none'};"
                f" unknown: {', '.join(sorted(unknown)) or 'none'}."
            )
        fools = [check.strip() for check in section.pop("fools", "").split(",") if check]
        code = {key: "\n".join(line.removeprefix("|") for line in section.pop(key).strip().splitlines()) for key in CODE}
        prose = {key: " ".join(text.splitlines()).strip() for key, text in section.items()}
        texts[name] = {"convention": "", "fools": tuple(fools), **code, **prose}
    return texts


TEXTS = read_texts(files(__package__).joinpath("bugs.ini").read_text(encoding="utf-8"))


def bug(
    name: str,
    run_checks: Callable[[], Report],
    put: Callable[[Any], AbstractContextManager[Any]] | None = None,
    *,
    net: SmallNet | None = None,
    threads: bool = False,
) -> Callable[[Callable[..., Any]], Bug]:
    """Return a decorator that makes a `Bug` of the function below it.

    Parameters
    ----------
    name : str
        Its section in bugs.ini.
    run_checks : callable
        See `Bug`.
    put : callable, optional
        Takes the function and returns the context manager that puts it in the place of a correct one, such as
        `replace.forward_of(Dense.implementations)`. Without it, the function returns the context manager itself.
    net, threads
        See `Bug`.

    Raises
    ------
    ValueError
        For a name without a section in bugs.ini.
    """
    if name not in TEXTS:
        raise ValueError(f"gallery: expected a section [{name}] in bugs.ini, got none. Add its text, or correct the name.")

    def decorator(function: Callable[..., Any]) -> Bug:
        install = function if put is None else lambda: put(function)
        return Bug(name=name, run_checks=run_checks, install=install, net=net or SmallNet(), threads=threads, **TEXTS[name])

    return decorator


def catalogue(bugs: list[Bug], texts: dict[str, Any]) -> dict[str, Bug]:
    """Return the bugs by name.

    Raises
    ------
    ValueError
        If a text has no code, or several bugs have the same name.
    """
    by_name = {bug.name: bug for bug in bugs}
    if len(by_name) < len(bugs):
        names = [bug.name for bug in bugs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"gallery: expected one bug of each name, got several: {', '.join(twice)}. Give each its own name.")
    if unused := [name for name in texts if name not in by_name]:
        raise ValueError(
            f"gallery: expected code for every section of bugs.ini, got none for {', '.join(unused)}."
            " Write the function that reproduces the bug, or remove the section."
        )
    return by_name


def join_reports(report: Report, *others: Report) -> Report:
    """Return the first report with the rows of the others added."""
    for other in others:
        report.rows += other.rows
    return report
