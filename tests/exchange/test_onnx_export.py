"""Models as ONNX files: onnx's checker accepts them, and onnxruntime computes what `predict` computes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from random_models import random_models

from scratchnet import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    Model,
    Sequential,
    datasets,
    layers,
    net_1,
    net_2,
    preprocessing,
)
from scratchnet.exchange.onnx_export import EXPORTS, OPSET, onnx_bytes
from scratchnet.networks import net_3

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[onnx]'")


def computed(content, x):
    """Return what onnxruntime computes, on one thread and from the graph as it is written."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given_input,), (out,) = session.get_inputs(), session.get_outputs()
    assert given_input.shape == ["N", *x.shape[1:]]
    (result,) = session.run(None, {given_input.name: x})
    assert list(out.shape) == ["N", *result.shape[1:]]
    return result


def operators(content):
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def images(model, N=3, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (N, *model.input_shape[1:])).astype("float32")


# -- every layer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in vars(layers).values() if isinstance(kind, type) and kind not in (Layer, layers.InputLayer)])
def test_every_layer_of_the_library_can_be_exported(kind):
    assert kind in EXPORTS


@settings(max_examples=60)
@given(random_models())
def test_onnxruntime_computes_what_predict_computes(model):
    x = images(model)
    expected = model.predict(x)
    np.testing.assert_allclose(computed(onnx_bytes(model), x), expected, rtol=1e-4, atol=1e-5 * max(1, abs(expected).max()))
