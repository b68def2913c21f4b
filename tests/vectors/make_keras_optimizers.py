"""Record what Keras's optimizers and schedules do: run with Keras 3.15, this writes keras_optimizers.json beside it.

The settings are multiples of 2⁻¹⁰, which float32 holds exactly: Keras's TensorFlow backend converts them to float32.
"""

import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

START, STEPS = [[1.0, -0.5, 0.25, 2.0], [-1.5, 0.75]], 8
GRADIENTS = [[[((7 * t + 3 * i + 5 * j) % 11 - 5) / 4 for i in range(n)] for j, n in enumerate((4, 2))] for t in range(STEPS)]
COMMON = {"learning_rate": 0.125}
MOMENTS = {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 2.0**-10}
CASES = [
    ("SGD", {"momentum": 0.5, "nesterov": True, "weight_decay": 0.25}),
    ("SGD", {"clipnorm": 0.5}),
    ("SGD", {"clipvalue": 0.5, "weight_decay": 0.125}),
    ("SGD", {"global_clipnorm": 0.5, "momentum": 0.5}),
    ("Adagrad", {"initial_accumulator_value": 0.25, "epsilon": 2.0**-10, "weight_decay": 0.25}),
    ("Adadelta", {"rho": 0.75, "epsilon": 2.0**-10, "weight_decay": 0.25, "clipnorm": 1.0}),
    ("Adam", MOMENTS),
    ("Adam", {**MOMENTS, "weight_decay": 0.5, "global_clipnorm": 1.0}),
    ("Adam", {**MOMENTS, "amsgrad": True}),
    ("AdamW", {**MOMENTS, "weight_decay": 0.25}),
    ("AdamW", {**MOMENTS, "weight_decay": 0.125, "amsgrad": True, "clipvalue": 0.5}),
    ("Nadam", MOMENTS),
    ("Nadam", {**MOMENTS, "weight_decay": 0.25, "clipnorm": 1.0}),
    ("RMSprop", {"rho": 0.75, "epsilon": 2.0**-10}),
    ("RMSprop", {"rho": 0.75, "epsilon": 2.0**-10, "momentum": 0.5}),
    ("RMSprop", {"rho": 0.75, "epsilon": 2.0**-10, "centered": True}),
    ("RMSprop", {"rho": 0.75, "epsilon": 2.0**-10, "centered": True, "momentum": 0.5, "weight_decay": 0.25, "clipnorm": 1.0}),
]
SCHEDULES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.25}),
    ("ExponentialDecay", {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.25, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3], "values": [0.5, 0.25]}),
    ("PiecewiseConstantDecay", {"boundaries": [0, 3, 7], "values": [0.5, 0.25, 0.125, 0.75]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 4, "end_learning_rate": 0.125, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 4, "end_learning_rate": 0.125, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.5, "decay_steps": 6}),
    ("CosineDecay", {"initial_learning_rate": 0.5, "decay_steps": 6, "alpha": 0.25, "warmup_steps": 3}),
    ("CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 6, "alpha": 0.25, "warmup_target": 0.5, "warmup_steps": 3}),
    ("CosineDecay", {"initial_learning_rate": 0.5, "decay_steps": 6, "warmup_target": 0.25, "warmup_steps": 0}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.5, "first_decay_steps": 3, "m_mul": 0.5, "alpha": 0.125}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.5, "first_decay_steps": 3, "t_mul": 1.0}),
]


def trajectory(keras, name, settings):
    """Return the parameters after each step; before the fourth, the first parameter is frozen for a step."""
    import numpy as np

    optimizer = getattr(keras.optimizers, name)(**COMMON, **settings)
    params, path = [keras.Variable(np.array(p)) for p in START], []
    for t, grads in enumerate(GRADIENTS):
        given = [None if t == 3 and j == 0 else keras.ops.convert_to_tensor(np.array(g)) for j, g in enumerate(grads)]
        optimizer.apply(given, params)
        path.append([keras.ops.convert_to_numpy(p).tolist() for p in params])
    return path


def main():
    """Write the file."""
    import keras

    keras.backend.set_floatx("float64")
    optimizers = [{"name": n, "settings": {**COMMON, **s}, "path": trajectory(keras, n, s)} for n, s in CASES]
    schedules = []
    for name, settings in SCHEDULES:
        schedule = getattr(keras.optimizers.schedules, name)(**settings)
        rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(14)]
        schedules.append({"name": name, "settings": settings, "rates": rates})
    start = {"keras": keras.__version__, "backend": keras.backend.backend(), "start": START, "gradients": GRADIENTS}
    lines = [f'"{key}": {json.dumps(value)}' for key, value in start.items()]
    for key, cases in (("optimizers", optimizers), ("schedules", schedules)):
        lines.append(f'"{key}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]")
    Path(__file__).with_name("keras_optimizers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
