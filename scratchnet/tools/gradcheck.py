"""``scratchnet gradcheck``: check all layers, the losses, the optimizers and two whole networks."""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from scratchnet import gradcheck
from scratchnet.gradcheck.report import Report, Row, table
from scratchnet.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    MinPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    ZeroPadding2D,
)
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.networks import net_1, net_2
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam

LAYERS: list[tuple[type[Layer], tuple, dict, tuple]] = [
    (Conv2D, (3, (3, 3)), {"padding": "same"}, (5, 6, 2)),
    (Conv2D, (4, (3, 3)), {"strides": 2, "padding": "same"}, (6, 5, 3)),
    (Conv2D, (3, (3, 2)), {"strides": (1, 2), "use_bias": False}, (5, 6, 2)),
    (Conv2D, (2, (1, 4)), {"strides": (3, 1), "padding": "same"}, (7, 5, 1)),
    (MaxPooling2D, ((2, 2),), {"strides": 1, "padding": "same"}, (5, 4, 3)),
    (MaxPooling2D, ((3, 2),), {"strides": (2, 1)}, (5, 6, 2)),
    (MinPooling2D, ((2, 3),), {"strides": (1, 2), "padding": "same"}, (5, 6, 2)),
    (AveragePooling2D, ((3, 2),), {"strides": (2, 1), "padding": "same"}, (5, 6, 2)),
    (AveragePooling2D, ((2, 2),), {}, (5, 6, 2)),
    (BatchNormalization, (), {}, (3, 4, 2)),
    (BatchNormalization, (), {"center": False, "scale": False}, (3,)),
    (Dense, (4,), {}, (7,)),
    (Dense, (1,), {"use_bias": False}, (3,)),
    (Flatten, (), {}, (2, 3, 2)),
    (ReLU, (), {}, (3, 4, 2)),
    (Softmax, (), {}, (5,)),
    *((Activation, (name,), {}, (5, 2)) for name in ACTIVATIONS if name not in ("relu", "softmax")),
    (Add, (), {}, ((3, 4, 2), (3, 4, 2))),
    (Concatenate, (), {}, ((3, 4, 2), (3, 4, 3))),
    (GlobalAveragePooling2D, (), {}, (3, 4, 2)),
    (GlobalMaxPooling2D, (), {"keepdims": True}, (3, 4, 2)),
    (Rescaling, (1 / 127.5, -1), {}, (3, 4, 2)),
    (Reshape, ((2, -1),), {}, (3, 4, 2)),
    (ZeroPadding2D, (((1, 0), (2, 1)),), {}, (3, 4, 2)),
]
OPTIMIZERS = [
    SGD(),
    SGD(0.1, 0.9),
    SGD(0.1, 0.9, nesterov=True),
    Adagrad(),
    Adagrad(0.01, 0.0),
    Adadelta(),
    Adadelta(1.0),
    Adam(),
]
SHAPES = [(28, 28, 1), (32, 32, 3)]


def reports(implementation: str = "fused") -> Iterator[Report]:
    """Run all checks, and yield the report of each."""
    for kind, arguments, settings, shape in LAYERS:
        if "implementation" in inspect.signature(kind).parameters:
            settings = {**settings, "implementation": implementation}
        yield gradcheck.check_layer(kind(*arguments, **settings), shape)
    yield gradcheck.check_loss()
    for optimizer in OPTIMIZERS:
        yield gradcheck.check_optimizer(optimizer)
    rng = np.random.default_rng(0)
    for network in (net_1, net_2):
        for shape in SHAPES:
            x, y = rng.random((2, *shape)), np.eye(10)[rng.integers(0, 10, 2)]
            model = network(shape, 10, seed=0, implementation=implementation)
            model.compile("adam", "categorical_crossentropy")
            yield gradcheck.check_model(model, x, y)


def shortened(rows: Sequence[Row]) -> list[Row]:
    """Return the rows to print: one row with their number replaces those of the contract that passed."""
    contract = [row for row in rows if row.check == "contract"]
    failed = [row for row in contract if not row.passed]
    held = Row("contract", f"{len(contract) - len(failed)} of {len(contract)} conditions", True)
    return [row for row in rows if row.check != "contract"] + (failed or [held] if contract else [])


def run(args: argparse.Namespace) -> int:
    """Print a table of all comparisons, or show one bug of the gallery. Return 0 if every check passed, and 1 otherwise."""
    if getattr(args, "break_name", None):
        from scratchnet.tools.gallery import demonstration

        return demonstration.run(args.break_name)
    began = time.perf_counter()
    total = len(LAYERS) + 1 + len(OPTIMIZERS) + 2 * len(SHAPES)
    done = list(tqdm(reports(), total=total, desc="gradcheck", unit="check", disable=None, leave=False))
    for report in done:
        print(table(shortened(report.rows), report.title), end="\n\n")
    wrong = [report.title for report in done if not report.passed]
    rows = sum(len(report.rows) for report in done)
    largest = max(report.largest for report in done)
    seconds = time.perf_counter() - began
    print(f"{len(done)} checks, {rows} comparisons, largest relative error of a gradient {largest:.1e}, {seconds:.0f} s")
    if wrong:
        print(f"WRONG: {'; '.join(wrong)}")
        return 1
    print("every gradient agrees with finite differences, and every forward with its definition")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = "Print a table of layer, parameter, largest relative error and verdict."
    parser.add_argument(
        "--break",
        dest="break_name",
        metavar="NAME",
        help="install one of the gallery's bugs, and show which check detects it ('all': each bug, one at a time)",
    )
