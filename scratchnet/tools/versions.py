"""The versions of the packages that a run's numbers depend on, as its records name them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from scratchnet._version import __version__


def versions(packages: Sequence[str] = ("numpy", "numba")) -> dict[str, str]:
    """Return the versions of scratchnet, of Python and of `packages`; "missing" for a package that is not installed.

    >>> list(versions())
    ['scratchnet', 'python', 'numpy', 'numba']
    """
    found = {"scratchnet": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found
