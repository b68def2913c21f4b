"""Gradient checking, for the layers of this library and for your own.

    >>> from scratchnet import Conv2D
    >>> from scratchnet.gradcheck import check_layer
    >>> report = check_layer(Conv2D(2, (3, 2), strides=2, padding="same"), (4, 5, 2))
    >>> report.passed
    True

`print(report)` prints a table: for each input and each parameter the largest and the median relative error, the index of the
largest, and the verdict. docs/gradient-checking.md explains what each check can find, and what it cannot.
"""

from scratchnet.gradcheck.functions import check_function, check_loss, check_regularizer
from scratchnet.gradcheck.initializers import check_initializer
from scratchnet.gradcheck.layer import check_layer
from scratchnet.gradcheck.network import check_model
from scratchnet.gradcheck.numeric import complex_step_gradient, numerical_gradient
from scratchnet.gradcheck.optimizers import check_optimizer
from scratchnet.gradcheck.report import GradientCheckError, Report, Row
from scratchnet.gradcheck.schedules import check_schedule

__all__ = [
    "GradientCheckError",
    "Report",
    "Row",
    "check_function",
    "check_initializer",
    "check_layer",
    "check_loss",
    "check_model",
    "check_optimizer",
    "check_regularizer",
    "check_schedule",
    "complex_step_gradient",
    "numerical_gradient",
]
