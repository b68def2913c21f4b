"""`scratchnet explain`: the numbers of its page are the network's own, to six digits; what cannot be shown is refused."""

import json
import re
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from small_runs import refused, train, write_bars

from scratchnet import Dense, Flatten, Input, Model, Sequential, cli, explain, layers, losses, net_1, net_2
from scratchnet.datasets.idx import read_idx
from scratchnet.explain import inside as numbers
from scratchnet.explain.inside import gradients_of, in_float64, look_inside, outputs_of
from scratchnet.explain.sheet import refreshed

SIX = 5e-7      # relative: less than half a unit of the sixth digit
NAMES = ["a", "b", "c"]


def branched():
    """Return a network with every kind of layer, and weights that are not those of the start."""
    x = Input(shape=(8, 7, 3))
    y = layers.Rescaling([2.0, 1.0, 0.5], -0.5)(x)
    y = layers.RandomFlip()(layers.ZeroPadding2D(((1, 0), (0, 2)))(y))
    y = layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu")(y)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    a = layers.MaxPooling2D(2, strides=1, padding="same")(y)
    b = layers.Conv2D(4, 1, activation="tanh")(layers.MinPooling2D(2, strides=1, padding="same")(y))
    y = layers.Concatenate()([layers.Add()([a, b]), layers.LeakyReLU(0.1)(b)])
    y = layers.SpatialDropout2D(0.2)(y)
    y = layers.Dropout(0.5)(layers.AveragePooling2D((2, 3), padding="same")(y))
    y = layers.Concatenate()([layers.GlobalAveragePooling2D()(y), layers.GlobalMaxPooling2D()(y), Flatten()(y)])
    y = Dense(6, activation="sigmoid")(y)
    model = Model(x, Dense(3, activation="softmax")(y), seed=4)
    rng = np.random.default_rng(3)
    model.set_weights([np.abs(w) + 0.1 if w.ndim == 1 else w for w in (rng.normal(0, 0.5, w.shape) for w in model.get_weights())])
    return model


def with_large_dense():
    """Return net_2 for small images, whose first dense layer has 294,912 weights."""
    return net_2((12, 12, 1), 3, seed=2)


MODELS = {"branched": branched, "large dense": with_large_dense}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    """Return a model, an image, and what the page is made of."""
    model = MODELS[request.param]()
    x = np.random.default_rng(1).random(model.input_shape[1:]).astype("float32")
    return model, x, look_inside(model, x)


def test_the_output_of_every_layer_is_the_network_s_own(case):
    model, x, inside = case
    copy = in_float64(model)
    found = copy.layer_outputs(x[None].astype("float64"))
    compared = []
    for stage in inside.stages[:-1]:
        name, values = stage["name"], stage["values"][0]
        own = copy.get_layer(name).activation if ", " not in name else None
        if own is not None and not stage["relu"]:
            continue                                    # its activation is a stage of its own, whose name has a comma
        expected = found[name.partition(",")[0]][0]
        values = np.maximum(0, values) if own is not None else values
        assert_allclose(values, expected, rtol=SIX, atol=SIX * np.abs(expected).max())
        compared.append(name)
    assert len(compared) >= len(inside.stages) - 4
    assert_allclose(inside.probabilities, model.predict(x[None])[0], rtol=1e-4)
    assert_allclose(inside.probabilities, copy.predict(x[None].astype("float64"))[0], rtol=1e-5)


def test_each_number_is_what_its_layer_makes_of_the_numbers_that_the_page_has(case):
    model, _, inside = case
    stages = inside.stages
    copy = in_float64(model)
    checked = set()
    for stage in stages[1:-1]:
        if stage["kind"] not in ("conv", "dense", "pool"):
            continue
        source = stages[stage["inputs"][0]]
        below = np.maximum(0, source["values"]) if source["relu"] else source["values"]
        layer = copy.get_layer(stage["name"])
        out = layer.forward(below.astype("float64").reshape(1, *layer.input_shape))
        assert np.array_equal(out.astype("float32").ravel(), stage["values"].ravel()), stage["name"]
        checked.add(stage["kind"])
    assert checked >= {"conv", "dense"}


def test_gradients_are_those_of_the_network_s_own_backward(case):
    model, x, inside = case
    copy = in_float64(model)
    outputs_of(copy, x[None])
    for k in inside.classes:
        dx = gradients_of(copy, k)[copy.nodes[0]]
        start = np.eye(3)[[k]]
        copy.forward(x[None].astype("float64"))
        assert_allclose(dx, copy.backward(start, start=copy.logits), rtol=1e-5, atol=1e-7 * np.abs(dx).max())


def test_gradients_are_the_slope_of_the_logit():
    model, k, h = branched(), 1, 1e-6
    copy = in_float64(model)
    x = np.random.default_rng(1).random((1, 8, 7, 3))
    values = outputs_of(copy, x)
    dx = gradients_of(copy, k)[copy.nodes[0]]
    x = values[copy.nodes[0]]
    direction = np.random.default_rng(2).normal(size=x.shape)
    up, down = (copy.forward(x + sign * h * direction, to=copy.logits)[0, k] for sign in (1, -1))
    assert_allclose((dx * direction).sum(), (up - down) / (2 * h), rtol=1e-5)


def dense_of(inside):
    """Return the large dense stage, the numbers it reads, and its kernel."""
    (stage,) = [stage for stage in inside.stages if "top_cells" in stage]
    source = inside.stages[stage["inputs"][0]]
    return stage, (np.maximum(0, source["values"]) if source["relu"] else source["values"]).ravel().astype("float64")


def test_the_twenty_products_of_a_dense_unit_are_its_largest_and_all_add_up():
    model = with_large_dense()
    inside = look_inside(model, np.random.default_rng(1).random((12, 12, 1)).astype("float32"))
    stage, x = dense_of(inside)
    w = model.params["dense/kernel"].astype("float64")
    for unit in (0, 7, 127):
        cells = stage["top_cells"][unit].astype(int)
        products = x * w[:, unit]
        assert len(cells) == 20
        assert np.abs(products[cells]).min() >= np.abs(np.delete(products, cells)).max()
        assert np.array_equal(stage["top_weights"][unit], w[cells, unit].astype("float32"))
        total = products[cells].sum() + stage["rest"][unit] + stage["bias"][unit]
        assert total == pytest.approx(stage["values"][0, unit], rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("rows", [350_000, 5_000])
def test_the_way_back_through_a_large_dense_layer_is_complete_however_many_weights_fit(monkeypatch, rows):
    monkeypatch.setattr(numbers, "ROWS", rows)
    model = with_large_dense()
    x = np.random.default_rng(1).random((12, 12, 1)).astype("float32")
    inside = look_inside(model, x)
    stage, flat = dense_of(inside)
    copy = in_float64(model)
    outputs_of(copy, x[None])
    cells, units = stage["cells"].astype(int), stage["units"].astype(int)
    known = len(stage["rows"])
    assert (known == len(cells)) == (rows == 350_000)
    assert set(cells) == set(np.flatnonzero(flat > 0))      # the ReLU below stops the others
    for j, k in enumerate(inside.classes):
        gradients = gradients_of(copy, k)
        flatten, before = (next(node for node in copy.nodes if node.layer.name == name) for name in ("flatten", "dense"))
        dx, dout = gradients[flatten][0], gradients[before][0]
        assert_allclose(stage["rows"].astype("float64") @ dout[units], dx[cells[:known]], rtol=1e-6, atol=1e-9)
        assert_allclose(stage["dx"][j], dx[cells[known:]], rtol=1e-6)


def test_of_many_classes_the_most_probable_and_the_true_one_have_gradients():
    model = Sequential([Input(shape=(4, 4, 1)), Flatten(), Dense(30, activation="softmax")], seed=0)
    x = np.random.default_rng(0).random((4, 4, 1)).astype("float32")
    p = model.predict(x[None])[0]
    worst = int(p.argmin())
    assert look_inside(model, x).classes == sorted(np.argsort(-p)[:10].tolist())
    assert look_inside(model, x, worst).classes == sorted([*np.argsort(-p)[:10].tolist(), worst])


def test_a_network_of_logits_and_one_that_is_a_layer_of_another_are_explained():
    x = Input(shape=(6, 5, 1))
    inner = Sequential([Input(shape=(6, 5, 1)), layers.Conv2D(2, 3, activation="relu")])
    model = Model(x, Dense(3)(Flatten()(inner(x))), seed=0)
    image = np.random.default_rng(0).random((6, 5, 1)).astype("float32")
    inside = look_inside(model, image)
    assert [stage["kind"] for stage in inside.stages] == ["input", "conv", "dense", "softmax"]
    assert_allclose(inside.probabilities, losses.softmax(model.predict(image[None]))[0], rtol=1e-5)


class Twice(layers.Layer):
    def forward(self, x):
        return 2 * x

    def backward(self, dout, need_dx=True):
        return 2 * dout


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        ([Twice(name="twice")], "layer 'twice': expected a layer of scratchnet, got a Twice"),
        ([layers.Reshape((8, 2))], "expected images or rows of numbers, got (8, 2)"),
        ([layers.RandomCrop(3, 3)], "expected images of the size of its input, (4, 4, 1), got (3, 3, 1), a part of them"),
        ([Flatten(), layers.Softmax(name="early")], "layer 'early': expected softmax only at the end"),
    ],
)
def test_what_cannot_be_shown_is_refused(middle, reason):
    model = Sequential([Input(shape=(4, 4, 1)), *middle, Flatten(), Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match=re.escape(reason)):
        look_inside(model, np.zeros((4, 4, 1), "float32"))


def test_a_network_of_one_output_is_refused():
    model = Sequential([Input(shape=(4, 4, 1)), Flatten(), Dense(1, activation="sigmoid")])
    with pytest.raises(ValueError, match="at least two classes"):
        look_inside(model, np.zeros((4, 4, 1), "float32"))


def data_of(text):
    """Return what the program of a page reads."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_of_net_1_is_under_5_mb_even_where_every_cell_is_active():
    model = net_1((28, 28, 1), 10, seed=0)
    model.set_weights([np.abs(w) for w in model.get_weights()])
    inside = look_inside(model, np.random.default_rng(0).random((28, 28, 1)).astype("float32"))
    text = explain.as_html(inside, [str(k) for k in range(10)], net="net_1", source="noise")
    assert (inside.stages[3]["values"] > 0).all()
    assert 1e6 < len(text.encode()) < 5e6


def test_a_page_that_would_be_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(explain.sheet, "LIMIT", 50_000)
    inside = look_inside(with_large_dense(), np.ones((12, 12, 1), "float32"))
    with pytest.raises(ValueError, match=r"^the page: expected at most 0 MB, got 0\.\d MB\. Use a smaller network"):
        explain.as_html(inside, NAMES, net="net", source="image")


def test_names_with_the_signs_of_html_stay_text(case):
    *_, inside = case
    name = "</script><script>alert(1)</script>"
    text = explain.as_html(inside, [name, "b", "c"], net="a<b", source=name)
    assert data_of(text)["names"][0] == name
    assert text.count("</script>") == 2
    assert "<title>a&lt;b and &lt;/script&gt;" in text


PAGES = sorted((Path(__file__).parent.parent / "docs" / "pages").glob("*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_pages_of_the_documentation_have_the_program_and_the_styles_of_today(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 2e6
    assert refreshed(text) == text, "write them again: python docs/make_pages.py --refresh"


def test_the_documentation_has_two_pages():
    assert [path.stem for path in PAGES] == ["net_1_mnist", "net_2_cifar10"]


def test_a_network_whose_numbers_are_not_finite_is_refused():
    model = with_large_dense()
    model.set_weights([np.full_like(w, np.inf) if w.ndim == 2 else w for w in model.get_weights()])
    with pytest.raises(ValueError, match=r"^layer 'dense': expected finite outputs, got nan or inf"):
        look_inside(model, np.ones((12, 12, 1), "float32"))


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder of data and a run folder."""
    folder = tmp_path_factory.mktemp("explain")
    data = write_bars(folder / "bars", shape=(9, 9))
    assert train(data, folder / "run", "--net", "net_2") == 0
    return data, folder / "run"


def test_the_command_explains_a_test_image_of_the_run_s_data(trained, capsys):
    data, run = trained
    assert cli.main(["explain", str(run), "--index", "5"]) == 0
    path = run / "bars-5-explained.html"
    printed = capsys.readouterr().out
    assert re.match(rf"test image 5 of .*bars: \d \(\d: [\d.]+ %, \d: [\d.]+ %\); \d\.\d MB in {re.escape(str(path))}\n", printed)
    found = data_of(path.read_text(encoding="utf-8"))
    assert found["label"] == read_idx(data / "t10k-labels-idx1-ubyte.gz", 1)[5]
    assert found["net"] == "net_2"


def test_the_command_explains_a_picture_as_predict_prepares_it(trained, capsys, tmp_path):
    from PIL import Image

    picture, out = tmp_path / "seven.png", tmp_path / "out" / "page.html"
    ink = np.full((40, 40), 255, np.uint8)
    ink[8:11, 10:30] = ink[8:32, 27:30] = 0
    Image.fromarray(ink).save(picture)
    assert cli.main(["explain", str(trained[1]), str(picture), "--out", str(out)]) == 0
    assert "dark on light, inverted" in capsys.readouterr().out
    found = data_of(out.read_text(encoding="utf-8"))
    assert found["label"] is None
    assert "dark on light, inverted" in found["note"]
    assert cli.main(["explain", str(trained[1]), str(picture)]) == 0
    assert (trained[1] / "seven-explained.html").is_file()


def test_the_command_opens_the_page_when_asked(trained, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert cli.main(["explain", str(trained[1]), "--index", "0", "--out", str(tmp_path / "a.html"), "--open"]) == 0
    assert opened == [(tmp_path / "a.html").as_uri()]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "expected either a picture IMAGE or a test image --index N, got none"),
        (["a.png", "--index", "1"], "expected either a picture IMAGE or a test image --index N, got both"),
        (["a.png", "--data", "mnist"], "--data names the set of a test image"),
    ],
)
def test_wrong_usage_is_exit_code_2(trained, capsys, words, reason):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["explain", str(trained[1]), *words])
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


def test_an_image_that_does_not_exist_is_refused_and_nothing_is_written(trained, capsys, tmp_path):
    out = tmp_path / "page.html"
    line = refused(capsys, 1, "explain", trained[1], "--index", 24, "--out", out)
    assert "--index: expected at most 23, got 24." in line
    assert "missing.png: expected a picture file" in refused(capsys, 1, "explain", trained[1], "missing.png", "--out", out)
    assert "expected images of 9×9×1, got images of 28×28×1" in refused(
        capsys, 1, "explain", trained[1], "--index", 1, "--data", "glyphs", "--out", out
    )
    assert not out.exists()


def test_the_page_never_overwrites_the_model(trained, capsys):
    line = refused(capsys, 1, "explain", trained[1], "--index", 1, "--out", trained[1] / "model.npz")
    assert "--out: expected another file than the model" in line
