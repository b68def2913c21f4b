"""Patch whitening against NumPy: what the kernel makes of the patches that it is computed from; where it is kept."""

import numpy as np
import pytest

from scratchnet import Activation, Dense, Flatten, Input, Model, PatchWhitening, load_model, preprocessing
from scratchnet.datasets import cifar10
from scratchnet.gradcheck import check_layer
from scratchnet.layers.patch_whitening import whitening


def patches(images, KH, KW):
    """Return all patches as rows: (N, H, W, C) -> (N·OH·OW, KH·KW·C)."""
    N, H, W, C = images.shape
    places = [(i, j) for i in range(H - KH + 1) for j in range(W - KW + 1)]
    return np.concatenate([images[:, i : i + KH, j : j + KW].reshape(N, KH * KW * C) for i, j in places]).astype(float)


def photographs(count=300):
    (x, _), _ = cifar10.load_data()
    return preprocessing.normalize_images(x[:count])


def smooth(shape=(60, 9, 8, 2), seed=0):
    """Return images whose neighbouring pixels are alike."""
    return np.random.default_rng(seed).standard_normal(shape).cumsum(axis=1).cumsum(axis=2).astype("float32")


@pytest.mark.parametrize("kernel_size", [(2, 2), (3, 1), (1, 1)])
def test_whitened_patches_have_mean_0_variance_1_and_no_correlation(kernel_size):
    images = smooth()
    D = kernel_size[0] * kernel_size[1] * 2
    layer = PatchWhitening(2 * D, kernel_size, epsilon=0).build(images.shape[1:], dtype="float64")
    layer.adapt(images)
    out = layer.forward(images.astype(float)).reshape(-1, 2 * D)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(out[:, :D].T @ out[:, :D] / len(out), np.eye(D), atol=1e-9)
    np.testing.assert_allclose(out[:, D:], -out[:, :D], atol=1e-9)


def test_filters_are_the_eigenvectors_of_the_covariance_up_to_their_sign():
    images = smooth()
    w, mean = whitening(images, (2, 2), 1e-3)
    z = patches(images, 2, 2)
    values, vectors = np.linalg.eigh(np.cov(z, rowvar=False, bias=True))
    expected = (vectors / np.sqrt(values + 1e-3 * values.mean()))[:, ::-1]
    np.testing.assert_allclose(mean, z.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(np.abs(w.reshape(8, 8)), np.abs(expected), rtol=1e-6, atol=1e-9)


def test_photographs_are_whitened_but_for_epsilon(real_data):
    images = photographs()
    layer = PatchWhitening(32, 2).build((32, 32, 3))
    layer.adapt(images)
    out = layer.forward(images)
    values = np.linalg.eigvalsh(np.cov(patches(images, 2, 2), rowvar=False, bias=True))[::-1]
    expected = values / (values + 5e-4 * values.mean())
    np.testing.assert_allclose(out[..., :12].reshape(-1, 12).var(axis=0), expected, rtol=1e-3)
    assert not out[..., 24:].any()


@pytest.mark.parametrize(("filters", "kernel_size", "shape"), [(16, 2, (4, 5, 2)), (6, (3, 1), (5, 3, 1))])
def test_gradients_are_those_of_a_convolution(filters, kernel_size, shape):
    check_layer(PatchWhitening(filters, kernel_size), shape, raise_on_failure=True)


def model_of(seed=0):
    x = Input(shape=(9, 8, 2))
    out = Activation("softmax")(Dense(2)(Flatten()(PatchWhitening(16, 2, activation="gelu", name="whitening")(x))))
    model = Model(x, out, seed=seed)
    model.compile("sgd")
    return model


def test_the_kernel_is_not_trained_and_the_bias_is():
    model, images = model_of(), smooth((8, 9, 8, 2))
    layer = model.get_layer("whitening")
    layer.adapt(images)
    kernel, bias = layer.state["kernel"].copy(), layer.params["bias"].copy()
    model.train_on_batch(images, np.eye(2)[np.arange(8) % 2])
    np.testing.assert_array_equal(layer.state["kernel"], kernel)
    assert (layer.params["bias"] != bias).any()
    assert [*layer.grads] == ["bias"]


def test_the_kernel_is_saved_with_the_weights(tmp_path):
    model, images = model_of(), smooth((8, 9, 8, 2))
    model.get_layer("whitening").adapt(images)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz").predict(images), model.predict(images))


def test_before_adapt_the_first_filters_return_the_channels():
    images = smooth()
    out = PatchWhitening(16, 2).build((9, 8, 2)).forward(images)
    np.testing.assert_array_equal(out[..., :2], images[:, :-1, :-1])
    assert not out[..., 2:].any()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: PatchWhitening(15, 2).build((4, 4, 2)), r"at least 16 filters.*got 15\. Write PatchWhitening\(16, \(2, 2\)\)"),
        (lambda: PatchWhitening(16, 2, epsilon=-1), "epsilon: expected a finite number of at least 0"),
        (lambda: PatchWhitening(16, 2).adapt(smooth()), "expected a built layer"),
        (lambda: PatchWhitening(16, 2).build((9, 9, 2)).adapt(smooth()), r"adapt: expected floats of shape \(n, 9, 9, 2\)"),
        (lambda: PatchWhitening(16, 2).build((9, 8, 2)).adapt(smooth() * np.nan), "adapt: expected finite numbers"),
        (lambda: PatchWhitening(16, 2).build((9, 8, 2)).adapt(0 * smooth() + 0.3), "adapt: expected pixels that differ"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
