"""What is wrong with a network that does not learn? `diagnose` measures a model and its training, and explains the numbers.

    measure.py      runs a copy of the model on some images: dead units, saturation, gradients, the size of steps
    findings.py     compares the numbers with what they should be, one function and one sentence for each question

`scratchnet diagnose RUN` does this for a run folder, and `plotting.diagnosis` draws the numbers.
"""

from scratchnet.diagnosis.findings import Diagnosis, Finding, diagnose
from scratchnet.diagnosis.measure import Facts, Units

__all__ = ["Diagnosis", "Facts", "Finding", "Units", "diagnose"]
