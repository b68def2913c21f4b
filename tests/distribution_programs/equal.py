"""Train the same network in all processes and, in rank 0, alone; write what a test compares: equal.py FOLDER."""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

import scratchnet as s
from scratchnet.callbacks import Callback, ModelCheckpoint
from scratchnet.distribution import DataParallel, OneProcess

N, BATCH, EPOCHS = 49, 16, 13       # batches of 16, 16, 16 and 1, the last smaller than the number of processes; 52 steps
SHAPE = (6, 7, 2)


def data(dtype):
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, *SHAPE)).astype(dtype), rng.integers(0, 4, N), rng.uniform(0.5, 2, N)


def network(dtype, seed, implementation="fused"):
    x = s.Input(shape=SHAPE)
    y = s.RandomFlip("horizontal", alternate=True)(x)
    y = s.RandomFlip("vertical")(y)
    y = s.RandomTranslation(0.2, 0.2)(y)
    y = s.Conv2D(6, 3, padding="same", use_bias=False)(y)       # the gradient of a bias before a normalization is rounding alone
    y = s.BatchNormalization()(y)
    y = s.Activation("relu")(y)
    y = s.MaxPooling2D(2)(y)
    y = s.SpatialDropout2D(0.1)(y)
    y = s.Flatten()(y)
    y = s.Dropout(0.3)(y)
    y = s.Dense(9, kernel_regularizer="l2", use_bias=False)(y)
    y = s.BatchNormalization(scale=False)(y)
    y = s.Dense(4, activation="softmax")(y)
    model = s.Model(x, y, seed=seed, dtype=dtype, implementation=implementation)
    optimizer = s.optimizers.Adam(weight_decay=0.01, clipnorm=0.5)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


def trained(distribution, dtype, *, seed=3, epochs=EPOCHS, implementation="fused", **more):
    """Return the weights and the history."""
    x, y, w = data(dtype)
    model = network(dtype, seed, implementation)
    history = model.fit(
        x, y, BATCH, epochs, 0, validation_data=(x[:33], y[:33]), sample_weight=w,
        distribution=distribution, **more,
    )  # fmt: skip
    return {name: p.copy() for name, p in model.named_weights.items()}, history.history


def distances(a, b):
    return {name: float(np.linalg.norm(a[name] - b[name]) / np.linalg.norm(b[name])) for name in a if np.linalg.norm(b[name])}


class Stop(Callback):
    """End training in one rank after the first batch of the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = self.params["rank"] and len(self.model.history.epoch) == 1


class Change(Callback):
    """Change a weight in the last rank alone."""

    def on_epoch_end(self, epoch, logs=None):
        if everyone.rank == everyone.size - 1:
            self.model.get_layer("dense").kernel[0, 0] += 1


def caught(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    return "no error"


def broken_images():
    """One image of the second batch, whose place is in the last rank, is infinite."""
    x, y, _ = data("float32")
    x[31] = np.inf
    network("float32", 3).fit(x, y, BATCH, 1, 0, shuffle=False, distribution=everyone)


folder = Path(sys.argv[1])
everyone = DataParallel()
found = {"size": everyone.size, "threads": everyone.threads}
for dtype in ("float32", "float64"):
    # the other ranks begin with other weights: those of rank 0 must replace them
    weights, history = trained(everyone, dtype, seed=3 + everyone.rank)
    found[f"{dtype}: checksum"] = [zlib.crc32(p.tobytes()) for p in weights.values()]
    if everyone.rank == 0:
        alone, expected = trained(None, dtype)
        found[f"{dtype}: distances"] = distances(weights, alone)
        found[f"{dtype}: history"] = {name: [values, expected[name]] for name, values in history.items()}
slow, _ = trained(everyone, "float64", epochs=1, implementation="im2col")
quick, _ = trained(everyone, "float64", epochs=1)
found["im2col"] = max(distances(slow, quick).values())

local, _ = trained(DataParallel(synchronized=False), "float64", epochs=2)
whole, _ = trained(everyone, "float64", epochs=2)
found["local moments"] = distances(local, whole)["conv2d/kernel"]
found["local moments are sent"] = all(np.ptp(values) == 0 for values in map(np.array, zip(*everyone.comm.allgather(
    [float(local[name].sum()) for name in local]), strict=True)))  # fmt: skip

_, history = trained(everyone, "float32", epochs=1, callbacks=[ModelCheckpoint(folder / f"{everyone.rank}.npz")])
stop = Stop()
stop.set_params = lambda params: setattr(stop, "params", {**params, "rank": everyone.rank == everyone.size - 1})
_, history = trained(everyone, "float32", epochs=9, callbacks=[stop])
found["epochs"] = everyone.comm.allgather(len(history["loss"]))
found["broken"] = everyone.comm.allgather(caught(FloatingPointError, broken_images))
found["changed"] = everyone.comm.allgather(
    caught(RuntimeError, lambda: trained(everyone, "float32", epochs=2, callbacks=[Change()])) if everyone.size > 1 else "")
x, y, _ = data("float32")
network("float32", 3).fit(x, y, BATCH, 2, 2, distribution=everyone)         # prints a line for each epoch

found["threads of all"] = sum(everyone.comm.allgather(everyone.threads))
found["one process"] = isinstance(everyone, OneProcess)
if everyone.rank == 0:
    (folder / "found.json").write_text(json.dumps(found))
