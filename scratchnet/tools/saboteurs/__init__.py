"""The gallery of real bugs: mistakes that people made, each to be made here for a while, and who catches it.

    >>> from scratchnet import MaxPooling2D
    >>> from scratchnet.gradcheck import check_layer
    >>> from scratchnet.tools.saboteurs import apply
    >>> with apply("maxpool-pads-zero"):
    ...     report = check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2))
    >>> {row.witness for row in report.failures}
    {'definition'}
    >>> check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)).passed
    True

Each is a few lines of NumPy put in the place of one of our operations, in the manner of the page that a reader of the
layer sees, so that the wrong line can be held against the right one. `scratchnet gradcheck --break NAME` shows one at
work; `python -m scratchnet.tools.saboteurs` prints the page docs/gallery.md.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from scratchnet.tools.saboteurs import (
    activations_and_losses,
    adam,
    contracts,
    convolution,
    graph,
    margins_and_rows,
    memory,
    other_optimizers,
    pooling,
)
from scratchnet.tools.saboteurs.entry import WITNESSES, Saboteur, verdicts

__all__ = ["CATALOGUE", "ROOMS", "WITNESSES", "Saboteur", "apply", "find", "verdicts"]

ROOMS = {
    "Pooling": pooling,
    "Convolution": convolution,
    "Padding, flatten, dense": margins_and_rows,
    "Activations and losses": activations_and_losses,
    "Adam": adam,
    "Adagrad, Adadelta, momentum": other_optimizers,
    "What is overwritten, and what is kept": contracts,
    "Memory and threads": memory,
    "The graph": graph,
}
CATALOGUE: dict[str, Saboteur] = {
    entry.name: entry for room in ROOMS.values() for entry in vars(room).values() if isinstance(entry, Saboteur)
}


def find(name: str) -> Saboteur:
    """Find an entry of the catalogue.

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones.

    Examples
    --------
    >>> find("col2im-overwrites").wrong
    'x[:, rows, columns] += taps'
    """
    if name not in CATALOGUE:
        raise ValueError(f"no saboteur {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def apply(name: str) -> AbstractContextManager[None]:
    """Give the context manager that breaks what `name` breaks, for layers that are built within it."""
    return find(name).broken()
