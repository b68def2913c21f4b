"""What web pages have in common: text that can be read on its background, and a page that is complete in itself."""

import re
from pathlib import Path

import pytest

import scratchnet.web
from scratchnet.web import page

CSS = (Path(scratchnet.web.__file__).parent / "base.css").read_text(encoding="utf-8")
TEXTS = ["text", "muted", "accent", "positive", "negative", "good", "bad"]


def colours(scheme):
    """Return the colour variables of base.css, light or dark."""
    light, dark = CSS.split("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return found if scheme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark))


def luminance(colour):
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    """Return the contrast of two colours, from 1 to 21."""
    darker, lighter = sorted([luminance(first), luminance(second)])
    return (lighter + 0.05) / (darker + 0.05)


def test_black_and_white_have_the_largest_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_a_contrast_of_4_5_and_marks_one_of_3(scheme):
    named, grounds = colours(scheme), ["background", "panel"]
    pairs = {(text, ground): 4.5 for text in TEXTS for ground in grounds} | {("on-accent", "accent"): 4.5}
    pairs |= {(mark, ground): 3 for mark in ("edge", "focus") for ground in grounds}
    ratios = {(one, other): contrast(named[one], named[other]) for one, other in pairs}
    weak = {pair: ratio for pair, ratio in ratios.items() if ratio < pairs[pair]}
    assert weak == {}


def test_a_page_names_no_other_file():
    text = page("Title", "<p>Text</p>", css="p { color: red }", js="start();", data=[1])
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", text) == []
    assert "url(" not in text
    assert "@import" not in text


def test_only_a_page_of_a_server_may_ask_it():
    assert "connect-src" not in page("Title", "")
    assert "connect-src 'self'" in page("Title", "", server=True)
