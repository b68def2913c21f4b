"""Write a network as an ONNX file, which other programs run: onnxruntime on servers and phones, onnxruntime-web in a browser.

ONNX describes a network as a list of operators that read and write named tensors:

    images ──Transpose──▶ ──Conv──▶ ──Relu──▶ ──MaxPool──▶ ──Transpose──▶ ──Flatten──▶ ──Gemm──▶ ──Softmax──▶ probabilities
           N,H,W,C → N,C,H,W                              N,C,H,W → N,H,W,C

Most layers are one operator, and their arrays are copied as they are. Four things differ:

- The operators for images have the channels first, (N, C, H, W), and here they are last, (N, H, W, C). Two transposes are enough
  for most networks: one after the images, and one before Flatten, so that the numbers of a row have the same order as here, and
  the kernel of the dense layer need not be changed. A transpose is written only where an operator needs the other order;
  `_Graph.with_channels` writes it.
- A kernel (KH, KW, C, F) is stored as (F, C, KH, KW).
- Padding is written as four numbers: top, left, bottom, right. ONNX also has two forms of "same", which differ in the side
  that gets one row or column more (Keras's is SAME_UPPER); four numbers leave no such choice to the reader.
- What a layer does only in training, such as dropout, is left out.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators/, in the versions of operator set 17.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchnet import layers as known
from scratchnet._version import __version__
from scratchnet.layers.activations import Activation
from scratchnet.layers.augmentation import taps
from scratchnet.layers.base import Layer, Node, Shape
from scratchnet.layers.smooth_activations import TANH_SCALE
from scratchnet.padding import Pads
from scratchnet.support.arithmetic import quiet
from scratchnet.support.files import write_whole
from scratchnet.support.optional import optional

OPSET = 17              # of 2022: all current runtimes support it
IR_VERSION = 8          # the version of the file format that belongs to it
NO_GAMMA, NO_BETA = "no_gamma", "no_beta"       # the names of arrays that a normalization lacks and the operator needs


class Value(NamedTuple):
    """A tensor of the ONNX graph: the output of a layer."""

    name: str
    shape: Shape                # of a sample, as in this package: (H, W, C) for images
    channels_first: bool        # whether the tensor is (N, C, H, W), and not (N, H, W, C)


@quiet
def onnx_bytes(model: Any) -> bytes:
    """Return the content of the file that `Model.export_onnx` writes.

    Raises
    ------
    ImportError
        When onnx is not installed.
    TypeError
        When the model has a layer that cannot be exported.
    """
    onnx = optional("onnx", "onnx", "export_onnx")
    nodes: list[Node] = model.nodes
    first, last = nodes[0], nodes[-1]
    softmax = isinstance(last.layer, Activation) and last.layer.function == "softmax"
    x_name, out_name = ("images" if len(first.shape) == 3 else "inputs"), ("probabilities" if softmax else "outputs")
    graph = _Graph(onnx, {x_name, out_name})
    values = {first: Value(x_name, first.shape, False)}
    for node in nodes[1:]:
        layer = node.layer
        if type(layer) not in EXPORTS:
            raise TypeError(
                f"{layer._title}: expected a layer of scratchnet.layers, got one of the class {type(layer).__name__}, which has no"
                " form in ONNX. Replace it, or export a model without it"
            )
        inputs = [values[parent] for parent in node.parents]
        values[node] = EXPORTS[type(layer)](graph, layer, _path(node), *inputs)._replace(shape=node.shape)
    graph.finish(values[last], out_name)

    def described(name: str, shape: Shape) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])

    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes, model.name, [described(x_name, first.shape)], [described(out_name, last.shape)], graph.arrays
        ),
        producer_name="scratchnet",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def export_onnx(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model as an ONNX file, as `Model.export_onnx` describes."""
    content = onnx_bytes(model)
    write_whole(path, lambda file: file.write(content))


def _path(node: Node) -> str:
    """Return the name of a node: the path of its layer, followed by the function's name if `activation=` made the layer."""
    path = "/".join([*(model.name for model in node.within), str(node.layer.name)])
    owners = [parent.layer for parent in node.parents if parent.layer.activation is node.layer]
    return f"{path}/{node.layer.function}" if owners and isinstance(node.layer, Activation) else path


class _Graph:
    """The graph that is written: its operators and its arrays."""

    def __init__(self, onnx: Any, taken: set[str]):
        self.onnx, self.taken = onnx, taken
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.transposed: dict[str, str] = {}        # the name of a tensor, and of the same tensor in the other order

    def name(self, base: str) -> str:
        """Return a name that is not used in the graph yet. It is never empty: in ONNX, an empty name means "no tensor"."""
        base = base or "layer"
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name

    def add(self, operator: str, path: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output."""
        name = self.name(path)
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def array(self, path: str, values: Any, dtype: Any = np.float32) -> str:
        """Add an array and return its name."""
        name = self.name(path)
        self.arrays.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def with_channels(self, value: Value, first: bool) -> Value:
        """Return the same value with the channels first, or last; a transpose is added if there is none yet."""
        axes = len(value.shape) + 1
        if axes < 3 or value.channels_first == first:       # a row of numbers has one axis, which is the first and the last
            return value
        if value.name not in self.transposed:
            order = [0, axes - 1, *range(1, axes - 1)] if first else [0, *range(2, axes), 1]
            name = self.add("Transpose", f"{value.name}/channels_{'first' if first else 'last'}", value.name, perm=order)
            self.transposed |= {value.name: name, name: value.name}
        return value._replace(name=self.transposed[value.name], channels_first=first)

    def in_one_order(self, values: tuple[Value, ...]) -> list[Value]:
        """Return the values in one order of axes: with the channels first in all of them if they are first in any."""
        first = any(value.channels_first for value in values)
        return [self.with_channels(value, first) for value in values]

    def finish(self, value: Value, name: str) -> None:
        """Name the output of the whole graph."""
        last = self.with_channels(value, False).name
        made_by = next((node for node in self.nodes if node.output[0] == last), None)
        if made_by is None:                                 # a model that does nothing in inference
            self.nodes.append(self.onnx.helper.make_node("Identity", [last], [name], name))
            return
        for node in self.nodes:
            node.input[:] = [name if read == last else read for read in node.input]
        made_by.output[0] = name


def _pads(pads: Pads) -> list[int]:
    """Return pads in the order of the operators: ((top, bottom), (left, right)) -> [top, left, bottom, right]."""
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]


# -- one function for each kind of layer ------------------------------------------------------------------------------


def _conv2d(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    w, b = layer.kernel_and_bias
    x = graph.with_channels(x, True)
    arrays = [graph.array(f"{path}/kernel", w.transpose(3, 2, 0, 1))]       # (KH, KW, C, F) -> (F, C, KH, KW)
    if b is not None:
        arrays.append(graph.array(f"{path}/bias", b))
    out = graph.add("Conv", path, x.name, *arrays, strides=layer.steps, pads=_pads(layer.pads), kernel_shape=w.shape[:2])
    return x._replace(name=out)


def _dense(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    arrays = [graph.array(f"{path}/{key}", p) for key, p in layer.params.items()]       # (D, U) and (U,), as they are here
    return x._replace(name=graph.add("Gemm", path, x.name, *arrays))


def _pool(operator: str) -> Callable[..., Value]:
    def export(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
        x = graph.with_channels(x, True)
        window, strides, pads = layer.real_window
        settings = {"kernel_shape": window, "strides": strides, "pads": _pads(pads)}
        if operator == "MinPool":                           # which does not exist: min(x) = -max(-x)
            negative = graph.add("Neg", f"{path}/negative", x.name)
            largest = graph.add("MaxPool", f"{path}/largest", negative, **settings)
            return x._replace(name=graph.add("Neg", path, largest))
        return x._replace(name=graph.add(operator, path, x.name, **settings))

    return export


def _global_pool(operator: str) -> Callable[..., Value]:
    def export(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
        x = graph.with_channels(x, True)
        if layer.keepdims:
            return x._replace(name=graph.add(operator, path, x.name))
        pixels = graph.add(operator, f"{path}/pixel", x.name)               # (N, C, 1, 1)
        return Value(graph.add("Flatten", path, pixels), layer.output_shape, False)

    return export


def _batch_normalization(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    x = graph.with_channels(x, True)
    ones = np.ones(x.shape[-1])
    gamma = [(path + "/gamma", layer.params["gamma"])] if layer.scale else [(f"{path}/{NO_GAMMA}", ones)]
    beta = [(path + "/beta", layer.params["beta"])] if layer.center else [(f"{path}/{NO_BETA}", 0 * ones)]
    arrays = [graph.array(name, p) for name, p in [*gamma, *beta, *((f"{path}/{key}", p) for key, p in layer.state.items())]]
    return x._replace(name=graph.add("BatchNormalization", path, x.name, *arrays, epsilon=layer.epsilon, momentum=layer.momentum))


def _flatten(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    *places, channels = x.shape
    if channels > 1 and math.prod(places) > 1:              # otherwise both orders of the axes are the same row
        x = graph.with_channels(x, False)
    return Value(graph.add("Flatten", path, x.name), layer.output_shape, False)


def _reshape(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    x = graph.with_channels(x, False)
    shape = graph.array(f"{path}/shape", [0, *layer.output_shape], np.int64)           # 0 stands for N
    return Value(graph.add("Reshape", path, x.name, shape), layer.output_shape, False)


def _add(graph: _Graph, layer: Any, path: str, *xs: Value) -> Value:
    total, *others = graph.in_one_order(xs)
    for x in others:
        total = total._replace(name=graph.add("Add", path, total.name, x.name))
    return total


def _concatenate(graph: _Graph, layer: Any, path: str, *xs: Value) -> Value:
    xs = tuple(graph.in_one_order(xs))
    axes = len(xs[0].shape) + 1
    axis = layer.axis % axes
    if xs[0].channels_first:
        axis = 1 if axis == axes - 1 else axis + 1
    return xs[0]._replace(name=graph.add("Concat", path, *(x.name for x in xs), axis=axis))


def _rescaling(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    def numbers(key: str) -> str:
        values = np.array(getattr(layer, key))
        shape = (-1,) + (1,) * (len(x.shape) - 1) if values.ndim and x.channels_first else values.shape
        return graph.array(f"{path}/{key}", values.reshape(shape))

    scales, shifts = np.any(np.array(layer.scale) != 1), np.any(np.array(layer.offset) != 0)
    if scales:
        x = x._replace(name=graph.add("Mul", f"{path}/scaled" if shifts else path, x.name, numbers("scale")))
    return x._replace(name=graph.add("Add", path, x.name, numbers("offset"))) if shifts else x


def _zero_padding2d(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    top, left, bottom, right = _pads(layer.padding)
    pads = [0, 0, top, left, 0, 0, bottom, right] if x.channels_first else [0, top, left, 0, 0, bottom, right, 0]
    return x._replace(name=graph.add("Pad", path, x.name, graph.array(f"{path}/pads", pads, np.int64)))


def _nothing(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    """Add no operator, for a layer that acts only in training."""
    return x


def _crop(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    """Crop at the centre: one Slice if the window is inside the image, otherwise a Gather of the rows and columns that it reads."""
    if layer.output_shape == layer.input_shape:
        return x
    start, axes = np.array(layer.start_in_inference()), np.array([1, 2]) + x.channels_first
    end = start + layer.output_shape[:2]
    if (start >= 0).all() and (end <= layer.input_shape[:2]).all():
        bounds = (("start", start), ("end", end), ("axes", axes))
        arrays = [graph.array(f"{path}/{key}", value, np.int64) for key, value in bounds]
        return x._replace(name=graph.add("Slice", path, x.name, *arrays))
    for k, axis in enumerate(axes.tolist()):
        size = layer.input_shape[k]
        index = taps(np.arange(start[k], end[k])[None], size, layer.fill_mode).index[0, :, 0]
        if (index == size).any():                           # a row of zeros after the last
            pads = [0] * 8
            pads[4 + axis] = 1
            x = x._replace(name=graph.add("Pad", f"{path}/pad", x.name, graph.array(f"{path}/pads", pads, np.int64)))
        x = x._replace(name=graph.add("Gather", path, x.name, graph.array(f"{path}/index", index, np.int64), axis=axis))
    return x


# -- activations ------------------------------------------------------------------------------------------------------


def _activation(graph: _Graph, layer: Any, path: str, x: Value) -> Value:
    return x._replace(name=ACTIVATIONS[layer.function](graph, layer, path, x))


def _operator(name: str) -> Callable[..., str]:
    return lambda graph, layer, path, x: graph.add(name, path, x.name)


def _softmax(graph: _Graph, layer: Any, path: str, x: Value) -> str:
    return graph.add("Softmax", path, x.name, axis=1 if x.channels_first else -1)


def _leaky_relu(graph: _Graph, layer: Any, path: str, x: Value) -> str:
    """Add the operators of a ReLU with a slope for negative numbers, an upper limit, or both."""
    slope, limit = layer.settings
    if slope == 0 and limit == np.inf:
        return graph.add("Relu", path, x.name)
    if slope == 0:
        return graph.add("Clip", path, x.name, graph.array(f"{path}/min", 0), graph.array(f"{path}/max", limit))
    if limit == np.inf:
        return graph.add("LeakyRelu", path, x.name, alpha=slope)
    leaky = graph.add("LeakyRelu", f"{path}/leaky", x.name, alpha=slope)
    return graph.add("Clip", path, leaky, "", graph.array(f"{path}/max", limit))


def _elu(graph: _Graph, layer: Any, path: str, x: Value) -> str:
    alpha, scale = layer.settings
    return graph.add("Elu", path, x.name, alpha=alpha) if scale == 1 else graph.add("Selu", path, x.name, alpha=alpha, gamma=scale)


def _silu(graph: _Graph, layer: Any, path: str, x: Value) -> str:
    return graph.add("Mul", path, x.name, graph.add("Sigmoid", f"{path}/sigmoid", x.name))


def _gelu(graph: _Graph, layer: Any, path: str, x: Value) -> str:
    """Add the operators of ½ x (1 + erf(x / √2)): ONNX has an operator Gelu only since operator set 20."""
    root = graph.array(f"{path}/root", math.sqrt(2))
    erf = graph.add("Erf", f"{path}/erf", graph.add("Div", f"{path}/normal", x.name, root))
    twice = graph.add("Add", f"{path}/twice", erf, graph.array(f"{path}/one", 1))
    return graph.add("Mul", path, graph.add("Mul", f"{path}/product", x.name, twice), graph.array(f"{path}/half", 0.5))


def _gelu_tanh(graph: _Graph, layer: Any, path: str, x: Value) -> str:
    """Add the operators of x σ(2 √(2/π) (x + 0.044715 x³)), as in smooth_activations.py."""
    square = graph.add("Mul", f"{path}/square", x.name, x.name)
    cube = graph.add("Mul", f"{path}/cube", square, x.name)
    small = graph.add("Mul", f"{path}/small", cube, graph.array(f"{path}/factor", 0.044715))
    total = graph.add("Add", f"{path}/sum", x.name, small)
    inside = graph.add("Mul", f"{path}/inside", total, graph.array(f"{path}/scale", TANH_SCALE))
    return graph.add("Mul", path, x.name, graph.add("Sigmoid", f"{path}/sigmoid", inside))


ACTIVATIONS: Mapping[str, Callable[..., str]] = {
    "linear": lambda graph, layer, path, x: x.name,
    "relu": _operator("Relu"),
    "sigmoid": _operator("Sigmoid"),
    "tanh": _operator("Tanh"),
    "softplus": _operator("Softplus"),
    "softmax": _softmax,
    "leaky_relu": _leaky_relu,
    "relu6": _leaky_relu,
    "elu": _elu,
    "selu": _elu,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}
EXPORTS: Mapping[type[Layer], Callable[..., Value]] = {
    known.Conv2D: _conv2d,
    known.PatchWhitening: _conv2d,
    known.Dense: _dense,
    known.MaxPooling2D: _pool("MaxPool"),
    known.MinPooling2D: _pool("MinPool"),
    known.AveragePooling2D: _pool("AveragePool"),       # by default, its mean is that of the real pixels, as here
    known.GlobalMaxPooling2D: _global_pool("GlobalMaxPool"),
    known.GlobalAveragePooling2D: _global_pool("GlobalAveragePool"),
    known.BatchNormalization: _batch_normalization,
    known.Flatten: _flatten,
    known.Reshape: _reshape,
    known.Add: _add,
    known.Concatenate: _concatenate,
    known.Rescaling: _rescaling,
    known.ZeroPadding2D: _zero_padding2d,
    known.RandomCrop: _crop,
    **dict.fromkeys([known.Dropout, known.SpatialDropout2D, known.RandomFlip, known.RandomTranslation], _nothing),
    **dict.fromkeys([known.Activation, known.ReLU, known.LeakyReLU, known.ELU, known.Softmax], _activation),
}
