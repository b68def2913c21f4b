import pytest

from scratchnet.kernels.jit import COMPILED


@pytest.fixture
def runnable():
    """A function that returns the name of an implementation, or skips the test if that cannot run here."""

    def choose(implementation):
        if implementation == "fused" and not COMPILED:
            pytest.skip("NUMBA_DISABLE_JIT=1: the fused kernels need the compiler; im2col runs instead, and is tested too")
        return implementation

    return choose
