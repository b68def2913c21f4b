"""What the tests of the exercises share: a check of a function in this process, not in a process of its own."""

import warnings

import pytest

from scratchnet.exercises import checking, child, find, running


@pytest.fixture
def check_here(tmp_path):
    """Return a function that checks a function as `exercises.check` does, but in this process, which is faster."""

    def check(function, name):
        exercise = find(name)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        log = child.Log(folder)
        log(event="loaded")
        cases = [{"arguments": case.arguments, "before": case.before} for case in exercise.all_cases()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # of the functions, as in their own process
            child.serve(function, cases, len(exercise.returns), running.file_of(function), log)
        log(event="end")
        log.file.close()
        return checking.reported(exercise, running.read(folder, ""), None, 1.0)

    return check
