"""Draw the digits of a data set in the demo's page in a real browser: pasted as ink, or again as strokes of a pen.

The strokes are the digit's skeleton: it is thinned until its lines are one pixel wide (Zhang and Suen, Communications of the ACM
27, 1984), and a pen that is as wide as the digit's lines follows them.
"""

import base64

import numpy as np
from PIL import Image

SIDE = 224  # pixels of the demo's canvas


def enlarged(digit, size, top, left):
    """A digit, uint8 (28, 28), in `size` pixels a side as the ink of the demo's canvas, uint8 (SIDE, SIDE)."""
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[top : top + size, left : left + size] = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    return ink


def thinned(mask):
    """The skeleton of `mask`, (h, w) of bool, whose edge is False."""
    mask = mask.copy()
    while True:
        before = mask.sum()
        for first in (True, False):
            p = np.pad(mask, 1)
            n, e, s, w = p[:-2, 1:-1], p[1:-1, 2:], p[2:, 1:-1], p[1:-1, :-2]
            ring = np.stack([n, p[:-2, 2:], e, p[2:, 2:], s, p[2:, :-2], w, p[:-2, :-2]])  # around each pixel, from the north
            near = ring.sum(axis=0)
            rises = (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)
            open_side = ~(n & e & s) & ~(e & s & w) if first else ~(n & e & w) & ~(n & s & w)
            mask = mask & ~((near >= 2) & (near <= 6) & (rises == 1) & open_side)
        if mask.sum() == before:
            return mask


def strokes(digit, size=160, top=32, left=32):
    """The strokes that draw `digit`, uint8 (28, 28), on the canvas: lists of points (x, y); and the width of the pen."""
    large = np.asarray(Image.fromarray(digit).resize((112, 112), Image.Resampling.BICUBIC)) > 100
    skeleton = thinned(large)
    pen = large.sum() / max(skeleton.sum(), 1) * size / 112
    waiting = {(int(y), int(x)) for y, x in np.argwhere(skeleton)}
    found, begun = [], []  # strokes, and points at which another one may begin
    while waiting or begun:
        path = [begun.pop() if begun else min(waiting)]
        while True:
            waiting.discard(path[-1])
            y, x = path[-1]
            around = [(y + a, x + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))]
            following = [point for point in around if point in waiting]
            if not following:
                break
            begun += [path[-1]] if len(following) > 1 else []
            path.append(following[0])
        if len(path) > 1 or not found:
            found.append([(left + x * size / 112, top + y * size / 112) for y, x in [*path[:-1:6], path[-1]]])
    return found, pen


class Page:
    """The demo's page in a browser.

    `told()` is what the page says: the name of the class, and its probability in percent.
    """

    def __init__(self, browser, wait):
        self.browser, self.wait = browser, lambda condition: wait(browser, condition)

    def run(self, code, *args):
        return self.browser.execute_script(code, *args)

    def answered(self):
        """Wait until the page shows the answer to what is drawn, and return that answer."""
        return self.wait(lambda: self.run("return !asking && !changed && window.answer"))

    def told(self):
        return self.browser.find_element("css selector", "#best strong").text

    def clear(self):
        self.run("clear()")

    def paste(self, ink):
        """Put ink, uint8 (SIDE, SIDE), on the canvas in place of what is there."""
        self.run(
            """
            const bytes = bytesOf(arguments[0]), pixels = new ImageData(data.side, data.side);
            bytes.forEach((value, i) => { pixels.data[4 * i + 3] = value; });
            shrunk.putImageData(pixels, 0, 0);
            clear();
            paper.drawImage(small, 0, 0, ink.width, ink.height);
            empty = false;
            byId("hint").hidden = true;
            look();""",
            base64.b64encode(ink.tobytes()).decode(),
        )
        return self.answered()

    def paste_digit(self, digit):
        """Put `digit`, uint8 (28, 28), on the canvas, as large as a person draws."""
        return self.paste(enlarged(digit, 160, 32, 32))

    def pen(self, width):
        self.run("byId('width').value = arguments[0]", float(width))

    def mouse(self, kind, point):
        buttons = 0 if kind == "mouseReleased" else 1
        event = {"type": kind, "x": point[0], "y": point[1], "button": "left", "buttons": buttons, "clickCount": 1}
        self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def on_screen(self, points):
        """Points of the canvas as points of the window."""
        left, top, width = self.run("const r = ink.getBoundingClientRect(); return [r.left, r.top, r.width]")
        return [(left + x * width / SIDE, top + y * width / SIDE) for x, y in points]

    def draw(self, points):
        """Draw one stroke through `points` of the canvas with the mouse."""
        points = self.on_screen(points)
        self.mouse("mousePressed", points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", point)
        self.mouse("mouseReleased", points[-1])

    def replay(self, found):
        """Draw strokes by pointer events that the page makes itself: fifty times as fast as `draw`."""
        self.run(
            """
            ink.setPointerCapture = () => {};           // which only the browser's own events may call
            const box = ink.getBoundingClientRect(), scale = box.width / data.side;
            const send = (type, [x, y]) => ink.dispatchEvent(new PointerEvent(type,
                {clientX: box.left + scale * x, clientY: box.top + scale * y, isPrimary: true, button: 0, pointerId: 1}));
            for (const points of arguments[0]) {
                send("pointerdown", points[0]);
                points.forEach(point => send("pointermove", point));
                send("pointerup", points[points.length - 1]);
            }""",
            found,
        )

    def draw_digit(self, digit, size=160, top=32, left=32, pen=None):
        """Draw `digit`, uint8 (28, 28), with the strokes of a pen that is as wide as its lines, or `pen` wide."""
        found, width = strokes(digit, size, top, left)
        self.clear()
        self.pen(pen or width)
        self.replay(found)
        return self.answered()
