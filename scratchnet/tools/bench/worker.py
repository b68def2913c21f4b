"""One side of a comparison, in its own process: `python -m scratchnet.tools.bench.worker SIDE NET DATA`.

A side is one library with its settings, scratchnet or another (sides.py). It reads commands from its standard input, one on
each line, and executes them while the other sides wait. It answers with a line of JSON that begins with a mark, because
frameworks also print lines:

    step N       N training steps on one batch, after some that are not measured: the seconds of each
    predict N    the probabilities of N test images: the seconds
    epoch        a whole epoch on the training images, with validation: the seconds and the validation accuracy
    numbers      the losses of the first three steps, and the probabilities of an image after them
    forward K N  N forwards of the K-th convolution of net_3 alone: the seconds of each; backward K N in the same way
    results K    numbers that represent all results of this convolution
    memory       the largest size that the process has had, in bytes
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np

from scratchnet import datasets, preprocessing
from scratchnet.tools.bench import net_3
from scratchnet.tools.bench.sides import BATCH, NET_3, SIDES, Side, seconds_of, settle

MARK = "scratchnet bench: "
SHAPES = {"mnist": ((28, 28, 1), 60_000), "cifar10": ((32, 32, 3), 50_000)}


def load(name: str) -> tuple[str, tuple[np.ndarray, ...]]:
    """Return the name of the data, and their arrays: the data set, or noise of its size if the set is not stored."""
    shape, count = SHAPES[name]
    if any(status.name == name and status.folder for status in datasets.status()):
        data = datasets.load(name)
        images = [preprocessing.normalize_images(x.reshape(-1, *shape)) for x in (data.x_train, data.x_test)]
        return name, (images[0], preprocessing.one_hot(data.y_train, 10), images[1], preprocessing.one_hot(data.y_test, 10))
    rng = np.random.default_rng(0)
    images = [rng.random((n, *shape), dtype=np.float32) for n in (count, 10_000)]
    labels = [np.eye(10, dtype=np.float32)[rng.integers(0, 10, len(x))] for x in images]
    return f"noise as large as {name}", (images[0], labels[0], images[1], labels[1])


def make(side: str, net: str, data: str) -> tuple[Side, int]:
    """Return a side, and the number of images in a batch."""
    shape = SHAPES[data][0]
    return (NET_3[side](shape, 10), net_3.BATCH) if net == "net_3" else (SIDES[side][1](net, shape, 10), BATCH)


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def main(side_name: str, net: str, data_name: str) -> None:
    """Execute commands until the input ends."""

    def answer(**values: Any) -> None:
        print(MARK + json.dumps(values), flush=True)

    data, (x, y, x_test, y_test) = load(data_name)
    side, batch = make(side_name, net, data_name)

    def step() -> float:
        return side.step(x[:batch], y[:batch])

    few = batch + len(x) % batch, batch + len(x_test) % batch       # a whole batch, and one as short as the last one
    numbers = [step(), step(), step(), *map(float, side.predict(x_test[: few[1]])[0])]
    for _ in range(2):                                              # every side compiles what it has to compile
        step()
        side.predict(x_test[: few[1]])
        side.epoch(x[: few[0]], y[: few[0]], x_test[: few[1]], y_test[: few[1]])
    answer(ready=True, data=data)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "step":
            settle(step)
            answer(seconds=[seconds_of(step) for _ in range(int(rest[0]))])
        elif command == "predict":
            answer(seconds=[seconds_of(partial(side.predict, x_test[: int(rest[0])]))])
        elif command == "epoch":
            began = time.perf_counter()
            accuracy = side.epoch(x, y, x_test, y_test)
            answer(seconds=[time.perf_counter() - began], accuracy=accuracy)
        elif command == "numbers":
            answer(numbers=numbers)
        elif command in ("forward", "backward", "results"):
            assert side.convolution is not None
            calls = side.convolution(int(rest[0]))
            if command == "results":
                answer(numbers=net_3.fingerprint(calls.results()))
            else:
                call = calls.forward if command == "forward" else calls.backward
                settle(call)
                answer(seconds=[seconds_of(call) for _ in range(int(rest[1]))])
        else:
            answer(bytes=peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:4])
