"""Compile a kernel once per machine, not once per process: `numba.njit` with a cache that is never out of date.

numba keeps compiled code beside the source file, and to decide whether the code is current it looks at that one file only (at its
date and size, or, in newer versions, at a hash of its text). A kernel that calls a kernel of another file would keep the old one
after an edit there. Our cache, in cache.py, is therefore a folder named by a hash of all kernel sources, so a changed source has a
new folder. It is in the user's own cache folder, since compiled code is only as trustworthy as the folder that it is read from. If
that folder cannot be used, kernels are compiled in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import event
from numba.core.registry import CPUDispatcher

from scratchnet.kernels import cache
from scratchnet.support.interrupts import uninterrupted

config = cache.config
COMPILED = not config.DISABLE_JIT


class Kernel(CPUDispatcher):
    """numba's compiled function, whose compilation is not interrupted, with our cache."""

    def enable_caching(self) -> None:
        """Read and store compiled code in the folder of cache.py."""
        self._cache = cache.Cache(self.py_func)

    def compile(self, signature: Any) -> Any:
        """Compile for one list of argument types, or load from the cache.

        LLVM calls Python functions while it compiles. An interrupt in them would be lost and leave half a kernel, so it is
        raised after the compilation.
        """
        with uninterrupted():
            return super().compile(signature)


def jit(function: Callable) -> Any:
    """Decorate a kernel: it is compiled at the first call, releases Python's lock while it runs, and divides as NumPy does."""
    if not COMPILED:
        return function
    kernel: Any = Kernel(py_func=function, targetoptions={"nopython": True, "nogil": True, "error_model": "numpy"})
    kernel.enable_caching()
    return kernel


class _Announcement(event.Listener):
    """Print once per process that kernels are being compiled, which explains why the first step takes seconds."""

    def on_start(self, started: Any) -> None:
        # It stays registered: numba is iterating over its list of listeners, and if one were removed, would skip the next.
        if isinstance(started.data["dispatcher"], Kernel):
            problem = cache.why_not_stored()
            often = f"in every process ({problem})" if problem else f"once for this processor (kept in {cache.FOLDER})"
            cache.say_once("compiling", f"compiling kernels, {often}")

    def on_end(self, ended: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _Announcement())
