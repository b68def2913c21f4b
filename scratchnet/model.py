"""Model: a graph of layers with one input and one output, and one step of its training.

    x = Input(shape=(28, 28, 1))        a Node
    y = Flatten()(x)                    a Node that reads the first
    y = Dense(10)(y)                    a Node that reads the second
    model = Model(x, y, seed=1)         the weights of all layers are drawn, in order, from one seed

The nodes are put into topological order: each comes after those that it reads. Forward follows this order, backward the
reverse. `train_step` is one step of training in a few lines; the loop over steps is in training.py.

A model can be a layer of another model: `y = model(x)`. The nodes of the outer model then hold the layers of the inner one, as if
they had been connected one by one, and each such node knows which models it is `within`. Only the list of layers, the names of
arrays and the saved description show the inner model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import DTypeLike

from scratchnet import losses, optimizers, regularizers, saving, training
from scratchnet.callbacks import History
from scratchnet.layers import InputLayer, Layer
from scratchnet.layers.base import InnerNode, Node, Samples, choose_implementation, set_weights
from scratchnet.metrics import Metric
from scratchnet.metrics import by_name as named_metrics
from scratchnet.plan import NOTHING_JOINED, is_activation, plan_of
from scratchnet.support.arithmetic import quiet
from scratchnet.support.arrays import Tensor
from scratchnet.support.checking import (
    check_compile,
    check_count,
    check_dtype,
    check_finite,
    check_flag,
    check_images,
    check_name,
    check_seed,
    shortened,
)
from scratchnet.support.exclusive import exclusive
from scratchnet.support.files import refuse_other_formats
from scratchnet.support.keywords import named_arguments
from scratchnet.support.seeds import seed_sequence
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


def parts_of(nodes: Sequence[Node]) -> list[Any]:
    """Return the layers of a graph and the models that are layers of it, in Keras's order, which is that of `get_weights`.

    The depth of a layer is the largest number of steps from it to the output; the deepest layer is the first. Layers of the same
    depth are in the order in which a depth-first search finds them. It starts at the output and follows the inputs of each layer.
    `nodes` are in topological order.
    """
    owner = {node.layer.activation: node.layer for node in nodes if node.layer.activation is not None}
    part_of = {node: node.within[0] if node.within else owner.get(node.layer, node.layer) for node in nodes}
    sources: dict[Any, list[Any]] = {}
    for node in nodes:
        others = [part_of[parent] for parent in node.parents if part_of[parent] is not part_of[node]]
        sources.setdefault(part_of[node], []).extend(others)
    found: dict[Any, int] = {}
    stack = [part_of[nodes[-1]]]
    while stack:
        last = stack.pop()
        if last not in found:
            found[last] = len(found)
            stack.extend(reversed(sources[last]))
    depth = dict.fromkeys(found, 0)
    for node in reversed(nodes):        # all that read a part come before it here, so its depth is final when it is passed on
        for source in sources[part_of[node]]:
            depth[source] = max(depth[source], depth[part_of[node]] + 1)
    return sorted(found, key=lambda part: (-depth[part], found[part]))


class Model:
    """A network: a graph of layers, and one step of training.

    Several threads may call `evaluate` and `predict` at once. While one trains the model, calls from others raise RuntimeError.

    `model(x)` returns the outputs for a batch of images; with the result of a layer, it connects the model as a layer of another.

    Parameters
    ----------
    inputs : Node
        The result of `Input`, or a list of one.
    outputs : Node
        The result of the last layer, or a list of one.
    seed : int, optional
        Seed of the initial weights, of shuffling and of what layers draw in training. With None they are different each time.
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

    kind = "Model"

    @named_arguments
    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        *,
        seed: int | None = None,
        dtype: DTypeLike = "float32",
        implementation: str = "fused",
        name: str | None = None,
    ):
        nodes = _checked_nodes(inputs, outputs)
        self._set_up(seed, dtype, implementation, name)
        self._set_graph(nodes)
        self._make_weights()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "call" in vars(cls):
            raise TypeError(
                f"{cls.__name__}: expected a graph of layers, got a class with a method call(). Write a function that returns"
                " Model(inputs, outputs), with inputs = Input(shape=...) and each layer called on the result of the one before"
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.optimizer is not None:
            self.optimizer.owner = ref(self)        # a copied model owns the copied optimizer

    def _set_up(self, seed: int | None, dtype: DTypeLike, implementation: str, name: str | None) -> None:
        """Set what a model has before its graph is known."""
        self.given_name, self.name = check_name(name), name or type(self).kind.lower()
        self.dtype, self.implementation = check_dtype(type(self).kind, dtype), choose_implementation(implementation)
        self.seed = check_seed(type(self).kind, seed)
        weights_seed, shuffle_seed = seed_sequence(seed).spawn(2)
        self.weights_rng, self.shuffle_rng = np.random.default_rng(weights_seed), np.random.default_rng(shuffle_seed)
        self.optimizer: Any = None
        self.loss: Any = None
        self.metrics: dict[str, Metric] = {}
        self.weighted_metrics: dict[str, Metric] = {}
        self._ordered: list[Any] = []
        self.plan, self.fuse = NOTHING_JOINED, True
        self.history: History | None = None
        self.stop_training = False

    def _set_graph(self, nodes: list[Node]) -> None:
        """Store the nodes, in topological order, and name the layers."""
        self.nodes = nodes
        self._ordered = parts_of(nodes)
        if len({node.layer for node in nodes}) < len(nodes):
            twice = next(node for n, node in enumerate(nodes) if node.layer in [other.layer for other in nodes[:n]])
            part = twice.within[0] if twice.within else twice.layer
            raise ValueError(
                f"{part._title}: expected to be in a model once, got two places. Create a second one for the other place"
            )
        self._name_parts()
        # The node whose output the loss receives: the one before a final softmax, which the cross-entropy includes.
        self.logits = nodes[-1].parents[0] if is_activation(nodes[-1], "softmax") else nodes[-1]
        # How many times the output of each node is read; forward frees it after the last time.
        self.readers = {node: sum(other.parents.count(node) for other in nodes) for node in nodes}
        self.plan = NOTHING_JOINED
        self.kept: dict[Node, tuple[Any, int]] = {}         # what each layer kept in the last forward, and how many samples

    def _make_weights(self) -> None:
        """Draw the weights of the layers that have none yet, in order."""
        for node in self.nodes:
            if not node.layer.built:
                shapes = [parent.shape for parent in node.parents] or [node.shape]
                node.layer.build_for(shapes, self.weights_rng, self.dtype, self.implementation)
                for model in node.within:
                    model.dtype = self.dtype
            elif node.layer.dtype != self.dtype:
                raise ValueError(
                    f"{node.layer._title}: expected {self.dtype} weights, got {node.layer.dtype} weights of another model."
                    f" Make this model with dtype='{node.layer.dtype}'"
                )

    def _name_parts(self) -> None:
        """Name the layers that have no name yet; a name that a user gave is kept."""
        stacked = self._stacked()
        in_order = stacked is None and dict.fromkeys(node.within[0] if node.within else node.layer for node in self._listed())
        parts = [*(in_order or stacked or ())]
        taken = [part.name for part in parts if (part.given_name if isinstance(part, Model) else part.name) is not None]
        if len(set(taken)) < len(taken):
            repeated = ", ".join(sorted({str(name) for name in taken if taken.count(name) > 1}))
            raise ValueError(f"name: expected a different one for each layer, got {repeated} more than once. Rename one of them")
        for part in parts:
            if isinstance(part, Model):
                if part.given_name is None:
                    part.name = _free_name(part.kind.lower(), taken)
                continue
            if part.name is None:
                part.name = _free_name(part.default_name(), taken)
            if part.activation is not None and part.activation.name is None:
                part.activation.name = part.name

    @property
    def _title(self) -> str:
        """How error messages name the model."""
        return f"{type(self).__name__} {self.name!r}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """Return the outputs (N, …) for a batch (N, …), or connect the model as a layer: `y = model(x)` with a Node x.

        Parameters
        ----------
        inputs : ndarray or Node
        training : bool
            Whether layers such as dropout behave as in training.

        Returns
        -------
        Tensor or Node
            A NumPy array that also has the method `numpy()`, or the last node.
        """
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1 and isinstance(inputs[0], Node):
            (inputs,) = inputs
        return self._connect(inputs) if isinstance(inputs, Node) else self._infer(inputs, training=check_flag("training", training))

    @exclusive(trains=False)
    def _infer(self, x: np.ndarray, training: bool) -> Tensor:
        self.build_for_data(x)
        return Tensor.of(self.forward(x, training=training, keep=False))

    def _connect(self, x: Node) -> Node:
        """Return the last of new nodes that hold this model's layers and begin at `x`."""
        first = self.nodes[0]
        if x.shape != first.shape:
            raise ValueError(
                f"{self._title}: expected an input of shape {first.shape}, got {x.shape}. Connect it to a layer whose output has"
                " that shape"
            )
        places: dict[Node, Node] = {first: x}
        for node in self.nodes[1:]:
            places[node] = InnerNode(node.layer, [places[parent] for parent in node.parents], node.shape, (self, *node.within))
        return places[self.nodes[-1]]

    # -- building -----------------------------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether all layers have their weights."""
        return all(node.layer.built for node in self.nodes)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights of a Sequential model whose input is not known yet; any other model has them already.

        Parameters
        ----------
        input_shape : tuple
            With the batch axis, as in (None, 28, 28, 1).
        """
        shape = self.nodes[0].shape
        if isinstance(input_shape, (tuple, list)) and tuple(input_shape[1:]) != shape:
            raise ValueError(
                f"{self._title}: expected the shape that the model has already, {(None, *shape)}, got {shortened(input_shape)}."
                " Make another model for other images"
            )
        self._make_weights()

    def build_for_data(self, x: Any) -> None:
        """Build the model for a batch `x`, unless it is built already."""
        if not self.built:
            self.build((None, *self.nodes[0].shape))

    # -- layers and parameters ----------------------------------------------------------------------------------------

    @property
    def _parts(self) -> list[Any]:
        """The layers, the input first, and the models that are layers of this one, in Keras's order."""
        stacked = self._stacked()
        return self._ordered if stacked is None else stacked

    def _stacked(self) -> list[Any] | None:
        """Return the layers of a Sequential model; None for others."""
        return None

    def _listed(self) -> list[Node]:
        """Return the nodes in order, without those of a layer made by `activation=` of another."""
        by_argument = {node.layer.activation for node in self.nodes}
        return [node for node in self.nodes if node.layer not in by_argument]

    @property
    def layers(self) -> list[Any]:
        """All layers in order, the input first; a model that is a layer is one entry.

        A layer made by `activation=` of another is not listed. A `Sequential` model leaves its input out, as in Keras.
        """
        return [*self._parts]

    @property
    def every_layer(self) -> dict[str, Layer]:
        """All layers in order, also those in models that are layers, by their paths, such as "conv2d" or "sequential/conv2d"."""
        found: dict[str, Layer] = {}
        for part in self._parts if self.nodes else ():          # reading `nodes` raises an error if the graph is not known yet
            for path, layer in part.every_layer.items() if isinstance(part, Model) else [("", part)]:
                if not (path and isinstance(layer, InputLayer)):
                    found[f"{part.name}/{path}".rstrip("/")] = layer
        return found

    @named_arguments
    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """Return a layer by its name or by its index in `layers`; a ValueError lists the names."""
        layers = self.layers
        if name is None and isinstance(index, (int, np.integer)) and -len(layers) <= index < len(layers):
            return layers[index]
        for layer in layers:
            if isinstance(name, str) and layer.name == name:
                return layer
        known = ", ".join(repr(layer.name) for layer in layers)
        got = shortened(name) if index is None or name is not None else f"index={shortened(index)} of {len(layers)} layers"
        raise ValueError(f"get_layer: expected one of {known}, got {got}")

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
        return MappingProxyType({f"{path}/{key}": p for path, layer in self.every_layer.items() for key, p in layer.params.items()})

    @property
    def named_weights(self) -> Mapping[str, np.ndarray]:
        """All parameters and the state, by "layer/array", in the order of `get_weights`: the arrays themselves."""
        parts = self.every_layer.items()
        return MappingProxyType({f"{path}/{key}": p for path, layer in parts for key, p in layer.named_weights.items()})

    @property
    def trainable(self) -> bool:
        """Whether any layer is trained. Setting it sets it in all layers."""
        return any(layer.trainable for layer in self.every_layer.values())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.every_layer.values():
            layer.trainable = value

    @property
    def grads(self) -> dict[str, np.ndarray | None]:
        """The gradient of each of `params`, from the last backward, and None for a frozen one; a ValueError before the first."""
        layers = self.every_layer
        trained = [layer for layer in layers.values() if layer.params and layer.trainable]
        for layer in trained:
            if not layer.grads:
                raise ValueError(
                    f"grads: expected a backward pass first, got no gradients of {layer.name!r}. Call model.backward(dout) or"
                    " model.train_on_batch(x, y); in a layer of your own, store them in self.grads"
                )
            if not layer.params.keys() <= layer.grads.keys():
                raise ValueError(
                    f"{layer._title}: expected backward to store gradients of {sorted(layer.params)} in self.grads, got"
                    f" {sorted(layer.grads)}. Store one for each parameter"
                )
        return {
            f"{path}/{key}": layer.grads[key] if layer in trained else None
            for path, layer in layers.items()
            for key in layer.params
        }

    def count_params(self) -> int:
        """Return the total number of values in all parameters and in the state of layers."""
        return sum(layer.count_params() for layer in self.every_layer.values())

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all parameters and of the state of layers, in Keras's order and layouts."""
        return [p.copy() for p in self.named_weights.values()]

    @named_arguments
    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy `weights` into the parameters and the state, in the order of `get_weights`; a ValueError names what does not fit."""
        set_weights(self.named_weights, weights)

    @named_arguments
    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], Any] = print,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print one row per layer (name, class, output shape, number of parameters) and the totals.

        Parameters
        ----------
        line_length : int, optional
            The least width of the table.
        print_fn : callable
            Receives the text.
        expand_nested : bool
            Whether the layers of a model that is a layer have rows of their own.
        show_trainable : bool
            Whether a column says which layers are trained.
        """
        width = check_count("summary: line_length", line_length, "line_length=100") if line_length is not None else 0
        head, *lines = text_table(summary_rows(self, expand_nested, show_trainable), "<<><" if show_trainable else "<<>", gap="   ")
        rule = "─" * max(width, *map(len, [head, *lines]))
        layers = self.every_layer.values() if self._known() else ()
        count = sum(layer.count_params() for layer in layers)
        trained = sum(p.size for layer in layers if layer.trainable for p in layer.params.values())
        totals = [
            f"{what} params: {n:,} ({_bytes(n * self.dtype.itemsize)})"
            for what, n in (("Total", count), ("Trainable", trained), ("Non-trainable", count - trained))
        ]
        print_fn("\n".join([f'Model: "{self.name}"', rule, head, rule, *lines, rule, *totals]))

    def _known(self) -> bool:
        """Return whether the graph is known; that of a Sequential model without an input is not."""
        return True

    # -- forward and backward -----------------------------------------------------------------------------------------

    @quiet
    def forward(
        self,
        x: np.ndarray,
        *,
        training: bool = False,
        samples: Samples | None = None,
        to: Node | None = None,
        keep: bool = True,
    ) -> np.ndarray:
        """Run a batch (N, …) through the layers in order, and return the output (N, …), or that of the node `to`.

        Parameters
        ----------
        x : ndarray (N, …)
        training : bool
            Passed to the layers that behave differently in training.
        samples : Samples, optional
            Passed to the layers that treat samples differently; see `Layer`.
        to : Node, optional
            The node to stop at, such as `model.logits`; the last by default.
        keep : bool
            Whether layers keep what backward needs.

        Raises
        ------
        ValueError
            For images of another shape or not of floats, and for a layer whose output does not have its `compute_output_shape`.
        """
        to = to or self.nodes[-1]
        plan = self.plan if to in (self.logits, self.nodes[-1]) else NOTHING_JOINED     # a plan could compute a ReLU after `to`
        # Without a backward after it, more can be fused: see `inference` in plan.py.
        keywords = plan.forward if keep or training else plan.inference
        outputs = {self.nodes[0]: check_images(x, self.nodes[0].shape).astype(self.dtype, copy=False)}
        unread = dict(self.readers)
        self.kept = {}
        for node in self.nodes[1 : self.nodes.index(to) + 1]:
            joined: Any = keywords.get(node, {})
            mode: Any = {"training": training, **joined} if node.layer.takes_training else joined
            if node.layer.needs_samples(samples):
                mode = {"samples": samples, **mode}
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
    def backward(
        self, dout: np.ndarray, need_dx: bool = True, *, start: Node | None = None, keep: bool = True
    ) -> np.ndarray | None:
        """Run a gradient through the layers in reverse order, which stores the gradients of the parameters in `grads`.

        Without `need_dx`, no gradient is computed between the images and the first layer that is trained: no layer needs it.

        Parameters
        ----------
        dout : ndarray (N, …)
            The gradient of the loss with respect to the output of `start`.
        need_dx : bool
            Whether the gradient with respect to the images is computed and returned; otherwise None is returned.
        start : Node, optional
            The node to start at, such as `model.logits`; the last by default.
        keep : bool
            Whether layers keep what forward stored, for a second backward. A training step does not, which saves memory.

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
            # Two models may share a layer, and the layer may have run for the other model since this model's forward.
            node.layer.cache, node.layer.batch = self.kept.get(node, (None, 0))
            dxs = node.layer.backward(gradients.pop(node), wanted, **joined)
            if not keep:
                node.layer.cache = None
                self.kept.pop(node, None)
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
        self.build_for_data(x)
        outputs = {self.nodes[0]: check_images(x, self.nodes[0].shape).astype(self.dtype, copy=False)}
        for node in self.nodes[1:]:
            outputs[node] = node.layer.forward(*(outputs[parent] for parent in node.parents))
            node.layer.cache = None
        return {_path(node): out for node, out in outputs.items()}

    # -- training -----------------------------------------------------------------------------------------------------

    @quiet
    def train_step(
        self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, samples: Samples | None = None
    ) -> tuple[float, np.ndarray]:
        """Train on one batch: images (N, …), labels as rows (N, K), weights (N,) if there are any, and which samples these are.

        Return the loss and the logits from before the step.
        """
        logits = self.forward(x, training=True, samples=samples, to=self.logits)    # every layer in order
        loss, dlogits = self.loss_and_gradient(logits, y, sample_weight)            # the loss, and its gradient
        check_finite(self, x, loss)
        self.backward(dlogits, need_dx=False, start=self.logits, keep=False)        # every layer in reverse order
        regularizers.add_gradients(node.layer for node in self.nodes)
        self.optimizer.update([*self.params.values()], [*self.grads.values()])      # every parameter; both have the same order
        return loss, logits

    @quiet
    def test_step(
        self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, augment: str | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the loss and the logits of one batch, without training; `augment` as for `predict`."""
        logits = training.mean_logits(self, x, augment) if augment else self.forward(x, to=self.logits, keep=False)
        return self.loss_and_gradient(logits, y, sample_weight)[0], logits

    def loss_and_gradient(
        self, logits: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the loss of one batch, with the penalties of all regularizers, and its gradient with respect to the logits."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        loss, dlogits = self.loss.value_and_gradient(logits, y, **weights)
        penalty = regularizers.penalty(node.layer for node in self.nodes)
        return (loss + penalty if penalty else loss), dlogits

    @named_arguments
    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = "categorical_crossentropy",
        *,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
        fuse: bool = True,
    ) -> None:
        """Choose optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "rmsprop", "adam", "adamw", "nadam", "adagrad", "adadelta", or an object with its own settings.
        loss : str, Loss or function
            "categorical_crossentropy" for one-hot labels, "sparse_categorical_crossentropy" for integers, or an object.
        metrics : list of str or Metric, optional
            Such as ["accuracy"]; see `scratchnet.metrics`. The values have the names that are written here, such as "acc".
        weighted_metrics : list of str or Metric, optional
            Metrics in which each sample counts with its weight, from `sample_weight` and `class_weight`. In `metrics` all samples
            count alike.
        fuse : bool
            Whether layers also compute the activations next to them, and in `evaluate` and `predict` the batch normalization after
            them; see plan.py.

        Raises
        ------
        ValueError
            For unknown names, when the loss does not suit the model's last layer, and for the optimizer of another model.
        """
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        plain = named_metrics(metrics, loss.labels)
        weighted = named_metrics(weighted_metrics, loss.labels, taken=plain, prefix="weighted_")
        fuse = check_flag("fuse", fuse)
        if self._known():
            check_compile(self, optimizer, loss)
            self.plan = plan_of(self.nodes) if fuse else NOTHING_JOINED
        optimizer.owner = ref(self)
        self.optimizer, self.loss, self.fuse = optimizer, loss, fuse
        self.metrics, self.weighted_metrics = plain, weighted

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
        refuse_other_formats(path, "model.npz")
        saving.save_model(self, path, include_optimizer)

    @named_arguments
    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights alone into one `.npz`, for `load_weights` of a model with the same layers."""
        refuse_other_formats(path, "weights.npz")
        saving.save_weights(self, path)

    @named_arguments
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy the weights of a saved model with the same parameters into this one; a ValueError names what does not fit."""
        refuse_other_formats(path, "weights.npz")
        saving.load_weights(self, path)

    # -- other runtimes -----------------------------------------------------------------------------------------------

    @named_arguments
    def to_torch_state_dict(
        self, like: Mapping[str, Any] | None = None, *, names: Sequence[str] | Mapping[str, str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the weights as a state dict of PyTorch: copies in its layouts, by the names of its modules and tensors.

        In PyTorch: `torch_model.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})`.

        Parameters
        ----------
        like : dict of str to tensor, optional
            The state dict of the PyTorch model that will receive the weights. The result has its keys, and all shapes are compared.
        names : list or dict of str, optional
            The names of the PyTorch modules, such as ["0", "3"]: one for each layer with weights, in the order of `layers`, or a
            dict by the names of the layers. By default those of `like`, as in `from_torch_state_dict`; without `like`, the names of
            the layers.

        Raises
        ------
        ValueError
            For a layer of your own with weights or after Flatten, and for the first key of `like` that does not fit.

        Examples
        --------
        >>> from scratchnet import Conv2D, Dense, Flatten, Input, Sequential
        >>> model = Sequential([Input(shape=(4, 4, 1)), Conv2D(2, 3), Flatten(), Dense(5)])
        >>> {key: array.shape for key, array in model.to_torch_state_dict(names=["0", "2"]).items()}
        {'0.weight': (2, 1, 3, 3), '0.bias': (2,), '2.weight': (5, 8), '2.bias': (5,)}
        """
        from scratchnet.exchange.pytorch import to_torch_state_dict

        return to_torch_state_dict(self, like, names)

    @named_arguments
    def from_torch_state_dict(
        self, state_dict: Mapping[str, Any], *, names: Sequence[str] | Mapping[str, str] | None = None
    ) -> None:
        """Copy the weights of a PyTorch model into this one, converted to its layouts and its dtype: all of them, or none.

        Parameters
        ----------
        state_dict : dict of str to tensor
            `torch_model.state_dict()`, or what `scratchnet.exchange.load_safetensors` returns: tensors of PyTorch, or arrays.
        names : list or dict of str, optional
            As for `to_torch_state_dict`. By default, modules and layers are matched by name if they have the same names, and
            otherwise by order: the modules in the order in which the PyTorch model made them.

        Raises
        ------
        TypeError
            When `state_dict` is not a dict of tensors.
        ValueError
            For a layer of your own with weights or after Flatten, and for the first key that does not fit: a tensor of another
            shape, one that is missing, or one that has no place. In this case nothing is copied.

        Examples
        --------
        >>> from scratchnet import Dense, Input, Sequential
        >>> model = Sequential([Input(shape=(3,)), Dense(2)])
        >>> model.from_torch_state_dict({"0.weight": np.eye(2, 3), "0.bias": np.zeros(2)})
        >>> model.get_weights()[0]
        array([[1., 0.],
               [0., 1.],
               [0., 0.]], dtype=float32)
        >>> model.from_torch_state_dict({"0.weight": np.eye(3, 3), "0.bias": np.zeros(2)})
        Traceback (most recent call last):
        ...
        ValueError: from_torch_state_dict: expected '0.weight' of shape (2, 3), for the kernel of 'dense', got shape (3, 3). Make
        both models with the same sizes, or say which module is which layer: names=[...]
        """
        from scratchnet.exchange.pytorch import from_torch_state_dict

        from_torch_state_dict(self, state_dict, names)

    @named_arguments
    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the model as an ONNX file, which other programs run; completely or not at all.

        The file has one input, `images` of shape (N, H, W, C), as here (`inputs` for samples of other shapes), and one output,
        `probabilities` of shape (N, K) (`outputs` if the model does not end in softmax). N is any number. The file uses operator
        set 17, and computes what `predict` does: dropout and augmentation are left out. All numbers are float32: a float64 model
        is rounded to it, since onnxruntime has no convolution of float64.

        Parameters
        ----------
        path : path
            The exact name of the file, such as "model.onnx". An existing file is replaced.

        Raises
        ------
        ImportError
            When onnx is not installed: `pip install "scratchnet[onnx]"`.
        TypeError
            When the model has a layer of your own, which has no form in ONNX.

        See Also
        --------
        scratchnet.import_onnx : reads such a file.
        """
        from scratchnet.exchange.onnx_export import export_onnx

        export_onnx(self, path)


def add_gradients(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the sum of two gradients of a node that several nodes read. (`+=` would change an array of another layer.)"""
    return a + b


def _path(node: Node) -> str:
    """Return the name of a node's layer, after the names of the models that it is within."""
    return "/".join([*(model.name for model in node.within), str(node.layer.name)])


def _free_name(base: str, taken: list[str]) -> str:
    """Return `base`, or `base_1`, `base_2`, ..., whichever is not taken, and add it to those that are."""
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.append(name)
    return name


def summary_rows(model: Model, expand_nested: bool, show_trainable: bool, indent: str = "") -> list[tuple[str, ...]]:
    """Return the rows of `Model.summary`: the head, then one for each layer."""
    rows: list[tuple[str, ...]] = [("Layer (type)", "Output Shape", "Param #", "Trainable")] if not indent else []
    for layer in model.layers:
        known = layer.built
        shape = layer.output_shape if isinstance(layer, Model) else (None, *layer.output_shape) if known else ()
        rows.append(
            (
                f"{indent}{layer.name} ({type(layer).__name__})",
                str(shape) if known else "?",
                f"{layer.count_params():,}" if known else "0 (unbuilt)",
                ("Y" if layer.trainable else "N") if known and layer.count_params() else "-",
            )
        )
        if expand_nested and isinstance(layer, Model) and known:
            rows += summary_rows(layer, True, True, f"{indent}    ")
    return rows if show_trainable else [row[:3] for row in rows]


def _checked_nodes(inputs: Any, outputs: Any) -> list[Node]:
    """Return the nodes of the graph in order, or raise an error when it does not lead from `inputs` to `outputs`."""
    inputs, outputs = (v[0] if isinstance(v, (list, tuple)) and len(v) == 1 else v for v in (inputs, outputs))
    for what, node in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(node, Node):
            several = isinstance(node, (list, tuple))
            got = f"a list of {len(node)}" if several else type(node).__name__
            fix = " A model has one output: make one for each, Model(inputs, outputs[1])" if several and what == "outputs" else (
                " A model has one Input" if several else " Call a layer on Input(shape=...)")
            raise TypeError(f"{what}: expected the result of Input(shape=...) or of a connected layer, got {got}.{fix}")
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


CLASSES: dict[str, type[Model]] = {"Model": Model}     # by the names that a saved model has; sequential.py adds its class


@named_arguments
def load_model(path: str | os.PathLike[str], custom_objects: Mapping[str, type] | None = None) -> Model:
    """Return a saved model: its graph and weights, and, if it was compiled, its loss, metrics and optimizer.

    Parameters
    ----------
    path : path
    custom_objects : dict of str to class, optional
        Classes of your own by name: layers, optimizers, schedules, losses, metrics.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is not a saved model, is damaged, or has a layer, an optimizer or a loss of an unknown class.
    """
    refuse_other_formats(path, "model.npz")
    return saving.read_model(CLASSES, path, custom_objects)
