"""The page of what a network computed for one image: the numbers of inside.py in one HTML file, with
explain.html, explain.css, numbers.js (the sums) and explain.js (what is shown).

The page stores all arrays as one block of float32 numbers, compressed by gzip and written as base64. In the description of a
stage (see inside.py), an array is replaced by the place of its first number in the block, and its length.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.explain.inside import Inside, arrays_in
from scratchnet.web.page import page, read

FOLDER = Path(__file__).parent
LIMIT = 15_000_000      # bytes of a page


def as_html(
    inside: Inside,
    class_names: list[str],
    *,
    net: str,
    source: str,
    label: int | None = None,
    note: str = "",
) -> str:
    """Return the page as the text of one self-contained HTML file.

    Parameters
    ----------
    inside : Inside
        From `look_inside`.
    class_names : list of K str
    net, source : str
        The names of the network and of the picture, as plain text.
    label : int, optional
        The true class.
    note : str
        How the picture was prepared.

    Raises
    ------
    ValueError
        If the page would have over 15 MB.
    """
    copies = {id(stage): dict(stage) for stage in inside.stages}
    block: list[np.ndarray] = []
    start = 0
    for stage, key, array in arrays_in(inside.stages):
        copies[id(stage)][key] = {"at": start, "size": array.size}
        block.append(array.reshape(-1))
        start += array.size
    content = gzip.compress(np.concatenate(block).astype("<f4").tobytes(), 9, mtime=0)
    best = int(np.argmax(inside.probabilities))
    data: dict[str, Any] = {
        "stages": [*copies.values()],
        "logits": inside.logits,
        "classes": inside.classes,
        "names": class_names,
        "best": best,
        "label": label,
        "net": net,
        "source": source,
        "note": note,
        "arrays": base64.b64encode(content).decode("ascii"),
    }
    text = around(data)
    size = len(text.encode())
    if size > LIMIT:
        sizes = f"expected at most {LIMIT / 1e6:.0f} MB, got {size / 1e6:.1f} MB"
        raise ValueError(f"the page: {sizes}. Use a smaller network, or one of smaller images.")
    return text


def around(data: dict[str, Any]) -> str:
    """Return the page of the numbers in `data`."""
    net, source = data["net"], data["source"]
    return page(
        f"{net} and {source}",
        read(FOLDER / "explain.html"),
        css=read(FOLDER / "explain.css"),
        js=read(FOLDER / "numbers.js") + read(FOLDER / "explain.js"),
        data=data,
        description=f"What {net} computed for {source}: every number can be followed, forward and backward.",
    )


def refreshed(text: str) -> str:
    """Return a page with the numbers of the page `text`, and with the styles and the program as they are now."""
    _, _, rest = text.partition('id="data">')
    return around(json.loads(rest.partition("</script>")[0]))
