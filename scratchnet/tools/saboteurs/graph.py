"""Saboteurs of the walk back through a graph: every layer is right by itself, and only a whole net can tell."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import Report, check_layer, check_model
from scratchnet.layers import Add, Conv2D, Dense, Flatten, Input
from scratchnet.layers.base import Node
from scratchnet.model import Model
from scratchnet.plan import Plan
from scratchnet.tools.saboteurs.entry import beside, saboteur
from scratchnet.tools.saboteurs.small_net import SmallNet


def _check() -> Report:
    """Check three convolutions, each a reader of the one before, whose outputs are summed; and these layers alone."""
    image = Input(shape=(4, 5, 1))
    first = Conv2D(2, (3, 2), padding="same")(image)
    second = Conv2D(2, (2, 3), padding="same")(first)
    third = Conv2D(2, (3, 2), padding="same")(second)
    total = Add()([third, Add()([second, first])])
    model = Model(image, Dense(3, activation="softmax")(Flatten()(total)), seed=0)
    rng = np.random.default_rng(0)
    report = check_model(model, rng.random((2, 4, 5, 1)), np.eye(3)[[0, 2]])
    alone = check_layer(Add(), [(3, 2), (3, 2)]), check_layer(Conv2D(2, (3, 2), padding="same"), (4, 5, 1))
    return beside(report, *alone)


def _walk(meet: Callable[[Any, Any], Any]) -> AbstractContextManager[Any]:
    """Walk back as `Plan.backward` does, but let `meet` say what becomes of two gradients that reach one node."""

    def backward(self: Plan, dout: np.ndarray, start: Node, need_dx: bool) -> np.ndarray | None:
        gradients: dict[Node, Any] = {start: dout}
        for step in reversed(self.steps):
            if step.node not in gradients:
                continue
            wanted = need_dx or any(parent is not self.input for parent in step.parents)
            for parent, dx in zip(step.parents, step.backward(gradients.pop(step.node), wanted), strict=True):
                gradients[parent] = meet(gradients[parent], dx) if parent in gradients else dx
        return gradients.get(self.input) if need_dx else None

    return patch.object(Plan, "backward", backward)


def _add_in_place(held: Any, new: Any) -> Any:
    held += new
    return held


@saboteur(
    "add-shares-gradient",
    title="Gradients are added up in an array that another node holds",
    operation="the walk back",
    witness="gradient",
    fools=("definition", "contract"),
    right="gradients[parent] = gradients[parent] + dx",
    wrong="gradients[parent] += dx",
    looks_right="It saves an array. But a sum's gradient is the same for all its addends, who are handed one array: adding to"
    " one's own adds to the others'. Every layer by itself is right.",
    source="https://github.com/Oneflow-Inc/oneflow/pull/9497",
    seen="As we know that dx = dz + dp / z and dy = dz, so it will lead to wrong value for dy if dx is shared with dz.",
    check=_check,
    net=SmallNet(paths=True),
)
def add_shares_gradient() -> AbstractContextManager[Any]:
    """Add in place."""
    return _walk(_add_in_place)


@saboteur(
    "parent-gradient-overwritten",
    title="The second reader of a node overwrites the first one's gradient",
    operation="the walk back",
    witness="gradient",
    fools=("definition", "contract"),
    right="gradients[parent] = gradients[parent] + dx",
    wrong="gradients[parent] = dx",
    looks_right="In a chain every node has one reader. Where paths part, the gradients of all but one are lost.",
    source="https://github.com/PaddlePaddle/Paddle/issues/3689",
    seen="Share variable between operators or same input variable used in multiple operators leads to a overwrite gradient"
    " variable problem.",
    check=_check,
    net=SmallNet(paths=True),
)
def parent_gradient_overwritten() -> AbstractContextManager[Any]:
    """Keep the latest."""
    return _walk(lambda held, new: new)
