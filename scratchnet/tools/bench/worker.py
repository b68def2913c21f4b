"""One side of a comparison in a process of its own: `python -m scratchnet.tools.bench.worker SIDE NET DATA`.

It reads commands from its standard input, a line each, does what they say while the other sides wait, and answers with
a line of JSON behind a mark (frameworks print lines of their own):

    step N       N training steps on one batch, after some that let things settle: the seconds of each
    predict N    the probabilities of N test images: the seconds
    epoch        a whole epoch on the training images, validation included: the seconds and the validation accuracy
    memory       the largest size that the process has had, in bytes
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from scratchnet import datasets, preprocessing
from scratchnet.tools.bench.sides import BATCH, SIDES, settle

MARK = "scratchnet bench: "
SHAPES = {"mnist": ((28, 28, 1), 60_000), "cifar10": ((32, 32, 3), 50_000)}


def load(name: str) -> tuple[str, tuple[np.ndarray, ...]]:
    """Give a data set as every side gets it, or noise of its size where it is not on this machine; and which of the two."""
    shape, count = SHAPES[name]
    if any(status.name == name and status.folder for status in datasets.status()):
        data = datasets.load(name)
        images = [preprocessing.normalize_images(x.reshape(-1, *shape)) for x in (data.x_train, data.x_test)]
        return name, (images[0], preprocessing.one_hot(data.y_train, 10), images[1], preprocessing.one_hot(data.y_test, 10))
    rng = np.random.default_rng(0)
    images = [rng.random((n, *shape), dtype=np.float32) for n in (count, 10_000)]
    labels = [np.eye(10, dtype=np.float32)[rng.integers(0, 10, len(x))] for x in images]
    return f"noise as large as {name}", (images[0], labels[0], images[1], labels[1])


def peak_memory() -> int | None:
    """Give the largest resident size of this process so far, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def main(side_name: str, net: str, data_name: str) -> None:
    """Answer commands until the input ends."""

    def answer(**said: Any) -> None:
        print(MARK + json.dumps(said), flush=True)

    data, (x, y, x_test, y_test) = load(data_name)
    side = SIDES[side_name][1](net, SHAPES[data_name][0], 10)
    few = BATCH + len(x) % BATCH, BATCH + len(x_test) % BATCH       # a whole batch and one as short as the last one is
    for _ in range(2):                                              # compiles what is to be compiled, whatever side it is
        side.step(x[:BATCH], y[:BATCH])
        side.predict(x_test[: few[1]])
        side.epoch(x[: few[0]], y[: few[0]], x_test[: few[1]], y_test[: few[1]])
    answer(ready=True, data=data)
    for line in sys.stdin:
        command, *rest = line.split()
        began = time.perf_counter()
        if command == "step":
            seconds = []
            settle(lambda: side.step(x[:BATCH], y[:BATCH]))
            for _ in range(int(rest[0])):
                began = time.perf_counter()
                side.step(x[:BATCH], y[:BATCH])
                seconds.append(time.perf_counter() - began)
            answer(seconds=seconds)
        elif command == "predict":
            side.predict(x_test[: int(rest[0])])
            answer(seconds=[time.perf_counter() - began])
        elif command == "epoch":
            accuracy = side.epoch(x, y, x_test, y_test)
            answer(seconds=[time.perf_counter() - began], accuracy=accuracy)
        else:
            answer(bytes=peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:4])
