"""What one entry of the gallery is: a mistake that somebody made, and how to make it here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from scratchnet.gradcheck import Report
from scratchnet.kernels.jit import COMPILED
from scratchnet.kernels.threads import count, limit
from scratchnet.layers import Layer, activations
from scratchnet.tools.saboteurs.small_net import SmallNet

WITNESSES = ("gradient", "definition", "update rule", "contract")
Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Saboteur:
    """A mistake, where it was seen, who catches it and who doesn't.

    Attributes
    ----------
    name, title : str
    operation : str
        What it breaks.
    witness : str
        Who must catch it, one of `WITNESSES`.
    fools : tuple of str
        The witnesses that were asked by `check` too, and found nothing.
    right, wrong : str
        The line as it should be, and as it was found.
    looks_right : str
        Why nobody noticed.
    source : str
        Address of the thread or file where it was seen; `seen` is what stands there.
    convention : str
        When the source is not in error but keeps another convention than ours: which one.
    check : callable
        Gives the report in which `witness` fails when this is broken; all is well in it otherwise.
    patch : callable
        Gives the context manager that breaks it.
    net : SmallNet
        A net that runs what is broken, for the demonstration that it trains all the same.
    threads : bool
        Whether it takes compiled kernels on two threads.
    """

    name: str
    title: str
    operation: str
    witness: str
    fools: tuple[str, ...]
    right: str
    wrong: str
    looks_right: str
    source: str
    seen: str
    check: Callable[[], Report]
    patch: Patch = field(repr=False)
    convention: str = ""
    net: SmallNet = field(default_factory=SmallNet)
    threads: bool = False

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Break the operation for the time of a `with` block, for layers that are built inside; mended again on error too."""
        with self.patch():
            yield

    def report(self) -> Report:
        """Break it, run the check that must catch it, and mend it."""
        with self.broken():
            return self.healthy_report()

    def healthy_report(self) -> Report:
        """Run the same check on the code as it stands."""
        if self.threads:
            return self.check()
        with limit(1):
            return self.check()

    def unavailable(self) -> str:
        """Say why this machine cannot show it; empty when it can."""
        if self.threads and not COMPILED:
            return "NUMBA_DISABLE_JIT=1: without compiled kernels there are no threads to race"
        if self.threads and count() < 2:
            return "one thread alone cannot race"
        return ""


def verdicts(report: Report) -> dict[str, bool]:
    """Say of each witness that a report heard whether it found all well."""
    heard = [witness for witness in WITNESSES if any(row.witness == witness for row in report.rows)]
    return {witness: all(row.passed for row in report.rows if row.witness == witness) for witness in heard}


def saboteur(name: str, **said: Any) -> Callable[[Patch], Saboteur]:
    """Make an entry of the function below, which gives the context manager that breaks the operation."""
    return lambda made: Saboteur(name=name, patch=made, **said)


def beside(report: Report, *others: Report) -> Report:
    """Put the rows of other checks below those of one."""
    for other in others:
        report.rows += other.rows
    return report


# -- how to break something -------------------------------------------------------------------------------------------


def telling(kind: type[Layer], forward: Any = None, backward: Any = None) -> AbstractContextManager[Any]:
    """Put two functions in the place of a layer's pair; where none is given, the one that its own page shows."""
    page_forward, page_backward = kind.tellings["im2col"]
    pair = (forward or page_forward, backward or page_backward)
    return patch.dict(kind.tellings, {"im2col": pair, "fused": pair})


def activation(name: str, forward: Any = None, backward: Any = None) -> AbstractContextManager[Any]:
    """Do what `telling` does for an activation, by its name."""
    page_forward, page_backward = activations.FUNCTIONS[name]
    return patch.dict(activations.FUNCTIONS, {name: (forward or page_forward, backward or page_backward)})


@contextmanager
def together(*broken: AbstractContextManager[Any]) -> Iterator[None]:
    """Break several things at once."""
    with ExitStack() as stack:
        for one in broken:
            stack.enter_context(one)
        yield
