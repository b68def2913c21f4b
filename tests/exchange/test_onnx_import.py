"""Models from ONNX files: those of PyTorch and Keras compute the same here, ours come back with the same bits."""

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_models import random_models

import scratchnet
from scratchnet import (
    Activation,
    Conv2D,
    Dense,
    Flatten,
    Input,
    LeakyReLU,
    MaxPooling2D,
    Sequential,
    import_onnx,
    layers,
    net_1,
    net_2,
)
from scratchnet.exchange.onnx_operators import OPERATORS
from scratchnet.networks import net_3

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install -e '.[onnx]'")

FILES = sorted((Path(__file__).parent / "onnx_files").glob("*.onnx"))
FLOAT = onnx.TensorProto.FLOAT


def written(path, nodes, shape, arrays=(), *, opset=17, kind=FLOAT):
    """Write a graph from x (N, *shape) to y, of nodes `(operator, inputs, outputs, attributes)`, and return its path."""
    made = []
    for operator, inputs, outputs, attributes in nodes:
        count = sum(node.op_type == operator for node in made)
        name = f"the {operator}" + f" {count}" * (count > 0)
        made.append(onnx.helper.make_node(operator, inputs.split(), outputs.split(), name, **attributes))
    x, y = onnx.helper.make_tensor_value_info("x", kind, ["N", *shape]), onnx.helper.make_tensor_value_info("y", kind, None)
    held = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in dict(arrays).items()]
    graph = onnx.helper.make_graph(made, "graph", [x], [y], held)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    with suppress(onnx.shape_inference.InferenceError):
        model = onnx.shape_inference.infer_shapes(model)  # the checker expects the shape of y
    path.write_bytes(model.SerializeToString())
    return path


def run(path, shape, N=2, low=-1.0):
    """Return the model, and what it and onnxruntime compute for random images (N, C, H, W) of the file."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[onnx]'")
    x = np.random.default_rng(0).uniform(low, 1, (N, *shape)).astype("float32")
    model = import_onnx(path)
    (expected,) = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    last = len(shape) == 3 and model.input_shape[1:] != shape
    return model, model.predict(x.transpose(0, 2, 3, 1).copy() if last else x), expected


def classes(model):
    return [type(layer).__name__ for layer in model.layers if type(layer).__name__ != "InputLayer"]


W = np.random.default_rng(1).normal(size=(3, 2, 3, 3)).astype("float32")  # (F, C, KH, KW)


# -- other frameworks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_network_of_another_framework_computes_the_same_here(path):
    model = import_onnx(path)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
        x, expected = file["x"], file["y"]
    images = x if path.stem.startswith("keras") else x.transpose(0, 2, 3, 1).copy()
    assert model.input_shape[1:] == images.shape[1:]
    np.testing.assert_allclose(model.predict(images), expected, rtol=1e-5, atol=2e-6)


def test_there_are_files_of_both_exporters_of_pytorch_and_of_keras():
    assert {re.match(r"torch_dynamo|torch|keras", path.stem)[0] for path in FILES} == {"torch", "torch_dynamo", "keras"}
    assert len(FILES) == 10


def test_the_layers_of_pytorch_keep_their_names_and_their_weights():
    path = next(path for path in FILES if path.stem == "torch_residual")
    model = import_onnx(path)
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in onnx.load(path).graph.initializer}
    np.testing.assert_array_equal(model.params["conv1/kernel"], arrays["conv1.weight"].transpose(2, 3, 1, 0))
    rows = arrays["linear.weight"].reshape(4, 3, 4, 5).transpose(2, 3, 1, 0).reshape(60, 4)  # (U, C·H·W) -> (H·W·C, U)
    np.testing.assert_array_equal(model.params["linear/kernel"], rows)
    assert model.get_layer("norm").momentum == 0.9


def test_symmetric_padding_that_is_not_same_becomes_a_layer():
    model = import_onnx(next(path for path in FILES if path.stem == "torch_plain"))
    (padding,) = [layer for layer in model.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert padding.padding == ((1, 1), (1, 1))  # 3×3, stride 2, on 8×8: Keras's "same" is ((0, 1), (0, 1))
    assert [layer.padding for layer in model.layers if isinstance(layer, Conv2D)] == ["same", "valid"]


# -- our own files ----------------------------------------------------------------------------------------------------


def check_round_trip(model, folder):
    path = folder / "model.onnx"
    model.export_onnx(path)
    try:
        again = import_onnx(path)
    except ValueError as error:  # a crop that reads outside the image
        assume("Gather (node" not in str(error))
        raise
    for name, p in model.named_weights.items():
        assert again.named_weights[name].tobytes() == p.tobytes()
    assert again.named_weights.keys() == model.named_weights.keys()
    x = np.random.default_rng(0).uniform(-1, 1, (3, *model.input_shape[1:])).astype("float32")
    expected = model.predict(x)
    np.testing.assert_allclose(again.predict(x), expected, rtol=1e-4, atol=1e-5 * max(1, abs(expected).max()))


@settings(max_examples=40)
@given(model=random_models())
def test_a_model_comes_back_with_the_same_weights(model, tmp_path_factory):
    check_round_trip(model, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@settings(max_examples=1000)
@given(model=random_models())
def test_a_thousand_random_models_come_back_with_the_same_weights(model, tmp_path_factory):
    check_round_trip(model, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(("make", "shape"), [(net_1, (9, 8, 1)), (net_2, (9, 8, 3)), (net_3, (25, 25, 3))])
def test_a_network_comes_back_with_the_same_bits_of_its_probabilities(make, shape, tmp_path):
    model, path = make(shape, 4, seed=1), tmp_path / "net.onnx"
    model.export_onnx(path)
    again = import_onnx(path)
    x = np.random.default_rng(0).random((6, *shape), "float32")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.name == make.__name__


def test_an_imported_network_learns_further(tmp_path):
    stack = [Input(shape=(4, 3, 2)), Conv2D(2, 2, activation="relu"), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(stack, seed=1)           # with some seeds, both ReLUs are 0 for all images: nothing is learned
    model.export_onnx(tmp_path / "a.onnx")
    again = import_onnx(tmp_path / "a.onnx")
    x, y = np.random.default_rng(0).random((6, 4, 3, 2), "float32"), np.arange(6) % 3
    again.compile("adam", "sparse_categorical_crossentropy")
    before = again.evaluate(x, y, verbose=0)
    again.fit(x, y, epochs=10, verbose=0)
    assert again.evaluate(x, y, verbose=0) < before


def test_the_layers_come_back_too(tmp_path):
    stack = [
        Input(shape=(7, 6, 2)), layers.Rescaling(0.1, 0.3), Conv2D(3, 3, strides=2, padding="same"), Activation("gelu"),
        layers.MinPooling2D(2, padding="same"), LeakyReLU(0.1), layers.ReLU(6.0),
        layers.BatchNormalization(epsilon=0.01, momentum=0.7),
        layers.RandomCrop(1, 2), layers.ZeroPadding2D(1), Activation("selu"), Activation("gelu_tanh"), layers.GlobalMaxPooling2D(),
        Dense(4), Activation("silu"), Dense(3), Activation("softmax"),
    ]  # fmt: skip
    Sequential(stack).export_onnx(tmp_path / "a.onnx")
    again = import_onnx(tmp_path / "a.onnx")
    expected = [layer.get_config() | {"name": None} for layer in stack[1:]]
    found = [layer.get_config() | {"name": None} for layer in again.layers[1:]]
    for config in expected + found:
        for key in ("scale", "offset"):
            if isinstance(config.get(key), float):
                config[key] = round(config[key], 6)
    assert found == expected


# -- single operators, against onnxruntime -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ["Conv2D"]),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, ["Conv2D"]),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, ["ZeroPadding2D", "Conv2D"]),
        ({"pads": [1, 1, 1, 1]}, ["Conv2D"]),
        ({"pads": [0, 2, 1, 0], "strides": [2, 1]}, ["ZeroPadding2D", "Conv2D"]),
    ],
)
def test_a_convolution_has_padding_of_its_own_only_where_ours_differs(attributes, expected, tmp_path):
    path = written(tmp_path / "a.onnx", [("Conv", "x w", "y", attributes)], (2, 6, 8), {"w": W})
    model, found, out = run(path, (2, 6, 8))
    assert classes(model) == expected
    np.testing.assert_allclose(found, out.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("operator", "attributes", "expected"),
    [
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 1]}, ["MaxPooling2D"]),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, ["MaxPooling2D"]),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 1, 1]}, ["MaxPooling2D"]),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}, ["AveragePooling2D"]),
        (
            "AveragePool",
            {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
            ["ZeroPadding2D", "AveragePooling2D"],
        ),
        (
            "AveragePool",
            {"kernel_shape": [3, 3], "pads": [1, 0, 0, 1], "count_include_pad": 1},
            ["ZeroPadding2D", "AveragePooling2D"],
        ),
    ],
)
def test_a_pool_counts_padding_as_the_file_does(operator, attributes, expected, tmp_path):
    path = written(tmp_path / "a.onnx", [(operator, "x", "y", attributes)], (2, 7, 5))
    model, found, out = run(path, (2, 7, 5), low=-2.0)
    assert classes(model) == expected
    np.testing.assert_allclose(found, out.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)


def test_a_max_pool_with_symmetric_padding_is_one_of_zeros_after_a_relu_and_otherwise_refused(tmp_path):
    pool = ("MaxPool", "r", "y", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
    model, found, out = run(written(tmp_path / "a.onnx", [("Relu", "x", "r", {}), pool], (2, 6, 6)), (2, 6, 6))
    assert classes(model) == ["Activation", "ZeroPadding2D", "MaxPooling2D"]
    np.testing.assert_allclose(found, out.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match=r"MaxPool \(node 'the MaxPool'\): expected the padding of \"same\" or none.*after a ReLU"):
        import_onnx(written(tmp_path / "b.onnx", [("Tanh", "x", "r", {}), pool], (2, 6, 6)))


SILU = [("Sigmoid", "x", "s", {}), ("Mul", "s x", "y", {})]
ERF = [
    ("Mul", "x c", "n", {}),
    ("Erf", "n", "e", {}),
    ("Add", "one e", "t", {}),
    ("Mul", "half x", "h", {}),
    ("Mul", "h t", "y", {}),
]
TANH = [
    ("Pow", "x three", "p", {}), ("Mul", "p k", "q", {}), ("Add", "x q", "r", {}), ("Mul", "root r", "u", {}),
    ("Tanh", "u", "v", {}), ("Add", "v one", "t", {}), ("Mul", "x t", "h", {}), ("Div", "h two", "y", {}),
]  # fmt: skip
NUMBERS = {"c": 0.5**0.5, "one": 1, "half": 0.5, "three": 3, "k": 0.044715, "root": (2 / np.pi) ** 0.5, "two": 2, "million": 1e6}
FLOATS = {name: np.float32(number) for name, number in NUMBERS.items()}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (SILU, "silu"),
        (ERF, "gelu"),
        (TANH, "gelu_tanh"),
        ([("Neg", "x", "a", {}), ("Neg", "a", "y", {})], None),
        ([("Sub", "one x", "y", {})], None),
    ],
)
def test_a_function_is_recognized_whatever_the_order_of_its_operators(nodes, expected, tmp_path):
    model, found, out = run(written(tmp_path / "a.onnx", nodes, (2, 5, 4), FLOATS), (2, 5, 4))
    assert classes(model) == (["Activation"] if expected else ["Rescaling"])
    assert expected is None or model.layers[-1].function == expected
    np.testing.assert_allclose(found, out, rtol=1e-5, atol=1e-6)


def test_functions_in_a_row_are_several_layers(tmp_path):
    nodes = [
        ("Mul", "x half", "a", {}),
        ("Sigmoid", "a", "s", {}),
        ("Mul", "a s", "b", {}),
        ("Tanh", "b", "c2", {}),
        ("Mul", "c2 two", "y", {}),
    ]
    model, found, out = run(written(tmp_path / "a.onnx", nodes, (4,), FLOATS), (4,))
    assert classes(model) == ["Rescaling", "Activation", "Activation", "Rescaling"]
    np.testing.assert_allclose(found, out, rtol=1e-5, atol=1e-6)


def test_a_path_beside_a_function_of_the_same_tensor_is_added(tmp_path):
    nodes = [("Sigmoid", "x", "s", {}), ("Mul", "x s", "a", {}), ("Add", "x a", "y", {})]
    model, found, out = run(written(tmp_path / "a.onnx", nodes, (4,)), (4,))
    assert classes(model) == ["Activation", "Add"]
    np.testing.assert_allclose(found, out, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("nodes", [
    [("Tanh", "x", "t", {}), ("Mul", "x t", "y", {})],
    [("Mul", "x x", "y", {})],
    [("Erf", "x", "y", {})],
    [("Div", "one x", "y", {})],
    [("Tanh", "x", "t", {}), ("Mul", "x t", "m", {}), ("Add", "m million", "y", {})],
])  # fmt: skip
def test_a_function_that_is_no_activation_of_ours_is_refused(nodes, tmp_path):
    with pytest.raises(ValueError, match=r"expected an? (activation function|output of a layer)"):
        import_onnx(written(tmp_path / "a.onnx", [*nodes[:-1], (*nodes[-1][:2], "z", {}), ("Relu", "z", "y", {})], (4,), FLOATS))


def test_numbers_of_channels_scale_and_shift_channels(tmp_path):
    mean, deviation = (np.float32([[[0.1]], [[0.2]]]), np.float32([[[2]], [[4]]]))
    nodes = [("Sub", "x mean", "a", {}), ("Div", "a deviation", "b", {}), ("Conv", "b w", "y", {})]
    path = written(tmp_path / "a.onnx", nodes, (2, 5, 4), {"mean": mean, "deviation": deviation, "w": W})
    model, found, out = run(path, (2, 5, 4))
    assert classes(model) == ["Rescaling", "Rescaling", "Conv2D"]
    np.testing.assert_allclose(found, out.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_rows_of_several_flattened_images_keep_their_order(tmp_path):
    rng = np.random.default_rng(2)
    nodes = [
        ("Conv", "x w", "a", {}), ("MaxPool", "x", "b", {"kernel_shape": [2, 2]}), ("Flatten", "a", "c", {}),
        ("Flatten", "b", "d", {}), ("Concat", "c d", "e", {"axis": 1}), ("BatchNormalization", "e g s m v", "f", {}),
        ("Gemm", "f k bias", "y", {"transB": 1}),
    ]  # fmt: skip
    D = 3 * 3 * 2 + 2 * 4 * 3
    arrays = {"w": W, "k": rng.normal(size=(4, D)), "bias": rng.normal(size=4), **{key: rng.uniform(0.5, 1, D) for key in "gsmv"}}
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    _, found, out = run(written(tmp_path / "a.onnx", nodes, (2, 5, 4), arrays), (2, 5, 4))
    np.testing.assert_allclose(found, out, rtol=1e-4, atol=1e-5)


def test_a_float64_file_is_a_float64_model(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 2))
    path = written(
        tmp_path / "a.onnx", [("MatMul", "x k", "a", {}), ("Add", "a b", "y", {})], (3,), {"k": kernel, "b": np.ones(2)}, kind=11
    )
    model = import_onnx(path)
    assert (model.dtype, classes(model)) == (np.float64, ["Dense"])
    np.testing.assert_allclose(model.predict(np.eye(3)), kernel + 1, rtol=1e-15)


def test_the_weights_are_copies_that_can_be_written(tmp_path):
    model = import_onnx(written(tmp_path / "a.onnx", [("MatMul", "x k", "y", {})], (3,), {"k": np.ones((3, 2), "float32")}))
    assert all(p.flags.writeable for p in model.params.values())


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("HardSwish", "x", "y", {})], r"got HardSwish \(node 'the HardSwish'\)\. The known ones are Add, AveragePool,"),
        ([("Conv", "x grouped", "y", {"group": 2})], r"Conv \(node 'the Conv'\): expected group=1, got 2"),
        ([("Conv", "x w", "y", {"dilations": [2, 2]})], r"Conv .*: expected dilations=1, got \[2, 2\]"),
        ([("Transpose", "x", "y", {"perm": [0, 1, 3, 2]})], r"Transpose .*: expected perm=.*, got \[0, 1, 3, 2\]"),
        ([("Softmax", "x", "a", {"axis": 2}), ("Conv", "a w", "y", {})], r"Softmax .*: expected the axis of the channels, got 2"),
        ([("Clip", "x one", "y", {})], r"Clip .*: expected a lower limit of 0 or none"),
        ([("Pad", "x pads one", "y", {})], r"Pad .*: expected padding with 0, got 1\.0"),
        ([("Pad", "x pads", "y", {"mode": "edge"})], r"Pad .*: expected mode=constant, got 'edge'"),
        ([("Slice", "x starts ends axes", "y", {})], r"Slice .*: expected the rows and columns in the centre of images"),
        ([("Concat", "x x", "y", {"axis": 0})], r"Concat .*: axis: expected an axis after the batch axis, got 0"),
        ([("Relu", "x", "a", {}), ("Mul", "x a", "y", {})], r"Mul .*: expected a constant as one input, .* two layers"),
        ([("Flatten", "x", "a", {}), ("Gemm", "a a", "y", {"transB": 1})], r"Gemm .*: expected input 1 as a constant in the file"),
        ([("Reshape", "x mixed", "y", {})], r"Reshape .*: expected an output of the 60 numbers of each sample"),
        ([("MaxPool", "x", "y z", {"kernel_shape": [2, 2]}), ("Cast", "z", "w2", {"to": 1})], r"MaxPool .*: expected one output"),
        ([("Flatten", "x", "a", {}), ("Gather", "a where", "y", {})], r"Gather .*: expected inputs that are constants or sizes"),
        ([("Gemm", "where where", "y", {})], "damaged"),
    ],
)  # fmt: skip
def test_what_no_layer_computes_is_refused_by_the_name_of_operator_and_node(nodes, message, tmp_path):
    arrays = {
        "w": np.zeros((3, 3, 1, 1), "float32"), "grouped": np.zeros((4, 1, 1, 1), "float32"), "pads": np.array([0, 0, 1, 1] * 2),
        "starts": np.array([0, 0]), "ends": np.array([9, 2]), "axes": np.array([2, 3]),
        "mixed": np.array([-1, 30]), "where": np.array([0]), **FLOATS,
    }  # fmt: skip
    shape = (4, 5, 3) if "grouped" in nodes[0][1] else (3, 5, 4)
    with pytest.raises(ValueError, match=message) as raised:
        import_onnx(written(tmp_path / "a.onnx", nodes, shape, arrays))
    assert str(raised.value).startswith(f"import_onnx: {tmp_path / 'a.onnx'}: ")


@pytest.mark.parametrize("opset", [9, 12, 27])
def test_another_operator_set_is_refused(opset, tmp_path):
    with pytest.raises(
        ValueError, match=rf"expected operator set 13 to 26, got {opset}|No Op registered|higher than|not supported"
    ):
        import_onnx(written(tmp_path / "a.onnx", [("Relu", "x", "y", {})], (3,), opset=opset))


def test_an_input_of_integers_or_of_unknown_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected an input of float32 or float64, got uint8"):
        import_onnx(written(tmp_path / "a.onnx", [("Identity", "x", "y", {})], (3, 4, 4), kind=onnx.TensorProto.UINT8))
    with pytest.raises(ValueError, match=r"expected an input of known size in all axes but the first, got \[None, 3, None\]"):
        import_onnx(written(tmp_path / "a.onnx", [("Relu", "x", "y", {})], (3, "W")))


def test_a_file_with_weights_in_another_file_is_refused_and_that_file_is_not_read(tmp_path):
    proto = onnx.load(written(tmp_path / "a.onnx", [("MatMul", "x k", "y", {})], (3,), {"k": np.ones((3, 2), "float32")}))
    (kernel,) = proto.graph.initializer
    kernel.ClearField("raw_data")
    kernel.data_location = onnx.TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "b.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="expected all weights in the file itself, got 'k' in another file"):
        import_onnx(tmp_path / "b.onnx")


@pytest.mark.parametrize("dims", [[2**40, 2**20], [3, 2**40], [-3, 2], [3, 3]])
def test_an_array_with_more_or_fewer_numbers_than_the_file_holds_is_refused(dims, tmp_path):
    proto = onnx.load(written(tmp_path / "a.onnx", [("MatMul", "x k", "y", {})], (3,), {"k": np.ones((3, 2), "float32")}))
    proto.graph.initializer[0].dims[:] = dims
    (tmp_path / "b.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="import_onnx"):
        import_onnx(tmp_path / "b.onnx")


def test_a_small_file_with_huge_images_or_huge_constants_takes_no_memory(tmp_path):
    huge = 2**30
    nodes = [("MaxPool", "x", "p", {"kernel_shape": [1, 1]}), ("Flatten", "p", "a", {}), ("Relu", "a", "y", {})]
    with pytest.raises(ValueError, match="expected an output in our order of axes, got a row in the order C, H, W"):
        import_onnx(written(tmp_path / "a.onnx", nodes, (4, huge, huge)))
    arrays = {"shape": np.array([huge, huge])}
    nodes = [("ConstantOfShape", "shape", "c", {}), ("Add", "x c", "y", {})]
    with pytest.raises(ValueError, match=r"ConstantOfShape .*: expected a constant of at most 10,000 numbers"):
        import_onnx(written(tmp_path / "b.onnx", nodes, (1,), arrays))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.onnx"
    stack = [Input(shape=(6, 5, 1)), Conv2D(2, 3, activation="gelu"), MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")]
    Sequential(stack, seed=1).export_onnx(path)
    return path.read_bytes()


def test_a_truncated_file_is_refused_wherever_it_ends(whole, tmp_path):
    path = tmp_path / "a.onnx"
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="import_onnx: "):
            import_onnx(path)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_raises_only_a_value_error(whole, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(ValueError):
        assert import_onnx(path).built


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"PK\x03\x04" + bytes(100), b"a text\n" * 50])
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.onnx: expected an ONNX file, got another file, or one that is damaged"):
        import_onnx(tmp_path / "a.onnx")


def test_a_folder_a_pipe_and_no_file_are_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected a file, got the folder"):
        import_onnx(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected an ONNX file, got no file at"):
        import_onnx(tmp_path / "no.onnx")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="expected a file, got a pipe or a device"):
            import_onnx(tmp_path / "pipe")


def test_the_docstring_lists_the_operators():
    listed = set(re.findall(r"[A-Z]\w+", import_onnx.__doc__.split("Operators: ")[1].split("Parameters")[0]))
    assert {*OPERATORS} - listed == set()
    assert "import_onnx" not in dir(scratchnet) or import_onnx is scratchnet.import_onnx
