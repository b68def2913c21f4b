"""How these pages are built: `sphinx-build -W --keep-going -b html docs docs/_build/html`."""

import re

from scratchnet import __version__

project = "scratchnet"
author = "the scratchnet authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "results/discussion.md", "results/runs"]     # the first is part of results/index.md
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]      # code with "…" for what is left out is no Python

html_theme = "furo"
html_title = f"scratchnet {version}"
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"          # docstrings give the types, with shapes
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "py:obj"             # `Conv2D` in a docstring links to the class, `x` is just code


def plain_text_to_rst(app, what, name, obj, options, lines):
    """Docstrings are written for the reader of the source: formulas and drawings are laid out by hand, |a| is a size.

    Each indented block of the prose, which ends at the first section such as "Parameters", becomes a literal block; in
    all other lines that are no doctest, a bar, and an asterisk before an argument, stand for themselves.
    """
    out, literal, in_prose, doctest = [], False, True, False
    for k, line in enumerate(lines):
        blank, indented = not line.strip(), line.startswith("    ")
        if not blank and re.fullmatch(r"-{3,}", lines[k + 1] if k + 1 < len(lines) else ""):
            in_prose = False
        if in_prose and indented and not blank and not literal and (not out or not out[-1].strip()):
            out += ["::", ""]
            literal = True
        elif not blank and not (indented and in_prose):
            literal = False
        doctest = not blank and (doctest or line.lstrip().startswith(">>>"))
        if not literal and not doctest:
            line = line.replace("|", r"\|")
            line = re.sub(r"(?<=[(, ])(\*{1,2})(?=\w+[,)])", lambda stars: "\\*" * len(stars[0]), line)
        out.append(line)
    lines[:] = out


def setup(app):
    # before napoleon's own listener, at its default priority of 500
    app.connect("autodoc-process-docstring", plain_text_to_rst, priority=400)
