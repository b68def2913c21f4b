"""The ONNX node cases: which there are, which of them we run, and why we do not run the others.

The `onnx` package makes them itself, in memory: importing the generator of an operation appends its cases to a list, each
with a node (the operation and its attributes), inputs and the outputs that its authors computed with NumPy.
"""

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import pytest


def has_vectors() -> bool:
    """Return whether the package is installed, in a version whose nodes state all settings of their numbers (Adam's ε too)."""
    try:
        major, minor = metadata.version("onnx").split(".")[:2]
    except metadata.PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= (1, 22)


needs_onnx = pytest.mark.skipif(
    not has_vectors(), reason="needs the vectors of the onnx package, 1.22 or later: pip install '.[vectors]'"
)

# Modules of the package, without underscores; the loss's was renamed.
GENERATORS = (
    "conv", "maxpool", "averagepool", "gemm", "softmax", "softmaxcrossentropy", "softmaxcrossentropyloss", "relu", "flatten",
    "adam", "adagrad", "batchnormalization", "elu", "gelu", "leakyrelu", "selu", "sigmoid", "softplus", "swish", "tanh",
    "globalaveragepool", "globalmaxpool", "concat", "reshape", "dropout",
)  # fmt: skip

# What is run. The value of a case with a window is the padding= with which a layer runs it; None: its pads are neither same nor
# valid, so only the functions can run it.
RUN = {
    "Conv": {
        "basic_conv_with_padding": "same",
        "basic_conv_without_padding": "valid",
        "conv_with_strides_padding": "same",
        "conv_with_strides_no_padding": "valid",
        "conv_with_strides_and_asymmetric_padding": None,
        "conv_with_autopad_same": "same",  # SAME_LOWER, but the padding is even: both conventions agree
    },
    "MaxPool": {
        "maxpool_2d_uint8": "same",
        "maxpool_2d_precomputed_pads": "same",
        "maxpool_with_argmax_2d_precomputed_pads": "same",
        "maxpool_2d_precomputed_strides": "valid",
        "maxpool_with_argmax_2d_precomputed_strides": "valid",
        "maxpool_2d_precomputed_same_upper": "same",
        "maxpool_2d_default": "valid",
        "maxpool_2d_same_upper": "same",  # asymmetric: one cell at the end
        "maxpool_2d_same_lower": None,  # no layer puts the odd cell at the start
        "maxpool_2d_pads": None,
        "maxpool_2d_strides": "valid",
        "maxpool_2d_ceil": "same",  # the last, partial window is the one that "same" adds
    },
    "AveragePool": {
        "averagepool_2d_precomputed_pads": "same",
        "averagepool_2d_precomputed_strides": "valid",
        "averagepool_2d_precomputed_same_upper": "same",
        "averagepool_2d_default": "valid",
        "averagepool_2d_same_upper": "same",
        "averagepool_2d_same_lower": None,
        "averagepool_2d_pads": None,
        "averagepool_2d_strides": "valid",
        "averagepool_2d_ceil": "same",
    },
    "Gemm": (
        "gemm_default_zero_bias", "gemm_default_no_bias", "gemm_default_scalar_bias", "gemm_default_single_elem_vector_bias",
        "gemm_default_vector_bias", "gemm_transposeA", "gemm_transposeB", "gemm_alpha", "gemm_beta", "gemm_all_attributes",
    ),
    "Softmax": (
        "softmax_example", "softmax_large_number", "softmax_axis_0", "softmax_axis_1", "softmax_axis_2",
        "softmax_negative_axis", "softmax_default_axis",
    ),
    "SoftmaxCrossEntropyLoss": (
        "sce_none", "sce_none_log_prob", "sce_sum", "sce_sum_log_prob", "sce_mean", "sce_mean_log_prob", "sce_mean_3d",
        "sce_mean_3d_log_prob", "sce_NCd1d2d3d4d5_none_no_weight", "sce_NCd1d2d3d4d5_none_no_weight_log_prob",
    ),
    "Relu": ("relu",),
    "LeakyRelu": ("leakyrelu_example", "leakyrelu", "leakyrelu_default"),
    "Elu": ("elu_example", "elu", "elu_default"),
    "Selu": ("selu_example", "selu", "selu_default"),
    "Sigmoid": ("sigmoid_example", "sigmoid"),
    "Tanh": ("tanh_example", "tanh"),
    "Softplus": ("softplus_example", "softplus"),
    "Swish": ("swish",),
    "Gelu": ("gelu_default_1", "gelu_default_2", "gelu_tanh_1", "gelu_tanh_2"),
    "Dropout": (
        "dropout_default", "dropout_default_ratio", "dropout_default_mask", "dropout_default_mask_ratio", "dropout_default_old",
        "dropout_random_old", "training_dropout_default", "training_dropout_default_mask", "training_dropout",
        "training_dropout_mask", "training_dropout_zero_ratio", "training_dropout_zero_ratio_mask",
    ),
    "Flatten": ("flatten_axis1", "flatten_default_axis", "flatten_negative_axis3"),
    "GlobalAveragePool": ("globalaveragepool", "globalaveragepool_precomputed"),
    "GlobalMaxPool": ("globalmaxpool", "globalmaxpool_precomputed"),
    "Concat": (
        "concat_2d_axis_1", "concat_2d_axis_negative_1", "concat_3d_axis_1", "concat_3d_axis_2", "concat_3d_axis_negative_1",
        "concat_3d_axis_negative_2",
    ),
    "Reshape": ("reshape_reordered_last_dims", "reshape_reduced_dims", "reshape_extended_dims", "reshape_negative_dim"),
    "Adam": (),
    "Adagrad": (),
    "BatchNormalization": (
        "batchnorm_example", "batchnorm_epsilon", "batchnorm_example_training_mode", "batchnorm_epsilon_training_mode",
    ),
}  # fmt: skip

ONE_AXIS = "its windows have one axis, ours two"
THREE_AXES = "its windows have three axes, ours two"
DILATION = "its windows have holes (dilations); none of ours do"
COUNTS_PADDING = "count_include_pad=1 averages zeros of the padding too; ours, as Keras's, divides by the real cells"
WEIGHTS = "classes have weights; our losses give each sample the same. (Its log-probabilities, where it has them, are checked.)"
IGNORED = "ignore_index leaves samples of one label out; ours count all. (Its log-probabilities, where it has them, are checked.)"
BATCH_AXIS = "it flattens the batch axis too, or leaves image axes; a Flatten layer keeps just the batch axis"
JOINS_BATCHES = "it joins along the batch axis; a Concatenate layer joins what belongs to one sample"
RESHAPES_BATCH = "it changes the batch axis too; a Reshape layer keeps it"
SIZE_0 = "0 stands for the size of the input's axis; ours, as Keras's, is written out"
ADAM_AT_0 = "a step T = 0 without bias correction; our first step is t = 1. Checked with the correction taken out"
EPSILON_OUTSIDE = "ε stands outside the root, ours, as Keras's, inside. Checked with ε moved"

LISTED = {
    "Conv": {},
    "MaxPool": {
        "maxpool_1d_default": ONE_AXIS,
        "maxpool_3d_default": THREE_AXES,
        "maxpool_2d_ceil_output_size_reduce_by_one": "ceil_mode counts a window of padding alone and ONNX drops it again;"
        " our arithmetic never makes one",
        "maxpool_2d_dilations": DILATION,
        "maxpool_3d_dilations": THREE_AXES,
        "maxpool_3d_dilations_use_ref_impl": THREE_AXES,
        "maxpool_3d_dilations_use_ref_impl_large": THREE_AXES,
    },
    "AveragePool": {
        "averagepool_1d_default": ONE_AXIS,
        "averagepool_3d_default": THREE_AXES,
        "averagepool_2d_precomputed_pads_count_include_pad": COUNTS_PADDING,
        "averagepool_2d_pads_count_include_pad": COUNTS_PADDING,
        "averagepool_2d_ceil_last_window_starts_on_pad": COUNTS_PADDING,
        "averagepool_2d_dilations": DILATION,
        "averagepool_3d_dilations_small": THREE_AXES,
        "averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True": THREE_AXES,
        "averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False": THREE_AXES,
        "averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": THREE_AXES,
        "averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False": THREE_AXES,
    },
    "Gemm": {"gemm_default_matrix_bias": "a bias of its own for each sample; Dense has one for each unit"},
    "Softmax": {},
    "SoftmaxCrossEntropyLoss": {
        name + suffix: reason
        for suffix in ("", "_log_prob")
        for name, reason in {
            "sce_none_weights": WEIGHTS,
            "sce_mean_weight": WEIGHTS,
            "sce_mean_weight_ii": WEIGHTS,
            "sce_mean_weight_ii_3d": WEIGHTS,
            "sce_mean_weight_ii_4d": WEIGHTS,
            "sce_NCd1d2d3d4d5_mean_weight": WEIGHTS,
            "sce_NCd1_mean_weight_negative_ii": WEIGHTS,
            "sce_NCd1d2d3_sum_weight_high_ii": WEIGHTS,
            "sce_mean_no_weight_ii": IGNORED,
            "sce_mean_no_weight_ii_3d": IGNORED,
            "sce_mean_no_weight_ii_4d": IGNORED,
            "sce_NCd1d2d3_none_no_weight_negative_ii": IGNORED,
        }.items()
    },
    **{op: {} for op in ("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Swish", "Gelu", "Dropout")},
    "Flatten": {
        "flatten_axis0": BATCH_AXIS,
        "flatten_axis2": BATCH_AXIS,
        "flatten_axis3": BATCH_AXIS,
        "flatten_negative_axis4": BATCH_AXIS,
        "flatten_negative_axis2": BATCH_AXIS,
        "flatten_negative_axis1": BATCH_AXIS,
    },
    "GlobalAveragePool": {},
    "GlobalMaxPool": {},
    "Concat": {
        "concat_1d_axis_0": JOINS_BATCHES,
        "concat_1d_axis_negative_1": JOINS_BATCHES,
        "concat_2d_axis_0": JOINS_BATCHES,
        "concat_2d_axis_negative_2": JOINS_BATCHES,
        "concat_3d_axis_0": JOINS_BATCHES,
        "concat_3d_axis_negative_3": JOINS_BATCHES,
    },
    "Reshape": {
        "reshape_reordered_all_dims": RESHAPES_BATCH,
        "reshape_one_dim": RESHAPES_BATCH,
        "reshape_negative_extended_dims": RESHAPES_BATCH,
        "reshape_zero_dim": SIZE_0,
        "reshape_zero_and_negative_dim": SIZE_0,
        "reshape_allowzero_reordered": "it has no samples, and a size of 0",
    },
    "Adam": {"adam": ADAM_AT_0, "adam_multiple": ADAM_AT_0},
    "Adagrad": {"adagrad": EPSILON_OUTSIDE, "adagrad_multiple": EPSILON_OUTSIDE},
    "BatchNormalization": {},
}


@dataclass(frozen=True)
class Case:
    """One node case: what goes into an operation with these attributes, and what comes out."""

    op: str
    attributes: dict
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]


@functools.cache
def cases() -> dict[str, Case]:
    """Make all cases of our generators, by name without its "test_"."""
    import onnx
    from onnx.backend.test.case import node as package

    # Only what is needed: collect_testcases imports the generators of all operations, with warnings and needs of their own.
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.replace("_", "") in GENERATORS:
            importlib.import_module(f"{package.__name__}.{module.name}")
    made = {}
    for case in package._NodeTestCases:
        node, (inputs, outputs) = case.model.graph.node[0], case.data_sets[0]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        attributes = {key: value.decode() if isinstance(value, bytes) else value for key, value in attributes.items()}
        made[case.name.removeprefix("test_")] = Case(node.op_type, attributes, list(inputs), list(outputs))
    return made


def nhwc(image: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, C)."""
    return np.moveaxis(image, 1, -1)


def window_of(case: Case) -> tuple[tuple, tuple, tuple]:
    """Read (window, strides, pads) from a case's attributes, by ONNX's own words for them."""
    kernel = tuple(case.attributes["kernel_shape"])
    strides = tuple(case.attributes.get("strides", (1, 1)))
    flat = case.attributes.get("pads", (0, 0, 0, 0))
    pads = (flat[0], flat[2]), (flat[1], flat[3])  # ONNX: all beginnings, then all ends
    sizes = case.inputs[0].shape[2:]
    if case.attributes.get("ceil_mode"):
        pads = tuple((0, -(-(size - k) // s) * s + k - size) for size, k, s in zip(sizes, kernel, strides, strict=True))
    auto_pad = case.attributes.get("auto_pad", "NOTSET")
    if auto_pad != "NOTSET":
        totals = [max(0, (-(-size // s) - 1) * s + k - size) for size, k, s in zip(sizes, kernel, strides, strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in totals)
        pads = {"SAME_UPPER": pads, "SAME_LOWER": tuple(pair[::-1] for pair in pads)}[auto_pad]
    return kernel, strides, pads
