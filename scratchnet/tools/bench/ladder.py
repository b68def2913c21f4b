"""The ladder: a convolution, the layers that only pass over memory, and a training step, from plain loops to all cores.

An implementation is a "rung" of the ladder. An assertion checks that every rung computes the same numbers. Arithmetic is counted
as in the definition: an algorithm that needs fewer multiplications (Winograd's) then has more GFLOP/s than it really computes,
and may exceed the peak.

`threads.limit(1)(call)` is a function that runs `call` on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from tqdm import tqdm

from scratchnet import networks, reference
from scratchnet.kernels import conv2d, gemm, threads, winograd
from scratchnet.kernels.im2col import col2im_numpy, im2col_numpy
from scratchnet.kernels.jit import jit
from scratchnet.layers import Activation, BatchNormalization, Dropout, Layer
from scratchnet.layers import conv2d as page
from scratchnet.model import Model
from scratchnet.padding import Pads, window_output_shape, window_pads
from scratchnet.tools.bench.sides import seconds_of, settle

Array = np.ndarray
Pair = tuple[int, int]
CALLS = 3       # timed calls in a turn
NETS, SIZES = ("net_1", "net_2"), ((28, 28, 1), (32, 32, 3))


# -- the convolution and its implementations --------------------------------------------------------------------------


class Convolution(NamedTuple):
    """The arguments of a convolution, forward and backward."""

    x: Array
    w: Array
    b: Array
    dout: Array
    strides: Pair = (1, 1)
    pads: Pads = ((1, 1), (1, 1))

    def both(self, forward: Callable[..., Array], backward: Callable[..., tuple[Any, ...]]) -> Callable[[], tuple[Any, ...]]:
        """Return a function that runs this implementation, and returns out, dx, dw and db."""
        where = self.strides, self.pads
        return lambda: (forward(self.x, self.w, self.b, *where), *backward(self.dout, self.x, self.w, *where))

    def operations(self) -> int:
        """Return how many additions and multiplications the definition has: three products, for out, dx and dw."""
        return 3 * 2 * self.dout.size * self.w[..., 0].size


def convolution(batch: int, taps: int = 3, stride: int = 1, C: int = 32, F: int = 64) -> Convolution:
    """Return a convolution of random images of 28 × 28 pixels; by default it is the second of net_1."""
    rng = np.random.default_rng(0)
    strides, size = (stride, stride), -(-28 // stride)
    x, w = rng.standard_normal((batch, 28, 28, C), np.float32), rng.standard_normal((taps, taps, C, F), np.float32) / 17
    b, dout = rng.standard_normal(F, np.float32), rng.standard_normal((batch, size, size, F), np.float32)
    return Convolution(x, w, b, dout, strides, window_pads("same", (28, 28), (taps, taps), strides))


def numpy_forward(x: Array, w: Array, b: Array, strides: Pair, pads: Pads) -> Array:
    """Return the convolution, computed in NumPy alone: im2col and one matrix product."""
    kernel, F = w.shape[:2], w.shape[-1]
    out = im2col_numpy(x, kernel, strides, pads) @ w.reshape(-1, F) + b       # -> (N·OH·OW, F)
    return out.reshape(len(x), *window_output_shape(x.shape, kernel, strides, pads), F)


def numpy_backward(dout: Array, x: Array, w: Array, strides: Pair, pads: Pads) -> tuple[Array, Array, Array]:
    """Return dx, dw and db, computed in NumPy alone."""
    kernel, F = w.shape[:2], w.shape[-1]
    dout = dout.reshape(-1, F)                                                # (N, OH, OW, F) -> (N·OH·OW, F)
    dw = im2col_numpy(x, kernel, strides, pads).T @ dout                      # -> (KH·KW·C, F)
    dx = col2im_numpy(dout @ w.reshape(-1, F).T, x.shape, kernel, strides, pads)
    return dx, dw.reshape(w.shape), dout.sum(axis=0)


# -- measuring --------------------------------------------------------------------------------------------------------


def in_turns(
    calls: Mapping[str, Callable[[], Any]], rounds: int, title: str, measure: Callable[[Callable[[], Any]], Any] = seconds_of
) -> dict[str, Any]:
    """Measure each call CALLS times in its turn, after `settle`, for `rounds` rounds; return the median of each.

    `measure` returns a number, or several, each of which gets its own median.
    """
    measured: dict[str, list[Any]] = {name: [] for name in calls}
    for _ in tqdm(range(rounds), desc=title, disable=None, leave=False):
        for name, call in calls.items():
            settle(call)
            measured[name] += [measure(call) for _ in range(CALLS)]
    return {name: np.median(values, axis=0).tolist() for name, values in measured.items()}


@jit
def _spin(first, last, a, rounds):
    for k in range(first, last):
        gemm.spin(a[k * 14 * 16 :], rounds)


def peak(count: int, rounds: int = 8_000_000) -> float:
    """Measure this machine's peak in float32 GFLOP/s on `count` threads: only multiply-adds in registers.

    Each thread has the 14 vectors that `gemm.spin` reads, of at most 16 numbers (512 bits). A round is 12 vector multiply-adds,
    and each of these is 2 operations, a multiplication and an addition, in every lane.
    """
    a = np.full(count * 14 * 16, 0.5, np.float32)
    enough = 1 << 30            # as the amount of work: `threads.run` divides it among all `count` threads
    call = threads.limit(count)(partial(threads.run, _spin, enough, count, a, rounds))
    seconds = in_turns({"peak": call}, 5, "peak")["peak"]
    return count * rounds * 12 * gemm.VECTOR_BYTES // 4 * 2 / seconds / 1e9


def must_agree(name: str, got: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    """Raise AssertionError if numbers differ by more than rounding."""
    for value, right in zip(got, expected, strict=True):
        if not np.allclose(value, right, rtol=0, atol=2e-5 * np.abs(right).max()):
            raise AssertionError(f"{name}: expected the numbers of the other implementations, got different ones. Run the tests.")


# -- the rungs --------------------------------------------------------------------------------------------------------


def rungs(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure the convolution on every rung, forward and backward.

    Returns
    -------
    list of dict
        For each rung its name, threads, milliseconds for the batch (None for the loops, which get one small image), and
        GFLOP/s of the arithmetic in the definition.
    """
    conv = convolution(batch)
    calls = {
        "im2col in NumPy": conv.both(numpy_forward, numpy_backward),
        "im2col in numba": conv.both(page.conv2d_forward, page.conv2d_backward),
    }
    for count in sorted({1, threads.count()}):
        for kind, call in kernels(conv).items():
            calls[f"{kind}, {count} thread{'s' * (count > 1)}"] = threads.limit(count)(call)
    expected = calls["im2col in NumPy"]()
    for name, call in calls.items():
        must_agree(name, call(), expected)
    rows = [loops(conv)]
    for name, seconds in in_turns(calls, rounds, "convolution").items():
        count = 1 if name.endswith(", 1 thread") else threads.count()
        rows.append({"rung": name, "threads": count, "ms": 1e3 * seconds, "gflops": conv.operations() / seconds / 1e9})
    return rows


def kernels(conv: Convolution) -> dict[str, Callable[[], tuple[Any, ...]]]:
    """Return the calls of the two kinds of kernels."""
    return {
        "direct": conv.both(conv2d.direct_forward, conv2d.direct_backward),
        "Winograd": conv.both(winograd.conv2d_forward, winograd.conv2d_backward),
    }


def loops(conv: Convolution) -> dict[str, Any]:
    """Measure the definition's loops, in plain Python, on a corner of one image, and compare the numbers with NumPy's."""
    corner = Convolution(conv.x[:1, :6, :6], conv.w[..., :8], conv.b[:8], conv.dout[:1, :6, :6, :8])
    began = time.perf_counter()
    got = corner.both(reference.conv2d_forward, reference.conv2d_backward)()
    seconds = time.perf_counter() - began
    must_agree("loops", got, corner.both(numpy_forward, numpy_backward)())
    return {"rung": "loops in Python", "threads": 1, "ms": None, "gflops": corner.operations() / seconds / 1e9}


@contextmanager
def timed_kernels(seconds: list[float]) -> Iterator[None]:
    """Append the seconds of each kernel of a convolution, from the beginning of its first piece of work to the end of the last."""

    def run(kernel: Callable[..., None], work: int, tasks: int, *arguments: Any) -> None:
        pieces: list[tuple[float, float]] = []

        def piece(*of: Any) -> None:
            began = time.perf_counter()
            kernel(*of)
            pieces.append((began, time.perf_counter()))

        threads.run(piece, work, tasks, *arguments)
        begins, ends = zip(*pieces, strict=True)
        seconds.append(max(ends) - min(begins))

    with patch.object(conv2d, "run", run), patch.object(winograd, "run", run):
        yield


def seconds_in_kernels(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of a call, and those that it spent in kernels."""
    seconds: list[float] = []
    with timed_kernels(seconds):
        whole = seconds_of(call)
    return whole, sum(seconds)


def scaling(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure how much faster all threads run the ladder's convolution than one.

    Returns
    -------
    list of dict
        For each kind its name, the threads, and the ratio of the times, for whole calls and for the kernels alone: without
        the Python around them, and without the time to wake a thread.
    """
    calls = kernels(convolution(batch))
    turns = {f"{kind} {count}": threads.limit(count)(call) for kind, call in calls.items() for count in (1, threads.count())}
    measured = in_turns(turns, rounds, "threads", seconds_in_kernels)
    rows = []
    for kind in calls:
        one, all_ = measured[f"{kind} 1"], measured[f"{kind} {threads.count()}"]
        rows.append({"kind": kind, "threads": threads.count(), "calls": one[0] / all_[0], "kernels": one[1] / all_[1]})
    return rows


SHAPES = [(3, 1, 32, 64), (3, 2, 32, 64), (5, 1, 32, 64), (1, 1, 64, 64), (3, 1, 16, 16), (3, 1, 48, 80), (7, 3, 16, 32),
          (3, 1, 3, 32), (3, 1, 17, 33), (3, 1, 5, 100)]  # fmt: skip


def shapes(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure convolutions of other kernels, strides and channels on 28 × 28, forward and backward, direct and the default.

    Returns
    -------
    list of dict
        For each its taps, stride, channels and maps, and for both the GFLOP/s of the arithmetic in the definition.
    """
    kinds = {
        "direct": (conv2d.direct_forward, conv2d.direct_backward),
        "fused": (conv2d.conv2d_forward, conv2d.conv2d_backward),
    }
    named = {f"{taps}×{taps}, stride {stride}, {C} to {F}": (taps, stride, C, F) for taps, stride, C, F in SHAPES}
    convs = {name: convolution(batch, *shape) for name, shape in named.items()}
    calls = {f"{n} {kind}": conv.both(*pair) for n, conv in convs.items() for kind, pair in kinds.items()}
    seconds = in_turns(calls, rounds, "shapes")
    return [
        {"shape": n, **{kind: conv.operations() / seconds[f"{n} {kind}"] / 1e9 for kind in kinds}} for n, conv in convs.items()
    ]


# -- layers that pass over memory -------------------------------------------------------------------------------------

PASSES: dict[str, Callable[[], Layer]] = {
    "batch normalization": BatchNormalization,
    "dropout": partial(Dropout, 0.5),
    **{name: partial(Activation, name) for name in ("relu", "leaky_relu", "sigmoid", "tanh", "elu", "silu", "gelu", "gelu_tanh")},
}


def pass_of(make: Callable[[], Layer], x: Array, implementation: str) -> Callable[[], tuple[Array, ...]]:
    """Return a function that runs forward, as in training, and backward of a layer, and returns out and dx."""
    layer = make().build_for([x.shape[1:]], np.random.default_rng(0), x.dtype, implementation)
    mode: Any = {"training": True} if layer.takes_training else {}
    dout = np.random.default_rng(1).standard_normal(x.shape, np.float32)

    def run() -> tuple[Array, ...]:
        if layer.draws:
            layer.rng = np.random.default_rng(0)        # the same numbers in every implementation
        return layer.forward(x, **mode), layer.backward(dout)

    return run


def passes(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure layers that do little for each number, forward and backward, on images of 28 × 28 with 32 channels.

    Returns
    -------
    list of dict
        For each layer, and for two copies of the array, its name and the nanoseconds for each number: in NumPy (the layer's own
        module), fused on one thread, and fused on all threads.
    """
    x = np.random.default_rng(0).standard_normal((batch, 28, 28, 32), np.float32)
    calls: dict[str, Callable[[], Any]] = {"two copies": lambda: (x.copy(), x.copy())}
    for name, make in PASSES.items():
        page_, fused = pass_of(make, x, "im2col"), pass_of(make, x, "fused")
        must_agree(name, fused(), page_())
        calls |= {f"{name} numpy": page_, f"{name} one": threads.limit(1)(fused), f"{name} all": fused}
    ns = {name: 1e9 * seconds / x.size for name, seconds in in_turns(calls, rounds, "passes").items()}
    rows = [{"layer": "two copies", "numpy": ns["two copies"], "one": None, "all": None}]
    return rows + [{"layer": name, **{key: ns[f"{name} {key}"] for key in ("numpy", "one", "all")}} for name in PASSES]


# -- training steps ---------------------------------------------------------------------------------------------------


def compiled(net: str, shape: tuple[int, int, int], implementation: str = "fused") -> Model:
    """Return one of the two networks, ready to train."""
    model = getattr(networks, net)(shape, 10, seed=0, implementation=implementation)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def batch_of(shape: tuple[int, int, int], count: int) -> tuple[Array, Array]:
    """Return a batch of noise with labels."""
    rng = np.random.default_rng(0)
    return rng.random((count, *shape), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, count)]


def steps(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure a training step of both networks at both sizes, for each implementation from im2col up, in milliseconds."""
    rows = []
    for net in NETS:
        for shape in SIZES:
            batch_x_y = batch_of(shape, batch)
            names = ("im2col", "direct", "fused")
            calls: dict[str, Callable[[], Any]] = {n: partial(compiled(net, shape, n).train_on_batch, *batch_x_y) for n in names}
            calls["fused, 1 thread"] = threads.limit(1)(calls["fused"])
            seconds = in_turns(calls, rounds, f"{net} {shape}")
            rows.append({"net": net, "shape": shape, "threads": threads.count()} | {name: 1e3 * s for name, s in seconds.items()})
    return rows


def growth(rounds: int) -> dict[str, list[dict[str, float]]]:
    """Measure how a step of net_2 grows with the batch, and with the side of the images, in milliseconds."""

    def step(side: int, batch: int) -> Callable[[], Any]:
        return partial(compiled("net_2", (side, side, 1)).train_on_batch, *batch_of((side, side, 1), batch))

    grown = {
        "batch": {str(n): step(28, n) for n in (32, 64, 128, 256, 512)},
        "side": {str(n): step(n, 64) for n in (16, 24, 32, 48, 64)},
    }
    seconds = {what: in_turns(calls, rounds, f"growth with {what}") for what, calls in grown.items()}
    return {what: [{what: float(n), "ms": 1e3 * s} for n, s in found.items()] for what, found in seconds.items()}
