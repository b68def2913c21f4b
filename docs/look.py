"""Look at every page of the built site in a browser: `python docs/look.py docs/_build/html --out screenshots`.

Each page is opened at the width of a phone and of a window, in light and in dark mode. The program reports pages that are wider
than the screen, with the element that makes them so, tables that must be scrolled in a window, pictures that do not load, and
errors of scripts. The screenshots are for a person. It needs selenium, chromium and chromedriver; the exit code is 1 if it finds
something.
"""

import argparse
import base64
import re
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTHS = {"phone": 390, "window": 1300}
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-device-scale-factor=1 --hide-scrollbars"
)
NOT_OURS = ("_modules", "_static", "_sources")      # made by Sphinx: listings of the source
MEASURE = """
    const width = document.documentElement.clientWidth;
    const inside = (element) => element.closest(".table-wrapper, pre, .sidebar-drawer, .toc-drawer, .highlight");
    const wide = [...document.querySelectorAll("article *")].filter(
        (element) => element.getBoundingClientRect().right > width + 1 && !inside(element));
    const name = (element) => element.tagName.toLowerCase() + " " + element.textContent.trim().slice(0, 40);
    return {
        page: document.documentElement.scrollWidth - width,
        wide: wide.slice(0, 2).map(name),
        tables: [...document.querySelectorAll(".table-wrapper")]
            .filter((wrapper) => wrapper.scrollWidth > wrapper.clientWidth + 1)
            .map((wrapper) => wrapper.scrollWidth - wrapper.clientWidth + " px: " + wrapper.textContent.trim().slice(0, 40)),
        broken: [...document.images].filter((image) => !image.complete || image.naturalWidth === 0).map((image) => image.src),
        height: Math.min(document.documentElement.scrollHeight, 16000),
    };
"""


def open_browser(profile: str) -> webdriver.Chrome:
    """Start Chromium without a window, with an empty profile."""
    options = webdriver.ChromeOptions()
    for option in [*OPTIONS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def look(browser: webdriver.Chrome, page: Path, name: str, out: Path | None) -> list[str]:
    """Return what is wrong with a page, and write its screenshots into `out`."""
    found = []
    for device, width in WIDTHS.items():
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": device == "phone"}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for mode in ("light", "dark"):
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": mode}]})
            browser.get(page.resolve().as_uri())
            seen = browser.execute_script(MEASURE)
            where = f"{name}, {device}, {mode}"
            if seen["page"] > 0 or (device == "phone" and seen["wide"]):
                found.append(f"{where}: {seen['page']} px too wide: {'; '.join(seen['wide'])}")
            found += [f"{where}: a picture does not load: {address}" for address in seen["broken"]]
            found += [f"{where}: a table must be scrolled, {table!r}" for table in seen["tables"] if device == "window"]
            errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
            found += [f"{where}: {message}" for message in errors]
            if out is not None:
                clip = {"x": 0, "y": 0, "width": width, "height": seen["height"], "scale": 1}
                shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
                file = out / f"{name.replace('/', '-')}-{device}-{mode}.png"
                file.write_bytes(base64.b64decode(shot["data"]))
    return found


def main() -> int:
    """Look at all pages, print what is wrong, and return the exit code."""
    parser = argparse.ArgumentParser(description="Look at every page of the built site in a browser.")
    parser.add_argument("site", type=Path, help="the folder with index.html")
    parser.add_argument("--out", type=Path, help="folder for the screenshots")
    parser.add_argument("--only", default="", help="look only at pages whose name matches this regular expression")
    args = parser.parse_args()
    if not (args.site / "index.html").exists():
        parser.error(f"expected a folder with index.html, got {args.site}. Run: sphinx-build -b html docs docs/_build/html")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    pages = [page for page in sorted(args.site.rglob("*.html")) if page.relative_to(args.site).parts[0] not in NOT_OURS]
    found = []
    with tempfile.TemporaryDirectory() as profile:
        browser = open_browser(profile)
        try:
            for page in pages:
                name = str(page.relative_to(args.site).with_suffix(""))
                if re.search(args.only, name):
                    found += look(browser, page, name, args.out)
        finally:
            browser.quit()
    print("\n".join(found) or "nothing is wrong")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
