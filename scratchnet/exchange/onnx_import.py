"""Read a network from an ONNX file that was written by PyTorch, Keras or `Model.export_onnx`.

The operators of a file are read in order. Each becomes the layer that computes the same; an operator without such a layer is
refused by name. The difficult part is the order of axes: a tensor may be (N, C, H, W) in the file and (N, H, W, C) here. So a
tensor is represented by a node of our graph and a note of the order of its axes in the file (`Value`):

    Transpose           changes only the note
    Conv                its kernel is transposed, once, and the images are not
    Flatten             makes a row; the note says that the file has its numbers in the order C, H, W
    Gemm, MatMul        the rows of their kernel are permuted if the note says so

Padding that is neither "same" nor "valid" becomes a layer ZeroPadding2D. SiLU and GELU are written as several operators, such as
Sigmoid and Mul, and each exporter chooses different ones. They are recognized by their values: a tensor that such operators compute
from another one is a function of it, and its values at `POINTS` are compared with those of each activation function. (The operators
are smooth: functions that agree at these points, 0.05 apart, are taken to agree between them too.)

A file may come from a source that is not trusted: it is checked before anything is computed, weights outside the file are not read,
and no memory is allocated for weights that the file does not contain.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.exchange.onnx_export import NO_GAMMA
from scratchnet.exchange.onnx_operators import OF_CONSTANTS, OF_IMAGES, OF_SIZES, OPERATORS, POINTS, Function, Onnx, Value, layer_of
from scratchnet.layers import Activation, Input, Layer, Reshape
from scratchnet.model import Model
from scratchnet.support.arithmetic import quiet
from scratchnet.support.checking import shortened
from scratchnet.support.files import as_path
from scratchnet.support.optional import optional

OPSETS = range(13, 27)                          # the operator sets that are read: 13 to 26
MOST = 10_000                                   # the largest number of numbers in a constant that operators compute
LONGEST = 20                                    # a tensor is considered a function of at most this many earlier tensors


class RefusedError(ValueError):
    """Raised for a part of a file that no model of this package can have."""


def import_onnx(path: str | os.PathLike[str]) -> Model:
    """Return the network of an ONNX file, as a model that can be run, and trained further.

    The model takes images (N, H, W, C), even if the file takes (N, C, H, W), as files of PyTorch do; images that it returns
    have this order too. (A network without any operator for images, such as one that begins with Flatten, takes them as the
    file does.)
    A layer whose kernel is named "conv1.weight" or "conv2d/kernel" in the file has the name "conv1" or "conv2d".

    Operators: Add, AveragePool, BatchNormalization, Cast, Clip from 0 or without a lower limit, Concat, Constant, Conv, Dropout,
    Elu, Flatten, Gelu, Gemm, GlobalAveragePool, GlobalMaxPool, Identity, LeakyRelu, MatMul, MaxPool, Pad with zeros, ReduceMax and
    ReduceMean of images, Relu, Reshape, Selu, Sigmoid, Slice around the centre, Softmax, Softplus, Squeeze, Swish, Tanh, Transpose,
    Unsqueeze; Mul, Sub, Div, Pow, Neg and Erf with constants, or as parts of SiLU, GELU and min-pooling; and those that compute the
    shape of a Reshape.

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
    except (OSError, MemoryError):
        raise
    except RefusedError as error:
        raise _named(path, error) from None
    except Exception as error:  # damaged bytes make protobuf and the checker raise errors of any kind
        raise ValueError(
            f"import_onnx: {path}: expected an ONNX file, got another file, or one that is damaged ({shortened(str(error), 200)})."
            " Export it again"
        ) from error
    try:
        return File(onnx, proto).model()
    except MemoryError:
        raise
    except Exception as error:  # the content of a file can make constructors of layers raise errors of any kind
        raise _named(path, error) from error


def _named(path: Path, error: Exception) -> ValueError:
    return ValueError(f"import_onnx: {path}: {str(error) if isinstance(error, ValueError) else repr(error)}")


def _check_where_weights_are(onnx: Any, proto: Any) -> None:
    """Refuse a file whose weights are in other files, which it names by paths: they could name any file of the machine."""
    constants = [a.t for node in proto.graph.node for a in node.attribute if a.HasField("t")]
    for tensor in [*proto.graph.initializer, *constants]:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise RefusedError(
                f"expected all weights in the file itself, got {tensor.name!r} in another file. Export it with the weights inside:"
                " torch.onnx.export(..., external_data=False)"
            )


class File:
    """One file, while a model is made from it."""

    def __init__(self, onnx: Any, proto: Any):
        self.onnx, self.graph = onnx, proto.graph
        versions = {opset.domain: opset.version for opset in proto.opset_import}
        self.version = version = versions.get("", versions.get("ai.onnx"))
        if version not in OPSETS:
            raise RefusedError(
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
        self.values: dict[str, Value | Function] = {}
        self.sizes: set[str] = set()            # tensors that hold shapes: not computed, because `shapes` has all shapes
        self.weights: list[tuple[Layer, dict[str, np.ndarray]]] = []
        self.names: set[str] = set()

    @quiet
    def model(self) -> Model:
        """Return the model."""
        inputs = [info for info in self.graph.input if info.name not in self.tensors]
        if len(inputs) != 1 or len(self.outputs) != 1:
            raise RefusedError(
                f"expected one input and one output, got {len(inputs)} and {len(self.outputs)}. Export a part that has one of each"
            )
        (image,), types = inputs, {self.onnx.TensorProto.FLOAT: "float32", self.onnx.TensorProto.DOUBLE: "float64"}
        dtype = types.get(image.type.tensor_type.elem_type)
        if dtype is None:
            kind = self.onnx.TensorProto.DataType.Name(image.type.tensor_type.elem_type)
            raise RefusedError(f"expected an input of float32 or float64, got {kind.lower()}. Export a model of float32")
        sizes = self.shapes.get(image.name, [])[1:]
        shape = tuple(size for size in sizes if size)
        if not shape or len(shape) < len(sizes):
            raise RefusedError(
                f"expected an input of known size in all axes but the first, got {self.shapes.get(image.name)}. Export it with"
                " a fixed size of images"
            )
        first = len(shape) > 1 and self.channels_come_first(image.name)
        x = Input(shape=(*shape[1:], shape[0]) if first else shape)
        self.values[image.name] = Value(x, first)
        for node in self.graph.node:
            if node.output[0] not in self.values:
                self.read(node)
        out = self.settled(self.outputs[0]) if self.outputs[0] in self.values else None
        if out is None:
            raise RefusedError(
                f"expected an output of a layer, got {self.outputs[0]!r}, which no layer computes. Export another network"
            )
        if out.rows:
            raise RefusedError("expected an output in our order of axes, got a row in the order C, H, W. Leave out its Flatten")
        end = out.node if out.node is not x else Activation("linear")(x)        # a network that returns its input
        model = Model(x, end, dtype=dtype, name=self.graph.name or None)
        for layer, arrays in self.weights:
            for key, values in arrays.items() if layer.built else ():
                layer.named_weights[key][...] = values
        return model

    def channels_come_first(self, image: str) -> bool:
        """Return whether the input is (N, C, H, W): the first operator that needs a certain order decides; False if none does."""
        same = {image}                          # the tensors whose axes are in the order of the input's
        for node in self.graph.node:
            if node.input and node.input[0] in same:
                if node.op_type in OF_IMAGES:
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
        if node.domain not in ("", "ai.onnx") or operator not in {*OPERATORS, *OF_CONSTANTS, *OF_SIZES}:
            name = f"{node.domain}.{operator}".lstrip(".")
            raise RefusedError(
                f"expected operators that a layer computes, got {name} (node {shortened(node.name)}). The known ones are"
                f" {', '.join(sorted({*OPERATORS, *OF_CONSTANTS, *OF_SIZES}))}"
            )
        if any(name in self.readers or name in self.outputs for name in node.output[1:]):
            raise RefusedError(f"{operator} (node {shortened(node.name)}): expected one output in use, got several. Use the first")
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
        elif operator in OF_CONSTANTS and all(name in self.tensors for name in node.input if name):
            self.tensors[node.output[0]] = self.folded(node)
        else:
            try:
                if operator not in OPERATORS:
                    raise self.refused("inputs that are constants or sizes of a tensor", "another input")
                self.values[node.output[0]] = OPERATORS[operator](self, node)
            except MemoryError:
                raise
            except Exception as error:          # from `refused`, a layer's constructor, or a missing attribute
                reason = str(error) if isinstance(error, ValueError) else repr(error)
                raise RefusedError(f"{operator} (node {shortened(node.name)}): {reason}") from error

    def folded(self, node: Onnx) -> Any:
        """Return what an operator computes from constants only, with onnx's reference evaluator: a small array, such as pads."""
        size = self.shapes.get(node.output[0], [None])
        if None in size or prod(number or 0 for number in size) > MOST:
            raise RefusedError(
                f"{node.op_type} (node {shortened(node.name)}): expected a constant of at most {MOST:,} numbers, got one of shape"
                f" {size}. Export the network with constant folding"
            )
        evaluator = optional("onnx.reference", "onnx", "import_onnx").ReferenceEvaluator(node, opsets={"": self.version})
        inputs = {name: self.needed(node, index) for index, name in enumerate(node.input) if name}
        return self.onnx.numpy_helper.from_array(evaluator.run(None, inputs)[0])

    # -- what an operator reads ----------------------------------------------------------------------------------------

    def refused(self, expected: str, got: Any, fix: str = "Leave out this operator, or export another network") -> RefusedError:
        """Return the error of an operator that no layer computes with these arguments; `read` adds its name."""
        return RefusedError(f"expected {expected}, got {got}. {fix}")

    def attributes(self, node: Onnx) -> dict[str, Any]:
        """Return the attributes of a node by name: bytes as text, and a float32 in its shortest form: 0.1, not 0.10000000149."""
        found = {attribute.name: self.onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        shortest = {key: float(str(np.float32(value))) for key, value in found.items() if isinstance(value, float)}
        return found | shortest | {key: value.decode(errors="replace") for key, value in found.items() if isinstance(value, bytes)}

    def expect(self, node: Onnx, **expected: Any) -> None:
        """Refuse a node that has one of these attributes with another value."""
        for key, value in self.attributes(node).items():
            if key in expected and value != expected[key] and value != [expected[key]] * len(np.atleast_1d(value)):
                raise self.refused(f"{key}={expected[key]}", shortened(value))

    def value(self, node: Onnx, index: int = 0) -> Value:
        """Return an input of a node as the output of a layer."""
        name = node.input[index]
        if name not in self.values:
            raise self.refused(f"input {index} to be computed from the images", f"{name!r}")
        value = self.settled(name)
        if value is None:
            maker = f"another function, the result of {self.makers[name].op_type} (node {shortened(self.makers[name].name)})"
            raise self.refused("an activation function of scratchnet.activations", maker, "Replace it, for example by ReLU")
        return value

    def settled(self, name: str) -> Value | None:
        """Return a tensor as the output of a layer, if one computes it.

        Of the tensors that it is a function of, the earliest is tried first, so that as many operators as possible become one
        layer: x / √2, its erf and so on, as one function of x, are GELU.
        """
        value = self.values[name]
        if isinstance(value, Value):
            return value
        for base, curve in value.curves.items():
            layer = layer_of(curve)
            if layer is not None and (below := self.settled(base)) is not None:
                self.values[name] = settled = below.through(layer)
                return settled
        return None

    def curves(self, name: str) -> dict[str, np.ndarray]:
        """Return this tensor's values at POINTS, as a function of each tensor that it depends on; the last is itself."""
        value = self.values[name]
        return {**(dict([*value.curves.items()][-LONGEST:]) if isinstance(value, Function) else {}), name: POINTS}

    def like(self, name: str) -> Value:
        """Return a tensor that is computed by a layer and has the same order of axes."""
        value = self.values[name]
        return value.like if isinstance(value, Function) else value

    def array(self, node: Onnx, index: int) -> np.ndarray | None:
        """Return an input of a node that is a constant; None if it has no such input."""
        if index >= len(node.input) or not node.input[index]:
            return None
        name = node.input[index]
        if name not in self.tensors:
            raise self.refused(f"input {index} as a constant in the file", f"{name!r}, which is computed")
        return self.onnx.numpy_helper.to_array(self.tensors[name])

    def needed(self, node: Onnx, index: int) -> np.ndarray:
        """Return an input of a node that must be a constant."""
        array = self.array(node, index)
        if array is None:
            raise self.refused(f"input {index} to be given", "none")
        return array

    def axes(self, node: Onnx) -> list[int]:
        """Return the axes of a node, sorted, none negative: they are an attribute, or in later operator sets an input."""
        given = self.attributes(node).get("axes")
        if given is None:
            array = self.array(node, 1)
            given = [] if array is None else array.tolist()
        rank = len(self.shapes.get(node.input[0], []))
        return sorted(axis % rank if rank else axis for axis in given)

    def images(self, node: Onnx) -> Value:
        """Return the first input of a node as images whose channels are first in the file."""
        value = self.value(node)
        shape = value.shape
        if not value.first and len(shape) == 3 and (shape[0] == 1 or prod(shape[1:]) == 1):
            C, H, W = shape                             # with one channel, or one pixel, both orders are the same numbers
            value = Value(Reshape((H, W, C))(value.node), True)
        if len(shape) != 3 or not value.first:
            raise self.refused("images (N, C, H, W)", f"(N, {', '.join(map(str, shape))}), which has another order of axes")
        return value

    def only_reader(self, name: str, *operators: str) -> Onnx | None:
        """Return the only node that reads a tensor if it is one of these operators, otherwise None."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].op_type in operators and name not in self.outputs else None

    def named(self, node: Onnx) -> str | None:
        """Return the name of a layer: "conv1" if its kernel is named "conv1.weight"; None for other names."""
        found = re.fullmatch(rf"(.+)[./](kernel|weight|gamma|{NO_GAMMA})", node.input[1])
        if found is None or found[1] in self.names:
            return None
        self.names.add(found[1])
        return found[1]

    def bias_after(self, node: Onnx, size: int, axes: int = 0) -> tuple[np.ndarray, str] | None:
        """Return the bias (size,) that the next operator adds, and the name of the sum; None if that is not what it does.

        It must be the only operator that reads the output of `node`. The bias may have `axes` further axes of length 1 in the file.
        """
        after = self.only_reader(node.output[0], "Add")
        if after is None:
            return None
        index = 1 - [*after.input].index(node.output[0])
        array = self.array(after, index) if after.input[index] in self.tensors else None
        shape = (size,) + (1,) * axes
        return None if array is None or array.shape not in (shape, (1, *shape)) else (array.ravel(), after.output[0])

    def weighted(self, node: Onnx, layer: Layer, value: Value, arrays: Mapping[str, np.ndarray | None], total: str = "") -> Value:
        """Return the output of a layer with weights, also stored as the value of `total`, the sum that `bias_after` found."""
        self.weights.append((layer, {key: values for key, values in arrays.items() if values is not None}))
        out = Value(layer(value.node), value.first)
        if total:
            self.values[total] = out            # `model` does not read the operator Add again
        return out
