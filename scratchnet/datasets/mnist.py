"""MNIST: 60,000 + 10,000 handwritten digits, 28×28, grey.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; LeCun, Bottou, Bengio and Haffner, 1998,
"Gradient-based learning applied to document recognition", section III.A.
"""

from __future__ import annotations

from pathlib import Path

from scratchnet.datasets.download import Source, check_sum, fetch
from scratchnet.datasets.files import is_file
from scratchnet.datasets.idx import IdxFolder
from scratchnet.datasets.places import DATA_VARIABLE, DataError, cache_dir, data_dir
from scratchnet.datasets.sets import Found, ImageSet, Splits
from scratchnet.support.keywords import named_arguments

CLASS_NAMES = tuple("0123456789")

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


TRAIN, TEST = 60_000, 10_000


class _MnistFolder(IdxFolder):
    """A folder with MNIST, or with a part of it."""

    def shapes(self, found: Found) -> tuple[tuple[int, ...], tuple[int, ...]]:
        train, test = super().shapes(found)
        if train[1:] != (28, 28):
            raise DataError(f"{found.files[0]}: expected MNIST's images of (28, 28), got images of {train[1:]}. Get MNIST")
        if max(train[0], test[0]) > TRAIN:
            raise DataError(f"{self.folder}: expected at most MNIST's {TRAIN:,} images, got {max(train[0], test[0]):,}. Get MNIST")
        return train, test

    def is_published(self, found: Found, splits: Splits) -> bool:
        known = super().is_published(found, splits)
        if not known and (len(splits[0][0]), len(splits[1][0])) == (TRAIN, TEST):
            raise DataError(f"{self.folder}: expected the contents of the published MNIST, got others. Get MNIST again")
        return known


class _Mnist(ImageSet):
    def find(self) -> Found | None:
        named = data_dir()
        here = IdxFolder(named / self.name).find() if named else None
        if here is not None:
            return Found(DATA_VARIABLE, here.files)
        files = tuple(self._cache / file for file in FILES)
        return Found("cache", files) if all(map(is_file, files)) else None

    def fetch(self) -> Found:
        found = self.find()
        if found is not None and found.place == DATA_VARIABLE:
            return found
        sources = {file: [Source(mirror + file, file, sha256) for mirror in MIRRORS] for file, sha256 in FILES.items()}
        others = [tried[0] for tried in sources.values()]
        return Found("cache", tuple(fetch(tried, self._cache, others=others) for tried in sources.values()))

    def read(self, found: Found) -> Splits:
        return _MnistFolder(found.folder, len(CLASS_NAMES)).read(found)

    def verify(self, found: Found) -> tuple[Splits, str]:
        if found.place != "cache":
            return _MnistFolder(found.folder, len(CLASS_NAMES)).verify(found)
        for file in found.files:
            check_sum(file, FILES[file.name])
        return self.read(found), ""

    @property
    def _cache(self) -> Path:
        return cache_dir() / self.name


SET = _Mnist("mnist", CLASS_NAMES)


@named_arguments
def load_data() -> Splits:
    """Return MNIST from ``SCRATCHNET_DATA`` or the cache; download it (12 MB) into the cache otherwise.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images (60000, 28, 28) and (10000, 28, 28), 0 (background) to 255 (ink); uint8 labels (60000,) and (10000,).

    Raises
    ------
    DataError
        If a file is damaged, or cannot be downloaded from any address.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()     # doctest: +SKIP
    >>> x_train.shape, y_train.shape                           # doctest: +SKIP
    ((60000, 28, 28), (60000,))
    """
    return SET.load()
