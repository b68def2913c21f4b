"""Files that appear complete or not at all: written under a temporary name in the same folder, and renamed when complete."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from scratchnet.support.interrupts import uninterrupted


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user passed: `~` is the home folder.

    Raises
    ------
    TypeError
        When it is neither a text nor a path.
    ValueError
        When it is empty, or no file can have this name.
    OSError
        When it is longer than the system permits.

    Examples
    --------
    >>> as_path("~/model.npz") == Path.home() / "model.npz"
    True
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"path: expected a text or a pathlib.Path, got {path!r:.80}. For example 'model.npz'")
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"path: expected the name of a file, got {text!r:.80}. For example 'model.npz'")
    try:
        expanded = Path(text).expanduser()
        for name in {str(expanded), *expanded.parts}:       # the parts alone, too: their folder may not exist yet
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                os.lstat(name)
    except RuntimeError:
        raise ValueError(f"path: expected the home of a user, got {text!r:.80}. For a file named so: './~...'") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            got = f"{len(text)} characters in {len(Path(text).parts)} parts: {text!r:.80}"
            raise OSError(errno.ENAMETOOLONG, f"expected a path that the system permits, got {got}. Choose a shorter one") from None
    return expanded


def make_folders(folder: Path) -> None:
    """Create a folder and those above it that do not exist. (`mkdir(parents=True)` calls itself once for each of them.)"""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


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
    TypeError, ValueError, OSError
        As for `as_path`.
    """
    path = as_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"expected the name of a file, got the folder {path}. Name a file in it")
    make_folders(path.parent)
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
