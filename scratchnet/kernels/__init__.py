"""The fast kernels, compiled by numba: functions of arrays, which know nothing of layers."""
