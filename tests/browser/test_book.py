"""The figures of chapters 2 and 3, to play with in the page, show the numbers of the library."""

import re
from pathlib import Path

import numpy as np
import pytest

from browser.conftest import darken, resize, too_wide, wait
from scratchnet.kernels.im2col import col2im, im2col
from scratchnet.layers.conv2d import conv2d_forward
from scratchnet.padding import window_pads

BOOK = Path(__file__).parents[2] / "docs" / "book"
FIGURES = BOOK / "figures"
VALID = (3, 3), (1, 1), ((0, 0), (0, 0))


@pytest.fixture
def opened(browser, tmp_path):
    """Return a function that opens a page with one figure, in one of furo's modes, and returns the driver."""

    def open_page(name, theme="auto"):
        scripts = ["figure.js", *sorted(path.name for path in FIGURES.glob("*.js") if path.name != "figure.js")]
        (tmp_path / "page.html").write_text(
            "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
            f"<link rel='stylesheet' href='{(FIGURES / 'figures.css').as_uri()}'><title>A figure</title>"
            + "".join(f"<script defer src='{(FIGURES / script).as_uri()}'></script>" for script in scripts)
            + f"<body data-theme='{theme}'><div class='figure' data-figure='{name}'><img alt='a picture'></div></body></html>",
            encoding="utf-8",
        )
        browser.get((tmp_path / "page.html").as_uri())
        wait(browser, lambda: browser.find_elements("css selector", ".figure.alive"))
        return browser

    return open_page


def grid_of(page, k):
    """Return the k-th grid of the page."""
    return page.find_elements("css selector", ".grid")[k]


def numbers(page, k):
    """Return the numbers of the k-th grid as a matrix."""
    script = "return [...arguments[0].querySelectorAll('.cell')].map(cell => [cell.dataset.row, cell.textContent])"
    rows, texts = zip(*page.execute_script(script, grid_of(page, k)), strict=True)
    return np.array([float(text.replace("−", "-")) for text in texts]).reshape(len(set(rows)), -1)


def marked(page, k, name):
    """Return which cells of the k-th grid have a class: a list of (row, column)."""
    script = """return [...arguments[0].querySelectorAll('.cell.' + arguments[1])]
        .map(cell => [Number(cell.dataset.row), Number(cell.dataset.column)])"""
    return [tuple(place) for place in page.execute_script(script, grid_of(page, k), name)]


def click(page, k, row, column):
    """Click one cell of the k-th grid."""
    grid_of(page, k).find_element("css selector", f".cell[data-row='{row}'][data-column='{column}']").click()


def message(page):
    """Return the line below the grids, with NumPy's minus sign."""
    return page.find_element("css selector", ".message").text.replace("−", "-")


def press(page, legend, value):
    """Choose one of the switches."""
    page.find_element("xpath", f"//fieldset[legend='{legend}']//input[@value='{value}']/following-sibling::span").click()


def keys(page, k, *names):
    """Focus the k-th grid, as the tab key does, and press keys."""
    from selenium.webdriver.common.keys import Keys

    page.execute_script("arguments[0].querySelector('.cells').focus()", grid_of(page, k))
    for name in names:
        page.switch_to.active_element.send_keys(getattr(Keys, name))


def images_of(source):
    """Return the arrays x and w that a page of the book defines in its first lines of Python."""
    text = source.read_text(encoding="utf-8")
    program = re.findall(r"^(?:>>>|\.\.\.) (.*)$", text[text.index(">>> x = np.array") :], re.MULTILINE)
    names = {"np": np}
    exec("\n".join(program[:8]), names)
    return names["x"], names["w"]


@pytest.mark.parametrize("chapter", ["02-convolution", "03-im2col"])
def test_the_image_and_the_kernel_are_those_of_the_chapters(opened, chapter):
    page = opened("window")
    x, w = images_of(BOOK / f"{chapter}.md")
    np.testing.assert_array_equal(numbers(page, 0), x)
    np.testing.assert_array_equal(numbers(page, 1), w)


def test_the_feature_map_is_numpys_with_each_padding_and_stride(opened):
    page = opened("padding")
    x, w = images_of(BOOK / "02-convolution.md")
    six = np.pad(x, (0, 1))
    six[5, 1] = 2
    shapes = set()
    for image in x, six:
        press(page, "image", len(image))
        for padding in "valid", "same":
            press(page, "padding", padding)
            for stride in 1, 2:
                press(page, "stride", stride)
                pads = window_pads(padding, image.shape, (3, 3), (stride, stride))
                out = conv2d_forward(image[None, :, :, None], w[:, :, None, None], None, (stride, stride), pads)[0, :, :, 0]
                np.testing.assert_array_equal(numbers(page, 0), np.pad(image, pads))
                np.testing.assert_array_equal(numbers(page, 3), out)
                assert len(marked(page, 0, "padding")) == np.pad(image, pads).size - image.size
                shapes.add((len(image), padding, stride, len(out)))
    assert len(shapes) == 8
    assert marked(page, 0, "padding") == [*((h, 6) for h in range(6)), *((6, v) for v in range(7))], "the odd cell, at the end"


def test_pixels_that_no_window_covers_are_crossed_out(opened):
    page = opened("padding")
    press(page, "image", 6)
    press(page, "stride", 2)
    assert marked(page, 0, "unused") == [(h, v) for h in range(6) for v in range(6) if 5 in (h, v)]


def test_a_click_and_the_arrow_keys_move_the_window_and_the_sum_is_that_of_the_window(opened):
    page = opened("window")
    x, w = images_of(BOOK / "02-convolution.md")

    def shown(oh, ow):
        products = x[oh : oh + 3, ow : ow + 3] * w
        np.testing.assert_array_equal(numbers(page, 2), products)
        assert marked(page, 0, "window") == [(oh + i, ow + j) for i in range(3) for j in range(3)]
        assert marked(page, 3, "chosen") == [(oh, ow)]
        terms = message(page).split(" = ")[1].replace("- ", "-").replace("+ ", "").split()
        assert [float(term) for term in terms] == products.ravel().tolist()
        assert message(page).startswith(f"out[{oh}, {ow}] = ")
        assert message(page).endswith(f" = {products.sum():g}")

    shown(0, 0)
    click(page, 0, 2, 3)                # the pixel in the middle of the window at (1, 2)
    shown(1, 2)
    click(page, 3, 2, 0)                # a number of the feature map
    shown(2, 0)
    click(page, 0, 4, 4)                # in the corner: the last window
    shown(2, 2)
    keys(page, 0, "ARROW_LEFT", "ARROW_UP")
    shown(1, 1)
    keys(page, 3, "ARROW_DOWN", "ARROW_DOWN", "ARROW_RIGHT")        # not beyond the last
    shown(2, 2)


def test_a_finger_and_the_pressed_mouse_slide_the_window(opened):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    page = opened("window")
    cells = grid_of(page, 0).find_elements("css selector", ".cell")
    ActionChains(page).click_and_hold(cells[6]).move_to_element(cells[7]).move_to_element(cells[8]).release().perform()
    assert message(page).startswith("out[0, 2] = ")
    finger = ActionBuilder(page, mouse=PointerInput(POINTER_TOUCH, "finger"))
    finger.pointer_action.move_to(cells[16]).pointer_down().move_to(cells[17]).pointer_up()
    finger.perform()
    assert message(page).startswith("out[2, 1] = ")


def test_a_pixel_shows_its_copies_in_the_matrix(opened):
    page = opened("im2col")
    x, _ = images_of(BOOK / "03-im2col.md")
    np.testing.assert_array_equal(numbers(page, 1), im2col(x[None, :, :, None], *VALID))
    places = im2col(np.arange(25.0).reshape(1, 5, 5, 1), *VALID)            # the pixel of each cell
    for h, v in (0, 0), (0, 4), (1, 2), (2, 2), (4, 3):
        click(page, 0, h, v)
        copies = [(int(r), int(q)) for r, q in np.argwhere(places == 5 * h + v)]
        assert marked(page, 1, "copy") == copies
        assert message(page).startswith(f"x[{h}, {v}] = {x[h, v]:g} is in {len(copies)} window")
        assert message(page).endswith(", ".join(f"[{r}, {q}]" for r, q in copies))


def test_col2im_adds_up_the_copies(opened):
    page = opened("im2col")
    press(page, "show", "col2im")
    a = 10.0 * np.arange(9)[:, None] + np.arange(9)
    back = col2im(a, (1, 5, 5, 1), *VALID)[0, :, :, 0]
    np.testing.assert_array_equal(numbers(page, 0), back)
    np.testing.assert_array_equal(numbers(page, 1), a)
    for h, v in (0, 0), (1, 2), (2, 2), (4, 3):
        click(page, 0, h, v)
        terms = message(page).split(" = ")[1].split(" + ")
        assert sum(map(float, terms)) == back[h, v]
        assert message(page).endswith(f" {back[h, v]:g}")


def test_a_cell_of_the_matrix_shows_its_window_and_the_arrow_keys_choose_another(opened):
    page = opened("im2col")
    click(page, 1, 4, 5)                # cell (1, 2) of the window at (1, 1)
    assert marked(page, 0, "chosen") == [(2, 3)]
    assert marked(page, 0, "window") == [(h, v) for h in (1, 2, 3) for v in (1, 2, 3) if (h, v) != (2, 3)]
    keys(page, 1, "ARROW_DOWN", "ARROW_RIGHT")
    assert marked(page, 1, "chosen") == [(5, 6)]
    keys(page, 0, "ARROW_UP")
    assert marked(page, 0, "chosen") == [(2, 2)]
    assert marked(page, 0, "window") == []


CONTRASTS = """
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    function channels(color) {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        return context.getImageData(0, 0, 1, 1).data;
    }
    function luminance(color) {
        const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = [...channels(color)].map(c => linear(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }
    function background(element) {
        const color = getComputedStyle(element).backgroundColor;
        return channels(color)[3] === 255 ? color : background(element.parentElement);
    }
    return [...document.querySelectorAll(".figure.alive *")]
        .filter(e => [...e.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim()))
        .map(e => {
            const pair = [luminance(getComputedStyle(e).color), luminance(background(e))];
            return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), e.className || e.tagName];
        });"""


@pytest.mark.parametrize("name", ["padding", "im2col", "pooling"])
@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_the_figures_fit_a_phone_and_all_text_has_contrast_aa_in_both_modes(opened, name, theme):
    page = opened(name, theme)
    resize(page, 390)
    if name == "padding":
        press(page, "image", 6)
        press(page, "stride", 2)        # with pixels that are crossed out
    papers = []
    for scheme in "light", "dark":
        darken(page, scheme)
        assert too_wide(page) == []
        assert min(page.execute_script(CONTRASTS))[0] >= 4.5
        papers.append(page.execute_script("return getComputedStyle(document.querySelector('.figure')).backgroundColor"))
    assert (papers[0] == papers[1]) == (theme != "auto"), "furo's mode counts more than that of the system"


def test_where_scripts_are_off_each_figure_is_a_picture():
    figures = 0
    for chapter in BOOK.glob("*.md"):
        for inside in re.findall(r'<div class="figure" data-figure="\w+">\n\n(.*?)</div>', chapter.read_text("utf-8"), re.DOTALL):
            (picture,) = re.findall(r"^!\[[^\]]+\]\((.+)\)$", inside, re.MULTILINE)
            assert (BOOK / picture).exists()
            figures += 1
    assert figures >= 3
