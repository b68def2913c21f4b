"""``scratchnet doctor``: facts about this installation and machine, and hints that would make it faster."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm

from scratchnet import datasets
from scratchnet.kernels import cache, gemm, jit, threads
from scratchnet.support.tables import text_table
from scratchnet.tools.versions import versions

PACKAGES = ("numpy", "numba", "llvmlite", "matplotlib", "tqdm", "pooch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe ``scratchnet doctor``, which has no options."""
    parser.description = "Show versions, threads, vector width and BLAS, with hints."


def run(args: argparse.Namespace) -> int:
    """Print the facts, then the hints; return 0, or 1 when numba cannot compile."""
    facts = {
        "versions": versions(PACKAGES) | {"python": f"{platform.python_version()}, {sys.platform}"},
        "processor": processor(),
        "numba": compiler(),
        "BLAS": blas(),
        "folders": folders(),
    }
    rows = []
    for title, section in facts.items():
        rows += [(title, ""), *((f"  {label}", value) for label, value in section.items())]
    print("\n".join(text_table(rows)))
    found = hints(facts, os.environ)
    print("hints" if found else "hints: none, everything is as it should be")
    for hint in found:
        print(f"  - {hint}")
    return 1 if facts["numba"]["compiles"].startswith("no") else 0


def processor() -> dict[str, str]:
    """Return LLVM's description of the processor, and what the kernels are compiled for."""
    features = gemm.host_features()
    vector, rows, vectors, narrow_rows = gemm.tile_shape(features)
    return {
        "name": f"{llvm.get_host_cpu_name()} ({platform.machine()})",
        "cores": f"{usable_cores()} usable of {os.cpu_count()}",
        "vectors": f"{8 * vector} bits, {vector // 4} float32 at once",
        "tile": f"{rows} rows × {vectors} vectors; narrow: {narrow_rows} × {vectors // 2}",
        "AVX-512": "yes" if "avx512f" in features else "no",
    }


def usable_cores() -> int:
    """Return the number of cores that this process may use; a container or taskset may allow fewer than exist."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compiler() -> dict[str, str]:
    """Return the kernels' number of threads, and whether numba compiles a loop that gives the correct sum."""
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
        correct = total(np.arange(100.0)) == 4950.0
    except Exception as error:  # any failure of the compiler is a finding to report
        return found | {"compiles": f"no: {' '.join(str(error).split())[:200]}"}
    seconds = time.perf_counter() - began
    return found | {"compiles": f"yes, a loop in {seconds:.1f} s" if correct else "no: a loop gave a wrong sum"}


def blas() -> dict[str, str]:
    """Return the BLAS that NumPy was built with and, for OpenBLAS, the processor whose kernels it runs, and its threads."""
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    found = {"library": " ".join(str(built.get(key, "unknown")) for key in ("name", "version"))}
    core = openblas_core()
    return found | ({"runs as": core[0], "threads": str(core[1])} if core else {"runs as": "unknown"})


def openblas_core() -> tuple[str, int] | None:
    """Return the processor whose kernels the OpenBLAS of a NumPy wheel runs, and its threads; None for another BLAS.

    The names of its functions have a prefix and a suffix that depend on the version of NumPy.
    """
    package = Path(np.__file__).parent
    for path in [*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")]:
        with suppress(OSError):
            library = ctypes.CDLL(str(path))  # NumPy has loaded it already; this is the same library
            for prefix, suffix in product(("scipy_", ""), ("64_", "")):
                with suppress(AttributeError):
                    core = getattr(library, f"{prefix}openblas_get_corename{suffix}")
                    core.restype = ctypes.c_char_p
                    return core().decode(), int(getattr(library, f"{prefix}openblas_get_num_threads{suffix}")())
    return None


def folders() -> dict[str, str]:
    """Return where data and compiled kernels are stored, and how many of the kernels are damaged, if any are."""
    found = {"SCRATCHNET_DATA": os.environ.get("SCRATCHNET_DATA", "not set"), "data sets": str(datasets.cache_dir())}
    problem = cache.why_not_stored() if jit.COMPILED else "they are not compiled"
    if not jit.COMPILED or cache.why_not_used():
        return found | {"compiled kernels": f"not stored ({problem})"}
    count, damaged = cache.stored()
    found["compiled kernels"] = f"not stored ({problem}), {count} older ones are read" if problem else f"{cache.FOLDER} ({count})"
    return found | ({"damaged kernels": f"{len(damaged)} of {count}, the first {damaged[0]}"} if damaged else {})


def hints(facts: Mapping[str, Mapping[str, str]], environment: Mapping[str, str]) -> list[str]:
    """Return what could be improved, each with its fix, from the facts that ``run`` prints."""
    found = []
    kernel = facts["numba"]
    if "NUMBA_DISABLE_JIT" in kernel["compiles"]:
        found.append("kernels run as plain Python, hundreds of times slower: unset NUMBA_DISABLE_JIT")
    elif (kept := facts["folders"]["compiled kernels"]).startswith("not stored"):
        found.append(f"kernels are compiled in each process, as they are {kept}: set NUMBA_CACHE_DIR to a folder of your own")
    if damaged := facts["folders"].get("damaged kernels"):
        found.append(f"stored kernels are damaged ({damaged}): they are compiled again when they are needed; check the disk")
    cores, used = int(facts["processor"]["cores"].split()[0]), int(kernel["threads"])
    if used > cores:
        found.append(f"kernels use {used} threads on {cores} usable cores: set NUMBA_NUM_THREADS={cores}")
    elif used < cores:
        found.append(f"kernels use {used} of {cores} usable cores: unset NUMBA_NUM_THREADS, or set it to {cores}")
    core = facts["BLAS"]["runs as"]
    wide = facts["processor"]["AVX-512"] == "yes"
    if wide and core.lower() in ("haswell", "zen", "sandybridge") and "OPENBLAS_CORETYPE" not in environment:
        found.append(
            f"OpenBLAS runs the kernels of a {core} on this AVX-512 processor, so matrix products of the im2col "
            "implementation run at about half speed: set OPENBLAS_CORETYPE=SkylakeX"
        )
    data = environment.get("SCRATCHNET_DATA")
    if data and not os.path.isdir(data):
        found.append(f"SCRATCHNET_DATA is {data}, which is not a folder: correct it or unset it")
    return found
