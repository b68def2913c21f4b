"""The example in which a network runs in a web page: onnxruntime-web computes what `predict` computes."""

import importlib.util
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from browser.conftest import darken, resize, too_wide, wait

EXAMPLE = next((Path(__file__).parents[2] / "examples").glob("*_onnx_in_the_browser.py"))


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime: pip install -e '.[onnx]'")
    spec = importlib.util.spec_from_file_location("onnx_in_the_browser", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def served(example, chromium, tmp_path_factory):
    """The address of the page, the network, and the digits of the page; chromium is asked for first, to be skipped without it."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm, which downloads onnxruntime-web")
    folder = tmp_path_factory.mktemp("page")
    model, x, y = example.train(limit=1000, epochs=1)
    try:
        example.write_page(folder, model, x[:12], y[:12])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot download onnxruntime-web: {error}")
    with example.server(folder, 0) as page:
        thread = threading.Thread(target=page.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{page.server_port}/", model, x[:12], y[:12]
        page.shutdown()
        thread.join(20)


def opened(browser, address):
    browser.get(address)
    wait(browser, lambda: browser.execute_script("return document.querySelectorAll('#bars tr').length") == 10, seconds=30)


def test_the_page_computes_the_probabilities_of_the_network(browser, served):
    address, model, x, _ = served
    opened(browser, address)
    found = browser.execute_async_script("""
        const done = arguments[0];
        (async () => { const p = []; for (let n = 0; n < 12; n++) p.push(await window.choose(n)); done(p); })();""")
    assert np.shape(found) == (12, 10)
    np.testing.assert_allclose(found, model.predict(x.round(3)), rtol=0, atol=1e-5)


def test_a_click_on_a_digit_shows_its_label_and_its_probabilities(browser, served):
    address, model, x, y = served
    opened(browser, address)
    browser.find_elements("css selector", "#digits button")[5].click()
    p = model.predict(x.round(3))[5]
    text = f"The network sees a {p.argmax()}, and the label is {y[5]}."
    wait(browser, lambda: browser.find_element("id", "answer").text == text)
    shown = [cell.text for cell in browser.find_elements("css selector", "#bars td:last-child")]
    np.testing.assert_allclose([float(cell.split()[0]) / 100 for cell in shown], p, atol=6e-4)
    pressed = browser.find_elements("css selector", "#digits button[aria-pressed='true']")
    assert [button.get_attribute("aria-label") for button in pressed] == ["digit 6"]


def test_nothing_is_loaded_from_elsewhere_and_a_phone_shows_the_whole_page(browser, served):
    address, *_ = served
    resize(browser, 390)
    darken(browser)
    opened(browser, address)
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert {name.rsplit("/", 1)[1] for name in loaded} >= {"digits.onnx", "digits.json", "ort-wasm-simd-threaded.wasm"}
    assert all(name.startswith(address) for name in loaded)
    assert too_wide(browser) == []
