"""What every data set can do: be found, be fetched, be read, be verified.

A set is looked for in the folder that ``SCRATCHNET_DATA`` names, where any copy with the right structure is good, then
in the cache, where a file must have the sum we know, and only then fetched: downloaded, or drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .idx import read_pair
from .places import DataError

Splits = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""``(x_train, y_train), (x_test, y_test)``."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A set, read: images and labels of both splits, and what the labels mean.

    Attributes
    ----------
    name : str
    x_train, x_test : (N, H, W) or (N, H, W, 3) uint8 arrays
        Grey images have no channel axis; `preprocessing.add_channel_axis` gives them one.
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
    """Where a set lies.

    Attributes
    ----------
    place : str
        "SCRATCHNET_DATA", "cache", or "folder" for a set given by its path.
    files : tuple of pathlib.Path
        The files or folders that hold it, in the order its reader wants them.

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
        inside = [file for path in self.files for file in (path.iterdir() if path.is_dir() else [path])]
        return sum(file.stat().st_size for file in inside if file.is_file())


class ImageSet(ABC):
    """One data set; `find`, `fetch`, `read` and `verify` are what the package's functions are made of."""

    def __init__(self, name: str, class_names: Sequence[str] = ()) -> None:
        self.name = name
        self.class_names = tuple(class_names)

    @abstractmethod
    def find(self) -> Found | None:
        """Where the set lies already, or None; looks at names only, reads nothing."""

    @abstractmethod
    def fetch(self) -> Found:
        """Where the set lies, after fetching it if it lay nowhere; raises DataError when that fails."""

    @abstractmethod
    def read(self, found: Found) -> Splits:
        """Read and check the set; raises DataError if a file is damaged."""

    def load(self) -> Splits:
        """Fetch the set if need be, and read it."""
        return self.read(self.fetch())

    def verify(self, found: Found) -> Splits:
        """Check everything that can be checked: sums of files in the cache, structure of all; raises DataError."""
        return self.read(found)

    def dataset(self) -> Dataset:
        """Fetch and read the set, as a `Dataset`."""
        (x_train, y_train), (x_test, y_test) = self.load()
        classes = int(max(y_train.max(), y_test.max())) + 1
        names = self.class_names or tuple(str(k) for k in range(classes))
        return Dataset(self.name, x_train, y_train.reshape(-1), x_test, y_test.reshape(-1), names)


class IdxFolder(ImageSet):
    """A folder with four idx files, plain or gzipped: Fashion-MNIST, KMNIST, EMNIST, or one's own.

    Parameters
    ----------
    folder : pathlib.Path
    classes : int, optional
        Labels must be below it.

    Examples
    --------
    >>> IdxFolder(Path("nowhere")).fetch()
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: nowhere: no such folder
    """

    def __init__(self, folder: Path, classes: int | None = None) -> None:
        super().__init__(folder.absolute().name)
        self.folder, self.classes = folder, classes

    def find(self) -> Found | None:
        """Where the four files are, in the order of `read`."""
        return None if self.missing() else Found("folder", tuple(self._matches(*wanted)[0] for wanted in IDX_FILES))

    def missing(self) -> list[str]:
        """Names of those of the four files that are not there."""
        return [
            f"{splits[0]}-{kind}-idx{axes}-ubyte"
            for splits, kind, axes in IDX_FILES
            if not self._matches(splits, kind, axes)
        ]

    def fetch(self) -> Found:
        """Where the four files are."""
        found = self.find()
        if found is None:
            if not self.folder.is_dir():
                raise DataError(f"{self.folder}: no such folder")
            raise DataError(
                f"{self.folder}: has no {', no '.join(self.missing())} (plain or .gz); "
                "a set is a folder with four idx files, named as MNIST's are"
            )
        return found

    def read(self, found: Found) -> Splits:
        """Read and check the four files."""
        train = read_pair(found.files[0], found.files[1], self.classes)
        test = read_pair(found.files[2], found.files[3], self.classes)
        if train[0].shape[1:] != test[0].shape[1:]:
            raise DataError(
                f"{self.folder}: images of {train[0].shape[1:]} for training, of {test[0].shape[1:]} for testing"
            )
        return train, test

    def _matches(self, splits: Sequence[str], kind: str, axes: int) -> list[Path]:
        # "emnist-letters-train-images-idx3-ubyte" has words before its name, "train-images.idx3-ubyte" another dot
        names = [f"{split}-{kind}{dot}idx{axes}-ubyte{end}" for split in splits for dot in "-." for end in ("", ".gz")]
        exact = [self.folder / name for name in names if (self.folder / name).is_file()]
        return exact or sorted(file for name in names for file in self.folder.glob(f"*-{name}") if file.is_file())


IDX_FILES = (
    (("train",), "images", 3),
    (("train",), "labels", 1),
    (("t10k", "test"), "images", 3),
    (("t10k", "test"), "labels", 1),
)
"""The four files of a set in idx format: names of the split, what it holds, axes."""
