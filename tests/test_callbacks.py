"""Callbacks: when each method is called, and what each callback does, compared with Keras."""

import csv
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

from scratchnet import Dense, Input, Sequential, load_model
from scratchnet.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    EpochLines,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from scratchnet.optimizers import SGD
from scratchnet.schedules import ExponentialDecay

# What fit calls; on_batch_begin and on_batch_end are called by on_train_batch_begin and on_train_batch_end.
METHODS = [name for name in dir(Callback) if name.startswith("on_") and not name.startswith("on_batch_")]


PARAMS = {"epochs": 3, "steps": 1, "batch_size": 1, "samples": 1, "verbose": 0, "metrics": ["loss", "val_loss"]}


class FakeModel:
    """A model whose weights are the number of the epoch, with everything that a callback uses."""

    def __init__(self):
        self.stop_training, self.optimizer, self.weights = False, SGD(learning_rate=1.0), [np.array([-1.0])]

    def get_weights(self):
        return [w.copy() for w in self.weights]

    def set_weights(self, weights):
        self.weights = [w.copy() for w in weights]


def play(callback, values, monitor="val_loss", model=None):
    """Pass the callback one monitored value per epoch; return the model, the number of epochs that ran and the learning rates."""
    model = model or FakeModel()
    model.stop_training = False
    callback.set_model(model)
    callback.set_params(PARAMS | {"epochs": len(values), "metrics": ["loss", monitor]})
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        model.set_weights([np.array([float(epoch)])])
        callback.on_epoch_end(epoch, {"loss": 0.0, monitor: value})
        rates.append(model.optimizer.learning_rate)
        if model.stop_training:
            break
    callback.on_train_end()
    return model, len(rates), rates


def data(N=10):
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, 4)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, N)]


def small_model(rate=0.1, metrics=("accuracy",)):
    model = Sequential([Input(shape=(4,)), Dense(3, activation="softmax")], seed=1)
    model.compile(SGD(rate), metrics=list(metrics))
    return model


class Diary(Callback):
    """Records every call in order."""

    def __init__(self):
        super().__init__()
        self.calls, self.params_seen, self.model_seen = [], None, None

    def set_params(self, params):
        super().set_params(params)
        self.params_seen = dict(params)

    def set_model(self, model):
        super().set_model(model)
        self.model_seen = model

    def on_train_begin(self, logs=None):
        self.calls.append("train begins")

    def on_train_end(self, logs=None):
        self.calls.append("train ends")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} ends with {', '.join(sorted(logs))}")

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"batch {batch} begins")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"batch {batch} ends with {', '.join(sorted(logs))}")


def test_methods_are_called_in_keras_order():
    x, y = data(5)
    diary = Diary()
    small_model().fit(x, y, batch_size=3, epochs=2, validation_data=(x, y), verbose=0, callbacks=[diary])
    batches = [f"batch {b} {what}" for b in (0, 1) for what in ("begins", "ends with accuracy, loss")]
    expected = ["train begins"]
    for epoch in (0, 1):
        ending = f"epoch {epoch} ends with accuracy, loss, val_accuracy, val_loss"
        expected += [f"epoch {epoch} begins", *batches, ending]
    assert diary.calls == [*expected, "train ends"]


def test_callbacks_know_the_model_and_the_parameters_of_training():
    x, y = data(10)
    diary, model = Diary(), small_model()
    model.fit(x, y, batch_size=4, epochs=3, validation_split=0.1, verbose=0, callbacks=[diary])
    assert diary.model_seen is diary.model is model
    expected = {"epochs": 3, "steps": 3, "batch_size": 4, "samples": 9, "verbose": 0}
    assert {key: diary.params_seen[key] for key in expected} == expected


def test_a_callback_that_overrides_nothing_does_nothing():
    x, y = data()
    watched, alone = small_model(), small_model()
    watched.fit(x, y, epochs=2, verbose=0, callbacks=[Callback()])
    alone.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(watched.get_weights()[0], alone.get_weights()[0])
    assert {"on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"} < set(METHODS)
    assert {"on_train_batch_begin", "on_train_batch_end"} < set(METHODS)


def test_several_callbacks_are_called_in_the_order_given():
    called = []

    class Records(Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_epoch_end(self, epoch, logs=None):
            called.append(self.name)

    x, y = data()
    small_model().fit(x, y, verbose=0, callbacks=[Records("first"), Records("second")])
    assert called == ["first", "second"]


def test_logs_changed_after_their_epoch_do_not_change_the_history():
    x, y = data()

    class Keeps(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.logs = logs

    keeps = Keeps()
    history = small_model().fit(x, y, epochs=2, verbose=0, callbacks=[keeps])
    before = list(history.history["loss"])
    keeps.logs["loss"] = -1.0
    assert history.history["loss"] == before


def test_history_can_be_used_by_hand():
    history = History()
    play(history, [5.0])
    play(history, [3.0, 2.0])  # a new training starts with an empty history
    assert history.epoch == [0, 1]
    assert history.history == {"loss": [0.0, 0.0], "val_loss": [3.0, 2.0]}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (EarlyStopping, {"monitor": "val_loss", "min_delta": 0, "patience": 0, "mode": "auto", "baseline": None,
                         "restore_best_weights": False, "start_from_epoch": 0}),
        (ReduceLROnPlateau, {"monitor": "val_loss", "factor": 0.1, "patience": 10, "mode": "auto", "min_delta": 1e-4,
                             "cooldown": 0, "min_lr": 0.0}),
        (ModelCheckpoint, {"monitor": "val_loss", "save_best_only": False, "mode": "auto"}),
    ],
)  # fmt: skip
def test_names_and_defaults_are_keras(kind, expected):
    parameters = inspect.signature(kind).parameters
    assert {name: parameters[name].default for name in expected} == expected


EARLY_STOPPING = {
    "the first epoch without improvement, at patience 0": ({}, [1.0, 0.9, 0.95, 0.1], 3),
    "the second of two, at patience 2": ({"patience": 2}, [1.0, 0.9, 0.95, 0.94, 0.1], 4),
    "never while it improves": ({"patience": 1}, [1.0, 0.9, 0.8, 0.7], 4),
    "an improvement between resets the count": ({"patience": 2}, [1.0, 1.1, 0.9, 0.95, 0.96, 0.1], 5),
    "an equal value is no improvement": ({"patience": 1}, [1.0, 1.0, 0.5], 2),
    "less than min_delta is no improvement": ({"patience": 2, "min_delta": 0.1}, [1.0, 0.95, 0.92, 0.1], 3),
    "min_delta counts from the best epoch": ({"patience": 2, "min_delta": 0.1}, [1.0, 0.95, 0.89, 0.8, 0.7], 5),
    "mode max: larger is better": ({"patience": 1, "mode": "max"}, [0.1, 0.2, 0.15, 0.9], 3),
    "min_delta at mode max": ({"patience": 1, "mode": "max", "min_delta": 0.1}, [0.1, 0.15, 0.9], 2),
    "a baseline not beaten": ({"patience": 2, "baseline": 0.5}, [0.9, 0.95, 0.92, 0.91], 2),
    "a baseline beaten": ({"patience": 2, "baseline": 0.5}, [0.4, 0.45, 0.42, 0.1], 3),
    "the first epochs are ignored": ({"start_from_epoch": 2}, [0.1, 5.0, 4.0, 3.0, 3.5, 1.0], 5),
    "not a number is no improvement": ({"patience": 1}, [1.0, float("nan"), 0.5], 2),
    "not a number is never the best": ({"patience": 2}, [float("nan"), 0.5, 0.4, 0.3], 4),
}


@pytest.mark.parametrize("case", EARLY_STOPPING)
def test_early_stopping_stops_after_as_many_epochs_as_keras(case):
    options, values, epochs = EARLY_STOPPING[case]
    model, ran, _ = play(EarlyStopping(**options), values)
    assert ran == epochs
    assert model.weights[0] == epochs - 1  # without restore_best_weights the last weights stay


def test_for_early_stopping_a_larger_accuracy_is_better():
    assert play(EarlyStopping(monitor="val_accuracy"), [0.5, 0.6, 0.55, 0.9], "val_accuracy")[1] == 3


@pytest.mark.parametrize(
    ("options", "values", "best"),
    [
        ({"patience": 2}, [1.0, 0.8, 0.9, 0.95, 0.1], 1),
        ({"patience": 5}, [1.0, 0.8, 0.9], 1),  # also when training ends by itself, as in Keras 3
        ({"patience": 1, "mode": "max"}, [1.0, 3.0, 2.0], 1),
        ({"patience": 1, "start_from_epoch": 1}, [0.1, 0.9, 1.0], 1),
        ({"patience": 2, "baseline": 0.0}, [0.9, 0.95, 0.8], 0),  # the best of those that ran, though none beat it
    ],
    ids=str,
)
def test_early_stopping_restores_the_best_epochs_weights(options, values, best):
    model, _, _ = play(EarlyStopping(restore_best_weights=True, **options), values)
    assert model.weights[0] == best


def test_early_stopping_forgets_an_earlier_training():
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    first, ran, _ = play(callback, [1.0, 0.5, 0.6, 0.7, 0.8])
    second, ran_again, _ = play(callback, [2.0, 1.5, 1.6, 1.7, 1.8])
    assert (ran, ran_again) == (4, 4)
    assert first.weights[0] == second.weights[0] == 1


def test_early_stopping_stops_a_real_fit():
    x, y = data()
    history = small_model(rate=0.0).fit(
        x, y, epochs=9, validation_data=(x, y), verbose=0, callbacks=[EarlyStopping(patience=3)]
    )
    assert len(history.history["loss"]) == 4


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau, ModelCheckpoint])
def test_the_error_for_an_unknown_monitor_names_it_and_the_known_ones(tmp_path, kind):
    x, y = data()
    if kind is ModelCheckpoint:
        callback = ModelCheckpoint(tmp_path / "m.npz", monitor="val_lss", save_best_only=True)
    else:
        callback = kind(monitor="val_lss")
    # A warning is an error in this suite, so a warning would be caught here too.
    with pytest.raises((ValueError, KeyError, UserWarning), match=r"(?s)(?=.*val_lss)(?=.*val_loss)"):
        small_model().fit(x, y, validation_data=(x, y), verbose=0, callbacks=[callback])


class Adds(Callback):
    """Adds a value to each epoch's logs, and counts the epochs."""

    def __init__(self, name, value=0.5):
        super().__init__()
        self.name, self.value, self.epochs = name, value, 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        logs[self.name] = self.value


def monitors_of(name, folder):
    return {
        "stop": EarlyStopping(name, patience=1, mode="max", start_from_epoch=1),
        "rate": ReduceLROnPlateau(name, patience=1, mode="max"),
        "best": ModelCheckpoint(folder / "m.npz", name, save_best_only=True, mode="max"),
        "name": ModelCheckpoint(f"{folder}/{{epoch}}-{{{name}:.2f}}.npz"),
    }


@pytest.mark.parametrize("kind", ["stop", "rate", "best", "name"])
def test_a_value_that_a_users_callback_adds_can_be_monitored(kind, tmp_path):
    x, y = data()
    model, monitor = small_model(rate=0.5), monitors_of("val_f1", tmp_path)[kind]
    history = model.fit(x, y, epochs=4, verbose=0, callbacks=[Adds("val_f1"), monitor])
    assert len(history.epoch) == (3 if kind == "stop" else 4)  # patience 1, counted from the second epoch
    assert model.optimizer.learning_rate == pytest.approx(0.5e-3 if kind == "rate" else 0.5)
    files = {"best": {"m.npz"}, "name": {f"{epoch}-0.50.npz" for epoch in (1, 2, 3, 4)}}
    assert {path.name for path in tmp_path.iterdir()} == files.get(kind, set())


@pytest.mark.parametrize("kind", ["stop", "rate", "best", "name"])
def test_a_value_that_a_users_callback_could_add_but_does_not_is_refused_after_the_first_epoch(kind, tmp_path):
    x, y = data()
    adds, monitor = Adds("val_f1"), monitors_of("val_f2", tmp_path)[kind]
    with pytest.raises(ValueError, match=r"(?s)(?=.*val_f2)(?=.*val_f1)"):
        small_model().fit(x, y, epochs=4, verbose=0, callbacks=[adds, monitor])
    assert adds.epochs == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["stop", "rate", "best", "name"])
def test_a_value_that_is_added_too_late_is_refused_before_the_first_epoch(kind, tmp_path):
    x, y = data()
    adds, monitor = Adds("val_f1"), monitors_of("val_f1", tmp_path)[kind]
    with pytest.raises(ValueError, match="val_f1"):
        small_model().fit(x, y, epochs=4, verbose=0, callbacks=[monitor, adds])
    assert adds.epochs == 0


def test_a_users_callback_may_add_the_value_that_it_monitors():
    class StopsAtF1(EarlyStopping):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs | {"val_f1": 0.5})

    x, y = data()
    assert len(small_model().fit(x, y, epochs=4, verbose=0, callbacks=[StopsAtF1("val_f1", mode="max")]).epoch) == 2


def test_the_learning_rate_can_be_part_of_a_file_name_if_plateau_adds_it(tmp_path):
    x, y = data()
    plateau, checkpoint = ReduceLROnPlateau("loss"), ModelCheckpoint(f"{tmp_path}/{{learning_rate:.2f}}.npz")
    with pytest.raises(ValueError, match="learning_rate"):
        small_model().fit(x, y, verbose=0, callbacks=[checkpoint, plateau])
    small_model(rate=0.25).fit(x, y, verbose=0, callbacks=[plateau, checkpoint])
    assert [path.name for path in tmp_path.iterdir()] == ["0.25.npz"]


@pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau, lambda mode: ModelCheckpoint("m.npz", mode=mode)])
def test_the_error_for_an_unknown_mode_lists_the_known_ones(make):
    with pytest.raises((ValueError, UserWarning), match=r"(?s)(?=.*upwards)(?=.*min)(?=.*max)"):
        make(mode="upwards")


PLATEAU = {
    "after patience epochs": ({"factor": 0.5, "patience": 2}, [1, 1, 1, 1, 1], [1, 1, 0.5, 0.5, 0.25]),
    "never while it improves": ({"factor": 0.5, "patience": 1}, [1, 0.9, 0.8], [1, 1, 1]),
    "improvement resets the count": ({"factor": 0.5, "patience": 2}, [1, 1, 0.9, 1, 1], [1, 1, 1, 1, 0.5]),
    "min_delta": ({"factor": 0.5, "patience": 1, "min_delta": 0.1}, [1, 0.95, 0.85], [1, 0.5, 0.5]),
    "the default min_delta": ({"factor": 0.5, "patience": 1}, [1, 0.99995, 0.9995], [1, 0.5, 0.5]),
    "cooldown": ({"factor": 0.5, "patience": 1, "cooldown": 2}, [1] * 6, [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
    "min_lr": ({"factor": 0.1, "patience": 1, "min_lr": 0.05}, [1] * 4, [1, 0.1, 0.05, 0.05]),
    "mode max": ({"factor": 0.5, "patience": 1, "mode": "max"}, [1, 2, 3, 2], [1, 1, 1, 0.5]),
    "mode min": ({"factor": 0.5, "patience": 1, "mode": "min"}, [1, 2], [1, 0.5]),
}


@pytest.mark.parametrize("case", PLATEAU)
def test_learning_rate_falls_in_the_same_epochs_as_with_keras(case):
    options, values, expected = PLATEAU[case]
    _, _, rates = play(ReduceLROnPlateau(**options), [float(v) for v in values])
    assert rates == pytest.approx(expected)


def test_learning_rate_falls_when_accuracy_does_not_improve():
    callback = ReduceLROnPlateau(monitor="val_accuracy", factor=0.5, patience=1)
    assert play(callback, [0.5, 0.6, 0.6, 0.7], "val_accuracy")[2] == [1, 1, 0.5, 0.5]


def test_plateau_forgets_an_earlier_training():
    callback = ReduceLROnPlateau(factor=0.5, patience=2)
    assert play(callback, [1.0, 1.0])[2] == [1, 1]
    assert play(callback, [2.0, 2.0, 1.5])[2] == [1, 1, 1]


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_factor_that_does_not_reduce_is_refused(factor):
    with pytest.raises(ValueError, match="factor"):
        ReduceLROnPlateau(factor=factor)


def test_plateau_reduces_the_learning_rate_in_a_real_fit():
    x, y = data()
    model = small_model(rate=0.0)
    model.optimizer.learning_rate = 1e-12
    model.fit(
        x, y, epochs=3, validation_data=(x, y), verbose=0, callbacks=[ReduceLROnPlateau(factor=0.5, patience=1)]
    )
    assert model.optimizer.learning_rate == pytest.approx(0.25e-12)


def test_checkpoint_writes_one_file_per_epoch_named_by_its_values(tmp_path):
    checkpoint = ModelCheckpoint(str(tmp_path / "deep" / "er" / "{epoch:02d}-{val_loss:.2f}.npz"))
    model = small_model(rate=0.0)
    checkpoint.set_model(model)
    checkpoint.set_params(PARAMS)
    checkpoint.on_train_begin()
    for epoch, value in enumerate([1.0, 0.125, 0.5]):
        model.set_weights([np.full((4, 3), epoch, "float32"), np.zeros(3, "float32")])
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})
    names = ["01-1.00.npz", "02-0.12.npz", "03-0.50.npz"]
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == names
    for epoch, name in enumerate(names):
        assert load_model(tmp_path / "deep" / "er" / name).get_weights()[0][0, 0] == epoch


@pytest.mark.parametrize(
    ("options", "values", "kept"),
    [
        ({}, [1.0, 0.5, 0.7], 2),
        ({"save_best_only": True}, [1.0, 0.5, 0.7], 1),
        ({"save_best_only": True}, [1.0, 1.0, 1.0], 0),
        ({"save_best_only": True, "mode": "max"}, [1.0, 0.5, 0.7], 0),
    ],
    ids=str,
)
def test_checkpoint_keeps_the_last_or_the_best_epoch(tmp_path, options, values, kept):
    path, model = tmp_path / "model.npz", small_model()
    checkpoint = ModelCheckpoint(path, **options)
    checkpoint.set_model(model)
    checkpoint.set_params(PARAMS)
    checkpoint.on_train_begin()
    for epoch, value in enumerate(values):
        model.set_weights([np.full((4, 3), epoch, "float32"), np.zeros(3, "float32")])
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})
    assert load_model(path).get_weights()[0][0, 0] == kept
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_checkpoint_of_a_real_fit_holds_the_best_epochs_model(tmp_path):
    x, y = data()
    path, model = tmp_path / "best.npz", small_model(rate=0.5)
    history = model.fit(
        x, y, epochs=4, validation_data=(x, y), verbose=0, callbacks=[ModelCheckpoint(path, save_best_only=True)]
    )
    loss, _ = load_model(path).evaluate(x, y, verbose=0)
    assert loss == pytest.approx(min(history.history["val_loss"]), rel=1e-6)


def test_the_error_for_an_unknown_name_in_filepath_lists_the_known_ones(tmp_path):
    x, y = data()
    with pytest.raises((KeyError, ValueError), match=r"(?s)(?=.*val_f1)(?=.*loss)"):
        small_model().fit(x, y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{val_f1:.2f}.npz")])


def test_csv_logger_writes_the_history_row_by_row(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"

    class CountsLines(Callback):
        lines = []

        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                self.lines.append(len(path.read_text().splitlines()))

    history = small_model().fit(
        x, y, epochs=3, validation_data=(x, y), verbose=0, callbacks=[CSVLogger(path), CountsLines()]
    )
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("epoch") for row in rows] == ["0", "1", "2"]
    assert set(rows[0]) == set(history.history)
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == pytest.approx(values, rel=1e-6)
    assert CountsLines.lines == [2, 3]  # each row is written as soon as its epoch has ended


def test_csv_logger_overwrites_or_appends_without_a_second_header(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    for options in ({}, {}, {"append": True}):
        small_model().fit(x, y, epochs=2, verbose=0, callbacks=[CSVLogger(path, **options)])
    with path.open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "0", "1"]


def test_csv_logger_keeps_the_finished_epochs_of_a_training_that_fails(tmp_path):
    class Fails(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("the power is out")

    x, y = data()
    path = tmp_path / "log.csv"
    with pytest.raises(RuntimeError, match="power"):
        small_model().fit(x, y, epochs=5, verbose=0, callbacks=[CSVLogger(path), Fails()])
    assert len(path.read_text().splitlines()) == 3


def test_progress_bar_is_quiet_when_nothing_is_a_terminal(capfd):
    x, y = data()
    small_model().fit(x, y, epochs=2, verbose=0, callbacks=[ProgressBar()])
    assert capfd.readouterr() == ("", "")


TERMINAL = """
import numpy as np
from scratchnet import Dense, Input, Sequential
model = Sequential([Input(shape=(4,)), Dense(3, activation="softmax")], seed=1)
model.compile(metrics=["accuracy"])
model.fit(np.ones((8, 4), "float32"), np.eye(3, dtype="float32")[np.arange(8) % 3], batch_size=2, epochs=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal, which Windows does not have")
def test_progress_bar_on_a_terminal_shows_epoch_batches_loss_and_accuracy():
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # on Linux: the other end has been closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    text = shown.decode()
    assert process.wait() == 0, text
    for word in ("1/2", "2/2", "4/4", "loss", "accuracy"):
        assert word in text


# -- as in Keras: empty logs, no set_params, several trainings ------------------------------------------------------------


def test_logs_are_an_empty_dict_where_something_begins_and_never_none():
    seen = {}

    class Sees(Callback):
        def __getattribute__(self, name):
            if not name.startswith("on_"):
                return super().__getattribute__(name)
            return lambda *arguments: seen.setdefault(name, []).append(dict(arguments[-1]))

    x, y = data(5)
    small_model().fit(x, y, batch_size=3, epochs=2, verbose=0, callbacks=[Sees()])
    assert set(seen) == set(METHODS)
    for name, logs in seen.items():
        assert all(values == {} for values in logs) == name.endswith("begin"), name


def own_loop(callback, model, values=(1.0, 0.5, 0.7)):
    """Call a callback as your own training loop would: it receives the model and nothing else."""
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_train_batch_begin(0)
        callback.on_train_batch_end(0, {"loss": value})
        model.set_weights([np.full((4, 3), epoch, "float32"), np.zeros(3, "float32")])
        callback.on_epoch_end(epoch, {"loss": value, "val_loss": value})
        if model.stop_training:
            break
    callback.on_train_end()


@pytest.mark.parametrize("kind", [Callback, History, EarlyStopping, ReduceLROnPlateau, ProgressBar, EpochLines])
def test_every_callback_works_by_hand_without_set_params(kind):
    own_loop(kind(), small_model())


def test_callbacks_that_write_files_work_by_hand_without_set_params(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n0,9,9\n")
    own_loop(CSVLogger(tmp_path / "log.csv", append=True), small_model())
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    own_loop(ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.1f}.npz", save_best_only=True), small_model())
    assert {path.name for path in tmp_path.glob("*.npz")} == {"1-1.0.npz", "2-0.5.npz"}


def test_a_callback_has_no_model_and_no_params_before_it_is_told():
    assert Callback().model is None
    assert Callback().params == {}


def test_checkpoint_keeps_its_best_between_two_trainings_of_one_object(tmp_path):
    path = tmp_path / "model.npz"
    checkpoint = ModelCheckpoint(path, save_best_only=True)
    own_loop(checkpoint, small_model(), [1.0, 0.5])
    own_loop(checkpoint, small_model(), [0.6, 0.7, 0.8])        # none is better than the first training's best
    assert load_model(path).get_weights()[0][0, 0] == 1
    own_loop(checkpoint, small_model(), [0.6, 0.7, 0.4])
    assert load_model(path).get_weights()[0][0, 0] == 2
    assert checkpoint.best == 0.4


@pytest.mark.parametrize("threshold", [0.4, None])
def test_checkpoints_threshold_is_its_best_before_the_first_epoch(threshold):
    assert ModelCheckpoint("model.npz", save_best_only=True, initial_value_threshold=threshold).best == threshold


@pytest.mark.parametrize(
    ("options", "values", "ran", "best"),
    [
        ({"patience": 2, "restore_best_weights": True}, [np.nan] * 4, 2, 0),     # no number at all: the first epoch's weights
        ({"patience": 2}, [np.inf, np.inf, 0.5], 2, 1),                         # infinity is no improvement
        ({"patience": 1, "mode": "max"}, [-np.inf, 0.5, 0.4], 3, 2),
        ({"patience": 2, "restore_best_weights": True, "start_from_epoch": 1}, [0.1, np.nan, np.nan, 0.5], 3, 1),
    ],
    ids=str,
)  # fmt: skip
def test_early_stopping_treats_values_that_are_not_finite_as_keras_does(options, values, ran, best):
    model, epochs, _ = play(EarlyStopping(**options), values)
    assert epochs == ran
    assert model.weights[0] == best


def test_fit_returns_the_history_object_that_it_is_given():
    x, y = data()
    mine = History()
    assert small_model().fit(x, y, epochs=2, verbose=0, callbacks=[mine]) is mine
    assert mine.epoch == [0, 1]
    assert len(mine.history["loss"]) == 2


# -- learning rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch, rate: rate / 2 if epoch else rate, [0.1, 0.05, 0.025]),
        (lambda epoch: 0.5**epoch, [1.0, 0.5, 0.25]),               # the older form
        (lambda epoch, rate=None: 0.25, [0.25] * 3),
        (lambda epoch: np.where(epoch < 1, 0.5, 0.125), [0.5, 0.125, 0.125]),
        (ExponentialDecay(1.0, 1, 0.5), [1.0, 0.5, 0.25]),
    ],
    ids=["of epoch and rate", "of the epoch", "rate optional", "an array without axes", "a schedule of epochs"],
)
def test_the_scheduler_sets_the_rate_of_each_epoch_and_records_it(schedule, rates, capsys):
    x, y = data()
    seen = []

    class Reads(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(self.model.optimizer.learning_rate)

    callbacks = [LearningRateScheduler(schedule, verbose=1), Reads()]
    history = small_model(0.1).fit(x, y, batch_size=5, epochs=3, verbose=0, callbacks=callbacks)
    assert seen == [rate for rate in rates for _ in range(2)]
    assert history.history["learning_rate"] == rates
    line = f"Epoch 2: LearningRateScheduler setting learning rate to {rates[1]}.\n"
    assert capsys.readouterr().out.count(line) == 1


def test_a_scheduler_that_continues_a_training_receives_the_number_of_the_epoch():
    x, y = data()
    epochs = []
    callback = LearningRateScheduler(lambda epoch, rate: epochs.append(epoch) or rate)
    small_model().fit(x, y, initial_epoch=3, epochs=5, verbose=0, callbacks=[callback])
    assert epochs == [3, 4]


@pytest.mark.parametrize("bad", [None, float("nan"), -0.1, "0.1"], ids=repr)
def test_a_rate_of_the_scheduler_that_is_no_number_is_refused_with_its_epoch(bad):
    x, y = data()
    with pytest.raises(ValueError, match=r"learning rate of .* in epoch 0: expected a finite number of at least 0"):
        small_model().fit(x, y, verbose=0, callbacks=[LearningRateScheduler(lambda epoch, rate: bad)])


def test_an_error_inside_a_schedule_is_not_hidden_by_the_older_form():
    def schedule(epoch, rate):
        raise TypeError("mine")

    x, y = data()
    with pytest.raises(TypeError, match="mine"):
        small_model().fit(x, y, verbose=0, callbacks=[LearningRateScheduler(schedule)])


@pytest.mark.parametrize("callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)], ids=["plateau", "own"])
def test_two_that_set_the_learning_rate_are_refused_before_training(callback):
    x, y = data()
    model = small_model(ExponentialDecay(0.1, 10, 0.5))
    before = model.get_weights()[0]
    with pytest.raises(TypeError, match="whose learning rate is a number, got the schedule ExponentialDecay"):
        model.fit(x, y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.get_weights()[0], before)


# -- a training that diverges -----------------------------------------------------------------------------------------


class Diverges(Callback):
    """Change the weights so that the loss of the second batch of the third epoch is not finite."""

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == 2 and batch == 1:
            self.model.params["dense/kernel"][0, 1] = np.inf

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


@pytest.mark.parametrize("validated", [False, True])
def test_terminate_on_nan_ends_training_without_an_error(validated, tmp_path, capsys):
    x, y = data(10)
    more = {"validation_data": (x, y)} if validated else {}
    diary, stopper = Diary(), EarlyStopping("val_loss" if validated else "loss", patience=9)
    good = small_model()
    good.fit(x, y, batch_size=5, epochs=2, verbose=0, **more)
    model = small_model()
    history = model.fit(
        x, y, batch_size=5, epochs=6, verbose=0, **more,
        callbacks=[Diverges(), TerminateOnNaN(), diary, stopper, CSVLogger(tmp_path / "log.csv")],
    )  # fmt: skip
    assert history.epoch == [0, 1, 2]
    assert all(np.isnan(values[2]) and np.isfinite(values[:2]).all() for values in history.history.values())
    assert diary.calls[-2:] == [f"epoch 2 ends with {', '.join(sorted(history.history))}", "train ends"]
    for a, b in zip(model.get_weights(), good.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)                     # those of the last good epoch
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()
    assert "TerminateOnNaN: training ends. the loss is " in capsys.readouterr().out
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4


def test_without_the_callback_or_with_raise_error_there_is_an_error():
    x, y = data(10)
    for callbacks, kind in (([], FloatingPointError), ([TerminateOnNaN(raise_error=True)], RuntimeError)):
        with pytest.raises(kind, match="the loss is"):
            small_model().fit(x, y, batch_size=5, epochs=6, verbose=0, callbacks=[Diverges(), *callbacks])


def test_in_a_loop_of_your_own_terminate_on_nan_stops_at_the_batch(capsys):
    callback = TerminateOnNaN()
    callback.set_model(FakeModel())
    callback.on_train_batch_end(0, {"loss": 1.0})
    callback.on_train_batch_end(1, {})
    assert not callback.model.stop_training
    callback.on_train_batch_end(2, {"loss": float("inf")})
    assert callback.model.stop_training
    assert "batch 2: the loss is inf" in capsys.readouterr().out


# -- functions as callbacks -------------------------------------------------------------------------------------------


def test_a_lambda_callback_calls_its_functions_where_their_names_say():
    calls = []
    methods = {name: lambda *arguments, name=name: calls.append((name, *arguments[:-1])) for name in METHODS}
    x, y = data(5)
    small_model().fit(x, y, batch_size=3, epochs=1, verbose=0, callbacks=[LambdaCallback(**methods)])
    batches = [(f"on_train_batch_{what}", b) for b in (0, 1) for what in ("begin", "end")]
    assert calls == [("on_train_begin",), ("on_epoch_begin", 0), *batches, ("on_epoch_end", 0), ("on_train_end",)]


def test_the_short_names_of_the_methods_of_a_batch_are_called():
    called = []

    class Old(Callback):
        def on_batch_begin(self, batch, logs=None):
            called.append(f"begin {batch}")

        def on_batch_end(self, batch, logs=None):
            called.append(f"end {batch}, loss {logs['loss'] > 0}")

    x, y = data(5)
    lambdas = LambdaCallback(on_batch_end=lambda batch, logs: called.append("lambda"))
    small_model().fit(x, y, batch_size=3, verbose=0, callbacks=[Old(), lambdas])
    assert called == ["begin 0", "end 0, loss True", "lambda", "begin 1", "end 1, loss True", "lambda"]


def test_a_value_that_a_lambda_callback_adds_can_be_monitored():
    x, y = data()
    adds = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=1.0))
    history = small_model(0.0).fit(x, y, epochs=9, verbose=0, callbacks=[adds, EarlyStopping("mine", patience=2)])
    assert history.history["mine"] == [1.0] * 3


def test_a_lambda_callback_refuses_what_is_no_function_and_names_that_fit_does_not_call():
    with pytest.raises(ValueError, match="on_epoch_end: expected a function, got 3"):
        LambdaCallback(on_epoch_end=3)
    with pytest.raises(TypeError, match=r"LambdaCallback: expected only arguments among on_.*, got on_test_begin\."):
        LambdaCallback(on_test_begin=print)


# -- arguments --------------------------------------------------------------------------------------------------------

WRONG = {
    "monitor": [3, None, ""],
    "mode": ["smallest", None, 1],
    "min_delta": ["0.1", None, float("nan"), float("inf")],
    "patience": [-1, 1.5, "2", None],
    "verbose": ["1", None, -1],
    "baseline": ["0.1", float("nan"), True],
    "restore_best_weights": ["yes", None, 2],
    "start_from_epoch": [-1, 0.5],
    "factor": [0, 1, 1.5, "0.1", None, float("nan")],
    "cooldown": [-1, 0.5],
    "min_lr": [-1, "0", None],
    "filepath": [3, None, ["m.npz"]],
    "filename": [3, None],
    "save_best_only": ["no", None],
    "save_weights_only": ["no", None],
    "initial_value_threshold": ["0.5", float("nan")],
    "append": ["a", None],
    "separator": ["", ",,", None],
    "schedule": [0.1, None, "falling"],
    "raise_error": ["yes"],
}
KINDS = {
    EarlyStopping: {}, ReduceLROnPlateau: {}, ModelCheckpoint: {"filepath": "m.npz"}, CSVLogger: {"filename": "log.csv"},
    LearningRateScheduler: {"schedule": lambda epoch: 0.1}, TerminateOnNaN: {},
}  # fmt: skip
CASES = [
    pytest.param(kind, name, bad, id=f"{kind.__name__} {name}={bad!r}")
    for kind in KINDS
    for name in inspect.signature(kind).parameters
    for bad in WRONG[name]
]


@pytest.mark.parametrize(("kind", "name", "bad"), CASES)
def test_a_value_that_an_argument_cannot_have_is_refused_when_the_callback_is_made(kind, name, bad):
    with pytest.raises(ValueError, match=rf"{name}.*got ") as refused:
        kind(**KINDS[kind] | {name: bad})
    assert "\n" not in str(refused.value)


def test_values_of_numpy_are_accepted():
    stopping = EarlyStopping(patience=np.int64(3), min_delta=-0.5, baseline=np.float32(-0.5), restore_best_weights=np.bool_(True))
    assert (stopping.patience, stopping.min_delta, stopping.baseline) == (3, 0.5, -0.5)
    assert ReduceLROnPlateau(verbose=True, factor=np.float64(0.5), min_lr=np.float32(0)).factor == 0.5
