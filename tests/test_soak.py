"""Long work in one process: memory stays flat, and no file, thread or model is left over. The full size is marked slow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory and open files from /proc"),
]

COMMON = """
import gc, json, os, threading
import numpy as np
from scratchnet import Conv2D, Dense, Flatten, Input, MaxPooling2D, Model, load_model
from scratchnet.callbacks import Callback, CSVLogger, ModelCheckpoint

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")

def left():
    return [len(os.listdir("/proc/self/fd")), threading.active_count()]

def net(seed=1):
    image = Input((14, 14, 1))
    x = MaxPooling2D(2, 1, padding="same")(Conv2D(16, 3, activation="relu", padding="same")(image))
    model = Model(image, Dense(10, activation="softmax")(Dense(32, activation="relu")(Flatten()(x))), seed=seed)
    model.compile("adam", metrics=["accuracy"])
    return model

rng = np.random.default_rng(0)
x, y = rng.random((256, 14, 14, 1), np.float32), np.eye(10)[rng.integers(0, 10, 256)]
"""

EPOCHS = COMMON + """
sizes, counts = [], []

class Watch(Callback):
    def on_epoch_end(self, epoch, logs=None):
        sizes.append(resident())
        counts.append(left())

model = net()
callbacks = [Watch(), CSVLogger("log.csv"), ModelCheckpoint("best.npz", save_best_only=True)]
model.fit(x, y, 32, {epochs}, 0, callbacks, validation_data=(x[:64], y[:64]))
print(json.dumps([sizes, counts, threading.active_count()]))
"""

MODELS = COMMON + """
sizes, counts = [], []
for k in range({models}):
    model = net(seed=k)
    model.train_on_batch(x[:32], y[:32])
    model.predict(x[:32], verbose=0)
    if k % 20 == 0:
        model.save("m.npz")
        model = load_model("m.npz")
    if (k + 1) % {each} == 0:
        del model
        sizes.append(resident())
        counts.append(left())
print(json.dumps([sizes, counts, sum(isinstance(o, Model) for o in gc.get_objects())]))
"""


def measured(code, folder):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def growth(sizes, warm):
    """Return by which fraction the memory grew after the first `warm` sizes: the last third's largest against the first's."""
    rest = sizes[warm:]
    third = len(rest) // 3
    return max(rest[-third:]) / max(rest[:third]) - 1


@pytest.mark.parametrize("epochs", [24, pytest.param(200, marks=pytest.mark.slow)])
def test_memory_files_and_threads_stay_the_same_from_epoch_to_epoch(epochs, tmp_path):
    sizes, counts, _ = measured(EPOCHS.replace("{epochs}", str(epochs)), tmp_path)
    assert len(sizes) == epochs
    print(f"\n{epochs} epochs: {sizes[3] / 1e6:.1f} MB after 3, {sizes[-1] / 1e6:.1f} MB at the end: {growth(sizes, 3):+.2%}")
    assert growth(sizes, 3) < 0.02
    assert counts[-1] == counts[3]


@pytest.mark.parametrize(("models", "each"), [(60, 5), pytest.param(1000, 50, marks=pytest.mark.slow)])
def test_models_that_are_dropped_leave_no_memory_file_thread_or_object(models, each, tmp_path):
    sizes, counts, alive = measured(MODELS.replace("{models}", str(models)).replace("{each}", str(each)), tmp_path)
    print(f"\n{models} models: {sizes[0] / 1e6:.1f} MB at first, {sizes[-1] / 1e6:.1f} MB at the end: {growth(sizes, 1):+.2%}")
    assert growth(sizes, 1) < 0.02
    assert counts[-1] == counts[1]
    assert alive == 0
