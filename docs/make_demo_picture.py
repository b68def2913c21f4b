"""Draw a 3 in the demo's page, photograph it, and time its answers, in Chromium: `python docs/make_demo_picture.py [RUN]`.

It needs `pip install -e ".[browser]"` and Debian's chromium and chromium-driver. Without a run, the network is net_2 trained on
glyphs, as in `scratchnet demo`.
"""

import base64
import shutil
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from scratchnet.demo.server import Server
from scratchnet.tools import demo

PICTURES = Path(__file__).parent / "pictures"
DIGIT = [
    (66, 72), (74, 58), (88, 47), (106, 43), (124, 45), (138, 54), (144, 68), (141, 82), (131, 94), (117, 102), (103, 106),
    (119, 108), (136, 115), (148, 127), (152, 143), (147, 160), (134, 173), (116, 180), (96, 180), (78, 173), (66, 160),
]  # fmt: skip


def chromium(folder):
    """Return a browser whose window is 1300 pixels wide, in light mode."""
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--force-device-scale-factor=1", f"--user-data-dir={folder}"):
        options.add_argument(option)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": 1300, "height": 640, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    light = {"name": "prefers-color-scheme", "value": "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [light]})
    return browser


def draw(browser):
    """Draw DIGIT with the mouse, and wait for the answer."""
    left, top, width = browser.execute_script("const r = ink.getBoundingClientRect(); return [r.left, r.top, r.width]")
    points = [(left + x * width / 224, top + y * width / 224) for x, y in DIGIT]
    for kind, (x, y) in [("Pressed", points[0]), *(("Moved", point) for point in points[1:]), ("Released", points[-1])]:
        event = {"type": f"mouse{kind}", "x": x, "y": y, "button": "left", "buttons": int(kind != "Released"), "clickCount": 1}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    wait(browser, "return !asking && window.answer")


def wait(browser, condition):
    """Wait until a piece of JavaScript returns something true."""
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(condition))


def photograph(browser, path, selector):
    """Write the part of the page in an element as a PNG."""
    box = browser.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", selector)
    clip = {**{side: box[side] for side in ("x", "y", "width", "height")}, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip, "captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(shot["data"]))


def fastest(browser, k):
    """Return the milliseconds of the fastest of 50 answers, with the gradient of class k, or without one."""
    return browser.execute_async_script(
        """
        const [k, done] = arguments;
        (async () => {
            const times = [];
            for (let n = 0; n < 50; n++) {
                const began = performance.now();
                await ask(k);
                times.push(performance.now() - began);
            }
            done(Math.min(...times));
        })();""",
        k,
    )


def main(run=None):
    """Serve the page, draw, write both pictures, and print times."""
    server = Server(0)
    thread = threading.Thread(target=server.serve, args=[demo.loaded(run) if run else demo.trained()])
    thread.start()
    with TemporaryDirectory() as folder:
        browser = chromium(folder)
        try:
            browser.get(server.address)
            draw(browser)
            photograph(browser, PICTURES / "demo-page.png", "body")
            browser.execute_script("hold(8)")
            wait(browser, "return !slope.hidden")
            photograph(browser, PICTURES / "demo-gradient.png", ".paper")
            print(f"the fastest of 50 answers: {fastest(browser, None):.0f} ms, with a gradient {fastest(browser, 8):.0f} ms")
        finally:
            browser.quit()
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
