"""What every test shares: how hard Hypothesis searches, what is left out without a compiler, where real data lies."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A kernel's first call compiles, which may take seconds: no deadline can be fair to it.
settings.register_profile("local", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

collect_ignore = ["mutation.py"]      # a command, which turns the compiler off when it is imported

WITHOUT_COMPILER = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def pytest_configure(config):
    if WITHOUT_COMPILER:
        # Models then run im2col where they were asked for fused, and say so: here that is what was wanted.
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
