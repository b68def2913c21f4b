"""``python -m scratchnet.tools.gallery``: print the page docs/gallery.md."""

from scratchnet.tools.gallery.page import markdown

if __name__ == "__main__":
    print(markdown(), end="")
