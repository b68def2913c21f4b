"""The gallery of bugs: real mistakes, each of which can be reproduced here, and the check that detects each.

    >>> from scratchnet import MaxPooling2D
    >>> from scratchnet.gradcheck import check_layer
    >>> from scratchnet.tools.gallery import apply
    >>> with apply("maxpool-pads-zero"):
    ...     report = check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2))
    >>> {row.check for row in report.failures}
    {'definition'}
    >>> check_layer(MaxPooling2D((2, 2), strides=1, padding="same"), (4, 5, 2)).passed
    True

Each bug is a few lines of NumPy that replace one operation, written like the layer's own file, so that the wrong line can
be compared with the right one. The texts about the bugs are in bugs.ini. `scratchnet gradcheck --break NAME`
demonstrates one bug; `python -m scratchnet.tools.gallery` prints the page docs/gallery.md.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from scratchnet.tools.gallery import (
    activations_and_losses,
    adam,
    batch_normalization,
    contracts,
    convolution,
    graph,
    initial_values,
    memory,
    newer_optimizers,
    other_optimizers,
    padding_and_dense,
    pooling,
    random_layers,
    smooth_activations,
    smoothing_and_weights,
)
from scratchnet.tools.gallery.entry import CHECKS, TEXTS, Bug, catalogue, verdicts

__all__ = ["CATALOGUE", "CHECKS", "ROOMS", "Bug", "apply", "find", "verdicts"]

ROOMS: dict[str, list[Bug]] = {
    title: [entry for entry in vars(module).values() if isinstance(entry, Bug)]
    for title, module in {
        "Pooling": pooling,
        "Convolution": convolution,
        "Padding, flatten, dense": padding_and_dense,
        "Activations and losses": activations_and_losses,
        "Adam": adam,
        "Adagrad, Adadelta, momentum": other_optimizers,
        "What is overwritten, and what is kept": contracts,
        "Memory and threads": memory,
        "The graph": graph,
        "Batch normalization": batch_normalization,
        "Dropout and augmentation": random_layers,
        "Activations with parameters, global pooling, Concatenate": smooth_activations,
        "Label smoothing, weights of images, penalties": smoothing_and_weights,
        "Weight decay, clipping, Nadam, RMSprop, schedules": newer_optimizers,
        "Initial values": initial_values,
    }.items()
}
CATALOGUE = catalogue([entry for room in ROOMS.values() for entry in room], TEXTS)


def find(name: str) -> Bug:
    """Return an entry of the catalogue.

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
        raise ValueError(f"gallery: expected the name of a bug, got {name!r}. Choose one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def apply(name: str) -> AbstractContextManager[None]:
    """Return the context manager that installs the bug `name`, for layers that are built inside it."""
    return find(name).installed()
