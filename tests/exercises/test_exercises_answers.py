"""The texts of the exercises are true, right answers in many styles pass, and wrong ones are refused without a false accusation."""

import doctest
import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from scratchnet.exercises import EXERCISES
from scratchnet.tools.exercise import listed

ANSWERS = Path(__file__).parent
BOOK = Path(__file__).parents[2] / "docs" / "book"
EVERY = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
QUICK = {"styles": 3, "wrong": 2}       # answers to each exercise in the quick suite

# Wrong answers whose numbers are those of a bug of the gallery, though another line is at fault.
SAME_NUMBERS = {
    ("batchnorm_backward", "sums_over_the_first_axis"): ["batchnorm-each-pixel-apart"],
    ("training_step", "uphill"): ["softmax-wrong-sign"],
    ("training_step", "relu_forgotten_in_backward"): ["relu-mask-from-output"],
}


def run(text, path="answer.py"):
    """Return the names that a program defines."""
    names = {"__name__": "answer", "__file__": str(path)}
    exec(compile(text, str(path), "exec"), names)
    return names


def answers(kind, folder):
    """Return the exercise, the style and the function of each answer in a folder."""
    found = []
    for name in EXERCISES:
        count = 0
        path = ANSWERS / folder / f"{kind}_{name}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        own = [value for value in vars(module).values() if inspect.isfunction(value) and value.__module__ == path.stem]
        arguments = len(EXERCISES[name].arguments)
        for style, function in ((function.__name__, function) for function in own):
            if not style.startswith("_") and style not in EXERCISES and len(inspect.signature(function).parameters) == arguments:
                marks = [pytest.mark.slow] if count >= QUICK[folder] else []
                found.append(pytest.param(name, style, function, id=f"{name}-{style}", marks=marks))
                count += 1
    return found


RIGHT, WRONG = answers("right", "styles"), answers("wrong", "wrong")


# -- the texts ----------------------------------------------------------------------------------------------------------


@EVERY
def test_a_starter_file_has_the_signature_and_raises_until_its_body_is_written(exercise):
    function = run(exercise.starter)[exercise.name]
    assert exercise.signature in exercise.starter
    with pytest.raises(NotImplementedError, match=f"{exercise.name} is empty"):
        function(*exercise.all_cases()[0].arguments.values())


@EVERY
def test_a_starter_file_is_numbered_short_and_names_its_commands(exercise):
    number = list(EXERCISES).index(exercise.name) + 1
    lines = exercise.starter.splitlines()
    assert lines[0].startswith(f'"""Exercise {number} of {len(EXERCISES)}, {exercise.name}: ')
    assert max(map(len, lines)) <= 88
    assert len(lines) <= 60
    assert any(re.match(rf"    scratchnet exercise check {exercise.name}\.py  ", line) for line in lines)


@EVERY
@pytest.mark.parametrize("who", ["solution", "definition"])
def test_the_example_of_a_starter_file_is_what_the_solution_and_the_library_compute(exercise, who):
    starter = run(exercise.starter)
    function = run(exercise.solution)[exercise.name] if who == "solution" else exercise.definition
    names = {**starter, exercise.name: function}
    example = doctest.DocTestParser().get_doctest(starter[exercise.name].__doc__, names, exercise.name, None, 0)
    printed = []
    result = doctest.DocTestRunner().run(example, out=printed.append)
    assert not result.failed, "".join(printed)
    assert result.attempted >= 2


def test_the_sums_in_the_starter_files_are_right():
    sums = []
    for exercise in EXERCISES.values():
        sums += re.findall(r"= ((?:[-+/·.\d() √]|log )+) = (-?[\d.]+)", exercise.starter)
    for written, value in sums:
        formula = re.sub(r"(log|√) ?([\d.]+)", r"\1(\2)", written).replace("√", "np.sqrt").replace("log", "np.log")
        np.testing.assert_allclose(eval(formula.replace("·", "*")), float(value), atol=5e-5, err_msg=written)
    assert len(sums) >= 16


@EVERY
def test_there_are_two_or_three_hints_which_fit_the_terminal_and_contain_no_line_of_the_solution(exercise):
    assert len(exercise.hints) in (2, 3)
    solution = {"".join(line.split("#")[0].split()) for line in exercise.solution.splitlines()}
    for hint in exercise.hints:
        assert all(len(line) <= 78 for line in hint.splitlines())
        assert not [line for line in solution if len(line) > 12 and line in "".join(hint.split())]


@EVERY
def test_a_solution_fits_88_columns_and_passes_its_check(exercise, check_here):
    assert max(map(len, exercise.solution.splitlines())) <= 88
    report = check_here(run(exercise.solution)[exercise.name], exercise.name)
    assert report.passed, str(report)


# -- the answers --------------------------------------------------------------------------------------------------------


def test_every_exercise_has_right_answers_in_many_styles_and_several_wrong_ones():
    for name in EXERCISES:
        assert sum(param.values[0] == name for param in RIGHT) >= 4, name
        assert sum(param.values[0] == name for param in WRONG) >= 4, name


@pytest.mark.parametrize(("name", "style", "function"), RIGHT)
def test_a_right_answer_passes_in_any_style(name, style, function, check_here):
    report = check_here(function, name)
    assert report.passed, str(report)


@pytest.mark.parametrize(("name", "style", "function"), WRONG)
def test_a_wrong_answer_that_is_not_in_the_gallery_is_refused_without_an_accusation(name, style, function, check_here):
    report = check_here(function, name)
    assert not report.passed
    assert report.bugs == SAME_NUMBERS.get((name, style), [])
    assert re.search(r"expected .*, got |was .* when the same call was made again", " ".join(report.lines))
    assert all(len(line) <= 80 or "http" in line or "docs/gallery.md" in line for line in report.lines), str(report)


# -- the page -----------------------------------------------------------------------------------------------------------


def test_the_page_of_the_exercises_shows_what_the_commands_print():
    page = (BOOK / "exercises.md").read_text(encoding="utf-8")
    written = run((BOOK / "exercises_session.py").read_text(encoding="utf-8"), BOOK / "exercises_session.py")["session"](page)
    assert page.count("$ scratchnet") == 4
    assert page == written, "run python docs/book/exercises_session.py"


def test_the_notebook_on_the_page_of_the_exercises_prints_what_it_shows():
    result = doctest.testfile(str(BOOK / "exercises.md"), module_relative=False, encoding="utf-8")
    assert result.attempted >= 4
    assert not result.failed


def test_the_list_of_the_exercises_fits_80_columns():
    assert max(map(len, listed())) <= 80
