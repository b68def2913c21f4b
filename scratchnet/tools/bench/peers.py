"""Compare sides fairly: in turns within one run, each in its own process, while the other processes wait.

Times of two runs are never compared, because the other work of a machine changes from minute to minute. The result of a side is
the median of its times, and a comparison is the ratio of two medians.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchnet.tools.bench.sides import SIDES, versions
from scratchnet.tools.bench.worker import MARK

Times = dict[str, list[float]]


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
        )
        try:
            self.data = self._answer()["data"]
        except EOFError:
            self.words.seek(0)
            reason = (self.words.read().strip().splitlines() or ["it printed no error"])[-1]
            self.close()
            raise ValueError(f"{side} cannot train {net} here: {reason}") from None

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        raise EOFError

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command, and return the answer when it comes; raise EOFError if the process has ended."""
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


def installed() -> dict[str, str]:
    """Return the sides whose packages are installed, with their versions."""
    found = {}
    for name in SIDES:
        try:
            found[name] = versions(name)
        except PackageNotFoundError:
            continue
    return found


def in_turns(sides: Iterable[str], net: str, data: str, commands: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Let each side execute each command, one side after another; `commands` contains the number of rounds of each.

    Returns
    -------
    dict
        For each side: `seconds`, a list for each command; `bytes`, its peak memory; `data`, what it worked on; or
        `failed`, the reason why it could not.
    """
    workers: dict[str, Worker] = {}
    results: dict[str, dict[str, Any]] = {}
    try:
        for side in tqdm(list(sides), desc=f"{net} {data}: starting the sides", disable=None, leave=False):
            try:
                workers[side] = Worker(side, net, data)
                results[side] = {"seconds": {command: [] for command in commands}, "data": workers[side].data}
            except ValueError as error:
                results[side] = {"failed": str(error)}
        for k in tqdm(range(max(commands.values())), desc=f"{net} {data}: rounds", disable=None, leave=False):
            for command in (command for command, rounds in commands.items() if k < rounds):
                for side, worker in list(workers.items()):
                    try:
                        seconds = worker.ask(command)["seconds"]
                    except (EOFError, BrokenPipeError):
                        results[side] = {"failed": f"{side} ended during its work"}
                        workers.pop(side).close()
                        continue
                    results[side]["seconds"][command] += seconds
        for side, worker in workers.items():
            results[side]["bytes"] = worker.ask("memory")["bytes"]
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
