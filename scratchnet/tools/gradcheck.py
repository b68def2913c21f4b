"""``scratchnet gradcheck``: check all layers, losses, regularizers, optimizers, schedules, initializers, and three networks."""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet import gradcheck
from scratchnet.gradcheck.report import Report, Row, table
from scratchnet.initializers import KNOWN as INITIALIZERS
from scratchnet.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    PatchWhitening,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    SpatialDropout2D,
    ZeroPadding2D,
)
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.losses import CategoricalCrossentropy, softmax_cross_entropy
from scratchnet.model import Model
from scratchnet.networks import net_1, net_2, net_3
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Nadam, RMSprop
from scratchnet.regularizers import L1, L1L2, L2
from scratchnet.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PiecewiseLinear,
    PolynomialDecay,
)

LAYERS: list[tuple[type[Layer], tuple, dict, tuple]] = [
    (Conv2D, (3, (3, 3)), {"padding": "same"}, (5, 6, 2)),
    (Conv2D, (4, (3, 3)), {"strides": 2, "padding": "same"}, (6, 5, 3)),
    (Conv2D, (3, (3, 2)), {"strides": (1, 2), "use_bias": False}, (5, 6, 2)),
    (Conv2D, (2, (1, 4)), {"strides": (3, 1), "padding": "same"}, (7, 5, 1)),
    (PatchWhitening, (16, 2), {}, (4, 5, 2)),
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
    (ELU, (0.5,), {}, (5, 2)),
    (LeakyReLU, (0.5,), {}, (5, 2)),
    (Add, (), {}, ((3, 4, 2), (3, 4, 2))),
    (Concatenate, (), {}, ((3, 4, 2), (3, 4, 3))),
    (GlobalAveragePooling2D, (), {}, (3, 4, 2)),
    (GlobalMaxPooling2D, (), {"keepdims": True}, (3, 4, 2)),
    (Rescaling, (1 / 127.5, -1), {}, (3, 4, 2)),
    (Reshape, ((2, -1),), {}, (3, 4, 2)),
    (ZeroPadding2D, (((1, 0), (2, 1)),), {}, (3, 4, 2)),
    (Dropout, (0.4,), {}, (3, 4, 2)),
    (SpatialDropout2D, (0.4,), {}, (3, 4, 5)),
    (RandomFlip, (), {}, (3, 4, 2)),
    (RandomCrop, (3, 2), {}, (4, 5, 2)),
    *((RandomTranslation, (0.4, 0.3, mode), {}, (3, 4, 2)) for mode in ("reflect", "constant", "nearest")),
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
    Adam(amsgrad=True),
    AdamW(weight_decay=0.1),
    Nadam(),
    RMSprop(),
    RMSprop(momentum=0.9, centered=True),
    SGD(0.1, clipnorm=1.0),
    SGD(0.1, clipvalue=0.5),
    SGD(0.1, global_clipnorm=1.0),
    Adam(CosineDecay(0.0, 4, warmup_target=0.1, warmup_steps=2)),
]
SCHEDULES = [
    ExponentialDecay(0.1, 1000, 0.96),
    ExponentialDecay(0.1, 100, 0.5, staircase=True),
    InverseTimeDecay(0.1, 100, 0.5),
    PiecewiseConstantDecay([100, 300], [0.1, 0.05, 0.01]),
    PiecewiseLinear([0, 200, 1000], [0.02, 0.1, 0.0]),
    PolynomialDecay(0.1, 1000, power=2.0),
    PolynomialDecay(0.1, 100, cycle=True),
    CosineDecay(0.1, 1000, alpha=0.1),
    CosineDecay(0.01, 1000, warmup_target=0.1, warmup_steps=100),
    CosineDecayRestarts(0.1, 100, m_mul=0.9, alpha=0.1),
]
LOSSES: list[Any] = [softmax_cross_entropy, CategoricalCrossentropy(label_smoothing=0.1)]
REGULARIZERS = [L1(0.1), L2(0.1), L1L2(0.1, 0.2)]
NETWORKS = [net_1, net_2, net_3]
SHAPES = [(28, 28, 1), (32, 32, 3)]


def reports(implementation: str = "fused") -> Iterator[Report]:
    """Run all checks, and yield the report of each."""
    for kind, arguments, settings, shape in LAYERS:
        if "implementation" in inspect.signature(kind).parameters:
            settings = {**settings, "implementation": implementation}
        yield gradcheck.check_layer(kind(*arguments, **settings), shape)
    for loss in LOSSES:
        yield gradcheck.check_loss(loss)
    for regularizer in REGULARIZERS:
        yield gradcheck.check_regularizer(regularizer)
    for optimizer in OPTIMIZERS:
        yield gradcheck.check_optimizer(optimizer)
    for schedule in SCHEDULES:
        yield gradcheck.check_schedule(schedule)
    for name, rule in INITIALIZERS.items():
        yield gradcheck.check_initializer(rule, (4, 5) if name == "identity" else (2, 3, 3, 5))
    rng = np.random.default_rng(0)
    for network in NETWORKS:
        for shape in SHAPES:
            x, y = rng.random((2, *shape)), np.eye(10)[rng.integers(0, 10, 2)]
            model = network(shape, 10, seed=0, implementation=implementation)
            model.compile("adam", "categorical_crossentropy")
            if network is net_3:
                prepare_net_3(model, x, rng)
            yield gradcheck.check_model(model, x, y)


def prepare_net_3(model: Model, x: np.ndarray, rng: np.random.Generator) -> None:
    """Compute the whitening kernel from the images, and move the weights away from their initial values.

    Some initial filters only pass a channel on. Their outputs on both sides of a reflected edge are equal, and a max-pooling of
    equal numbers has a kink, where finite differences mean nothing.
    """
    whitening: Any = model.get_layer("whitening")
    whitening.adapt(x)
    for p in model.params.values():
        p += (0.05 * rng.standard_normal(p.shape)).astype(p.dtype)


def shortened(rows: Sequence[Row]) -> list[Row]:
    """Return the rows to print: of the contract, only those that failed; if none did, one row with their number."""
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
    kinds = (LAYERS, LOSSES, REGULARIZERS, OPTIMIZERS, SCHEDULES, INITIALIZERS)
    total = sum(len(kind) for kind in kinds) + len(NETWORKS) * len(SHAPES)
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
    parser.description = (
        "Compare every gradient with finite differences, and every forward with its definition, and print tables of the "
        "relative errors and the verdicts."
    )
    parser.add_argument(
        "--break",
        dest="break_name",
        metavar="NAME",
        help="install one of the gallery's bugs, and show which check detects it ('all': each bug, one at a time)",
    )
