"""What all layers share: a name, parameters and their gradients, and a place in a graph.

A layer is a pair of functions, and the arrays that forward keeps for backward:

    out = layer.forward(x)          keeps in `layer.cache` what backward will need
    dx = layer.backward(dout)       dout is the gradient of the loss with respect to out, dx with respect to x;
                                    the gradients of the parameters go to `layer.grads`

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
from math import prod
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratchnet import initializers
from scratchnet.kernels.probe import why_not
from scratchnet.support.arithmetic import quiet
from scratchnet.support.config import config_of
from scratchnet.support.deprecation import OldName, adopt_old_names

Shape = tuple[int, ...]
Pair = tuple[int, int]
Functions = tuple[Callable[..., Any], Callable[..., Any]]
IMPLEMENTATIONS = ("loops", "im2col", "direct", "fused")


class Node:
    """One place in a graph: a layer, the nodes whose outputs it reads, and the shape of its output (no batch axis)."""

    def __init__(self, layer: Layer, parents: Sequence[Node], shape: Shape):
        self.layer, self.parents, self.shape = layer, tuple(parents), shape

    def __repr__(self) -> str:
        return f"<Node {self.layer!r} -> {(None, *self.shape)}>"


def choose_implementation(name: str) -> str:
    """Return the name of the implementation that runs: `name`, or "im2col" where the vector kernels do not work.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"implementation: expected one of {', '.join(map(repr, IMPLEMENTATIONS))}, got {name!r}")
    if name in ("direct", "fused") and (reason := why_not()):
        warnings.warn(f"{reason}: the {name} kernels need the compiler, im2col runs instead", RuntimeWarning, stacklevel=2)
        return "im2col"
    return name


def pair(name: str, value: int | Sequence[int]) -> Pair:
    """Return a positive int, or two of them, as (down, across).

    Examples
    --------
    >>> pair("strides", 2), pair("kernel_size", (3, 5))
    ((2, 2), (3, 5))
    """
    both = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
    if len(both) != 2 or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 1 for v in both):
        raise ValueError(f"{name}: expected one or two integers of at least 1, got {value!r}. For example {name}=(2, 2)")
    return int(both[0]), int(both[1])


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
    input_shape, output_shape : tuple of int
        Without the batch axis; known after `build`.
    cache : tuple
        What forward kept for backward. Backward only reads it.
    implementations : dict of str to (forward, backward)
        Of the class: a pair of functions for each implementation, including "fused". The chosen pair is
        `self.forward_function` and `self.backward_function`, which `forward` and `backward` call.
    joins_relu : bool
        Of the class: whether its functions can also compute a ReLU next to the layer; see plan.py.
    selects : bool
        Of the class: whether each of its outputs is one of its inputs, which alone receives that output's gradient.
    """

    implementations: Mapping[str, Functions] = {}
    joins_relu = False
    selects = False
    tellings = OldName("implementations")
    kinks = OldName("branch_pattern")

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        adopt_old_names(cls)
        for name in ("forward", "backward"):
            if isinstance(method := vars(cls).get(name), FunctionType):
                setattr(cls, name, quiet(method))

    def __init__(self, *, name: str | None = None, implementation: str | None = None):
        if implementation is not None and implementation not in IMPLEMENTATIONS:
            choose_implementation(implementation)
        self.name = name
        self.implementation = implementation
        self.activation: Layer | None = None
        self.node: Node | None = None
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.cache: tuple[Any, ...] | None = None
        self.built = False
        self.batch = 0

    @property
    def trainable(self) -> bool:
        """True: every parameter of a model is trained."""
        return True

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not value:
            raise ValueError(
                f"{self._title}: expected trainable=True, got {value!r}: a layer cannot be frozen. To restore its weights after"
                " training, keep get_weights() and call set_weights()"
            )

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
        if "node" not in vars(self):
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
                f"{self._title} is connected already, which is possible only once. Create another {type(self).__name__}(...)"
            )
        shapes = [parent.shape for parent in parents]
        self.node = Node(self, parents, self.compute_output_shape(*shapes))
        return self.node if self.activation is None else self.activation(self.node)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of the output for inputs of these shapes, all without the batch axis."""
        return input_shapes[0]

    # -- parameters --------------------------------------------------------------------------------------------------

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None, dtype: DTypeLike = "float32") -> Layer:
        """Make the parameters of a layer outside a model.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis. For a layer of several inputs, a list of shapes.
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
            For a shape that the layer cannot take, another dtype, or an `activation=` argument, which only works in a model.
        """
        if self.activation is not None and self.node is None:
            name = self.activation.get_config()["activation"]
            raise ValueError(
                f"{self._title}: activation={name!r} adds a second layer to a model's graph. Outside a model, build"
                f" {type(self).__name__} without it and call an Activation layer after it"
            )
        shapes = [tuple(s) for s in input_shape] if isinstance(input_shape[0], (tuple, list)) else [tuple(input_shape)]
        return self.build_for(shapes, rng if rng is not None else np.random.default_rng(0), dtype, "fused")

    def build_for(
        self, shapes: Sequence[Shape], rng: np.random.Generator, dtype: DTypeLike, implementation: str
    ) -> Layer:
        """Make the parameters for inputs of `shapes`, and choose the pair of functions; a model calls this."""
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"{self._title}: expected dtype='float32' or 'float64', got dtype={dtype!r}")
        self.input_shapes = tuple(shapes)
        self.input_shape = shapes[0]
        self.output_shape = self.compute_output_shape(*shapes)
        self.params = {key: np.ascontiguousarray(value, self.dtype) for key, value in self.make_params(rng).items()}
        self.param_shapes = {key: p.shape for key, p in self.params.items()}
        self.grads = {}
        self.cache = None
        self.running = choose_implementation(self.implementation or implementation)
        if self.implementations:
            if "fused" not in self.implementations:
                raise ValueError(
                    f"{type(self).__name__}.implementations lacks 'fused', the pair of functions that runs by default; got only"
                    f" {', '.join(map(repr, self.implementations))}. Add the entry 'fused'"
                )
            chosen = self.implementations.get(self.running) or self.implementations["fused"]
            self.forward_function, self.backward_function = chosen
        self.built = True
        return self

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the parameters by name, in the order of `get_weights`; `self.input_shape` is known here."""
        return {}

    def count_params(self) -> int:
        """Return the total number of values in all parameters."""
        return sum(prod(p.shape) for p in self.params.values())

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the parameters, in order."""
        return [p.copy() for p in self.params.values()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy `weights` into the parameters; they have the order and the shapes of `get_weights`.

        Raises
        ------
        ValueError
            When their number or a shape differs. In this case nothing is copied.
        """
        set_weights(self.params, weights)

    # -- forward and backward ----------------------------------------------------------------------------------------

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output for a batch x. Every layer overrides this method."""
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
            raise ValueError(f"{self._title} is not built yet. Call layer.build(x.shape[1:]), or make it part of a Model")
        self._check_batch("x", x, self.input_shape)
        for key, p in self.params.items():
            if p.shape != self.param_shapes[key] or p.dtype != self.dtype:
                raise ValueError(
                    f"{self._title}: expected params[{key!r}] to be {self.dtype} of shape {self.param_shapes[key]}, got {p.dtype}"
                    f" of shape {p.shape}. Write into it with set_weights, or params[{key!r}][...] = values"
                )
        self.batch = len(x)

    def check_gradient(self, dout: np.ndarray) -> None:
        """Raise ValueError for a dout that does not belong to the last output."""
        self._check_batch("dout", dout, self.output_shape)
        if len(dout) != self.batch:
            raise ValueError(
                f"{self._title}: expected dout of a batch of {self.batch}, as in the last forward; got a batch of {len(dout)}"
            )

    def _check_batch(self, what: str, array: np.ndarray, shape: Shape) -> None:
        if isinstance(array, np.ndarray) and array.shape[1:] == shape and array.dtype == self.dtype:
            return
        expected = f"{self._title}: expected {what} as {self.dtype} of shape (N, {', '.join(map(str, shape))})"
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{expected}, got a {type(array).__name__}. Make it a NumPy array with np.asarray({what})")
        fix = f"Convert it with {what}.astype({str(self.dtype)!r})"
        if array.shape[1:] != shape:
            fix = "For images of another shape build the layer again" if what == "x" else "It has the shape of the last output"
        raise ValueError(f"{expected}, got {array.dtype} of shape {array.shape}. {fix}")

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
    """Return the name of an activation or of an initializer, and any other argument as it is."""
    if name == "activation" and isinstance(value, Layer):
        return value.get_config()["activation"]
    return initializers.config_name(value) if name.endswith("_initializer") else value


@quiet
def set_weights(params: Mapping[str, np.ndarray], weights: Sequence[np.ndarray]) -> None:
    """Copy weights into these parameters, in order; when one does not fit, none is copied."""
    if len(weights) != len(params):
        raise ValueError(
            f"set_weights: expected {len(params)} arrays ({', '.join(params)}), got {len(weights)}. get_weights() shows their order"
        )
    values = [np.asarray(value) for value in weights]
    for (name, p), value in zip(params.items(), values, strict=True):
        if value.shape != p.shape:
            raise ValueError(
                f"set_weights: expected {name} of shape {p.shape}, got {value.shape}. get_weights() shows the layout"
            )
        if value.dtype.kind not in "fiub":
            raise ValueError(f"set_weights: expected {name} to hold real numbers, got {value.dtype}")
    for p, value in zip(params.values(), values, strict=True):
        p[...] = value
