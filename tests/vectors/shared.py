"""What all vectors share: each runs in every implementation of the operation, in both dtypes."""

import numpy as np
import pytest

each_implementation = pytest.mark.parametrize(
    "implementation", ["loops", "im2col", pytest.param("fused", marks=pytest.mark.compiled)]
)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Published results are float32 numbers, so even float64 agrees with them to a few float32 roundings only.
CLOSE = {"rtol": 2e-6, "atol": 1e-6}


def count_up(shape, dtype="float64"):
    """1, 2, 3, … in row-major order."""
    return np.arange(1, np.prod(shape) + 1, dtype=dtype).reshape(shape)
