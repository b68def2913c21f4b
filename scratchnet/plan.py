"""The plan: in which steps a graph runs. `compile` makes one; layers know nothing of it.

A step is a node run by its layer, or a Conv2D or a Dense that does the work of ReLUs, which saves walks over the largest arrays:

    forward     out = max(0, x·w + b)             the ReLU behind it, as out is stored
    backward    dx = 0 where x is not positive    the ReLU that x comes from: x is its output, so its mask is at hand

The second needs a ReLU that a step has taken along and nobody else reads. Flatten, max- and min-pooling may stand between: each
of their outputs is one of their inputs, and its gradient goes to that one alone, so a mask applied behind them is the mask
in front. Elsewhere a step masks its own dout (`relu_backward`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from scratchnet.kernels import conv2d as fused_conv2d
from scratchnet.kernels import dense as fused_dense
from scratchnet.kernels.relu import relu_backward
from scratchnet.layers import Activation, Conv2D, Dense, Flatten, InputLayer, MaxPooling2D, MinPooling2D, ReLU, Softmax
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


TAKES_RELU: dict[tuple[type, str], tuple[Any, Any]] = {         # layers whose kernels can take ReLUs along
    (Conv2D, "direct"): (fused_conv2d.direct_forward, fused_conv2d.direct_backward),
    (Conv2D, "fused"): (fused_conv2d.conv2d_forward, fused_conv2d.conv2d_backward),
    (Dense, "direct"): (fused_dense.dense_forward, fused_dense.dense_backward),
    (Dense, "fused"): (fused_dense.dense_forward, fused_dense.dense_backward),
}
HANDS_ON = (Flatten, MaxPooling2D, MinPooling2D)                # each output is one of the inputs, and gets its gradient alone


class FusedStep(Step):
    """A Conv2D or Dense node, run by its kernels, with the work of the ReLUs beside it.

    Attributes
    ----------
    relu : bool
        Whether it gives the value of the ReLU behind it.
    relu_x : bool
        Whether it makes dx 0 where x is not positive, for the ReLU that x came from.
    dout_masked : bool
        Whether dout comes with the mask of its own ReLU applied, by the step that has `relu_x`.
    """

    def __init__(self, node: Node, relu: Node | None):
        super().__init__(relu or node)
        self.parents = node.parents
        self.relu, self.relu_x, self.dout_masked = relu is not None, False, False
        self.layer: Any = node.layer
        self.geometry = (self.layer.strides, self.layer.pads) if isinstance(self.layer, Conv2D) else ()
        run_forward, self.run_backward = TAKES_RELU[type(self.layer), self.layer.running]
        self.run_forward = partial(run_forward, relu=self.relu)
        self.cache: tuple[np.ndarray, np.ndarray | None] | None = None

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Give x·w + b, or max(0, x·w + b)."""
        (x,) = xs
        self.layer.check_input(x)
        out = self.run_forward(x, self.layer.params["kernel"], self.layer.params.get("bias"), *self.geometry)
        self.cache = (x, out if self.relu else None)
        return out

    def backward(self, dout: np.ndarray, need_dx: bool) -> tuple[Any, ...]:
        """Give dx, and fill the layer's gradients."""
        cache = self.cache
        if cache is None:
            raise ValueError(f"{self.layer}: backward needs a forward before it, with the batch that dout belongs to")
        self.layer.check_gradient(dout)
        x, out = cache
        if out is not None and not self.dout_masked:
            dout = relu_backward(dout, out)
        dx, dw, db = self.run_backward(dout, x, self.layer.params["kernel"], *self.geometry, need_dx, relu_x=self.relu_x)
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
        Whether Conv2D and Dense layers do the work of the ReLUs beside them.
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
            if not fuse or (type(node.layer), node.layer.running) not in TAKES_RELU:
                self.steps.append(Step(node))
                continue
            after = next((other for other in nodes if node in other.parents), None)
            relu = after if after and is_activation(after, "relu") and self.readers[node] == 1 else None
            self.steps.append(FusedStep(node, relu))
            if relu:
                joined.add(relu)
        for step in self.steps:
            if isinstance(step, FusedStep) and step.relu and isinstance(reader := self._reader(step), FusedStep):
                step.dout_masked = reader.relu_x = True

    def _reader(self, step: Step) -> Step | None:
        """Find the only step that reads a step's output, past layers in HANDS_ON; None where nobody or several do."""
        while self.readers[step.node] == 1:
            step = next(other for other in self.steps if step.node in other.parents)
            if type(step.node.layer) not in HANDS_ON:
                return step
        return None

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
        """Run the steps back from `start`, the output or the logits, whose gradient is `dout`; give the input's when asked for.

        From a node between, a mask might be missing: a ReLU may count on the step behind it.
        """
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
