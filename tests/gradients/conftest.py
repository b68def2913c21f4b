import pytest

from scratchnet.kernels.jit import COMPILED


@pytest.fixture
def telling():
    """The name of a telling, or a skip where it cannot run."""

    def choose(implementation):
        if implementation == "fused" and not COMPILED:
            pytest.skip("NUMBA_DISABLE_JIT=1: the fused kernels need the compiler; im2col runs in their place, and is tested too")
        return implementation

    return choose
