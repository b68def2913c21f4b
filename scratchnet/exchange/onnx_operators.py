"""The operators of an ONNX file: for each, a function that makes the layer that computes the same.

    Conv, MaxPool, Relu, …      a layer of ours
    Transpose, Reshape          another order of axes, or another shape
    Mul, Erf, Sigmoid, …        a function of one number, from which `layer_of` finds the activation function

Each function is called with the file and one of its nodes, and reads the node's inputs and attributes with methods of the file.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

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
from scratchnet.padding import Pads, window_pads
from scratchnet.support.arithmetic import quiet

if TYPE_CHECKING:
    from scratchnet.exchange.onnx_import import File

POINTS = np.arange(-160, 161) / 20              # -8, -7.95, ..., 8; with 0 and 1 among them
LARGEST = np.finfo(np.float32).max
NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "softmax", "softplus")
OF_IMAGES = ("Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "BatchNormalization")    # (N, C, H, W)
Onnx = Any                                      # a node of the file


class Value(NamedTuple):
    """A tensor of the file: the output of the layer that computes it here, and how the order of its numbers differs."""

    node: Node
    first: bool = False             # the file has the channels first: (N, C, H, W), and not (N, H, W, C)
    rows: tuple[Shape, ...] = ()    # the shapes of the flattened images in a row, each C, H, W in the file; () if the order is ours

    @property
    def shape(self) -> Shape:
        """The shape of a sample, as it is here: (H, W, C) for images."""
        return self.node.shape

    def through(self, layer: Layer) -> Value:
        """Return the output of a layer that keeps the order of axes."""
        return self._replace(node=layer(self.node))


class Function(NamedTuple):
    """A tensor of the file that is an elementwise function of earlier tensors; which layer computes it is not known yet.

    For example, SiLU is x·sigmoid(x). A file may have it as two operators, after a convolution with the output h:

        s = Sigmoid(h)      s is Function(curves={"h": sigmoid(POINTS)})
        y = Mul(h, s)       h is a function of itself, {"h": POINTS}; s of both, {"h": sigmoid(POINTS), "s": POINTS}. Both know
                            "h", so y is Function(curves={"h": POINTS * sigmoid(POINTS)})

    When the next operator needs y as the output of a layer, `File.settled` compares this curve with those of all activations, finds
    SiLU, and applies Activation("silu") to h. No layer is made for s, unless another operator needs it.
    """

    like: Value                     # a tensor with the same order of axes
    curves: Mapping[str, np.ndarray]        # for each tensor of which it is a function, by name: its values at POINTS


def order_of(rows: Sequence[Shape]) -> np.ndarray:
    """Return for each number of the row in the file its position in the row here, (D,).

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
    """Return whether two functions differ by at most a millionth of their range; the constants of a file are float32."""
    return bool(np.abs(curve - other).max() <= 1e-6 * np.ptp(other))


@quiet
def layer_of(curve: np.ndarray) -> Layer | None:
    """Return the layer that computes a function, given by its values at POINTS; None if no layer does."""
    at_0, at_1 = float(curve[POINTS == 0][0]), float(curve[POINTS == 1][0])
    if _close(curve, at_0 + (at_1 - at_0) * POINTS):
        return Rescaling(at_1 - at_0, at_0)
    for function, implementations in ACTIVATIONS.items():
        forward, _ = implementations["im2col"]
        if function != "softmax" and _close(curve, forward(POINTS, *SETTINGS.get(function, ()))):
            return Activation(function)
    return None


def _unary(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Function]:
    def read(file: File, node: Onnx) -> Function:
        name = node.input[0]
        if name not in file.values:
            raise file.refused("an input that is computed from the images", f"{name!r}")
        return Function(file.like(name), {base: function(x) for base, x in file.curves(name).items()})

    return read


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Value | Function]:
    """Return the reader of a sum, a product, …: with a constant, of two functions of one tensor, or (Add) of two layers."""

    def read(file: File, node: Onnx) -> Value | Function:
        constants = [name in file.tensors for name in node.input]
        if any(constants):
            return with_constant(file, node, constants.index(False) if False in constants else 0)
        a, b = node.input
        for name in (a, b):
            if name not in file.values:
                raise file.refused("inputs that are computed from the images", f"{name!r}")
        if file.like(a)[1:] != file.like(b)[1:]:
            raise file.refused("inputs with the same order of axes", "two orders")
        if node.op_type == "Add" and (left := file.settled(a)) is not None and (right := file.settled(b)) is not None:
            return left._replace(node=Add()([left.node, right.node]))
        lefts, rights = file.curves(a), file.curves(b)
        curves = {base: function(lefts[base], rights[base]) for base in lefts if base in rights}
        if not curves:
            raise file.refused("a constant as one input, or two functions of one tensor", "outputs of two layers")
        return Function(file.like(a), curves)

    def with_constant(file: File, node: Onnx, index: int) -> Value | Function:
        name, constant = node.input[index], file.needed(node, 1 - index)
        if name not in file.values:
            raise file.refused("one input that is computed from the images", f"{name!r}")

        def applied(x: np.ndarray, c: Any) -> Any:
            return function(x, c) if index == 0 else function(c, x)

        rank = len(file.shapes.get(name, []))
        if constant.size == 1 and constant.ndim <= max(rank, 1):
            c = float(constant.item())
            return Function(file.like(name), {base: applied(x, c) for base, x in file.curves(name).items()})
        value = file.value(node, index)
        channels = _of_channels(file, node, constant, value)
        at_0, at_1 = applied(np.zeros_like(channels), channels), applied(np.ones_like(channels), channels)
        if node.op_type == "Pow" or (node.op_type == "Div" and index == 1):
            raise file.refused("one number as a constant", f"{channels.size}")
        return value.through(Rescaling((at_1 - at_0).tolist(), at_0.tolist()))

    return read


def _of_channels(file: File, node: Onnx, constant: np.ndarray, value: Value) -> np.ndarray:
    """Return a constant with one number for each channel, (C,), as float64; in our order for a row."""
    shape = value.shape
    C = shape[-1]
    expected = (C,) + (1,) * (len(shape) - 1) if value.first else (C,)
    fits = constant.shape[constant.ndim - len(expected) :] == expected and constant.size == C
    if not fits or constant.ndim > len(shape) + 1:
        raise file.refused(f"a constant with a number for each of the {C} channels, of shape {expected}", constant.shape)
    numbers = np.empty(C)
    numbers[order_of(value.rows) if value.rows else slice(None)] = constant.ravel()
    return numbers


# -- layers with weights ----------------------------------------------------------------------------------------------


def _conv(file: File, node: Onnx) -> Value:
    file.expect(node, group=1, dilations=1)
    value, w = file.images(node), file.needed(node, 1)
    C = value.shape[2]
    if w.ndim != 4 or w.shape[1] != C:
        raise file.refused(f"a kernel of shape (F, {C}, KH, KW)", w.shape)
    window = w.shape[2:]
    file.expect(node, kernel_shape=[*window])
    strides, pads = _strides_and_pads(file, node, value, window)
    padding = _padding(value, window, strides, pads)
    if padding is None:
        value, padding = value.through(ZeroPadding2D(pads)), "valid"
    b = file.array(node, 2)
    after = file.bias_after(node, len(w), 2) if b is None else None
    b, total = after or (b, "")
    layer = Conv2D(len(w), window, strides, padding, use_bias=b is not None, name=file.named(node))
    return file.weighted(node, layer, value, {"kernel": w.transpose(2, 3, 1, 0), "bias": b}, total)


def _gemm(file: File, node: Onnx) -> Value:
    given = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | file.attributes(node)
    file.expect(node, transA=0)
    w, b = file.needed(node, 1), file.array(node, 2)
    w = given["alpha"] * (w.T if given["transB"] else w)
    return _dense(file, node, w, None if b is None else given["beta"] * b)


def _matmul(file: File, node: Onnx) -> Value:
    return _dense(file, node, file.needed(node, 1), None)


def _dense(file: File, node: Onnx, w: np.ndarray, b: np.ndarray | None) -> Value:
    value = file.value(node)
    shape = value.shape
    if w.ndim != 2 or shape != w.shape[:1]:
        raise file.refused(f"a kernel of shape ({shape[-1]}, U) and rows (N, D)", f"{w.shape} and (N, {str(shape)[1:]}")
    U = w.shape[1]
    if b is not None and b.shape not in ((), (1,), (1, 1), (U,), (1, U)):
        raise file.refused(f"a bias of shape ({U},)", b.shape)
    after = file.bias_after(node, U) if b is None else None
    b, total = after or (b, "")
    b = None if b is None else np.broadcast_to(b.ravel(), (U,))
    if value.rows:
        in_file, w = w, np.empty_like(w)
        w[order_of(value.rows)] = in_file
    layer = Dense(U, use_bias=b is not None, name=file.named(node))
    return file.weighted(node, layer, value._replace(rows=()), {"kernel": w, "bias": b}, total)


def _batch_normalization(file: File, node: Onnx) -> Value:
    file.expect(node, training_mode=0)
    given = {"epsilon": 1e-5, "momentum": 0.9} | file.attributes(node)      # ONNX's momentum is that of this library, not PyTorch's
    value = file.value(node)
    if len(value.shape) > 1 and not value.first:
        value = file.images(node)
    C = value.shape[-1]
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    found: dict[str, np.ndarray] = {}
    for index, key in enumerate(keys, 1):
        array = file.needed(node, index)
        if array.shape != (C,):
            raise file.refused(f"{C} numbers as {key}, one for each channel", f"an array of shape {array.shape}")
        found[key] = np.empty_like(array)
        found[key][order_of(value.rows) if value.rows else slice(None)] = array
    scale, center = (not node.input[index].endswith(f"/{absent}") for index, absent in ((1, NO_GAMMA), (2, NO_BETA)))
    arrays = {key: found[key] for key, used in zip(keys, (scale, center, True, True), strict=True) if used}
    momentum, epsilon = given["momentum"], given["epsilon"]
    layer = BatchNormalization(momentum=momentum, epsilon=epsilon, scale=scale, center=center, name=file.named(node))
    return file.weighted(node, layer, value, arrays)._replace(rows=value.rows)


# -- windows ----------------------------------------------------------------------------------------------------------


def _strides_and_pads(file: File, node: Onnx, value: Value, window: Pair) -> tuple[Pair, Pads]:
    """Return the strides and the pads of a node as numbers, whether the file has numbers or a form of "same"."""
    given = file.attributes(node)
    (SH, SW), sizes = given.get("strides", (1, 1)), value.shape[:2]
    how, pads = given.get("auto_pad", "NOTSET"), given.get("pads", [0, 0, 0, 0])
    if how in ("SAME_UPPER", "SAME_LOWER"):
        rows, columns = window_pads("same", sizes, window, (SH, SW))
        if how == "SAME_LOWER":
            rows, columns = rows[::-1], columns[::-1]
        return (SH, SW), (rows, columns)
    top, left, bottom, right = pads if how == "NOTSET" else [0, 0, 0, 0]
    return (SH, SW), ((top, bottom), (left, right))


def _padding(value: Value, window: Pair, strides: Pair, pads: Pads) -> str | None:
    """Return "valid" or "same" if it has exactly these pads, and otherwise None."""
    found = (padding for padding in ("valid", "same") if window_pads(padding, value.shape[:2], window, strides) == pads)
    return next(found, None)


def _rounded_up(value: Value, window: Pair, strides: Pair, pads: Pads) -> Pads:
    """Return the pads that have the same effect as `ceil_mode`: a last window may extend beyond the padded image.

    A window that would begin after the image, in the pad after it, is left out.
    """
    result = []
    for size, k, s, (before, after) in zip(value.shape[:2], window, strides, pads, strict=True):
        out = -(-(size + before + after - k) // s) + 1
        if (out - 1) * s >= size + before:
            out -= 1
        result.append((before, max(after, (out - 1) * s + k - size - before)))
    return result[0], result[1]


def _pool(file: File, node: Onnx) -> Value:
    """Read a max-pool, an average-pool, or a min-pool, which is a max-pool between two changes of sign."""
    file.expect(node, dilations=1, storage_order=0)
    given, kind = file.attributes(node), MaxPooling2D if node.op_type == "MaxPool" else AveragePooling2D
    before, after = file.makers.get(node.input[0]), file.only_reader(node.output[0], "Neg")
    negated = kind is MaxPooling2D and after is not None and before is not None and before.op_type == "Neg"
    source = before if negated else node
    value = file.images(source)
    window = given["kernel_shape"]
    if len(window) != 2:
        raise file.refused("a window of two axes", window)
    strides, pads = _strides_and_pads(file, node, value, (window[0], window[1]))
    zeros_count = kind is AveragePooling2D and given.get("count_include_pad", 0)
    if given.get("ceil_mode", 0):
        wider = _rounded_up(value, (window[0], window[1]), strides, pads)
        if wider != pads and zeros_count:
            raise file.refused("ceil_mode=0 with count_include_pad=1", "ceil_mode=1")
        pads = wider
    padding = _padding(value, (window[0], window[1]), strides, pads)
    if padding is None or (zeros_count and padding == "same"):
        before_it = value.node.layer                        # zeros change no maximum of numbers that are not negative
        positive = isinstance(before_it, Activation) and before_it.function in NOT_NEGATIVE and kind is MaxPooling2D and not negated
        if not (zeros_count or positive):
            fix = "Pad as Keras does (an odd number of rows or columns: one more at the end), or put the pool after a ReLU"
            raise file.refused('the padding of "same" or none', f"{pads} around {value.shape[:2]} pixels", fix)
        value, padding = value.through(ZeroPadding2D(pads)), "valid"
    if negated and after is not None:
        out = Value(MinPooling2D(window, strides, padding)(value.node), True)
        file.values[after.output[0]] = out
        return out
    return Value(kind(window, strides, padding)(value.node), True)


def _global_pool(file: File, node: Onnx) -> Value:
    kind = GlobalMaxPooling2D if "Max" in node.op_type else GlobalAveragePooling2D
    if node.op_type.startswith("Global"):
        return Value(kind(keepdims=True)(file.images(node).node), True)
    value, keepdims = file.value(node), file.attributes(node).get("keepdims", 1)
    expected = [2, 3] if value.first else [1, 2]
    if len(value.shape) != 3 or file.axes(node) != expected:
        raise file.refused("the axes of rows and columns", file.axes(node))
    out = kind(keepdims=bool(keepdims))(value.node)
    return Value(out, value.first and bool(keepdims))


# -- other orders and shapes ------------------------------------------------------------------------------------------


def _transpose(file: File, node: Onnx) -> Value:
    value, perm = file.value(node), file.attributes(node).get("perm")
    axes = len(value.shape) + 1
    to_first, to_last = [0, axes - 1, *range(1, axes - 1)], [0, *range(2, axes), 1]
    if axes > 2 and perm == (to_last if value.first else to_first):
        return value._replace(first=not value.first)
    if perm == [*range(axes)]:
        return value
    raise file.refused(f"perm={to_last if value.first else to_first}", perm)


def _reshape(file: File, node: Onnx) -> Value:
    """Read Flatten, Reshape, Squeeze or Unsqueeze; the shape of the output is known from the checker, which computes all shapes.

    The cases, in the order of the code, by the shapes of a sample in the file ("note": the order of axes that `Value` notes):

        before                              after               here
        any                                 the same            nothing
        (1, H, W), channels first           (H, W, 1)           only the note changes: with one channel the numbers are the same
        (H, W, 1)                           (1, H, W)           only the note changes, if an operator for images reads it
        a row in the order C, H, W          any other           refused
        (C, 1, 1) after global pooling      (C,)                the pooling without keepdims
        any, except images channels first   any other           Flatten, or Reshape if the result is not a row
        (C, H, W), channels first           (C·H·W,)            Flatten, with the note that the row has the order C, H, W
        (C, H, W), channels first           any other           refused

    (One pixel is like one channel: both orders are the same numbers.)
    """
    value, sizes = file.value(node), file.shapes.get(node.output[0], [None, None, None])[1:]
    shape = value.shape
    *places, C = shape
    before = (C, *places) if value.first else shape
    known = prod(size for size in sizes if size is not None)
    after = tuple(prod(before) // max(known, 1) if size is None else size for size in sizes)    # at most one is not known
    batch, batch_before = (file.shapes.get(name, [None])[:1] for name in (node.output[0], node.input[0]))
    if sizes.count(None) > 1 or batch != batch_before or prod(after) != prod(before):
        shape_after = [*(batch if batch != [None] else ["N"]), *sizes]
        raise file.refused(f"an output of the {prod(before)} numbers of each sample", f"the shape {shape_after}")
    if after == before:
        return value
    one_order = C == 1 or prod(places) == 1                 # with one channel, or one pixel, both orders are the same numbers
    becomes_first = not value.first and after == (C, *places) and file.only_reader(node.output[0], *OF_IMAGES)
    if one_order and len(after) == 3 and (becomes_first or (value.first and after == shape)):
        return value._replace(first=not value.first)        # a Transpose that the exporter has written as a Reshape
    if value.rows:
        raise file.refused("an input in the order of rows, columns, channels", "a row in the order C, H, W")
    if not value.first or one_order:
        layer = value.node.layer
        if isinstance(layer, (GlobalAveragePooling2D, GlobalMaxPooling2D)) and layer.keepdims and len(after) == 1:
            return Value(type(layer)()(value.node.parents[0]))
        return Value((Flatten() if len(after) == 1 else Reshape(after))(value.node))
    if len(after) == 1:
        return Value(Flatten()(value.node), rows=(shape,))
    raise file.refused("one row of numbers", f"the shape {['N', *after]}, of images in the order C, H, W")


def _concat(file: File, node: Onnx) -> Value:
    values = [file.value(node, index) for index in range(len(node.input))]
    first, axis = values[0].first, file.attributes(node)["axis"]
    axes = len(values[0].shape) + 1
    axis %= axes
    if len({value.first for value in values}) > 1:
        raise file.refused("inputs with the same order of axes", "two orders")
    if len(values) == 1:
        return values[0]
    rows: tuple[Shape, ...] = ()
    if any(value.rows for value in values):
        rows = tuple(shape for value in values for shape in value.rows or (value.shape,))
    if first:
        axis = axes - 1 if axis == 1 else axis - 1 if axis > 1 else axis
    return Value(Concatenate(axis)([value.node for value in values]), first, rows)


def _pad(file: File, node: Onnx) -> Value:
    file.expect(node, mode="constant")
    value, pads, fill = file.value(node), file.needed(node, 1).tolist(), file.array(node, 2)
    if fill is not None and fill.any():
        raise file.refused("padding with 0", fill.item())
    axes, listed = len(value.shape) + 1, file.array(node, 3)
    of_axis = dict.fromkeys(range(axes), (0, 0))
    chosen = [*range(axes)] if listed is None else [axis % axes for axis in listed.tolist()]
    of_axis |= {axis: (pads[k], pads[k + len(chosen)]) for k, axis in enumerate(chosen)}
    places = (2, 3) if value.first else (1, 2)
    if axes != 4 or any(any(of_axis[axis]) for axis in range(axes) if axis not in places):
        raise file.refused("padding of the rows and columns of images", pads)
    return value.through(ZeroPadding2D((of_axis[places[0]], of_axis[places[1]])))


def _slice(file: File, node: Onnx) -> Value:
    """Read a slice at the centre of images, which is what RandomCrop computes in inference."""
    value, (starts, ends) = file.value(node), (file.needed(node, k).tolist() for k in (1, 2))
    axes, steps = (file.array(node, k) for k in (3, 4))
    shape = value.shape
    sizes = [None, shape[-1], *shape[:-1]] if value.first else [None, *shape]
    chosen = [*range(len(starts))] if axes is None else [axis % len(sizes) for axis in axes.tolist()]
    bounds = {axis: (0, size) for axis, size in enumerate(sizes) if size is not None}
    for start, end, axis in zip(starts, ends, chosen, strict=True):
        size = sizes[axis]
        if size is None:
            raise file.refused("a slice that keeps the whole batch", f"{start}:{end}")
        bounds[axis] = slice(start, end).indices(size)[:2]
    *places, channels = (2, 3, 1) if value.first else (1, 2, 3)
    expected = "the rows and columns in the centre of images"
    got = f"{starts} to {ends} along the axes {chosen}"
    if len(shape) != 3 or bounds[channels] != (0, shape[2]) or (steps is not None and (steps != 1).any()):
        raise file.refused(expected, got)
    (top, bottom), (left, right) = (bounds[axis] for axis in places)
    if (top, left) != ((shape[0] - (bottom - top)) // 2, (shape[1] - (right - left)) // 2):
        raise file.refused(expected, got)
    return value.through(RandomCrop(bottom - top, right - left))


# -- activations ------------------------------------------------------------------------------------------------------


def _layer(make: Callable[..., Layer], **defaults: float) -> Callable[..., Value]:
    """Return the function that reads an operator as one layer, with these attributes as arguments."""

    def read(file: File, node: Onnx) -> Value:
        given = file.attributes(node)
        value = file.value(node)
        return value.through(make(*(given.get(key, default) for key, default in defaults.items())))

    return read


def _softmax(file: File, node: Onnx) -> Value:
    value = file.value(node)
    axes = len(value.shape) + 1
    axis = file.attributes(node).get("axis", -1) % axes
    if value.rows or axis != (1 if value.first else axes - 1):
        raise file.refused("the axis of the channels", axis)
    return value.through(Activation("softmax"))


def _clip(file: File, node: Onnx) -> Value:
    low, high = (file.array(node, index) for index in (1, 2))
    low = None if low is None or low <= -LARGEST else low.item()
    high = None if high is None or high >= LARGEST else high.item()
    value = file.value(node)
    if low is None and high is None:
        return value
    if low not in (None, 0) or (high is not None and high < 0):
        raise file.refused("a lower limit of 0 or none, and an upper limit of at least 0", f"{low} and {high}")
    return value.through(ReLU(high, 0.0 if low == 0 else 1.0))


def _selu(file: File, node: Onnx) -> Value:
    expected, given = SETTINGS["selu"], file.attributes(node)
    for key, number in zip(("alpha", "gamma"), expected, strict=True):
        if abs(given.get(key, number) - number) > 1e-6:
            raise file.refused(f"{key}={number}", given[key])
    value = file.value(node)
    return value.through(Activation("selu"))


def _gelu(file: File, node: Onnx) -> Value:
    value, tanh = file.value(node), file.attributes(node).get("approximate") == "tanh"
    return value.through(Activation("gelu_tanh" if tanh else "gelu"))


def _swish(file: File, node: Onnx) -> Value:
    file.expect(node, alpha=1.0)
    value = file.value(node)
    return value.through(Activation("silu"))


def _dropout(file: File, node: Onnx) -> Value:
    ratio, training = file.array(node, 1), file.array(node, 2)
    if training is not None and training.any():
        raise file.refused("training_mode=False", True)
    value = file.value(node)
    return value.through(Dropout(0.5 if ratio is None else ratio.item()))


def _same(file: File, node: Onnx) -> Value:
    """Read Identity, or a Cast to the type that the numbers have already; after another Cast the checker refuses the file."""
    if node.op_type == "Cast" and file.attributes(node)["to"] not in (file.onnx.TensorProto.FLOAT, file.onnx.TensorProto.DOUBLE):
        raise file.refused("float32 or float64", file.attributes(node)["to"])
    return file.value(node)


OPERATORS: Mapping[str, Callable[..., Value | Function]] = {
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
}
# `File.read` reads these itself. They compute the shape of a Reshape, which is known without them, or constants such as pads.
ARITHMETIC = ("Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Cast", "Mul", "Add", "Sub", "Div", "ReduceProd", "Identity")
OF_SIZES = ("Shape", *ARITHMETIC)
OF_CONSTANTS = (*ARITHMETIC, "Constant", "ConstantOfShape", "Reshape", "Transpose", "Neg", "Pow")
