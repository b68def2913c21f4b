"""The user's function in a process of its own, with a limit of time and of memory.

The limit is one of processor time, which does not depend on what else the machine does. A function that waits uses none, so there
is a longer limit of real time, too.

A file is run by a new Python (`child.py`). A function, from a notebook, is called in a copy of this process (`os.fork`), where that
is possible: then nothing that it does, not even an endless loop or `os._exit`, changes this process. Elsewhere (Windows, macOS,
where a copy of a process with threads may fail) it is called in a thread. A thread cannot be ended: when the time is over, the
exception `TimeOver` is raised in it, which ends a loop in Python, but not a single call of NumPy; and its memory is not limited.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.exercises import child
from scratchnet.exercises.exercise import Case, Exercise

SECONDS = 10.0                  # of processor time, for the import of a file, and for the calls of each case (in a thread: of all)
WAITING = 6                     # times as many seconds may go by, for the import, and for all calls together
PACKAGE = str(Path(__file__).parents[2])


class TimeOver(BaseException):
    """Raised in a thread whose time is over."""


@dataclass
class Run:
    """What happened.

    Attributes
    ----------
    events : list of dict
        The lines of the log; `child.py` writes them.
    results : dict
        The arrays that call k of case i returned, for the key (i, k): a dict from the number of the result to the array.
    ending : {"", "time", "waiting", "died"}
        Why the run did not finish: "time" is the processor time, "waiting" the real time.
    status : int
        The exit code of the process, negative for a signal.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    results: dict[tuple[int, int], dict[int, np.ndarray]] = field(default_factory=dict)
    ending: str = ""
    status: int = 0

    def first(self, event: str, case: int | None = None) -> dict[str, Any] | None:
        """Return the first record of an event, of one case or of any."""
        found = (e for e in self.events if e["event"] == event and (case is None or e["case"] == case))
        return next(found, None)

    def printed(self, case: int | None) -> str:
        """Return what the file printed when it was run, and what the function printed in the first call of a case."""
        text, now = "", True
        for event in self.events:
            if event["event"] == "printed" and now:
                text += event["text"]
            elif event["event"] == "call":
                now = event["case"] == case and event["call"] == 0
        return text


def run_file(exercise: Exercise, file: Path, source: str, seconds: float = SECONDS) -> Run:
    """Run a file in a new process, and its function on all cases."""
    cases = exercise.all_cases()
    with job_folder() as folder:
        job = {
            "file": str(file),
            "source": source,
            "name": exercise.name,
            "path": [str(file.parent), PACKAGE],        # appended to sys.path: no file here replaces a module of Python
            "arguments": exercise.arguments,
            "results": len(exercise.returns),
            "seconds": seconds,
            "cases": [{n: a for n, a in case.arguments.items() if not isinstance(a, np.ndarray)} for case in cases],
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        arrays = {f"{i}/{n}": a for i, case in enumerate(cases) for n, a in case.arguments.items() if isinstance(a, np.ndarray)}
        arrays |= {f"{i}/before/{n}": a for i, case in enumerate(cases) for n, a in before(case).items()}
        np.savez(folder / "arguments.npz", **arrays)    # type: ignore[arg-type]
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        process = subprocess.Popen(
            [sys.executable, child.__file__, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **threads},
            start_new_session=True,
        )

        def ended() -> int | None:
            return process.poll()

        def kill() -> None:
            end_session(process.pid)
            process.kill()
            process.wait()

        return watched(folder, ended, kill, seconds)


def run_function(exercise: Exercise, function: Callable[..., Any], seconds: float = SECONDS) -> Run:
    """Call a function on all cases, in a copy of this process or in a thread."""
    cases = [{"arguments": case.arguments, "before": before(case)} for case in exercise.all_cases()]
    file = file_of(function)
    with job_folder() as folder:
        if not hasattr(os, "fork") or sys.platform == "darwin":
            return run_in_thread(function, cases, len(exercise.returns), file, folder, seconds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)     # of fork, in a process with threads
            pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPROF):
                    signal.signal(number, signal.SIG_DFL)
                log = child.begin(folder)
                log.stage("loaded")
                child.serve(function, cases, len(exercise.returns), file, log, seconds)
                child.end(log)
            finally:
                os._exit(1)
        status: list[int] = []

        def ended() -> int | None:
            if not status:
                try:
                    done, code = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:       # the program ignores SIGCHLD, so that its processes leave no status
                    done, code = pid, 0
                if done:
                    status.append(os.waitstatus_to_exitcode(code))
            return status[0] if status else None

        def kill() -> None:
            end_session(pid)
            if not status:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

        return watched(folder, ended, kill, seconds)


def run_in_thread(
    function: Callable[..., Any], cases: Sequence[dict[str, Any]], results: int, file: str, folder: Path, seconds: float
) -> Run:
    """Call a function on all cases in a thread, which receives `TimeOver` when its time is over."""
    log = child.Log(folder)
    log.stage("loaded")
    thread = threading.Thread(target=child.serve, args=(function, list(cases), results, file, log), daemon=True)
    processor, limit = time.process_time() + seconds, time.monotonic() + WAITING * seconds
    thread.start()
    late = ""
    while thread.is_alive() and not late:
        thread.join(0.05)
        late = "time" if time.process_time() > processor else "waiting" if time.monotonic() > limit else ""
    late = late if thread.is_alive() else ""
    run = read(folder, late)
    if late:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeOver))
        thread.join(1)
    else:
        log(event="end")
        run = read(folder, "")
    if not thread.is_alive():
        log.file.close()
    return run


def before(case: Case) -> dict[str, np.ndarray]:
    """Return the arrays of the earlier call of a case."""
    return {name: a for name, a in case.before.items() if isinstance(a, np.ndarray)}


def file_of(function: Callable[..., Any]) -> str:
    """Return the name of the file, or of the cell of a notebook, in which a function is defined."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_filename if code else ""


@contextmanager
def job_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it."""
    with tempfile.TemporaryDirectory(prefix="scratchnet-exercise-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def end_session(pid: int) -> None:
    """End a process and all that it started, which are a session of their own."""
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def watched(folder: Path, ended: Callable[[], int | None], kill: Callable[[], None], seconds: float) -> Run:
    """Wait until a process ends, but not longer than the limit for each of its stages; then end it."""
    stage, ending = "", ""
    limit = time.monotonic() + WAITING * seconds
    try:
        while (status := ended()) is None:
            reached = stage_of(folder)
            if reached != stage:
                stage, limit = reached, time.monotonic() + WAITING * seconds
            elif time.monotonic() > limit:
                ending = "waiting"
                break
            time.sleep(0.01)
    finally:
        kill()
    run = read(folder, ending)
    run.status = status or 0
    if not ending and run.first("end") is None:
        run.ending = "time" if run.status == -getattr(signal, "SIGPROF", 0) != 0 else "died"
    return run


def stage_of(folder: Path) -> str:
    """Return the last of "loading" and "loaded" that was reached."""
    return next((stage for stage in ("loaded", "loading") if (folder / stage).exists()), "")


def read(folder: Path, ending: str) -> Run:
    """Read what a process left in its folder."""
    run = Run(ending=ending)
    with suppress(OSError):
        for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                run.events.append(json.loads(line.encode().replace(b"\\ud", b"\\\\ud")))      # surrogates, which cannot be printed
    for event in run.events:
        if event["event"] == "returned":
            results = event["results"] if isinstance(event["results"], list) else []
            arrays = {k: np.array(r["numbers"], r["dtype"]).reshape(r["shape"]) for k, r in enumerate(results) if "numbers" in r}
            run.results[event["case"], event["call"]] = arrays
    return run
