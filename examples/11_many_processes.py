"""Several processes train one network: each takes a part of every batch, and their gradients are summed.

    pip install "scratchnet[mpi]"                                       also installs MPI, which starts the processes
    mpiexec -n 2 python examples/11_many_processes.py                   glyphs, which need no download
    mpiexec -n 2 python examples/11_many_processes.py --data mnist      downloads MNIST if necessary (12 MB)

Every process runs this whole program, with all the data. `fit` divides the work: it sends the weights of process 0 ("rank 0") to
all, each process computes the gradients of its part of a batch, and after each step all have the same weights again. With one
process, `python examples/11_many_processes.py`, the values are the same except for rounding.
"""

import argparse
import time

import numpy as np

from scratchnet import datasets, net_2
from scratchnet.distribution import DataParallel
from scratchnet.preprocessing import add_channel_axis, normalize_images


def main(data, limit, epochs):
    distribution = DataParallel()
    images = datasets.load(data)
    x_train, x_test = (normalize_images(add_channel_axis(x[:limit])) for x in (images.x_train, images.x_test))  # (N, H, W, C)
    y_train, y_test = images.y_train[:limit], images.y_test[:limit]                                             # (N,), integers

    model = net_2(x_train.shape[1:], len(images.class_names), seed=distribution.rank)       # fit uses the weights of rank 0
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    began = time.perf_counter()
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=epochs, verbose=2, validation_data=(x_test, y_test), distribution=distribution
    )
    seconds = time.perf_counter() - began

    norm = np.sqrt(sum(np.square(p, dtype=float).sum() for p in model.get_weights()))
    norms = distribution.comm.gather(float(norm))               # the norm of the weights of each process, collected in rank 0
    if distribution.rank == 0:
        print(f"{distribution.size} processes of {distribution.threads} threads: {seconds:.1f} s")
        print(f"validation accuracy {history.history['val_accuracy'][-1]:.3f}")
        print(f"all have the same weights: {norms == [norms[0]] * distribution.size}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="glyphs", choices=datasets.NAMES)
    parser.add_argument("--limit", type=int, help="use only the first LIMIT images")
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
