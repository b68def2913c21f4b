"""Bugs of the backward pass of a whole model: every layer by itself is right."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet import model
from scratchnet.gradcheck import Report, check_layer, check_model
from scratchnet.layers import Add, Conv2D, Dense, Flatten, Input
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug, join_reports
from scratchnet.tools.gallery.small_net import SmallNet


def check_branches() -> Report:
    """Check a network that sums three convolutions, each of which reads the one before it, and also two of its layers alone."""
    image = Input(shape=(4, 5, 1))
    first = Conv2D(2, (3, 2), padding="same")(image)
    second = Conv2D(2, (2, 3), padding="same")(first)
    third = Conv2D(2, (3, 2), padding="same")(second)
    total = Add()([third, Add()([second, first])])
    network = model.Model(image, Dense(3, activation="softmax")(Flatten()(total)), seed=0)
    rng = np.random.default_rng(0)
    report = check_model(network, rng.random((2, 4, 5, 1)), np.eye(3)[[0, 2]])
    alone = check_layer(Add(), [(3, 2), (3, 2)]), check_layer(Conv2D(2, (3, 2), padding="same"), (4, 5, 1))
    return join_reports(report, *alone)


graph_bug = partial(bug, run_checks=check_branches, put=replace.attribute(model, "add_gradients"), net=SmallNet(paths=True))


@graph_bug("add-shares-gradient")
def add_shares_gradient(a, b):
    """Add in place."""
    a += b
    return a


@graph_bug("parent-gradient-overwritten")
def parent_gradient_overwritten(a, b):
    """Keep the latest."""
    return b
