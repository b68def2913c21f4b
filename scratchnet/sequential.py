"""Sequential: a model that is a plain stack of layers. Layers can be added, and the first images may give its input shape.

    model = Sequential([Input(shape=(28, 28, 1)), Flatten(), Dense(10)])        the weights are made at once
    model = Sequential([Flatten(), Dense(10)])                                  they are made when it receives the first images

As soon as the shape of the input is known, each layer is connected to the one before, and the graph is that of any `Model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratchnet.layers import Input, InputLayer, Layer
from scratchnet.layers.base import Node, Shape
from scratchnet.model import CLASSES, Model, ordered
from scratchnet.support.checking import check_shape, shortened
from scratchnet.support.keywords import named_arguments


class Sequential(Model):
    """A model that is a plain stack of layers.

    Its input is known if the list begins with an Input, or if the first layer has `input_shape=` or is a model whose input is
    known. Otherwise the weights are made by `build`, for the first images that the model receives, or by another model
    of which it becomes a layer.

    Parameters
    ----------
    layers : list, optional
        The layers in order, with an `Input(shape)` before them or without. A layer may be a model.
    seed, dtype, implementation, name
        As for `Model`.

    Raises
    ------
    TypeError
        When something in the list is not a layer.
    ValueError
        When a layer cannot take the output of the one before it.

    Examples
    --------
    >>> from scratchnet import Dense, Input
    >>> Sequential([Input(shape=(3,)), Dense(2)], seed=1).output_shape
    (None, 2)
    >>> model = Sequential()
    >>> model.add(Dense(2))
    >>> model.build((None, 3))
    >>> model.count_params()
    8
    """

    kind = "Sequential"

    @named_arguments
    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        *,
        seed: int | None = None,
        dtype: DTypeLike = "float32",
        implementation: str = "fused",
        name: str | None = None,
    ):
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(
                f"Sequential: expected a list of layers, got a {type(layers).__name__}. For example"
                " Sequential([Input(shape=(28, 28, 1)), Flatten(), Dense(10)])"
            )
        self._set_up(seed, dtype, implementation, name)
        self._stack: list[Any] = []             # the layers, without the input
        self._ends: list[Node] = []             # the input, and the last node of each layer, once the input is known
        try:
            for layer in layers or ():
                self._push(layer)
        except (TypeError, ValueError):
            self._disconnect()
            raise
        self._rebuild()

    @classmethod
    def of(cls, stack: Sequence[Any], ends: Sequence[Node], **settings: Any) -> Sequential:
        """Return a model of layers that are connected already; `ends` are the input and the node of each layer."""
        model = cls(**settings)
        model._stack, model._ends = [*stack], [*ends]
        model._rebuild()
        return model

    @property
    def nodes(self) -> list[Node]:
        """The nodes in topological order."""
        if not self._ends:
            raise ValueError(
                f"{self._title}: expected a model that knows the shape of its input, got one that does not yet. Begin with"
                " Input(shape=(28, 28, 1)), or call model.build((None, 28, 28, 1))"
            )
        return self._nodes

    @nodes.setter
    def nodes(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def _known(self) -> bool:
        return bool(self._ends)

    def _stacked(self) -> list[Any]:
        return [*(end.layer for end in self._ends[:1]), *self._stack]

    @property
    def layers(self) -> list[Any]:
        """All layers in order, without the input."""
        return [*self._stack]

    @named_arguments
    def add(self, layer: Any) -> None:
        """Add a layer or a model at the end. An Input can be added only as the first."""
        self._push(layer)
        self._rebuild()

    def pop(self) -> Any:
        """Remove the last layer and return it, or None if there is none."""
        if not self._stack:
            return None
        layer = self._stack.pop()
        if self._ends:
            self._ends.pop()
        if isinstance(layer, Layer):
            layer.disconnect()
        self._rebuild()
        return layer

    def _push(self, layer: Any) -> None:
        """Connect a layer, if the input is known, and put it at the end."""
        first = not self._stack and not self._ends
        layer = layer.node if isinstance(layer, InputLayer) else layer
        if first and isinstance(layer, Node) and isinstance(layer.layer, InputLayer):
            self._ends.append(layer)
            return
        if not isinstance(layer, (Layer, Model)):
            raise TypeError(f"Sequential: expected layers after the first Input, got {_not_a_layer(layer)}")
        if layer in self._stack:
            raise ValueError(f"{layer._title}: expected to be in a model once, got two places. Create a second one")
        if first and (shape := _own_input_shape(layer)) is not None:
            self._ends.append(Input(shape=shape))
        if self._ends:
            self._ends.append(layer(self._ends[-1]))
        self._stack.append(layer)

    def _rebuild(self, make_weights: bool = True) -> None:
        """Renew the graph after a change of the stack, and make the weights of new layers."""
        if not self._ends:
            self._name_parts()
            return
        was_compiled = self.optimizer
        if hasattr(self, "_nodes"):
            self.optimizer = None           # its state belongs to other parameters
        self._set_graph(ordered(self._ends[-1]))
        if make_weights:
            self._make_weights()
        if self.optimizer is not None:
            measured = [*self.metrics.values()], [*self.weighted_metrics.values()]
            self.compile(was_compiled, self.loss, metrics=measured[0], weighted_metrics=measured[1], fuse=self.fuse)

    def _disconnect(self) -> None:
        """Forget the input after a failed attempt to connect the layers: the model is as before, without a known input."""
        self._ends = []
        vars(self).pop("_nodes", None)
        for layer in self._stack:
            if isinstance(layer, Layer):
                layer.disconnect()
                layer.built = False

    def _open(self, shape: Shape, make_weights: bool) -> None:
        """Make the graph of a model whose input was not known, for samples of this shape."""
        if not self._stack:
            raise ValueError(f"{self._title}: expected at least one layer, got none. model.add(Dense(10)) adds one")
        self._ends = [Input(shape=shape)]
        try:
            for layer in self._stack:
                self._ends.append(layer(self._ends[-1]))
            self._rebuild(make_weights)
        except (TypeError, ValueError):
            self._disconnect()
            raise

    @property
    def built(self) -> bool:
        """Whether all layers have their weights."""
        return self._known() and super().built

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights of a model whose input is not known yet.

        Parameters
        ----------
        input_shape : tuple
            With the batch axis, as in (None, 28, 28, 1).

        Raises
        ------
        ValueError
            For a shape other than that of the model, and for one that its layers cannot take.
        """
        if self._known():
            super().build(input_shape)
            return
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 2:
            raise ValueError(
                f"{self._title}: expected input_shape with the batch axis, got {shortened(input_shape)}. For example"
                " model.build((None, 28, 28, 1))"
            )
        self._open(check_shape("build: input_shape", input_shape[1:]), make_weights=True)

    def build_for_data(self, x: Any) -> None:
        """Build the model for a batch `x`, unless it is built already."""
        if not self._known() and np.ndim(x) > 1:
            self.build((None, *np.shape(x)[1:]))
        super().build_for_data(x)

    def _connect(self, x: Node) -> Node:
        if not self._known():
            self._open(x.shape, make_weights=False)        # the outer model makes them, from its seed
        return super()._connect(x)


CLASSES["Sequential"] = Sequential


def _own_input_shape(part: Any) -> Shape | None:
    """Return the shape of the input that a first layer or model knows by itself, or None."""
    if isinstance(part, Model):
        return part.nodes[0].shape if part._known() else None
    return part.declared_shape


def _not_a_layer(thing: Any) -> str:
    """Return what was received in place of a layer, and the fix."""
    if isinstance(thing, (Node, InputLayer)):
        return "a second Input. A model has one; layers of several inputs are connected with Model(inputs, outputs)"
    if isinstance(thing, type) and issubclass(thing, Layer):
        return f"the class {thing.__name__}. A class needs parentheses: {thing.__name__}(...)"
    if isinstance(thing, str):
        return f"the string {shortened(thing)}. A layer is an object, such as Activation('relu')"
    if callable(thing):
        name = getattr(thing, "__name__", "without a name")
        return f"a function, {name}. Derive a class from Layer, with forward and backward"
    return f"a {type(thing).__name__}. A layer is an object, such as Dense(10)"
