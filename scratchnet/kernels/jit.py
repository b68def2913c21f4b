"""Compile a kernel once a machine, not once a process: `numba.njit` with a cache that can be trusted.

numba keeps compiled code beside the source and looks at that one file's date to see whether it is still good. A kernel
that calls another file's kernel would go on with the old one after an edit there. So the folder of our cache is named
by a hash of every kernel source: another text, another folder. It lies in the user's own cache (compiled code is only
as trustworthy as the folder that it is read from); where that cannot be written, kernels are compiled each time.
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

from scratchnet.interrupts import uninterrupted

config: Any = numba.config        # numba makes its settings attributes at run time
COMPILED = not config.DISABLE_JIT


def sources_hash(folder: Path = Path(__file__).parent) -> str:
    """Hash the text of every kernel file, as 16 hexadecimal digits."""
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


def jit(function: Callable) -> Any:
    """Decorate a kernel: it is compiled when it is first called, gives up Python's lock, and divides as NumPy does."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE) if CACHED else before
    try:
        kernel: Any = numba.njit(cache=CACHED, nogil=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before
    if COMPILED:
        compile_or_load = kernel.compile

        def undisturbed(signature: Any) -> Any:
            with uninterrupted():       # what LLVM calls meanwhile would lose an interrupt, and leave half a kernel
                return compile_or_load(signature)

        kernel.compile = undisturbed
    return kernel


class _Announcement(event.Listener):
    """Say once a process that kernels are being compiled: the first step takes seconds then, and nobody should wonder."""

    def on_start(self, started: Any) -> None:
        if started.data["dispatcher"].py_func.__module__.startswith("scratchnet."):
            once = f"once for this processor (kept in {CACHE})"
            often = "in every process anew ('scratchnet doctor' tells why)"
            print(f"scratchnet: compiling kernels, {once if CACHED else often}", file=sys.stderr, flush=True)
            event.unregister("numba:compile", self)

    def on_end(self, ended: Any) -> None:
        """Nothing to say."""


event.register("numba:compile", _Announcement())
