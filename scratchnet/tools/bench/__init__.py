"""``scratchnet bench``: the speed of this machine, implementation by implementation, or compared with installed frameworks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import plotting
from scratchnet.kernels import threads
from scratchnet.kernels.jit import COMPILED
from scratchnet.plotting.speed import short
from scratchnet.support.files import make_folders, write_text
from scratchnet.support.tables import text_table
from scratchnet.tools.arguments import path_text
from scratchnet.tools.bench import ladder, net_3, peers
from scratchnet.tools.bench.sides import BATCH, LAYOUTS, NET_3
from scratchnet.tools.reproduce import results

DATA = {"mnist": "28×28×1", "cifar10": "32×32×3"}
NETS = ("net_1", "net_2", "net_3")
STEPS, ROUNDS = 5, 8                # steps in a turn, and turns of each side
LONG = 1, 5                         # the same for net_3, whose steps take seconds, and for its convolutions
PREDICTED = 10_000                  # images to predict
Measured = Mapping[str, Any]
Cells = dict[str, str]              # a row of a table, by the heads of the columns
HEADS = {"step": "ms a step", "predict": f"s for {PREDICTED:,} images", "epoch": "s an epoch"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Measure one convolution in every implementation, from plain loops to the fastest on all cores; batch normalization, "
        "dropout and activations; training steps; and how their times grow with the batch and the image. With --peers, compare "
        "training steps, predictions and whole epochs with other frameworks, which run in turn, and net_3's convolutions with "
        "those of PyTorch. Times are medians, except that the loops and epochs are measured once."
    )
    option = parser.add_argument
    option("--peers", action="store_true", help="compare with Keras, PyTorch and JAX, those that are installed (many minutes)")
    option("--net", nargs="+", choices=NETS, metavar="NET", help=f"with --peers: only these of {', '.join(NETS)}")
    option("--quick", action="store_true", help="fewer rounds, smaller batches, no whole epochs")
    option("--out", type=path_text, default="bench", metavar="DIR", help="folder of the numbers and charts (default: %(default)s)")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Measure what `args` select, print tables, and write the numbers and the charts."""
    if args.net and not args.peers:
        args.usage_error("--net: expected --peers with it, got --net alone. Add --peers.")
    if not COMPILED:
        raise ValueError("bench: expected compiled kernels, got NUMBA_DISABLE_JIT=1. Unset it.")
    found = peers.installed() if args.peers else {}
    missing = peers.missing() if args.peers else {}
    if args.peers and len(found) == 1:
        reasons = "; ".join(f"{side}: {reason}" for side, reason in missing.items())
        raise ValueError(
            f"--peers: expected an installed framework, got none ({reasons}). Run: pip install tensorflow keras, or torch, or jax."
        )
    out = Path(args.out)
    make_folders(out)
    measured: dict[str, Any] = {"machine": results.machine(), "versions": results.versions() | found}
    print(", ".join(f"{key} {value}" for key, value in measured["machine"].items()))
    if args.peers:
        measured["missing"] = missing
        print("sides: " + "; ".join(f"{side} ({versions})" for side, versions in found.items()))
        for side, reason in missing.items():
            print(f"not compared: {side}: {reason}")
    measured["peak"] = {str(count): ladder.peak(count) for count in sorted({1, threads.count()})}
    for count, gflops in measured["peak"].items():
        print(f"{peak_on(count)}: {gflops:.0f} GFLOP/s (float32 multiply-adds in registers)")
    if args.peers:
        measured["peers"] = compare(found, args.net or NETS, args.quick)
        if "net_3" in (args.net or NETS):
            measured["convolutions"] = convolutions(found, args.quick)
    else:
        climb(measured, args.quick)
    write_text(out / f"{'peers' if args.peers else 'ladder'}.json", json.dumps(measured, indent=1) + "\n")
    draw(measured, out)
    print(f"\nnumbers and charts: {out}")
    return 0


def peak_on(count: str) -> str:
    """Return the name of the peak on `count` threads."""
    return f"peak on {count} thread{'s' * (count != '1')}"


def show(title: str, rows: Iterable[Cells]) -> None:
    """Print a table: the first column has words, the others numbers."""
    rows = list(rows)
    lines = text_table([tuple(rows[0]), *(tuple(row.values()) for row in rows)], "<".ljust(len(rows[0]), ">"))
    print(f"\n{title}", *lines, sep="\n")


# -- one machine ------------------------------------------------------------------------------------------------------


def climb(measured: dict[str, Any], quick: bool) -> None:
    """Add every measurement of this machine to `measured`, and print it; the quick form leaves out shapes and growth."""
    batch, rounds = (32, 5) if quick else (128, 15)
    measured["ladder"] = ladder.rungs(batch, rounds)
    title = "convolution 3 × 3, 32 to 64 maps of 28 × 28, forward and backward; all compute the same numbers"
    show(title, ladder_rows(measured["ladder"], measured["peak"]))
    if threads.count() > 1:
        measured["scaling"] = ladder.scaling(batch, rounds)
        show(f"speedup of {threads.count()} threads over 1 thread (in turns)", scaling_rows(measured["scaling"]))
    measured["passes"] = ladder.passes(batch, rounds)
    title = "layers on 28 × 28 × 32, forward and backward, nanoseconds a number (median, in turns)"
    show(title, passes_rows(measured["passes"]))
    measured["steps"] = ladder.steps(batch, rounds)
    show("training step, milliseconds (median, in turns)", steps_rows(measured["steps"]))
    if not quick:
        measured["shapes"] = ladder.shapes(32, rounds)
        title = "other convolutions of 28 × 28, forward and backward, GFLOP/s on all threads"
        show(title, shapes_rows(measured["shapes"]))
        measured["growth"] = ladder.growth(rounds)
        for what, rows in measured["growth"].items():
            show(f"net_2, a step as the {what} grows", growth_rows(what, rows))


def ladder_rows(rows: Sequence[Measured], peaks: Mapping[str, float]) -> Iterator[Cells]:
    """Yield a row for each implementation of the convolution, with its share of the peak on the same number of threads."""
    for row in rows:
        ms = "–" if row["ms"] is None else f"{row['ms']:.1f}"
        share = f"{row['gflops'] / peaks[str(row['threads'])]:.1%}"
        yield {"rung": row["rung"], "ms": ms, "GFLOP/s": short(row["gflops"]), "of the threads' peak": share}


def scaling_rows(rows: Sequence[Measured]) -> Iterator[Cells]:
    """Yield how much faster all threads run the convolution than one."""
    for row in rows:
        yield {"": row["kind"], "whole calls": f"{row['calls']:.2f}", "kernels alone": f"{row['kernels']:.2f}"}


def passes_rows(rows: Sequence[Measured]) -> Iterator[Cells]:
    """Yield the layers that pass over memory, and two copies of the array to compare with."""
    heads = {"numpy": "NumPy", "one": "fused, 1 thread", "all": f"fused, {threads.count()} threads"}
    for row in rows:
        yield {"": row["layer"], **{head: "–" if row[key] is None else f"{row[key]:.2f}" for key, head in heads.items()}}


def steps_rows(rows: Sequence[Measured]) -> Iterator[Cells]:
    """Yield the training steps of both networks."""
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        times = {name: f"{row[name]:.1f}" for name in row if name not in ("net", "shape", "threads")}
        gain = row["fused, 1 thread"] / row["fused"]
        yield {"": f"{row['net']} {shape}", **times, f"{row['threads']} threads against 1": f"{gain:.2f}"}


def shapes_rows(rows: Sequence[Measured]) -> Iterator[Cells]:
    """Yield the convolutions of other kernels, strides and channels."""
    for row in rows:
        yield {"taps, stride, channels": row["shape"], "direct": f"{row['direct']:.0f}", "fused": f"{row['fused']:.0f}"}


def growth_rows(what: str, rows: Sequence[Measured]) -> Iterator[Cells]:
    """Yield how long a step takes, in all and for each image or for each thousand pixels."""
    for row in rows:
        size, ms = row[what], row["ms"]
        each = {"ms an image": ms / size} if what == "batch" else {"ms a thousand pixels": ms / (64 * size**2 / 1000)}
        yield {what: f"{size:.0f}", "ms": f"{ms:.2f}", **{head: f"{value:.4f}" for head, value in each.items()}}


# -- compared with frameworks -----------------------------------------------------------------------------------------


def compare(found: Mapping[str, str], nets: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """Measure all sides in turn on each network and data set, print the results and return them."""
    print("each side in its own process with its own default number of threads; float32; in turns")
    print(f"net_1 and net_2: batch {BATCH}, Adam; net_3: batch {net_3.BATCH:,}, its recipe without flips and crops")
    rows = []
    for net, data in ((net, data) for net in NETS if net in nets for data in DATA):
        if net != "net_3":
            sides, steps, rounds, compared = [*found], STEPS, ROUNDS, []
        elif data == "cifar10":
            sides, (steps, rounds), compared = [side for side in found if side in NET_3], LONG, ["numbers"]
        else:
            continue
        commands = {f"step {steps}": 3 if quick else rounds, f"predict {PREDICTED}": 1 if quick else 2}
        measured = peers.in_turns(sides, net, data, commands, compared)
        if not quick:
            add_epochs(measured, net, data)
        rows.append({"net": net, "data": data, "sides": measured})
        print_side_by_side(f"{net} {DATA[data]}", measured)
    return rows


def add_epochs(measured: dict[str, dict[str, Any]], net: str, data: str) -> None:
    """Measure a whole epoch of our side and of the two fastest sides of Keras and PyTorch (for net_3, only the fastest); add it."""
    seconds = peers.medians(measured, step_of(measured))
    known = [*NET_3] if net == "net_3" else ["keras", "torch", "torch channels-last"]
    others = [side for side in sorted(seconds, key=seconds.__getitem__) if side in known and side != "scratchnet"]
    for side, result in peers.in_turns(["scratchnet", *others[: 1 if net == "net_3" else 2]], net, data, {"epoch": 1}).items():
        if "seconds" in result:
            measured[side]["seconds"] |= result["seconds"]
            measured[side]["bytes after an epoch"] = result["bytes"]


def convolutions(found: Mapping[str, str], quick: bool) -> dict[str, Any] | None:
    """Measure net_3's convolutions alone, ours and PyTorch's in turn, and our step; print the results and return them.

    Returns
    -------
    dict or None
        rows: for each convolution the seconds of forward and backward, ours and PyTorch's in the layout that is faster for it;
        ours, torch: the seconds of all convolutions of a step; step: those of our step. None without PyTorch.
    """
    sides = [side for side in ("scratchnet", *LAYOUTS) if side in found]
    kinds = net_3.convolutions()
    calls, rounds = LONG
    ways = [(f"forward {k} {calls}", f"backward {k} {calls}") for k in range(len(kinds))]
    commands = dict.fromkeys([f"step {calls}", *(way for pair in ways for way in pair)], 3 if quick else rounds)
    measured = peers.in_turns(sides, "net_3", "cifar10", commands, [f"results {k}" for k in range(len(kinds))]) if sides[1:] else {}
    for side in [side for side, result in measured.items() if "failed" in result]:
        print(f"{side}: {measured.pop(side)['failed']}")
    if "scratchnet" not in measured or len(measured) == 1:
        print("\nnet_3's convolutions are not compared, because PyTorch is missing or failed")
        return None
    rows: list[dict[str, Any]] = []
    for (kind, count), pair in zip(kinds, ways, strict=True):
        seconds = {side: [peers.medians(measured, way)[side] for way in pair] for side in measured}
        layout = min((side for side in seconds if side != "scratchnet"), key=lambda side: sum(seconds[side]))
        row = {"convolution": kind.title, "count": count, "operations": [net_3.BATCH * n for n in kind.operations()]}
        rows.append(row | {"ours": seconds["scratchnet"], "torch": seconds[layout], "layout": layout})
    ours, torch = (sum(row["count"] * sum(row[side]) for row in rows) for side in ("ours", "torch"))
    result = {"rows": rows, "ours": ours, "torch": torch, "step": peers.medians(measured, step_of(measured))["scratchnet"]}
    show(f"net_3's convolutions alone, {net_3.BATCH:,} images, GFLOP/s forward and backward", convolution_rows(rows))
    print(f"all of a step: ours {ours:.3f} s, PyTorch's {torch:.3f} s; ours are {torch / ours:.2f} times as fast")
    print(f"our step: {result['step']:.3f} s, of which everything but convolutions takes {1 - ours / result['step']:.0%}")
    return result


def convolution_rows(rows: Sequence[Measured]) -> Iterator[Cells]:
    """Yield a row for each convolution of net_3: its speed, ours and PyTorch's in the faster of two layouts."""
    for row in rows:
        cells = {"channels, output": row["convolution"], "in the net": f"{row['count']}"}
        for side, head in (("ours", "scratchnet"), ("torch", "PyTorch")):
            for n, seconds, way in zip(row["operations"], row[side], ("forward", "backward"), strict=True):
                cells[f"{head} {way}"] = short(n / seconds / 1e9)
        layout = "last" if row["layout"].endswith("last") else "first"
        yield cells | {"its channels": layout, "times as fast": f"{sum(row['torch']) / sum(row['ours']):.2f}"}


def print_side_by_side(title: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one network's table, a row for each side, the slowest last, and how many times as fast ours is."""
    commands = list(measured["scratchnet"]["seconds"])
    heads = {command: HEADS[command.split()[0]] for command in commands}
    rows = []
    for side in sorted(seconds := peers.medians(measured, commands[0]), key=seconds.__getitem__):
        cells = {"": side}
        for command, head in heads.items():
            times = measured[side]["seconds"].get(command)
            value = (1e3 if command.startswith("step") else 1.0) * np.median(times) if times else np.nan
            cells[head] = "–" if np.isnan(value) else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
        size = measured[side].get("bytes after an epoch") or measured[side]["bytes"]
        rows.append(cells | {"peak GB": f"{size / 1e9:.2f}" if size else "–"})
    for side, result in measured.items():
        if "failed" in result:
            print(f"{side}: {result['failed']}")
    show(title, rows)
    for command, head in heads.items():
        have = {side: r for side, r in measured.items() if command in r.get("seconds", {})}
        ahead = peers.lead(peers.medians(have, command))
        if ahead is not None:
            print(f"{head}: scratchnet is {ahead:.2f} times as fast as the fastest other side")


def step_of(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the command that measured a network's steps."""
    return next(command for command in measured["scratchnet"]["seconds"] if command.startswith("step"))


def draw(measured: Mapping[str, Any], out: Path) -> None:
    """Draw what was measured."""
    if "ladder" in measured:
        peaks = {peak_on(count): value for count, value in measured["peak"].items()}
        plotting.ladder(measured["ladder"], peaks, path=out / "ladder.png")
    if "growth" in measured:
        batch, side = measured["growth"]["batch"], measured["growth"]["side"]
        panels = {
            "images in a batch": {row["batch"]: row["ms"] for row in batch},
            "pixels in an image": {row["side"] ** 2: row["ms"] for row in side},
        }
        plotting.growth(panels, path=out / "growth.png")
    if "peers" in measured:
        panels = {}
        for row in measured["peers"]:
            seconds = peers.medians(row["sides"], step_of(row["sides"]))
            panels[f"{row['net']} {DATA[row['data']]}"] = {side: 1e3 * value for side, value in seconds.items()}
        title = f"One training step: batch {BATCH}, net_3 {net_3.BATCH:,}"
        plotting.sides(panels, title=title, path=out / "peers.png")
