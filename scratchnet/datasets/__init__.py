"""Data sets: three that are downloaded, two that are drawn, and any set in idx format.

    mnist            60,000 + 10,000 handwritten digits, 28×28, grey                    downloaded, 12 MB
    fashion-mnist    60,000 + 10,000 pictures of ten kinds of clothes, 28×28, grey      downloaded, 31 MB
    cifar10          50,000 + 10,000 photographs of ten classes, 32×32, colour          downloaded, 170 MB
    glyphs           12,000 + 2,000 printed digits, 28×28, grey                         drawn, in about 3 s
    shapes           12,000 + 2,000 shapes on textured backgrounds, 32×32, colour       drawn, in about 4 s

Each is a module with ``load_data()``, as in Keras (that of fashion-mnist is named `fashion_mnist`); `load` returns any of them,
or a folder of idx files, as a `Dataset`. Those that are downloaded are looked for in the folder that ``SCRATCHNET_DATA`` names
(``mnist/*-ubyte.gz``, ``fashion-mnist/*-ubyte.gz``, ``cifar10/cifar-10-batches-bin/*.bin``), then in `cache_dir`, and are
downloaded into the latter otherwise. Drawn sets are kept there too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from scratchnet.datasets import cifar10, fashion_mnist, glyphs, mnist, shapes
from scratchnet.datasets.download import DownloadError
from scratchnet.datasets.files import brief, kind
from scratchnet.datasets.idx import IdxFolder
from scratchnet.datasets.places import DATA_VARIABLE, DataError, cache_dir, data_dir, expanded
from scratchnet.datasets.sets import TRANSPOSED, Dataset, Found, ImageSet

__all__ = [
    "NAMES",
    "DataError",
    "Dataset",
    "DownloadError",
    "Status",
    "cache_dir",
    "cifar10",
    "data_dir",
    "fashion_mnist",
    "fetch",
    "glyphs",
    "load",
    "mnist",
    "shapes",
    "status",
    "verify",
]

_SETS: dict[str, ImageSet] = {module.SET.name: module.SET for module in (glyphs, shapes, mnist, fashion_mnist, cifar10)}

NAMES = tuple(_SETS)
"""The names of the sets."""


@dataclass(frozen=True)
class Status:
    """A row of the table of data sets: where a set is stored.

    Attributes
    ----------
    name : str
        The set's name, or its path.
    place : str
        "SCRATCHNET_DATA", "cache", "folder" for a set that is named by its path, or "" if it is not stored yet.
    folder : pathlib.Path or None
        The folder that holds its files.
    size : int
        Bytes on disk.
    note : str
        A remark in a few words.
    checked : str
        What `verify` compared the files with; empty if each file has its known checksum, and in rows of `status` and `fetch`.

    Examples
    --------
    >>> Status("mnist", "", None, 0, "downloaded when first used").place
    ''
    """

    name: str
    place: str
    folder: Path | None
    size: int
    note: str
    checked: str = ""


def load(name_or_path: str | os.PathLike[str], *, transpose: bool = False) -> Dataset:
    """Return a data set, fetched first if necessary.

    Parameters
    ----------
    name_or_path : str or path
        One of `NAMES`, or a folder with four idx files named as MNIST's are, plain or ``.gz``.
    transpose : bool
        Exchange rows and columns of the images. EMNIST needs it: its files hold every image transposed. Without it, a set
        whose files or folder are named after EMNIST is loaded as it is, and the logger "scratchnet" says so.

    Returns
    -------
    Dataset
        Labels have the shape (N,) in every set. The classes of a set that is named by its path are called "0" to "K-1",
        where K is its largest label plus 1.

    Raises
    ------
    DataError
        If the name is neither one of `NAMES` nor a folder, or the set is damaged or cannot be fetched.

    Examples
    --------
    >>> load("mnits")                                          # doctest: +ELLIPSIS
    Traceback (most recent call last):
    scratchnet.datasets.places.DataError: data: expected glyphs, shapes, ..., or an idx folder, got 'mnits'. Correct it.
    """
    return _set(name_or_path).dataset(transpose)


def status() -> list[Status]:
    """Return whether each named set is stored, and where. Nothing is read or fetched.

    Returns
    -------
    list of Status
        One for each of `NAMES`, in that order.

    Examples
    --------
    >>> [row.name for row in status()]
    ['glyphs', 'shapes', 'mnist', 'fashion-mnist', 'cifar10']
    """
    rows = []
    for name in NAMES:
        try:
            rows.append(_status(name, _SETS[name].find()))
        except DataError as error:      # one folder that cannot be read does not hide the other sets
            rows.append(Status(name, "", None, 0, str(error)))
    return rows


def fetch(name_or_path: str | os.PathLike[str]) -> Status:
    """Download or draw a set, unless it is stored already.

    Parameters
    ----------
    name_or_path : str or path
        As for `load`.

    Returns
    -------
    Status

    Raises
    ------
    DataError
        If the set is unknown or cannot be fetched.

    Examples
    --------
    >>> fetch("glyphs").place                                  # doctest: +SKIP
    'cache'
    """
    return _status(str(name_or_path), _set(name_or_path).fetch())


def verify(name_or_path: str | os.PathLike[str]) -> Status:
    """Check a stored set: its structure, and all checksums that exist. Nothing is fetched.

    Files in the cache must have the known checksums, and gzip files must agree with the checksum that they contain. Plain
    files contain none: they are compared with the published contents of MNIST and of CIFAR-10's pickles.

    Parameters
    ----------
    name_or_path : str or path
        As for `load`.

    Returns
    -------
    Status
        Its `note` and `checked` say what was checked.

    Raises
    ------
    DataError
        If the set is unknown, not stored, or damaged; the message names the file.

    Examples
    --------
    >>> verify("glyphs").note                                  # doctest: +SKIP
    '12,000 + 2,000 images of 28×28, 10 classes; checksums and structure are right'
    """
    image_set = _set(name_or_path)
    found = image_set.find()
    if found is None:
        if isinstance(image_set, IdxFolder):
            image_set.fetch()      # its error names the missing file
        raise DataError(f"{image_set.name} is not stored yet. Fetch it: scratchnet.datasets.fetch({image_set.name!r})")
    ((x_train, y_train), (x_test, y_test)), remark = image_set.verify(found)
    classes = len(image_set.class_names) or int(max(y_train.max(), y_test.max())) + 1
    form = "×".join(str(n) for n in x_train.shape[1:])
    checked = "checksums and structure are right" if found.place == "cache" else "structure is right"
    note = f"{len(x_train):,} + {len(x_test):,} images of {form}, {classes} classes; {checked}"
    remarks = [text for text in (remark, TRANSPOSED if found.transposed else "") if text]
    return replace(_status(str(name_or_path), found, note), checked="; ".join(remarks))


def _set(name_or_path: str | os.PathLike[str]) -> ImageSet:
    expected = f"data: expected {', '.join(NAMES)}, or an idx folder, got"
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise DataError(f"{expected} a value of type {type(name_or_path).__name__}. Pass a name or a path")
    if name_or_path in _SETS:
        return _SETS[str(name_or_path)]
    folder = expanded(name_or_path)
    found = kind(folder) if str(name_or_path) else "nothing"
    if found == "nothing":
        raise DataError(f"{expected} {brief(name_or_path)!r}. Correct it.")
    if found != "a folder":
        raise DataError(f"{expected} {found}, {brief(folder)}. Name the folder that holds the set.")
    return IdxFolder(folder)


def _status(name: str, found: Found | None, note: str = "") -> Status:
    if found is not None:
        return Status(name, found.place, found.folder, found.size, note or "stored")
    drawn = name in ("glyphs", "shapes")
    named = data_dir()
    absent = f" ({DATA_VARIABLE}={brief(named)} does not hold the whole set)" if named and not drawn else ""
    return Status(name, "", None, 0, f"{'drawn' if drawn else 'downloaded'} when first used{absent}")
