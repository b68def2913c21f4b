"""Seeds of models that are made without one: from the operating system, or, after `set_random_seed`, the next of a fixed sequence.

Nothing here changes the random numbers of a model that is given a seed.
"""

from __future__ import annotations

import numpy as np

from scratchnet.support.checking import check_seed

_source: list[np.random.SeedSequence] = []


def set_random_seed(seed: int) -> None:
    """Make all models reproducible that are created without a seed from now on.

    The random generators of NumPy and of Python are not changed: for data that a script draws, call np.random.seed(seed) too.

    Parameters
    ----------
    seed : int

    Raises
    ------
    ValueError
        When it is not an integer of at least 0.
    """
    if check_seed("set_random_seed", seed) is None:
        raise ValueError("set_random_seed: expected an integer of at least 0, got None. For example set_random_seed(1)")
    _source[:] = [np.random.SeedSequence(seed)]


def seed_sequence(seed: int | None) -> np.random.SeedSequence:
    """Return the source of a model's random numbers: its seed, or the seed set for all models, or else the operating system."""
    if seed is None and _source:
        return _source[0].spawn(1)[0]
    return np.random.SeedSequence(seed)
