"""net_3: its gradients at full size, and two steps of its recipe against a loop of plain NumPy that shares no code with it."""

from math import erf

import numpy as np
import pytest

from scratchnet import net_3
from scratchnet.datasets import cifar10
from scratchnet.gradcheck import check_model
from scratchnet.kernels import threads
from scratchnet.losses import CategoricalCrossentropy
from scratchnet.tools.gradcheck import prepare_net_3
from scratchnet.tools.recipes import Recipe


@pytest.mark.compiled
@pytest.mark.parametrize("flip", [True, False])
def test_every_gradient_of_net_3_agrees_at_full_size_in_training_mode_on_real_images(flip, real_data):
    (images, labels), _ = cifar10.load_data()
    x, rng = images[:300] / 255, np.random.default_rng(5)
    model = net_3((32, 32, 3), 10, flip=flip, seed=1)
    model.compile("sgd", CategoricalCrossentropy(label_smoothing=0.2))
    prepare_net_3(model, x, rng)
    report = check_model(model, x[:2], np.eye(10)[labels[:2].ravel()], directions=1, raise_on_failure=True)
    assert {row.name for row in report.rows} == {"x", *model.params}
    assert all(row.compared for row in report.rows)


# -- the recipe in plain NumPy ----------------------------------------------------------------------------------------

EPSILON = 1e-3      # of batch normalization
phi = np.vectorize(lambda z: (1 + erf(z / 2**0.5)) / 2)


def gelu(z):
    return z * phi(z)


def gelu_slope(z):
    return phi(z) + z * np.exp(-z * z / 2) / (2 * np.pi) ** 0.5


def convolve(x, w, pad):
    H, W = x.shape[1] + 2 * pad - len(w) + 1, x.shape[2] + 2 * pad - len(w) + 1
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return sum(x[:, i : i + H, j : j + W] @ w[i, j] for i in range(len(w)) for j in range(len(w)))


def convolve_gradients(d, x, w):
    """The gradients of a 3 × 3 convolution with `same` padding."""
    _, H, W, _ = d.shape
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(3):
        for j in range(3):
            dw[i, j] = np.einsum("nhwc,nhwf->cf", x[:, i : i + H, j : j + W], d)
            dx[:, i : i + H, j : j + W] += d @ w[i, j].T
    return dx[:, 1:-1, 1:-1], dw


def windows(x, k):
    """(N, H, W, C) -> (N, H // k, W // k, C, k·k): what a max-pooling of k × k pixels reads; the rest is not read."""
    N, H, W, C = x.shape
    cut = x[:, : H // k * k, : W // k * k].reshape(N, H // k, k, W // k, k, C)
    return cut.transpose(0, 1, 3, 5, 2, 4).reshape(N, H // k, W // k, C, k * k)


def pool_gradient(d, x, k):
    taps = windows(x, k)
    shares = d[..., None] * (np.arange(k * k) == taps.argmax(axis=-1)[..., None])
    N, OH, OW, C, _ = shares.shape
    dx = np.zeros_like(x)
    dx[:, : OH * k, : OW * k] = shares.reshape(N, OH, OW, C, k, k).transpose(0, 1, 4, 2, 5, 3).reshape(N, OH * k, OW * k, C)
    return dx


def loss_gradients(params, whitening, x, y, moments):
    """The gradients of all parameters for one batch, and the batch's mean and variance of each normalization."""
    grads, kept = {}, []
    first = convolve(x, whitening, 0) + params["whitening/bias"]
    h = gelu(first)
    for k, suffix in enumerate(["", "_1", "_2", "_3", "_4", "_5"]):
        a = convolve(h, params[f"conv2d{suffix}/kernel"], 1)
        z = windows(a, 2).max(axis=-1) if k % 2 == 0 else a
        mean, variance = z.mean(axis=(0, 1, 2)), z.var(axis=(0, 1, 2))
        moments.append((mean, variance))
        normal = (z - mean) / np.sqrt(variance + EPSILON)
        shifted = normal + params[f"batch_normalization{suffix}/beta"]
        kept.append((h, a, variance, normal, shifted))
        h = gelu(shifted)
    rows = windows(h, 3).max(axis=-1).reshape(len(x), -1)
    logits = rows @ params["dense/kernel"] / 9
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = (p - (0.8 * y + 0.2 / y.shape[1])) / len(x) / 9
    grads["dense/kernel"] = rows.T @ d
    d = (d @ params["dense/kernel"].T).reshape(len(x), *(n // 3 for n in h.shape[1:3]), -1)
    d = pool_gradient(d, h, 3)
    for k in reversed(range(6)):
        suffix = f"_{k}" if k else ""
        h, a, variance, normal, shifted = kept[k]
        d = d * gelu_slope(shifted)
        grads[f"batch_normalization{suffix}/beta"] = d.sum(axis=(0, 1, 2))
        d = (d - d.mean(axis=(0, 1, 2)) - normal * (d * normal).mean(axis=(0, 1, 2))) / np.sqrt(variance + EPSILON)
        d = pool_gradient(d, a, 2) if k % 2 == 0 else d
        d, grads[f"conv2d{suffix}/kernel"] = convolve_gradients(d, h, params[f"conv2d{suffix}/kernel"])
    grads["whitening/bias"] = (d * gelu_slope(first)).sum(axis=(0, 1, 2))
    return grads


def found_in(image, data):
    """Which image of the data is this, is it mirrored, and where was it cut out? Of all possible answers, exactly one holds."""
    H, W, _ = image.shape
    answers = []
    for number, original in enumerate(data):
        for mirrored in (False, True):
            padded = np.pad(original[:, ::-1] if mirrored else original, ((2, 2), (2, 2), (0, 0)), mode="symmetric")
            answers += [
                (number, mirrored) for i in range(5) for j in range(5) if np.array_equal(image, padded[i : i + H, j : j + W])
            ]
    (answer,) = answers
    return answer


def whitening_kernel(images):
    """The kernel (2, 2, 3, 32) from the eigenvectors of NumPy's covariance of all 2 × 2 patches; each sign may be the other one."""
    patches = np.array([image[i : i + 2, j : j + 2].ravel() for image in images for i in range(24) for j in range(24)])
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False, bias=True))
    filters = (vectors / np.sqrt(values + 5e-4 * values.mean()))[:, ::-1]
    return np.concatenate([filters, -filters, np.zeros((12, 8))], axis=1).reshape(2, 2, 3, 32), patches.mean(axis=0)


@pytest.mark.parametrize("implementation", ["im2col", "fused"])
def test_two_steps_of_the_whole_recipe_are_those_of_plain_numpy(implementation, runnable):
    rng = np.random.default_rng(7)
    x, y = rng.random((10, 25, 25, 3)), np.eye(4)[rng.integers(0, 4, 10)]
    model = net_3((25, 25, 3), 4, filters=(16, 16, 16), seed=3, dtype="float64", implementation=runnable(implementation))
    Recipe(batch_size=10, epochs=2).compile(model, x)
    for p in model.params.values():
        p += 0.05 * rng.standard_normal(p.shape)        # equal filters would make poolings ties
    kernel, _ = whitening_kernel(x)
    ours = model.get_layer("whitening").kernel
    sign = np.sign((np.asarray(ours) * kernel).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(ours, kernel * sign, rtol=0, atol=1e-11)

    params = {name: p.copy() for name, p in model.params.items()}
    velocity = {name: np.zeros_like(p) for name, p in params.items()}
    averages = [(np.zeros(16), np.ones(16)) for _ in range(6)]
    seen, crop = [], model.get_layer("random_crop")
    draw = crop.forward
    crop.forward = lambda x, training=False: seen.append(draw(x, training)) or seen[-1]
    model.fit(x, y, batch_size=10, epochs=2, verbose=0)

    flips, peak = [], 11.5 / (1024 * (1 + 1 / 0.15)) * 1000
    for images, rate in zip(seen, (0.2 * peak, peak * (1 - 0.6 / 1.6)), strict=True):
        found = [found_in(image, x) for image in images]
        assert sorted(number for number, _ in found) == list(range(10))
        flips.append(dict(found))
        moments = []
        grads = loss_gradients(params, np.asarray(ours), images, y[[number for number, _ in found]], moments)
        for name, p in params.items():
            factor = 64 if name.endswith("beta") else 1
            p *= 1 - rate * 0.0102
            velocity[name] = 0.85 * velocity[name] - factor * rate * grads[name]
            p += 0.85 * velocity[name] - factor * rate * grads[name]
        averages = [tuple(0.6 * a + 0.4 * m for a, m in zip(*pair, strict=True)) for pair in zip(averages, moments, strict=True)]

    assert all(flips[0][number] != flips[1][number] for number in range(10))        # each image once as it is, once mirrored
    for name, p in model.params.items():
        np.testing.assert_allclose(p, params[name], rtol=0, atol=1e-10, err_msg=name)
    layers = [layer for layer in model.layers if layer.name.startswith("batch")]
    for layer, (mean, variance) in zip(layers, averages, strict=True):
        np.testing.assert_allclose(layer.state["moving_mean"], mean, rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.state["moving_variance"], variance, rtol=0, atol=1e-10)


@pytest.mark.compiled
def test_training_has_the_same_bits_on_one_thread_and_on_two():
    rng = np.random.default_rng(8)
    x, y = rng.random((64, 32, 32, 3), dtype="float32"), np.eye(4)[rng.integers(0, 4, 64)]
    bits = []
    for count in (1, 2):
        model = net_3((32, 32, 3), 4, filters=(32, 64, 64), seed=3)
        Recipe(batch_size=32, epochs=1).compile(model, x)
        with threads.limit(count):
            model.fit(x, y, batch_size=32, epochs=1, verbose=0)
        bits.append([w.tobytes() for w in model.get_weights()])
    assert bits[0] == bits[1]
