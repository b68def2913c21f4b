"""Answers that fail in other ways than by a wrong number: each is reported as what it is, in a bounded time."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scratchnet import exercises
from scratchnet.exercises import checking, find, running

FORKS = hasattr(os, "fork") and sys.platform != "darwin"
needs_fork = pytest.mark.skipif(not FORKS, reason="needs os.fork, with which a function can be ended")
HEAD = "import numpy as np\n\n\ndef dense_backward(dout, x, w):\n"
RIGHT = "    return dout @ w.T, x.T @ dout, dout.sum(axis=0)\n"


def right(dout, x, w):
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def check_source(folder, body, name="answer.py", seconds=10.0):
    path = folder / name
    path.write_text(body, encoding="utf-8")
    return exercises.check_file(path, seconds=seconds)


# -- a file -------------------------------------------------------------------------------------------------------------


def test_a_right_answer_in_a_file_passes_whatever_the_file_is_called_and_prints(tmp_path):
    body = HEAD + "    print('seen', dout.shape)\n" + RIGHT + "if __name__ == '__main__':\n    1 / 0\n"
    report = check_source(tmp_path, body, "my answer, ü.py")
    assert (report.passed, report.exercise) == (True, "dense_backward")
    assert "    seen (2, 2)" in report.lines


@pytest.mark.parametrize("body", ["def dense_backward(dout, x, w)\n    pass\n", HEAD + "return 1\n", "x = '\n" + HEAD + RIGHT])
def test_a_syntax_error_is_told_with_its_line(tmp_path, body):
    report = check_source(tmp_path, body)
    assert report.kind == "syntax"
    assert "answer.py, line " in str(report)


@pytest.mark.parametrize(
    ("top", "kind", "words"),
    [
        ("import not_a_module\n", "error", "ModuleNotFoundError"),
        ("import sys\nsys.exit()\n", "error", "It called exit"),
        ("while True:\n    pass\n", "time", "did not finish within 0.3 s of processor time"),
        ("import os\nos._exit(0)\n", "died", "exit code 0"),
    ],
)
def test_a_file_that_fails_before_any_call_is_told_as_such(tmp_path, top, kind, words):
    report = check_source(tmp_path, top + HEAD + RIGHT, seconds=0.3 if kind == "time" else 30.0)
    assert (report.kind, report.case) == (kind, None)
    assert words in " ".join(str(report).split())
    assert "Traceback" not in str(report)


def test_a_file_of_another_name_beside_the_answer_is_not_run(tmp_path):
    for name in ("json", "random", "numpy", "dense"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this file was run')\n")
    assert check_source(tmp_path, HEAD + "    import random\n" + RIGHT).passed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got none"),
        (b"def dense_backwards(): pass", "Did you mean dense_backward?"),
        (b"def relu(): pass\ndef adam(): pass", "got relu, adam"),
        (b"# exercise: nothing\n", "got 'nothing'"),
        (b"\x89PNG\r\n\x00", "which is not text"),
        (b"# \xff\ndef relu(): pass", "which is not text"),
        (b"#" * 1_000_001, "below 1 MB"),
    ],
)
def test_a_file_that_is_no_answer_is_refused_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "answer.py"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^exercise: expected .*, got ") as caught:
        exercises.check_file(path)
    assert words in str(caught.value)


def test_of_several_functions_the_one_that_the_file_names_is_checked(tmp_path):
    several = "def relu(x, dout):\n    pass\n\n\n" + HEAD + RIGHT
    path = tmp_path / "answer.py"
    path.write_text("# exercise: dense_backward\n" + several)
    assert checking.exercise_in(path).name == "dense_backward"
    path = tmp_path / "relu.py"
    path.write_text(several)
    assert checking.exercise_in(path).name == "relu"


@pytest.mark.parametrize("top", ["from numpy import dot, maximum as relu", "relu = lambda x, dout: None", "relu: object = print"])
def test_a_function_may_be_defined_by_an_import_or_an_assignment(tmp_path, top):
    path = tmp_path / "answer.py"
    path.write_text(top)
    assert checking.exercise_in(path).name == "relu"
    path.write_text("from scratchnet.kernels.im2col import im2col\ndef conv2d_forward(): pass")
    assert checking.exercise_in(path).name == "conv2d_forward"


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs os.mkfifo")
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(ValueError, match=r"pipe\.py, which is not a file"):
        exercises.check_file(tmp_path / "pipe.py")


@needs_fork
def test_ctrl_c_ends_the_command_and_what_it_started(tmp_path):
    path = tmp_path / "answer.py"
    loop = "import os, pathlib\npathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\nwhile True:\n    pass\n"
    path.write_text(loop + HEAD + RIGHT)
    words = [sys.executable, "-m", "scratchnet", "exercise", "check", str(path)]
    command = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    command.send_signal(signal.SIGINT)
    assert command.communicate(timeout=30)[1] == "scratchnet: interrupted\n"
    assert command.returncode == 130
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(pid))


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


# -- a function ---------------------------------------------------------------------------------------------------------


def ends_python(dout, x, w):
    sys.exit(3)


def ends_the_process(dout, x, w):
    os._exit(0)


def is_killed(dout, x, w):
    os.kill(os.getpid(), signal.SIGKILL)


def never_returns(dout, x, w):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def calls_itself(dout, x, w):
    return calls_itself(dout, x, w)


def interrupts(dout, x, w):
    raise KeyboardInterrupt


def fails(dout, x, w):
    return x[len(x)]


def needs_memory(dout, x, w):
    return np.ones(10**10)


@needs_fork
@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (ends_python, "error", "It called exit (3)"),
        (ends_the_process, "died", "with exit code 0"),
        (is_killed, "died", "SIGKILL"),
        (never_returns, "time", "did not return within 0.3 s of processor"),
        (calls_itself, "error", "RecursionError"),
        (interrupts, "error", "KeyboardInterrupt"),
        (fails, "error", "return x[len(x)]"),
        (needs_memory, "error", "more than 2 GB of memory"),
    ],
)
def test_a_function_that_does_not_return_is_told_as_such_and_ends_nothing_here(function, kind, words):
    report = exercises.check(function, "dense_backward", seconds=0.3 if kind == "time" else 30.0)
    assert (report.passed, report.kind, report.case) == (False, kind, 0)
    assert words in " ".join(str(report).split())
    assert "Traceback" not in str(report)


@needs_fork
def test_only_time_in_which_the_function_computes_counts_but_it_may_not_wait_for_ever():
    def waits(dout, x, w):
        time.sleep(0.05)
        return right(dout, x, w)

    assert exercises.check(waits, "dense_backward", seconds=0.5).passed     # it is called 12 times, and waits 0.6 s
    report = exercises.check(lambda dout, x, w: time.sleep(60), "dense_backward", seconds=0.05)
    assert report.kind == "time"
    assert "did not return within 0.3 s. Does it wait for something," in str(report)


def other_results(change):
    def answer(dout, x, w):
        return change(*right(dout, x, w))

    return answer


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda dx, dw, db: None, "results", "Expected 3 results, dx, dw, db, got None. Is there a return"),
        (lambda dx, dw, db: (dx, dw), "results", "got a tuple of 2"),
        (lambda dx, dw, db: [[dx, dw, db]], "results", "got a list of 1"),
        (lambda dx, dw, db: (k for k in (dx, dw, db)), "results", "Write return in place of yield"),
        (lambda dx, dw, db: (dx.tolist(), dw, db), "results", "dx: expected float64 of shape (2, 3), got a list of 2"),
        (lambda dx, dw, db: (dx, dw, None), "results", "db: expected float64 of shape (2,), got None"),
        (lambda dx, dw, db: (dx, dw, 0.0), "results", "got a float"),
        (lambda dx, dw, db: (dx.astype(object), dw, db), "results", "got object of shape (2, 3)"),
        (lambda dx, dw, db: (dx + 0j, dw, db), "results", "got complex128"),
        (lambda dx, dw, db: (dx.T, dw, db), "shape", "got float64 of shape (3, 2). A gradient has the shape of its array, here x"),
        (lambda dx, dw, db: (dx, dw, db[None]), "shape", "got float64 of shape (1, 2)"),
        (lambda dx, dw, db: (np.zeros((2000, 2000)), dw, db), "results", "got float64 of shape (2000, 2000)"),
        (lambda dx, dw, db: (dx.astype("float32"), dw, db), "dtype", "got float32"),
        (lambda dx, dw, db: (dx, dw, db.astype(int)), "dtype", "db: expected float64, the dtype of the arguments, got int64"),
        (lambda dx, dw, db: (dx * np.nan, dw, db), "numbers", "expected 4, got nan"),
        (lambda dx, dw, db: (dx, dw, db * np.inf), "numbers", "expected 4, got inf"),
    ],
)
def test_results_of_another_type_shape_or_dtype_are_told_as_such(change, kind, words, check_here):
    report = check_here(other_results(change), "dense_backward")
    assert (report.kind, report.case) == (kind, 0)
    assert words in " ".join(str(report).split())


def test_a_function_with_other_arguments_is_told_its_first_line():
    report = exercises.check(lambda x: x, "dense_backward")
    assert report.kind == "error"
    assert "Its first line should be def dense_backward(dout, x, w):" in report.lines


def test_views_of_arguments_lists_of_results_and_other_orders_in_memory_are_right(check_here):
    def step(x, dout, rate, u, training):
        if not training:
            return [x, dout[...]]
        return [np.asfortranarray(a * (u >= rate) / (1 - rate)) for a in (x, dout)]

    assert check_here(step, "dropout").passed


def test_an_answer_that_changes_an_argument_and_restores_it_passes(check_here):
    def restoring(dout, x, w):
        dout *= 2
        results = tuple(a / 2 for a in right(dout, x, w))
        dout /= 2
        return results

    assert check_here(restoring, "dense_backward").passed


def test_the_same_call_must_return_the_same_numbers(check_here):
    rng = np.random.default_rng(0)
    report = check_here(other_results(lambda dx, dw, db: (dx + rng.random(), dw, db)), "dense_backward")
    assert (report.kind, report.bugs) == ("random", [])


def test_what_np_empty_contains_is_told_as_such():
    def uncleared(dout, x, w):
        dx = np.empty_like(x)
        dx[:, 1:] = 0
        dx += dout @ w.T
        return dx, x.T @ dout, dout.sum(axis=0)

    report = exercises.check(uncleared, "dense_backward")
    assert report.kind == ("uninitialized" if FORKS else "numbers")
    assert "dx[0, 0] contains whatever was in memory" in str(report) or not FORKS


def test_the_lines_that_the_user_sees_fit_80_columns():
    def answer(dout, x, w):
        raise ValueError("a message " + "of many words " * 30)

    report = exercises.check(answer, "dense_backward")
    assert report.kind == "error"
    assert max(map(len, report.lines)) <= 80


def test_a_warning_of_numpy_is_shown_whole_in_80_columns(tmp_path):
    body = HEAD + "    return np.log(np.zeros_like(x)), x.T @ dout, dout.sum(axis=0)\n"
    report = check_source(tmp_path, body, "an answer with a name that is long enough to reach the margin.py")
    printed = report.lines[report.lines.index("It printed:") + 1 :]
    assert max(map(len, printed)) <= 80
    text = " ".join(" ".join(printed).split())
    assert "RuntimeWarning: divide by zero encountered in log return np.log(np.zeros_like(x)), x.T @ dout" in text


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_every_trait_of_an_exercise_is_new_in_one_of_its_later_cases(name):
    exercise = find(name)
    new = [exercise.new_in(i) for i in range(len(exercise.all_cases()))]
    assert new[0] == []
    assert sorted(trait for traits in new for trait in traits) == sorted(trait for trait, _ in exercise.traits)
    assert len(exercise.traits) >= 3


def test_an_error_and_a_wrong_number_say_what_is_new_in_their_case(check_here):
    def for_positive(dout, x, pool_size, strides):
        if x.max() < 0:
            raise ValueError("negative")
        return find("maxpool_backward").definition(dout, x, pool_size, strides)

    def symmetric(x, kernel, strides, pads):
        return find("im2col").definition(x, kernel, strides, ((pads[1][0],) * 2, pads[1]))

    news = "Cases 1 to 4 passed; this is the first with no positive pixel in a window."
    assert check_here(for_positive, "maxpool_backward").lines[4:6] == [news, "ValueError for these arguments: negative"]
    report = check_here(symmetric, "im2col")
    assert "Case 1 passed; this is the first with padding and an image that is not square." in report.lines
    assert check_here(for_positive, "relu").lines[3].startswith("TypeError for these arguments")     # nothing passed before


def test_without_fork_a_function_runs_in_a_thread_that_is_stopped(monkeypatch):
    monkeypatch.delattr(os, "fork", raising=False)
    assert exercises.check(right, "dense_backward").passed
    stopped = []

    def never(dout, x, w):
        try:
            while True:
                pass
        finally:
            stopped.append(True)

    report = exercises.check(never, "dense_backward", seconds=0.3)
    assert report.kind == "time"
    wait_for(lambda: stopped)


def test_the_name_of_the_function_is_that_of_the_exercise_unless_one_is_passed():
    def relu(x, dout):
        return np.maximum(x, 0), dout * (x > 0)

    assert exercises.check(relu).passed
    with pytest.raises(ValueError, match="got 'right'"):
        exercises.check(right)
    with pytest.raises(TypeError, match="expected a function, got ndarray"):
        exercises.check(np.zeros(3), "relu")


def test_a_job_leaves_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(running.tempfile, "tempdir", str(tmp_path))
    exercises.check(right, "dense_backward")
    assert list(tmp_path.iterdir()) == []


def test_every_exercise_with_a_forward_agrees_with_finite_differences():
    for exercise in exercises.EXERCISES.values():
        error = checking.largest_error(exercise, exercise.rights)
        assert error is None or error < 1e-8
    assert checking.largest_error(find("conv2d_backward"), find("conv2d_backward").rights) is not None


@pytest.mark.parametrize("factor", [1.001, np.nan])
def test_finite_differences_are_named_only_if_the_gradients_are_equal_to_them(factor):
    exercise = find("dense_backward")
    other = dataclasses.replace(exercise, forward=lambda **arguments: factor * exercise.forward(**arguments))
    assert any("finite differences" in line for line in checking.passed_lines(exercise, exercise.rights))
    assert not any("finite differences" in line for line in checking.passed_lines(other, exercise.rights))
