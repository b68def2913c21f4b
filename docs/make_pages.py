"""Write the pages of `scratchnet explain` that these pages link to, and the picture of one: `python docs/make_pages.py`.

It first trains net_1 on MNIST and net_2 on CIFAR-10 into the folder runs/pages, which takes minutes; a run that exists is used
again. With --refresh, nothing is trained: the pages keep their numbers, and get the current styles and program of
scratchnet/explain. The networks are not sure about the two test images: a four that could be a nine, and an airplane that could
be a bird. The picture needs selenium, chromium and chromedriver: without them it stays as it is.
"""

import base64
import shutil
import sys
from pathlib import Path

from scratchnet import cli
from scratchnet.explain.sheet import refreshed

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "pages"
PAGES = [("net_1", "mnist", "3", "115"), ("net_2", "cifar10", "6", "88")]        # network, data, epochs, test image


def write_page(net: str, data: str, epochs: str, index: str) -> Path:
    """Train the network unless it is trained, write the page of one test image, and return its path."""
    run, page = RUNS / f"{net}_{data}", HERE / "pages" / f"{net}_{data}.html"
    if "--refresh" in sys.argv:
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
        return page
    commands = [["explain", str(run), "--index", index, "--out", str(page)]]
    if not (run / "model.npz").is_file():
        commands.insert(0, ["train", "--net", net, "--data", data, "--epochs", epochs, "--seed", "0", "--out", str(run)])
    for command in commands:
        if code := cli.main(command):
            raise SystemExit(code)
    return page


def photograph(page: Path, picture: Path) -> None:
    """Write a picture of what the page says about the cell that is selected at first, in a window of 1300 pixels."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        size = {"width": 1300, "height": 1010, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(page.as_uri())
        driver.execute_async_script("""
            const done = arguments[0];
            const wait = () => (document.documentElement.dataset.ready ? done() : setTimeout(wait, 20));
            wait();""")
        box = driver.execute_script("return document.getElementById('inspector').getBoundingClientRect().toJSON()")
        clip = {**{side: box[side] for side in ("x", "y", "width", "height")}, "scale": 2}
        shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
        picture.write_bytes(base64.b64decode(shot["data"]))
    finally:
        driver.quit()


def main() -> None:
    """Write both pages, and the picture of the first."""
    first, _ = [write_page(*page) for page in PAGES]
    try:
        photograph(first, HERE / "pictures" / "explain.png")
    except ImportError as error:
        print(f"docs/pictures/explain.png stays as it is: {error}")


if __name__ == "__main__":
    main()
