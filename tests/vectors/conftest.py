import pytest

from scratchnet.kernels.jit import one_thread


@pytest.fixture(autouse=True)
def tiny_arrays_need_one_thread():
    with one_thread():
        yield
