"""Check gradients, your own layers' too.

    >>> from scratchnet import Conv2D
    >>> from scratchnet.gradcheck import check_layer
    >>> report = check_layer(Conv2D(2, (3, 2), strides=2, padding="same"), (4, 5, 2))
    >>> report.passed
    True

`print(report)` shows a table: for every input and parameter the largest and the median relative error, where the worst
number is, and the verdict. docs/gradient-checking.md tells what each witness can see, and what not.
"""

from scratchnet.gradcheck.checks import check_function, check_layer, check_loss
from scratchnet.gradcheck.networks import check_model
from scratchnet.gradcheck.numeric import complex_step_gradient, numerical_gradient
from scratchnet.gradcheck.report import GradientCheckError, Report, Row
from scratchnet.gradcheck.rules import check_optimizer

__all__ = [
    "GradientCheckError",
    "Report",
    "Row",
    "check_function",
    "check_layer",
    "check_loss",
    "check_model",
    "check_optimizer",
    "complex_step_gradient",
    "numerical_gradient",
]
