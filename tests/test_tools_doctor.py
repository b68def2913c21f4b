"""`scratchnet doctor`: facts about this machine, and hints from facts."""

import argparse
import copy
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from scratchnet.tools import doctor

HEALTHY = {
    "versions": {"python": "3.12.1"},
    "processor": {"cores": "4 usable of 8", "AVX-512": "yes"},
    "numba": {"threads": "4", "compiles": "yes, a loop in 0.5 s"},
    "BLAS": {"runs as": "SkylakeX"},
    "folders": {"compiled kernels": "/cache"},
}


def facts(section, **values):
    changed = copy.deepcopy(HEALTHY)
    changed[section].update(values)
    return changed


def test_a_healthy_machine_gets_no_hint():
    assert doctor.hints(HEALTHY, {}) == []


@pytest.mark.parametrize(
    ("sick", "environment", "word"),
    [
        (facts("numba", compiles="switched off by NUMBA_DISABLE_JIT"), {}, "unset NUMBA_DISABLE_JIT"),
        (facts("folders", **{"compiled kernels": "not stored"}), {}, "NUMBA_CACHE_DIR"),
        (facts("numba", threads="8"), {}, "NUMBA_NUM_THREADS=4"),
        (facts("numba", threads="1"), {}, "1 of 4 usable cores"),
        (facts("BLAS", **{"runs as": "Haswell"}), {}, "OPENBLAS_CORETYPE=SkylakeX"),
        (HEALTHY, {"SCRATCHNET_DATA": "/there/is/no/such/folder"}, "which is not a folder"),
    ],
)
def test_each_problem_gets_one_hint_with_its_fix(sick, environment, word):
    (hint,) = doctor.hints(sick, environment)
    assert word in hint


def test_without_avx_512_the_kernels_of_a_haswell_get_no_hint():
    narrow = facts("BLAS", **{"runs as": "Haswell"})
    narrow["processor"]["AVX-512"] = "no"
    assert doctor.hints(narrow, {}) == []


def test_blas_kernels_that_the_user_chose_get_no_hint():
    assert doctor.hints(facts("BLAS", **{"runs as": "Haswell"}), {"OPENBLAS_CORETYPE": "Haswell"}) == []


@pytest.mark.compiled
def test_doctor_prints_the_versions_and_the_machine(capsys):
    assert doctor.run(argparse.Namespace()) == 0
    printed = capsys.readouterr().out
    for title in ("versions", "processor", "numba", "BLAS", "folders", "hints"):
        assert f"\n{title}" in f"\n{printed}"
    for word in (np.__version__, numba.__version__, "yes, a loop", f"of {os.cpu_count()}"):
        assert word in printed


def test_a_compiler_that_fails_is_reported_and_exits_with_1(monkeypatch, capsys):
    def broken(**options):
        def decorate(function):
            def call(*arguments):
                raise RuntimeError("LLVM is\nout of order")

            return call

        return decorate

    monkeypatch.setattr(doctor.jit, "COMPILED", True)
    monkeypatch.setattr(doctor.numba, "njit", broken)
    assert doctor.run(argparse.Namespace()) == 1
    assert "no: LLVM is out of order" in capsys.readouterr().out


def test_without_openblas_the_blas_runs_as_unknown(monkeypatch):
    monkeypatch.setattr(doctor, "openblas_core", lambda: None)
    assert doctor.blas()["runs as"] == "unknown"


def test_an_openblas_without_the_needed_functions_is_skipped(monkeypatch):
    def refuse(path):
        raise OSError("not a library")

    monkeypatch.setattr(doctor.ctypes, "CDLL", refuse)
    assert doctor.openblas_core() is None
    monkeypatch.setattr(doctor.ctypes, "CDLL", lambda path: object())
    assert doctor.openblas_core() is None


def test_usable_cores_are_those_that_the_system_allows(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert doctor.usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert doctor.usable_cores() == os.cpu_count()


def test_without_the_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(doctor.jit, "COMPILED", False)
    assert doctor.compiler()["compiles"] == "switched off by NUMBA_DISABLE_JIT"


@pytest.mark.compiled
def test_a_missing_package_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    assert doctor.run(argparse.Namespace()) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["numpy", np.__version__] in lines
    assert ["no-such-package-anywhere", "missing"] in lines


def test_doctor_runs_without_the_compiler():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "scratchnet", "doctor"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "switched off by NUMBA_DISABLE_JIT" in done.stdout
    assert "unset NUMBA_DISABLE_JIT" in done.stdout
