"""Data-parallel training: several processes train one model, each on its part of every batch.

    batch of 128    →   rank 0: images 0 … 42   rank 1: images 43 … 85   rank 2: images 86 … 127
    each rank           forward and backward of its part, with its own copy of the weights
    all ranks           the gradients are summed over the ranks, and every rank makes the same step

The processes ("ranks", numbered from 0) are started by MPI, on one machine or on several: `mpiexec -n 3 python train.py`. Each has
all training data, and the same weights at every step.

Why is the sum right? The loss of a batch is the mean over its N images. If rank r has n_r of them, with the mean loss L_r,

    L = 1/N Σ_n loss_n = Σ_r (n_r / N) · L_r                dL/dw = Σ_r (n_r / N) · dL_r/dw                         (1)

So each rank multiplies the gradient of its logits by n_r / N. Apart from this, its backward is that of one process, since backward
is linear in this gradient. Then the gradients of all ranks are added up (an all-reduce: every rank receives the sum). What is
not a mean over images is computed after the sum, and so counts once: penalties of regularizers, clipping, weight decay, the step.

The result must not depend on which rank has an image. Each image has the random numbers of its position in the whole batch
(`Samples.first`), from generators that are in the same state in all ranks, and batch normalization computes mean and variance over
the whole batch (`Samples.total`). So the ranks compute what one process computes, except for rounding: numbers are added in another
order. Sums over ranks have a fixed order, so a run with the same number of ranks has the same bits each time.

Source: Goyal et al., *Accurate, large minibatch SGD: training ImageNet in 1 hour* (2017), section 3; Li et al., *PyTorch
distributed: experiences on accelerating data parallel training* (2020), section 2. The name is that of
`keras.distribution.DataParallel`, which takes devices where this takes processes.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np

from scratchnet import regularizers
from scratchnet.kernels import threads
from scratchnet.layers.base import Samples
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import check_finite, check_flag, shortened
from scratchnet.support.interrupts import noted

__all__ = ["DataParallel", "OneProcess"]

NO_MPI = 'DataParallel: expected the library mpi4py, got none. Install it with an MPI: pip install "scratchnet[mpi]"'
GRACE = 3.0                 # seconds that a process whose run has failed waits for the others to fail too
GRACE_INTERRUPT = 15.0      # the same after an interrupt, when rank 0 first plots the finished epochs
FORWARD = 0.2               # seconds that mpiexec gets to forward what a failing rank has printed; later it may drop it
POLL = 0.005                # seconds between two checks for a message that may take long to arrive


def samples_argument(model: Any, samples: Samples) -> dict[str, Samples]:
    """Return the keyword argument `samples` of `Model.train_step` as a dict, which is empty if no layer of the model needs it."""
    return {"samples": samples} if any(layer.needs_samples(samples) for layer in model.every_layer.values()) else {}


class OneProcess:
    """What `fit` calls at its beginning, for each batch, and after each epoch; here for one process, which runs whole batches."""

    rank, size = 0, 1

    def part(self, rows: Any, epoch: int) -> Samples:
        """Return the samples of a batch that this process runs; `rows` are the indices of the whole batch, an array or a range."""
        return Samples(rows, epoch)

    def train_step(
        self, model: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray | None, samples: Samples
    ) -> tuple[float, np.ndarray]:
        """Train on this process's part of a batch; return the loss of the whole batch, and the logits of the part."""
        return model.train_step(x, y, w, **samples_argument(model, samples))

    def test_step(
        self, model: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray | None, samples: Samples, augment: str | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the loss of the whole batch and the logits of this process's part; `augment` as for `predict`."""
        return model.test_step(x, y, w, **({"augment": augment} if augment else {}))

    def total(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an array over all processes."""
        return array

    def agree(self, stop: bool) -> bool:
        """Return whether any process has to stop training."""
        return stop

    @contextmanager
    def fitting(self, model: Any, settings: Mapping[str, Any]) -> Iterator[None]:
        """Prepare the processes for `fit`."""
        yield

    def end_epoch(self, model: Any) -> None:
        """Check the processes after an epoch."""


class DataParallel(OneProcess):
    """Several processes train one model: `model.fit(x, y, distribution=DataParallel())` in each of them.

    Start them with `mpiexec -n 4 python train.py`. Every process makes the same calls with the same data. When `fit` begins, all
    receive the weights, the optimizer's state and the random generators of rank 0. While it runs, only rank 0 prints, and only its
    callbacks write files (`Callback.writes_files`). If one process fails, all of them end.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The processes; all that MPI has started, by default.
    synchronized : bool
        Whether batch normalization computes mean and variance over the whole batch, as one process does. With False, each rank
        computes them over its own part, as PyTorch's `DistributedDataParallel` does with `BatchNorm2d`. This saves two small
        messages for each such layer, but the result depends on the number of ranks: the mean and variance of few images are noisy,
        and after Flatten the variance of one image is 0. The moving averages are those of rank 0.

    Attributes
    ----------
    rank, size : int
        The number of this process, counted from 0, and how many processes there are.
    threads : int
        The number of threads of this process's kernels in `fit`: the number of cores that it may use, where a core that k
        processes of this machine may use counts as 1/k.

    Raises
    ------
    ImportError
        Without mpi4py.
    ValueError
        For a `comm` of another type, or if the processes cannot exchange messages.

    Examples
    --------
    >>> distribution = DataParallel()                                           # doctest: +SKIP
    >>> model.fit(x, y, batch_size=128, distribution=distribution)              # doctest: +SKIP
    >>> if distribution.rank == 0: model.save("model.npz")                      # doctest: +SKIP
    """

    def __init__(self, comm: Any = None, *, synchronized: bool = True):
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise ImportError(NO_MPI) from error
        if comm is not None and not isinstance(comm, MPI.Intracomm):
            raise ValueError(
                f"DataParallel: expected a communicator of mpi4py, got {shortened(comm)}. Leave it out, or pass MPI.COMM_WORLD"
            )
        self.MPI, self.comm = MPI, comm if comm is not None else MPI.COMM_WORLD
        self.synchronized = check_flag("synchronized", synchronized)
        self.rank, self.size = self.comm.rank, self.comm.size
        if comm is None and self.size < started():
            raise ValueError(
                f"DataParallel: expected the {started()} processes of mpiexec to find each other, got each of them alone:"
                " mpiexec and mpi4py belong to different MPIs. Use the mpiexec of this environment:"
                f" {os.path.join(os.path.dirname(sys.executable), 'mpiexec')}"
            )
        self.ends = self.comm.Dup()         # a process may fail during a message of training, so its end has its own communicator
        self.threads = self._threads()
        self.buffer = np.empty(0)
        self.signals: list[int] = []
        self._end_together()

    def _threads(self) -> int:
        """Return the number of threads on which this process's kernels run."""
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
        machine = self.comm.Split_type(self.MPI.COMM_TYPE_SHARED)
        last = np.array(max(cores))
        machine.Allreduce(self.MPI.IN_PLACE, last, self.MPI.MAX)
        mine = np.isin(np.arange(int(last) + 1), [*cores]).astype(float)
        sharing = mine.copy()
        machine.Allreduce(self.MPI.IN_PLACE, sharing)       # for each core, how many processes may use it
        machine.Free()
        return max(1, min(threads.count(), int((mine / np.maximum(sharing, 1)).sum() + 1e-9)))

    # -- one batch --------------------------------------------------------------------------------------------------------

    def part(self, rows: Any, epoch: int) -> Samples:
        """Return the samples that this rank runs: each rank has N // size of N samples, and the first N % size ranks have one more.

        A sum waits for all ranks. So if N is smaller than the number of ranks, the last ranks run a copy of the first sample, which
        adds 0 to every sum.

        Examples
        --------
        >>> [part_of(10, rank, 4) for rank in range(4)]
        [(0, 3), (3, 6), (6, 8), (8, 10)]
        """
        first, last = part_of(len(rows), self.rank, self.size)
        counts = first < last
        mine, first = (rows[first:last], first) if counts else (rows[:1], 0)
        return Samples(mine, epoch, first, self.total if self.synchronized else None, counts, shared=True)

    @quiet
    def train_step(
        self, model: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray | None, samples: Samples
    ) -> tuple[float, np.ndarray]:
        """Train on this rank's part of a batch: the step of `Model.train_step` with two sums over all ranks.

        Parameters
        ----------
        model : Model
        x, y, w : ndarray (n, …), ndarray (n, K), ndarray (n,) or None
            The images, labels and weights of the part.
        samples : Samples
            What `part` returned.

        Returns
        -------
        loss : float
            Of the whole batch.
        logits : ndarray (n, K)
            Of the part.
        """
        logits = model.forward(x, training=True, samples=samples, to=model.logits)
        loss, dlogits = self._loss_and_gradient(model, x, logits, y, w, samples)    # a sum over all ranks: the loss
        model.backward(dlogits, need_dx=False, start=model.logits, keep=False)
        self.sum_gradients(model)                                                   # a sum over all ranks: the gradients
        regularizers.add_gradients(node.layer for node in model.nodes)
        model.optimizer.update([*model.params.values()], [*model.grads.values()])
        return loss, logits

    @quiet
    def test_step(
        self, model: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray | None, samples: Samples, augment: str | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the loss of the whole batch and the logits of this rank's part, without training."""
        _, logits = super().test_step(model, x, y, w, samples, augment)
        return self._loss_and_gradient(model, x, logits, y, w, samples)[0], logits

    def _loss_and_gradient(
        self, model: Any, x: np.ndarray, logits: np.ndarray, y: np.ndarray, w: np.ndarray | None, samples: Samples
    ) -> tuple[float, np.ndarray]:
        """Return (1): the loss of the whole batch, and this rank's part of its gradient with respect to the logits.

        If the loss is not finite, every rank raises the same FloatingPointError; `_raise_together` chooses it.
        """
        n = len(logits) if samples.counts else 0
        loss, dlogits = model.loss_and_gradient(logits, y, w)
        total, N = self.total(np.array([n * loss if n else 0.0, n]))
        if not np.isfinite(total):
            self._raise_together(model, x, float(total / N), np.isfinite(loss))
        return float(total / N), dlogits * dlogits.dtype.type(n / N)

    def _raise_together(self, model: Any, x: np.ndarray, loss: float, finite: bool) -> None:
        """Raise in every rank the error of one: the first whose images are not finite, or else the first whose loss is not."""
        order = np.array(self.rank + self.size * (2 if finite else int(np.isfinite(x).all())))
        self.comm.Allreduce(self.MPI.IN_PLACE, order, self.MPI.MIN)
        message = ""
        try:
            check_finite(model, x, loss)
        except FloatingPointError as error:
            message = str(error)
        raise FloatingPointError(self.send(message, int(order) % self.size))

    def total(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an array over all ranks, the same bits in each of them.

        The order in which ranks are added is fixed by their number and by the machines on which they run: section 6.9.1 of the
        MPI standard (4.0) recommends that a reduction returns the same result whenever it has the same arguments, and the usual
        MPIs do.
        """
        array = np.array(array)
        self.comm.Allreduce(self.MPI.IN_PLACE, array)
        return array

    def sum_gradients(self, model: Any) -> None:
        """Replace the gradient of every parameter that is trained by its sum over all ranks.

        All gradients are copied into one contiguous buffer: one large message is faster than many small ones, since each message
        has a latency. The new gradients are views of the buffer, valid until the next step.
        """
        trained = [(layer, key) for layer in model.every_layer.values() if layer.trainable for key in layer.params]
        if not trained:
            return
        grads = [layer.grads[key] for layer, key in trained]
        if len(self.buffer) != sum(g.size for g in grads) or self.buffer.dtype != model.dtype:
            self.buffer = np.empty(sum(g.size for g in grads), model.dtype)
        np.concatenate([g.reshape(-1) for g in grads], out=self.buffer)
        self.comm.Allreduce(self.MPI.IN_PLACE, self.buffer)
        ends = np.cumsum([g.size for g in grads])
        for (layer, key), g, end in zip(trained, grads, ends, strict=True):
            layer.grads = {**layer.grads, key: self.buffer[end - g.size : end].reshape(g.shape)}

    # -- one call of fit --------------------------------------------------------------------------------------------------

    @contextmanager
    def fitting(self, model: Any, settings: Mapping[str, Any]) -> Iterator[None]:
        """Prepare all ranks: the same model, a share of the threads, output from rank 0 only, and interrupts that stop all ranks.

        Raises
        ------
        ValueError
            If the `settings`, such as the number of images, or the names, shapes or dtypes of the weights are not those of rank 0.
        """
        shapes = {name: [str(p.dtype), *p.shape] for name, p in model.named_weights.items()}
        self._check_same({**settings, "weights": shapes})
        self.send_model(model)
        with (
            threads.limit(self.threads),
            noted() as self.signals,
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            redirect_stdout(sys.stdout if self.rank == 0 else nowhere),
        ):
            yield

    def _check_same(self, mine: Mapping[str, Any]) -> None:
        """Raise ValueError if a setting is not that of rank 0."""
        first = self.send(mine)
        for name, value in json.loads(json.dumps(mine)).items():
            if first.get(name) != value:
                raise ValueError(
                    f"fit: expected the same {name} in every process, got {shortened(first.get(name))} in rank 0 and"
                    f" {shortened(value)} in rank {self.rank}. Make the same calls with the same data in each"
                )

    def send_model(self, model: Any) -> None:
        """Copy the weights, the optimizer's state and the random generators of rank 0 to every rank."""
        optimizer, layers = model.optimizer, model.every_layer
        generators = [model.shuffle_rng, *(layer.rng for layer in layers.values() if layer.draws)]
        rate = None if optimizer._schedule is not None else float(optimizer.learning_rate)
        mine = {
            "generators": [rng.bit_generator.state for rng in generators],
            "iterations": optimizer.iterations,
            "learning_rate": rate,
            "has_state": bool(optimizer.state),
        }
        first = self.send(mine)
        for rng, state in zip(generators, first["generators"], strict=True):
            rng.bit_generator.state = state
        optimizer.iterations = first["iterations"]
        if rate is not None:
            optimizer.learning_rate = first["learning_rate"]
        if not first["has_state"]:
            optimizer.state = []
        elif not optimizer.state:
            optimizer.state = [optimizer.make_state(p) for p in model.params.values()]
        for array in [*model.named_weights.values(), *(a for state in optimizer.state for a in state)]:
            self._send_array(array)

    def _send_array(self, array: np.ndarray) -> None:
        """Copy rank 0's values of an array into that of every rank."""
        values = np.ascontiguousarray(array)
        self.comm.Bcast(values)
        if values is not array:
            array[...] = values

    def send(self, value: Any, root: int = 0) -> Any:
        """Return in every rank the `value` of rank `root`, which JSON can represent. Waiting ranks sleep and use no core."""
        text = bytearray(json.dumps(value).encode() if self.rank == root else b"")
        size = np.array(len(text))
        self._wait(self.comm.Ibcast(size, root))
        text = text if self.rank == root else bytearray(int(size))
        self._wait(self.comm.Ibcast(text, root))
        return json.loads(text)

    def _wait(self, request: Any) -> None:
        while not request.Test():
            time.sleep(POLL)

    def agree(self, stop: bool) -> bool:
        """Return whether any rank has to stop training; raise `StoppedTogether` in every rank if one has received a signal."""
        flags = np.array([int(stop), self.signals[0] if self.signals else 0])
        self.comm.Allreduce(self.MPI.IN_PLACE, flags, self.MPI.MAX)
        if flags[1]:
            self.signals.clear()
            raise StoppedTogether(int(flags[1]))
        return bool(flags[0])

    def end_epoch(self, model: Any) -> None:
        """Check that all ranks have the same weights. With `synchronized=False`, all receive the moving averages of rank 0.

        Raises
        ------
        RuntimeError
            In every rank, if the weights differ.
        """
        if not self.synchronized:
            for layer in model.every_layer.values():
                for array in layer.state.values():
                    self._send_array(array)
        crc = 0
        for array in model.named_weights.values():
            crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
        ends = np.array([crc, -crc])
        self.comm.Allreduce(self.MPI.IN_PLACE, ends, self.MPI.MAX)
        if ends[0] != -ends[1]:
            raise RuntimeError(
                "fit: expected the same weights in every process after an epoch, got different ones. A layer or a callback"
                " of your own must compute the same in each: draw from the layer's rng, and change no weights in one rank alone"
            )

    # -- the end of a process ---------------------------------------------------------------------------------------------

    def _end_together(self) -> None:
        """Let an uncaught exception in one process end all processes, from now on."""
        if self.size == 1:
            return
        usual = sys.excepthook

        def end_all(kind: type[BaseException], error: BaseException, trace: Any) -> None:
            interrupted = issubclass(kind, KeyboardInterrupt)
            if self.rank == 0:
                usual(kind, error, trace)
                time.sleep(FORWARD)
            together = self.all_end(GRACE_INTERRUPT if interrupted else GRACE)
            if self.rank and not together:
                usual(kind, error, trace)
            if not together:
                self.abort(1)

        sys.excepthook = end_all

    def all_end(self, patience: float) -> bool:
        """Wait up to `patience` seconds until all ranks have called this method, and return whether they have."""
        request, until = self.ends.Ibarrier(), time.monotonic() + patience
        while not request.Test():
            if time.monotonic() > until:
                return False
            time.sleep(POLL)
        return True

    def abort(self, code: int) -> None:
        """End all processes, after a moment in which their messages are forwarded."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        time.sleep(FORWARD)
        self.comm.Abort(code)


class StoppedTogether(KeyboardInterrupt):
    """Raised in all ranks, after the same batch, if one of them has received a signal."""


def part_of(N: int, rank: int, size: int) -> tuple[int, int]:
    """Return the first position of a rank's part of N samples, and the position after its last."""
    part, more = divmod(N, size)
    first = rank * part + min(rank, more)
    return first, first + part + (rank < more)


STARTED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")       # what MPICH and Intel MPI, and Open MPI, set


def started(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes mpiexec has started, from the environment variables that it sets; 1 without mpiexec.

    Examples
    --------
    >>> started({"PMI_SIZE": "4"}), started({})
    (4, 1)
    """
    values: Sequence[str] = [environment.get(name, "") for name in STARTED]
    return max([1, *(int(value) for value in values if value.isdigit())])
