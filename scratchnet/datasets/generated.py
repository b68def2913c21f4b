"""Sets that need no download: drawn from a seed in a few seconds, then kept in the cache with a sum of their content.

The sum lies in the same file: it guards against a damaged file, not against a person. What fails it is drawn again.
"""

from __future__ import annotations

import hashlib
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .places import CACHE_VARIABLE, DataError, cache_dir, written_whole
from .sets import Found, ImageSet, Splits

TRAIN, TEST = 12_000, 2_000
CHUNK = 500
"""Images drawn at a time: few enough for the processor's cache, and part of what a seed means."""
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
        Changes with whatever changes the pictures, so that a file of an older edition isn't taken for this one.
    prepare : callable
        Called once before drawing; gives the function that draws.

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

    def generate(self, train: int, test: int, seed: int) -> Splits:
        """Draw both splits, each from a stream of random numbers of its own, so that neither changes the other."""
        if train < 1 or test < 1:
            raise ValueError(f"train={train}, test={test}: expected at least one image in each")
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
        """Where the cache keeps the set."""
        return cache_dir() / self.name / f"{self.name}-{self.edition}.npz"

    def find(self) -> Found | None:
        """The file in the cache, if there is one."""
        return Found("cache", (self.file,)) if self.file.is_file() else None

    def fetch(self) -> Found:
        """Draw the set and keep it, unless it is kept already and sound."""
        found = self.find()
        if found is not None:
            try:
                self.read(found)
                return found
            except DataError:
                pass
        try:
            _save(self.file, self.generate(TRAIN, TEST, seed=0))
        except OSError as error:
            raise DataError(f"{self.file} cannot be written ({error}); {ELSEWHERE}") from error
        return Found("cache", (self.file,))

    def read(self, found: Found) -> Splits:
        """Read the kept file, and check its content's sum."""
        file = found.files[0]
        try:
            # opened here: given a name, np.load leaves the file open when it is no archive
            with file.open("rb") as raw, np.load(raw, allow_pickle=False) as kept:
                arrays = [kept[name] for name in ARRAYS]
                sha256 = str(kept["sha256"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{file}: damaged ({error}); remove it, and it is drawn again") from error
        if sha256 != content_sum(arrays):
            raise DataError(f"{file}: its content doesn't have the sum it was written with; remove it to draw it again")
        x_train, y_train, x_test, y_test = arrays
        return (x_train, y_train), (x_test, y_test)

    def load(self) -> Splits:
        """Read the kept set, or draw it and keep it; a cache that cannot be written to costs time, not the set."""
        found = self.find()
        if found is not None:
            try:
                return self.read(found)
            except DataError:
                pass
        splits = self.generate(TRAIN, TEST, seed=0)
        try:
            _save(self.file, splits)
        except OSError as error:
            warnings.warn(f"{self.name} is drawn anew each time: {error}; {ELSEWHERE}", RuntimeWarning, stacklevel=3)
        return splits


ELSEWHERE = f"name a folder that can be written to: export {CACHE_VARIABLE}=FOLDER"


def content_sum(arrays: Sequence[np.ndarray]) -> str:
    """SHA-256 of arrays: of each one's type, shape and values.

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


def _save(file: Path, splits: Splits) -> None:
    arrays = [array for split in splits for array in split]
    with written_whole(file) as draft, draft.open("wb") as out:
        contents = dict(zip(ARRAYS, arrays, strict=True), sha256=np.array(content_sum(arrays)))
        np.savez(out, **contents)  # type: ignore[arg-type]  # numpy's stub takes any keyword for `allow_pickle`
