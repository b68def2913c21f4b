"""Files that appear whole or not at all: written beside their place under another name, and moved there when complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from scratchnet.interrupts import uninterrupted


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any]) -> Path:
    """Let `write` fill a file that then takes its place at `path` in one step; on any failure `path` stays as it was.

    Parameters
    ----------
    path : path
        Its folder is made when it is not there.
    write : function of a binary file

    Returns
    -------
    Path

    Raises
    ------
    IsADirectoryError
        When `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
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
            Path(name).unlink(missing_ok=True)      # it has moved, unless something failed
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file whole, as UTF-8."""
    return write_whole(path, lambda file: file.write(text.encode()))
