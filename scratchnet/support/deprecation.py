"""Old names that still work: each use warns, and then uses the new name."""

from __future__ import annotations

import warnings
from typing import Any


class OldName:
    """The old name of an attribute, as a descriptor: reading or setting it warns, then reads or sets the new one.

    Parameters
    ----------
    new : str
        The new name of the attribute.

    Examples
    --------
    >>> class Line:
    ...     slope = 2
    ...     steepness = OldName("slope")
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     Line().steepness, str(caught[0].message)
    (2, 'Line.steepness is now called slope')
    """

    def __init__(self, new: str):
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = name

    def __get__(self, instance: Any, owner: type) -> Any:
        self.warn(owner)
        return getattr(owner if instance is None else instance, self.new)

    def __set__(self, instance: Any, value: Any) -> None:
        self.warn(type(instance))
        setattr(instance, self.new, value)

    def warn(self, owner: type, stacklevel: int = 3) -> None:
        """Warn the caller that `owner` has a new name for this attribute."""
        warnings.warn(f"{owner.__name__}.{self.old} is now called {self.new}", FutureWarning, stacklevel=stacklevel)


def adopt_old_names(cls: type) -> None:
    """Add the new name, with a warning, of each attribute that a class, or one of its base classes, defines under an old name."""
    for owner in cls.__mro__:
        for old, alias in vars(owner).items():
            if not isinstance(alias, OldName):
                continue
            definer = next(base for base in cls.__mro__ if old in vars(base))
            adopted_before = definer is not cls and issubclass(definer, owner)
            if not adopted_before and alias.new not in vars(cls):
                alias.warn(cls, stacklevel=4)
                setattr(cls, alias.new, vars(definer)[old])
