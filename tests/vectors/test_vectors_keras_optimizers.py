"""Trajectories of Keras's optimizers and values of its schedules, recorded by make_keras_optimizers.py from Keras 3.15."""

import json
from pathlib import Path

import numpy as np
import pytest
from shared import each_dtype

from scratchnet import optimizers
from scratchnet.optimizers import schedules

RECORDED = json.loads(Path(__file__).with_name("keras_optimizers.json").read_text(encoding="utf-8"))
TRAJECTORIES = [pytest.param(case, id=f"{case['name']} {case['settings']}") for case in RECORDED["optimizers"]]
SCHEDULES = [pytest.param(case, id=f"{case['name']} {case['settings']}") for case in RECORDED["schedules"]]
CLASSES = {kind.__name__: kind for kind in optimizers.KNOWN.values()}


@each_dtype
@pytest.mark.parametrize("implementation", ["numpy", "fused"])
@pytest.mark.parametrize("case", TRAJECTORIES)
def test_every_step_is_the_one_keras_takes(case, implementation, dtype):
    optimizer = CLASSES[case["name"]](**case["settings"], implementation=implementation)
    params = [np.array(p, dtype) for p in RECORDED["start"]]
    # Nadam's 0.96 went through float32 in Keras.
    tolerance = 1e-5 if dtype == "float32" else 1e-6 if case["name"] == "Nadam" else 1e-12
    for t, (grads, expected) in enumerate(zip(RECORDED["gradients"], case["path"], strict=True)):
        optimizer.update(params, [None if t == 3 and j == 0 else np.array(g, dtype) for j, g in enumerate(grads)])
        for p, keras in zip(params, expected, strict=True):
            np.testing.assert_allclose(p, keras, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", SCHEDULES)
def test_the_rate_of_every_step_is_that_of_keras(case):
    schedule = getattr(schedules, case["name"])(**case["settings"])
    rates = [schedule(step) for step in range(len(case["rates"]))]
    np.testing.assert_allclose(rates, case["rates"], rtol=1e-6, atol=2e-8)      # Keras computes in float32
