"""Scripts written for Keras, of which only the import lines change: each runs, and computes what Keras computes.

`keras_scripts/histories.json` holds what Keras 3.15 computed on TensorFlow; where Keras is installed, a test computes it again. A
script names what it uses, and is skipped while that does not exist.
"""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from keras_scripts import run

import scratchnet

EXPECTED = json.loads((run.FOLDER / "histories.json").read_text(encoding="utf-8"))


def missing(name):
    """What a script uses and scratchnet does not have."""
    text = (run.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    listed = re.search(r"^Uses: (.*)$", text, re.MULTILINE)
    return [part for part in (listed[1].split() if listed else []) if not exists(part)]


def exists(part):
    if part.startswith("fit("):
        return part[4:-1] in inspect.signature(scratchnet.Model.fit).parameters
    thing = scratchnet
    for word in part.split("."):
        thing = getattr(thing, word, None)
    return thing is not None


def same(ours, theirs):
    """Raise an AssertionError when two records differ by more than 1e-4."""
    assert [method for method, _ in ours] == [method for method, _ in theirs]
    for (method, got), (_, expected) in zip(ours, theirs, strict=True):
        assert not isinstance(expected, dict) or got.keys() == expected.keys(), method
        for key in expected if isinstance(expected, dict) else [...]:
            a, b = (np.array(values if key is ... else values[key]) for values in (got, expected))
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4, err_msg=f"{method} {key}")


def test_there_are_scripts_of_many_kinds_and_each_has_been_run_in_keras():
    assert len(run.SCRIPTS) >= 15
    assert sorted(EXPECTED) == run.SCRIPTS


@pytest.mark.parametrize("name", run.SCRIPTS)
def test_a_script_computes_what_keras_computes(name):
    if lacking := missing(name):
        pytest.skip(f"needs {', '.join(lacking)}, which scratchnet does not have yet")
    same(run.run(name, "scratchnet"), EXPECTED[name])


@pytest.mark.parametrize("name", run.SCRIPTS)
def test_only_import_lines_and_names_of_files_change(name):
    before, after = (run.script_for(name, library).splitlines() for library in ("keras", "scratchnet"))
    for old, new in zip(before, after, strict=True):
        assert old == new or re.match(r"(import|from) ", old) or re.search(r'"[\w.]+\.(keras|weights\.h5)"', old), old


@pytest.mark.slow
def test_keras_computes_these_histories_where_it_is_installed():
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs Keras: pip install keras tensorflow-cpu")
    settings = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(run.FOLDER / "run.py"), "keras"], env=settings, capture_output=True, text=True, timeout=900, check=True
    )
    again = json.loads(done.stdout)
    for name in run.SCRIPTS:
        same(again[name], EXPECTED[name])
