"""Compare sides fairly: in turn within one run, each in its own process, while the other processes wait.

Times of two runs are never compared, because the other work of a machine changes from minute to minute. The result of a side is
the median of its times, and a comparison is the ratio of two medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet._version import __version__
from scratchnet.tools.bench.sides import SIDES
from scratchnet.tools.bench.worker import MARK

Times = dict[str, list[float]]
PATIENCE = 600      # seconds: the longest that the import of a framework may take

IMPORTS = f"""
import importlib, json, os, sys
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
versions = []
for name in sys.argv[1:]:
    versions.append(name + " " + str(getattr(importlib.import_module(name), "__version__", "of unknown version")))
print("\\n" + {MARK!r} + json.dumps(", ".join(versions)), flush=True)
os._exit(0)
"""


class Worker:
    """A side in its own process."""

    def __init__(self, side: str, net: str, data: str):
        self.words = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (a pipe that is not read would block)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scratchnet.tools.bench.worker", side, net, data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.words,
            text=True,
            env=environment(),
        )
        try:
            self.data = self._answer()["data"]
        except EOFError:
            self.words.seek(0)
            reason = last_words(self.words.read(), self.process.wait())
            self.close()
            raise ValueError(f"{side} cannot train {net} here: {reason}") from None

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        raise EOFError

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command, wait for the answer and return it; raise EOFError if the process has ended."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.words):
            assert stream is not None
            with suppress(OSError):     # a command that was not read before the process ended
                stream.close()


def environment() -> dict[str, str]:
    """Return the environment of a side's process, which finds the same modules as this one."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def last_words(words: str, code: int) -> str:
    """Return why a process has ended: the last line that it printed on stderr, or else its exit code."""
    lines = words.strip().splitlines()
    return lines[-1].strip() if lines else f"it printed no error, and ended with {code}"


@cache
def imported(modules: tuple[str, ...]) -> tuple[str, str]:
    """Return the versions of modules, imported in a separate process, and ""; or "" and why they cannot be imported.

    The module itself is asked for its version, because several distributions contain the same module: tensorflow,
    tensorflow-cpu, tensorflow-macos.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS, *modules], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE, env=environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", f"{' and '.join(modules)} could not be imported within {PATIENCE} seconds"
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK) :]), ""
    return "", last_words(done.stderr, done.returncode)


def installed() -> dict[str, str]:
    """Return the sides whose modules can be imported, with their versions."""
    found = {name: imported(modules)[0] if modules else f"scratchnet {__version__}" for name, (modules, _) in SIDES.items()}
    return {name: versions for name, versions in found.items() if versions}


def missing() -> dict[str, str]:
    """Return the sides whose modules cannot be imported, each with the reason."""
    reasons = {name: imported(modules)[1] for name, (modules, _) in SIDES.items() if modules}
    return {name: reason for name, reason in reasons.items() if reason}


def in_turns(
    sides: Iterable[str], net: str, data: str, commands: Mapping[str, int], compared: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Let each side execute each command, one side after another; `commands` contains the number of rounds of each.

    First, each side answers the commands of `compared`. A side whose numbers differ from those of the first has failed.

    Returns
    -------
    dict
        For each side: `seconds`, a list for each command; `bytes`, its peak memory; `data`, what it worked on; or
        `failed`, the reason why it could not.
    """
    workers: dict[str, Worker] = {}
    results: dict[str, dict[str, Any]] = {}

    def ask(side: str, command: str) -> dict[str, Any] | None:
        try:
            return workers[side].ask(command)
        except (EOFError, BrokenPipeError):
            fail(side, f"{side}: its process ended during a measurement")
            return None

    def fail(side: str, reason: str) -> None:
        results[side] = {"failed": reason}
        workers.pop(side).close()

    try:
        for side in tqdm(list(sides), desc=f"{net} {data}: starting the sides", disable=None, leave=False):
            try:
                workers[side] = Worker(side, net, data)
                results[side] = {"seconds": {command: [] for command in commands}, "data": workers[side].data}
            except ValueError as error:
                results[side] = {"failed": str(error)}
        for command in compared:
            answers = {side: answer["numbers"] for side in list(workers) if (answer := ask(side, command)) is not None}
            for side, numbers in answers.items():
                ours = next(iter(answers.values()))
                if not np.allclose(numbers, ours, rtol=1e-4, atol=2e-4):
                    fail(side, f"{side}: expected the numbers {ours} for '{command}', as from the first side, got {numbers}")
        for k in tqdm(range(max(commands.values())), desc=f"{net} {data}: rounds", disable=None, leave=False):
            for command in (command for command, rounds in commands.items() if k < rounds):
                for side in list(workers):
                    if (answer := ask(side, command)) is not None:
                        results[side]["seconds"][command] += answer["seconds"]
        for side in list(workers):
            if (answer := ask(side, "memory")) is not None:
                results[side]["bytes"] = answer["bytes"]
    finally:
        for worker in workers.values():
            worker.close()
    return results


def medians(results: Mapping[str, Mapping[str, Any]], command: str) -> dict[str, float]:
    """Return each side's median seconds for a command."""
    return {side: float(np.median(r["seconds"][command])) for side, r in results.items() if "seconds" in r}


def lead(seconds: dict[str, float]) -> float | None:
    """Return how many times as fast ours is as the fastest other side; None without another side.

    Examples
    --------
    >>> lead({"scratchnet": 2.0, "keras": 3.0, "torch": 5.0})
    1.5
    """
    others = [value for side, value in seconds.items() if side != "scratchnet"]
    return min(others) / seconds["scratchnet"] if others else None
