"""`scratchnet.keras`, which is scratchnet itself, and the import of names that do not exist.

    import scratchnet as tf                         tf.keras.layers.Dense
    from scratchnet.keras.models import Sequential  the same classes, from the same modules
    from scratchnet.layers import LSTM              ImportError: the sentence of unknown.py

Python looks for LSTM in the namespace, then for a module of that name; the second search ends here. It is only done in packages,
so each namespace is given a `__path__`, which is empty.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from scratchnet.keras_names.unknown import sentence

ROOT = "scratchnet"
ALIAS = f"{ROOT}.keras"


class OtherName(MetaPathFinder, Loader):
    """Find `scratchnet.keras.layers` as the module `scratchnet.layers` itself, never a second copy of it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is found, or None."""
        return ModuleSpec(fullname, self) if fullname.startswith(f"{ALIAS}.") else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that has this name without `.keras`."""
        module = import_module(ROOT + spec.name.removeprefix(ALIAS))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the module's own description, which the import has replaced."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


class NoSuchName(MetaPathFinder):
    """Raise ModuleNotFoundError, with the sentence, for a name in a namespace that no other finder has found."""

    def __init__(self, namespaces: Mapping[str, str]):
        self.namespaces = namespaces            # the name of a namespace, by the name of its module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise the error for a name in one of the namespaces; return None for others."""
        module, _, word = fullname.rpartition(".")
        if module in self.namespaces and not word.startswith("_"):
            raise ModuleNotFoundError(sentence(self.namespaces[module], word))
        return None


def install(namespaces: Mapping[str, ModuleType]) -> None:
    """Register the names of the namespaces with Python's import."""
    package = namespaces[""]
    sys.modules[ALIAS] = package
    setattr(package, "keras", package)  # noqa: B010 - an attribute that mypy does not know
    names = {}
    for namespace, module in namespaces.items():
        sys.modules.setdefault(f"{ROOT}.{namespace}".rstrip("."), module)
        names[module.__name__] = names[f"{ROOT}.{namespace}".rstrip(".")] = namespace
        if not hasattr(module, "__path__"):
            module.__path__ = []
    if not any(isinstance(finder, OtherName) for finder in sys.meta_path):
        sys.meta_path.insert(0, OtherName())
    sys.meta_path.append(NoSuchName(names))
