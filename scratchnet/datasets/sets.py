"""The base class of data sets, with methods to find, fetch, read and verify a set.

A set is looked for in the folder that ``SCRATCHNET_DATA`` names, where any copy with the right structure is accepted, and
then in the cache, where each file must have the known checksum. If it is in neither, it is fetched: downloaded or drawn.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchnet.datasets.files import is_dir, is_file, listing

TRANSPOSED = "EMNIST's images are stored transposed, with rows and columns exchanged"

Splits = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""``(x_train, y_train), (x_test, y_test)``."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A set in memory: images and labels of both splits, and the names of the classes.

    Attributes
    ----------
    name : str
    x_train, x_test : (N, H, W) or (N, H, W, 3) uint8 arrays
        Grey images have no channel axis; `preprocessing.add_channel_axis` adds it.
    y_train, y_test : (N,) uint8 arrays
        Labels from 0 to K - 1.
    class_names : tuple of K str

    Examples
    --------
    >>> x, y = np.zeros((2, 4, 4), np.uint8), np.uint8([0, 1])
    >>> Dataset("tiny", x, y, x, y, ("cat", "dog")).class_names
    ('cat', 'dog')
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Where a set was found.

    Attributes
    ----------
    place : str
        "SCRATCHNET_DATA", "cache", or "folder" for a set that is named by its path.
    files : tuple of pathlib.Path
        The files or folders that hold it, in the order in which they are read.

    Examples
    --------
    >>> Found("cache", (Path("mnist") / "labels.gz",)).folder.name
    'mnist'
    """

    place: str
    files: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return self.files[0].parent

    @property
    def size(self) -> int:
        """Bytes on disk."""
        inside = [file for path in self.files for file in (listing(path) if is_dir(path) else [path])]
        return sum(file.stat().st_size for file in inside if is_file(file))

    @property
    def transposed(self) -> bool:
        """Whether rows and columns of the images are exchanged, as in all files of EMNIST."""
        return any("emnist" in name.lower() for name in (self.folder.absolute().name, *(file.name for file in self.files)))


class ImageSet(ABC):
    """One data set. The package's functions `load`, `fetch`, `verify` and `status` call these methods."""

    def __init__(self, name: str, class_names: Sequence[str] = ()) -> None:
        self.name = name
        self.class_names = tuple(class_names)

    @abstractmethod
    def find(self) -> Found | None:
        """Return where the set is stored, or None. Only file names are checked. Raises DataError if a folder cannot be read."""

    @abstractmethod
    def fetch(self) -> Found:
        """Return where the set is, and fetch it first if necessary. Raises DataError if that fails."""

    @abstractmethod
    def read(self, found: Found) -> Splits:
        """Read and check the set. Raises DataError if a file is damaged."""

    def load(self) -> Splits:
        """Fetch the set if necessary, and read it."""
        return self.read(self.fetch())

    @abstractmethod
    def verify(self, found: Found) -> tuple[Splits, str]:
        """Read the set and check all checksums that exist; return it, and a remark on those that do not. Raises DataError."""

    def dataset(self, transpose: bool = False) -> Dataset:
        """Return the set as a `Dataset`, fetched first if necessary; `transpose` exchanges rows and columns of the images."""
        (x_train, y_train), (x_test, y_test) = self.load()
        if transpose:
            x_train, x_test = (np.ascontiguousarray(x.swapaxes(1, 2)) for x in (x_train, x_test))   # (N, H, W) -> (N, W, H)
        elif (found := self.find()) is not None and found.transposed:
            logger = logging.getLogger("scratchnet")
            logger.warning("scratchnet: %s: %s. Load it with transpose=True (--transpose)", self.name, TRANSPOSED)
        classes = int(max(y_train.max(), y_test.max())) + 1
        names = self.class_names or tuple(str(k) for k in range(classes))
        return Dataset(self.name, x_train, y_train.reshape(-1), x_test, y_test.reshape(-1), names)
