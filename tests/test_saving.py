"""Saved models: the contents of the file, the loaded model, and errors while writing or reading."""

import contextlib
import inspect
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

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
    layers,
    load_model,
    net_2,
)
from scratchnet.layers import Layer
from scratchnet.losses import CategoricalCrossentropy
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Adam
from scratchnet.saving import load_arrays


def model_of_everything(seed=0, dtype="float32", softmax=True, **options):
    image = Input(shape=(7, 6, 2))
    x = Conv2D(3, (3, 2), activation="relu", padding="same", name="first")(image)
    a = Conv2D(3, (1, 3), strides=(1, 1), padding="same", use_bias=False)(x)
    b = AveragePooling2D((2, 3), strides=(1, 1), padding="same")(x)
    x = ReLU()(Add()([a, b]))
    x = MinPooling2D((1, 2), strides=1)(MaxPooling2D((2, 2), strides=(2, 1), padding="same")(x))
    x = Dense(4)(Flatten()(Activation("linear")(x)))
    x = Dense(3)(x)
    return Model(image, Softmax()(x) if softmax else x, seed=seed, dtype=dtype, **options)


def data(N=8, dtype="float32"):
    rng = np.random.default_rng(1)
    return rng.standard_normal((N, 7, 6, 2)).astype(dtype), np.eye(3, dtype=dtype)[rng.integers(0, 3, N)]


def trained(optimizer=None, **options):
    model = model_of_everything(**options)
    model.compile(optimizer or Adam(0.01), metrics=["accuracy"])
    x, y = data(dtype=options.get("dtype", "float32"))
    model.fit(x, y, batch_size=3, epochs=2, verbose=0)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loaded_model_is_the_saved_one(tmp_path, dtype):
    model = trained(dtype=dtype)
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    x, y = data(dtype=dtype)
    assert list(loaded.params) == list(model.params)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == dtype
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert [(layer.name, layer.get_config()) for layer in loaded.layers] == [
        (layer.name, layer.get_config()) for layer in model.layers
    ]
    tables = [[], []]
    for m, table in zip((model, loaded), tables, strict=True):
        m.summary(print_fn=table.append)
    assert tables[0] == tables[1]


def test_the_file_is_plain_arrays_and_json_that_numpy_opens_without_pickle(tmp_path):
    model = net_2((6, 6, 1), 3, seed=0)
    model.compile(metrics=["accuracy"])
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        for name in ("conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "dense/kernel", "dense_1/bias"):
            np.testing.assert_array_equal(file[name], model.params[name])
        config = file["config"]
        assert config.dtype != object
        text = config.item() if config.shape == () else config.tobytes()
        assert "Conv2D" in json.dumps(json.loads(text))
        assert all(file[name].dtype != object for name in file.files)


@pytest.mark.parametrize("name", ["model.npz", "model", "model.scratchnet"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_the_file_has_exactly_the_name_it_was_given(tmp_path, name, kind):
    trained().save(kind(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert load_model(kind(tmp_path / name)).count_params() > 0


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / "model.npz"
    model_of_everything(seed=1).save(path)
    other = model_of_everything(seed=2)
    other.save(path)
    np.testing.assert_array_equal(load_model(path).get_weights()[0], other.get_weights()[0])


def test_saving_changes_nothing_in_the_model(tmp_path):
    x, y = data()
    saved, unsaved = trained(), trained()
    saved.save(tmp_path / "model.npz")
    for model in (saved, unsaved):
        model.fit(x, y, batch_size=3, epochs=1, verbose=0)
    np.testing.assert_array_equal(saved.get_weights()[0], unsaved.get_weights()[0])


@pytest.mark.parametrize(
    ("make", "rates"),
    [(SGD, (0.25, 0.5, True)), (Adagrad, (0.5, 0.2, 1e-3)), (Adadelta, (0.5, 0.9, 1e-3)), (Adam, (0.5, 0.8, 0.9, 0.1))],
)
def test_a_loaded_optimizer_has_the_saved_rates_and_state(tmp_path, make, rates):
    optimizer = make(*rates)
    model = trained(optimizer)
    optimizer.learning_rate = 0.125  # as ReduceLROnPlateau would have left it
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    assert type(loaded.optimizer) is type(optimizer)
    assert loaded.optimizer.learning_rate == 0.125
    x, y = data()
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_order_of_samples_continues_where_it_stopped(tmp_path):
    x, y = data()
    model = trained()
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    histories = [m.fit(x, y, batch_size=3, epochs=2, verbose=0).history for m in (model, loaded)]
    assert histories[0] == histories[1]


def test_without_its_optimizer_the_file_is_smaller_and_predicts_the_same(tmp_path):
    model = trained()
    model.save(tmp_path / "with.npz")
    model.save(tmp_path / "without.npz", include_optimizer=False)
    with np.load(tmp_path / "with.npz") as full, np.load(tmp_path / "without.npz") as bare:
        assert sum(full[name].size for name in full.files if name != "config") > 2.9 * model.count_params()
        assert sum(bare[name].size for name in bare.files if name != "config") < 1.1 * model.count_params() + 64
    x, _ = data()
    np.testing.assert_array_equal(load_model(tmp_path / "without.npz").predict(x), model.predict(x))


def test_a_model_saved_without_compile_is_loaded_uncompiled(tmp_path):
    model_of_everything().save(tmp_path / "model.npz")
    loaded, (x, y) = load_model(tmp_path / "model.npz"), data()
    assert loaded.predict(x).shape == (8, 3)
    with pytest.raises((RuntimeError, ValueError), match="compile"):
        loaded.fit(x, y)


def test_loss_and_metrics_are_saved_and_loaded(tmp_path):
    x, y = data()
    model = model_of_everything(softmax=False)
    model.compile(SGD(0.1), loss=CategoricalCrossentropy(from_logits=True))
    model.save(tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz").evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    sparse = model_of_everything()
    sparse.compile(SGD(0.1), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    sparse.save(tmp_path / "model.npz")
    labels = y.argmax(axis=1)
    loaded = load_model(tmp_path / "model.npz")
    assert loaded.evaluate(x, labels, verbose=0) == sparse.evaluate(x, labels, verbose=0)


def test_the_implementation_is_saved_and_loaded(tmp_path):
    model_of_everything(implementation="im2col").save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert again.implementation == "im2col"
    assert {layer.running for layer in again.layers[1:] if layer.implementation is None} == {"im2col"}


def test_a_sequential_model_is_saved_and_loaded(tmp_path):
    model = Sequential([Input(shape=(3,)), Dense(4, activation="relu"), Dense(2, activation="softmax")], seed=1)
    model.save(tmp_path / "model.npz")
    x = np.random.default_rng(2).standard_normal((5, 3)).astype("float32")
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz").predict(x), model.predict(x))


def test_load_weights_fills_a_model_of_the_same_shape(tmp_path):
    source, target = model_of_everything(seed=1), model_of_everything(seed=2)
    source.save(tmp_path / "model.npz")
    target.load_weights(tmp_path / "model.npz")
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_load_weights_of_another_shape_is_refused_and_changes_nothing(tmp_path):
    net_2((6, 6, 1), 3, seed=0).save(tmp_path / "model.npz")
    model = net_2((6, 7, 1), 3, seed=1)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"(?s)(?=.*dense/kernel)(?=.*576|.*768)"):
        model.load_weights(tmp_path / "model.npz")
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


FULL_DISK = """
import resource, signal, sys
from scratchnet import net_2
model = net_2((12, 12, 1), 3, seed=2)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    model.save(sys.argv[1])
except OSError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes, which Windows has not")
def test_a_save_that_fails_leaves_the_old_file_complete_and_nothing_else(tmp_path):
    path = tmp_path / "model.npz"
    model_of_everything(seed=1).save(path)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert "refused:" in done.stdout, done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_an_interrupted_save_leaves_the_old_file_complete_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    model_of_everything(seed=1).save(path)
    before, calls = path.read_bytes(), []

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args, **options)

    original = np.lib.format.write_array
    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model_of_everything(seed=2).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_saving_creates_the_missing_folders(tmp_path):
    path = tmp_path / "runs" / "first" / "model.npz"
    model_of_everything().save(path)
    assert load_model(path).count_params() == model_of_everything().count_params()


class Payload:
    """Unpickling it creates a file: proof that a pickle was run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def spoil(path, how, evil):
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:-200])
    elif how == "one byte turned":
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(bytes(content))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("epoch,loss\n0,1.5\n")
    elif how == "a pickle":
        path.write_bytes(pickle.dumps(Payload(evil)))
    elif how == "another zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("readme.txt", "hello")
    elif how == "another npz":
        np.savez(path, x=np.zeros(3))
    elif how == "objects":
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        arrays["config"] = np.array([Payload(evil)], dtype=object)
        np.savez(path, **arrays)
    else:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        if how == "no config":
            del arrays["config"]
        elif how == "config is not JSON":
            arrays["config"] = np.array("{'layers': ")
        elif how == "an array missing":
            del arrays["first/kernel"]
        elif how == "an array of another shape":
            arrays["first/kernel"] = arrays["first/kernel"][:, :1]
        elif how == "an unknown layer":
            arrays["config"] = np.array(str(arrays["config"]).replace("MinPooling2D", "MedianPooling2D"))
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ("cut off", ""),
        ("one byte turned", ""),
        ("empty", ""),
        ("text", ""),
        ("a pickle", ""),
        ("another zip", ""),
        ("another npz", "config"),
        ("objects", ""),
        ("no config", "config"),
        ("config is not JSON", ""),
        ("an array missing", "first/kernel"),
        ("an array of another shape", "first/kernel"),
    ],
)
def test_a_file_that_is_no_model_is_refused_by_name_and_never_run(tmp_path, how, word):
    path, evil = tmp_path / "model.npz", tmp_path / "evil"
    model_of_everything().save(path)
    spoil(path, how, evil)
    with pytest.raises(ValueError, match=rf"(?s)(?=.*model\.npz)(?=.*{word})"):
        load_model(path)
    assert not evil.exists()


def test_whichever_byte_is_damaged_the_file_is_refused_or_still_the_same_model(tmp_path):
    path = tmp_path / "model.npz"
    model = net_2((4, 4, 1), 2, seed=0)
    model.save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    # The ends hold names, sizes and the table of contents; the middle is numbers, all alike.
    places = [*range(0, 600, 7), *rng.integers(600, len(whole) - 900, 40), *range(len(whole) - 900, len(whole), 7)]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(content))
        with contextlib.suppress(ValueError):
            for ours, theirs in zip(load_model(path).get_weights(), model.get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_the_error_for_a_layer_of_an_unknown_class_names_it(tmp_path):
    path = tmp_path / "model.npz"
    model_of_everything().save(path)
    spoil(path, "an unknown layer", None)
    with pytest.raises(ValueError, match="MedianPooling2D"):
        load_model(path)


class MyAdam(Adam):
    """A user's own optimizer."""


class Scale(Layer):
    """A layer of a user's own that stores its argument under another name."""

    def __init__(self, factor=2.0, *, name=None):
        super().__init__(name=name)
        self.slope = factor

    def forward(self, x):
        return x * self.dtype.type(self.slope)


class WholeScale(Scale):
    """The same, with its argument."""

    def get_config(self):
        return {**super().get_config(), "factor": self.slope}


def test_a_custom_optimizer_is_loaded_if_its_class_is_given(tmp_path):
    model = Sequential([Input(shape=(3,)), Dense(2, activation="softmax")])
    model.compile(MyAdam(0.5))
    model.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"got 'myadam'.*custom_objects"):
        load_model(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz", {"MyAdam": MyAdam})
    assert type(loaded.optimizer) is MyAdam
    assert loaded.optimizer.learning_rate == 0.5


def test_a_custom_layer_is_saved_with_all_of_its_arguments_or_not_at_all(tmp_path):
    path, x = tmp_path / "model.npz", np.ones((1, 3), "float32")
    with pytest.raises(ValueError, match=r"Scale takes factor, .*'factor': self\.factor"):
        Sequential([Input(shape=(3,)), Scale(3.0)]).save(path)
    assert not path.exists()
    Sequential([Input(shape=(3,)), WholeScale(3.0)]).save(path)
    np.testing.assert_array_equal(load_model(path, {"WholeScale": WholeScale}).predict(x), 3 * x)


def test_a_model_that_ends_before_an_activation_is_loaded_without_it(tmp_path):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    inputs, dense = Input(shape=(4,)), Dense(5, activation="relu")
    Model(inputs, Dense(2)(dense(inputs)), seed=0)
    ends_before = Model(inputs, dense.node)
    ends_before.save(tmp_path / "model.npz")
    assert ends_before.predict(x).min() < 0
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz").predict(x), ends_before.predict(x))


def test_the_error_for_a_missing_file_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        load_model(tmp_path / "missing.npz")


# A small net of seven kinds of layer, in float64, saved after three steps of Adam by the version before implementations, losses
# and saving were rewritten; and what it predicted.
FORMAT_1 = Path(__file__).parent / "golden" / "format_1.npz"
PREDICTIONS = [
    [0.36174715650027234, 0.30478034326178827, 0.33347250023793934],
    [0.36319509760076224, 0.30343443687716204, 0.33337046552207567],
]


def test_a_model_that_an_earlier_version_saved_loads_predicts_the_same_and_trains_on():
    model = load_model(FORMAT_1)
    x = np.linspace(0, 1, 2 * 6 * 5 * 2).reshape(2, 6, 5, 2)
    np.testing.assert_allclose(model.predict(x, verbose=0), PREDICTIONS, rtol=1e-12)
    assert (model.optimizer.iterations, model.optimizer.beta_1, model.loss.name) == (3, 0.8, "categorical_crossentropy")
    model.fit(x, np.eye(3)[[0, 2]], verbose=0)
    assert model.optimizer.iterations == 4


@pytest.mark.compiled       # without the compiler the model would say that im2col runs
def test_the_graph_is_described_as_it_was_by_an_earlier_version():
    """Arguments that did not exist at that time may be added; they have their default values."""
    _, config = load_arrays(FORMAT_1)
    now, earlier = load_model(FORMAT_1).get_config(), config["model"]
    for layer, before in zip(now["layers"], earlier["layers"], strict=True):
        arguments = inspect.signature(getattr(layers, layer["class"])).parameters
        new = [name for name in layer["config"] if name not in before["config"]]
        assert {name: layer["config"].pop(name) for name in new} == {name: arguments[name].default for name in new}
    assert now == earlier


# -- what a file may not hold -----------------------------------------------------------------------------------------


def rewritten(path, change):
    """Change the config (a dict) and the arrays of a saved model in place, as a program of another's might."""
    arrays, config = load_arrays(path)
    change(config, arrays)
    np.savez(path, config=np.array(json.dumps(config)), **arrays)


def saved(path, optimizer=None, seed=0):
    layers = [Input(shape=(4, 4, 1)), Conv2D(2, 3, activation="relu"), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=seed)
    model.compile(optimizer or Adam(0.01), metrics=["accuracy"])
    model.fit(np.ones((4, 4, 4, 1), "float32"), np.eye(3)[[0, 1, 2, 0]], verbose=0)
    model.save(path)
    return model


def layer_of(config, number):
    return config["model"]["layers"][number]["config"]


def with_item(*keys, value):
    """A change of one entry of the config, found by its keys."""

    def change(config, arrays):
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return change


def with_array(name, change):
    def whole(config, arrays):
        arrays[name] = change(arrays[name])

    return whole


def nan_at_the_end(array):
    array.flat[-1] = np.nan
    return array


HUGE = 10**400
STATE = "optimizer/dense/kernel/v"
REFUSED_FILES = {
    "a newer format": (with_item("format", value="scratchnet model 2"), r"'scratchnet model 1', got .* 2'.*pip install"),
    "no format": (lambda config, arrays: config.pop("format"), "format"),
    "a format that is a number": (with_item("format", value=1), "format"),
    "state of another shape": (with_array(STATE, lambda a: a[:, :1]), rf"{STATE} as float32 of shape \(8, 3\), got .*\(8, 1\)"),
    "state of another dtype": (with_array(STATE, lambda a: a.astype("float64")), rf"{STATE} as float32.*float64"),
    "state of whole numbers": (with_array(STATE, lambda a: a.astype("int32")), rf"{STATE} as float32.*int32"),
    "state with NaN": (with_array(STATE, nan_at_the_end), rf"finite numbers in {STATE}"),
    "state with infinity": (with_array(STATE, lambda a: np.full_like(a, np.inf)), rf"finite numbers in {STATE}"),
    "a negative square": (with_array(STATE, lambda a: -a - 1), f"no negative numbers in {STATE}"),
    "a layer of no kind": (lambda config, arrays: config["model"]["layers"][2].update({"class": "Layer"}), "known layer class"),
    "a class that is a list": (lambda config, arrays: config["model"]["layers"][2].update({"class": []}), "known layer class"),
    "compiled with nothing": (with_item("compile", value=None), ""),
    "no state": (lambda config, arrays: arrays.pop(STATE), rf"expected an array {STATE}"),
    "weights of another dtype": (with_array("dense/kernel", lambda a: a.astype("float64")), "dense/kernel as float32"),
    "a layer of no name": (lambda config, arrays: layer_of(config, 1).pop("name"), "name"),
    "two layers of a name": (lambda config, arrays: layer_of(config, 2).update(name="conv2d"), "different names"),
    "a layer that reads a later one": (lambda config, arrays: config["model"]["layers"][1].update(inputs=["dense"]), "earlier"),
    "layers that are a number": (with_item("model", "layers", value=3), "int"),
    "no layers": (with_item("model", "layers", value=[]), ""),
    "no model": (lambda config, arrays: config.pop("model"), "model"),
    "a dtype of no floats": (with_item("model", "dtype", value="int8"), "float32"),
    "a dtype of no kind": (with_item("model", "dtype", value="nothing"), "float32"),
    "a seed of text": (with_item("model", "seed", value="five"), "expected None or an integer"),
    "a seed below zero": (with_item("model", "seed", value=-1), "expected None or an integer"),
    "a generator's state of text": (with_item("shuffle_state", value="five"), ""),
    "a generator's state that is huge": (with_item("shuffle_state", "state", "state", value=HUGE), ""),
    "a generator's state below zero": (with_item("shuffle_state", "state", "inc", value=-1), ""),
    "another generator's state": (with_item("shuffle_state", "bit_generator", value="MT19937"), ""),
    "a learning rate that is huge": (with_item("compile", "optimizer_config", "learning_rate", value=HUGE), "learning_rate"),
    "a learning rate of text": (with_item("compile", "optimizer_config", "learning_rate", value="five"), "learning_rate"),
    "a beta that is huge": (with_item("compile", "optimizer_config", "beta_1", value=HUGE), "beta_1"),
    "a beta of text": (with_item("compile", "optimizer_config", "beta_1", value="five"), "beta_1"),
    "fuse of text": (with_item("compile", "fuse", value="five"), "fuse"),
    "metrics of numbers": (with_item("compile", "metrics", value=[5]), "metrics"),
    "metrics that are a number": (with_item("compile", "metrics", value=5), "metrics"),
    **{
        f"{value!r:.8} iterations": (with_item("iterations", value=value), "iterations to be a whole number")
        for value in (-5, 2.5, "five", HUGE, 2**63, True, None, [1], float("nan"))
    },
    **{
        f"{key}={value!r:.8}": (lambda config, arrays, at=at, key=key, value=value: layer_of(config, at).update({key: value}), "")
        for at, key in ((0, "shape"), (1, "filters"), (1, "kernel_size"), (1, "strides"), (3, "units"))
        for value in ([HUGE, HUGE, 1], HUGE, 10**9, 2.5, "five", -1, 0, None, True, float("nan"))
        if (key, value) not in (("strides", 10**9),)        # one window, as with any stride of more than 1: the shapes agree
    },
}


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_a_file_whose_content_does_not_fit_is_refused_in_one_sentence(tmp_path, case):
    change, words = REFUSED_FILES[case]
    path = tmp_path / "model.npz"
    saved(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=rf"model\.npz is not a model that .* can load: .*{words}") as refused:
        load_model(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("at", [(1, "filters"), (3, "units"), (1, "kernel_size"), (0, "shape")], ids=lambda at: at[1])
def test_shapes_are_compared_with_the_file_before_anything_is_allocated(tmp_path, at, monkeypatch):
    path = tmp_path / "model.npz"
    saved(path)
    rewritten(path, lambda config, arrays: layer_of(config, at[0]).update({at[1]: [10**5, 10**5, 7] if at[0] == 0 else 10**5}))

    def allocated(*args, **options):
        raise AssertionError("parameters were made before they were compared")

    monkeypatch.setattr(Conv2D, "make_params", allocated)
    monkeypatch.setattr(Dense, "make_params", allocated)
    with pytest.raises(ValueError, match=r"as float32 of shape|expected a window that fits"):
        load_model(path)


def test_a_file_of_a_newer_format_is_refused_for_its_weights_alone_too(tmp_path):
    path = tmp_path / "model.npz"
    model = saved(path)
    rewritten(path, with_item("format", value="scratchnet model 2"))
    with pytest.raises(ValueError, match=r"model\.npz: expected the format 'scratchnet model 1'"):
        model.load_weights(path)


@pytest.mark.compiled
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_load_with_a_warning_that_names_them(tmp_path, value):
    path = tmp_path / "model.npz"
    model = saved(path)
    model.params["dense/kernel"][0, 0] = value
    model.save(path)
    with pytest.warns(RuntimeWarning, match=r"model\.npz: expected finite weights, got NaN or infinity in dense/kernel") as seen:
        loaded = load_model(path)
    assert seen[0].filename == __file__
    np.testing.assert_array_equal(loaded.params["dense/kernel"], model.params["dense/kernel"])
    with pytest.warns(RuntimeWarning, match="dense/kernel") as seen:
        saved(tmp_path / "other.npz").load_weights(path)
    assert seen[0].filename == __file__


def test_state_in_another_order_of_memory_or_of_bytes_is_the_same_state(tmp_path):
    path = tmp_path / "model.npz"
    model = saved(path)
    rewritten(path, with_array(STATE, lambda a: np.asfortranarray(a).astype(">f4")))
    rewritten(path, with_array("dense/kernel", lambda a: np.asfortranarray(a).astype(">f4")))
    x, y = np.ones((4, 4, 4, 1), "float32"), np.eye(3)[[0, 1, 2, 0]]
    loaded = load_model(path)
    for each in (model, loaded):
        each.fit(x, y, epochs=2, verbose=0)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_header_that_hides_a_part_of_its_array_is_refused(tmp_path):
    """NumPy reads only as much as the header says, and zip compares its checksum only at the end."""
    path = tmp_path / "model.npz"
    model = Sequential([Input(shape=(3,)), Dense(3, use_bias=False)], seed=0)
    model.save(path)
    content = path.read_bytes()
    assert content.count(b"'shape': (3, 3)") == 1
    path.write_bytes(content.replace(b"'shape': (3, 3)", b"'shape': (2, 3)"))
    with pytest.raises(ValueError, match=r"expected 36 bytes in dense/kernel\.npy|CRC"):
        load_model(path)
    path.write_bytes(content.replace(b"'fortran_order': False", b"'fortran_order': True "))
    with pytest.raises(ValueError, match="CRC"):
        load_model(path)


def test_a_file_that_would_be_larger_in_memory_than_on_the_disk_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    Sequential([Input(shape=(1000,)), Dense(1000, kernel_initializer="zeros")]).save(path)
    arrays, config = load_arrays(path)
    np.savez_compressed(path, config=np.array(json.dumps(config)), **arrays)
    with pytest.raises(ValueError, match="compressed"):
        load_model(path)


class Tied(Dense):
    """Its parameters are not those of the class that it derives from."""

    def make_params(self, rng):
        return {"kernel": rng.standard_normal((self.units, *self.input_shape))}

    def forward(self, x):
        self.check_input(x)
        return x @ self.params["kernel"].T


def test_a_layer_that_only_makes_other_parameters_than_its_base_class_is_loaded(tmp_path):
    model = Sequential([Input(shape=(4,)), Tied(3)], seed=0)
    model.save(tmp_path / "model.npz")
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz", {"Tied": Tied}).predict(x), model.predict(x))


# -- files that are damaged -------------------------------------------------------------------------------------------


def damaged(content, rng):
    """A file's bytes with some bits flipped, cut off at either end, with bytes lost, repeated, or replaced by zeros."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        kind = rng.choice(["bit", "bit", "byte", "head", "tail", "cut", "lost", "zeros", "again"])
        at, length = int(rng.integers(len(content))), int(rng.choice([1, 2, 16, 512]))
        if kind in ("head", "tail"):        # there stand names and sizes, and the table of contents
            at = at % 600 if kind == "head" else len(content) - 1 - at % 900
            kind = "bit"
        if kind == "bit":
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == "byte":
            content[at] = int(rng.integers(256))
        elif kind == "cut":
            content = content[:at] if rng.random() < 0.8 else content[at:]
        elif kind == "lost":
            del content[at : at + length]
        elif kind == "zeros":
            content[at : at + length] = bytes(len(content[at : at + length]))
        else:
            content[at:at] = content[at : at + length]
        if not content:
            break
    return bytes(content)


def whole_state(model):
    return [
        [p.tobytes() for p in model.params.values()],
        [[s.tobytes() for s in state] for state in model.optimizer.state],
        model.optimizer.iterations,
        model.get_config(),
        model.optimizer.get_config(),
        model.shuffle_rng.bit_generator.state,
    ]


def refused_or_identical(path, count, seed):
    """Return how many of `count` damaged files were refused, and how many loaded as the same model; any other fails."""
    rng, model = np.random.default_rng(seed), saved(path)
    expected, content = whole_state(model), path.read_bytes()
    tally = {"refused": 0, "identical": 0}
    for _ in range(count):
        path.write_bytes(damaged(content, rng))
        try:
            loaded = load_model(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017 - most are refused, and some are not
            tally["refused"] += 1
        else:
            assert whole_state(loaded) == expected
            tally["identical"] += 1
    return tally


def test_a_damaged_file_is_refused_or_loads_as_the_same_model(tmp_path):
    tally = refused_or_identical(tmp_path / "model.npz", 150, seed=0)
    assert tally["refused"] > 75


@pytest.mark.slow
def test_a_thousand_damaged_files_are_refused_or_load_as_the_same_model(tmp_path):
    tally = refused_or_identical(tmp_path / "model.npz", 1_000, seed=1)
    print(tally)
    assert sum(tally.values()) == 1_000


# -- the name of a file -----------------------------------------------------------------------------------------------


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = saved("~/models/m.npz")
    assert (tmp_path / "models" / "m.npz").is_file()
    np.testing.assert_array_equal(load_model("~/models/m.npz").get_weights()[0], model.get_weights()[0])
    model.load_weights("~/models/m.npz")


NO_NAMES = ["", "\0", "~no-such-user-here/m.npz", None, 5, b"m.npz", ["m.npz"], "a" * 5000, "b/" * 5000 + "m"]


@pytest.mark.parametrize("path", NO_NAMES, ids=[f"{path!r:.10}" for path in NO_NAMES])
def test_a_name_that_no_file_has_is_refused_by_all_in_one_sentence(path):
    model = Sequential([Input(shape=(3,)), Dense(2)], seed=0)
    for call in (model.save, model.load_weights, load_model):
        with pytest.raises((TypeError, ValueError, OSError), match=r"expected .*, got ") as refused:
            call(path)
        assert len(str(refused.value)) < 400


def test_a_path_of_a_thousand_folders_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = "a/" * 1_050 + "m.npz"
    model = Sequential([Input(shape=(3,)), Dense(2)], seed=0)
    try:
        model.save(path)
        assert load_model(path).count_params() == 8
    except OSError as error:
        pytest.skip(f"the system permits no such path: {error}")
    finally:            # pytest itself cannot remove so many folders
        Path(path).unlink(missing_ok=True)
        for parts in range(1_050, 0, -1):
            Path("a/" * parts).rmdir()


@pytest.mark.parametrize("custom", [[Tied], {"Tied": Tied(3)}, "Tied", Tied])
def test_classes_of_a_users_own_come_as_a_dict_by_name(tmp_path, custom):
    saved(tmp_path / "model.npz")
    with pytest.raises(TypeError, match=r"custom_objects: expected a dict of classes by name, got "):
        load_model(tmp_path / "model.npz", custom)
