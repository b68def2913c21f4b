"""The ladder: one convolution and one training step, from the plain loops up to all cores, beside the machine's own peak.

Every rung computes the same numbers, which is asserted. Arithmetic is counted as the definition has it: an algorithm
that needs fewer multiplications (Winograd's) then shows more GFLOP/s than it does, and may stand above the peak.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from tqdm import tqdm

from scratchnet import networks, reference
from scratchnet.kernels import conv2d, gemm, threads, winograd
from scratchnet.kernels.jit import jit
from scratchnet.layers import conv2d as page
from scratchnet.model import Model
from scratchnet.padding import window_pads
from scratchnet.tools.bench.sides import settle

Array = np.ndarray
PADS = ((1, 1), (1, 1))
CALLS = 3       # that count, in a turn
NETS, SIZES = ("net_1", "net_2"), ((28, 28, 1), (32, 32, 3))


# -- what a step does, without numba ----------------------------------------------------------------------------------


def numpy_forward(x: Array, w: Array, b: Array, strides: Any, pads: Any) -> Array:
    """Convolve in NumPy alone, as it is taught: windows, columns, one matrix product."""
    (KH, KW, C, F), (SH, SW) = w.shape, strides
    windows = sliding_window_view(np.pad(x, ((0, 0), *pads, (0, 0))), (KH, KW), axis=(1, 2))[:, ::SH, ::SW]
    cols = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, KH * KW * C)       # (N, OH, OW, C, KH, KW) -> (N·OH·OW, KH·KW·C)
    return (cols @ w.reshape(-1, F) + b).reshape(*windows.shape[:3], F)


def numpy_backward(dout: Array, x: Array, w: Array, strides: Any, pads: Any) -> tuple[Array, Array, Array]:
    """Give dx, dw, db in NumPy alone; columns go back tap by tap."""
    (N, H, W, C), (KH, KW, _, F), (SH, SW) = x.shape, w.shape, strides
    (top, _), (left, _) = pads
    OH, OW = dout.shape[1:3]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = sliding_window_view(padded, (KH, KW), axis=(1, 2))[:, ::SH, ::SW]
    cols = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, KH * KW * C)
    flat = dout.reshape(-1, F)
    dcols = (flat @ w.reshape(-1, F).T).reshape(N, OH, OW, KH, KW, C)
    dpadded = np.zeros_like(padded)
    for i in range(KH):
        for j in range(KW):
            dpadded[:, i : i + OH * SH : SH, j : j + OW * SW : SW] += dcols[:, :, :, i, j]
    return dpadded[:, top : top + H, left : left + W], (cols.T @ flat).reshape(w.shape), flat.sum(axis=0)


# -- measuring --------------------------------------------------------------------------------------------------------


def seconds_in_turns(calls: Mapping[str, Callable[[], Any]], rounds: int, title: str) -> dict[str, float]:
    """Let each settle in its turn and then call it CALLS times, `rounds` times over; give the median seconds of these calls."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in tqdm(range(rounds), desc=title, disable=None, leave=False):
        for name, call in calls.items():
            settle(call)
            for _ in range(CALLS):
                began = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - began)
    return {name: float(np.median(t)) for name, t in times.items()}


@jit
def _spin(first, last, a, rounds):
    for k in range(first, last):
        gemm.spin(a[k * 14 * 16 :], rounds)


def peak(count: int, rounds: int = 8_000_000) -> float:
    """Measure this machine's peak in float32 GFLOP/s, on `count` threads: nothing but multiply-adds in registers."""
    a = np.full(count * 14 * 16, 0.5, np.float32)
    with threads.limit(count):
        call = partial(threads.run, _spin, 1 << 30, count, a, rounds)
        seconds = seconds_in_turns({"peak": call}, 5, "peak")["peak"]
    return count * rounds * 12 * gemm.VECTOR_BYTES // 4 * 2 / seconds / 1e9


def on(count: int, call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Run a call on so many threads."""

    def run() -> Any:
        with threads.limit(count):
            return call(*arguments)

    return run


def must_agree(name: str, got: tuple[Any, ...], expected: tuple[Array, ...]) -> None:
    """Refuse numbers that are off by more than rounding."""
    for value, right in zip(got, expected, strict=True):
        if not np.allclose(value, right, rtol=0, atol=2e-5 * np.abs(right).max()):
            raise AssertionError(f"{name} does not give the numbers of the others")


def convolution(batch: int) -> tuple[tuple[Array, ...], Callable[..., Callable[[], tuple[Any, ...]]]]:
    """Make the ladder's convolution: (x, w, b, dout), and what makes one call of a forward and a backward on them.

    It is the second convolution of net_1, 3 × 3 from 32 to 64 maps of 28 × 28.
    """
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((batch, 28, 28, 32), np.float32), rng.standard_normal((3, 3, 32, 64), np.float32) / 17
    b, dout = rng.standard_normal(64, np.float32), rng.standard_normal((batch, 28, 28, 64), np.float32)

    def both(forward: Callable[..., Array], backward: Callable[..., tuple[Any, ...]]) -> Callable[[], tuple[Any, ...]]:
        return lambda: (forward(x, w, b, (1, 1), PADS), *backward(dout, x, w, (1, 1), PADS))

    return (x, w, b, dout), both


def rungs(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure the convolution on every rung, forward and backward.

    Returns
    -------
    list of dict
        For each rung its name, threads, milliseconds for the batch (None for the loops, which do one small image), and
        GFLOP/s of the arithmetic that the definition has.
    """
    (x, w, b, dout), both = convolution(batch)
    direct = both(conv2d.direct_forward, conv2d.direct_backward)
    few = both(winograd.conv2d_forward, winograd.conv2d_backward)
    calls = {
        "im2col in NumPy": both(numpy_forward, numpy_backward),
        "im2col in numba": both(page.conv2d_forward, page.conv2d_backward),
        "direct, 1 thread": on(1, direct),
        "Winograd, 1 thread": on(1, few),
    }
    if threads.count() > 1:
        calls |= {f"direct, {threads.count()} threads": direct, f"Winograd, {threads.count()} threads": few}
    expected = calls["im2col in NumPy"]()
    for name, call in calls.items():
        must_agree(name, call(), expected)
    seconds = seconds_in_turns(calls, rounds, "convolution")
    work = 3 * 2 * dout.size * w[..., 0].size
    alone = ("direct, 1 thread", "Winograd, 1 thread")
    rows = [
        {"rung": name, "threads": 1 if name in alone else threads.count(), "ms": 1e3 * s, "gflops": work / s / 1e9}
        for name, s in seconds.items()
    ]
    return [loops(x[:1, :6, :6], w[..., :8], b[:8], dout[:1, :6, :6, :8]), *rows]


def loops(x: Array, w: Array, b: Array, dout: Array) -> dict[str, Any]:
    """Time the definition's own loops, in plain Python, on a corner of one image; the answers are held against NumPy's."""
    began = time.perf_counter()
    got: tuple[Any, ...] = (reference.conv2d_forward(x, w, b, (1, 1), PADS), *reference.conv2d_backward(dout, x, w, (1, 1), PADS))
    seconds = time.perf_counter() - began
    expected = (numpy_forward(x, w, b, (1, 1), PADS), *numpy_backward(dout, x, w, (1, 1), PADS))
    must_agree("loops", got, expected)
    return {"rung": "loops in Python", "threads": 1, "ms": None, "gflops": 3 * 2 * dout.size * w[..., 0].size / seconds / 1e9}


@contextmanager
def timed_kernels(seconds: list[float]) -> Iterator[None]:
    """Note how long each kernel of a convolution runs, from where its first piece of work begins to where the last ends."""

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


def scaling(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure what all threads gain the ladder's convolution, against one.

    Returns
    -------
    list of dict
        For each kind its name, the threads, and how many times as fast they are in whole calls and in the kernels alone: without
        the Python around these, and without waking a thread.
    """
    _, both = convolution(batch)
    kinds = {
        "direct": both(conv2d.direct_forward, conv2d.direct_backward),
        "Winograd": both(winograd.conv2d_forward, winograd.conv2d_backward),
    }
    counts = 1, threads.count()
    times: dict[tuple[str, int], list[tuple[float, float]]] = {(kind, count): [] for kind in kinds for count in counts}
    for _ in tqdm(range(rounds), desc="threads", disable=None, leave=False):
        for kind, count in times:
            settle(on(count, kinds[kind]))
            for _ in range(CALLS):
                seconds: list[float] = []
                began = time.perf_counter()
                with timed_kernels(seconds), threads.limit(count):
                    kinds[kind]()
                times[kind, count].append((time.perf_counter() - began, sum(seconds)))
    rows = []
    for kind in kinds:
        one, all_ = (np.median(times[kind, count], axis=0) for count in counts)
        calls, kernels = map(float, one / all_)
        rows.append({"kind": kind, "threads": counts[1], "calls": calls, "kernels": kernels})
    return rows


SHAPES = [(3, 1, 32, 64), (3, 2, 32, 64), (5, 1, 32, 64), (1, 1, 64, 64), (3, 1, 16, 16), (3, 1, 48, 80), (7, 3, 16, 32),
          (3, 1, 3, 32), (3, 1, 17, 33), (3, 1, 5, 100)]  # fmt: skip


def shapes(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure convolutions of other kernels, strides and channels on 28 × 28, forward and backward, direct and the default.

    Returns
    -------
    list of dict
        For each its taps, stride, channels and maps, and the GFLOP/s of either, of the arithmetic that the definition has.
    """
    rng = np.random.default_rng(0)
    calls, work = {}, {}
    for taps, stride, C, F in SHAPES:
        x, w = rng.standard_normal((batch, 28, 28, C), np.float32), rng.standard_normal((taps, taps, C, F), np.float32) / 17
        pads = window_pads("same", (28, 28), (taps, taps), (stride, stride))
        dout = rng.standard_normal((batch, -(-28 // stride), -(-28 // stride), F), np.float32)
        name = f"{taps}×{taps}, stride {stride}, {C} to {F}"
        work[name] = 3 * 2 * dout.size * w[..., 0].size
        for kind, forward, backward in (
            ("direct", conv2d.direct_forward, conv2d.direct_backward),
            ("fused", conv2d.conv2d_forward, conv2d.conv2d_backward),
        ):
            calls[f"{name} {kind}"] = partial(_both, forward, backward, dout, x, w, (stride, stride), pads)
    seconds = seconds_in_turns(calls, rounds, "shapes")
    return [{"shape": n, **{kind: work[n] / seconds[f"{n} {kind}"] / 1e9 for kind in ("direct", "fused")}} for n in work]


def _both(forward: Callable[..., Any], backward: Callable[..., Any], dout: Array, x: Array, w: Array, *where: Any) -> None:
    forward(x, w, None, *where)
    backward(dout, x, w, *where)


def compiled(net: str, shape: tuple[int, int, int], implementation: str = "fused") -> Model:
    """Make one of the two networks, ready to train."""
    model = getattr(networks, net)(shape, 10, seed=0, implementation=implementation)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def batch_of(shape: tuple[int, int, int], count: int) -> tuple[Array, Array]:
    """Make a batch of noise with labels."""
    rng = np.random.default_rng(0)
    return rng.random((count, *shape), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, count)]


def steps(batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measure a whole training step of both networks at both sizes, from im2col up: a row for each, in milliseconds."""
    rows = []
    for net in NETS:
        for shape in SIZES:
            x, y = batch_of(shape, batch)
            models = {name: compiled(net, shape, name) for name in ("im2col", "direct", "fused")}
            calls: dict[str, Callable[[], Any]] = {name: partial(model.train_on_batch, x, y) for name, model in models.items()}
            calls["fused, 1 thread"] = on(1, models["fused"].train_on_batch, x, y)
            seconds = seconds_in_turns(calls, rounds, f"{net} {shape}")
            rows.append({"net": net, "shape": shape, "threads": threads.count()} | {name: 1e3 * s for name, s in seconds.items()})
    return rows


def growth(rounds: int) -> dict[str, list[dict[str, float]]]:
    """Measure a step of net_2 as the batch grows, and as the images do: milliseconds for each."""

    def step(side: int, batch: int) -> Callable[[], Any]:
        return partial(compiled("net_2", (side, side, 1)).train_on_batch, *batch_of((side, side, 1), batch))

    batches = {n: step(28, n) for n in (32, 64, 128, 256, 512)}
    areas = {n: step(n, 64) for n in (16, 24, 32, 48, 64)}
    results = {}
    for what, calls in (("batch", batches), ("side", areas)):
        seconds = seconds_in_turns({str(n): call for n, call in calls.items()}, rounds, f"growth with {what}")
        results[what] = [{what: float(n), "ms": 1e3 * s} for n, s in seconds.items()]
    return results

