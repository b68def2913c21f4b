"""Models as ONNX files: onnx's checker accepts them, and onnxruntime computes what `predict` computes."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from random_models import random_models

from scratchnet import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    MinPooling2D,
    Model,
    Sequential,
    cli,
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
KINDS = [kind for kind in vars(layers).values() if isinstance(kind, type) and kind not in (Layer, layers.InputLayer)]


def computed(content, x):
    """Return what onnxruntime computes, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (image,), (out,) = session.get_inputs(), session.get_outputs()
    assert image.shape == ["N", *x.shape[1:]]
    (result,) = session.run(None, {image.name: x})
    assert list(out.shape) == ["N", *result.shape[1:]]
    return result


def nodes_of(content):
    return [*onnx.load_from_string(content).graph.node]


def attributes_of(node):
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def some_images(model, N=3):
    return np.random.default_rng(0).uniform(-1, 1, (N, *model.input_shape[1:])).astype("float32")


def small_model(**settings):
    return Sequential(
        [Input(shape=(5, 4, 2)), Conv2D(3, 2, activation="relu"), Flatten(), Dense(3, activation="softmax")], seed=1, **settings
    )


# -- every layer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_the_library_can_be_exported(kind):
    assert kind in EXPORTS


@settings(max_examples=50)
@given(random_models())
def test_onnxruntime_computes_what_predict_computes(model):
    check_random(model)


@pytest.mark.slow
@settings(max_examples=1000)
@given(random_models())
def test_onnxruntime_computes_what_a_thousand_random_models_compute(model):
    check_random(model)


def check_random(model):
    x = some_images(model)
    expected = model.predict(x)
    np.testing.assert_allclose(computed(onnx_bytes(model), x), expected, rtol=1e-4, atol=1e-5 * max(1, abs(expected).max()))


# -- the three networks -----------------------------------------------------------------------------------------------

SMALL = {"net_1": (net_1, (14, 12, 1)), "net_2": (net_2, (13, 16, 3)), "net_3": (net_3, (25, 26, 3))}


@pytest.mark.parametrize("name", SMALL)
def test_a_network_computes_the_same_in_onnxruntime_for_any_number_of_images(name):
    make, shape = SMALL[name]
    model = make(shape, 10, seed=1)
    x = np.random.default_rng(0).random((7, *shape), "float32")
    if name == "net_3":
        model.get_layer("whitening").adapt(x)
    content = onnx_bytes(model)
    for N in (1, 7):
        np.testing.assert_allclose(computed(content, x[:N]), model.predict(x[:N]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "count"), [("net_1", 2), ("net_2", 2), ("net_3", 1)])
def test_a_network_has_one_transpose_after_the_images_and_one_before_its_dense_layers(name, count):
    make, shape = SMALL[name]
    operators = [node.op_type for node in nodes_of(onnx_bytes(make(shape, 10)))]
    assert operators.count("Transpose") == count
    assert operators[0] == "Transpose"


def test_the_odd_cell_of_same_padding_is_at_the_bottom_and_at_the_right():
    (conv,) = [node for node in nodes_of(onnx_bytes(net_2((8, 8, 1), 10))) if attributes_of(node).get("strides") == [2, 2]]
    assert attributes_of(conv)["pads"] == [0, 0, 1, 1]
    (pool,) = [node for node in nodes_of(onnx_bytes(net_1((8, 8, 1), 10))) if node.op_type == "MaxPool"]
    assert attributes_of(pool)["pads"] == [0, 0, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data"), [("net_1", "mnist"), ("net_2", "mnist"), ("net_1", "cifar10"), ("net_2", "cifar10"), ("net_3", "cifar10")]
)
def test_onnxruntime_gives_a_thousand_real_images_the_same_probabilities_and_classes(name, data, real_data):
    images = datasets.load(data)
    x_train, x = (
        preprocessing.add_channel_axis(preprocessing.normalize_images(part))
        for part in (images.x_train[:2000], images.x_test[:1000])
    )
    model = {"net_1": net_1, "net_2": net_2, "net_3": net_3}[name](x.shape[1:], 10, seed=1)
    if name == "net_3":
        model.get_layer("whitening").adapt(x_train)
    else:
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x_train, images.y_train[:2000], batch_size=128, epochs=1, verbose=0)
    expected, found = model.predict(x), computed(onnx_bytes(model), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear = first - second > 2e-5  # equal probabilities of two classes have no order
    assert (found.argmax(axis=1) == expected.argmax(axis=1))[clear].all()
    assert clear.mean() > 0.99


# -- what the file holds ----------------------------------------------------------------------------------------------


def test_the_file_names_its_input_output_operator_set_and_weights():
    model = small_model(name="small")
    proto = onnx.load_from_string(onnx_bytes(model))
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", OPSET)]
    assert (proto.graph.name, proto.graph.input[0].name, proto.graph.output[0].name) == ("small", "images", "probabilities")
    assert [array.name for array in proto.graph.initializer] == [*model.named_weights]
    kernel = onnx.numpy_helper.to_array(proto.graph.initializer[0])
    np.testing.assert_array_equal(kernel, model.get_weights()[0].transpose(3, 2, 0, 1))


def test_a_layer_may_have_any_name():
    x = Input(shape=(4, 4, 1))
    y = Conv2D(1, 2, name="probabilities")(x)
    y = Activation("silu", name="images")(y)
    y = MinPooling2D(2, name="")(y)
    model = Model(x, Activation("softmax", name="images/sigmoid")(Flatten()(y)), seed=1)
    images = some_images(model)
    np.testing.assert_allclose(computed(onnx_bytes(model), images), model.predict(images), atol=1e-6)


def test_a_model_that_does_nothing_in_inference_returns_its_images():
    model = Sequential([Input(shape=(3, 2, 2)), Dropout(0.5)])
    images = some_images(model)
    np.testing.assert_array_equal(computed(onnx_bytes(model), images), images)


def test_a_float64_model_is_rounded_to_float32():
    model = small_model(dtype="float64", implementation="im2col")
    images = some_images(model)
    found = computed(onnx_bytes(model), images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict(images), atol=1e-6)


def test_two_exports_have_the_same_bytes():
    assert onnx_bytes(small_model()) == onnx_bytes(small_model())


# -- what is refused --------------------------------------------------------------------------------------------------


class Doubled(Layer):
    def forward(self, x):
        return 2 * x


class OwnConvolution(Conv2D):
    """A class derived from one of ours may compute anything."""


@pytest.mark.parametrize("layer", [Doubled(name="twice"), OwnConvolution(2, 2, name="twice")])
def test_a_layer_of_ones_own_is_refused_by_its_name_and_no_file_is_touched(layer, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"an older file")
    with pytest.raises(
        TypeError, match=rf"'twice'.*expected a layer of scratchnet\.layers, got one of the class {type(layer).__name__}"
    ):
        Sequential([Input(shape=(3, 3, 1)), layer]).export_onnx(path)
    assert path.read_bytes() == b"an older file"
    assert [*tmp_path.iterdir()] == [path]


def test_a_model_that_does_not_know_its_input_is_refused():
    with pytest.raises(ValueError, match="knows the shape of its input"):
        Sequential([Flatten(), Dense(2)]).export_onnx("model.onnx")


def test_without_onnx_the_error_names_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'expected the library onnx, but it is not.*pip install "scratchnet\[onnx\]"'):
        small_model().export_onnx(tmp_path / "model.onnx")


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "model.npz"
    small_model(name="small").save(path)
    return path


def test_the_command_writes_the_file_and_prints_the_largest_difference(saved, tmp_path, capsys):
    assert cli.main(["export", str(saved.parent), str(tmp_path / "new" / "a.onnx")]) == 0
    printed = capsys.readouterr().out
    assert "small, 138 parameters" in printed
    assert "(N, 5, 4, 2) -> (N, 3)" in printed
    assert float(printed.split()[-1]) < 1e-6
    assert (tmp_path / "new" / "a.onnx").read_bytes() == onnx_bytes(small_model(name="small"))


def test_the_command_replaces_a_file_only_if_it_is_told_to(saved, tmp_path, capsys):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"mine")
    assert cli.main(["export", str(saved), str(path)]) == 1
    assert "expected a new file, got one that exists. Name another, or add --force" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    assert cli.main(["export", str(saved), str(path), "--force"]) == 0
    assert path.read_bytes() != b"mine"


def test_the_command_never_replaces_the_model_itself(saved, capsys):
    before = saved.read_bytes()
    assert cli.main(["export", str(saved), str(saved), "--force"]) == 1
    assert "got the model itself" in capsys.readouterr().err
    assert saved.read_bytes() == before


def test_the_command_refuses_a_folder_and_a_model_that_is_not_there(saved, tmp_path, capsys):
    assert cli.main(["export", str(saved), str(tmp_path)]) == 1
    assert "expected the name of a file, got a folder" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path / "no"), str(tmp_path / "a.onnx")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_command_says_what_it_could_not_compare(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.main(["export", str(saved), str(tmp_path / "a.onnx")]) == 0
    assert 'onnxruntime is not installed (pip install "scratchnet[onnx]")' in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(["export", str(saved), str(tmp_path / "b.onnx")]) == 1
    assert 'expected the library onnx, but it is not installed. pip install "scratchnet[onnx]"' in capsys.readouterr().err
    assert not (tmp_path / "b.onnx").exists()


def test_the_command_writes_nothing_if_the_outputs_are_not_the_models(tmp_path, capsys):
    model = small_model()
    model.params["dense/bias"][0] = np.nan
    model.save(tmp_path / "model.npz")
    with pytest.warns(RuntimeWarning, match="expected finite weights"):
        assert cli.main(["export", str(tmp_path), str(tmp_path / "a.onnx")]) == 1
    assert "expected the model's outputs" in capsys.readouterr().err
    assert not (tmp_path / "a.onnx").exists()


def test_a_pool_is_exported_without_the_cells_that_cover_only_padding():
    model = Sequential([Input(shape=(2, 3, 1)), MaxPooling2D((100, 50), strides=1, padding="same")])
    (pool,) = [node for node in nodes_of(onnx_bytes(model)) if node.op_type == "MaxPool"]
    assert attributes_of(pool)["kernel_shape"] == [3, 5]
    images = some_images(model)
    np.testing.assert_array_equal(computed(onnx_bytes(model), images), model.predict(images))


def test_the_python_of_the_page_about_export_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "export.md", "exec"), {})
    assert capsys.readouterr().out.split() == re.findall(r"# (True)", program)
