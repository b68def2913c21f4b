"""Sets that need no download: drawn from a seed in a few seconds, then kept in the cache with a checksum of their content.

The checksum is in the same file: it detects damage, not tampering. A damaged set is drawn again.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scratchnet.datasets.files import brief, is_file, unreadable
from scratchnet.datasets.places import CACHE_VARIABLE, DataError, cache_dir
from scratchnet.datasets.sets import Found, ImageSet, Splits
from scratchnet.support.arithmetic import quiet
from scratchnet.support.files import write_whole

TRAIN, TEST = 12_000, 2_000
CHUNK = 500
"""Number of images drawn at a time: few enough for the processor's cache. With another number, a seed gives other images."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test")

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""Draws (N, H, W[, 3]) uint8 images and (N,) uint8 labels."""


class GeneratedSet(ImageSet):
    """A set that is drawn.

    Parameters
    ----------
    name : str
    class_names : sequence of str
    edition : int
        Must change whenever the images change, so that a file of an older edition is not used.
    prepare : callable
        Called once before drawing; returns the function that draws.

    Examples
    --------
    >>> noise = lambda rng, count: (rng.integers(256, size=(count, 2, 2), dtype=np.uint8), np.zeros(count, np.uint8))
    >>> (x_train, _), (x_test, _) = GeneratedSet("noise", ["any"], 1, lambda: noise).generate(3, 2, seed=0)
    >>> x_train.shape, x_test.shape
    ((3, 2, 2), (2, 2, 2))
    """

    def __init__(self, name: str, class_names: Sequence[str], edition: int, prepare: Callable[[], Draw]) -> None:
        super().__init__(name, class_names)
        self.edition, self.prepare = edition, prepare

    @quiet
    def generate(self, train: int, test: int, seed: int) -> Splits:
        """Draw both splits. Each has its own stream of random numbers, so the size of one does not change the other."""
        if train < 1 or test < 1:
            raise ValueError(f"{self.name}: expected at least one image in each split, got {train} and {test}. Use 1 or more")
        from tqdm import tqdm

        draw = self.prepare()
        splits = []
        with tqdm(total=train + test, desc=f"drawing {self.name}", unit="image", leave=False, disable=None) as bar:
            for stream, total in enumerate((train, test)):
                rng = np.random.default_rng([seed, stream])
                drawn = []
                for start in range(0, total, CHUNK):
                    drawn.append(draw(rng, min(CHUNK, total - start)))
                    bar.update(len(drawn[-1][1]))
                images, labels = zip(*drawn, strict=True)
                splits.append((np.concatenate(images), np.concatenate(labels)))
        return splits[0], splits[1]

    @property
    def file(self) -> Path:
        """The file of the set in the cache."""
        return cache_dir() / self.name / f"{self.name}-{self.edition}.npz"

    def find(self) -> Found | None:
        """Return the file in the cache, or None."""
        return Found("cache", (self.file,)) if is_file(self.file) else None

    def fetch(self) -> Found:
        """Draw the set and keep it in the cache, unless the cache holds an undamaged copy."""
        if self._kept() is None:
            try:
                _save(self.file, self.generate(TRAIN, TEST, seed=0))
            except (OSError, RecursionError) as error:     # RecursionError: thousands of nested folders
                raise DataError(f"{brief(self.file)} cannot be written ({_reason(error)}). {WRITABLE}") from error
        return Found("cache", (self.file,))

    def read(self, found: Found) -> Splits:
        """Read the file in the cache and verify its checksum."""
        file = found.files[0]
        try:
            # an open file, not its name: np.load leaves a named file open if it is not an archive
            with file.open("rb") as raw, np.load(raw, allow_pickle=False) as kept:
                arrays = [kept[name] for name in ARRAYS]
                sha256 = str(kept["sha256"])
        except OSError as error:
            raise unreadable(file, error) from error
        except Exception as error:     # damage shows as exceptions of many types, MemoryError among them
            raise DataError(f"{file}: the file is damaged ({error}). Remove it, and it is drawn again") from error
        if sha256 != content_sum(arrays):
            raise DataError(f"{file}: the file is damaged (its checksum is wrong). Remove it, and it is drawn again")
        x_train, y_train, x_test, y_test = arrays
        return (x_train, y_train), (x_test, y_test)

    def verify(self, found: Found) -> tuple[Splits, str]:
        """Read the file in the cache; its checksum is verified each time."""
        return self.read(found), ""

    def load(self) -> Splits:
        """Return the set from the cache, or draw it and keep it. If the cache cannot be written to, warn."""
        splits = self._kept()
        if splits is None:
            splits = self.generate(TRAIN, TEST, seed=0)
            try:
                _save(self.file, splits)
            except (OSError, RecursionError) as error:
                problem = f"{brief(self.file)} cannot be written ({_reason(error)})"
                warnings.warn(f"{self.name} is drawn again each time: {problem}. {WRITABLE}", RuntimeWarning, stacklevel=3)
        return splits

    def _kept(self) -> Splits | None:
        """Return the set in the cache, or None if there is none or it is damaged."""
        try:
            found = self.find()
            return None if found is None else self.read(found)
        except DataError:
            return None


WRITABLE = f"Name a folder that can be written to: export {CACHE_VARIABLE}=FOLDER"


def content_sum(arrays: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 of some arrays: of the dtype, shape and values of each.

    Parameters
    ----------
    arrays : sequence of arrays

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> content_sum([np.zeros(4, np.uint8)]) == content_sum([np.zeros((2, 2), np.uint8)])
    False
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _save(file: Path, splits: Splits) -> None:
    arrays = [array for split in splits for array in split]
    contents = dict(zip(ARRAYS, arrays, strict=True), sha256=np.array(content_sum(arrays)))
    write_whole(file, lambda out: np.savez(out, allow_pickle=False, **contents))
