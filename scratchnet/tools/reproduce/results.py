"""What is left of a finished training: one small JSON file, from which every report is made.

    histories/<name>-seed<seed>.json

It holds the settings and the seed, one value an epoch (seconds among them), what the net answered to the test images
(never the images themselves), and what it ran on. A file appears when its training is over, whole; one that is there is
never trained again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet
from scratchnet._version import __version__
from scratchnet.files import write_text
from scratchnet.kernels import threads
from scratchnet.model import Model
from scratchnet.tools.reproduce.experiments import Experiment

FORMAT = "scratchnet reproduce 1"
SURE = 24  # as many of the surest mistakes as a picture shows

Result = dict[str, Any]

NUMBERS_COME_FROM = (
    *("kernels", "layers", "losses", "optimizers", "initializers", "padding"),
    *("networks", "model", "training", "compiled", "plan", "checking", "loading", "preprocessing"),
    *("datasets", "tools/inputs", "tools/reproduce/experiments", "tools/reproduce/trial"),
)


def label(name: str, seed: int) -> str:
    """Name a training: its experiment and its seed.

    >>> label("net_2-mnist-adam", 0)
    'net_2-mnist-adam-seed0'
    """
    return f"{name}-seed{seed}"


def path(out: Path, name: str, seed: int) -> Path:
    """Tell where the result of a training is."""
    return out / "histories" / f"{label(name, seed)}.json"


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON object whole, one line a key: short, and differences can still be read."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    write_text(file, f"{{\n{lines}\n}}\n")


def read(file: Path) -> Result:
    """Read a result.

    Raises
    ------
    ValueError
        When the file is damaged or something else.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        good = result["format"] == FORMAT and all(key in result for key in ("name", "seed", "settings", "history"))
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise ValueError(f"{file} is no result of 'scratchnet reproduce', or it is damaged; remove it, and it is trained again")
    return result


def finished(out: Path, experiment: Experiment, seed: int) -> Result | None:
    """Give the result of a training if it is there.

    Raises
    ------
    ValueError
        When what is there was trained with other settings: mixing both would tell lies.
    """
    file = path(out, experiment.name, seed)
    if not file.is_file():
        return None
    result = read(file)
    if result["settings"] != experiment.settings() or result["seed"] != seed:
        raise ValueError(f"{file} was trained with other settings than are asked for now; remove it, or name another --out")
    return result


def outcome(experiment: Experiment, seed: int, model: Model, history: dict[str, list[float]], **more: Any) -> Result:
    """Put a result together."""
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
    """Tell what a report needs of a net's answers: (N, K) probabilities, (N,) labels.

    Returns
    -------
    dict
        confusion: K rows of K counts, the true class down; mistakes: the surest, each with its image's index, its
        label, what was said and both probabilities; wrong: how many mistakes there are; confidence: the mean
        probability of what was said, where it was right and where it was wrong.

    Examples
    --------
    >>> found = answers(np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0]))
    >>> found["confusion"], found["wrong"], found["mistakes"][0]["index"]
    ([[1, 1], [0, 0]], 1, 1)
    """
    N, K = probabilities.shape
    labels = np.asarray(labels).astype(int)
    said = probabilities.argmax(axis=1)
    sure = probabilities[np.arange(N), said].astype(float)
    wrong = np.flatnonzero(said != labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:SURE]
    mistakes = [
        {
            "index": int(i),
            "label": int(labels[i]),
            "said": int(said[i]),
            "probability": float(sure[i]),
            "of_label": float(probabilities[i, labels[i]]),
        }
        for i in surest
    ]
    right = said == labels
    return {
        "confusion": np.bincount(labels * K + said, minlength=K * K).reshape(K, K).tolist(),
        "wrong": len(wrong),
        "confidence": {
            "right": float(sure[right].mean()) if right.any() else None,
            "wrong": float(sure[~right].mean()) if len(wrong) else None,
        },
        "mistakes": mistakes,
    }


def versions() -> dict[str, str]:
    """Tell what computes the numbers; `source` changes with any file of ours that they come from."""
    source = hashlib.sha256()
    package = Path(scratchnet.__file__).parent
    for room in NUMBERS_COME_FROM:
        for file in sorted([package / f"{room}.py"] if (package / f"{room}.py").is_file() else (package / room).glob("*.py")):
            source.update(file.read_bytes())
    return {
        "scratchnet": __version__,
        "source": source.hexdigest()[:12],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba"),
    }


def machine() -> dict[str, Any]:
    """Tell what it runs on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass  # no such list on other systems; what platform knows will do
    return {
        "processor": name,
        "processors": os.cpu_count(),
        "threads": threads.count(),
        "system": platform.system(),
    }
