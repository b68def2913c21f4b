"""Models as graphs: forward and backward, parameters, summaries, and what is refused."""

import re

import numpy as np
import pytest

from scratchnet import (
    Activation,
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    MinPooling2D,
    Model,
    ReLU,
    Sequential,
    Softmax,
    load_model,
    preprocessing,
)
from scratchnet.plan import NOTHING_JOINED, join_relus


def small_model(seed=1, dtype="float64", **options):
    image = Input(shape=(6, 5, 2))
    x = Conv2D(3, (3, 2), activation="relu", padding="same")(image)
    x = Conv2D(5, (2, 3), activation="relu", strides=(2, 1), padding="same")(x)
    x = MaxPooling2D((2, 2), strides=(1, 1), padding="same")(x)
    x = Dense(4, activation="relu")(Flatten()(x))
    return Model(image, Dense(3, activation="softmax")(x), seed=seed, dtype=dtype, **options)


def branching_model(seed=2):
    """Return a model in which three layers read one output and their results are added: a residual block with a skip."""
    image = Input(shape=(4, 5, 2))
    trunk = Conv2D(3, (2, 3), padding="same", name="trunk")(image)
    left = Conv2D(3, (3, 1), padding="same", name="left")(trunk)
    right = AveragePooling2D((2, 2), strides=(1, 1), padding="same", name="right")(trunk)
    out = Add(name="outer")([Add(name="inner")([left, right]), trunk])
    return Model(image, out, seed=seed, dtype="float64")


def random_arrays(seed, *shapes, dtype="float64"):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def numerical_directional_derivative(f, x, direction, step=1e-6):
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


# Each test of a graph replaces the framework by the layers' own forward and backward, called by hand.


def test_an_output_used_three_times_receives_the_sum_of_its_gradients():
    model = branching_model()
    x, dout = random_arrays(0, (2, 4, 5, 2), (2, 4, 5, 3))
    trunk, left, right = (model.get_layer(name) for name in ("trunk", "left", "right"))
    hidden = trunk.forward(x)
    np.testing.assert_allclose(model.forward(x), left.forward(hidden) + right.forward(hidden) + hidden, rtol=1e-14)
    kept = dout.copy()
    dx = model.backward(dout)
    grads = {key: gradient.copy() for key, gradient in model.grads.items()}
    np.testing.assert_array_equal(dout, kept)

    dhidden = left.backward(dout) + right.backward(dout) + dout
    np.testing.assert_allclose(dx, trunk.backward(dhidden), rtol=1e-12, atol=1e-13)
    for name in ("trunk/kernel", "trunk/bias", "left/kernel", "left/bias"):
        layer, key = name.split("/")
        np.testing.assert_allclose(grads[name], model.get_layer(layer).grads[key], rtol=1e-12, atol=1e-13)


def test_a_value_added_to_itself_may_be_read_again_later():
    image = Input((4,))
    hidden = Dense(3)(image)
    model = Model(image, Add()([Add()([hidden, hidden]), hidden]), seed=0, dtype="float64")
    x = np.random.default_rng(1).standard_normal((2, 4))
    layer = model.layers[1]
    np.testing.assert_allclose(model.predict(x, verbose=0), 3 * (x @ layer.params["kernel"]), rtol=1e-12)
    model.forward(x)
    dout = np.random.default_rng(2).standard_normal((2, 3))
    model.backward(dout)
    np.testing.assert_allclose(layer.grads["kernel"], 3 * x.T @ dout, rtol=1e-12)


def test_an_output_added_to_itself_counts_twice():
    image = Input(shape=(3,))
    hidden = Dense(2)(image)
    model = Model(image, Add()([hidden, hidden]), seed=0, dtype="float64")
    x, dout = random_arrays(1, (4, 3), (4, 2))
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.forward(x), 2 * (x @ kernel + bias), rtol=1e-13)
    model.backward(dout)
    np.testing.assert_allclose(model.grads["dense/kernel"], 2 * x.T @ dout, rtol=1e-13)


@pytest.mark.parametrize("order", ["skip first", "skip last", "two convolutions"])
def test_an_image_that_several_layers_read_trains_like_any_other_node(order):
    image = Input(shape=(4, 3, 2))
    ways = [Conv2D(2, (3, 2), padding="same")(image), image]
    ways = {"skip first": ways[::-1], "skip last": ways, "two convolutions": [ways[0], Conv2D(2, 1)(image)]}[order]
    logits = Dense(3, name="last")(Flatten()(Add()(ways)))
    model = Model(image, Softmax()(logits), seed=0, dtype="float64")
    x, dout = random_arrays(14, (4, 4, 3, 2), (4, 3))
    model.forward(x)
    model.backward(dout)
    grads = {key: gradient.copy() for key, gradient in model.grads.items()}
    assert model.backward(dout, need_dx=False) is None
    for key, gradient in model.grads.items():
        np.testing.assert_array_equal(gradient, grads[key])
    model.compile("adam")
    y = np.eye(3)[[0, 1, 2, 0]]
    before = model.train_on_batch(x, y)
    assert model.test_on_batch(x, y) < before


@pytest.mark.parametrize("make", [small_model, branching_model])
def test_backward_of_a_whole_model_matches_a_difference_along_a_random_direction(make):
    model = make()
    rng = np.random.default_rng(3)
    model.set_weights([w + 0.1 * rng.standard_normal(w.shape) for w in model.get_weights()])
    x = rng.standard_normal((2, *model.input_shape[1:]))
    dout = rng.standard_normal(model.forward(x).shape)
    dx = model.backward(dout)
    grads = [gradient.copy() for gradient in model.grads.values()]
    direction = rng.standard_normal(x.shape)
    numeric = numerical_directional_derivative(lambda x: np.sum(model.forward(x) * dout), x, direction)
    assert np.sum(dx * direction) == pytest.approx(numeric, rel=1e-6)

    weights = model.get_weights()
    directions = [rng.standard_normal(w.shape) for w in weights]

    def at(step):
        model.set_weights([w + step * d for w, d in zip(weights, directions, strict=True)])
        return np.sum(model.forward(x) * dout)

    numeric = (at(1e-6) - at(-1e-6)) / 2e-6
    assert sum(np.sum(g * d) for g, d in zip(grads, directions, strict=True)) == pytest.approx(numeric, rel=1e-6)


def test_backward_twice_gives_the_same_bits_and_does_not_add_up():
    model = small_model(dtype="float32")
    x, dout = random_arrays(4, (3, 6, 5, 2), (3, 3), dtype="float32")
    kept_x, kept_dout = x.copy(), dout.copy()
    out = model.forward(x)
    kept_out, dx = out.copy(), model.backward(dout)
    grads = {key: gradient.copy() for key, gradient in model.grads.items()}
    np.testing.assert_array_equal(model.backward(dout), dx)
    for key, gradient in model.grads.items():
        np.testing.assert_array_equal(gradient, grads[key])
    for now, then in ((x, kept_x), (dout, kept_dout), (out, kept_out)):
        np.testing.assert_array_equal(now, then)


def test_results_that_are_kept_never_change():
    model = small_model(dtype="float32")
    model.compile("adam")
    x, dout = random_arrays(15, (3, 6, 5, 2), (3, 3), dtype="float32")
    kept = [model.forward(x), *model.layer_outputs(x).values(), model.forward(x)[1:], model.backward(dout)]
    kept += model.grads.values()
    then = [array.copy() for array in kept]
    for scale in (2, 3):
        model.train_on_batch(scale * x, np.eye(3, dtype="float32"))
        model.predict(scale * x)
    for now, before in zip(kept, then, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("shape", [(3, 6, 5, 3), (1, 6, 5, 3), (2, 6, 5, 2), (2, 5, 6, 3)], ids=str)
@pytest.mark.parametrize("fuse", [True, False])
def test_backward_refuses_a_gradient_of_another_shape_than_the_models_output(fuse, shape):
    image = Input(shape=(6, 5, 2))
    x = Conv2D(3, (3, 2), activation="relu", padding="same")(image)
    model = Model(image, Dense(2, activation="softmax")(Flatten()(x)), seed=0)
    model.compile(fuse=fuse)
    convolution = Model(image, x)
    convolution.plan = join_relus(convolution.nodes) if fuse else NOTHING_JOINED
    convolution.forward(np.zeros((2, 6, 5, 2), "float32"))
    with pytest.raises(ValueError, match="dout"):
        convolution.backward(np.zeros(shape, "float32"))


def test_backward_without_need_dx_gives_the_same_gradients_and_no_dx():
    model = small_model()
    x, dout = random_arrays(5, (2, 6, 5, 2), (2, 3))
    model.forward(x)
    assert model.backward(dout).shape == x.shape
    grads = {key: gradient.copy() for key, gradient in model.grads.items()}
    assert model.backward(dout, need_dx=False) is None
    for key, gradient in model.grads.items():
        np.testing.assert_array_equal(gradient, grads[key])


def test_the_three_implementations_give_the_same_outputs_and_gradients():
    x, dout = random_arrays(6, (2, 6, 5, 2), (2, 3))
    results = []
    for implementation in ("loops", "im2col", "fused"):
        model = small_model(implementation=implementation)
        results.append([model.forward(x), model.backward(dout), *model.grads.values()])
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_a_layers_own_implementation_overrides_the_models():
    image = Input(shape=(6, 5, 1))
    model = Model(image, Conv2D(2, (2, 2), implementation="loops")(image), implementation="fused")
    assert model.layers[1].get_config()["implementation"] == "loops"


def test_names_count_layers_of_a_kind_as_keras_does():
    image = Input(shape=(8, 8, 1))
    x = Conv2D(1, 2)(Conv2D(1, 2)(image))
    x = MinPooling2D(1)(AveragePooling2D(1)(MaxPooling2D(1)(x)))
    x = Dense(2)(Dense(2, activation="relu")(Flatten()(x)))
    model = Model(image, Softmax()(ReLU()(Dense(2, name="mine")(Activation("linear")(x)))))
    names = [layer.name for layer in model.layers]
    assert names[1:5] == ["conv2d", "conv2d_1", "max_pooling2d", "average_pooling2d"]
    assert names[5:11] == ["min_pooling2d", "flatten", "dense", "dense_1", "activation", "mine"]
    assert len(set(names)) == len(names) == 13


def test_each_model_counts_its_layer_names_from_the_start():
    assert [layer.name for layer in small_model().layers] == [layer.name for layer in small_model().layers]


def test_two_layers_of_one_name_are_refused():
    image = Input(shape=(3,))
    with pytest.raises(ValueError, match="twin"):
        Model(image, Dense(2, name="twin")(Dense(2, name="twin")(image)))


def test_layers_lists_the_input_first_and_no_activation_made_by_an_argument():
    kinds = [type(layer).__name__ for layer in small_model().layers]
    assert len(kinds) == 7
    assert kinds[1:] == ["Conv2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dense"]


def test_a_layer_connected_twice_is_refused_with_the_advice_to_make_a_second():
    layer, image = Dense(2), Input(shape=(3,))
    layer(image)
    with pytest.raises(ValueError, match="Create a new Dense"):
        layer(image)


def test_an_output_that_does_not_come_from_the_input_is_refused():
    with pytest.raises(ValueError, match=r"(?i)input"):
        Model(Input(shape=(3,)), Dense(2)(Input(shape=(3,))))


def test_add_refuses_two_shapes_and_names_both():
    image = Input(shape=(4, 4, 1))
    with pytest.raises(ValueError, match=r"(?s)(?=.*4, 4, 2)(?=.*3, 3, 2)"):
        Model(image, Add()([Conv2D(2, 3, padding="same")(image), Conv2D(2, 2)(image)]))


def test_shapes_carry_a_leading_none_for_the_batch():
    model = small_model()
    assert model.input_shape == (None, 6, 5, 2)
    assert model.output_shape == (None, 3)


def test_weights_come_in_keras_order_and_layout():
    model = small_model()
    shapes = [(3, 2, 2, 3), (3,), (2, 3, 3, 5), (5,), (75, 4), (4,), (4, 3), (3,)]
    assert [w.shape for w in model.get_weights()] == shapes
    keys = ["conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "conv2d_1/bias"]
    assert list(model.params) == [*keys, "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert model.count_params() == sum(int(np.prod(shape)) for shape in shapes)
    for w, p in zip(model.get_weights(), model.params.values(), strict=True):
        np.testing.assert_array_equal(w, p)


def test_get_and_set_weights_copy_in_both_directions():
    model, other = small_model(seed=1), small_model(seed=2)
    (x,) = random_arrays(7, (2, 6, 5, 2))
    taken = model.get_weights()
    other.set_weights(taken)
    expected = model.forward(x).copy()
    for w in taken:
        w[...] = 0
    np.testing.assert_array_equal(model.forward(x), expected)
    np.testing.assert_array_equal(other.forward(x), expected)


@pytest.mark.parametrize("change", ["one missing", "one too many", "another shape"])
def test_weights_that_do_not_fit_are_refused_and_change_nothing(change):
    model = small_model()
    before, weights = model.get_weights(), [w + 1 for w in model.get_weights()]
    weights = {
        "one missing": weights[:-1],
        "one too many": [*weights, weights[0]],
        "another shape": [*weights[:-1], np.zeros((1, 3))],
    }[change]
    with pytest.raises(ValueError):
        model.set_weights(weights)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_one_seed_gives_one_set_of_weights_and_another_seed_another():
    first, again, other = small_model(seed=5), small_model(seed=5), small_model(seed=6)
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first.get_weights()[::2], other.get_weights()[::2], strict=True):
        assert (a != b).all()
    kernels = first.get_weights()[::2]
    assert not np.array_equal(kernels[0].ravel()[:12], kernels[1].ravel()[:12])  # layers draw one after another


def test_layers_draw_in_order_so_that_another_last_layer_does_not_change_the_others():
    def model(classes):
        image = Input(shape=(5, 4, 1))
        x = Conv2D(3, 2)(Conv2D(2, 2)(image))
        return Model(image, Dense(classes)(Flatten()(x)), seed=3)

    few, many = model(2).get_weights(), model(9).get_weights()
    for a, b in zip(few[:4], many[:4], strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_of_numpys_own_integers_are_seeds_like_any_other(tmp_path):
    plain, other = small_model(seed=5), small_model(seed=np.int64(5))
    np.testing.assert_array_equal(plain.get_weights()[0], other.get_weights()[0])
    other.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz").get_weights()[0], plain.get_weights()[0])


def test_weights_depend_on_neither_the_implementation_nor_on_numpys_global_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = small_model(seed=5, implementation="im2col").get_weights()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for a, b in zip(first, small_model(seed=5, implementation="fused").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_a_model_makes_has_its_dtype(dtype):
    model = small_model(dtype=dtype)
    x, dout = random_arrays(8, (2, 6, 5, 2), (2, 3), dtype=dtype)
    made = [model.forward(x), model.backward(dout), *model.params.values(), *model.grads.values()]
    assert {array.dtype for array in made} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("options", "word"),
    [({"dtype": "float16"}, "float32"), ({"dtype": "int64"}, "float32"), ({"implementation": "c"}, "fused")],
)
def test_the_error_for_an_unknown_dtype_or_implementation_lists_the_known_ones(options, word):
    with pytest.raises(ValueError, match=word):
        small_model(**options)


@pytest.mark.parametrize("view", ["sliced", "transposed", "reversed"])
def test_forward_and_backward_take_views(view):
    model = small_model()
    (wide,) = random_arrays(9, (6, 10, 12, 2))
    x = {"sliced": wide[::3, 1:7, 2:12:2], "transposed": wide[:, :5, :6].transpose(0, 2, 1, 3),
         "reversed": wide[::-1, 5::-1, 4::-1, ::-1]}[view]  # fmt: skip
    (dout,) = random_arrays(10, (3, len(x)))
    out, dx = model.forward(x).copy(), model.backward(dout.T).copy()
    np.testing.assert_allclose(out, model.forward(x.copy(order="C")), rtol=1e-13)
    np.testing.assert_allclose(dx, model.backward(dout.T.copy(order="C")), rtol=0, atol=1e-14)


def test_a_batch_gives_what_its_images_give_alone():
    model = small_model()
    (x,) = random_arrays(11, (5, 6, 5, 2))
    alone = [model.forward(x[n : n + 1])[0].copy() for n in range(5)]
    np.testing.assert_allclose(model.forward(x), alone, rtol=1e-12)


def test_a_models_parameters_are_written_into_and_not_replaced():
    model = small_model()
    with pytest.raises(TypeError):
        model.params["dense/bias"] = np.ones(4)
    model.params["dense/bias"][...] = 1
    assert model.get_layer("dense").params["bias"].all()


def test_gradients_before_the_first_backward_are_refused():
    with pytest.raises(ValueError, match="expected a backward pass first, got no gradients of"):
        small_model().grads  # noqa: B018 - a property that raises


def test_layer_outputs_show_every_layer_in_order_after_its_activation():
    model = small_model()
    (x,) = random_arrays(12, (2, 6, 5, 2))
    outputs = model.layer_outputs(x)
    shown = [name for name in outputs if name != model.layers[0].name]
    assert shown == ["conv2d", "conv2d_1", "max_pooling2d", "flatten", "dense", "dense_1"]
    np.testing.assert_array_equal(outputs["dense_1"], model.forward(x))
    for name in ("conv2d", "conv2d_1", "dense"):
        assert outputs[name].min() == 0  # ReLU has been, and has cut something
    assert outputs["conv2d"].shape == (2, 6, 5, 3)
    np.testing.assert_array_equal(outputs["flatten"], outputs["max_pooling2d"].reshape(2, -1))


def test_get_layer_finds_a_layer_by_name_and_its_error_lists_the_known_names():
    model = small_model()
    assert model.get_layer("conv2d_1") is model.layers[2]
    with pytest.raises(ValueError, match=r"(?s)(?=.*conv2d_7)(?=.*conv2d_1)(?=.*dense)"):
        model.get_layer("conv2d_7")


def test_summary_is_keras_table_with_one_row_a_layer_and_the_totals():
    lines = []
    model = small_model()
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    rows = ["conv2d", "conv2d_1", "max_pooling2d", "flatten", "dense", "dense_1"]
    shapes = ["(None, 6, 5, 3)", "(None, 3, 5, 5)", "(None, 3, 5, 5)", "(None, 75)", "(None, 4)", "(None, 3)"]
    for name, kind, shape, count in zip(
        rows, [type(layer).__name__ for layer in model.layers[1:]], shapes, [39, 95, 0, 0, 304, 15], strict=True
    ):
        (row,) = [line for line in text.splitlines() if f"{name} " in line and kind in line]
        assert shape in row
        assert row.split(shape)[1].replace("│", " ").split()[0] == str(count)
    assert "Output Shape" in text
    assert "Param #" in text
    (total,) = [line for line in text.splitlines() if "Total params" in line]
    assert "453" in total
    assert "re_lu" not in text
    assert "activation" not in text.lower()


def test_summary_prints_by_default(capsys):
    small_model().summary()
    assert "Total params" in capsys.readouterr().out


def test_sequential_is_a_model_of_one_chain_of_layers():
    layers = [Conv2D(3, (3, 2), activation="relu", padding="same"), MaxPooling2D((2, 2)), Flatten()]
    straight = Sequential([Input(shape=(6, 5, 2)), *layers, Dense(3, activation="softmax")], seed=4, dtype="float64")
    image = Input(shape=(6, 5, 2))
    x = MaxPooling2D((2, 2))(Conv2D(3, (3, 2), activation="relu", padding="same")(image))
    graph = Model(image, Dense(3, activation="softmax")(Flatten()(x)), seed=4, dtype="float64")
    x, dout = random_arrays(13, (2, 6, 5, 2), (2, 3))
    np.testing.assert_array_equal(straight.forward(x), graph.forward(x))
    np.testing.assert_array_equal(straight.backward(dout), graph.backward(dout))
    assert list(straight.params) == list(graph.params)


@pytest.mark.parametrize("layers", [[], [Dense(2)], [Input(shape=(3,))]], ids=["empty", "no input", "only an input"])
def test_sequential_without_an_input_and_a_layer_is_refused_when_it_computes(layers):
    with pytest.raises(ValueError, match=r"Input|layer"):
        Sequential(layers).compile() or Sequential(layers).count_params()


def test_an_empty_sequential_is_refused_with_the_fix_when_it_is_used():
    with pytest.raises(ValueError, match=r"Begin with Input"):
        Sequential().count_params()
    with pytest.raises(ValueError, match=r"at least one layer.*model\.add"):
        Sequential().predict(np.zeros((2, 3), "float32"))


def test_the_error_for_lists_of_inputs_or_outputs_says_that_a_model_has_one_of_each():
    x = Input(shape=(3,))
    y = Dense(2)(x)
    for inputs, outputs, which in (([x, x], y, "inputs"), (x, [y, y], "outputs"), ([], y, "inputs")):
        with pytest.raises(TypeError, match=rf"{which}: .*list.* A model has one"):
            Model(inputs, outputs)


@pytest.mark.parametrize("call", ["forward", "predict"])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 6, 5, 2), "uint8"), "normalize_images"),
        (np.zeros((2, 6, 5, 2), "int64"), "float"),
        (np.zeros((2, 6, 5, 2), complex), "complex|float"),
        (np.zeros((2, 6, 5)), r"(?s)(?=.*6, 5, 2)(?=.*2, 6, 5)"),
        (np.zeros((2, 5, 6, 2)), r"(?s)(?=.*6, 5, 2)(?=.*5, 6, 2)"),
        (np.zeros((2, 6, 5, 3)), r"(?s)(?=.*6, 5, 2)(?=.*6, 5, 3)"),
    ],
    ids=["bytes", "whole numbers", "complex", "no channel axis", "turned", "colours"],
)
def test_the_error_for_images_that_do_not_fit_names_the_expected_and_the_received_shape(call, x, words):
    with pytest.raises((TypeError, ValueError), match=words) as error:
        getattr(small_model(), call)(x)
    if x.dtype == float:
        assert "astype" not in str(error.value), "advice for another mistake"


def test_a_single_image_is_refused_with_the_line_that_makes_a_batch_of_it():
    with pytest.raises(ValueError, match=r"x\[None\]|x\[np.newaxis\]"):
        small_model().predict(np.zeros((6, 5, 2)))


@pytest.mark.parametrize("fuse", [True, False])
def test_models_that_share_layers_do_not_disturb_each_others_forward(fuse):
    image = Input(shape=(6, 5, 2))
    shared = Flatten()(Conv2D(3, (3, 2), activation="relu", padding="same")(image))
    first, second = Model(image, Dense(2, activation="softmax")(shared), seed=0), Model(image, shared)
    first.compile(fuse=fuse)
    x, other, dout = random_arrays(8, (2, 6, 5, 2), (3, 6, 5, 2), (2, 2))
    x, other, dout = (a.astype("float32") for a in (x, other, dout))
    first.forward(x)
    expected = first.backward(dout), *(g.copy() for g in first.grads.values())
    first.forward(x)
    second.forward(other)
    second.predict(other, verbose=0)
    first.layer_outputs(other)
    for got, right in zip((first.backward(dout), *first.grads.values()), expected, strict=True):
        np.testing.assert_array_equal(got, right)


IMAGES = {"grey": (28, 28, 1), "colour": (32, 32, 3), "tall": (6, 5, 2), "rows": (784,)}


@pytest.mark.parametrize(
    ("model", "shape", "fix"),
    [
        ("grey", (2, 784), "x.reshape(-1, 28, 28, 1)"),
        ("grey", (2, 1, 28, 28), "x.transpose(0, 2, 3, 1)"),
        ("grey", (2, 28, 28), "add_channel_axis(x)"),
        ("colour", (2, 3, 32, 32), "x.transpose(0, 2, 3, 1)"),
        ("colour", (3, 32, 32), "x.transpose(1, 2, 0)[np.newaxis]"),
        ("colour", (2, 3072), "x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)"),
        ("tall", (2, 2, 6, 5), "x.transpose(0, 2, 3, 1)"),
        ("tall", (2, 60), "x.reshape(-1, 6, 5, 2)"),
        ("tall", (2, 6, 5, 2, 1), "x[..., 0]"),
        ("rows", (2, 28, 28), "x.reshape(len(x), -1)"),
        ("rows", (2, 28, 28, 1), "x.reshape(len(x), -1)"),
        ("rows", (784,), "x[np.newaxis]"),
    ],
)
@pytest.mark.parametrize("call", ["predict", "fit", "evaluate", "train_on_batch", "forward"])
def test_the_remedy_for_images_of_another_layout_is_code_that_works(model, shape, fix, call):
    size = IMAGES[model]
    net = Sequential([Input(size), *([Flatten()] if len(size) > 1 else []), Dense(2, activation="softmax")], seed=0)
    net.compile()
    x = np.zeros(shape, "float32")
    labels = [] if call in ("predict", "forward") else [np.eye(2, dtype="float32")]
    with pytest.raises(ValueError, match=rf"x: expected floats of shape \(n, .*got shape .*{re.escape(fix)}") as refused:
        getattr(net, call)(x, *labels)
    code = fix if fix.startswith("x") else f"preprocessing.{fix}"
    assert eval(code, {"x": x, "np": np, "preprocessing": preprocessing}).shape[1:] == size
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("samples", [1, 3])
def test_the_remedy_for_validation_data_names_them(samples):
    net = Sequential([Input((4, 4, 3)), Flatten(), Dense(2, activation="softmax")], seed=0)
    net.compile()
    x, y = np.zeros((2, 4, 4, 3), "float32"), np.eye(2, dtype="float32")
    with pytest.raises(ValueError, match=r"validation_data: expected .* x_val\.transpose\(0, 2, 3, 1\)"):
        net.fit(x, y, validation_data=(np.zeros((samples, 3, 4, 4)), y[:samples]), verbose=0)
