"""What all layers share: a name, parameters and their gradients, and a place in a graph.

A layer is a pair of functions, and the arrays that forward keeps for backward:

    out = layer.forward(x)          keeps in `layer.cache` what backward will need
    dx = layer.backward(dout)       dout is the gradient of the loss with respect to out, dx with respect to x;
                                    the gradients of the parameters go to `layer.grads`

If a layer behaves differently in training, as dropout does, its forward has a second argument: `forward(x, training=False)`.
`make_state` returns arrays that are saved but have no gradient, such as moving averages; random numbers are drawn from `self.rng`.

dout is computed by the next layer, and backward is the chain rule,

    dx_i = Σ_j dout_j · ∂out_j/∂x_i

computed without building the matrix ∂out/∂x.

A layer of your own derives from `Layer` and defines `forward` and `backward`, and if needed `make_params` and
`compute_output_shape`. If its constructor has arguments and it will be saved, it stores each argument in the attribute of the
same name, takes `name` too, and calls `super().__init__(name=name)`; see examples/05_your_own_layer.py.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from math import prod
from types import FunctionType
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from numpy.typing import DTypeLike

from scratchnet import initializers, regularizers
from scratchnet.kernels.probe import why_not
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import (
    check_choice,
    check_count,
    check_dtype,
    check_flag,
    check_name,
    check_shape,
    plain_array,
    refused_kind,
    shortened,
)
from scratchnet.support.config import config_of
from scratchnet.support.deprecation import OldName, adopt_old_names
from scratchnet.support.keywords import name_arguments, named_arguments

Shape = tuple[int, ...]
Pair = tuple[int, int]
Functions = tuple[Callable[..., Any], Callable[..., Any]]
Fold = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]     # a layer's w and b -> other w and b
IMPLEMENTATIONS = ("loops", "im2col", "direct", "fused")


class Samples(NamedTuple):
    """Which samples of the training data a batch holds, for layers that do not treat all samples alike.

    If several processes train the model, each runs a part of the batch; see `scratchnet.distribution`.
    """

    rows: Any                   # (N,), their indices in the data
    epoch: int                  # how many times all data have been used before
    first: int = 0              # the place of the first of them in the whole batch
    total: Any = None           # total(array) returns its sum over all processes; None for one process, and if not synchronized
    counts: bool = True         # False if this process has no sample: it runs a copy of one, which adds 0 to every sum
    shared: bool = False        # whether other processes run other parts of the batch


class Node:
    """One place in a graph: a layer, the nodes whose outputs it reads, and the shape of its output (no batch axis).

    A node keeps its layer and its parents. A layer keeps the nodes that it reads, but has only a weak reference to its own node:
    without a cycle of references, a model is freed as soon as it is no longer used. It does not wait for the garbage collector.
    """

    within: tuple[Any, ...] = ()        # for a node of a nested model: the models that contain it, the outermost first

    def __init__(self, layer: Layer, parents: Sequence[Node], shape: Shape):
        self.layer, self.parents, self.shape = layer, tuple(parents), shape
        layer.place = ref(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Connect the layer of a copied node to the copy."""
        vars(self).update(state)
        self.layer.place = ref(self)

    def __repr__(self) -> str:
        return f"<Node {self.layer!r} -> {(None, *self.shape)}>"


def choose_implementation(name: str) -> str:
    """Return the name of the implementation that runs: `name`, or "im2col" where the vector kernels do not work.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    check_choice("implementation", name, IMPLEMENTATIONS)
    if name in ("direct", "fused") and (reason := why_not()):
        warnings.warn(f"{reason}: the {name} kernels need the compiler, so im2col runs instead", RuntimeWarning, stacklevel=2)
        return "im2col"
    return name


def pair(name: str, value: int | Sequence[int]) -> Pair:
    """Return a positive int, or two of them, as (down, across).

    Examples
    --------
    >>> pair("strides", 2), pair("kernel_size", (3, 5))
    ((2, 2), (3, 5))
    """
    both = tuple(value) if isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name}: expected one or two integers of at least 1, got {shortened(value)}. For example {name}=(2, 2)")
    down, across = (check_count(name, number, f"{name}=(2, 2)") for number in both)
    return down, across


class InnerNode(Node):
    """The node, in an outer model, of a layer of a nested model. The layer's own node (`place`) is in the nested model."""

    def __init__(self, layer: Layer, parents: Sequence[Node], shape: Shape, within: Sequence[Any]):
        self.layer, self.parents, self.shape, self.within = layer, tuple(parents), shape, tuple(within)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Leave the layer's own place as it is."""
        vars(self).update(state)


class Layer:
    """The base class of every layer.

    Parameters
    ----------
    name : str, optional
        The prefix of the layer's arrays in a saved model. By default the model chooses it, such as "conv2d_1".
    implementation : {"loops", "im2col", "direct", "fused"}, optional
        Which implementation of the operation runs; by default that of the model, and "fused" for a layer outside a model. "direct"
        is "fused" without Winograd's algorithm for convolutions. Layers that have only one implementation ignore it.

    Attributes
    ----------
    params, grads : dict of str to ndarray
        Parameters, and after `backward` the gradient of each, of the same shape and dtype.
    regularizers : dict of str to Regularizer
        The penalties of parameters, by the parameter's name; see `scratchnet.regularizers`.
    state : dict of str to ndarray
        Arrays that have no gradient, such as moving averages, which forward changes in training; saved with the parameters.
    rng : numpy.random.Generator
        The source of the random numbers of a layer with `draws`. In a model it is made from the model's seed.
    input_shape, output_shape : tuple of int
        Without the batch axis; known after `build`.
    cache : tuple
        What forward kept for backward. Backward only reads it.
    implementations : dict of str to (forward, backward)
        A class attribute: a pair of functions for each implementation, including "fused". The chosen pair is
        `self.forward_function` and `self.backward_function`, which `forward` and `backward` call.
    joins_relu : bool
        A class attribute: whether its functions can also compute a ReLU next to the layer; see plan.py.
    selects : bool
        A class attribute: whether each number of its output is a copy of one number of its input, as in max-pooling, or 0. The
        gradient of a copy is added to the gradient of that one number; the gradient of a 0 is added to none.
    couples_batch : bool
        A class attribute: whether an image's output depends, in training, on the other images of the batch, but not on their order,
        as in batch normalization. The gradient checker then does not compare a batch with its images one by one.
    draws : bool
        A class attribute: whether forward draws random numbers in training. An argument `seed` of the constructor, if it is not
        None, is the seed of `rng`.
    takes_training : bool
        A class attribute: whether forward has the argument `training`; found from its signature.
    takes_samples : bool
        A class attribute: whether forward has the argument `samples`, found from its signature; `fit` then passes a
        `Samples` in training. With `samples_of_parts_only` it does so only if several processes train the model.
    """

    implementations: Mapping[str, Functions] = {}
    joins_relu = False
    selects = False
    couples_batch = False
    draws = False
    takes_training = False
    takes_samples = False
    samples_of_parts_only = False
    place: Callable[[], Node | None] | None = None      # a weak reference to the layer's node; see `Node`
    sources: tuple[Node, ...] | None = None             # the nodes that a connected layer reads
    declared_shape: Shape | None = None                 # the argument input_shape, for the first layer of a Sequential model
    tellings = OldName("implementations")
    kinks = OldName("branch_pattern")

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        adopt_old_names(cls)
        name_arguments(cls)
        if isinstance(forward := vars(cls).get("forward"), FunctionType):
            cls.takes_training = "training" in signature(forward).parameters
            cls.takes_samples = "samples" in signature(forward).parameters
        for name in ("forward", "backward"):
            if isinstance(method := vars(cls).get(name), FunctionType):
                setattr(cls, name, quiet(method))

    @named_arguments
    def __init__(self, *, name: str | None = None, implementation: str | None = None):
        if implementation is not None:
            check_choice("implementation", implementation, IMPLEMENTATIONS)
        self.name = check_name(name)
        self.implementation = implementation
        self.activation: Layer | None = None
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.regularizers: dict[str, regularizers.Regularizer | None] = {}
        self.state: dict[str, np.ndarray] = {}
        self._trainable = True
        self.cache: tuple[Any, ...] | None = None
        self.built = False
        self.batch = 0

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer: False freezes its parameters and its state. It may be changed at any time."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(f"{self._title}: trainable", value)

    @property
    def node(self) -> Node | None:
        """The layer's place in a graph; None if it is not connected."""
        node = self.place() if self.place is not None else None
        if node is None and self.sources is not None:       # its node was freed with the graph; make it again
            node = Node(self, self.sources, self.compute_output_shape(*(source.shape for source in self.sources)))
        return node

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy of the layer receives: everything but its place in a graph, which the copy of its node sets."""
        return {key: value for key, value in vars(self).items() if key not in ("place", "sources")}

    @property
    def _title(self) -> str:
        """How error messages name the layer: by its class, and by its name if it has one."""
        return type(self).__name__ + (f" {self.name!r}" if self.name else "")

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items() if value is not None)
        return f"{type(self).__name__}({settings})"

    @classmethod
    def default_name(cls) -> str:
        """Return the name of the class as Keras writes it: MaxPooling2D -> max_pooling2d."""
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", cls.__name__)
        return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()

    # -- a place in a graph ------------------------------------------------------------------------------------------

    def __call__(self, inputs: Node | Sequence[Node]) -> Node:
        """Connect the layer: `x = Conv2D(32, 3)(x)`. Each layer object is connected once.

        Raises
        ------
        ValueError
            When the layer is connected already, or cannot take an input of this shape.
        TypeError
            When `inputs` is not the result of `Input` or of another layer.
        """
        parents = [inputs] if isinstance(inputs, Node) else inputs
        if not isinstance(parents, (list, tuple)) or not all(isinstance(parent, Node) for parent in parents):
            raise TypeError(
                f"{type(self).__name__}: expected the result of Input(shape=...) or of another layer, got"
                f" {type(inputs).__name__}. For arrays: layer.build(x.shape[1:]); layer.forward(x)"
            )
        if "params" not in vars(self):
            raise TypeError(
                f"{type(self).__name__}: expected __init__ to begin with super().__init__(), got none. Make it the first line"
            )
        if isinstance(self.activation, str):
            raise TypeError(
                f"{type(self).__name__}: expected self.activation to be a layer, connected after this one; got a string."
                " Write self.activation = Activation('relu')"
            )
        if self.node is not None:
            raise ValueError(
                f"{self._title}: expected a layer that is not connected yet, got one that is. Create a new {type(self).__name__},"
                " or call the next layer on its output, as in Dense(10)(layer.output)"
            )
        shapes = [parent.shape for parent in parents]
        node = Node(self, parents, self.compute_output_shape(*shapes))
        self.sources = node.parents
        if self.activation is None:
            return node
        after = self.activation(node)
        self.activation.sources = None                      # a reference back to this layer would be a cycle
        return after

    def disconnect(self) -> None:
        """Take the layer out of its graph, so that it can be connected again."""
        self.place = self.sources = None
        if self.activation is not None:
            self.activation.disconnect()

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of the output for inputs of these shapes, all without the batch axis."""
        return input_shapes[0]

    def compute_param_shapes(self, *input_shapes: Shape) -> Mapping[str, Shape]:
        """Return the shapes of the parameters that `make_params` makes for inputs of these shapes, without making them.

        A saved model is compared with them before anything is allocated. A layer that does not define this method is compared
        after its `make_params`.
        """
        return {}

    # -- parameters --------------------------------------------------------------------------------------------------

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None, dtype: DTypeLike = "float32") -> Layer:
        """Make the parameters of a layer outside a model.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis, or with None for it, as in (None, 28, 28, 1). For a layer of several inputs, a list of shapes.
        rng : numpy.random.Generator, optional
            Source of random weights; `default_rng(0)` by default.
        dtype : {"float32", "float64"}

        Returns
        -------
        Layer
            The layer itself.

        Raises
        ------
        ValueError
            For a shape that the layer cannot take, another dtype, or an `activation=` argument, which works only in a model.
        """
        if self.activation is not None and self.node is None:
            name = _as_json("activation", self.activation)
            raise ValueError(
                f"{self._title}: expected no activation outside a model, got {name!r}. Build {type(self).__name__} without"
                " it, and call an Activation layer after it"
            )
        several = isinstance(input_shape, (tuple, list)) and bool(input_shape) and isinstance(input_shape[0], (tuple, list))
        given: Sequence[Any] = input_shape if several else [input_shape]
        with_batch = [isinstance(shape, (tuple, list)) and [*shape[:1]] == [None] for shape in given]
        shapes = [check_shape(self._title, shape[1:] if batch else shape) for shape, batch in zip(given, with_batch, strict=True)]
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ValueError(f"{self._title}: expected rng from np.random.default_rng(seed), got {shortened(rng)}")
        return self.build_for(shapes, rng if rng is not None else np.random.default_rng(0), dtype, "fused")

    def build_for(
        self, shapes: Sequence[Shape], rng: np.random.Generator, dtype: DTypeLike, implementation: str
    ) -> Layer:
        """Make the parameters for inputs of `shapes`, and choose the pair of functions; a model calls this."""
        self.dtype = check_dtype(self._title, dtype)
        self.input_shapes = tuple(shapes)
        self.input_shape = shapes[0]
        self.output_shape = self.compute_output_shape(*shapes)
        self.params = self._own_arrays("make_params", self.make_params(rng))
        self.state = self._own_arrays("make_state", self.make_state())
        self.param_shapes = {key: p.shape for key, p in self.params.items()}
        if self.draws:
            seed = getattr(self, "seed", None)
            self.rng = np.random.default_rng(seed) if seed is not None else rng.spawn(1)[0]     # spawn draws nothing from rng
        self.grads = {}
        self.cache = None
        self.running = choose_implementation(self.implementation or implementation)
        if self.implementations:
            if "fused" not in self.implementations:
                raise ValueError(
                    f"{type(self).__name__}: expected implementations with an entry 'fused', which runs by default, got only"
                    f" {', '.join(map(repr, self.implementations))}. Add it"
                )
            chosen = self.implementations.get(self.running) or self.implementations["fused"]
            self.forward_function, self.backward_function = chosen
        self.built = True
        return self

    def _own_arrays(self, method: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return copies in the layer's dtype: two layers never share an array, whatever a method of theirs returns."""
        made = {key: plain_array(f"{self._title}: {method}", key, value) for key, value in arrays.items()}
        return {key: np.array(value, self.dtype, order="C") for key, value in made.items()}

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the parameters by name, in the order of `get_weights`; `self.input_shape` is known here."""
        return {}

    def make_state(self) -> dict[str, np.ndarray]:
        """Return the arrays of `state` by name, as they are before training; `self.input_shape` is known here."""
        return {}

    @property
    def named_weights(self) -> dict[str, np.ndarray]:
        """The parameters, then the state, by name: the arrays themselves."""
        return {**self.params, **self.state}

    def count_params(self) -> int:
        """Return the total number of values in all parameters and in the state."""
        return sum(prod(p.shape) for p in self.named_weights.values())

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the parameters, then of the state, in order."""
        return [p.copy() for p in self.named_weights.values()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy `weights` into the parameters and the state; they have the order and the shapes of `get_weights`.

        Raises
        ------
        ValueError
            When their number or a shape differs. In this case nothing is copied.
        """
        set_weights(self.named_weights, weights)

    # -- forward and backward ----------------------------------------------------------------------------------------

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output for a batch x. Every layer overrides this method, some as forward(x, training=False)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x)")

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> Any:
        """Return dx and store the gradients of the parameters. Every layer overrides this method."""
        raise NotImplementedError(f"{type(self).__name__} needs a method backward(self, dout, need_dx=True)")

    def branch_pattern(self) -> Sequence[np.ndarray]:
        """Return the choices that the last forward made, such as which outputs of a ReLU are positive; none by default.

        At a kink, where a choice changes, a function has no derivative. The gradient checker therefore counts a finite
        difference only when the pattern is the same at both of its ends.
        """
        return []

    def check_input(self, x: np.ndarray) -> None:
        """Raise ValueError for an input that the layer was not built for."""
        if not self.built:
            raise ValueError(f"{self._title}: expected a built layer, got one that is not built yet. Call layer.build(x.shape[1:])")
        self._check_batch("x", x, self.input_shape)
        for key, p in self.params.items():
            if p.shape != self.param_shapes[key] or p.dtype != self.dtype:
                raise ValueError(
                    f"{self._title}: expected params[{key!r}] to be {self.dtype} of shape {self.param_shapes[key]}, got {p.dtype}"
                    f" of shape {p.shape}. Write into it with set_weights, or params[{key!r}][...] = values"
                )
        self.batch = len(x)

    def check_inputs(self, xs: Sequence[np.ndarray]) -> None:
        """Raise ValueError if the inputs of a layer with several inputs do not have the shapes that it was built for."""
        self.check_input(xs[0])
        if len(xs) != len(self.input_shapes):
            raise ValueError(f"{self._title}: expected {len(self.input_shapes)} inputs, got {len(xs)}. Build it for all inputs")
        for x, shape in zip(xs, self.input_shapes, strict=True):
            self._check_batch("x", x, shape)
        if len({len(x) for x in xs}) > 1:
            sizes = ", ".join(str(len(x)) for x in xs)
            raise ValueError(
                f"{self._title}: expected the same number of samples in each input, got {sizes}. Pass all inputs of one batch"
            )

    def check_gradient(self, dout: np.ndarray) -> None:
        """Raise ValueError for a dout that does not belong to the last output."""
        self._check_batch("dout", dout, self.output_shape)
        if len(dout) != self.batch:
            raise ValueError(
                f"{self._title}: expected dout of a batch of {self.batch}, as in the last forward, got {len(dout)}."
                " Run forward on the same batch first"
            )

    def _check_batch(self, what: str, array: np.ndarray, shape: Shape) -> None:
        if type(array) is np.ndarray and array.ndim and array.shape[1:] == shape and array.dtype == self.dtype:
            return
        expected = f"{self._title}: expected {what} as {self.dtype} of shape (N, {', '.join(map(str, shape))})"
        if refused := refused_kind(what, array):
            raise ValueError(f"{expected}, {refused}")
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{expected}, got a {type(array).__name__}. Make it a NumPy array with np.asarray({what})")
        if array.ndim and array.shape[1:] == shape and array.dtype == self.dtype:
            return                                              # a subclass that computes as arrays do, such as np.memmap
        fix = f"Convert it with {what}.astype({str(self.dtype)!r})"
        if array.shape[1:] != shape or not array.ndim:
            fix = "For images of another shape build the layer again" if what == "x" else "Pass the gradient of the last output"
        raise ValueError(f"{expected}, got {array.dtype} of shape {array.shape}. {fix}")

    def needs_samples(self, samples: Samples | None) -> bool:
        """Return whether forward is called with `samples` in training."""
        return samples is not None and self.takes_samples and (samples.shared or not self.samples_of_parts_only)

    def cached(self, dout: np.ndarray) -> tuple[Any, ...]:
        """Return what forward kept for backward.

        Raises
        ------
        ValueError
            When forward was not called, or dout does not belong to its output.
        """
        if self.cache is None:
            raise ValueError(
                f"{self._title}: expected a call of forward before backward, got none."
                " Call forward with the batch that dout belongs to"
            )
        self.check_gradient(dout)
        return self.cache

    # -- settings ----------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this layer, as values for JSON: those of the constructor's signature.

        An argument is stored in the attribute of the same name; a class that stores one differently adds it here.
        """
        config = config_of(self, _as_json)
        config["name"] = self.name
        config.pop("implementation", None)
        return config if self.implementation is None else {**config, "implementation": self.implementation}


def _as_json(name: str, value: Any) -> Any:
    """Return an activation, an initializer or a regularizer as a value for JSON, and any other argument as it is.

    An activation with arguments of its own, such as LeakyReLU(0.1), has no name: its class and its arguments are returned.
    """
    if name == "activation" and isinstance(value, Layer):
        config = {**value.get_config(), "name": None}
        return config.get("activation") or {"class_name": type(value).__name__, "config": config}
    if name.endswith("_regularizer"):
        return regularizers.config(value)
    return initializers.config_name(value) if name.endswith("_initializer") else value


@quiet
def set_weights(params: Mapping[str, np.ndarray], weights: Sequence[np.ndarray]) -> None:
    """Copy weights into these parameters, in order; when one does not fit, none is copied."""
    if not isinstance(weights, (list, tuple)):
        got = type(weights).__name__
        raise ValueError(f"set_weights: expected a list of {len(params)} arrays, got a {got}. get_weights() returns one")
    if len(weights) != len(params):
        raise ValueError(
            f"set_weights: expected {len(params)} arrays ({', '.join(params)}), got {len(weights)}. get_weights() shows their order"
        )
    values = [plain_array("set_weights", name, value) for name, value in zip(params, weights, strict=True)]
    for (name, p), value in zip(params.items(), values, strict=True):
        if value.shape != p.shape:
            raise ValueError(
                f"set_weights: expected {name} of shape {p.shape}, got {value.shape}. get_weights() shows the layout"
            )
        if value.dtype.kind not in "fiub":
            raise ValueError(f"set_weights: expected {name} to hold real numbers, got {value.dtype}. Pass an array of float32")
    for p, value in zip(params.values(), values, strict=True):
        p[...] = value
