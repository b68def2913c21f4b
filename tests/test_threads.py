"""Tasks on threads: each task runs once, for any number of threads; errors reach the caller; a forked process works."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from forced import call_at_bytecode, functions_of, interruptions
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import net_2
from scratchnet.kernels import memory, threads
from scratchnet.kernels.threads import WORTH_THREADS, pieces, run


@given(tasks=st.integers(1, 5000), count=st.integers(2, 64))
def test_pieces_are_every_task_once_in_order(tasks, count):
    cut = pieces(tasks, count)
    assert cut[0][0] == 0
    assert cut[-1][1] == tasks
    assert all(first < last for first, last in cut)
    assert all(a[1] == b[0] for a, b in pairwise(cut))


@given(tasks=st.integers(1, 10**7), count=st.integers(2, 64))
def test_pieces_become_smaller_from_two_thirds_of_an_equal_part_down_to_a_sixteenth(tasks, count):
    sizes = [last - first for first, last in pieces(tasks, count)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == max(1, int(2 / 3 * tasks / count))
    assert all(size >= int(tasks / count / 16) for size in sizes[:-1])
    assert sizes[-1] <= max(1, tasks / count / 16)
    assert len(sizes) <= 8 * count


def count_tasks(first, last, seen, lock):
    with lock:
        seen.extend(range(first, last))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("tasks", [1, 2, 16, 101])
def test_every_task_is_done_once(count, tasks):
    seen, lock = [], threading.Lock()
    with threads.limit(count):
        run(count_tasks, WORTH_THREADS, tasks, seen, lock)
    assert sorted(seen) == list(range(tasks))


def test_little_work_stays_on_the_callers_thread():
    who = []
    with threads.limit(4):
        run(lambda first, last: who.append((threading.get_ident(), first, last)), WORTH_THREADS - 1, 8)
    assert who == [(threading.get_ident(), 0, 8)]


def test_much_work_runs_on_several_threads_at_once():
    met, firsts = threading.Barrier(2), [first for first, _ in pieces(8, 2)[:2]]
    with threads.limit(2):
        run(lambda first, last: met.wait(10) if first in firsts else None, WORTH_THREADS, 8)  # a lone thread would wait in vain


def test_an_error_in_any_thread_reaches_the_caller():
    def broken(first, last):
        if last == 100:
            raise ZeroDivisionError("task 99")

    with threads.limit(2), pytest.raises(ZeroDivisionError, match="task 99"):
        run(broken, WORTH_THREADS, 100)


def waiting_kernel(inside):
    """Return a kernel that takes a moment, during which it is listed in `inside`."""

    def kernel(first, last):
        inside.append(first)
        time.sleep(0.001)
        inside.remove(first)

    return kernel


@pytest.mark.parametrize("first", [False, True])
def test_no_thread_runs_a_kernel_after_run_was_interrupted_at_any_bytecode_and_the_next_run_is_complete(first):
    inside, late, seen, lock = [], [], [], threading.Lock()
    kernel = waiting_kernel(inside)

    def call():
        if first:
            threads._forget_helpers()       # as in a new process: this run starts its helper
        run(kernel, WORTH_THREADS, 4)

    with threads.limit(2):
        call()
        for place in interruptions(functions_of(threads), call):
            late += [place] * bool(inside)
            time.sleep(0.001)               # a helper that was late begins now, and must find nothing
            late += [place] * bool(inside)
            seen.clear()
            run(count_tasks, WORTH_THREADS, 16, seen, lock)
            assert sorted(seen) == list(range(16))
    assert late == []


def test_an_interrupt_during_the_wait_for_helpers_is_raised_after_it_however_often_it_comes():
    inside, caller = [], threading.current_thread()
    begun = threading.Event()

    def kernel(first, last):
        if threading.current_thread() is caller:
            begun.wait(10)
            raise KeyError
        inside.append(first)
        begun.set()
        for _ in range(5):
            signal.pthread_kill(caller.ident, signal.SIGINT)
            time.sleep(0.01)
        inside.remove(first)

    with threads.limit(2), pytest.raises(KeyboardInterrupt):
        run(kernel, WORTH_THREADS, 2)
    assert inside == []


def test_arrays_of_a_run_are_free_when_it_ends_or_fails():
    class Array:
        pass

    def fail(first, last, array):
        raise ZeroDivisionError

    gc.disable()
    try:
        for kernel in (lambda first, last, array: None, fail):
            array = Array()
            watch = weakref.ref(array)
            with threads.limit(2), suppress(ZeroDivisionError):
                run(kernel, WORTH_THREADS, 8, array)
            del array
            deadline = time.monotonic() + 10
            while watch() is not None and time.monotonic() < deadline:
                time.sleep(0.001)           # a helper's frame may end a moment after the run
            assert watch() is None
    finally:
        gc.enable()


def test_a_job_that_a_busy_helper_has_not_taken_yet_keeps_no_array_after_its_end():
    array = np.zeros(3)
    watch = weakref.ref(array)
    waiting = threads._Job(lambda first, last, array: None, (array,), [(0, 1)])
    del array
    waiting.work()
    assert watch() is not None
    waiting.end()
    assert watch() is None
    waiting.help()          # the job is taken late: no piece is left


def test_an_interrupt_never_waits_for_more_than_a_piece_of_limited_work():
    sizes = []
    with threads.limit(1):
        run(lambda first, last: sizes.append(last - first), 10 * threads.MOST, 25)
        run(lambda first, last: sizes.append(last - first), 10 * threads.MOST, 1)
    assert sizes == [2] * 12 + [1] + [1]


def test_limits_of_two_threads_that_overlap_end_each_with_its_own_block():
    first, second = threads.limit(3), threads.limit(5)
    before = threads.count()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads.count() == 5
    second.__exit__(None, None, None)
    assert threads.count() == before


def test_limit_holds_for_a_block_and_ends_with_it_even_in_an_error():
    before = threads.count()
    inside = []

    def broken():
        with threads.limit(before + 3):
            inside.append(threads.count())
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert inside == [before + 3]
    assert threads.count() == before


def test_no_thread_at_all_is_refused():
    with pytest.raises(ValueError, match=r"expected at least 1 thread, got 0\. Use limit\(1\)"), threads.limit(0):
        pass


def test_two_callers_at_once_both_get_their_work_done():
    results = {}

    def caller(name):
        out = np.zeros(400)

        def fill(first, last):
            time.sleep(0.0005)
            out[first:last] += 1

        for _ in range(5):
            run(fill, WORTH_THREADS, len(out))
        results[name] = out

    with threads.limit(2):
        both = [threading.Thread(target=caller, args=(name,)) for name in "ab"]
        [t.start() for t in both]
        [t.join(30) for t in both]
    assert (results["a"] == 5).all()
    assert (results["b"] == 5).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on Python warns of any fork beside threads")
def test_a_forked_process_gets_threads_of_its_own():
    with threads.limit(2):
        run(lambda first, last: None, WORTH_THREADS, 8)  # the pool is there, and its threads do not come along
        child = os.fork()
        if child == 0:
            seen = []
            run(lambda first, last: seen.extend(range(first, last)), WORTH_THREADS, 8)
            os._exit(0 if sorted(seen) == list(range(8)) else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on Python warns of any fork beside threads")
def test_a_process_forked_at_any_moment_of_a_call_recycles_memory():
    def fork():
        child = os.fork()
        if child == 0:
            sys.settrace(None)
            signal.alarm(10)
            addresses = {memory.empty((1 << 20,), "uint8").ctypes.data for _ in range(3)}
            os._exit(0 if len(addresses) == 1 else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    codes, place = [], 0
    while call_at_bytecode(place, fork, functions_of(memory), lambda: memory.empty((1 << 20,), "uint8")):
        place += 15
    assert len(codes) > 3
    assert set(codes) == {0}


def test_a_thread_that_outlives_the_main_one_does_its_work_alone():
    code = f"""
import threading, time
from scratchnet.kernels.threads import limit, run
def work():
    threading.main_thread().join()
    time.sleep(0.2)
    seen = []
    with limit(2):
        run(lambda first, last: seen.extend(range(first, last)), {WORTH_THREADS}, 8)
    print(sorted(seen), flush=True)
threading.Thread(target=work).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(list(range(8))), done.stderr


# -- the same bits as alone: two models in two threads, a forked process, several processes from cold ------------------


def trained(seed, make=net_2, images=64, epochs=2):
    """Train a small network and return its weights and probabilities as bytes."""
    rng = np.random.default_rng(seed)
    x, y = rng.random((images, 12, 12, 2), np.float32), np.eye(3, dtype="float32")[rng.integers(0, 3, images)]
    model = make((12, 12, 2), 3, seed=seed)
    model.compile(metrics=["accuracy"])
    model.fit(x, y, batch_size=24, epochs=epochs, verbose=0)
    return [a.tobytes() for a in (*model.get_weights(), model.predict(x, verbose=0))]


def at_once(calls):
    """Make the calls in one thread each, which start together, and return their results in order."""
    start, results = threading.Barrier(len(calls)), {}

    def work(k):
        start.wait(60)
        results[k] = calls[k]()

    workers = [threading.Thread(target=work, args=(k,)) for k in range(len(calls))]
    [t.start() for t in workers]
    [t.join(300) for t in workers]
    return [results[k] for k in range(len(calls))]


@pytest.mark.compiled
@pytest.mark.parametrize("times", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_models_trained_in_several_threads_at_once_have_the_bits_of_each_alone(times, monkeypatch):
    monkeypatch.setattr(threads, "WORTH_THREADS", 1)                # every kernel is shared among threads
    for count in (2, 5):
        with threads.limit(count):
            alone = [trained(seed) for seed in range(3)]
            for _ in range(times):
                assert at_once([lambda seed=seed: trained(seed) for seed in range(3)]) == alone


@pytest.mark.compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_while_another_thread_trains_computes_the_bits_of_one_alone():
    code = """if True:
        import hashlib, os, sys, threading, warnings
        warnings.simplefilter("ignore")         # from Python 3.12 on of any fork beside threads
        sys.path.insert(0, sys.argv[1])
        from test_threads import threads, trained
        threads.WORTH_THREADS = 1
        with threads.limit(3):
            alone, stop = trained(0), threading.Event()
            def train():
                while not stop.is_set():
                    trained(1)
            other = threading.Thread(target=train)
            other.start()
            codes = []
            for _ in range(8):
                child = os.fork()
                if child == 0:
                    os._exit(0 if trained(0) == alone else 1)
                codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            stop.set()
            other.join()
        print(codes)
    """
    done = subprocess.run([sys.executable, "-c", code, os.path.dirname(__file__)], capture_output=True, text=True, timeout=120)
    assert done.stdout == f"{[0] * 8}\n", done.stderr


FROM_COLD = {
    "a kernel": """
import numpy as np
from scratchnet.kernels import images
print(images.fetch(np.arange(1000, dtype=np.float32) / 3, 0, 1000))
""",
    "a model": """
import hashlib
from test_threads import net_2, trained
print(hashlib.sha256(b"".join(trained(0))).hexdigest())
""",
}


@pytest.mark.compiled
@pytest.mark.parametrize("what", ["a kernel", pytest.param("a model", marks=pytest.mark.slow)])
def test_several_processes_from_cold_compute_the_same_bits_at_once(what, tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    env |= {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([*sys.path, os.path.dirname(__file__)])}
    options = {"env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([sys.executable, "-c", FROM_COLD[what]], **options) for _ in range(2)]
    said = [process.communicate(timeout=600) for process in running]
    assert len({out for out, _ in said}) == 1, said
    assert all(process.returncode == 0 for process in running), said
    warm = subprocess.run([sys.executable, "-c", FROM_COLD[what]], env=env, capture_output=True, text=True, timeout=600)
    assert warm.stdout == said[0][0]
    assert "compiling" not in warm.stderr           # what they left in the cache is whole
