"""MNIST: 60,000 + 10,000 handwritten digits, 28×28, grey.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; LeCun, Bottou, Bengio and Haffner, 1998,
"Gradient-based learning applied to document recognition", section III.A.
"""

from __future__ import annotations

from scratchnet.datasets.mnist_like import MnistLike
from scratchnet.datasets.places import DataError
from scratchnet.datasets.sets import Found, Splits
from scratchnet.support.keywords import named_arguments

CLASS_NAMES = tuple("0123456789")

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


class _Mnist(MnistLike):
    def published(self, found: Found, splits: Splits, known: str) -> str:
        if not known and self.is_whole(splits):
            raise DataError(f"{found.folder}: expected the contents of the published MNIST, got others. Get MNIST again")
        return known


SET = _Mnist("mnist", "MNIST", CLASS_NAMES, MIRRORS, FILES)


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
