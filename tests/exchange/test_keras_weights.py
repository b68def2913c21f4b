"""Weights from and to Keras: the order and the layouts of `get_weights`, with stored networks and with Keras itself."""

from itertools import count, takewhile
from pathlib import Path

import numpy as np
import pytest
from keras_nets import NETS, SHAPE, images, random_weights

import scratchnet
from scratchnet import BatchNormalization, Input, PatchWhitening, RandomFlip, Sequential

STORED = np.load(Path(__file__).with_name("keras_vectors.npz"))
SAME_ORDER = [name for name in NETS if name != "whitening"]


def stored(name):
    """The weights of a network of Keras, and its outputs for images()."""
    keys = takewhile(lambda key: key in STORED.files, (f"{name} {number}" for number in count()))
    return [STORED[key] for key in keys], STORED[f"{name} out"]


@pytest.mark.parametrize("name", SAME_ORDER)
def test_weights_from_keras_give_the_outputs_of_keras_and_are_returned_in_its_order(name):
    weights, out = stored(name)
    model = NETS[name](scratchnet)
    model.set_weights(weights)
    np.testing.assert_allclose(model.predict(images(), verbose=0), out, atol=1e-5)
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", SAME_ORDER)
def test_keras_computes_our_outputs_with_our_weights_and_we_compute_its(name):
    keras = pytest.importorskip("keras", reason="Keras is not installed: pip install keras tensorflow")
    ours, theirs = NETS[name](scratchnet), NETS[name](keras)
    ours.set_weights(random_weights(ours.get_weights(), seed=2))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(theirs.predict(images(), verbose=0), ours.predict(images(), verbose=0), atol=1e-5)
    theirs.set_weights(random_weights(theirs.get_weights(), seed=3))
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(theirs.predict(images(), verbose=0), ours.predict(images(), verbose=0), atol=1e-5)


def test_the_kernel_of_patch_whitening_is_state_and_so_after_its_bias_where_keras_s_convolution_has_it_first():
    (kernel, bias, *rest), out = stored("whitening")
    model = NETS["whitening"](scratchnet)
    assert [*model.layers[0].named_weights] == ["bias", "kernel"]
    model.set_weights([bias, kernel, *rest])
    np.testing.assert_allclose(model.predict(images(), verbose=0), out, atol=1e-5)
    with pytest.raises(ValueError, match="expected patch_whitening/bias of shape"):
        model.set_weights([kernel, bias, *rest])


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_the_order_of_a_normalization_is_gamma_beta_mean_variance(scale, center):
    layer = BatchNormalization(scale=scale, center=center).build((3,))
    names = ["gamma"] * scale + ["beta"] * center + ["moving_mean", "moving_variance"]
    assert [*layer.named_weights] == names
    layer.set_weights([np.full(3, k) for k in range(len(names))])
    assert {name: layer.named_weights[name][0] for name in names} == {name: k for k, name in enumerate(names)}


def test_a_flip_that_alternates_has_one_array_that_keras_does_not_have():
    model = Sequential([Input(shape=SHAPE), RandomFlip("horizontal", alternate=True), PatchWhitening(16, 2)])
    assert [(name, array.shape) for name, array in model.named_weights.items()][:2] == [
        ("random_flip/key", (1,)),
        ("patch_whitening/bias", (16,)),
    ]


def test_arrays_in_pytorch_s_layout_are_refused_by_set_weights():
    weights, _ = stored("stack")
    with pytest.raises(ValueError, match="expected conv2d/kernel of shape"):
        NETS["stack"](scratchnet).set_weights([weights[0].transpose(3, 2, 0, 1), *weights[1:]])
