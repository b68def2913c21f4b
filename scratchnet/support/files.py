"""Files that appear complete or not at all: written under a temporary name in the same folder, and renamed when complete.

A process that is killed leaves its temporary file. The next process that writes the same file removes it; a file that a live
process is writing is locked, and stays.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

if sys.platform != "win32":
    import fcntl

from scratchnet.support.interrupts import uninterrupted

OTHER_FORMATS = {
    ".h5": "Keras", ".hdf5": "Keras", ".keras": "Keras", ".pt": "PyTorch", ".pth": "PyTorch", ".safetensors": "safetensors",
}  # fmt: skip


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return the path that a user passed, with the home folder in place of `~`.

    Raises
    ------
    TypeError
        When it is neither a string nor a path.
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
        raise TypeError(f"path: expected a string or a pathlib.Path, got {path!r:.80}. For example 'model.npz'")
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"path: expected the name of a file, got {text!r:.80}. For example 'model.npz'")
    try:
        expanded = Path(text).expanduser()
        for name in {str(expanded), *expanded.parts}:       # the parts alone, too: their folder may not exist yet
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                os.lstat(name)
    except RuntimeError:
        raise ValueError(f"path: expected the home of a user, got {text!r:.80}. For a file named ~... write './~...'") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            got = f"{len(text)} characters in {len(Path(text).parts)} parts: {text!r:.80}"
            raise OSError(errno.ENAMETOOLONG, f"expected a path that the system permits, got {got}. Choose a shorter one") from None
    return expanded


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Create a folder and those above it that do not exist. (`mkdir(parents=True)` fails for very many: it is recursive.)"""
    missing = [folder]
    while (above := missing[-1].parent) != missing[-1] and not above.exists():      # a drive that does not exist is its own parent
        missing.append(above)
    for folder in reversed(missing):
        folder.mkdir(mode, exist_ok=True)


def reason(error: OSError) -> str:
    """Return the message of an error, in the form "file: message" if the error names a file.

    Examples
    --------
    >>> reason(FileNotFoundError(errno.ENOENT, "No such file or directory", "model.npz"))
    'model.npz: No such file or directory'
    """
    return f"{error.filename}: {error.strerror}" if error.filename is not None and error.strerror else str(error)


def refuse_other_formats(path: Any, example: str) -> None:
    """Raise ValueError for the name of a file in a format of another library: models are not saved in such formats here.

    Examples
    --------
    >>> refuse_other_formats("model.npz", "model.npz")
    >>> refuse_other_formats("best.weights.h5", "best.npz")
    Traceback (most recent call last):
    ...
    ValueError: path: expected the name of an .npz file, got 'best.weights.h5', a format of Keras. For example 'best.npz'
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    ending = os.path.splitext(text)[1].lower() if isinstance(text, str) else ""
    if ending in OTHER_FORMATS:
        got = f"{os.path.basename(text)!r:.80}, a format of {OTHER_FORMATS[ending]}"
        raise ValueError(f"path: expected the name of an .npz file, got {got}. For example {example!r}")


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
    TypeError, ValueError
        As for `as_path`.
    OSError
        If it cannot be written; the error's `filename` is then `path` or a folder above it, not the temporary name.
    """
    path = as_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"expected the name of a file, got the folder {path}. Name a file in it")
    try:
        make_folders(path.parent)
        with uninterrupted():
            sweep(path.parent, [path.name])
            _write(path, write)
    except OSError as error:
        of_part = error.filename is None or is_part(os.path.basename(str(error.filename)), [path.name])
        if error.errno is not None and of_part:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error      # Python chooses the subclass for errno
        raise
    return path


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    handle, name = _make_part(path)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            if sys.platform != "win32":
                os.replace(name, path)      # while the file is open, and so locked
        if sys.platform == "win32":         # where an open file cannot be renamed
            os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)      # the file has been renamed, unless something failed


def _make_part(path: Path) -> tuple[int, str]:
    """Return the handle and the name of a new temporary file beside `path`, locked against `sweep`."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        swept = False
        try:
            lock(handle)
        except BlockingIOError:         # a `sweep` between these lines has locked it, and removes it
            swept = True
        except OSError:                 # the file system has no locks
            pass
        if not swept and os.path.exists(name):
            return handle, name
        os.close(handle)


def is_part(entry: str, names: Collection[str]) -> bool:
    """Return whether `entry` is the temporary name of a file that has one of `names`.

    Examples
    --------
    >>> is_part(".model.npz.k3x_0a9z.part", ["model.npz"]), is_part("model.npz.part", ["model.npz"])
    (True, False)
    """
    found = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}\.part", entry, re.DOTALL)
    return found is not None and found[1] in names


def sweep(folder: Path, names: Collection[str]) -> None:
    """Remove the temporary files that killed processes left in a folder while they wrote files of these names.

    One that a live process is writing stays, and so does one that cannot be removed.
    """
    with suppress(OSError):
        for entry in [entry for entry in os.listdir(folder) if is_part(entry, names)]:
            with suppress(OSError):
                part = os.open(folder / entry, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
                try:
                    lock(part)
                    if sys.platform != "win32":
                        os.unlink(folder / entry)
                finally:
                    os.close(part)
                if sys.platform == "win32":     # which removes no file that a process has open
                    os.unlink(folder / entry)


def lock(handle: int, *, shared: bool = False) -> None:
    """Lock an open file or folder until it is closed, or its process ends, however it ends. (On Windows nothing is done.)

    Several processes may hold a shared lock at once, while none holds one that is not shared. A shared lock is waited for.

    Raises
    ------
    BlockingIOError
        If it is locked already, and `shared` is false.
    OSError
        If the file system has no locks.
    """
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file as UTF-8, complete or not at all."""
    return write_whole(path, lambda file: file.write(text.encode()))
