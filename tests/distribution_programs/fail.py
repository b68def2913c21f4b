"""Rank 1 fails: fail.py callback|labels. The other waits for it in the midst of a sum."""

import sys

import numpy as np

import scratchnet as s
from scratchnet.callbacks import Callback
from scratchnet.distribution import DataParallel

everyone = DataParallel()
x, y = np.ones((8, 3), "float32"), np.arange(8) % 2


class Fail(Callback):
    def on_train_batch_end(self, batch, logs=None):
        if everyone.rank == 1:
            raise RuntimeError("the disk of rank 1 is full")


model = s.Sequential([s.Input((3,)), s.Dense(2, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
if sys.argv[1] == "labels":
    model.fit(x, y if everyone.rank == 0 else 1 - y, distribution=everyone)
else:
    model.fit(x, y, batch_size=4, epochs=5, callbacks=[Fail()], distribution=everyone)
