"""The compiled kernels that are kept on disk: which folder is trusted, and a checksum for every file.

numba stores compiled code as a pickle, and whoever can write a pickle decides what Python does when it is read. And a file
that was cut off or changed causes an error in pickle or LLVM, or a crash. So before numba reads a file:

- its folder must be yours, and no other user may be able to write to it, or to rename or replace a folder above it;
- the file must be yours too, no other user may be able to write to it, and it must end in a SHA-256 of its name and its content.

A damaged file is treated as missing: the kernel is compiled again, and the new file replaces it. Each combination of a kernel and
its argument types has its own file, named by a hash of all that the code depends on, so processes that compile at the same moment
never write different things into one file. (numba's own cache has an index for each function, in which two processes may give one
file name to two kernels.) Where nothing can be stored, kernels are compiled in every process.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import caching, compiler

from scratchnet.support.files import make_folders, write_whole

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OWN = "set NUMBA_CACHE_DIR to a folder of your own"
ENOUGH = 1 << 20        # bytes, more than the largest kernel has
ABANDONED = 3600        # seconds: an unfinished file that is older was left by a process that was killed


def sources_hash(folder: Path = Path(__file__).parent) -> str:
    """Return a hash of the text of all kernel files, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


config: Any = numba.config        # numba sets these attributes at run time
_chosen = config.CACHE_DIR or os.path.join(platformdirs.user_cache_dir("scratchnet"), "kernels")
BASE = Path(os.path.realpath(_chosen))      # without symbolic links, so that the folders that are checked are those that are used
FOLDER = BASE / sources_hash()


# -- which folder is used ---------------------------------------------------------------------------------------------


def why_not_trusted(folder: Path) -> str:
    """Return why code in `folder`, a path without symbolic links, is not trusted; "" if no other user can put code there.

    The folder and the one above it must be yours alone. Those further up may also belong to the administrator, and others may
    write to them if the sticky bit is set, as it is for /tmp: then they can neither rename nor delete what is yours. Nothing is
    checked on Windows, where a user's folders are closed to others.
    """
    if not hasattr(os, "geteuid"):
        return ""
    me = os.geteuid()
    for place in (folder, *folder.parents):
        try:
            found = os.stat(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{place}: {error.strerror}"
        if not stat.S_ISDIR(found.st_mode):
            return f"{place} is not a folder; {OWN}"
        strict = place in (folder, folder.parent)
        if found.st_uid != me and (strict or found.st_uid != 0):
            return f"{place} belongs to another user; {OWN}"
        shared = found.st_mode & OTHERS_WRITE and not (found.st_mode & stat.S_ISVTX and not strict)
        if shared and (strict or found.st_mode & stat.S_IWOTH or not _is_private(found.st_gid)):
            return f"others can write to {place}; " + (OWN if found.st_mode & stat.S_ISVTX else f"chmod go-w {place}")
    return ""


def _is_private(group: int) -> bool:
    """Return whether this is the group that some systems make for each user, with this user alone in it."""
    import grp
    import pwd

    with suppress(KeyError):
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
        return user.pw_uid != 0 and user.pw_gid == group and found.gr_name == user.pw_name and {*found.gr_mem} <= {user.pw_name}
    return False


@cache
def why_not_used() -> str:
    """Return why stored kernels are neither read nor written; "" if they are. The folder is made if it does not exist."""
    if reason := why_not_trusted(FOLDER):
        return reason
    try:
        make_folders(FOLDER, 0o700)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return why_not_trusted(FOLDER)      # another user may have made a folder in /tmp first


@cache
def why_not_stored() -> str:
    """Return why kernels cannot be stored for later processes; "" if they can."""
    if reason := why_not_used():
        return reason
    try:
        with tempfile.TemporaryFile(dir=FOLDER) as file:
            file.write(bytes(ENOUGH))
            file.flush()
        for path in FOLDER.glob(".*.part"):
            with suppress(OSError):     # another process has removed it
                if path.stat().st_mtime < time.time() - ABANDONED:
                    path.unlink()
    except OSError as error:
        return f"{FOLDER}: {error.strerror}"
    return ""


# -- files ------------------------------------------------------------------------------------------------------------


def why_damaged(path: Path) -> str:
    """Return why a stored kernel must not be read; "" if it is as it was written. A missing one raises FileNotFoundError."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return "it is not a file"
        if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            return "it belongs to another user"
        if hasattr(os, "geteuid") and found.st_mode & OTHERS_WRITE:
            return "others can write to it"
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        return str(error.strerror)
    return "" if content[-32:] == _checksum(path, content[:-32]) else "its checksum is wrong"


def _checksum(path: Path, content: bytes) -> bytes:
    """Return the SHA-256 of a file's name and content, 32 bytes: a copy under another name does not pass for that kernel."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode() + content).digest()


def stored() -> tuple[int, list[str]]:
    """Return the number of stored kernels, and a line about each that is damaged: its name and the reason."""
    paths, damaged = sorted(FOLDER.glob("*.nbc")), []
    for path in paths:
        with suppress(FileNotFoundError):       # it has just been replaced
            if reason := why_damaged(path):
                damaged.append(f"{path.name}: {reason}")
    return len(paths), damaged


@cache
def _hash_of(source: str) -> str:
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


_said: set[str] = set()
_unstored = ""      # why a file could not be written; after that, no other file is written


def say_once(kind: str, words: str) -> None:
    """Print a line on stderr, unless this process has printed one of this kind; errors of stderr itself are ignored."""
    if kind not in _said:
        _said.add(kind)
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"scratchnet: {words}\n")
            sys.stderr.flush()


class _File(caching.IndexDataCacheFile):
    """numba's reader and writer of a file; pickle stops at the end of the pickle, so it does not see the checksum after it."""

    def __init__(self, path: Path):
        super().__init__(str(path.parent), path.stem, None)

    def read(self, name: str) -> Any:
        """Return the object that numba stored."""
        return self._load_data(name)

    def bytes_of(self, data: Any) -> bytes:
        """Return the bytes that numba stores for `data`."""
        return self._dump(data)


class Cache(caching.FunctionCache):
    """The cache of one kernel, as numba's dispatcher calls it."""

    def __init__(self, function: Any):
        self._py_func = function
        self._name = repr(function)
        self._cache_path = str(FOLDER)
        self.enable()

    def flush(self) -> None:
        """Do nothing: stored kernels are never out of date."""

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        """Return the file of the kernel for these argument types; None for a function without a source file."""
        function, code = self._py_func, self._py_func.__code__
        versions = numba.__version__, platform.python_implementation(), sys.version
        where = function.__module__, function.__qualname__, code.co_firstlineno
        try:
            source = _hash_of(code.co_filename)
        except OSError:
            return None
        depends_on = repr((versions, where, source, *map(str, self._index_key(signature, codegen))))
        name = re.sub(r"\W", "", function.__name__)
        return FOLDER / f"{name}-{hashlib.sha256(depends_on.encode()).hexdigest()[:32]}.nbc"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled kernel; None if it is not stored, or is damaged."""
        target_context.refresh()
        path = None if why_not_used() else self._path(signature, target_context.codegen())
        if path is None or not self._enabled:
            return None
        try:
            reason = why_damaged(path)
            if not reason:
                return compiler.CompileResult._rebuild(target_context, *_File(path).read(path.name))
        except FileNotFoundError:
            return None
        except Exception as error:      # numba cannot read its own file: whatever the reason, compiling again helps
            reason = f"{type(error).__name__}: {error}"
        say_once("damaged", f"stored kernels are damaged and are compiled again (the first: {path}, {reason})")
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Store a compiled kernel. If this fails, print one line and continue."""
        global _unstored
        if why_not_stored() or _unstored or not self._enabled:
            return
        path = self._path(signature, result.codegen)
        if path is None or result.library.has_dynamic_globals or any(not lifted.can_cache for lifted in result.lifted):
            return
        content = _File(path).bytes_of(result._reduce())
        try:
            make_folders(FOLDER, 0o700)
            if path.is_symlink():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            write_whole(path, lambda file: file.write(content + _checksum(path, content)))
            path.chmod(0o600)
        except OSError as error:
            _unstored = f"{FOLDER}: {error.strerror or error}"
            say_once("unstored", f"compiled kernels cannot be stored ({_unstored}), so every process compiles them again")
