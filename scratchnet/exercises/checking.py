"""The check of an answer: run it, find the first thing that is wrong, and say what it is.

In this order: whether the file runs to its end; the number, type, shape and dtype of the results; whether arguments are
modified; whether results contain uninitialized memory; whether the same call returns the same results; and the numbers, compared
with the definition, case by case, the smallest first. Finally, the results of all cases are compared with those of the gallery's
bugs.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import signal
import tokenize
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.exercises import catalogue, comparison, running
from scratchnet.exercises.child import GIGABYTES, UNINITIALIZED
from scratchnet.exercises.comparison import Results
from scratchnet.exercises.exercise import Arguments, Exercise
from scratchnet.exercises.pictures import number, wrapped, wrapped_output
from scratchnet.exercises.running import SECONDS, WAITING, Run
from scratchnet.gradcheck.numeric import central_differences
from scratchnet.tools import gallery
from scratchnet.tools.gallery.page import anchor

LARGEST_FILE = 1_000_000        # bytes
STEP = 1e-5                     # of finite differences
SMALL = 1e-4                    # the largest relative difference from finite differences that rounding explains, even in float32
BY_DIFFERENCES = 2              # cases, the smallest, that are compared with finite differences too
SHOWN = 10                      # lines of what the function prints, wrapped
HINTS = {
    "None": " Is there a return at its end?",
    "a generator": " Write return in place of yield.",
    "a coroutine": " Leave out async.",
}


@dataclass
class Report:
    """The result of a check; `print(report)` shows it.

    Attributes
    ----------
    exercise : str
    passed : bool
    kind : str
        What is wrong: "syntax", "error", "time", "died", "results", "shape", "dtype", "modified", "random", "uninitialized" or
        "numbers"; empty if nothing is.
    lines : list of str
    bugs : list of str
        The bugs of the gallery that were recognized.
    case : int or None
        The number of the first case that shows it, from 0.
    """

    exercise: str
    passed: bool
    kind: str
    lines: list[str]
    bugs: list[str] = field(default_factory=list)
    case: int | None = None

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__


@dataclass
class Problem:
    """The first thing that is wrong."""

    kind: str
    lines: list[str]
    case: int | None = None


def check(function: Callable[..., Any], name: str | None = None, *, seconds: float = SECONDS) -> Report:
    """Check a function of a notebook or a program.

    It is called in a copy of this process, which can be ended, or on Windows and macOS in a thread: `scratchnet.exercises.running`.

    Parameters
    ----------
    function : callable
        Takes the arguments of the exercise by position.
    name : str, optional
        The exercise; by default the name of the function.
    seconds : float
        The limit of processor time for each case, of which there are about ten (in a thread: for all cases together). The
        limit of real time, for all cases together, is six times as long.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        For something that is not a function.
    ValueError
        If no exercise has this name.
    """
    if not callable(function):
        raise TypeError(f"check: expected a function, got {type(function).__name__}. Pass the function itself, without calling it")
    exercise = catalogue.find(getattr(function, "__name__", "") if name is None else name)
    problem = wrong_signature(exercise, function)
    run = Run() if problem else running.run_function(exercise, function, seconds)
    return reported(exercise, run, problem, seconds)


def check_file(path: Path, *, seconds: float = SECONDS) -> Report:
    """Run a file in a process of its own, and check the function in it that has the name of an exercise.

    Raises
    ------
    ValueError
        For a file that defines no exercise, or several.
    OSError
        For a file that cannot be read.
    """
    source = read_source(path)
    problem = syntax_problem(source, path)
    if problem:
        return Report("", False, problem.kind, ["The file has a syntax error, so it was not run:", "", *problem.lines])
    exercise = exercise_of(source, path)
    return reported(exercise, running.run_file(exercise, path.absolute(), source, seconds), None, seconds)


def exercise_in(path: Path) -> Exercise | None:
    """Return the exercise that a file answers; None if the file is not Python. Errors are those of `check_file`."""
    source = read_source(path)
    return None if syntax_problem(source, path) else exercise_of(source, path)


# -- which exercise -----------------------------------------------------------------------------------------------------


def read_source(path: Path) -> str:
    """Return the text of a Python file, in the encoding that it declares."""
    if path.exists() and not path.is_file():
        raise ValueError(f"exercise: expected a Python file, got {path}, which is not a file. Name the file that you wrote")
    with open(path, "rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"exercise: expected a Python file below 1 MB, got {path}, which is larger. Name the file that you wrote")
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        text = "\0"
    if "\0" in text:
        raise ValueError(f"exercise: expected a Python file, got {path}, which is not text. Name the file that you wrote")
    return text.lstrip("\ufeff")


def syntax_problem(source: str, path: Path) -> Problem | None:
    """Return the syntax error of a file, if it has one."""
    try:
        compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}: {error.msg}"
        shown = [f"    {(error.text or '').strip()[:70]}"] if error.text else []
        return Problem("syntax", [where, *shown])
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Problem("syntax", [f"{path}: {error or type(error).__name__}"])
    return None


def exercise_of(source: str, path: Path) -> Exercise:
    """Return the exercise that a file answers.

    It is that of the line "# exercise: NAME"; without this line, the one whose function the file defines, or else imports; if there
    are several, that of the file's name.
    """
    marked = re.search(r"^# exercise: *(\w+)", source, re.MULTILINE)
    if marked:
        return catalogue.find(marked[1])
    body = ast.parse(source).body
    defined = [name for node in body for name in names_of(node)]
    if not set(defined) & set(catalogue.EXERCISES):
        defined += [alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    known = list(dict.fromkeys(name for name in defined if name in catalogue.EXERCISES))
    if len(known) == 1:
        return catalogue.EXERCISES[known[0]]
    if path.stem in known:
        return catalogue.EXERCISES[path.stem]
    if known:
        raise ValueError(
            f"exercise: expected one exercise in {path}, got {', '.join(known)}. Write a line such as '# exercise: {known[0]}' in"
            " the file, which names the one to check"
        )
    near = [close for name in defined for close in difflib.get_close_matches(name, catalogue.EXERCISES, 1)]
    fix = f"Did you mean {near[0]}?" if near else "Begin with 'scratchnet exercise start NAME'"
    found = ", ".join(defined[:5]) or "none"
    raise ValueError(f"exercise: expected a function with the name of an exercise in {path}, got {found}. {fix}")


def names_of(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a file defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def wrong_signature(exercise: Exercise, function: Callable[..., Any]) -> Problem | None:
    """Return what is wrong if the function cannot be called with the arguments of the exercise."""
    with suppress(ValueError):      # of a function without a signature, such as those in C
        try:
            inspect.signature(function).bind(*exercise.arguments)
        except TypeError as error:
            return Problem("error", [f"The function cannot be called: {error}.", f"Its first line should be {exercise.signature}"])
    return None


# -- what is wrong ------------------------------------------------------------------------------------------------------


def reported(exercise: Exercise, run: Run, problem: Problem | None, seconds: float) -> Report:
    """Return the report of a run."""
    answers = answers_of(exercise, run)
    problem = problem or first_problem(exercise, run, answers, seconds)
    printed = printed_lines(run.printed(problem.case if problem else 0))
    if problem is None:
        return Report(exercise.name, True, "", [f"{exercise.name}: passed", *passed_lines(exercise, answers), *printed])
    bugs = recognized(exercise, run, answers, problem)
    lines = [f"{exercise.name}: not right yet", "", *problem.lines]
    for bug, names in bugs.items():
        lines += ["", *recognition_lines(bug, names)]
    return Report(exercise.name, False, problem.kind, [*lines, *printed], list(bugs), problem.case)


def answers_of(exercise: Exercise, run: Run, call: int = 0) -> list[Results]:
    """Return the results of the first cases, by name."""
    answers: list[Results] = []
    while (len(answers), call) in run.results:
        saved = run.results[len(answers), call]
        answers.append({name: saved[k] for k, name in enumerate(exercise.returns) if k in saved})
    return answers


def first_problem(exercise: Exercise, run: Run, answers: list[Results], seconds: float) -> Problem | None:
    """Return the first thing that is wrong, if anything is."""
    failed = next((e for e in run.events if e["event"] == "error"), None)
    if failed and failed["case"] is None:
        return Problem("error", [*error_lines(failed, "when the file was run, before any call"), *at_top_level(failed)])
    if run.first("loaded") is None:
        late = too_late(run, "The file did not finish", seconds, "Is there a loop outside of the functions?")
        return Problem("time", late) if late else Problem("died", died(run, "while the file was run"))
    cases = exercise.all_cases()
    for i, case in enumerate(cases):
        where = f"Case {i + 1} of {len(cases)}: {about(case.arguments)}"
        problem = problem_of_case(exercise, run, answers, i)
        if problem is None and failed and failed["case"] == i:
            of_call = failed["type"] == "TypeError" and failed["line"] is None
            first_line = [f"Its first line should be {exercise.signature}"] if of_call else []
            problem = Problem("error", [*error_lines(failed, "for these arguments"), *first_line])
        if problem is None and (run.first("returned", i) is None or run.ending) and not finished(run, i):
            late = too_late(run, "The function did not return", seconds, "Is there a loop that never ends, or a very slow one?")
            problem = Problem("time", late) if late else Problem("died", died(run, "for these arguments"))
        if problem:
            return Problem(problem.kind, [*wrapped(where), *what_is_new(exercise, i), *problem.lines], i)
    return None


def too_late(run: Run, what: str, seconds: float, question: str) -> list[str]:
    """Return the lines on a run that was ended because its time was over; none if this is not why it ended."""
    if run.ending == "waiting":
        return wrapped(f"{what} within {WAITING * seconds:g} s. Does it wait for something, or is it very slow?")
    return wrapped(f"{what} within {seconds:g} s of processor time. {question}") if run.ending == "time" else []


def finished(run: Run, i: int) -> bool:
    """Return whether both calls of a case have returned."""
    return len([e for e in run.events if e["event"] == "returned" and e["case"] == i]) == 2


def problem_of_case(exercise: Exercise, run: Run, answers: list[Results], i: int) -> Problem | None:
    """Return what is wrong with the results of one case, if anything is."""
    returned = run.first("returned", i)
    if returned is None:
        return None
    arguments = exercise.all_cases()[i].arguments
    right = exercise.rights[i]
    answer = answers[i] if i < len(answers) else {}
    problem = (
        wrong_results(exercise, returned["results"], answer, right)
        or modified(exercise, run, i, returned)
        or uninitialized(answer)
        or random(exercise, run, answer, i)
    )
    if problem:
        return problem
    for name in exercise.returns:
        where = comparison.differing(answer[name], right[name])
        if where.any():
            return Problem("numbers", difference_lines(exercise, arguments, name, where, answer[name], right[name]))
    return None


def wrong_results(exercise: Exercise, records: Any, answer: Results, right: Results) -> Problem | None:
    """Return what is wrong with the number, types, shapes or dtypes of the results."""
    names = ", ".join(exercise.returns)
    if isinstance(records, str):
        line = f"Expected {len(exercise.returns)} results, {names}, got {records}."
        return Problem("results", wrapped(line + HINTS.get(records, "")))
    for name, record in zip(exercise.returns, records, strict=True):
        expected = f"float64 of shape {right[name].shape}" if right[name].ndim else "a number"
        line = f"{name}: expected {expected}, got {record['is']}."
        if name not in answer or (right[name].ndim and not record["array"]):
            fix = "" if record["array"] or not right[name].ndim else " Return a NumPy array."
            return Problem("results", wrapped(line + HINTS.get(record["is"], fix)))
        if answer[name].shape != right[name].shape:
            same = [n for n, a in exercise.all_cases()[0].arguments.items() if name == f"d{n}" and isinstance(a, np.ndarray)]
            hint = f" A gradient has the shape of its array, here {same[0]}." if same else ""
            return Problem("shape", wrapped(line + hint))
    for name, record in zip(exercise.returns, records, strict=True):
        if record["array"] and record["dtype"] != "float64":
            line = f"{name}: expected float64, the dtype of the arguments, got {record['dtype']}."
            return Problem("dtype", wrapped(line + " Does an array of zeros, or a conversion, have another dtype?"))
    return None


def modified(exercise: Exercise, run: Run, i: int, returned: dict[str, Any]) -> Problem | None:
    """Return which arguments were modified, if any."""
    names = returned["modified"]
    if not names:
        return None
    lines = wrapped(f"The function modifies its argument {', '.join(names)}, which the caller still needs. Work on a copy.")
    writes = run.first("writes", i)
    if writes and writes["line"]:
        lines += [f"It is line {writes['line']}:", f"    {writes['source'][:74]}"]
    return Problem("modified", lines)


def uninitialized(answer: Results) -> Problem | None:
    """Return which result contains numbers of uninitialized memory, if any does."""
    for name, a in answer.items():
        left = (np.abs(a) > UNINITIALIZED / 1e4) & (np.abs(a) < UNINITIALIZED**2 * 1e4)      # larger ones are overflows
        if left.any():
            where = place(name, tuple(int(k) for k in np.argwhere(left)[0]))
            line = f"{where} contains whatever was in memory: an array from np.empty was read where no number was stored."
            return Problem("uninitialized", wrapped(line + " Begin with np.zeros, or write every number."))
    return None


def random(exercise: Exercise, run: Run, answer: Results, i: int) -> Problem | None:
    """Return which result differs when the same call is made again, if any does."""
    again = answers_of(exercise, run, 1)
    if i >= len(again):
        return None
    for name in exercise.returns:
        second = again[i].get(name)
        if second is None or second.shape != answer[name].shape:
            return Problem("random", wrapped(f"{name}: the same call, made again, returned a result of another type or shape."))
        where = comparison.differing(second, answer[name])
        if where.any():
            k = tuple(int(n) for n in np.argwhere(where)[0])
            line = f"{place(name, k)} was {number(answer[name][k])}, and {number(second[k])} when the same call was made again."
            return Problem("random", wrapped(line + " Does the function keep something, or draw random numbers?"))
    return None


def recognized(exercise: Exercise, run: Run, answers: list[Results], problem: Problem) -> dict[str, list[str]]:
    """Return the bugs of the gallery that are recognized, each with the results whose numbers show it.

    There are none of these for a bug that shows in what the function does, such as writing into an argument.
    """
    if problem.kind == "modified" and problem.case is not None:
        returned = run.first("returned", problem.case) or {}
        return {bug: [] for name, bug in exercise.writes.items() if name in returned["modified"]}
    if problem.kind == "uninitialized":
        return {exercise.uninitialized: []} if exercise.uninitialized else {}
    found = comparison.kept(exercise, answers)
    if problem.kind == "random" and problem.case is not None and exercise.accumulates and not found:
        first, second = answers[problem.case], answers_of(exercise, run, 1)[problem.case]
        names = [name for name in exercise.returns if not comparison.equal(second.get(name), first[name])]
        if all(comparison.equal(second.get(name), 2 * first[name]) for name in names):
            found = [exercise.accumulates]
    return {bug: [] for bug in found} or comparison.recognized(exercise, answers)


# -- in words -----------------------------------------------------------------------------------------------------------


def about(arguments: Arguments) -> str:
    """Return the shapes of the arrays, and the numbers and pairs.

    Examples
    --------
    >>> about({"x": np.zeros((2, 3)), "strides": (1, 2), "t": 3})
    'x (2, 3), strides (1, 2), t = 3'
    """
    words = []
    for name, a in arguments.items():
        shown = f"{name} {a.shape}" if isinstance(a, np.ndarray) else f"{name} {a}"
        words.append(shown if isinstance(a, (np.ndarray, tuple)) else f"{name} = {a}")
    return ", ".join(words)


def join(names: Sequence[str]) -> str:
    """Return names in a sentence.

    Examples
    --------
    >>> join(["dx"]), join(["dx", "dw", "db"])
    ('dx', 'dx, dw and db')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def what_is_new(exercise: Exercise, i: int) -> list[str]:
    """Return the lines on what case i has that the cases before it, which passed, do not have.

    Examples
    --------
    >>> what_is_new(catalogue.find("maxpool_backward"), 4)
    ['Cases 1 to 4 passed; this is the first with no positive pixel in a window.']
    """
    new = exercise.new_in(i) if i else []
    passed = "Case 1" if i == 1 else "Cases 1 and 2" if i == 2 else f"Cases 1 to {i}"
    return wrapped(f"{passed} passed; this is the first with {join(new)}.") if new else []


def place(name: str, index: tuple[int, ...]) -> str:
    """Return the name of an element.

    Examples
    --------
    >>> place("dx", (0, 2)), place("loss", ())
    ('dx[0, 2]', 'loss')
    """
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def error_lines(failed: dict[str, Any], when: str) -> list[str]:
    """Return the lines on an exception: its type and message, and the line of the user's file."""
    message = " ".join(failed["message"].split())
    kind = failed["type"]
    if kind == "SystemExit":
        text = f"It called exit ({message or 'None'}) {when}."
    elif kind == "NotImplementedError":
        text = "The function is not written yet: it raises NotImplementedError."
    elif kind == "MemoryError":
        text = f"It needed more than {GIGABYTES} GB of memory {when}. {message}"
    elif kind == "KeyError" and failed["line"] is None:
        text = f"The file was run, but it does not define a function {message}."
    else:
        text = f"{kind} {when}" + (f": {message}" if message else "")
    line = [f"It is line {failed['line']}:", f"    {failed['source'][:74]}"] if failed["line"] else []
    return [*wrapped(text), *line]


def at_top_level(failed: dict[str, Any]) -> list[str]:
    """Return a hint for an import that failed."""
    if failed["type"] in ("ModuleNotFoundError", "ImportError"):
        return ["An exercise needs NumPy only."]
    return []


def died(run: Run, when: str) -> list[str]:
    """Return the lines on a process that ended by itself."""
    if run.status < 0:
        with suppress(ValueError):
            name = signal.Signals(-run.status).name
            hint = " It may have needed too much memory." if name == "SIGKILL" else ""
            return wrapped(f"The process was ended by the signal {name} {when}.{hint}")
    return wrapped(f"The process ended {when}, with exit code {run.status}. Does something call os._exit?")


def difference_lines(
    exercise: Exercise, arguments: Arguments, name: str, where: np.ndarray, got: np.ndarray, right: np.ndarray
) -> list[str]:
    """Return the lines on the first number that differs, and the picture of how it is computed."""
    index = tuple(int(k) for k in np.argwhere(where)[0])
    differ = "differs" if where.sum() == 1 else "differ"
    many = f" ({where.sum()} of the {where.size} numbers of {name} {differ})" if where.size > 1 else ""
    first = f"{place(name, index)}: expected {number(right[index])}, got {number(got[index])}{many}"
    return [*wrapped(first, "    "), "", *exercise.picture(arguments, name, index)]


def passed_lines(exercise: Exercise, answers: list[Results]) -> list[str]:
    """Return what was compared."""
    names = ", ".join(exercise.returns)
    lines = [f"  {names}: equal to the definition in {len(answers)} cases"]
    error = largest_error(exercise, answers)
    if error is not None and error <= SMALL:
        gradients = ", ".join(f"d{name}" for name in exercise.gradients)
        lines.append(f"  {gradients}: equal to finite differences in {BY_DIFFERENCES} of them, largest relative error {error:.0e}")
    return [*lines, "  no argument is modified, and the same call returns the same numbers"]


def largest_error(exercise: Exercise, answers: list[Results]) -> float | None:
    """Return the largest relative difference to finite differences, in the smallest cases; None where they do not apply."""
    if exercise.forward is None:
        return None
    largest = 0.0
    for case, answer in zip(exercise.all_cases()[:BY_DIFFERENCES], answers, strict=False):
        dout = case.arguments.get("dout", 1.0)
        rest = {name: a.copy() if isinstance(a, np.ndarray) else a for name, a in case.arguments.items() if name != "dout"}
        for name in exercise.gradients:
            forward = partial(exercise.forward, **rest)         # central_differences changes the array `rest[name]`
            numeric = central_differences(forward, rest[name], dout, STEP, np.ones(rest[name].shape, bool))
            scale = max(np.abs(numeric).max(), 1e-12)
            largest = np.maximum(largest, np.abs(answer[f"d{name}"] - numeric).max() / scale)      # a NaN stays
    return float(largest)


def recognition_lines(bug: str, names: Sequence[str]) -> list[str]:
    """Return what is known about a bug of the gallery.

    Equal numbers do not show that the lines are the same: two mistakes may have one effect. So the lines name the results whose
    numbers are those of the bug, and claim no more.
    """
    entry = gallery.find(bug)
    if entry.convention:
        what = "a different convention from that of the exercise, and not an error in"
    else:
        what = "a known mistake, which was in" if names else "the same mistake was in"
    lines = wrapped(f"{f'The numbers of {join(names)} are those of' if names else 'This is'} *{entry.title}*: {what}")
    lines += [f"    {entry.source}", "Read", f"    docs/gallery.md{anchor(entry.title)}"]
    if entry.convention:
        lines += wrapped(entry.convention)
    return lines


def printed_lines(printed: str) -> list[str]:
    """Return the beginning of what the function printed."""
    lines = wrapped_output(printed.rstrip())
    if not lines:
        return []
    more = ["    …"] if len(lines) > SHOWN else []
    return ["", "It printed:", *lines[:SHOWN], *more]
