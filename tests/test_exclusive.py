"""One model in several threads: calls that only read it run at the same time; while it is trained, other calls are refused."""

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scratchnet import Dense, Input, Sequential, net_2
from scratchnet.callbacks import Callback
from scratchnet.support import exclusive

X, Y = np.random.default_rng(0).random((12, 5), np.float32), np.eye(3)[np.arange(12) % 3]
CALLS = {
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "test_on_batch": lambda model: model.test_on_batch(X, Y),
    "evaluate": lambda model: model.evaluate(X, Y, verbose=0),
    "predict": lambda model: model.predict(X, verbose=0),
}


def net():
    model = Sequential([Input((5,)), Dense(4, activation="relu"), Dense(3, activation="softmax")], seed=1)
    model.compile("sgd", metrics=["accuracy"])
    return model


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


class Wait(Callback):
    """Stops a fit between two batches until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.there, self.go_on = threading.Event(), threading.Event()

    def on_train_batch_end(self, batch, logs=None):
        self.there.set()
        assert self.go_on.wait(60)


@pytest.fixture
def trained():
    """A model that another thread is training, and how to end that training."""
    model, wait = net(), Wait()
    thread = threading.Thread(target=lambda: model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[wait]), name="trainer")
    thread.start()
    assert wait.there.wait(60)

    def end():
        wait.go_on.set()
        thread.join(60)

    yield model, end
    end()


@pytest.mark.parametrize("name", CALLS)
def test_beside_a_fit_every_call_of_another_thread_is_refused_in_one_sentence_and_the_fit_goes_on(name, trained):
    model, end = trained
    with pytest.raises(RuntimeError) as error:
        CALLS[name](model)
    assert str(error.value) == (
        f"{name}: expected a model that no other thread uses, got one that thread 'trainer' is training. Wait until it has"
        " finished, or make a model for each thread"
    )
    end()
    alone = net()
    alone.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert bits(model) == bits(alone)
    CALLS[name](model)      # the training has ended


@pytest.mark.parametrize("name", ["fit", "train_on_batch"])
def test_a_training_beside_a_prediction_is_refused(name, monkeypatch):
    model = net()
    forward, there, go_on = model.forward, threading.Event(), threading.Event()

    def slow_forward(*args, **options):
        there.set()
        assert go_on.wait(60)
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", slow_forward)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(CALLS["predict"], model)
        assert there.wait(60)
        before = bits(model)
        with pytest.raises(RuntimeError, match="is using"):
            CALLS[name](model)
        go_on.set()
        assert answer.result(60).shape == (12, 3)
    assert bits(model) == before


def refused_of(count):
    """Start `count` trainings of one model at once, and return how many are refused; one that runs waits for this."""
    model, barrier, refused, go_on = net(), threading.Barrier(count), threading.Semaphore(0), threading.Event()

    class Hold(Callback):
        def on_train_begin(self, logs=None):
            assert go_on.wait(60)

    def work():
        barrier.wait(60)
        try:
            model.fit(X, Y, verbose=0, callbacks=[Hold()])
        except RuntimeError:
            refused.release()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    found = sum(refused.acquire(timeout=30) for _ in range(count - 1))
    go_on.set()
    for thread in threads:
        thread.join(60)
    return found + refused.acquire(blocking=False)


def test_of_many_trainings_that_begin_at_once_exactly_one_runs():
    assert [refused_of(6) for _ in range(20)] == [5] * 20


def test_predictions_and_evaluations_in_many_threads_have_the_bits_of_one_alone():
    rng = np.random.default_rng(0)
    model = net_2((10, 8, 1), 3, seed=1)
    model.compile(metrics=["accuracy"])
    x, y = rng.random((64, 10, 8, 1), np.float32), np.eye(3)[rng.integers(0, 3, 64)]
    parts = [slice(0, 64), slice(0, 17), slice(5, 40), slice(63, 64)] * 4
    predicted = [model.predict(x[part], verbose=0).tobytes() for part in parts]
    evaluated = [model.evaluate(x[part], y[part], verbose=0) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        assert [a.tobytes() for a in pool.map(lambda part: model.predict(x[part], verbose=0), parts)] == predicted
        assert list(pool.map(lambda part: model.evaluate(x[part], y[part], verbose=0), parts)) == evaluated


def test_a_callback_may_evaluate_predict_and_train_its_own_model():
    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            for call in ("evaluate", "predict", "train_on_batch", "test_on_batch"):
                CALLS[call](self.model)

    model = net()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Look()])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(CALLS["fit"], model).result(60)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_training_that_fails_leaves_the_model_free_for_other_threads(error):
    class Fail(Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise error

    model = net()
    with pytest.raises(error):
        model.fit(X, Y, verbose=0, callbacks=[Fail()])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(CALLS["fit"], model).result(60)


def test_two_models_train_in_two_threads_to_the_bits_of_each_alone():
    alone = net()
    alone.fit(X, Y, batch_size=4, epochs=20, verbose=0)
    models = [net() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda model: model.fit(X, Y, batch_size=4, epochs=20, verbose=0), models))
    assert [bits(model) for model in models] == [bits(alone)] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_may_use_a_model_that_another_thread_was_training(trained):
    model, _ = trained
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if CALLS["predict"](model).shape == (12, 3) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_known_of_a_model_does_not_keep_it_alive():
    before = len(exclusive._users)
    for _ in range(5):
        CALLS["predict"](net())
    gc.collect()
    assert len(exclusive._users) <= before
