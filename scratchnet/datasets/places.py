"""Where data is stored: a folder that the user names, then a cache.

Two environment variables name folders. ``SCRATCHNET_DATA`` is searched before anything else and is never written to.
``SCRATCHNET_CACHE`` replaces the operating system's usual folder for caches.
"""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "SCRATCHNET_DATA"
CACHE_VARIABLE = "SCRATCHNET_CACHE"


class DataError(ValueError):
    """A data set is unknown, missing or damaged, or could not be fetched; the message names the file and the fix.

    Examples
    --------
    >>> raise DataError("train-images-idx3-ubyte.gz: ends after 7 bytes")
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: train-images-idx3-ubyte.gz: ends after 7 bytes
    """


def cache_dir() -> Path:
    """Return the folder in which downloaded and drawn data is kept between runs.

    Returns
    -------
    pathlib.Path
        The folder that ``SCRATCHNET_CACHE`` names, or ``pooch.os_cache("scratchnet")``, for instance
        ``~/.cache/scratchnet`` on Linux. It need not exist yet.

    Examples
    --------
    >>> cache_dir().is_absolute()
    True
    """
    named = _named(CACHE_VARIABLE)
    if named is not None:
        return named
    import pooch  # not at the top of the file: it takes a tenth of a second, which `import scratchnet` need not spend

    return Path(pooch.os_cache("scratchnet")).expanduser().absolute()


def data_dir() -> Path | None:
    """Return the folder that ``SCRATCHNET_DATA`` names, or None if the variable is unset or empty.

    Returns
    -------
    pathlib.Path or None
        It need not exist.

    Examples
    --------
    >>> data_dir() is None or data_dir().is_absolute()
    True
    """
    return _named(DATA_VARIABLE)


def _named(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return expanded(named).absolute() if named else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home folder in place of ``~``; ``~somebody`` is not changed if there is no such account."""
    return Path(os.path.expanduser(path))
