"""``scratchnet doctor``: what this installation runs on, and what would make it run better."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm

from scratchnet import datasets
from scratchnet._version import __version__
from scratchnet.kernels import gemm, jit, threads

PACKAGES = ("numpy", "numba", "llvmlite", "matplotlib", "tqdm", "pooch")


def run(args: argparse.Namespace) -> int:
    """Print the facts, then the hints; return 0, or 1 when numba cannot compile here."""
    facts = {
        "versions": versions(),
        "processor": processor(),
        "numba": compiler(),
        "BLAS": blas(),
        "folders": folders(),
    }
    width = max(len(label) for section in facts.values() for label in section)
    for title, section in facts.items():
        print(title)
        for label, value in section.items():
            print(f"  {label:<{width}}  {value}")
    found = hints(facts, os.environ)
    print("hints" if found else "hints: none, all is as it should be")
    for hint in found:
        print(f"  - {hint}")
    return 1 if facts["numba"]["compiles"].startswith("no") else 0


def versions() -> dict[str, str]:
    """Return the versions of everything that takes part."""
    found = {"scratchnet": __version__, "python": f"{platform.python_version()}, {sys.platform}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def processor() -> dict[str, str]:
    """Return what LLVM knows of the processor, and what kernels are compiled for."""
    features = gemm.host_features()
    vector, rows, vectors = gemm.tile_shape(features)
    return {
        "name": f"{llvm.get_host_cpu_name()} ({platform.machine()})",
        "cores": f"{usable_cores()} usable of {os.cpu_count()}",
        "vectors": f"{8 * vector} bits, {vector // 4} float32 at once",
        "tile": f"{rows} rows × {vectors} vectors",
        "AVX-512": "yes" if "avx512f" in features else "no",
    }


def usable_cores() -> int:
    """Return how many cores this process may use; a container or taskset may leave fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compiler() -> dict[str, str]:
    """Return the kernels' threads, and whether numba really compiles a loop that adds up right."""
    found = {"threads": str(threads.count())}
    if not jit.COMPILED:
        return found | {"compiles": "switched off by NUMBA_DISABLE_JIT"}

    @numba.njit()
    def total(values):
        result = 0.0
        for value in values:
            result += value
        return result

    began = time.perf_counter()
    try:
        right = total(np.arange(100.0)) == 4950.0
    except Exception as error:  # whatever is broken is what a doctor has to tell
        return found | {"compiles": f"no: {' '.join(str(error).split())[:200]}"}
    seconds = time.perf_counter() - began
    return found | {"compiles": f"yes, a loop in {seconds:.1f} s" if right else "no: a loop gave a wrong sum"}


def blas() -> dict[str, str]:
    """Return the BLAS that NumPy was built with and, for OpenBLAS, the processor that it takes this one for."""
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    found = {"library": " ".join(str(built.get(key, "unknown")) for key in ("name", "version"))}
    core = openblas_core()
    return found | ({"runs as": core[0], "threads": str(core[1])} if core else {"runs as": "unknown"})


def openblas_core() -> tuple[str, int] | None:
    """Ask the OpenBLAS that a NumPy wheel brings which processor's kernels it chose and how many threads it uses."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))  # loaded already, by NumPy: this is the same one again
            except OSError:
                continue
            for prefix, suffix in (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "")):
                try:
                    core = getattr(library, f"{prefix}openblas_get_corename{suffix}")
                    threads = getattr(library, f"{prefix}openblas_get_num_threads{suffix}")
                except AttributeError:
                    continue
                core.restype = ctypes.c_char_p
                return core().decode(), int(threads())
    return None


def folders() -> dict[str, str]:
    """Return where data and compiled kernels are kept."""
    return {
        "SCRATCHNET_DATA": os.environ.get("SCRATCHNET_DATA", "not set"),
        "data sets": str(datasets.cache_dir()),
        "compiled kernels": str(jit.CACHE) if jit.CACHED else "not kept",
    }


def hints(facts: Mapping[str, Mapping[str, str]], environment: Mapping[str, str]) -> list[str]:
    """Return what could be better, each with the line that mends it, from the facts that ``run`` prints."""
    found = []
    kernel = facts["numba"]
    if "NUMBA_DISABLE_JIT" in kernel["compiles"]:
        found.append("kernels run as plain Python, hundreds of times slower: unset NUMBA_DISABLE_JIT")
    elif facts["folders"]["compiled kernels"] == "not kept":
        found.append("kernels are compiled anew in each process: set NUMBA_CACHE_DIR to a folder that can be written")
    cores, used = int(facts["processor"]["cores"].split()[0]), int(kernel["threads"])
    if used > cores:
        found.append(f"kernels use {used} threads on {cores} usable cores: set NUMBA_NUM_THREADS={cores}")
    elif used < cores:
        found.append(f"kernels use {used} of {cores} usable cores: unset NUMBA_NUM_THREADS, or set it to {cores}")
    core = facts["BLAS"]["runs as"].lower()
    wide = facts["processor"]["AVX-512"] == "yes"
    if wide and core in ("haswell", "zen", "sandybridge") and "OPENBLAS_CORETYPE" not in environment:
        found.append(
            f"OpenBLAS takes this AVX-512 processor for a {facts['BLAS']['runs as']}, so matrix products of the im2col "
            "implementation run at about half speed: set OPENBLAS_CORETYPE=SkylakeX"
        )
    data = environment.get("SCRATCHNET_DATA")
    if data and not os.path.isdir(data):
        found.append(f"SCRATCHNET_DATA names {data}, which is no folder: mend or unset it")
    return found
