"""Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28×28, grey, in files that are named as MNIST's are.

Xiao, Rasul and Vollgraf, 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms".

The authors publish the MD5 of the four files (the README of github.com/zalandoresearch/fashion-mnist; torchvision compares them).
The SHA-256 below are those that TensorFlow Datasets, batchup and Flux.jl compare with the same files.
"""

from __future__ import annotations

import numpy as np

from scratchnet.datasets.download import intact
from scratchnet.datasets.mnist_like import MnistLike
from scratchnet.datasets.places import DataError
from scratchnet.datasets.sets import Found, Splits
from scratchnet.support.keywords import named_arguments

CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


class _FashionMnist(MnistLike):
    def check(self, found: Found, splits: Splits) -> None:
        """Raise DataError if the classes of a whole set differ in size: those of MNIST do, and its files have the same names."""
        for _, labels in splits if self.is_whole(splits) else ():
            counts, each = np.bincount(labels, minlength=len(CLASS_NAMES)), len(labels) // len(CLASS_NAMES)
            if (counts != each).any():
                raise DataError(
                    f"{found.folder}: expected Fashion-MNIST's {each:,} images of each class, got {counts.tolist()}."
                    " These may be the files of MNIST, which have the same names. Get Fashion-MNIST"
                )

    def published(self, found: Found, splits: Splits, known: str) -> str:
        """Return "Fashion-MNIST" if each file is the published .gz; no sums are published for its contents."""
        files = [intact(file, self.files.get(file.name, "")) for file in found.files]
        return self.title if all(files) else ""


SET = _FashionMnist("fashion-mnist", "Fashion-MNIST", CLASS_NAMES, MIRRORS, FILES)


@named_arguments
def load_data() -> Splits:
    """Return Fashion-MNIST from ``SCRATCHNET_DATA`` or the cache; download it (31 MB) into the cache otherwise.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images (60000, 28, 28) and (10000, 28, 28), 0 (background) to 255; uint8 labels (60000,) and (10000,), which
        `CLASS_NAMES` names.

    Raises
    ------
    DataError
        If a file is damaged, or cannot be downloaded from any address.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()     # doctest: +SKIP
    >>> x_train.shape, CLASS_NAMES[y_train[0]]                 # doctest: +SKIP
    ((60000, 28, 28), 'Ankle boot')
    """
    return SET.load()
