"""The idx format of MNIST and similar sets: a header of a few big-endian numbers, then the bytes of an array.

    00 00 08 03   0000EA60 0000001C 0000001C   ...
    magic: two zeros, the type (08, unsigned byte), the number of axes; a length for each axis; the values, row-major

Source: the description at the end of MNIST's page (LeCun, Cortes, Burges, "The MNIST database of handwritten digits").
Files may be gzipped. The length in a header is compared with the file's own length first, so that a file with fewer
values than its header says causes an error before memory is allocated.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scratchnet.datasets.files import beginning, brief, is_dir, is_file, is_gzip, kind, listing, opened
from scratchnet.datasets.places import DataError
from scratchnet.datasets.sets import Found, ImageSet, Splits

UNSIGNED_BYTE = 0x08
GZIP_RATIO = 1032
"""Deflate never compresses more than 1,032 bytes into one (a match of 258 bytes takes at least two bits)."""
MOST_VALUES = 1 << 30
"""The most values of one file: twice the largest known set in this format (EMNIST ByClass, 547 MB), and 4 GB as float32."""

NAME = re.compile(
    r"(?P<prefix>(.*-)?)(?P<split>train|t10k|test)-((?P<x>images)(?P<xdot>[-.])idx3|labels(?P<ydot>[-.])idx1)-ubyte(\.gz)?"
)
"""A file of a set: "train-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte", "emnist-letters-test-images-idx3-ubyte"."""

MNIST_SUMS = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
"""The SHA-256 of the contents of MNIST's four files, unpacked, in the order in which they are read."""


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
    with _values(path, axes) as (stream, shape):
        return _read_values(stream, path, shape)


def idx_shape(path: str | Path, axes: int) -> tuple[int, ...]:
    """Return the shape of the array in an idx file; only its header is read.

    Parameters
    ----------
    path : str or pathlib.Path
    axes : int
        The number of axes the array must have: 1 for labels, 3 for grey images.

    Returns
    -------
    tuple of int

    Raises
    ------
    DataError
        If the header is wrong, or announces more values than the file can contain or than `read_idx` accepts.
    FileNotFoundError
        If the file does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "labels-idx1-ubyte"
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     idx_shape(file, axes=1)
    (3,)
    """
    with _values(Path(path), axes) as (_, shape):
        return shape


@contextmanager
def _values(path: Path, axes: int) -> Iterator[tuple[BinaryIO, tuple[int, ...]]]:
    """Open an idx file for a ``with`` block, which receives the stream of its values, and their shape."""
    with opened(path) as (stream, packed):
        room = path.stat().st_size * (GZIP_RATIO if packed else 1)
        yield stream, _read_header(stream, path, axes, room)


def _read_header(stream: BinaryIO, path: Path, axes: int, room: int) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = beginning(magic + stream.read(36))
        raise DataError(
            f"{path}: expected an idx file, which starts with 00 00 08 0{axes}, got a file that starts with {start}. Get it again"
        )
    if magic[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: expected idx type 0x08 (unsigned byte), got 0x{magic[2]:02x}. Convert the values to bytes")
    if magic[3] != axes:
        raise DataError(
            f"{path}: expected {axes} axes ({'labels' if axes == 1 else 'images'}), got {magic[3]} axes. Correct the file's name"
        )
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{path}: the file ends within its header, after {4 + len(lengths)} bytes. Get it again")
    shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
    size = math.prod(shape)
    if size > room:
        raise DataError(f"{path}: the header announces {size:,} bytes (shape {shape}), more than the file can hold. Get it again")
    if size > MOST_VALUES:
        raise DataError(f"{path}: expected at most {MOST_VALUES:,} values, got {size:,} (shape {shape}). Keep fewer images")
    return shape


def _read_values(stream: BinaryIO, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    size = math.prod(shape)
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
    _check_pair(images, labels)      # before memory is allocated
    return _read_pair(images, labels, classes)


def _read_pair(images: str | Path, labels: str | Path, classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and the labels of one split whose headers agree; raise DataError for a label that is not below `classes`."""
    x, y = read_idx(images, axes=3), read_idx(labels, axes=1)
    if classes is not None and y.max() >= classes:
        raise DataError(f"{labels}: expected labels from 0 to {classes - 1}, got {y.max()}. Get the file again")
    return x, y


def _check_pair(images: str | Path, labels: str | Path) -> tuple[int, ...]:
    """Return the shape of the images, or raise DataError unless there is one label for each, from the headers alone."""
    x, y = idx_shape(images, axes=3), idx_shape(labels, axes=1)
    if x[0] != y[0]:
        raise DataError(f"{labels}: expected {x[0]:,} labels, one for each image in {images}, got {y[0]:,}. Get both files again")
    if 0 in x:
        raise DataError(f"{images}: expected at least one pixel, got shape {x}. Get the file again")
    return x


class IdxFolder(ImageSet):
    """A folder with four idx files, plain or gzipped: KMNIST, EMNIST, or your own.

    Parameters
    ----------
    folder : pathlib.Path
    classes : int, optional
        Labels must be below it.

    Examples
    --------
    >>> IdxFolder(Path("nowhere")).fetch()
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: nowhere: there is no such folder. Name a folder with four idx files
    """

    def __init__(self, folder: Path, classes: int | None = None) -> None:
        super().__init__(folder.absolute().name)
        self.folder, self.classes = folder, classes

    def find(self) -> Found | None:
        """Return where the four files are, in the order in which `read` takes them; None if one is missing.

        Raises DataError if the folder cannot be read, holds files of several sets, or a folder where a file should be.
        """
        groups = self._groups()
        if len(groups) > 1:
            seen = "; ".join(f"{_example(key)} ({_complete(group)})" for key, group in groups.items())
            raise DataError(
                f"{self.folder}: expected the four files of one set, got files of {len(groups)} sets: {seen}."
                " Move the four files of one set into a folder of their own"
            )
        group = next(iter(groups.values()), {})
        if {"test", "t10k"} <= {split for split, _ in group}:
            names = ", ".join(files[0].name for (split, _), files in group.items() if split != "train")
            raise DataError(f"{self.folder}: expected test files of one set, got {names}. Move those of the other set away")
        if _missing(group):
            if others := [f"{entry.name} is {kind(entry)}, expected a file" for entry, _ in self._named() if not is_file(entry)]:
                raise DataError(f"{self.folder}: {', '.join(others)}. Put the file itself in this place")
            return None
        test = "test" if ("test", "images") in group else "t10k"
        return Found("folder", tuple(group[split, part][0] for split in ("train", test) for part in ("images", "labels")))

    def fetch(self) -> Found:
        """Return where the four files are. Raises DataError if one is missing."""
        found = self.find()
        if found is None:
            if not is_dir(self.folder):
                got = "there is no such folder" if kind(self.folder) == "nothing" else f"this is {kind(self.folder)}"
                raise DataError(f"{brief(self.folder)}: {got}. Name a folder with four idx files")
            (prefix, dot), group = next(iter(self._groups().items()), (("", "-"), {}))
            names = [f"{prefix}{split}-{part}{dot}idx{3 if part == 'images' else 1}-ubyte" for split, part in _missing(group)]
            raise DataError(
                f"{self.folder}: has no {', no '.join(names)} (plain or .gz)."
                " A set is a folder with four idx files that are named as MNIST's are"
            )
        return found

    def shapes(self, found: Found) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of the training and the test images, from the headers; raise DataError if the files do not agree."""
        train, test = _check_pair(*found.files[:2]), _check_pair(*found.files[2:])
        if train[1:] != test[1:]:
            raise DataError(
                f"{self.folder}: expected images of the same size, got {train[1:]} for training and {test[1:]} for testing"
                f" (in {found.files[0]} and {found.files[2]}). Use files of one set"
            )
        return train, test

    def read(self, found: Found) -> Splits:
        """Read and check the four files."""
        self.shapes(found)      # all four headers, before any values
        x_train, y_train, x_test, y_test = found.files
        splits = _read_pair(x_train, y_train, self.classes), _read_pair(x_test, y_test, self.classes)
        for file, array in zip(found.files, (*splits[0], *splits[1]), strict=True):
            twin = file.with_name(file.name.removesuffix(".gz") if file.name.endswith(".gz") else f"{file.name}.gz")
            if is_file(twin) and not np.array_equal(read_idx(twin, array.ndim), array):
                raise DataError(f"{twin}: expected the contents of {file.name}, got others. Remove the file of the other set")
        return splits

    def verify(self, found: Found) -> tuple[Splits, str]:
        """Read and check the four files, and compare their contents with the published sums if the set is a known one."""
        splits = self.read(found)
        known = self.published(found, splits)
        plain = [file for file in found.files if not is_gzip(file)]
        sums = f"{len(plain)} of 4 files are plain, without a checksum" if plain else "gzip checksums are right"
        compared = f"the contents are those of the published {known}" if known else "no published sums are known for the contents"
        return splits, f"{sums}; {compared}"

    def published(self, found: Found, splits: Splits) -> str:
        """Return "MNIST" for the published set, however it is packed, else ""; raise DataError if some files differ from it."""
        arrays = [array for split in splits for array in split]
        others = [file for file, array, known in zip(found.files, arrays, MNIST_SUMS, strict=True) if content_sum(array) != known]
        if 0 < len(others) < len(MNIST_SUMS):
            names = ", ".join(map(str, others))
            raise DataError(f"{names}: expected the published MNIST, as in the other files, got other contents. Get MNIST again")
        return "" if others else "MNIST"

    def _groups(self) -> dict[tuple[str, str], dict[tuple[str, str], list[Path]]]:
        """Return the files of each set in the folder: by prefix and separator, then by split and part."""
        groups: dict[tuple[str, str], dict[tuple[str, str], list[Path]]] = defaultdict(dict)
        for file, name in self._named():
            if is_file(file):
                key = name["prefix"], name["xdot"] or name["ydot"]
                groups[key].setdefault((name["split"], "images" if name["x"] else "labels"), []).append(file)
        return dict(sorted(groups.items()))

    def _named(self) -> list[tuple[Path, re.Match[str]]]:
        """Return what the folder contains under the name of a file of a set; a plain file stands before its gzipped copy."""
        entries = listing(self.folder) if is_dir(self.folder) else []
        named = [(entry, NAME.fullmatch(entry.name)) for entry in entries if not entry.name.startswith(".")]
        return [(entry, name) for entry, name in named if name]


def content_sum(array: np.ndarray) -> str:
    """Return the SHA-256 of the unpacked idx file that holds an array: of its header and its values.

    Parameters
    ----------
    array : uint8 array

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> content_sum(np.array([7, 2, 1], np.uint8))[:8]
    'e10ef624'
    """
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()


def _missing(group: dict[tuple[str, str], list[Path]]) -> list[tuple[str, str]]:
    """Return the split and the part of each file that a set lacks."""
    test = "test" if any(split == "test" for split, _ in group) else "t10k"
    return [(split, part) for split in ("train", test) for part in ("images", "labels") if (split, part) not in group]


def _complete(group: dict[tuple[str, str], list[Path]]) -> str:
    return f"without {', '.join('-'.join(part) for part in _missing(group))}" if _missing(group) else "whole"


def _example(key: tuple[str, str]) -> str:
    return f"{key[0]}train-images{key[1]}idx3-ubyte"
