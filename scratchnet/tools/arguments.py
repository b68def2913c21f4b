"""Types and texts that the options of several commands share."""

from __future__ import annotations

import argparse
import math

DATA = "glyphs or shapes (generated, no download), mnist, cifar10, or a folder with four idx files, plain or .gz"

TRANSPOSE = "exchange rows and columns of the images, as EMNIST needs it"


def positive_int(text: str) -> int:
    """Return the whole number in `text`, which must be at least 1."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """Return the whole number in `text`, which must be at least 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
    return value


def positive_number(text: str) -> float:
    """Return the number in `text`, which must be finite and above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
