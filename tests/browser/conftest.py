"""Chromium for the tests of web pages. Without it, or without selenium, they are skipped, with the reason.

`browser` is selenium's driver with an empty page, 1300 pixels wide, light. After each test, the browser's console must be empty of
errors. `resize(browser, 390)` and `darken(browser)` emulate a phone and dark mode; `wait(browser, condition)` waits until
`condition()` is true, at most ten seconds. No test sleeps for a fixed time.
"""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-device-scale-factor=1", "--disable-dev-shm-usage",
]  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


def found(*names):
    """Return the path of the first of these programs that is installed, or skip the test."""
    paths = [path for path in map(shutil.which, names) if path]
    if not paths:
        pytest.skip(f"needs the program {names[0]}: apt-get install chromium chromium-driver")
    return paths[0]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """One browser for all tests of this process, with an empty profile."""
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install -e '.[browser]'")
    options = selenium.ChromeOptions()
    options.binary_location = found("chromium", "chromium-browser", "google-chrome")
    for option in [*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(found("chromedriver")))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """Return the driver with an empty page; after the test, fail if the page wrote an error to the console."""
    chromium.get("about:blank")
    resize(chromium, 1300)
    darken(chromium, "light")
    chromium.get_log("browser")         # which empties it
    yield chromium
    errors = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == [], "errors in the browser's console"


def resize(browser, width, height=900):
    """Emulate a window of this size; at 500 pixels and below a phone, with touch."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def darken(browser, scheme="dark"):
    """Emulate a user who prefers "dark" or "light" pages."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})


def wait(browser, condition, seconds=10):
    """Return what `condition()` returns as soon as that is true; fail after `seconds`."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, seconds, poll_frequency=0.02).until(lambda _: condition())


def too_wide(browser):
    """Return the elements that make the page wider than the window, for a message; none on a page that does not scroll sideways."""
    return browser.execute_script("""
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return [];
        const scrolls = e => e !== document.body && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
        return [...document.body.querySelectorAll("*")]
            .filter(e => e.getBoundingClientRect().right > width + 0.5 && !scrolls(e.parentElement))
            .slice(0, 5).map(e => e.outerHTML.slice(0, 80));""")


def screenshot(browser, path):
    """Write the whole page as a PNG: a help for those who write tests."""
    import base64

    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
    Path(path).write_bytes(base64.b64decode(shot["data"]))
