"""Run a script of this folder with Keras or with scratchnet, and return what it computed.

    python tests/keras_scripts/run.py keras > tests/keras_scripts/histories.json      what Keras computes, on TensorFlow

The scripts are written for Keras; for scratchnet only their import lines change, and the names of files that they write. Both
libraries receive the same small data sets, begin from the same weights, and do not shuffle, drop or distort anything.
"""

import contextlib
import importlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "run")
SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}
RANDOM = ("Dropout", "RandomFlip", "RandomTranslation", "RandomCrop")


def small_set(name):
    """Images with a bright bar whose place is the class, as `load_data` returns them."""
    rng = np.random.default_rng(len(name))

    def split(count):
        y = np.arange(count) % 10
        x = rng.integers(0, 120, (count, *SHAPES[name]), dtype=np.uint8)
        for image, k in zip(x, y, strict=True):
            image[2 * k : 2 * k + 4, 4:24] += 100
        order = rng.permutation(count)
        y = y[order].astype(np.uint8)
        return x[order], y[:, None] if name == "cifar10" else y

    return split(120), split(40)


def script_for(name, library):
    """The text of a script for a library."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if library != "keras":
        text = re.sub(r"^import keras$", f"import {library} as keras", text, flags=re.MULTILINE)
        text = re.sub(r"^import tensorflow as tf$", f"import {library} as tf", text, flags=re.MULTILINE)
        text = re.sub(r"^from (keras|tensorflow)\b", f"from {library}", text, flags=re.MULTILINE)
        text = text.replace(".weights.h5", ".npz").replace("my_model.keras", "whole.npz").replace(".keras\"", ".npz\"")
    return text


def plain(values):
    """A history, a list, or what stands for a large array, as values for JSON."""
    if isinstance(values, dict):
        return {key: plain(value) for key, value in values.items()}
    values = np.asarray(values, "float64")
    if values.size > 20:
        values = np.array([*values.shape, values.mean(), values.std(), values.reshape(-1)[:: values.size // 10].sum()])
    return values.round(7).tolist()


def quieten(model):
    """Turn off the layers that draw random numbers."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            quieten(layer)
        elif type(layer).__name__ == "Dropout":
            layer.rate = 0.0
        elif type(layer).__name__ in RANDOM:
            layer.call = layer.forward = lambda x, training=False: x


def prepare(model, x):
    """Set the weights of a model that was never trained, by their places and shapes."""
    if not model.built:
        model.build((None, *np.shape(x)[1:]))
    quieten(model)
    if int(model.optimizer.iterations) == 0:
        weights = []
        for number, w in enumerate(model.get_weights()):
            rng = np.random.default_rng([number, *w.shape])
            spread = 1 / np.sqrt(max(1, np.prod(w.shape[:-1])))
            weights.append(w if w.ndim < 2 else rng.uniform(-spread, spread, w.shape).astype("float32"))
        model.set_weights(weights)


@contextlib.contextmanager
def recording(keras):
    """Put a record in place of the methods of models, and the small sets in place of the data sets."""
    records, busy = [], []
    kept = {}

    def recorded(name):
        original = getattr(keras.Model, name)

        def method(self, x, *args, **settings):
            if busy:
                return original(self, x, *args, **settings)
            busy.append(name)
            try:
                if name == "fit":
                    prepare(self, x)
                    settings["shuffle"] = False
                settings["verbose"] = 0
                result = original(self, x, *args, **settings)
            finally:
                busy.clear()
            values = result.history if name == "fit" else result
            records.append([name, plain(values)])
            return result

        return original, method

    for name in ("fit", "evaluate", "predict"):
        inherited = name not in vars(keras.Model)
        kept[name] = inherited
        original, method = recorded(name)
        kept[name] = None if inherited else original
        setattr(keras.Model, name, method)
    sets = {name: getattr(keras.datasets, name) for name in SHAPES if hasattr(keras.datasets, name)}
    loaders = {name: module.load_data for name, module in sets.items()}
    for name, module in sets.items():
        module.load_data = lambda name=name: small_set(name)
    try:
        yield records
    finally:
        for name, original in kept.items():
            if original is None:
                delattr(keras.Model, name)
            else:
                setattr(keras.Model, name, original)
        for name, module in sets.items():
            module.load_data = loaders[name]


def run(name, library):
    """Return [method, values] for each call of fit, evaluate and predict of a script."""
    keras = importlib.import_module(library)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, recording(keras) as records, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        try:
            exec(compile(script_for(name, library), f"{name}.py", "exec"), {"__name__": "__main__"})
        finally:
            os.chdir(before)
    return records


if __name__ == "__main__":
    lines = [f'"{name}": {json.dumps(run(name, sys.argv[1]))}' for name in sys.argv[2:] or SCRIPTS]
    print("{\n" + ",\n".join(lines) + "\n}")
