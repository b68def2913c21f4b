"""The page of `scratchnet explain` in a browser: what it shows is what NumPy computes from the network's weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from browser.conftest import darken, resize, too_wide, wait
from scratchnet import explain, net_2
from scratchnet.explain.inside import gradients_of, in_float64, look_inside, outputs_of

pytest.importorskip("selenium", reason="needs selenium: pip install -e '.[browser]'")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SHOWN = 6e-6        # relative: half a unit of the sixth digit of a number that begins with 1


def models():
    """Return the models of test_explain.py, by name."""
    spec = importlib.util.spec_from_file_location("numbers_of_explain", Path(__file__).parent.parent / "test_explain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MODELS


class Page:
    """An opened page, with the model and the image that it shows."""

    def __init__(self, browser, path, model, x):
        self.browser, self.path, self.model, self.x = browser, path, model, x
        browser.get(path.as_uri())
        wait(browser, lambda: self.run("return document.documentElement.dataset.ready"))

    def run(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def number(self, what):
        """Return a number as it is shown in the explanation of the selected cell."""
        (found,) = self.browser.find_elements(By.CSS_SELECTOR, f"#inspector [data-what='{what}']")
        return float(found.text.replace("−", "-"))

    def selected(self):
        return self.browser.find_element(By.CSS_SELECTOR, "#inspector h2").text

    def click_cell(self, stage, row, column, rows, columns):
        """Click the middle of a cell of a stage's large picture."""
        canvas = self.browser.find_element(By.CSS_SELECTOR, f"#stage-{stage} .cells")
        self.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
        width, height = canvas.size["width"], canvas.size["height"]
        across, down = (column + 0.5) / columns - 0.5, (row + 0.5) / rows - 0.5
        ActionChains(self.browser, duration=0).move_to_element_with_offset(canvas, across * width, down * height).click().perform()

    def rows(self):
        """Return the numbers of the table of terms: (terms, 3)."""
        code = "return [...document.querySelectorAll('#inspector table.terms tr[data-cell]')].map(row =>" \
            " [...row.querySelectorAll('td[data-value]')].map(cell => cell.textContent))"
        return np.array([[float(text.replace("−", "-")) for text in row] for row in self.run(code)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a function that writes the page of a model, once."""
    known = {}

    def write(name):
        if name not in known:
            model = (models() | {"net_2": lambda: net_2((12, 12, 1), 3, seed=2)})[name]()
            x = np.random.default_rng(1).random(model.input_shape[1:]).astype("float32")
            x[:3] = 0           # where biases are 0, so are the numbers before the ReLU, which then passes nothing on
            path = tmp_path_factory.mktemp("page") / "page.html"
            text = explain.as_html(look_inside(model, x, 1), ["ant", "bee", "cow"], net="net", source="noise", label=1)
            path.write_text(text, encoding="utf-8")
            known[name] = path, model, x
        return known[name]

    return write


@pytest.fixture
def page(browser, written):
    """Return the page of net_2 for an image of noise."""
    return Page(browser, *written("net_2"))


@pytest.mark.parametrize("name", ["branched", "large dense"])
def test_the_page_computes_the_gradients_of_the_library_at_every_cell(browser, written, name):
    page = Page(browser, *written(name))
    copy = in_float64(page.model)
    outputs_of(copy, page.x[None])
    stages, compared = look_inside(page.model, page.x).stages, 0
    for k in range(3):
        found = page.run(f"return gradients({k}).out.map(numbers => Array.from(numbers))")
        gradients = gradients_of(copy, k)
        dx = gradients[copy.nodes[0]].ravel()
        np.testing.assert_allclose(found[0], dx, rtol=1e-6, atol=1e-7 * np.abs(dx).max())
        by_name = {node.layer.name: node for node in reversed(copy.nodes)}      # a layer, not the activation of its name
        for s, stage in enumerate(stages[:-1]):
            node = by_name[stage["name"].partition(",")[0]]
            if ", " not in stage["name"] and not stage["relu"] and node.layer.activation is None:
                expected = gradients[node].ravel()
                np.testing.assert_allclose(found[s], expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
                compared += 1
    assert compared >= (15 if name == "branched" else 0)


@pytest.mark.parametrize("name", ["branched", "large dense"])
def test_the_terms_of_every_number_add_up_to_it_forward_and_backward(browser, written, name):
    page = Page(browser, *written(name))
    wrong = page.run("""
        const near = (a, b, scale) => Math.abs(a - b) <= 1e-6 * scale;
        const scale = terms => terms.reduce((total, term) => total + Math.abs(term.product), 1e-6);
        const wrong = [];
        let checked = 0;
        stages.forEach((stage, s) => stage.out.forEach((_, cell) => {
            if (cell % 7) return;
            const terms = TERMS[stage.kind](stage, cell);
            let bias = stage.bias ? stage.bias[stage.kind === "conv" ? cell % stage.C : cell] : 0;
            if (stage.rest) bias += stage.rest[cell];
            if (!["input", "norm", "rescale", "elementwise", "softmax"].includes(stage.kind)) {
                checked++;
                const size = scale(terms) + Math.abs(bias);
                if (!near(sum(terms) + bias, stage.values[cell], size)) wrong.push(["forward", stage.name, cell]);
            }
            if (s >= page.logits) return;
            const sent = stage.readers.flatMap(({ stage: r, slot }) => sentBy(r, slot, cell, 1));
            checked++;
            if (!near(sum(sent), gradients(1).out[s][cell], scale(sent))) wrong.push(["backward", stage.name, cell]);
        }));
        return checked > 100 ? wrong : ["only", checked];""")
    assert wrong == []


def test_a_click_on_a_cell_shows_the_sum_that_made_it(page):
    w, b = page.model.get_weights()[:2]
    page.click_cell(1, 5, 7, 12, 12)
    channel = page.run("return state.channel[1]")
    assert page.selected() == f"conv2d: map {channel}, row 5, column 7"
    window = page.x[4:7, 6:9, 0].astype("float64")
    kernel = w[:, :, 0, channel].astype("float64")
    total = (window * kernel).sum()
    assert page.number("sum") == pytest.approx(total, rel=SHOWN)
    assert page.number("bias") == pytest.approx(b[channel], rel=SHOWN)
    assert page.number("before") == pytest.approx(total + b[channel], rel=SHOWN)
    assert page.number("result") == pytest.approx(max(0, total + b[channel]), rel=SHOWN)
    expected = np.stack([window, kernel, window * kernel], axis=-1).reshape(9, 3)
    np.testing.assert_allclose(page.rows(), expected, rtol=SHOWN)


def test_a_click_on_a_cell_of_many_maps_shows_the_sum_over_all_of_them(page):
    page.click_cell(2, 2, 3, 6, 6)
    channel = page.run("return state.channel[2]")
    copy = in_float64(page.model)
    values = outputs_of(copy, page.x[None])
    below = np.pad(maps(copy, values, "conv2d"), ((0, 1), (0, 1), (0, 0)))
    w, b = page.model.get_weights()[2:4]
    total = (below[4:7, 6:9] * w[..., channel]).sum()       # stride 2; "same" pads at the end
    assert page.number("sum") == pytest.approx(total, rel=SHOWN)
    assert page.number("before") == pytest.approx(total + b[channel], rel=SHOWN)
    shown = page.run("return state.channel[1]")
    sums = (below[4:7, 6:9] * w[..., channel]).sum(axis=(0, 1))
    assert shown == np.abs(sums).argmax()                   # the map that contributes most is shown


def maps(model, values, name):
    """Return the last output of a layer and its activation: (H, W, C)."""
    return [values[node] for node in model.nodes if node.layer.name == name][-1][0]


def test_a_click_on_a_pixel_in_backward_shows_what_each_cell_sent_to_it(page):
    page.browser.find_element(By.ID, "backward").click()
    page.browser.find_element(By.CSS_SELECTOR, "#class option[value='2']").click()
    page.click_cell(0, 6, 4, 12, 12)
    assert page.selected() == "the picture: row 6, column 4"
    copy = in_float64(page.model)
    outputs_of(copy, page.x[None])
    gradients = gradients_of(copy, 2)
    dout = next(gradients[node] for node in copy.nodes if node.layer.name == "conv2d")[0]
    w = page.model.get_weights()[0]
    sent = np.array([[dout[7 - i, 5 - j] * w[i, j, 0] for j in range(3)] for i in range(3)])       # (3, 3, 32), by kernel cell
    assert page.number("sum") == pytest.approx(sent.sum(), rel=SHOWN)
    assert page.number("result") == pytest.approx(gradients[copy.nodes[0]][0, 6, 4, 0], rel=SHOWN)
    channel = page.run("return state.channel[1]")
    assert channel == np.abs(sent.sum(axis=(0, 1))).argmax()
    np.testing.assert_allclose(page.rows()[:, 2], sent[::-1, ::-1, channel].ravel(), rtol=SHOWN, atol=1e-12)


def test_a_dense_unit_shows_its_twenty_largest_products_and_a_click_on_one_goes_there(page):
    page.click_cell(3, 0, 5, 8, 16)
    assert page.selected() == "dense: unit 5"
    copy = in_float64(page.model)
    x = maps(copy, outputs_of(copy, page.x[None]), "conv2d_1").ravel()
    w, b = page.model.get_weights()[4:6]
    products = x * w[:, 5]
    largest = np.sort(np.abs(products))[::-1][:20]
    np.testing.assert_allclose(np.abs(page.rows()[:, 2]), largest, rtol=SHOWN)
    total = page.number("sum") + page.number("rest") + page.number("bias")
    assert total == pytest.approx(page.number("before"), rel=1e-5, abs=1e-6)
    assert page.number("before") == pytest.approx(products.sum() + b[5], rel=SHOWN, abs=1e-7)
    assert page.run("return document.querySelectorAll('#inspector figure canvas').length") == 1
    page.browser.find_element(By.CSS_SELECTOR, "#inspector table.terms button").click()
    best = int(np.abs(products).argmax())
    row, column, channel = np.unravel_index(best, (6, 6, 64))
    assert page.selected() == f"conv2d_1: map {channel}, row {row}, column {column}"
    assert page.run("return document.activeElement === document.querySelector('#stage-2 .cells')")


def test_a_pixel_of_the_maps_below_a_dense_layer_shows_what_each_unit_sent(page):
    page.browser.find_element(By.ID, "backward").click()
    cell = int(page.run("select(2, stages[3].cells[0]); return state.cell"))
    copy = in_float64(page.model)
    outputs_of(copy, page.x[None])
    k = page.run("return state.class")
    dout = next(gradients_of(copy, k)[node] for node in copy.nodes if node.layer.name == "dense")[0]
    sent = dout * page.model.get_weights()[4][cell]
    np.testing.assert_allclose(np.abs(page.rows()[:, 2]), np.sort(np.abs(sent))[::-1][:20], rtol=SHOWN)
    assert page.number("sum") == pytest.approx(sent.sum(), rel=SHOWN)
    assert page.number("result") == page.number("sum")
    stopped = int(page.run("return stages[2].out.findIndex(v => v === 0)"))
    page.run(f"select(2, {stopped})")
    shown = page.browser.find_element(By.ID, "inspector").text
    assert "not computed" in shown
    assert "the ReLU that made it so stops whatever gradient arrives" in shown


def test_the_answer_shows_the_probabilities_with_the_runner_up_and_explains_softmax(page):
    p = page.model.predict(page.x[None])[0]
    first, second = np.argsort(-p)[:2]
    names = ["ant", "bee", "cow"]
    lead = page.browser.find_element(By.ID, "lead").text
    assert lead.startswith(f"It answers {names[first]}, ")
    assert f"runner-up {names[second]}, " in lead
    for k in range(3):
        button = page.browser.find_element(By.CSS_SELECTOR, f".answers .bar[data-cell='{k}']")
        assert float(button.text) == pytest.approx(p[k], rel=1e-5)
    page.run("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert page.selected() == "softmax: class cow"
    assert page.number("probability") == pytest.approx(p[2], rel=1e-5)
    assert "✓ is the true class, bee." in page.browser.find_element(By.ID, "stage-4").text


def test_every_kind_of_layer_can_be_selected_in_both_directions(browser, written):
    page = Page(browser, *written("branched"))
    texts = page.run("""
        const texts = [];
        for (const mode of ["forward", "backward"]) {
            setMode(mode);
            stages.forEach((stage, s) => {
                select(s, stage.out.length - 1);
                texts.push(document.getElementById("inspector").textContent);
            });
        }
        return texts;""")
    assert len(texts) == 2 * page.run("return stages.length")
    assert [text for text in texts if any(word in text for word in ("NaN", "undefined", "[object", "Infinity"))] == []


def test_a_normalization_and_a_rescaling_show_all_parts_of_their_formula(browser, written):
    page = Page(browser, *written("branched"))
    for kind in ("norm", "rescale"):
        page.run(f"select(stages.findIndex(stage => stage.kind === '{kind}'), 22)")
        if kind == "norm":
            x, mean, variance, gamma, beta = map(page.number, ("x", "mean", "variance", "gamma", "beta"))
            expected = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        else:
            expected = page.number("x") * page.number("scale") + page.number("offset")
        assert page.number("before") == pytest.approx(expected, rel=1e-4)


def test_the_keyboard_reaches_every_cell_and_what_is_selected_is_read_aloud(page):
    canvas = page.browser.find_element(By.CSS_SELECTOR, "#stage-1 .cells")
    page.run("select(1, (5 * 12 + 7) * 32 + 4)")
    canvas.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.PAGE_UP)
    assert page.selected() == "conv2d: map 3, row 7, column 8"
    live = page.browser.find_element(By.ID, "live")
    assert live.get_attribute("aria-live") == "polite"
    assert live.get_attribute("textContent").startswith("conv2d, map 3, row 7, column 8: ")
    canvas.send_keys(*[Keys.ARROW_LEFT] * 30)
    assert page.selected() == "conv2d: map 3, row 7, column 0"
    assert "arrows" in canvas.get_attribute("aria-label")


def test_tab_goes_through_all_controls_and_the_focus_is_seen(page):
    reached, seen = [], []
    for _ in range(60):
        ActionChains(page.browser, duration=0).send_keys(Keys.TAB).perform()
        name, width = page.run("""
            const one = document.activeElement;
            return [one.id || one.closest(".stage")?.id || "inspector", getComputedStyle(one).outlineWidth];""")
        if reached and name == reached[0] and len(set(reached)) > 5:
            break
        reached.append(name)
        seen.append(width)
    assert {"forward", "backward", "class", "stage-0", "stage-1", "stage-2", "stage-3", "stage-4", "inspector"} <= set(reached)
    assert set(seen) == {"3px"}


def test_every_control_has_a_name(page):
    nameless = page.run("""
        const named = one => one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.closest("label")
            || one.tagName !== "SELECT" && one.textContent.trim();
        return [...document.querySelectorAll("button, select, canvas")]
            .filter(one => !one.closest("[aria-hidden]") && !named(one)).map(one => one.outerHTML.slice(0, 90));""")
    assert nameless == []


@pytest.mark.parametrize("name", ["branched", "large dense"])
def test_on_a_phone_nothing_is_wider_than_the_window(browser, written, name):
    resize(browser, 390, 844)
    page = Page(browser, *written(name))
    for mode in ("forward", "backward"):
        for s in range(page.run("return stages.length")):
            page.run(f"state.open = true; setMode('{mode}'); select({s}, 0);")
            assert too_wide(browser) == []
    panel = browser.find_element(By.ID, "inspector").rect
    assert panel["height"] < 0.5 * 844


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa(page, scheme):
    darken(page.browser, scheme)
    wait(page.browser, lambda: page.run("return matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark"))
    weak = page.run("""
        const rgb = text => text.match(/[\\d.]+/g).map(Number);
        const linear = part => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        function ground(one) {
            for (; one; one = one.parentElement) {
                const colour = rgb(getComputedStyle(one).backgroundColor);
                if (colour.length === 3 || colour[3] > 0) return colour;
            }
        }
        const weak = [];
        for (const mode of ["forward", "backward"]) {
            setMode(mode);
            stages.forEach((stage, s) => {
                select(s, 0);
                for (const one of document.body.querySelectorAll("*")) {
                    const own = [...one.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
                    if (!own || ["SCRIPT", "STYLE", "OPTION", "NOSCRIPT"].includes(one.tagName) || !one.offsetParent) continue;
                    const [a, b] = [luminance(rgb(getComputedStyle(one).color)), luminance(ground(one))];
                    if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) weak.push(one.outerHTML.slice(0, 120));
                }
            });
        }
        return [...new Set(weak)].slice(0, 5);""")
    assert weak == []


def test_maps_are_drawn_on_the_page_s_background_in_dark_mode_too(page):
    corner = """
        const drawn = document.querySelector("#stage-2 .strip canvas").getContext("2d").getImageData(0, 0, 6, 6);
        return drawn.data.reduce((sum, part) => sum + part, 0);"""
    light = page.run(corner)
    darken(page.browser)
    wait(page.browser, lambda: page.run(corner) < light - 1000)


@pytest.mark.parametrize("name", ["net_1_mnist", "net_2_cifar10"])
def test_the_pages_of_the_documentation_open_and_their_terms_add_up(browser, name):
    path = Path(__file__).parent.parent.parent / "docs" / "pages" / f"{name}.html"
    browser.get(path.as_uri())
    wait(browser, lambda: browser.execute_script("return document.documentElement.dataset.ready"))
    assert browser.find_element(By.ID, "title").text.startswith(f"What {name[:5]} computed for test image")
    for mode in ("forward", "backward"):
        browser.find_element(By.ID, mode).click()
        shown = browser.find_element(By.CSS_SELECTOR, "#inspector [data-what='sum']").get_attribute("data-value")
        expected = browser.execute_script("""
            const bias = stages[1].bias[state.cell % stages[1].C];
            return state.mode === "forward" ? stages[1].values[state.cell] - bias : gradients(state.class).out[1][state.cell];""")
        assert float(shown) == pytest.approx(expected, rel=1e-6)
