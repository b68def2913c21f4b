"""The code that the documentation shows is the code that runs."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "docs" / "include_code.py"


def test_every_block_of_code_in_a_page_is_that_of_its_source():
    done = subprocess.run([sys.executable, PROGRAM, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    """A project with one page, which shows a function, and the program."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("")
    (tmp_path / "docs" / "include_code.py").write_bytes(PROGRAM.read_bytes())
    source = 'class A:\n    @cache\n    def f(x):\n        """Return x."""\n\n        return x\n\n\nB = 1\n'
    (tmp_path / "code.py").write_text(source)
    return tmp_path


def run(project, page, *options):
    path = project / "docs" / "page.md"
    path.write_text(page)
    done = subprocess.run([sys.executable, project / "docs" / "include_code.py", *options], capture_output=True, text=True)
    return done, path.read_text()


def test_a_block_that_differs_is_found_and_written(project):
    page = "text\n<!-- code: code.py A.f -->\n```python\nold\n```\nmore\n"
    done, text = run(project, page, "--check")
    assert done.returncode == 1
    assert "page.md" in done.stdout
    assert text == page
    done, text = run(project, page)
    assert done.returncode == 0
    assert text == page.replace("old", '@cache\ndef f(x):\n    """Return x."""\n\n    return x')


def test_a_docstring_can_be_left_out(project):
    _, text = run(project, "<!-- code: code.py A.f, without docstring -->\n```python\n```\n")
    assert text.splitlines()[2:-1] == ["@cache", "def f(x):", "    return x"]


def test_a_name_that_the_source_does_not_define_is_an_error(project):
    done, _ = run(project, "<!-- code: code.py A.g -->\n```python\n```\n")
    assert done.returncode == 1
    assert "A.g" in done.stderr
