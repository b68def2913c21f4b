"""Write the code that the pages show, from its source: `python docs/include_code.py` (`--check` only compares).

A page names the code in a comment above a block, and this program writes the block:

    <!-- code: scratchnet/layers/dense.py dense_backward, without docstring -->
    ```python
    …
    ```

After the path comes a function, a class or a method (`Model.train_step`), or nothing for the whole file. Unlike Sphinx's
`literalinclude`, the code is also in the Markdown file itself, which many people read as it is.
"""

import argparse
import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^<!-- code: (\S+)(?: ([\w.]+))?(, without docstring)? -->\n```(\w*)\n.*?^```$", re.MULTILINE | re.DOTALL)


def code_of(path: Path, name: str | None, without_docstring: bool) -> str:
    """Return the lines of `path` that define `name`, with its decorators, without the indentation of the first line."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    node: ast.AST = ast.parse(text) if path.suffix == ".py" else ast.Module([], [])
    first, last = 1, len(lines)
    for part in name.split(".") if name else ():
        found = [child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == part]
        if not found:
            where = path.relative_to(ROOT)
            raise SystemExit(f"{where}: expected a definition of {name}, found none. Correct the comment above the code.")
        node = found[0]
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        last = node.end_lineno
    dropped = set()
    if without_docstring and ast.get_docstring(node) is not None:
        dropped = set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        while node.body[0].end_lineno + 1 <= last and not lines[max(dropped)].strip():      # blank lines after it
            dropped.add(max(dropped) + 1)
    kept = [lines[k - 1] for k in range(first, last + 1) if k not in dropped]
    indent = len(kept[0]) - len(kept[0].lstrip()) if name else 0
    return "\n".join(line[indent:] for line in kept).strip("\n")


def with_code(page: Path) -> str:
    """Return the text of `page` with every block written from its source."""

    def block(match: re.Match[str]) -> str:
        path, name, without, language = match.groups()
        head = match[0].split("\n", 1)[0]
        return f"{head}\n```{language}\n{code_of(ROOT / path, name, bool(without))}\n```"

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


def main() -> int:
    """Write the pages, or name those that are not up to date; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the code that the pages show, from its source.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not up to date")
    check = parser.parse_args().check
    changed = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if "<!-- code:" in text and (new := with_code(page)) != text:
            changed.append(page.relative_to(ROOT))
            if not check:
                page.write_text(new, encoding="utf-8")
    for page in changed:
        print(f"{page}: {'not up to date; run python docs/include_code.py' if check else 'written'}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
