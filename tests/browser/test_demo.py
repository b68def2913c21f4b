"""The page of ``scratchnet demo``: strokes with the mouse and the keyboard, and what the page then shows."""

import base64
import threading

import numpy as np
import pytest
from drawn_digits import SIDE, Page

from browser.conftest import darken, resize, too_wide, wait
from scratchnet import datasets, networks, preprocessing
from scratchnet.demo.look import Net, gradient, seen
from scratchnet.demo.server import Server
from scratchnet.tools import inputs

THREE = [(70, 60), (105, 40), (148, 70), (105, 105), (155, 145), (110, 185), (62, 160)]


def trained(data, count, batch_size=64):
    """net_2 after one epoch on the first images of a data set."""
    model = networks.net_2((28, 28, 1), 10, seed=0)
    model.compile("adam", "categorical_crossentropy")
    x, y = inputs.net_inputs(data.x_train[:count]), preprocessing.one_hot(data.y_train[:count], 10)
    model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return trained(datasets.load("glyphs"), 3000)


def served(model, name):
    server = Server(0)
    thread = threading.Thread(target=server.serve, args=[Net(model, name, "0123456789")])
    thread.start()
    yield server.address
    server.shutdown()
    thread.join(20)


@pytest.fixture(scope="module")
def address(model):
    yield from served(model, "net_2 on glyphs")


@pytest.fixture
def page(browser, address):
    browser.get(address)
    return Page(browser, wait)


def image_of(page):
    """The pixels that the page shows as the network's input, uint8 (28, 28)."""
    shown = page.run("return [...image.getContext('2d').getImageData(0, 0, 28, 28).data]")
    return np.array(shown, np.uint8).reshape(28, 28, 4)[:, :, 0]


def bars_of(page):
    return [float(text.split()[0]) for text in page.run("return bars.map(bar => bar.querySelector('.number').textContent)")]


def is_hidden(page, name):
    return page.run(f"return byId('{name}').hidden")


def press(page, key, kind="keyDown"):
    event = {"type": kind, "key": key, "code": key, "text": key if len(key) == 1 and kind == "keyDown" else ""}
    page.browser.execute_cdp_cmd("Input.dispatchKeyEvent", event)


def test_before_anything_is_drawn_nothing_is_predicted(page):
    assert page.told() == "?"
    assert not is_hidden(page, "hint")
    assert page.run("return byId('hint').textContent") == "draw a digit"
    assert page.run("return bars.every(bar => bar.textContent.length === 1)")


def test_the_values_on_the_page_are_the_library_s_for_the_image_on_the_page(page, model):
    page.draw(THREE)
    answer = page.answered()
    x = inputs.net_inputs(image_of(page)[None])
    p = inputs.probabilities(model, x)[0]
    assert x.sum() > 20
    assert answer["probabilities"] == p.tolist()
    assert bars_of(page) == [float(f"{100 * value:.1f}") for value in p.tolist()]
    assert page.told() == str(p.argmax())
    maps = model.layer_outputs(x)["conv2d_1"][0]            # (14, 14, 64), whose last is at the bottom right
    bright = np.quantile(maps, 0.998)
    shown = np.frombuffer(base64.b64decode(answer["maps"][1]["pixels"]), np.uint8).reshape(maps.shape)
    assert shown / 255 == pytest.approx(maps.clip(0, bright) / bright, abs=0.003)
    size = page.run("return [mapCanvases[1].width, mapCanvases[1].height]")
    assert size == [16 * 15 - 1, 4 * 15 - 1]


def test_a_stroke_goes_where_the_mouse_goes(page):
    page.draw([(40, 50), (40, 150)])
    page.answered()
    ink = np.array(page.run("return [...inkBytes()]"), np.uint8).reshape(SIDE, SIDE)
    rows, columns = np.nonzero(ink > 128)
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == pytest.approx([41, 159, 31, 49], abs=2)


def test_only_the_last_ink_counts_however_fast_it_changes(page, model):
    page.run(
        """
        for (let n = 0; n < 30; n++) { clear(); line([60 + 8 * n, 80], [90 + 8 * n, 340]); }
        clear(); line([100, 100], [300, 100]); line([300, 100], [180, 400]);"""
    )
    answer = page.answered()
    ink = np.array(page.run("return [...inkBytes()]"), np.uint8).reshape(SIDE, SIDE)
    assert (image_of(page) == seen(ink).image).all()
    assert answer["probabilities"] == inputs.probabilities(model, inputs.net_inputs(seen(ink).image[None]))[0].tolist()


def test_clear_and_escape_forget_the_drawing(page):
    for forget in (lambda: page.browser.find_element("id", "clear").click(), lambda: press(page, "Escape")):
        page.draw(THREE)
        page.answered()
        assert is_hidden(page, "hint")
        forget()
        wait(page.browser, lambda: not is_hidden(page, "hint"))
        assert page.told() == "?"
        assert page.run("return inkBytes().every(value => value === 0)")
        assert image_of(page).max() == 0


def test_a_held_bar_shows_the_gradient_of_its_class_on_the_strokes(page, model):
    page.draw(THREE)
    page.answered()
    box = page.run("const r = bars[8].getBoundingClientRect(); return [r.left + 30, r.top + 15]")
    page.mouse("mousePressed", box)
    wait(page.browser, lambda: not is_hidden(page, "slope"))
    slope = gradient(model, inputs.net_inputs(image_of(page)[None]), 8)
    assert np.array(page.run("return answer.gradient"), np.float32).reshape(28, 28) == pytest.approx(slope, rel=1e-5, abs=1e-7)
    assert "The gradient of 8: more ink on orange raises" in page.run("return byId('told').textContent")
    alpha = np.array(page.run("return [...slope.getContext('2d').getImageData(0, 0, 28, 28).data]")).reshape(28, 28, 4)[..., 3]
    assert alpha == pytest.approx(255 * np.abs(slope) / np.abs(slope).max(), abs=1.01)
    frame = page.run("return answer.frame")
    shown = page.run("const a = slope.getBoundingClientRect(), b = ink.getBoundingClientRect();"
                     "return [(a.left - b.left) / b.width, a.width / b.width]")
    assert shown == pytest.approx([frame["left"] / SIDE, frame["width"] / SIDE], abs=0.01)
    page.mouse("mouseReleased", box)
    wait(page.browser, lambda: is_hidden(page, "slope"))
    assert "Hold a bar" in page.run("return byId('told').textContent")


def test_a_held_digit_key_shows_the_gradient_while_the_drawing_goes_on(page):
    page.draw(THREE)
    page.answered()
    press(page, "5")
    wait(page.browser, lambda: not is_hidden(page, "slope"))
    before = page.run("return answer.gradient")
    page.draw([(40, 200), (180, 200)])
    wait(page.browser, lambda: page.run("return !asking && !slope.hidden && answer.gradient") not in (False, None, before))
    press(page, "5", "keyUp")
    wait(page.browser, lambda: is_hidden(page, "slope"))


def test_the_keyboard_draws_and_holds(page):
    page.run("ink.focus()")
    press(page, " ")
    press(page, " ", "keyUp")
    for key in ["ArrowDown"] * 8 + ["ArrowRight"] * 6:
        press(page, key)
        press(page, key, "keyUp")
    assert page.answered()["image"]
    ink = np.array(page.run("return [...inkBytes()]"), np.uint8).reshape(SIDE, SIDE) > 128
    assert ink[112 + 16, 112]
    assert ink[112 + 32, 112 + 20]
    assert not ink[112, 112 + 20]
    assert page.run("return !pen.hidden && pen.classList.contains('down')")
    page.run("bars[2].focus()")
    assert is_hidden(page, "pen")
    press(page, "Enter")
    wait(page.browser, lambda: not is_hidden(page, "slope"))
    press(page, "Enter", "keyUp")
    wait(page.browser, lambda: is_hidden(page, "slope"))


def test_a_finger_draws_on_a_phone_and_the_page_is_no_wider_than_it(page):
    resize(page.browser, 390)
    page.browser.refresh()
    touch = lambda kind, *points: page.browser.execute_cdp_cmd(  # noqa: E731
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
    )
    page.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    points = page.on_screen(THREE)
    touch("touchStart", points[0])
    for point in points[1:]:
        touch("touchMove", point)
    touch("touchEnd")
    page.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert page.answered()["image"]
    assert page.run("return scrollY") == 0
    assert too_wide(page.browser) == []
    top, bottom = page.run("const r = ink.getBoundingClientRect(); return [r.top, byId('best').getBoundingClientRect().bottom]")
    assert bottom < 844         # the answer is in view while one draws
    assert top > 0


def test_in_dark_mode_the_ink_is_light_and_the_network_sees_the_same(page):
    page.draw(THREE)
    light = page.answered()["image"]
    colour = """
        const pixels = paper.getImageData(0, 0, ink.width, ink.height).data;
        return pixels[pixels.findIndex((value, i) => i % 4 === 3 && value === 255) - 1];"""
    assert page.run(colour) < 60
    darken(page.browser)
    wait(page.browser, lambda: page.run(colour) > 200)
    page.run("look()")
    wait(page.browser, lambda: page.run("return !asking"))
    assert page.answered()["image"] == light


def test_a_server_that_is_gone_is_reported_on_the_page(browser, model):
    serving = served(model, "a net")
    browser.get(next(serving))
    page = Page(browser, wait)
    for _ in serving:       # ends it
        pass
    page.draw(THREE)
    wait(browser, lambda: "The server does not answer" in browser.find_element("id", "trouble").text)
    browser.get_log("browser")      # of the request that failed


def right(page, images, labels, draw):
    """How many of the images the page names right when `draw` has drawn them."""
    names = []
    for image in images:
        draw(image)
        names.append(page.told())
    return sum(name == str(label) for name, label in zip(names, labels, strict=True))


def test_drawn_digits_of_glyphs_come_out_right(page):
    data = datasets.load("glyphs")
    assert right(page, data.x_test[:20], data.y_test[:20], page.paste_digit) >= 16


@pytest.mark.slow
def test_nine_tenths_of_two_hundred_real_digits_come_out_right(browser, real_data):
    data = datasets.load("mnist")
    for address in served(trained(data, 60_000, 128), "net_2 on mnist"):
        browser.get(address)
        page, digits = Page(browser, wait), (data.x_test[:200], data.y_test[:200])
        found = right(page, *digits, page.paste_digit), right(page, *digits, page.draw_digit)
        print(f"of 200: {found[0]} pasted and {found[1]} drawn as strokes were classified correctly")
        assert min(found) >= 180
