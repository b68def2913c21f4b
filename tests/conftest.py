"""What all tests share: the settings of Hypothesis, the tests that need a compiler, and the folder of real data."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The first call of a kernel compiles it, which may take seconds, so there is no deadline.
settings.register_profile("local", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

collect_ignore = ["mutation.py"]      # a command, which turns the compiler off when it is imported
collect_ignore_glob = ["keras_scripts/*", "distribution_programs/*"]      # scripts, which tests run in processes of their own

WITHOUT_COMPILER = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def pytest_configure(config):
    if WITHOUT_COMPILER:
        # Models then run im2col instead of fused, with a warning, which is intended here.
        config.addinivalue_line("filterwarnings", "ignore:NUMBA_DISABLE_JIT is set:RuntimeWarning")


def pytest_collection_modifyitems(items):
    if not WITHOUT_COMPILER:
        return
    skip = pytest.mark.skip(reason="needs numba's compiler, which NUMBA_DISABLE_JIT=1 turns off")
    for item in items:
        if "compiled" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that SCRATCHNET_DATA names, with `mnist/` and `cifar10/` in it."""
    folder = os.environ.get("SCRATCHNET_DATA")
    if not folder:
        pytest.skip("needs real images: set SCRATCHNET_DATA to the folder that holds mnist/ and cifar10/")
    return Path(folder)
