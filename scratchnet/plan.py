"""The plan: which activations and normalizations are fused into a layer next to them. Each such fusion saves a pass over a large
array, or the array itself.

The functions of a convolution, a dense layer or a batch normalization can also compute two ReLUs:

    forward     out = max(0, x·w + b)             the ReLU after it: `relu=True`
    backward    dx = 0 where x is not positive    the ReLU that x comes from: `relu_x=True`; x is its output

In inference, a batch normalization is an affine function, a constant times x plus a constant. So a convolution or a dense layer
before it can compute it with other weights, `fold=`. The ReLU after the normalization is then computed by the same layer too:

    inference   out = max(0, γ·inv·(x·w + b - mean) + β) = max(0, x·w' + b')        conv, normalization and ReLU in one pass
                with inv = 1 / √(variance + ε),  w' = γ·inv·w  and  b' = γ·inv·(b - mean) + β

This is done in forward passes that no backward follows, such as those of `evaluate` and `predict`.

A batch normalization can also apply the smooth activation after it, such as GELU: `then=`. The backward of GELU needs its input z,
which is the output of the normalization. z is not kept, which saves an array; backward computes it again from the input of the
normalization. This takes one pass over the array, with a multiplication and an addition for each number:

    forward     out = gelu(γ·(x - mean)·inv + β)                    keeps x
    backward    z = γ·(x - mean)·inv + β,  dz = dout · gelu'(z)     then the gradients of the normalization from dz

The plan depends only on the graph; with `compile(fuse=False)` nothing is fused. The forward and backward of every layer are
called in both cases. An argument of the call says what is fused: `layer.forward(x, relu=True)`. An activation or a normalization
that another layer computes is called with `joined=True`, and returns its argument.

Layers that only select may stand between a ReLU and the layer that computes its backward: Flatten, Reshape, max- and
min-pooling, global max-pooling and zero-padding. Each of their outputs is one of their inputs, which alone receives that
output's gradient and is positive exactly when the output is. (The zeros of zero-padding pass no gradient on.) So it makes no
difference whether the gradient is set to 0 before or after their backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scratchnet.layers import Activation, BatchNormalization, Conv2D, Dense, ReLU, Softmax
from scratchnet.layers.activations import BACKWARD_FROM_X
from scratchnet.layers.base import Node

Keywords = dict[Node, dict[str, Any]]


class Plan(NamedTuple):
    """The keyword arguments of the call of each node's layer; a node that is not listed has none."""

    forward: Keywords
    backward: Keywords
    inference: Keywords     # for a forward that keeps nothing for backward


NOTHING_JOINED = Plan({}, {}, {})


def is_activation(node: Node | None, name: str) -> bool:
    """Return whether a node is exactly this activation; a derived class may have another forward."""
    return node is not None and type(node.layer) in (Activation, ReLU, Softmax) and getattr(node.layer, "function", None) == name


def plan_of(nodes: Sequence[Node]) -> Plan:
    """Return the plan of a graph, whose nodes are in topological order: each comes after those that it reads."""
    plan = join_relus(nodes)
    inference = fold_normalizations(nodes, plan.forward)
    join_smooth_activations(nodes, plan)
    return plan._replace(inference=inference)


def join_relus(nodes: Sequence[Node]) -> Plan:
    """Return the plan in which only ReLUs are joined."""
    only_reader = only_readers(nodes)
    plan = Plan({}, {}, {})
    for relu in nodes:
        if not is_activation(relu, "relu"):
            continue
        (before,) = relu.parents
        if _declares(before, "joins_relu") and only_reader[before] is relu:
            plan.forward[before] = {"relu": True}
            plan.forward[relu] = {"joined": True}
        after = only_reader[relu]
        while after is not None and _declares(after, "selects"):
            after = only_reader[after]
        if after is not None and _declares(after, "joins_relu"):
            plan.backward[after] = {"relu_x": True}
            plan.backward[relu] = {"joined": True}
    return plan._replace(inference=plan.forward)


def join_smooth_activations(nodes: Sequence[Node], plan: Plan) -> None:
    """Add to the plan the activations that a batch normalization before them applies: those whose backward needs their input."""
    only_reader = only_readers(nodes)
    for node in nodes:
        after = only_reader[node]
        if type(node.layer) is BatchNormalization and after and any(is_activation(after, name) for name in BACKWARD_FROM_X):
            for calls in (plan.forward, plan.backward):
                calls[node], calls[after] = {**calls.get(node, {}), "then": after.layer}, {"joined": True}


def fold_normalizations(nodes: Sequence[Node], forward: Keywords) -> Keywords:
    """Return the keyword arguments of inference: those of `forward`, and batch normalizations folded into the layer before them."""
    only_reader = only_readers(nodes)
    inference = dict(forward)
    for node in nodes:
        if type(node.layer) is not BatchNormalization:
            continue
        (before,) = node.parents
        if type(before.layer) in (Conv2D, Dense) and only_reader[before] is node:
            inference[before] = {"fold": node.layer.folded, **forward.get(node, {})}        # and the ReLU after it, if there is one
            inference[node] = {"joined": True}
    return inference


def only_readers(nodes: Sequence[Node]) -> dict[Node, Node | None]:
    """Return for each node the only node that reads it; None if there is none, or several, or one that reads it twice."""
    readers = {node: [other for other in nodes for p in other.parents if p is node] for node in nodes}
    return {node: found[0] if len(found) == 1 else None for node, found in readers.items()}


def _declares(node: Node, what: str) -> bool:
    """Return whether the class of a node's layer itself sets this; a derived class may have another forward."""
    return bool(vars(type(node.layer)).get(what, False))
