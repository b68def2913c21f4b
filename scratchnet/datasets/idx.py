"""The idx format of MNIST and its relatives: a header of a few big-endian numbers, then the bytes of an array.

    00 00 08 03   0000EA60 0000001C 0000001C   ...
    magic: two zeros, the type (08, unsigned byte), the number of axes; a length for each axis; the values, row-major

Source: the description at the foot of MNIST's page (LeCun, Cortes, Burges, "The MNIST database of handwritten digits").
Files may be gzipped. A header is believed only after the file's own length has agreed with it, so that a file which
promises more than it holds is refused before any memory is asked for.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from .places import DataError

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1032
"""Deflate never packs more than 1,032 bytes into one (a match of 258 bytes takes at least two bits)."""


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
        If there is no such file.

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
            raise DataError(f"{path}: the gzip stream is damaged ({error}); get the file anew") from error


def _read_array(stream: BinaryIO, path: Path, axes: int, room: int) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic.hex(" ") or "nothing"
        raise DataError(f"{path}: not an idx file: it starts with {start}, expected 00 00 08 0{axes}")
    if magic[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: idx type 0x{magic[2]:02x}, expected 0x08, unsigned bytes")
    if magic[3] != axes:
        raise DataError(f"{path}: an array of {magic[3]} axes, expected {axes} ({'labels' if axes == 1 else 'images'})")
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{path}: ends within its header, after {4 + len(lengths)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
    size = math.prod(shape)
    if size > room:
        raise DataError(f"{path}: its header promises {size:,} bytes, for the shape {shape}; the file cannot hold them")
    values = np.empty(size, np.uint8)
    filled = 0
    while filled < size:
        count = stream.readinto(values[filled:].data)  # type: ignore[attr-defined]
        if not count:
            raise DataError(f"{path}: ends after {filled:,} of the {size:,} values of its shape {shape}")
        filled += count
    if stream.read(1):  # this also brings gzip to its end, where it checks its own sum
        raise DataError(f"{path}: holds more than the {size:,} values of its shape {shape}")
    return values.reshape(shape)


def read_pair(images: str | Path, labels: str | Path, classes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and the labels of one split, and check that they belong together.

    Parameters
    ----------
    images, labels : str or pathlib.Path
        An idx3-ubyte and an idx1-ubyte file, plain or gzipped.
    classes : int, optional
        The number of classes, K; without it any label is taken.

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
        raise DataError(f"{images} holds {len(x):,} images, but {labels} {len(y):,} labels: they are not of one split")
    if x.size == 0:
        raise DataError(f"{images}: holds no pixel, its shape is {x.shape}")
    if classes is not None and y.max() >= classes:
        raise DataError(f"{labels}: a label {y.max()}, expected 0 to {classes - 1}")
    return x, y
