"""The book shows what its programs print."""

import re
import sys
from pathlib import Path

from scratchnet.gradcheck import check_layer

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "docs" / "book"


def without_rounding(text):
    """Remove errors of the size of rounding, and the places of those that are right: they differ from machine to machine."""
    return [re.sub(r" \d\.\de-1\d|\[[\d,]+\] +(?=ok$)", "", line).split() for line in text.splitlines()]


def test_the_two_reports_of_chapter_10_are_those_of_the_example(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    example = __import__("05_your_own_layer")
    monkeypatch.delitem(sys.modules, "05_your_own_layer")
    page = (BOOK / "10-your-own-layer.md").read_text(encoding="utf-8")
    reports = re.findall(r"`print\(report\)` shows:\n\n```text\n(.*?)\n```", page, re.DOTALL)
    printed = [str(check_layer(layer(), (4, 3, 2))) for layer in (example.PReLU, example.ForgetsASlope)]
    assert [*map(without_rounding, reports)] == [*map(without_rounding, printed)]
    assert "WRONG" not in reports[0]
    assert "WRONG" in reports[1]


