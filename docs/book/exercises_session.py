"""Run the commands of the session on the page exercises.md, and write what they print below them.

    python docs/book/exercises_session.py

A block ```console begins with "$ " and a command of `scratchnet`; the lines after it are its output. A block ```py with the
comment <!-- the body --> above it is put in the place of the empty body of the file that the last `scratchnet exercise start` has
written. A test runs this session too, and compares its output with the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

from scratchnet import cli

PAGE = Path(__file__).with_name("exercises.md")
BLOCK = re.compile(
    r"^```console\n\$ (?P<command>.*)\n(?:.*\n)*?```$|^<!-- the body -->\n```py\n(?P<body>(?:.*\n)*?)```$", re.MULTILINE
)
EMPTY = re.compile(r"^ +raise NotImplementedError.*\n", re.MULTILINE)


def output_of(command: str) -> str:
    """Return what a command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.main(shlex.split(command)[1:])
    return printed.getvalue()


def session(page: str) -> str:
    """Return the page with the output of each command, run in an empty folder."""
    started = ""

    def run(block: re.Match[str]) -> str:
        nonlocal started
        if block["command"] is None:
            Path(started).write_text(EMPTY.sub(lambda _: block["body"], original[started]), encoding="utf-8")
            return block[0]
        output = output_of(block["command"])
        if " start " in block["command"]:
            started = f"{shlex.split(block['command'])[-1]}.py"
            original[started] = Path(started).read_text(encoding="utf-8")
        return f"```console\n$ {block['command']}\n{output}```"

    original: dict[str, str] = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return BLOCK.sub(run, page)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    PAGE.write_text(session(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
