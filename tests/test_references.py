"""Every title that a docstring names as a source is in docs/references.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for path in sorted((ROOT / "scratchnet").rglob("*.py")) if re.search("Sources?: ", path.read_text("utf-8"))]


def titles(path):
    """Return the titles between asterisks in paragraphs that begin with "Source:" or "Sources:"; the gallery's are addresses."""
    paragraphs = re.findall(r'Sources?: .*?(?=\n *\n|""")', path.read_text("utf-8"), re.DOTALL)
    return [" ".join(title.split()) for text in paragraphs for title in re.findall(r"\*([^*]+)\*", text)]


def test_the_titles_of_a_source_are_found():
    expected = ["94% on CIFAR-10 in 3.29 seconds on a single GPU", "Learning feature representations with k-means"]
    assert titles(ROOT / "scratchnet/layers/patch_whitening.py") == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_source_of_a_docstring_is_among_the_references(path):
    references = " ".join((ROOT / "docs/references.md").read_text("utf-8").lower().split())
    assert [title for title in titles(path) if f"*{title.lower()}" not in references] == []
