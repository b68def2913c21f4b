"""The page docs/gallery.md, made from the catalogue."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from scratchnet.tools.gallery import CATALOGUE, ROOMS, Bug

HEAD = """# The gallery of real bugs

<!-- Made by: python -m scratchnet.tools.gallery > docs/gallery.md -->

Every entry is a mistake that was made in public code, reproduced in a few lines that break one operation of scratchnet in
the same way. For each of them a check must fail, and does: the gallery tests the gradient checker.
Most of the broken networks still train. These commands show what accuracy a broken network reaches:

    scratchnet gradcheck --break NAME
    scratchnet gradcheck --break all

There are four checks. **gradient** compares backward with finite differences of forward. **definition** compares forward
and backward with the plain loops of `scratchnet/reference.py`, moving averages and learning rates with their formulas, and
initial values with the mean and the variance that they should have. **update rule** compares an optimizer with its formula,
written a second time, for one number, in `scratchnet/reference.py`. **contract** checks properties other than the values: no
input is modified, the same call gives the same bits, nothing remains from an earlier batch, inference and frozen layers change
nothing, each image has random numbers of its own, and the layer accepts any memory layout, a batch of one, and float32. "Passes"
names the other checks that ran and found nothing.

Where an entry says *a different convention*, the source is not in error: it follows a different rule from that of Keras
and scratchnet.

The letters are those of the library's own code. In batch normalization, `M` values of a channel are normalized to
`xhat = (x - mean) * inv`, with `inv = 1 / np.sqrt(variance + epsilon)`. In optimizers, `p` is a parameter, `g` its gradient and
`lr` the learning rate. SGD has the velocity `u` and the momentum `mu`. Adam has the averages `m` of gradients and `v` of their
squares. `a` is the sum (Adagrad) or the average (Adadelta, RMSprop) of squared gradients, and `d` the average of squared steps
(Adadelta).
"""


def link(source: str) -> str:
    """Return a Markdown link to an address, with a short label.

    Examples
    --------
    >>> link("https://github.com/HIPS/autograd/issues/39")
    '[HIPS/autograd#39](https://github.com/HIPS/autograd/issues/39)'
    >>> link("https://github.com/Alescontrela/Numpy-CNN/blob/cf92c154/CNN/backward.py")
    '[Alescontrela/Numpy-CNN, backward.py](https://github.com/Alescontrela/Numpy-CNN/blob/cf92c154/CNN/backward.py)'
    """
    url = urlsplit(source)
    parts = url.path.strip("/").split("/")
    if url.netloc != "github.com":
        label = url.netloc
    elif parts[2] == "blob":
        label = f"{parts[0]}/{parts[1]}, {parts[-1]}"
    else:
        label = f"{parts[0]}/{parts[1]}#{parts[3]}"
    return f"[{label}]({source})"


def anchor(title: str) -> str:
    """Return the anchor of a heading on its page, as GitHub and MyST both form it.

    Examples
    --------
    >>> anchor("np.max(x, 0) instead of np.maximum(x, 0)")
    '#npmaxx-0-instead-of-npmaximumx-0'
    """
    return "#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def code(text: str) -> str:
    """Return text marked as code, also when it contains backquotes.

    Examples
    --------
    >>> code("x += 1"), code("has `rho`")
    ('`x += 1`', '`` has `rho` ``')
    """
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def section(entry: Bug) -> str:
    """Return the section of one bug."""
    fools = f", passes {', '.join(entry.fools)}" if entry.fools else ""
    parts = [
        f"### {entry.title}",
        f"{code(entry.name)}: {entry.operation}. Caught by **{entry.check}**{fools}.",
        f"```python\n# right\n{entry.right}\n# wrong\n{entry.wrong}\n```",
        entry.looks_right,
        f"*A different convention:* {entry.convention}" if entry.convention else "",
        f"Seen at {link(entry.source)}: {code(entry.seen)}",
    ]
    return "\n\n".join(part for part in parts if part)


def markdown() -> str:
    """Return the whole page: a table of all bugs, then their sections."""
    rows = ["| name | what is wrong | caught by | passes |", "|---|---|---|---|"]
    for entry in CATALOGUE.values():
        title, fools = f"[{entry.title}]({anchor(entry.title)})", ", ".join(entry.fools) or "–"
        rows.append(f"| `{entry.name}` | {title} | {entry.check} | {fools} |")
    parts = [HEAD, f"## All {len(CATALOGUE)}\n", "\n".join(rows), ""]
    for title, room in ROOMS.items():
        parts += [f"## {title}\n", *(f"{section(entry)}\n" for entry in room)]
    return "\n".join(parts)
