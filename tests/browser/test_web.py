"""The browser of these tests itself: it loads a page of the project, and an error on it fails a test."""

import pytest

from browser.conftest import darken, resize, too_wide, wait
from scratchnet.web import page


def opened(browser, tmp_path, **parts):
    """Write a page and open it."""
    path = tmp_path / "page.html"
    path.write_text(page("A page", '<h1 id="title">A page</h1>', **parts), encoding="utf-8")
    browser.get(path.as_uri())


def test_a_page_reads_its_data_and_writes_nothing_to_the_console(browser, tmp_path):
    js = """
        const data = JSON.parse(document.getElementById("data").textContent);
        document.getElementById("title").textContent = data.word;"""
    opened(browser, tmp_path, js=js, data={"word": "</script><b>é ∂"})
    assert browser.find_element("id", "title").text == "</script><b>é ∂"
    assert browser.title == "A page"


def test_an_error_on_a_page_is_seen(browser, tmp_path):
    opened(browser, tmp_path, js='throw new Error("thrown by a test");')
    with pytest.raises(AssertionError, match="thrown by a test"):
        assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_page_cannot_load_anything(browser, tmp_path):
    js = 'fetch("https://example.org").catch(() => { document.title = "refused"; });'
    opened(browser, tmp_path, js=js)
    wait(browser, lambda: browser.title == "refused")
    assert "Content Security Policy" in " ".join(entry["message"] for entry in browser.get_log("browser"))


def test_the_emulated_phone_and_dark_mode_are_what_the_page_sees(browser, tmp_path):
    opened(browser, tmp_path)
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(colour)
    darken(browser)
    wait(browser, lambda: browser.execute_script(colour) != light)
    resize(browser, 390)
    wait(browser, lambda: browser.execute_script("return innerWidth") == 390)
    assert too_wide(browser) == []
    browser.execute_script("document.body.firstElementChild.style.width = '600px'")
    assert len(too_wide(browser)) == 1
