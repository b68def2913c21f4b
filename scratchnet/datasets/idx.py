"""The idx format of MNIST and similar sets: a header of a few big-endian numbers, then the bytes of an array.

    00 00 08 03   0000EA60 0000001C 0000001C   ...
    magic: two zeros, the type (08, unsigned byte), the number of axes; a length for each axis; the values, row-major

Source: the description at the end of MNIST's page (LeCun, Cortes, Burges, "The MNIST database of handwritten digits").
Files may be gzipped. The length in a header is compared with the file's own length first, so that a file with fewer
values than its header says causes an error before memory is allocated.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from scratchnet.datasets.places import DataError
from scratchnet.datasets.sets import Found, ImageSet, Splits

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1032
"""Deflate never compresses more than 1,032 bytes into one (a match of 258 bytes takes at least two bits)."""

IDX_FILES = (
    (("train",), "images", 3),
    (("train",), "labels", 1),
    (("t10k", "test"), "images", 3),
    (("t10k", "test"), "labels", 1),
)
"""The four files of a set: the possible names of the split, the content, the number of axes."""


def read_idx(path: str | Path, axes: int) -> np.ndarray:
    """Read one idx file of unsigned bytes, plain or gzipped.

    Parameters
    ----------
    path : str or pathlib.Path
    axes : int
        The number of axes the array must have: 1 for labels, 3 for grey images.

    Returns
    -------
    uint8 array, writable

    Raises
    ------
    DataError
        If the magic number, the type, the number of axes or the file's length is wrong, or the gzip stream is damaged.
    FileNotFoundError
        If the file does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "labels-idx1-ubyte"
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(file, axes=1)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        room = path.stat().st_size * (GZIP_RATIO if packed else 1)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        try:
            return _read_array(stream, path, axes, room)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: the gzip stream is damaged ({error}). Get the file again") from error


def _read_array(stream: BinaryIO, path: Path, axes: int, room: int) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic.hex(" ") or "nothing"
        raise DataError(f"{path}: expected an idx file, which starts with 00 00 08 0{axes}, got a file that starts with {start}")
    if magic[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: expected idx type 0x08 (unsigned byte), got 0x{magic[2]:02x}")
    if magic[3] != axes:
        raise DataError(f"{path}: expected {axes} axes ({'labels' if axes == 1 else 'images'}), got {magic[3]} axes")
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{path}: the file ends within its header, after {4 + len(lengths)} bytes. Get it again")
    shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
    size = math.prod(shape)
    if size > room:
        raise DataError(f"{path}: the header announces {size:,} bytes (shape {shape}), more than the file can hold. Get it again")
    values = np.empty(size, np.uint8)
    filled = 0
    while filled < size:
        count = stream.readinto(values[filled:].data)  # type: ignore[attr-defined]
        if not count:
            raise DataError(f"{path}: expected {size:,} values (shape {shape}), the file ends after {filled:,}. Get it again")
        filled += count
    if stream.read(1):  # reading past the end also makes gzip verify its checksum
        raise DataError(f"{path}: expected {size:,} values (shape {shape}), the file holds more. Get it again")
    return values.reshape(shape)


def read_pair(images: str | Path, labels: str | Path, classes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and the labels of one split, and check that they belong together.

    Parameters
    ----------
    images, labels : str or pathlib.Path
        An idx3-ubyte and an idx1-ubyte file, plain or gzipped.
    classes : int, optional
        The number of classes, K; without it any label is accepted.

    Returns
    -------
    (N, H, W) uint8 array, (N,) uint8 array

    Raises
    ------
    DataError
        If a file is damaged, the counts differ, there is no image, or a label is not below `classes`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     x, y = Path(folder) / "images", Path(folder) / "labels"
    ...     _ = x.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20]))
    ...     _ = y.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 4]))
    ...     read_pair(x, y, classes=10)
    (array([[[10, 20]]], dtype=uint8), array([4], dtype=uint8))
    """
    x, y = read_idx(images, axes=3), read_idx(labels, axes=1)
    if len(x) != len(y):
        raise DataError(f"{labels}: expected {len(x):,} labels, one for each image in {images}, got {len(y):,} labels")
    if x.size == 0:
        raise DataError(f"{images}: expected at least one pixel, got shape {x.shape}")
    if classes is not None and y.max() >= classes:
        raise DataError(f"{labels}: expected labels from 0 to {classes - 1}, got {y.max()}")
    return x, y


class IdxFolder(ImageSet):
    """A folder with four idx files, plain or gzipped: Fashion-MNIST, KMNIST, EMNIST, or your own.

    Parameters
    ----------
    folder : pathlib.Path
    classes : int, optional
        Labels must be below it.

    Examples
    --------
    >>> IdxFolder(Path("nowhere")).fetch()
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: nowhere: there is no such folder. Name one with four idx files
    """

    def __init__(self, folder: Path, classes: int | None = None) -> None:
        super().__init__(folder.absolute().name)
        self.folder, self.classes = folder, classes

    def find(self) -> Found | None:
        """Return where the four files are, in the order in which `read` takes them."""
        return None if self.missing() else Found("folder", tuple(self._matches(*wanted)[0] for wanted in IDX_FILES))

    def missing(self) -> list[str]:
        """Return the names of those of the four files that the folder lacks."""
        return [
            f"{splits[0]}-{kind}-idx{axes}-ubyte"
            for splits, kind, axes in IDX_FILES
            if not self._matches(splits, kind, axes)
        ]

    def fetch(self) -> Found:
        """Return where the four files are. Raises DataError if one is missing."""
        found = self.find()
        if found is None:
            if not self.folder.is_dir():
                raise DataError(f"{self.folder}: there is no such folder. Name one with four idx files")
            raise DataError(
                f"{self.folder}: has no {', no '.join(self.missing())} (plain or .gz)."
                " A set is a folder with four idx files that are named as MNIST's are"
            )
        return found

    def read(self, found: Found) -> Splits:
        """Read and check the four files."""
        train = read_pair(found.files[0], found.files[1], self.classes)
        test = read_pair(found.files[2], found.files[3], self.classes)
        if train[0].shape[1:] != test[0].shape[1:]:
            raise DataError(
                f"{self.folder}: expected images of the same size, got {train[0].shape[1:]} for training and"
                f" {test[0].shape[1:]} for testing"
            )
        return train, test

    def _matches(self, splits: Sequence[str], kind: str, axes: int) -> list[Path]:
        # "emnist-letters-train-images-idx3-ubyte" has words before its name, "train-images.idx3-ubyte" has a dot in it
        names = [f"{split}-{kind}{dot}idx{axes}-ubyte{end}" for split in splits for dot in "-." for end in ("", ".gz")]
        exact = [self.folder / name for name in names if (self.folder / name).is_file()]
        return exact or sorted(file for name in names for file in self.folder.glob(f"*-{name}") if file.is_file())
