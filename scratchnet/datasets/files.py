"""Whether a path is a file or a folder, and the bytes of a data file. Every failure is a `DataError` that names the path.

A file that is not what its name says is common: an error page saved under the name of an archive, a folder made by an
unpacking program, a pointer of Git LFS. The message says what was found instead.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from scratchnet.datasets.places import DataError

GZIP_MAGIC = b"\x1f\x8b"

BEGINNINGS = (
    (b"<", "an HTML or XML page"),
    (b"PK\x03\x04", "a zip archive"),
    (GZIP_MAGIC, "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"(\xb5/\xfd", "a zstd file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
)


def kind(path: Path) -> str:
    """Return what is at `path`: "a file", "a folder", "nothing", "a broken link", or "a pipe or device".

    Raises
    ------
    DataError
        If that cannot be determined: a folder without permission, a path that is too long.

    Examples
    --------
    >>> kind(Path("nowhere"))
    'nothing'
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a broken link" if os.path.islink(path) else "nothing"
    except ValueError:      # a null character in the path
        return "nothing"
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISREG(mode):
        return "a file"
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or device"


def is_file(path: Path) -> bool:
    """Return whether `path` is a file. Raises DataError if that cannot be determined."""
    return kind(path) == "a file"


def is_dir(path: Path) -> bool:
    """Return whether `path` is a folder. Raises DataError if that cannot be determined."""
    return kind(path) == "a folder"


def listing(folder: Path) -> list[Path]:
    """Return what a folder contains, sorted by name. Raises DataError if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the DataError for a path that the operating system does not let us read."""
    return DataError(f"{brief(path)}: cannot be read ({error.strerror or error}). Correct the path or its permissions")


def brief(path: object) -> str:
    """Return a path as it is printed: a very long one without its middle.

    >>> brief("a" * 5000)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa (5,000 characters)'
    """
    text = str(path)
    return text if len(text) <= 400 else f"{text[:40]}…{text[-40:]} ({len(text):,} characters)"


def beginning(start: bytes) -> str:
    """Return the first bytes of a file in hexadecimal, and the kind of file that begins with them, if it is known.

    >>> beginning(b"<!DOCTYPE html>")
    '3c 21 44 4f (an HTML or XML page)'
    >>> beginning(b"")
    'nothing'
    """
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    names = [name for magic, name in BEGINNINGS if text.startswith(magic)]
    return (start[:4].hex(" ") or "nothing") + (f" ({names[0]})" if names else "")


def is_gzip(path: Path) -> bool:
    """Return whether a file begins like a gzip file."""
    try:
        with path.open("rb") as file:
            return file.read(2) == GZIP_MAGIC
    except OSError as error:
        raise unreadable(path, error) from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Open a data file for a ``with`` block, which receives a stream of its bytes, and whether the file is gzipped.

    The bytes of a gzipped file are unpacked. gzip compares its checksum only when a stream is read to its end.

    Raises
    ------
    DataError
        If it is not a file, cannot be read, or is a damaged gzip stream, which may be found only when the block reads it.
    FileNotFoundError
        If nothing has this name.
    """
    found = kind(path)
    if found not in ("a file", "nothing"):
        raise DataError(f"{brief(path)}: expected a file, got {found}. Put the file itself in this place")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            yield (cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw), packed
    except FileNotFoundError:
        raise
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: the gzip stream is damaged ({error}). Get the file again") from error
    except OSError as error:
        raise unreadable(path, error) from error
