import pytest

from scratchnet.kernels.threads import limit


@pytest.fixture(autouse=True)
def tiny_arrays_need_one_thread():
    with limit(1):
        yield
