"""The figure of chapter 8, in which a pixel's windows add up its gradient, shows the numbers of the library."""

import re
from pathlib import Path

import numpy as np
import pytest

from browser.conftest import resize, too_wide, wait
from scratchnet.layers import pooling

BOOK = Path(__file__).parents[2] / "docs" / "book"
VALID = ((0, 0), (0, 0))


@pytest.fixture
def page(browser, tmp_path):
    """Open a page with the figure alone, and return the driver."""
    figures = BOOK / "figures"
    scripts = "".join(f"<script defer src='{(figures / name).as_uri()}'></script>" for name in ("figure.js", "pooling.js"))
    (tmp_path / "page.html").write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<link rel='stylesheet' href='{(figures / 'figures.css').as_uri()}'>{scripts}<title>Pooling</title>"
        "<body data-theme='auto'><div class='figure' data-figure='pooling'><img alt='a static picture'></div></body></html>",
        encoding="utf-8",
    )
    browser.get((tmp_path / "page.html").as_uri())
    wait(browser, lambda: browser.find_elements("css selector", ".figure.alive"))
    return browser


def grid_of(page, title):
    """Return the grid whose title begins with this word."""
    return next(grid for grid in page.find_elements("css selector", ".grid") if grid.text.startswith(title))


def numbers(page, title):
    """Return the numbers of the grid whose title begins with this word: (H, W)."""
    script = "return [...arguments[0].querySelectorAll('.cell')].map(cell => [cell.dataset.row, cell.textContent])"
    rows, texts = zip(*page.execute_script(script, grid_of(page, title)), strict=True)
    return np.array([float(text.replace("−", "-")) for text in texts]).reshape(len(set(rows)), -1)


def press(page, name):
    """Choose one of the switches."""
    page.find_element("css selector", f"input[value='{name}'] + span").click()


def choose(page, h, v, title="x"):
    """Click a pixel."""
    grid_of(page, title).find_element("css selector", f".cell[data-row='{h}'][data-column='{v}']").click()


def pooled(kind, x, dout, stride):
    """Return out and dx of the library for one channel."""
    forward, backward = getattr(pooling, f"{kind}_pool2d_forward"), getattr(pooling, f"{kind}_pool2d_backward")
    window = ((2, 2), (stride, stride), VALID)
    out = forward(x[None, :, :, None], *window)
    return out[0, :, :, 0], backward(dout[None, :, :, None], x[None, :, :, None], *window)[0, :, :, 0]


def test_the_outputs_and_gradients_are_those_of_the_library(page):
    for kind in ("average", "min", "max"):
        for stride in (2, 1):
            press(page, kind)
            press(page, str(stride))
            x, dout = numbers(page, "x"), numbers(page, "dout")
            assert (x.shape, dout.shape) == ((5, 5), (4, 4) if stride == 1 else (2, 2))
            out, dx = pooled(kind, x, dout, stride)
            np.testing.assert_allclose(numbers(page, "out"), out, atol=1e-4)
            np.testing.assert_allclose(numbers(page, "dx"), dx, atol=1e-4)


def test_the_figure_has_the_numbers_of_the_chapter_and_of_its_picture(page):
    chapter, picture = ((BOOK / name).read_text(encoding="utf-8") for name in ("08-pooling.md", "08_pictures.py"))
    for row in [*numbers(page, "x"), *numbers(page, "dout")]:
        text = str([int(value) for value in row])
        assert text in chapter
        assert text in picture


def test_the_sum_of_a_chosen_pixel_is_its_gradient(page):
    dx = numbers(page, "dx")
    for h, v in ((1, 3), (0, 0), (3, 3)):
        choose(page, h, v)
        line = page.find_element("css selector", ".message")
        assert line.text.startswith(f"dx[{h}, {v}] = ")
        *terms, total = line.text.replace("−", "-").split(".")[0].split(" = ")[1:]
        assert float(total) == dx[h, v]
        assert [sum(float(term) for term in re.findall(r"-?\d+", text.replace("- ", "-"))) for text in terms] in ([], [dx[h, v]])


def test_a_pixel_that_three_windows_keep_adds_three_gradients_and_an_assignment_would_keep_one(page):
    choose(page, 2, 1, "dx")
    text = page.find_element("css selector", ".message").text
    assert text.startswith("dx[2, 1] = 0 + 2 + 10 + 4 = 16.")
    assert "4 windows contain this pixel, 3 of them keep it." in text
    assert text.endswith("would remain: 4.")


def test_a_pixel_in_no_window_has_the_gradient_zero(page):
    press(page, "2")
    choose(page, 4, 0)
    assert page.find_element("css selector", ".message").text.startswith("dx[4, 0] = 0. No window contains this pixel")


def test_the_arrow_keys_choose_the_pixel(page):
    from selenium.webdriver.common.keys import Keys

    cells = page.find_element("css selector", ".cells")
    page.execute_script("arguments[0].focus()", cells)
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN):      # the last stops at the edge
        page.switch_to.active_element.send_keys(key)
    assert page.find_element("css selector", ".message").text.startswith("dx[4, 2] = ")


def test_it_fits_a_phone(page):
    resize(page, 390)
    assert too_wide(page) == []
    assert len(page.find_elements("css selector", ".grid")) == 4
