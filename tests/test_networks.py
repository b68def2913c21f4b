"""net_1 and net_2, the study's two networks, to the last parameter, and the study's own code; net_3."""

import re

import numpy as np
import pytest

from scratchnet import datasets, net_1, net_2, net_3
from scratchnet.optimizers import SGD

STUDY = """
from scratchnet import Input, Model, Conv2D, MaxPooling2D, Flatten, Dense

input_x = Input(shape=(28, 28, 1))
x = Conv2D(32, (3, 3), activation="relu", strides=(1, 1), padding="same")(input_x)
x = Conv2D(64, (3, 3), activation="relu", strides=(1, 1), padding="same")(x)
x = MaxPooling2D(pool_size=(2, 2), strides=(1, 1), padding="same")(x)
x = Flatten()(x)
x = Dense(128, activation="relu")(x)
probabilities = Dense(10, activation="softmax")(x)
model = Model(inputs=input_x, outputs=probabilities)

model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=128, epochs=2, validation_data=(x_test, y_test))
"""


def bright_quarters(seed, N, shape):
    """Four classes told apart by which quarter of a noisy image is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, N)
    x = 0.3 * rng.random((N, *shape), dtype="float32")
    H, W = shape[0] // 2, shape[1] // 2
    for image, label in zip(x, labels, strict=True):
        image[label // 2 * H : (label // 2 + 1) * H, label % 2 * W : (label % 2 + 1) * W] += 0.7
    return x, np.eye(4, dtype="float32")[labels]


@pytest.mark.parametrize(
    ("make", "shape", "count"),
    [
        (net_1, (28, 28, 1), 6_442_762),
        (net_1, (32, 32, 3), 8_409_418),
        (net_2, (28, 28, 1), 1_625_866),
        (net_2, (32, 32, 3), 2_117_962),
        (net_3, (32, 32, 3), 1_978_657),
        (net_3, (28, 28, 1), 1_969_105),
    ],
)
def test_networks_have_the_studys_number_of_parameters(make, shape, count):
    model = make(shape, 10, seed=0)
    assert model.count_params() == sum(w.size for w in model.get_weights()) == count
    lines = []
    model.summary(print_fn=lines.append)
    assert f"{count:,}" in "\n".join(lines)


@pytest.mark.parametrize(
    ("make", "names", "shapes"),
    [
        (
            net_1,
            ["conv2d", "conv2d_1", "max_pooling2d", "flatten", "dense", "dense_1"],
            [(2, 9, 7, 32), (2, 9, 7, 64), (2, 9, 7, 64), (2, 4032), (2, 128), (2, 3)],
        ),
        (
            net_2,
            ["conv2d", "conv2d_1", "flatten", "dense", "dense_1"],
            [(2, 9, 7, 32), (2, 5, 4, 64), (2, 1280), (2, 128), (2, 3)],
        ),
    ],
)
def test_layers_and_their_outputs_are_the_studys_on_a_non_square_image(make, names, shapes):
    model = make((9, 7, 2), 3, seed=0)
    outputs = model.layer_outputs(np.random.default_rng(0).random((2, 9, 7, 2), dtype="float32"))
    outputs.pop(model.layers[0].name, None)
    assert [(name, out.shape) for name, out in outputs.items()] == list(zip(names, shapes, strict=True))
    np.testing.assert_allclose(outputs["dense_1"].sum(axis=1), 1, rtol=1e-6)
    for name in ("conv2d", "conv2d_1", "dense"):
        assert outputs[name].min() == 0


def test_second_convolution_of_net_2_pads_only_below_and_to_the_right():
    model = net_2((28, 28, 1), 10, seed=0, dtype="float64")
    weights = model.get_weights()
    weights[0][...], weights[2][...] = 0, 0
    weights[0][1, 1, 0, 0] = 1  # the first convolution hands the image on in map 0 ...
    weights[2][0, 0, 0, 0] = 1  # ... and the second shows the cell under its kernel's first tap
    model.set_weights(weights)
    x = np.random.default_rng(1).random((1, 28, 28, 1))
    np.testing.assert_allclose(model.layer_outputs(x)["conv2d_1"][0, :, :, 0], x[0, ::2, ::2, 0], rtol=1e-14)


@pytest.mark.parametrize("make", [net_1, net_2])
def test_seed_decides_every_weight(make):
    first, again, other = (make((8, 10, 2), 3, seed=seed).get_weights() for seed in (7, 7, 8))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert c.shape == a.shape
        assert not np.array_equal(a, c) or not a.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_are_made_in_the_asked_dtype(dtype):
    model = net_2((8, 8, 1), 3, seed=0, dtype=dtype)
    assert {w.dtype for w in model.get_weights()} == {np.dtype(dtype)}
    assert model.predict(np.zeros((1, 8, 8, 1), dtype), verbose=0).dtype == dtype


@pytest.mark.parametrize("make", [net_1, net_2])
def test_the_three_implementations_take_the_same_step(make):
    x, y = bright_quarters(2, 2, (4, 3, 1))
    ends = []
    for implementation in ("loops", "im2col", "fused"):
        model = make((4, 3, 1), 4, seed=3, dtype="float64", implementation=implementation)
        model.compile(SGD(0.1))
        loss = model.train_on_batch(x.astype(float), y)
        ends.append(np.concatenate([[loss], *(w.ravel() for w in model.get_weights())]))
    np.testing.assert_allclose(ends[1:], [ends[0]] * 2, rtol=0, atol=1e-12)


@pytest.mark.compiled  # many steps: kernels run as plain Python would take minutes
@pytest.mark.parametrize("make", [net_1, net_2])
def test_networks_learn_to_distinguish_four_quarters(make):
    x, y = bright_quarters(4, 160, (10, 8, 1))
    model = make((10, 8, 1), 4, seed=5)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x[:128], y[:128], batch_size=16, epochs=4, validation_data=(x[128:], y[128:]), verbose=0)
    assert history.history["val_accuracy"][-1] == 1.0
    assert history.history["loss"][-1] < 0.2 * history.history["loss"][0]


@pytest.mark.compiled  # 28 by 28 images are too many steps for kernels run as plain Python
def test_the_studys_own_code_runs_with_only_its_import_line_changed():
    rng = np.random.default_rng(6)
    data = {
        "x_train": rng.random((9, 28, 28, 1), dtype="float32"),
        "y_train": np.eye(10, dtype="float32")[np.arange(9)],
        "x_test": rng.random((4, 28, 28, 1), dtype="float32"),
        "y_test": np.eye(10, dtype="float32")[np.arange(4)],
    }
    scope = dict(data)
    exec(STUDY, scope)
    assert scope["model"].count_params() == 6_442_762
    assert set(scope["history"].history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 2 for values in scope["history"].history.values())
    ours = net_1((28, 28, 1), 10, seed=0)
    assert [(layer.name, layer.get_config()) for layer in ours.layers] == [
        (layer.name, layer.get_config()) for layer in scope["model"].layers
    ]


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize(
    ("make", "data", "epochs", "goal"),
    [(net_1, "mnist", 2, 0.980), (net_2, "cifar10", 4, 0.58)],
    ids=["net_1 on MNIST", "net_2 on CIFAR-10"],
)
def test_networks_reach_the_studys_accuracy_on_real_images(real_data, make, data, epochs, goal):
    from scratchnet import datasets, preprocessing

    (x_train, y_train), (x_test, y_test) = getattr(datasets, data).load_data()
    x_train, x_test = (
        preprocessing.add_channel_axis(preprocessing.normalize_images(images)) for images in (x_train, x_test)
    )
    y_train, y_test = (preprocessing.one_hot(labels.ravel(), 10) for labels in (y_train, y_test))
    model = make(x_train.shape[1:], 10, seed=0)
    model.compile(metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=epochs, validation_data=(x_test, y_test), verbose=0
    )
    assert history.history["val_accuracy"][-1] >= goal


def test_the_order_of_shuffling_depends_on_the_seed_and_not_on_the_weights():
    one, two = (make((6, 5, 1), 3, seed=4).shuffle_rng.permutation(50).tolist() for make in (net_1, net_2))
    assert one == two


IMPLEMENTATIONS = [("im2col", False), ("direct", False), ("fused", False), ("fused", True)]


def first_step(make, data, dtype, implementation, fuse):
    """Return the gradients of the first step on real or drawn images, and the choices of its ReLUs and poolings."""
    (x, y), _ = getattr(datasets, data).load_data()
    x, y = (x[:16].reshape(16, *x.shape[1:3], -1) / 255).astype(dtype), np.eye(10, dtype=dtype)[y[:16].ravel()]
    model = make(x.shape[1:], 10, seed=1, dtype=dtype, implementation=implementation)
    model.compile("sgd", fuse=fuse)
    model.forward(x)
    choices = [np.array(pattern) for node in model.nodes for pattern in node.layer.branch_pattern()]
    model.train_step(x, y)
    return model.grads, choices


@pytest.mark.compiled
@pytest.mark.parametrize("make", [net_1, net_2])
@pytest.mark.parametrize("data", ["mnist", "cifar10", "glyphs", "shapes"])
def test_all_implementations_have_the_same_gradients_in_the_first_step_on_images(make, data, request):
    if data in ("mnist", "cifar10"):
        request.getfixturevalue("real_data")
    expected, _ = first_step(make, data, "float64", *IMPLEMENTATIONS[0])
    for implementation, fuse in IMPLEMENTATIONS[1:]:
        grads, _ = first_step(make, data, "float64", implementation, fuse)
        for name, right in expected.items():
            np.testing.assert_allclose(grads[name], right, rtol=0, atol=1e-10 * abs(right).max(), err_msg=name)


@pytest.mark.compiled
@pytest.mark.parametrize("make", [net_1, net_2])
@pytest.mark.parametrize("data", ["mnist", "glyphs"])
def test_gradients_differ_in_float32_only_where_rounding_changed_a_choice(make, data, request):
    """For a few in ten thousand numbers a ReLU or a maximum decides by less than the rounding error. They move single gradients."""
    if data == "mnist":
        request.getfixturevalue("real_data")
    expected, choices = first_step(make, data, "float32", *IMPLEMENTATIONS[0])
    for implementation, fuse in IMPLEMENTATIONS[1:3]:
        grads, others = first_step(make, data, "float32", implementation, fuse)
        changed = sum(int((a != b).sum()) for a, b in zip(choices, others, strict=True))
        assert changed < 3e-4 * sum(a.size for a in choices)
        for name, right in expected.items():
            tolerance = 1e-2 if changed else 1e-5
            np.testing.assert_allclose(grads[name], right, rtol=0, atol=tolerance * abs(right).max(), err_msg=name)


@pytest.mark.parametrize("shape", [(25, 26, 3), (25, 26, 1)])
def test_no_filter_of_net_3_is_0_on_all_images(shape):
    """Batch normalization would divide the output of such a filter by nearly 0, and its first gradient would be huge."""
    model = net_3(shape, 3, filters=(32, 40, 48), seed=0)
    x = np.random.default_rng(0).random((6, *shape), dtype="float32")
    model.get_layer("whitening").adapt(x)
    for name, out in model.layer_outputs(x).items():
        if name.startswith("conv"):
            assert out.std(axis=(0, 1, 2)).min() > 1e-3, name


@pytest.mark.parametrize("shape", [(24, 32, 3), (32, 24, 3), (8, 8, 1), (32, 32), (784,)])
def test_net_3_says_which_images_it_takes(shape):
    sentence = "net_3: expected images of shape (H, W, C), at least 25 × 25 pixels, got "
    with pytest.raises(ValueError, match=re.escape(f"{sentence}{shape}. For smaller ones use net_2")):
        net_3(shape, 10)


@pytest.mark.parametrize("filters", [(64, 256), (1, 2, 3, 4), 64, "abc", None])
def test_net_3_has_three_blocks(filters):
    with pytest.raises(ValueError, match=r"^net_3: expected the filters of three blocks, got .*\. For example \(64, 256, 256\)$"):
        net_3((32, 32, 3), 10, filters=filters)
