"""Types and texts that the options of several commands share."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

DATA = "glyphs or shapes (generated, no download), mnist, fashion-mnist, cifar10, or a folder with four idx files, plain or .gz"

TRANSPOSE = "exchange rows and columns of the images, as EMNIST requires"

VIEWS = ("flip", "translate", "flip_translate")  # the values of `augment=`


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


def path_text(text: str) -> str:
    """Return the path in `text`, with the home folder for `~`. Empty text is refused: it is usually an unset shell variable."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got ''")
    return os.path.expanduser(text)


def positive_number(text: str) -> float:
    """Return the number in `text`, which must be finite and above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a finite number above 0, got {text!r}")
    return value


class Noted(argparse.Action):
    """Store an option's value, and that it was given: for ``--resume``, and for defaults that depend on other options."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        """Store `values`, and the name of the option in the list ``given``."""
        setattr(namespace, self.dest, values)
        namespace.given = [*getattr(namespace, "given", []), option_string]
