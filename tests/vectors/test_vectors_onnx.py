"""The published vectors of ONNX: its node cases for our operations, in every implementation. See onnx_cases.py."""

import numpy as np
import pytest
from onnx_cases import LISTED, RUN, cases, needs_onnx, nhwc, window_of
from shared import CLOSE, each_dtype, each_implementation

from scratchnet import (
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
    losses,
    reference,
)
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.layers.dropout import masked

pytestmark = needs_onnx
POOLS = {"MaxPool": MaxPooling2D, "AveragePool": AveragePooling2D}
ALL_POOLS = [(op, name) for op in POOLS for name in RUN[op]]
LAYER_POOLS = [(op, name, padding) for op in POOLS for name, padding in RUN[op].items() if padding]
LOSSES = "SoftmaxCrossEntropyLoss"


# -- nothing is dropped -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", RUN)
def test_every_case_of_the_package_is_either_run_or_listed_with_a_reason_and_each_of_ours_exists(op):
    made = {name for name, case in cases().items() if case.op == op and "_expanded" not in name}
    assert not set(RUN[op]) & set(LISTED[op])
    assert set(RUN[op]) | set(LISTED[op]) == made
    assert all(LISTED[op].values())


def test_a_case_of_another_operation_is_only_one_of_ours_written_out_in_smaller_operations():
    ours = {name for op in RUN for name in (*RUN[op], *LISTED[op])}
    written_out = {name for name in cases() if name not in ours}
    assert written_out
    for name in written_out:
        whole, part = cases()[name.split("_expanded")[0]], cases()[name]
        assert name.split("_expanded")[0] in ours
        for same, array in zip(whole.inputs + whole.outputs, part.inputs + part.outputs, strict=True):
            assert same is array


# -- convolution ------------------------------------------------------------------------------------------------------


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Conv"])
def test_convolution_gives_the_published_numbers_exactly(name, dtype, implementation):
    case = cases()[name]
    x, w = (array.astype(dtype) for array in case.inputs)
    forward, _ = Conv2D.implementations[implementation]
    _, strides, pads = window_of(case)
    out = forward(nhwc(x), w.transpose(2, 3, 1, 0), None, strides, pads)          # (F, C, KH, KW) -> (KH, KW, C, F)
    np.testing.assert_array_equal(out, nhwc(case.outputs[0]), strict=dtype == "float32")


@each_implementation
@each_dtype
@pytest.mark.parametrize(("name", "padding"), [item for item in RUN["Conv"].items() if item[1]])
def test_a_convolution_layer_with_that_padding_gives_the_published_numbers_exactly(name, padding, dtype, implementation):
    case = cases()[name]
    x, w = (array.astype(dtype) for array in case.inputs)
    window, strides, _ = window_of(case)
    layer = Conv2D(len(w), window, strides, padding, use_bias=False, implementation=implementation)
    layer.build(nhwc(x).shape[1:], dtype=dtype)
    layer.set_weights([w.transpose(2, 3, 1, 0)])
    np.testing.assert_array_equal(layer.forward(nhwc(x)), nhwc(case.outputs[0]), strict=dtype == "float32")


# -- pooling ----------------------------------------------------------------------------------------------------------


@each_implementation
@each_dtype
@pytest.mark.parametrize(("op", "name"), ALL_POOLS)
def test_pooling_gives_the_published_numbers(op, name, dtype, implementation):
    case = cases()[name]
    forward, _ = POOLS[op].implementations[implementation]
    out = forward(nhwc(case.inputs[0].astype(dtype)), *window_of(case))
    np.testing.assert_allclose(out, nhwc(case.outputs[0]), **(CLOSE if op == "AveragePool" else {"rtol": 0}))


@each_implementation
@each_dtype
@pytest.mark.parametrize(("op", "name", "padding"), LAYER_POOLS)
def test_a_pooling_layer_with_that_padding_gives_the_published_numbers(op, name, padding, dtype, implementation):
    case = cases()[name]
    x = nhwc(case.inputs[0].astype(dtype))
    window, strides, _ = window_of(case)
    layer = POOLS[op](window, strides, padding, implementation=implementation).build(x.shape[1:], dtype=dtype)
    np.testing.assert_allclose(layer.forward(x), nhwc(case.outputs[0]), **(CLOSE if op == "AveragePool" else {"rtol": 0}))


@each_implementation
@pytest.mark.parametrize("name", [name for name in RUN["MaxPool"] if "argmax" in name])
def test_max_pooling_sends_gradients_to_the_published_places(name, implementation):
    case = cases()[name]
    x, (out, places) = case.inputs[0].astype("float64"), case.outputs
    dout = np.random.default_rng(1).standard_normal(out.shape)
    order = "F" if case.attributes.get("storage_order") else "C"                  # how `places` counts the cells of the image
    flat = np.zeros(x.size)
    np.add.at(flat, places.ravel(), dout.ravel())                                 # windows overlap: their gradients add
    expected = flat.reshape(x.shape[2:], order=order)                             # one image, one channel
    _, backward = MaxPooling2D.implementations[implementation]
    np.testing.assert_allclose(backward(nhwc(dout), nhwc(x), *window_of(case))[0, :, :, 0], expected, rtol=1e-14)


# -- dense ------------------------------------------------------------------------------------------------------------


def gemm_as_dense(case, dtype):
    """α·A @ B + β·C is x @ w + b with x = A, w = α·B, b = β·C: -> x, w, b."""
    a, b, *c = (array.astype(dtype) for array in case.inputs)
    x = a.T if case.attributes.get("transA") else a
    w = b.T if case.attributes.get("transB") else b
    alpha, beta = (np.dtype(dtype).type(case.attributes.get(key, 1)) for key in ("alpha", "beta"))
    return x, alpha * w, np.broadcast_to(beta * c[0].ravel(), w.shape[1]).copy() if c else None


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Gemm"])
def test_dense_gives_the_published_matrix_products(name, dtype, implementation):
    case = cases()[name]
    forward, _ = Dense.implementations[implementation]
    np.testing.assert_allclose(forward(*gemm_as_dense(case, dtype)), case.outputs[0], **CLOSE)


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Gemm"])
def test_a_dense_layer_gives_the_published_matrix_products(name, dtype, implementation):
    case = cases()[name]
    x, w, b = gemm_as_dense(case, dtype)
    layer = Dense(w.shape[1], use_bias=b is not None, implementation=implementation).build(x.shape[1:], dtype=dtype)
    layer.set_weights([w] if b is None else [w, b])
    np.testing.assert_allclose(layer.forward(x), case.outputs[0], **CLOSE)


# -- activations and flatten ------------------------------------------------------------------------------------------


@each_implementation
@each_dtype
def test_relu_gives_the_published_numbers_exactly(dtype, implementation):
    case = cases()["relu"]
    forward, _ = ReLU().implementations[implementation]
    np.testing.assert_array_equal(forward(case.inputs[0].astype(dtype)), case.outputs[0], strict=dtype == "float32")


SELU = (1.67326319217681884765625, 1.05070102214813232421875)       # ONNX's defaults, which are float32 numbers
ACTIVATION_OF = {
    "LeakyRelu": lambda alpha=0.01: ("leaky_relu", (alpha, np.inf)),
    "Elu": lambda alpha=1.0: ("elu", (alpha, 1.0)),
    "Selu": lambda alpha=SELU[0], gamma=SELU[1]: ("selu", (alpha, gamma)),
    "Sigmoid": lambda: ("sigmoid", ()),
    "Tanh": lambda: ("tanh", ()),
    "Softplus": lambda: ("softplus", ()),
    "Swish": lambda alpha: ("silu", ()) if alpha == 1 else None,
    "Gelu": lambda approximate="none": ("gelu_tanh" if approximate == "tanh" else "gelu", ()),
}


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", [name for op in ACTIVATION_OF for name in RUN[op]])
def test_an_activation_gives_the_published_numbers(name, dtype, implementation):
    case = cases()[name]
    function, settings = ACTIVATION_OF[case.op](**case.attributes)
    forward, _ = ACTIVATIONS[function][implementation]
    out = forward(case.inputs[0].astype(dtype), *settings)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, case.outputs[0], **CLOSE)


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Softmax"])
def test_softmax_gives_the_published_probabilities(name, dtype, implementation):
    case = cases()[name]
    axis = case.attributes.get("axis", -1)
    x, expected = (rows(array, axis) for array in (case.inputs[0].astype(dtype), case.outputs[0]))
    forward, _ = Softmax().implementations[implementation]
    np.testing.assert_allclose(forward(x), expected, **CLOSE)
    np.testing.assert_allclose(losses.softmax(x), expected, **CLOSE)


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Flatten"])
def test_flatten_gives_the_published_rows_exactly(name, dtype, implementation):
    case = cases()[name]
    forward, _ = Flatten.implementations[implementation]
    np.testing.assert_array_equal(forward(case.inputs[0].astype(dtype)), case.outputs[0], strict=dtype == "float32")


# -- layers that only move numbers, and global pooling ------------------------------------------------------------------


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", [*RUN["GlobalAveragePool"], *RUN["GlobalMaxPool"]])
def test_global_pooling_gives_the_published_numbers(name, dtype, implementation):
    case = cases()[name]
    x, out = (nhwc(array) for array in (case.inputs[0].astype(dtype), case.outputs[0]))
    kind = {"GlobalAveragePool": GlobalAveragePooling2D, "GlobalMaxPool": GlobalMaxPooling2D}[case.op]
    layer = kind(keepdims=True, implementation=implementation).build(x.shape[1:], dtype=dtype)
    np.testing.assert_allclose(layer.forward(x), out, **(CLOSE if case.op == "GlobalAveragePool" else {"rtol": 0}))


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Concat"])
def test_concatenate_gives_the_published_numbers_exactly(name, dtype, implementation):
    case = cases()[name]
    xs = [array.astype(dtype) for array in case.inputs]
    layer = Concatenate(case.attributes["axis"], implementation=implementation).build([x.shape[1:] for x in xs], dtype=dtype)
    np.testing.assert_array_equal(layer.forward(*xs), case.outputs[0], strict=dtype == "float32")


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["Reshape"])
def test_reshape_gives_the_published_numbers_exactly(name, dtype, implementation):
    case = cases()[name]
    x, (batch, *target) = case.inputs[0].astype(dtype), case.inputs[1].tolist()
    assert batch == len(x)
    layer = Reshape(target, implementation=implementation).build(x.shape[1:], dtype=dtype)
    np.testing.assert_array_equal(layer.forward(x), case.outputs[0], strict=dtype == "float32")


# -- batch normalization ----------------------------------------------------------------------------------------------


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", RUN["BatchNormalization"])
def test_batch_normalization_gives_the_published_numbers_and_moving_averages(name, dtype, implementation):
    case = cases()[name]
    x, *weights = (array.astype(dtype) for array in case.inputs)                  # gamma, beta, moving mean, moving variance
    epsilon, momentum = (case.attributes.get(key, default) for key, default in (("epsilon", 1e-5), ("momentum", 0.9)))
    layer = BatchNormalization(momentum=momentum, epsilon=epsilon, implementation=implementation)
    layer.build(nhwc(x).shape[1:], dtype=dtype).set_weights(weights)
    out = layer.forward(nhwc(x), training=bool(case.attributes.get("training_mode", 0)))
    expected, *moving = case.outputs
    np.testing.assert_allclose(out, nhwc(expected), **CLOSE)
    for got, right in zip(layer.state.values(), moving or weights[2:], strict=True):
        np.testing.assert_allclose(got, right, **CLOSE)


# -- loss -------------------------------------------------------------------------------------------------------------


def rows(array, axis=1):
    """Put the axis of the classes last, and everything else into one: -> (N, K)."""
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])


@each_dtype
@pytest.mark.parametrize("name", RUN[LOSSES])
def test_each_samples_loss_is_the_published_one(name, dtype):
    case = cases()[name]
    logits, labels, expected = rows(case.inputs[0].astype(dtype)), case.inputs[1].ravel(), case.outputs[0]
    each = losses.softmax_cross_entropy_losses(logits, np.eye(logits.shape[1])[labels])
    reduced = {"none": each.reshape(case.inputs[1].shape), "sum": each.sum(), "mean": each.mean()}
    np.testing.assert_allclose(reduced[case.attributes["reduction"]], expected, **CLOSE)


@each_dtype
@pytest.mark.parametrize("name", RUN[LOSSES])
@pytest.mark.parametrize("implementation", ["definition", "function", "categorical", "sparse"])
def test_the_mean_loss_is_the_published_one(implementation, name, dtype):
    case = cases()[name]
    logits, labels = rows(case.inputs[0].astype(dtype)), case.inputs[1].ravel()
    one_hot = np.eye(logits.shape[1])[labels]
    mean = {
        "definition": lambda: reference.softmax_cross_entropy(logits, one_hot),
        "function": lambda: losses.softmax_cross_entropy(logits, one_hot)[0],
        "categorical": lambda: losses.CategoricalCrossentropy(from_logits=True)(one_hot, logits),
        "sparse": lambda: losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits),
    }
    published = case.outputs[0] / len(labels) if case.attributes["reduction"] == "sum" else case.outputs[0]
    np.testing.assert_allclose(mean[implementation](), published.mean(dtype="float64"), **CLOSE)


@each_dtype
@pytest.mark.parametrize("name", [name for name in (*RUN[LOSSES], *LISTED[LOSSES]) if name.endswith("_log_prob")])
def test_log_softmax_gives_the_published_log_probabilities(name, dtype):
    case = cases()[name]
    np.testing.assert_allclose(losses.log_softmax(rows(case.inputs[0].astype(dtype))), rows(case.outputs[1]), **CLOSE)


# -- dropout ----------------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("name", RUN["Dropout"])
def test_dropout_with_the_published_mask_gives_the_published_numbers(name, dtype):
    case = cases()[name]
    x, *more = case.inputs
    x, rate = x.astype(dtype), float(more[0]) if more else 0.5
    layer = Dropout(rate).build(x.shape[1:], dtype=dtype)
    if not name.startswith("training"):
        np.testing.assert_array_equal(layer.forward(x), case.outputs[0], strict=dtype == "float32")
        return
    # Without its mask as an output, that is read from the numbers: none of the inputs is 0.
    keep = case.outputs[1] if len(case.outputs) > 1 else case.outputs[0] != 0
    assert (x != 0).all()
    out = masked(x, keep, rate)
    np.testing.assert_allclose(out, case.outputs[0], **CLOSE)
    np.testing.assert_array_equal(out == 0, case.outputs[0] == 0)
