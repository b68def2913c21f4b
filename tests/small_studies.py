"""Tiny training runs and made-up results, for the tests of `scratchnet reproduce`."""

import numpy as np

from scratchnet.tools.reproduce import experiments, results, trial
from scratchnet.tools.reproduce.experiments import Experiment, Net

CLASSES = ("up", "middle", "down")


def tiny_images(name="mnist", limit=None, prepared="scale"):
    """Return 48 + 24 images of 8×7: noise with a bright bar, whose height is the class, one of three."""
    rng = np.random.default_rng(3)

    def split(n):
        y = (np.arange(n) % 3).astype(np.uint8)
        x = rng.random((n, 8, 7, 1), dtype=np.float32) * np.float32(0.8)
        x[np.arange(n), 2 * y + 1] += np.float32(0.2)
        return x, y

    return trial.Images(*split(48), *split(24), CLASSES)


def tiny(optimizer="adam", epochs=3, **settings):
    """Return an experiment with three batches in an epoch."""
    return Experiment(Net(2), "mnist", optimizer, epochs, batch_size=20, **settings)


def made_up(experiment, seed, *, best=None, classes=10, failure=None):
    """Return a result like that of a training run: accuracies that rise to `best`, a validation loss that falls and rises."""
    rng = np.random.default_rng([seed, *experiment.name.encode()])
    n = experiment.epochs
    best = (0.98 if experiment.data == "mnist" else 0.6) + 0.01 * rng.random() if best is None else best
    turn = max(1, n // 3)
    rise = 1 - 0.5 * np.exp(-np.arange(1, n + 1))
    history = {
        "loss": (1.5 * np.exp(-0.2 * np.arange(n))).tolist(),
        "accuracy": np.minimum(0.999, rise * best + 0.02 * np.arange(n)).tolist(),
        "val_loss": (1.0 + 0.05 * (np.arange(n) - turn) ** 2 + 0.001 * rng.random(n)).tolist(),
        "val_accuracy": [*(rise * best)[:-1].tolist(), best],
        "seconds": (10 + rng.random(n)).tolist(),
    }
    probabilities = rng.dirichlet(np.ones(classes), 60)
    labels = np.where(rng.random(60) < 0.7, probabilities.argmax(axis=1), rng.integers(0, classes, 60))
    result = {
        "format": results.FORMAT,
        "name": experiment.name,
        "seed": seed,
        "settings": experiment.settings(),
        "learning_rate": experiment.learning_rate or 0.001,
        "history": {key: [] for key in history} if failure else history,
        "parameters": 1,
        "weights_sha256": "00" * 32,
        "training_images": 60_000,
        "test_images": 60,
        "class_names": [f"class {k}" for k in range(classes)],
        "answers": results.answers(probabilities, labels),
        "versions": {"scratchnet": "0", "source": "0", "python": "3", "numpy": "2", "numba": "0"},
        "machine": {"processor": "a processor", "processors": 2, "threads": 2, "system": "a system"},
    }
    return {**result, **({"failure": failure} if failure else {})}


def write_all(out, plan=None, seeds=3, **changes):
    """Write made-up results of a whole plan; `changes` are best accuracies by the experiment's name, with _ for -."""
    plan = plan or experiments.plan()
    for name, experiment in plan.experiments.items():
        for seed in range(1 if name in plan.one_seed else seeds):
            best = changes.get(name.replace("-", "_"))
            best = None if best is None else best + 1e-4 * seed
            results.write(results.path(out, name, seed), made_up(experiment, seed, best=best))
    return plan
