"""How far does training in many processes scale? The tables of scaling.md, its picture, and the numbers behind them.

    python docs/scaling.py --measure     measures steps on this machine, which must be idle (five minutes), into scaling.json
    python docs/scaling.py               writes the tables into scaling.md, and draws pictures/scaling.png

`--measure` needs `pip install "scratchnet[mpi]"`: it starts itself with mpiexec.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import Model, net_1, net_2
from scratchnet.distribution import DataParallel
from scratchnet.kernels import threads
from scratchnet.networks import net_3

HERE = Path(__file__).parent
NUMBERS, PAGE, PICTURE = HERE / "scaling.json", HERE / "scaling.md", HERE / "pictures" / "scaling.png"
NETS: dict[str, tuple[Callable[..., Model], tuple[int, ...]]] = {
    "net_1": (net_1, (28, 28, 1)), "net_2": (net_2, (28, 28, 1)), "net_3": (partial(net_3, flip=False), (32, 32, 3)),
}  # fmt: skip
BATCH = 128
SIZES = (1, 4, 16, 64, 128)     # images in the part of a rank, for t(n) = c0 + c1·n
RANKS = [2**k for k in range(11)]
# Seconds before the first byte of a message arrives, and bytes per second: Ethernet with TCP twice, and InfiniBand.
NETWORKS = {"1 Gbit/s": (50e-6, 0.118e9), "10 Gbit/s": (20e-6, 1.18e9), "100 Gbit/s": (2e-6, 12.1e9)}
SMALL_MESSAGES = 3              # per step: the loss, the sums of the metrics, and whether a rank (a process) stops
NORMALIZATIONS = {"net_1": 0, "net_2": 0, "net_3": 6}       # layers with one small message forward, and one backward
SPREAD = 0.05                   # relative variation of the time of a rank's step, which other programs and the system cause
STEPS = 200                     # simulated steps


# -- the model ----------------------------------------------------------------------------------------------------------


def all_reduce(N: int, size: float, latency: float, bandwidth: float, adding: float = 4e9) -> float:
    """Return the seconds of an all-reduce of `size` bytes over N ranks: Rabenseifner's algorithm.

    2 ⌈log₂N⌉ · latency + 2 (N - 1)/N · size/bandwidth + (N - 1)/N · size/adding, where `adding` is how many bytes per second
    a core adds up. Source: Thakur, Rabenseifner & Gropp (2005), section 4.5.

    >>> round(all_reduce(2, 26e6, 50e-6, 0.118e9), 3)
    0.224
    """
    if N == 1:
        return 0.0
    return 2 * ceil(log2(N)) * latency + (N - 1) / N * size * (2 / bandwidth + 1 / adding)


def step(net: dict[str, Any], N: int, n: float, network: tuple[float, float], slowest: float = 1.0) -> float:
    """Return the seconds of a step in which N ranks have n images each, and the slowest computes for `slowest` · (c0 + c1·n)."""
    compute = net["c0"] + net["c1"] * n
    if N == 1:
        return compute
    small = (SMALL_MESSAGES + 2 * net["normalizations"]) * all_reduce(N, 64, *network)
    return compute * slowest + all_reduce(N, net["bytes"], *network) + small


def simulated(net: dict[str, Any], N: int, n: float, network: tuple[float, float], rng: np.random.Generator) -> float:
    """Return the mean seconds of simulated steps: every rank's time is drawn, and each step waits for the slowest."""
    slowest = (1 + SPREAD * np.abs(rng.standard_normal((STEPS, N)))).max(axis=1) if N > 1 else np.ones(STEPS)
    return float(np.mean([step(net, N, n, network, s) for s in slowest]))


def speedups(net: dict[str, Any], network: tuple[float, float], *, weak: bool) -> list[float]:
    """Return the speedup over one rank for each of RANKS: with one batch of 128, or with 128 images in each rank if `weak`."""
    rng, alone = np.random.default_rng(0), BATCH / step(net, 1, BATCH, network)
    found = []
    for N in RANKS:
        n = BATCH if weak else -(-BATCH // N)           # the largest part decides; beyond 128 ranks, some have no image
        images = BATCH * N if weak else BATCH
        found.append(images / simulated(net, N, n, network, rng) / alone)
    return found


# -- measuring ------------------------------------------------------------------------------------------------------------


def built(name: str) -> tuple[Model, np.ndarray, np.ndarray]:
    """Return a network, four batches of random images, and their labels."""
    make, shape = NETS[name]
    model = make(shape, 10, seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    return model, rng.random((4 * BATCH, *shape), "float32"), rng.integers(0, 10, 4 * BATCH)


def seconds_of(call: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of a call."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def measured_in_ranks() -> None:
    """Print, in rank 0, the milliseconds that one of N processes takes for a step of 128 images, and for its all-reduce."""
    everyone, found = DataParallel(), {}
    for name in NETS:
        model, x, y = built(name)
        rows = np.eye(10)[y]
        with threads.limit(everyone.threads):
            whole = everyone.part(np.arange(BATCH), 0)

            def one_step(model: Any = model, x: Any = x, rows: Any = rows, part: Any = whole) -> None:
                part = part._replace(rows=part.rows)
                everyone.train_step(model, x[part.rows], rows[part.rows], None, part)

            repeats = 5 if name == "net_3" else 16
            ms = 1000 * seconds_of(one_step, repeats)
            sums = 1000 * seconds_of(lambda model=model: everyone.sum_gradients(model), repeats)    # type: ignore[misc]
        found[name] = {"step": round(ms, 2), "all_reduce": round(sums, 2), "threads": everyone.threads}
    if everyone.rank == 0:
        print("measured", json.dumps(found))


def measure() -> dict[str, Any]:
    """Return the numbers of scaling.json, measured on this machine."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    ranks = {}
    for N, limit in ((1, 1), (1, threads.count()), (2, 1)):
        command = [str(mpiexec), "-n", str(N), "env", f"NUMBA_NUM_THREADS={limit}", sys.executable, __file__, "--rank"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ranks[f"{N} × {limit}"] = json.loads(out[out.index("measured") + 8 :])
    nets = {}
    for name in NETS:
        model, x, y = built(name)
        times = []
        for n in SIZES:
            repeats = 5 if name == "net_3" else 16
            times.append(seconds_of(lambda model=model, n=n, x=x, y=y: model.train_on_batch(x[:n], y[:n]), repeats))
        c1, c0 = np.polyfit(SIZES, times, 1, w=1 / np.array(times))
        size = 4 * sum(p.size for p in model.params.values())
        nets[name] = {"c0": float(max(c0, 0)), "c1": float(c1), "bytes": size, "normalizations": NORMALIZATIONS[name]}
    return {"provisional": False, "threads": threads.count(), "nets": nets, "ranks": ranks}


# -- the page -------------------------------------------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def measured_table(numbers: dict[str, Any]) -> str:
    """Return the table of the times measured with 1 and 2 ranks."""
    if not numbers["ranks"]:
        return "Not measured yet: `python docs/scaling.py --measure` on a quiet machine, then `python docs/scaling.py`."
    head = ["processes × threads", *(f"{name}: step, its all-reduce (ms)" for name in NETS)]
    ranks = numbers["ranks"]
    rows = [[key, *(f"{ranks[key][name]['step']:.1f}, {ranks[key][name]['all_reduce']:.1f}" for name in NETS)] for key in ranks]
    return table(head, rows)


def cost_table(numbers: dict[str, Any]) -> str:
    """Return the table of what a step costs: computing, and the all-reduce of 8 ranks on each network."""
    head = ["", "MB in a step", "computing 128 images", "computing 16", *(f"all-reduce, {network}" for network in NETWORKS)]
    rows = []
    for name, net in numbers["nets"].items():
        compute = [f"{1000 * step(net, 1, n, (0, 1)):.1f} ms" for n in (128, 16)]
        sums = [f"{1000 * all_reduce(8, net['bytes'], *network):.1f} ms" for network in NETWORKS.values()]
        rows.append([name, f"{net['bytes'] / 1e6:.1f}", *compute, *sums])
    warning = "**Provisional**: the step times are estimates until `python docs/scaling.py --measure` has run.\n\n"
    return warning * numbers["provisional"] + table(head, rows)


def limits_table(numbers: dict[str, Any]) -> str:
    """Return the table of limits: the best number of ranks for one batch of 128, and the speedup with 128 in each rank."""
    head = ["", *(f"{network}: {what}" for network in NETWORKS for what in ("batch 128", "128 in each rank"))]
    rows = []
    for name, net in numbers["nets"].items():
        cells = []
        for network in NETWORKS.values():
            strong, weak = speedups(net, network, weak=False), speedups(net, network, weak=True)
            best = int(np.argmax(strong))
            pays = f"best {RANKS[best]} ranks, {strong[best]:.1f} ×" if best else "one rank is best"
            cells += [pays, f"2 ranks {weak[1]:.1f} ×, 1,024 ranks {weak[-1]:.0f} ×"]
        rows.append([name, *cells])
    return table(head, rows)


def draw(numbers: dict[str, Any]) -> None:
    """Draw the speedup against the number of ranks: above for one batch of 128, below for 128 images in each rank."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(11, 7), sharex=True, sharey="row", layout="constrained")
    for column, (name, net) in enumerate(numbers["nets"].items()):
        for row, weak in enumerate((False, True)):
            ax = axes[row, column]
            for (network, costs), style in zip(NETWORKS.items(), ("o-", "s-", "^-"), strict=True):
                ax.plot(RANKS, speedups(net, costs, weak=weak), style, markersize=4, label=network)
            ax.plot(RANKS, RANKS, color="0.6", linestyle=":", label="ideal: speedup = ranks")
            ax.set(xscale="log", yscale="log", xticks=[1, 4, 16, 64, 256, 1024], xticklabels=["1", "4", "16", "64", "256", "1,024"])
            ax.set_ylim(0.04 if not weak else 0.15, 200 if not weak else 2000)
            ax.axhline(1, color="0.8", linewidth=0.8, zorder=0)
            ax.grid(alpha=0.3)
            if row == 0:
                ax.set_title(f"{name}: {net['bytes'] / 1e6:.1f} MB in a step")
            else:
                ax.set_xlabel("ranks")
    axes[0, 0].set_ylabel("images per second, one rank = 1\none batch of 128 for all ranks")
    axes[1, 0].set_ylabel("images per second, one rank = 1\n128 images for each rank")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    provisional = " (from provisional step times)" if numbers["provisional"] else ""
    figure.suptitle(f"Simulated training in up to 1,024 processes{provisional}")
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def write(numbers: dict[str, Any]) -> None:
    """Replace the tables between their marks in scaling.md."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in (("measured", measured_table), ("cost", cost_table), ("limits", limits_table)):
        mark = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        page = mark.sub(lambda found, text=text: f"{found[1]}\n{text(numbers)}\n{found[2]}", page)       # type: ignore[misc]
    PAGE.write_text(page, encoding="utf-8")


def main() -> None:
    """Measure, or write the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure on this machine, and write scaling.json")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank:
        measured_in_ranks()
    elif args.measure:
        NUMBERS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    else:
        numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
        write(numbers)
        draw(numbers)


if __name__ == "__main__":
    main()
