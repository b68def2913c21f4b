"""What may come in: every refusal says what was expected, what came, and the line that mends it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np


def check_images(x: np.ndarray, expected: tuple[int, ...], name: str = "x", what: str = "") -> np.ndarray:
    """Refuse what are not images of the shape `expected`, as floats, and at least one."""
    x, what = np.asarray(x), what or name
    wanted = f"(n, {', '.join(map(str, expected))})"
    if x.shape[1:] != expected:
        mend = (
            " Grey images get their channel axis from preprocessing.add_channel_axis"
            if (*x.shape[1:], 1) == expected
            else ""
        )
        mend = f" One sample is a batch of one: {name}[np.newaxis]" if x.shape == expected else mend
        raise ValueError(f"{what}: the model takes images of shape {wanted}; got {x.shape}.{mend}")
    if x.dtype.kind != "f":
        mend = f". Make them with {name} = normalize_images({name})" if x.dtype.kind in "ui" else ""
        raise ValueError(f"{what}: the model takes images as floats; got {x.dtype}{mend}")
    if not len(x):
        raise ValueError(f"{what}: there is no image in it")
    return x


def check_update(params: Sequence[np.ndarray], grads: Sequence[np.ndarray], states: Sequence[Sequence[np.ndarray]]) -> None:
    """Refuse parameters that cannot be moved in place, and gradients or a state that are not theirs."""
    other = "for another model make another optimizer, or call reset()"
    if len({len(params), len(grads), len(states)}) > 1:
        counts = f"{len(params)} parameters, {len(grads)} gradients and the state of {len(states)}"
        raise ValueError(f"{counts}; give as many of each, or {other}")
    for p, g, state in zip(params, grads, states, strict=True):
        if not isinstance(p, np.ndarray) or p.dtype not in (np.float32, np.float64) or not p.flags.writeable:
            got = getattr(p, "dtype", type(p).__name__)
            raise ValueError(f"a parameter is moved in place, so it is a writeable array of float32 or float64; got {got}")
        if len({p.shape, g.shape, *(s.shape for s in state)}) > 1:
            raise ValueError(f"a parameter of shape {p.shape} met a gradient of {g.shape} and a state of {state[0].shape}; {other}")


def check_number(name: str, value: float, lowest: float = 0.0) -> float:
    """Give a finite number of at least `lowest`."""
    if not np.isscalar(value) or isinstance(value, str) or not lowest <= float(value) < np.inf:
        raise ValueError(f"{name} is a finite number of at least {lowest:g}; got {value!r}")
    return float(value)


def check_batch_size(batch_size: int | None) -> int:
    """Give the number of images in a step: 32 for None."""
    if batch_size is None:
        return 32
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size is an integer of at least 1; got {batch_size!r}")
    return int(batch_size)


def check_verbose(verbose: int | str) -> int:
    """Give 0 (nothing), 1 (a bar) or 2 (lines); "auto" is a bar on a terminal and lines elsewhere."""
    if verbose == "auto":
        return 1 if sys.stderr.isatty() else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose is 'auto', 0, 1 or 2; got {verbose!r}")
    return int(verbose)
