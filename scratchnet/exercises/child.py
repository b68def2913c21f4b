"""What runs in a process of its own: the user's function, on every case. This file imports only NumPy, so that it starts fast.

The folder of a job contains `job.json` and `arguments.npz`, from `running.py`. This process adds `log.jsonl`, one line for each
thing that happened, such as a call and its results, and the empty files `loading` and `loaded` when these stages begin. Whatever
the function does, the process that started this one looks only at these files.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":      # Python put this folder in the path; a user's `import dropout` must not find our module
    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]

import numpy as np

UNINITIALIZED = 3e33            # what `np.empty` contains in this process; the next call has a multiple of it
GIGABYTES = 2                   # of memory that the function may use
PRINTED = 4_000                 # characters of its output that are kept, of all calls together
LARGEST = 100_000               # numbers of a result that are recorded; the right ones have fewer than 2,000


class Log:
    """The lines of log.jsonl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = open(folder / "log.jsonl", "a", encoding="utf-8")   # noqa: SIM115 - until the process ends

    def __call__(self, **record: Any) -> None:
        """Write one line."""
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def stage(self, name: str) -> None:
        """Record the beginning of a stage, "loading" or "loaded", at which the time limit begins again."""
        self(event=name)
        (self.folder / name).touch()


class Printed(io.TextIOBase):
    """A stream that writes the beginning of what is printed into the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        self.room = PRINTED

    def write(self, text: str) -> int:
        """Write the text, as far as there is room."""
        if self.room > 0 and text:
            self.log(event="printed", text=text[: self.room])
            self.room -= len(text)
        return len(text)


def limit_resources() -> None:
    """Limit memory, and the processor time in case the process that started this one does not end it; where the system can."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + GIGABYTES * 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def limit_processor_time(seconds: float) -> None:
    """Let the system end this process, with SIGPROF, after this many more seconds of its processor time, where the system can.

    The time in which other processes run, or in which this one waits, does not count.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def fill_empty_arrays() -> None:
    """Make `np.empty` and `np.empty_like` return recognizable numbers, in place of whatever the memory contains."""
    calls = 0

    def filling(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def made(*arguments: Any, **keywords: Any) -> np.ndarray:
            nonlocal calls
            calls += 1
            a = make(*arguments, **keywords)
            if a.dtype.kind in "fc":
                a.fill(UNINITIALIZED * (1 + calls % 7) if a.dtype.itemsize >= 4 else 3e4)
            return a

        return made

    for name in ("empty", "empty_like"):
        setattr(np, name, filling(getattr(np, name)))


def error_record(error: BaseException, file: str) -> dict[str, Any]:
    """Return type and message of an error, and the last line of the user's file that took part in it."""
    line, source = None, ""
    frames: Any = error.__traceback__
    for frame, number in traceback.walk_tb(frames):
        if frame.f_code.co_filename == file:
            line = number
    if line is not None:
        import linecache

        source = linecache.getline(file, line).strip()
    try:
        message = str(error)
    except Exception:
        message = ""
    return {"type": type(error).__name__, "message": message[:500], "line": line, "source": source[:200]}


def describe(value: Any) -> str:
    """Return what a value is, in a few words.

    Examples
    --------
    >>> describe(np.zeros((2, 3))), describe([1, 2]), describe(None), describe(x for x in ())
    ('float64 of shape (2, 3)', 'a list of 2', 'None', 'a generator')
    """
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    if value is None:
        return "None"
    kind = type(value).__name__
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    return f"{article} {kind} of {len(value)}" if isinstance(value, (list, tuple, dict, set, str)) else f"{article} {kind}"


def as_records(returned: Any, count: int) -> list[dict[str, Any]] | str:
    """Return the results as records for the log; a description of what was returned, if it is not `count` results."""
    if count == 1:
        results = [returned]
    elif isinstance(returned, (tuple, list)) and len(returned) == count:
        results = list(returned)
    else:
        return describe(returned)
    records = []
    for result in results:
        number = isinstance(result, (int, float, np.number)) and not isinstance(result, bool)
        a = np.asarray(result) if number or isinstance(result, np.ndarray) else None
        record = {"is": describe(result), "array": isinstance(result, np.ndarray)}
        if a is not None and a.dtype.kind in "biuf" and a.itemsize <= 8 and a.size <= LARGEST:
            record |= {"dtype": a.dtype.name, "shape": a.shape, "numbers": a.ravel().tolist()}
        records.append(record)
    return records


def changed(arguments: dict[str, Any], original: dict[str, Any]) -> list[str]:
    """Return the names of the arrays whose numbers are not those of `original`."""
    arrays = [name for name, a in arguments.items() if isinstance(a, np.ndarray)]
    return [name for name in arrays if arguments[name].tobytes() != original[name].tobytes()]


def copies(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with copies of the arrays."""
    return {name: a.copy(order="K") if isinstance(a, np.ndarray) else a for name, a in arguments.items()}


def serve(
    function: Callable[..., Any], cases: list[dict[str, Any]], results: int, file: str, log: Log, seconds: float | None = None
) -> None:
    """Call the function twice for each case, and record what happens; the first error is the last record.

    `seconds` limits the processor time of each case, if this process may be ended. It is not a limit for all cases together:
    numba compiles a function again for each number of axes, which takes seconds each time.
    """
    for i, case in enumerate(cases):
        arguments = copies(case["arguments"])
        if seconds is not None:
            limit_processor_time(seconds)
        for k in range(2):
            try:
                if k == 0 and case["before"]:
                    now = {name: arguments[name].copy(order="K") for name in case["before"]}
                    for name, numbers in case["before"].items():
                        arguments[name][...] = numbers
                    function(*arguments.values())
                    for name, numbers in now.items():
                        arguments[name][...] = numbers
                elif k == 1:
                    arguments = copies(case["arguments"])
                log(event="call", case=i, call=k)
                returned = function(*arguments.values())
                modified = changed(arguments, case["arguments"])
                records = as_records(returned, results)
                del returned
                log(event="returned", case=i, call=k, results=records, modified=modified)
                if modified:
                    log(event="writes", case=i, **writing_line(function, case["arguments"], file))
            except BaseException as error:
                log(event="error", case=i, call=k, **error_record(error, file))
                return


def writing_line(function: Callable[..., Any], arguments: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the line that writes into an argument: the one that fails when the arguments are read-only."""
    arguments = copies(arguments)
    for a in arguments.values():
        if isinstance(a, np.ndarray):
            a.flags.writeable = False
    try:
        function(*arguments.values())
    except ValueError as error:
        return error_record(error, file)
    return {"line": None, "source": ""}


def load(file: str, name: str, source: str) -> Callable[..., Any]:
    """Run the user's file, and return the function of this name."""
    module = types.ModuleType("exercise_file")
    module.__file__ = file
    sys.modules["exercise_file"] = module
    exec(compile(source, file, "exec", dont_inherit=True), vars(module))
    function = vars(module)[name]
    if not callable(function):
        raise TypeError(f"{name} is {describe(function)}, not a function")
    return function


def begin(folder: Path) -> Log:
    """Prepare the process, and return its log."""
    log = Log(folder)
    sys.stdout = sys.stderr = cast(Any, Printed(log))
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    for kind in (RuntimeWarning, UserWarning):      # such as a division by zero
        warnings.simplefilter("default", kind)
    warnings.filterwarnings("ignore", "coroutine")
    fill_empty_arrays()
    limit_resources()
    return log


def end(log: Log) -> None:
    """Record the end, and end the process without the functions that the user's file has registered with `atexit`."""
    log(event="end")
    os._exit(0)


def as_tuples(value: Any) -> Any:
    """Return a value with tuples in place of lists, which JSON has in place of tuples."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with np.load(folder / "arguments.npz") as file:
        arrays = dict(file)
    cases = []
    for i, case in enumerate(job["cases"]):
        arguments = {n: arrays[f"{i}/{n}"] if f"{i}/{n}" in arrays else as_tuples(case[n]) for n in job["arguments"]}
        before = {n: arrays[f"{i}/before/{n}"] for n in job["arguments"] if f"{i}/before/{n}" in arrays}
        cases.append({"arguments": arguments, "before": before})
    sys.path += job["path"]
    log = begin(folder)
    log.stage("loading")
    limit_processor_time(job["seconds"])
    try:
        function = load(job["file"], job["name"], job["source"])
    except BaseException as error:
        log(event="error", case=None, call=None, **error_record(error, job["file"]))
    else:
        log.stage("loaded")
        serve(function, cases, job["results"], job["file"], log, job["seconds"])
    end(log)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
