"""Model: a graph of layers with one input and one output.

    x = Input(shape=(28, 28, 1))        a Node
    y = Flatten()(x)                    a Node that reads the first
    y = Dense(10)(y)                    and so on
    model = Model(x, y, seed=1)         now the layers get their weights, in order, from one seed

Nodes are put into an order in which each stands behind those that it reads. Forward walks it down, backward walks it
back; how, is in plan.py. How a model meets data is in training.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratchnet.checking import check_images
from scratchnet.layers import InputLayer, Layer
from scratchnet.layers.base import Node, choose_implementation, set_weights
from scratchnet.plan import Plan
from scratchnet.serialization import full_config, load_arrays, save_arrays
from scratchnet.training import Training


def ordered(output: Node) -> list[Node]:
    """List the nodes that `output` depends on and itself, each behind those that it reads."""
    nodes: list[Node] = []
    stack = [(output, False)]
    seen: set[Node] = set()
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            nodes.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parents))
    return nodes


class Model(Training):
    """A network: forward, backward, training. What forward keeps for backward is the model's own: one thread at a time uses it.

    Parameters
    ----------
    inputs : Node
        What `Input` gave.
    outputs : Node
        What the last layer gave.
    seed : int, optional
        All randomness of the model comes from it: first weights and shuffling. None: another each time.
    dtype : {"float32", "float64"}
    implementation : {"fused", "direct", "im2col", "loops"}
        Which telling the layers run, unless they say so themselves.
    name : str, optional

    Raises
    ------
    TypeError
        When `inputs` or `outputs` is not a node.
    ValueError
        When the graph does not lead from `inputs` to `outputs`, or two layers have one name.

    Examples
    --------
    >>> from scratchnet import Dense, Flatten, Input
    >>> x = Input(shape=(4, 4, 1))
    >>> y = Dense(3, activation="softmax")(Flatten()(x))
    >>> model = Model(x, y, seed=1)
    >>> model.count_params(), list(model.params)
    (51, ['dense/kernel', 'dense/bias'])
    >>> model.predict(np.zeros((1, 4, 4, 1), "float32")).round(2)
    array([[0.33, 0.33, 0.33]], dtype=float32)
    """

    def __init__(
        self,
        inputs: Node,
        outputs: Node,
        *,
        seed: int | None = None,
        dtype: DTypeLike = "float32",
        implementation: str = "fused",
        name: str | None = None,
    ):
        for what, node in (("inputs", inputs), ("outputs", outputs)):
            if not isinstance(node, Node):
                gave = "a list; a model has one of each" if isinstance(node, (list, tuple)) else type(node).__name__
                raise TypeError(f"{what} is what Input(shape=...) or a connected layer gave; got {gave}")
        self.name = name or "model"
        self.nodes = ordered(outputs)
        sources = [node for node in self.nodes if not node.parents]
        if sources != [inputs] or not isinstance(inputs.layer, InputLayer):
            raise ValueError(f"the outputs depend on {len(sources)} inputs, and not on the given one alone; a model has one Input")
        if self.nodes[0] is self.nodes[-1]:
            raise ValueError("the model has no layer: outputs is the input itself")
        self.dtype, self.implementation = np.dtype(dtype), choose_implementation(implementation)
        self.seed = None if seed is None else int(seed)
        weights_seed, shuffle_seed = np.random.SeedSequence(seed).spawn(2)
        self.shuffle_rng = np.random.default_rng(shuffle_seed)
        self._name_layers()
        rng = np.random.default_rng(weights_seed)
        for node in self.nodes:
            if not node.layer.built:
                shapes = [parent.shape for parent in node.parents] or [node.shape]
                node.layer.build_for(shapes, rng, dtype, self.implementation)
            elif node.layer.dtype != self.dtype:
                raise ValueError(
                    f"{node.layer} holds {node.layer.dtype} weights of another model; give this one dtype='{node.layer.dtype}'"
                )
        self.plan = Plan(self.nodes, fuse=False)

    def _name_layers(self) -> None:
        taken = [layer.name for layer in self.layers if layer.name is not None]
        if len(set(taken)) < len(taken):
            raise ValueError(
                f"two layers have one name: {', '.join(sorted({n for n in taken if taken.count(n) > 1}))}; give each its own"
            )
        for layer in self.layers:
            base, count, name = layer.default_name(), 0, layer.default_name()
            while layer.name is None:
                if name not in taken:
                    layer.name = name
                    taken.append(name)
                count += 1
                name = f"{base}_{count}"
            if layer.activation is not None and layer.activation.name is None:
                layer.activation.name = layer.name

    # -- what is in it ------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """All layers in order, the input first; an activation that a layer brought along is not listed."""
        brought = {node.layer.activation for node in self.nodes}
        return [node.layer for node in self.nodes if node.layer not in brought]

    def get_layer(self, name: str) -> Layer:
        """Find a layer by its name; a ValueError lists the names."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer {name!r}; there are {', '.join(repr(layer.name) for layer in self.layers)}")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of a batch of images; its length is None."""
        return (None, *self.nodes[0].shape)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of what comes out; its length is None."""
        return (None, *self.nodes[-1].shape)

    @property
    def params(self) -> Mapping[str, np.ndarray]:
        """All parameters, by "layer/parameter", in order: the arrays themselves, to be written into."""
        return MappingProxyType({f"{layer.name}/{key}": p for layer in self.layers for key, p in layer.params.items()})

    @property
    def grads(self) -> dict[str, np.ndarray]:
        """The gradient of each of `params`, from the last backward; a ValueError before the first."""
        for layer in self.layers:
            if layer.params and not layer.grads:
                mend = "model.backward(dout) or model.train_on_batch(x, y) makes them"
                raise ValueError(f"there are no gradients of {layer.name!r} yet; {mend}, or its own backward leaves out self.grads")
            if not layer.params.keys() <= layer.grads.keys():
                raise ValueError(
                    f"the backward of {layer.name!r} left gradients of {sorted(layer.grads)} in self.grads;"
                    f" its parameters are {sorted(layer.params)}"
                )
        return {f"{layer.name}/{key}": layer.grads[key] for layer in self.layers for key in layer.params}

    def count_params(self) -> int:
        """Count the numbers in all parameters."""
        return sum(layer.count_params() for layer in self.layers)

    def get_weights(self) -> list[np.ndarray]:
        """Copy all parameters, in Keras's order and layouts."""
        return [p.copy() for p in self.params.values()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy `weights` into the parameters, in the order of `get_weights`; a ValueError tells what does not fit."""
        set_weights(self.params, weights)

    def summary(self, *, print_fn: Callable[[str], Any] = print) -> None:
        """Print a row a layer (name, kind, output shape, parameters) and the totals."""
        rows = [
            (f"{layer.name} ({type(layer).__name__})", str((None, *layer.output_shape)), f"{layer.count_params():,}")
            for layer in self.layers
        ]
        head = ("Layer (type)", "Output Shape", "Param #")
        widths = [max(len(row[i]) for row in [head, *rows]) + 2 for i in range(3)]
        line = "─" * sum(widths)
        text = [f'Model: "{self.name}"', line]
        for row in [head, *rows]:
            text.append(f"{row[0]:<{widths[0]}}{row[1]:<{widths[1]}}{row[2]:>{widths[2]}}".rstrip())
            if row is head:
                text.append(line)
        total, size = self.count_params(), self.dtype.itemsize
        text += [
            line,
            *(
                f"{what} params: {n:,} ({_bytes(n * size)})"
                for what, n in (("Total", total), ("Trainable", total), ("Non-trainable", 0))
            ),
        ]
        print_fn("\n".join(text))

    # -- forward and backward -----------------------------------------------------------------------------------------

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Run a batch through all layers, keeping what backward needs: (N, …) -> (N, …)."""
        x = check_images(x, self.nodes[0].shape).astype(self.dtype, copy=False)
        return self.plan.forward(x, self.nodes[-1])

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray | None:
        """Run the gradient of the output, (N, …) as `forward` gave it, back through all layers.

        Fills `grads`, and gives the input's when asked to. A ValueError when no forward went before.
        """
        return self.plan.backward(dout, self.nodes[-1], need_dx)

    def layer_outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Give what every layer makes of a batch (N, …): arrays (N, …) by the layer's name, an activation's under its own."""
        values = {self.nodes[0]: check_images(x, self.nodes[0].shape).astype(self.dtype, copy=False)}
        for node in self.nodes[1:]:
            values[node] = node.layer.forward(*(values[parent] for parent in node.parents))
            node.layer.cache = None
        return {str(node.layer.name): value for node, value in values.items()}

    # -- to a file and back -------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Describe the graph as JSON can hold it."""
        names = {node: layer.name for layer in self.layers for node in self.nodes if node.layer in (layer, layer.activation)}
        described = [
            {
                "class": type(layer).__name__,
                "config": full_config(layer) | ({"activation": None} if _stops_before_activation(layer, self.nodes) else {}),
                "inputs": [names[p] for p in layer.node.parents],
            }
            for layer in self.layers
            if layer.node is not None
        ]
        return {
            "name": self.name,
            "seed": self.seed,
            "dtype": str(self.dtype),
            "implementation": self.implementation,
            "layers": described,
        }

    def save(self, path: str | os.PathLike[str], *, include_optimizer: bool = True) -> None:
        """Write graph, weights and how it was compiled into one `.npz`, whole or not at all.

        Parameters
        ----------
        path : path
            The very name of the file, whatever its ending.
        include_optimizer : bool
            Whether the optimizer's state goes along, so that training can go on as if it had not stopped.

        Raises
        ------
        ValueError
            When a layer's `get_config` lacks an argument of its class.
        """
        arrays = dict(self.params)
        config = {"format": "scratchnet model 1", "model": self.get_config(), **self._training_config()}
        if self.optimizer is not None and include_optimizer:
            config["iterations"] = self.optimizer.iterations
            for name, state in zip(self.params, self.optimizer.state, strict=False):
                arrays |= {f"optimizer/{name}/{key}": value for key, value in zip(self.optimizer.state_names, state, strict=True)}
        save_arrays(path, arrays, config)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy the weights of a saved model with the same parameters into this one; a ValueError tells what does not fit."""
        arrays, _ = load_arrays(path)
        missing = [name for name in self.params if name not in arrays]
        if missing:
            raise ValueError(f"{os.fspath(path)} has no {', '.join(missing)}; it holds {', '.join(arrays) or 'no array'}")
        self.set_weights([arrays[name] for name in self.params])


def _stops_before_activation(layer: Layer, nodes: Sequence[Node]) -> bool:
    return layer.activation is not None and layer.activation.node not in nodes


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} GB"


class Sequential(Model):
    """A model that is a plain stack of layers.

    Parameters
    ----------
    layers : list
        An `Input(shape)` first, then the layers in order.
    seed, dtype, implementation, name
        As for `Model`.

    Raises
    ------
    ValueError
        When the list does not begin with an Input.

    Examples
    --------
    >>> from scratchnet import Dense, Input
    >>> Sequential([Input(shape=(3,)), Dense(2)], seed=1).output_shape
    (None, 2)
    """

    def __init__(self, layers: Sequence[Any] = (), **settings: Any):
        if len(layers) < 2 or not isinstance(layers[0], Node):
            raise ValueError("Sequential takes a list that begins with Input(shape=...), then at least one layer")
        node = layers[0]
        for layer in layers[1:]:
            node = layer(node)
        super().__init__(layers[0], node, **{"name": "sequential", **settings})
