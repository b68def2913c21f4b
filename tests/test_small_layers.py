"""Global pooling, Concatenate, Rescaling, Reshape and ZeroPadding2D: against their definitions, and what they refuse."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratchnet
from scratchnet import (
    Activation,
    Add,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Input,
    MaxPooling2D,
    Model,
    ReLU,
    Rescaling,
    Reshape,
    ZeroPadding2D,
    datasets,
    load_model,
)
from scratchnet.gradcheck import check_layer, check_model
from scratchnet.kernels.threads import limit

TOLERANCE = {"float32": 1e-6, "float64": 1e-14}
IMAGE = (3, 5, 2)
LAYERS = {
    "global average": (GlobalAveragePooling2D, {}, IMAGE),
    "global average, keepdims": (GlobalAveragePooling2D, {"keepdims": True}, IMAGE),
    "global average of one pixel": (GlobalAveragePooling2D, {}, (1, 1, 1)),
    "global max": (GlobalMaxPooling2D, {}, IMAGE),
    "global max, keepdims": (GlobalMaxPooling2D, {"keepdims": True}, (1, 7, 1)),
    "concatenate channels": (Concatenate, {}, [(3, 4, 2), (3, 4, 3), (3, 4, 1)]),
    "concatenate rows": (Concatenate, {"axis": 1}, [(3, 4, 2), (1, 4, 2)]),
    "concatenate columns": (Concatenate, {"axis": -2}, [(3, 4, 2), (3, 1, 2)]),
    "concatenate vectors": (Concatenate, {"axis": 1}, [(3,), (5,)]),
    "concatenate one": (Concatenate, {}, [(3,)]),
    "rescaling": (Rescaling, {"scale": 1 / 127.5, "offset": -1}, IMAGE),
    "rescaling of each channel": (Rescaling, {"scale": [0.5, -2.0], "offset": [0.0, 3.0]}, IMAGE),
    "reshape": (Reshape, {"target_shape": (2, -1, 3)}, IMAGE),
    "reshape to one axis": (Reshape, {"target_shape": (30,)}, IMAGE),
    "zero padding": (ZeroPadding2D, {}, IMAGE),
    "zero padding of four sizes": (ZeroPadding2D, {"padding": ((0, 1), (3, 2))}, IMAGE),
    "no zero padding": (ZeroPadding2D, {"padding": 0}, IMAGE),
}
each_layer = pytest.mark.parametrize("case", LAYERS)


def shapes_of(shape):
    return shape if isinstance(shape, list) else [shape]


def run(layer, xs, dout):
    out = layer.forward(*xs)
    dxs = layer.backward(dout)
    return [out, *(dxs if isinstance(dxs, tuple) else (dxs,))]


def random_case(case, dtype="float64", batch=2, seed=0):
    kind, settings, shape = LAYERS[case]
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((batch, *s)).astype(dtype) for s in shapes_of(shape)]
    layer = kind(**settings).build(shape, dtype=dtype)
    return layer, xs, rng.standard_normal((batch, *layer.output_shape)).astype(dtype)


# -- every layer ------------------------------------------------------------------------------------------------------


@each_layer
@pytest.mark.parametrize("batch", [1, 3])
def test_gradients_agree_with_finite_differences_and_the_loops(case, batch):
    kind, settings, shape = LAYERS[case]
    check_layer(kind(**settings), shape, batch=batch, raise_on_failure=True)


@each_layer
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("values", ["normal", "ties", "large", "tiny"])
def test_all_implementations_agree(case, dtype, values):
    kind, settings, shape = LAYERS[case]
    _, xs, dout = random_case(case, dtype)
    change = {
        "normal": lambda x: x,
        "ties": lambda x: np.clip(np.round(x) - 1, -2, 0),
        "large": lambda x: x * x.dtype.type(1e38 if dtype == "float32" else 1e307) / 100,
        "tiny": lambda x: x * x.dtype.type(1e-30),
    }[values]
    xs = [change(x) for x in xs]
    expected = run(kind(**settings, implementation="loops").build(shape, dtype=dtype), xs, dout)
    for implementation in ("im2col", "fused"):
        results = run(kind(**settings, implementation=implementation).build(shape, dtype=dtype), xs, dout)
        for got, wanted in zip(results, expected, strict=True):
            assert (got.dtype, got.shape) == (dtype, wanted.shape)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE[dtype] * abs(wanted).max())


@each_layer
def test_memory_order_and_read_only_arrays_change_nothing(case):
    layer, xs, dout = random_case(case, "float32")
    expected = run(layer, xs, dout)
    others = [np.asfortranarray(x) for x in xs]
    fortran = np.asfortranarray(dout)
    for array in (*others, fortran):
        array.flags.writeable = False
    for got, wanted in zip(run(layer, others, fortran), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@each_layer
def test_bits_are_the_same_for_any_number_of_threads_and_in_every_call(case):
    layer, xs, dout = random_case(case, "float32", batch=5)
    expected = run(layer, xs, dout)
    for threads in (1, 2, 3):
        with limit(threads):
            for got, wanted in zip(run(layer, xs, dout), expected, strict=True):
                np.testing.assert_array_equal(got, wanted)


@each_layer
def test_configurations_and_their_code_create_the_layer_again(case):
    kind, settings, _ = LAYERS[case]
    layer = kind(**settings, name="first")
    config = json.loads(json.dumps(layer.get_config()))
    assert kind(**config).get_config() == layer.get_config()
    assert eval(repr(layer), vars(scratchnet)).get_config() == layer.get_config()


def test_names_are_those_of_keras():
    kinds = (GlobalAveragePooling2D, GlobalMaxPooling2D, Concatenate, Rescaling, Reshape, ZeroPadding2D)
    names = ["global_average_pooling2d", "global_max_pooling2d", "concatenate", "rescaling", "reshape", "zero_padding2d"]
    assert [kind.default_name() for kind in kinds] == names


# -- global pooling ---------------------------------------------------------------------------------------------------


def test_the_mean_of_many_float32_pixels_is_the_float64_mean_rounded_once():
    x = (np.random.default_rng(1).random((2, 300, 400, 3)) + 1000).astype("float32")
    out = GlobalAveragePooling2D().build(x.shape[1:]).forward(x)
    np.testing.assert_array_equal(out, x.astype("float64").mean(axis=(1, 2)).astype("float32"))


def test_the_mean_of_large_numbers_does_not_overflow():
    x = np.full((1, 4, 4, 2), 3e38, "float32")
    np.testing.assert_array_equal(GlobalAveragePooling2D().build(x.shape[1:]).forward(x), np.float32([[3e38, 3e38]]))


def test_the_gradient_of_a_mean_is_a_share_of_the_number_of_pixels_and_not_of_channels_or_images():
    layer = GlobalAveragePooling2D().build((2, 4, 3), dtype="float64")
    layer.forward(np.zeros((5, 2, 4, 3)))
    dx = layer.backward(np.full((5, 3), 16.0))
    np.testing.assert_array_equal(dx, np.full((5, 2, 4, 3), 2.0))


def test_the_first_of_equal_maxima_receives_the_gradient():
    x = np.float32([[0, 3, 1], [3, 2, 3]]).reshape(1, 2, 3, 1)
    layer = GlobalMaxPooling2D().build((2, 3, 1))
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(np.float32([[5]]))[0, :, :, 0], [[0, 5, 0], [0, 0, 0]])


def test_a_nan_is_the_maximum_and_receives_the_gradient():
    x = np.float32([[1, np.nan], [3, np.nan]]).reshape(1, 2, 2, 1)
    layer = GlobalMaxPooling2D().build((2, 2, 1))
    assert np.isnan(layer.forward(x)).all()
    np.testing.assert_array_equal(layer.backward(np.float32([[5]]))[0, :, :, 0], [[0, 5], [0, 0]])


@given(seed=st.integers(0, 2**32 - 1), H=st.integers(1, 6), W=st.integers(1, 6), ties=st.booleans())
def test_global_max_pooling_is_max_pooling_with_a_window_as_large_as_the_image(seed, H, W, ties):
    rng = np.random.default_rng(seed)
    x = (rng.integers(-2, 1, (2, H, W, 3)) if ties else rng.standard_normal((2, H, W, 3))).astype("float32")
    dout = rng.standard_normal((2, 1, 1, 3)).astype("float32")
    whole = run(MaxPooling2D((H, W), implementation="im2col").build(x.shape[1:]), [x], dout)
    for got, wanted in zip(run(GlobalMaxPooling2D(keepdims=True).build(x.shape[1:]), [x], dout), whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_images_agree_with_the_loops(name, real_data):
    if not (real_data / name).is_dir():
        pytest.skip(f"SCRATCHNET_DATA has no {name}/")
    x = datasets.load(name).x_test[:2, ::2, ::2].astype("float32") / 255      # many zeros, and ties at 1
    x = x.reshape(*x.shape[:3], -1)
    dout = np.random.default_rng(2).standard_normal((2, x.shape[3])).astype("float32")
    for kind in (GlobalAveragePooling2D, GlobalMaxPooling2D):
        ours, loops = (run(kind(implementation=how).build(x.shape[1:]), [x], dout) for how in ("fused", "loops"))
        for got, wanted in zip(ours, loops, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


# -- concatenate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "same"), [(1, -3), (2, -2), (3, -1)])
def test_axes_are_numbered_as_in_keras_with_the_batch_as_axis_0(axis, same):
    rng = np.random.default_rng(3)
    shapes = [(2, 3, 4, 5), (2, 3, 4, 5)]
    shapes[1] = tuple(7 if i == axis else size for i, size in enumerate(shapes[1]))
    xs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    for number in (axis, same):
        layer = Concatenate(number).build([shape[1:] for shape in shapes])
        out = layer.forward(*xs)
        np.testing.assert_array_equal(out, np.concatenate(xs, axis))
        assert out.shape[1:] == layer.output_shape


def test_the_gradient_of_each_input_is_its_own_part():
    layer = Concatenate().build([(1, 1, 2), (1, 1, 1), (1, 1, 3)])
    layer.forward(*(np.zeros((1, 1, 1, size), "float32") for size in (2, 1, 3)))
    parts = layer.backward(np.arange(6, dtype="float32").reshape(1, 1, 1, 6))
    assert [part.ravel().tolist() for part in parts] == [[0, 1], [2], [3, 4, 5]]
    assert all(part.flags.c_contiguous for part in parts)


def test_a_network_of_two_branches_has_the_right_gradients_fused_and_not():
    x = Input(shape=(6, 5, 2))
    trunk = Conv2D(3, 3, padding="same", activation="relu")(x)
    a = Conv2D(2, 1, padding="same", activation="relu")(trunk)
    b = MaxPooling2D((2, 2), strides=(1, 1), padding="same")(trunk)
    y = Concatenate()([a, b, trunk])
    y = Conv2D(4, 3, strides=2, activation="relu")(ZeroPadding2D()(y))
    y = Add()([GlobalMaxPooling2D()(y), GlobalAveragePooling2D()(y)])
    model = Model(x, Dense(3)(y), seed=0)
    for layer in model.layers:      # at 0 a ReLU has no derivative; biases of 0 meet the zeros of the padding there
        if "bias" in layer.params:
            layer.params["bias"][...] = 0.1
    images = np.random.default_rng(1).standard_normal((2, 6, 5, 2))
    check_model(model, images, raise_on_failure=True)


# -- what stands between a ReLU and the layer that computes its backward ----------------------------------------------

BETWEEN = {
    "global max": lambda x: Dense(3)(GlobalMaxPooling2D()(x)),
    "reshape": lambda x: Conv2D(2, 2)(Reshape((4, -1, 2))(x)),
    "zero padding": lambda x: Conv2D(2, 2)(ZeroPadding2D(((1, 0), (2, 1)))(x)),
    "all": lambda x: Dense(3)(Flatten()(GlobalMaxPooling2D(keepdims=True)(Reshape((-1, 3, 3))(ZeroPadding2D()(x))))),
    "average, which joins nothing": lambda x: Dense(3)(GlobalAveragePooling2D()(x)),
    "concatenate, which joins nothing": lambda x: Dense(3)(Flatten()(Concatenate()([x, x]))),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", BETWEEN)
def test_a_relu_is_joined_across_layers_that_select_and_the_gradients_stay_the_same(name):
    gradients = []
    for fuse in (True, False):
        x = Input(shape=(4, 4, 3))
        y = BETWEEN[name](ReLU()(Conv2D(4, 3, padding="same", name="first")(x)))
        model = Model(x, Dense(2)(Flatten()(y)), seed=1)
        model.compile("sgd", scratchnet.losses.CategoricalCrossentropy(from_logits=True), fuse=fuse)
        assert bool(model.plan.backward) == (fuse and "nothing" not in name)
        images = np.random.default_rng(2).standard_normal((3, 4, 4, 3)).astype("float32")
        out = model.forward(images)
        dout = np.random.default_rng(3).standard_normal(out.shape).astype("float32")
        gradients.append([out, model.backward(dout), *(g.copy() for g in model.grads.values())])
    for joined, separate in zip(*gradients, strict=True):
        np.testing.assert_allclose(joined, separate, rtol=1e-5, atol=1e-6)


# -- in a model -------------------------------------------------------------------------------------------------------


def test_a_model_of_them_is_saved_loaded_and_trained_on(tmp_path):
    x = Input(shape=(36,))
    y = Rescaling([1 / 255.0], offset=[-0.5])(Reshape((6, 6, -1))(x))
    y = Conv2D(4, 3, activation="relu")(ZeroPadding2D()(y))
    y = Concatenate()([GlobalAveragePooling2D()(y), GlobalMaxPooling2D()(y)])
    model = Model(x, Dense(3, activation="softmax")(y), seed=2)
    model.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(4)
    images, labels = 255 * rng.random((8, 36)).astype("float32"), rng.integers(0, 3, 8)
    model.train_on_batch(images, labels)
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.predict(images), model.predict(images))
    assert model.train_on_batch(images, labels) == again.train_on_batch(images, labels)


def test_rescaling_keeps_the_dtype_of_the_model_and_rounds_as_it_does():
    x = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    out = Rescaling(1 / 255).build((16, 16, 1)).forward(x)
    np.testing.assert_array_equal(out, x * np.float32(1 / 255))
    assert out.dtype == "float32"


# -- what is refused --------------------------------------------------------------------------------------------------

REFUSED = {
    "keepdims of another type": (lambda: GlobalMaxPooling2D(keepdims="yes"), "keepdims: expected True or False"),
    "global pooling of vectors": (lambda: GlobalMaxPooling2D().build((5,)), r"expected images of shape \(H, W, C\), got .*\(5,\)"),
    "the batch axis": (lambda: Concatenate(0), "axis: expected an axis after the batch axis, got 0"),
    "the batch axis from the end": (lambda: Concatenate(-3).build([(2, 3)] * 2), "expected an axis from 1 to 2, or from -2 to -1"),
    "an axis that is not there": (lambda: Concatenate(3).build([(2, 3)] * 2), "expected an axis from 1 to 2"),
    "an axis of another type": (lambda: Concatenate("channels"), "axis: expected an integer"),
    "other sizes": (lambda: Concatenate().build([(2, 3), (3, 3)]), r"differ only along axis 2 .* got \(2, 3\), \(3, 3\)"),
    "another number of axes": (lambda: Concatenate().build([(2, 3), (3,)]), "expected inputs that differ only along axis 2"),
    "a scale that is no number": (lambda: Rescaling("1/255"), "expected scale as a finite number"),
    "a scale of NaN": (lambda: Rescaling(np.nan), "expected scale as a finite number"),
    "an offset of two axes": (lambda: Rescaling(1, [[1.0]]), "expected offset as a finite number"),
    "too many scales": (lambda: Rescaling([1, 2]).build((4, 4, 3)), "expected scale as one number, or as 3 .* got 2 numbers"),
    "a shape that is a number": (lambda: Reshape(3), "target_shape: expected a tuple of sizes"),
    "a shape with two -1": (lambda: Reshape((-1, -1)), "of which one may be -1"),
    "a size of 0": (lambda: Reshape((0, 3)), "target_shape: expected a tuple of sizes"),
    "a shape of other numbers": (lambda: Reshape((4, 5)).build((3, 7)), r"the 21 numbers of a sample of .*\(3, 7\), got \(4, 5\)"),
    "a -1 that is no integer": (lambda: Reshape((-1, 5)).build((3, 7)), "holds the 21 numbers"),
    "negative padding": (lambda: ZeroPadding2D(-1), "padding: expected integers of at least 0"),
    "padding of three numbers": (lambda: ZeroPadding2D((1, 1, 1)), "padding: expected integers of at least 0"),
    "padding of vectors": (lambda: ZeroPadding2D().build((5,)), r"expected images of shape \(H, W, C\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_arguments_are_refused_with_what_was_expected(what):
    make, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [Add, Concatenate])
def test_layers_of_several_inputs_check_each_of_them(kind):
    shapes = [(2, 3), (2, 3) if kind is Add else (2, 4)]
    layer = kind().build(shapes)
    xs = [np.zeros((5, *shape), "float32") for shape in shapes]
    layer.forward(*xs)
    with pytest.raises(ValueError, match="expected x as float32 of shape"):
        layer.forward(xs[0], np.zeros((5, 2, 5), "float32"))
    with pytest.raises(ValueError, match="expected x as float32"):
        layer.forward(xs[0], xs[1].astype("float64"))
    with pytest.raises(ValueError, match="expected the same number of samples in each input, got 5, 4"):
        layer.forward(xs[0], xs[1][:4])
    with pytest.raises(ValueError, match="expected 2 inputs, got 3"):
        layer.forward(*xs, xs[0])
    with pytest.raises(ValueError, match="expected a built layer"):
        kind().forward(*xs)


def test_an_activation_after_a_global_pool_keeps_its_shape():
    x = Input(shape=(4, 4, 3))
    assert Activation("softmax")(GlobalAveragePooling2D()(x)).shape == (3,)
    assert GlobalMaxPooling2D(keepdims=True)(Input(shape=(4, 4, 3))).shape == (1, 1, 3)
