"""Model: a graph of layers with one input and one output, and one step of its training.

    x = Input(shape=(28, 28, 1))        a Node
    y = Flatten()(x)                    a Node that reads the first
    y = Dense(10)(y)                    a Node that reads the second
    model = Model(x, y, seed=1)         the weights of all layers are drawn, in order, from one seed

The nodes are put into topological order: each comes after those that it reads. Forward follows this order, backward the
reverse. `train_step` is one step of training in six lines; the loop over steps is in training.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import DTypeLike

from scratchnet import losses, optimizers, saving, training
from scratchnet.callbacks import History
from scratchnet.layers import InputLayer, Layer
from scratchnet.layers.base import Node, choose_implementation, set_weights
from scratchnet.plan import NOTHING_JOINED, is_activation, plan_of
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import (
    check_compile,
    check_dtype,
    check_finite,
    check_flag,
    check_images,
    check_metrics,
    check_name,
    check_seed,
    shortened,
)
from scratchnet.support.keywords import named_arguments
from scratchnet.support.tables import text_table


def ordered(output: Node) -> list[Node]:
    """Return `output` and all nodes that it depends on, in topological order: each comes after those that it reads."""
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


class Model:
    """A network: a graph of layers, and one step of training.

    Several threads may call `evaluate` and `predict` at once. While one trains the model, calls from others raise RuntimeError.

    Parameters
    ----------
    inputs : Node
        The result of `Input`.
    outputs : Node
        The result of the last layer.
    seed : int, optional
        Seed of the initial weights and of shuffling. With None they are different each time.
    dtype : {"float32", "float64"}
    implementation : {"fused", "direct", "im2col", "loops"}
        Which implementation the layers run, unless they name one themselves.
    name : str, optional

    Raises
    ------
    TypeError
        When `inputs` or `outputs` is not a node.
    ValueError
        When the graph does not lead from `inputs` to `outputs`, or two layers have the same name.

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

    @named_arguments
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
        self.nodes = _checked_nodes(inputs, outputs)
        self.name = check_name(name) or "model"
        self.dtype, self.implementation = check_dtype("Model", dtype), choose_implementation(implementation)
        self.seed = check_seed("Model", seed)
        weights_seed, shuffle_seed = np.random.SeedSequence(seed).spawn(2)
        self.shuffle_rng = np.random.default_rng(shuffle_seed)
        self._name_layers()
        rng = np.random.default_rng(weights_seed)
        for node in self.nodes:
            if not node.layer.built:
                shapes = [parent.shape for parent in node.parents] or [node.shape]
                node.layer.build_for(shapes, rng, self.dtype, self.implementation)
            elif node.layer.dtype != self.dtype:
                raise ValueError(
                    f"{node.layer._title}: expected {self.dtype} weights, got {node.layer.dtype} weights of another model."
                    f" Make this model with dtype='{node.layer.dtype}'"
                )
        # The node whose output the loss receives: the one before a final softmax, which the cross-entropy includes.
        self.logits = self.nodes[-1].parents[0] if is_activation(self.nodes[-1], "softmax") else self.nodes[-1]
        self.readers = {node: sum(other.parents.count(node) for other in self.nodes) for node in self.nodes}
        self.plan, self.fuse = NOTHING_JOINED, True
        self.kept: dict[Node, tuple[Any, int]] = {}         # what each layer kept in the last forward, and its batch
        self.optimizer: Any = None
        self.loss: Any = None
        self.metrics: tuple[str, ...] = ()
        self.history: History | None = None
        self.stop_training = False

    def _name_layers(self) -> None:
        taken = [layer.name for layer in self.layers if layer.name is not None]
        if len(set(taken)) < len(taken):
            repeated = ", ".join(sorted({name for name in taken if taken.count(name) > 1}))
            raise ValueError(f"name: expected a different one for each layer, got {repeated} more than once. Rename one of them")
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

    # -- layers and parameters ----------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """All layers in order, the input first; a layer made by `activation=` of another is not listed."""
        by_argument = {node.layer.activation for node in self.nodes}
        return [node.layer for node in self.nodes if node.layer not in by_argument]

    @named_arguments
    def get_layer(self, name: str) -> Layer:
        """Return a layer by its name; a ValueError lists the names."""
        for layer in self.layers:
            if isinstance(name, str) and layer.name == name:
                return layer
        known = ", ".join(repr(layer.name) for layer in self.layers)
        raise ValueError(f"get_layer: expected one of {known}, got {shortened(name)}")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of a batch of images, with None for their number."""
        return (None, *self.nodes[0].shape)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of a batch of outputs, with None for their number."""
        return (None, *self.nodes[-1].shape)

    @property
    def params(self) -> Mapping[str, np.ndarray]:
        """All parameters, by "layer/parameter", in order: the arrays themselves, which may be written into."""
        return MappingProxyType({f"{layer.name}/{key}": p for layer in self.layers for key, p in layer.params.items()})

    @property
    def named_weights(self) -> Mapping[str, np.ndarray]:
        """All parameters and the state, by "layer/array", in the order of `get_weights`: the arrays themselves."""
        return MappingProxyType({f"{layer.name}/{key}": p for layer in self.layers for key, p in layer.named_weights.items()})

    @property
    def trainable(self) -> bool:
        """Whether any layer is trained. Setting it sets it in all layers."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    @property
    def grads(self) -> dict[str, np.ndarray | None]:
        """The gradient of each of `params`, from the last backward, and None for a frozen one; a ValueError before the first."""
        trained = [layer for layer in self.layers if layer.params and layer.trainable]
        for layer in trained:
            if not layer.grads:
                raise ValueError(
                    f"grads: expected a backward pass first, got no gradients of {layer.name!r}. Call model.backward(dout) or"
                    " model.train_on_batch(x, y); in a layer of your own, store them in self.grads"
                )
            if not layer.params.keys() <= layer.grads.keys():
                raise ValueError(
                    f"{layer._title}: expected backward to store gradients of {sorted(layer.params)} in self.grads, got"
                    f" {sorted(layer.grads)}"
                )
        return {
            f"{layer.name}/{key}": layer.grads[key] if layer in trained else None for layer in self.layers for key in layer.params
        }

    def count_params(self) -> int:
        """Return the total number of values in all parameters and in the state of layers."""
        return sum(layer.count_params() for layer in self.layers)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all parameters and of the state of layers, in Keras's order and layouts."""
        return [p.copy() for p in self.named_weights.values()]

    @named_arguments
    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy `weights` into the parameters and the state, in the order of `get_weights`; a ValueError names what does not fit."""
        set_weights(self.named_weights, weights)

    @named_arguments
    def summary(self, *, print_fn: Callable[[str], Any] = print) -> None:
        """Print one row per layer (name, class, output shape, number of parameters) and the totals."""
        rows = [("Layer (type)", "Output Shape", "Param #")]
        for layer in self.layers:
            rows.append((f"{layer.name} ({type(layer).__name__})", str((None, *layer.output_shape)), f"{layer.count_params():,}"))
        head, *lines = text_table(rows, "<<>", gap="   ")
        rule = "─" * max(map(len, [head, *lines]))
        count = self.count_params()
        trained = sum(p.size for layer in self.layers if layer.trainable for p in layer.params.values())
        totals = [
            f"{what} params: {n:,} ({_bytes(n * self.dtype.itemsize)})"
            for what, n in (("Total", count), ("Trainable", trained), ("Non-trainable", count - trained))
        ]
        print_fn("\n".join([f'Model: "{self.name}"', rule, head, rule, *lines, rule, *totals]))

    # -- forward and backward -----------------------------------------------------------------------------------------

    @quiet
    def forward(self, x: np.ndarray, *, training: bool = False, to: Node | None = None, keep: bool = True) -> np.ndarray:
        """Run a batch (N, …) through the layers in order, and return the output (N, …), or that of the node `to`.

        Parameters
        ----------
        x : ndarray (N, …)
        training : bool
            Passed to the layers that behave differently in training.
        to : Node, optional
            The node to stop at, such as `model.logits`; the last by default.
        keep : bool
            Whether layers keep what backward needs.

        Raises
        ------
        ValueError
            For images of another shape or dtype, and for a layer whose output does not have its `compute_output_shape`.
        """
        to = to or self.nodes[-1]
        plan = self.plan if to in (self.logits, self.nodes[-1]) else NOTHING_JOINED     # another could compute what follows it too
        keywords = plan.forward if keep or training else plan.inference
        outputs = {self.nodes[0]: check_images(x, self.nodes[0].shape).astype(self.dtype, copy=False)}
        unread = dict(self.readers)
        self.kept = {}
        for node in self.nodes[1 : self.nodes.index(to) + 1]:
            joined: Any = keywords.get(node, {})
            mode: Any = {"training": training, **joined} if node.layer.takes_training else joined
            out = node.layer.forward(*(outputs[parent] for parent in node.parents), **mode)
            if out.shape != (len(x), *node.shape):
                raise ValueError(
                    f"{node.layer._title}: expected an output of {(len(x), *node.shape)}, as compute_output_shape says, got"
                    f" {out.shape}. def compute_output_shape(self, input_shape) returns the shape without the batch axis"
                )
            if keep:
                self.kept[node] = node.layer.cache, node.layer.batch
            else:
                node.layer.cache = None
            outputs[node] = out
            for parent in node.parents:
                unread[parent] -= 1
                if not unread[parent]:
                    outputs.pop(parent, None)       # its memory may be used again
        return outputs[to]

    @quiet
    def backward(self, dout: np.ndarray, need_dx: bool = True, *, start: Node | None = None) -> np.ndarray | None:
        """Run a gradient through the layers in reverse order, which stores the gradients of the parameters in `grads`.

        Where nothing is trained, between the images and the first layer with trainable parameters, no gradient is computed.

        Parameters
        ----------
        dout : ndarray (N, …)
            The gradient of the output of `start`.
        need_dx : bool
            Whether the gradient of the images is computed and returned; None otherwise.
        start : Node, optional
            The last node, by default, or `model.logits`.

        Raises
        ------
        ValueError
            When forward was not called before.
        """
        needed = set(self.nodes) if need_dx else self._need_gradients()
        gradients: dict[Node, Any] = {start or self.nodes[-1]: dout}
        for node in reversed(self.nodes[1:]):
            if node not in gradients or node not in needed:
                continue
            wanted = any(parent in needed for parent in node.parents)
            joined = self.plan.backward.get(node, {})
            # Models may share a layer, which may have run for another one meanwhile.
            node.layer.cache, node.layer.batch = self.kept.get(node, (None, 0))
            dxs = node.layer.backward(gradients.pop(node), wanted, **joined)
            for parent, dx in zip(node.parents, dxs if isinstance(dxs, tuple) else (dxs,), strict=True):
                if dx is not None and parent in needed:
                    gradients[parent] = add_gradients(gradients[parent], dx) if parent in gradients else dx
        return gradients.get(self.nodes[0]) if need_dx else None

    def _need_gradients(self) -> set[Node]:
        """Return the nodes whose output depends on a parameter that is trained."""
        needed: set[Node] = set()
        for node in self.nodes:
            if (node.layer.params and node.layer.trainable) or any(parent in needed for parent in node.parents):
                needed.add(node)
        return needed

    @quiet
    def layer_outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the output (N, …) of every layer for a batch (N, …), after its `activation=` if it has one, by layer name."""
        outputs = {self.nodes[0]: check_images(x, self.nodes[0].shape).astype(self.dtype, copy=False)}
        for node in self.nodes[1:]:
            outputs[node] = node.layer.forward(*(outputs[parent] for parent in node.parents))
            node.layer.cache = None
        return {str(node.layer.name): out for node, out in outputs.items()}

    # -- training -----------------------------------------------------------------------------------------------------

    @quiet
    def train_step(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Train on one batch: images (N, …) and labels as rows (N, K). Return the loss and the logits from before the step."""
        logits = self.forward(x, training=True, to=self.logits)         # every layer in order
        loss, dlogits = self.loss.value_and_gradient(logits, y)         # how wrong, and in which direction
        check_finite(self, x, loss)
        self.backward(dlogits, need_dx=False, start=self.logits)        # every layer in reverse order
        self.optimizer.update([*self.params.values()], [*self.grads.values()])      # every parameter moves
        return loss, logits

    @quiet
    def test_step(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and the logits of one batch, without training."""
        logits = self.forward(x, to=self.logits, keep=False)
        return self.loss.value_and_gradient(logits, y)[0], logits

    @named_arguments
    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = "categorical_crossentropy",
        *,
        metrics: Sequence[str] | None = None,
        fuse: bool = True,
    ) -> None:
        """Choose optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "adagrad", "adadelta", "adam", or an object with its own settings.
        loss : str or Loss
            "categorical_crossentropy" for one-hot labels, "sparse_categorical_crossentropy" for integers, or an object.
        metrics : list of str, optional
            ["accuracy"], or None for the loss alone.
        fuse : bool
            Whether layers also compute the ReLUs next to them, and in `evaluate` and `predict` the batch normalization after them;
            see plan.py.

        Raises
        ------
        ValueError
            For unknown names, when the loss does not suit the model's last layer, and for the optimizer of another model.
        """
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        metrics = check_metrics(metrics)
        check_compile(self, optimizer, loss)
        optimizer.owner = ref(self)
        self.optimizer, self.loss, self.metrics, self.fuse = optimizer, loss, metrics, check_flag("fuse", fuse)
        self.plan = plan_of(self.nodes) if fuse else NOTHING_JOINED

    fit, evaluate, predict = training.fit, training.evaluate, training.predict
    train_on_batch, test_on_batch = training.train_on_batch, training.test_on_batch

    # -- saving -------------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return a description of the graph, as values for JSON."""
        return saving.model_config(self)

    @named_arguments
    def save(self, path: str | os.PathLike[str], *, include_optimizer: bool = True) -> None:
        """Write the graph, the weights and the arguments of `compile` into one `.npz`, completely or not at all.

        Parameters
        ----------
        path : path
            The exact name of the file: no extension is added.
        include_optimizer : bool
            Whether the optimizer's state is saved too, so that training can continue as if it had not stopped.

        Raises
        ------
        ValueError
            When a layer's `get_config` lacks an argument of its class.
        """
        saving.save_model(self, path, include_optimizer)

    @named_arguments
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy the weights of a saved model with the same parameters into this one; a ValueError names what does not fit."""
        saving.load_weights(self, path)


def add_gradients(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the sum of two gradients of a node that several nodes read. (`+=` would change an array of another layer.)"""
    return a + b


def _checked_nodes(inputs: Any, outputs: Any) -> list[Node]:
    """Return the nodes of the graph in order, or raise an error when it does not lead from `inputs` to `outputs`."""
    for what, node in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(node, Node):
            got = "a list; a model has one of each" if isinstance(node, (list, tuple)) else type(node).__name__
            raise TypeError(f"{what}: expected the result of Input(shape=...) or of a connected layer, got {got}")
    nodes = ordered(outputs)
    sources = [node for node in nodes if not node.parents]
    if sources != [inputs] or not isinstance(inputs.layer, InputLayer):
        raise ValueError(
            "inputs: expected the only Input that the outputs depend on, got outputs that depend on"
            f" {sum(node is not inputs for node in sources)} others. A model has one Input"
        )
    if nodes[0] is nodes[-1]:
        raise ValueError("outputs: expected the result of a layer, got the input itself. Add a layer, such as Flatten()(x)")
    return nodes


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

    @named_arguments
    def __init__(
        self,
        layers: Sequence[Any] = (),
        *,
        seed: int | None = None,
        dtype: DTypeLike = "float32",
        implementation: str = "fused",
        name: str | None = None,
    ):
        if not isinstance(layers, (list, tuple)) or len(layers) < 2 or not isinstance(layers[0], Node):
            raise ValueError(
                "Sequential: expected a list that begins with Input(shape=...), then at least one layer, got"
                f" {_listed(layers)}. For example Sequential([Input(shape=(28, 28, 1)), Flatten(), Dense(10)])"
            )
        node = layers[0]
        for layer in layers[1:]:
            if not isinstance(layer, Layer) or isinstance(layer, InputLayer):
                raise TypeError(f"Sequential: expected layers after the first Input, got {_not_a_layer(layer)}")
            node = layer(node)
        name = check_name(name) or "sequential"
        super().__init__(layers[0], node, seed=seed, dtype=dtype, implementation=implementation, name=name)


def _listed(layers: Any) -> str:
    """Return the contents of a list of layers as text, for a message."""
    if not isinstance(layers, (list, tuple)):
        return f"a {type(layers).__name__}"
    names = [f"the Input {layer.shape}" if isinstance(layer, Node) else type(layer).__name__ for layer in layers]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "an empty list"


def _not_a_layer(thing: Any) -> str:
    """Return what was received in place of a layer, and the fix."""
    if isinstance(thing, (Node, InputLayer)):
        return "a second Input. A model has one; layers of several inputs are connected with Model(inputs, outputs)"
    if isinstance(thing, type) and issubclass(thing, Layer):
        return f"the class {thing.__name__}. A class needs parentheses: {thing.__name__}(...)"
    if isinstance(thing, Model):
        return "a model. Put its layers into the list one by one"
    if isinstance(thing, str):
        return f"the text {shortened(thing)}. A layer is an object, such as Activation('relu')"
    if callable(thing):
        name = getattr(thing, "__name__", "without a name")
        return f"a function, {name}. Derive a class from Layer, with forward and backward"
    return f"a {type(thing).__name__}. A layer is an object, such as Dense(10)"


@named_arguments
def load_model(path: str | os.PathLike[str], custom_objects: Mapping[str, type] | None = None) -> Model:
    """Return a saved model: its graph and weights, and, if it was compiled, its loss, metrics and optimizer.

    Parameters
    ----------
    path : path
    custom_objects : dict of str to class, optional
        Classes of your own by name: layers, optimizers, losses.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is not a saved model, is damaged, or has a layer, an optimizer or a loss of an unknown class.
    """
    return saving.load_model(Model, path, custom_objects)
