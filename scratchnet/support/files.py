"""Files that appear complete or not at all: written under a temporary name in the same folder, and renamed when complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from scratchnet.support.interrupts import uninterrupted


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any]) -> Path:
    """Write a file that replaces `path` in one step. If anything fails, `path` stays as it was.

    Parameters
    ----------
    path : path
        Its folder is made if it does not exist.
    write : callable
        Called with an open binary file; writes the content.

    Returns
    -------
    Path

    Raises
    ------
    IsADirectoryError
        If `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"expected the name of a file, got the folder {path}. Name a file in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with uninterrupted():
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)      # the file has been renamed, unless something failed
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file as UTF-8, complete or not at all."""
    return write_whole(path, lambda file: file.write(text.encode()))
