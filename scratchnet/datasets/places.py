"""Where data lies: the folder a user names, then a cache of the user's own; and how a file gets there whole.

Two variables of the environment name folders: ``SCRATCHNET_DATA`` one that is looked into before anything else and is
never written to, ``SCRATCHNET_CACHE`` one that takes the place of the operating system's own for caches.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATA_VARIABLE = "SCRATCHNET_DATA"
CACHE_VARIABLE = "SCRATCHNET_CACHE"


class DataError(ValueError):
    """A data set is unknown, missing, damaged, or could not be fetched; the message says which file and what to do.

    Examples
    --------
    >>> raise DataError("train-images-idx3-ubyte.gz: ends after 7 bytes")
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: train-images-idx3-ubyte.gz: ends after 7 bytes
    """


def cache_dir() -> Path:
    """Folder where fetched and generated data is kept between runs: ``SCRATCHNET_CACHE``, or the system's own place.

    Returns
    -------
    pathlib.Path
        It need not exist yet. Without the variable it is ``pooch.os_cache("scratchnet")``, for instance
        ``~/.cache/scratchnet`` on Linux.

    Examples
    --------
    >>> cache_dir().is_absolute()
    True
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import pooch  # here and not above, because it takes a tenth of a second that `import scratchnet` needn't pay

    return Path(pooch.os_cache("scratchnet")).expanduser().absolute()


def data_dir() -> Path | None:
    """Folder that ``SCRATCHNET_DATA`` names, or None where the variable is unset or empty.

    Returns
    -------
    pathlib.Path or None
        It need not exist.

    Examples
    --------
    >>> data_dir() is None or data_dir().is_absolute()
    True
    """
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser().absolute() if named else None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write a file under another name beside its own, and give it its own name once it is complete.

    Parameters
    ----------
    path : pathlib.Path
        The file to write; its folder is made where it is missing.

    Yields
    ------
    pathlib.Path
        An empty file to write to. If the block raises, it is removed, and what `path` held before is untouched.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written_whole(Path(folder) / "letter.txt") as draft:
    ...         _ = draft.write_text("all of it")
    ...     [file.name for file in Path(folder).iterdir()]
    ['letter.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
