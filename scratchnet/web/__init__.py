"""What the project's web pages have in common: the colours, and one self-contained HTML file of a page's parts."""

from scratchnet.web.page import page

__all__ = ["page"]
