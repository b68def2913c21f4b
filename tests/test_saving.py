"""Saved models: the contents of the file, the loaded model, and errors while writing or reading."""

import contextlib
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
    with pytest.raises(ValueError, match=r"'myadam' is none of .*custom_objects"):
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
    _, config = load_arrays(FORMAT_1)
    assert load_model(FORMAT_1).get_config() == config["model"]
