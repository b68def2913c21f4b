"""The demo's page: its HTML; demo.css and demo.js are in the same folder."""

from __future__ import annotations

from html import escape
from pathlib import Path

from scratchnet.demo.look import SIDE, Net
from scratchnet.web import page

HERE = Path(__file__).parent

BODY = """
<header>
  <h1>Draw a digit</h1>
  <p class="muted">See what a network predicts while you draw: {title}, {parameters} parameters, on your machine.</p>
</header>
<main>
  <section class="draw" aria-label="Your drawing">
    <div class="paper">
      <canvas id="ink" width="{pixels}" height="{pixels}" tabindex="0" role="application" aria-describedby="keys"
        aria-label="Drawing area"></canvas>
      <canvas id="slope" width="28" height="28" aria-hidden="true"></canvas>
      <div id="pen" hidden></div>
      <p id="hint" aria-hidden="true">draw a digit</p>
    </div>
    <div class="tools">
      <button id="clear" type="button">Clear <kbd>Esc</kbd></button>
      <label>Pen <input id="width" type="range" min="4" max="48" value="18" aria-label="Width of the pen"></label>
    </div>
    <p id="keys" class="muted small">With the keyboard: arrows move the pen, the space bar puts it down and lifts it.</p>
  </section>
  <section class="answer" aria-label="The network's answer">
    <div class="seen">
      <canvas id="image" width="28" height="28" role="img" aria-label="What the network sees: 28 × 28 pixels"></canvas>
      <div>
        <p id="best" role="status"><strong>?</strong> <span></span></p>
        <p class="muted small">The network sees these 28 × 28 pixels: your strokes, fitted into 20 × 20, with their centre of
        mass in the middle.</p>
      </div>
    </div>
    <div id="bars" role="group" aria-label="Probabilities"></div>
    <p id="told" class="small muted">{hold}</p>
    <p id="trouble" role="alert" hidden></p>
  </section>
  <section class="maps" id="maps" aria-label="Feature maps"></section>
</main>
"""

HOLD = "Hold a bar{key} to see the gradient of that class's score, drawn over your strokes."


def demo_page(net: Net) -> str:
    """Return the page for `net`, as HTML."""
    K = len(net.class_names)
    data = {
        "side": SIDE,
        "classes": net.class_names,
        "layers": [{"name": name, "shape": pixels.shape, "channels": channels} for name, pixels, channels in net.layers],
    }
    body = BODY.format(
        title=escape(net.title),
        parameters=f"{net.model.count_params():,}",
        pixels=2 * SIDE,
        hold=HOLD.format(key=f", or a key from 0 to {min(K, 10) - 1}," if K > 1 else ""),
    )
    return page(
        f"Draw a digit: {net.title}",
        body,
        css=(HERE / "demo.css").read_text(encoding="utf-8"),
        js=(HERE / "demo.js").read_text(encoding="utf-8"),
        data=data,
        description="Draw a digit and see what a convolutional network predicts.",
        server=True,
    )
