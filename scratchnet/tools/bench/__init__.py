"""``scratchnet bench``: how fast this machine trains, rung by rung, and beside the frameworks that are installed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import plotting
from scratchnet.files import write_text
from scratchnet.kernels import threads
from scratchnet.kernels.jit import COMPILED
from scratchnet.plotting.speed import short
from scratchnet.tools.bench import ladder, peers
from scratchnet.tools.bench.sides import BATCH
from scratchnet.tools.reproduce import results

DATA = {"mnist": "28×28×1", "cifar10": "32×32×3"}
STEPS, PREDICTED = 5, 10_000        # steps in a turn, images to predict


def run(args: argparse.Namespace) -> int:
    """Measure as `args` say, print tables, and write the numbers and the charts."""
    if not COMPILED:
        raise ValueError("NUMBA_DISABLE_JIT is set, so there are no kernels to measure: unset it")
    found = peers.installed()
    if args.peers and len(found) == 1:
        raise ValueError("no framework is installed to compare with: pip install tensorflow keras, or torch, or jax")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    rounds = 5 if args.quick else 15
    measured: dict[str, Any] = {"machine": results.machine(), "versions": results.versions() | found}
    print(", ".join(f"{key} {value}" for key, value in measured["machine"].items()))
    measured["peak"] = {str(count): ladder.peak(count) for count in sorted({1, threads.count()})}
    for count, gflops in measured["peak"].items():
        print(f"peak on {count} thread{'s' * (count != '1')}: {gflops:.0f} GFLOP/s (float32 multiply-adds in registers)")
    if args.peers:
        measured["peers"] = compare(found, args.quick)
    else:
        measured["ladder"] = ladder.rungs(32 if args.quick else 128, rounds)
        print_ladder(measured["ladder"], measured["peak"])
        if threads.count() > 1:
            measured["scaling"] = ladder.scaling(32 if args.quick else 128, rounds)
            print_scaling(measured["scaling"])
        measured["steps"] = ladder.steps(32 if args.quick else 128, rounds)
        print_steps(measured["steps"])
        if not args.quick:
            measured["shapes"] = ladder.shapes(32, rounds)
            print_shapes(measured["shapes"])
            measured["growth"] = ladder.growth(rounds)
            print_growth(measured["growth"])
    name = "peers" if args.peers else "ladder"
    draw(measured, out)
    write_text(out / f"{name}.json", json.dumps(measured, indent=1) + "\n")
    print(f"\nnumbers and charts: {out}")
    return 0


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is words and whose others are numbers."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    for row in (head, *rows):
        cells = [f"{cell:<{w}}" if k == 0 else f"{cell:>{w}}" for k, (cell, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())


def print_ladder(rows: Sequence[Mapping[str, Any]], peaks: Mapping[str, float]) -> None:
    """Print the rungs of the convolution, each beside the peak of as many threads."""
    print("\nconvolution 3 × 3, 32 to 64 maps of 28 × 28, forward and backward; all give the same numbers")
    table = [
        [row["rung"], "–" if row["ms"] is None else f"{row['ms']:.1f}", short(row["gflops"]),
         f"{row['gflops'] / peaks[str(row['threads'])]:.1%}"] for row in rows
    ]  # fmt: skip
    lines(["rung", "ms", "GFLOP/s", "of the threads' peak"], table)


def print_scaling(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what threads gain the convolution."""
    print(f"\nthe same on {rows[0]['threads']} threads, times as fast as on 1 (in turns)")
    lines(["", "whole calls", "kernels alone"], [[row["kind"], f"{row['calls']:.2f}", f"{row['kernels']:.2f}"] for row in rows])


def print_shapes(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the convolutions of other kernels, strides and channels."""
    print("\nother convolutions of 28 × 28, forward and backward, GFLOP/s on all threads")
    lines(["taps, stride, channels", "direct", "fused"], [[r["shape"], f"{r['direct']:.0f}", f"{r['fused']:.0f}"] for r in rows])


def print_steps(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the training steps of both networks."""
    print("\ntraining step, milliseconds (median, in turns)")
    names = [name for name in rows[0] if name not in ("net", "shape", "threads")]
    table = [
        [f"{row['net']} {'×'.join(map(str, row['shape']))}", *(f"{row[name]:.1f}" for name in names),
         f"{row['fused, 1 thread'] / row['fused']:.2f}"] for row in rows
    ]  # fmt: skip
    lines(["", *names, f"{rows[0]['threads']} threads against 1"], table)


def print_growth(tables: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print how a step grows, per image and per pixel."""
    for what, rows in tables.items():
        print(f"\nnet_2, a step as the {what} grows")
        unit = (lambda n: n) if what == "batch" else (lambda n: 64 * n * n / 1000)
        each = "ms an image" if what == "batch" else "ms a thousand pixels"
        lines([what, "ms", each], [[f"{row[what]:.0f}", f"{row['ms']:.2f}", f"{row['ms'] / unit(row[what]):.4f}"] for row in rows])


def compare(found: Mapping[str, str], quick: bool) -> list[dict[str, Any]]:
    """Let all sides work in turns, on each network and data set, and print what came."""
    print("sides: " + "; ".join(f"{side} ({versions})" for side, versions in found.items()))
    print(f"each in a process of its own with its own default number of threads; batch {BATCH}, float32, Adam; in turns")
    rows = []
    for net in ("net_1", "net_2"):
        for data, shape in DATA.items():
            commands = {f"step {STEPS}": 3 if quick else 8, f"predict {PREDICTED}": 1 if quick else 2}
            measured = peers.in_turns(found, net, data, commands)
            if not quick:
                best = sorted(seconds := peers.medians(measured, f"step {STEPS}"), key=seconds.__getitem__)
                chosen = ["scratchnet", *[side for side in best if side in ("keras", "torch", "torch channels-last")][:2]]
                for side, result in peers.in_turns(chosen, net, data, {"epoch": 1}).items():
                    if "seconds" in result:
                        measured[side]["seconds"] |= result["seconds"]
                        measured[side]["bytes after an epoch"] = result["bytes"]
            rows.append({"net": net, "data": data, "sides": measured})
            print_side_by_side(f"{net} {shape}", measured)
    return rows


def print_side_by_side(title: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one network's table: a row for each side, slowest last, and how far ahead ours is."""
    commands = list(measured["scratchnet"]["seconds"])
    heads = {"step": "ms a step", "predict": f"s for {PREDICTED:,} images", "epoch": "s an epoch"}
    print(f"\n{title}")
    table = []
    order = sorted((side for side in measured if "seconds" in measured[side]), key=peers.medians(measured, commands[0]).__getitem__)
    for side in order:
        cells = [side]
        for command in commands:
            times = measured[side]["seconds"].get(command)
            unit = 1e3 if command.startswith("step") else 1.0
            cells.append(f"{unit * np.median(times):.4g}" if times else "–")
        size = measured[side].get("bytes after an epoch") or measured[side]["bytes"]
        table.append([*cells, f"{size / 1e9:.2f}" if size else "–"])
    lines(["", *(heads[command.split()[0]] for command in commands), "peak GB"], table)
    for side, result in measured.items():
        if "failed" in result:
            print(f"{side}: {result['failed']}")
    for command in commands:
        have = {side: r for side, r in measured.items() if command in r.get("seconds", {})}
        ahead = peers.lead(peers.medians(have, command))
        if ahead is not None:
            print(f"{heads[command.split()[0]]}: {ahead:.2f} times as fast as the fastest other side")


def draw(measured: Mapping[str, Any], out: Path) -> None:
    """Draw what was measured."""
    if "ladder" in measured:
        peak = {f"peak, {count} thread{'s' * (count != '1')}": value for count, value in measured["peak"].items()}
        plotting.ladder(measured["ladder"], peak, path=out / "ladder.png")
    if "growth" in measured:
        names = {"batch": ("images in a batch", lambda n: n), "side": ("pixels in an image", lambda n: n * n)}
        panels = {
            names[what][0]: {names[what][1](row[what]): row["ms"] for row in rows} for what, rows in measured["growth"].items()
        }
        plotting.growth(panels, path=out / "growth.png")
    if "peers" in measured:
        panels = {
            f"{row['net']} {DATA[row['data']]}": {
                side: 1e3 * value for side, value in peers.medians(row["sides"], f"step {STEPS}").items()
            }
            for row in measured["peers"]
        }
        plotting.sides(panels, title="One training step, batch 128", path=out / "peers.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Measure one convolution from plain loops up to all cores, training steps, and how their times grow; or, with --peers, "
        "training steps, predictions and whole epochs, in turns with other frameworks. All times are medians."
    )
    option = parser.add_argument
    option("--peers", action="store_true", help="compare with Keras, PyTorch and JAX, those that are installed (many minutes)")
    option("--quick", action="store_true", help="fewer rounds, smaller batches, no whole epochs")
    option("--out", default="bench", metavar="DIR", help="folder of the numbers and charts (%(default)s)")
