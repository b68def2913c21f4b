"""One self-contained HTML page: its styles, its program and its data are parts of the page, and nothing is loaded.

The page itself forbids the browser to load anything (its Content-Security-Policy), so that it cannot do so by mistake.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="{description}">
<meta http-equiv="Content-Security-Policy" content="{csp}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{css}
</style>
</head>
<body>
{body}
{data}<script>
{js}
</script>
</body>
</html>
"""


def page(
    title: str, body: str, *, css: str = "", js: str = "", data: Any = None, description: str = "", server: bool = False
) -> str:
    """Return the text of a self-contained HTML page in the project's colours.

    Parameters
    ----------
    title : str
        The title, as plain text.
    body : str
        The content of the body, as HTML.
    css, js : str
        The page's own styles, which follow base.css, and its program, which runs when the body is complete.
    data : value for JSON, optional
        For the program: `JSON.parse(document.getElementById("data").textContent)`.
    description : str
        One sentence about the page, as plain text.
    server : bool
        Whether the program may send requests to the server that the page comes from; it may never send them to another.

    Returns
    -------
    str

    Examples
    --------
    >>> text = page("Tom & Ann", "<h1>Hello</h1>", data={"name": "</script>"})
    >>> "<title>Tom &amp; Ann</title>" in text, text.count("</script>")
    (True, 2)
    """
    stored = "" if data is None else f'<script type="application/json" id="data">{as_json(data)}</script>\n'
    return PAGE.format(
        title=escape(title),
        description=escape(description or title),
        csp=f"{ALLOWED}; connect-src 'self'" if server else ALLOWED,
        css=f"{read(FOLDER / 'base.css')}\n{css}",
        body=body,
        data=stored,
        js=js,
    )


def as_json(data: Any) -> str:
    """Return `data` as JSON that can stand in a script element: "<" is written as an escape, so that no tag can begin in it."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def read(path: Path) -> str:
    """Return the text of a file of the package."""
    return path.read_text(encoding="utf-8")
