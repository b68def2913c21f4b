"""What all layers share: a name, parameters and their gradients, and a place in a graph.

A layer is a pair of functions and what they need to remember:

    out = layer.forward(x)          keeps what backward will need in `layer.cache`
    dx = layer.backward(dout)       dout is the gradient of the loss with respect to out, dx that with respect to x;
                                    those of the parameters go to `layer.grads`

`dout` comes from above, and the chain rule is the whole of it: dx = doutᵀ · ∂out/∂x, without ever building ∂out/∂x.

A layer of one's own derives from `Layer`, has `forward` and `backward`, and where it needs them `make_params`,
`compute_output_shape` and, if it takes arguments and is to be saved, `get_config`, with `name` among the arguments; see
examples/05_your_own_layer.py.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratchnet.kernels.probe import why_not

Shape = tuple[int, ...]
IMPLEMENTATIONS = ("loops", "im2col", "direct", "fused")


class Node:
    """One step of a graph that is being described: a layer, the nodes it reads, and the shape (no batch axis) it gives."""

    def __init__(self, layer: Layer, parents: Sequence[Node], shape: Shape):
        self.layer, self.parents, self.shape = layer, tuple(parents), shape

    def __repr__(self) -> str:
        return f"<Node {self.layer!r} -> {(None, *self.shape)}>"


def choose_implementation(name: str) -> str:
    """Check the name of an implementation, and fall back to im2col where the vector kernels cannot be had."""
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"unknown implementation {name!r}; known are {', '.join(map(repr, IMPLEMENTATIONS))}")
    if name in ("direct", "fused") and (reason := why_not()):
        warnings.warn(f"{reason}: the {name} kernels need the compiler, im2col runs instead", RuntimeWarning, stacklevel=2)
        return "im2col"
    return name


def pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """Read a positive int, or two of them, as (down, across).

    Examples
    --------
    >>> pair("strides", 2), pair("kernel_size", (3, 5))
    ((2, 2), (3, 5))
    """
    both = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
    if len(both) != 2 or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 1 for v in both):
        raise ValueError(f"{name} must be one or two integers of at least 1, such as {name}=(2, 2); got {value!r}")
    return int(both[0]), int(both[1])


class Layer:
    """The base of every layer.

    Parameters
    ----------
    name : str, optional
        Names the layer's arrays in a saved model; without one the model gives it, such as "conv2d_1".
    implementation : {"loops", "im2col", "direct", "fused"}, optional
        Which telling of the operation (which of its implementations) runs; the model's by default, and "fused" for a layer
        alone. "direct" is "fused" without Winograd's algorithm for convolutions. Layers that have only one ignore it.

    Attributes
    ----------
    params, grads : dict of str to ndarray
        Parameters, and after `backward` the gradient of each, of the same shape and dtype.
    input_shape, output_shape : tuple of int
        Without the batch axis; known once the layer is built.
    cache : tuple
        What forward kept for backward. Backward only reads it.
    tellings : dict of str to (forward, backward)
        Of the class: its pairs of functions by the name of an implementation, "fused" among them. The chosen pair is
        `self.forward_function` and `self.backward_function`, which `forward` and `backward` call.
    """

    tellings: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}

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
            raise ValueError("a layer cannot be frozen: every parameter of a model is trained, and set_weights puts old ones back")

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items() if value is not None)
        return f"{type(self).__name__}({settings})"

    @classmethod
    def default_name(cls) -> str:
        """Give the name of the class as Keras writes it: MaxPooling2D -> max_pooling2d."""
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", cls.__name__)
        return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()

    # -- a place in a graph ------------------------------------------------------------------------------------------

    def __call__(self, inputs: Node | Sequence[Node]) -> Node:
        """Connect the layer: `x = Conv2D(32, 3)(x)`. Each layer object is connected once.

        Raises
        ------
        ValueError
            When it is connected already, or the input's shape does not suit it.
        TypeError
            When `inputs` is not what `Input` or another layer gave.
        """
        parents = [inputs] if isinstance(inputs, Node) else inputs
        if not isinstance(parents, (list, tuple)) or not all(isinstance(parent, Node) for parent in parents):
            raise TypeError(
                f"{self} is connected to the result of Input(shape=...) or of another layer; got {type(inputs).__name__}."
                " For numbers, build it alone: layer.build(x.shape[1:]); layer.forward(x)"
            )
        if "node" not in vars(self):
            raise TypeError(f"{type(self).__name__}.__init__ begins with super().__init__(), which makes what every layer has")
        if isinstance(self.activation, str):
            raise TypeError(
                f"{type(self).__name__}.activation is a layer, connected behind this one: self.activation = Activation('relu')"
            )
        if self.node is not None:
            raise ValueError(
                f"{self} is connected already, and a layer is connected once; make a second {type(self).__name__}(...)"
            )
        shapes = [parent.shape for parent in parents]
        self.node = Node(self, parents, self.compute_output_shape(*shapes))
        return self.node if self.activation is None else self.activation(self.node)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Give the shape of the output for inputs of these shapes, all without the batch axis."""
        return input_shapes[0]

    # -- parameters --------------------------------------------------------------------------------------------------

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None, dtype: DTypeLike = "float32") -> Layer:
        """Make the parameters of a layer that stands alone.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis. For a layer of several inputs, a list of shapes.
        rng : numpy.random.Generator, optional
            Where random weights come from; `default_rng(0)` when not given.
        dtype : {"float32", "float64"}

        Returns
        -------
        Layer
            The layer itself.

        Raises
        ------
        ValueError
            For a shape that does not suit, another dtype, or an `activation=` argument, which only a model can add.
        """
        if self.activation is not None and self.node is None:
            raise ValueError(
                f"activation={self.activation.get_config()['activation']!r} adds a layer of its own to a model's graph;"
                f" alone, build {type(self).__name__} without it and put an Activation layer behind"
            )
        shapes = [tuple(s) for s in input_shape] if isinstance(input_shape[0], (tuple, list)) else [tuple(input_shape)]
        return self.build_for(shapes, rng if rng is not None else np.random.default_rng(0), dtype, "fused")

    def build_for(
        self, shapes: Sequence[Shape], rng: np.random.Generator, dtype: DTypeLike, implementation: str
    ) -> Layer:
        """Make the parameters for inputs of `shapes`, and choose the pair of functions: what a model calls."""
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"a layer computes in 'float32' or 'float64'; got dtype={dtype!r}")
        self.input_shapes = tuple(shapes)
        self.input_shape = shapes[0]
        self.output_shape = self.compute_output_shape(*shapes)
        self.params = {key: np.ascontiguousarray(value, self.dtype) for key, value in self.make_params(rng).items()}
        self.param_shapes = {key: p.shape for key, p in self.params.items()}
        self.grads = {}
        self.cache = None
        self.running = choose_implementation(self.implementation or implementation)
        if self.tellings:
            if "fused" not in self.tellings:
                raise ValueError(
                    f"{type(self).__name__}.tellings lacks 'fused', the pair of functions that runs; it has"
                    f" {', '.join(map(repr, self.tellings))}"
                )
            self.forward_function, self.backward_function = self.tellings.get(self.running) or self.tellings["fused"]
        self.built = True
        return self

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Make the parameters by name, in the order of `get_weights`; `self.input_shape` is known here."""
        return {}

    def count_params(self) -> int:
        """Count the numbers in all parameters."""
        return sum(prod(p.shape) for p in self.params.values())

    def get_weights(self) -> list[np.ndarray]:
        """Copy the parameters, in order."""
        return [p.copy() for p in self.params.values()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy `weights` into the parameters; they come in the order and the shapes of `get_weights`.

        Raises
        ------
        ValueError
            When their number or a shape differs; nothing is copied then.
        """
        set_weights(self.params, weights)

    # -- forward and backward ----------------------------------------------------------------------------------------

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Compute the output; each layer has its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x)")

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> Any:
        """Compute the gradients; each layer has its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a method backward(self, dout, need_dx=True)")

    def check_input(self, x: np.ndarray) -> None:
        """Refuse an input that the layer was not built for, and say which it was built for."""
        if not self.built:
            raise ValueError(f"{self} has no parameters yet: call layer.build(x.shape[1:]) first, or make it part of a Model")
        self._check_batch("x", x, self.input_shape)
        for key, p in self.params.items():
            if p.shape != self.param_shapes[key] or p.dtype != self.dtype:
                raise ValueError(
                    f"{self}: params[{key!r}] is {self.dtype} of shape {self.param_shapes[key]}; got {p.dtype} of {p.shape}."
                    " set_weights, or params[...][...] = values, write into it"
                )
        self.batch = len(x)

    def check_gradient(self, dout: np.ndarray) -> None:
        """Refuse a dout that does not belong to the last output."""
        self._check_batch("dout", dout, self.output_shape)
        if len(dout) != self.batch:
            raise ValueError(f"{self}: dout belongs to a batch of {len(dout)}, but the last forward had {self.batch}")

    def _check_batch(self, what: str, array: np.ndarray, shape: Shape) -> None:
        if isinstance(array, np.ndarray) and array.shape[1:] == shape and array.dtype == self.dtype:
            return
        expected = f"{self.dtype} of shape (N, {', '.join(map(str, shape))})"
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{self}: {what} is a NumPy array, {expected}; got {type(array).__name__}")
        if array.shape[1:] != shape:
            raise ValueError(f"{self}: {what} is {expected}; got {array.shape}. For images of another shape build it anew")
        raise ValueError(f"{self}: {what} is {expected}; got {array.dtype}. Convert with {what}.astype({str(self.dtype)!r})")

    def cached(self, dout: np.ndarray) -> tuple[Any, ...]:
        """Give what forward kept, or say that forward comes first, or that dout is not of its output."""
        if self.cache is None:
            raise ValueError(f"{self}: backward needs a forward before it, with the batch that dout belongs to")
        self.check_gradient(dout)
        return self.cache

    # -- settings ----------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again, as JSON can hold them."""
        config: dict[str, Any] = {"name": self.name}
        if self.implementation is not None:
            config["implementation"] = self.implementation
        return config


def set_weights(params: Mapping[str, np.ndarray], weights: Sequence[np.ndarray]) -> None:
    """Copy weights into these parameters, in order; when one does not fit, none is copied."""
    if len(weights) != len(params):
        raise ValueError(
            f"expected {len(params)} arrays ({', '.join(params)}), got {len(weights)}; get_weights() shows their order"
        )
    values = [np.asarray(value) for value in weights]
    for (name, p), value in zip(params.items(), values, strict=True):
        if value.shape != p.shape:
            raise ValueError(f"{name} has shape {p.shape}; got {value.shape}. get_weights() shows the layout")
        if value.dtype.kind not in "fiub":
            raise ValueError(f"{name} takes real numbers; got {value.dtype}")
    for p, value in zip(params.values(), values, strict=True):
        p[...] = value
