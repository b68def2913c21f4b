"""docs/gallery.md, made from the catalogue."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from scratchnet.tools.saboteurs import CATALOGUE, ROOMS, Saboteur

HEAD = """# The gallery of real bugs

<!-- Made by: python -m scratchnet.tools.saboteurs > docs/gallery.md -->

Every entry is a mistake that somebody made in public, as a few lines that break one operation of ours in the same way.
Under each of them a test of ours must fail, and does: the catalogue is the gradient checker's own negative control. Most
of them train all the same; see for yourself what a broken net still reaches:

    scratchnet gradcheck --break NAME
    scratchnet gradcheck --break all

Four witnesses are heard. **gradient** holds backward against finite differences of forward. **definition** holds forward
and backward against the plain loops of `scratchnet/reference.py`. **update rule** holds an optimizer against its formula,
derived a second time. **contract** holds what surrounds the numbers: nothing that is read is written, the same call
gives the same bits, nothing is left from an earlier batch, any memory layout, a batch of one, float32. "Fools" are those
that were asked too, and found nothing.

Where an entry says *another convention*, the source is not in error: it keeps to another rule than Keras's, which is ours.
"""


def link(source: str) -> str:
    """Name an address in short, as a Markdown link.

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
    """Give the place of a heading on its page, as GitHub and MyST both form it.

    Examples
    --------
    >>> anchor("np.max(x, 0) for np.maximum(x, 0)")
    '#npmaxx-0-for-npmaximumx-0'
    """
    return "#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def code(text: str) -> str:
    """Mark text as code, whatever quotes it has itself.

    Examples
    --------
    >>> code("x += 1"), code("has `rho`")
    ('`x += 1`', '`` has `rho` ``')
    """
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def section(entry: Saboteur) -> str:
    """Tell one entry."""
    lines = [f"# {what}\n{line}" for what, line in (("right", entry.right), ("wrong", entry.wrong))]
    fools = f", fools {' and '.join(entry.fools)}" if entry.fools else ""
    told = [
        f"### {entry.title}",
        f"{code(entry.name)}: {entry.operation}. Caught by **{entry.witness}**{fools}.",
        "```python\n" + "\n".join(lines) + "\n```",
        entry.looks_right,
        f"*Another convention:* {entry.convention}" if entry.convention else "",
        f"Seen at {link(entry.source)}: {code(entry.seen)}",
    ]
    return "\n\n".join(part for part in told if part)


def markdown() -> str:
    """Give the whole page: a table of all entries, then each room's."""
    rows = ["| name | what is wrong | caught by | fools |", "|---|---|---|---|"]
    for entry in CATALOGUE.values():
        what, fools = f"[{entry.title}]({anchor(entry.title)})", ", ".join(entry.fools) or "–"
        rows.append(f"| `{entry.name}` | {what} | {entry.witness} | {fools} |")
    told = [HEAD, f"## All {len(CATALOGUE)}\n", "\n".join(rows), ""]
    for title, room in ROOMS.items():
        told += [f"## {title}\n"]
        told += [f"{section(entry)}\n" for entry in vars(room).values() if isinstance(entry, Saboteur)]
    return "\n".join(told)
