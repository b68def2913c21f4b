"""MNIST, and sets that have its file names and its sizes: four gzipped idx files, which are downloaded one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scratchnet.datasets.download import Source, check_sum, fetch
from scratchnet.datasets.files import is_file
from scratchnet.datasets.idx import IdxFolder
from scratchnet.datasets.places import DATA_VARIABLE, DataError, cache_dir, data_dir
from scratchnet.datasets.sets import Found, ImageSet, Splits

SIDE = 28


class MnistLike(ImageSet):
    """A set of 60,000 + 10,000 images of 28×28 in four files.

    Parameters
    ----------
    name : str
        The name of the set, and of its folder.
    title : str
        Its name in messages.
    class_names : sequence of str
    mirrors : sequence of str
        Addresses of folders with the files; each is tried until one works.
    files : mapping of str to str
        The name of each file -> its SHA-256, in the order in which they are read.
    """

    counts = 60_000, 10_000

    def __init__(
        self, name: str, title: str, class_names: Sequence[str], mirrors: Sequence[str], files: Mapping[str, str]
    ) -> None:
        super().__init__(name, class_names)
        self.title, self.mirrors, self.files = title, tuple(mirrors), dict(files)

    def find(self) -> Found | None:
        """Return where the four files are, or None."""
        named = data_dir()
        here = IdxFolder(named / self.name).find() if named else None
        if here is not None:
            return Found(DATA_VARIABLE, here.files)
        files = tuple(self._cache / file for file in self.files)
        return Found("cache", files) if all(map(is_file, files)) else None

    def fetch(self) -> Found:
        """Return where the four files are, downloaded first if necessary."""
        found = self.find()
        if found is not None and found.place == DATA_VARIABLE:
            return found
        sources = {file: [Source(mirror + file, file, sha256) for mirror in self.mirrors] for file, sha256 in self.files.items()}
        others = [tried[0] for tried in sources.values()]
        return Found("cache", tuple(fetch(tried, self._cache, others=others) for tried in sources.values()))

    def read(self, found: Found) -> Splits:
        """Read and check the four files."""
        return _Folder(found.folder, self).read(found)

    def check(self, found: Found, splits: Splits) -> None:
        """Raise DataError if these cannot be images of this set, although files and sizes are right."""

    def published(self, found: Found, splits: Splits, known: str) -> str:
        """Return the set's name if it is the published one, else ""; `known` names the published set with these contents."""
        return known

    def verify(self, found: Found) -> tuple[Splits, str]:
        """Read the set and check all checksums that exist; return it, and a remark on those that do not."""
        if found.place != "cache":
            return _Folder(found.folder, self).verify(found)
        for file in found.files:
            check_sum(file, self.files[file.name])
        return self.read(found), ""

    def is_whole(self, splits: Splits) -> bool:
        """Return whether no image is missing."""
        return tuple(len(y) for _, y in splits) == self.counts

    @property
    def _cache(self) -> Path:
        return cache_dir() / self.name


class _Folder(IdxFolder):
    """A folder with the set, or with a part of it."""

    def __init__(self, folder: Path, image_set: MnistLike) -> None:
        super().__init__(folder, len(image_set.class_names))
        self.image_set, self.title = image_set, image_set.title

    def shapes(self, found: Found) -> tuple[tuple[int, ...], tuple[int, ...]]:
        train, test = super().shapes(found)
        title, most, largest = self.title, self.image_set.counts[0], max(train[0], test[0])
        if train[1:] != (SIDE, SIDE):
            raise DataError(f"{found.files[0]}: expected {title}'s images of (28, 28), got images of {train[1:]}. Get {title}")
        if largest > most:
            raise DataError(f"{self.folder}: expected at most {title}'s {most:,} images, got {largest:,}. Get {title}")
        return train, test

    def read(self, found: Found) -> Splits:
        splits = super().read(found)
        self.image_set.check(found, splits)
        return splits

    def published(self, found: Found, splits: Splits) -> str:
        return self.image_set.published(found, splits, super().published(found, splits))
