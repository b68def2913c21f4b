"""The report as one HTML file that contains its pictures and loads nothing.

It reads only the Markdown that reports use: headings, paragraphs, tables, lists of one level, fenced code, pictures on a
line of their own, and within a line **bold**, *emphasis*, `code`, and [links](elsewhere), of which only the text is kept.
"""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1a1a1a; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.25; margin-top: 2em } h1 { margin-top: 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: 0.88rem; margin: 1em 0 }
th, td { border-bottom: 1px solid #ccc; padding: 0.25em 0.7em; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #666 } td { font-variant-numeric: tabular-nums }
img { max-width: 100%; height: auto } code, pre { font-family: ui-monospace, monospace; font-size: 0.92em }
pre { background: #f4f4f4; padding: 0.8em; overflow-x: auto }
"""


def page(markdown: str, folder: Path) -> str:
    """Return a report's Markdown as one HTML page.

    Parameters
    ----------
    markdown : str
        It may ``{include}`` other Markdown files of `folder`, and show its pictures by their names.
    folder : path

    Returns
    -------
    str
    """
    markdown = re.sub(
        r"^```\{include\} (\S+)\n```$",
        lambda found: (folder / found[1]).read_text(encoding="utf-8"),
        markdown,
        flags=re.MULTILINE,
    )
    title = next((line[2:] for line in markdown.splitlines() if line.startswith("# ")), "report")
    body = "\n".join(_block(block, folder) for block in _blocks(markdown))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'


def _blocks(markdown: str) -> list[list[str]]:
    """Return the blocks between empty lines; an empty line inside fenced code does not count."""
    blocks: list[list[str]] = [[]]
    fenced = False
    for line in markdown.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        if line.strip() or fenced:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _block(lines: list[str], folder: Path) -> str:
    first = lines[0]
    heading = re.match(r"(#{1,4}) (.*)", first)
    picture = re.fullmatch(r"!\[(.*?)\]\((\S+)\)", first)
    if heading:
        level = len(heading[1])
        rest = _block(lines[1:], folder) if lines[1:] else ""
        return f"<h{level}>{_inline(heading[2])}</h{level}>{rest}"
    if picture and len(lines) == 1:
        code = base64.b64encode((folder / picture[2]).read_bytes()).decode()
        return f'<p><img alt="{html.escape(picture[1])}" src="data:image/png;base64,{code}"></p>'
    if first.startswith("```"):
        return f"<pre>{html.escape(chr(10).join(lines[1:-1]))}</pre>"
    if first.startswith("|"):
        return _table(lines)
    if first.startswith("- "):
        items = "\n".join(lines)[2:].split("\n- ")
        return "<ul>" + "".join(f"<li>{_inline(' '.join(item.split()))}</li>" for item in items) + "</ul>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]

    def cells(tag: str, row: list[str]) -> str:
        return "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows[2:])
    return f'<div class="wide"><table><thead><tr>{cells("th", rows[0])}</tr></thead><tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    """Return a line with its marks as HTML; text between backquotes is not changed."""
    parts = re.split(r"`([^`]+)`", text)
    for k, part in enumerate(parts):
        part = html.escape(part)
        if k % 2:
            parts[k] = f"<code>{part}</code>"
            continue
        part = re.sub(r"\[([^\]]+)\]\((\S+?)\)", r"\1", part)  # a link would lead to another file
        part = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", part)
        parts[k] = re.sub(r"(?<!\w)\*(\S(?:.*?\S)?)\*(?!\w)", r"<em>\1</em>", part)
    return "".join(parts)
