"""How these pages are built: `sphinx-build -W --keep-going -b html docs docs/_build/html`."""

import re
import shutil
import warnings
from pathlib import Path

from scratchnet import __version__

project = "scratchnet"
author = "the scratchnet authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "results/discussion.md", "results/runs"]     # discussion.md is part of results/index.md
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]      # code with "…" for omitted lines is not valid Python

html_theme = "furo"
html_title = f"scratchnet {version}"
html_show_sphinx = False

# The figures to play with in the book: what they have in common first, then one file for each.
html_static_path = ["static", "book/figures"]
html_css_files = ["pages.css", "figures.css"]
FIGURES = sorted(path.name for path in (Path(__file__).parent / "book/figures").glob("*.js") if path.name != "figure.js")
html_js_files = [(name, {"defer": "defer"}) for name in ("figure.js", *FIGURES)]

# Old names still work, but they print a warning when autodoc reads them, and are not documented.
autodoc_default_options = {"exclude-members": "tellings, kinks, witness, in_one_pass"}
warnings.filterwarnings("ignore", message=".* is now ", category=FutureWarning)

autodoc_member_order = "bysource"
autodoc_typehints = "none"          # the docstrings have the types, with shapes
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "py:obj"             # `Conv2D` in a docstring links to the class, `x` is just code


def plain_text_to_rst(app, what, name, obj, options, lines):
    """Convert a docstring, which is plain text with formulas and drawings laid out by hand, to reStructuredText.

    Each indented block before the first section, such as "Parameters", becomes a literal block. In all other lines except
    doctests, bars and the asterisks before an argument are escaped, so that they are printed as they are.
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


def copy_pages(app, error):
    """Copy the pages of `scratchnet explain` into the built site, to the same relative path, so that links work in both."""
    if error is None and app.builder.name == "html":
        shutil.copytree(Path(__file__).parent / "pages", Path(app.outdir) / "pages", dirs_exist_ok=True)


def setup(app):
    # a priority below 500 runs before napoleon's listener
    app.connect("autodoc-process-docstring", plain_text_to_rst, priority=400)
    app.connect("build-finished", copy_pages)
