"""README's Python runs, and its commands are the ones that are checked."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_each_snippet_runs(snippet, capsys):
    exec(compile(snippet, str(README), "exec"), {})
    assert capsys.readouterr().out


def test_two_commands_follow_after_at_most_five_lines():
    before = TEXT[: TEXT.index("```sh")]
    assert sum(bool(line.strip()) for line in before.splitlines()) <= 6        # the title and five lines
    commands = re.findall(r"^python3 -m venv .*$", TEXT, re.M)
    assert ["scratchnet train" in commands[0], "pytest" in commands[1], len(commands)] == [True, True, 2]


def test_every_file_and_picture_that_it_names_is_there():
    root = README.parent
    named = re.findall(r"\((docs/[^)]+)\)|`((?:scratchnet|examples|docs)/[\w./]+\.\w+)`", TEXT)
    assert named
    for first, second in named:
        assert (root / (first or second)).exists(), first or second
