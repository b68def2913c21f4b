"""The result of a finished training run: one small JSON file. Every report is made from these files.

    histories/<name>-seed<seed>.json

It holds the settings and the seed, the values of each epoch (its seconds among them), a summary of the net's predictions for
the test images (never the images), the versions and the machine. The complete file is written when its run is finished, and
an experiment that has one is not trained again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet
from scratchnet.kernels import threads
from scratchnet.metrics import confident_mistakes, confusion_matrix
from scratchnet.model import Model
from scratchnet.support.files import write_text
from scratchnet.tools.reproduce.experiments import Experiment
from scratchnet.tools.versions import versions as run_versions

FORMAT = "scratchnet reproduce 1"
MISTAKES = 24  # the number of most confident mistakes that a picture shows

Result = dict[str, Any]

NUMBERS_COME_FROM = (
    *("kernels", "layers", "losses", "optimizers", "initializers", "padding", "networks", "model", "training", "distribution"),
    *("plan", "support/checking", "support/config", "saving", "preprocessing", "datasets"),
    *("schedules", "tools/inputs", "tools/recipes"),
    *("tools/reproduce/experiments", "tools/reproduce/net_3", "tools/reproduce/trial"),
)


def label(name: str, seed: int) -> str:
    """Return the name of a training run: its experiment and its seed.

    >>> label("net_2-mnist-adam", 0)
    'net_2-mnist-adam-seed0'
    """
    return f"{name}-seed{seed}"


def path(out: Path, name: str, seed: int) -> Path:
    """Return the path of a run's result."""
    return out / "histories" / f"{label(name, seed)}.json"


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a complete JSON object, one line for each key, so that the file is short and a diff is readable."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    write_text(file, f"{{\n{lines}\n}}\n")


def read(file: Path, form: str = FORMAT, keys: Sequence[str] = ("name", "seed", "settings", "history")) -> Result:
    """Return what `write` wrote.

    Raises
    ------
    ValueError
        If the file is damaged, has another format or lacks one of the keys.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["format"] == form and all(key in result for key in keys):
            return result
    except (ValueError, KeyError, TypeError):
        pass  # the error is raised below
    raise ValueError(f"{file}: expected a file of the format '{form}', got another or a damaged one. Remove it and run again.")


def finished(out: Path, experiment: Experiment, seed: int) -> Result | None:
    """Return the result of a run, or None if there is none.

    Raises
    ------
    ValueError
        If the result comes from other settings: a report must not mix the two.
    """
    file = path(out, experiment.name, seed)
    if not file.is_file():
        return None
    result = read(file)
    if result["settings"] != experiment.settings() or result["seed"] != seed:
        raise ValueError(
            f"{file}: expected the settings of {experiment.name} with seed {seed}, got a result of other settings. Remove it, or "
            "choose another --out."
        )
    return result


def outcome(experiment: Experiment, seed: int, model: Model, history: dict[str, list[float]], **more: Any) -> Result:
    """Return the result of a run; `more` is added to it."""
    weights = hashlib.sha256()
    for value in model.get_weights():
        weights.update(value.tobytes())
    return {
        "format": FORMAT,
        "name": experiment.name,
        "seed": seed,
        "settings": experiment.settings(),
        "learning_rate": float(model.optimizer.learning_rate),
        "history": history,
        "parameters": int(model.count_params()),
        "weights_sha256": weights.hexdigest(),
        **more,
        "versions": versions(),
        "machine": machine(),
    }


def answers(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return what a report needs of a net's predictions: (N, K) probabilities, (N,) labels.

    Returns
    -------
    dict
        confusion: K rows of K counts, a row for each true class; wrong: the number of mistakes; confidence: the mean
        probability of right and of wrong predictions; mistakes: the most confident, each with the index of its image, its
        label, the prediction ("said") and both probabilities.

    Examples
    --------
    >>> found = answers(np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0]))
    >>> found["confusion"], found["wrong"], found["mistakes"][0]["index"]
    ([[1, 1], [0, 0]], 1, 1)
    """
    K = probabilities.shape[1]
    labels = np.asarray(labels).astype(int)
    predicted, largest = probabilities.argmax(axis=1), probabilities.max(axis=1).astype(float)
    right = predicted == labels
    confidence = {"right": largest[right], "wrong": largest[~right]}
    return {
        "confusion": confusion_matrix(labels, predicted, K).tolist(),
        "wrong": int((~right).sum()),
        "confidence": {key: float(values.mean()) if len(values) else None for key, values in confidence.items()},
        "mistakes": [
            {
                "index": int(i),
                "label": int(labels[i]),
                "said": int(predicted[i]),
                "probability": float(largest[i]),
                "of_label": float(probabilities[i, labels[i]]),
            }
            for i in confident_mistakes(labels, probabilities)[:MISTAKES]
        ],
    }


def files_of(package: Path, name: str) -> list[Path]:
    """Return the file of the module of this name, or the files of the folder of this name."""
    return sorted(package.glob(f"{name}.py")) or sorted((package / name).glob("*.py"))


def versions() -> dict[str, str]:
    """Return the versions of the code that computes the numbers; `source` is a hash of the part that belongs to scratchnet."""
    source = hashlib.sha256()
    package = Path(scratchnet.__file__).parent
    for name in NUMBERS_COME_FROM:
        for file in files_of(package, name):
            source.update(file.read_bytes())
    return run_versions() | {"source": source.hexdigest()[:12]}


def machine() -> dict[str, Any]:
    """Return the processor, the number of processors and threads, and the system."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass  # other systems have no such file; the name from platform is used
    return {
        "processor": name,
        "processors": os.cpu_count(),
        "threads": threads.count(),
        "system": platform.system(),
    }
