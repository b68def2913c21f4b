"""The plan: which ReLUs are fused into a layer next to them. Each saves a pass over one of the largest arrays of a step.

The functions of a convolution or a dense layer can compute two ReLUs too:

    forward     out = max(0, x·w + b)             the ReLU after it: `relu=True`
    backward    dx = 0 where x is not positive    the ReLU that x comes from: `relu_x=True`; x is its output

The plan depends only on the graph; with `compile(fuse=False)` nothing is fused. The forward and backward of every layer are
called in both cases. An argument of the call says what is fused: `layer.forward(x, relu=True)`. A ReLU that another
layer has computed is called with `joined=True`, and returns its argument.

Flatten, max- and min-pooling may stand between a ReLU and the layer that computes its backward. Each of their outputs is one of
their inputs, which alone receives that output's gradient and is positive exactly if the output is. So it makes no difference
whether the gradient is set to 0 before or after their backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scratchnet.layers import Activation, ReLU, Softmax
from scratchnet.layers.base import Node

Keywords = dict[Node, dict[str, bool]]


class Plan(NamedTuple):
    """The keyword arguments of the call of each node's layer; a node that is not listed has none."""

    forward: Keywords
    backward: Keywords


NOTHING_JOINED = Plan({}, {})


def is_activation(node: Node | None, name: str) -> bool:
    """Return whether a node is exactly this activation; a derived class may have another forward."""
    return node is not None and type(node.layer) in (Activation, ReLU, Softmax) and getattr(node.layer, "function", None) == name


def join_relus(nodes: Sequence[Node]) -> Plan:
    """Return the plan of a graph, whose nodes are in topological order: each comes after those that it reads."""
    readers: dict[Node, list[Node]] = {node: [other for other in nodes for p in other.parents if p is node] for node in nodes}

    def only_reader(node: Node) -> Node | None:
        return readers[node][0] if len(readers[node]) == 1 else None

    plan = Plan({}, {})
    for relu in nodes:
        if not is_activation(relu, "relu"):
            continue
        (before,) = relu.parents
        if _declares(before, "joins_relu") and only_reader(before) is relu:
            plan.forward[before] = {"relu": True}
            plan.forward[relu] = {"joined": True}
        after = only_reader(relu)
        while after is not None and _declares(after, "selects"):
            after = only_reader(after)
        if after is not None and _declares(after, "joins_relu"):
            plan.backward[after] = {"relu_x": True}
            plan.backward[relu] = {"joined": True}
    return plan


def _declares(node: Node, what: str) -> bool:
    """Return whether the class of a node's layer itself sets this; a derived class may have another forward."""
    return bool(vars(type(node.layer)).get(what, False))
