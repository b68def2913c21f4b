"""The two file formats of CIFAR-10: plain records, and a Python pickle, which is read without being executed.

    binary:   one label byte, then 3072 pixel bytes, 10,000 times:  label | red 32×32 | green 32×32 | blue 32×32
    python:   a pickled dictionary with a list "labels" and an array "data" with the same 3072 bytes per row

A pickle is a program, and an unpickler runs it. `pickletools.genops` only lists its instructions: the two values that
are needed appear there as literals, and everything else is ignored. Source of both layouts: Krizhevsky,
"The CIFAR-10 dataset", https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout".
"""

from __future__ import annotations

import io
import pickletools
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scratchnet.datasets.files import beginning, is_file, opened, unreadable
from scratchnet.datasets.places import DataError

CLASSES = 10
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS
PYTHON_RECORDS = 10_000
BATCH_PIXELS = PYTHON_RECORDS * PIXELS
MOST_BYTES = 64_000_000
"""More than one batch (31 MB) in either format; a larger file is something else."""
MOST_UNPACKED = 400_000_000
"""More than a whole archive (186 MB unpacked)."""
MOST_INSTRUCTIONS = 1_000_000

NUMBERS = frozenset(("BININT1", "BININT2", "BININT", "INT", "LONG", "LONG1"))
BRACKETS = frozenset(
    ("MARK", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "FRAME")
)
"""The instructions that may appear between the numbers of a list: its brackets, and the pickler's own references to it."""


def planes_to_pixels(rows: np.ndarray) -> np.ndarray:
    """Convert rows of colour planes to images with the channels last.

    Parameters
    ----------
    rows : (N, 3072) uint8 array
        Red, green and blue plane of 32×32, row by row.

    Returns
    -------
    (N, 32, 32, 3) uint8 array, C-contiguous

    Examples
    --------
    >>> planes_to_pixels(np.repeat(np.uint8([[10, 20, 30]]), 1024, axis=1))[0, 0, 0].tolist()
    [10, 20, 30]
    """
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))     # (N, C, H, W) -> (N, H, W, C)


def read_binary_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode one ``.bin`` file of records.

    Parameters
    ----------
    content : bytes
        3073 bytes per record.
    name : str
        The file's name, for messages.

    Returns
    -------
    (N, 32, 32, 3) uint8 array, (N,) uint8 array

    Raises
    ------
    DataError
        If the length is not a whole number of records, or a label is above 9.

    Examples
    --------
    >>> images, labels = read_binary_batch(bytes([7]) + bytes(3072), "data_batch_1.bin")
    >>> images.shape, labels.tolist()
    ((1, 32, 32, 3), [7])
    """
    if not content or len(content) % RECORD:
        raise DataError(
            f"{name}: expected a whole number of records of {RECORD:,} bytes, got {len(content):,} bytes. Get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return planes_to_pixels(records[:, 1:]), _checked(records[:, 0].copy(), name)


def read_python_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and the labels of one pickled batch, without unpickling it.

    Parameters
    ----------
    content : bytes
        The pickle, of any protocol, as Python 2 or 3 writes it.
    name : str
        The file's name, for messages.

    Returns
    -------
    (10000, 32, 32, 3) uint8 array, (10000,) uint8 array

    Raises
    ------
    DataError
        If it is not a pickle, or does not contain one string of 30,720,000 bytes and a list of 10,000 labels from 0 to 9.

    Examples
    --------
    >>> read_python_batch(b"no pickle", "data_batch_1")        # doctest: +ELLIPSIS
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: data_batch_1: expected a pickle, got another file (at position 0, ...). Get it again
    """
    pixels: list[str | bytes] = []
    labels: list[int] = []
    in_labels = False
    try:
        for count, (opcode, value, _) in enumerate(pickletools.genops(content)):
            if count > MOST_INSTRUCTIONS:
                raise DataError(
                    f"{name}: expected a CIFAR-10 batch, got a pickle of over {MOST_INSTRUCTIONS:,} instructions. Get it again"
                )
            if isinstance(value, (str, bytes, bytearray)):
                in_labels = value in ("labels", b"labels")
                if len(value) == BATCH_PIXELS:
                    pixels.append(value if isinstance(value, str) else bytes(value))
            elif in_labels and opcode.name in NUMBERS:
                labels.append(int(value or 0))
            elif opcode.name not in BRACKETS:
                in_labels = False
    except DataError:
        raise
    except Exception as error:     # genops raises exceptions of many types for malformed arguments
        raise DataError(f"{name}: expected a pickle, got another file ({error}). Get it again") from error
    if len(pixels) != 1 or len(labels) != PYTHON_RECORDS:
        raise DataError(
            f"{name}: expected 1 string of {BATCH_PIXELS:,} bytes and {PYTHON_RECORDS:,} labels,"
            f" got {len(pixels)} strings and {len(labels):,} labels. Get a CIFAR-10 batch"
        )
    # pickletools returns a Python 2 string as text, one character for each byte
    data = pixels[0].encode("latin-1") if isinstance(pixels[0], str) else pixels[0]
    rows = np.frombuffer(data, np.uint8).reshape(-1, PIXELS)
    if min(labels) < 0 or max(labels) > 255:
        raise DataError(f"{name}: expected labels from 0 to {CLASSES - 1}, got {min(labels)} to {max(labels)}. Get it again")
    return planes_to_pixels(rows), _checked(np.array(labels, np.uint8), name)


def _checked(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.max() >= CLASSES:
        raise DataError(f"{name}: expected labels from 0 to {CLASSES - 1}, got {labels.max()}. Get it again")
    return labels


def batch_contents(source: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the batches of a folder or of a tar archive, in the order of `names`.

    Only members of an archive whose file name is in `names` are read. Nothing is written to disk, so a path in an archive
    cannot name a file outside a folder.

    Parameters
    ----------
    source : pathlib.Path
        The folder that holds the files, or a ``.tar.gz`` that does.
    names : sequence of str

    Yields
    ------
    str, bytes
        Where the batch was found, and its bytes.

    Raises
    ------
    DataError
        If a batch is missing or far too large, or the archive is damaged.

    Examples
    --------
    >>> list(batch_contents(Path("nowhere"), ["data_batch_1.bin"]))
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: nowhere: has no data_batch_1.bin. Get the whole set again
    """
    if is_file(source):
        found = _members(source, names)
        for name in names:
            if name not in found:
                raise DataError(f"{source}: has no {name}. Get the whole set again")
            yield f"{source}:{name}", found.pop(name)
        return
    for name in names:
        file = source / name
        if not is_file(file):
            raise DataError(f"{source}: has no {name}. Get the whole set again")
        if file.stat().st_size > MOST_BYTES:
            raise DataError(f"{file}: expected a CIFAR-10 batch of about 31 MB, got {file.stat().st_size:,} bytes. Get it again")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise unreadable(file, error) from error
        yield str(file), content


def _members(archive: Path, names: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with opened(archive) as (stream, packed):
        if not packed:
            start = beginning(stream.read(40))
            raise DataError(f"{archive}: expected a .tar.gz, got a file that starts with {start}. Get it again")
        unpacked = _Limited(stream, archive)
        try:
            with tarfile.open(fileobj=unpacked, mode="r|") as tar:      # "r|" reads front to back once, which is fast with gzip
                for member in tar:
                    name = member.name.rpartition("/")[2]
                    if name not in names or not member.isfile():
                        continue
                    if name in found:
                        raise DataError(f"{archive}: expected one {name}, got two. Get the archive again")
                    if member.size > MOST_BYTES:
                        raise DataError(
                            f"{archive}:{name}: expected a batch of about 31 MB, got {member.size:,} bytes."
                            " Get the archive again"
                        )
                    file = tar.extractfile(member)
                    found[name] = file.read() if file else b""
        except (DataError, OSError, EOFError, zlib.error):
            raise
        except Exception as error:     # tarfile raises exceptions of many types for malformed headers
            raise DataError(f"{archive}: the archive is damaged ({error}). Get the file again") from error
        while unpacked.read(1 << 20):     # to the end of the gzip stream, where its checksum is; tarfile stops before it
            pass
    return found


class _Limited(io.RawIOBase):
    """The unpacked bytes of an archive, up to a limit: a few bytes of gzip can unpack to more than fits into memory."""

    def __init__(self, stream: BinaryIO, archive: Path) -> None:
        self.stream, self.archive, self.left = stream, archive, MOST_UNPACKED

    def read(self, size: int = -1) -> bytes:
        piece = self.stream.read(size if 0 <= size <= self.left else self.left + 1)
        self.left -= len(piece)
        if self.left < 0:
            raise DataError(
                f"{self.archive}: expected CIFAR-10's archive, got one that unpacks to over {MOST_UNPACKED:,} bytes."
                " Get it again"
            )
        return piece
