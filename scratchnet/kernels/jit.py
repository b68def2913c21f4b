"""Compile a kernel once per machine, not once per process: `numba.njit` with a cache that is never out of date.

numba keeps compiled code beside the source file and compares the date of that one file to decide whether the code is current. A
kernel that calls a kernel of another file would keep the old one after an edit there. The folder of this cache is therefore
named by a hash of all kernel sources, so a changed source has a new folder. It is in the user's own cache folder, since
compiled code is only as trustworthy as the folder that it is read from. If that folder cannot be written, kernels are compiled in
every process.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import event
from numba.core.registry import CPUDispatcher

from scratchnet.support.interrupts import uninterrupted

config: Any = numba.config        # numba makes its settings attributes at run time
COMPILED = not config.DISABLE_JIT


def sources_hash(folder: Path = Path(__file__).parent) -> str:
    """Return a hash of the text of all kernel files, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


_base = config.CACHE_DIR or os.path.join(platformdirs.user_cache_dir("scratchnet"), "kernels")
CACHE = Path(_base) / sources_hash()
CACHED = COMPILED and _writable(CACHE)


class Kernel(CPUDispatcher):
    """numba's compiled function, whose compilation is not interrupted."""

    def compile(self, signature: Any) -> Any:
        """Compile for one list of argument types, or load from the cache.

        LLVM calls Python functions meanwhile, where an interrupt would be lost and leave half a kernel, so it waits.
        """
        with uninterrupted():
            return super().compile(signature)


def jit(function: Callable) -> Any:
    """Decorate a kernel: it is compiled at the first call, releases Python's lock while it runs, and divides as NumPy does."""
    if not COMPILED:
        return function
    kernel: Any = Kernel(py_func=function, targetoptions={"nopython": True, "nogil": True, "error_model": "numpy"})
    if CACHED:
        before, config.CACHE_DIR = config.CACHE_DIR, str(CACHE)
        try:
            kernel.enable_caching()
        finally:
            config.CACHE_DIR = before
    return kernel


class _Announcement(event.Listener):
    """Print once per process that kernels are being compiled, which explains why the first step takes seconds."""

    def on_start(self, started: Any) -> None:
        if started.data["dispatcher"].py_func.__module__.startswith("scratchnet."):
            once, always = f"once for this processor (kept in {CACHE})", "in every process ('scratchnet doctor' explains why)"
            print(f"scratchnet: compiling kernels, {once if CACHED else always}", file=sys.stderr, flush=True)
            event.unregister("numba:compile", self)

    def on_end(self, ended: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _Announcement())
