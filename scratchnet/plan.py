"""The plan: in which steps a graph runs. `compile` makes one; layers know nothing of it.

A step is a node run by its layer, or two neighbours run as one: a Conv2D or a Dense and the ReLU behind it. The fused
kernels take the maximum with 0 as they store an output, and leave out the gradients of outputs that are 0 as they read
them, which saves four walks over the largest arrays of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from scratchnet.kernels import conv2d as fused_conv2d
from scratchnet.kernels import dense as fused_dense
from scratchnet.layers import Activation, Conv2D, Dense, InputLayer, ReLU, Softmax
from scratchnet.layers.base import Node


class Step:
    """A node, run by its own layer.

    Attributes
    ----------
    parents : tuple of Node
        Whose values it reads.
    node : Node
        Whose value it gives.
    """

    def __init__(self, node: Node):
        self.node, self.parents = node, node.parents

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Give the node's value."""
        return self.node.layer.forward(*xs)

    def backward(self, dout: np.ndarray, need_dx: bool) -> tuple[Any, ...]:
        """Give the gradient of each parent."""
        dxs = self.node.layer.backward(dout, need_dx)
        return dxs if isinstance(dxs, tuple) else (dxs,)

    def forget(self) -> None:
        """Drop what forward kept for backward."""
        self.node.layer.cache = None


WITH_RELU: dict[tuple[type, str], tuple[Any, Any]] = {        # the pairs that can take a ReLU along
    (Conv2D, "direct"): (fused_conv2d.direct_forward, fused_conv2d.direct_backward),
    (Conv2D, "fused"): (fused_conv2d.conv2d_forward, fused_conv2d.conv2d_backward),
    (Dense, "direct"): (fused_dense.dense_forward, fused_dense.dense_backward),
    (Dense, "fused"): (fused_dense.dense_forward, fused_dense.dense_backward),
}


class StepWithReLU(Step):
    """A Conv2D or Dense node and the ReLU node behind it, in one pass each way."""

    def __init__(self, node: Node, relu: Node):
        super().__init__(relu)
        self.parents = node.parents
        self.layer: Any = node.layer
        self.geometry = (self.layer.strides, self.layer.pads) if isinstance(self.layer, Conv2D) else ()
        run_forward, self.run_backward = WITH_RELU[type(self.layer), self.layer.running]
        self.run_forward = partial(run_forward, relu=True)
        self.cache: tuple[np.ndarray, np.ndarray] | None = None

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Give max(0, x·w + b)."""
        (x,) = xs
        self.layer.check_input(x)
        out = self.run_forward(x, self.layer.params["kernel"], self.layer.params.get("bias"), *self.geometry)
        self.cache = (x, out)
        return out

    def backward(self, dout: np.ndarray, need_dx: bool) -> tuple[Any, ...]:
        """Give dx, and fill the layer's gradients."""
        cache = self.cache
        if cache is None:
            raise ValueError(f"{self.layer}: backward needs a forward before it, with the batch that dout belongs to")
        self.layer.check_gradient(dout)
        x, out = cache
        dx, dw, db = self.run_backward(dout, x, self.layer.params["kernel"], *self.geometry, need_dx, relu_out=out)
        self.layer.grads = {"kernel": dw, "bias": db} if self.layer.use_bias else {"kernel": dw}
        return (dx,)

    def forget(self) -> None:
        """Drop what forward kept for backward."""
        self.cache = None


def is_activation(node: Node, name: str) -> bool:
    """Say whether a node is this very activation; a class derived from one has a forward of its own."""
    layer = node.layer
    return type(layer) in (Activation, ReLU, Softmax) and getattr(layer, "function", None) == name


class Plan:
    """The steps of a graph, run forward and backward.

    Parameters
    ----------
    nodes : sequence of Node
        In an order in which every node stands behind those that it reads; the first is the input, the last the output.
    fuse : bool
        Whether neighbours are joined.
    """

    def __init__(self, nodes: Sequence[Node], fuse: bool):
        self.input, self.output = nodes[0], nodes[-1]
        self.readers = {node: sum(other.parents.count(node) for other in nodes) for node in nodes}
        # Softmax and cross-entropy are joined in the loss, which starts from here.
        self.logits = self.output.parents[0] if is_activation(self.output, "softmax") else self.output
        self.steps: list[Step] = []
        joined: set[Node] = set()
        for node in nodes:
            if node in joined or isinstance(node.layer, InputLayer):
                continue
            after = next((other for other in nodes if node in other.parents), None)
            if fuse and after and self._joins(node, after):
                self.steps.append(StepWithReLU(node, after))
                joined.add(after)
            else:
                self.steps.append(Step(node))

    def _joins(self, node: Node, after: Node) -> bool:
        suited = (type(node.layer), node.layer.running) in WITH_RELU
        return suited and is_activation(after, "relu") and self.readers[node] == 1

    def forward(self, x: np.ndarray, to: Node, *, keep: bool = True) -> np.ndarray:
        """Run the steps from the input to the node `to`; `keep` what backward will need."""
        values = {self.input: x}
        readers = dict(self.readers)
        for step in self.steps:
            value = step.forward(*(values[parent] for parent in step.parents))
            if value.shape != (len(x), *step.node.shape):
                raise ValueError(
                    f"{step.node.layer} gave an output of {value.shape}, where its compute_output_shape says"
                    f" {(len(x), *step.node.shape)}: def compute_output_shape(self, input_shape) gives it without the batch axis"
                )
            if not keep:
                step.forget()
            if step.node is to:
                return value
            values[step.node] = value
            for parent in step.parents:
                readers[parent] -= 1
                if not readers[parent]:
                    values.pop(parent, None)  # its memory may be used again
        return values[to]

    def backward(self, dout: np.ndarray, start: Node, need_dx: bool) -> np.ndarray | None:
        """Run the steps back from the node `start`, whose gradient is `dout`, and give the input's gradient when asked for."""
        gradients: dict[Node, Any] = {start: dout}
        for step in reversed(self.steps):
            if step.node not in gradients:
                continue
            wanted = need_dx or any(parent is not self.input for parent in step.parents)
            for parent, dx in zip(step.parents, step.backward(gradients.pop(step.node), wanted), strict=True):
                if dx is None:
                    continue
                # A node that several read gets the sum; `+=` would write into an array that others hold.
                gradients[parent] = gradients[parent] + dx if parent in gradients else dx
        return gradients.get(self.input) if need_dx else None
