"""A network from an ONNX file: of PyTorch, of Keras, or of `Model.export_onnx`.

The operators of a file are read in order, each is the layer that computes the same, and all others are refused by name. What
needs thought is the order of axes. A tensor of the file may be (N, C, H, W), where the same numbers are (N, H, W, C) here. So each
tensor is a node of our graph, and a note in which order the file has it (`Value`):

    Transpose           changes the note alone
    Conv                has its kernel transposed, once, and not the images
    Flatten             makes a row, of which the note says that the file has its numbers in the order C, H, W
    Gemm, MatMul        have the rows of their kernel permuted where the note says so

Padding that is neither "same" nor "valid" becomes a layer ZeroPadding2D. SiLU and GELU are several operators, such as Sigmoid and
Mul, and each exporter has its own. They are recognized by their values: a tensor that such operators compute from another one is
a function of it, and its values at `POINTS` are compared with those of each activation function. (Between the points they cannot
differ, since all these operators are smooth.)

A file is data from elsewhere: it is checked before anything is computed, weights outside the file are not read, and nothing is
allocated that the file does not hold.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from scratchnet.exchange.onnx_export import NO_BETA, NO_GAMMA
from scratchnet.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Input,
    LeakyReLU,
    MaxPooling2D,
    MinPooling2D,
    RandomCrop,
    ReLU,
    Rescaling,
    Reshape,
    ZeroPadding2D,
)
from scratchnet.layers.activations import ACTIVATIONS, SETTINGS
from scratchnet.layers.base import Layer, Node, Pair, Shape
from scratchnet.layers.smooth_activations import sigmoid_forward
from scratchnet.model import Model
from scratchnet.padding import Pads, window_pads
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import shortened
from scratchnet.support.files import as_path
from scratchnet.support.optional import optional

OPSETS = range(13, 27)                          # of the operators, as they are read here: 13 to 26
POINTS = np.arange(-160, 161) / 20              # -8, -7.95, ..., 8; with 0 and 1 among them
LARGEST = np.finfo(np.float32).max
LONGEST = 20                                    # of how many tensors a tensor is taken for a function
NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "softmax", "softplus")
Onnx = Any                                      # a node of the file


class Value(NamedTuple):
    """A tensor of the file: the output of a layer here, and how the two differ."""

    node: Node | None               # None for a function of another tensor, until it is known which layer computes it
    first: bool = False             # the file has the channels first: (N, C, H, W), and not (N, H, W, C)
    rows: tuple[Shape, ...] = ()    # a row of these images side by side, each in the order C, H, W; () if it is a row as here
    curves: Mapping[str, np.ndarray] = MappingProxyType({})     # of which tensors it is a function: its values at POINTS


class Refused(ValueError):
    """What a file has and a model here cannot have."""


def import_onnx(path: str | os.PathLike[str]) -> Model:
    """Return the network of an ONNX file, as a model that can be run, and trained further.

    The model takes images (N, H, W, C), also where the file takes them as (N, C, H, W), as those of PyTorch do; and so are images
    that it returns. Weights are named as in the file where this has the form "conv1.weight" or "conv2d/kernel".

    Operators: Add, AveragePool, BatchNormalization, Cast, Clip from 0, Concat, Constant, Conv, Dropout, Elu, Flatten, Gelu, Gemm,
    GlobalAveragePool, GlobalMaxPool, Identity, LeakyRelu, MatMul, MaxPool, Pad with zeros, ReduceMax and ReduceMean of images,
    Relu, Reshape, Selu, Sigmoid, Slice around the centre, Softmax, Softplus, Squeeze, Swish, Tanh, Transpose, Unsqueeze; Mul, Sub,
    Div, Pow, Neg and Erf with constants, or as parts of SiLU and GELU; and those that compute the shape of a Reshape.

    Parameters
    ----------
    path : path
        A file with one input and one output, both float32 or both float64, and operator set 13 to 26.

    Returns
    -------
    Model
        Not compiled.

    Raises
    ------
    ImportError
        When onnx is not installed: `pip install "scratchnet[onnx]"`.
    FileNotFoundError, IsADirectoryError
    ValueError
        When the file is not an ONNX file, is damaged, keeps its weights in another file, or has an operator that no layer computes.
        The message names the operator and its node.
    """
    onnx = optional("onnx", "onnx", "import_onnx")
    path = as_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"import_onnx: expected a file, got the folder {path}. Name the .onnx file in it")
    if not path.exists():
        raise FileNotFoundError(f"import_onnx: expected an ONNX file, got no file at {path}. model.export_onnx(path) writes one")
    if not path.is_file():      # opening it may wait for ever
        raise ValueError(f"import_onnx: expected a file, got a pipe or a device at {path}. Name an .onnx file")
    try:
        proto = onnx.load_from_string(path.read_bytes())
        _check_where_weights_are(onnx, proto)
        onnx.checker.check_model(proto, full_check=True)
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (OSError, MemoryError, Refused) as error:
        raise _named(path, error) if isinstance(error, Refused) else error
    except Exception as error:  # damaged bytes make protobuf and the checker raise errors of any kind
        raise ValueError(
            f"import_onnx: expected an ONNX file, got one that is damaged, or another file, at {path} ({shortened(str(error), 200)})."
            " Export it again"
        ) from error
    try:
        return _Import(onnx, proto).model()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # what a file holds makes constructors of layers raise errors of any kind
        raise _named(path, error) from error


def _named(path: Path, error: Exception) -> ValueError:
    return ValueError(f"import_onnx: {path}: {str(error) if isinstance(error, ValueError) else repr(error)}")


def _check_where_weights_are(onnx: Any, proto: Any) -> None:
    """Refuse a file whose weights are in other files, which its paths name: they may name any file of the machine."""
    constants = [a.t for node in proto.graph.node for a in node.attribute if a.HasField("t")]
    for tensor in [*proto.graph.initializer, *constants]:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise Refused(
                f"expected all weights in the file itself, got {tensor.name!r} in another file. Export it with the weights inside:"
                " torch.onnx.export(..., external_data=False)"
            )


class _Import:
    """The model of one file, while it is made."""

    def __init__(self, onnx: Any, proto: Any):
        self.onnx, self.graph = onnx, proto.graph
        versions = {opset.domain: opset.version for opset in proto.opset_import}
        version = versions.get("", versions.get("ai.onnx"))
        if version not in OPSETS:
            raise Refused(
                f"expected operator set {OPSETS[0]} to {OPSETS[-1]}, got {version}. Export it with opset_version=17"
            )
        self.tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        self.shapes = {
            info.name: [dim.dim_value if dim.HasField("dim_value") else None for dim in info.type.tensor_type.shape.dim]
            for info in [*self.graph.input, *self.graph.value_info, *self.graph.output]
            if info.type.tensor_type.HasField("shape")
        }
        self.readers: dict[str, list[Onnx]] = {}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = [info.name for info in self.graph.output]
        self.values: dict[str, Value] = {}
        self.sizes: set[str] = set()            # tensors that hold shapes; what they hold is known from `shapes`
        self.weights: list[tuple[Layer, dict[str, np.ndarray]]] = []
        self.names: set[str] = set()

    def model(self) -> Model:
        """Return the model."""
        inputs = [info for info in self.graph.input if info.name not in self.tensors]
        if len(inputs) != 1 or len(self.outputs) != 1:
            raise Refused(f"expected one input and one output, got {len(inputs)} and {len(self.outputs)}. Export one path")
        (image,), types = inputs, {self.onnx.TensorProto.FLOAT: "float32", self.onnx.TensorProto.DOUBLE: "float64"}
        dtype = types.get(image.type.tensor_type.elem_type)
        if dtype is None:
            kind = self.onnx.TensorProto.DataType.Name(image.type.tensor_type.elem_type)
            raise Refused(f"expected an input of float32 or float64, got {kind.lower()}. Export a model of float32")
        shape = self.shapes.get(image.name, [])[1:]
        if not shape or not all(shape):
            raise Refused(
                f"expected an input of known size but for the first axis, got {self.shapes.get(image.name)}. Export it with a fixed"
                " size of images"
            )
        first = len(shape) > 1 and self.channels_come_first(image.name)
        x = Input(shape=(*shape[1:], shape[0]) if first else tuple(shape))
        self.values[image.name] = Value(x, first)
        for node in self.graph.node:
            if node.output[0] not in self.values:
                self.read(node)
        out = self.settled(self.outputs[0]) if self.outputs[0] in self.values else None
        if out is None:
            raise Refused(f"expected the output {self.outputs[0]!r} to be that of a layer, got another. Export another network")
        if out.rows:
            raise Refused("expected an output whose numbers are not those of an image in the order C, H, W. Leave out its last Flatten")
        end = out.node if out.node is not x else Activation("linear")(x)        # a network that returns its input
        model = Model(x, end, dtype=dtype, name=self.graph.name or None)
        for layer, arrays in self.weights:
            for key, values in arrays.items() if layer.built else ():
                layer.named_weights[key][...] = values
        return model

    def channels_come_first(self, image: str) -> bool:
        """Return whether the input is (N, C, H, W), by the first operator that needs one order; False if none does."""
        same = {image}                          # the tensors that have its order
        for node in self.graph.node:
            if node.input and node.input[0] in same:
                if node.op_type in ("Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "BatchNormalization"):
                    return True
                if node.op_type == "Transpose":
                    perm = self.attributes(node).get("perm", [])
                    return len(perm) > 2 and perm[1] == 2
                if node.op_type in ("ReduceMean", "ReduceMax"):
                    return self.axes(node) == [2, 3]
                if node.op_type not in ("Flatten", "Reshape", "Shape"):
                    same |= {*node.output}
        return False

    def read(self, node: Onnx) -> None:
        """Store what one operator of the file computes."""
        operator = node.op_type
        if node.domain not in ("", "ai.onnx") or operator not in OPERATORS:
            name = f"{node.domain}.{operator}".lstrip(".")
            raise Refused(
                f"expected operators that a layer computes, got {name} (node {node.name!r}). The known ones are"
                f" {', '.join(sorted(OPERATORS))}"
            )
        if any(name in self.readers or name in self.outputs for name in node.output[1:]):
            raise self.refused(node, "one output", f"{len(node.output)} that are used")
        if operator == "Constant":
            attribute = next(iter(node.attribute))
            if attribute.name != "value":
                raw = self.onnx.helper.get_attribute_value(attribute)
                kind = np.int64 if "int" in attribute.name else np.float32
                self.tensors[node.output[0]] = self.onnx.numpy_helper.from_array(np.array(raw, kind))
            else:
                self.tensors[node.output[0]] = attribute.t
        elif operator == "Shape" or (operator in OF_SIZES and any(name in self.sizes for name in node.input)):
            self.sizes.add(node.output[0])
        elif operator in ("Identity", "Cast") and node.input[0] in self.tensors:
            self.tensors[node.output[0]] = self.tensors[node.input[0]]
        else:
            self.values[node.output[0]] = OPERATORS[operator](self, node)

    # -- what an operator reads ----------------------------------------------------------------------------------------

    def refused(self, node: Onnx, expected: str, got: Any, fix: str = "Leave it out, or export another network") -> Refused:
        """Return the error of an operator that no layer computes with these arguments."""
        return Refused(f"{node.op_type} (node {node.name!r}): expected {expected}, got {got}. {fix}")

    def attributes(self, node: Onnx) -> dict[str, Any]:
        """Return the attributes of a node by name."""
        return {attribute.name: self.onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}

    def expect(self, node: Onnx, **expected: Any) -> None:
        """Refuse a node that has one of these attributes with another value."""
        for key, value in self.attributes(node).items():
            if key in expected and value != expected[key] and value != [expected[key]] * len(np.atleast_1d(value)):
                raise self.refused(node, f"{key}={expected[key]}", shortened(value))

    def value(self, node: Onnx, index: int = 0) -> Value:
        """Return an input of a node as the output of a layer."""
        name = node.input[index]
        if name not in self.values:
            raise self.refused(node, f"input {index} to be computed from the images", f"{name!r}")
        value = self.settled(name)
        if value is None:
            raise Refused(
                f"expected an activation function of scratchnet.activations, got another function, whose result is {name!r}. Replace"
                " it in the network, such as by ReLU"
            )
        return value

    def settled(self, name: str) -> Value | None:
        """Return a tensor as the output of a layer, if one computes it.

        Of the tensors that it is a function of, the first is tried first: x / √2, then its erf and so on is no layer, but all of
        them together, as a function of x, are GELU.
        """
        value = self.values[name]
        if value.node is not None:
            return value
        for base, curve in value.curves.items():
            layer = _layer_of(curve)
            if layer is not None and (below := self.settled(base)) is not None and below.node is not None:
                self.values[name] = value._replace(node=layer(below.node))
                return self.values[name]
        return None

    def curves(self, name: str) -> dict[str, np.ndarray]:
        """Return the tensors that a tensor is a function of, the last of which is itself."""
        return {**dict([*self.values[name].curves.items()][-LONGEST:]), name: POINTS}

    def array(self, node: Onnx, index: int) -> np.ndarray | None:
        """Return an input of a node that is a constant; None if it has no such input."""
        if index >= len(node.input) or not node.input[index]:
            return None
        name = node.input[index]
        if name not in self.tensors:
            raise self.refused(node, f"input {index} as a constant in the file", f"{name!r}, which is computed")
        return self.onnx.numpy_helper.to_array(self.tensors[name])

    def needed(self, node: Onnx, index: int) -> np.ndarray:
        """Return an input of a node that must be a constant."""
        array = self.array(node, index)
        if array is None:
            raise self.refused(node, f"an input {index}", "none")
        return array

    def axes(self, node: Onnx) -> list[int]:
        """Return the axes of a node, an attribute or in later operator sets an input, counted from 0, in order."""
        given = self.attributes(node).get("axes")
        if given is None:
            array = self.array(node, 1)
            given = [] if array is None else array.tolist()
        rank = len(self.shapes.get(node.input[0], []))
        return sorted(axis % rank if rank else axis for axis in given)

    def images(self, node: Onnx) -> Value:
        """Return the first input of a node as images whose channels are first in the file."""
        value = self.value(node)
        shape = shape_of(value)
        if not value.first and len(shape) == 3 and (shape[0] == 1 or prod(shape[1:]) == 1):
            C, H, W = shape                             # with one channel, or one pixel, both orders are the same numbers
            value = Value(Reshape((H, W, C))(value.node), True)
        if len(shape) != 3 or not value.first:
            raise self.refused(node, "images (N, C, H, W)", f"(N, {', '.join(map(str, shape))}), which has another order of axes")
        return value

    def only_reader(self, name: str, operator: str) -> Onnx | None:
        """Return the node that alone reads a tensor, if it is this operator."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].op_type == operator and name not in self.outputs else None

    def named(self, node: Onnx, index: int = 1) -> dict[str, str]:
        """Return the argument `name` of a layer: "conv1" if its kernel is named "conv1.weight"; none for other names."""
        found = re.fullmatch(rf"(.+)[./](kernel|weight|gamma|{NO_GAMMA})", node.input[index])
        if found is None or found[1] in self.names:
            return {}
        self.names.add(found[1])
        return {"name": found[1]}

    def bias_after(self, node: Onnx, size: int, axes: int = 0) -> tuple[np.ndarray, str] | None:
        """Return the bias (size,) that the next operator adds, which no other reads, and the name of the sum; None if none does.

        In the file, the bias may have `axes` further axes, of length 1.
        """
        after = self.only_reader(node.output[0], "Add")
        if after is None:
            return None
        index = 1 - [*after.input].index(node.output[0])
        array = self.array(after, index) if after.input[index] in self.tensors else None
        shape = (size,) + (1,) * axes
        return None if array is None or array.shape not in (shape, (1, *shape)) else (array.ravel(), after.output[0])

    def weighted(self, node: Onnx, layer: Layer, value: Value, arrays: Mapping[str, np.ndarray | None], total: str = "") -> Value:
        """Return the output of a layer with weights; it is `total`, too, the sum of `bias_after`."""
        self.weights.append((layer, {key: values for key, values in arrays.items() if values is not None}))
        out = Value(layer(value.node), value.first)
        if total:
            self.values[total] = out            # `model` passes over the operator that makes it
        return out


def shape_of(value: Value) -> Shape:
    """Return the shape of a sample of a tensor, as it is here: (H, W, C) for images."""
    assert value.node is not None
    return value.node.shape


def order_of(rows: Sequence[Shape]) -> np.ndarray:
    """Return which number of a row here is number i of the row in the file, (D,).

    Examples
    --------
    >>> order_of([(1, 2, 3)])                   # pixel 0 has the numbers 0, 1, 2 here, pixel 1 has 3, 4, 5
    array([0, 3, 1, 4, 2, 5])
    """
    order = [np.arange(prod(shape)).reshape(shape) for shape in rows]
    flat = [part.transpose(2, 0, 1).ravel() if part.ndim == 3 else part for part in order]
    starts = np.cumsum([0, *map(len, flat)])
    return np.concatenate([part + start for part, start in zip(flat, starts, strict=False)])


# -- functions of one number ------------------------------------------------------------------------------------------


def _close(curve: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.all(np.abs(curve - other) <= 1e-6 * (1 + np.abs(other))))


@quiet
def _layer_of(curve: np.ndarray) -> Layer | None:
    """Return the layer that computes a function which is given by its values at POINTS; None if there is none."""
    at_0, at_1 = float(curve[POINTS == 0][0]), float(curve[POINTS == 1][0])
    if _close(curve, at_0 + (at_1 - at_0) * POINTS):
        return Rescaling(at_1 - at_0, at_0)
    for function, implementations in ACTIVATIONS.items():
        forward, _ = implementations["im2col"]
        if function != "softmax" and _close(curve, forward(POINTS, *SETTINGS.get(function, ()))):
            return Activation(function)
    return None


def _unary(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Value]:
    def read(file: _Import, node: Onnx) -> Value:
        name = node.input[0]
        if name not in file.values:
            raise file.refused(node, "an input that is computed from the images", f"{name!r}")
        return file.values[name]._replace(node=None, curves={base: function(x) for base, x in file.curves(name).items()})

    return read


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    """A sum, a product, …: of a tensor and constants, of two functions of one tensor, or for Add of two layers."""

    def read(file: _Import, node: Onnx) -> Value:
        constants = [name in file.tensors for name in node.input]
        if any(constants):
            return with_constant(file, node, constants.index(False) if False in constants else 0)
        a, b = node.input
        for name in (a, b):
            if name not in file.values:
                raise file.refused(node, "inputs that are computed from the images", f"{name!r}")
        left, right = file.values[a], file.values[b]
        if node.op_type == "Add" and file.settled(a) is not None and file.settled(b) is not None:
            left, right = file.value(node, 0), file.value(node, 1)
            if (left.first, left.rows) != (right.first, right.rows):
                raise file.refused(node, "inputs with the same order of axes", "two orders")
            return left._replace(node=Add()([left.node, right.node]), curves={})
        lefts, rights = file.curves(a), file.curves(b)
        curves = {base: function(lefts[base], rights[base]) for base in lefts if base in rights}
        if not curves or (left.first, left.rows) != (right.first, right.rows):
            raise file.refused(node, "a constant as one input, or two functions of one tensor", "outputs of two layers")
        return left._replace(node=None, curves=curves)

    def with_constant(file: _Import, node: Onnx, index: int) -> Value:
        name, constant = node.input[index], file.needed(node, 1 - index)
        if name not in file.values:
            raise file.refused(node, "one input that is computed from the images", f"{name!r}")

        def applied(x: np.ndarray, c: Any) -> Any:
            return function(x, c) if index == 0 else function(c, x)

        rank = len(file.shapes.get(name, []))
        if constant.size == 1 and constant.ndim <= max(rank, 1):
            c = float(constant.item())
            return file.values[name]._replace(node=None, curves={base: applied(x, c) for base, x in file.curves(name).items()})
        value = file.value(node, index)
        channels = _of_channels(file, node, constant, value)
        at_0, at_1 = applied(np.zeros_like(channels), channels), applied(np.ones_like(channels), channels)
        if node.op_type == "Pow" or (node.op_type == "Div" and index == 1):
            raise file.refused(node, "one number as a constant", f"{channels.size}")
        layer = Rescaling((at_1 - at_0).tolist(), at_0.tolist())
        return value._replace(node=layer(value.node), curves={})

    return read


def _of_channels(file: _Import, node: Onnx, constant: np.ndarray, value: Value) -> np.ndarray:
    """Return a constant with one number for each channel, (C,), as float64; in our order for a row."""
    shape = shape_of(value)
    C = shape[-1]
    expected = (C,) + (1,) * (len(shape) - 1) if value.first else (C,)
    if constant.shape[constant.ndim - len(expected) :] != expected or constant.size != C:
        raise file.refused(node, f"a constant with a number for each of the {C} channels, of shape {expected}", constant.shape)
    numbers = np.empty(C)
    numbers[order_of(value.rows) if value.rows else slice(None)] = constant.ravel()
    return numbers


# -- layers with weights ----------------------------------------------------------------------------------------------


def _conv(file: _Import, node: Onnx) -> Value:
    file.expect(node, group=1, dilations=1)
    value, w = file.images(node), file.needed(node, 1)
    C = shape_of(value)[2]
    if w.ndim != 4 or w.shape[1] != C:
        raise file.refused(node, f"a kernel of shape (F, {C}, KH, KW)", w.shape)
    window = w.shape[2:]
    file.expect(node, kernel_shape=[*window])
    strides, pads = _strides_and_pads(file, node, value, window)
    padding = _padding(value, window, strides, pads)
    if padding is None:
        value, padding = value._replace(node=ZeroPadding2D(pads)(value.node)), "valid"
    b = file.array(node, 2)
    after = file.bias_after(node, len(w), 2) if b is None else None
    b, total = after or (b, "")
    layer = Conv2D(len(w), window, strides, padding, use_bias=b is not None, **file.named(node))
    return file.weighted(node, layer, value, {"kernel": w.transpose(2, 3, 1, 0), "bias": b}, total)


def _gemm(file: _Import, node: Onnx) -> Value:
    given = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | file.attributes(node)
    file.expect(node, transA=0)
    w, b = file.needed(node, 1), file.array(node, 2)
    w = given["alpha"] * (w.T if given["transB"] else w) if given["alpha"] != 1 else (w.T if given["transB"] else w)
    if b is not None and given["beta"] != 1:
        b = given["beta"] * b
    return _dense(file, node, w, b)


def _matmul(file: _Import, node: Onnx) -> Value:
    return _dense(file, node, file.needed(node, 1), None)


def _dense(file: _Import, node: Onnx, w: np.ndarray, b: np.ndarray | None) -> Value:
    value = file.value(node)
    shape = shape_of(value)
    if w.ndim != 2 or shape != w.shape[:1]:
        raise file.refused(node, f"a kernel of shape ({shape[-1]}, U) and rows (N, D)", f"{w.shape} and (N, {str(shape)[1:]}")
    U = w.shape[1]
    if b is not None and (b.size not in (1, U) or b.size != b.shape[-1:].count(U) * U + (b.size == 1) * (U != 1)):
        raise file.refused(node, f"a bias of shape ({U},)", b.shape)
    after = file.bias_after(node, U) if b is None else None
    b, total = after or (b, "")
    if value.rows:
        in_file, w = w, np.empty_like(w)
        w[order_of(value.rows)] = in_file
    layer = Dense(U, use_bias=b is not None, **file.named(node))
    return file.weighted(node, layer, value._replace(rows=()), {"kernel": w, "bias": None if b is None else np.broadcast_to(b.ravel(), (U,))}, total)


def _batch_normalization(file: _Import, node: Onnx) -> Value:
    file.expect(node, training_mode=0)
    given = {"epsilon": 1e-5, "momentum": 0.9} | file.attributes(node)
    value = file.value(node)
    if len(shape_of(value)) > 1 and not value.first:
        value = file.images(node)
    C = shape_of(value)[-1]
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays: dict[str, np.ndarray | None] = {}
    for index, key in enumerate(keys, 1):
        array = file.needed(node, index)
        if array.shape != (C,):
            raise file.refused(node, f"{C} numbers as {key}, one for each channel", f"an array of shape {array.shape}")
        arrays[key] = np.empty_like(array)
        arrays[key][order_of(value.rows) if value.rows else slice(None)] = array
    scale, center = (not node.input[index].endswith(f"/{absent}") for index, absent in ((1, NO_GAMMA), (2, NO_BETA)))
    arrays = {key: arrays[key] for key, used in zip(keys, (scale, center, True, True), strict=True) if used}
    layer = BatchNormalization(
        momentum=given["momentum"], epsilon=given["epsilon"], scale=scale, center=center, **file.named(node)
    )
    return file.weighted(node, layer, value, arrays)._replace(rows=value.rows)


# -- windows ----------------------------------------------------------------------------------------------------------


def _strides_and_pads(file: _Import, node: Onnx, value: Value, window: Pair) -> tuple[Pair, Pads]:
    """Return the strides and the pads of a node, in numbers, whichever of the ways to write them it has."""
    given = file.attributes(node)
    (SH, SW), sizes = given.get("strides", (1, 1)), shape_of(value)[:2]
    how, pads = given.get("auto_pad", b"NOTSET"), given.get("pads", [0, 0, 0, 0])
    if how in (b"SAME_UPPER", b"SAME_LOWER"):
        rows, columns = window_pads("same", sizes, window, (SH, SW))
        if how == b"SAME_LOWER":
            rows, columns = rows[::-1], columns[::-1]
        return (SH, SW), (rows, columns)
    top, left, bottom, right = pads if how == b"NOTSET" else [0, 0, 0, 0]
    return (SH, SW), ((top, bottom), (left, right))


def _padding(value: Value, window: Pair, strides: Pair, pads: Pads) -> str | None:
    """Return "valid" or "same" if these are its pads, and otherwise None."""
    found = (padding for padding in ("valid", "same") if window_pads(padding, shape_of(value)[:2], window, strides) == pads)
    return next(found, None)


def _rounded_up(value: Value, window: Pair, strides: Pair, pads: Pads) -> Pads:
    """Return the pads with which a pool has one more position along an axis where a last stride ends beyond the image.

    A window that would begin after the image and the pad before it is left out.
    """
    result = []
    for size, k, s, (before, after) in zip(shape_of(value)[:2], window, strides, pads, strict=True):
        out = -(-(size + before + after - k) // s) + 1
        if (out - 1) * s >= size + before:
            out -= 1
        result.append((before, max(after, (out - 1) * s + k - size - before)))
    return result[0], result[1]


def _pool(file: _Import, node: Onnx) -> Value:
    """A max-pool, an average-pool, or a min-pool: a max-pool between two changes of sign."""
    file.expect(node, dilations=1, storage_order=0)
    given, kind = file.attributes(node), MaxPooling2D if node.op_type == "MaxPool" else AveragePooling2D
    before, after = file.makers.get(node.input[0]), file.only_reader(node.output[0], "Neg")
    negated = kind is MaxPooling2D and after is not None and before is not None and before.op_type == "Neg"
    source = before if negated else node
    value = file.images(source)
    window = given["kernel_shape"]
    if len(window) != 2:
        raise file.refused(node, "a window of two axes", window)
    strides, pads = _strides_and_pads(file, node, value, (window[0], window[1]))
    zeros_count = kind is AveragePooling2D and given.get("count_include_pad", 0)
    if given.get("ceil_mode", 0):
        wider = _rounded_up(value, (window[0], window[1]), strides, pads)
        if wider != pads and zeros_count:
            raise file.refused(node, "ceil_mode=0 with count_include_pad=1", "ceil_mode=1")
        pads = wider
    padding = _padding(value, (window[0], window[1]), strides, pads)
    if padding is None or (zeros_count and padding == "same" and pads != ((0, 0), (0, 0))):
        activation = value.node.layer if value.node is not None else None
        no_less = isinstance(activation, Activation) and activation.function in NOT_NEGATIVE and kind is MaxPooling2D and not negated
        if not (zeros_count or no_less):
            fix = "Pad so that the size is divided by the stride, rounded up, with the odd row at the end; or put the pool after a ReLU"
            raise file.refused(node, 'the padding of "same" or none', f"{pads} around {shape_of(value)[:2]} pixels", fix)
        value, padding = value._replace(node=ZeroPadding2D(pads)(value.node)), "valid"      # zeros change no maximum after a ReLU
    if negated and after is not None:
        out = Value(MinPooling2D(window, strides, padding)(value.node), True)
        file.values[after.output[0]] = out
        return out
    return Value(kind(window, strides, padding)(value.node), True)


def _global_pool(file: _Import, node: Onnx) -> Value:
    kind = GlobalMaxPooling2D if "Max" in node.op_type else GlobalAveragePooling2D
    if node.op_type.startswith("Global"):
        return Value(kind(keepdims=True)(file.images(node).node), True)
    value, keepdims = file.value(node), file.attributes(node).get("keepdims", 1)
    expected = [2, 3] if value.first else [1, 2]
    if len(shape_of(value)) != 3 or file.axes(node) != expected:
        raise file.refused(node, "the axes of rows and columns", file.axes(node))
    out = kind(keepdims=bool(keepdims))(value.node)
    return Value(out, value.first and bool(keepdims))


# -- other orders and shapes ------------------------------------------------------------------------------------------


def _transpose(file: _Import, node: Onnx) -> Value:
    value, perm = file.value(node), file.attributes(node).get("perm")
    axes = len(shape_of(value)) + 1
    to_first, to_last = [0, axes - 1, *range(1, axes - 1)], [0, *range(2, axes), 1]
    if axes > 2 and perm == (to_last if value.first else to_first):
        return value._replace(first=not value.first)
    if perm == [*range(axes)]:
        return value
    raise file.refused(node, f"perm={to_last if value.first else to_first}", perm)


def _reshape(file: _Import, node: Onnx) -> Value:
    """Flatten, Reshape, Squeeze, Unsqueeze: the numbers in another shape, which is known since the checker computes all shapes."""
    value, after = file.value(node), file.shapes.get(node.output[0], [None, None])[1:]
    shape = shape_of(value)
    *places, C = shape
    before = (C, *places) if value.first else shape
    known = [size for size in after if size is not None]
    if len(known) == len(after) - 1 and prod(known) and prod(before) % prod(known) == 0:
        after = [prod(before) // prod(known) if size is None else size for size in after]
    if None in after or prod(after) != prod(before):
        raise file.refused(node, f"an output of the {prod(before)} numbers of each sample", f"the shape {['N', *after]}")
    if tuple(after) == before:
        return value
    if value.rows:
        raise file.refused(node, "an input in the order of rows, columns, channels", "a row in the order C, H, W")
    if not value.first or C == 1 or prod(places) == 1:      # with one channel, or one pixel, both orders are the same numbers
        layer = value.node.layer if value.node is not None else None
        if isinstance(layer, (GlobalAveragePooling2D, GlobalMaxPooling2D)) and layer.keepdims and len(after) == 1:
            return Value(type(layer)()(value.node.parents[0]))
        return Value((Flatten() if len(after) == 1 else Reshape(tuple(after)))(value.node))
    if len(after) == 1:
        return Value(Flatten()(value.node), rows=(shape,))
    raise file.refused(node, "one row of numbers", f"the shape {['N', *after]}, of images in the order C, H, W")


def _concat(file: _Import, node: Onnx) -> Value:
    values = [file.value(node, index) for index in range(len(node.input))]
    first, axis = values[0].first, file.attributes(node)["axis"]
    axes = len(shape_of(values[0])) + 1
    axis %= axes
    if len({value.first for value in values}) > 1:
        raise file.refused(node, "inputs with the same order of axes", "two orders")
    if len(values) == 1:
        return values[0]
    rows: tuple[Shape, ...] = ()
    if any(value.rows for value in values):
        rows = tuple(shape for value in values for shape in value.rows or (shape_of(value),))
    if first:
        axis = axes - 1 if axis == 1 else axis - 1 if axis > 1 else axis
    return Value(Concatenate(axis)([value.node for value in values]), first, rows)


def _pad(file: _Import, node: Onnx) -> Value:
    file.expect(node, mode=b"constant")
    value, pads, fill = file.value(node), file.needed(node, 1).tolist(), file.array(node, 2)
    if fill is not None and fill.any():
        raise file.refused(node, "padding with 0", fill.item())
    axes, listed = len(shape_of(value)) + 1, file.array(node, 3)
    of_axis = {axis: (0, 0) for axis in range(axes)}
    chosen = [*range(axes)] if listed is None else [axis % axes for axis in listed.tolist()]
    of_axis |= {axis: (pads[k], pads[k + len(chosen)]) for k, axis in enumerate(chosen)}
    places = (2, 3) if value.first else (1, 2)
    if axes != 4 or any(any(of_axis[axis]) for axis in range(axes) if axis not in places):
        raise file.refused(node, "padding of the rows and columns of images", pads)
    return value._replace(node=ZeroPadding2D((of_axis[places[0]], of_axis[places[1]]))(value.node))


def _slice(file: _Import, node: Onnx) -> Value:
    """The window in the centre of images, which RandomCrop returns in inference."""
    value, (starts, ends) = file.value(node), (file.needed(node, k).tolist() for k in (1, 2))
    axes, steps = (file.array(node, k) for k in (3, 4))
    shape = shape_of(value)
    sizes = [None, shape[-1], *shape[:-1]] if value.first else [None, *shape]
    chosen = [*range(len(starts))] if axes is None else [axis % len(sizes) for axis in axes.tolist()]
    bounds = {axis: (0, size) for axis, size in enumerate(sizes) if size is not None}
    for start, end, axis in zip(starts, ends, chosen, strict=True):
        size = sizes[axis]
        if size is None:
            raise file.refused(node, "no slice of the batch", f"{start}:{end}")
        bounds[axis] = slice(start, end).indices(size)[:2]
    (top, bottom), (left, right) = (bounds[axis] for axis in ((2, 3) if value.first else (1, 2))) if len(shape) == 3 else ((1, 0),) * 2
    whole = bounds[1 if value.first else len(sizes) - 1] == (0, shape[-1])
    if len(shape) != 3 or not whole or (steps is not None and (steps != 1).any()) or (top, left) != (
        (shape[0] - bottom + top) // 2, (shape[1] - right + left) // 2
    ):
        raise file.refused(node, "the rows and columns in the centre of images", f"{starts} to {ends} along the axes {chosen}")
    return value._replace(node=RandomCrop(bottom - top, right - left)(value.node))


# -- activations ------------------------------------------------------------------------------------------------------


def _layer(make: Callable[..., Layer], **defaults: float) -> Callable[..., Value]:
    """An operator that is one layer, with these attributes as its arguments."""

    def read(file: _Import, node: Onnx) -> Value:
        given = file.attributes(node)
        value = file.value(node)
        return value._replace(node=make(*(given.get(key, default) for key, default in defaults.items()))(value.node))

    return read


def _softmax(file: _Import, node: Onnx) -> Value:
    value = file.value(node)
    axes = len(shape_of(value)) + 1
    axis = file.attributes(node).get("axis", -1) % axes
    if value.rows or axis != (1 if value.first else axes - 1):
        raise file.refused(node, "the axis of the channels", axis)
    return value._replace(node=Activation("softmax")(value.node))


def _clip(file: _Import, node: Onnx) -> Value:
    low, high = (file.array(node, index) for index in (1, 2))
    low = None if low is None or low <= -LARGEST else low.item()
    high = None if high is None or high >= LARGEST else high.item()
    value = file.value(node)
    if low is None and high is None:
        return value
    if low not in (None, 0) or (high is not None and high < 0):
        raise file.refused(node, "a lower limit of 0 or none, and an upper limit of at least 0", f"{low} and {high}")
    return value._replace(node=ReLU(high, 0.0 if low == 0 else 1.0)(value.node))


def _selu(file: _Import, node: Onnx) -> Value:
    expected, given = SETTINGS["selu"], file.attributes(node)
    for key, number in zip(("alpha", "gamma"), expected, strict=True):
        if abs(given.get(key, number) - number) > 1e-6:
            raise file.refused(node, f"{key}={number}", given[key])
    value = file.value(node)
    return value._replace(node=Activation("selu")(value.node))


def _gelu(file: _Import, node: Onnx) -> Value:
    value, tanh = file.value(node), file.attributes(node).get("approximate") == b"tanh"
    return value._replace(node=Activation("gelu_tanh" if tanh else "gelu")(value.node))


def _swish(file: _Import, node: Onnx) -> Value:
    file.expect(node, alpha=1.0)
    value = file.value(node)
    return value._replace(node=Activation("silu")(value.node))


def _dropout(file: _Import, node: Onnx) -> Value:
    ratio, training = file.array(node, 1), file.array(node, 2)
    if training is not None and training.any():
        raise file.refused(node, "training_mode=False", True)
    value = file.value(node)
    return value._replace(node=Dropout(0.5 if ratio is None else ratio.item())(value.node))


def _same(file: _Import, node: Onnx) -> Value:
    """Identity, and Cast to the type that the numbers have already; the checker refuses another type in the next operator."""
    if node.op_type == "Cast" and file.attributes(node)["to"] not in (file.onnx.TensorProto.FLOAT, file.onnx.TensorProto.DOUBLE):
        raise file.refused(node, "float32 or float64", file.attributes(node)["to"])
    return file.value(node)


OPERATORS: Mapping[str, Callable[..., Value]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_normalization,
    "MaxPool": _pool,
    "AveragePool": _pool,
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool", "ReduceMax", "ReduceMean"), _global_pool),
    "Transpose": _transpose,
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    "Concat": _concat,
    "Pad": _pad,
    "Slice": _slice,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(np.divide),
    "Pow": _binary(np.power),
    "Neg": _unary(np.negative),
    "Erf": _unary(lambda x: np.array([math.erf(number) for number in x])),
    "Sigmoid": _unary(sigmoid_forward),
    "Tanh": _unary(np.tanh),
    "Relu": _layer(lambda: Activation("relu")),
    "Softplus": _layer(lambda: Activation("softplus")),
    "LeakyRelu": _layer(LeakyReLU, alpha=0.01),
    "Elu": _layer(ELU, alpha=1.0),
    "Selu": _selu,
    "Gelu": _gelu,
    "Swish": _swish,
    "Clip": _clip,
    "Softmax": _softmax,
    "Dropout": _dropout,
    "Identity": _same,
    "Cast": _same,
    "Constant": _same,              # `read` stores its array
    "Shape": _same,                 # `read` notes that it is a shape
    "Gather": lambda file, node: _only_of_shapes(file, node),
    "ReduceProd": lambda file, node: _only_of_shapes(file, node),
}
OF_SIZES = ("Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Cast", "Mul", "Add", "Sub", "Div", "ReduceProd", "Identity")


def _only_of_shapes(file: _Import, node: Onnx) -> Value:
    raise file.refused(node, "the computation of a shape", "one of images")
